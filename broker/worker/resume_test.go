package worker

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// restart stops the server, lets f work on its store, and starts it again at the
// same port.
func (h *hub) restart(f func()) {
	h.t.Helper()
	var port int
	if _, err := fmt.Sscanf(h.srv.Addr().String(), "127.0.0.1:%d", &port); err != nil {
		h.t.Fatal(err)
	}
	h.srv.Shutdown()
	h.srv.WaitForShutdown()
	f()
	h.start(port)
	until(h.t, "connected again", h.nc.IsConnected)
}

// copyDir copies a directory of regular files.
func copyDir(t testing.TB, to, from string) {
	t.Helper()
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
}

func TestAStreamThatWasCutShortIsReadAgainWhereItChanged(t *testing.T) {
	t.Parallel()
	for _, running := range []bool{true, false} {
		t.Run(fmt.Sprintf("worker running is %v", running), func(t *testing.T) {
			t.Parallel()
			h, tg, l := newHub(t), newTarget(), newLedger(t)
			first, second := series("k", 20, 3), series("k", 20, 6)[60:]
			keep := t.TempDir()
			h.send(first...)
			h.restart(func() { copyDir(t, filepath.Join(keep, "js"), filepath.Join(h.dir, "jetstream")) })
			p := start(t, h, l, tg, nil)
			h.send(second...)
			recorded := func(us []*broker.Unit) bool {
				return !slices.ContainsFunc(us, func(u *broker.Unit) bool { return status(t, l, u).Status != ledger.Applied })
			}
			until(t, "all recorded", func() bool { return recorded(first) && recorded(second) })
			if !running {
				p.end()
			}
			// The store falls back, and other units get the sequences of those that are gone.
			h.restart(func() { copyDir(t, filepath.Join(h.dir, "jetstream"), filepath.Join(keep, "js")) })
			third := series("other", 20, 3)
			h.send(third...)
			h.send(second...)
			if !running {
				start(t, h, l, tg, nil)
			}
			until(t, "the units with used sequences are applied", func() bool { return tg.applied(third...) == len(third) })
			last := unit("k0", 7)
			h.send(last)
			until(t, "and what follows", func() bool { return recorded(third) && tg.applied(last) == 1 })
			tg.orderKept(t)
			tg.set(func() {
				for _, u := range second {
					if n := tg.effects[u.ID]; n != 1 {
						t.Errorf("a unit that was sent again took effect %d times", n)
					}
				}
			})
		})
	}
}

func TestTheWorkerGoesOnAfterTheServerWasAway(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	us := series("k", 20, 6)
	start(t, h, l, tg, nil)
	h.send(us[:60]...)
	until(t, "some applied", func() bool { return tg.applied(us...) > 10 })
	h.restart(func() {})
	h.send(us[60:]...)
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
	tg.orderKept(t)
}

func TestAWorkerThatWasPausedTouchesNothingThatItLost(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var owner, violations atomic.Int64 // who may apply
	owner.Store(1)
	watch := func(me int64) broker.Target {
		return targetFunc{tg, func() {
			if owner.Load() != me {
				violations.Add(1)
			}
		}}
	}
	a := start(t, h, l, watch(1), nil)
	us := series("k", 64, 10)
	h.send(us[:320]...)
	until(t, "the first works", func() bool { return tg.applied(us...) > 100 })
	// What a asks of the ledger is not answered, as in a process that is stopped
	// right there, with units in hand.
	paused := make(chan struct{})
	a.set(func(k *killable) { k.pause = paused })
	until(t, "its leases have run out", func() bool { return !a.lanes[0].keeper.fresh() })
	owner.Store(2)
	start(t, h, l, watch(2), nil)
	h.send(us[320:]...)
	until(t, "the second took over", func() bool { return tg.applied(us...) == len(us) })
	a.set(func(k *killable) { k.pause, k.outcast = nil, true }) // with leases again it might rightly work
	close(paused)
	until(t, "the first noticed", func() bool { return a.Status()[0].Partitions == 0 })
	time.Sleep(200 * time.Millisecond)
	if n := violations.Load(); n > 0 {
		t.Errorf("the paused worker asked its target %d times after it had lost its leases", n)
	}
	tg.orderKept(t)
}

func (k *killable) set(f func(*killable)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

type targetFunc struct {
	*target
	before func()
}

func (f targetFunc) Apply(ctx context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	f.before()
	return f.target.Apply(ctx, us)
}

func TestAStopFinishesWhatIsUnderWayAndGivesLeasesBack(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	tg.fail = func(context.Context, []*broker.Unit) error {
		entered <- struct{}{}
		<-leave
		return nil
	}
	us := series("k", 20, 1)
	h.send(us...)
	p := start(t, h, l, tg, nil)
	<-entered
	p.stop()
	time.Sleep(50 * time.Millisecond)
	close(leave)
	<-p.done
	tg.set(func() {
		for id, n := range tg.effects {
			if row, _, err := l.Unit(t.Context(), id); n != 1 || err != nil || row.Status != ledger.Applied {
				t.Errorf("unit %s: %d effects, recorded as %q", id, n, row.Status)
			}
		}
		if len(tg.effects) == 0 {
			t.Error("the call under way was not finished")
		}
	})
	tg.set(func() { tg.fail = nil })
	begun := time.Now()
	q := start(t, h, l, tg, nil)
	until(t, "the next worker has all partitions", func() bool { return q.Status()[0].Partitions == broker.Partitions })
	if took := time.Since(begun); took > 1500*time.Millisecond {
		t.Errorf("the next worker waited %v: the leases were not given back", took)
	}
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
}

func TestNewRefusesWhatCanNotWork(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		"name":           {Targets: map[string]TargetConfig{"odoo": {Target: newTarget()}}},
		"no targets":     {Name: "w"},
		"implementation": {Name: "w", Targets: map[string]TargetConfig{"odoo": {}}},
		"a-z":            {Name: "w", Targets: map[string]TargetConfig{"Odoo.1": {Target: newTarget()}}},
	} {
		if _, err := New(nil, nil, cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want an error about %q, got %v", want, err)
		}
	}
}
