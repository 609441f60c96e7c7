package link

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/stream"
)

// asked is a cloud whose hub does what a hub does, asked every now and then.
func asked(t *testing.T) *cloud {
	t.Helper()
	c := newCloud(t, hub.Config{Ask: 100 * time.Millisecond, Watch: 20 * time.Millisecond})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- c.hub.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

// keeping connects with a bundle, has its certificate kept, and counts how often the connection was lost.
func (c *cloud) keeping(b *Bundle, name string) (drops func() uint64) {
	c.t.Helper()
	nc, err := Connect(b, Dial{URLs: []string{c.hub.URL()}})
	if err != nil {
		c.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(c.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- KeepCertificate(ctx, nc, b, name, slog.New(slog.DiscardHandler), nil) }()
	c.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			c.t.Error(err)
		}
		nc.Close()
	})
	until(c.t, "it is connected", nc.IsConnected)
	return func() uint64 { return nc.Stats().Reconnects }
}

func (c *cloud) comesIn(b *Bundle) error {
	c.t.Helper()
	cfg, err := b.tlsConfig()
	if err != nil {
		c.t.Fatal(err)
	}
	seed, err := nats.NkeyOptionFromSeed(b.Nkey)
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := nats.Connect(c.hub.URL(), seed, nats.Secure(cfg), nats.TLSHandshakeFirst(), nats.CustomInboxPrefix("_INBOX_x"), nats.NoReconnect())
	if err == nil {
		nc.Close()
	}
	return err
}

// copied is a bundle that nobody renews any more.
func copied(t *testing.T, b *Bundle) *Bundle {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "b"), os.DirFS(filepath.Dir(b.CA))); err != nil {
		t.Fatal(err)
	}
	c, err := LoadBundle(filepath.Join(dir, "b"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestTheAuthorityIsRotatedAndNobodyIsCutOff(t *testing.T) {
	t.Parallel()
	c := asked(t)
	dir := c.cfg.Dir
	worker, err := LoadBundle(c.hub.WorkerBundle(hub.DefaultTenant))
	if err != nil {
		t.Fatal(err)
	}
	worker = copied(t, worker) // on another machine
	before := copied(t, c.bundle)
	site, work := c.keeping(c.bundle, ""), c.keeping(worker, "worker-1")
	of := func() *hub.Authority {
		a, err := hub.ReadAuthority(dir)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	heard := func(n int) func() bool {
		return func() bool {
			a := of()
			have := 0
			for _, p := range a.Peers {
				if p.Authority == a.Certificates[len(a.Certificates)-1].ID && len(p.Trusts) == len(a.Certificates) {
					have++
				}
			}
			return have == n
		}
	}
	until(t, "site and worker have said what they have", heard(2))
	if _, err := hub.AddSite(dir, "late", hub.SiteConfig{URLs: []string{"tls://127.0.0.1:1"}}); err != nil {
		t.Fatal(err)
	}
	refused := func(err error, texts ...string) {
		t.Helper()
		for _, text := range texts {
			if err == nil || !strings.Contains(err.Error(), text) {
				t.Errorf("the error is %v, want it to say %q", err, text)
			}
		}
	}
	refused(hub.SwitchAuthority(dir, true), "is settled", "hub authority begin")
	if err := hub.BeginRotation(dir); err != nil {
		t.Fatal(err)
	}
	half := filepath.Join(dir, "servers", ".new-1") // what a server that died while it was made leaves
	if err := os.CopyFS(half, os.DirFS(filepath.Join(dir, "servers", "hub-1"))); err != nil {
		t.Fatal(err)
	}
	refused(hub.BeginRotation(dir), "under way", "hub authority switch")
	refused(hub.FinishRotation(dir, true), "is begun", "hub authority switch")
	until(t, "site and worker have certificates of the new authority", heard(2))
	refused(hub.SwitchAuthority(dir, false), "site late has not said", "vagus site renew", "--force")
	if err := hub.RemoveSite(dir, "late"); err != nil {
		t.Fatal(err)
	}
	// A server that reloads refuses whoever comes at that moment.
	until(t, "while the rotation is under way a certificate of before is good", func() bool { return c.comesIn(before) == nil })
	if err := hub.SwitchAuthority(dir, false); err != nil {
		t.Fatal(err)
	}
	newest := of().Certificates[1].ID
	until(t, "the server has a certificate of the new authority", func() bool { return of().Servers[0].Authority == newest })
	if err := hub.FinishRotation(dir, false); err != nil {
		t.Fatal(err)
	}
	until(t, "only the new authority is trusted", heard(2))
	until(t, "a certificate of before is refused", func() bool {
		err := c.comesIn(before)
		return err != nil && strings.Contains(err.Error(), "certificate")
	})
	for _, b := range []*Bundle{c.bundle, worker} {
		until(t, "the "+b.Role+"'s own is good", func() bool { return c.comesIn(b) == nil })
	}
	until(t, "a new worker can connect", func() bool {
		fresh, err := LoadBundle(c.hub.WorkerBundle(hub.DefaultTenant))
		return err == nil && c.comesIn(fresh) == nil
	})
	if a := of(); a.Stage != hub.Settled || len(a.Certificates) != 1 || site() != 0 || work() != 0 {
		t.Errorf("stage %s, %d authorities, %d and %d connections lost", a.Stage, len(a.Certificates), site(), work())
	}
}

func TestASiteWhoseBundleIsRenewedByHandComesIn(t *testing.T) {
	t.Parallel()
	c := asked(t)
	old := copied(t, c.bundle)
	for step, do := range []func() error{
		func() error { return hub.BeginRotation(c.cfg.Dir) },
		func() error { return hub.SwitchAuthority(c.cfg.Dir, true) },
		func() error {
			var err error
			until(t, "the server is renewed", func() bool { err = hub.FinishRotation(c.cfg.Dir, true); return err == nil })
			return err
		},
	} {
		if err := do(); err != nil {
			t.Fatal(step, err)
		}
	}
	until(t, "who was left behind is cut off", func() bool { return c.comesIn(old) != nil })
	from, err := hub.RenewSite(c.cfg.Dir, "north")
	if err != nil {
		t.Fatal(err)
	}
	nc, err := Connect(old, Dial{URLs: []string{c.hub.URL()}}) // the agent runs on
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for _, name := range []string{"ca.pem", "site.pem", "site.key"} {
		text, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(filepath.Dir(old.CA), name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	until(t, "it takes the files up without a restart", nc.IsConnected)
	if _, err := hub.RenewSite(c.cfg.Dir, "nobody"); err == nil || !strings.Contains(err.Error(), "vagus site ls") {
		t.Errorf("a site that is not there: %v", err)
	}
}

func TestACertificateThatNearsItsEndIsSpokenOf(t *testing.T) {
	t.Parallel()
	end := time.Date(2030, 5, 1, 12, 0, 0, 0, time.UTC)
	b := &Bundle{Role: "site", Name: "st-mary"}
	b.Certificate, b.Key = selfSigned(t, end)
	for _, tt := range []struct {
		name   string
		warned int
		now    time.Time
		say    string
		after  int
	}{
		{"far from it nothing is said", 0, end.Add(-31 * 24 * time.Hour), "", 0},
		{"thirty days before", 0, end.Add(-30 * 24 * time.Hour), "level=WARN msg=\"the certificate of this site runs out soon", 1},
		{"once", 1, end.Add(-20 * 24 * time.Hour), "", 1},
		{"and seven days before", 1, end.Add(-7 * 24 * time.Hour), "level=WARN", 2},
		{"an agent that starts says it at once", 0, end.Add(-time.Hour), "level=WARN", 2},
		{"when it is past: since when, and what to do", 2, end, "level=ERROR msg=\"the certificate of this site has run out: the hub lets it in no more: run `vagus site renew st-mary` at the hub", 3},
		{"once", 3, end.Add(time.Hour), "", 3},
		{"a renewed one is spoken of again when its time comes", 3, end.Add(-60 * 24 * time.Hour), "", 0},
	} {
		var log bytes.Buffer
		if got := b.warn(slog.New(slog.NewTextHandler(&log, nil)), tt.warned, tt.now); got != tt.after || !strings.Contains(log.String(), tt.say) || tt.say == "" && log.Len() > 0 {
			t.Errorf("%s: %d, %s", tt.name, got, log.String())
		}
	}
}

// selfSigned writes a certificate that runs out then, and its key.
func selfSigned(t *testing.T, end time.Time) (cert, key string) {
	t.Helper()
	dir := t.TempDir()
	priv, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "x"}, NotBefore: end.Add(-1000 * time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &priv.PublicKey, priv)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(priv)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, typ string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("c.pem", "CERTIFICATE", der), write("c.key", "PRIVATE KEY", pkcs8)
}

func TestWhatAHubGivesIsStoredOnlyIfItCanBeUsed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, hub.Config{})
	b := copied(t, c.bundle)
	other, _ := selfSigned(t, time.Now().Add(time.Hour))
	foreign, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range map[string]stream.CertificateAnswer{
		"authorities that are none":      {CA: "nothing"},
		"a certificate that is none":     {Certificate: "nothing"},
		"a certificate of another's key": {Certificate: string(foreign)},
	} {
		if err := b.store(a, slog.New(slog.DiscardHandler)); err == nil {
			t.Errorf("%s: it is stored", name)
		}
	}
	for _, f := range []string{"ca.pem", "site.pem", "site.key"} {
		x, _ := os.ReadFile(filepath.Join(filepath.Dir(b.CA), f))
		y, _ := os.ReadFile(filepath.Join(filepath.Dir(c.bundle.CA), f))
		if !bytes.Equal(x, y) {
			t.Errorf("%s has changed", f)
		}
	}
}
