package odoo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// beforeCall is a server before that of the url: each call that says what waits for do, which may answer it.
func beforeCall(t *testing.T, url, what string, do func(http.ResponseWriter) (answered bool)) string {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if bytes.Contains(body, []byte(what)) && do(w) {
			return
		}
		resp, err := http.Post(url+r.URL.Path, "application/json", bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		_, _ = io.Copy(w, resp.Body)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return srv.URL
}

// A rival makes the same external id between this target's look-up and its load,
// and the load gets what PostgreSQL then says.
func TestAnExternalIdThatARivalMakesMeanwhileIsWrittenAllTheSame(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"a collision":              "could not serialize access due to concurrent update\n",
		"the index":                "duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key (module, name)=(t, p) already exists.\n",
		"the index, not expected":  "Unknown error during import: <class 'psycopg2.errors.UniqueViolation'>: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\n",
		"what a module hides":      "Unknown error during import: <class 'TypeError'>: can only concatenate list (not \"NoneType\") to list",
		"the index, as Odoo words": "The operation cannot be completed: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key (module, name)=(t, p) already exists.\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, url := start(t, simulated.Config{})
			unit := func(id string, vals broker.Values) *broker.Unit {
				return &broker.Unit{ID: id, Ops: []broker.Operation{upsert("t.p", vals)}}
			}
			var once sync.Once
			between := beforeCall(t, url, `"load",`, func(w http.ResponseWriter) (collided bool) {
				once.Do(func() {
					collided = true
					_, _ = newTarget(t, url, "jsonrpc").Apply(context.Background(), []*broker.Unit{unit("theirs", broker.Values{"name": "Theirs", "zip": "1"})})
					_, _ = fmt.Fprintf(w, `{"jsonrpc":"2.0","id":1,"result":{"ids":false,"nextrow":0,"messages":[{"type":"error","record":0,"message":%q}]}}`, text)
				})
				return collided
			})
			o := applyTo(t, newTarget(t, between, "jsonrpc"), unit("ours", broker.Values{"name": "Ours", "city": "Austin"}))[0]
			if o.Result != broker.Applied {
				t.Fatalf("%s %s: %s", o.Result, o.Class, o.Reason)
			}
			r, _ := sim.ByXID("t.p")
			if r.Values["name"] != "Ours" || r.Values["city"] != "Austin" || r.Values["zip"] != "1" || len(o.Records) != 1 || o.Records[0].Made {
				t.Errorf("%v, %v", r.Values, o.Records)
			}
		})
	}
}

// A rival makes a record with the same fields between this target's look-up and its load.
func TestARecordThatARivalMakesForTheSameFieldsIsNoticed(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		op      broker.Operation
		field   string
		warning string
		records int
	}{
		"two contacts": {broker.Operation{ID: "p", Model: "res.partner", Do: "upsert", By: broker.Values{"ref": "R"}, Vals: broker.Values{"ref": "R", "name": "n"}}, "ref", "duplicate", 2},
		"two employees, whose badges are unique": {broker.Operation{ID: "e", Model: "hr.employee", Do: "upsert", By: broker.Values{"barcode": "R"},
			Vals: broker.Values{"barcode": "R", "name": "n"}, OnUpdate: broker.Values{"job_title": "known"}}, "barcode", "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sim, url := start(t, simulated.Config{History: true})
			var once sync.Once
			between := beforeCall(t, url, `"load",`, func(http.ResponseWriter) bool {
				once.Do(func() {
					_, _ = newTarget(t, url, "jsonrpc").Apply(context.Background(), []*broker.Unit{{ID: "theirs", Ops: []broker.Operation{c.op}}})
				})
				return false
			})
			o := applyTo(t, newTarget(t, between, "jsonrpc"), &broker.Unit{ID: "ours", Ops: []broker.Operation{c.op}})[0]
			if o.Result != broker.Applied || !strings.Contains(o.Warning, c.warning) || (o.Warning == "") != (c.warning == "") {
				t.Fatalf("%s %s: %s, warning %q", o.Result, o.Class, o.Reason, o.Warning)
			}
			n := 0
			for _, e := range sim.Effects() {
				if e.Kind == "create" && e.Model == c.op.Model && e.Values[c.field] == "R" {
					n++
				}
			}
			if n != c.records {
				t.Errorf("%d records, want %d", n, c.records)
			}
			if o := applyTo(t, newTarget(t, url, "jsonrpc"), &broker.Unit{ID: "later", Ops: []broker.Operation{c.op}})[0]; (o.Class == "odoo.ambiguous") != (c.records > 1) {
				t.Errorf("the next one: %s %s", o.Result, o.Class)
			}
		})
	}
}

// Between this target's look at the lines' external ids and its look at the document's lines,
// a rival that is behind takes a line away, and one that is not puts it there anew.
func TestALineThatARivalPutsThereAnewIsNotTakenForOneTooMany(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	order := func(unit string, lines map[string]any) *broker.Unit {
		return &broker.Unit{ID: unit, Ops: []broker.Operation{op("order", "sale.order", "upsert", "t.o", broker.Values{"partner_id": map[string]any{"$xid": "t.p"}, "order_line": lines})}}
	}
	one, two, three := line("1", map[string]any{"name": "one"}), line("2", map[string]any{"name": "two"}), line("3", map[string]any{"name": "three"})
	rival := newTarget(t, url, "jsonrpc")
	must := func(units ...*broker.Unit) {
		t.Helper()
		for _, o := range applyTo(t, rival, units...) {
			if o.Result != broker.Applied {
				t.Fatalf("%s %s: %s", o.Result, o.Class, o.Reason)
			}
		}
	}
	must(&broker.Unit{ID: "p", Ops: []broker.Operation{upsert("t.p", broker.Values{"name": "n"})}}, order("o1", replace(one, two, three)))
	var between sync.Once
	looked := false
	url = beforeCall(t, url, `"read",[[1],["order_line"]`, func(http.ResponseWriter) bool {
		between.Do(func() {
			looked = true
			must(order("o1", replace(one, two)))
			must(order("o2", merge(three)))
		})
		return false
	})
	target := newTarget(t, url, "jsonrpc")
	for try := 0; ; try++ {
		o := applyTo(t, target, order("o2", replace(two, three)))[0]
		if o.Result == broker.Applied {
			break
		}
		if o.Class != "odoo.conflict" || try == 3 {
			t.Fatalf("%s %s: %s", o.Result, o.Class, o.Reason)
		}
	}
	if !looked {
		t.Fatal("the rival did not come between")
	}
	var names []string
	for _, r := range sim.Records("sale.order.line") {
		names = append(names, r.Values["name"].(string))
	}
	slices.Sort(names)
	if !slices.Equal(names, []string{"three", "two"}) {
		t.Errorf("lines %q", names)
	}
}

// Two processes bring the same new external ids at the same moment.
func TestRivalsThatMakeTheSameExternalIdsMakeOneRecordEach(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		const rounds, ids = 3, 8
		for round := range rounds {
			var wg sync.WaitGroup
			begin := make(chan struct{})
			for _, who := range []string{"one", "two"} {
				target := b.as(t, b.user, b.key)
				if err := target.Check(context.Background()); err != nil {
					t.Fatal(err)
				}
				var units []*broker.Unit
				for i := range ids {
					units = append(units, b.unit(upsert(b.xid(fmt.Sprint("rival", round, "_", i)), broker.Values{"name": "Rival " + who, "city": who, "ref": fmt.Sprint(b.prefix, round)})))
				}
				wg.Go(func() {
					<-begin
					everything(t, target, units, false)
				})
			}
			close(begin)
			wg.Wait()
			for i := range ids {
				r := b.read(t, b.xid(fmt.Sprint("rival", round, "_", i)), "name", "city")
				if name, _ := r["name"].(string); r == nil || !strings.HasSuffix(name, r["city"].(string)) {
					t.Errorf("round %d, %d: %v", round, i, r)
				}
			}
			ref := fmt.Sprint(b.prefix, round)
			if n, _ := asInt(b.call(t, "res.partner", "search_count", []any{[]any{[]any{"ref", "=", ref}}}, nil)); n != ids {
				t.Errorf("round %d: %d contacts of %d external ids", round, n, ids)
			}
		}
	})
}
