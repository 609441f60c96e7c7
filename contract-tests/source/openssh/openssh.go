// Package openssh runs OpenSSH's SFTP server for tests.
package openssh

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/sftp"
)

// Key makes a key pair: the private one as OpenSSH writes it.
func Key(t testing.TB, passphrase string) (private string, public ssh.PublicKey) {
	t.Helper()
	_, secret, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(secret, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(secret, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(secret)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(block)), signer.PublicKey()
}

// A Peer is OpenSSH's server with its internal-sftp, and a folder of it.
type Peer struct {
	Config  sftp.Config // of who may use it
	HostKey ssh.PublicKey
	Dir     string
	through func(net.Conn) net.Conn
}

// Settings say what a server is like. The zero value takes a key and has every request.
type Settings struct {
	Through func(net.Conn) net.Conn // between it and the client
	Deny    string                  // requests that it does not know: "posix-rename,fsync"
	// Login is how it lets us in: "" by a key; "password", or "questions", by keyboard-interactive alone.
	// Both need root: the password stands in a shadow file that only this sshd sees.
	Login string
}

// Password lets in where Settings.Login says so.
const Password = "pass of the test"

const shadow = "$6$vagustest$ifSroZtaF0seF07rQRQKvORCaIRMSZ27URgpV78IJSUEulrgWfgxQFuw3TV4Za37UVgAXAQ9sKx29TjyXwAUg/" // crypt(3) of it

var logins = map[string]string{
	"":          "UsePAM no\nPasswordAuthentication no",
	"password":  "UsePAM no\nPubkeyAuthentication no\nKbdInteractiveAuthentication no",
	"questions": "UsePAM yes\nPubkeyAuthentication no\nPasswordAuthentication no\nKbdInteractiveAuthentication yes",
}

// Start starts one on loopback, an sshd for each connection, as inetd did. through may put
// something between it and the client; nil: nothing.
func Start(t testing.TB, through func(net.Conn) net.Conn) *Peer {
	t.Helper()
	return StartWith(t, Settings{Through: through})
}

// StartWith starts one that is as the settings say.
func StartWith(t testing.TB, s Settings) *Peer {
	t.Helper()
	me, err := user.Current()
	if err != nil {
		t.Fatal(err)
	}
	if me.Uid == "0" { // where sshd wants an empty folder
		if err := os.MkdirAll("/run/sshd", 0o755); err != nil {
			t.Fatal(err)
		}
	}
	etc, dir := t.TempDir(), t.TempDir()
	hostKey, host := Key(t, "")
	userKey, public := Key(t, "")
	deny := ""
	if s.Deny != "" {
		deny = " -P " + s.Deny
	}
	conf := fmt.Sprintf(`HostKey %[1]s/host
AuthorizedKeysFile %[1]s/authorized
StrictModes no
PermitRootLogin yes
%[2]s
Subsystem sftp internal-sftp%[3]s
LogLevel QUIET
PidFile none
`, etc, logins[s.Login], deny)
	for name, text := range map[string]string{"shadow": me.Username + ":" + shadow + ":19000:0:99999:7:::\n", "host": hostKey, "authorized": string(ssh.MarshalAuthorizedKey(public)), "config": conf} {
		if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Peer{HostKey: host, Dir: dir, through: s.Through, Config: sftp.Config{Address: ln.Addr().String(), User: me.Username, HostKeys: []string{ssh.FingerprintSHA256(host)}}}
	sshd := []string{"/usr/sbin/sshd", "-i", "-f", filepath.Join(etc, "config")}
	if s.Login == "" {
		p.Config.Key = broker.NewSecret(userKey)
	} else { // a mount that nobody else sees
		p.Config.Password = broker.NewSecret(Password)
		sshd = append([]string{"unshare", "-m", "--propagation", "private", "sh", "-c", `mount --bind "$0" /etc/shadow && exec "$@"`, filepath.Join(etc, "shadow")}, sshd...)
	}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = ln.Close()
		ended := make(chan struct{})
		go func() { running.Wait(); close(ended) }()
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			t.Error("a client has left its connection open")
		}
	})
	running.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.serve(t, c, sshd) })
		}
	})
	return p
}

func (p *Peer) serve(t testing.TB, c net.Conn, sshd []string) {
	defer c.Close()
	if p.through != nil {
		c = p.through(c)
	}
	cmd := exec.Command(sshd[0], sshd[1:]...)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Error(err)
		return
	}
	cmd.Stdout = c
	if err := cmd.Start(); err != nil {
		t.Error(err)
		return
	}
	go func() {
		_, _ = io.Copy(in, c)
		_ = in.Close()
	}()
	_ = cmd.Wait()
}
