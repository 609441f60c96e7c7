package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// series makes units 1 to n of each of some keys, in turn.
func series(prefix string, keys, n int) []*broker.Unit {
	var us []*broker.Unit
	for i := 1; i <= n; i++ {
		for k := range keys {
			us = append(us, unit(fmt.Sprint(prefix, k), i))
		}
	}
	return us
}

func TestAPoisonKeyDelaysNobodyElse(t *testing.T) {
	t.Parallel()
	p95 := func(poison bool) time.Duration {
		h, tg := newHub(t), newTarget()
		tg.fail = func(_ context.Context, us []*broker.Unit) error {
			for _, u := range us {
				if key, _ := of(u); key == "poison" { // slow to refuse, too
					time.Sleep(300 * time.Millisecond)
				}
			}
			time.Sleep(2 * time.Millisecond)
			return nil
		}
		tg.script = func(u *broker.Unit, _ int) broker.Outcome {
			if key, _ := of(u); key == "poison" {
				return broker.Outcome{Result: broker.Retry, Class: "odoo.lock", Reason: "the record is locked"}
			}
			return broker.Outcome{}
		}
		start(t, h, newLedger(t), tg, func(c *Config) {
			tc := c.Targets["odoo"]
			tc.MaxAttempts = -1
			c.Targets["odoo"] = tc
		})
		if poison {
			h.send(unit("poison", 1), unit("poison", 2))
			until(t, "it was tried", func() bool { tg.mu.Lock(); defer tg.mu.Unlock(); return tg.tries[unit("poison", 1).ID] > 1 })
		}
		var us []*broker.Unit
		for i := range 300 {
			u := unit(fmt.Sprint("k", i%50), i/50+1)
			h.send(u)
			us = append(us, u)
			if poison && i == 100 {
				h.send(unit("poison", 3))
			}
		}
		until(t, "the others applied", func() bool { return tg.applied(us...) == len(us) })
		tg.orderKept(t)
		var took []time.Duration
		tg.set(func() {
			for _, u := range us {
				took = append(took, tg.at[u.ID].Sub(u.ReceivedAt))
			}
			if tg.tries[unit("poison", 2).ID] > 0 {
				t.Error("a unit behind the poisonous one was tried")
			}
		})
		slices.Sort(took)
		return took[len(took)*95/100]
	}
	without := p95(false)
	with := p95(true)
	t.Logf("p95 of the others: %v without, %v with a poison key: ratio %.2f", without, with, float64(with)/float64(without))
	if with > 10*without && with > 150*time.Millisecond {
		t.Errorf("p95 of the others rose from %v to %v", without, with)
	}
}

func TestATargetThatIsDownBurnsNoAttemptsAndGoesOnWhenItIsBack(t *testing.T) {
	t.Parallel()
	failures := map[string]func(ctx context.Context) error{
		"refuses":                         func(context.Context) error { return errors.New("connection refused") },
		"panics":                          func(context.Context) error { panic("Canary") },
		"hangs until it is called off":    func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"answers with too few outcomes":   nil,
		"answers probes but not a unit":   func(context.Context) error { return errors.New("wrong password") },
		"is slow, but within the timeout": func(context.Context) error { time.Sleep(300 * time.Millisecond); return nil },
	}
	for name, failure := range failures {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, tg, l := newHub(t), newTarget(), newLedger(t)
			var down atomic.Bool
			down.Store(true)
			tg.check = func() error {
				if down.Load() && name != "answers probes but not a unit" {
					return errors.New("down")
				}
				return nil
			}
			tg.fail = func(ctx context.Context, _ []*broker.Unit) error {
				if down.Load() {
					return failure(ctx)
				}
				return nil
			}
			var it broker.Target = tg
			if failure == nil {
				tg.fail = nil
				it = &short{tg, &down}
			}
			us := series("k", 30, 4)
			h.send(us...)
			p := start(t, h, l, it, func(c *Config) {
				tc := c.Targets["odoo"]
				tc.ApplyTimeout = 500 * time.Millisecond
				c.Targets["odoo"] = tc
			})
			if name != "is slow, but within the timeout" {
				until(t, "the breaker opens", func() bool { s := p.Status()[0]; return s.Breaker != "closed" && s.Problem != "" })
				if said := p.Status()[0].Problem; strings.HasPrefix(said, "worker.target_error") {
					t.Errorf("the status says %q, which tells a person nothing", said)
				}
				tg.mu.Lock()
				calls := tg.calls
				tg.mu.Unlock()
				time.Sleep(300 * time.Millisecond)
				tg.set(func() {
					if most := calls + 12; tg.calls > most {
						t.Errorf("%d calls while the breaker was open", tg.calls-calls)
					}
				})
			}
			down.Store(false)
			until(t, "all applied and recorded", func() bool {
				return tg.applied(us...) == len(us) && status(t, l, us[len(us)-1]).Status == ledger.Applied
			})
			tg.orderKept(t)
			for _, u := range us {
				until(t, "recorded", func() bool { return status(t, l, u).Status == ledger.Applied })
				if row := status(t, l, u); row.Attempts != 1 {
					t.Fatalf("%d attempts", row.Attempts)
				}
			}
			until(t, "the breaker is closed", func() bool { s := p.Status()[0]; return s.Breaker == "closed" && s.Problem == "" && s.InHand == 0 })
		})
	}
}

// short gives one outcome too few while it is down.
type short struct {
	*target
	down *atomic.Bool
}

func (s *short) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	if s.down.Load() {
		s.set(func() { s.calls++ })
		return make([]broker.Outcome, len(us)-1), nil
	}
	return s.target.Apply(ctx, us)
}

func TestAUnitThatSpoilsEveryCallIsFoundAndParked(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func() error{
		classTarget: func() error { return errors.New("connection reset by peer") },
		classPanic:  func() error { panic("Canary") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, tg, l := newHub(t), newTarget(), newLedger(t)
			tg.fail = func(_ context.Context, us []*broker.Unit) error {
				for _, u := range us {
					if key, _ := of(u); key == "k7" {
						return spoil()
					}
				}
				return nil
			}
			us := series("k", 60, 3)
			h.send(us...)
			start(t, h, l, tg, nil)
			var others []*broker.Unit
			for _, u := range us {
				if key, _ := of(u); key != "k7" {
					others = append(others, u)
				}
			}
			until(t, "the others applied", func() bool { return tg.applied(others...) == len(others) })
			until(t, "it is parked", func() bool { row := status(t, l, us[7]); return row.Status == ledger.Parked && row.Class == name })
			until(t, "the next of its key waits", func() bool { row := status(t, l, us[67]); return row.Status == ledger.Parked && row.Attempts == 0 })
			tg.set(func() { tg.fail = nil })
			until(t, "its key goes on", func() bool { return tg.applied(us...) == len(us) })
			tg.orderKept(t)
		})
	}
}

func TestADeadLetterHoldsItsKeyOrNotAsItSays(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newFileLedger(t)
	tg.script = func(_ *broker.Unit, n int) broker.Outcome {
		if n == 2 {
			return broker.Outcome{Result: broker.Rejected, Class: "odoo.ValidationError", Reason: "the target refuses it"}
		}
		return broker.Outcome{}
	}
	hold, goOn := series("hold", 1, 4), series("on", 1, 4)
	goOn[1].OnDeadLetter = "continue"
	h.send(append(slices.Clone(hold), goOn...)...)
	start(t, h, l, tg, nil)
	until(t, "the key that continues is through", func() bool { return tg.applied(goOn...) == 3 })
	until(t, "the key that holds waits", func() bool {
		return status(t, l, hold[1]).Status == ledger.Dead && status(t, l, hold[2]).Status == ledger.Parked && status(t, l, hold[3]).Status == ledger.Parked
	})
	hold = append(hold, unit("hold0", 5))
	h.send(hold[4])
	until(t, "what comes later waits too", func() bool { return status(t, l, hold[4]).Status == ledger.Parked })
	if row := status(t, l, hold[1]); !row.Hold || row.Attempts != 1 || row.Class != "odoo.ValidationError" {
		t.Errorf("the dead letter is recorded with hold %v, %d attempts, class %q", row.Hold, row.Attempts, row.Class)
	}
	if err := l.Discard(t.Context(), hold[1].ID, "anna", "wrong patient"); err != nil {
		t.Fatal(err)
	}
	until(t, "the key goes on after a person decided", func() bool { return tg.applied(hold...) == 4 })
	h.send(unit("hold0", 6))
	until(t, "new units of it go straight", func() bool { return tg.applied(unit("hold0", 6)) == 1 })
	tg.orderKept(t)
}

func TestAUnitIsGivenUpAfterItsAttempts(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	tg.script = func(_ *broker.Unit, n int) broker.Outcome {
		if n == 1 {
			return broker.Outcome{Result: broker.Retry, Class: "odoo.missing_reference", Reason: "no such department"}
		}
		return broker.Outcome{}
	}
	us := series("k", 1, 2)
	h.send(us...)
	start(t, h, l, tg, func(c *Config) {
		tc := c.Targets["odoo"]
		tc.MaxAttempts = 3
		c.Targets["odoo"] = tc
	})
	until(t, "it is dead", func() bool { return status(t, l, us[0]).Status == ledger.Dead })
	if row := status(t, l, us[0]); row.Attempts != 3 || row.Reason != "given up after 3 attempts: no such department" {
		t.Errorf("%d attempts, reason %q", row.Attempts, row.Reason)
	}
	if tg.applied(us[1]) != 0 {
		t.Error("its key went on")
	}
}

func TestWhatIsNotToBeAppliedIsRecorded(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	skip, dead, strange, moved := unit("a", 1), unit("b", 1), unit("c", 1), unit("d", 1)
	for u, v := range map[*broker.Unit]broker.Verdict{skip: broker.Skip, dead: broker.DeadLetter, strange: "ponder"} {
		u.Verdict, u.Ops, u.Class, u.Reason = v, nil, "mapping.guard", "PV1-2 is not I"
	}
	behind, last := unit("b", 2), unit("a", 2)
	h.send(skip, dead, strange, behind)
	m, elsewhere := message(moved), *moved
	elsewhere.Site = "south"
	m.Subject = stream.UnitSubject(&elsewhere)
	if _, err := h.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	m = message(moved)
	m.Data = []byte(`{"id": Canary`)
	if _, err := h.js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	h.send(last)
	start(t, h, l, tg, nil)
	until(t, "what follows goes on", func() bool { return tg.applied(last) == 1 })
	until(t, "recorded", func() bool {
		return status(t, l, skip).Status == ledger.Skipped && status(t, l, dead).Status == ledger.Dead && status(t, l, behind).Status == ledger.Parked
	})
	classes := map[string]int{}
	until(t, "five that are not applied", func() bool {
		all, err := l.Units(t.Context(), ledger.Filter{Status: []ledger.Status{ledger.Dead, ledger.Skipped}})
		clear(classes)
		for _, u := range all {
			if u.Status == ledger.Dead || u.Status == ledger.Skipped {
				classes[u.Class]++
			}
			if u.Remappable != (u.Class == "mapping.guard") && u.Class != "" {
				t.Errorf("class %s: remappable is %v", u.Class, u.Remappable)
			}
		}
		return err == nil && classes["mapping.guard"] == 2 && classes[classMalformed] == 2 && classes[classMisaddressed] == 1
	})
	if status(t, l, moved).ID != "" {
		t.Error("a misaddressed unit was recorded under the id that it claims")
	}
}

func TestALedgerThatFailsInTheMiddleLosesNothing(t *testing.T) {
	t.Parallel()
	h, tg := newHub(t), newTarget()
	l := &moody{Ledger: newLedger(t)}
	us := series("k", 40, 10)
	start(t, h, l, tg, nil)
	for i, chunk := 0, 40; i < len(us); i += chunk {
		l.down.Store(i/chunk%3 == 1)
		if i/chunk == 7 { // longer than a lease
			time.Sleep(2500 * time.Millisecond)
		}
		h.send(us[i : i+chunk]...)
		time.Sleep(150 * time.Millisecond)
	}
	l.down.Store(false)
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
	until(t, "recorded", func() bool {
		for _, u := range us[len(us)-40:] {
			if status(t, l.Ledger, u).Status != ledger.Applied {
				return false
			}
		}
		return true
	})
	tg.orderKept(t)
}

// moody fails everything while it is down; some of it after it was done.
type moody struct {
	ledger.Ledger
	down atomic.Bool
	n    atomic.Int64
}

var errDown = errors.New("ledger is down")

func (m *moody) Lease(ctx context.Context, target, worker string, ttl time.Duration) ([]ledger.Lease, int, error) {
	if m.down.Load() {
		return nil, 0, errDown
	}
	return m.Ledger.Lease(ctx, target, worker, ttl)
}

func (m *moody) Claim(ctx context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	if m.down.Load() {
		return nil, errDown
	}
	return m.Ledger.Claim(ctx, leases, units)
}

func (m *moody) Settle(ctx context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	if m.down.Load() {
		if m.n.Add(1)%2 == 0 { // the answer is lost
			_ = m.Ledger.Settle(ctx, worker, leases, cursors, done)
		}
		return errDown
	}
	return m.Ledger.Settle(ctx, worker, leases, cursors, done)
}
