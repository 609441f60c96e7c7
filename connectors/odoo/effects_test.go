package odoo

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// An effect is what some units are to bring about, one after the other, and
// how to see it.
type effect struct {
	name  string
	needs string // a model that not every real database has
	units func(b *bench) []*broker.Unit
	// looks are what is read afterwards: a domain on a model, and its fields. How
	// many records there are is part of it.
	looks func(b *bench) []look
	want  []map[string]any // of all looks, in order; what is not named may be anything
}

type look struct {
	model  string
	domain []any
	fields []string
}

func op(id, model, do, xid string, vals broker.Values) broker.Operation {
	return broker.Operation{ID: id, Model: model, Do: do, XID: xid, Vals: vals}
}

func line(key string, vals map[string]any) map[string]any {
	return map[string]any{"key": key, "vals": vals}
}

func lineOf(key string, vals, onCreate map[string]any) map[string]any {
	return map[string]any{"key": key, "vals": vals, "on_create": onCreate}
}

func merge(lines ...any) map[string]any { return map[string]any{"$merge": lines} }
func replace(lines ...any) map[string]any {
	return map[string]any{"$replace": append([]any{}, lines...)}
}
func named2(o broker.Operation, change func(*broker.Operation)) broker.Operation {
	change(&o)
	return o
}

func (b *bench) partner(n string) broker.Operation {
	return op(n, "res.partner", "upsert", b.xid(n), broker.Values{"name": n, "ref": b.prefix + n})
}

func (b *bench) product(n string) broker.Operation {
	return op(n, "product.product", "upsert", b.xid(n), broker.Values{"name": n, "default_code": b.prefix + n, "type": "service"})
}

var effects = []effect{
	{"an upsert whose values differ for new and known records", "res.partner", func(b *bench) []*broker.Unit {
		o := op("p", "res.partner", "upsert", b.xid("p"), broker.Values{"name": "n", "ref": b.prefix, "street": "s"})
		o.OnCreate, o.OnUpdate = broker.Values{"function": "new"}, broker.Values{"city": "known"}
		o.Context = broker.Values{"mail_notrack": true}
		return []*broker.Unit{b.unit(o), b.unit(o)}
	}, func(b *bench) []look {
		return []look{{"res.partner", []any{[]any{"ref", "=", b.prefix}}, []string{"function", "city", "street"}}}
	}, []map[string]any{{"function": "new", "city": "known", "street": "s"}}},

	{"a guard that holds, one that does not, and one on a new record", "res.partner", func(b *bench) []*broker.Unit {
		guarded := func(id, function string, vals broker.Values) broker.Operation {
			o := op(id, "res.partner", "upsert", b.xid("p"), vals)
			o.OnlyIf = broker.Values{"function": function}
			return o
		}
		return []*broker.Unit{b.unit(guarded("new", "never", broker.Values{"name": "n", "ref": b.prefix, "function": "a"})),
			b.unit(guarded("no", "b", broker.Values{"function": "c", "city": "no"}), guarded("yes", "a", broker.Values{"street": "yes"}))}
	}, func(b *bench) []look {
		return []look{{"res.partner", []any{[]any{"ref", "=", b.prefix}}, []string{"function", "city", "street"}}}
	}, []map[string]any{{"function": "a", "city": false, "street": "yes"}}},

	{"an archived record", "res.partner", func(b *bench) []*broker.Unit {
		return []*broker.Unit{b.unit(b.partner("p"), op("gone", "res.partner", "archive", b.xid("p"), nil))}
	}, func(b *bench) []look {
		return []look{{"res.partner", []any{[]any{"ref", "=", b.prefix + "p"}, []any{"active", "in", []any{true, false}}}, []string{"active"}}}
	}, []map[string]any{{"active": false}}},

	{"references by external id, by path, and to one of several", "res.partner", func(b *bench) []*broker.Unit {
		return []*broker.Unit{b.unit(b.partner("payer")), b.unit(op("p", "res.partner", "upsert", b.xid("p"), broker.Values{"name": "n", "ref": b.prefix, "type": "other",
			"parent_id":  map[string]any{"$xid": b.xid("payer")},
			"state_id":   refTo("res.country.state", map[string]any{"code": "CA", "country_id.code": "US"}),
			"country_id": refTo("res.country.state", map[string]any{"code": "CA"}, "on_many", "skip"),
			"user_id":    map[string]any{"$xid": "vagus_test.nobody", "on_none": "skip"}}))}
	}, func(b *bench) []look {
		return []look{{"res.partner", []any{[]any{"ref", "=", b.prefix}, []any{"parent_id.ref", "=", b.prefix + "payer"}, []any{"state_id.code", "=", "CA"}}, []string{"user_id"}}}
	}, []map[string]any{{"user_id": false}}},

	{"an order with lines: made, one changed, one added", "sale.order", func(b *bench) []*broker.Unit {
		product := refTo("product.product", map[string]any{"default_code": b.prefix + "x"})
		order := func(lines any) broker.Operation {
			return op("order", "sale.order", "upsert", b.xid("o"), broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": lines})
		}
		return []*broker.Unit{
			b.unit(b.partner("p"), b.product("x"), order(merge(
				lineOf("T1", map[string]any{"product_id": product, "name": "one", "product_uom_qty": 1, "price_unit": 10}, map[string]any{"sequence": 1}),
				line("T2", map[string]any{"product_id": product, "name": "two", "product_uom_qty": 2})))),
			b.unit(order(merge(
				lineOf("T1", map[string]any{"product_uom_qty": 5, "price_unit": 10, "name": "one"}, map[string]any{"sequence": 9}),
				lineOf("T3", map[string]any{"product_id": product, "name": "three", "product_uom_qty": 3, "price_unit": 7}, map[string]any{"sequence": 4})))),
		}
	}, func(b *bench) []look {
		return []look{{"sale.order", []any{[]any{"client_order_ref", "=", b.prefix}}, []string{"state"}},
			{"sale.order.line", []any{[]any{"order_id.client_order_ref", "=", b.prefix}}, []string{"name", "product_uom_qty", "price_unit", "sequence"}}}
	}, []map[string]any{{"state": "draft"}, {"name": "one", "product_uom_qty": 5, "price_unit": 10, "sequence": 1}, {"name": "two", "product_uom_qty": 2},
		{"name": "three", "product_uom_qty": 3, "price_unit": 7, "sequence": 4}}},

	{"lines of a record that is found by its fields", "sale.order", func(b *bench) []*broker.Unit {
		order := func(lines any) broker.Operation {
			o := op("order", "sale.order", "upsert", "", broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": lines})
			o.By = broker.Values{"client_order_ref": b.prefix}
			return o
		}
		product := map[string]any{"$xid": b.xid("x")}
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x")),
			b.unit(order(merge(line("T1", map[string]any{"product_id": product, "name": "one"})))),
			b.unit(order(merge(line("T1", map[string]any{"product_id": product, "name": "changed"}), line("T2", map[string]any{"product_id": product, "name": "two"}))))}
	}, func(b *bench) []look {
		return []look{{"sale.order.line", []any{[]any{"order_id.client_order_ref", "=", b.prefix}}, []string{"name"}}}
	}, []map[string]any{{"name": "changed"}, {"name": "two"}}},

	{"lines that are replaced", "sale.order", func(b *bench) []*broker.Unit {
		order := func(lines any) broker.Operation {
			return op("order", "sale.order", "upsert", b.xid("o"), broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": lines})
		}
		product := map[string]any{"$xid": b.xid("x")}
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x")),
			b.unit(order(replace(line("T1", map[string]any{"product_id": product, "name": "one"}), line("T2", map[string]any{"product_id": product, "name": "two"})))),
			b.unit(order(replace(line("T2", map[string]any{"product_id": product, "name": "two"}), line("T3", map[string]any{"product_id": product, "name": "three"}))))}
	}, func(b *bench) []look {
		return []look{{"sale.order.line", []any{[]any{"order_id.client_order_ref", "=", b.prefix}}, []string{"name"}}}
	}, []map[string]any{{"name": "two"}, {"name": "three"}}},

	{"no lines at all", "sale.order", func(b *bench) []*broker.Unit {
		order := func(lines any) broker.Operation {
			return op("order", "sale.order", "upsert", b.xid("o"), broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": lines})
		}
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x"), order(replace(line("T1", map[string]any{"product_id": map[string]any{"$xid": b.xid("x")}, "name": "one"})))), b.unit(order(replace()))}
	}, func(b *bench) []look {
		return []look{{"sale.order", []any{[]any{"client_order_ref", "=", b.prefix}}, []string{"order_line"}}}
	}, []map[string]any{{"order_line": []any{}}}},

	{"an order that is confirmed, and takes a line after that", "sale.order", func(b *bench) []*broker.Unit {
		order := func(lines ...any) broker.Operation {
			return op("order", "sale.order", "upsert", b.xid("o"), broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": merge(lines...)})
		}
		product := map[string]any{"$xid": b.xid("x")}
		confirm := broker.Operation{ID: "confirm", Model: "sale.order", Do: "call", On: "order", Method: "action_confirm", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x"), order(line("T1", map[string]any{"product_id": product, "name": "one"})), confirm),
			b.unit(order(line("T1", map[string]any{"name": "one"}), line("T2", map[string]any{"product_id": product, "name": "two"})), confirm)}
	}, func(b *bench) []look {
		return []look{{"sale.order", []any{[]any{"client_order_ref", "=", b.prefix}}, []string{"state"}},
			{"sale.order.line", []any{[]any{"order_id.client_order_ref", "=", b.prefix}}, []string{"name"}}}
	}, []map[string]any{{"state": "sale"}, {"name": "one"}, {"name": "two"}}},

	{"a bill that is made once, whose lines have different fields", "account.move", func(b *bench) []*broker.Unit {
		bill := op("bill", "account.move", "create", b.xid("m"), broker.Values{"move_type": "in_invoice", "ref": b.prefix, "invoice_date": "2026-05-09",
			"partner_id": map[string]any{"$xid": b.xid("p")}, "invoice_line_ids": merge(
				line("4001", map[string]any{"name": "gloves", "quantity": 20, "price_unit": 12.5, "product_id": map[string]any{"$xid": b.xid("x")}}),
				line("SAC", map[string]any{"name": "freight", "quantity": 1, "price_unit": 25}),
				line("free", map[string]any{"name": "sample", "quantity": 1}))})
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x"), bill), b.unit(bill)}
	}, func(b *bench) []look {
		return []look{{"account.move", []any{[]any{"ref", "=", b.prefix}}, []string{"state", "move_type"}},
			{"account.move.line", []any{[]any{"move_id.ref", "=", b.prefix}, []any{"name", "in", []any{"gloves", "sample", "freight"}}}, []string{"name", "quantity", "price_unit"}}}
	}, []map[string]any{{"state": "draft", "move_type": "in_invoice"}, {"name": "gloves", "quantity": 20, "price_unit": 12.5},
		{"name": "freight", "quantity": 1, "price_unit": 25}, {"name": "sample", "quantity": 1}}},

	{"an invoice that is posted", "account.move", func(b *bench) []*broker.Unit {
		invoice := op("inv", "account.move", "upsert", b.xid("m"), broker.Values{"move_type": "out_invoice", "ref": b.prefix, "invoice_date": "2026-05-09",
			"partner_id": map[string]any{"$xid": b.xid("p")}, "invoice_line_ids": merge(line("1", map[string]any{"name": "visit", "quantity": 1, "price_unit": 100}))})
		post := broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{b.unit(b.partner("p"), invoice, post), b.unit(invoice, post)}
	}, func(b *bench) []look {
		return []look{{"account.move", []any{[]any{"ref", "=", b.prefix}}, []string{"state"}}}
	}, []map[string]any{{"state": "posted"}}},

	{"payments of which all repetitions are posted", "account.payment", func(b *bench) []*broker.Unit {
		payment := func(n int) broker.Operation {
			return op(fmt.Sprint("payment#", n), "account.payment", "create", b.xid(fmt.Sprint("pay", n)), broker.Values{"amount": 10 * n, "date": "2026-04-16", b.memo(): b.prefix,
				"payment_type": "inbound", "partner_type": "customer", "partner_id": map[string]any{"$xid": b.xid("p")}, "journal_id": refTo("account.journal", map[string]any{"code": "BNK1"})})
		}
		post := broker.Operation{ID: "post", Model: "account.payment", Do: "call", On: "payment", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{b.unit(b.partner("p"), payment(1), payment(3), post)}
	}, func(b *bench) []look {
		return []look{{"account.payment", []any{[]any{b.memo(), "=", b.prefix}}, []string{"amount"}}, {"account.payment", []any{[]any{b.memo(), "=", b.prefix}, []any{"state", "!=", "draft"}}, []string{"amount"}}}
	}, []map[string]any{{"amount": 10}, {"amount": 30}, {"amount": 10}, {"amount": 30}}},

	{"a purchase order that is confirmed and acknowledged", "purchase.order", func(b *bench) []*broker.Unit {
		order := op("po", "purchase.order", "upsert", b.xid("po"), broker.Values{"origin": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": merge(
			line("1", map[string]any{"product_id": map[string]any{"$xid": b.xid("x")}, "name": "gloves", "product_qty": 20, "price_unit": 12.5}))})
		confirm := broker.Operation{ID: "confirm", Model: "purchase.order", Do: "call", XID: b.xid("po"), Method: "button_confirm", OnlyIf: broker.Values{"state": "draft"}}
		ack := broker.Operation{ID: "ack", Model: "purchase.order.line", Do: "update", By: broker.Values{"order_id.origin": b.prefix, "name": "gloves"}, Vals: broker.Values{"date_planned": "2026-06-01 04:00:00"}}
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x"), order, confirm), b.unit(ack)}
	}, func(b *bench) []look {
		return []look{{"purchase.order", []any{[]any{"origin", "=", b.prefix}}, []string{"state"}},
			{"purchase.order.line", []any{[]any{"order_id.origin", "=", b.prefix}}, []string{"product_qty", "date_planned"}}}
	}, []map[string]any{{"state": "purchase"}, {"product_qty": 20, "date_planned": "2026-06-01 04:00:00"}}},

	{"one contact that disappears into another", "res.partner", func(b *bench) []*broker.Unit {
		gone := broker.Operation{ID: "gone", Model: "res.partner", Do: "merge", XID: b.xid("old"), On: "stays", OnNone: "skip"}
		stays := op("stays", "res.partner", "upsert", b.xid("new"), broker.Values{"ref": b.prefix + "new"})
		stays.OnCreate = broker.Values{"name": "n"}
		return []*broker.Unit{b.unit(b.partner("old"), op("kin", "res.partner", "upsert", b.xid("kin"), broker.Values{"name": "k", "type": "other", "parent_id": map[string]any{"$xid": b.xid("old")}})),
			b.unit(stays, gone), b.unit(stays, named2(gone, func(o *broker.Operation) { o.XID = b.xid("never was") }))}[:2]
	}, func(b *bench) []look {
		return []look{{"res.partner", []any{[]any{"ref", "in", []any{b.prefix + "old", b.prefix + "new"}}}, []string{"ref"}},
			{"res.partner", []any{[]any{"name", "=", "k"}, []any{"parent_id.ref", "=", b.prefix + "new"}}, []string{"name"}}}
	}, []map[string]any{{"ref": "*new"}, {"name": "k"}}},

	{"two employees who manage each other", "hr.employee", func(b *bench) []*broker.Unit {
		one := func(n, manager string) *broker.Unit {
			return b.unit(op("e", "hr.employee", "upsert", b.xid(n), broker.Values{"name": b.prefix + n, "parent_id": map[string]any{"$xid": b.xid(manager), "on_none": "defer"}}))
		}
		return []*broker.Unit{one("a", "b"), one("b", "a")}
	}, func(b *bench) []look {
		return []look{{"hr.employee", []any{[]any{"name", "like", b.prefix}, []any{"parent_id.name", "like", b.prefix}}, []string{"name"}}}
	}, []map[string]any{{"name": "*a"}, {"name": "*b"}}},

	{"a reference of a record that is only made, which comes later", "hr.employee", func(b *bench) []*broker.Unit {
		one := op("e", "hr.employee", "create", b.xid("a"), broker.Values{"name": b.prefix + "a", "parent_id": map[string]any{"$xid": b.xid("b"), "on_none": "defer"}})
		return []*broker.Unit{b.unit(one), b.unit(op("e", "hr.employee", "upsert", b.xid("b"), broker.Values{"name": b.prefix + "b"}))}
	}, func(b *bench) []look {
		return []look{{"hr.employee", []any{[]any{"name", "like", b.prefix}, []any{"parent_id.name", "like", b.prefix}}, []string{"name"}}}
	}, []map[string]any{{"name": "*a"}}},

	{"costs by analytic account", "sale.order", func(b *bench) []*broker.Unit {
		order := op("order", "sale.order", "upsert", b.xid("o"), broker.Values{"client_order_ref": b.prefix, "partner_id": map[string]any{"$xid": b.xid("p")}, "order_line": merge(
			line("T1", map[string]any{"product_id": map[string]any{"$xid": b.xid("x")}, "name": "one",
				"analytic_distribution": map[string]any{"$distribution": []any{map[string]any{"account": refTo("account.analytic.account", map[string]any{"code": "VAGUS-CC"}), "percent": 100}}}}))})
		return []*broker.Unit{b.unit(b.partner("p"), b.product("x"), order), b.unit(order)}
	}, func(b *bench) []look {
		return []look{{"sale.order.line", []any{[]any{"order_id.client_order_ref", "=", b.prefix}}, []string{"name", "analytic_distribution"}}}
	}, []map[string]any{{"name": "one", "analytic_distribution": "one at 100"}}},
}

// has says whether the database has a model.
func (b *bench) has(model string) bool {
	_, err := b.target.client.execute(context.Background(), model, "search_count", []arg{{"domain", []any{[]any{"id", "=", 0}}}}, nil)
	f := (*fault)(nil)
	return !errors.As(err, &f)
}

// looked reads what the effect brought about.
func (b *bench) looked(t *testing.T, e effect, also ...string) []map[string]any {
	t.Helper()
	var out []map[string]any
	for _, l := range e.looks(b) {
		fields := []any{}
		for _, f := range append(slices.Clone(l.fields), also...) {
			fields = append(fields, f)
		}
		rows := b.call(t, l.model, "search_read", []any{l.domain, fields}, map[string]any{"order": "id"}).([]any)
		for _, r := range rows {
			out = append(out, normal(r).(map[string]any))
		}
	}
	return out
}

func (b *bench) check(t *testing.T, e effect) {
	t.Helper()
	got := b.looked(t, e)
	if len(got) != len(e.want) {
		t.Fatalf("%d records, want %d: %v", len(got), len(e.want), got)
	}
	for i, fields := range e.want {
		for f, w := range fields {
			have := got[i][f]
			if s, ok := w.(string); ok && strings.HasPrefix(s, "*") {
				w = b.prefix + s[1:]
			}
			if shares, ok := have.(map[string]any); ok && w == "one at 100" {
				for _, v := range shares {
					if n, _ := asInt(v); n == 100 && len(shares) == 1 {
						have = "one at 100"
					}
				}
			}
			if n, ok := w.(int); ok {
				w = int64(n)
			}
			if d := cmp.Diff(w, have); d != "" {
				t.Errorf("record %d, %s: %s", i, f, d)
			}
		}
	}
}

// everything applies units until all are in effect, as a worker does.
func everything(t *testing.T, target *Target, units []*broker.Unit, each bool) {
	t.Helper()
	deadline := time.Now().Add(100 * time.Second)
	for todo := units; len(todo) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("not applied in time")
		}
		now := todo
		if each {
			now = todo[:1]
		}
		out, err := target.Apply(context.Background(), now)
		left := slices.Clone(todo[len(now):])
		again := []*broker.Unit(nil)
		for i, u := range now {
			switch {
			case err != nil || out[i].Result == broker.Retry:
				again = append(again, u)
			case out[i].Result == broker.Deferred && !slices.ContainsFunc(left, func(later *broker.Unit) bool { return sameRecord(u, later) }):
				left = append(left, u)
			case out[i].Result == broker.Deferred: // those of its key wait behind it
				again = append(again, u)
			case out[i].Result == broker.Rejected:
				t.Fatalf("%s: %s", out[i].Class, out[i].Reason)
			}
		}
		todo = append(again, left...)
	}
}

// sameRecord says whether two units write a record of the same external id.
func sameRecord(a, b *broker.Unit) bool {
	return slices.ContainsFunc(a.Ops, func(x broker.Operation) bool {
		return x.XID != "" && slices.ContainsFunc(b.Ops, func(y broker.Operation) bool { return x.XID == y.XID })
	})
}

// eachEffect runs a check for every effect, by Odoo's own interface and by the addon.
func eachEffect(t *testing.T, check func(t *testing.T, b *bench, e effect)) {
	run := func(t *testing.T, b *bench) {
		for i, e := range effects {
			if b.simulated == nil && !b.has(e.needs) {
				t.Logf("the database has no %s: %q is not checked on it", e.needs, e.name)
				continue
			}
			t.Run(e.name, func(t *testing.T) {
				own := *b
				own.prefix += fmt.Sprint("e", i, "_")
				check(t, &own, e)
			})
		}
	}
	contract(t, run)
	withAddon(t, run)
}

// withAddon runs a check on every endpoint that has the addon.
func withAddon(t *testing.T, check func(t *testing.T, b *bench)) {
	for _, e := range endpoints(t, true) {
		for _, protocol := range e.protocols {
			t.Run("addon "+e.name+" "+protocol, func(t *testing.T) {
				b := &bench{endpoint: e, protocol: protocol, addon: "require", prefix: "a" + protocol[:1] + strconv.FormatInt(time.Now().UnixNano(), 36) + "_"}
				b.target = b.as(t, e.user, e.key)
				if has, err := b.target.wholeUnits(context.Background()); !has {
					t.Logf("this database has no addon: not checked on it (%v)", err)
					return
				}
				check(t, b)
			})
		}
	}
}

func TestEveryEffectAppliedTwiceChangesNothing(t *testing.T) {
	eachEffect(t, func(t *testing.T, b *bench, e effect) {
		units := e.units(b)
		everything(t, b.target, units, true)
		b.check(t, e)
		before := b.looked(t, e, "write_date")
		if b.simulated != nil {
			n := len(b.simulated.Effects())
			everything(t, b.target, units[len(units)-1:], true)
			if more := b.simulated.Effects()[n:]; len(more) > 0 {
				t.Errorf("the last unit again: %+v", more[0])
			}
		}
		everything(t, b.as(t, b.user, b.key), units[len(units)-1:], true)
		if d := cmp.Diff(before, b.looked(t, e, "write_date")); d != "" {
			t.Errorf("the last unit again: %s", d)
		}
		everything(t, b.as(t, b.user, b.key), units, true) // a whole day again
		b.check(t, e)
	})
}

var mutating = regexp.MustCompile(`"(load|write|create|action_\w+|button_\w+|apply)"|>(load|write|create|action_\w+|button_\w+|apply)<`)

// memo is the field of a payment for what is said with it.
func (b *bench) memo() string {
	if b.version < 18 {
		return "ref"
	}
	return "memo"
}

func isMutating(path string, body []byte) bool {
	if model, method, ok := strings.Cut(strings.TrimPrefix(path, "/json/2/"), "/"); ok && strings.HasPrefix(path, "/json/2/") && model != "" {
		return mutating.MatchString(`"` + method + `"`)
	}
	return mutating.Match(body)
}

func TestEveryEffectWhoseAnswersAreLostHappensOnce(t *testing.T) {
	eachEffect(t, func(t *testing.T, b *bench, e effect) {
		var mu sync.Mutex
		calls := 0
		lossy := *b
		lossy.url = flaky(t, b.url, func(path string, body []byte) bool {
			if !isMutating(path, body) {
				return false
			}
			mu.Lock()
			defer mu.Unlock()
			calls++
			return calls%2 == 1
		})
		everything(t, lossy.as(t, b.user, b.key), e.units(b), true)
		b.check(t, e)
	})
}

func TestRivalWorkersBringEveryEffectAboutOnce(t *testing.T) {
	eachEffect(t, func(t *testing.T, b *bench, e effect) {
		units := e.units(b)
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() { everything(t, b.as(t, b.user, b.key), units, true) })
		}
		wg.Wait()
		b.check(t, e)
	})
}

func TestAllUnitsOfAnEffectInOneApply(t *testing.T) {
	eachEffect(t, func(t *testing.T, b *bench, e effect) {
		everything(t, b.target, e.units(b), false)
		b.check(t, e)
	})
}

func TestOperationsOfDifferentContextsDoNotShareACall(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{})
	var mu sync.Mutex
	var contexts []string
	asked := regexp.MustCompile(`"no_reset_password":(true|false)`)
	target := newTarget(t, flaky(t, url, func(_ string, body []byte) bool {
		mu.Lock()
		defer mu.Unlock()
		if strings.Contains(string(body), `"load"`) {
			contexts = append(contexts, asked.FindString(string(body)))
		}
		return false
	}), "jsonrpc")
	var units []*broker.Unit
	for i, c := range []broker.Values{nil, {"no_reset_password": true}, nil, {"no_reset_password": true}, {"no_reset_password": false}} {
		o := upsert(fmt.Sprint("t.p", i), broker.Values{"name": "n"})
		o.Context = c
		units = append(units, &broker.Unit{ID: fmt.Sprint("u", i), Ops: []broker.Operation{o}})
	}
	applyTo(t, target, units...)
	slices.Sort(contexts)
	if s := strings.Join(contexts, " "); s != ` "no_reset_password":false "no_reset_password":true` {
		t.Error(s)
	}
}
