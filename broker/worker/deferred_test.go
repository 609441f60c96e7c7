package worker

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// untilIt is a target script that defers the first unit of key until come.
func untilIt(key string, come *atomic.Bool) func(*broker.Unit, int) broker.Outcome {
	return func(u *broker.Unit, n int) broker.Outcome {
		if k, _ := of(u); k == key && n == 1 && !come.Load() {
			return broker.Outcome{Result: broker.Deferred, Class: "odoo.deferred", Reason: "parent_id: the record does not exist yet", Warning: "without its manager"}
		}
		return broker.Outcome{}
	}
}

func TestWhatWaitsForAnotherUnitUsesUpNoAttempts(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var come atomic.Bool
	tg.script = untilIt("k", &come)
	start(t, h, l, tg, func(c *Config) {
		tc := c.Targets["odoo"]
		tc.MaxAttempts, tc.RetryMin, tc.RetryMax = 2, 20*time.Millisecond, 20*time.Millisecond
		c.Targets["odoo"] = tc
	})
	first, second, other := unit("k", 1), unit("k", 2), unit("o", 1)
	h.send(first, second, other)
	until(t, "it was tried often", func() bool { tg.mu.Lock(); defer tg.mu.Unlock(); return tg.tries[first.ID] > 4 })
	row, hops, err := l.Unit(context.Background(), first.ID)
	if err != nil || row.Status != ledger.Parked || row.Attempts != 0 || row.WaitingSince.IsZero() || row.Class != "odoo.deferred" || row.Warning != "without its manager" {
		t.Errorf("it is %s after %d attempts, waiting since %s, %s, %q, %v", row.Status, row.Attempts, row.WaitingSince, row.Class, row.Warning, err)
	}
	if len(hops) != 1 || hops[0].What != "attempt" || hops[0].Reason == "" {
		t.Errorf("its history says one thing more than once: %+v", hops)
	}
	if n := tg.applied(second); n != 0 {
		t.Error("a later unit of its key went ahead")
	}
	until(t, "others go on", func() bool { return tg.applied(other) == 1 })
	come.Store(true)
	until(t, "both are in effect", func() bool { return status(t, l, second).Status == ledger.Applied })
	if row = status(t, l, first); row.Status != ledger.Applied || row.Attempts != 1 || !row.WaitingSince.IsZero() || row.Warning != "without its manager" {
		t.Errorf("it is %s after %d attempts, waiting since %s, %q", row.Status, row.Attempts, row.WaitingSince, row.Warning)
	}
	tg.orderKept(t)
}

func TestWhatWaitsTooLongForAnotherUnitIsADeadLetter(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var come atomic.Bool
	tg.script = untilIt("k", &come)
	start(t, h, l, tg, func(c *Config) {
		tc := c.Targets["odoo"]
		tc.DeferFor = 400 * time.Millisecond
		c.Targets["odoo"] = tc
	})
	first := unit("k", 1)
	h.send(first)
	until(t, "it is dead", func() bool { return status(t, l, first).Status == ledger.Dead })
	row := status(t, l, first)
	if waited := row.SettledAt.Sub(row.ClaimedAt); waited < 400*time.Millisecond || row.Class != "odoo.deferred" || !strings.HasPrefix(row.Reason, "given up after ") || !row.Hold {
		t.Errorf("dead after %s: %s %q, holds: %v", waited, row.Class, row.Reason, row.Hold)
	}
}

func TestTheLongerAUnitWaitsTheRarerItIsTried(t *testing.T) {
	t.Parallel()
	l := &lane{cfg: TargetConfig{RetryMin: 2 * time.Second, DeferFor: time.Hour}, queues: map[string][]*item{}}
	now := time.Now()
	for _, c := range []struct{ waited, want time.Duration }{
		{0, 2 * time.Second}, {time.Second, 2 * time.Second}, {time.Minute, time.Minute}, {20 * time.Minute, 15 * time.Minute},
		{55 * time.Minute, 5 * time.Minute},
	} {
		it := &item{p: &partition{held: keySet{}}, key: "k", unit: &broker.Unit{}, row: ledger.Unit{WaitingSince: now.Add(-c.waited)}}
		s := l.deferred(it, broker.Outcome{Result: broker.Deferred})
		if next := s.Unit.NextAttempt.Sub(now); (next-c.want).Abs() > time.Second || s.Unit.Status != ledger.Parked {
			t.Errorf("after %s: %s in %s, want %s", c.waited, s.Unit.Status, next, c.want)
		}
	}
}

// promising is a target that says how it keeps its promise once it was checked.
type promising struct {
	*target
	known atomic.Bool
}

func (p *promising) Promise() string {
	if p.known.Load() {
		return "addon"
	}
	return ""
}

func TestTheStatusSaysHowATargetKeepsItsPromiseBeforeAnyUnitComes(t *testing.T) {
	t.Parallel()
	h, tg := newHub(t), &promising{target: newTarget()}
	tg.check = func() error {
		if tg.checks < 3 {
			return errors.New("down")
		}
		tg.known.Store(true)
		return nil
	}
	k := start(t, h, newLedger(t), newTarget(), func(c *Config) {
		tc := c.Targets["odoo"]
		tc.Target = tg
		c.Targets["odoo"] = tc
	})
	until(t, "it is known", func() bool { return k.Status()[0].Promise == "addon" })
}
