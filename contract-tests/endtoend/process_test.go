package endtoend_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// A process is one child of a test; what goes wrong with it fails the test.
type process struct {
	*bed.Process
	t          testing.TB
	role, conf string
}

func newProcess(t testing.TB, role, conf string) *process {
	t.Helper()
	b, err := bed.Vagus(role, role, conf)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Process: b, t: t, role: role, conf: conf}
	t.Cleanup(func() { p.kill(); p.races() })
	return p
}

// start starts the child; it may be running no more than once.
func (p *process) start() {
	p.t.Helper()
	if err := p.Start(); err != nil {
		p.t.Fatal(err)
	}
}

// kill ends the child with SIGKILL, if it runs, and waits.
func (p *process) kill() { p.Kill() }

// stop ends the child with SIGTERM and checks that it ends by itself.
func (p *process) stop() {
	p.t.Helper()
	if err := p.Stop(); err != nil {
		p.t.Error(err)
	}
}

// races fails the test with what the race detector reported into the child's log. What
// lies within nats-server is logged.
func (p *process) races() {
	ours, theirs := p.Races()
	for _, report := range ours {
		p.t.Errorf("data race in %s:%s", p.role, report)
	}
	for _, report := range theirs {
		p.t.Logf("data race within nats-server, in %s:%s", p.role, report)
	}
}

func write(t testing.TB, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
