package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// shared is one worker's way to a target that counts the calls of all.
type shared struct {
	*target
	all *crowd
	mu  sync.Mutex
	has int // partitions
}

type crowd struct {
	mu        sync.Mutex
	now, most int
}

func (s *shared) Share(part, whole int) {
	if whole != broker.Partitions {
		panic(whole)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.has = part
}

func (s *shared) part() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.has
}

func (s *shared) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	s.all.mu.Lock()
	s.all.now++
	s.all.most = max(s.all.most, s.all.now)
	s.all.mu.Unlock()
	time.Sleep(2 * time.Millisecond)
	defer func() {
		s.all.mu.Lock()
		s.all.now--
		s.all.mu.Unlock()
	}()
	return s.target.Apply(ctx, us)
}

func TestWorkersTogetherMakeNoMoreCallsAtOnceThanTheTargetTakes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ workers, concurrency, most int }{{1, 4, 4}, {2, 4, 4}, {4, 4, 4}, {3, 2, 3}} {
		t.Run(fmt.Sprintf("%d workers, %d calls", c.workers, c.concurrency), func(t *testing.T) {
			t.Parallel()
			h, l, tg, all := newHub(t), newLedger(t), newTarget(), &crowd{}
			var each []*shared
			for range c.workers {
				s := &shared{target: tg, all: all}
				each = append(each, s)
				start(t, h, l, s, func(cfg *Config) {
					tc := cfg.Targets["odoo"]
					tc.Target, tc.Concurrency, tc.Batch = s, c.concurrency, 4
					cfg.Targets["odoo"] = tc
				})
			}
			until(t, "each has its part", func() bool {
				sum := 0
				for _, s := range each {
					n := s.part()
					if n == 0 || n > (broker.Partitions+c.workers-1)/c.workers {
						return false
					}
					sum += n
				}
				return sum == broker.Partitions
			})
			us := series("k", 100, 4)
			h.send(us...)
			until(t, "all are applied", func() bool { return tg.applied(us...) == len(us) })
			tg.orderKept(t)
			all.mu.Lock()
			defer all.mu.Unlock()
			if all.most > c.most || all.most == 0 {
				t.Errorf("%d calls at once, want %d at most", all.most, c.most)
			}
		})
	}
}
