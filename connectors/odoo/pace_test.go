package odoo

import (
	"context"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestTheRowsOfACallFollowItsLatency(t *testing.T) {
	t.Parallel()
	const s = time.Second
	for name, c := range map[string]struct {
		most int
		each time.Duration // that a row takes
		own  time.Duration // that a call takes by itself
		want int           // after some calls that carry all they may
	}{
		"contacts on a fast server":           {50, 1300 * time.Microsecond, 20 * time.Millisecond, 50},
		"employees as measured":               {50, 15 * time.Millisecond, 90 * time.Millisecond, 50},
		"a server that is four times slower":  {50, 60 * time.Millisecond, 360 * time.Millisecond, 50},
		"one that is ten times slower":        {50, 150 * time.Millisecond, 900 * time.Millisecond, 25},
		"one that is hopeless":                {50, s, s, leastRows},
		"a small batch is never exceeded":     {7, time.Millisecond, time.Millisecond, 7},
		"a small batch is never below itself": {7, s, s, 7},
	} {
		p := pace{most: c.most, slow: slowCall, log: slog.New(slog.DiscardHandler)}
		for range 100 {
			n := p.rows("m")
			if p.took("m", n, c.own+time.Duration(n)*c.each); p.rows("m") > c.most {
				t.Fatalf("%s: %d rows", name, p.rows("m"))
			}
		}
		if got := p.rows("m"); got != c.want {
			t.Errorf("%s: %d rows, want %d", name, got, c.want)
		}
		for range 100 { // whatever it was, it was another model, or passes
			p.took("m", p.rows("m"), time.Millisecond)
		}
		if p.rows("other") != c.most || p.rows("m") != c.most {
			t.Errorf("%s: then %d, and %d of another model", name, p.rows("m"), p.rows("other"))
		}
	}
}

func TestASmallCallSaysNothingOfLargeOnes(t *testing.T) {
	t.Parallel()
	p := pace{most: 50, slow: slowCall, log: slog.New(slog.DiscardHandler)}
	for range 10 {
		p.took("m", 24, time.Minute) // it waited for a lock
	}
	if p.rows("m") != 50 {
		t.Error(p.rows("m"))
	}
	p.took("m", 25, time.Minute)
	if p.rows("m") != 25 {
		t.Error(p.rows("m"))
	}
	for range 10 {
		p.took("m", 12, time.Microsecond)
	}
	if p.rows("m") != 25 {
		t.Error(p.rows("m"))
	}
}

func TestASlowServerGetsFewerRowsInACall(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	target.pace.slow = time.Nanosecond // every call of a real clock is slower
	n := 0
	apply := func() int {
		before := sim.Calls()["res.partner.load"]
		var units []*broker.Unit
		for range 100 {
			n++
			units = append(units, &broker.Unit{ID: fmt.Sprint("u", n), Ops: []broker.Operation{upsert(fmt.Sprint("t.p", n), broker.Values{"name": "n"})}})
		}
		for _, o := range applyTo(t, target, units...) {
			if o.Result != broker.Applied {
				t.Fatal(o)
			}
		}
		after := sim.Calls()["res.partner.load"]
		return (after.Rows - before.Rows) / (after.Calls - before.Calls)
	}
	var sizes []int
	for range 4 {
		sizes = append(sizes, apply())
	}
	if sizes[0] != 50 || sizes[1] >= 25 || sizes[3] != leastRows {
		t.Errorf("rows a call: %v", sizes)
	}
	target.pace.slow = time.Hour
	for range 12 {
		sizes = append(sizes, apply())
	}
	if got := sizes[len(sizes)-1]; got != 50 {
		t.Errorf("rows a call, when the server is fast again: %v", sizes)
	}
}

func TestASlowServerGetsFewerUnitsInACallOfTheAddon(t *testing.T) {
	t.Parallel()
	sim, cfg := server(t, simulated.Config{Addon: true})
	cfg.Addon = "require"
	target := connect(t, cfg)
	n := 0
	calls := func() int {
		before := sim.Calls()["vagus.unit.apply"].Calls
		var units []*broker.Unit
		for range 100 {
			n++
			units = append(units, contact(fmt.Sprint("u", n), "n"))
		}
		wantApplied(t, applyTo(t, target, units...))
		return sim.Calls()["vagus.unit.apply"].Calls - before
	}
	got := []int{calls()}
	target.addon.pace.slow = time.Nanosecond // every call of a real clock is slower
	for range 4 {
		got = append(got, calls())
	}
	target.addon.pace.slow = time.Hour
	for range 4 {
		got = append(got, calls())
	}
	if last := len(got) - 1; got[0] != 1 || got[1] != 1 || got[2] < 2 || got[4] != 100/leastRows || got[last] != 1 {
		t.Errorf("calls for a hundred units: %v", got)
	}
}

func TestWithARateEveryCallCarriesWhatItCan(t *testing.T) {
	t.Parallel()
	target, err := New(Config{URL: "http://127.0.0.1:1", Database: "d", User: "u", Key: broker.NewSecret("k"), Rate: 1})
	if err != nil {
		t.Fatal(err)
	}
	target.pace.took("m", 60, time.Hour)
	if target.pace.rows("m") != 60 {
		t.Error(target.pace.rows("m"))
	}
}

func TestDocumentsTravelInSmallerCalls(t *testing.T) {
	t.Parallel()
	target := &Target{batch: 50, pace: pace{most: 50, log: slog.New(slog.DiscardHandler)}}
	for _, c := range []struct{ records, lines, calls, largest int }{{50, 0, 1, 50}, {51, 0, 2, 26}, {50, 1, 3, 17}, {20, 1, 1, 20}, {21, 1, 2, 11}, {50, 3, 4, 13}, {16, 3, 1, 16}, {17, 3, 2, 9}, {3, 60, 3, 1}} {
		var rows []*row
		for range c.records {
			r := &row{model: "m"}
			if c.lines > 0 {
				r.nested = &nested{lines: make([]nestedLine, c.lines)}
			}
			rows = append(rows, r)
		}
		got, largest := target.batches(rows), 0
		for _, b := range got {
			largest = max(largest, len(b))
		}
		if len(got) != c.calls || largest > c.largest {
			t.Errorf("%d records of %d lines: %d calls, the largest of %d; want %d and %d", c.records, c.lines, len(got), largest, c.calls, c.largest)
		}
	}
}

func TestACallThatTimesOutMakesTheNextSmaller(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	sim.Fail(simulated.Fault{Kind: simulated.FaultHangUp, Method: "load", Times: 1})
	target := newTarget(t, url, "jsonrpc")
	var units []*broker.Unit
	for n := range 50 {
		units = append(units, &broker.Unit{ID: fmt.Sprint("u", n), Ops: []broker.Operation{upsert(fmt.Sprint("t.p", n), broker.Values{"name": "n"})}})
	}
	if _, err := target.Apply(context.Background(), units); err != nil {
		t.Fatal(err)
	}
	if got := target.pace.rows("res.partner"); got >= 50 {
		t.Error(got)
	}
}
