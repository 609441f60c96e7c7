package simulated

import (
	"slices"
	"strings"
)

type method = func(*tx, []int64, map[string]any) (any, *exception)

// inventory are the models of stock on hand: how it is counted, and one way in which
// it moves meanwhile.
func inventory() map[string]*Model {
	float := func(label string) Field { return Field{Type: "float", Label: label} }
	boolean := func(label string) Field { return Field{Type: "boolean", Label: label} }
	required := func(label, model string) Field {
		return Field{Type: "many2one", Label: label, Relation: model, Required: true}
	}
	return map[string]*Model{
		"stock.location": {Label: "Inventory Locations", Fields: map[string]Field{"name": char("Location Name"), "usage": char("Location Type"),
			"complete_name": char("Full Location Name"), "barcode": char("Barcode")}},
		quantModel: {Label: "Quants", Fields: map[string]Field{
			"product_id": required("Product", "product.product"), "location_id": required("Location", "stock.location"), "user_id": many2one("Assigned To", "res.users"),
			"quantity": float("Quantity"), "inventory_quantity": float("Counted Quantity"), "inventory_diff_quantity": float("Difference"),
			"inventory_quantity_set": boolean("Inventory Quantity Set"), "is_outdated": boolean("Quantity has been moved since last count"),
		}, make: countInstead, derive: deriveQuant, workflow: map[string]method{"action_apply_inventory": applyInventory, "action_view_inventory": tidy}},
		conflictWizard: {Label: "Conflict in Inventory", Fields: map[string]Field{
			"quant_ids":        {Type: "many2many", Label: "Quants", Relation: quantModel},
			"quant_to_fix_ids": {Type: "many2many", Label: "Conflicts", Relation: quantModel},
		}, workflow: map[string]method{"action_keep_difference": keepDifference}},
		"stock.scrap": {Label: "Scrap", Fields: map[string]Field{
			"product_id": required("Product", "product.product"), "location_id": required("Source Location", "stock.location"), "scrap_qty": float("Quantity"),
		}, workflow: map[string]method{"action_validate": scrap}},
	}
}

const (
	quantModel     = "stock.quant"
	conflictWizard = "stock.inventory.conflict"
)

// countInstead is what creating a quant does in inventory mode: the quant that is there
// gets the count.
func countInstead(t *tx, values map[string]any) (int64, bool, *exception) {
	if _, counts := values["inventory_quantity"]; !counts || t.ctx["inventory_mode"] != true {
		return 0, false, nil
	}
	count, _ := values["inventory_quantity"].(float64)
	entry := map[string]any{"inventory_quantity": count, "user_id": t.uid}
	for _, id := range t.tables[quantModel].ids {
		if v := t.tables[quantModel].rows[id].values; v["product_id"] == values["product_id"] && v["location_id"] == values["location_id"] && v["lot_id"] == values["lot_id"] {
			return id, true, t.write(quantModel, id, entry)
		}
	}
	for name, v := range entry {
		values[name] = v
	}
	return 0, false, nil
}

// deriveQuant computes what depends on the count and on the stock.
func deriveQuant(t *tx, id int64, r *record, changed map[string]any) {
	number := func(name string) float64 { n, _ := r.values[name].(float64); return n }
	if _, counted := changed["inventory_quantity"]; counted {
		t.put(quantModel, id, r, "inventory_quantity_set", true)
		t.put(quantModel, id, r, "inventory_diff_quantity", number("inventory_quantity")-number("quantity"))
	}
	t.put(quantModel, id, r, "is_outdated", r.values["inventory_quantity_set"] == true && number("inventory_quantity")-number("inventory_diff_quantity") != number("quantity"))
}

// applyInventory moves the difference and forgets the count. It asks when stock has
// moved since it was entered.
func applyInventory(t *tx, ids []int64, ctx map[string]any) (any, *exception) {
	for _, id := range ids {
		if t.tables[quantModel].rows[id].values["is_outdated"] == true {
			return map[string]any{"name": "Conflict in Inventory Adjustment", "type": "ir.actions.act_window", "res_model": conflictWizard, "view_mode": "form", "target": "new"}, nil
		}
	}
	for _, id := range ids {
		r := t.tables[quantModel].rows[id]
		diff, _ := r.values["inventory_diff_quantity"].(float64)
		quantity, _ := r.values["quantity"].(float64)
		name, _ := ctx["inventory_name"].(string)
		switch {
		case name != "":
		case diff == 0:
			name = "Product Quantity Confirmed"
		default:
			name = "Product Quantity Updated"
		}
		if by, _ := r.values["user_id"].(int64); by > 1 {
			name += " (" + t.display("res.users", by) + ")"
		}
		move := map[string]any{"name": name, "reference": name, "is_inventory": true, "product_id": r.values["product_id"], "quantity": max(diff, -diff), "product_uom_qty": max(diff, -diff)}
		if _, e := t.create("stock.move", move); e != nil {
			return nil, e
		}
		if e := t.write(quantModel, id, map[string]any{"quantity": quantity + diff, "inventory_quantity": 0.0, "user_id": nil}); e != nil {
			return nil, e
		}
		for _, name := range []string{"inventory_quantity_set", "inventory_diff_quantity", "is_outdated"} {
			t.put(quantModel, id, r, name, nil)
		}
	}
	return nil, nil
}

// keepDifference is the wizard's answer that what moved since the count stays moved.
func keepDifference(t *tx, ids []int64, ctx map[string]any) (any, *exception) {
	for _, wizard := range ids {
		quants, _ := t.tables[conflictWizard].rows[wizard].values["quant_ids"].([]int64)
		for _, id := range quants {
			v := t.tables[quantModel].rows[id].values
			quantity, _ := v["quantity"].(float64)
			diff, _ := v["inventory_diff_quantity"].(float64)
			if e := t.write(quantModel, id, map[string]any{"inventory_quantity": quantity + diff}); e != nil {
				return nil, e
			}
		}
		if res, e := applyInventory(t, quants, ctx); res != nil || e != nil {
			return res, e
		}
	}
	return nil, nil
}

// tidy deletes the quants that hold nothing, as Odoo does when somebody looks at the stock.
func tidy(t *tx, _ []int64, _ map[string]any) (any, *exception) {
	for _, id := range slices.Clone(t.tables[quantModel].ids) {
		v := t.tables[quantModel].rows[id].values
		quantity, _ := v["quantity"].(float64)
		if quantity == 0 && v["inventory_quantity_set"] != true && v["user_id"] == nil {
			if e := t.unlink(quantModel, id); e != nil {
				return nil, e
			}
		}
	}
	return map[string]any{"type": "ir.actions.act_window", "res_model": quantModel}, nil
}

// scrap takes stock away.
func scrap(t *tx, ids []int64, _ map[string]any) (any, *exception) {
	for _, id := range ids {
		v := t.tables["stock.scrap"].rows[id].values
		gone, _ := v["scrap_qty"].(float64)
		for _, q := range t.tables[quantModel].ids {
			if r := t.tables[quantModel].rows[q]; r.values["product_id"] == v["product_id"] && r.values["location_id"] == v["location_id"] {
				quantity, _ := r.values["quantity"].(float64)
				if e := t.write(quantModel, q, map[string]any{"quantity": quantity - gone}); e != nil {
					return nil, e
				}
			}
		}
	}
	return true, nil
}

// matches is PostgreSQL's LIKE, as far as it is asked here: % at either end.
func matches(s, pattern string) bool {
	head, open := strings.CutSuffix(pattern, "%")
	tail, from := strings.CutPrefix(head, "%")
	switch {
	case open && from:
		return strings.Contains(s, tail)
	case open:
		return strings.HasPrefix(s, head)
	case from:
		return strings.HasSuffix(s, tail)
	}
	return s == pattern
}
