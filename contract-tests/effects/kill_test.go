package effects_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// atOnce is how many scenarios run side by side: most of their time passes waiting
// for the leases of workers that were killed.
const atOnce = 8

// patience is for one scenario, kills and all, on a machine that has much else to do.
const patience = 3 * time.Minute

// left is what a scenario left behind.
type left struct {
	dump, history []string
	kills         []string
}

// through runs a scenario with a worker of its own.
func (sc scenario) through(t *testing.T, s *stack, o endpoint, prefix string, kill bool) (l left, err error) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	r, end, err := s.begin(t.TempDir(), o)
	defer func() {
		if ended := end(); err == nil {
			err = ended
		}
		if err != nil {
			err = fmt.Errorf("%w\nkilled after %v\n%s", err, l.kills, r.process.lastWords())
		}
	}()
	if err != nil {
		return l, err
	}
	k := &kit{prefix: prefix, version: o.version}
	if err := r.apply(ctx, sc.before(k)); err != nil {
		return l, err
	}
	var happened sync.Once
	var trouble error
	happen := func() { trouble = sc.meanwhile.happen(o, k) }
	if kill && sc.meanwhile.happen != nil {
		r.meanwhile = func(after string) {
			if after == sc.meanwhile.after {
				happened.Do(happen)
			}
		}
	}
	r.killer.armed.Store(kill)
	err = r.apply(ctx, sc.units(k))
	if err == nil && sc.meanwhile.happen != nil {
		happened.Do(happen)
		err = trouble
	}
	r.killer.mu.Lock()
	l.kills = r.killer.kills
	r.killer.mu.Unlock()
	if err != nil {
		return l, err
	}
	l.dump, err = o.dump(prefix)
	l.history = o.history(prefix)
	return l, err
}

func TestAWorkerThatIsKilledAfterEachStepLeavesWhatAnUndisturbedOneLeaves(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	type result struct {
		sc               scenario
		peace, disturbed left
		err              error
	}
	judge := func(t *testing.T, r result) {
		if r.err != nil {
			t.Fatal(r.err)
		}
		changed := slices.ContainsFunc(r.disturbed.kills, func(at string) bool { return strings.Contains(at, ".") })
		if !changed || !slices.Contains(r.disturbed.kills, "before") { // the last "after" may come too late
			t.Errorf("the worker was killed at %v, not after a change and before a settlement: nothing was tested", r.disturbed.kills)
		}
		if len(r.peace.dump) == 0 {
			t.Error("nothing is in the database")
		}
		t.Logf("killed after %s", strings.Join(r.disturbed.kills, ", "))
		if d := cmp.Diff(r.peace.dump, r.disturbed.dump); d != "" {
			t.Errorf("the database (-undisturbed +killed):\n%s", d)
		}
		if d := cmp.Diff(r.peace.history, r.disturbed.history); d != "" && r.sc.meanwhile.happen == nil {
			t.Errorf("what happened (-undisturbed +killed):\n%s", d)
		}
	}
	// each runs all scenarios, two at a time on a server that is not ours.
	each := func(name string, workers int, todo []scenario, of func() endpoint) {
		results := make([]result, len(todo))
		slots := make(chan struct{}, workers)
		var all sync.WaitGroup
		stamp := time.Now().UnixNano()
		for i, sc := range todo {
			peace, disturbed := of(), of()
			all.Go(func() {
				slots <- struct{}{}
				defer func() { <-slots }()
				r := result{sc: sc}
				r.peace, r.err = sc.through(t, s, peace, fmt.Sprintf("p%x-%d.", stamp, i), false)
				if r.err == nil {
					r.disturbed, r.err = sc.through(t, s, disturbed, fmt.Sprintf("k%x-%d.", stamp, i), true)
				}
				results[i] = r
			})
		}
		all.Wait()
		for _, r := range results {
			t.Run(name+"/"+r.sc.name, func(t *testing.T) { judge(t, r) })
		}
	}
	possible := func(e endpoint) (todo []scenario) {
		for _, sc := range scenarios {
			switch {
			case !e.has(sc.needs):
				t.Logf("%s: the database has no %s: %q is not checked on it", e.name, sc.needs, sc.name)
			default:
				todo = append(todo, sc)
			}
		}
		return todo
	}
	for _, addon := range []bool{false, true} {
		e := simulate(t, addon)
		each(e.name, atOnce, possible(e), func() endpoint { return simulate(t, addon) })
	}
	for _, e := range realOnes(t) {
		each(e.name, 2, possible(e), func() endpoint { return e })
	}
}
