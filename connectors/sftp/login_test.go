package sftp_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"testing"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/sftp"
	"github.com/vagus-health/vagus/contract-tests/source/openssh"
)

// TestAPasswordLetsIn: of OpenSSH where the test may give it a password, which takes root, and always of a server of Go's ssh.
func TestAPasswordLetsIn(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"password", "questions"} {
		conf, dir := inGo(t, login), t.TempDir()
		allows(t, "Go's ssh, "+login, conf, dir)
		if os.Geteuid() == 0 {
			p := openssh.StartWith(t, openssh.Settings{Login: login})
			allows(t, "OpenSSH, "+login, p.Config, p.Dir)
		}
	}
	more := inGo(t, "more")
	c, err := sftp.New(more, ".")
	must(t, err)
	defer c.Close()
	if _, err := c.List(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "asks for more than a password") || strings.Contains(err.Error(), openssh.Password) {
		t.Errorf("a second factor: %v", err)
	}
}

// allows has a server that lets in with the right password, and with no other.
func allows(t *testing.T, name string, conf sftp.Config, dir string) {
	t.Helper()
	c, err := sftp.New(conf, dir)
	must(t, err)
	defer c.Close()
	if err := c.Write(t.Context(), "one", []byte("1")); err != nil {
		t.Errorf("%s: %v", name, err)
		return
	}
	if infos, err := c.List(t.Context(), "."); err != nil || len(infos) != 1 {
		t.Errorf("%s: %d files, %v", name, len(infos), err)
	}
	conf.Password = broker.NewSecret("not the password")
	wrong, err := sftp.New(conf, dir)
	must(t, err)
	defer wrong.Close()
	if _, err := wrong.List(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "not the password") {
		t.Errorf("%s, with a wrong password: %v", name, err)
	}
}

// inGo is a server that asks for the password by itself, by a question, or by two.
func inGo(t *testing.T, login string) sftp.Config {
	t.Helper()
	private, _ := openssh.Key(t, "")
	signer, err := ssh.ParsePrivateKey([]byte(private))
	must(t, err)
	refused := errors.New("no")
	conf := &ssh.ServerConfig{}
	if login == "password" {
		conf.PasswordCallback = func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
			if string(password) != openssh.Password {
				return nil, refused
			}
			return nil, nil
		}
	} else {
		conf.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			questions := []string{"Password: "}
			if login == "more" {
				questions = append(questions, "Code: ")
			}
			answers, err := ask("", "", questions, make([]bool, len(questions)))
			if err != nil || len(answers) == 0 || answers[0] != openssh.Password {
				return nil, refused
			}
			return nil, nil
		}
	}
	conf.AddHostKey(signer)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go serveSFTP(c, conf)
		}
	}()
	return sftp.Config{Address: ln.Addr().String(), User: "north", Password: broker.NewSecret(openssh.Password), HostKeys: []string{ssh.FingerprintSHA256(signer.PublicKey())}}
}

func serveSFTP(c net.Conn, conf *ssh.ServerConfig) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, conf)
	if err != nil {
		return
	}
	go ssh.DiscardRequests(requests)
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		go func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		}()
		server, err := pkgsftp.NewServer(channel)
		if err != nil {
			return
		}
		_ = server.Serve()
		_, _ = io.Copy(io.Discard, channel)
	}
}

// TestAServerThatKnowsVersion3Alone: OpenSSH without its own rename and fsync.
func TestAServerThatKnowsVersion3Alone(t *testing.T) {
	t.Parallel()
	p := openssh.StartWith(t, openssh.Settings{Deny: "posix-rename,fsync"})
	c, ctx := client(t, p), t.Context()
	must(t, c.MakeDir(ctx, "a"))
	for i := range 3 {
		must(t, c.Write(ctx, "a/one", fmt.Append(nil, i)))
	}
	must(t, c.Write(ctx, "two", []byte("2")))
	must(t, c.Rename(ctx, "two", "a/one")) // replaces
	must(t, c.Rename(ctx, "a/one", "three"))
	if body, err := c.Read(ctx, "three", 10); err != nil || string(body) != "2" {
		t.Errorf("%q, %v", body, err)
	}
	if infos, err := c.List(ctx, "a"); err != nil || len(infos) != 0 {
		t.Errorf("%d files are left, %v", len(infos), err)
	}
	if err := c.Rename(ctx, "three", "a"); err == nil {
		t.Error("a file takes a folder's place")
	}
	if err := c.Rename(ctx, "none", "three"); err == nil {
		t.Error("what is not there is renamed")
	}
	if body, err := c.Read(ctx, "three", 10); err != nil || string(body) != "2" {
		t.Errorf("what was in the way of nothing: %q, %v", body, err)
	}
}
