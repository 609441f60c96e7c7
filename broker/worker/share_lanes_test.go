package worker

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// laned returns n units of a lane, each of a key of its own.
func laned(lane string, n int) []*broker.Unit {
	us := make([]*broker.Unit, n)
	for i := range us {
		us[i] = unit(fmt.Sprint(lane, "-", i), 1)
		us[i].Lane = lane
	}
	return us
}

// counted notes the lanes of what it applies, in order, and stands until it is let go.
type counted struct {
	*target
	mu    sync.Mutex
	lanes []string
	gate  chan struct{}
}

func (c *counted) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	select {
	case <-c.gate:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	c.mu.Lock()
	for _, u := range units {
		c.lanes = append(c.lanes, u.Lane)
	}
	c.mu.Unlock()
	return c.target.Apply(ctx, units)
}

func TestLanesShareATargetByWeight(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		weights map[string]int
		want    map[string]int // at least, of 240
	}{
		{"as it is without settings", nil, map[string]int{"": 160, "bulk": 40, "replay": 20, "synthetic": 20}},
		{"as the settings say", map[string]int{"live": 1, "bulk": 1, "replay": 1, "synthetic": 1}, map[string]int{"": 60, "bulk": 60, "replay": 60, "synthetic": 60}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h, l, tg := newHub(t), newFileLedger(t), &counted{target: newTarget(), gate: make(chan struct{})}
			bulk := laned("bulk", 10_000)
			// The same keys stand in two lanes: before and behind each other.
			for i := range 50 {
				bulk[5000+i] = unit(fmt.Sprint("both-", i), 1)
				bulk[5000+i].Lane = "bulk"
				bulk[9000+i] = unit(fmt.Sprint("both-", i), 3)
				bulk[9000+i].Lane = "bulk"
			}
			all := slices.Concat(bulk[:8000], laned("replay", 400), laned("synthetic", 400))
			last := laned("", 400)
			for i := range 50 {
				last[350+i] = unit(fmt.Sprint("both-", i), 2)
			}
			all = slices.Concat(all, last, bulk[8000:])
			h.send(all...)
			w := start(t, h, l, tg, func(c *Config) {
				c.LeaseTTL = time.Minute // a ledger that is slow on a busy machine does not make the hand smaller
				tc := c.Targets["odoo"]
				tc.Batch, tc.Concurrency, tc.Lanes = 4, 1, tt.weights
				c.Targets["odoo"] = tc
			})
			waiting := func(lane string) int {
				for _, s := range w.Status()[0].Lanes {
					if s.Lane == lane {
						return s.Waiting
					}
				}
				return 0
			}
			until(t, "all are in hand or aside while the target stands", func() bool {
				return waiting("bulk") >= 9_900 && waiting("replay") == 400 && waiting("synthetic") == 400 && waiting("live") >= 400
			})
			close(tg.gate)
			until(t, "the target went on", func() bool { return tg.applied(all...) >= 260 })
			tg.mu.Lock()
			got := map[string]int{}
			for _, lane := range tg.lanes[4:244] { // the first call was under way before
				got[lane]++
			}
			tg.mu.Unlock()
			for lane, n := range tt.want {
				if got[lane] < n-8 {
					t.Errorf("of 240 units %d were of lane %q, its part is %d", got[lane], lane, n)
				}
			}
			tg.orderKept(t)
		})
	}
}

func TestAKeyInTwoLanesKeepsItsOrder(t *testing.T) {
	t.Parallel()
	h, l, tg := newHub(t), newLedger(t), newTarget()
	var all []*broker.Unit
	for i := range 1500 {
		u := unit(fmt.Sprint("k", i%40), i+1)
		u.Lane = []string{"bulk", "bulk", "", "synthetic", "bulk", "replay", "bulk"}[i%7]
		if i%97 == 0 {
			u.OtherKeys = []string{unit(fmt.Sprint("k", (i+1)%40), 0).Key}
		}
		all = append(all, u)
	}
	h.send(all[:700]...)
	small := func(c *Config) {
		tc := c.Targets["odoo"]
		tc.Take, tc.Batch = 24, 5
		c.Targets["odoo"] = tc
	}
	first := start(t, h, l, tg, small)
	until(t, "it begins", func() bool { return tg.applied(all...) > 100 })
	second := start(t, h, l, tg, small) // takes half of the partitions over
	h.send(all[700:]...)
	until(t, "it goes on", func() bool { return tg.applied(all...) > 400 })
	first.kill()
	until(t, "all are applied", func() bool { return tg.applied(all...) == len(all) })
	until(t, "and settled", func() bool {
		s := second.Status()[0]
		return s.InHand == 0 && s.Backlog == 0
	})
	tg.orderKept(t)
	for _, u := range all {
		if n := tg.effects[u.ID]; n > 2 { // killed between effect and record: once more
			t.Errorf("unit %s had %d effects", u.ID, n)
		}
	}
}

func TestWhatAPersonAsksForAgainIsOfItsLane(t *testing.T) {
	t.Parallel()
	u := unit("k", 1)
	u.Lane = "bulk"
	body, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	row := func(attempts int, class string) ledger.Unit {
		return ledger.Unit{ID: u.ID, Key: u.Key, Attempts: attempts, Class: class, Body: broker.PHI(body)}
	}
	for _, tt := range []struct {
		name string
		row  ledger.Unit
		want track
	}{
		{"a dead letter that is tried again", row(0, "odoo.ValidationError"), replayed},
		{"one that failed before", row(2, "odoo.ValidationError"), bulk},
		{"one that waited behind another", row(0, ""), bulk},
	} {
		if got := dueItem(&partition{}, tt.row).track; got != tt.want {
			t.Errorf("%s is of lane %s, want %s", tt.name, broker.Lanes[got], broker.Lanes[tt.want])
		}
	}
}
