package app_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// accounting are fields of Odoo that its simulation does without.
func accounting() map[string]simulated.Model {
	char, float, boolean := simulated.Field{Type: "char"}, simulated.Field{Type: "float"}, simulated.Field{Type: "boolean"}
	to := func(model string) simulated.Field { return simulated.Field{Type: "many2one", Relation: model} }
	return map[string]simulated.Model{
		"account.move":      {Fields: map[string]simulated.Field{"payment_state": char, "posted_before": boolean, "amount_untaxed": float, "amount_total": float, "currency_id": to("res.currency")}},
		"account.move.line": {Fields: map[string]simulated.Field{"display_type": char, "price_subtotal": float}},
		"res.company":       {Fields: map[string]simulated.Field{"partner_id": to("res.partner")}},
		"stock.location":    {Fields: map[string]simulated.Field{"complete_name": char, "barcode": char, "company_id": to("res.company")}},
		"stock.move": {Fields: map[string]simulated.Field{"state": char, "date": {Type: "datetime"}, "product_uom": to("uom.uom"), "location_dest_id": to("stock.location"),
			"purchase_line_id": to("purchase.order.line")}},
	}
}

var outbound = builtins("identity/fhir-organization-out", "procurement/fhir-location-out", "billing/fhir-invoice-out", "procurement/fhir-supply-delivery-out")

// outboundModels is what the outbound mappings read.
func outboundModels() []odoo.SourceModel {
	return []odoo.SourceModel{
		{Model: "res.partner", Fields: []string{"name", "is_company", "active", "ref", "vat", "phone", "email", "website", "street", "street2", "city", "zip", "state_id.code", "country_id.code", "parent_id.is_company"}},
		{Model: "stock.location", Fields: []string{"name", "complete_name", "usage", "active", "barcode", "company_id.partner_id.id", "location_id.usage"}},
		{Model: "account.move", Fields: []string{"name", "move_type", "state", "payment_state", "posted_before", "invoice_date", "amount_untaxed", "amount_total", "currency_id.name", "company_id.name", "partner_id.is_company",
			"invoice_line_ids.display_type", "invoice_line_ids.name", "invoice_line_ids.quantity", "invoice_line_ids.price_subtotal", "invoice_line_ids.product_id.default_code", "invoice_line_ids.product_id.name"}},
		{Model: "stock.move", Fields: []string{"state", "date", "quantity", "product_uom.name", "product_id.default_code", "product_id.name", "picking_id.name", "purchase_line_id.order_id.origin", "purchase_line_id.order_id.partner_id.id",
			"location_dest_id.usage", "location_dest_id.complete_name"}},
	}
}

// What changes in Odoo is at the hospital's FHIR server: each record one
// resource, each change one version, whatever the server answers meanwhile.
func TestWhatChangesInOdooIsAtTheFHIRServer(t *testing.T) {
	t.Parallel()
	server, log := newFHIRServer(t), &safeLog{}
	cfg, _ := oneOf(t, simulated.Config{Users: []simulated.User{{Login: "buyer", Key: "buyer"}}, Models: accounting()}, builtin)
	url := cfg.Targets["odoo"].Odoo.URL
	cfg.Feeds = append(cfg.Feeds, config.Feed{Name: "out", Target: "ehr",
		Mappings: outbound, Odoo: &odoo.SourceConfig{Config: *cfg.Targets["odoo"].Odoo, Every: time.Second, Models: outboundModels()}})
	cfg.Sinks = map[string]config.Outlet{"ehr": {FHIR: &fhir.SinkConfig{Server: fhir.Server{URL: server.URL}}}}
	cfg.Targets["ehr"] = config.Target{Site: cfg.Site, Outlet: config.Outlet{}, At: "ehr", RetryMin: 20 * time.Millisecond, RetryMax: 100 * time.Millisecond}
	buyer, err := odoo.New(odoo.Config{URL: url, Database: "demo", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"})
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	write := func(model, xid string, vals broker.Values) {
		t.Helper()
		step++
		out, err := buyer.Apply(t.Context(), []*broker.Unit{{ID: fmt.Sprint("w", step), Ops: []broker.Operation{{ID: "o", Model: model, Do: "upsert", XID: "t." + xid, Vals: vals}}}})
		if err != nil || out[0].Result != broker.Applied {
			t.Fatalf("%v %v", out, err)
		}
	}
	at := func(xid string) any { return map[string]any{"$xid": "t." + xid} }
	write("res.partner", "north", broker.Values{"name": "North Hospital", "is_company": true})
	write("res.partner", "jane", broker.Values{"name": "Jane Canaryson", "is_company": false})
	_, api := start(t, cfg, log)
	units := func(q ops.Query) int {
		q.Feed, q.Limit = "out", 200
		page, err := api.Messages(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		return len(page.Messages)
	}
	applied := func() int { return units(ops.Query{Status: []ledger.Status{ledger.Applied}}) }
	has := server.has
	eventually(t, "the company at the server", log, has("Organization", "name", "North Hospital", `"versionId":"1"`))

	write("res.partner", "north", broker.Values{"phone": "+1 415 5550101"})
	eventually(t, "a change as an update of the same resource", log, has("Organization", "name", "North Hospital", `"versionId":"2"`, "5550101"))
	eventually(t, "the location that every Odoo has", log, has("Location", "name", "Stock"))
	before, writes := 0, 0
	eventually(t, "all of it in the ledger", log, func() bool {
		before, writes = applied(), server.versions()
		return before == writes
	})
	write("res.partner", "north", broker.Values{"comment": "what nobody reads"})
	write("res.partner", "north", broker.Values{"parent_id": at("jane")}) // read, and not said: she is no organization
	eventually(t, "a change of what is not said", log, func() bool { return applied() > before })
	if n := applied(); n != before+1 {
		t.Errorf("%d documents were made of what nobody reads", n-before-1)
	}
	if n := server.versions(); n != writes || server.wrote("PUT Organization 200") != 1 {
		t.Errorf("%d versions were made that say the same again", n-writes)
	}

	server.watch(func(method string, _ map[string]any) int { // somebody writes between our reading and our writing
		for _, r := range server.resources {
			if method == "PUT" && r.body["name"] == "North Hospital" && r.version == 2 {
				r.next(map[string]any{"resourceType": "Organization", "identifier": r.body["identifier"], "name": "South Hospital"})
			}
		}
		return 0
	})
	write("res.partner", "north", broker.Values{"phone": "+1 415 5550102"})
	eventually(t, "the conflict settled", log, has("Organization", "name", "North Hospital", `"versionId":"4"`, "5550102"))
	if server.wrote("PUT Organization 412") != 1 {
		t.Errorf("the server did not refuse the version: %v", server.writes)
	}

	refusals := map[string]int{"Busy": 409, "Twin": 412, "Nowhere": 404}
	server.watch(func(method string, body map[string]any) int {
		name, _ := body["name"].(string)
		status := refusals[name]
		if status == 409 {
			delete(refusals, name) // once
		}
		return status
	})
	for _, name := range []string{"Busy", "Twin", "Nowhere"} {
		write("res.partner", name, broker.Values{"name": name, "is_company": true})
	}
	eventually(t, "what was locked at the second attempt", log, has("Organization", "name", "Busy", `"versionId":"1"`))
	dead := func(class string) int { return units(ops.Query{Status: []ledger.Status{ledger.Dead}, Class: class}) }
	eventually(t, "what the server refuses as a dead letter", log, func() bool { return dead("fhir.412") == 1 && dead("fhir.404") == 1 })

	write("res.currency", "usd", broker.Values{"name": "USD"})
	write("product.product", "gloves", broker.Values{"name": "Gloves", "default_code": "GLV-M"})
	write("stock.location", "ward", broker.Values{"name": "Ward 3", "usage": "internal", "complete_name": "WH/Ward 3"})
	write("stock.location", "loss", broker.Values{"name": "Losses", "usage": "inventory"})
	eventually(t, "the place", log, has("Location", "name", "Ward 3", `"versionId":"1"`, `"active"`))
	write("stock.location", "ward", broker.Values{"active": false})
	eventually(t, "the place inactive", log, has("Location", "name", "Ward 3", `"versionId":"2"`, `"status":"inactive"`))

	write("stock.picking", "in", broker.Values{"name": "WH/IN/00001"})
	write("stock.move", "in1", broker.Values{"picking_id": at("in"), "product_id": at("gloves"), "quantity": 12.5, "state": "assigned", "date": "2026-05-04 16:20:11", "location_dest_id": at("ward")})
	eventually(t, "the delivery on its way", log, has("SupplyDelivery", "status", "in-progress", `"WH/IN/00001"`, `"value":12.5`, `"GLV-M"`))
	write("stock.move", "in1", broker.Values{"state": "done"})
	eventually(t, "the delivery", log, has("SupplyDelivery", "status", "completed", `"versionId":"2"`, `"2026-05-04T16:20:11Z"`))

	invoice := func(vals broker.Values) { write("account.move", "inv", vals) }
	invoice(broker.Values{"move_type": "out_invoice", "partner_id": at("jane"), "name": "INV/1", "amount_untaxed": 241, "amount_total": 241, "currency_id": at("usd"), "payment_state": "not_paid",
		"invoice_line_ids": map[string]any{"$merge": []any{map[string]any{"key": "1", "vals": map[string]any{"name": "Visit", "quantity": 2, "price_subtotal": 241, "display_type": "product"}}}}})
	invoice(broker.Values{"state": "posted"})
	eventually(t, "the invoice", log, has("Invoice", "status", "issued", `"versionId":"1"`, `"INV/1"`, `"factor":2`, `{"currency":"USD","value":241}`))
	invoice(broker.Values{"payment_state": "paid"})
	eventually(t, "the invoice paid", log, has("Invoice", "status", "balanced", `"versionId":"2"`))

	if units(ops.Query{Status: []ledger.Status{ledger.Dead, ledger.Parked}}) != 2 {
		t.Errorf("other than two documents are dead letters:\n%s", log)
	}
	server.mu.Lock()
	defer server.mu.Unlock()
	for _, r := range server.resources {
		if strings.Contains(fmt.Sprint(r.body), "Canaryson") || r.body["name"] == "Losses" {
			t.Errorf("%s is at the server, who is a patient or no place", r.typ)
		}
	}
}
