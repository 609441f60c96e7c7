package worker

import (
	"slices"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// A unit with several keys is one message, which the workers of all partitions
// read, each at its place among the messages of its own. The lane of the
// partition of its first key has the unit in hand; the lane of each other key
// has a gate in its place. When its turn in its key has come, either is only
// parked in the ledger, and what comes later in that key is parked behind it. The ledger
// gives the unit back, as due, when it is first in all its keys; what comes of
// it takes its gates away.

// newGate returns the gate of a unit in one of its other keys.
func newGate(unit ledger.Unit, key, mark string) *item {
	unit.Gate, unit.Body = key, nil
	return &item{id: unit.ID + "~" + key, key: key, part: broker.Partition(key, ""), mark: mark, row: unit}
}

// meets says whether the item is parked when its turn has come: it has to meet
// others of its unit.
func (it *item) meets() bool { return it.row.Gate != "" || !it.due && len(it.row.OtherKeys) > 0 }

// meetsAhead says whether such an item is in hand in this key. Nothing of the key
// may go past it then, not even by way of the ledger, which does not know of it yet.
func (l *lane) meetsAhead(key string) bool { return slices.ContainsFunc(l.queues[key], (*item).meets) }

func keysAreWrong(u *broker.Unit) bool {
	for i, k := range u.OtherKeys {
		if k == "" || k == u.Key || slices.Contains(u.OtherKeys[:i], k) {
			return true
		}
	}
	return len(u.OtherKeys) >= broker.MaxKeys || len(u.OtherKeys) > 0 && u.Key == ""
}

// meet parks an item whose turn has come.
func (l *lane) meet(it *item) {
	atMet.Hit()
	it.decide(ledger.Parked, false)
	l.decided = append(l.decided, it)
	l.holdBehind(it)
}

// acceptWide takes in hand what a message for all partitions means to those of
// the lane, and passes it in the others: their cursors move with it, so that a
// partition in which nothing happens is not read again from far back.
func (l *lane) acceptWide(first *item) {
	var mine []*item
	for _, it := range append([]*item{first}, first.gates...) {
		if it.p = l.taker(it.part, first.row.Seq); it.p == nil {
			continue
		}
		if h := keyHash(it.key); it.p.waits[h].n > 0 {
			l.callUp(it.p, h)
			l.stalled = first
			return
		}
		if l.byID[it.id] != nil {
			l.stalled = first
			return
		}
		mine = append(mine, it)
	}
	for _, it := range mine {
		l.takeInHand(it)
	}
	for _, p := range l.parts {
		if l.taker(p.no, first.row.Seq) != nil {
			l.pass(p, first)
		}
	}
}

// pass notes that a message which is for all partitions means nothing to this one.
func (l *lane) pass(p *partition, first *item) {
	p.taken = first.row.Seq
	it := &item{p: p, part: p.no, mark: first.mark, settled: true, row: ledger.Unit{Seq: first.row.Seq}}
	if n := len(p.window); n > 0 && p.window[n-1].id == "" {
		p.window[n-1] = it
	} else {
		p.window = append(p.window, it)
		l.windowed++
	}
	l.passed[p] = struct{}{}
}
