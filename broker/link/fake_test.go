package link

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/stream"
)

// memory is a journal in memory.
type memory struct {
	mu      sync.Mutex
	entries []Entry
	first   int // entries before it are trimmed
	grown   chan struct{}
	trimmed []Position
}

func newMemory() *memory { return &memory{grown: make(chan struct{})} }

func message(i int, body string) *broker.Message {
	m := &broker.Message{Tenant: "main", Site: "north", Feed: "adt", Format: "hl7v2", Kind: "ADT^A01", SenderID: fmt.Sprint(i), ReceivedAt: time.Now().UTC(), Body: broker.PHI(body)}
	m.ID = broker.NewMessageID(m.Tenant, m.Site, m.Feed, m.SenderID, []byte(body))
	return m
}

func (j *memory) add(ms ...*broker.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range ms {
		j.entries = append(j.entries, Entry{Position{uint64(len(j.entries) + 1), m.ID}, m})
	}
	close(j.grown)
	j.grown = make(chan struct{})
}

func (j *memory) fill(n int, body string) {
	ms := make([]*broker.Message, n)
	j.mu.Lock()
	have := len(j.entries)
	j.mu.Unlock()
	for i := range ms {
		ms[i] = message(have+i+1, body)
	}
	j.add(ms...)
}

func (j *memory) Read(_ context.Context, _ string, after Position) (Reader, error) {
	return &memoryReader{j: j, next: int(after.Seq)}, nil
}

func (j *memory) Find(_ context.Context, _, mid string) (Entry, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for i := len(j.entries) - 1; i >= j.first; i-- {
		if broker.ShortID(j.entries[i].ID) == mid {
			return j.entries[i], nil
		}
	}
	return Entry{}, ErrNotFound
}

func (j *memory) Last(context.Context, string) (uint64, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return uint64(len(j.entries)), nil
}

func (j *memory) Trim(_ context.Context, _ string, sent Position, _ time.Time) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.trimmed = append(j.trimmed, sent)
	return nil
}

type memoryReader struct {
	j    *memory
	next int
}

func (r *memoryReader) Next(ctx context.Context) (Entry, error) {
	for {
		r.j.mu.Lock()
		r.next = max(r.next, r.j.first)
		if r.next < len(r.j.entries) {
			e := r.j.entries[r.next]
			r.next++
			r.j.mu.Unlock()
			return e, nil
		}
		grown := r.j.grown
		r.j.mu.Unlock()
		select {
		case <-grown:
		case <-ctx.Done():
			return Entry{}, ctx.Err()
		}
	}
}

// unit is what the tests' mapping makes: one operation that carries the body.
func unit(m *broker.Message, mapping string) *broker.Unit {
	return &broker.Unit{ID: broker.NewUnitID(m.ID, mapping), MessageID: m.ID, Tenant: m.Tenant, Site: m.Site, Feed: m.Feed, Target: "odoo", Kind: m.Kind,
		SenderID: m.SenderID, Mapping: mapping + "@1", Key: broker.OrderingKey([]byte("secret"), m.SenderID), Verdict: broker.Apply, ReceivedAt: m.ReceivedAt, Trace: m.Trace,
		Ops: []broker.Operation{{ID: "patient", Model: "res.partner", Do: "upsert", XID: "x", Vals: broker.Values{"name": string(m.Body)}}}}
}

func mapOne(_ context.Context, m *broker.Message) ([]*broker.Unit, error) {
	return []*broker.Unit{unit(m, "a")}, nil
}

func mapThree(_ context.Context, m *broker.Message) ([]*broker.Unit, error) {
	us := []*broker.Unit{unit(m, "a"), unit(m, "b"), unit(m, "c")}
	us[1].OtherKeys = []string{broker.OrderingKey([]byte("secret"), "another")} // for the workers of all partitions
	return us, nil
}

// cloud is a hub with one site, north.
type cloud struct {
	t      testing.TB
	cfg    hub.Config
	hub    *hub.Hub
	bundle *Bundle
}

func newCloud(t testing.TB, c hub.Config) *cloud {
	t.Helper()
	c.Dir, c.Listen = t.TempDir(), "127.0.0.1:0"
	bundle, err := hub.AddSite(c.Dir, "north", hub.SiteConfig{URLs: []string{"tls://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	cl := &cloud{t: t, cfg: c}
	if cl.bundle, err = LoadBundle(bundle); err != nil {
		t.Fatal(err)
	}
	cl.start()
	t.Cleanup(func() { cl.hub.Close() })
	if err := cl.hub.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	return cl
}

func (c *cloud) start() {
	c.t.Helper()
	h, err := hub.Open(context.Background(), c.cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	c.hub = h
}

// worker returns a connection of the cloud's side.
func (c *cloud) worker() jetstream.JetStream {
	c.t.Helper()
	b, err := LoadBundle(c.hub.WorkerBundle(hub.DefaultTenant))
	if err != nil {
		c.t.Fatal(err)
	}
	nc, err := Connect(b, Dial{})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(nc.Close)
	until(c.t, "the worker is connected", nc.IsConnected)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	return js
}

// forgetIDs has UNITS know a Msg-Id no longer than it takes to stop and start a
// link: then only the place where it resumes keeps it from sending twice.
func (c *cloud) forgetIDs() {
	c.t.Helper()
	b, err := LoadBundle(c.hub.WorkerBundle(hub.DefaultTenant))
	if err != nil {
		c.t.Fatal(err)
	}
	b.Nkey = filepath.Join(c.cfg.Dir, "tenants", hub.DefaultTenant, "admin.nkey")
	nc, err := Connect(b, Dial{})
	if err != nil {
		c.t.Fatal(err)
	}
	defer nc.Close()
	until(c.t, "the administrator is connected", nc.IsConnected)
	js, err := jetstream.New(nc)
	if err != nil {
		c.t.Fatal(err)
	}
	s, err := js.Stream(c.t.Context(), stream.Units)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := s.CachedInfo().Config
	cfg.Duplicates = 100 * time.Millisecond
	if _, err := js.UpdateStream(c.t.Context(), cfg); err != nil {
		c.t.Fatal(err)
	}
}

// units returns what UNITS holds, in its order.
func units(t testing.TB, js jetstream.JetStream) []*nats.Msg {
	t.Helper()
	s, err := js.Stream(t.Context(), stream.Units)
	if err != nil {
		t.Fatal(err)
	}
	want := int(s.CachedInfo().State.Msgs)
	c, err := js.OrderedConsumer(t.Context(), stream.Units, jetstream.OrderedConsumerConfig{InactiveThreshold: 10 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	var got []*nats.Msg
	for len(got) < want {
		b, err := c.Fetch(want-len(got), jetstream.FetchMaxWait(5*time.Second))
		if err != nil {
			t.Fatal(err)
		}
		n := len(got)
		for m := range b.Messages() {
			got = append(got, &nats.Msg{Subject: m.Subject(), Header: m.Headers(), Data: m.Data()})
		}
		if len(got) == n {
			t.Fatalf("UNITS has %d messages, %d came", want, n)
		}
	}
	return got
}

// stored returns how many messages UNITS holds, -1 if it does not say.
func stored(t testing.TB, js jetstream.JetStream) int {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	s, err := js.Stream(ctx, stream.Units)
	if err != nil {
		return -1
	}
	return int(s.CachedInfo().State.Msgs)
}

// sameAsJournal says how UNITS differs from the units of the journal in order.
func sameAsJournal(t testing.TB, js jetstream.JetStream, j *memory, mapping func(context.Context, *broker.Message) ([]*broker.Unit, error)) {
	t.Helper()
	var want []string
	for _, e := range j.entries {
		us, err := mapping(t.Context(), e.Message)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range us {
			want = append(want, u.ID)
		}
	}
	got := units(t, js)
	if len(got) != len(want) {
		t.Errorf("UNITS has %d units, the journal makes %d", len(got), len(want))
	}
	for i := range min(len(got), len(want)) {
		if id := got[i].Header.Get(stream.HeaderUnit); id != want[i] {
			t.Fatalf("unit %d of %d is %s, want %s: lost, doubled or out of order", i, len(want), id, want[i])
		}
	}
}

// running starts a link and stops it at the end of the test, or before.
func running(t testing.TB, c Config) (l *Link, stop func()) {
	t.Helper()
	if c.Feeds == nil {
		c.Feeds = []string{"adt"}
	}
	l, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Errorf("link: %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Error("the link did not stop")
		}
	})
	t.Cleanup(stop)
	return l, stop
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(45 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("45 s passed and it is not so that %s", what)
		}
	}
}

// wire is a TCP proxy that can be cut (RST, then refused) and frozen (nothing
// passes, nothing is closed, as when a router forgets a connection).
type wire struct {
	target func() string
	ln     net.Listener

	mu     sync.Mutex
	refuse bool
	frozen chan struct{} // nil, or closed when it thaws
	conns  map[net.Conn]bool
	wg     sync.WaitGroup
}

func newWire(t testing.TB, target func() string) *wire {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{target: target, ln: ln, conns: map[net.Conn]bool{}}
	w.wg.Go(w.serve)
	t.Cleanup(func() { _ = ln.Close(); w.thaw(); w.cut(); w.wg.Wait() })
	return w
}

func (w *wire) url() string { return "tls://" + w.ln.Addr().String() }

func (w *wire) serve() {
	for {
		c, err := w.ln.Accept()
		if err != nil {
			return
		}
		w.mu.Lock()
		refuse := w.refuse
		w.mu.Unlock()
		up, err := net.Dial("tcp", w.target())
		if refuse || err != nil {
			reset(c)
			if err == nil {
				reset(up)
			}
			continue
		}
		w.mu.Lock()
		w.conns[c], w.conns[up] = true, true
		w.mu.Unlock()
		w.wg.Go(func() { w.pump(c, up) })
		w.wg.Go(func() { w.pump(up, c) })
	}
}

// pump copies one way. A connection that is made while the wire is frozen
// stays so until it thaws; so does one that was there.
func (w *wire) pump(dst, src net.Conn) {
	defer reset(dst)
	defer reset(src)
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		w.mu.Lock()
		frozen := w.frozen
		w.mu.Unlock()
		if frozen != nil {
			<-frozen
		}
		if n > 0 {
			if _, werr := dst.Write(buf[:n]); werr != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = true
	for c := range w.conns {
		reset(c)
	}
	clear(w.conns)
}

func (w *wire) mend() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.refuse = false
}

func (w *wire) freeze() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.frozen = make(chan struct{})
}

func (w *wire) thaw() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.frozen != nil {
		close(w.frozen)
		w.frozen = nil
	}
}

func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
