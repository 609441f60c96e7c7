package ledgertest

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// merge returns the n-th unit with several keys.
func merge(n int, keys ...string) ledger.Unit {
	u := unit(n, keys[0])
	for _, k := range keys[1:] {
		u.OtherKeys = append(u.OtherKeys, broker.OrderingKey([]byte("secret"), k))
	}
	return u
}

// gate is what a worker settles when the unit has reached its n-th other key.
func gate(u ledger.Unit, n int) ledger.Unit {
	u.Gate, u.Status, u.Body = u.OtherKeys[n], ledger.Parked, nil
	return u
}

func gates(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	m, b, c := merge(1, "a", "b", "c"), unit(2, "b"), unit(3, "c")
	d.claim(m)
	d.settle(behind(m))
	d.wantDue()
	d.settle(gate(m, 0))
	d.wantDue()
	d.settle(gate(m, 1), behind(b), behind(c))
	d.wantDue(m)
	d.settle(gate(m, 0)) // read again
	d.wantDue(m)
	if sums, err := l.Summary(d.ctx); err != nil || len(sums) != 1 || sums[0].Counts[ledger.Parked] != 3 {
		t.Errorf("with gates the summary is %+v, %v", sums, err)
	}
	if us, err := l.Units(d.ctx, ledger.Filter{Status: []ledger.Status{ledger.Parked}}); err != nil || len(us) != 3 {
		t.Errorf("with gates %d units are parked, %v", len(us), err)
	}
	d.settle(parked(m, time.Now().Add(time.Hour)))
	d.wantDue()
	d.settle(parked(m, time.Now().Add(-time.Second)))
	d.wantDue(m)
	d.wantHeld(m, b, c)
	d.settle(applied(m))
	d.wantDue(b, c)
	d.settle(applied(b), applied(c))
	d.wantHeld()
	if got := d.get(m); !cmp.Equal(got.OtherKeys, m.OtherKeys, cmpopts.SortSlices(less)) || got.Waits != nil {
		t.Errorf("it has the keys %v and waits for %v", got.OtherKeys, got.Waits)
	}
}

func gatesCross(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two := merge(1, "a", "b"), merge(2, "b", "a")
	d.settle(behind(two), gate(two, 0)) // first come, yet second in the stream
	d.wantDue(two)
	d.settle(gate(one, 0))
	d.wantDue()
	d.settle(behind(one))
	d.wantDue(one)
	d.settle(applied(one))
	d.wantDue(two)
	d.settle(applied(two))
	d.wantHeld()
	// The stream was cut short after a gate of three, and it stands behind four now.
	three, four := merge(3, "a", "b"), merge(4, "b", "a")
	d.settle(gate(three, 0), behind(four), gate(four, 0))
	three.Seq = 5
	d.settle(behind(three))
	d.wantDue(four)
	d.settle(applied(four))
	d.wantDue(three)
}

func gateBehind(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	b, m, x := unit(1, "b"), merge(2, "a", "b"), unit(3, "a")
	waits := func(u ledger.Unit, want ...ledger.Wait) {
		t.Helper()
		if diff := cmp.Diff(want, d.get(u).Waits); diff != "" {
			t.Errorf("what %d waits for (-want +got):\n%s", u.Seq, diff)
		}
	}
	d.settle(parked(b, time.Now().Add(time.Hour)), behind(m), behind(x))
	waits(m, ledger.Wait{Key: b.Key, Partition: b.Partition, Unit: b.ID})
	waits(x, ledger.Wait{Key: m.Key, Partition: m.Partition, Unit: m.ID})
	d.settle(gate(m, 0))
	d.wantDue()
	waits(m, ledger.Wait{Key: b.Key, Partition: b.Partition, Unit: b.ID})
	d.settle(applied(b))
	d.wantDue(m)
	waits(m)
	late := merge(5, "d", "e")
	d.settle(behind(late))
	waits(late, ledger.Wait{Key: late.OtherKeys[0], Partition: broker.Partition(late.OtherKeys[0], "")})
	r := start(t, d, late)
	if r.Actions[ledger.Waits] != 1 {
		t.Errorf("a replay of a unit that waits for a gate plans %v", r.Actions)
	}
}

// start plans a replay of units and starts it.
func start(t *testing.T, d *desk, us ...ledger.Unit) ledger.Replay {
	t.Helper()
	r, err := d.PlanReplay(d.ctx, ledger.ReplayRequest{Filter: ledger.Filter{IDs: ids(us)}})
	if err == nil {
		err = d.StartReplay(d.ctx, r.ID, 0)
	}
	if err != nil || r.Total != len(us) {
		t.Fatalf("replay of %d units: %d, %v", len(us), r.Total, err)
	}
	return r
}

func gateOfWhom(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	for n, of := range []struct {
		name string
		fate func(ledger.Unit) ledger.Unit // nil: not known
		held bool
	}{
		{"not known yet", nil, true},
		{"parked", behind, true},
		{"dead and holds", func(u ledger.Unit) ledger.Unit { return unmapped(u, true) }, true},
		{"dead and does not", func(u ledger.Unit) ledger.Unit { return unmapped(u, false) }, false},
		{"applied", applied, false},
		{"skipped", skipped, false},
	} {
		b := "b" + of.name
		m, later := merge(10*n+1, "a"+of.name, b), unit(10*n+2, b)
		if of.fate != nil {
			d.settle(of.fate(m))
		}
		d.settle(gate(m, 0), behind(later))
		if waits := d.get(later).NextAttempt.IsZero(); waits != of.held {
			t.Errorf("the gate of a unit that is %s holds its key: %t, want %t", of.name, waits, of.held)
		}
	}
	// It holds a key before its worker knows of it, and lets go when that says how it ended.
	for _, end := range []func(ledger.Unit) ledger.Unit{skipped, func(u ledger.Unit) ledger.Unit { return unmapped(u, false) }} {
		m, later := merge(101, "x", "y"), unit(102, "y")
		d.settle(gate(m, 0), behind(later), end(m))
		if d.get(later).NextAttempt.IsZero() {
			t.Error("the gate of a unit that came to nothing holds")
		}
		d.settle(applied(later))
	}
}

func gatesOfTheDead(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	m, a, b := merge(1, "a", "b"), unit(2, "a"), unit(3, "b")
	d.settle(behind(m), gate(m, 0), behind(a), behind(b))
	d.settle(dead(m, true))
	d.wantDue()
	d.wantHeld(m, b)
	if err := l.Discard(d.ctx, m.ID, "mona", "twice the same"); err != nil {
		t.Fatal(err)
	}
	d.wantDue(a, b)
	d.settle(applied(a), applied(b))
	d.wantHeld()
	m, a, b = merge(11, "a", "b"), unit(12, "a"), unit(13, "b")
	d.settle(behind(m), gate(m, 0), behind(a), behind(b))
	d.settle(dead(m, false))
	d.wantDue(a, b)
	d.settle(applied(a), applied(b))
	d.wantHeld()
}

func gatesAsked(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	m, b := merge(1, "a", "b"), unit(2, "b")
	d.settle(behind(m), gate(m, 0))
	d.settle(dead(m, false))
	d.settle(parked(b, time.Now().Add(-time.Second)))
	d.wantDue(b)
	r := start(t, d, m)
	if it, err := l.Requeue(d.ctx, r.ID, m.ID); err != nil || it.Action != ledger.RetryNow {
		t.Fatalf("requeue: %+v, %v", it, err)
	}
	us := d.due() // b goes behind it again, and the gate is to be put
	if len(us) != 1 || us[0].ID != m.ID || us[0].Gate != m.OtherKeys[0] || us[0].Partition != m.Partition {
		t.Fatalf("due is %+v", us)
	}
	us[0].Status = ledger.Parked
	us[0].OtherKeys = m.OtherKeys
	d.settle(us[0])
	d.wantDue(m)
	// One that holds has its gates still.
	d.settle(dead(m, true))
	r = start(t, d, m)
	if it, err := l.Requeue(d.ctx, r.ID, m.ID); err != nil || it.Action != ledger.RetryNow {
		t.Fatalf("requeue: %+v, %v", it, err)
	}
	d.wantDue(m)
	d.settle(applied(m))
	d.wantDue(b)
}

func gatesStale(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	for _, c := range []struct {
		name       string
		dead, next ledger.Unit
	}{
		{"one key, overtaken by a unit that has it as another", unit(1, "b"), merge(2, "a", "b")},
		{"another key, overtaken by a unit of it", merge(11, "c", "d"), unit(12, "d")},
		{"another key, overtaken by a unit that has it as another too", merge(21, "e", "f"), merge(22, "g", "f")},
	} {
		d.settle(dead(c.dead, false), applied(c.next))
		if r := start(t, d, c.dead); r.Actions[ledger.Refused] != 1 {
			t.Errorf("%s: the plan is %v", c.name, r.Actions)
		}
	}
}

func gatesRemapped(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	m, b, c := merge(1, "a", "b"), unit(2, "b"), unit(3, "c")
	d.settle(unmapped(m, true), gate(m, 0), behind(b))
	d.wantHeld(m, b)
	now := merge(1, "a", "c")
	now.Seq, now.Request = 100, "r1"
	d.claim(now)
	d.settle(behind(now))
	d.wantDue(b) // nothing holds it any more
	d.settle(gate(now, 0), behind(c))
	d.wantDue(now, b)
	if got := d.get(now); !cmp.Equal(got.OtherKeys, now.OtherKeys) || got.Seq != m.Seq {
		t.Errorf("it has the keys %v and the place %d", got.OtherKeys, got.Seq)
	}
	now.Request = ""
	d.settle(applied(now), applied(b))
	d.wantDue(c)
	// The gate comes first, of a unit that did not hold.
	m = merge(11, "d", "e")
	d.settle(unmapped(m, false))
	again := merge(11, "d", "e")
	again.Seq, again.Request = 111, "r2"
	e := unit(112, "e")
	d.settle(gate(again, 0), behind(e))
	d.claim(again)
	d.settle(behind(again))
	d.wantDue(c, again)
}

func gatesGuarded(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	m := merge(1, "a", "b")
	var home, there []ledger.Lease
	for _, le := range d.leases {
		switch le.Partition {
		case m.Partition:
			home = append(home, le)
		case broker.Partition(m.OtherKeys[0], ""):
			there = append(there, le)
		}
	}
	put := func(leases []ledger.Lease) error {
		return l.Settle(d.ctx, "a", leases, nil, []ledger.Settlement{{Unit: gate(m, 0)}})
	}
	if err := put(home); err == nil || errors.Is(err, ledger.ErrFenced) {
		t.Errorf("under the lease of the unit's partition: %v", err)
	}
	there[0].Token--
	if err := put(there); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("under a lease that was lost: %v", err)
	}
	there[0].Token++
	if err := put(there); err != nil {
		t.Error(err)
	}
	wrong := gate(m, 0)
	wrong.Status = ledger.Dead
	if err := l.Settle(d.ctx, "a", there, nil, []ledger.Settlement{{Unit: wrong}}); err == nil {
		t.Error("a gate can die")
	}
	d.settle(behind(m))
	d.wantDue(m)
}
