package worker

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// settle records what was decided and moves the cursors, in one transaction.
// While the ledger does not answer, what was decided stays in hand; it is
// dropped with its partition when the lease runs out.
func (l *lane) settle(ctx context.Context) {
	if !l.maySettle() || l.waiting() {
		return
	}
	var done []ledger.Settlement
	for p := range l.passed {
		l.moved[p] = struct{}{}
	}
	clear(l.passed)
	for _, it := range l.decided {
		l.moved[it.p] = struct{}{}
		it.settled = true // so that cursors may pass it
		if it.outcome != nil {
			done = append(done, *it.outcome)
		}
	}
	var leases []ledger.Lease
	var cursors []ledger.Cursor
	for p := range l.moved {
		leases = append(leases, p.lease)
		if n := p.mayPass(); n > 0 {
			cursors = append(cursors, ledger.Cursor{Lease: p.lease, Seq: p.window[n-1].row.Seq, Unit: p.window[n-1].mark})
		}
	}
	if len(done) == 0 && len(cursors) == 0 {
		l.letGoDecided()
		clear(l.moved)
		return
	}
	call, cancel := context.WithTimeout(ctx, ledgerCall)
	begun := time.Now()
	err := l.ledger.Settle(call, l.worker, leases, cursors, done)
	cancel()
	l.pace(time.Since(begun))
	if err != nil {
		for _, it := range l.decided {
			it.settled = false
		}
		l.failed(ctx, "the ledger takes no outcomes", err)
		return
	}
	l.worked()
	atSettled.Hit()
	for _, c := range cursors {
		p := l.parts[c.Lease.Partition]
		n := p.mayPass()
		clear(p.window[:n])
		p.window = p.window[n:]
		l.windowed -= n
		p.cursor = c.Seq
	}
	for p := range l.moved {
		l.shrink(p)
	}
	clear(l.moved)
	for _, it := range l.decided {
		if it.outcome != nil && it.outcome.Unit.Status == ledger.Applied {
			l.appliedOf[it.track]++
		}
	}
	l.record(slices.DeleteFunc(done, func(s ledger.Settlement) bool { return s.Unit.Gate != "" }))
	l.letGoDecided()
}

// maySettle says whether a transaction is worth its cost now: at once if nothing else is
// under way, else when enough has come together or waited long enough.
func (l *lane) maySettle() bool {
	n := len(l.decided)
	if n == 0 {
		l.decidedAt = time.Time{}
		return len(l.moved) > 0
	}
	if l.decidedAt.IsZero() {
		l.decidedAt = time.Now()
	}
	return l.inFlight == 0 || n >= l.most/2 || time.Since(l.decidedAt) >= settleWait
}

// mayClaim says the same of claims: they can wait while the target has enough to do.
func (l *lane) mayClaim() bool {
	n := len(l.unclaimed)
	return n > 0 && l.working() && (n >= l.most/2 || l.wantsMore())
}

// wantsMore says whether a lane that has unclaimed units gives the target less to do than it takes.
func (l *lane) wantsMore() bool {
	for t, fresh := range l.newOf {
		if fresh > 0 && len(l.ready[t]) < l.size*l.cfg.Concurrency {
			return l.working()
		}
	}
	return false
}

// pace fits the number of units in hand to the ledger: transactions must stay
// far shorter than a lease, or it would run out in the middle of each of them
// and nothing would ever be done.
func (l *lane) pace(took time.Duration) {
	switch ttl := l.keeper.ttl; {
	case took > ttl/6:
		l.most = max(l.most/2, min(l.cfg.Take, 8))
	case took < ttl/30:
		l.most = min(l.most*2, l.cfg.Take)
	}
}

// mayPass returns how many items at the beginning of the window the cursor may go past.
func (p *partition) mayPass() int {
	n, stop := settledBeginning(p.window), p.firstAside()
	for n > 0 && p.window[n-1].row.Seq >= stop {
		n--
	}
	return n
}

// settledBeginning returns how many items at the beginning of a window are
// settled; those of one message count together.
func settledBeginning(window []*item) int {
	for i, it := range window {
		if !it.settled {
			for i > 0 && window[i-1].row.Seq == it.row.Seq {
				i--
			}
			return i
		}
	}
	return len(window)
}

// letGoDecided takes what is settled out of the hand and lets the next of each key go.
func (l *lane) letGoDecided() {
	var next []*item
	for _, it := range l.decided {
		delete(l.byID, it.id)
		l.letGo(it)
		if q := l.queues[it.key]; len(q) > 0 && q[0] == it {
			q[0] = nil
			if len(q) == 1 {
				delete(l.queues, it.key)
			} else {
				l.queues[it.key] = q[1:]
				next = append(next, q[1])
			}
		}
		if it.outcome != nil {
			if at := it.outcome.Unit.NextAttempt; !at.IsZero() && at.Before(l.dueAt) {
				l.dueAt = at
			}
			if it.meets() {
				l.dueAt = time.Now() // it may have been the last that its unit waited for
			}
			if it.due && it.outcome.Unit.Status != ledger.Parked {
				l.dueAt = time.Now() // the next of its key is due at once
				l.heldStale = true
			}
		}
		if it.p.leaving {
			l.dirty = true
		}
		it.unit, it.outcome, it.row.Body = nil, nil, nil // it may stay in its window for a while
	}
	clear(l.decided)
	l.decided, l.decidedAt = l.decided[:0], time.Time{}
	for _, it := range next {
		l.runnable(it)
	}
}

// refreshHeld loads the held keys again when some may be free: after units that
// waited went through, and at times, because a person may have discarded what
// others waited behind. A key that stays held here without need costs its units a way
// through the ledger, never their order.
func (l *lane) refreshHeld(ctx context.Context) {
	now := time.Now()
	if now.Before(l.heldAt) || len(l.decided) > 0 || l.waiting() || !l.keeper.fresh() {
		return
	}
	var some []*partition
	for _, p := range l.parts {
		if len(p.held) > 0 {
			some = append(some, p)
		}
	}
	l.heldAt = now.Add(duePollFar)
	if len(some) == 0 {
		l.heldStale = false
		return
	}
	call, cancel := context.WithTimeout(ctx, ledgerCall)
	defer cancel()
	if err := l.loadHeld(call, some); err != nil {
		l.failed(ctx, "the ledger does not say which keys wait", err)
		return
	}
	l.heldStale = false
	l.heldAt = now.Add(20 * time.Since(now)) // many keys: less often
}

// loadHeld sets the held keys of partitions to what the ledger says. Nothing of them may be
// decided and not settled.
func (l *lane) loadHeld(ctx context.Context, ps []*partition) error {
	byNo, leases := make(map[int]*partition, len(ps)), make([]ledger.Lease, 0, len(ps))
	for _, p := range ps {
		byNo[p.no] = p
		leases = append(leases, p.lease)
	}
	keys, err := l.ledger.HeldKeys(ctx, leases)
	if err != nil {
		return err
	}
	for _, p := range ps {
		p.held = keySet{}
	}
	for _, k := range keys {
		if p := byNo[broker.Partition(k, "")]; p != nil {
			p.held[k] = struct{}{}
		}
	}
	return nil
}

// failed notes that the ledger or the stream did not do what was asked: the
// lane asks again a little later. After ErrFenced it learns first what it lost.
func (l *lane) failed(ctx context.Context, what string, err error) {
	if ctx.Err() != nil {
		return
	}
	l.retryAt = time.Now().Add(l.retries.NextBackOff())
	if errors.Is(err, ledger.ErrFenced) {
		l.metrics.count("fenced", 1)
		l.keeper.renew(ctx)
		l.dirty = true
	}
	if text := what + err.Error(); text != l.problem {
		l.problem = text
		l.log.Error(what, "error", err)
	}
}

// worked notes that the ledger answers.
func (l *lane) worked() {
	if !l.retryAt.IsZero() {
		l.retryAt = time.Time{}
		l.retries.Reset()
		l.log.Info("the ledger and the stream answer again")
	}
	l.problem = ""
}

func (l *lane) waiting() bool { return time.Now().Before(l.retryAt) }

// finish ends the lane: calls under way may return within the grace, what came
// of them is recorded, leases are given back. What was in hand beside is read
// again by whoever has the partition next.
func (l *lane) finish(work context.Context, stopKeeper func()) {
	if l.reader != nil {
		l.reader.close()
	}
	grace, cancel := context.WithTimeout(work, l.grace)
	defer cancel()
	for _, p := range l.parts {
		if p.lost.Load() {
			l.drop(p)
		}
	}
	for l.inFlight > 0 && grace.Err() == nil {
		select {
		case c := <-l.results:
			l.returned(c)
			l.settle(grace)
		case <-grace.Done():
		}
	}
	last, done := context.WithTimeout(work, l.grace+ledgerCall) // also if the grace was not enough for some
	defer done()
	for len(l.decided)+len(l.moved) > 0 && last.Err() == nil && l.keeper.fresh() {
		l.settle(last)
		select {
		case <-time.After(max(time.Until(l.retryAt), time.Millisecond)):
		case <-last.Done():
		}
	}
	// Partitions that a call is still under way for are not given back: they
	// expire when the call, which is withdrawn now, has ended.
	l.mu.Lock()
	for c := range l.running {
		c.cancel(errWithdrawn)
	}
	l.mu.Unlock()
	stopKeeper()
	held, _ := l.keeper.snapshot()
	back := held[:0]
	for _, p := range held {
		if l.draining[p.no] == 0 {
			back = append(back, p)
		}
	}
	l.keeper.release(work, back)
	patience := time.After(time.Second) // with a target that does not hear of the end
	for ; l.inFlight > 0; l.inFlight-- {
		select {
		case <-l.results:
		case <-patience:
			l.log.Warn("the target does not return from a call that was withdrawn")
			return
		}
	}
}
