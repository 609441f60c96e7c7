package batches

import (
	"context"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/broker/worker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// inFile opens a ledger in a file of its own.
func inFile(b *testing.B) ledger.Ledger {
	path := filepath.Join(b.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(b.Context(), path); err != nil {
		b.Fatal(err)
	}
	l, err := sqlite.Open(b.Context(), path, sqlite.Config{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Close() })
	return l
}

// timed notes when the first unit reaches the target.
type timed struct {
	broker.Target
	once  sync.Once
	first time.Time
}

func (t *timed) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	t.once.Do(func() { t.first = time.Now() })
	return t.Target.Apply(ctx, us)
}

// A backlog of new records takes one look-up for hundreds of them and a call of load for each sixty, one of records that
// change a read beside, and one of records that are as they should be no load. All calls of Odoo count.
func TestABacklogOfIndependentUpsertsTakesACallOfOdooForFifty(t *testing.T) {
	t.Parallel()
	const n = 6000
	sim := simulated.New(simulated.Config{})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sim.Close()
	sim.SetLatency(20 * time.Millisecond) // what waits is Odoo's backlog, not the ledger's
	dsn := pgtest.Database(t)
	if _, err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	l, err := postgres.Open(t.Context(), dsn, postgres.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	target, err := odoo.New(odoo.Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated")})
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, round := range []struct {
		what, city string
		least      float64
	}{{"new", "Austin", 50}, {"changed", "Oakland", 45}, {"unchanged", "Oakland", 150}} {
		units := make([]*broker.Unit, n)
		for i := range units {
			units[i] = unitOf(round.what, i, broker.Values{"name": "Bench", "ref": strconv.Itoa(i), "city": round.city})
		}
		throughWorker(t, target, l, units)
		calls := 0
		for _, c := range sim.Calls() {
			calls += c.Calls
		}
		if each := float64(n) / float64(calls-asked); each < round.least {
			t.Errorf("%s: a call for %.1f upserts, want one for %v: %v", round.what, each, round.least, sim.Calls())
		} else {
			t.Logf("%s: a call for %.1f upserts", round.what, each)
		}
		asked = calls
	}
	if got := len(sim.Records("res.partner")); got < n {
		t.Errorf("%d contacts, want %d", got, n)
	}
}

// unitOf makes the unit of a message about the n-th contact.
func unitOf(what string, n int, vals broker.Values) *broker.Unit {
	msg := broker.NewMessageID("t", "north", "adt", what+strconv.Itoa(n), nil)
	return &broker.Unit{ID: broker.NewUnitID(msg, "m"), MessageID: msg, Tenant: "t", Site: "north", Feed: "adt", Target: "odoo", Kind: "ADT^A08", SenderID: what + strconv.Itoa(n),
		Mapping: "m@1", Key: broker.OrderingKey([]byte("s"), strconv.Itoa(n)), Verdict: broker.Apply, ReceivedAt: time.Now().UTC(), MappedAt: time.Now().UTC(),
		Ops: []broker.Operation{{ID: "contact", Model: "res.partner", Do: "upsert", XID: "vagus.contact_" + strconv.Itoa(n), Vals: vals}}}
}

// throughWorker delivers units that wait in a stream: the time from the first Apply to the last
// outcome recorded.
func throughWorker(b testing.TB, target broker.Target, l ledger.Ledger, units []*broker.Unit) time.Duration {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: b.TempDir(), NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	go srv.Start()
	defer srv.WaitForShutdown()
	defer srv.Shutdown()
	if !srv.ReadyForConnections(20 * time.Second) {
		b.Fatal("nats-server does not start")
	}
	nc, err := nats.Connect(srv.ClientURL())
	if err != nil {
		b.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err == nil {
		err = stream.Provision(b.Context(), js, stream.Settings{MaxBytes: 64 << 20})
	}
	if err != nil {
		b.Fatal(err)
	}
	for _, u := range units {
		data, err := u.Encode()
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.PublishMsg(b.Context(), &nats.Msg{Subject: stream.UnitSubject(u), Data: data,
			Header: nats.Header{stream.HeaderUnit: {u.ID}, stream.HeaderMessage: {u.MessageID}}}); err != nil {
			b.Fatal(err)
		}
	}
	t := &timed{Target: target}
	w, err := worker.New(js, l, worker.Config{Name: "w", Targets: map[string]worker.TargetConfig{"odoo": {Target: t}}})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	deadline := time.Now().Add(5 * time.Minute)
	for w.Status()[0].Settled < uint64(len(units)) {
		if time.Now().After(deadline) {
			b.Fatalf("not all settled: %+v", w.Status()[0])
		}
		time.Sleep(time.Millisecond)
	}
	took := time.Since(t.first)
	stop()
	if err := <-done; err != nil {
		b.Fatal(err)
	}
	return took
}
