package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

func TestUnitsWithSeveralKeysKeepTheirPlaceInEach(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), &scribe{}, newLedger(t)
	_, _, a, _ := two(t, h, l, tg)
	// One worker only passes this; it can give partitions to a third all the same.
	first := keyed(1, a, beside(a))
	h.send(first)
	until(t, "it is applied", settledAs(t, l, ledger.Applied, first))
	third := start(t, h, l, tg, named("third"))
	until(t, "a third worker has its part", func() bool { return third.Status()[0].Partitions > broker.Partitions/4 })
	seed := rand.Uint64()
	t.Log("seed", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	var us []*broker.Unit
	for n := range 90 {
		var keys []string
		for _, k := range r.Perm(12)[:1+r.IntN(2)*r.IntN(3)] {
			keys = append(keys, fmt.Sprint("k", k))
		}
		us = append(us, keyed(n+1, keys...))
	}
	for part := range slices.Chunk(us, 40) {
		h.send(part...)
	}
	until(t, "all are applied", func() bool { return tg.has(us...) })
	tg.inOrder(t, us...)
}

func TestAMergeKeepsTheOrderOfBothRecordsWhoeverHasThem(t *testing.T) {
	t.Parallel()
	bothLedgers(t, func(t *testing.T, l ledger.Ledger) {
		h, tg := newHub(t), &scribe{}
		_, _, a, b := two(t, h, l, tg)
		gone := make(chan struct{})
		early := keyed(1, b)
		tg.before = func(ctx context.Context, u *broker.Unit) error { // what is of b takes its time
			if u.ID == early.ID {
				select {
				case <-gone:
				case <-ctx.Done():
				}
			}
			return nil
		}
		m, lateA, lateB, free := keyed(2, a, b), keyed(3, a), keyed(3, b), keyed(1, beside(a))
		h.send(early, m, lateA, lateB, free)
		until(t, "what waits is parked", settledAs(t, l, ledger.Parked, m, lateA))
		until(t, "others go on", settledAs(t, l, ledger.Applied, free))
		if tg.has(m) || tg.has(lateA) || tg.has(lateB) {
			t.Error("a merge does not wait for its other key")
		}
		if w := status(t, l, m).Waits; len(w) != 1 || w[0].Key != m.OtherKeys[0] || w[0].Partition != broker.Partition(m.OtherKeys[0], "") {
			t.Errorf("it waits for %+v", w)
		}
		close(gone)
		all := []*broker.Unit{early, m, lateA, lateB}
		until(t, "all are applied", settledAs(t, l, ledger.Applied, all...))
		tg.inOrder(t, all...)
		after := []*broker.Unit{keyed(4, a), keyed(4, b)}
		h.send(after...)
		until(t, "the keys go on", settledAs(t, l, ledger.Applied, after...))
	})
}

// TestAGateThatWasNotReachedIsReadAgainAfterItsUnit: a unit that waits in the
// ledger keeps the gate behind it waiting, and no cursor.
func TestAGateThatWasNotReachedIsReadAgainAfterItsUnit(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		through bool // the worker is killed when the one ahead of the gate is through, else while it is under way
	}{{"killed before", false}, {"killed between", true}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			h, tg, l := newHub(t), &scribe{}, newLedger(t)
			a, b := "a", beside("a")
			early, m, late := keyed(1, b), keyed(2, a, b), keyed(3, b)
			trap := &ambush{Ledger: l, after: true, at: func(done []ledger.Settlement) bool {
				return c.through && slices.ContainsFunc(done, func(s ledger.Settlement) bool { return s.Unit.ID == early.ID && s.Unit.Status == ledger.Applied })
			}}
			first := start(t, h, trap, tg, named("first"))
			trap.victim.Store(first)
			var tries atomic.Int32
			began, release := make(chan struct{}), make(chan struct{})
			tg.fate = func(u *broker.Unit) broker.Outcome {
				if u.ID == early.ID && tries.Add(1) == 1 {
					return broker.Outcome{Result: broker.Retry, Class: "odoo.timeout"}
				}
				return broker.Outcome{}
			}
			tg.before = func(ctx context.Context, u *broker.Unit) error {
				if u.ID == early.ID && tries.Load() == 1 {
					select {
					case began <- struct{}{}:
					case <-release:
					}
					select {
					case <-release:
					case <-ctx.Done():
					}
				}
				return nil
			}
			h.send(early)
			<-began // again: it waited in the ledger
			h.send(m, late)
			until(t, "the unit is parked", settledAs(t, l, ledger.Parked, m))
			until(t, "the later one is in hand", func() bool { return status(t, l, late).Status != "" })
			if c.through {
				close(release)
				until(t, "the worker is killed", trap.sprung.Load)
			} else {
				first.kill()
				defer close(release)
			}
			start(t, h, l, tg, named("second"))
			if !c.through {
				tries.Store(2)
			}
			until(t, "all are applied", settledAs(t, l, ledger.Applied, early, m, late))
			tg.inOrder(t, early, m, late)
		})
	}
}

func TestMergesInOppositeDirectionsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), &scribe{}, newLedger(t)
	_, _, a, b := two(t, h, l, tg)
	var us []*broker.Unit
	for n := 1; n <= 3; n++ {
		one, other := keyed(2*n, a, b), keyed(2*n+1, b, a)
		other.Feed, other.MessageID = "registry", broker.NewMessageID("t", "north", "registry", fmt.Sprint(n), nil)
		other.ID = broker.NewUnitID(other.MessageID, "m")
		us = append(us, one, other)
	}
	h.send(us...)
	until(t, "all are applied", settledAs(t, l, ledger.Applied, us...))
	tg.inOrder(t, us...)
}

// ambush kills a worker at a moment of its dealings with the ledger.
type ambush struct {
	ledger.Ledger
	at     func(done []ledger.Settlement) bool
	after  bool // the ledger has recorded it, and the worker does not hear of that
	sprung atomic.Bool
	victim atomic.Pointer[process]
}

func (a *ambush) Settle(ctx context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	if a.at(done) && a.sprung.CompareAndSwap(false, true) {
		if a.after {
			if err := a.Ledger.Settle(ctx, worker, leases, cursors, done); err != nil {
				return err
			}
		}
		for a.victim.Load() == nil {
			time.Sleep(time.Millisecond)
		}
		a.victim.Load().kill()
		return errKilled
	}
	return a.Ledger.Settle(ctx, worker, leases, cursors, done)
}

func TestAKilledWorkerBreaksNoOrderOfAMerge(t *testing.T) {
	t.Parallel()
	m := func(s ledger.Settlement) bool { return len(s.Unit.OtherKeys) > 0 }
	gate := func(done []ledger.Settlement) bool {
		return slices.ContainsFunc(done, func(s ledger.Settlement) bool { return s.Unit.Gate != "" })
	}
	is := func(want ledger.Status) func([]ledger.Settlement) bool {
		return func(done []ledger.Settlement) bool {
			return slices.ContainsFunc(done, func(s ledger.Settlement) bool { return m(s) && s.Unit.Gate == "" && s.Unit.Status == want })
		}
	}
	for _, c := range []struct {
		name string
		of   string // the worker that is killed
		at   func([]ledger.Settlement) bool
	}{
		{"the gate is reached", "second", gate},
		{"the unit is reached", "first", is(ledger.Parked)},
		{"the unit is applied, and the gate to be released", "first", is(ledger.Applied)},
	} {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, recorded is %t", c.name, after), func(t *testing.T) {
				t.Parallel()
				h, tg, l := newHub(t), &scribe{}, newLedger(t)
				trap := &ambush{Ledger: l, at: c.at, after: after}
				with := map[string]ledger.Ledger{"first": l, "second": l, c.of: trap}
				first := start(t, h, with["first"], tg, named("first"))
				second := start(t, h, with["second"], tg, named("second"))
				trap.victim.Store(map[string]*process{"first": first, "second": second}[c.of])
				a, b := shared2(t, l)
				us := []*broker.Unit{keyed(1, a), keyed(1, b), keyed(2, a, b), keyed(3, a), keyed(3, b), keyed(4, b, a), keyed(5, a), keyed(5, b)}
				h.send(us...)
				until(t, "the worker is killed", trap.sprung.Load)
				until(t, "the other one has done it all", settledAs(t, l, ledger.Applied, us...))
				tg.inOrder(t, us...)
				if keys := allHeld(t, l); len(keys) > 0 {
					t.Errorf("keys are held still: %v", keys)
				}
			})
		}
	}
}

// allHeld returns the keys that are held in any partition.
func allHeld(t testing.TB, l ledger.Ledger) []string {
	t.Helper()
	var leases []ledger.Lease
	for p := range broker.Partitions {
		leases = append(leases, ledger.Lease{Target: "odoo", Partition: p})
	}
	keys, err := l.HeldKeys(t.Context(), leases)
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

func TestADeadMergeHoldsBothItsKeysOrNeither(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"hold", "continue"} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			bothLedgers(t, func(t *testing.T, l ledger.Ledger) {
				h, tg := newHub(t), &scribe{}
				_, _, a, b := two(t, h, l, tg)
				m, lateA, lateB, free := keyed(2, a, b), keyed(3, a), keyed(3, b), keyed(1, beside(a))
				m.OnDeadLetter = choice
				tg.fate = func(u *broker.Unit) broker.Outcome {
					if u.ID == m.ID {
						return broker.Outcome{Result: broker.Rejected, Class: "odoo.UserError", Reason: "different e-mail addresses"}
					}
					return broker.Outcome{}
				}
				h.send(m, lateA, lateB)
				until(t, "it is dead", settledAs(t, l, ledger.Dead, m))
				if choice == "hold" {
					until(t, "both keys wait", settledAs(t, l, ledger.Parked, lateA, lateB))
					h.send(free)
					until(t, "others go on", settledAs(t, l, ledger.Applied, free))
					if err := l.Discard(t.Context(), m.ID, "mona", "merged by hand"); err != nil {
						t.Fatal(err)
					}
				}
				until(t, "both keys go on", settledAs(t, l, ledger.Applied, lateA, lateB))
				if keys := allHeld(t, l); len(keys) > 0 {
					t.Errorf("keys are held still: %v", keys)
				}
			})
		})
	}
}

func TestAMergeThatIsReplayedHasItsPlaceInBothKeysAgain(t *testing.T) {
	t.Parallel()
	for _, choice := range []string{"hold", "continue"} {
		t.Run(choice, func(t *testing.T) {
			t.Parallel()
			h, tg, l := newHub(t), &scribe{}, newLedger(t)
			_, _, a, b := two(t, h, l, tg)
			m, lateB := keyed(2, a, b), keyed(3, b)
			m.OnDeadLetter = choice
			var refuses, busy atomic.Bool
			refuses.Store(true)
			release := make(chan struct{})
			tg.fate = func(u *broker.Unit) broker.Outcome {
				if u.ID == m.ID && refuses.Load() {
					return broker.Outcome{Result: broker.Rejected, Class: "odoo.UserError", Reason: "not now"}
				}
				return broker.Outcome{}
			}
			tg.before = func(ctx context.Context, u *broker.Unit) error {
				if u.ID == lateB.ID {
					busy.Store(true)
					select {
					case <-release:
					case <-ctx.Done():
					}
				}
				return nil
			}
			h.send(m, lateB)
			until(t, "it is dead", settledAs(t, l, ledger.Dead, m))
			if choice == "hold" {
				until(t, "the other key waits", settledAs(t, l, ledger.Parked, lateB))
			} else {
				until(t, "the other key goes on", busy.Load)
			}
			refuses.Store(false)
			r, err := l.PlanReplay(t.Context(), ledger.ReplayRequest{Filter: ledger.Filter{IDs: []string{m.ID}}})
			if err == nil {
				err = l.StartReplay(t.Context(), r.ID, 0)
			}
			if err == nil {
				_, err = l.Requeue(t.Context(), r.ID, m.ID)
			}
			if err != nil {
				t.Fatal(err)
			}
			if choice == "continue" { // it waits for the one that was let past it
				until(t, "its gate is asked for", func() bool { return len(allHeld(t, l)) == 2 })
				if status(t, l, m).Status != ledger.Parked || tg.has(m) {
					t.Error("it did not wait for the unit under way in its other key")
				}
			}
			close(release)
			until(t, "all is through", settledAs(t, l, ledger.Applied, m, lateB))
			if choice == "hold" {
				tg.inOrder(t, m, lateB)
			} else {
				tg.inOrder(t, lateB, m)
			}
			until(t, "no key is held", func() bool { return len(allHeld(t, l)) == 0 })
		})
	}
}

func TestAMergeThatComesAgainChangesNothing(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), &scribe{}, newLedger(t)
	_, _, a, b := two(t, h, l, tg)
	var tries atomic.Int32
	m, lateA, lateB := keyed(2, a, b), keyed(3, a), keyed(3, b)
	tg.fate = func(u *broker.Unit) broker.Outcome {
		if u.ID == m.ID && tries.Add(1) == 1 {
			return broker.Outcome{Result: broker.Retry, Class: "odoo.timeout"}
		}
		return broker.Outcome{}
	}
	h.send(m, m, lateA, lateB, m)
	all := []*broker.Unit{m, lateA, lateB}
	until(t, "all are applied", settledAs(t, l, ledger.Applied, all...))
	h.send(m, keyed(4, a), keyed(4, b))
	until(t, "what comes after it goes on", settledAs(t, l, ledger.Applied, keyed(4, a), keyed(4, b)))
	tg.inOrder(t, all...)
	if n := tries.Load(); n != 2 {
		t.Errorf("it was given to the target %d times, want 2", n)
	}
	until(t, "no key is held", func() bool { return len(allHeld(t, l)) == 0 })
}

func TestAWorkerThatStartsAgainFindsTheMergesThatItHasNotRead(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), &scribe{}, newLedger(t)
	_, second, a, b := two(t, h, l, tg)
	before := []*broker.Unit{keyed(1, a), keyed(1, b), keyed(2, a, b)}
	h.send(before...)
	until(t, "all are applied", settledAs(t, l, ledger.Applied, before...))
	second.end()
	// The rest of the partitions have no unit of their own: what passes them moves their cursors too.
	us := []*broker.Unit{keyed(3, b, a), keyed(4, b), keyed(4, a), keyed(5, a, b)}
	h.send(us...)
	start(t, h, l, tg, named("second"))
	until(t, "all are applied", settledAs(t, l, ledger.Applied, us...))
	tg.inOrder(t, append(before, us...)...)
	states, err := l.Cursors(t.Context(), "odoo")
	if err != nil {
		t.Fatal(err)
	}
	behind := 0
	for _, p := range states {
		if p.Cursor < 3 {
			behind++
		}
	}
	if behind > broker.Partitions/2 {
		t.Errorf("%d partitions stand where nothing was read", behind)
	}
}

func TestAUnitWhoseKeysAreWrongIsADeadLetter(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), &scribe{}, newLedger(t)
	start(t, h, l, tg, nil)
	twice, mine, many := keyed(1, "a", "b"), keyed(2, "a", "b"), keyed(3, "a", "b")
	twice.OtherKeys = append(twice.OtherKeys, twice.OtherKeys[0])
	mine.OtherKeys[0] = mine.Key
	for n := range broker.MaxKeys {
		many.OtherKeys = append(many.OtherKeys, fmt.Sprint(n))
	}
	h.send(twice, mine, many)
	until(t, "all are dead", func() bool {
		us, err := l.Units(t.Context(), ledger.Filter{Status: []ledger.Status{ledger.Dead}, Class: classMalformed})
		return err == nil && len(us) == 3
	})
	good := keyed(4, "a", "b")
	h.send(good)
	until(t, "the key goes on", settledAs(t, l, ledger.Applied, good))
}
