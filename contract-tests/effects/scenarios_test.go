package effects_test

import (
	"fmt"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A kit makes the units of one scenario, or of one day.
type kit struct {
	prefix string // in the external ids and in a field of every record, so that they are found again
	n      int
}

type (
	object = map[string]any
	list   = []any
)

// unit makes the next unit, with a key if key is not "".
func (k *kit) unit(key string, ops ...broker.Operation) *broker.Unit {
	k.n++
	msg := broker.NewMessageID("t", "north", "adt", fmt.Sprint(k.prefix, k.n), nil)
	at := time.Date(2026, 5, 4, 6, 0, k.n, 0, time.UTC)
	return &broker.Unit{ID: broker.NewUnitID(msg, "m"), MessageID: msg, Tenant: "t", Site: "north", Feed: "adt", Kind: "test", SenderID: fmt.Sprint(k.n), Mapping: "m@1",
		Key: broker.OrderingKey([]byte("s"), key), Verdict: broker.Apply, ReceivedAt: at, MappedAt: at, Ops: ops}
}

func (k *kit) xid(name string) string   { return "vagus_effects." + k.prefix + name }
func (k *kit) to(name string) object    { return object{"$xid": k.xid(name)} }
func (k *kit) later(name string) object { return object{"$xid": k.xid(name), "on_none": "defer"} }
func (k *kit) patient(name string) object {
	return object{"ref": k.prefix + name, "name": k.prefix + name}
}

func op(id, model, do, xid string, vals broker.Values) broker.Operation {
	return broker.Operation{ID: id, Model: model, Do: do, XID: xid, Vals: vals}
}

func with(o broker.Operation, change func(*broker.Operation)) broker.Operation {
	change(&o)
	return o
}

// contact makes a contact, or changes it: more are further values.
func (k *kit) contact(name string, more ...any) broker.Operation {
	vals := k.patient(name)
	for i := 0; i+1 < len(more); i += 2 {
		vals[more[i].(string)] = more[i+1]
	}
	return op(name, "res.partner", "upsert", k.xid(name), vals)
}

func (k *kit) tag(name string) broker.Operation {
	return op(name, "res.partner.category", "upsert", k.xid(name), broker.Values{"name": k.prefix + name})
}

func (k *kit) product(name string) broker.Operation {
	return op(name, "product.product", "upsert", k.xid(name), broker.Values{"name": name, "default_code": k.prefix + name, "type": "service"})
}

func line(key string, vals object) object { return object{"key": key, "vals": vals} }

// kin is a contact's line: one2many, on every database.
func kin(key, function string) object {
	return line(key, object{"name": key, "type": "other", "function": function})
}

func (k *kit) order(lines object) broker.Operation {
	return op("order", "sale.order", "upsert", k.xid("order"), broker.Values{"client_order_ref": k.prefix, "partner_id": k.to("p"), "order_line": lines})
}

func (k *kit) item(key string, quantity int) object {
	return line(key, object{"product_id": k.to("x"), "name": key, "product_uom_qty": quantity, "price_unit": 7})
}

// A scenario is one kind of operation: units that are applied in peace before it, and
// those whose every call kills the worker.
type scenario struct {
	name   string
	needs  string // a model that not every database has
	before func(k *kit) []*broker.Unit
	units  func(k *kit) []*broker.Unit
	// without is a mode that it is not checked in, because of what the README says under
	// Limits or Settings.
	without string
}

func none(*kit) []*broker.Unit { return nil }

// existing is a contact that is there.
func existing(k *kit) []*broker.Unit {
	return []*broker.Unit{k.unit("", k.contact("p", "street", "old", "city", "stays"))}
}

// tagged is a contact with one of two tags.
func tagged(k *kit) []*broker.Unit {
	return []*broker.Unit{k.unit("", k.tag("one"), k.tag("two"), k.contact("p", "category_id", object{"$replace": list{k.to("one")}}))}
}

func family(k *kit) []*broker.Unit {
	return []*broker.Unit{k.unit("", k.contact("p", "child_ids", object{"$merge": list{kin("mother", "a"), kin("father", "b")}}))}
}

func customer(k *kit) []*broker.Unit {
	return []*broker.Unit{k.unit("", k.contact("p"), k.product("x"))}
}

var scenarios = []scenario{
	{"upsert of a new record", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) { o.OnCreate = broker.Values{"function": "new"} }))}
	}, ""},
	{"upsert of a new record, with values for known ones", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) {
			o.OnCreate, o.OnUpdate = broker.Values{"function": "new"}, broker.Values{"city": "known"}
		}))}
	}, "off"}, // by external id a repeat takes the record for one that was there
	{"upsert of a record that is there", "res.partner", existing, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "new"), func(o *broker.Operation) { o.OnUpdate = broker.Values{"function": "known"} }))}
	}, ""},
	{"upsert by fields, of which nothing is found", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) { o.XID, o.By = "", broker.Values{"ref": k.prefix + "p"} }))}
	}, ""},
	{"upsert by fields of a new record, with values for known ones", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) {
			o.XID, o.By, o.OnUpdate = "", broker.Values{"ref": k.prefix + "p"}, broker.Values{"city": "known"}
		}))}
	}, ""},
	{"several operations of one unit", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p"), k.contact("kin", "type", "other", "parent_id", object{"$op": "p"}), k.tag("t"))}
	}, ""},
	{"create", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p"), func(o *broker.Operation) { o.Do = "create" }))}
	}, ""},
	{"create of a record that has no name", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p"), func(o *broker.Operation) { o.Do, o.XID = "create", "" }))}
	}, ""},
	{"update", "res.partner", existing, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", broker.Operation{ID: "p", Model: "res.partner", Do: "update", By: broker.Values{"ref": k.prefix + "p"}, Vals: broker.Values{"street": "new"}})}
	}, ""},
	{"update of a record that comes later", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", op("p", "res.partner", "update", k.xid("p"), broker.Values{"street": "new"})), k.unit("", k.contact("p"))}
	}, ""},
	{"archive", "res.partner", existing, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", op("p", "res.partner", "archive", k.xid("p"), nil))}
	}, ""},
	{"merge", "res.partner", func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("old"), k.contact("kin", "type", "other", "parent_id", k.to("old")))}
	}, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("new"), broker.Operation{ID: "gone", Model: "res.partner", Do: "merge", XID: k.xid("old"), On: "new", OnNone: "skip"})}
	}, ""},
	{"call of a method", "res.partner", existing, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "street", "new"),
			broker.Operation{ID: "c", Model: "res.partner", Do: "call", On: "p", Method: "action_archive", OnlyIf: broker.Values{"active": true}})}
	}, ""},
	{"many2many, add", "res.partner", tagged, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "category_id", object{"$add": list{k.to("two")}}))}
	}, ""},
	{"many2many, replace", "res.partner", tagged, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "category_id", object{"$replace": list{k.to("two")}}))}
	}, ""},
	{"lines of a new record", "res.partner", none, family, ""},
	{"lines, merge", "res.partner", family, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "child_ids", object{"$merge": list{kin("father", "c"), kin("aunt", "d")}}))}
	}, ""},
	{"lines, replace", "res.partner", family, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "child_ids", object{"$replace": list{kin("father", "c"), kin("aunt", "d")}}))}
	}, ""},
	{"references that are deferred, one to the other", "res.partner", none, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "type", "other", "parent_id", k.later("q"))), k.unit("", k.contact("q"))}
	}, ""},
	{"two employees who manage each other", "hr.employee", none, func(k *kit) []*broker.Unit {
		e := func(name, manager string) *broker.Unit {
			return k.unit("", op("e", "hr.employee", "upsert", k.xid(name), broker.Values{"name": k.prefix + name, "parent_id": k.later(manager)}))
		}
		return []*broker.Unit{e("a", "b"), e("b", "a")}
	}, ""},
	{"an order: lines, confirmation", "sale.order", customer, func(k *kit) []*broker.Unit {
		confirm := broker.Operation{ID: "confirm", Model: "sale.order", Do: "call", On: "order", Method: "action_confirm", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{k.unit("", k.order(object{"$merge": list{k.item("T1", 1), k.item("T2", 2)}})),
			k.unit("", k.order(object{"$merge": list{k.item("T2", 5), k.item("T3", 3)}}), confirm)}
	}, ""},
	{"an order: lines that are replaced", "sale.order", func(k *kit) []*broker.Unit {
		return append(customer(k), k.unit("", k.order(object{"$replace": list{k.item("T1", 1), k.item("T2", 2)}})))
	}, func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.order(object{"$replace": list{k.item("T2", 2), k.item("T3", 3)}}))}
	}, ""},
	{"an invoice that is made and posted", "account.move", customer, func(k *kit) []*broker.Unit {
		invoice := op("inv", "account.move", "create", k.xid("inv"), broker.Values{"move_type": "out_invoice", "ref": k.prefix, "invoice_date": "2026-05-09", "partner_id": k.to("p"),
			"invoice_line_ids": object{"$merge": list{line("1", object{"name": "visit", "quantity": 1, "price_unit": 100}), line("2", object{"name": "drug", "quantity": 2})}}})
		post := broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{k.unit("", invoice, post)}
	}, ""},
}
