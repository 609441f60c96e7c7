package odoo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A request as it came.
type seenRequest struct {
	path, agent string
	body        []byte
}

func recording(t *testing.T, c *Config) func() []seenRequest {
	var mu sync.Mutex
	var all []seenRequest
	before(t, c, func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			mu.Lock()
			all = append(all, seenRequest{r.URL.Path, r.Header.Get("User-Agent"), body})
			mu.Unlock()
			next.ServeHTTP(w, r)
		})
	})
	return func() []seenRequest { mu.Lock(); defer mu.Unlock(); return all }
}

// allWays is a unit for each way in which the target calls Odoo.
func allWays() []*broker.Unit {
	return []*broker.Unit{
		contact("e1", "one"),
		{ID: "e2", Ops: []broker.Operation{{ID: "o", Model: "res.partner", Do: "upsert", XID: "vagus_test.e2", Vals: broker.Values{"name": "two",
			"country_id": refTo("res.country", map[string]any{"code": "US"}), "parent_id": map[string]any{"$xid": "vagus_test.e1"}}}}},
		{ID: "e3", Ops: []broker.Operation{{ID: "o", Model: "sale.order", Do: "upsert", XID: "vagus_test.e3", Vals: broker.Values{"partner_id": map[string]any{"$xid": "base.main_partner"},
			"order_line": map[string]any{"$merge": []any{map[string]any{"$key": []any{"1"}, "name": "l", "price_unit": 1}}}}},
			{ID: "c", Model: "sale.order", Do: "call", XID: "vagus_test.e3", Method: "action_confirm", OnlyIf: broker.Values{"state": "draft"}}}},
		{ID: "e4", Ops: []broker.Operation{{ID: "o", Model: "res.partner", Do: "archive", XID: "base.main_partner"}}},
	}
}

func TestEveryCallSaysWhoAndInWhichContext(t *testing.T) {
	eachWire(t, func(t *testing.T, _ *simulated.Server, c Config) {
		for _, addon := range []string{"off", "require"} {
			if addon == "require" {
				version := "18.0"
				if c.Protocol == "json2" {
					version = "19.0"
				}
				_, on := server(t, simulated.Config{Version: version, Addon: true})
				c.URL = on.URL
			}
			c.Addon, c.Companies, c.Lang = addon, []int64{1}, "en_GB"
			requests := recording(t, &c)
			target := connect(t, c)
			if err := target.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			for range 2 {
				_ = applyTo(t, target, allWays()...)
			}
			n := 0
			for _, r := range requests() {
				if !strings.HasPrefix(r.agent, "vagus") {
					t.Errorf("%s: User-Agent %q", r.path, r.agent)
				}
				if strings.Contains(r.path, "/db") || bytes.Contains(r.body, []byte(`"service":"db"`)) || strings.Contains(r.path, "/web/database") {
					t.Errorf("%s asks which databases there are", r.path)
				}
				if bytes.Contains(r.body, []byte("authenticate")) || bytes.Contains(r.body, []byte(`"method":"version"`)) || bytes.Contains(r.body, []byte("<methodName>version")) ||
					strings.HasSuffix(r.path, "/json/version") || strings.HasSuffix(r.path, "/res.users/context_get") || strings.HasSuffix(r.path, "/res.users/read") {
					continue
				}
				n++
				if !bytes.Contains(r.body, []byte("allowed_company_ids")) || !bytes.Contains(r.body, []byte("en_GB")) || !bytes.Contains(r.body, []byte("UTC")) {
					t.Errorf("%s: no companies or no language in %s", r.path, r.body)
				}
			}
			if n < 2 || addon == "off" && n < 8 {
				t.Errorf("only %d calls", n)
			}
		}
	})
}

func TestCallsWorkInTheCompaniesOfTheTarget(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		in := func(companies ...int64) *Target {
			c := b.config(b.user, b.key)
			c.Companies = companies
			return connect(t, c)
		}
		var companies []int64
		for _, row := range b.call(t, "res.company", "search_read", []any{[]any{}, []any{"name"}}, nil).([]any) {
			id, _ := asInt(row.(map[string]any)["id"])
			companies = append(companies, id)
		}
		if err := in(companies[0]).Check(t.Context()); err != nil {
			t.Error(err)
		}
		nobodys := in(companies[0], 99999999)
		if err := nobodys.Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "odoo.no_company") {
			t.Errorf("a company that is none: %v", err)
		}
		if len(companies) < 2 {
			t.Log("the user works in one company: what two see is not checked on this server")
			return
		}
		first, second := companies[0], companies[1]
		name := "of the second " + b.prefix
		wantApplied(t, applyTo(t, in(second, first), b.unit(broker.Operation{ID: "o", Model: "res.partner", Do: "upsert", XID: b.xid("co"),
			Vals: broker.Values{"name": name, "company_id": refTo("res.company", map[string]any{"id": json.Number(fmt.Sprint(second))})}})))
		for _, c := range []struct {
			target *Target
			own    map[string]any
			found  int64
		}{{in(second), nil, 1}, {in(first), nil, 0}, {in(first, second), nil, 1}, {in(first), map[string]any{"context": map[string]any{"allowed_company_ids": []any{second}}}, 1}} {
			res, err := c.target.client.execute(t.Context(), "res.partner", "search_count", named("search_count", []any{[]any{[]any{"name", "=", name}}}), c.own)
			if err != nil || normal(res) != c.found {
				t.Errorf("in %v, context %v: found %v %v", c.target.client.companies, c.own, res, err)
			}
		}
	})
}

func TestTheCompaniesOfAnOperationHoldForAllThatItAsks(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var companies []int64
		for _, row := range b.call(t, "res.company", "search_read", []any{[]any{}, []any{"name"}}, nil).([]any) {
			id, _ := asInt(row.(map[string]any)["id"])
			companies = append(companies, id)
		}
		if len(companies) < 2 {
			t.Log("the user works in one company: what two see is not checked on this server")
			return
		}
		first, second := companies[0], companies[1]
		c := b.config(b.user, b.key)
		c.Companies = []int64{first}
		target := connect(t, c)
		other := broker.Values{"allowed_company_ids": []any{json.Number(fmt.Sprint(second))}}
		name, xid := "elsewhere "+b.prefix, b.xid("elsewhere")
		make := upsert(xid, broker.Values{"name": name, "company_id": refTo("res.company", map[string]any{"id": json.Number(fmt.Sprint(second))})})
		make.Context = other
		wantApplied(t, applyTo(t, target, b.unit(make)))

		by := broker.Operation{ID: "o", Model: "res.partner", Do: "update", By: map[string]any{"name": name}, Vals: broker.Values{"city": "Boston"}, OnlyIf: broker.Values{"name": name}}
		to := upsert(b.xid("child"), broker.Values{"name": "child", "parent_id": refTo("res.partner", map[string]any{"name": name})})
		call := broker.Operation{ID: "c", Model: "res.partner", Do: "call", XID: xid, Method: "action_archive", OnlyIf: broker.Values{"active": true}}
		in := func(op broker.Operation) *broker.Unit { op.Context = other; return b.unit(op) }
		for range 2 { // the second is answered by what was remembered
			wantApplied(t, applyTo(t, target, in(by)))
			wantApplied(t, applyTo(t, target, in(to)))
			out := applyTo(t, target, b.unit(by), in(by), b.unit(to))
			if out[0].Class != "odoo.missing_record" || out[1].Result != broker.Applied || out[2].Class != "odoo.missing_reference" {
				t.Errorf("in the target's company, in the operation's, in the target's: %+v", out)
			}
		}
		if b.simulated != nil {
			was := len(b.simulated.Effects())
			wantApplied(t, applyTo(t, target, in(by), in(to), in(make)))
			if is := len(b.simulated.Effects()); is != was {
				t.Errorf("%d effects of what was there already", is-was)
			}
		}
		wantApplied(t, applyTo(t, target, in(call)))

		// A user who may not read ir.model.data is told of what he may see only.
		low := b.config(b.lowUser, b.lowKey)
		low.Companies = []int64{first}
		if out := applyTo(t, connect(t, low), in(broker.Operation{ID: "o", Model: "res.partner", Do: "update", XID: xid, Vals: broker.Values{"city": "Salem"}})); out[0].Result != broker.Applied && out[0].Class != "odoo.no_company" {
			t.Errorf("a blind user: %+v", out)
		}
	})
}

func TestTheLanguageOfAnOperationHoldsForAllThatItAsks(t *testing.T) {
	eachWire(t, func(t *testing.T, _ *simulated.Server, c Config) {
		requests := recording(t, &c)
		target := connect(t, c)
		units := allWays()
		for _, u := range units {
			for i := range u.Ops {
				u.Ops[i].Context = broker.Values{"lang": "fr_FR"}
			}
		}
		for range 2 {
			for i, o := range applyTo(t, target, units...) {
				if refused := o.Class == "odoo.unsupported" && strings.Contains(o.Reason, "XML-RPC"); refused != (c.Protocol == "xmlrpc") {
					t.Errorf("%s: %+v", units[i].ID, o)
				}
			}
		}
		n := 0
		for _, r := range requests() {
			french := bytes.Contains(r.body, []byte("fr_FR"))
			n += strings.Count(string(r.body), "fr_FR")
			for _, of := range []string{"res.partner", "res.country", "sale.order"} {
				about := bytes.Contains(r.body, []byte(`"`+of+`"`)) || strings.Contains(r.path, "/"+of+"/")
				fields := bytes.Contains(r.body, []byte("fields_get")) || bytes.Contains(r.body, []byte("default_get")) || strings.HasSuffix(r.path, "_get") || bytes.Contains(r.body, []byte("ir.model.data"))
				if about && !fields && !french && c.Protocol != "xmlrpc" {
					t.Errorf("%s is asked in another language: %s", r.path, r.body)
				}
			}
		}
		if (n > 5) == (c.Protocol == "xmlrpc") {
			t.Errorf("%d calls in French", n)
		}
		u := contact("gb", "n")
		u.Ops[0].Context = broker.Values{"lang": "en_GB"}
		wantApplied(t, applyTo(t, target, u))
	})
}

func TestOperationsOfOneRecordStayInOrderWhateverTheirScope(t *testing.T) {
	t.Parallel()
	french := broker.Values{"lang": "fr_FR"}
	var jobs []*job
	for _, c := range []struct {
		xid string
		in  broker.Values
	}{{"a", french}, {"b", nil}, {"c", french}, {"a", nil}, {"a", french}, {"b", french}, {"d", nil}} {
		jobs = append(jobs, &job{xid: c.xid, op: &broker.Operation{XID: c.xid, Context: c.in}})
	}
	var got []string
	for _, part := range new(pass).scopes(jobs) {
		text := ""
		for _, j := range part {
			text += j.xid
		}
		got = append(got, text)
	}
	if want := "ac bad ab"; strings.Join(got, " ") != want {
		t.Errorf("%v, want %s", got, want)
	}
}

func TestAMessageInAnotherLanguageIsNeverTakenForARule(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text, lang, class string
		act               action
	}{
		{"Aucun enregistrement correspondant", "fr_FR", "odoo.unknown", stale},
		{"could not serialize access due to concurrent update\n", "fr_FR", "odoo.SerializationFailure", again},
		{"You cannot do this", "en_GB", "odoo.UserError", reject},
	} {
		if v := judgeRow(c.text, "", nil, c.lang); v.class != c.class || v.act != c.act {
			t.Errorf("%s in %s: %+v", c.text, c.lang, v)
		}
	}
}
