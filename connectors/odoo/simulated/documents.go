package simulated

import (
	"fmt"
	"strings"
)

func one2many(label, model, inverse string) Field {
	return Field{Type: "one2many", Label: label, Relation: model, Inverse: inverse}
}

func state(initial string, values ...string) Field {
	f := Field{Type: "selection", Label: "Status", Default: initial}
	for _, v := range values {
		f.Selection = append(f.Selection, [2]string{v, strings.ToUpper(v[:1]) + v[1:]})
	}
	return f
}

// documents are the models of sales, purchase, accounting, stock and staff, as
// far as mappings write them: fields, states, and what their buttons do.
func documents() map[string]*Model {
	active := Field{Type: "boolean", Label: "Active", Default: true}
	float := func(label string, initial float64) Field { return Field{Type: "float", Label: label, Default: initial} }
	required := func(f Field) Field { f.Required = true; return f }
	name := required(char("Name"))
	company := many2one("Company", "res.company")
	distribution := Field{Type: "json", Label: "Analytic Distribution", Depends: []string{"product_id"}}
	return map[string]*Model{
		"res.users": {Label: "User", Fields: map[string]Field{
			"name": char("Name"), "login": required(char("Login")), "email": char("Email"), "active": active,
			"groups_id": {Type: "many2many", Label: "Groups", Relation: "res.groups"},
		}},
		"res.company": {Label: "Companies", Fields: map[string]Field{"name": required(char("Company Name")), "active": active}},
		"res.groups":  {Label: "Access Groups", Fields: map[string]Field{"name": name}},
		"product.product": {Label: "Product Variant", Fields: map[string]Field{
			"name": name, "default_code": char("Internal Reference"), "barcode": char("Barcode"),
			"list_price": {Type: "float", Label: "Sales Price", Default: 1.0, Digits: 2}, "active": active,
			"standard_price": {Type: "float", Label: "Cost", Digits: 2},
			"sale_ok":        {Type: "boolean", Label: "Sales", Default: true}, "is_storable": {Type: "boolean", Label: "Track Inventory"},
			"categ_id": many2one("Product Category", "product.category"), "currency_id": many2one("Currency", "res.currency"),
			"taxes_id": {Type: "many2many", Label: "Sales Taxes", Relation: "account.tax"},
			"type":     {Type: "selection", Label: "Product Type", Default: "consu", Selection: [][2]string{{"consu", "Goods"}, {"service", "Service"}, {"combo", "Combo"}}},
		}},
		"product.template": {Label: "Product", Fields: map[string]Field{
			"name": name, "default_code": char("Internal Reference"), "barcode": char("Barcode"), "list_price": {Type: "float", Label: "Sales Price", Default: 1.0, Digits: 2}, "active": active,
			"sale_ok": {Type: "boolean", Label: "Sales", Default: true}, "uom_id": many2one("Unit of Measure", "uom.uom"),
			"taxes_id": {Type: "many2many", Label: "Sales Taxes", Relation: "account.tax"},
			"type":     {Type: "selection", Label: "Product Type", Default: "consu", Selection: [][2]string{{"consu", "Goods"}, {"service", "Service"}, {"combo", "Combo"}}},
		}},
		"product.category":         {Label: "Product Category", Fields: map[string]Field{"name": name}},
		"uom.uom":                  {Label: "Unit of Measure", Fields: map[string]Field{"name": name, "active": active}},
		"account.analytic.account": {Label: "Analytic Account", Fields: map[string]Field{"name": name, "code": char("Reference"), "active": active}},
		"account.analytic.line": {Label: "Analytic Line", Fields: map[string]Field{
			"name": required(char("Description")), "ref": char("Ref."), "date": {Type: "date", Label: "Date"}, "amount": float("Amount", 0), "unit_amount": float("Quantity", 0),
			"account_id": many2one("Project Account", "account.analytic.account"), "product_id": many2one("Product", "product.product"),
		}},
		"account.journal": {Label: "Journal", Fields: map[string]Field{"name": name, "code": required(char("Short Code")), "type": char("Type"), "active": active}},
		"sale.order": {Label: "Sales Order", Fields: map[string]Field{
			"company_id": required(company), "name": char("Order Reference"), "partner_id": required(many2one("Customer", "res.partner")),
			"client_order_ref": char("Customer Reference"), "origin": char("Source Document"), "note": {Type: "html", Label: "Terms"},
			"state": state("draft", "draft", "sent", "sale", "cancel"), "order_line": one2many("Order Lines", "sale.order.line", "order_id"),
		}, workflow: saleButtons()},
		"sale.order.line": {Label: "Sales Order Line", Fields: map[string]Field{
			"order_id": required(many2one("Order Reference", "sale.order")), "name": char("Description"), "sequence": {Type: "integer", Label: "Sequence", Default: int64(10)},
			"product_id": many2one("Product", "product.product"), "product_uom_qty": float("Quantity", 1),
			"price_unit": {Type: "float", Label: "Unit Price", Depends: []string{"product_id"}, Digits: 2}, "analytic_distribution": distribution,
		}},
		"purchase.order": {Label: "Purchase Order", Fields: map[string]Field{
			"company_id": required(company), "name": char("Order Reference"), "partner_id": required(many2one("Vendor", "res.partner")), "partner_ref": char("Vendor Reference"),
			"origin": char("Source"), "date_planned": {Type: "datetime", Label: "Expected Arrival"},
			"receipt_status": {Type: "selection", Label: "Receipt Status", Selection: [][2]string{{"pending", "Not Received"}, {"partial", "Partially Received"}, {"full", "Fully Received"}}},
			"state":          state("draft", "draft", "sent", "purchase", "done", "cancel"), "order_line": one2many("Order Lines", "purchase.order.line", "order_id"),
		}, workflow: buttons("button_confirm", "purchase", "", "draft", "sent")},
		"purchase.order.line": {Label: "Purchase Order Line", Fields: map[string]Field{
			"order_id": required(many2one("Order Reference", "purchase.order")), "name": char("Description"), "product_id": many2one("Product", "product.product"),
			"product_qty": float("Quantity", 1), "qty_received": float("Received Qty", 0), "price_unit": {Type: "float", Label: "Unit Price", Depends: []string{"product_id"}, Digits: 2}, "date_planned": {Type: "datetime", Label: "Expected Arrival"},
		}},
		"account.move": {Label: "Journal Entry", Fields: map[string]Field{
			"company_id": required(company), "currency_id": many2one("Currency", "res.currency"), "journal_id": many2one("Journal", "account.journal"), "name": char("Number"), "ref": char("Reference"), "partner_id": many2one("Partner", "res.partner"), "invoice_origin": char("Origin"),
			"move_type": {Type: "selection", Label: "Type", Default: "entry", Selection: [][2]string{{"entry", "Journal Entry"}, {"out_invoice", "Customer Invoice"},
				{"out_refund", "Customer Credit Note"}, {"in_invoice", "Vendor Bill"}, {"in_refund", "Vendor Credit Note"}}},
			"invoice_date": {Type: "date", Label: "Invoice Date"}, "invoice_date_due": {Type: "date", Label: "Due Date"}, "narration": {Type: "html", Label: "Terms"},
			"state": state("draft", "draft", "posted", "cancel"), "invoice_line_ids": one2many("Invoice lines", "account.move.line", "move_id"),
		}, guard: posted, workflow: map[string]func(*tx, []int64, map[string]any) (any, *exception){"action_post": postMoves}},
		"account.move.line": {Label: "Journal Item", Fields: map[string]Field{
			"move_id": required(many2one("Journal Entry", "account.move")), "name": char("Label"), "product_id": many2one("Product", "product.product"),
			"quantity": float("Quantity", 1), "price_unit": {Type: "float", Label: "Unit Price", Depends: []string{"product_id"}, Digits: 2},
			"purchase_line_id": many2one("Purchase Order Line", "purchase.order.line"), "analytic_distribution": distribution,
		}},
		"account.payment": {Label: "Payment", Fields: map[string]Field{
			"amount": float("Amount", 0), "currency_id": many2one("Currency", "res.currency"), "date": {Type: "date", Label: "Date"}, "memo": char("Memo"), "payment_reference": char("Payment Reference"),
			"partner_id": many2one("Customer/Vendor", "res.partner"), "journal_id": many2one("Journal", "account.journal"),
			"payment_type": {Type: "selection", Label: "Payment Type", Default: "inbound", Selection: [][2]string{{"outbound", "Send"}, {"inbound", "Receive"}}},
			"partner_type": {Type: "selection", Label: "Partner Type", Default: "customer", Selection: [][2]string{{"customer", "Customer"}, {"supplier", "Vendor"}}},
			"invoice_ids":  {Type: "many2many", Label: "Invoices", Relation: "account.move"}, "state": state("draft", "draft", "in_process", "paid", "canceled"),
		}, workflow: buttons("action_post", "in_process", "", "draft")},
		"stock.picking": {Label: "Transfer", Fields: map[string]Field{
			"name": char("Reference"), "origin": char("Source Document"), "carrier_tracking_ref": char("Tracking Reference"), "scheduled_date": {Type: "datetime", Label: "Scheduled Date"},
			"purchase_id": many2one("Purchase Orders", "purchase.order"), "state": state("draft", "draft", "assigned", "done", "cancel"), "picking_type_id": many2one("Operation Type", "stock.picking.type"),
			"location_id": many2one("Source Location", "stock.location"), "location_dest_id": many2one("Destination Location", "stock.location"),
			"move_ids": one2many("Stock Moves", "stock.move", "picking_id"), "move_line_ids": one2many("Operations", "stock.move.line", "picking_id"),
		}, workflow: map[string]func(*tx, []int64, map[string]any) (any, *exception){"button_validate": validate, "action_cancel": cancelTransfers}},
		"stock.picking.type": {Label: "Operation Type", Fields: map[string]Field{"name": required(char("Operation Type"))}},
		"stock.move": {Label: "Stock Move", Fields: map[string]Field{
			"name": char("Description"), "reference": char("Reference"), "picking_id": many2one("Transfer", "stock.picking"), "product_id": many2one("Product", "product.product"),
			"product_uom_qty": float("Demand", 0), "quantity": float("Quantity", 0),
			"location_id": many2one("Source Location", "stock.location"), "location_dest_id": many2one("Destination Location", "stock.location"), "picked": {Type: "boolean", Label: "Picked"}, "is_inventory": {Type: "boolean", Label: "Inventory"},
		}},
		"stock.move.line": {Label: "Product Moves", Fields: map[string]Field{
			"picking_id": required(many2one("Transfer", "stock.picking")), "product_id": many2one("Product", "product.product"), "product_uom_id": many2one("Unit of Measure", "uom.uom"),
			"quantity": float("Quantity", 0), "lot_name": char("Lot/Serial Number Name"), "expiration_date": {Type: "datetime", Label: "Expiration Date"},
		}},
		"hr.department": {Label: "Department", Fields: map[string]Field{"name": required(char("Department Name")), "active": active, "manager_id": many2one("Manager", "hr.employee")}},
		"hr.employee": {Label: "Employee", Fields: map[string]Field{
			"name": char("Employee Name"), "active": active, "barcode": char("Badge ID"), "work_email": char("Work Email"), "work_phone": char("Work Phone"), "mobile_phone": char("Work Mobile"),
			"job_title": char("Job Title"), "department_id": many2one("Department", "hr.department"), "parent_id": many2one("Manager", "hr.employee"), "user_id": many2one("User", "res.users"),
			"departure_date": {Type: "date", Label: "Departure Date"},
		}},
		mergeWizard: {Label: "Merge Partner Wizard", Fields: map[string]Field{
			"partner_ids": {Type: "many2many", Label: "Contacts", Relation: "res.partner"}, "dst_partner_id": many2one("Destination Contact", "res.partner"),
			"state": state("option", "option", "selection", "finished"),
		}, workflow: map[string]func(*tx, []int64, map[string]any) (any, *exception){"action_merge": mergeContacts}},
	}
}

const mergeWizard = "base.partner.merge.automatic.wizard"

// buttons is one that takes records from some states to another, and refuses
// others, or, without words for that, leaves them alone.
func buttons(name, to, refusal string, from ...string) map[string]func(*tx, []int64, map[string]any) (any, *exception) {
	model := map[string]string{"sale": "sale.order", "purchase": "purchase.order", "in_process": "account.payment"}[to]
	return map[string]func(*tx, []int64, map[string]any) (any, *exception){name: func(t *tx, ids []int64, _ map[string]any) (any, *exception) {
		for _, id := range ids {
			is := fmt.Sprint(t.tables[model].rows[id].values["state"])
			if !strings.Contains(" "+strings.Join(from, " ")+" ", " "+is+" ") {
				if refusal != "" {
					return nil, userError("%s", refusal)
				}
				continue
			}
			if e := t.write(model, id, map[string]any{"state": to}); e != nil {
				return nil, e
			}
		}
		if model == "account.payment" {
			return nil, nil
		}
		return true, nil
	}}
}

// posted refuses what a posted entry does not take; 17 leaves that to its pages.
func posted(t *tx, id int64, values map[string]any) *exception {
	if t.major < 18 || t.tables["account.move"].rows[id].values["state"] != "posted" {
		return nil
	}
	for _, name := range []string{"invoice_date", "partner_id", "invoice_line_ids", "move_type", "journal_id"} {
		if _, ok := values[name]; ok {
			return userError("You cannot modify the following readonly fields on a posted move: %s", name)
		}
	}
	return nil
}

func postMoves(t *tx, ids []int64, _ map[string]any) (any, *exception) {
	for _, id := range ids {
		r := t.tables["account.move"].rows[id]
		switch {
		case r.values["state"] != "draft":
			return nil, userError("The entry %v (id %d) must be in draft.", r.values["name"], id)
		case r.values["partner_id"] == nil:
			return nil, userError("The field 'Customer' is required, please complete it to validate the Customer Invoice.")
		case len(t.tables["account.move.line"].inverse["move_id"][id]) == 0:
			return nil, userError("You need to add a line before posting.")
		}
		if e := t.write("account.move", id, map[string]any{"state": "posted", "name": fmt.Sprintf("INV/2026/%05d", id)}); e != nil {
			return nil, e
		}
	}
	return false, nil
}

// validate asks about a back-order when less came than was expected.
func validate(t *tx, ids []int64, ctx map[string]any) (any, *exception) {
	for _, id := range ids {
		moves := sorted(t.tables["stock.move"].inverse["picking_id"][id])
		if len(moves) == 0 {
			return nil, userError("You can not validate an empty transfer. Please add some products to move before proceeding.")
		}
		short := false
		for _, m := range moves {
			v := t.tables["stock.move"].rows[m].values
			done, _ := v["quantity"].(float64)
			want, _ := v["product_uom_qty"].(float64)
			short = short || done < want
		}
		if t.tables["stock.picking"].rows[id].values["state"] == "done" {
			return nil, userError("You cannot validate a transfer if no quantities are reserved.")
		}
		if short && ctx["skip_backorder"] != true {
			return map[string]any{"name": "Create Backorder?", "type": "ir.actions.act_window", "res_model": "stock.backorder.confirmation", "view_mode": "form", "target": "new"}, nil
		}
	}
	for _, id := range ids {
		if e := t.write("stock.picking", id, map[string]any{"state": "done"}); e != nil {
			return nil, e
		}
	}
	return true, nil
}

// cancelTransfers is stock.picking's action_cancel.
func cancelTransfers(t *tx, ids []int64, _ map[string]any) (any, *exception) {
	for _, id := range ids {
		if t.tables["stock.picking"].rows[id].values["state"] == "done" {
			return nil, userError("You cannot cancel a stock move that has been set to 'Done'. Create a return in order to reverse the moves which took place.")
		}
		if e := t.write("stock.picking", id, map[string]any{"state": "cancel"}); e != nil {
			return nil, e
		}
	}
	return true, nil
}

// mergeContacts moves what points at the merged contacts, their external ids
// too, to the one that stays.
func mergeContacts(t *tx, ids []int64, _ map[string]any) (any, *exception) {
	tb := t.tables["res.partner"]
	for _, wizard := range ids {
		w := t.tables[mergeWizard].rows[wizard].values
		all, _ := w["partner_ids"].([]int64)
		into, _ := w["dst_partner_id"].(int64)
		emails := map[any]bool{}
		for _, id := range all {
			r := tb.rows[id]
			if r == nil {
				return nil, missingError("res.partner", id, t.uid)
			}
			emails[r.values["email"]] = true
			for p, _ := r.values["parent_id"].(int64); p != 0; p, _ = tb.rows[p].values["parent_id"].(int64) {
				for _, other := range all {
					if other == p {
						return nil, userError("You cannot merge a contact with one of his parent.")
					}
				}
			}
		}
		if len(emails) > 1 {
			return nil, userError("All contacts must have the same email. Only the Administrator can merge contacts with different emails.")
		}
		for _, id := range all {
			if id != into {
				if e := t.mergeOne(id, into); e != nil {
					return nil, e
				}
			}
		}
	}
	return map[string]any{"type": "ir.actions.act_window", "res_model": mergeWizard, "res_id": ids[0], "view_mode": "form", "target": "new"}, nil
}

func (t *tx) mergeOne(id, into int64) *exception {
	for model, m := range t.models {
		for name, f := range m.Fields {
			if f.Type != "many2one" || f.Relation != "res.partner" || model == mergeWizard {
				continue
			}
			for other, r := range t.tables[model].rows {
				if r.values[name] == any(id) {
					t.put(model, other, r, name, into)
				}
			}
		}
	}
	from, to := t.tables["res.partner"].rows[id], t.tables["res.partner"].rows[into]
	moved := from.xids
	for _, key := range moved {
		x := t.xids[key]
		x.res = into
		t.undo = append(t.undo, func() { x.res = id })
	}
	before := to.xids
	to.xids = append(append([]string(nil), to.xids...), moved...)
	from.xids = nil
	t.undo = append(t.undo, func() { from.xids, to.xids = moved, before })
	return t.unlink("res.partner", id)
}

// createWithLines is create of values whose one2many fields hold commands.
func (t *tx) createWithLines(model string, values map[string]any) (int64, *exception) {
	n, e := t.natives(model, 0, values)
	if e != nil {
		return 0, e
	}
	id, e := t.create(model, n)
	if e != nil {
		return 0, e
	}
	return id, t.lines(model, id, values)
}

// lines applies the commands of one2many fields: [0,0,values] [1,id,values] [2,id] [5].
func (t *tx) lines(model string, id int64, values map[string]any) *exception {
	for name, v := range values {
		f := t.models[model].Fields[name]
		if f.Type != "one2many" {
			continue
		}
		if guard := t.models[model].guard; guard != nil {
			if e := guard(t, id, map[string]any{name: v}); e != nil {
				return e
			}
		}
		list, _ := v.([]any)
		for _, it := range list {
			c, _ := it.([]any)
			if len(c) == 0 {
				continue
			}
			code, _ := asInt(c[0])
			var line int64
			var vals map[string]any
			if len(c) > 1 {
				line, _ = asInt(c[1])
			}
			if len(c) > 2 {
				vals, _ = c[2].(map[string]any)
			}
			var e *exception
			switch code {
			case 0:
				own := map[string]any{f.Inverse: id}
				for k, v := range vals {
					own[k] = v
				}
				_, e = t.createWithLines(f.Relation, own)
			case 1:
				var n map[string]any
				if n, e = t.natives(f.Relation, line, vals); e == nil {
					e = t.write(f.Relation, line, n)
				}
			case 2:
				e = t.unlink(f.Relation, line)
			case 5:
				for _, line := range sorted(t.tables[f.Relation].inverse[f.Inverse][id]) {
					if e = t.unlink(f.Relation, line); e != nil {
						break
					}
				}
			}
			if e != nil {
				return e
			}
		}
	}
	return nil
}
