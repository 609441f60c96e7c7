package worker

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// keyed makes the n-th unit, with these keys.
func keyed(n int, keys ...string) *broker.Unit {
	u := unit(keys[0], n)
	for _, k := range keys[1:] {
		u.OtherKeys = append(u.OtherKeys, broker.OrderingKey([]byte("s"), k))
	}
	return u
}

func keysOf(u *broker.Unit) []string { return append([]string{u.Key}, u.OtherKeys...) }

// A scribe is a target that writes down in which order units take effect, and
// notices two of one key at once.
type scribe struct {
	mu     sync.Mutex
	order  []string // ids, each once
	busy   map[string]int
	faults []string
	before func(ctx context.Context, u *broker.Unit) error // outside of mu; may be nil
	fate   func(u *broker.Unit) broker.Outcome             // nil: Applied
}

func (s *scribe) Check(context.Context) error { return nil }

func (s *scribe) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	s.enter(us, 1)
	defer s.enter(us, -1)
	for _, u := range us {
		if s.before != nil {
			if err := s.before(ctx, u); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]broker.Outcome, len(us))
	for i, u := range us {
		if s.fate != nil {
			if out[i] = s.fate(u); out[i].Result != broker.Applied {
				continue
			}
		}
		if !slices.Contains(s.order, u.ID) {
			s.order = append(s.order, u.ID)
		}
	}
	return out, nil
}

func (s *scribe) enter(us []*broker.Unit, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.busy == nil {
		s.busy = map[string]int{}
	}
	for _, u := range us {
		for _, k := range keysOf(u) {
			if s.busy[k] += n; s.busy[k] > 1 {
				s.faults = append(s.faults, "two units of key "+k+" at once")
			}
		}
	}
}

func (s *scribe) has(us ...*broker.Unit) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !slices.ContainsFunc(us, func(u *broker.Unit) bool { return !slices.Contains(s.order, u.ID) })
}

// inOrder checks that the units took effect in this order as far as they have keys in common.
func (s *scribe) inOrder(t testing.TB, us ...*broker.Unit) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	at := map[string]int{}
	for i, id := range s.order {
		at[id] = i + 1
	}
	last, wrong := map[string]int{}, 0
	for n, u := range us {
		for _, k := range keysOf(u) {
			switch place := at[u.ID]; {
			case place == 0:
				t.Errorf("unit %d never took effect", n)
			case place < last[k]:
				wrong++
			default:
				last[k] = place
			}
		}
	}
	if wrong > 0 || len(s.faults) > 0 {
		t.Errorf("order was broken %d times; %s", wrong, strings.Join(s.faults, ", "))
	}
}

// two starts two workers that have half of the partitions each, and returns a
// key of each.
func two(t testing.TB, h *hub, l ledger.Ledger, tg broker.Target) (first, second *process, one, other string) {
	t.Helper()
	first, second = start(t, h, l, tg, named("first")), start(t, h, l, tg, named("second"))
	one, other = shared2(t, l)
	return first, second, one, other
}

func named(name string) func(*Config) { return func(c *Config) { c.Name = name } }

// shared2 waits until two workers have half of the partitions each and returns a
// key of the worker "first" and one of "second".
func shared2(t testing.TB, l ledger.Ledger) (one, other string) {
	t.Helper()
	var owners []ledger.PartitionState
	until(t, "each has its half", func() bool {
		var err error
		if owners, err = l.Cursors(t.Context(), "odoo"); err != nil {
			t.Fatal(err)
		}
		n := 0
		for _, p := range owners {
			if strings.HasPrefix(p.Owner, "first/") {
				n++
			} else if p.Owner == "" {
				return false
			}
		}
		return len(owners) == broker.Partitions && n == broker.Partitions/2
	})
	of := func(name string) string {
		for n := 0; ; n++ {
			key := fmt.Sprint("k", n)
			if strings.HasPrefix(owners[broker.Partition(broker.OrderingKey([]byte("s"), key), "")].Owner, name+"/") {
				return key
			}
		}
	}
	return of("first"), of("second")
}

// beside returns another key in the partition of one.
func beside(key string) string {
	in := func(k string) int { return broker.Partition(broker.OrderingKey([]byte("s"), k), "") }
	n := 0
	for in(fmt.Sprint("beside", n)) != in(key) {
		n++
	}
	return fmt.Sprint("beside", n)
}

func bothLedgers(t *testing.T, f func(t *testing.T, l ledger.Ledger)) {
	for name, open := range map[string]func(testing.TB) ledger.Ledger{"postgres": newLedger, "sqlite": newFileLedger} {
		t.Run(name, func(t *testing.T) { t.Parallel(); f(t, open(t)) })
	}
}

func settledAs(t testing.TB, l ledger.Ledger, want ledger.Status, us ...*broker.Unit) func() bool {
	return func() bool {
		return !slices.ContainsFunc(us, func(u *broker.Unit) bool { return status(t, l, u).Status != want })
	}
}
