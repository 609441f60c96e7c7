package odoo

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A shelf is a database with five pieces of a product in one place.
type shelf struct {
	sim    *simulated.Server
	target *Target
}

func newShelf(t *testing.T) shelf {
	t.Helper()
	sim, cfg := server(t, simulated.Config{History: true, Seeds: []simulated.Seed{
		{Model: "product.product", ID: 70, XID: "t.x", Values: map[string]any{"name": "x"}}, {Model: "stock.location", ID: 80, XID: "t.shelf", Values: map[string]any{"name": "shelf"}},
		{Model: "stock.quant", ID: 90, XID: "t.quant", Values: map[string]any{"product_id": int64(70), "location_id": int64(80), "quantity": 5.0}}}})
	return shelf{sim, connect(t, cfg)}
}

// unit is a count, as far as these operations go: "create", "update" and "apply".
func (s shelf) unit(id string, n int, more broker.Values, do ...string) *broker.Unit {
	in := broker.Values{"inventory_mode": true}
	for k, v := range more {
		in[k] = v
	}
	u := &broker.Unit{ID: id}
	for _, what := range do {
		switch what {
		case "create":
			u.Ops = append(u.Ops, broker.Operation{ID: "quant", Model: quantModel, Do: "create", XID: "t.count" + id, Context: in, Vals: broker.Values{
				"product_id": map[string]any{"$xid": "t.x"}, "location_id": map[string]any{"$xid": "t.shelf"}, "inventory_quantity": n}})
		case "update":
			u.Ops = append(u.Ops, broker.Operation{ID: "quant", Model: quantModel, Do: "update", XID: "t.quant", Context: in, Vals: broker.Values{"inventory_quantity": n}})
		case "apply":
			u.Ops = append(u.Ops, broker.Operation{ID: "count", Model: quantModel, Do: "call", On: "quant", Method: applyCount, Context: in, OnlyIf: broker.Values{"inventory_quantity_set": true}})
		}
	}
	return u
}

// another does something by hand: others count, or stock moves.
func (s shelf) another(t *testing.T, vals map[string]any) {
	t.Helper()
	if _, err := s.target.client.execute(t.Context(), quantModel, "write", []arg{{"ids", []any{90}}, {"vals", vals}}, nil); err != nil {
		t.Fatal(err)
	}
}

func (s shelf) holds(t *testing.T, quantity any) {
	t.Helper()
	if r, _ := s.sim.ByXID("t.quant"); r.Values["quantity"] != quantity {
		t.Errorf("the quant holds %v, want %v", r.Values["quantity"], quantity)
	}
}

func TestACountOfNothingIsNotTakenForNoCount(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	for range 2 {
		wantApplied(t, applyTo(t, s.target, s.unit("u", 0, nil, "update", "apply")))
		s.holds(t, 0.0)
		s.another(t, map[string]any{"quantity": 0})
	}
	s.another(t, map[string]any{"quantity": 4})
	wantApplied(t, applyTo(t, s.target, s.unit("u", 0, nil, "update", "apply")))
	s.holds(t, 4.0)
}

func TestTheMoveOfACountSaysWhoseItIs(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	wantApplied(t, applyTo(t, s.target, s.unit("u1", 3, broker.Values{"inventory_name": "Stocktake in May"}, "create", "apply")))
	s.holds(t, 3.0)
	found := ""
	for _, e := range s.sim.Effects() {
		if name, ok := e.Values["reference"].(string); ok && e.Model == moveModel {
			found += name
		}
	}
	if !strings.HasPrefix(found, "vagus_unit.u1_quant Stocktake in May") {
		t.Errorf("the reference is %q", found)
	}
}

func TestWhenStockMovesBetweenCountAndApplicationAPersonIsAskedUnlessTheCountIsKnown(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		how     string
		others  map[string]any
		class   string
		holding any
	}{
		"made by the unit":                      {"create", map[string]any{"quantity": 4}, "", 6.0}, // 7 were counted where 5 should have been
		"written to a quant":                    {"update", map[string]any{"quantity": 4}, "odoo.asks_back", 4.0},
		"made by the unit, then counted anew":   {"create", map[string]any{"inventory_quantity": 9, "quantity": 4}, "odoo.asks_back", 4.0},
		"made by the unit, then forgotten":      {"create", map[string]any{"inventory_quantity_set": false, "quantity": 4}, "", 4.0},
		"written to a quant, and nothing moved": {"update", map[string]any{"quantity": 5}, "", 7.0},
	} {
		s := newShelf(t)
		wantApplied(t, applyTo(t, s.target, s.unit("u", 7, nil, c.how)))
		s.another(t, map[string]any{"quantity": 5}) // is what it was
		if n, ok := c.others["inventory_quantity"]; ok {
			s.another(t, map[string]any{"inventory_quantity": n})
			delete(c.others, "inventory_quantity")
		}
		s.another(t, c.others)
		for range 2 {
			if o := applyTo(t, s.target, s.unit("u", 7, nil, c.how, "apply"))[0]; o.Class != c.class {
				t.Errorf("%s: %s %s", name, o.Result, o.Class)
			}
			s.holds(t, c.holding)
		}
	}
}
