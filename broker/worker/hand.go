package worker

import (
	"context"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// room says whether another unit of the stream may be taken in hand.
func (l *lane) room() bool {
	return l.stalled == nil && l.handOf[live] < l.most && l.bytesOf[live] < handBytes && l.windowed < windowMax && l.asideAll < asideMax && l.heldKeys < heldMax
}

// take takes what the reader has, without waiting for more: under a backlog
// batches form by themselves.
func (l *lane) take(ctx context.Context) {
	if it := l.stalled; it != nil {
		l.stalled = nil
		l.accept(it)
	}
	for l.reader != nil && l.room() && l.working() {
		select {
		case it, ok := <-l.reader.units:
			if !ok {
				l.readerEnded(ctx)
				return
			}
			l.accept(it)
		default:
			return
		}
	}
}

// readerEnded drops what was taken from the stream and starts again from the
// ledger's cursors: the stream may be another one now.
func (l *lane) readerEnded(ctx context.Context) {
	l.reader.close()
	reason := l.reader.err
	l.reader = nil
	if ctx.Err() != nil { // the worker stops: what is under way is finished with the leases that it has
		return
	}
	l.log.Info("reading the stream again from the ledger's cursors", "reason", reason)
	l.keeper.forget()
	l.dirty = true
	l.retryAt = time.Now().Add(l.retries.NextBackOff()) // a server that goes away says so before it hangs up
}

// accept takes one unit of the stream in hand.
func (l *lane) accept(it *item) {
	if it.part < 0 {
		l.log.Error("a message of the stream has a subject that is no unit's; it is passed over", "seq", it.row.Seq)
		l.metrics.count("stray", 1)
		return
	}
	if it.wide {
		l.acceptWide(it)
		return
	}
	if it.p = l.taker(it.part, it.row.Seq); it.p == nil {
		return
	}
	if l.byID[it.id] != nil { // sent twice: the second waits for what becomes of the first
		l.stalled = it
		return
	}
	if !l.setAside(it) {
		l.takeInHand(it)
	}
}

// taker returns the lane's partition of this number if it takes what stands at
// this place of the stream.
func (l *lane) taker(no int, seq uint64) *partition {
	p := l.parts[no]
	if p == nil || p.reader != l.reader || p.leaving || p.lost.Load() || seq <= p.taken {
		return nil
	}
	return p
}

func (l *lane) takeInHand(it *item) {
	it.p.taken = max(it.p.taken, it.row.Seq)
	it.p.insert(it)
	l.windowed++
	l.byID[it.id] = it
	l.hand++
	l.handOf[it.track]++
	l.bytesOf[it.track] += len(it.row.Body)
	if it.track == live {
		l.liveAt = time.Now()
	}
	l.unclaimed = append(l.unclaimed, it)
	l.newOf[it.track]++
}

// takeDue takes units in hand that waited in the ledger and whose time has
// come.
func (l *lane) takeDue(ctx context.Context) {
	if time.Now().Before(l.dueAt) || !l.mayTakeDue() {
		return
	}
	leases, anyHeld := make([]ledger.Lease, 0, len(l.parts)), false
	for _, p := range l.parts {
		if !p.leaving {
			leases = append(leases, p.lease)
			anyHeld = anyHeld || len(p.held) > 0
		}
	}
	call, cancel := context.WithTimeout(ctx, ledgerCall)
	defer cancel()
	rows, err := l.ledger.Due(call, leases, l.dueMax()) // those in hand are among them
	if err != nil {
		l.failed(ctx, "the ledger does not say what is due", err)
		return
	}
	l.dueAt = time.Now().Add(duePollFar)
	if anyHeld || len(rows) > 0 {
		l.dueAt = time.Now().Add(duePoll)
	}
	for _, row := range rows {
		no := row.Partition
		if row.Gate != "" {
			no = broker.Partition(row.Gate, "")
		}
		p := l.parts[no]
		if p == nil || p.leaving {
			continue
		}
		it := dueItem(p, row)
		if l.byID[it.id] != nil {
			continue
		}
		p.held[it.key] = struct{}{}
		l.byID[it.id] = it
		if it.unit == nil && row.Gate == "" {
			l.decideDead(it, it.row.Class, it.row.Reason, false)
			continue
		}
		l.enqueue(it)
	}
}

// dueMax is how many units of the ledger are asked for, of which those in hand are some.
func (l *lane) dueMax() int { return min(2*l.cfg.Batch, l.most) }

func (l *lane) mayTakeDue() bool {
	due := len(l.byID) - l.hand
	return due < l.dueMax() && len(l.parts) > l.leaving && l.working() && !l.waiting() && l.keeper.fresh()
}

// claim tells the ledger what is about to be applied, and learns what it knows.
func (l *lane) claim(ctx context.Context) {
	if !l.mayClaim() || l.waiting() {
		return
	}
	rows := make([]ledger.Unit, 0, len(l.unclaimed))
	for _, it := range l.unclaimed {
		if it.row.Gate != "" {
			continue
		}
		row := it.row
		row.Status, row.Class, row.Reason, row.Body = ledger.Claimed, "", "", nil
		rows = append(rows, row)
	}
	var claims []ledger.Claim
	if len(rows) > 0 {
		atRead.Hit()
		call, cancel := context.WithTimeout(ctx, ledgerCall)
		begun := time.Now()
		var err error
		claims, err = l.ledger.Claim(call, leasesOf(l.unclaimed), rows)
		cancel()
		l.pace(time.Since(begun))
		if err != nil {
			l.failed(ctx, "the ledger takes no claims", err)
			return
		}
		l.worked()
		atClaimed.Hit()
	}
	items := l.unclaimed
	l.unclaimed, l.newOf = nil, [tracks]int{}
	for _, it := range items {
		if it.row.Gate != "" { // it has its place in its key, and nothing is known of it
			l.enqueue(it)
			continue
		}
		l.claimed(it, claims[0])
		claims = claims[1:]
	}
}

// claimed sends a unit on its way, with what the ledger said.
func (l *lane) claimed(it *item, c ledger.Claim) {
	it.inDoubt = c.InDoubt
	if c.Collision {
		it.row.Warning = collision
		l.log.Warn(collision, "unit", it.row.ID, "message", it.row.MessageID, "feed", it.row.Feed)
		l.metrics.count("collision", 1)
	}
	if c.Status != "" {
		// The ledger knows what became of it: it was sent twice, or read again.
		l.metrics.count("duplicate", 1)
		l.decided = append(l.decided, it)
		return
	}
	_, behind := it.p.held[it.key]
	switch {
	case it.unit == nil:
		l.decideDead(it, it.row.Class, it.row.Reason, false)
	case it.unit.Verdict == broker.Skip:
		s := it.decide(ledger.Skipped, false)
		s.Unit.Class, s.Unit.Reason, s.Unit.Remappable = it.unit.Class, it.unit.Reason, true
		l.decided = append(l.decided, it)
	case it.unit.Verdict != broker.Apply:
		l.decideDead(it, it.unit.Class, it.unit.Reason, false)
		it.outcome.Unit.Remappable = true
	case behind && !it.meets() && !l.meetsAhead(it.key):
		it.decide(ledger.Parked, false)
		l.decided = append(l.decided, it)
	default:
		l.enqueue(it)
	}
}

// enqueue puts a unit behind those of its key that are in hand.
func (l *lane) enqueue(it *item) {
	q := l.queues[it.key]
	if len(q) > 0 && q[0].meets() { // that is to be parked, and so is what follows it, also what was due so far
		it.decide(ledger.Parked, false)
		l.decided = append(l.decided, it)
		return
	}
	l.queues[it.key] = append(q, it)
	if len(q) == 0 {
		l.runnable(it)
	}
}

// runnable sends the first of its key on its way.
func (l *lane) runnable(it *item) {
	switch {
	case it.meets():
		l.meet(it)
	case it.due || it.errs > 0:
		l.trouble[it.track] = append(l.trouble[it.track], it)
	default:
		l.ready[it.track] = append(l.ready[it.track], it)
	}
}

// decideDead makes a unit a dead letter. Later ones of its key wait, if the
// unit says so.
func (l *lane) decideDead(it *item, class, reason string, attempt bool) {
	s := it.decide(ledger.Dead, attempt)
	s.Unit.Class, s.Unit.Reason, s.Unit.Hold = class, reason, it.hold()
	l.decided = append(l.decided, it)
	if s.Unit.Hold {
		l.holdBehind(it)
	}
}

// holdBehind parks the units in hand that follow this one in its key, and from
// now on those that come.
func (l *lane) holdBehind(first *item) {
	first.p.held[first.key] = struct{}{}
	q := l.queues[first.key]
	if len(q) < 2 {
		return
	}
	kept := q[:1] // it is first itself, or one before it that may be under way
	for _, it := range q[1:] {
		if it.row.Seq < first.row.Seq {
			kept = append(kept, it)
			continue
		}
		it.decide(ledger.Parked, false)
		l.decided = append(l.decided, it)
	}
	l.queues[first.key] = kept
}

// drop lets go of everything in hand of a partition. Calls under way go on;
// what they bring is not recorded.
func (l *lane) drop(p *partition) {
	keep := func(items []*item) []*item {
		kept := items[:0]
		for _, it := range items {
			if it.p != p {
				kept = append(kept, it)
			}
		}
		clear(items[len(kept):])
		return kept
	}
	l.unclaimed, l.decided, l.newOf = keep(l.unclaimed), keep(l.decided), [tracks]int{}
	for _, it := range l.unclaimed {
		l.newOf[it.track]++
	}
	for t := range tracks {
		l.ready[t], l.trouble[t] = keep(l.ready[t]), keep(l.trouble[t])
	}
	l.letGoAside(p)
	for id, it := range l.byID {
		if it.p == p {
			delete(l.byID, id)
			delete(l.queues, it.key)
			l.letGo(it)
		}
	}
	delete(l.moved, p)
	delete(l.passed, p)
	l.windowed -= len(p.window)
	p.window = nil
	if l.stalled != nil && l.stalled.part == p.no && !l.stalled.wide {
		l.stalled = nil
	}
}

// letGo takes a unit out of the counts of what is in hand.
func (l *lane) letGo(it *item) {
	if !it.due {
		l.hand--
		l.handOf[it.track]--
		l.bytesOf[it.track] -= len(it.row.Body)
	}
}

func leasesOf(items []*item) []ledger.Lease {
	seen, leases := map[*partition]bool{}, []ledger.Lease(nil)
	for _, it := range items {
		if !seen[it.p] {
			seen[it.p] = true
			leases = append(leases, it.p.lease)
		}
	}
	return leases
}
