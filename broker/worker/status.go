package worker

import (
	"context"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// TargetStatus is what this worker knows about one target.
type TargetStatus struct {
	Target       string
	Promise      string // how units have one effect, see broker.Promiser; "" while it is not known
	Breaker      string // "closed", "half-open" or "open"
	BreakerSince time.Time
	Problem      string         // class of the last error while the target was unwell, or, where it has none, what it says; or ""
	Partitions   int            // held by this worker
	InHand       int            // units taken and not settled
	HeldKeys     int            // keys whose units wait, in these partitions
	Backlog      uint64         // units of these partitions in the stream that are not in hand
	Oldest       time.Time      // ReceivedAt of the oldest unit in hand, or zero
	LastApplied  time.Time      // since this worker runs, or zero
	Settled      uint64         // outcomes recorded since this worker runs
	Rate         float64        // of them a second, over the last ten
	Calls        int            // at once, that this worker makes at most, by what it learned of the target
	CallsMax     int            // of all workers, by the settings
	Lanes        []LaneStatus   // in the order of broker.Lanes; those that had no unit yet are missing
	Bounds       []broker.Bound // a new slice each time
}

// LaneStatus is one lane of a target, as this worker knows it.
type LaneStatus struct {
	Lane    string
	Weight  int
	Waiting int    // units in hand and put aside; what was not read yet is in Backlog only
	Aside   int    // of them, those put aside
	Applied uint64 // since this worker runs
}

// Status returns a snapshot of each target, sorted by name.
func (w *Worker) Status() []TargetStatus {
	out := make([]TargetStatus, 0, len(w.lanes))
	for _, l := range w.lanes {
		out = append(out, l.snapshot())
	}
	return out
}

func (l *lane) snapshot() TargetStatus {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.status
	if p, ok := l.cfg.Target.(broker.Promiser); ok {
		s.Promise = p.Promise()
	}
	s.Rate = l.recent.perSecond(time.Now())
	s.Lanes = slices.Clone(s.Lanes)
	return s
}

// learnPromise asks a target until it is known how it keeps its promise, so that the
// status says so before the first unit comes. What is wrong with the target is
// told when there are units for it.
func (l *lane) learnPromise(ctx context.Context) {
	p, ok := l.cfg.Target.(broker.Promiser)
	pause := exponential(l.cfg.Breaker.ProbeMin, l.cfg.Breaker.ProbeMax)
	for ok && p.Promise() == "" && ctx.Err() == nil {
		call, cancel := context.WithTimeout(ctx, min(l.cfg.ApplyTimeout, 10*time.Second))
		err := checkSafely(call, l.cfg.Target)
		cancel()
		if err == nil && p.Promise() != "" {
			return
		}
		select {
		case <-time.After(pause.NextBackOff()):
		case <-ctx.Done():
		}
	}
}

// A tally counts by the second what happened in the last ten.
type tally struct {
	second [10]int64 // since 1970
	n      [10]uint64
}

func (t *tally) add(now time.Time, n int) {
	s := now.Unix()
	i := s % int64(len(t.n))
	if t.second[i] != s {
		t.second[i], t.n[i] = s, 0
	}
	t.n[i] += uint64(n)
}

func (t *tally) perSecond(now time.Time) float64 {
	var sum uint64
	for i, s := range t.second {
		if age := now.Unix() - s; age >= 0 && age < int64(len(t.n)) {
			sum += t.n[i]
		}
	}
	return float64(sum) / float64(len(t.n))
}

const publishEvery = 100 * time.Millisecond

// publish brings the snapshot up to date.
func (l *lane) publish() {
	now := time.Now()
	if now.Sub(l.published) < publishEvery {
		l.outdated = true
		return
	}
	l.published, l.outdated = now, false
	var oldest time.Time
	waiting := l.asideOf
	for _, it := range l.byID {
		waiting[it.track]++
		if oldest.IsZero() || it.row.ReceivedAt.Before(oldest) {
			oldest = it.row.ReceivedAt
		}
	}
	held, backlog := 0, uint64(0)
	for _, p := range l.parts {
		held += len(p.held)
	}
	if l.reader != nil {
		backlog = l.reader.pending.Load() + uint64(len(l.reader.units))
	}
	backlog += uint64(l.asideAll)
	calls := l.calls()
	l.heldKeys = held
	bounds := l.bounds()
	var lanes []LaneStatus
	for t, name := range broker.Lanes {
		if waiting[t] > 0 || l.appliedOf[t] > 0 {
			lanes = append(lanes, LaneStatus{name, l.shares.weight[t], waiting[t], l.asideOf[t], l.appliedOf[t]})
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	s := &l.status
	s.Lanes, s.Bounds = lanes, bounds
	s.Calls, s.CallsMax = calls, l.cfg.Concurrency
	s.Partitions, s.InHand, s.HeldKeys, s.Backlog, s.Oldest = len(l.parts), len(l.byID), held, backlog, oldest
}
