package hub_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/link"
)

// The rendered configuration is for a server that nobody here wrote: the stock
// binary, built from the module.
func TestAStockServerServesWithTheRenderedConfiguration(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bin := filepath.Join(dir, "nats-server")
	if out, err := exec.Command("go", "build", "-o", bin, "github.com/nats-io/nats-server/v2").CombinedOutput(); err != nil {
		t.Fatalf("build nats-server: %v\n%s", err, out)
	}
	const addr = "127.0.0.1:11222" // a stock server can not tell which free port it took
	c := hub.Config{Dir: filepath.Join(dir, "hub"), Listen: addr, MaxBytes: 64 << 20}
	render := func() string {
		t.Helper()
		text, err := hub.Render(c)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, "nats.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	server := exec.Command(bin, "-c", render())
	server.Stderr = os.Stderr
	server.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	eventually := func(what string, ok func() error) {
		t.Helper()
		var err error
		for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(50 * time.Millisecond) {
			if err = ok(); err == nil {
				return
			}
		}
		t.Fatalf("%s: %v", what, err)
	}
	eventually("provision", func() error { return hub.ProvisionStock(t.Context(), c, "tls://"+addr) })

	bundle, err := hub.AddSite(c.Dir, "north", hub.SiteConfig{URLs: []string{"tls://" + addr}})
	if err != nil {
		t.Fatal(err)
	}
	render()
	b, err := link.LoadBundle(bundle)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := link.Connect(b, link.Dial{})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	eventually("a unit of the new site is stored", func() error {
		// A new account's imports are wired by the second reload only.
		_ = server.Process.Signal(syscall.SIGHUP)
		if err := hub.ProvisionStock(t.Context(), c, "tls://"+addr); err != nil {
			return err
		}
		m := nats.NewMsg("unit.north.odoo.1.adt.live")
		m.Header.Set(nats.MsgIdHdr, "u1")
		_, err := nc.RequestMsg(m, time.Second)
		return err
	})
}
