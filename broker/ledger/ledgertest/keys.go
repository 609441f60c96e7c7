package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

func heldKey(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three, free := unit(1, "k"), unit(2, "k"), unit(3, "k"), unit(4, "free")
	d.claim(one, two, three, free)
	d.wantHeld()
	d.settle(parked(one, time.Now().Add(time.Hour)), applied(free))
	d.wantHeld(one)
	d.settle(behind(two), parked(three, time.Now().Add(-time.Hour))) // three may not jump the queue
	d.wantDue()
	d.wantHeld(one)
	if got := d.get(three); !got.NextAttempt.IsZero() {
		t.Errorf("the last one is due at %s", got.NextAttempt)
	}
	d.settle(parked(one, time.Now().Add(-time.Second)))
	d.wantDue(one)
	d.settle(applied(one))
	d.wantDue(two)
	d.settle(skipped(two))
	d.wantDue(three)
	d.settle(applied(three))
	d.wantDue()
	d.wantHeld()
}

func deadHolds(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three := unit(1, "k"), unit(2, "k"), unit(3, "k")
	d.settle(parked(one, time.Now()), behind(two), behind(three))
	d.settle(dead(one, true))
	d.wantDue()
	d.wantHeld(one)
	d.settle(dead(one, false))
	d.wantDue(two)
	d.settle(dead(two, false))
	d.wantDue(three)
	d.settle(dead(three, false))
	d.wantHeld()
	if !errors.Is(errors.Join(d.Discard(d.ctx, three.ID, "mona", "x")), nil) {
		t.Error("a dead unit that does not hold can not be discarded")
	}
}

func waitsForNobody(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two := unit(1, "k"), unit(2, "k")
	d.settle(dead(one, true))
	if err := d.Discard(d.ctx, one.ID, "mona", "x"); err != nil {
		t.Fatal(err)
	}
	d.settle(behind(two)) // by a worker that does not know yet
	d.wantDue(two)
}

func earlierComesLater(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three := unit(1, "k"), unit(2, "k"), unit(3, "k")
	d.settle(parked(two, time.Now()), behind(three))
	d.wantDue(two)
	d.settle(parked(one, time.Now().Add(time.Hour)))
	d.wantDue()
	d.settle(applied(one))
	d.wantDue(two)
}

func withoutKey(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, three, never := unit(1, ""), unit(2, ""), unit(3, ""), unit(4, "")
	d.settle(parked(one, time.Now()), behind(two), parked(three, time.Now()), dead(never, true))
	d.wantDue(one, two, three)
	d.wantHeld()
	us, err := d.Due(d.ctx, d.leases, 2)
	if err != nil || len(us) != 2 {
		t.Errorf("asked for 2 there are %d, %v", len(us), err)
	}
	var others []ledger.Lease
	for _, le := range d.leases {
		if le.Partition != one.Partition {
			others = append(others, le)
		}
	}
	us, err = d.Due(d.ctx, others, 1000)
	for _, u := range us {
		if u.Partition == one.Partition {
			t.Error("a unit of another partition is due")
		}
	}
	if err != nil {
		t.Error(err)
	}
}

func bodies(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	d.settle(parked(u, time.Now()))
	again := parked(u, time.Now())
	again.Body = nil
	d.settle(again)
	d.wantDue(u) // with its body
	d.settle(applied(u))
	again.NextAttempt = time.Now()
	d.settle(again) // it is back, by force
	if us := d.due(); len(us) != 1 || len(us[0].Body) != 0 {
		t.Errorf("the body of an applied unit was kept")
	}
}

func remapped(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two, skip := unit(1, "k"), unit(2, "k"), unit(3, "s")
	d.settle(unmapped(one, true), behind(two), skipped(skip))
	again := func(u ledger.Unit, request string) ledger.Unit {
		u.Seq, u.Request, u.Mapping, u.StoredAt = u.Seq+100, request, "adt@5#aaaa", u.StoredAt.Add(time.Hour)
		return u
	}
	want(t, "claim without a request", d.claim(one, skip), []ledger.Claim{{Status: ledger.Dead}, {Status: ledger.Skipped}})
	want(t, "claim with one", d.claim(again(one, "r1"), again(skip, "r1")), []ledger.Claim{{}, {}})
	want(t, "claim again", d.claim(again(one, "r1")), []ledger.Claim{{InDoubt: true}})
	d.wantHeld(one)
	d.settle(parked(again(one, "r1"), time.Now()), applied(again(skip, "r1")))
	d.wantDue(one)
	want(t, "claim when it is through", d.claim(again(one, "r1"), again(skip, "r1")), []ledger.Claim{{Status: ledger.Parked}, {Status: ledger.Applied}})
	got := d.get(one)
	if got.Seq != one.Seq || got.Mapping != "adt@5#aaaa" || got.Remappable {
		t.Errorf("mapped again it is %+v", got)
	}
	d.settle(applied(again(one, "")))
	d.wantDue(two)
	_, hops, err := l.Unit(d.ctx, skip.ID)
	if err != nil || len(hops) != 2 || hops[0].What != "skipped" || hops[1].What != "applied" {
		t.Errorf("history %+v, %v", hops, err)
	}
	third := unit(5, "x")
	d.settle(unmapped(third, true))
	d.claim(again(third, "r2"))
	d.settle(unmapped(again(third, "r2"), true)) // the new mapping fails too
	want(t, "the next request", d.claim(again(third, "r3")), []ledger.Claim{{}})
}

func remappedUnderAnotherKey(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two := unit(1, "old"), unit(2, "old")
	d.settle(unmapped(one, true), behind(two))
	now := unit(1, "new")
	now.Seq, now.Request = 100, "r1"
	if now.Partition == one.Partition || now.ID != one.ID {
		t.Fatal("this test needs two partitions")
	}
	var mine []ledger.Lease
	for _, le := range d.leases {
		if le.Partition == now.Partition {
			mine = append(mine, le)
		}
	}
	if _, err := l.Claim(d.ctx, mine, []ledger.Unit{now}); err != nil {
		t.Fatal(err)
	}
	if err := l.Settle(d.ctx, "a", mine, nil, []ledger.Settlement{{Unit: parked(now, time.Now())}}); err != nil {
		t.Fatal(err)
	}
	d.wantDue(now, two)
	d.wantHeld(now, two)
	if got := d.get(now); got.Key != now.Key || got.Partition != now.Partition || got.Seq != one.Seq {
		t.Errorf("it is %+v", got)
	}
}

func waitingSince(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	since := began.Add(time.Hour)
	first := parked(unit(1, "k"), time.Now().Add(-time.Second))
	first.WaitingSince = since
	d.settle(first, behind(unit(2, "k")), parked(unit(3, ""), time.Now().Add(time.Hour)))
	of := func(what string, waiting int, at, tried time.Time) {
		t.Helper()
		sums, err := l.Summary(d.ctx)
		if err != nil || len(sums) != 1 {
			t.Fatalf("%v, %v", sums, err)
		}
		if s := sums[0]; s.Waiting != waiting || !s.WaitingSince.Equal(at) || !s.OldestParked.Equal(tried) {
			t.Errorf("%s: %d wait since %s, the oldest that is tried again is of %s", what, s.Waiting, s.WaitingSince, s.OldestParked)
		}
	}
	of("one of three waits", 1, since, unit(3, "").ReceivedAt)
	if us := d.due(); len(us) != 1 || !us[0].WaitingSince.Equal(since) || us[0].Attempts != 1 {
		t.Errorf("due: %+v", us)
	}
	_, before, _ := l.Unit(d.ctx, first.ID)
	if err := l.Settle(d.ctx, d.name, d.leases, nil, []ledger.Settlement{{Unit: first, Attempt: true, Quiet: true}}); err != nil {
		t.Fatal(err)
	}
	if _, after, err := l.Unit(d.ctx, first.ID); err != nil || len(after) != len(before) {
		t.Errorf("a quiet settlement wrote %d lines of history, %v", len(after)-len(before), err)
	}
	d.settle(dead(d.get(first), true))
	of("a dead one does not wait", 0, time.Time{}, unit(3, "").ReceivedAt)
	again := func() {
		t.Helper()
		r, err := l.PlanReplay(d.ctx, ledger.ReplayRequest{Filter: ledger.Filter{IDs: []string{first.ID}}})
		if err == nil {
			err = l.StartReplay(d.ctx, r.ID, 0)
		}
		if err == nil {
			_, err = l.Requeue(d.ctx, r.ID, first.ID)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again()
	of("a dead one that is tried again waits for nothing yet", 0, time.Time{}, first.ReceivedAt)
	d.settle(first)
	again()
	of("it waits although a person asks to try it now", 1, since, unit(3, "").ReceivedAt)
	d.settle(applied(d.get(first)))
	of("it is through, and the one behind it is tried", 0, time.Time{}, unit(2, "k").ReceivedAt)
}
