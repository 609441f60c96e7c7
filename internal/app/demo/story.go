package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// What the story and the visit charge are products of Odoo: their price is the tariff.
var tariff = []simulated.Seed{
	{Model: "product.product", Values: map[string]any{"name": "Blood count", "default_code": "58410-2", "type": "service", "list_price": 18.4}},
	{Model: "product.product", Values: map[string]any{"name": "Chest x-ray", "default_code": "71046", "type": "service", "list_price": 105.0}},
	{Model: "product.product", Values: map[string]any{"name": "Office visit", "default_code": "99213", "type": "service", "list_price": 120.0}},
}

// A line of the story is a message, what is said of it, and what is to become of it.
type line struct {
	event, says string
	want        ledger.Status
	units       int
	segments    []string
}

const (
	visitor = "PID|1||900001^^^NORTH^MR||Quist^Maren||19811105|F||||||||||ACC900001^^^NORTH^AN"
	again   = "PID|1||900002^^^NORTH^MR||Quist^M||19811105|F||||||||||ACC900002^^^NORTH^AN"
	ward    = "PV1|1|I|4W^412^A^NORTH"
	test    = "OBR|1|PO1^EPIC|%s|58410-2^Blood count^LN|||20260314083000|||||||||10023^Welby^Marcus||||||||LAB|%s"
	finding = "OBX|1|NM|718-7^Hemoglobin^LN||9.1|g/dL|12.0-16.0|L|||%s"
)

// stay is one patient's stay: an order, its result, charges, and a second record of hers that is merged.
var stay = []line{
	{"ADT^A01^ADT_A01", "she is admitted: a sales order for her account", ledger.Applied, 2, []string{"EVN|A01|20260314", visitor, ward}},
	{"ORM^O01^ORM_O01", "a blood count is ordered: a line without a quantity", ledger.Applied, 1, []string{visitor, ward, "ORC|NW|PO1^EPIC", fmt.Sprintf(test, "", "")}},
	{"ORU^R01^ORU_R01", "a preliminary result: nothing to charge", ledger.Skipped, 1, []string{visitor, ward, fmt.Sprintf(test, "L1", "P"), fmt.Sprintf(finding, "P")}},
	{"ORU^R01^ORU_R01", "the final result: one to charge; the result itself stays in the hospital", ledger.Applied, 1, []string{visitor, ward, fmt.Sprintf(test, "L1", "F"), fmt.Sprintf(finding, "F")}},
	{"DFT^P03^DFT_P03", "two x-rays are charged", ledger.Applied, 1, []string{"EVN|P03|20260314", visitor, ward, "FT1|1|T1||20260314||CG|71046^Chest x-ray^CDM|||2"}},
	{"DFT^P03^DFT_P03", "one of them is credited", ledger.Applied, 1, []string{"EVN|P03|20260314", visitor, ward, "FT1|1|T2||20260314||CD|71046^Chest x-ray^CDM|||1"}},
	{"ADT^A04^ADT_A01", "she is registered once more, under another number", ledger.Applied, 2, []string{"EVN|A04|20260314", again, "PV1|1|O"}},
	{"ADT^A40^ADT_A39", "the two records are merged", ledger.Applied, 1, []string{"EVN|A40|20260314", visitor, "MRG|900002^^^NORTH^MR"}},
}

// story sends one patient's stay and holds Odoo against it.
func (d *demo) story(ctx context.Context) error {
	sender, err := Dial(ctx, d.agent.FeedAddr("stay").String())
	if err != nil {
		return err
	}
	defer sender.Close()
	d.Say("\nHL7         the story of one patient, on a feed of its own")
	for n, l := range stay {
		event := strings.Split(l.event, "^")
		id, kind := fmt.Sprintf("STAY%d", n+1), event[0]+" "+event[1]
		body := fmt.Sprintf("MSH|^~\\&|EPIC|NORTH|VAGUS|CLOUD|20260314||%s|%s|P|2.5.1|||AL|NE\r%s\r", l.event, id, strings.Join(l.segments, "\r"))
		began := time.Now()
		attempt, cancel := context.WithTimeout(ctx, 30*time.Second)
		ack, _, err := sender.Send(attempt, []byte(body))
		cancel()
		if err != nil || ack != "CA" {
			return errors.Join(fmt.Errorf("%s was answered %q", id, ack), err)
		}
		d.sent("HL7 MLLP", "stay", id, kind, ack, began, l.units).want = l.want
		d.Say("            %s  %s  %s", id, kind, l.says)
	}
	if err := d.settle(ctx); err != nil {
		return err
	}
	said, err := d.stayed()
	if err == nil {
		d.Say("            Odoo has one contact with both numbers and both orders; the first one says:\n            %s", said)
	}
	return err
}

// stayed holds the records of the story against what it says, and returns the order's lines.
func (d *demo) stayed() (string, error) {
	patient, _ := d.odoo.ByXID("vagus.patient_NORTH_900001")
	merged, _ := d.odoo.ByXID("vagus.patient_NORTH_900002")
	order, _ := d.odoo.ByXID("vagus.account_NORTH_ACC900001")
	other, _ := d.odoo.ByXID("vagus.account_NORTH_ACC900002")
	if patient.ID == 0 || patient.ID != merged.ID || order.Values["partner_id"] != patient.ID || other.Values["partner_id"] != patient.ID {
		return "", errors.New("the patient with two numbers is not one contact that has both orders")
	}
	var lines []string
	for _, l := range d.odoo.Records("sale.order.line") {
		if l.Values["order_id"] == order.ID {
			lines = append(lines, fmt.Sprintf("%v × %v", l.Values["product_uom_qty"], l.Values["name"]))
		}
	}
	got := strings.Join(lines, ", ")
	if want := "1 × Blood count, 2 × Chest x-ray 2026-03-14, -1 × Chest x-ray 2026-03-14"; got != want {
		return "", fmt.Errorf("the order has %s; it should have %s", got, want)
	}
	return got, nil
}
