// Package worker is the delivery loop: it takes units from the UNITS stream,
// applies them to their targets in the order of their keys, and records what
// became of each in the ledger.
//
// # One lane per target
//
// Each target has a lane of its own: its own leases, reader, breaker and loop.
// Nothing of one target waits for another. A lane is one goroutine that owns
// all its state; beside it run a reader that decodes ahead, a keeper that
// renews the leases, and at most Concurrency calls of the target.
//
// A unit goes through these steps:
//
//	read ─▶ claim ─▶ first of its key? ─▶ Apply ─▶ settle (outcome and cursor, one transaction)
//
// # Lanes within a target
//
// Within a target's lane the lanes of [broker.Lanes] share its calls by weight:
// of two that have units waiting each gets its part, and what one does not
// use the others have. While live units come, the others leave one call free for them, and
// where there is only one, make it a quarter as long. Live units go through in the order of the
// stream; others that find their part of the hand full are put aside (aside.go), so
// that a backlog of them stands in nobody's way.
//
// The lanes have one lease, one cursor and one reader: the partition stays the one place
// where the order of a key is kept, also of a key with units in two lanes. A
// lease and a cursor for each lane would be simpler to read, but two workers could then
// have one key in hand.
//
// A unit with several keys is one message (subject of [broker.Everywhere]) that the lanes
// of all partitions read. Those of its keys' partitions park it, or a gate
// in its place, when its turn in that key has come; the ledger gives it back when it is first in all.
//
// # What is promised
//
//   - Progress is in the ledger only. Nothing is acknowledged anywhere else, so
//     what is dropped in the middle is simply read again.
//   - A unit is not asked of the target before the outcome of its key's earlier
//     unit is in the ledger: neither a crash nor another worker ever takes a key
//     back behind what was recorded.
//   - A unit with several keys is asked of the target when it is first in all of
//     them, whichever workers have their partitions, and nothing later of any of them
//     is before its outcome. Between workers each step takes as long as the next look into the
//     ledger, a second at most. (Only what an operator replays after it was let go past, because
//     of on_dead_letter: continue, may be under way beside such a unit.)
//   - A worker that may have lost a partition stops touching it: leases are
//     checked against two clocks right before each call, calls under way are
//     cancelled when they run out, and the ledger refuses what comes too late. What
//     a call already sent can not be recalled; therefore targets are idempotent.
//   - A unit that waits for what another is to bring is parked as well, but uses
//     up no attempts: what counts is how long it has waited.
//   - A target's Concurrency holds for all its workers together: each makes the
//     part of the calls that its partitions are, one at least. For a moment
//     after partitions changed hands it may be exceeded.
//   - A unit that fails is parked, and so are the later units of its key; other
//     keys go on. A target that fails as a whole (Apply returns an error) opens
//     the breaker: the lane takes no work and burns no attempts until
//     Target.Check says that it is well. When a target serves others but errs
//     on one unit each time, that unit is found by calling with ever fewer,
//     and parked like one that the target asked to retry.
package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// Config is a worker's settings. Name and Targets are required.
type Config struct {
	// Name is for people: it stands in histories, logs and events. Each run of
	// a worker adds its own suffix, so that a process which is restarted under its
	// old name never shares a lease with one that was only paused.
	Name    string
	Targets map[string]TargetConfig // by the target's name in units

	LeaseTTL time.Duration // 0 means 3 s
	Grace    time.Duration // how long a stop waits for calls under way; 0 means 10 s

	// Remap asks a unit's site to map its message again, for replays; request
	// is the same for the same replay. nil leaves such items of a replay pending.
	Remap      func(ctx context.Context, u ledger.Unit, request string) error
	ReplayRate float64 // units a second that a replay requeues which was started without a rate; 0 means 50

	Logger *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

// TargetConfig is one target's settings. Target is required.
type TargetConfig struct {
	Target       broker.Target
	Batch        int            // units in one Apply; 0 means 100, and up to 900 while live ones alone wait and calls end soon
	Concurrency  int            // Apply calls at once, of all workers of the target together, but at least one of each; 0 means 2
	Take         int            // live units in hand at most; 0 means 512, or two of the largest Apply. Each other lane has a third of that beside
	Lanes        map[string]int // weight of each of broker.Lanes; what is missing has its default: live 8, bulk 2, replay 1, synthetic 1
	ApplyTimeout time.Duration  // of one Apply; 0 means 60 s

	// A unit that is to be retried waits RetryMin (0: 2 s), then twice as long
	// each time up to RetryMax (0: 1 h), a fifth more or less. After MaxAttempts
	// (0: 35, with the other defaults about a day; negative: never) it is dead.
	RetryMin    time.Duration
	RetryMax    time.Duration
	MaxAttempts int

	// A unit that waits for what another is to bring (broker.Deferred) uses up no
	// attempts. It waits as long again as it has waited, from RetryMin up to
	// a quarter of an hour, and after DeferFor (0: 7 days; negative: never) it is dead.
	DeferFor time.Duration

	Breaker BreakerConfig

	largest int // units in one Apply
}

// BreakerConfig says when a target counts as unwell and how often it is asked
// whether it is better.
type BreakerConfig struct {
	Failures int           // Apply errors in a row that open it; 0 means 3
	ProbeMin time.Duration // first wait before a probe; 0 means 1 s
	ProbeMax time.Duration // the wait doubles up to this; 0 means 30 s
}

// Worker delivers units. Its methods are safe for concurrent use.
type Worker struct {
	cfg    Config
	js     jetstream.JetStream
	ledger ledger.Ledger
	log    *slog.Logger
	id     string // Name and this run's suffix
	lanes  []*lane

	replaying atomic.Int64
}

// New returns a worker; nothing runs before Run. The connection of js must be
// allowed to read UNITS and to publish to event.>.
func New(js jetstream.JetStream, l ledger.Ledger, cfg Config) (*Worker, error) {
	var errs []error
	if cfg.Name == "" || len(cfg.Name) > 64 {
		errs = append(errs, errors.New("worker: name is missing or longer than 64 characters"))
	}
	if len(cfg.Targets) == 0 {
		errs = append(errs, errors.New("worker: no targets"))
	}
	for name, t := range cfg.Targets {
		errs = append(errs, stream.CheckToken("target", name))
		if t.Target == nil {
			errs = append(errs, fmt.Errorf("worker: target %s has no implementation", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	cfg.LeaseTTL = cmp.Or(cfg.LeaseTTL, 3*time.Second)
	cfg.Grace = cmp.Or(cfg.Grace, 10*time.Second)
	cfg.ReplayRate = cmp.Or(cfg.ReplayRate, 50)
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Tracer == nil {
		cfg.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if cfg.Meter == nil {
		cfg.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	w := &Worker{cfg: cfg, js: js, ledger: l, log: cfg.Logger, id: cfg.Name + "/" + strings.ToLower(rand.Text()[:8])}
	m, err := newMetrics(cfg.Meter, w)
	if err != nil {
		return nil, fmt.Errorf("worker: %w", err)
	}
	ev := newEvents(js.Conn(), cfg.Name, m)
	for name, t := range cfg.Targets {
		if t.largest = t.Batch; t.Batch <= 0 {
			t.Batch, t.largest = 100, 900
		}
		t.Concurrency = cmp.Or(max(t.Concurrency, 0), 2)
		t.Take = cmp.Or(max(t.Take, 0), max(512, 2*t.largest))
		t.ApplyTimeout = cmp.Or(t.ApplyTimeout, time.Minute)
		t.RetryMin = cmp.Or(t.RetryMin, 2*time.Second)
		t.RetryMax = max(cmp.Or(t.RetryMax, time.Hour), t.RetryMin)
		t.MaxAttempts = cmp.Or(t.MaxAttempts, 35)
		t.DeferFor = cmp.Or(t.DeferFor, 7*24*time.Hour)
		t.Breaker.Failures = cmp.Or(max(t.Breaker.Failures, 0), 3)
		t.Breaker.ProbeMin = cmp.Or(t.Breaker.ProbeMin, time.Second)
		t.Breaker.ProbeMax = max(cmp.Or(t.Breaker.ProbeMax, 30*time.Second), t.Breaker.ProbeMin)
		w.lanes = append(w.lanes, newLane(w, name, t, m.forTarget(name), ev))
	}
	slices.SortFunc(w.lanes, func(a, b *lane) int { return strings.Compare(a.target, b.target) })
	return w, nil
}

// Run delivers until ctx is done; then it takes nothing more, finishes the
// calls under way, records their outcomes, gives its leases back and returns
// nil. What it can not reach (stream, ledger, target) it tries again for ever.
func (w *Worker) Run(ctx context.Context) error {
	var lanes, rest sync.WaitGroup
	aside, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	rest.Go(func() { w.lanes[0].events.run(aside) })
	rest.Go(func() { w.replays(ctx) })
	for _, l := range w.lanes {
		lanes.Go(func() { l.run(ctx) })
	}
	lanes.Wait()
	stop()
	rest.Wait()
	return nil
}
