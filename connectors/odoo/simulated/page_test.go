package simulated

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func get(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	w := httptest.NewRecorder()
	s.ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func TestThePageShowsWhatIsThereAndEscapesIt(t *testing.T) {
	t.Parallel()
	s := New(Config{Page: true, Seeds: []Seed{{Model: "res.partner", XID: "t.<b>", Values: map[string]any{"name": `<script>alert("x")</script>`, "city": strings.Repeat("é", 500)}}}})
	post(t, s, "/jsonrpc", "application/json", strings.Replace(loadBody(1, "a"), `"load"`, `"<i>"`, 1))
	post(t, s, "/jsonrpc", "application/json", loadBody(150, "b"))
	post(t, s, "/jsonrpc", "application/json", strings.Replace(loadBody(1, "c"), `"person"`, `"nobody"`, 1))
	for path, wants := range map[string][]string{
		"/":                    {"Simulated Odoo 18.0", "res.partner", "152", "load", "rows refused", "builtins.AttributeError"},
		"/?model=res.partner":  {"Jan Kowalski", "And 52 older ones", "demo"},
		"/?model=%3Cscript%3E": {"There is no model"},
	} {
		status, body := get(t, s, http.MethodGet, path, "")
		for _, want := range wants {
			if status != http.StatusOK || !strings.Contains(body, want) {
				t.Errorf("%s: %d, no %q", path, status, want)
			}
		}
		for _, bad := range []string{"<script", "<i>", "<b>"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s: %q is not escaped", path, bad)
			}
		}
	}
	_, body := get(t, New(Config{Page: true, Seeds: []Seed{{Model: "res.partner", XID: "t.<b>", Values: map[string]any{"name": "<u>", "city": strings.Repeat("é", 500)}}}}), http.MethodGet, "/?model=res.partner", "")
	if !strings.Contains(body, "&lt;u&gt;") || !strings.Contains(body, "t.&lt;b&gt;") || !strings.Contains(body, strings.Repeat("é", 79)+"…") {
		t.Error("a value is missing, or longer than a cell")
	}
	if status, _ := get(t, New(Config{}), http.MethodGet, "/", ""); status != http.StatusNotFound {
		t.Errorf("a server without page: %d", status)
	}
}

func TestFaultsAreArmedAtRunTime(t *testing.T) {
	t.Parallel()
	s := New(Config{Page: true})
	for _, c := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{http.MethodPost, "/sim/faults", `{"rules":["res.partner.load:serialization:2","*:html502:1"]}`, 200, `"res.partner.load:serialization:2",`},
		{http.MethodPost, "/sim/faults", `{"rules":["load:nonsense"]}`, 400, "drop-after-commit"},
		{http.MethodPost, "/sim/faults", `{"rule":[]}`, 400, "unknown field"},
		{http.MethodPost, "/sim/faults", `{"rules":["` + strings.Repeat("x", 70000) + `"]}`, 400, "too large"},
		{http.MethodPost, "/sim/latency", `{"latency":"1ms"}`, 200, `"latency": "1ms"`},
		{http.MethodPost, "/sim/latency", `{"latency":"-1s"}`, 400, "duration"},
		{http.MethodPost, "/sim/latency", "", 400, "Content-Type"},
		{http.MethodGet, "/sim/state", "", 200, `"version": "18.0"`},
		{http.MethodGet, "/sim/nothing", "", 404, "GET /sim/state"},
	} {
		if status, body := get(t, s, c.method, c.path, c.body); status != c.status || !strings.Contains(body, c.says) {
			t.Errorf("%s %s %.40s: %d %s", c.method, c.path, c.body, status, body)
		}
	}
	if s.latency.Load() != int64(time.Millisecond) {
		t.Error("the latency was not set")
	}
	if status, _ := post(t, s, "/jsonrpc", "application/json", loadBody(1, "a")); status != http.StatusBadGateway {
		t.Errorf("the first call: %d", status)
	}
	for range 2 {
		if _, body := post(t, s, "/jsonrpc", "application/json", loadBody(1, "a")); !strings.Contains(body, "could not serialize") {
			t.Error(body)
		}
	}
	if _, body := post(t, s, "/jsonrpc", "application/json", loadBody(1, "a")); !strings.Contains(body, `"ids":[`) {
		t.Error(body)
	}
	get(t, s, http.MethodPost, "/sim/faults", `{"rules":["res.partner.*:garbage"]}`)
	other := strings.Replace(loadBody(1, "z"), `"res.partner"`, `"res.country"`, 1)
	if _, body := post(t, s, "/jsonrpc", "application/json", other); strings.Contains(body, "hotel") {
		t.Error("a fault of one model strikes another")
	}
	if _, body := post(t, s, "/jsonrpc", "application/json", loadBody(1, "a")); !strings.Contains(body, "hotel") {
		t.Error(body)
	}
	get(t, s, http.MethodDelete, "/sim/faults", "")
	if _, body := post(t, s, "/jsonrpc", "application/json", loadBody(1, "a")); !strings.Contains(body, `"ids":[`) {
		t.Error("a fault that was taken away is still there")
	}
}

func TestRules(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Fault{
		"load:timeout":                      {Kind: FaultStall, Method: "load"},
		"res.partner.load:hang-up:3":        {Kind: FaultHangUp, Model: "res.partner", Method: "load", Times: 3},
		"res.partner.*:drop-after-commit":   {Kind: FaultDieBeforeReply, Model: "res.partner"},
		"*:html503:1":                       {Kind: FaultStatus, Status: 503, Times: 1},
		"authenticate:access-denied":        {Kind: FaultRaise, Method: "authenticate", Class: "odoo.exceptions.AccessDenied", Message: "Access Denied"},
		"sale.order.action_confirm:garbage": {Kind: FaultGarbage, Model: "sale.order", Method: "action_confirm"},
	} {
		f, err := Rule(text)
		if err != nil || f != want || f.rule() != text {
			t.Errorf("%s: %+v %v, back as %s", text, f, err, f.rule())
		}
	}
	for _, text := range []string{"", "load", "load:", ":timeout", "load:timeout:0", "load:timeout:x", "load:timeout:1:1", "a.:timeout"} {
		if f, err := Rule(text); err == nil {
			t.Errorf("%q is read as %+v", text, f)
		}
	}
	for name := range kinds {
		s := New(Config{})
		f, err := Rule("load:" + name + ":1")
		if err != nil {
			t.Fatal(err)
		}
		if s.Fail(f); s.faults[0].rule() != "load:"+name+":1" {
			t.Errorf("%s is shown as %s", name, s.faults[0].rule())
		}
	}
}
