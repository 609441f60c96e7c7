package main

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/internal/ops/opstest"
)

var records = []broker.Record{{Op: "patient", Model: "res.partner", ID: 4711, Made: true}, {Op: "kin#1", Model: "res.partner", ID: 4712}}

// newLedger is a real one, empty.
func newLedger(t testing.TB) ledger.Ledger {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ledger.db")
	if _, err := sqlite.Migrate(t.Context(), path); err != nil {
		t.Fatal(err)
	}
	l, err := sqlite.Open(t.Context(), path, sqlite.Config{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close the ledger: %v", err)
		}
	})
	return l
}

func stage(t *testing.T, edit func(*opstest.Stage)) (*opstest.Stage, opstest.Filled) {
	t.Helper()
	l := newLedger(t)
	f := opstest.Fill(t, l)
	return opstest.Serve(t, l, edit), f
}

// statusOf asks the ledger itself.
func statusOf(t *testing.T, l ledger.Ledger, id string) ledger.Status {
	t.Helper()
	u, _, err := l.Unit(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return u.Status
}

func TestOneUnitIsReplayedWithoutAQuestion(t *testing.T) {
	t.Parallel()
	s, f := stage(t, nil)
	r := newRun(t.Context())
	r.console.now = time.Now
	if code := r.do(t, s.URL, "replay", f.Held[:8], "--rate", "5"); code != 0 {
		t.Fatalf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
	if rate := <-s.Rates; rate != 5 {
		t.Errorf("rate %g", rate)
	}
	for _, id := range append(f.Behind, f.Held) { // what waited behind it goes on
		for deadline := time.Now().Add(10 * time.Second); statusOf(t, s.Ledger, id) != ledger.Applied; {
			if time.Now().After(deadline) {
				t.Fatalf("unit %s is %s", id, statusOf(t, s.Ledger, id))
			}
			<-time.After(5 * time.Millisecond)
		}
	}
	if out := r.out.String(); !strings.Contains(out, "1 in all, made by mona") || !strings.Contains(out, "applied") {
		t.Errorf("out: %s", out)
	}
}

func TestAReplayOfManyShowsItsPlanAndAsks(t *testing.T) {
	t.Parallel()
	s, f := stage(t, nil)
	untouched := func(why string) {
		t.Helper()
		if len(s.Rates) != 0 || statusOf(t, s.Ledger, f.Held) != ledger.Dead {
			t.Fatalf("%s: it was started all the same", why)
		}
	}
	args := []string{"replay", "--query", "status=dead,parked"}

	r := newRun(t.Context()) // nobody to ask
	if code := r.do(t, s.URL, args...); code != 1 || !strings.Contains(r.err.String(), "--yes") || !strings.Contains(r.out.String(), "dead or waiting: tried again now") {
		t.Errorf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
	untouched("nobody to ask")

	for _, answer := range []string{"n\n", "\n", "", "perhaps\n"} {
		r = newRun(t.Context())
		r.console.ask, r.console.in = true, strings.NewReader(answer)
		if code := r.do(t, s.URL, args...); code != 1 || !strings.Contains(r.err.String(), "Try 4 again? [y/N]") {
			t.Errorf("answer %q: exit %d: %s", answer, code, r.err.String())
		}
		untouched("answer " + answer)
	}

	r = newRun(t.Context())
	if code := r.do(t, s.URL, append(args, "--dry-run")...); code != 0 || !strings.Contains(r.err.String(), "vagus replay --resume ") {
		t.Errorf("dry run: exit %d: %s", code, r.err.String())
	}
	untouched("dry run")

	// Exactly the plan that was shown: a unit that died since is not taken along.
	_, id, _ := strings.Cut(strings.TrimSpace(r.err.String()), "--resume ")
	s.Refuse[f.Rejected] = true
	r = newRun(t.Context())
	r.console.now = time.Now
	r.console.ask, r.console.in = true, strings.NewReader("yes\n")
	if code := r.do(t, s.URL, "replay", "--resume", id, "-o", "json"); code != 1 {
		t.Errorf("a replay that leaves one dead: exit %d: %s", code, r.err.String())
	}
	var got struct {
		Replay ledger.Replay
		Groups []replayGroup
	}
	if err := json.Unmarshal([]byte(r.out.String()), &got); err != nil {
		t.Fatalf("%v: %s", err, r.out.String())
	}
	units := map[replayGroup]int{}
	for _, g := range got.Groups {
		n := g.Units
		g.Units = 0
		units[g] = n
	}
	g := replayGroup{Feed: "adt", Target: "odoo", Kind: "ADT^A08"}
	for _, want := range []struct {
		action ledger.Action
		now    ledger.Status
		class  string
		units  int
	}{
		{ledger.RetryNow, ledger.Applied, "", 2}, {ledger.RetryNow, ledger.Dead, "odoo.ValidationError", 1},
		{ledger.Remap, ledger.Dead, "mapping.required", 1}, {ledger.Waits, ledger.Applied, "", 2},
	} {
		g.Action, g.Now, g.Class = want.action, want.now, want.class
		if units[g] != want.units {
			t.Errorf("%+v: %d units, want %d in %s", g, units[g], want.units, r.out.String())
		}
	}
	if got.Replay.Done != got.Replay.Total || got.Replay.ID != id {
		t.Errorf("replay: %+v", got.Replay)
	}
}

func TestWhatIsAppliedIsLeftAlone(t *testing.T) {
	t.Parallel()
	s, f := stage(t, nil)
	r := newRun(t.Context())
	if code := r.do(t, s.URL, append([]string{"replay"}, f.Applied...)...); code != 0 || !strings.Contains(r.err.String(), "nothing is to be done") || len(s.Rates) != 0 {
		t.Errorf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
}

func TestControlCLeavesAReplayRunningAndResumeFollowsIt(t *testing.T) {
	t.Parallel()
	s, f := stage(t, func(s *opstest.Stage) { s.Gate = make(chan struct{}) })
	ctx, interrupt := context.WithCancel(t.Context())
	r := newRun(ctx)
	r.console.now = time.Now
	code := make(chan int, 1)
	go func() { code <- r.do(t, s.URL, "replay", "--query", "status=dead,parked", "--yes") }()
	s.Gate <- struct{}{} // it runs
	s.Gate <- struct{}{} // and the first unit is through
	for deadline := time.Now().Add(10 * time.Second); !strings.Contains(r.err.String(), " of 6"); {
		if time.Now().After(deadline) {
			t.Fatalf("it is not watched: %s", r.err.String())
		}
		<-time.After(5 * time.Millisecond)
	}
	interrupt()
	if got := <-code; got != 130 {
		t.Errorf("exit %d: %s", got, r.err.String())
	}
	if !strings.Contains(r.err.String(), "the worker goes on with it") {
		t.Fatalf("err: %s", r.err.String())
	}
	_, id, _ := strings.Cut(strings.TrimSpace(r.err.String()), "--resume ")

	r = newRun(t.Context())
	r.console.now = time.Now
	go func() { code <- r.do(t, s.URL, "replay", "--resume", id, "--rate", "40") }()
	if first, second := <-s.Rates, <-s.Rates; first != 0 || second != 40 {
		t.Errorf("it was started at rate %g, then %g", first, second)
	}
	close(s.Gate)
	if got := <-code; got != 0 {
		t.Errorf("resumed: exit %d: %s%s", got, r.out.String(), r.err.String())
	}
	if len(s.Rates) != 0 {
		t.Errorf("it was started %d times more", len(s.Rates))
	}
	if !strings.Contains(r.err.String(), "6 of 6") {
		t.Errorf("no progress: %s", r.err.String())
	}
	if statusOf(t, s.Ledger, f.Held) != ledger.Applied {
		t.Error("the dead unit is not applied")
	}
	// Once more: it is through, and tells again what became of it.
	r = newRun(t.Context())
	if got := r.do(t, s.URL, "replay", "--resume", id); got != 0 || !strings.Contains(r.out.String(), "applied") {
		t.Errorf("resumed when through: exit %d: %s%s", got, r.out.String(), r.err.String())
	}
}

func TestProgressIsDrawnOnATerminalAndToldElsewhere(t *testing.T) {
	t.Parallel()
	for live, want := range map[bool]string{
		true:  "\r\x1b[K[..............................] 0 of 200\r\x1b[K[###############...............] 100 of 200, 10/s, 10s to go\r\x1b[K[##############################] 200 of 200, 20/s\n",
		false: "0 of 200\n100 of 200, 10/s, 10s to go\n200 of 200, 20/s\n",
	} {
		r := newRun(t.Context())
		r.console.live = live
		p := &progress{c: r.console, total: 200, start: opstest.Now}
		p.show(0)
		r.console.now = func() time.Time { return opstest.Now.Add(10 * time.Second) }
		p.show(100)
		if !live {
			p.show(101) // the same tenth: not worth a line
		}
		p.show(200)
		p.end()
		if got := r.err.String(); got != want {
			t.Errorf("live %v: %q", live, got)
		}
	}
}

func TestNoCommandPrintsTheContentOfAMessage(t *testing.T) {
	t.Parallel()
	s, f := stage(t, nil)
	for _, args := range []string{
		"status", "messages ls", "messages show " + f.Held, "messages show " + f.Retrying, "dead ls", "dead show " + f.Held, "trace " + f.Held, "trace " + f.Behind[0],
		"dead discard " + f.Rejected + " --why x", "replay --query status=dead --dry-run", "replay --query status=dead --yes", "replay --list",
	} {
		for _, format := range []string{"table", "json"} {
			if format == "json" && strings.Contains(args, "discard") {
				continue // it is discarded already
			}
			r := newRun(t.Context())
			r.console.now = time.Now
			r.do(t, s.URL, append(strings.Fields(args), "-o", format)...)
			if r.out.String() == "" && r.err.String() == "" {
				t.Errorf("vagus %s printed nothing: this test proves nothing", args)
			}
			opstest.NoCanary(t, "vagus "+args, []byte(r.out.String()+r.err.String()))
		}
	}
	opstest.NoCanary(t, "the log", []byte(s.Log.String()))
}

func TestDiscardTellsWhatHappened(t *testing.T) {
	t.Parallel()
	s, f := stage(t, nil)
	r := newRun(t.Context())
	if code := r.do(t, s.URL, "dead", "discard", f.Held[:6], "--why", "entered by hand"); code != 0 || !strings.Contains(r.out.String(), "discarded "+f.Held) {
		t.Errorf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
	r = newRun(t.Context())
	if code := r.do(t, s.URL, "trace", f.Held[:6]); code != 0 || !strings.Contains(r.out.String(), "mona: entered by hand") {
		t.Errorf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
	r = newRun(t.Context())
	if code := r.do(t, s.URL, "dead", "discard", f.Held[:6], "--why", "again"); code != 1 || !strings.Contains(r.err.String(), "vagus dead ls") {
		t.Errorf("exit %d: %s%s", code, r.out.String(), r.err.String())
	}
}
