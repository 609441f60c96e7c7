package odoo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func TestAnUpsertMakesARecordThenChangesOnlyWhatItNames(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		x := b.xid("p1")
		op := upsert(x, broker.Values{"name": "Jan Kowalski & <Sons> é 😀", "ref": "R1", "street": "1 Main", "city": "Austin", "zip": "00501",
			"phone": "+1 512 555 0100", "email": "a@example.org", "company_type": "person", "active": true,
			"country_id": refTo("res.country", map[string]any{"code": "US"}),
			"state_id":   refTo("res.country.state", map[string]any{"code": "CA", "country_id.code": "US"}, "on_none", "skip")})
		op.OnCreate = broker.Values{"function": "new"}
		first := b.applied(t, b.unit(op))[0]
		if len(first.Records) != 1 || !first.Records[0].Made || first.Records[0].ID == 0 || first.Records[0].Model != "res.partner" || first.Records[0].Op != "patient" {
			t.Fatalf("records %+v", first.Records)
		}
		want(t, b.read(t, x, "name", "zip", "function", "company_type", "active", "country_id", "state_id"), map[string]any{
			"name": "Jan Kowalski & <Sons> é 😀", "zip": "00501", "function": "new", "company_type": "person", "active": true})
		if c, s := b.read(t, x, "country_id", "state_id"), ""; c["country_id"].([]any)[1] != "United States" || c["state_id"].([]any)[1] != "California (US)" {
			t.Errorf("country and state: %v%s", c, s)
		}
		op = upsert(x, broker.Values{"city": nil, "phone": "2"})
		op.OnCreate = broker.Values{"function": "not again"}
		second := b.applied(t, b.unit(op))[0]
		if second.Records[0].ID != first.Records[0].ID || second.Records[0].Made {
			t.Fatalf("records %+v after %+v", second.Records, first.Records)
		}
		want(t, b.read(t, x, "name", "city", "phone", "function", "street"), map[string]any{
			"name": "Jan Kowalski & <Sons> é 😀", "city": false, "phone": "2", "function": "new", "street": "1 Main"})
	})
}

func TestApplyingAgainChangesNothing(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var units []*broker.Unit
		for i := range 20 {
			units = append(units, b.unit(upsert(b.xid(fmt.Sprint("p", i)), broker.Values{"name": fmt.Sprint("n", i), "ref": fmt.Sprint(b.prefix, i)}),
				broker.Operation{ID: "kin#1", Model: "res.partner", Do: "upsert", XID: b.xid(fmt.Sprint("k", i)),
					Vals: broker.Values{"name": "kin", "type": "other", "parent_id": map[string]any{"$op": "patient"}}}))
		}
		first := b.applied(t, units...)
		again := b.applied(t, units...)
		for i := range units {
			for k := range first[i].Records {
				a, z := first[i].Records[k], again[i].Records[k]
				if a.ID != z.ID || !a.Made || z.Made {
					t.Fatalf("unit %d: first %+v, again %+v", i, a, z)
				}
			}
		}
		n := b.call(t, "res.partner", "search_count", []any{[]any{[]any{"ref", "like", b.prefix}}}, nil)
		if c, _ := asInt(n); c != 20 {
			t.Errorf("%d records of 20", c)
		}
		kin := b.read(t, b.xid("k7"), "parent_id")
		if id, _ := asInt(kin["parent_id"].([]any)[0]); id != first[7].Records[0].ID {
			t.Errorf("parent %d, not %d", id, first[7].Records[0].ID)
		}
	})
}

func TestABadRowIsRejectedAndTheOthersGoIn(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		bad := map[int]struct {
			vals  broker.Values
			class string
			field string
		}{
			3:  {broker.Values{"name": "x", "type": "zzz"}, "odoo.bad_value", "type"},
			7:  {broker.Values{"name": "", "type": "contact"}, "odoo.required", ""},
			11: {broker.Values{"name": nil, "type": "contact"}, "odoo.required", ""},
		}
		var units []*broker.Unit
		for i := range 15 {
			v := broker.Values{"name": fmt.Sprint("n", i), "type": "contact"}
			if c, ok := bad[i]; ok {
				v = c.vals
			}
			units = append(units, b.unit(upsert(b.xid(fmt.Sprint("p", i)), v)))
		}
		for i, o := range applyTo(t, b.target, units...) {
			c, isBad := bad[i]
			if !isBad {
				if o.Result != broker.Applied {
					t.Errorf("good unit %d: %s %s %s", i, o.Result, o.Class, o.Reason)
				}
				continue
			}
			if o.Result != broker.Rejected || o.Class != c.class || !strings.Contains(o.Reason, c.field) || strings.Contains(o.Reason, "zzz") {
				t.Errorf("bad unit %d: %s %s %s", i, o.Result, o.Class, o.Reason)
			}
			if b.read(t, b.xid(fmt.Sprint("p", i)), "name") != nil {
				t.Errorf("bad unit %d left a record", i)
			}
		}
	})
}

func TestOneExternalIDInTwoUnitsOfOneCall(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		x := b.xid("payer")
		out := b.applied(t, b.unit(upsert(x, broker.Values{"name": "first", "city": "a"})), b.unit(upsert(x, broker.Values{"name": "second"})))
		if out[0].Records[0].ID != out[1].Records[0].ID || !out[0].Records[0].Made || out[1].Records[0].Made {
			t.Errorf("%+v %+v", out[0].Records, out[1].Records)
		}
		want(t, b.read(t, x, "name", "city"), map[string]any{"name": "second", "city": "a"})
	})
}

func TestRefusals(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		x := b.xid("p")
		b.applied(t, b.unit(upsert(x, broker.Values{"name": "n"})))
		read := b.target
		if b.readUser != "" {
			read = b.as(t, b.readUser, b.readKey)
		} else {
			t.Log("VAGUS_ODOO_READ_USER is not set: its refusals are not checked on this server")
		}
		self := map[string]any{"$ref": "res.partner", "by": map[string]any{"ref": b.prefix + "self"}}
		b.applied(t, b.unit(upsert(b.xid("self"), broker.Values{"name": "n", "ref": b.prefix + "self"})))
		for _, c := range []struct {
			name   string
			target *Target
			op     broker.Operation
			result broker.Result
			class  string
		}{
			{"unknown field", b.target, upsert(x, broker.Values{"x_nofield": "1"}), broker.Rejected, "odoo.unknown_field"},
			{"unknown model", b.target, broker.Operation{ID: "o", Model: "no.such.model", Do: "upsert", XID: b.xid("q"), Vals: broker.Values{"name": "1"}}, broker.Rejected, "odoo.missing_model"},
			{"another model's external id", b.target, broker.Operation{ID: "o", Model: "res.partner.category", Do: "upsert", XID: x, Vals: broker.Values{"name": "1"}}, broker.Rejected, "odoo.other_model"},
			{"space in the external id", b.target, upsert(b.xid("a b"), broker.Values{"name": "1"}), broker.Rejected, "odoo.invalid_xid"},
			{"bad integer", b.target, upsert(x, broker.Values{"color": "1.5"}), broker.Rejected, "odoo.bad_value"},
			{"integer out of range", b.target, upsert(x, broker.Values{"color": "99999999999"}), broker.Rejected, "odoo.bad_value"},
			{"bad number", b.target, upsert(x, broker.Values{"partner_latitude": "north"}), broker.Rejected, "odoo.bad_value"},
			{"bad boolean", b.target, upsert(x, broker.Values{"active": "perhaps"}), broker.Rejected, "odoo.bad_value"},
			{"a rule of the model", b.target, upsert(b.xid("self"), broker.Values{"parent_id": self}), broker.Rejected, "odoo.UserError"},
			{"no right to create", read, upsert(b.xid("r"), broker.Values{"name": "r"}), broker.Rejected, "odoo.AccessError"},
			{"no right to write", read, upsert(x, broker.Values{"name": "r"}), broker.Rejected, "odoo.AccessError"},
			{"controls are stripped", b.target, upsert(x, broker.Values{"name": "a\x0b\x1c\x00b"}), broker.Applied, ""},
			{"bytes that are not UTF-8", b.target, upsert(x, broker.Values{"city": "a\xff"}), broker.Applied, ""},
		} {
			if c.class == "odoo.AccessError" && read == b.target {
				continue
			}
			out := applyTo(t, c.target, b.unit(c.op))[0]
			if out.Result != c.result || out.Class != c.class {
				t.Errorf("%s: %s %s: %s", c.name, out.Result, out.Class, out.Reason)
			}
		}
		want(t, b.read(t, x, "name", "city", "color"), map[string]any{"name": "ab", "city": "a\uFFFD", "color": int64(0)})
	})
}

func TestCheckAndCredentials(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		if err := b.target.Check(context.Background()); err != nil {
			t.Error(err)
		}
		for _, c := range []struct{ name, user, key, db, class string }{
			{"wrong key", b.user, "wrong", b.db, "odoo.access_denied"},
			{"wrong user", "nobody@nowhere", b.key, b.db, "odoo.access_denied"},
			{"wrong database", b.user, b.key, "nope", "odoo.no_database"},
		} {
			cfg := b.config(c.user, c.key)
			cfg.Database = c.db
			target, err := New(cfg)
			if err != nil {
				t.Fatal(err)
			}
			_, applyErr := target.Apply(context.Background(), []*broker.Unit{b.unit(upsert(b.xid("p"), broker.Values{"name": "n"}))})
			for _, err := range []error{target.Check(context.Background()), applyErr} {
				if err == nil || !strings.HasPrefix(err.Error(), c.class) || strings.Contains(err.Error(), c.key) {
					t.Errorf("%s: %v", c.name, err)
				}
			}
		}
		b.target.client.mu.Lock()
		b.target.client.uid = 99999 // as after a restore of another database
		b.target.client.mu.Unlock()
		b.applied(t, b.unit(upsert(b.xid("p"), broker.Values{"name": "n"})))
	})
}

func TestNewRecordsOfDifferentColumnsTravelTogetherAndKeepTheirDefaults(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		all := []string{"city", "email", "function", "phone", "street", "zip"}
		var units []*broker.Unit
		for i := range 30 {
			v := broker.Values{"name": "n", "ref": fmt.Sprint(i)}
			for k, f := range all {
				if i&(1<<k) != 0 {
					v[f] = f
				}
			}
			if i%2 == 1 {
				v["country_id"] = refTo("res.country", map[string]any{"code": "US"})
			}
			units = append(units, b.unit(upsert(b.xid(fmt.Sprint("p", i)), v)))
		}
		b.applied(t, units...)
		if b.simulated != nil {
			if c := b.simulated.Calls()["res.partner.load"]; c.MaxRows != 30 {
				t.Errorf("%+v", c)
			}
		}
		for _, i := range []int{0, 5, 29} {
			fields := map[string]any{"type": "contact", "active": true, "lang": "en_US", "company_type": "person"}
			for k, f := range all {
				if fields[f] = false; i&(1<<k) != 0 {
					fields[f] = f
				}
			}
			want(t, b.read(t, b.xid(fmt.Sprint("p", i)), append(all, "type", "active", "lang", "company_type")...), fields)
		}
		// Fields with a default are not sent empty to spare a call.
		for f, v := range map[string][2]any{"type": {"other", "contact"}, "active": {false, true}, "company_type": {"company", "person"}} {
			b.applied(t, b.unit(upsert(b.xid(f+"1"), broker.Values{"name": "n", f: v[0]})), b.unit(upsert(b.xid(f+"2"), broker.Values{"name": "n"})))
			want(t, b.read(t, b.xid(f+"1"), f), map[string]any{f: v[0]})
			want(t, b.read(t, b.xid(f+"2"), f), map[string]any{f: v[1]})
		}
	})
}

// flaky stands before a server and loses some of its answers after the work is done.
func flaky(t *testing.T, url string, lose func(path string, body []byte) bool) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		onward, err := http.NewRequestWithContext(r.Context(), r.Method, url+r.URL.Path, bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		onward.Header = r.Header.Clone()
		resp, err := http.DefaultTransport.RoundTrip(onward)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || lose(r.URL.Path, body) {
			panic(http.ErrAbortHandler)
		}
		w.Header().Set("Content-Type", resp.Header.Get("Content-Type"))
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(answer)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	return srv.URL
}

func TestLostAnswersAndRivalWorkersMakeNothingTwice(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var mu sync.Mutex
		loads := 0
		lossy := *b
		lossy.url = flaky(t, b.url, func(path string, body []byte) bool {
			if !strings.HasSuffix(path, "/load") && !bytes.Contains(body, []byte(`"load"`)) && !bytes.Contains(body, []byte(`>load<`)) {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			loads++
			return loads%2 == 1
		})
		var units []*broker.Unit
		for i := range 12 {
			units = append(units, b.unit(upsert(b.xid(fmt.Sprint("p", i)), broker.Values{"name": "n", "ref": fmt.Sprint(b.prefix, i)}),
				broker.Operation{ID: "kin", Model: "res.partner", Do: "create", Vals: broker.Values{"name": "k", "ref": fmt.Sprint(b.prefix, "kin", i), "parent_id": map[string]any{"$op": "patient"}}}))
		}
		deadline := time.Now().Add(80 * time.Second)
		var wg sync.WaitGroup
		for _, rival := range []*Target{lossy.as(t, b.user, b.key), lossy.as(t, b.user, b.key)} { // as in two processes
			wg.Go(func() {
				for todo := units; len(todo) > 0; {
					if time.Now().After(deadline) {
						t.Error("not applied in time")
						return
					}
					out, err := rival.Apply(context.Background(), todo)
					var left []*broker.Unit
					for i, u := range todo {
						if err != nil || out[i].Result == broker.Retry {
							left = append(left, u)
						} else if out[i].Result == broker.Rejected {
							t.Errorf("%s: %s", out[i].Class, out[i].Reason)
						}
					}
					todo = left
				}
			})
		}
		wg.Wait()
		n, _ := asInt(b.call(t, "res.partner", "search_count", []any{[]any{[]any{"ref", "like", b.prefix}}}, nil))
		if n != 24 {
			t.Errorf("%d records of 24", n)
		}
	})
}

func TestManyUpsertsTravelInFewCalls(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var units []*broker.Unit
		for i := range 50 {
			units = append(units, b.unit(upsert(b.xid(fmt.Sprint("p", i)), broker.Values{"name": "n", "ref": fmt.Sprint(i),
				"country_id": refTo("res.country", map[string]any{"code": []string{"US", "CA", "MX"}[i%3]})})))
		}
		b.applied(t, units...)
		if b.simulated != nil {
			calls := b.simulated.Calls()
			if c := calls["res.partner.load"]; c.MaxRows < 50 {
				t.Errorf("%+v", c)
			}
		}
	})
}
