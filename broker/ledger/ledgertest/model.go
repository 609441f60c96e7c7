package ledgertest

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// modelUnits are the units of one run: few, so that they meet.
const modelUnits = 10

// A fate is where the model has a unit.
type fate struct {
	Status     ledger.Status
	Class      string
	Attempts   int
	Key        string
	Hold       bool
	Remappable bool
	Waits      string // "", "now" or "later": its next attempt, if it is parked
	open       bool   // it was claimed for a request, and that has no outcome
}

// A sim is the ledger in the simplest way: units by their number, which is also
// their place in the order.
type sim struct {
	units map[int]*fate
}

// order gives each key the head that it has to have.
func (m *sim) order() {
	first := map[string]bool{}
	for n := range modelUnits {
		f := m.units[n]
		if f == nil || f.Key == "" || f.Status != ledger.Parked && !(f.Status == ledger.Dead && f.Hold) {
			continue
		}
		head := !first[f.Key]
		first[f.Key] = true
		switch {
		case f.Status != ledger.Parked:
		case !head:
			f.Waits = ""
		case f.Waits == "":
			f.Waits = "now"
		}
	}
}

func (m *sim) held() (keys []string) {
	for _, f := range m.units {
		if f.Key != "" && (f.Status == ledger.Parked || f.Status == ledger.Dead && f.Hold) && !slices.Contains(keys, f.Key) {
			keys = append(keys, f.Key)
		}
	}
	slices.Sort(keys)
	return keys
}

func (m *sim) action(n int, allowStale bool) ledger.Action {
	f := m.units[n]
	switch f.Status {
	case ledger.Claimed:
		return ledger.Waits
	case ledger.Applied:
		return ledger.Nothing
	case ledger.Discarded:
		return ledger.Gone
	case ledger.Parked:
		if f.Waits == "" {
			return ledger.Waits
		}
	case ledger.Skipped:
		if !f.Remappable {
			return ledger.Nothing
		}
	}
	for later := n + 1; later < modelUnits && !allowStale; later++ {
		if l := m.units[later]; l != nil && f.Key != "" && l.Key == f.Key && l.Status == ledger.Applied {
			return ledger.Refused
		}
	}
	if f.Remappable && f.Status != ledger.Parked {
		return ledger.Remap
	}
	return ledger.RetryNow
}

// A trial is one run of the model beside the ledger.
type trial struct {
	*rapid.T
	l      ledger.Ledger
	d      *desk
	sim    sim
	target string
	all    []ledger.Unit
}

var trials atomic.Int64

func model(t *testing.T, l ledger.Ledger) {
	rapid.Check(t, func(rt *rapid.T) {
		x := &trial{T: rt, l: l, sim: sim{units: map[int]*fate{}}, target: fmt.Sprintf("model-%d", trials.Add(1))}
		leases, _, err := l.Lease(t.Context(), x.target, "w", long)
		if err != nil {
			rt.Fatalf("lease: %v", err)
		}
		x.d = &desk{TB: t, Ledger: l, ctx: t.Context(), name: "w", leases: leases}
		for n := range modelUnits {
			u := unit(n, []string{"", "k", "k", "l"}[n%4])
			u.Target, u.Seq = x.target, uint64(n+1)
			u.MessageID = broker.NewMessageID("t", x.target, "adt", fmt.Sprint(n), nil)
			u.ID = broker.NewUnitID(u.MessageID, "adt")
			u.Partition = broker.Partition(u.Key, u.ID)
			if n%3 == 0 {
				u.Idem = "v"
			}
			x.all = append(x.all, u)
		}
		steps := []func(){x.claim, x.settle, x.settle, x.settle, x.discard, x.replay}
		for range rapid.IntRange(3, 9).Draw(rt, "steps") {
			rapid.SampledFrom(steps).Draw(rt, "step")()
			x.compare()
		}
	})
}

// some draws units, each once.
func (x *trial) some() []int {
	return rapid.SliceOfNDistinct(rapid.IntRange(0, modelUnits-1), 1, 4, rapid.ID[int]).Draw(x.T, "units")
}

func (x *trial) claim() {
	ns := x.some()
	request := rapid.SampledFrom([]string{"", "r1"}).Draw(x.T, "request")
	var us []ledger.Unit
	for _, n := range ns {
		u := x.all[n]
		if u.Request = request; request != "" && x.sim.units[n] != nil {
			u.Seq += 1000 // it is in the stream a second time
		}
		us = append(us, u)
	}
	got, err := x.l.Claim(x.d.ctx, x.d.leases, us)
	if err != nil {
		x.Fatalf("claim: %v", err)
	}
	want := make([]ledger.Claim, len(ns))
	for i, n := range ns {
		f := x.sim.units[n]
		switch {
		case f == nil:
			x.sim.units[n] = &fate{Status: ledger.Claimed, Key: x.all[n].Key}
		case f.Status == ledger.Claimed:
			want[i].InDoubt = true
		case request != "" && f.Remappable && (f.Status == ledger.Dead || f.Status == ledger.Skipped):
			want[i].InDoubt, f.open = f.open, true
		default:
			want[i].Status = f.Status
		}
	}
	for i, n := range ns {
		for m := range modelUnits {
			if x.all[n].Idem != "" && m != n && x.all[m].Idem != "" && x.sim.units[m] != nil && x.all[m].Seq < x.all[n].Seq {
				want[i].Collision = true
			}
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		x.Fatalf("claim of %v (-want +got):\n%s", ns, diff)
	}
}

func (x *trial) settle() {
	var done []ledger.Settlement
	for _, n := range x.some() {
		u := x.all[n]
		fates := map[string]func(ledger.Unit) ledger.Unit{
			"applied": applied, "skipped": skipped, "behind": behind,
			"due":      func(u ledger.Unit) ledger.Unit { return parked(u, time.Now().Add(-time.Hour)) },
			"later":    func(u ledger.Unit) ledger.Unit { return parked(u, time.Now().Add(time.Hour)) },
			"holds":    func(u ledger.Unit) ledger.Unit { return dead(u, true) },
			"dead":     func(u ledger.Unit) ledger.Unit { return dead(u, false) },
			"unmapped": func(u ledger.Unit) ledger.Unit { return unmapped(u, true) },
		}
		name := rapid.SampledFrom([]string{"applied", "skipped", "behind", "due", "later", "holds", "dead", "unmapped"}).Draw(x.T, "fate")
		u = fates[name](u)
		u.Request = rapid.SampledFrom([]string{"", "r1"}).Draw(x.T, "request")
		f := &fate{Status: u.Status, Class: u.Class, Attempts: u.Attempts, Key: u.Key, Hold: u.Hold, Remappable: u.Remappable}
		switch {
		case name == "due" || name == "behind" && u.Key == "":
			f.Waits = "now"
		case name == "later":
			f.Waits = "later"
		}
		x.sim.units[n] = f
		done = append(done, ledger.Settlement{Unit: u, Attempt: u.Attempts > 0})
	}
	if err := x.l.Settle(x.d.ctx, "w", x.d.leases, nil, done); err != nil {
		x.Fatalf("settle: %v", err)
	}
	x.sim.order()
}

func (x *trial) discard() {
	n := x.some()[0]
	err := x.l.Discard(x.d.ctx, x.all[n].ID, "mona", "x")
	f := x.sim.units[n]
	if is := f != nil && f.Status == ledger.Dead; is != (err == nil) {
		x.Fatalf("discard of a unit that is %+v: %v", f, err)
	}
	if err == nil {
		f.Status, f.Hold, f.Remappable = ledger.Discarded, false, false
		x.sim.order()
	}
}

func (x *trial) replay() {
	allow := rapid.Bool().Draw(x.T, "allow stale")
	r, err := x.l.PlanReplay(x.d.ctx, ledger.ReplayRequest{Filter: ledger.Filter{Target: x.target}, AllowStale: allow})
	if err == nil {
		err = x.l.StartReplay(x.d.ctx, r.ID, 0)
	}
	if err != nil || r.Total != len(x.sim.units) {
		x.Fatalf("plan of %d units, want %d: %v", r.Total, len(x.sim.units), err)
	}
	planned := map[ledger.Action]int{}
	for n := range x.sim.units {
		planned[x.sim.action(n, allow)]++
	}
	if diff := cmp.Diff(planned, r.Actions, cmpopts.EquateEmpty()); diff != "" {
		x.Fatalf("plan (-want +got):\n%s", diff)
	}
	for _, n := range x.some() {
		f := x.sim.units[n]
		if f == nil {
			continue
		}
		want := x.sim.action(n, allow)
		it, err := x.l.Requeue(x.d.ctx, r.ID, x.all[n].ID)
		if err != nil || it.Action != want || !it.Done {
			x.Fatalf("requeue of %+v: %+v, %v, want %q", f, it, err, want)
		}
		if want == ledger.RetryNow {
			if f.Status == ledger.Dead {
				f.Status, f.Attempts, f.Hold = ledger.Parked, 0, false
			}
			f.Waits = "now"
			x.sim.order()
		}
	}
}

// compare reads all that the ledger tells and compares it with the model.
func (x *trial) compare() {
	us, err := x.l.Units(x.d.ctx, ledger.Filter{Target: x.target})
	if err != nil {
		x.Fatalf("units: %v", err)
	}
	got := map[int]*fate{}
	number := map[string]int{}
	for n, u := range x.all {
		number[u.ID] = n
	}
	for _, u := range us {
		n := number[u.ID]
		f := &fate{Status: u.Status, Class: u.Class, Attempts: u.Attempts, Key: u.Key, Hold: u.Hold, Remappable: u.Remappable}
		switch {
		case u.NextAttempt.IsZero():
		case u.NextAttempt.After(time.Now()):
			f.Waits = "later"
		default:
			f.Waits = "now"
		}
		got[n] = f
	}
	counts := map[ledger.Status]int{}
	var due []string
	for n, f := range x.sim.units {
		counts[f.Status]++
		if f.Waits == "now" {
			due = append(due, x.all[n].ID)
		}
	}
	if diff := cmp.Diff(x.sim.units, got, cmpopts.IgnoreUnexported(fate{})); diff != "" {
		x.Fatalf("units (-want +got):\n%s", diff)
	}
	heads, err := x.l.Due(x.d.ctx, x.d.leases, 100)
	if diff := cmp.Diff(due, ids(heads), cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare)); diff != "" || err != nil {
		x.Fatalf("due (%v, -want +got):\n%s", err, diff)
	}
	keys, err := x.l.HeldKeys(x.d.ctx, x.d.leases)
	if diff := cmp.Diff(x.sim.held(), keys, cmpopts.EquateEmpty()); diff != "" || err != nil {
		x.Fatalf("held keys (%v, -want +got):\n%s", err, diff)
	}
	sums, err := x.l.Summary(x.d.ctx)
	if err != nil {
		x.Fatalf("summary: %v", err)
	}
	counted := map[ledger.Status]int{}
	for _, s := range sums {
		if s.Target == x.target {
			counted = s.Counts
		}
	}
	if diff := cmp.Diff(counts, counted, cmpopts.EquateEmpty()); diff != "" {
		x.Fatalf("summary (-want +got):\n%s", diff)
	}
}
