package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/internal/app/demo"
)

// A shape is how many of each there are.
type shape struct {
	hubs, workers int
	addon         bool   // Odoo has the addon, by which each effect is once
	stores        bool   // of agent, hub and PostgreSQL: encrypted the first two, and each on a disk of its own
	release       string // program of an earlier version that everything is at first
	sqlite        bool   // the ledger is a file, with stores on a disk of its own; else PostgreSQL
	line          bool   // between site and hub is a line of the kernel's own
	names         bool   // the site knows the hub by a name, and asks a name server of the bed's for it
}

// impossible says why there can be no such system here, or nil.
func (s shape) impossible() error {
	if s.stores {
		if reason := bed.Disks(); reason != nil {
			return fmt.Errorf("needs root and loop devices: %w", reason)
		}
	}
	if s.line {
		if reason := bed.Lines(); reason != nil {
			return fmt.Errorf("needs root and network namespaces: %w", reason)
		}
	}
	if s.names {
		if reason := bed.Namespaces(); reason != nil {
			return fmt.Errorf("needs root and namespaces: %w", reason)
		}
	}
	return nil
}

// A system is a whole Vagus of real processes: a site, one hub or three, workers, PostgreSQL,
// and a simulated Odoo behind a front that can be killed.
type system struct {
	dir     string
	token   string
	odoo    *erp
	front   *bed.Process  // what serves Odoo; its database is behind
	pg      *bed.Postgres // nil where the ledger is a file
	ledger  string        // that file
	hubs    []*bed.Process
	links   []*demo.Link // from the site to each hub
	agent   *bed.Process
	workers []*bed.Process
	feeds   map[string]string    // where each listens
	ops     string               // of the agent
	names   *bed.Names           // that the site asks
	line    *bed.Line            // to the first hub's link
	release string               // what runs vagus; "": this program
	hubAddr string               // of the first hub itself, behind its link
	disks   map[string]*bed.Disk // of agent, hub and postgres
	cleanup []func()
}

// startup is how long the system may take until its site listens.
const startup = 2 * time.Minute

func newSystem(ctx context.Context, dir string, s shape) (_ *system, err error) {
	y := &system{dir: dir, release: s.release, token: rand.Text(), feeds: map[string]string{}, disks: map[string]*bed.Disk{}}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, y.lastWords())
			y.close()
		}
	}()
	if s.stores {
		sizes := map[string]string{"agent": "500M", "hub": "400M", "postgres": "300M"}
		if s.sqlite {
			sizes = map[string]string{"ledger": "300M"}
		}
		for name, size := range sizes {
			if err := y.newDisk(name, size); err != nil {
				return nil, err
			}
		}
	}
	if err := y.startCloud(ctx, s); err != nil {
		return nil, err
	}
	if s.names {
		if y.names, err = bed.NewNames(hubName); err != nil {
			return nil, err
		}
		y.cleanup = append(y.cleanup, y.names.Close)
		y.names.Is(home)
	}
	bundle, err := y.startHubs(ctx, s.hubs, s.line)
	if err != nil {
		return nil, err
	}
	if err := y.startSite(ctx, bundle); err != nil {
		return nil, err
	}
	for range s.workers {
		if err := y.addWorker(); err != nil {
			return nil, err
		}
	}
	return y, nil
}

// startCloud starts Odoo, its front and PostgreSQL.
func (y *system) startCloud(ctx context.Context, s shape) error {
	var err error
	if y.odoo, err = startOdoo(s.addon); err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, y.odoo.close)
	addr, err := bed.FreeAddr()
	if err != nil {
		return err
	}
	if y.front, err = bed.Relay("odoo-front", y.dir, addr, y.odoo.addr); err != nil {
		return err
	}
	if err := y.front.Start(); err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, y.front.Kill)
	if err := errors.Join(y.write("odoo.key", y.odoo.key), y.write("token", y.token), y.write("odoo.url", "http://"+addr)); err != nil {
		return err
	}
	if s.sqlite {
		if err := os.MkdirAll(y.diskOf("ledger"), 0o711); err != nil {
			return err
		}
		y.ledger = filepath.Join(y.diskOf("ledger"), "ledger.db")
		_, err = sqlite.Migrate(ctx, y.ledger)
		return err
	}
	data := filepath.Join(y.diskOf("postgres"), "cluster")
	if err := os.MkdirAll(data, 0o711); err != nil {
		return err
	}
	if y.pg, err = bed.NewPostgres(data); err != nil {
		return err
	}
	y.cleanup = append(y.cleanup, y.pg.Close)
	if y.release == "" { // else addWorker has it done
		_, err = postgres.Migrate(ctx, y.pg.DSN)
	}
	return errors.Join(err, y.write("ledger.dsn", y.pg.DSN))
}

// startHubs starts a server or a cluster and returns the site's bundle.
func (y *system) startHubs(ctx context.Context, n int, line bool) (bundle string, err error) {
	var addrs, routes, urls, own []string
	for range n {
		addr, err := bed.FreeAddr()
		if err != nil {
			return "", err
		}
		route, err := bed.FreeAddr()
		if err != nil {
			return "", err
		}
		link, err := demo.NewLink(addr)
		if err != nil {
			return "", err
		}
		y.cleanup, y.links = append(y.cleanup, link.Close), append(y.links, link)
		addrs, routes = append(addrs, addr), append(routes, route)
		at := link.Addr()
		if line {
			if y.line, err = bed.NewLine(y.dir, at); err != nil {
				return "", err
			}
			y.cleanup = append(y.cleanup, y.line.Close)
			at = y.line.Addr()
		}
		if y.names != nil {
			_, port, err := net.SplitHostPort(at)
			if err != nil {
				return "", err
			}
			at = net.JoinHostPort(y.names.Name, port)
		}
		urls, own = append(urls, "tls://"+at), append(own, "tls://"+addr)
	}
	y.hubAddr = addrs[0]
	if bundle, err = hub.AddSite(filepath.Join(y.dir, "hub"), "north", hub.SiteConfig{URLs: urls}); err != nil {
		return "", err
	}
	for i, addr := range addrs {
		ops, err := bed.FreeAddr()
		if err != nil {
			return "", err
		}
		cluster := ""
		if n > 1 {
			cluster = fmt.Sprintf("replicas: %d\nproduction: true\ncluster: { listen: %q, routes: [ \"%s\" ] }\n", n, routes[i], strings.Join(routes, `", "`))
		}
		store, settings := fmt.Sprintf("store-%d", i+1), "max_bytes: 1073741824"
		if y.disks["hub"] != nil {
			store, settings = "hub.disk/store", "max_bytes: 134217728\nencryption_key: { file: hub.key }"
		}
		conf := fmt.Sprintf("data_dir: hub\nstore_dir: %s\nname: hub-%d\nlisten: %q\n%s\nops: { listen: %q }\n%s", store, i+1, addr, settings, ops, cluster)
		if y.line != nil {
			conf += fmt.Sprintf("names: [ %s ]\n", y.line.Host)
		}
		if y.names != nil {
			conf += fmt.Sprintf("names: [ %s ]\n", y.names.Name)
		}
		p, err := y.vagus(fmt.Sprintf("hub-%d", i+1), "hub", conf)
		if err != nil {
			return "", err
		}
		y.hubs = append(y.hubs, p)
		if err := p.Start(); err != nil {
			return "", err
		}
	}
	for i := range addrs { // provisioned: a hub is up when it says so
		if err := bed.Wait(ctx, "the hub being up", startup, func() bool { return strings.Contains(string(y.hubs[i].Logged()), "hub is up") || y.hubs[i].Ended() }); err != nil || y.hubs[i].Ended() {
			return "", errors.Join(errors.New("a hub does not start"), err)
		}
	}
	return bundle, y.workerBundle(own)
}

// workerBundle copies the bundle of workers, which names one server, with the names of all.
func (y *system) workerBundle(urls []string) error {
	from, to := filepath.Join(y.dir, "hub", "workers", "main"), filepath.Join(y.dir, "worker-bundle")
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(from, "link.yaml"))
	if err != nil {
		return err
	}
	before, _, _ := strings.Cut(string(text), "urls:")
	_, after, _ := strings.Cut(string(text), "\nca:")
	return os.WriteFile(filepath.Join(to, "link.yaml"), []byte(before+"urls: [ "+strings.Join(urls, ", ")+" ]\nca:"+after), 0o600)
}

// startSite starts the agent with its feeds and returns when all of them listen.
func (y *system) startSite(ctx context.Context, bundle string) error {
	for _, feed := range []string{"adt", "claims", "fhir"} {
		addr, err := bed.FreeAddr()
		if err != nil {
			return err
		}
		y.feeds[feed] = addr
	}
	var err error
	if y.ops, err = bed.FreeAddr(); err != nil {
		return err
	}
	data, settings := "agent", "max_bytes: 1073741824, retention: 5s"
	if y.disks["agent"] != nil {
		data, settings = "agent.disk/data", "max_bytes: 50331648, encryption_key: { file: agent.key }" // what a hub loses is asked for again
	}
	files := ""
	if y.release == "" {
		files = `  - name: files
    target: odoo
    mappings: [ "builtin:billing/claim-837p.map.yaml" ]
    folder: { dir: files, settle: 1ms, every: 100ms }
    x12: { split: claim, partners: [ { name: meridian, id: "ZZ:MERIDIAN", own: "ZZ:NORTH" } ] }
`
		if err := os.Mkdir(filepath.Join(y.dir, "files"), 0o700); err != nil {
			return err
		}
	}
	// The journal forgets soon what the cloud has, so that what is sent again later meets the ledger.
	if y.agent, err = y.vagus("agent", "agent", fmt.Sprintf(`data_dir: %s
bundle: %s
journal: { %s }
feeds:
  - { name: adt, target: odoo, mappings: [ "builtin:admissions/adt-patient.map.yaml" ], hl7: { listen: %q } }
  - name: claims
    target: odoo
    mappings: [ "builtin:billing/claim-837p.map.yaml" ]
    http: { listen: %q, bearer: [ { file: token } ] }
    x12: { split: claim, partners: [ { name: meridian, id: "ZZ:MERIDIAN", own: "ZZ:NORTH" } ] }
  - name: fhir
    target: odoo
    mappings: [ "builtin:admissions/fhir-patient.map.yaml", "builtin:admissions/fhir-encounter.map.yaml" ]
    fhir: { endpoint: { listen: %q, token: { file: token } } }
%sops: { listen: %q, token: { file: token } }
`, data, bundle, settings, y.feeds["adt"], y.feeds["claims"], y.feeds["fhir"], files, y.ops)); err != nil {
		return err
	}
	if y.names != nil {
		if err := y.names.For(y.agent, y.dir); err != nil {
			return err
		}
	}
	if err := y.agent.Start(); err != nil {
		return err
	}
	return bed.Wait(ctx, "a site that listens", startup, func() bool {
		for _, addr := range y.feeds {
			if !bed.Answers(addr) {
				return false
			}
		}
		return true
	})
}

// addWorker starts one more worker.
func (y *system) addWorker() error {
	n := len(y.workers) + 1
	url, err := os.ReadFile(filepath.Join(y.dir, "odoo.url"))
	if err != nil {
		return err
	}
	ops, err := bed.FreeAddr()
	if err != nil {
		return err
	}
	ledger := "postgres: { file: ledger.dsn }"
	if y.ledger != "" {
		ledger = fmt.Sprintf("sqlite: %q", y.ledger)
	}
	p, err := y.vagus(fmt.Sprintf("worker-%d", n), "worker", fmt.Sprintf(`name: worker-%d
bundle: worker-bundle
ledger: { %s }
targets:
  odoo:
    odoo: { url: %q, database: hospital, user: vagus, key: { file: odoo.key } }
    concurrency: 4
    retry_min: 100ms
    retry_max: 2s
    max_attempts: -1
ops: { listen: %q, token: { file: token } }
`, n, ledger, url, ops))
	if err != nil {
		return err
	}
	if y.release != "" && n == 1 {
		if out, err := exec.Command(y.release, "ledger", "migrate", "-c", filepath.Join(y.dir, p.Name+".yaml")).CombinedOutput(); err != nil {
			return fmt.Errorf("migrate the ledger as then: %w: %s", err, out)
		}
	}
	y.workers = append(y.workers, p)
	return p.Start()
}

// newDisk makes the disk of agent, hub or postgres, and the key of its store.
func (y *system) newDisk(name, size string) error {
	d, err := bed.NewDisk(y.diskOf(name), size)
	if err != nil {
		return err
	}
	y.cleanup, y.disks[name] = append(y.cleanup, d.Close), d
	return y.write(name+".key", rand.Text()+rand.Text())
}

func (y *system) diskOf(name string) string { return filepath.Join(y.dir, name+".disk") }

// vagus writes a configuration and returns the process that reads it.
func (y *system) vagus(name, role, text string) (*bed.Process, error) {
	if err := y.write(name+".yaml", text); err != nil {
		return nil, err
	}
	conf := filepath.Join(y.dir, name+".yaml")
	p, err := bed.Vagus(name, role, conf)
	if y.release != "" {
		p = bed.Command(name, conf+".log", nil, y.release, role, "-c", conf)
	}
	if err == nil {
		y.cleanup = append(y.cleanup, p.Kill)
	}
	return p, err
}

func (y *system) write(name, text string) error {
	return os.WriteFile(filepath.Join(y.dir, name), []byte(text), 0o600)
}

func (y *system) processes() []*bed.Process {
	all := append([]*bed.Process{}, y.hubs...)
	if y.agent != nil {
		all = append(all, y.agent)
	}
	return append(all, y.workers...)
}

// ready says whether the agent says that it can accept.
func (y *system) ready() error {
	resp, err := http.Get("http://" + y.ops + "/readyz")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, _ := io.ReadAll(io.LimitReader(resp.Body, 4096)); resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the site is not ready: %s", text)
	}
	return nil
}

// lastWords are the ends of all logs, for a failure.
func (y *system) lastWords() string {
	var b strings.Builder
	for _, p := range y.processes() {
		if p.Started() {
			fmt.Fprintf(&b, "\n--- %s (ended: %v)\n%s", p.Name, p.Ended(), p.LastWords())
		}
	}
	return b.String()
}

// races are what the race detector found in a child, if this program was built with it.
func (y *system) races() (all []string) {
	for _, p := range y.processes() {
		ours, _ := p.Races()
		for _, r := range ours {
			all = append(all, "data race in "+p.Name+":"+r)
		}
	}
	return all
}

// close ends everything, in the reverse order.
func (y *system) close() {
	for i := len(y.cleanup) - 1; i >= 0; i-- {
		y.cleanup[i]()
	}
}
