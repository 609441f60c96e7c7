package endtoend_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/failpoint"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

// commandWords are the words of a command that this program runs instead of tests: what
// `vagus ledger migrate` and `vagus site` do.
const commandWords = "VAGUS_TEST_COMMAND"

func command() {
	words := strings.Fields(os.Getenv(commandWords))
	if len(words) == 0 {
		return
	}
	err := failpoint.Arm(os.Getenv(failpoint.Env))
	switch {
	case err != nil:
	case words[0] == "migrate":
		dsn, _ := os.ReadFile(words[1])
		_, err = postgres.Migrate(context.Background(), string(dsn))
	case words[0] == "add":
		_, err = hub.AddSite(words[1], words[2], hub.SiteConfig{URLs: []string{words[3]}})
	case words[0] == "remove":
		err = hub.RemoveSite(words[1], words[2])
	case words[0] == "begin":
		err = hub.BeginRotation(words[1])
	case words[0] == "switch":
		err = hub.SwitchAuthority(words[1], false)
	case words[0] == "finish":
		err = hub.FinishRotation(words[1], false)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// newCommand returns the process of a command. Its first word is its role.
func newCommand(t *testing.T, dir string, words ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{Process: bed.Command(words[0], filepath.Join(dir, words[0]+".log"), []string{commandWords + "=" + strings.Join(words, " ")}, self), t: t, role: words[0]}
	t.Cleanup(func() { p.kill(); p.races() })
	return p
}

// ends runs a command to its end.
func (p *process) ends() error {
	p.t.Helper()
	p.start()
	if err := bed.Wait(p.t.Context(), "the end of "+p.role, 60*time.Second, p.Ended); err != nil {
		p.t.Fatal(err)
	}
	return p.Stop()
}

// All that makes a cloud and a site dies half done, from the first table of the ledger to
// the site's second set of mappings. Odoo has the addon.
func dieWhileSettingUp(t *testing.T, d *deaths) {
	s := &system{t: t, dir: t.TempDir(), dsn: pgtest.Database(t), retryMax: "2s", maxAttempts: -1}
	s.odoo, s.odooURL = startOdoo(t, simulated.Config{History: true, Addon: true})
	s.hubAddr, s.agentOps, s.mllp = freeAddr(t), freeAddr(t), freeAddr(t)
	write(t, s.dir, "ledger.dsn", s.dsn)
	write(t, s.dir, "token", token)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err, s.lastWords())
		}
	}

	migrate := newCommand(t, s.dir, "migrate", filepath.Join(s.dir, "ledger.dsn"))
	d.dies(t, migrate, "ledger.migrated", 1, nil)
	d.dies(t, migrate, "ledger.migrated", 2, nil)
	must(migrate.ends())

	conf := fmt.Sprintf("data_dir: hub\nname: hub-1\nlisten: %s\nmax_bytes: 2147483648\nops: { listen: %q }\n", s.hubAddr, freeAddr(t))
	s.hub = newProcess(t, "hub", write(t, s.dir, "hub.yaml", conf))
	d.dies(t, s.hub, "hub.created", 1, nil)
	d.dies(t, s.hub, "hub.created", 2, nil)
	d.dies(t, s.hub, "hub.provisioned", 1, nil)
	write(t, s.dir, "hub.yaml", conf+"names: [ 127.0.0.1, hub.example.org ]\n")
	d.dies(t, s.hub, "hub.rotated", 1, nil)
	d.lives(s.hub)
	s.waitDial(s.hubAddr)

	hubDir := filepath.Join(s.dir, "hub")
	add := newCommand(t, s.dir, "add", hubDir, "north", "tls://"+s.hubAddr)
	if d.dies(t, add, "site.bundled", 1, nil) {
		if err := add.ends(); err == nil || !strings.Contains(err.Error(), "left of an earlier attempt") {
			t.Fatalf("the half of a site is not named: %v", err)
		}
	}
	remove := newCommand(t, s.dir, "remove", hubDir, "north")
	must(remove.ends())
	d.dies(t, s.hub, "hub.reloaded", 1, func() { s.waitDial(s.hubAddr); must(add.ends()) })
	d.dies(t, s.hub, "hub.consumer", 1, nil)
	d.lives(s.hub)
	if _, err := hub.AddSite(hubDir, "south", hub.SiteConfig{URLs: []string{"tls://" + s.hubAddr}}); err != nil {
		t.Fatal(err)
	}
	south := newCommand(t, s.dir, "remove", hubDir, "south")
	if d.dies(t, south, "site.removed", 1, nil) {
		must(south.ends())
	}
	if sites, err := hub.Sites(hubDir); err != nil || len(sites) != 1 {
		t.Fatalf("the sites are %v: %v", sites, err)
	}
	if _, err := os.Stat(filepath.Join(hubDir, "bundles", "south")); err == nil {
		t.Error("the keys of a site that was removed are there")
	}

	writeRegistration(t, s.dir, 1)
	s.agent = newProcess(t, "agent", write(t, s.dir, "agent.yaml", fmt.Sprintf(`
data_dir: agent
bundle: hub/bundles/north
journal: { max_bytes: 2147483648 }
mappings: { every: 1s }
feeds:
  - { name: adt, target: odoo, mappings: [ registration.map.yaml ], hl7: { listen: %q, max_connections: 1000 } }
ops: { listen: %q, token: { file: token } }
`, s.mllp, s.agentOps)))
	d.dies(t, s.agent, "mappings.kept", 1, nil)
	d.dies(t, s.agent, "journal.created", 1, nil)
	h := s.load(2, 6, 0, 20*time.Millisecond)
	d.dies(t, s.agent, "mappings.kept", 2, func() { s.waitDial(s.mllp); writeRegistration(t, s.dir, 2) })
	d.lives(s.agent)
	s.addWorker()
	d.dies(t, s.workers[0], "odoo.whole", 2, nil)
	d.lives(s.workers[0])
	s.rotate(t, d, hubDir)
	before := s.ackedSoFar()
	s.wait("messages after the last end", 60*time.Second, func() bool { return s.ackedSoFar() > before+20 })
	h.end()
	s.judge(d, true)
	units, err := s.units(s.api())
	must(err)
	last := s.acked[len(s.acked)-1].ControlID
	if !slices.ContainsFunc(units[last], func(u ledger.Unit) bool { return strings.HasPrefix(u.Mapping, "registration@2") }) {
		t.Errorf("the last message was mapped by %v", units[last])
	}
}

// rotate has the hub's authority rotated while messages flow. Everybody who has a part in it dies half done.
func (s *system) rotate(t *testing.T, d *deaths, hubDir string) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err, s.lastWords())
		}
	}
	of := func() *hub.Authority {
		a, err := hub.ReadAuthority(hubDir)
		must(err)
		return a
	}
	begin := newCommand(t, s.dir, "begin", hubDir)
	if d.dies(t, begin, "authority.keyed", 1, nil) {
		must(begin.ends())
	}
	newest := of().Certificates[1].ID
	d.dies(t, s.agent, "link.trusted", 1, nil)
	d.dies(t, s.hub, "authority.signed", 1, func() { d.lives(s.agent) })
	d.lives(s.hub)
	s.wait("certificates of the new authority", 60*time.Second, func() bool {
		return !slices.ContainsFunc(of().Peers, func(p hub.Peer) bool { return p.Authority != newest || len(p.Trusts) != 2 })
	})
	if !d.dies(t, newCommand(t, s.dir, "switch", hubDir), "authority.switched", 1, nil) {
		s.wait("the switch", 60*time.Second, func() bool { return of().Stage == hub.Switched })
	}
	s.wait("a server of the new authority", 60*time.Second, func() bool { return of().Servers[0].Authority == newest })
	if !d.dies(t, newCommand(t, s.dir, "finish", hubDir), "authority.finished", 1, nil) {
		s.wait("the finish", 60*time.Second, func() bool { return of().Stage == hub.Settled })
	}
	d.lives(s.agent)
	if a := of(); len(a.Certificates) != 1 || a.Certificates[0].ID != newest || a.Stage != hub.Settled {
		t.Errorf("the authorities are %+v", a)
	}
}
