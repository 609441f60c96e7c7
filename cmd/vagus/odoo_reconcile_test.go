package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// byHand makes a call as a person who works in Odoo.
func byHand(t *testing.T, url, model, method string, args ...any) any {
	t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": "call", "params": map[string]any{"service": "object", "method": "execute_kw",
		"args": []any{"demo", 3, "mona", model, method, args}}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.Post(url+"/jsonrpc", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct{ Result, Error any }
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || answer.Error != nil {
		t.Fatalf("%v %v", err, answer.Error)
	}
	return answer.Result
}

// startWhole runs `vagus up` on a file, with five invented patients applied,
// and returns the file, the patients' records by their numbers, and what stops it.
func startWhole(t *testing.T, url string) (file string, ids map[int]int64, stop func() error) {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0") // another process has to find the hub
	if err != nil {
		t.Fatal(err)
	}
	hub := l.Addr().String()
	_ = l.Close()
	for name, text := range map[string]string{"key": "simulated", "token": "0123456789abcdef", "up.yaml": fmt.Sprintf(`
data_dir: data
site: north
listen: %s
max_bytes: 268435456
journal: { max_bytes: 268435456 }
feeds:
  - { name: adt, target: odoo, mappings: ["builtin:admissions/adt-patient.map.yaml"], hl7: { listen: "127.0.0.1:0" } }
targets:
  odoo: { odoo: { url: %s, database: demo, user: vagus, key: { file: key } } }
ops: { listen: "127.0.0.1:0", token: { file: token } }
`, hub, url)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	file = filepath.Join(dir, "up.yaml")
	cfg := config.NewAll()
	if err := config.Load(file, cfg); err != nil {
		t.Fatal(err)
	}
	log := &safeBuffer{}
	all, err := app.StartAll(t.Context(), cfg, app.Options{Version: "test", Log: log})
	if err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceValue(all.Stop)
	t.Cleanup(func() { _ = stop() })
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	s, err := demo.Dial(ctx, all.Agent.FeedAddr("adt").String())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	const patients = 5
	admissions := demo.NewAdmissions(1, patients)
	for i := range patients {
		if code, _, err := s.Send(ctx, admissions.Of(i).Body); code != "AA" && code != "CA" {
			t.Fatalf("%s %v", code, err)
		}
	}
	api, err := ops.NewClient("http://"+all.OpsAddr(), broker.NewSecret("0123456789abcdef"), "test")
	if err != nil {
		t.Fatal(err)
	}
	for {
		page, err := api.Messages(ctx, ops.Query{Status: []ledger.Status{ledger.Applied}})
		if err != nil {
			t.Fatalf("%v\n%s", err, log.String())
		}
		if len(page.Messages) == patients {
			ids = map[int]int64{}
			for i, u := range page.Messages {
				ids[patients-1-i] = u.Records[0].ID
			}
			return file, ids, stop
		}
		select {
		case <-ctx.Done():
			t.Fatalf("%d of %d applied\n%s", len(page.Messages), patients, log.String())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestOdooReconcileFindsWhatPeopleDid(t *testing.T) {
	t.Parallel()
	_, url := odoos(t, simulated.Config{Users: []simulated.User{{Login: "mona", Key: "mona"}}})
	file, ids, stop := startWhole(t, url)
	reconcile := func(code int, args ...string) string {
		t.Helper()
		r := newRun(t.Context())
		r.console.width = 80
		if got := r.vagusOdoo(t, append([]string{"reconcile", "-c", file, "--feed", "adt"}, args...)...); got != code {
			t.Fatalf("%v: exit %d, want %d: %s%s", args, got, code, r.out.String(), r.err.String())
		}
		return r.out.String()
	}
	if out := reconcile(0); !strings.Contains(out, "5 units in effect") || !strings.HasSuffix(out, "Odoo holds what was applied.\n") {
		t.Errorf("nobody did anything: %s", out)
	}
	const name = "Wilhelmina Nobody"
	byHand(t, url, "res.partner", "unlink", []any{ids[0]})
	byHand(t, url, "res.partner", "write", []any{ids[1]}, map[string]any{"name": name})
	out := reconcile(1)
	for _, want := range []string{
		fmt.Sprintf(`missing +res\.partner %d\n`, ids[0]), fmt.Sprintf(`changed +res\.partner %d .*name;`, ids[1]),
		`(?m)^1 missing: `, `(?m)^1 changed: `,
	} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("no %s in %s", want, out)
		}
	}
	if strings.Contains(out, name) || strings.Contains(out, "Okafor") {
		t.Errorf("a value is printed: %s", out)
	}
	var doc struct {
		Differences []odoo.Difference
		Summary     app.Reconciled
	}
	if err := json.Unmarshal([]byte(reconcile(1, "-o", "json")), &doc); err != nil || len(doc.Differences) != 2 || doc.Summary.Serious != 2 || doc.Summary.Units != 5 {
		t.Errorf("%v %+v", err, doc)
	}
	rows, err := csv.NewReader(strings.NewReader(reconcile(1, "-o", "csv"))).ReadAll()
	if err != nil || len(rows) != 3 {
		t.Errorf("%v %v", err, rows)
	}
	if out := reconcile(0, "--last", "1"); !strings.Contains(out, "1 units in effect") {
		t.Errorf("the newest one is as it was: %s", out)
	}
	if out := reconcile(0, "--until", "2h"); !strings.Contains(out, "0 units in effect") {
		t.Errorf("two hours ago there was nothing: %s", out)
	}

	reconcile(2, "--feed", "nope")

	if err := stop(); err != nil { // the ledger is a file, and the hub is gone
		t.Fatal(err)
	}
	out = reconcile(1)
	for _, want := range []string{`missing +res\.partner`, `(?m)^1 missing: `, `no field could be compared`} {
		if !regexp.MustCompile(want).MatchString(out) {
			t.Errorf("without the hub: no %s in %s", want, out)
		}
	}
}

func TestOdooReconcileNamesTheFix(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args, says string
		code       int
	}{
		"no file":            {"reconcile --feed adt", "name the worker's file with -c", 2},
		"a number below":     {"reconcile --feed adt --last=-1 -c odoo_test.go", "number of units", 2},
		"another file":       {"reconcile --feed adt -c odoo_test.go", "odoo_test.go:", 2},
		"neither of the two": {"check", "give the worker's file with -c, or --url", 1},
		"both":               {"check -c odoo_test.go --url http://127.0.0.1:1", "leave out --url", 1},
	} {
		r := newRun(t.Context())
		if code := r.vagusOdoo(t, strings.Fields(c.args)...); code != c.code || !strings.Contains(r.err.String(), c.says) {
			t.Errorf("%s: %d %s", name, code, r.err.String())
		}
	}
}

func TestDifferencesFitTheTerminal(t *testing.T) {
	t.Parallel()
	r := newRun(t.Context())
	r.console.width = 80
	show, end := r.console.reporter("table")
	at := ago(3 * time.Hour)
	for i, d := range []odoo.Difference{
		{Kind: odoo.Missing}, {Kind: odoo.Changed, Fields: []string{"name", "street", "email"}, Since: ago(time.Hour)}, {Kind: odoo.Changed, Fields: []string{"zip"}, Since: ago(time.Hour), Ours: true},
		{Kind: odoo.Duplicate, Fields: []string{"ref"}, Others: []int64{7, 19}}, {Kind: odoo.Twice, Others: []int64{12}}, {Kind: odoo.Merged, Others: []int64{14}}, {Kind: odoo.Touched, Since: ago(time.Minute)}, {Kind: odoo.Shared},
	} {
		d.Model, d.ID, d.Unit, d.Op, d.At = "res.partner", int64(100+i), "c2d4f6a3b5e7", "patient", at
		if err := show(d); err != nil {
			t.Fatal(err)
		}
	}
	kinds := map[string]int{odoo.Missing: 1, odoo.Changed: 2, odoo.Duplicate: 1, odoo.Twice: 1, odoo.Merged: 1, odoo.Touched: 1, odoo.Shared: 1}
	if err := end(app.Reconciled{Units: 100, Records: 180, Valueless: 20, Kinds: kinds, Serious: 5, Notices: []string{"hr.employee could not be compared (odoo.AccessError): the integration user may not do this"}}); err != nil {
		t.Fatal(err)
	}
	golden(t, "odoo-reconcile.80", r.out.String())
	for line := range strings.Lines(r.out.String()) {
		if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
			t.Errorf("%d characters: %s", n, line)
		}
	}
}
