package odoo

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// An endpoint is a server that the contract is checked against: the simulated
// one always, and a real one when the environment names it.
type endpoint struct {
	name               string
	url, db, user, key string
	lowUser, lowKey    string // may not read ir.model.data
	readUser, readKey  string // may not create contacts
	simulated          *simulated.Server
}

func endpoints(t *testing.T) []endpoint {
	sim := simulated.New(simulated.Config{History: true, Users: []simulated.User{
		{Login: "low", Key: "low", NoModelData: true}, {Login: "read", Key: "read", NoModelData: true, ReadOnly: true}}})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	all := []endpoint{{"simulated", url, "demo", "vagus", "simulated", "low", "low", "read", "read", sim}}
	if u := os.Getenv("VAGUS_ODOO_URL"); u != "" {
		all = append(all, endpoint{"real", u, os.Getenv("VAGUS_ODOO_DB"), os.Getenv("VAGUS_ODOO_USER"), os.Getenv("VAGUS_ODOO_KEY"),
			os.Getenv("VAGUS_ODOO_LOW_USER"), os.Getenv("VAGUS_ODOO_LOW_KEY"), os.Getenv("VAGUS_ODOO_READ_USER"), os.Getenv("VAGUS_ODOO_READ_KEY"), nil})
	} else {
		t.Log("VAGUS_ODOO_URL is not set: checked against the simulated server only")
	}
	return all
}

// A bench is one endpoint over one protocol, with external ids of its own.
type bench struct {
	endpoint
	protocol, prefix string
	target           *Target
	n                int
}

func (b *bench) config(user, key string) Config {
	return Config{URL: b.url, Database: b.db, User: user, Key: broker.NewSecret(key), Protocol: b.protocol, PlainHTTP: true}
}

func (b *bench) as(t *testing.T, user, key string) *Target {
	t.Helper()
	target, err := New(b.config(user, key))
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// xid makes an external id that no other run used.
func (b *bench) xid(name string) string { return "vagus_test." + b.prefix + name }

// contract runs a check on every endpoint over both protocols.
func contract(t *testing.T, check func(t *testing.T, b *bench)) {
	t.Helper()
	for _, e := range endpoints(t) {
		for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
			t.Run(e.name+" "+protocol, func(t *testing.T) {
				b := &bench{endpoint: e, protocol: protocol, prefix: strings.ToLower(protocol[:1]) + strconv.FormatInt(time.Now().UnixNano(), 36) + "_"}
				b.target = b.as(t, e.user, e.key)
				check(t, b)
			})
		}
	}
}

func (b *bench) unit(ops ...broker.Operation) *broker.Unit {
	b.n++
	return &broker.Unit{ID: fmt.Sprintf("u%s%d", b.prefix, b.n), Target: "erp", Verdict: broker.Apply, Ops: ops}
}

func upsert(xid string, vals broker.Values) broker.Operation {
	return broker.Operation{ID: "patient", Model: "res.partner", Do: "upsert", XID: xid, Vals: vals}
}

func applyTo(t *testing.T, target *Target, units ...*broker.Unit) []broker.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	out, err := target.Apply(ctx, units)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// applied applies units and fails unless all went in; it returns their outcomes.
func (b *bench) applied(t *testing.T, units ...*broker.Unit) []broker.Outcome {
	t.Helper()
	out := applyTo(t, b.target, units...)
	for i, o := range out {
		if o.Result != broker.Applied {
			t.Fatalf("unit %d: %s %s: %s", i, o.Result, o.Class, o.Reason)
		}
	}
	return out
}

// call calls a method as the client does.
func (b *bench) call(t *testing.T, model, method string, args []any, kw map[string]any) any {
	t.Helper()
	res, err := b.target.client.execute(context.Background(), model, method, args, kw)
	if err != nil {
		t.Fatalf("%s.%s: %v", model, method, err)
	}
	return res
}

// read returns fields of the record of an external id, or nil.
func (b *bench) read(t *testing.T, xid string, fields ...string) map[string]any {
	t.Helper()
	module, name := splitXID(xid)
	rows := b.call(t, "ir.model.data", "search_read", []any{[]any{[]any{"module", "=", module}, []any{"name", "=", name}}, []any{"model", "res_id"}}, nil).([]any)
	if len(rows) == 0 {
		return nil
	}
	row := rows[0].(map[string]any)
	names := make([]any, len(fields))
	for i, f := range fields {
		names[i] = f
	}
	recs := b.call(t, row["model"].(string), "read", []any{[]any{row["res_id"]}, names}, nil).([]any)
	if len(recs) == 0 {
		return nil
	}
	return normal(recs[0]).(map[string]any)
}

// normal makes values of both wires comparable.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	default:
		if n, ok := asInt(v); ok {
			return n
		}
	}
	return v
}

func want(t *testing.T, got map[string]any, fields map[string]any) {
	t.Helper()
	if got == nil {
		t.Fatal("the record does not exist")
	}
	for f, w := range fields {
		if d := cmp.Diff(w, got[f]); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
}

func refTo(model string, by map[string]any, rest ...string) map[string]any {
	m := map[string]any{"$ref": model, "by": by}
	for i := 0; i+1 < len(rest); i += 2 {
		m[rest[i]] = rest[i+1]
	}
	return m
}

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

func TestTagsAreAddedAndReplaced(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		tag := func(name string) (broker.Operation, map[string]any) {
			return broker.Operation{ID: name, Model: "res.partner.category", Do: "upsert", XID: b.xid(name), Vals: broker.Values{"name": b.prefix + name}},
				refTo("res.partner.category", map[string]any{"name": b.prefix + name})
		}
		one, oneRef := tag("one")
		two, twoRef := tag("two")
		three, threeRef := tag("three")
		out := b.applied(t, b.unit(one, two, three))[0]
		id := func(i int) int64 { return out.Records[i].ID }
		x := b.xid("p")
		step := func(v any, ids ...any) {
			t.Helper()
			b.applied(t, b.unit(upsert(x, broker.Values{"name": "n", "category_id": v})))
			want(t, b.read(t, x, "category_id"), map[string]any{"category_id": append([]any{}, ids...)})
		}
		step(map[string]any{"$add": []any{oneRef}}, id(0))
		step(map[string]any{"$add": []any{twoRef}}, id(0), id(1))
		step(map[string]any{"$add": []any{twoRef, refTo("res.partner.category", map[string]any{"name": "nobody has this"}, "on_none", "skip")}}, id(0), id(1))
		step(map[string]any{"$add": []any{}}, id(0), id(1))
		step(map[string]any{"$set": []any{threeRef}}, id(2))
		step(map[string]any{"$set": []any{}})
		step(map[string]any{"$set": []any{oneRef, threeRef}}, id(0), id(2))
	})
}

func TestReferencesThatFindNoneOrMany(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		nobody := map[string]any{"ref": b.prefix + "nobody"}
		for _, c := range []struct {
			name   string
			value  any
			result broker.Result
			class  string
		}{
			{"none, skip", refTo("res.partner", nobody, "on_none", "skip"), broker.Applied, ""},
			{"none, retry", refTo("res.partner", nobody, "on_none", "retry"), broker.Retry, "odoo.missing_reference"},
			{"none, by default", refTo("res.partner", nobody), broker.Retry, "odoo.missing_reference"},
			{"none, dead letter", refTo("res.partner", nobody, "on_none", "dead_letter"), broker.Rejected, "odoo.missing_reference"},
			{"many", refTo("res.country.state", map[string]any{"code": "CA"}), broker.Rejected, "odoo.ambiguous"},
			{"unknown field", refTo("res.partner", map[string]any{"x_nofield": "1"}), broker.Rejected, "odoo.unknown_field"},
			{"unknown model", refTo("no.such.model", map[string]any{"name": "1"}), broker.Rejected, "odoo.missing_model"},
		} {
			out := applyTo(t, b.target, b.unit(upsert(b.xid("p"), broker.Values{"name": "n", "parent_id": c.value})))[0]
			if out.Result != c.result || out.Class != c.class {
				t.Errorf("%s: %s %s: %s", c.name, out.Result, out.Class, out.Reason)
			}
		}
	})
}

func TestARememberedReferenceThatWasDeletedIsLookedUpAgain(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		company := func() int64 {
			return b.applied(t, b.unit(upsert(b.xid("c"), broker.Values{"name": "c", "ref": b.prefix + "c"})))[0].Records[0].ID
		}
		kin := func(n string) broker.Outcome {
			return applyTo(t, b.target, b.unit(upsert(b.xid(n), broker.Values{"name": n, "parent_id": refTo("res.partner", map[string]any{"ref": b.prefix + "c"})})))[0]
		}
		first := company()
		if o := kin("k1"); o.Result != broker.Applied {
			t.Fatal(o)
		}
		id, _ := asInt(b.read(t, b.xid("k1"), "id")["id"])
		b.call(t, "res.partner", "unlink", []any{[]any{id}}, nil)
		b.call(t, "res.partner", "unlink", []any{[]any{first}}, nil)
		if o := kin("k2"); o.Result != broker.Retry || o.Class != "odoo.missing_reference" {
			t.Fatalf("%s %s %s", o.Result, o.Class, o.Reason)
		}
		second := company()
		if second == first {
			t.Fatal("the company was not made again")
		}
		if o := kin("k2"); o.Result != broker.Applied {
			t.Fatalf("%s %s %s", o.Result, o.Class, o.Reason)
		}
		if p, _ := asInt(b.read(t, b.xid("k2"), "parent_id")["parent_id"].([]any)[0]); p != second {
			t.Errorf("parent %d, not %d", p, second)
		}
	})
}

func TestUpdateArchiveAndCreate(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		x := b.xid("p")
		op := func(do, xid, onNone string, vals broker.Values) broker.Operation {
			return broker.Operation{ID: "o", Model: "res.partner", Do: do, XID: xid, Vals: vals, OnNone: onNone}
		}
		for _, c := range []struct {
			name   string
			op     broker.Operation
			result broker.Result
			class  string
		}{
			{"update before it exists, skip", op("update", x, "skip", broker.Values{"city": "a"}), broker.Applied, ""},
			{"update before it exists, retry", op("update", x, "retry", broker.Values{"city": "a"}), broker.Retry, "odoo.missing_record"},
			{"update before it exists, dead letter", op("update", x, "dead_letter", broker.Values{"city": "a"}), broker.Rejected, "odoo.missing_record"},
			{"archive before it exists", op("archive", x, "skip", nil), broker.Applied, ""},
			{"create", op("create", x, "", broker.Values{"name": "n", "city": "first"}), broker.Applied, ""},
			{"create again", op("create", x, "", broker.Values{"name": "n", "city": "second"}), broker.Applied, ""},
			{"update", op("update", x, "", broker.Values{"street": "s"}), broker.Applied, ""},
			{"archive", op("archive", x, "", nil), broker.Applied, ""},
			{"archive again", op("archive", x, "", nil), broker.Applied, ""},
			{"update what is archived", op("update", x, "", broker.Values{"zip": "z"}), broker.Applied, ""},
			{"merge", op("merge", x, "", nil), broker.Rejected, "odoo.unsupported"},
			{"call", op("call", x, "", nil), broker.Rejected, "odoo.unsupported"},
		} {
			if out := applyTo(t, b.target, b.unit(c.op))[0]; out.Result != c.result || out.Class != c.class {
				t.Errorf("%s: %s %s: %s", c.name, out.Result, out.Class, out.Reason)
			}
		}
		want(t, b.read(t, x, "city", "street", "zip", "active"), map[string]any{"city": "first", "street": "s", "zip": "z", "active": false})
	})
}

func TestMatchByFields(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		ref := b.prefix + "m"
		op := broker.Operation{ID: "o", Model: "res.partner", Do: "upsert", By: broker.Values{"ref": ref}, Vals: broker.Values{"name": "n", "ref": ref}}
		u := b.unit(op)
		first := b.applied(t, u)[0].Records[0]
		again := b.applied(t, u)[0].Records[0]
		other := b.applied(t, b.unit(op))[0].Records[0]
		if !first.Made || again.Made || other.Made || first.ID != again.ID || first.ID != other.ID {
			t.Errorf("%+v %+v %+v", first, again, other)
		}
		twice := b.applied(t, b.unit(upsert(b.xid("a"), broker.Values{"name": "a", "ref": ref + "2"})), b.unit(upsert(b.xid("b"), broker.Values{"name": "b", "ref": ref + "2"})))
		op.By = broker.Values{"ref": ref + "2"}
		if o := applyTo(t, b.target, b.unit(op))[0]; o.Class != "odoo.ambiguous" || len(twice) != 2 {
			t.Errorf("%s %s", o.Result, o.Class)
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

func TestAUserWhoMayNotReadModelData(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		if b.lowUser == "" {
			t.Log("VAGUS_ODOO_LOW_USER is not set: not checked on this server")
			return
		}
		low := b.as(t, b.lowUser, b.lowKey)
		x := b.xid("p")
		op := upsert(x, broker.Values{"name": "n", "city": "a"})
		op.OnCreate = broker.Values{"function": "new"}
		op2 := upsert(x, broker.Values{"city": "b"})
		op2.OnCreate = broker.Values{"function": "no"}
		for _, o := range []broker.Operation{op, op, op2} {
			if out := applyTo(t, low, b.unit(o))[0]; out.Result != broker.Applied || out.Records[0].ID == 0 {
				t.Fatalf("%s %s %s", out.Result, out.Class, out.Reason)
			}
		}
		want(t, b.read(t, x, "name", "city", "function"), map[string]any{"name": "n", "city": "b", "function": "new"})
		for _, do := range []string{"archive", "update"} {
			if out := applyTo(t, low, b.unit(broker.Operation{ID: "o", Model: "res.partner", Do: do, XID: x, Vals: broker.Values{"zip": "z"}}))[0]; out.Result != broker.Applied {
				t.Fatalf("%s: %s %s %s", do, out.Result, out.Class, out.Reason)
			}
		}
		want(t, b.read(t, x, "zip", "active"), map[string]any{"zip": "z", "active": false})
		if out := applyTo(t, low, b.unit(broker.Operation{ID: "o", Model: "res.partner", Do: "update", XID: b.xid("none"), Vals: broker.Values{"zip": "z"}}))[0]; out.Class != "odoo.missing_record" {
			t.Errorf("%s %s", out.Result, out.Class)
		}
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

func TestAChildContactFollowsItsParentsAddress(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		kin := func(id, typ, street string) broker.Operation {
			return broker.Operation{ID: id, Model: "res.partner", Do: "upsert", XID: b.xid(id),
				Vals: broker.Values{"name": id, "type": typ, "street": street, "parent_id": map[string]any{"$op": "patient"}}}
		}
		b.applied(t, b.unit(upsert(b.xid("p"), broker.Values{"name": "p", "street": "1 Main", "city": "Austin"}), kin("contact", "contact", "9 Own"), kin("other", "other", "9 Own")))
		want(t, b.read(t, b.xid("contact"), "street", "city"), map[string]any{"street": "1 Main", "city": "Austin"})
		want(t, b.read(t, b.xid("other"), "street", "city"), map[string]any{"street": "9 Own", "city": false})
		b.applied(t, b.unit(upsert(b.xid("p"), broker.Values{"street": "2 Main"})))
		want(t, b.read(t, b.xid("contact"), "street"), map[string]any{"street": "2 Main"})
		want(t, b.read(t, b.xid("other"), "street"), map[string]any{"street": "9 Own"})
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
		all := []string{"city", "email", "mobile", "phone", "street", "zip"}
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
		// type and active have defaults: they are not sent empty to spare a call.
		b.applied(t, b.unit(upsert(b.xid("q1"), broker.Values{"name": "n", "type": "other", "active": false})), b.unit(upsert(b.xid("q2"), broker.Values{"name": "n"})))
		want(t, b.read(t, b.xid("q1"), "type", "active"), map[string]any{"type": "other", "active": false})
		want(t, b.read(t, b.xid("q2"), "type", "active"), map[string]any{"type": "contact", "active": true})
	})
}

// flaky stands before a server and loses some of its answers after the work is done.
func flaky(t *testing.T, url string, lose func(body []byte) bool) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		resp, err := http.Post(url+r.URL.Path, r.Header.Get("Content-Type"), bytes.NewReader(body))
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		defer resp.Body.Close()
		answer, err := io.ReadAll(resp.Body)
		if err != nil || lose(body) {
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
		lossy.url = flaky(t, b.url, func(body []byte) bool {
			if !bytes.Contains(body, []byte(`"load"`)) && !bytes.Contains(body, []byte(`>load<`)) {
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
