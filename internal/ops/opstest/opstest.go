// Package opstest gives tests of the API and of the commands that use it a
// ledger in which something has happened, a server in front of it, and somebody
// who carries out replays. It exists for tests only.
package opstest

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
)

// Canary stands in every body that [Fill] puts into a ledger. Nothing that ops
// or a command writes may ever hold it.
const Canary = "ZQCANARYMUSTERMANN"

// Secret and TokenName are what [Serve]'s API asks for.
const (
	Secret    = "0123456789abcdef-of-tests"
	TokenName = "night-shift"
)

// Now is when all that Fill puts into a ledger has happened.
var Now = time.Date(2026, 3, 12, 3, 14, 0, 0, time.UTC)

// Filled names what Fill made: unit ids.
type Filled struct {
	Applied   []string // three, oldest first
	Skipped   string
	Retrying  string // parked at the head of its key, due in an hour
	Held      string // dead, and Behind waits for it
	Behind    []string
	Rejected  string // dead; nothing waits for it
	Unmapped  string // dead at its mapping: its content stayed at the site
	MessageOf map[string]string
}

// NewUnit is the n-th unit of a feed, received n minutes after midnight.
func NewUnit(n int, feed, key string) ledger.Unit {
	mid := broker.NewMessageID("test", "st-mary", feed, fmt.Sprintf("C%04d", n), []byte{byte(n)})
	u := ledger.Unit{
		ID: broker.NewUnitID(mid, "hl7-adt-patient"), MessageID: mid, Tenant: "test", Site: "st-mary", Feed: feed, Target: "odoo",
		Kind: "ADT^A08", SenderID: fmt.Sprintf("C%04d", n), Mapping: "hl7-adt-patient@4#1f2e3d4c", Seq: uint64(n),
		Trace:      fmt.Sprintf("00-4bf92f3577b34da6a3ce929d0e0e%04x-00f067aa0ba902b7-01", n),
		ReceivedAt: Now.Truncate(24 * time.Hour).Add(time.Duration(n) * time.Minute),
	}
	if key != "" {
		u.Key = broker.OrderingKey([]byte("secret"), key)
	}
	u.Partition = broker.Partition(u.Key, u.ID)
	u.MappedAt = u.ReceivedAt.Add(4 * time.Millisecond)
	u.StoredAt = u.ReceivedAt.Add(60 * time.Millisecond)
	u.ClaimedAt = u.ReceivedAt.Add(80 * time.Millisecond)
	u.SettledAt = u.ReceivedAt.Add(200 * time.Millisecond)
	return u
}

// Body is a unit's wire form with the canary in its values.
func Body(u ledger.Unit) broker.PHI {
	b, err := (&broker.Unit{
		ID: u.ID, MessageID: u.MessageID, Tenant: u.Tenant, Site: u.Site, Feed: u.Feed, Target: u.Target, Kind: u.Kind, SenderID: u.SenderID,
		Mapping: u.Mapping, Key: u.Key, Verdict: broker.Apply, ReceivedAt: u.ReceivedAt, MappedAt: u.MappedAt,
		Ops: []broker.Operation{{ID: "patient", Model: "res.partner", Do: "upsert", XID: "x." + u.ID, Vals: broker.Values{"name": Canary}}},
	}).Encode()
	if err != nil {
		panic(err) // strings only
	}
	return b
}

// Fill puts one unit of each fate into an empty ledger.
func Fill(t testing.TB, l ledger.Ledger) Filled {
	t.Helper()
	ctx := t.Context()
	leases := lease(t, l)
	f := Filled{MessageOf: map[string]string{}}
	n := 0
	add := func(key string, edit func(*ledger.Unit)) string {
		n++
		u := NewUnit(n, "adt", key)
		edit(&u)
		if _, err := l.Claim(ctx, leases, []ledger.Unit{u}); err != nil {
			t.Fatalf("claim: %v", err)
		}
		attempt := u.Attempts > 0
		if err := l.Settle(ctx, "worker-1", leases, nil, []ledger.Settlement{{Unit: u, Attempt: attempt, Took: 120 * time.Millisecond}}); err != nil {
			t.Fatalf("settle: %v", err)
		}
		f.MessageOf[u.ID] = u.MessageID
		return u.ID
	}
	for range 3 {
		f.Applied = append(f.Applied, add(fmt.Sprint("patient", n), func(u *ledger.Unit) {
			u.Status, u.Attempts, u.Records = ledger.Applied, 1, []broker.Record{{Op: "patient", Model: "res.partner", ID: 4711, Made: true}}
		}))
	}
	f.Skipped = add("", func(u *ledger.Unit) {
		u.Status, u.Class, u.Reason = ledger.Skipped, "guard", "test patients are not wanted"
	})
	f.Retrying = add("retrying", func(u *ledger.Unit) {
		u.Status, u.Attempts, u.Class, u.Reason, u.Body = ledger.Parked, 2, "odoo.timeout", "no answer within 30 s", Body(*u)
		u.NextAttempt = time.Now().Add(time.Hour)
	})
	f.Held = add("poison", func(u *ledger.Unit) {
		u.Status, u.Attempts, u.Class, u.Reason, u.Body, u.Hold = ledger.Dead, 1, "odoo.ValidationError", "the target refuses a value of res.partner", Body(*u), true
	})
	for range 2 {
		f.Behind = append(f.Behind, add("poison", func(u *ledger.Unit) {
			u.Status, u.Class, u.Reason, u.Body = ledger.Parked, "key.held", "an earlier unit of its key is dead", Body(*u)
		}))
	}
	f.Rejected = add("", func(u *ledger.Unit) {
		u.Status, u.Attempts, u.Class, u.Reason, u.Body = ledger.Dead, 1, "odoo.missing_reference", "no res.country has this code", Body(*u)
	})
	f.Unmapped = add("", func(u *ledger.Unit) {
		u.Status, u.Class, u.Reason, u.Remappable = ledger.Dead, "mapping.required", "PID-3 is absent", true
	})
	return f
}

// Put records applied units.
func Put(t testing.TB, l ledger.Ledger, us ...ledger.Unit) {
	t.Helper()
	leases := lease(t, l)
	for _, u := range us {
		u.Status, u.Attempts = ledger.Applied, 1
		if _, err := l.Claim(t.Context(), leases, []ledger.Unit{u}); err != nil {
			t.Fatalf("claim: %v", err)
		}
		if err := l.Settle(t.Context(), "worker-1", leases, nil, []ledger.Settlement{{Unit: u, Attempt: true}}); err != nil {
			t.Fatalf("settle: %v", err)
		}
	}
}

func lease(t testing.TB, l ledger.Ledger) []ledger.Lease {
	t.Helper()
	held, _, err := l.Lease(t.Context(), "odoo", "worker-1", time.Minute)
	if err != nil || len(held) != broker.Partitions {
		t.Fatalf("lease: %d partitions, %v", len(held), err)
	}
	return held
}

// A Stage is a ledger, a server in front of it and what they wrote.
type Stage struct {
	Ledger ledger.Ledger
	URL    string
	Log    *Buffer
	Meters *ops.Telemetry
	Rates  chan float64 // with which replays were started

	// Refuse are units that the target refuses again.
	Refuse map[string]bool
	// Gate, if not nil, yields once for each item that may be carried out.
	Gate chan struct{}
}

// Serve starts the API over l. Replays are carried out at once, as by a worker
// whose target accepts everything but Refuse.
func Serve(t testing.TB, l ledger.Ledger, edit func(*Stage)) *Stage {
	t.Helper()
	s := &Stage{Ledger: l, Log: &Buffer{}, Rates: make(chan float64, 16), Refuse: map[string]bool{}}
	if edit != nil {
		edit(s)
	}
	log, err := ops.NewLogger(s.Log, "debug", "json")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	if s.Meters, err = ops.NewTelemetry(ctx, ops.TelemetryConfig{Service: "vagus-worker", Log: log}); err != nil {
		t.Fatal(err)
	}
	var running sync.WaitGroup
	begun := func(id string) {
		running.Go(func() {
			if err := s.carryOut(ctx, id); err != nil && ctx.Err() == nil {
				t.Errorf("carry out replay: %v", err)
			}
		})
	}
	api := ops.NewAPI(ops.APIConfig{
		Service: "vagus-worker", Ledger: starting{l, s.Rates, begun}, Log: log, Now: func() time.Time { return Now },
		Targets: func(context.Context) ([]ops.TargetStatus, error) {
			return []ops.TargetStatus{{Target: "odoo", Breaker: "closed"}}, nil
		},
	})
	srv, err := ops.NewServer(ctx, ops.ServerConfig{
		Addr: "127.0.0.1:0", API: api, Metrics: s.Meters.Metrics, Log: log,
		Tokens: []ops.Token{{Name: TokenName, Secret: broker.NewSecret(Secret)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.URL = "http://" + srv.Addr()
	ended := make(chan error, 1)
	go func() { ended <- srv.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		running.Wait()
		if err := errors.Join(<-ended, s.Meters.Shutdown(context.Background())); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	return s
}

// starting tells of the replays that are started through it.
type starting struct {
	ledger.Ledger
	rates chan<- float64
	begun func(id string) // the first time
}

func (l starting) StartReplay(ctx context.Context, id string, rate float64) error {
	r, err := l.Replay(ctx, id)
	if err == nil {
		err = l.Ledger.StartReplay(ctx, id, rate)
	}
	if err != nil {
		return err
	}
	l.rates <- rate
	if !r.Running {
		l.begun(id)
	}
	return nil
}

func (s *Stage) carryOut(ctx context.Context, id string) error {
	items, err := s.Ledger.ReplayItems(ctx, id, 0, 1000, true)
	if err != nil {
		return err
	}
	for _, it := range items {
		if s.Gate != nil {
			select {
			case <-s.Gate:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if _, err := s.Ledger.Requeue(ctx, id, it.Unit); err != nil {
			return err
		}
	}
	leases, _, err := s.Ledger.Lease(ctx, "odoo", "worker-1", time.Minute)
	if err != nil {
		return err
	}
	for {
		due, err := s.Ledger.Due(ctx, leases, 100)
		if err != nil || len(due) == 0 {
			return err
		}
		var done []ledger.Settlement
		for _, u := range due {
			u.Attempts++
			u.SettledAt = Now
			u.Status, u.Class, u.Reason, u.Hold, u.NextAttempt = ledger.Applied, "", "", false, time.Time{}
			if s.Refuse[u.ID] {
				u.Status, u.Class, u.Reason = ledger.Dead, "odoo.ValidationError", "the target refuses a value of res.partner"
			}
			done = append(done, ledger.Settlement{Unit: u, Attempt: true})
		}
		if err := s.Ledger.Settle(ctx, "worker-1", leases, nil, done); err != nil {
			return err
		}
	}
}

// Client returns a client that may do everything.
func (s *Stage) Client(t testing.TB) *ops.Client {
	t.Helper()
	c, err := ops.NewClient(s.URL, broker.NewSecret(Secret), "mona")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// NoCanary fails the test if what was written holds the canary, as text or as
// base64 at any alignment.
func NoCanary(t testing.TB, where string, written []byte) {
	t.Helper()
	forms := []string{Canary, strings.ToLower(Canary)}
	for shift := range 3 {
		b64 := base64.StdEncoding.EncodeToString([]byte("xx"[:shift] + Canary))
		forms = append(forms, b64[4:len(b64)-4])
	}
	for _, f := range forms {
		if bytes.Contains(written, []byte(f)) {
			t.Errorf("%s holds the content of a message", where)
		}
	}
}

// A Buffer is written to by many.
type Buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

// String returns what was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
