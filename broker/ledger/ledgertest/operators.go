package ledgertest

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vagus-health/vagus/broker/ledger"
)

func discard(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two := unit(1, "k"), unit(2, "k")
	d.settle(dead(one, true), behind(two))
	if err := l.Discard(d.ctx, two.ID, "mona", "x"); err == nil {
		t.Error("a parked unit was discarded")
	}
	if err := l.Discard(d.ctx, "nosuchunit", "mona", "x"); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("a unit that is not there: %v", err)
	}
	if err := l.Discard(d.ctx, one.ID, "mona", "sent by mistake"); err != nil {
		t.Fatal(err)
	}
	d.wantDue(two)
	if err := l.Discard(d.ctx, one.ID, "mona", "again"); err == nil {
		t.Error("it was discarded twice")
	}
	u, hops, err := l.Unit(d.ctx, one.ID)
	if err != nil || u.Status != ledger.Discarded || u.Hold {
		t.Errorf("it is %s, %v", u.Status, err)
	}
	if h := hops[len(hops)-1]; h.What != "discarded" || h.By != "mona" || h.Reason != "sent by mistake" || time.Since(h.At).Abs() > time.Hour {
		t.Errorf("its last hop is %+v", h)
	}
}

// fill settles units of every fate and returns them by name.
func fill(d *desk) map[string]ledger.Unit {
	us := map[string]ledger.Unit{
		"applied": applied(unit(1, "a")), "skipped": skipped(unit(2, "")), "retrying": parked(unit(3, "c"), time.Now().Add(time.Hour)), "behind": behind(unit(4, "c")),
		"holds": dead(unit(5, "e"), true), "waits": behind(unit(6, "e")), "dead": dead(unit(7, ""), false), "unmapped": unmapped(unit(8, ""), true), "discarded": dead(unit(9, ""), false),
	}
	lab := us["applied"]
	lab.Feed, lab.Site, lab.Kind, lab.SenderID = "lab", "south", "ORU^R01", "L1"
	us["applied"] = lab
	claimed := unit(10, "")
	d.claim(claimed)
	var list []ledger.Unit
	for _, u := range us {
		list = append(list, u)
	}
	d.settle(list...)
	if err := d.Discard(d.ctx, us["discarded"].ID, "mona", "x"); err != nil {
		d.Fatal(err)
	}
	us["claimed"] = claimed
	return us
}

func filters(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	us := fill(d)
	names := map[string]string{}
	for n, u := range us {
		names[u.ID] = n
	}
	find := func(f ledger.Filter) (found []string) {
		t.Helper()
		got, err := l.Units(d.ctx, f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		for _, u := range got {
			found = append(found, names[u.ID])
			if u.Body != nil {
				t.Errorf("a list has a body")
			}
		}
		return found
	}
	all := []string{"claimed", "discarded", "unmapped", "dead", "waits", "holds", "behind", "retrying", "skipped", "applied"}
	at := func(n int) time.Time { return unit(n, "").ReceivedAt }
	for what, c := range map[string]struct {
		f    ledger.Filter
		want []string
	}{
		"everything":             {ledger.Filter{}, all},
		"feed":                   {ledger.Filter{Feed: "lab"}, all[9:]},
		"site":                   {ledger.Filter{Site: "north"}, all[:9]},
		"target":                 {ledger.Filter{Target: "other"}, nil},
		"kind":                   {ledger.Filter{Kind: "ORU^R01"}, all[9:]},
		"sender's id":            {ledger.Filter{SenderID: "C00003"}, []string{"retrying"}},
		"class":                  {ledger.Filter{Class: "odoo.ValidationError"}, []string{"discarded", "dead", "holds"}},
		"dead":                   {ledger.Filter{Status: []ledger.Status{ledger.Dead}}, []string{"unmapped", "dead", "holds"}},
		"dead and parked":        {ledger.Filter{Status: []ledger.Status{ledger.Dead, ledger.Parked}}, all[2:8]},
		"claimed and applied":    {ledger.Filter{Status: []ledger.Status{ledger.Claimed, ledger.Applied}}, []string{"claimed", "applied"}},
		"parked and applied":     {ledger.Filter{Status: []ledger.Status{ledger.Parked, ledger.Applied}}, []string{"waits", "behind", "retrying", "applied"}},
		"since":                  {ledger.Filter{Since: at(9)}, all[:2]},
		"until":                  {ledger.Filter{Until: at(3)}, all[8:]},
		"since and until":        {ledger.Filter{Since: at(4), Until: at(6)}, []string{"holds", "behind"}},
		"ids":                    {ledger.Filter{IDs: []string{us["dead"].ID, us["holds"].ID[:8], us["waits"].MessageID[:8], "nothing"}}, []string{"dead", "waits", "holds"}},
		"a percent sign":         {ledger.Filter{IDs: []string{"%%%%", "____"}}, nil},
		"a quote":                {ledger.Filter{SenderID: `' OR ''='`}, nil},
		"limit":                  {ledger.Filter{Limit: 3}, all[:3]},
		"a page":                 {ledger.Filter{Limit: 3, Before: us["unmapped"].ID}, all[3:6]},
		"the page after the end": {ledger.Filter{Before: us["applied"].ID}, nil},
		"all of it": {ledger.Filter{IDs: []string{us["dead"].ID}, Feed: "adt", Site: "north", Target: target, Kind: "ADT^A08", SenderID: "C00007", Class: "odoo.ValidationError",
			Status: []ledger.Status{ledger.Dead}, Since: at(7), Until: at(8), Limit: 5, Before: us["claimed"].ID}, []string{"dead"}},
	} {
		if diff := cmp.Diff(c.want, find(c.f), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("by %s (-want +got):\n%s", what, diff)
		}
	}
	var paged []string
	f := ledger.Filter{Limit: 4}
	for {
		page, err := l.Units(d.ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, u := range page {
			paged = append(paged, names[u.ID])
		}
		f.Before = page[len(page)-1].ID
	}
	want(t, "page by page", paged, all)
}

func byPrefix(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	one, two := unit(1, ""), unit(2, "")
	two.MessageID = one.MessageID
	two.ID = one.ID[:20] + "zzzzzzzzzzzz"
	d.claim(one, two)
	for prefix, want := range map[string]string{
		one.ID: one.ID, one.ID[:24]: one.ID, two.ID[:21]: two.ID,
		one.ID[:20]: "", one.MessageID: "", "": "", one.ID[:3]: "", "nosuchunit": "", one.ID + "x": "",
	} {
		u, _, err := l.Unit(d.ctx, prefix)
		if want == "" != errors.Is(err, ledger.ErrNotFound) || u.ID != want {
			t.Errorf("%q finds %q, %v, want %q", prefix, u.ID, err, want)
		}
	}
}

func history(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	d.claim(u)
	step := func(u ledger.Unit, n int) ledger.Unit {
		u.SettledAt = began.Add(time.Duration(n) * time.Minute)
		return u
	}
	first := step(parked(u, time.Now()), 1)
	second := step(dead(first, true), 2)
	d.settle(first)
	d.settle(second)
	r, err := l.PlanReplay(d.ctx, ledger.ReplayRequest{Filter: ledger.Filter{IDs: []string{u.ID}}, By: "mona"})
	if err == nil {
		err = l.StartReplay(d.ctx, r.ID, 0)
	}
	if err == nil {
		_, err = l.Requeue(d.ctx, r.ID, u.ID)
	}
	if err != nil {
		t.Fatal(err)
	}
	d.settle(step(applied(u), 3))
	_, hops, err := l.Unit(d.ctx, u.ID)
	if err != nil || len(hops) != 4 {
		t.Fatalf("history %+v, %v", hops, err)
	}
	hops[2].At = time.Time{} // the store's clock
	const took = 120 * time.Millisecond
	want(t, "history", hops, []ledger.Hop{
		{At: first.SettledAt, What: "attempt", Worker: "a", Took: took, Class: "odoo.timeout", Reason: "no answer within 30 s"},
		{At: second.SettledAt, What: "dead", Worker: "a", Took: took, Class: "odoo.ValidationError", Reason: "refused"},
		{What: "replay asked", By: "mona"},
		{At: began.Add(3 * time.Minute), What: "applied", Worker: "a", Took: took},
	})
	v := unit(2, "k")
	d.settle(behind(v))
	if _, hops, err = l.Unit(d.ctx, v.ID); err != nil || len(hops) != 1 || hops[0].What != "parked" {
		t.Errorf("waiting is %+v, %v", hops, err)
	}
}

func summary(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	if sums, err := l.Summary(d.ctx); err != nil || len(sums) != 0 {
		t.Errorf("of nothing: %v, %v", sums, err)
	}
	us := fill(d)
	last := us["applied"]
	last.SettledAt = began.Add(time.Hour)
	d.settle(last)
	sums, err := l.Summary(d.ctx)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(sums, func(a, b ledger.Summary) int { return strings.Compare(a.Site, b.Site) })
	for i := range sums {
		if sums[i].Site == "south" { // was settled before by the machine's clock
			if sums[i].LastApplied.Before(last.SettledAt) {
				t.Errorf("last applied %s", sums[i].LastApplied)
			}
			sums[i].LastApplied = last.SettledAt
		}
	}
	want(t, "summary", sums, []ledger.Summary{
		{Site: "north", Feed: "adt", Target: target, Counts: map[ledger.Status]int{ledger.Claimed: 1, ledger.Skipped: 1, ledger.Parked: 3, ledger.Dead: 3, ledger.Discarded: 1},
			OldestParked: us["retrying"].ReceivedAt, OldestDead: us["holds"].ReceivedAt},
		{Site: "south", Feed: "lab", Target: target, Counts: map[ledger.Status]int{ledger.Applied: 1}, LastApplied: last.SettledAt},
	})
}

func prune(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	us := fill(d)
	late := applied(unit(20, ""))
	late.SettledAt = time.Now().Add(time.Hour)
	d.settle(late)
	before := func(n int) int {
		t.Helper()
		got, err := l.Prune(d.ctx, time.Now().Add(time.Minute), n)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	r, err := l.PlanReplay(d.ctx, ledger.ReplayRequest{Filter: ledger.Filter{Status: []ledger.Status{ledger.Dead}}})
	if err == nil {
		err = l.StartReplay(d.ctx, r.ID, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	if n, err := l.Prune(d.ctx, began, 100); n != 0 || err != nil {
		t.Errorf("%d were settled before they came, %v", n, err)
	}
	if n := before(2); n != 2 {
		t.Errorf("%d were pruned, of 2 at once", n)
	}
	if n := before(100); n != 1 {
		t.Errorf("then %d, of 1 that is left", n)
	}
	if n := before(100); n != 0 {
		t.Errorf("then %d", n)
	}
	left, err := l.Units(d.ctx, ledger.Filter{})
	if err != nil || len(left) != 8 {
		t.Errorf("%d units are left, %v", len(left), err)
	}
	want(t, "claim of what was pruned", d.claim(us["skipped"]), []ledger.Claim{{}})
	if _, err := l.Replay(d.ctx, r.ID); err != nil {
		t.Errorf("a running replay was pruned: %v", err)
	}
	items, err := l.ReplayItems(d.ctx, r.ID, 0, 100, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range items {
		if _, err := l.Requeue(d.ctx, r.ID, it.Unit); err != nil {
			t.Fatal(err)
		}
	}
	if n := before(100); n != 1 {
		t.Errorf("%d, of a replay that is through", n)
	}
	if _, err := l.Replay(d.ctx, r.ID); !errors.Is(err, ledger.ErrNotFound) {
		t.Errorf("it was not: %v", err)
	}
	total := 0
	sums, err := l.Summary(d.ctx)
	for _, s := range sums {
		for _, n := range s.Counts {
			total += n
		}
	}
	if total != 9 || err != nil {
		t.Errorf("the summary counts %d units, %v", total, err)
	}
}
