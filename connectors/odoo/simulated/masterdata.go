package simulated

// masterdata are what items, places, lots, vendor prices, plans and activities are
// written to, and more fields of models that are declared elsewhere.
func masterdata() map[string]Model {
	active := Field{Type: "boolean", Label: "Active", Default: true}
	name := Field{Type: "char", Label: "Name", Required: true}
	item := map[string]Field{
		"is_storable": {Type: "boolean", Label: "Track Inventory"}, "standard_price": {Type: "float", Label: "Cost", Digits: 2},
		"tracking": {Type: "selection", Label: "Tracking", Default: "none", Selection: [][2]string{{"serial", "By Unique Serial Number"}, {"lot", "By Lots"}, {"none", "By Quantity"}}},
	}
	required := func(label, model string) Field {
		return Field{Type: "many2one", Label: label, Relation: model, Required: true}
	}
	return map[string]Model{
		"product.product":  {Fields: item},
		"product.template": {Fields: item},
		"product.supplierinfo": {Label: "Supplier Pricelist", Fields: map[string]Field{
			"partner_id": required("Vendor", "res.partner"), "product_tmpl_id": many2one("Product Template", "product.template"), "product_id": many2one("Product Variant", "product.product"),
			"product_code": char("Vendor Product Code"), "price": {Type: "float", Label: "Price", Digits: 2},
		}},
		"stock.location": {Fields: map[string]Field{"active": active, "location_id": many2one("Parent Location", "stock.location")}},
		"stock.lot": {Label: "Lot/Serial", Fields: map[string]Field{
			"name": name, "product_id": required("Product", "product.product"), "expiration_date": {Type: "datetime", Label: "Expiration Date"},
		}},
		quantModel: {Fields: map[string]Field{"lot_id": many2one("Lot/Serial Number", "stock.lot")}},
		"sale.order": {Fields: map[string]Field{
			"date_order": {Type: "datetime", Label: "Order Date"}, "commitment_date": {Type: "datetime", Label: "Delivery Date"}, "partner_invoice_id": many2one("Invoice Address", "res.partner"),
		}},
		"account.analytic.plan":    {Label: "Analytic Plans", Fields: map[string]Field{"name": name}},
		"account.analytic.account": {Fields: map[string]Field{"plan_id": many2one("Plan", "account.analytic.plan"), "partner_id": many2one("Customer", "res.partner")}},
		"ir.model":                 {Label: "Models", Fields: map[string]Field{"name": name, "model": char("Model")}},
		"mail.activity.type":       {Label: "Activity Type", Fields: map[string]Field{"name": name}},
		"mail.activity": {Label: "Activity", Fields: map[string]Field{
			"res_model_id": required("Document Model", "ir.model"), "res_id": many2one("Related Document ID", "res.partner"), "activity_type_id": many2one("Activity Type", "mail.activity.type"),
			"summary": char("Summary"), "date_deadline": {Type: "date", Label: "Due Date"}, "active": active,
		}},
		"res.partner": {Fields: map[string]Field{"activity_ids": one2many("Activities", "mail.activity", "res_id")}},
	}
}

// installed are records that modules bring along, which mappings name.
var installed = []Seed{
	{Model: "ir.model", XID: "base.model_res_partner", Values: map[string]any{"name": "Contact", "model": "res.partner"}},
	{Model: "mail.activity.type", XID: "mail.mail_activity_data_todo", Values: map[string]any{"name": "To-Do"}},
	{Model: "mail.activity.type", XID: "mail.mail_activity_data_meeting", Values: map[string]any{"name": "Meeting"}},
	{Model: "account.analytic.plan", XID: "analytic.analytic_plan_projects", Values: map[string]any{"name": "Project"}},
	{Model: "stock.location", XID: "stock.stock_location_stock", Values: map[string]any{"name": "Stock", "usage": "internal"}},
	{Model: "stock.picking.type", XID: "stock.picking_type_internal", Values: map[string]any{"name": "Internal Transfers"}},
}

func saleButtons() map[string]method {
	m := buttons("action_confirm", "sale", "Some orders are not in a state requiring confirmation.", "draft", "sent")
	m["action_draft"], m["action_cancel"] = reopen, cancelOrders
	return m
}

// reopen takes an order that was cancelled back to a draft, and leaves others alone.
func reopen(t *tx, ids []int64, _ map[string]any) (any, *exception) {
	for _, id := range ids {
		if t.tables["sale.order"].rows[id].values["state"] == "cancel" {
			if e := t.write("sale.order", id, map[string]any{"state": "draft"}); e != nil {
				return nil, e
			}
		}
	}
	return true, nil
}

// cancelOrders cancels drafts, and asks about orders that are further on.
func cancelOrders(t *tx, ids []int64, ctx map[string]any) (any, *exception) {
	for _, id := range ids {
		if t.tables["sale.order"].rows[id].values["state"] != "draft" && ctx["disable_cancel_warning"] != true {
			return map[string]any{"name": "Cancel Sales Order", "type": "ir.actions.act_window", "res_model": "sale.order.cancel", "view_mode": "form", "target": "new"}, nil
		}
	}
	for _, id := range ids {
		if e := t.write("sale.order", id, map[string]any{"state": "cancel"}); e != nil {
			return nil, e
		}
	}
	return true, nil
}
