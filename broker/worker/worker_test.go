package worker

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

func TestUnitsArriveInOrderOnce(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var us []*broker.Unit
	for n := 1; n <= 20; n++ {
		for k := range 40 {
			us = append(us, unit(fmt.Sprint("k", k), n))
		}
	}
	h.send(us...)
	start(t, h, l, tg, nil)
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
	h.send(us[0], us[len(us)-1]) // sent again: nothing happens
	after := unit("k0", 21)
	h.send(after)
	until(t, "the last one applied", func() bool { return status(t, l, after).Status == ledger.Applied })
	tg.orderKept(t)
	tg.set(func() {
		for id, n := range tg.effects {
			if n != 1 {
				t.Errorf("unit %s took effect %d times", id, n)
			}
		}
		if tg.calls > len(us)/5 {
			t.Errorf("%d calls for %d units: batches do not form", tg.calls, len(us))
		}
	})
}

func TestOrderHoldsWhileWorkersComeGoAndDie(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	tg.fail = func(context.Context, []*broker.Unit) error { // slow, so that those who die have much in hand
		time.Sleep(20 * time.Millisecond)
		return nil
	}
	small := func(c *Config) {
		tc := c.Targets["odoo"]
		tc.Batch = 4
		c.Targets["odoo"] = tc
	}
	stop, sent := make(chan struct{}), make(chan []*broker.Unit)
	go func() {
		var us []*broker.Unit
		next := map[int]int{}
		for {
			select {
			case <-stop:
				sent <- us
				return
			default:
			}
			var some []*broker.Unit
			for range 20 {
				k := rand.IntN(100)
				next[k]++
				some = append(some, unit(fmt.Sprint("k", k), next[k]))
			}
			h.send(some...)
			us = append(us, some...)
			time.Sleep(40 * time.Millisecond)
		}
	}()
	live := []*process{start(t, h, l, tg, small)}
	pause := func() { time.Sleep(time.Duration(300+rand.IntN(500)) * time.Millisecond) }
	for _, want := range []int{4, 4, 2, 2, 1} {
		for len(live) < want {
			live = append(live, start(t, h, l, tg, small))
		}
		for len(live) > want {
			live[0].kill()
			live = live[1:]
		}
		pause()
		live[0].kill()
		live = append(live[1:], start(t, h, l, tg, small))
		pause()
	}
	close(stop)
	us := <-sent
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
	tg.orderKept(t)
	for _, u := range us[len(us)-100:] {
		until(t, "recorded", func() bool { return status(t, l, u).Status == ledger.Applied })
	}
	tg.set(func() { t.Logf("%d units, %d tries", len(us), tg.units) })
}

func TestTheRateIsOfTheLastTenSeconds(t *testing.T) {
	t.Parallel()
	var tl tally
	now := time.Unix(1_700_000_000, 0)
	for range 30 { // steps of half a second
		tl.add(now, 20)
		now = now.Add(time.Second / 2)
	}
	now = now.Add(-time.Second / 2)
	for _, want := range []struct {
		later time.Duration
		rate  float64
	}{{0, 40}, {5 * time.Second, 20}, {10 * time.Second, 0}, {time.Hour, 0}} {
		if got := tl.perSecond(now.Add(want.later)); got != want.rate {
			t.Errorf("%v later: %g, want %g", want.later, got, want.rate)
		}
	}
}
