package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker/ledger"
)

func (d *desk) plan(f ledger.Filter, allowStale bool) ledger.Replay {
	d.Helper()
	r, err := d.PlanReplay(d.ctx, ledger.ReplayRequest{Filter: f, AllowStale: allowStale, By: "mona"})
	if err != nil {
		d.Fatalf("plan: %v", err)
	}
	return r
}

func (d *desk) items(id string, pending bool) []ledger.ReplayItem {
	d.Helper()
	items, err := d.ReplayItems(d.ctx, id, 0, 1000, pending)
	if err != nil {
		d.Fatalf("items: %v", err)
	}
	return items
}

func (d *desk) start(r ledger.Replay) {
	d.Helper()
	if err := d.StartReplay(d.ctx, r.ID, 0); err != nil {
		d.Fatalf("start: %v", err)
	}
}

func (d *desk) wantRequeued(r ledger.Replay, u ledger.Unit, a ledger.Action) {
	d.Helper()
	for range 2 { // the second time changes nothing and says the same
		it, err := d.Requeue(d.ctx, r.ID, u.ID)
		if err != nil {
			d.Fatalf("requeue: %v", err)
		}
		want(d, "item", it, ledger.ReplayItem{Unit: u.ID, Action: a, Done: true})
	}
}

func plan(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	us := fill(d)
	r := d.plan(ledger.Filter{Target: target}, false)
	if len(r.ID) < 4 || time.Since(r.CreatedAt).Abs() > time.Hour {
		t.Errorf("plan %+v", r)
	}
	want(t, "plan", r, ledger.Replay{ID: r.ID, By: "mona", CreatedAt: r.CreatedAt, Total: 10, Actions: map[ledger.Action]int{
		ledger.RetryNow: 3, ledger.Waits: 3, ledger.Remap: 2, ledger.Nothing: 1, ledger.Gone: 1}})
	var planned []ledger.ReplayItem
	for _, p := range []struct {
		name string
		a    ledger.Action
	}{
		{"applied", ledger.Nothing}, {"skipped", ledger.Remap}, {"retrying", ledger.RetryNow}, {"behind", ledger.Waits}, {"holds", ledger.RetryNow},
		{"waits", ledger.Waits}, {"dead", ledger.RetryNow}, {"unmapped", ledger.Remap}, {"discarded", ledger.Gone}, {"claimed", ledger.Waits},
	} {
		planned = append(planned, ledger.ReplayItem{Unit: us[p.name].ID, Action: p.a})
	}
	want(t, "items", d.items(r.ID, false), planned)
	some, err := l.ReplayItems(d.ctx, r.ID, 2, 3, false)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "items from the third on", some, planned[2:5])
	other := d.plan(ledger.Filter{IDs: []string{us["dead"].ID}}, true)
	all, err := l.Replays(d.ctx)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "all plans", all, []ledger.Replay{other, r})
	if _, err := l.Replay(d.ctx, "nosuchreplay"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a plan that is not there: %v", err)
	}
	if none := d.plan(ledger.Filter{Feed: "none"}, false); none.Total != 0 || len(d.items(none.ID, false)) != 0 {
		t.Errorf("a plan of nothing: %+v", none)
	}
	d.wantDue()
}

func requeue(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	us := fill(d)
	r := d.plan(ledger.Filter{Target: target}, false)
	if _, err := l.Requeue(d.ctx, r.ID, us["dead"].ID); err == nil {
		t.Error("an item was carried out before the start")
	}
	if err := l.StartReplay(d.ctx, "nosuchreplay", 0); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("start of what is not there: %v", err)
	}
	d.start(r)
	d.start(r)
	for _, rate := range []float64{12.5, 0.25, 0} { // a start again changes the rate
		if err := l.StartReplay(d.ctx, r.ID, rate); err != nil {
			t.Fatal(err)
		}
		if got, err := l.Replay(d.ctx, r.ID); err != nil || got.Rate != rate || !got.Running {
			t.Errorf("started with rate %g: %+v, %v", rate, got, err)
		}
	}
	if _, err := l.Requeue(d.ctx, r.ID, "nosuchunit"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("an item that is not there: %v", err)
	}
	d.wantRequeued(r, us["dead"], ledger.RetryNow)
	d.wantDue(us["dead"])
	if got := d.get(us["dead"]); got.Status != ledger.Parked || got.Attempts != 0 {
		t.Errorf("it is %s after %d attempts", got.Status, got.Attempts)
	}
	d.wantRequeued(r, us["retrying"], ledger.RetryNow)
	d.wantDue(us["dead"], us["retrying"])
	d.wantRequeued(r, us["unmapped"], ledger.Remap)
	if got := d.get(us["unmapped"]); got.Status != ledger.Dead {
		t.Errorf("to be mapped again, it is %s", got.Status)
	}
	now, err := l.Replay(d.ctx, r.ID)
	if err != nil || now.Done != 3 || !now.Running || now.Total != 10 {
		t.Errorf("progress %+v, %v", now, err)
	}
	pending := d.items(r.ID, true)
	if len(pending) != 7 {
		t.Errorf("%d items are pending", len(pending))
	}
	for _, it := range pending {
		got, err := l.Requeue(d.ctx, r.ID, it.Unit)
		if err != nil || got.Action != it.Action {
			t.Errorf("planned %+v, done %+v, %v", it, got, err)
		}
	}
	now, err = l.Replay(d.ctx, r.ID)
	if err != nil || now.Done != 10 || now.Running || len(d.items(r.ID, true)) != 0 {
		t.Errorf("at the end %+v, %v", now, err)
	}
	if diff := cmp.Diff(r.Actions, now.Actions); diff != "" {
		t.Errorf("what was done is not what was planned:\n%s", diff)
	}
}

func decidedAgain(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three := unit(1, "k"), unit(2, "l"), unit(3, "m")
	d.settle(dead(one, true), dead(two, true), dead(three, false))
	r := d.plan(ledger.Filter{}, false)
	d.settle(applied(one), applied(unit(9, "m")))
	if err := l.Discard(d.ctx, two.ID, "mona", "x"); err != nil {
		t.Fatal(err)
	}
	d.start(r)
	d.wantRequeued(r, one, ledger.Nothing)
	d.wantRequeued(r, two, ledger.Gone)
	d.wantRequeued(r, three, ledger.Refused)
	now, err := l.Replay(d.ctx, r.ID)
	if err != nil {
		t.Fatal(err)
	}
	want(t, "what was done", now.Actions, map[ledger.Action]int{ledger.Nothing: 1, ledger.Gone: 1, ledger.Refused: 1})
	d.wantDue()
}

func stale(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	old, fresh, skip, last := unit(1, "k"), unit(3, "k"), unit(4, "k"), unit(5, "k")
	other := applied(unit(9, "k"))
	other.Target = "another"
	d.settle(dead(old, false), applied(unit(2, "k")), dead(fresh, false), skipped(skip))
	theirs, _, err := l.Lease(d.ctx, other.Target, "a", long)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(d.ctx, "a", theirs, nil, []ledger.Settlement{{Unit: other}}); err != nil {
		t.Fatal(err)
	}
	want(t, "plan", d.plan(ledger.Filter{Target: target}, false).Actions,
		map[ledger.Action]int{ledger.Refused: 1, ledger.Nothing: 1, ledger.RetryNow: 1, ledger.Remap: 1})
	d.settle(applied(last))
	want(t, "plan", d.plan(ledger.Filter{Target: target}, false).Actions, map[ledger.Action]int{ledger.Refused: 3, ledger.Nothing: 2})
	r := d.plan(ledger.Filter{Target: target}, true)
	want(t, "plan", r.Actions, map[ledger.Action]int{ledger.RetryNow: 2, ledger.Remap: 1, ledger.Nothing: 2})
	d.start(r)
	d.wantRequeued(r, old, ledger.RetryNow)
	d.wantDue(old)
}

func requeueHeld(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three := unit(1, "k"), unit(2, "k"), unit(3, "k")
	d.settle(dead(one, false), dead(two, true), behind(three))
	r := d.plan(ledger.Filter{}, false)
	d.start(r)
	d.wantRequeued(r, three, ledger.Waits)
	d.wantRequeued(r, two, ledger.RetryNow)
	d.wantDue(two)
	d.wantRequeued(r, one, ledger.RetryNow)
	d.wantDue(one)
	d.settle(applied(one))
	d.wantDue(two)
	d.settle(applied(two))
	d.wantDue(three)
}
