package scale

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/internal/ops"
)

const (
	token = "a-token-for-measurements-only"
	key   = "a-key-for-measurements-only"

	startup = 2 * time.Minute
)

// A rig is what a part measures: processes, each with a configuration in its directory. What a part does not
// start is not there.
type rig struct {
	m         *measurement
	dir       string
	hubAddr   string
	hub       *bed.Process
	pg        *bed.Postgres
	odoo      *bed.Process
	odooURL   string
	worker    *bed.Process
	workerAPI string
	js        jetstream.JetStream // to the hub, see units
}

// A site is an agent and where it listens.
type site struct {
	*bed.Process
	name, mllp, dir string
}

func newRig(m *measurement) (*rig, error) {
	r := &rig{m: m, dir: m.dir}
	var err error
	r.hubAddr, err = bed.FreeAddr()
	return r, errors.Join(err, r.write("token", token), r.write("odoo.key", key))
}

func (r *rig) write(name, text string) error {
	return os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o600)
}

// process writes a configuration and returns the process that runs by it, which it does not start.
func (r *rig) process(name, role, conf string) (*bed.Process, error) {
	if err := r.write(name+".yaml", conf); err != nil {
		return nil, err
	}
	p, err := bed.Vagus(name, role, filepath.Join(r.dir, name+".yaml"))
	if err == nil {
		r.m.later(p.Kill)
	}
	return p, err
}

// wait waits for something, and tells what a process said last if it does not come.
func (r *rig) wait(ctx context.Context, p *bed.Process, what string, limit time.Duration, ok func() bool) error {
	err := bed.Wait(ctx, what, limit, func() bool { return ok() || p.Ended() })
	if err == nil && p.Ended() {
		err = fmt.Errorf("%s ended while %s was waited for", p.Name, what)
	}
	if err != nil {
		return fmt.Errorf("%w\n%s", err, p.LastWords())
	}
	return nil
}

// startHub starts the hub and returns when it is up.
func (r *rig) startHub(ctx context.Context) (ready time.Duration, err error) {
	addr, err := bed.FreeAddr()
	if err != nil {
		return 0, err
	}
	if r.hub, err = r.process("hub", "hub", fmt.Sprintf("data_dir: hub\nname: hub-1\nlisten: %s\nmax_bytes: 17179869184\nops: { listen: %q }\n", r.hubAddr, addr)); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := r.hub.Start(); err != nil {
		return 0, err
	}
	err = r.wait(ctx, r.hub, "the hub being up", startup, func() bool { return strings.Contains(string(r.hub.Logged()), "hub is up") })
	return time.Since(began), err
}

// newSite makes a site of one HL7 feed and does not start its agent.
func (r *rig) newSite(name string) (*site, error) {
	mllp, err := bed.FreeAddr()
	if err != nil {
		return nil, err
	}
	api, err := bed.FreeAddr()
	if err != nil {
		return nil, err
	}
	bundle, err := hub.AddSite(filepath.Join(r.dir, "hub"), name, hub.SiteConfig{URLs: []string{"tls://" + r.hubAddr}})
	if err != nil {
		return nil, err
	}
	p, err := r.process(name, "agent", fmt.Sprintf(`data_dir: %s.data
bundle: %s
journal: { max_bytes: 8589934592 }
feeds:
  - name: adt
    target: odoo
    mappings: [ "builtin:admissions/adt-patient.map.yaml" ]
    hl7: { listen: %q, max_connections: 1000 }
ops: { listen: %q, token: { file: token } }
`, name, bundle, mllp, api))
	return &site{Process: p, name: name, mllp: mllp, dir: filepath.Join(r.dir, name+".data")}, err
}

// startSite starts its agent and returns when its feed listens.
func (r *rig) startSite(ctx context.Context, s *site) (ready time.Duration, err error) {
	began := time.Now()
	if err := s.Start(); err != nil {
		return 0, err
	}
	for !bed.Answers(s.mllp) {
		if s.Ended() || time.Since(began) > startup || ctx.Err() != nil {
			return 0, fmt.Errorf("%s does not listen\n%s", s.Name, s.LastWords())
		}
		time.Sleep(2 * time.Millisecond)
	}
	return time.Since(began), nil
}

// startLedger starts a PostgreSQL with the server's settings, as 'name = value', and makes the tables.
func (r *rig) startLedger(ctx context.Context, settings ...string) error {
	dir := filepath.Join(r.dir, "postgres")
	if err := os.Mkdir(dir, 0o711); err != nil {
		return err
	}
	var err error
	if r.pg, err = bed.NewPostgres(dir); err != nil {
		return err
	}
	r.m.later(r.pg.Close)
	if err := r.set(ctx, settings...); err != nil {
		return err
	}
	_, err = postgres.Migrate(ctx, r.pg.DSN)
	return errors.Join(err, r.write("ledger.dsn", r.pg.DSN))
}

// set changes settings of the PostgreSQL and starts it again.
func (r *rig) set(ctx context.Context, settings ...string) error {
	if len(settings) == 0 {
		return nil
	}
	conn, err := pgx.Connect(ctx, r.pg.DSN)
	if err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, "LOAD 'auto_explain'"); err != nil { // its settings are none until it is there
		return err
	}
	for _, s := range settings {
		if _, err := conn.Exec(ctx, "ALTER SYSTEM SET "+s); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
	}
	if err := conn.Close(ctx); err != nil {
		return err
	}
	if err := r.pg.Stop(); err != nil {
		return err
	}
	return r.pg.Start()
}

// one asks the ledger's database for one row.
func (r *rig) one(ctx context.Context, sql string, args []any, into ...any) error {
	conn, err := pgx.Connect(ctx, r.pg.DSN)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, sql, args...).Scan(into...)
}

// startWorker starts Odoo, which fails with what poison is in, and a worker; the hub and the ledger must run. It returns
// how long the worker took.
func (r *rig) startWorker(ctx context.Context, poison ...string) (ready time.Duration, err error) {
	if err := r.startOdoo(ctx, poison); err != nil {
		return 0, err
	}
	if r.workerAPI, err = bed.FreeAddr(); err != nil {
		return 0, err
	}
	if r.worker, err = r.process("worker", "worker", fmt.Sprintf(`name: worker-1
bundle: hub/workers/main
ledger: { postgres: { file: ledger.dsn } }
targets:
  odoo:
    odoo: { url: %q, database: hospital, user: vagus, key: { file: odoo.key } }
    concurrency: 4
    retry_min: 200ms
    retry_max: 2s
ops: { listen: %q, token: { file: token } }
`, r.odooURL, r.workerAPI)); err != nil {
		return 0, err
	}
	began := time.Now()
	if err := r.worker.Start(); err != nil {
		return 0, err
	}
	err = r.wait(ctx, r.worker, "the worker being ready", startup, func() bool {
		resp, err := http.Get("http://" + r.workerAPI + "/readyz")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return time.Since(began), err
}

// api asks the worker.
func (r *rig) api() (*ops.Client, error) {
	return ops.NewClient("http://"+r.workerAPI, broker.NewSecret(token), "bench")
}

// applied is how many units are, by the ledger.
func (r *rig) applied(ctx context.Context, conn *pgx.Conn) (n int) {
	_ = conn.QueryRow(ctx, "SELECT coalesce(sum(n), 0) FROM tally WHERE status = 'applied'").Scan(&n)
	return n
}

// waitApplied waits until so many units are applied in all.
func (r *rig) waitApplied(ctx context.Context, want int, limit time.Duration, progress func(have int)) error {
	conn, err := pgx.Connect(ctx, r.pg.DSN)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return r.wait(ctx, r.worker, fmt.Sprintf("%d applied units", want), limit, func() bool {
		have := r.applied(ctx, conn)
		progress(have)
		return have >= want
	})
}

// units is how many units the hub holds.
func (r *rig) units(ctx context.Context) (int, error) {
	if r.js == nil {
		b, err := link.LoadBundle(filepath.Join(r.dir, "hub", "workers", "main"))
		if err != nil {
			return 0, err
		}
		nc, err := link.Connect(b, link.Dial{})
		if err != nil {
			return 0, err
		}
		r.m.later(nc.Close)
		if r.js, err = jetstream.New(nc); err != nil {
			return 0, err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	s, err := r.js.Stream(ctx, stream.Units)
	if err != nil {
		return 0, err
	}
	return int(s.CachedInfo().State.Msgs), nil
}

// odooRole is set in the process that is the simulated Odoo: the file that tells it what to be.
const odooRole = "VAGUS_BENCH_ODOO"

type odooConfig struct{ Addr, Poison string }

func (r *rig) startOdoo(ctx context.Context, poison []string) error {
	addr, err := bed.FreeAddr()
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	conf, err := json.Marshal(odooConfig{addr, strings.Join(poison, " ")})
	if err != nil {
		return err
	}
	if err := r.write("odoo.json", string(conf)); err != nil {
		return err
	}
	r.odooURL = "http://" + addr
	r.odoo = bed.Command("odoo", filepath.Join(r.dir, "odoo.log"), []string{odooRole + "=" + filepath.Join(r.dir, "odoo.json")}, self)
	if err := r.odoo.Start(); err != nil {
		return err
	}
	r.m.later(r.odoo.Kill)
	return r.wait(ctx, r.odoo, "the simulated Odoo", startup, func() bool { return bed.Answers(addr) })
}

// Role runs the simulated Odoo, if this process was started as it, and then ends. Call it first in main.
func Role() {
	file := os.Getenv(odooRole)
	if file == "" {
		return
	}
	if err := serveOdoo(file); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	select {} // until it is killed
}

func serveOdoo(file string) error {
	data, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	var c odooConfig
	if err := json.Unmarshal(data, &c); err != nil {
		return err
	}
	s := simulated.New(simulated.Config{Database: "hospital", User: "vagus", Key: key, Page: true})
	for _, p := range strings.Fields(c.Poison) {
		s.Poison(p, simulated.PoisonRetry)
	}
	_, err = s.Start(c.Addr)
	return err
}
