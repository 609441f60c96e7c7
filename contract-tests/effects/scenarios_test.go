package effects_test

import (
	"fmt"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A kit makes the units of one scenario, or of one day.
type kit struct {
	prefix  string // in the external ids and in a field of every record, so that they are found again
	version int    // of Odoo
	n       int
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

// stored is a product and a place for it, with counts that were taken before.
func stored(counts ...int) func(k *kit) []*broker.Unit {
	return func(k *kit) []*broker.Unit {
		goods := broker.Values{"name": "x", "default_code": k.prefix + "x", "type": "consu", "is_storable": true}
		if k.version < 18 {
			goods = broker.Values{"name": "x", "default_code": k.prefix + "x", "detailed_type": "product"}
		}
		units := []*broker.Unit{k.unit("", op("x", "product.product", "upsert", k.xid("x"), goods),
			op("shelf", "stock.location", "upsert", k.xid("shelf"), broker.Values{"name": k.prefix + "shelf", "usage": "internal"}))}
		for _, n := range counts {
			units = append(units, k.count(n))
		}
		return units
	}
}

// count is an absolute count of what stored made.
func (k *kit) count(n int) *broker.Unit {
	inventory := broker.Values{"inventory_mode": true}
	return k.unit("shelf",
		broker.Operation{ID: "quant", Model: "stock.quant", Do: "create", Context: inventory, Vals: broker.Values{"product_id": k.to("x"), "location_id": k.to("shelf"), "inventory_quantity": n}},
		broker.Operation{ID: "count", Model: "stock.quant", Do: "call", On: "quant", Method: "action_apply_inventory", Context: inventory, OnlyIf: broker.Values{"inventory_quantity_set": true}})
}

func counting(counts ...int) func(k *kit) []*broker.Unit {
	return func(k *kit) (units []*broker.Unit) {
		for _, n := range counts {
			units = append(units, k.count(n))
		}
		return units
	}
}

// shelf is the product that is counted, and its place.
func shelf(e endpoint, k *kit) (ids []any, err error) {
	for _, model := range []string{"product.product", "stock.location"} {
		by := map[string]string{"product.product": "default_code", "stock.location": "name"}[model]
		rows, err := e.rows(model, list{list{by, "like", k.prefix}}, []string{"id"})
		if err != nil || len(rows) != 1 {
			return nil, fmt.Errorf("%d of %s: %w", len(rows), model, err)
		}
		ids = append(ids, rows[0]["id"])
	}
	return ids, nil
}

// oneGoes takes one piece of what was counted away.
func oneGoes(e endpoint, k *kit) error {
	ids, err := shelf(e, k)
	if err != nil {
		return err
	}
	scrap, err := e.call("stock.scrap", "create", list{list{object{"product_id": ids[0], "scrap_qty": 1, "location_id": ids[1]}}}, nil)
	if err == nil {
		_, err = e.call("stock.scrap", "action_validate", list{scrap}, nil)
	}
	return err
}

// anotherCounts enters a count and leaves it there.
func anotherCounts(e endpoint, k *kit) error {
	ids, err := shelf(e, k)
	if err == nil {
		_, err = e.call("stock.quant", "create", list{list{object{"product_id": ids[0], "location_id": ids[1], "inventory_quantity": 9}}}, object{"context": object{"inventory_mode": true}})
	}
	return err
}

// emptyOnesGo deletes the quants that hold nothing.
func emptyOnesGo(e endpoint, _ *kit) error {
	_, err := e.call("stock.quant", "action_view_inventory", nil, nil)
	return err
}

// A meanwhile is what else goes on in the database while the worker is dead after the
// first commit of a method, or, where that does not come, after everything: it is to
// have the same effect before and after.
type meanwhile struct {
	after  string
	happen func(e endpoint, k *kit) error
}

// A scenario is one kind of operation: units that are applied in peace before it, and
// those whose every call kills the worker.
type scenario struct {
	name      string
	needs     string // a model that not every database has
	before    func(k *kit) []*broker.Unit
	units     func(k *kit) []*broker.Unit
	meanwhile meanwhile
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
	{name: "upsert of a new record", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) { o.OnCreate = broker.Values{"function": "new"} }))}
	}},
	{name: "upsert of a new record, with values for known ones", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) {
			o.OnCreate, o.OnUpdate = broker.Values{"function": "new"}, broker.Values{"city": "known"}
		}))}
	}},
	{name: "upsert of a new record, with values for known ones, before something that waits", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		first := with(k.contact("p", "street", "s"), func(o *broker.Operation) { o.OnUpdate = broker.Values{"city": "known"} })
		return []*broker.Unit{k.unit("", first, op("q", "res.partner", "update", k.xid("q"), broker.Values{"street": "waits"})), k.unit("", k.contact("q"))}
	}},
	{name: "upsert of a record that another unit made, with values for known ones", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		more := func(city string) broker.Operation {
			return with(k.contact("p"), func(o *broker.Operation) { o.OnUpdate = broker.Values{"city": city} })
		}
		return []*broker.Unit{k.unit("p", more("first")), k.unit("p", more("second"))}
	}},
	{name: "upsert of a record that is there", needs: "res.partner", before: existing, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "new"), func(o *broker.Operation) { o.OnUpdate = broker.Values{"function": "known"} }))}
	}},
	{name: "upsert by fields, of which nothing is found", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) { o.XID, o.By = "", broker.Values{"ref": k.prefix + "p"} }))}
	}},
	{name: "upsert by fields of a new record, with values for known ones", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p", "street", "s"), func(o *broker.Operation) {
			o.XID, o.By, o.OnUpdate = "", broker.Values{"ref": k.prefix + "p"}, broker.Values{"city": "known"}
		}))}
	}},
	{name: "several operations of one unit", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p"), k.contact("kin", "type", "other", "parent_id", object{"$op": "p"}), k.tag("t"))}
	}},
	{name: "create", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p"), func(o *broker.Operation) { o.Do = "create" }))}
	}},
	{name: "create of a record that has no name", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", with(k.contact("p"), func(o *broker.Operation) { o.Do, o.XID = "create", "" }))}
	}},
	{name: "update", needs: "res.partner", before: existing, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", broker.Operation{ID: "p", Model: "res.partner", Do: "update", By: broker.Values{"ref": k.prefix + "p"}, Vals: broker.Values{"street": "new"}})}
	}},
	{name: "update of a record that comes later", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", op("p", "res.partner", "update", k.xid("p"), broker.Values{"street": "new"})), k.unit("", k.contact("p"))}
	}},
	{name: "archive", needs: "res.partner", before: existing, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", op("p", "res.partner", "archive", k.xid("p"), nil))}
	}},
	{name: "merge", needs: "res.partner", before: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("old"), k.contact("kin", "type", "other", "parent_id", k.to("old")))}
	}, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("new"), broker.Operation{ID: "gone", Model: "res.partner", Do: "merge", XID: k.xid("old"), On: "new", OnNone: "skip"})}
	}},
	{name: "call of a method", needs: "res.partner", before: existing, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "street", "new"),
			broker.Operation{ID: "c", Model: "res.partner", Do: "call", On: "p", Method: "action_archive", OnlyIf: broker.Values{"active": true}})}
	}},
	{name: "many2many, add", needs: "res.partner", before: tagged, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "category_id", object{"$add": list{k.to("two")}}))}
	}},
	{name: "many2many, replace", needs: "res.partner", before: tagged, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "category_id", object{"$replace": list{k.to("two")}}))}
	}},
	{name: "lines of a new record", needs: "res.partner", before: none, units: family},
	{name: "lines, merge", needs: "res.partner", before: family, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "child_ids", object{"$merge": list{kin("father", "c"), kin("aunt", "d")}}))}
	}},
	{name: "lines, replace", needs: "res.partner", before: family, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "child_ids", object{"$replace": list{kin("father", "c"), kin("aunt", "d")}}))}
	}},
	{name: "references that are deferred, one to the other", needs: "res.partner", before: none, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.contact("p", "type", "other", "parent_id", k.later("q"))), k.unit("", k.contact("q"))}
	}},
	{name: "two employees who manage each other", needs: "hr.employee", before: none, units: func(k *kit) []*broker.Unit {
		e := func(name, manager string) *broker.Unit {
			return k.unit("", op("e", "hr.employee", "upsert", k.xid(name), broker.Values{"name": k.prefix + name, "parent_id": k.later(manager)}))
		}
		return []*broker.Unit{e("a", "b"), e("b", "a")}
	}},
	{name: "counts of stock", needs: "stock.quant", before: stored(), units: counting(5, 3)},
	{name: "a count of stock that finds no difference", needs: "stock.quant", before: stored(5), units: counting(5)},
	{name: "a count of stock that finds nothing", needs: "stock.quant", before: stored(5), units: counting(0)},
	{name: "a count of stock, which moves before it is applied", needs: "stock.quant", before: stored(3), units: counting(5), meanwhile: meanwhile{"stock.quant.load", oneGoes}},
	{name: "a count of stock, which moves afterwards", needs: "stock.quant", before: stored(3), units: counting(5), meanwhile: meanwhile{"stock.quant.action_apply_inventory", oneGoes}},
	{name: "a count that finds no difference, of stock that moves afterwards", needs: "stock.quant", before: stored(5), units: counting(5), meanwhile: meanwhile{"stock.quant.action_apply_inventory", oneGoes}},
	{name: "a count of stock that somebody else begins to count again", needs: "stock.quant", before: stored(3), units: counting(5), meanwhile: meanwhile{"stock.quant.action_apply_inventory", anotherCounts}},
	{name: "a count that finds nothing, of a quant that Odoo then deletes", needs: "stock.quant", before: stored(3), units: counting(0), meanwhile: meanwhile{"stock.quant.action_apply_inventory", emptyOnesGo}},
	{name: "an order: lines, confirmation", needs: "sale.order", before: customer, units: func(k *kit) []*broker.Unit {
		confirm := broker.Operation{ID: "confirm", Model: "sale.order", Do: "call", On: "order", Method: "action_confirm", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{k.unit("", k.order(object{"$merge": list{k.item("T1", 1), k.item("T2", 2)}})),
			k.unit("", k.order(object{"$merge": list{k.item("T2", 5), k.item("T3", 3)}}), confirm)}
	}},
	{name: "an order: lines that are replaced", needs: "sale.order", before: func(k *kit) []*broker.Unit {
		return append(customer(k), k.unit("", k.order(object{"$replace": list{k.item("T1", 1), k.item("T2", 2)}})))
	}, units: func(k *kit) []*broker.Unit {
		return []*broker.Unit{k.unit("", k.order(object{"$replace": list{k.item("T2", 2), k.item("T3", 3)}}))}
	}},
	{name: "an invoice that is made and posted", needs: "account.move", before: customer, units: func(k *kit) []*broker.Unit {
		invoice := op("inv", "account.move", "create", k.xid("inv"), broker.Values{"move_type": "out_invoice", "ref": k.prefix, "invoice_date": "2026-05-09", "partner_id": k.to("p"),
			"invoice_line_ids": object{"$merge": list{line("1", object{"name": "visit", "quantity": 1, "price_unit": 100}), line("2", object{"name": "drug", "quantity": 2})}}})
		post := broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}
		return []*broker.Unit{k.unit("", invoice, post)}
	}},
}
