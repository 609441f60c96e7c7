package ops_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/internal/ops"
	"github.com/vagus-health/vagus/internal/ops/opstest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := goleak.Find(goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"), goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop")); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

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

func stage(t *testing.T, edit func(*opstest.Stage)) (*opstest.Stage, opstest.Filled, *ops.Client) {
	t.Helper()
	l := newLedger(t)
	f := opstest.Fill(t, l)
	s := opstest.Serve(t, l, edit)
	return s, f, s.Client(t)
}

func unitIDs(us []ledger.Unit) []string {
	ids := []string{}
	for _, u := range us {
		ids = append(ids, u.ID)
	}
	return ids
}

func TestMessagesAreFoundByWhatIsKnownOfThem(t *testing.T) {
	t.Parallel()
	_, f, c := stage(t, nil)
	day := opstest.Now.Truncate(24 * time.Hour)
	for name, q := range map[string]struct {
		query ops.Query
		want  []string // newest first
	}{
		"dead":                    {ops.Query{Status: []ledger.Status{ledger.Dead}}, []string{f.Unmapped, f.Rejected, f.Held}},
		"two statuses":            {ops.Query{Status: []ledger.Status{ledger.Applied, ledger.Skipped}}, []string{f.Skipped, f.Applied[2], f.Applied[1], f.Applied[0]}},
		"sender's id":             {ops.Query{SenderID: "C0001"}, []string{f.Applied[0]}},
		"class":                   {ops.Query{Class: "odoo.timeout"}, []string{f.Retrying}},
		"since and until":         {ops.Query{Since: day.Add(2 * time.Minute), Until: day.Add(4 * time.Minute)}, []string{f.Applied[2], f.Applied[1]}},
		"the beginning of an id":  {ops.Query{IDs: []string{f.Held[:6]}}, []string{f.Held}},
		"nothing of another feed": {ops.Query{Feed: "lab"}, []string{}},
		"another site":            {ops.Query{Site: "elsewhere"}, []string{}},
		"kind and target":         {ops.Query{Kind: "ADT^A08", Target: "odoo", Status: []ledger.Status{ledger.Skipped}}, []string{f.Skipped}},
	} {
		p, err := c.Messages(t.Context(), q.query)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(q.want, unitIDs(p.Messages)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	// Page by page gives all, once.
	var all []string
	for q := (ops.Query{Limit: 3}); ; {
		p, err := c.Messages(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, unitIDs(p.Messages)...)
		if q.Before = p.Next; p.Next == "" {
			break
		}
	}
	p, err := c.Messages(t.Context(), ops.Query{})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(unitIDs(p.Messages), all); diff != "" || len(all) != len(f.MessageOf) {
		t.Errorf("pages: %d of %d: %s", len(all), len(f.MessageOf), diff)
	}
}

func TestOneMessageIsToldFromItsReceiptOn(t *testing.T) {
	t.Parallel()
	_, f, c := stage(t, nil)
	for _, id := range []string{f.Applied[0], f.Applied[0][:5], f.MessageOf[f.Applied[0]], f.MessageOf[f.Applied[0]][:7]} {
		d, err := c.Message(t.Context(), id)
		if err != nil {
			t.Fatalf("%s: %v", id, err)
		}
		if d.Unit.ID != f.Applied[0] {
			t.Fatalf("%s gave unit %s", id, d.Unit.ID)
		}
		var what []string
		for _, h := range d.Hops {
			what = append(what, h.What)
		}
		if got := strings.Join(what, " "); !strings.HasPrefix(got, "received mapped stored claimed") || !strings.Contains(got, "applied") {
			t.Errorf("hops: %s", got)
		}
		if diff := cmp.Diff([]broker.Record{{Op: "patient", Model: "res.partner", ID: 4711, Made: true}}, d.Unit.Records); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRefusalsNameTheFix(t *testing.T) {
	t.Parallel()
	s, f, _ := stage(t, nil)
	many, err := json.Marshal(make([]string, 1001))
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		method, path, body string
		code               int
		says               string
	}{
		"an id that is too short":           {"GET", "/v1/messages/abc", "", 400, "4 characters at least"},
		"an id that is none":                {"GET", "/v1/messages/ABCD%27--", "", 400, "a-z and 2-7"},
		"an id that nobody has":             {"GET", "/v1/messages/zzzzzz7", "", 404, "vagus messages ls"},
		"an unknown status":                 {"GET", "/v1/messages?status=sick", "", 400, "claimed applied skipped parked dead discarded"},
		"an unknown filter":                 {"GET", "/v1/messages?fed=adt", "", 400, "use feed, site"},
		"a time that is none":               {"GET", "/v1/messages?since=yesterday", "", 400, "2026-03-01T04:00:00Z"},
		"a page that is too long":           {"GET", "/v1/messages?limit=100000", "", 400, "1 to 1000"},
		"a page of nothing":                 {"GET", "/v1/messages?limit=0", "", 400, "above 0"},
		"a page that goes on from nowhere":  {"GET", "/v1/messages?before=%00", "", 400, "not an id"},
		"a filter that is too long":         {"GET", "/v1/messages?class=" + strings.Repeat("x", 300), "", 400, "256 bytes"},
		"to discard without a reason":       {"POST", "/v1/messages/" + f.Held + "/discard", `{"why":"  "}`, 400, "say why"},
		"to discard without a body":         {"POST", "/v1/messages/" + f.Held + "/discard", ``, 400, "say why"},
		"to discard what is applied":        {"POST", "/v1/messages/" + f.Applied[0] + "/discard", `{"why":"x"}`, 409, "is applied, and only a dead one"},
		"a body that is not ours":           {"POST", "/v1/replays", `{"querry":{}}`, 400, "same version"},
		"two bodies":                        {"POST", "/v1/replays", `{} {}`, 400, "same version"},
		"a replay of everything":            {"POST", "/v1/replays", `{}`, 400, "everything"},
		"a replay of an id that nobody has": {"POST", "/v1/replays", `{"query":{"ids":["zzzzzz7"]}}`, 404, "vagus messages ls"},
		"a replay of too many ids":          {"POST", "/v1/replays", `{"query":{"ids":` + string(many) + `}}`, 400, "1000 at most"},
		"a replay of an empty id":           {"POST", "/v1/replays", `{"query":{"ids":[""]}}`, 400, "not an id"},
		"a replay that nobody made":         {"GET", "/v1/replays/nothing", "", 404, "vagus replay --list"},
		"to start what nobody made":         {"POST", "/v1/replays/nothing/start", "", 404, "vagus replay --list"},
		"a negative rate":                   {"POST", "/v1/replays/nothing/start", `{"rate":-1}`, 400, "units a second"},
		"items from nowhere":                {"GET", "/v1/replays/nothing/items?from=-1", "", 400, "count from 0"},
		"too many items":                    {"GET", "/v1/replays/nothing/items?limit=5000", "", 400, "1 to 1000"},
		"an address that is none":           {"GET", "/v1/mesages", "", 404, "same version"},
		"a method that is none":             {"DELETE", "/v1/messages/" + f.Held, "", 404, "same version"},
	} {
		code, body := ask(t, c.method, s.URL+c.path, "Bearer "+opstest.Secret, c.body)
		var e ops.Error
		if err := json.Unmarshal([]byte(body), &e); err != nil {
			t.Errorf("%s: not JSON: %s", name, body)
		}
		if code != c.code || !strings.Contains(body, c.says) || e.Message == "" || e.Fix == "" {
			t.Errorf("%s: got %d %s, want %d with %q", name, code, body, c.code, c.says)
		}
	}
}

func TestAnAbbreviationThatMeansTwoListsThem(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	// One message that became two units: its id alone does not say which.
	two := []ledger.Unit{opstest.NewUnit(1, "adt", "p"), opstest.NewUnit(1, "adt", "p")}
	two[1].ID, two[1].Target, two[1].SenderID = broker.NewUnitID(two[1].MessageID, "other"), "odoo", "C0001"
	two[1].Partition = broker.Partition(two[1].Key, two[1].ID)
	opstest.Put(t, l, two...)
	s := opstest.Serve(t, l, nil)
	c := s.Client(t)
	_, err := c.Message(t.Context(), two[0].MessageID)
	var e *ops.Error
	if !errors.As(err, &e) || e.Code != 409 || !strings.Contains(e.Fix, two[0].ID) || !strings.Contains(e.Fix, two[1].ID) {
		t.Errorf("got %v", err)
	}
	// A replay of the message takes both.
	r, err := c.Plan(t.Context(), ops.PlanRequest{Query: ops.Query{IDs: []string{two[0].MessageID[:8]}}})
	if err != nil || r.Total != 2 {
		t.Errorf("replay of a message of two units: %+v, %v", r, err)
	}
	// But never what nobody named: a beginning that two messages share.
	a, b := opstest.NewUnit(2, "adt", "a"), opstest.NewUnit(3, "adt", "b")
	a.ID, b.ID = "mmmm"+a.ID[4:], "mmmm"+b.ID[4:]
	opstest.Put(t, l, a, b)
	if r, err := c.Plan(t.Context(), ops.PlanRequest{Query: ops.Query{IDs: []string{"mmmm"}}}); !errors.As(err, &e) || e.Code != 409 || !strings.Contains(e.Fix, b.ID) {
		t.Errorf("replay of two messages by one beginning: %+v, %v", r, err)
	}
}

func TestWhoDiscardedIsWrittenDown(t *testing.T) {
	t.Parallel()
	s, f, c := stage(t, nil)
	const why = "duplicate of a paper form"
	d, err := c.Discard(t.Context(), f.Held[:8], why)
	if err != nil {
		t.Fatal(err)
	}
	last := d.Hops[len(d.Hops)-1]
	if d.Unit.Status != ledger.Discarded || last.By != "mona" || last.Reason != why {
		t.Errorf("got %s, %+v", d.Unit.Status, last)
	}
	audit := auditLines(t, s.Log.String())
	want := []map[string]any{{"action": "discard", "by": "mona", "token": opstest.TokenName, "unit": f.Held}}
	if diff := cmp.Diff(want, audit); diff != "" {
		t.Error(diff)
	}
	if strings.Contains(s.Log.String(), "paper form") {
		t.Error("free text went into the log")
	}
	// Without a name the token stands for its holder; a name is bounded.
	if code, body := ask(t, "POST", s.URL+"/v1/messages/"+f.Rejected+"/discard", "Bearer "+opstest.Secret, `{"why":"x"}`); code != 200 || !strings.Contains(body, `"by":"`+opstest.TokenName+`"`) {
		t.Errorf("without a name: %d %s", code, body)
	}
	bad, err := ops.NewClient(s.URL, broker.NewSecret(opstest.Secret), strings.Repeat("m", 65))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := bad.Discard(t.Context(), f.Unmapped, "x"); err == nil || !strings.Contains(err.Error(), "64") {
		t.Errorf("a long name: %v", err)
	}
}

// auditLines returns what the audit lines of a log say, without time, level
// and message.
func auditLines(t *testing.T, log string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(log) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("not JSON: %s", line)
		}
		if m["msg"] == "audit" {
			delete(m, "time")
			delete(m, "level")
			delete(m, "msg")
			all = append(all, m)
		}
	}
	return all
}

func TestAReplayIsExactlyItsPlan(t *testing.T) {
	t.Parallel()
	s, f, c := stage(t, nil)
	s.Refuse[f.Rejected] = true
	plan, err := c.Plan(t.Context(), ops.PlanRequest{Query: ops.Query{Feed: "adt"}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[ledger.Action]int{ledger.RetryNow: 3, ledger.Waits: 2, ledger.Remap: 1}
	for a, n := range want {
		if plan.Actions[a] != n {
			t.Errorf("%s: %d, want %d", a, plan.Actions[a], n)
		}
	}
	if plan.Total != len(f.MessageOf) || plan.Running || plan.By != "mona" {
		t.Errorf("plan: %+v", plan)
	}
	// A plan does nothing.
	if p, err := c.Messages(t.Context(), ops.Query{Status: []ledger.Status{ledger.Dead}}); err != nil || len(p.Messages) != 3 {
		t.Fatalf("after planning: %d dead, %v", len(p.Messages), err)
	}
	if _, err := c.Start(t.Context(), plan.ID[:6], 25); err != nil {
		t.Fatal(err)
	}
	if rate := <-s.Rates; rate != 25 {
		t.Errorf("the worker got rate %g", rate)
	}
	items := settled(t, c, plan.ID)
	if len(items) != plan.Total {
		t.Errorf("%d items of %d", len(items), plan.Total)
	}
	for _, it := range items {
		want := ledger.Applied
		switch it.Unit {
		case f.Rejected, f.Unmapped:
			want = ledger.Dead
		case f.Skipped:
			want = ledger.Skipped
		}
		if it.Status != want || it.Feed != "adt" || it.Target != "odoo" || it.Kind != "ADT^A08" || !it.Done {
			t.Errorf("%+v: want %s", it, want)
		}
	}
	// To start it again is harmless, and does not reach the worker.
	if _, err := c.Start(t.Context(), plan.ID, 0); err != nil {
		t.Errorf("start again: %v", err)
	}
	if n := len(s.Rates); n != 0 {
		t.Errorf("it was started %d times more", n)
	}
	all, err := c.Replays(t.Context())
	if err != nil || len(all) != 1 || all[0].ID != plan.ID {
		t.Errorf("replays: %+v, %v", all, err)
	}
	if diff := cmp.Diff([]string{"plan replay", "start replay"}, []string{auditLines(t, s.Log.String())[0]["action"].(string), auditLines(t, s.Log.String())[1]["action"].(string)}); diff != "" {
		t.Error(diff)
	}
}

// settled waits until everything that a replay tried again has an outcome.
func settled(t *testing.T, c *ops.Client, id string) []ops.Item {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		items, err := c.Items(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, it := range items {
			if !it.Done || it.Status == ledger.Parked || it.Status == ledger.Claimed {
				open++
			}
		}
		if open == 0 {
			return items
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d items are open: %+v", open, items)
		}
		<-time.After(5 * time.Millisecond)
	}
}

func TestStatusPutsTheLedgerAndTheWorkersTogether(t *testing.T) {
	t.Parallel()
	_, _, c := stage(t, nil)
	s, err := c.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.Judge(time.UTC)
	if s.Service != "vagus-worker" || s.Verdict.Level != ops.Attention || s.Verdict.Text != "odoo: 1 patient waits for a person, 3 parked: see vagus dead ls" {
		t.Errorf("verdict: %+v", s.Verdict)
	}
	if len(s.Targets) != 1 || s.Targets[0].Dead != 3 || s.Targets[0].Parked != 3 || s.Targets[0].HeldKeys != 1 || s.Targets[0].Held != 64 {
		t.Errorf("targets: %+v", s.Targets)
	}
	if len(s.Lanes) != 1 || s.Lanes[0].Counts[ledger.Applied] != 3 || s.Lanes[0].Verdict.Text != "1 patient waits for a person, 3 parked: see vagus dead ls --feed adt" {
		t.Errorf("lanes: %+v", s.Lanes)
	}
}

func TestNoAnswerLogOrMetricHoldsTheContentOfAMessage(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	f := opstest.Fill(t, l)
	s := opstest.Serve(t, leaky{l}, nil)
	c := s.Client(t)
	// Everything that can be asked or done, once.
	plan, err := c.Plan(t.Context(), ops.PlanRequest{Query: ops.Query{Status: []ledger.Status{ledger.Dead, ledger.Parked}}})
	if err != nil {
		t.Fatal(err)
	}
	auth := "Bearer " + opstest.Secret
	var asked strings.Builder
	for _, r := range []string{
		"GET /v1/status", "GET /v1/messages", "GET /v1/messages?status=dead", "GET /v1/messages/" + f.Held, "GET /v1/messages/" + f.Retrying, "GET /v1/messages/" + f.Behind[0],
		"POST /v1/messages/" + f.Rejected + "/discard", "POST /v1/replays/" + plan.ID + "/start", "GET /v1/replays", "GET /v1/replays/" + plan.ID,
		"GET /v1/replays/" + plan.ID + "/items", "GET /metrics", "GET /readyz", "GET /livez",
	} {
		method, path, _ := strings.Cut(r, " ")
		body := ""
		if strings.HasSuffix(path, "discard") {
			body = `{"why":"x"}`
		}
		code, answer := ask(t, method, s.URL+path, auth, body)
		if code != 200 {
			t.Errorf("%s: %d %s", r, code, answer)
		}
		asked.WriteString(answer)
	}
	opstest.NoCanary(t, "an answer", []byte(asked.String()))
	opstest.NoCanary(t, "the log", []byte(s.Log.String()))
	if !strings.Contains(asked.String(), f.Held) {
		t.Error("the answers say nothing of the units: this test proves nothing")
	}
}

// A leaky ledger hands out bodies where it must not.
type leaky struct{ ledger.Ledger }

func (l leaky) Unit(ctx context.Context, id string) (ledger.Unit, []ledger.Hop, error) {
	u, hops, err := l.Ledger.Unit(ctx, id)
	u.Body = opstest.Body(u)
	return u, hops, err
}

func (l leaky) Units(ctx context.Context, f ledger.Filter) ([]ledger.Unit, error) {
	us, err := l.Ledger.Units(ctx, f)
	for i := range us {
		us[i].Body = opstest.Body(us[i])
	}
	return us, err
}

func TestAnAgentAnswersItsStatusOnly(t *testing.T) {
	t.Parallel()
	url := start(t, ops.ServerConfig{Tokens: token("me", opstest.Secret), API: ops.NewAPI(ops.APIConfig{Service: "vagus-agent", Sites: sites})})
	c, err := ops.NewClient(url, broker.NewSecret(opstest.Secret), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || len(s.Sites) != 1 || s.Sites[0].Verdict.Text != "connected" {
		t.Errorf("got %+v, %v", s, err)
	}
	if _, err := c.Messages(t.Context(), ops.Query{}); err == nil || !strings.Contains(err.Error(), "--api") {
		t.Errorf("messages of an agent: %v", err)
	}
}

func sites(context.Context) ([]ops.SiteStatus, error) {
	return []ops.SiteStatus{{Site: "st-mary", LinkUp: true, Feeds: []ops.FeedStatus{{Feed: "adt", Listening: true}}}}, nil
}

func TestHalfAnAnswerIsBetterThanNone(t *testing.T) {
	t.Parallel()
	url := start(t, ops.ServerConfig{Tokens: token("me", opstest.Secret), API: ops.NewAPI(ops.APIConfig{
		Service: "vagus-worker", Ledger: newLedger(t), Sites: sites,
		Targets: func(context.Context) ([]ops.TargetStatus, error) { return nil, errors.New("the hub does not answer") },
	})})
	c, err := ops.NewClient(url, broker.NewSecret(opstest.Secret), "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := c.Status(t.Context())
	if err != nil || len(s.Sites) != 1 || s.Verdict != (ops.Verdict{Level: ops.Broken, Text: "status: the workers' state is not known: the hub does not answer"}) {
		t.Errorf("got %+v, %v", s, err)
	}
}

func TestAClientSaysWhatToLookAt(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := "http://" + ln.Addr().String()
	_ = ln.Close()
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/v1/replays" {
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
			return
		}
		_, _ = w.Write([]byte("<html>"))
	}))
	defer other.Close()
	for name, c := range map[string]struct{ url, says string }{
		"nobody listens": {nobody, "is `vagus worker` (or `vagus up`) running there?"},
		"somebody else":  {other.URL, "does not answer as Vagus does"},
	} {
		cl, err := ops.NewClient(c.url, broker.NewSecret(opstest.Secret), "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = cl.Status(t.Context())
		if err == nil || !strings.Contains(err.Error(), c.says) || strings.Contains(err.Error(), opstest.Secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	cl, err := ops.NewClient(other.URL, broker.NewSecret(opstest.Secret), "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cl.Replays(t.Context()); err == nil || !strings.Contains(err.Error(), "no answer of Vagus") {
		t.Errorf("a redirect was followed, with the token: %v", err)
	}
	for _, url := range []string{"", "worker:8480", "ftp://worker", "http://", "http://me:secret@worker"} {
		if _, err := ops.NewClient(url, broker.Secret{}, ""); err == nil || strings.Contains(err.Error(), "secret@") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

func TestTheRateOfARunningReplayCanBeChanged(t *testing.T) {
	t.Parallel()
	l := newLedger(t)
	f := opstest.Fill(t, l)
	url := start(t, ops.ServerConfig{Tokens: token("me", opstest.Secret), API: ops.NewAPI(ops.APIConfig{Ledger: l})})
	c, err := ops.NewClient(url, broker.NewSecret(opstest.Secret), "")
	if err != nil {
		t.Fatal(err)
	}
	plan, err := c.Plan(t.Context(), ops.PlanRequest{Query: ops.Query{IDs: []string{f.Held}}})
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct{ rate, want float64 }{{5, 5}, {0, 5}, {0.5, 0.5}} { // without a rate it stays as it is
		if r, err := c.Start(t.Context(), plan.ID, step.rate); err != nil || !r.Running || r.Rate != step.want {
			t.Errorf("started with %g: %+v, %v", step.rate, r, err)
		}
	}
	if r, err := l.Replay(t.Context(), plan.ID); err != nil || r.Rate != 0.5 {
		t.Errorf("the worker reads %+v, %v", r, err)
	}
}
