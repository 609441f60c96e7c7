package worker

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// maxProblem bounds, in bytes, what the status says of a target's error.
const maxProblem = 300

// alone is how often a call must have failed before each of its units is tried
// by itself.
const alone = 2

// errWithdrawn ends a call because its leases were lost or the worker stops: the
// target is not to blame.
var errWithdrawn = errors.New("call withdrawn")

// A targetError is an error of Apply with its class for the ledger.
type targetError struct {
	class string
	err   error
}

func (e *targetError) Error() string { return e.err.Error() }
func (e *targetError) Unwrap() error { return e.err }

// A chunk is one call of Apply.
type chunk struct {
	items    []*item
	track    track
	cancel   context.CancelCauseFunc
	began    time.Time
	took     time.Duration
	outcomes []broker.Outcome
	err      error
}

// dispatch starts calls while there are units and slots. Units that failed
// before have a slot of their own, so that a slow one delays no others.
func (l *lane) dispatch(work context.Context) {
	calls := l.calls()
	for l.inFlight < calls && l.working() && l.keeper.fresh() && work.Err() == nil {
		troubled := 0
		l.mu.Lock()
		for c := range l.running {
			if c.items[0].due || c.items[0].errs > 0 {
				troubled++
			}
		}
		l.mu.Unlock()
		var wants, may [tracks]bool
		for t := range tracks {
			mayTrouble := len(l.trouble[t]) > 0 && troubled < max(calls-1, 1)
			wants[t] = len(l.ready[t]) > 0 || mayTrouble
			may[t] = wants[t] && l.mayServe(track(t)) && (mayTrouble || !l.gathers(track(t)))
		}
		t, ok := l.shares.next(wants, may)
		if !ok {
			return
		}
		size := l.cfg.Batch
		switch {
		case t == live:
			size = l.size
		case calls == 1 && l.spared():
			size = max(size/4, 1) // what comes live waits for this call
		}
		c := &chunk{track: t}
		if mayTrouble := len(l.trouble[t]) > 0 && troubled < max(calls-1, 1); mayTrouble && (len(l.ready[t]) == 0 || calls > 1 || l.flip) {
			c.items = l.cut(&l.trouble[t], size)
			l.flip = false
		} else {
			c.items = l.cut(&l.ready[t], size)
			l.flip = true
		}
		if len(c.items) > 0 {
			l.shares.served(t, len(c.items))
			l.start(work, c)
		}
	}
}

// mayServe says whether a lane leaves live units their call.
func (l *lane) mayServe(t track) bool {
	return t == live || l.slow < max(l.calls()-1, 1) || !l.spared()
}

// gathers says whether a lane leaves its units for a fuller call: more of them are read, or they are in the stream and a
// call is under way.
func (l *lane) gathers(t track) bool {
	return t == live && len(l.ready[live]) < l.size && l.handOf[live] == l.hand && l.asideAll == 0 &&
		(l.moreRead() || l.inFlight > 0 && l.reader != nil && l.reader.pending.Load() > 0 && l.room())
}

// fit fits the size of calls to how long one takes: what a call costs by itself is shared by all its units, and
// a backlog fills the largest. A unit that comes while they are under way waits for them, so they must end soon.
func (l *lane) fit(c *chunk) {
	switch long := l.cfg.ApplyTimeout / 12; {
	case c.err != nil:
		l.size = l.cfg.Batch
	case c.took > long:
		l.size = max(l.size/2, l.cfg.Batch)
	case len(c.items) >= l.size && c.took < long/3:
		l.size = min(l.size*3, l.cfg.largest)
	}
}

// cut takes the units of the next call from the front of a list. Units that
// were in a call that failed are called with ever fewer others, until the one
// at fault stands alone.
func (l *lane) cut(list *[]*item, size int) []*item {
	errs := min((*list)[0].errs, alone)
	switch errs {
	case 1:
		size = max(size/8, 1)
	case alone:
		size = 1
	}
	var taken, left []*item
	for i, it := range *list {
		if len(taken) == size {
			left = append(left, (*list)[i:]...)
			break
		}
		if it.p.lost.Load() { // drop comes
			continue
		}
		if min(it.errs, alone) == errs {
			taken = append(taken, it)
		} else {
			left = append(left, it)
		}
	}
	*list = left
	return taken
}

// start calls the target in a goroutine; returned hears of the end.
func (l *lane) start(work context.Context, c *chunk) {
	call, cancel := context.WithCancelCause(work)
	c.cancel, c.began = cancel, time.Now()
	units := make([]*broker.Unit, len(c.items))
	for i, it := range c.items {
		units[i], it.began = it.unit, c.began
		l.draining[it.p.no]++
	}
	l.mu.Lock()
	l.running[c] = struct{}{}
	l.mu.Unlock()
	l.inFlight++
	if c.track != live {
		l.slow++
	}
	go func() {
		defer cancel(nil)
		timed, stop := context.WithTimeout(call, l.cfg.ApplyTimeout)
		defer stop()
		c.outcomes, c.err = l.breaker.Execute(func() ([]broker.Outcome, error) {
			// The last look before the call: this goroutine may have been paused since start.
			if context.Cause(call) != nil || !l.mayApply(c) {
				return nil, errWithdrawn
			}
			atApplying.Hit()
			outcomes, err := applySafely(timed, l.cfg.Target, units)
			atApplied.Hit()
			if err != nil && errors.Is(context.Cause(call), errWithdrawn) {
				return nil, errWithdrawn
			}
			return outcomes, err
		})
		c.took = time.Since(c.began)
		l.results <- c
	}()
}

func (l *lane) mayApply(c *chunk) bool {
	for _, it := range c.items {
		if it.p.lost.Load() {
			return false
		}
	}
	return l.keeper.fresh()
}

// applySafely calls the target. A panic, and an answer that is not one outcome
// for each unit, are errors.
func applySafely(ctx context.Context, t broker.Target, units []*broker.Unit) (out []broker.Outcome, err error) {
	defer func() {
		if recover() != nil { // its value may quote a unit
			out, err = nil, &targetError{classPanic, fmt.Errorf("target panicked at %s", panickedAt())}
		}
	}()
	out, err = t.Apply(ctx, units)
	if err != nil {
		return nil, &targetError{classTarget, err}
	}
	if len(out) != len(units) {
		return nil, &targetError{classOutcomes, fmt.Errorf("target gave %d outcomes for %d units", len(out), len(units))}
	}
	return out, nil
}

// checkSafely asks the target whether it is well. A panic is an error.
func checkSafely(ctx context.Context, t broker.Target) (err error) {
	defer func() {
		if recover() != nil {
			err = &targetError{classPanic, fmt.Errorf("target panicked at %s", panickedAt())}
		}
	}()
	return t.Check(ctx)
}

// panickedAt names the function and line that panicked.
func panickedAt() string {
	var pcs [32]uintptr
	frames := runtime.CallersFrames(pcs[:runtime.Callers(3, pcs[:])])
	for {
		f, more := frames.Next()
		if !strings.HasPrefix(f.Function, "runtime.") {
			return fmt.Sprintf("%s:%d", f.Function, f.Line)
		}
		if !more {
			return "an unknown place"
		}
	}
}

// cancelLost withdraws the calls that hold units of lost partitions. The
// keeper calls it.
func (l *lane) cancelLost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for c := range l.running {
		for _, it := range c.items {
			if it.p.lost.Load() {
				c.cancel(errWithdrawn)
				break
			}
		}
	}
}

// returned takes a call's outcomes.
func (l *lane) returned(c *chunk) {
	l.mu.Lock()
	delete(l.running, c)
	l.mu.Unlock()
	l.inFlight--
	if c.track != live {
		l.slow--
	}
	for _, it := range c.items {
		if l.draining[it.p.no]--; l.draining[it.p.no] == 0 {
			delete(l.draining, it.p.no)
			l.dirty = l.dirty || l.parts[it.p.no] != it.p || it.p.leaving // adopt waits for it
		}
	}
	asked := c.err == nil
	if c.err != nil && !errors.Is(c.err, errWithdrawn) && !errors.Is(c.err, gobreaker.ErrOpenState) && !errors.Is(c.err, gobreaker.ErrTooManyRequests) {
		l.erred(c)
		return
	}
	if asked {
		l.metrics.chunk(len(c.items), c.took)
		l.limiter.answered(c.began, c.took, len(c.items), l.inFlight+1)
		l.fit(c)
		if c.began.After(l.lastOK) {
			l.lastOK = c.began
		}
		l.probes.Reset()
		l.illness = ""
	}
	for i, it := range c.items {
		if it.p.lost.Load() {
			continue
		}
		if !asked {
			l.runnable(it)
			continue
		}
		l.tracer.span(it, c, c.outcomes[i].Result.String(), c.outcomes[i].Class)
		l.concluded(it, c, c.outcomes[i])
	}
}

// erred deals with a call that gave no outcomes. Its units wait in hand, no
// attempt is counted. Only a unit that failed alone, while the target served
// others after its first failure, is itself to blame.
func (l *lane) erred(c *chunk) {
	class := classTarget
	var te *targetError
	if errors.As(c.err, &te) {
		class = te.class
	}
	l.metrics.count("error", int64(len(c.items)))
	l.limiter.failed(c.began, time.Now())
	l.fit(c)
	l.unwell(class, c.err)
	for _, it := range c.items {
		if it.p.lost.Load() {
			continue
		}
		l.tracer.span(it, c, "error", class)
		it.errs++
		if it.erredAt.IsZero() {
			it.erredAt = c.began
		}
		if len(c.items) == 1 && it.errs > alone && l.lastOK.After(it.erredAt) {
			l.concluded(it, c, broker.Outcome{Result: broker.Retry, Class: class,
				Reason: "the target gives an error whenever it is asked for this unit, and none for others"})
			continue
		}
		l.runnable(it)
	}
}

// concluded decides what becomes of a unit after one attempt.
func (l *lane) concluded(it *item, c *chunk, o broker.Outcome) {
	var s *ledger.Settlement
	switch o.Result {
	case broker.Applied:
		s = it.decide(ledger.Applied, true)
		s.Unit.Records = o.Records
		l.decided = append(l.decided, it)
	case broker.Rejected:
		l.decideDead(it, o.Class, o.Reason, true)
		s = it.outcome
	case broker.Deferred:
		s = l.deferred(it, o)
	default:
		attempts := it.row.Attempts + 1
		if l.cfg.MaxAttempts > 0 && attempts >= l.cfg.MaxAttempts {
			l.decideDead(it, o.Class, fmt.Sprintf("given up after %d attempts: %s", attempts, o.Reason), true)
			s = it.outcome
			break
		}
		s = it.decide(ledger.Parked, true)
		s.Unit.Class, s.Unit.Reason = o.Class, o.Reason
		s.Unit.NextAttempt = time.Now().Add(retryAfter(l.cfg, attempts))
		atParking.Hit()
		l.decided = append(l.decided, it)
		l.holdBehind(it)
	}
	if o.Warning != "" && !strings.Contains(it.row.Warning, o.Warning) {
		s.Unit.Warning = strings.TrimPrefix(it.row.Warning+"; "+o.Warning, "; ")
	}
	s.Took = c.took
}

// deferMax is the longest wait of a unit that waits for another. Many such units
// share a call, so it need not be long.
const deferMax = 15 * time.Minute

// deferred parks a unit that waits for what another is to bring. What counts is
// how long it has waited, not how often it was tried; its history has a line for each thing that it waits for.
func (l *lane) deferred(it *item, o broker.Outcome) *ledger.Settlement {
	now, since := time.Now(), it.row.WaitingSince
	again := !since.IsZero() && it.row.Class == o.Class && it.row.Reason == o.Reason
	if since.IsZero() {
		since = now
	}
	waited := now.Sub(since)
	if l.cfg.DeferFor > 0 && waited >= l.cfg.DeferFor {
		l.decideDead(it, o.Class, fmt.Sprintf("given up after %s: %s", waited.Round(time.Minute), o.Reason), true)
		return it.outcome
	}
	s := it.decide(ledger.Parked, true)
	s.Unit.Attempts, s.Unit.WaitingSince, s.Quiet = it.row.Attempts, since, again
	s.Unit.Class, s.Unit.Reason, s.Unit.Records = o.Class, o.Reason, o.Records
	next := min(max(waited, l.cfg.RetryMin), max(deferMax, l.cfg.RetryMin))
	if l.cfg.DeferFor > 0 {
		next = min(next, l.cfg.DeferFor-waited)
	}
	s.Unit.NextAttempt = now.Add(next)
	atDeferred.Hit()
	l.decided = append(l.decided, it)
	l.holdBehind(it)
	return s
}

// retryAfter is how long a unit waits after its n-th attempt.
func retryAfter(cfg TargetConfig, n int) time.Duration {
	b := exponential(cfg.RetryMin, cfg.RetryMax)
	for range min(n, 64) - 1 {
		b.NextBackOff()
	}
	return min(b.NextBackOff(), cfg.RetryMax)
}

// breakerChanged is called by the breaker, with its lock held.
func (l *lane) breakerChanged(_ string, from, to gobreaker.State) {
	l.mu.Lock()
	l.status.Breaker, l.status.BreakerSince = to.String(), time.Now()
	if to == gobreaker.StateClosed {
		l.status.Problem = ""
	}
	l.mu.Unlock()
	l.metrics.breaker.Store(int64(to))
	if to == gobreaker.StateHalfOpen || from == gobreaker.StateHalfOpen && to == gobreaker.StateOpen {
		return // a probe, or one that failed
	}
	l.log.Warn("breaker changed", "from", from.String(), "to", to.String())
}

// probe asks the target whether it is well, when the breaker is open and the
// time has come. Each probe that fails doubles the wait for the next; so does a
// target that answers probes and then fails again.
func (l *lane) probe(work context.Context) {
	state := l.breaker.State()
	if state == gobreaker.StateClosed || l.probing {
		return
	}
	now := time.Now()
	if l.probeAt.IsZero() {
		l.probeAt = now.Add(l.probes.NextBackOff())
	}
	if !now.Before(l.probeAt) && state == gobreaker.StateOpen {
		l.probeAt = now.Add(l.cfg.Breaker.ProbeMin / 4) // it will be half open by then
	}
	if now.Before(l.probeAt) {
		return
	}
	l.probing = true
	go func() {
		call, cancel := context.WithTimeout(work, min(l.cfg.ApplyTimeout, 10*time.Second))
		defer cancel()
		_, err := l.breaker.Execute(func() ([]broker.Outcome, error) { return nil, checkSafely(call, l.cfg.Target) })
		l.probed <- err
	}()
}

func (l *lane) probeReturned(err error) {
	l.probing, l.probeAt = false, time.Time{}
	if err != nil {
		l.probeAt = time.Now().Add(l.probes.NextBackOff())
		l.unwell(classTarget, err)
	}
}

// unwell logs the target's trouble when it begins or changes, and keeps its
// class for the status, or its text where the class is only that it errs.
func (l *lane) unwell(class string, err error) {
	text, problem := err.Error(), class
	if class == classTarget { // it says nothing that a person could act on
		problem = strings.ToValidUTF8(text[:min(len(text), maxProblem)], "")
	}
	l.mu.Lock()
	l.status.Problem = problem
	l.mu.Unlock()
	if text != l.illness {
		l.illness = text
		l.log.Error("the target is unwell or refuses us", "class", class, "error", err)
	}
}
