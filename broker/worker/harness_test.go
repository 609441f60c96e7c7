package worker

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/broker/stream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub is an embedded server with the streams.
type hub struct {
	t   testing.TB
	dir string
	srv *server.Server
	nc  *nats.Conn
	js  jetstream.JetStream
}

func newHub(t testing.TB) *hub {
	t.Helper()
	h := &hub{t: t, dir: t.TempDir()}
	h.start(-1)
	t.Cleanup(func() { h.nc.Close(); h.srv.Shutdown(); h.srv.WaitForShutdown() })
	if err := stream.Provision(t.Context(), h.js, stream.Settings{MaxBytes: 512 << 20}); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *hub) start(port int) {
	h.t.Helper()
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: port, JetStream: true, StoreDir: h.dir, NoSigs: true, NoLog: true})
	if err != nil {
		h.t.Fatal(err)
	}
	go srv.Start()
	if !srv.ReadyForConnections(20 * time.Second) {
		h.t.Fatal("nats-server does not start")
	}
	h.srv = srv
	if h.nc == nil {
		if h.nc, err = nats.Connect(srv.ClientURL(), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond)); err != nil {
			h.t.Fatal(err)
		}
		if h.js, err = jetstream.New(h.nc); err != nil {
			h.t.Fatal(err)
		}
	}
}

// newLedger opens an empty ledger on PostgreSQL.
func newLedger(t testing.TB) ledger.Ledger {
	t.Helper()
	dsn := pgtest.Database(t)
	if _, err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	l, err := postgres.Open(t.Context(), dsn, postgres.Config{})
	return opened(t, l, err)
}

// newFileLedger opens an empty ledger in a SQLite file. With the race detector it
// is a hundred times slower, because its store runs inside this process.
func newFileLedger(t testing.TB) ledger.Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	return opened(t, l, err)
}

func opened(t testing.TB, l ledger.Ledger, err error) ledger.Ledger {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// unit makes the n-th unit of a key.
func unit(key string, n int) *broker.Unit {
	msg := broker.NewMessageID("t", "north", "adt", fmt.Sprint(key, "-", n), nil)
	return &broker.Unit{ID: broker.NewUnitID(msg, "m"), MessageID: msg, Tenant: "t", Site: "north", Feed: "adt", Target: "odoo", Kind: "ADT^A08", SenderID: fmt.Sprint(n),
		Mapping: "m@1", Key: broker.OrderingKey([]byte("s"), key), Verdict: broker.Apply, ReceivedAt: time.Now().UTC(), MappedAt: time.Now().UTC(),
		Ops: []broker.Operation{{ID: "patient", Model: "res.partner", Do: "upsert", XID: "north." + key, Vals: broker.Values{"key": key, "n": json.Number(strconv.Itoa(n)), "name": "Miller"}}}}
}

func message(u *broker.Unit) *nats.Msg {
	data, err := u.Encode()
	if err != nil {
		panic(err)
	}
	return &nats.Msg{Subject: stream.UnitSubject(u), Data: data,
		Header: nats.Header{stream.HeaderUnit: {u.ID}, stream.HeaderMessage: {u.MessageID}}}
}

// send publishes units in order.
func (h *hub) send(us ...*broker.Unit) {
	h.t.Helper()
	var acks []jetstream.PubAckFuture
	for _, u := range us {
		f, err := h.js.PublishMsgAsync(message(u), jetstream.WithStallWait(10*time.Second))
		if err != nil {
			h.t.Fatal(err)
		}
		acks = append(acks, f)
	}
	for _, f := range acks {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			h.t.Fatal(err)
		case <-time.After(20 * time.Second):
			h.t.Fatal("no acknowledgement")
		}
	}
}

// target is a scriptable, idempotent target that notices when a key goes back.
type target struct {
	mu      sync.Mutex
	script  func(u *broker.Unit, n int) broker.Outcome            // nil: Applied
	fail    func(ctx context.Context, units []*broker.Unit) error // nil: none
	check   func() error
	last    map[string]int
	effects map[string]int // by unit: how often it took effect
	tries   map[string]int
	at      map[string]time.Time // of the first effect, by unit
	calls   int
	units   int
	back    []string
	checks  int
}

func newTarget() *target {
	return &target{last: map[string]int{}, effects: map[string]int{}, tries: map[string]int{}, at: map[string]time.Time{}}
}

func of(u *broker.Unit) (key string, n int) {
	n, _ = strconv.Atoi(u.Ops[0].Vals["n"].(json.Number).String())
	return u.Ops[0].Vals["key"].(string), n
}

func (t *target) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	t.mu.Lock()
	fail := t.fail
	t.calls++
	t.units += len(units)
	t.mu.Unlock()
	if fail != nil {
		if err := fail(ctx, units); err != nil {
			return nil, err
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	out := make([]broker.Outcome, len(units))
	keys := map[string]bool{}
	for i, u := range units {
		key, n := of(u)
		t.tries[u.ID]++
		if keys[key] {
			t.back = append(t.back, "two units of one key in one call")
		}
		keys[key] = true
		if t.script != nil {
			if out[i] = t.script(u, n); out[i].Result != broker.Applied {
				continue
			}
		}
		if n < t.last[key] {
			t.back = append(t.back, fmt.Sprintf("%s: %d after %d", key, n, t.last[key]))
		}
		t.last[key] = n
		t.effects[u.ID]++
		if t.effects[u.ID] == 1 {
			t.at[u.ID] = time.Now()
		}
	}
	return out, nil
}

func (t *target) Check(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.checks++
	if t.check != nil {
		return t.check()
	}
	return nil
}

func (t *target) applied(us ...*broker.Unit) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := 0
	for _, u := range us {
		if t.effects[u.ID] > 0 {
			n++
		}
	}
	return n
}

func (t *target) orderKept(tb testing.TB) {
	tb.Helper()
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.back) > 0 {
		tb.Errorf("order was broken %d times, first: %s", len(t.back), t.back[0])
	}
}

func (t *target) set(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// killable stands between a worker and the world. A killed worker reaches
// nothing any more: to everybody else it is as if its process were gone. A
// paused one reaches nothing until it goes on.
type killable struct {
	ledger.Ledger
	broker.Target
	dead    atomic.Bool
	mu      sync.Mutex
	pause   chan struct{} // ledger calls wait until it is closed
	outcast bool          // no more leases
}

var errKilled = errors.New("killed")

func (k *killable) gate() error {
	k.mu.Lock()
	pause := k.pause
	k.mu.Unlock()
	if pause != nil {
		<-pause
	}
	if k.dead.Load() {
		return errKilled
	}
	return nil
}

func (k *killable) isOutcast() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.outcast
}

func (k *killable) Lease(ctx context.Context, target, worker string, ttl time.Duration) ([]ledger.Lease, int, error) {
	if err := k.gate(); err != nil {
		return nil, 0, err
	}
	if k.isOutcast() {
		return nil, 0, errKilled
	}
	return k.Ledger.Lease(ctx, target, worker, ttl)
}

func (k *killable) Release(ctx context.Context, worker string, leases []ledger.Lease) error {
	if err := k.gate(); err != nil {
		return err
	}
	return k.Ledger.Release(ctx, worker, leases)
}

func (k *killable) Claim(ctx context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	if err := k.gate(); err != nil {
		return nil, err
	}
	return k.Ledger.Claim(ctx, leases, units)
}

func (k *killable) Settle(ctx context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	if err := k.gate(); err != nil {
		return err
	}
	return k.Ledger.Settle(ctx, worker, leases, cursors, done)
}

func (k *killable) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	if k.dead.Load() {
		return nil, errKilled
	}
	return k.Target.Apply(ctx, units)
}

// process is one running worker.
type process struct {
	*Worker
	*killable
	stop context.CancelFunc
	done chan struct{}
}

func start(t testing.TB, h *hub, l ledger.Ledger, tg broker.Target, edit func(*Config)) *process {
	t.Helper()
	k := &killable{Ledger: l, Target: tg}
	cfg := Config{Name: "w", LeaseTTL: 2 * time.Second, Grace: 2 * time.Second,
		Targets: map[string]TargetConfig{"odoo": {Target: k, RetryMin: 50 * time.Millisecond, RetryMax: 200 * time.Millisecond,
			Breaker: BreakerConfig{ProbeMin: 50 * time.Millisecond, ProbeMax: 200 * time.Millisecond}}}}
	if os.Getenv("WORKER_TEST_LOG") != "" {
		cfg.Logger = slog.New(slog.NewTextHandler(os.Stderr, nil))
	}
	if edit != nil {
		edit(&cfg)
	}
	w, err := New(h.js, k, cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	p := &process{Worker: w, killable: k, stop: stop, done: make(chan struct{})}
	go func() {
		defer close(p.done)
		if err := w.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(p.end)
	return p
}

func (p *process) end() {
	p.stop()
	<-p.done
}

func (p *process) kill() {
	p.dead.Store(true)
	p.stop()
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(40 * time.Second); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not in time: %s", what)
		}
	}
}

func status(t testing.TB, l ledger.Ledger, u *broker.Unit) ledger.Unit {
	t.Helper()
	row, _, err := l.Unit(context.Background(), u.ID)
	if err != nil && !errors.Is(err, ledger.ErrNotFound) {
		t.Fatal(err)
	}
	return row
}

// lockedBuffer collects what is logged.
type lockedBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedBuffer) Write(p []byte) (int, error) { l.add(string(p)); return len(p), nil }

func (l *lockedBuffer) add(s string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.b.WriteString(s)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *lockedBuffer) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(l, nil)) }
