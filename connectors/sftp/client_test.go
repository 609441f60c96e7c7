package sftp_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/sftp"
	"github.com/vagus-health/vagus/contract-tests/source/openssh"
)

var _ folder.Files = (*sftp.Client)(nil)

func client(t testing.TB, p *openssh.Peer) *sftp.Client {
	t.Helper()
	c, err := sftp.New(p.Config, p.Dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfOpenSSH(t *testing.T) {
	t.Parallel()
	p := openssh.Start(t, nil)
	c, ctx := client(t, p), t.Context()
	must(t, c.MakeDir(ctx, "."))
	must(t, c.MakeDir(ctx, "a/b"))
	must(t, c.MakeDir(ctx, "a/b"))
	large := bytes.Repeat([]byte("0123456789"), 200_000)
	must(t, c.Write(ctx, "a/b/one", large))
	must(t, c.Write(ctx, "a/b/one", large[1:]))
	if body, err := c.Read(ctx, "a/b/one", int64(len(large))); err != nil || !bytes.Equal(body, large[1:]) {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	if body, err := c.Read(ctx, "a/b/one", 1000); err != nil || !bytes.Equal(body, large[1:1002]) {
		t.Errorf("of a file over the limit there are %d bytes, %v", len(body), err)
	}
	must(t, c.Write(ctx, "a/two", []byte("2")))
	must(t, c.Rename(ctx, "a/b/one", "a/two"))
	if info, err := c.Stat(ctx, "a/two"); err != nil || info.Size() != int64(len(large))-1 || !info.Mode().IsRegular() || info.ModTime().IsZero() {
		t.Errorf("%v %v", info, err)
	}
	must(t, os.Symlink("/etc/passwd", filepath.Join(p.Dir, "a/link")))
	if info, err := c.Stat(ctx, "a/link"); err != nil || info.Mode()&fs.ModeSymlink == 0 {
		t.Errorf("a link is %v, %v", info, err)
	}
	infos, err := c.List(ctx, "a")
	if err != nil || len(infos) != 3 {
		t.Errorf("%d files, %v: nothing half written is left", len(infos), err)
	}
	must(t, c.Remove(ctx, "a/two"))
	for _, err := range []error{c.Remove(ctx, "a/two"), c.Rename(ctx, "a/two", "a/three"), c.Write(ctx, "away/Jane Doe", nil)} {
		if !errors.Is(err, fs.ErrNotExist) || strings.Contains(err.Error(), "two") || strings.Contains(err.Error(), "Doe") {
			t.Errorf("%v", err)
		}
	}
	if err := c.Rename(ctx, "a/link", "a/b"); err == nil || strings.Contains(err.Error(), "link") {
		t.Errorf("a file takes a folder's place: %v", err)
	}
}

func TestAServerIsKnownByItsKey(t *testing.T) {
	t.Parallel()
	p := openssh.Start(t, nil)
	_, other := openssh.Key(t, "")
	shown := ssh.FingerprintSHA256(p.HostKey)
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p.HostKey)))
	for _, tt := range []struct {
		name string
		keys []string
		want string
	}{
		{"its fingerprint", []string{shown}, ""},
		{"one of two fingerprints", []string{ssh.FingerprintSHA256(other), shown}, ""},
		{"its key", []string{line}, ""},
		{"a line of known_hosts", []string{"[127.0.0.1]:2222 " + line + " comment"}, ""},
		{"none", nil, "none is given, so nothing is sent: the server shows " + shown},
		{"another's fingerprint", []string{ssh.FingerprintSHA256(other)}, "the server shows " + shown + " (ssh-ed25519), which is none of them"},
		{"another's key", []string{string(ssh.MarshalAuthorizedKey(other))}, "which is none of them"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			conf := p.Config
			conf.HostKeys = tt.keys
			c, err := sftp.New(conf, p.Dir)
			must(t, err)
			defer c.Close()
			_, err = c.List(t.Context(), ".")
			if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
		})
	}
}

func TestWhoWeAre(t *testing.T) {
	t.Parallel()
	p := openssh.Start(t, nil)
	wrong, _ := openssh.Key(t, "")
	conf := p.Config
	conf.Key = broker.NewSecret(wrong)
	c, err := sftp.New(conf, p.Dir)
	must(t, err)
	defer c.Close()
	if _, err := c.List(t.Context(), "."); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("%v", err)
	}

	locked, _ := openssh.Key(t, "sesame")
	for want, change := range map[string]func(*sftp.Config){
		"address: missing":      func(c *sftp.Config) { c.Address = "" },
		"user: missing":         func(c *sftp.Config) { c.User = "" },
		"give key or password":  func(c *sftp.Config) { c.Key = broker.Secret{} },
		"key: it is encrypted":  func(c *sftp.Config) { c.Key = broker.NewSecret(locked) },
		"key: it is no private": func(c *sftp.Config) { c.Key = broker.NewSecret("sesame") },
		"passphrase is not":     func(c *sftp.Config) { c.Key, c.Passphrase = broker.NewSecret(locked), broker.NewSecret("x") },
		"passphrase: it is a key": func(c *sftp.Config) {
			c.Key, c.Password, c.Passphrase = broker.Secret{}, broker.NewSecret("x"), broker.NewSecret("y")
		},
		"host_keys[1]": func(c *sftp.Config) { c.HostKeys = append(c.HostKeys, "MD5:00:11") },
		"timeout":      func(c *sftp.Config) { c.Timeout = -1 },
		"": func(c *sftp.Config) {
			c.Address, c.Key, c.Passphrase = "host", broker.NewSecret(locked), broker.NewSecret("sesame")
		},
	} {
		conf := p.Config
		conf.HostKeys = []string{ssh.FingerprintSHA256(p.HostKey)}
		change(&conf)
		if _, err := sftp.New(conf, "."); (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "sesame")) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestAServerThatFallsSilentIsGivenUp(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	_, host := openssh.Key(t, "")
	for name, timeout := range map[string]time.Duration{"by its time": 50 * time.Millisecond, "by its caller": time.Hour} {
		c, err := sftp.New(sftp.Config{Address: ln.Addr().String(), User: "u", Password: broker.NewSecret("p"), HostKeys: []string{ssh.FingerprintSHA256(host)}, Timeout: timeout}, ".")
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		if timeout < time.Hour {
			cancel()
			ctx, cancel = context.WithTimeout(t.Context(), 20*time.Second)
		}
		_, err = c.List(ctx, ".")
		if timeout < time.Hour && (err == nil || !strings.Contains(err.Error(), "does not answer")) || timeout == time.Hour && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		cancel()
	}
}

// A cut is a connection that ends after so many bytes from the client.
type cut struct {
	net.Conn
	left int
}

func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		_ = c.Close()
		return 0, io.EOF
	}
	n, err := c.Conn.Read(b[:min(len(b), c.left)])
	c.left -= n
	return n, err
}

// lines has each file accepted as one message.
type lines struct{}

func (lines) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	m := &broker.Message{ID: broker.NewMessageID("", "", "", "", d.Body), Feed: "files", Body: d.Body}
	if err := accept(ctx, m); err != nil {
		return broker.Receipt{}, err
	}
	return broker.Receipt{Accepted: 1, Answer: broker.PHI("ack"), Ext: "ack"}, nil
}

func TestFilesSurviveAConnectionThatIsCutAtEachStep(t *testing.T) {
	t.Parallel()
	// Each connection carries a little more than the one before: the handshake takes about 3,000 of them.
	var mu sync.Mutex
	budget := 2800
	p := openssh.Start(t, func(c net.Conn) net.Conn {
		mu.Lock()
		defer mu.Unlock()
		budget += 500
		return &cut{c, budget}
	})
	const files = 3
	want := map[string]bool{}
	for i := range files {
		body := fmt.Sprintf("body %d", i)
		want[body] = true
		must(t, os.WriteFile(filepath.Join(p.Dir, fmt.Sprintf("%d.txt", i)), []byte(body), 0o600))
	}
	src, err := folder.New("files", folder.Config{Dir: p.Dir, Every: time.Millisecond, Settle: time.Millisecond}, client(t, p), lines{})
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	got := map[string]bool{}
	ended := make(chan error, 1)
	go func() {
		ended <- src.Run(ctx, func(_ context.Context, ms ...*broker.Message) error {
			mu.Lock()
			defer mu.Unlock()
			got[string(ms[0].Body)] = true
			return nil
		})
	}()
	for deadline := time.Now().Add(120 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		archived, _ := filepath.Glob(filepath.Join(p.Dir, "archive", "*.txt"))
		if len(archived) == files {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d files are archived; %s", len(archived), src.Problem())
		}
	}
	cancel()
	must(t, <-ended)
	mu.Lock()
	defer mu.Unlock()
	if len(got) != files || fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("accepted: %v", got)
	}
	t.Logf("connections were cut at up to %d bytes", budget)
	for i := range files {
		if b, err := os.ReadFile(filepath.Join(p.Dir, "out", fmt.Sprintf("%d.txt.ack", i))); err != nil || string(b) != "ack" {
			t.Errorf("the answer of %d: %q, %v", i, b, err)
		}
	}
}
