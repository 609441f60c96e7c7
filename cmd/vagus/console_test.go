package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/internal/ops"
	"github.com/vagus-health/vagus/internal/ops/opstest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// opsCLI are the commands that ask the API, as main has them.
type opsCLI struct {
	Status   statusCmd   `cmd:""`
	Messages messagesCmd `cmd:""`
	Dead     deadCmd     `cmd:""`
	Replay   replayCmd   `cmd:""`
	Trace    traceCmd    `cmd:""`
}

// A run is one command with what it wrote.
type run struct {
	out, err opstest.Buffer
	console  *console
}

// newRun returns a console of no terminal, at the time of the tests, that has
// the token.
func newRun(ctx context.Context) *run {
	r := &run{}
	env := map[string]string{"VAGUS_TOKEN": opstest.Secret, "USER": "mona"}
	r.console = &console{ctx: ctx, out: &r.out, err: &r.err, in: strings.NewReader(""), now: func() time.Time { return opstest.Now },
		loc: time.FixedZone("CET", 3600), getenv: func(k string) string { return env[k] }, poll: 10 * time.Millisecond}
	return r
}

// do runs a command line and returns its exit code.
func (r *run) do(t *testing.T, url string, args ...string) int {
	t.Helper()
	var c opsCLI
	p, err := kong.New(&c, kong.Name("vagus"), kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := p.Parse(append(args, "--api", url))
	if err != nil {
		t.Fatalf("vagus %s: %v", strings.Join(args, " "), err)
	}
	return r.console.fail(cmd.Run(r.console))
}

// golden compares with testdata/name.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: run with -update and read what it writes", err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s: %s", path, diff)
	}
}

// canned is an API that always answers the same, so that what is printed can be
// compared to the letter.
func canned(t *testing.T, answers map[string]any) string {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		v, ok := answers[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			v = ops.Error{Message: "not canned: " + r.Method + " " + r.URL.Path, Fix: "can it"}
		}
		if err := json.NewEncoder(w).Encode(v); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL
}

func ago(d time.Duration) time.Time { return opstest.Now.Add(-d) }

// scene is what the canned API answers: an Odoo that does not answer, a patient
// who is held, and a sender that chose a control id to annoy terminals.
func scene() map[string]any {
	dead, parked, applied := opstest.NewUnit(6, "adt", "poison"), opstest.NewUnit(7, "adt", "retrying"), opstest.NewUnit(1, "lab", "p")
	dead.Status, dead.Attempts, dead.Hold, dead.Class, dead.Reason = ledger.Dead, 1, true, "odoo.ValidationError", "the target refuses a value of res.partner"
	parked.Status, parked.Attempts, parked.Class, parked.Reason, parked.NextAttempt = ledger.Parked, 4, "odoo.timeout", "no answer within 30 s", opstest.Now.Add(90*time.Second)
	parked.SenderID = "MSG\x1b[31m\r7"
	applied.Status, applied.Attempts, applied.Records, applied.Warning = ledger.Applied, 2, records, "a person changed the record meanwhile; the last writer won"
	late := opstest.NewUnit(8, "staff", "late")
	late.Status, late.Class, late.Reason, late.WaitingSince, late.NextAttempt = ledger.Parked, "odoo.deferred", "parent_id: the record that it refers to does not exist yet", ago(3*time.Minute), opstest.Now.Add(3*time.Minute)
	merge := opstest.NewUnit(9, "adt", "gone")
	stays := opstest.NewUnit(10, "adt", "stays").Key
	merge.Status, merge.Kind, merge.OtherKeys, merge.NextAttempt = ledger.Parked, "ADT^A40", []string{stays}, ago(time.Minute)
	merge.Waits = []ledger.Wait{{Key: merge.Key, Partition: merge.Partition, Unit: parked.ID}, {Key: stays, Partition: broker.Partition(stays, "")}}
	hops := []ledger.Hop{
		{At: applied.ReceivedAt, What: "received", Reason: "by feed lab of site st-mary"},
		{At: applied.MappedAt, What: "mapped", Reason: "by hl7-adt-patient@4#1f2e3d4c"},
		{At: applied.StoredAt.Add(-time.Second), What: "stored", Reason: "in the cloud, at position 1"},
		{At: applied.ClaimedAt, What: "claimed", Reason: "by a worker for odoo"},
		{At: applied.ClaimedAt.Add(30 * time.Second), What: "attempt", Worker: "worker-1", Took: 30 * time.Second, Class: "odoo.timeout", Reason: "no answer within 30 s"},
		{At: applied.ClaimedAt.Add(30 * time.Second), What: "parked", Worker: "worker-1"},
		{At: applied.ClaimedAt.Add(95 * time.Minute), What: "applied", Worker: "worker-2"},
	}
	status := ops.Status{Service: "vagus-worker", At: opstest.Now,
		Targets: []ops.TargetLine{
			{TargetStatus: ops.TargetStatus{Target: "odoo", Promise: "external-id", Breaker: "open", BreakerSince: ago(12 * time.Minute), Problem: "odoo.timeout", Backlog: 12300, Oldest: ago(12 * time.Minute), Partitions: 64, Held: 64, LastApplied: ago(12 * time.Minute)},
				Parked: 40, OldestParked: ago(13 * time.Minute), Dead: 1, HeldKeys: 1, HeldNoun: "patient"},
			{TargetStatus: ops.TargetStatus{Target: "odoo-hr", Promise: "addon", Breaker: "closed", Partitions: 64, Held: 64, LastApplied: ago(26 * time.Hour)}},
		},
		Lanes: []ops.Lane{
			{Site: "st-mary", Feed: "adt", Target: "odoo", Counts: map[ledger.Status]int{ledger.Applied: 1234567, ledger.Skipped: 12, ledger.Parked: 40, ledger.Dead: 1}, OldestParked: ago(13 * time.Minute), HeldKeys: 1, HeldNoun: "patient", LastApplied: ago(12 * time.Minute)},
			{Site: "cloud", Feed: "staff", Target: "odoo-hr", Counts: map[ledger.Status]int{ledger.Applied: 80}, LastApplied: ago(26 * time.Hour)},
		},
	}
	replay := ledger.Replay{ID: "rpl1000", By: "mona", CreatedAt: ago(time.Minute), Total: 6, Actions: map[ledger.Action]int{ledger.RetryNow: 2, ledger.Nothing: 3, ledger.Refused: 1}}
	running, done := replay, replay
	running.ID, running.Running, running.Done = "rpl0999", true, 3
	done.ID, done.Done = "rpl0998", 6
	item := func(n int, a ledger.Action, s ledger.Status, class string) ops.Item {
		return ops.Item{ReplayItem: ledger.ReplayItem{Unit: opstest.NewUnit(n, "adt", "").ID, Action: a, Done: true}, Feed: "adt", Target: "odoo", Kind: "ADT^A08", Status: s, Class: class}
	}
	return map[string]any{
		"GET /v1/status":                 status,
		"GET /v1/messages":               ops.Page{Messages: []ledger.Unit{parked, dead, applied}, Next: applied.ID},
		"GET /v1/messages/dead":          ops.Detail{Unit: dead},
		"GET /v1/messages/parked":        ops.Detail{Unit: parked},
		"GET /v1/messages/late":          ops.Detail{Unit: late, Hops: []ledger.Hop{{At: late.WaitingSince, What: "attempt", Worker: "worker-1", Class: late.Class, Reason: late.Reason}}},
		"GET /v1/messages/merge":         ops.Detail{Unit: merge},
		"GET /v1/messages/applied":       ops.Detail{Unit: applied, Hops: hops},
		"POST /v1/replays":               replay,
		"GET /v1/replays":                []ledger.Replay{replay, running, done},
		"GET /v1/replays/rpl0998":        done,
		"POST /v1/replays/rpl0998/start": done,
		"GET /v1/replays/rpl0998/items": []ops.Item{
			item(1, ledger.RetryNow, ledger.Applied, ""), item(2, ledger.RetryNow, ledger.Dead, "odoo.ValidationError"),
			item(3, ledger.Nothing, ledger.Applied, ""), item(4, ledger.Nothing, ledger.Applied, ""), item(5, ledger.Nothing, "", ""), item(6, ledger.Refused, ledger.Dead, "odoo.timeout"),
		},
	}
}

func TestWhatIsPrintedFitsTheTerminal(t *testing.T) {
	t.Parallel()
	url := canned(t, scene())
	agent := canned(t, map[string]any{"GET /v1/status": ops.Status{Service: "vagus-agent", At: opstest.Now, Sites: []ops.SiteStatus{{
		Site: "st-mary", LinkSince: ago(12 * time.Minute), Problem: "connection refused", Feeds: []ops.FeedStatus{
			{Feed: "adt", Listening: true, LastReceived: ago(time.Second), Waiting: 340, OldestWaiting: ago(12 * time.Minute), JournalBytes: 420, JournalLimit: 1000},
			{Feed: "lab", Problem: "127.0.0.1:2576 is taken by another program"},
		}}}}})
	for name, c := range map[string]struct {
		url  string
		args string
		code int
	}{
		"status":         {url, "status", 2},
		"status-agent":   {agent, "status", 2},
		"messages-ls":    {url, "messages ls --since 2h", 0},
		"messages-show":  {url, "messages show applied", 0},
		"messages-wait":  {url, "messages show parked", 0},
		"dead-ls":        {url, "dead ls", 0},
		"dead-show":      {url, "dead show dead", 0},
		"trace":          {url, "trace applied", 0},
		"trace-waits":    {url, "trace late", 0},
		"messages-late":  {url, "messages show late", 0},
		"messages-merge": {url, "messages show merge", 0},
		"trace-merge":    {url, "trace merge", 0},
		"replay-dry":     {url, "replay --query feed=adt --dry-run", 0},
		"replay-ask":     {url, "replay --query feed=adt", 1},
		"replay-list":    {url, "replay --list", 0},
		"replay-summary": {url, "replay --resume rpl0998", 1},
	} {
		for _, width := range []int{80, 160} {
			t.Run(fmt.Sprintf("%s in %d columns", name, width), func(t *testing.T) {
				t.Parallel()
				r := newRun(t.Context())
				r.console.width = width
				if code := r.do(t, c.url, strings.Fields(c.args)...); code != c.code {
					t.Errorf("exit %d, want %d", code, c.code)
				}
				all := r.out.String() + "-- stderr\n" + r.err.String()
				golden(t, name+"."+strconv.Itoa(width), "$ vagus "+c.args+"\n"+all)
				for line := range strings.Lines(r.out.String()) {
					if n := len([]rune(strings.TrimRight(line, "\n"))); n > width {
						t.Errorf("%d characters: %s", n, line)
					}
				}
				if strings.ContainsAny(all, "\x1b\r") {
					t.Error("control characters reached the terminal")
				}
			})
		}
	}
}

func TestColourSaysNothingByItself(t *testing.T) {
	t.Parallel()
	url := canned(t, scene())
	with, without := newRun(t.Context()), newRun(t.Context())
	with.console.color = true
	with.do(t, url, "status")
	without.do(t, url, "status")
	stripped := with.out.String()
	for _, code := range []ink{green, yellow, red, faint, bold, "0"} {
		stripped = strings.ReplaceAll(stripped, "\x1b["+string(code)+"m", "")
	}
	if stripped == with.out.String() {
		t.Error("no colour at all")
	}
	if diff := cmp.Diff(without.out.String(), stripped); diff != "" {
		t.Error(diff)
	}
}

func TestJSONIsWhatTheAPISays(t *testing.T) {
	t.Parallel()
	url := canned(t, scene())
	for _, args := range []string{"status", "messages ls", "messages show applied", "dead ls", "dead show dead", "trace applied", "replay --list", "replay --query feed=adt --dry-run", "replay --resume rpl0998"} {
		r := newRun(t.Context())
		r.do(t, url, append(strings.Fields(args), "-o", "json")...)
		dec := json.NewDecoder(bytes.NewReader([]byte(r.out.String())))
		var v any
		if err := dec.Decode(&v); err != nil || dec.More() {
			t.Errorf("%s: not one JSON value: %v\n%s", args, err, r.out.String())
		}
	}
	r := newRun(t.Context())
	r.do(t, url, "status", "-o", "json")
	golden(t, "status.json", r.out.String())
	r = newRun(t.Context())
	r.do(t, url, "replay", "--resume", "rpl0998", "-o", "json")
	golden(t, "replay.json", r.out.String())
}

func TestErrorsNameTheFix(t *testing.T) {
	t.Parallel()
	url := canned(t, scene())
	dir := t.TempDir()
	empty, odd := filepath.Join(dir, "empty"), filepath.Join(dir, "odd")
	for path, text := range map[string]string{empty: "\n", odd: "two words"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	closed := httptest.NewServer(nil)
	nobody := closed.URL
	closed.Close()
	for name, c := range map[string]struct {
		url  string
		args []string
		code int
		says string
	}{
		"nobody answers the status":      {nobody, []string{"status"}, 2, "is `vagus worker` (or `vagus up`) running there?"},
		"nobody answers":                 {nobody, []string{"dead", "ls"}, 1, "--api or VAGUS_API"},
		"an address that is none":        {"worker", []string{"dead", "ls"}, 1, "such as http://127.0.0.1:8480"},
		"a token file that is not there": {url, []string{"dead", "ls", "--token-file", filepath.Join(dir, "no")}, 1, "--token-file or VAGUS_TOKEN_FILE"},
		"an empty token file":            {url, []string{"dead", "ls", "--token-file", empty}, 1, "is empty"},
		"another file":                   {url, []string{"dead", "ls", "--token-file", odd}, 1, "is --token-file the right file?"},
		"a time that is none":            {url, []string{"messages", "ls", "--since", "soon"}, 1, "write 2h, 3d"},
		"a refusal":                      {url, []string{"trace", "nothing"}, 1, "vagus: not canned: GET /v1/messages/nothing\n  can it"},
		"dead show of what is not dead":  {url, []string{"dead", "show", "applied"}, 1, "is applied, not dead: see vagus messages show"},
		"a replay of nothing":            {url, []string{"replay"}, 1, "name ids, or give one of --query"},
		"a replay of two things":         {url, []string{"replay", "abcd", "--list"}, 1, "name ids, or give one of --query"},
		"a query that is none":           {url, []string{"replay", "--query", "adt"}, 1, `"adt" is not name=value`},
		"a query by what is not known":   {url, []string{"replay", "--query", "patient=7"}, 1, "use feed, site"},
		"a query with a wrong time":      {url, []string{"replay", "--query", "since=soon"}, 1, "write 2h"},
	} {
		r := newRun(t.Context())
		if code := r.do(t, c.url, c.args...); code != c.code || !strings.Contains(r.err.String(), c.says) || r.out.String() != "" {
			t.Errorf("%s: exit %d, want %d with %q: %s%s", name, code, c.code, c.says, r.err.String(), r.out.String())
		}
		if strings.Contains(r.err.String(), opstest.Secret) {
			t.Errorf("%s: the token is printed", name)
		}
	}
	r := newRun(t.Context())
	r.console.getenv = func(string) string { return "" }
	if code := r.do(t, url, "dead", "ls"); code != 1 || !strings.Contains(r.err.String(), "no token: give the file") {
		t.Errorf("without a token: %d %s", code, r.err.String())
	}
}

func TestTimesAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	c := newRun(t.Context()).console // 04:14 CET
	for in, want := range map[string]string{
		"2h": "2026-03-12T01:14:00Z", "90m": "2026-03-12T01:44:00Z", "3d": "2026-03-09T03:14:00Z", "02:30": "2026-03-12T01:30:00Z",
		"2026-03-01": "2026-02-28T23:00:00Z", "2026-03-01 12:00": "2026-03-01T11:00:00Z", "2026-03-01T12:00:00Z": "2026-03-01T12:00:00Z",
	} {
		got, err := c.parseTime(in)
		if err != nil || got.UTC().Format(time.RFC3339) != want {
			t.Errorf("%s: %v, %v; want %s", in, got.UTC(), err, want)
		}
	}
	for _, in := range []string{"-2h", "-1d", "x", "25:00", "99999999d"} {
		if got, err := c.parseTime(in); err == nil {
			t.Errorf("%s: %v, no error", in, got)
		}
	}
	for want, tm := range map[string]time.Time{"-": {}, "04:13:18 (42s)": ago(42 * time.Second), "11 Mar 23:14 (5h)": ago(5 * time.Hour), "2025-12-02 04:14 (100d)": ago(2400 * time.Hour)} {
		if got := c.when(tm); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
