package endtoend_test

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/ops"
)

const token = "a-token-for-tests-only"

// A system is a whole Vagus: one site, one hub, workers, Odoo.
type system struct {
	t       testing.TB
	dir     string
	dsn     string
	odoo    *simulated.Server
	odooURL string
	link    *demo.Link // between the agent and the hub
	hub     *process
	agent   *process
	workers []*process

	hubAddr, mllp string
	agentOps      string
	opsAddr       []string // of each worker
	settings      string   // of every process
	retryMax      string   // back-off of a unit's retries
	maxAttempts   int

	mu        sync.Mutex
	hospitals map[uint64]*demo.Admissions // by sender
	offered   []demo.Admission            // what was sent, once or more often
	acked     []demo.Admission            // what the site said yes to
}

// newSystem starts everything and returns when the site listens. Site and
// workers can be started and stopped one by one afterwards.
func newSystem(t testing.TB, workers int, odoo simulated.Config) *system {
	t.Helper()
	return newSystemWith(t, workers, odoo, "")
}

// newSystemWith adds settings to every process's configuration.
func newSystemWith(t testing.TB, workers int, odoo simulated.Config, settings string) *system {
	t.Helper()
	return newSystemKeeping(t, workers, odoo, settings, "336h")
}

// newSystemKeeping has a journal that keeps what the cloud has for so long.
func newSystemKeeping(t testing.TB, workers int, odoo simulated.Config, settings, retention string) *system {
	t.Helper()
	mllp := freeAddr(t)
	s := newSystemOf(t, workers, odoo, settings, retention, fmt.Sprintf(`
  - name: adt
    target: odoo
    mappings: [ "builtin:admissions/adt-patient.map.yaml" ]
    hl7: { listen: %q, max_connections: 1000 }`, mllp))
	s.mllp = mllp
	s.waitDial(mllp)
	return s
}

// newSystemOf has a site of these feeds, and returns when the processes are started.
func newSystemOf(t testing.TB, workers int, odoo simulated.Config, settings, retention, feeds string) *system {
	t.Helper()
	s := &system{t: t, dir: t.TempDir(), dsn: pgtest.Database(t), retryMax: "2s", maxAttempts: -1, settings: settings}
	if _, err := postgres.Migrate(context.Background(), s.dsn); err != nil {
		t.Fatal(err)
	}
	s.odoo, s.odooURL = startOdoo(t, odoo)
	s.hubAddr, s.agentOps = freeAddr(t), freeAddr(t)

	s.hub = newProcess(t, "hub", write(t, s.dir, "hub.yaml", fmt.Sprintf(
		"data_dir: hub\nname: hub-1\nlisten: %s\nmax_bytes: 2147483648\nops: { listen: %q }\n%s", s.hubAddr, freeAddr(t), settings)))
	s.hub.start()
	s.wait("the hub's bundle for workers", 60*time.Second, func() bool {
		_, err := os.Stat(filepath.Join(s.dir, "hub", "workers", "main", "link.yaml"))
		return err == nil
	})
	link, err := demo.NewLink(s.hubAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(link.Close)
	s.link = link
	bundle, err := hub.AddSite(filepath.Join(s.dir, "hub"), "north", hub.SiteConfig{URLs: []string{"tls://" + link.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, "token", token)
	s.agent = newProcess(t, "agent", write(t, s.dir, "agent.yaml", fmt.Sprintf(`
data_dir: agent
bundle: %s
journal: { max_bytes: 2147483648, retention: %s }
feeds: %s
ops: { listen: %q, token: { file: token } }
%s`, bundle, retention, feeds, s.agentOps, settings)))
	s.agent.start()
	for range workers {
		s.addWorker().start()
	}
	return s
}

// addWorker makes one more worker and does not start it.
func (s *system) addWorker() *process {
	s.t.Helper()
	n := len(s.workers) + 1
	write(s.t, s.dir, "odoo.key", simulatedKey)
	write(s.t, s.dir, "ledger.dsn", s.dsn)
	addr := freeAddr(s.t)
	p := newProcess(s.t, "worker", write(s.t, s.dir, fmt.Sprintf("worker%d.yaml", n), fmt.Sprintf(`
name: worker-%d
bundle: hub/workers/main
ledger: { postgres: { file: ledger.dsn } }
targets:
  odoo:
    odoo: { url: %q, database: hospital, user: vagus, key: { file: odoo.key } }
    retry_min: 100ms
    retry_max: %s
    max_attempts: %d
ops: { listen: %q, token: { file: token } }
%s`, n, s.odooURL, s.retryMax, s.maxAttempts, addr, s.settings)))
	s.workers = append(s.workers, p)
	s.opsAddr = append(s.opsAddr, addr)
	return p
}

// api asks the first worker that answers.
func (s *system) api() *ops.Client {
	s.t.Helper()
	var found string
	s.wait("a worker's API", 30*time.Second, func() bool {
		for _, addr := range s.opsAddr {
			if r, err := http.Get("http://" + addr + "/livez"); err == nil {
				_ = r.Body.Close()
				found = addr
				return true
			}
		}
		return false
	})
	c, err := ops.NewClient("http://"+found, broker.NewSecret(token), "test")
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// wait waits until a condition holds, and fails with every process's last words if
// it does not in time.
func (s *system) wait(what string, limit time.Duration, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(limit); !ok(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%v passed without %s%s", limit, what, s.lastWords())
		}
	}
}

func (s *system) lastWords() string {
	var b strings.Builder
	for _, p := range append([]*process{s.hub, s.agent}, s.workers...) {
		if p != nil && p.Started() {
			fmt.Fprintf(&b, "\n--- %s (ended: %v)\n%s", p.conf, p.Ended(), p.LastWords())
		}
	}
	return b.String()
}

func (s *system) waitDial(addr string) {
	s.t.Helper()
	s.wait("an answer from "+addr, 60*time.Second, func() bool { return bed.Answers(addr) })
}

// A hospital is what sends: each sender has patients of its own, sends their
// messages one after the other and, like a real one, sends a message again
// until it is acknowledged.
type hospital struct {
	s       *system
	stop    context.CancelFunc
	senders sync.WaitGroup
}

// load starts senders, or lets those of an earlier load go on, that send this many messages each (0: until stopped),
// with a pause between them.
func (s *system) load(senders, patients, each int, pause time.Duration) *hospital {
	ctx, cancel := context.WithCancel(context.Background())
	h := &hospital{s: s, stop: cancel}
	s.t.Cleanup(h.end)
	for n := range senders {
		h.senders.Go(func() { h.send(ctx, uint64(n), patients, each, pause) })
	}
	return h
}

func (h *hospital) send(ctx context.Context, seed uint64, patients, each int, pause time.Duration) {
	admissions := h.s.admissions(seed, patients)
	var conn *demo.Sender
	defer func() {
		if conn != nil {
			_ = conn.Close()
		}
	}()
	for n := 0; (each == 0 || n < each) && ctx.Err() == nil; n++ {
		m := admissions.Next()
		// Control ids are unique in a feed: two senders of one hospital have ranges of their own.
		m.Body = []byte(strings.Replace(string(m.Body), m.ControlID, fmt.Sprintf("S%02d%s", seed, m.ControlID), 1))
		m.ControlID = fmt.Sprintf("S%02d%s", seed, m.ControlID)
		h.s.mu.Lock()
		h.s.offered = append(h.s.offered, m)
		h.s.mu.Unlock()
		for {
			if conn == nil {
				var err error
				if conn, err = demo.Dial(context.Background(), h.s.mllp); err != nil {
					conn = nil
				}
			}
			if conn != nil {
				attempt, cancel := context.WithTimeout(context.Background(), 15*time.Second)
				code, id, err := conn.Send(attempt, m.Body)
				cancel()
				if err == nil && code == "CA" {
					if id != m.ControlID {
						h.s.t.Errorf("the acknowledgement of %s answers %s", m.ControlID, id)
					}
					h.s.mu.Lock()
					h.s.acked = append(h.s.acked, m)
					h.s.mu.Unlock()
					break
				}
				if err == nil && code == "CR" {
					h.s.t.Errorf("%s was answered CR", m.ControlID)
				}
				_ = conn.Close()
				conn = nil
			}
			if ctx.Err() != nil {
				return // never acknowledged: nothing was promised
			}
			time.Sleep(50 * time.Millisecond)
		}
		if pause > 0 {
			time.Sleep(pause)
		}
	}
}

// admissions returns a sender's patients: the same on every load.
func (s *system) admissions(seed uint64, patients int) *demo.Admissions {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.hospitals == nil {
		s.hospitals = map[uint64]*demo.Admissions{}
	}
	if s.hospitals[seed] == nil {
		s.hospitals[seed] = demo.NewAdmissions(seed, patients)
	}
	return s.hospitals[seed]
}

// wait waits until all has been sent and acknowledged; end stops the senders
// first.
func (h *hospital) wait() { h.senders.Wait() }
func (h *hospital) end()  { h.stop(); h.senders.Wait() }

func freeAddr(t testing.TB) string {
	t.Helper()
	addr, err := bed.FreeAddr()
	if err != nil {
		t.Fatal(err)
	}
	return addr
}

const simulatedKey = "a-key-for-tests-only"

// startOdoo starts the simulated Odoo in the test's own process: it is not
// ours to kill.
func startOdoo(t testing.TB, c simulated.Config) (*simulated.Server, string) {
	t.Helper()
	c.Database, c.User, c.Key = "hospital", "vagus", simulatedKey
	odoo := simulated.New(c)
	url, err := odoo.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = odoo.Close() })
	return odoo, url
}

// subjects lists what the hub's UNITS stream holds, as its worker sees it. The
// hub must run.
func (s *system) subjects() []string {
	s.t.Helper()
	s.hub.start()
	s.waitDial(s.hubAddr)
	bundle, err := link.LoadBundle(filepath.Join(s.dir, "hub", "workers", "main"))
	if err != nil {
		s.t.Fatal(err)
	}
	nc, err := link.Connect(bundle, link.Dial{})
	if err != nil {
		s.t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		s.t.Fatal(err)
	}
	var subjects []string
	s.wait("the subjects of UNITS", 20*time.Second, func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		c, err := js.OrderedConsumer(ctx, stream.Units, jetstream.OrderedConsumerConfig{HeadersOnly: true})
		if err != nil {
			return false
		}
		batch, err := c.FetchNoWait(1000)
		if err != nil {
			return false
		}
		for m := range batch.Messages() {
			subjects = append(subjects, m.Subject())
		}
		return len(subjects) > 0
	})
	return subjects
}
