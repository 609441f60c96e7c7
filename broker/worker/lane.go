package worker

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/sony/gobreaker/v2"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

const (
	handBytes  = 64 << 20        // bodies in hand
	windowMax  = 4096            // units in hand, and those settled before an earlier one of their partition
	duePoll    = time.Second     // while keys wait
	duePollFar = 2 * time.Second // while none is known to: a person may ask for a replay
	ledgerCall = 10 * time.Second
	streamCall = 2 * time.Second
	settleWait = 10 * time.Millisecond // for more outcomes, while calls are under way
)

// A lane delivers to one target. All fields below loop belong to the goroutine
// of run, but those that say otherwise.
type lane struct {
	target  string
	worker  string
	cfg     TargetConfig
	grace   time.Duration
	js      jetstream.JetStream
	ledger  ledger.Ledger
	log     *slog.Logger
	tracer  tracer
	metrics *laneMetrics
	events  *events
	keeper  *keeper
	breaker *gobreaker.CircuitBreaker[[]broker.Outcome]

	mu      sync.Mutex // guards what follows, which others see too
	running map[*chunk]struct{}
	status  TargetStatus
	recent  tally // of outcomes recorded

	// loop
	parts    map[int]*partition
	draining map[int]int // calls under way with units of a partition, by number: also of its lost predecessors
	dirty    bool        // the leases may have changed, or what they wait for
	leaving  int         // partitions that are given back as soon as nothing of them is in hand
	reader   *reader
	reread   bool // the partitions that the reader reads are not the right ones

	byID      map[string]*item // in hand
	most      int              // from the stream that may be in hand now: see pace
	size      int              // live units in one call now: see fit
	hand      int              // of byID, those from the stream
	handOf    [tracks]int      // of hand, by lane
	bytesOf   [tracks]int      // of their bodies
	asideOf   [tracks]int      // put aside
	asideAll  int
	fetching  bool
	fetchTurn track
	shares    *shares
	limiter   *limiter
	liveAt    time.Time // the last live unit came
	appliedOf [tracks]uint64
	windowed  int                // units in all windows
	heldKeys  int                // in all partitions, when it was last published
	stalled   *item              // read, but an item with its id is in hand
	unclaimed []*item            // in hand, the ledger does not know yet
	queues    map[string][]*item // by key: what is to be applied, in order; the first may be under way
	newOf     [tracks]int        // of them
	ready     [tracks][]*item    // firsts of their queues
	trouble   [tracks][]*item    // firsts of their queues that failed before
	decided   []*item            // to be settled
	decidedAt time.Time          // the first of them
	moved     map[*partition]struct{}
	passed    map[*partition]struct{} // messages that mean nothing to them; their cursors move when others do

	results  chan *chunk
	inFlight int
	slow     int // of them, of lanes other than live
	fetched  chan *fetched
	probed   chan error
	probing  bool

	dueAt     time.Time // next look for due units
	heldAt    time.Time // next look for held keys
	heldStale bool
	probeAt   time.Time
	probes    *pauses
	retryAt   time.Time // nothing of the ledger or stream before: they failed
	retries   *pauses
	lastOK    time.Time // start of the last Apply that answered
	problem   string    // last trouble of ledger or stream that was logged
	illness   string    // and of the target
	flip      bool      // with one slot: it is the turn of those that failed
	published time.Time // the snapshot for others
	outdated  bool      // it is
}

func newLane(w *Worker, target string, cfg TargetConfig, m *laneMetrics, ev *events) *lane {
	log := w.log.With("target", target)
	l := &lane{target: target, worker: w.id, cfg: cfg, grace: w.cfg.Grace, js: w.js, ledger: w.ledger, log: log,
		tracer: tracer{w.cfg.Tracer}, metrics: m, events: ev,
		keeper:  newKeeper(w.ledger, target, w.id, w.cfg.LeaseTTL, log),
		running: map[*chunk]struct{}{}, parts: map[int]*partition{}, draining: map[int]int{},
		byID: map[string]*item{}, queues: map[string][]*item{}, moved: map[*partition]struct{}{}, passed: map[*partition]struct{}{},
		most: min(cfg.Take, 64), size: cfg.Batch,
		results: make(chan *chunk, cfg.Concurrency), probed: make(chan error, 1), fetched: make(chan *fetched, 1),
		shares: newShares(cfg.Lanes), limiter: newLimiter(cfg.Concurrency),
		probes:  exponential(cfg.Breaker.ProbeMin, cfg.Breaker.ProbeMax),
		retries: exponential(50*time.Millisecond, 2*time.Second),
	}
	l.keeper.onLost = l.cancelLost
	l.breaker = gobreaker.NewCircuitBreaker[[]broker.Outcome](gobreaker.Settings{
		Name: target, Timeout: cfg.Breaker.ProbeMin / 2, // the lane's own timer says when to probe
		ReadyToTrip:   func(c gobreaker.Counts) bool { return int(c.ConsecutiveFailures) >= cfg.Breaker.Failures },
		IsExcluded:    func(err error) bool { return errors.Is(err, errWithdrawn) },
		OnStateChange: l.breakerChanged,
	})
	l.status = TargetStatus{Target: target, Breaker: gobreaker.StateClosed.String(), BreakerSince: time.Now()}
	return l
}

// pauses are times that double, each by a random fifth more or less. Their chance comes from
// crypto/rand, which a test can make repeat itself.
type pauses struct{ backoff.ExponentialBackOff }

func exponential(lo, hi time.Duration) *pauses {
	return &pauses{backoff.ExponentialBackOff{InitialInterval: lo, MaxInterval: hi, Multiplier: 2}}
}

// NextBackOff returns the next pause.
func (p *pauses) NextBackOff() time.Duration {
	var chance [4]byte
	_, _ = rand.Read(chance[:])
	d := p.ExponentialBackOff.NextBackOff()
	return d - d/5 + time.Duration(float64(d)/2.5*float64(binary.NativeEndian.Uint32(chance[:]))/(1<<32))
}

// run delivers until ctx is done and ends in an orderly way.
func (l *lane) run(ctx context.Context) {
	work, stop := context.WithCancel(context.WithoutCancel(ctx)) // outlives ctx by the grace
	defer stop()
	keep, stopKeeper := context.WithCancel(work)
	var keeping sync.WaitGroup
	keeping.Go(func() { l.keeper.run(keep) })
	keeping.Go(func() { l.learnPromise(keep) })
	for ctx.Err() == nil {
		l.step(ctx, work)
	}
	l.finish(work, func() {
		stopKeeper()
		keeping.Wait()
	})
}

// step is one turn of the loop. It takes what is there and waits only if it
// found nothing to do.
func (l *lane) step(ctx, work context.Context) {
	l.adopt(ctx)
	l.take(ctx)
	l.fetch(ctx)
	l.takeDue(ctx)
	l.claim(ctx)
	l.dispatch(work)
	l.settle(ctx)
	l.refreshHeld(ctx)
	if !l.mayClaim() && !l.moreRead() { // else the next turn calls with these together
		l.dispatch(work) // what the settled ones let go
	}
	l.probe(work)
	l.publish()
	l.wait(ctx)
}

// wait returns when there may be something to do.
func (l *lane) wait(ctx context.Context) {
	now := time.Now()
	next := now.Add(duePollFar)
	earlier := func(t time.Time) {
		if t.Before(next) {
			next = t
		}
	}
	if l.mayTakeDue() {
		earlier(l.dueAt)
	}
	if !l.probing && l.breaker.State() != gobreaker.StateClosed {
		earlier(l.probeAt)
	}
	if l.heldStale && len(l.decided) == 0 && l.keeper.fresh() { // as refreshHeld does
		earlier(l.heldAt)
	}
	if !l.decidedAt.IsZero() {
		earlier(l.decidedAt.Add(settleWait))
	}
	if l.outdated {
		earlier(l.published.Add(publishEvery))
	}
	if l.pendingLedger() {
		next = now
	}
	if now.Before(l.retryAt) && !next.After(l.retryAt) {
		next = l.retryAt
	}
	var units <-chan *item
	if l.reader != nil && l.room() && l.working() {
		units = l.reader.units
	}
	timer := time.NewTimer(max(time.Until(next), 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	case <-l.keeper.changed:
		l.dirty = true
	case it, ok := <-units:
		if ok {
			l.accept(it)
		} else {
			l.readerEnded(ctx)
		}
	case c := <-l.results:
		l.returned(c)
	case err := <-l.probed:
		l.probeReturned(err)
	case f := <-l.fetched:
		l.cameBack(ctx, f)
	}
	for more := true; more; {
		select {
		case c := <-l.results:
			l.returned(c)
		case <-l.keeper.changed:
			l.dirty = true
		default:
			more = false
		}
	}
}

// pendingLedger says whether a call of the ledger or the stream is wanted now.
func (l *lane) pendingLedger() bool {
	return l.dirty || l.reread && l.leaving == 0 || l.mayClaim() || l.maySettle()
}

// moreRead says whether the reader has units that may be taken now.
func (l *lane) moreRead() bool {
	return l.reader != nil && len(l.reader.units) > 0 && l.room() && l.working()
}

// calls is how many calls of Apply may be under way: of what the target takes,
// the part that this worker's partitions are. All workers together stay
// within it, unless they are more than it. What was learned of the target may make it fewer.
func (l *lane) calls() int {
	return max(min(l.cfg.Concurrency*len(l.parts)/broker.Partitions, l.limiter.calls()), 1)
}

// working says whether the lane takes work.
func (l *lane) working() bool { return l.breaker.State() == gobreaker.StateClosed }

// adopt drops what was lost, prepares what was gained, and gives back what is
// over the fair share and no longer in hand.
func (l *lane) adopt(ctx context.Context) {
	if !l.dirty && (!l.reread || l.leaving > 0) || l.waiting() {
		return
	}
	l.dirty = false
	held, share := l.keeper.snapshot()
	for no, p := range l.parts {
		if p.lost.Load() {
			l.drop(p)
			delete(l.parts, no)
			l.reread = true
		}
	}
	var gained, leaving []*partition
	staying := 0
	for _, p := range held {
		switch {
		case l.parts[p.no] != nil && p.leaving:
			leaving = append(leaving, p)
		case l.parts[p.no] != nil:
			staying++
		case l.draining[p.no] == 0: // else: a call of its predecessor is under way; returned looks again
			gained = append(gained, p)
		}
	}
	if err := l.prepare(ctx, gained); err != nil {
		l.failed(ctx, "a partition can not be taken up", err)
		l.dirty = true
		return
	}
	staying += len(gained)
	for _, p := range l.shedding() {
		if staying <= share {
			break
		}
		if !p.leaving {
			p.leaving = true
			leaving = append(leaving, p)
			staying--
		}
	}
	var back []*partition
	for _, p := range leaving {
		if settledBeginning(p.window) == len(p.window) && !l.inHand(p) { // what it passed may be left in it
			back = append(back, p)
			l.drop(p)
			delete(l.parts, p.no)
			l.reread = true
		}
	}
	if len(back) > 0 {
		atLeaving.Hit()
		l.keeper.release(ctx, back)
	}
	l.leaving = len(leaving) - len(back)
	if s, ok := l.cfg.Target.(broker.Sharer); ok {
		s.Share(len(l.parts), broker.Partitions)
	}
	l.published = time.Time{} // now
	l.metrics.partitions.Store(int64(len(l.parts)))
	if l.leaving == 0 && l.reread {
		if err := l.read(ctx); err != nil {
			l.failed(ctx, "the stream can not be read", err)
		}
	}
}

// shedding returns the partitions in the order in which the lane gives them up. It is another one for each
// worker: those that share do not shed the same ones.
func (l *lane) shedding() []*partition {
	lot := func(p *partition) uint32 {
		h := fnv.New32a()
		_, _ = io.WriteString(h, l.worker+strconv.Itoa(p.no))
		return h.Sum32()
	}
	return slices.SortedFunc(maps.Values(l.parts), func(a, b *partition) int { return cmp.Compare(lot(a), lot(b)) })
}

func (l *lane) inHand(p *partition) bool {
	for _, it := range l.byID {
		if it.p == p {
			return true
		}
	}
	return l.draining[p.no] > 0
}

// prepare loads what the lane must know of partitions before it takes units of
// them.
func (l *lane) prepare(ctx context.Context, gained []*partition) error {
	if len(gained) == 0 {
		return nil
	}
	call, cancel := context.WithTimeout(ctx, ledgerCall)
	defer cancel()
	if err := l.loadHeld(call, gained); err != nil {
		return err
	}
	if !l.js.Conn().IsConnected() { // a question would wait for the time-out
		return nats.ErrDisconnected
	}
	look, done := context.WithTimeout(call, streamCall)
	st, err := l.js.Stream(look, stream.Units)
	done()
	if err != nil {
		return fmt.Errorf("look into %s: %w", stream.Units, err)
	}
	// Nearly always there is nothing for all partitions, and then none has to ask.
	_, err = l.get(call, getRequest{Seq: 1, NextFor: stream.PartitionFilter(l.target, broker.Everywhere)})
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return err
	}
	wide := err == nil
	for _, p := range gained {
		if err := l.resume(call, st.CachedInfo(), p, wide); err != nil {
			return err
		}
	}
	for _, p := range gained {
		l.parts[p.no] = p
	}
	l.reread = true
	l.dueAt = time.Now()
	return nil
}

// read starts a reader for the partitions that the lane has now, in place of
// the one before.
func (l *lane) read(ctx context.Context) error {
	if l.reader != nil {
		l.reader.close()
		l.reader = nil
	}
	if len(l.parts) == 0 {
		l.reread = false
		return nil
	}
	from, numbers := ^uint64(0), make([]int, 0, len(l.parts))
	for _, p := range l.parts {
		from = min(from, max(p.next, p.taken+1))
		numbers = append(numbers, p.no)
	}
	l.stalled = nil // it is read again
	var err error
	l.reader, err = startReader(ctx, l.js, l.target, numbers, from)
	l.reread = err != nil
	for _, p := range l.parts {
		p.reader = l.reader
	}
	return err
}
