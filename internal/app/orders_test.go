package app_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// Until 2.3.1 an ORM O01 is an order of anything. One feed with the mappings of all services
// has each of them become what it is, once, and says of one that is nobody's that it is.
func TestOneFeedTellsOrdersOfEveryKindApart(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	product := func(code string) simulated.Seed {
		return simulated.Seed{Model: "product.product", Values: map[string]any{"name": code, "default_code": code, "type": "service"}}
	}
	cfg, sim := oneOf(t, simulated.Config{Seeds: []simulated.Seed{product("CBC"), product("CT1100")}})
	cfg.Feeds = []config.Feed{{Name: "orders", Target: "odoo", HL7: &hl7.Config{Listen: "127.0.0.1:0"}, Mappings: builtins("admissions/adt-patient", "lab/orm-oml-order", "lab/oru-charge",
		"imaging/orm-omi-order", "imaging/oru-charge", "procurement/orm-requisition", "procurement/orm-stock-requisition", "procurement/mfn-items", "procurement/mfn-locations")}}
	target := cfg.Targets["odoo"]
	target.RetryMin, target.RetryMax = 20*time.Millisecond, 200*time.Millisecond
	cfg.Targets["odoo"] = target
	all, api := start(t, cfg, log)
	const jane = "PID|1||11^^^NORTH^MR||Doe^Jane|||||||||||||ACC1"
	section := func(s string) string { return strings.Repeat("|", 20) + s }
	for i, m := range [][]string{
		{"ADT^A01", "EVN|A01|20260401", jane, "PV1|1|I"},
		{"MFN^M16", "MFI|INV||UPD|||NE", "MFE|MAD|1||GLV-M|CWE", "ITM|GLV-M|Nitrile gloves|A|||N", "VND|1|MERID|Meridian Supply"},
		{"MFN^M05", "MFI|LOC||UPD|||NE", "MFE|MAD|1||4W|PL", "LOC|4W||N", "LDP|4W|MED"},
		{"ORM^O01", jane, "ORC|NW|PO1", "OBR||PO1||CBC" + section("LAB")},
		{"ORM^O01", jane, "ORC|NW|PO2", "OBR|1|PO2||CT1100" + section("RAD")},
		{"ORM^O01", "ORC|NW|RQ1", "RQD|1|GLV-M^Gloves|||20", "RQ1|12.50|||MERID"},
		{"ORM^O01", "ORC|NW|RQ2", "RQD|1|GLV-M^Gloves|||3||||4W"},
		{"ORU^R01", jane, "OBR|1|PO2|F2|CT1100" + section("RAD") + "|F"},
		{"ORM^O01", jane, "ORC|NW|PO3", "RXO|ASP"},
	} {
		body := strings.Replace(hospitalMessage(i+1, m[0], m[1:]...), "|2.5.1\r", map[bool]string{true: "|2.8\r", false: "|2.3\r"}[strings.HasPrefix(m[0], "MFN")], 1)
		if code := sendTo(t, all.Agent, "orders", body); code != "AA" {
			t.Errorf("message %d is answered %s", i+1, code)
		}
	}
	var units []string
	reason := ""
	eventually(t, "a unit by each mapping that takes a message", log, func() bool {
		page, err := api.Messages(t.Context(), ops.Query{})
		units = nil
		for _, u := range page.Messages {
			mapping, _, _ := strings.Cut(u.Mapping, "@")
			units = append(units, fmt.Sprint(u.SenderID, " ", u.Status, " ", mapping))
			if u.SenderID == "C9" {
				reason = u.Class + " " + u.Reason
			}
		}
		slices.Sort(units)
		return err == nil && len(units) == 12 && !slices.ContainsFunc(page.Messages, func(u ledger.Unit) bool { return u.Status != ledger.Applied && u.Status != ledger.Skipped })
	})
	if got, want := strings.Join(units, "\n"), strings.Join([]string{
		"C1 applied adt-patient", "C2 applied mfn-items", "C3 applied mfn-locations",
		"C4 applied orm-oml-lab-order", "C4 skipped orm-omi-imaging-order", "C5 applied orm-omi-imaging-order", "C5 skipped orm-oml-lab-order",
		"C6 applied orm-requisition", "C7 applied orm-stock-requisition", "C8 applied oru-imaging-charge", "C8 skipped oru-lab-charge", "C9 skipped ",
	}, "\n"); got != want {
		t.Errorf("units\n%s\nwant\n%s", got, want)
	}
	if reason != "mapping.not_mine no mapping of feed orders takes this ORM^O01: source.when of none lets it in" {
		t.Errorf("what is nobody's is %s", reason)
	}
	var lines []string
	for _, l := range sim.Records("sale.order.line") {
		lines = append(lines, fmt.Sprint(l.Values["name"], " × ", l.Values["product_uom_qty"]))
	}
	if slices.Sort(lines); strings.Join(lines, ", ") != "CBC × 0, CT1100 × 1" {
		t.Errorf("lines of the account: %q", lines)
	}
	if len(sim.Records("purchase.order.line")) != 1 || len(sim.Records("stock.move")) != 1 {
		t.Error("the goods to buy, or those from stock, are not there once")
	}
	if rfq, ok := sim.ByXID("vagus.requisition_RQ1"); !ok || rfq.Values["origin"] != "ORM RQ1 C6" {
		t.Errorf("the request for quotation is %v", rfq.Values)
	}
	if move, ok := sim.ByXID("vagus.stock_requisition_RQ2"); !ok || move.Values["origin"] != "ORM RQ2 C7" {
		t.Errorf("the transfer is %v", move.Values)
	}
}
