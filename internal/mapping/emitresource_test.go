package mapping_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// resourceHead is the head of a mapping that writes an Invoice of FHIR.
var resourceHead = strings.Replace(shopHead, `emit: { format: x12, set: "850", version: "004010", control: partner }`, `emit: { format: fhir, set: Invoice, version: "4.0.1" }`, 1)

func TestAResourceIsWrittenWithElementsWithinElements(t *testing.T) {
	t.Parallel()
	m, err := loadOut(resourceHead + `  - Invoice: { date: date, status: { value: issued }, totalNet.value: amount, totalNet.currency: { value: USD } }
    segments:
      - identifier: { system: { value: "urn:x" }, value: { text: "{id}" } }
      - identifier: { value: note }
      - recipient: { identifier.value: partner_id.ref }
        when: valued('note')
      - each: line_ids[*]
        lineItem: { sequence: id, chargeItemCodeableConcept.text: code }
        segments:
          - priceComponent: { type: { value: base }, factor: qty, amount.value: price }
          - priceComponent: { type: { value: tax } }
            when: "v('state') == 'done'"
`)
	if err != nil {
		t.Fatal(err)
	}
	got := encoded(t, fhir.NewFormat(), "4.0.1", runShop(t, m, shopOrder))
	want := `{"resourceType":"Invoice","status":"issued","date":"2026-05-04","totalNet":{"value":12.5,"currency":"USD"},"identifier":[{"system":"urn:x","value":"1"}],"lineItem":[` +
		`{"sequence":7,"chargeItemCodeableConcept":{"text":"A"},"priceComponent":[{"type":"base","factor":2,"amount":{"value":1.25}}]},` +
		`{"sequence":8,"priceComponent":[{"type":"base","factor":3.5,"amount":{"value":10}},{"type":"tax"}]}]}`
	if got != want {
		t.Errorf("written as\n%s, not\n%s", got, want)
	}
	lines, err := m.DocumentLines(runShop(t, m, shopOrder).Document)
	if err != nil || len(lines) != 6 || lines[0] != `"resourceType":"Invoice"` || lines[3] != `"totalNet":{"value":12.5,"currency":"USD"}` {
		t.Errorf("%v %q", err, lines)
	}
	if fields := m.Record().Fields; !slices.Contains(fields, "line_ids.qty") || !slices.Contains(fields, "line_ids.state") {
		t.Errorf("it reads %v", fields)
	}
}

func TestAnOverlayNamesElementsWithinElements(t *testing.T) {
	t.Parallel()
	base := resourceHead + `  - Invoice: { status: { value: issued }, totalNet.currency: { value: USD } }
    segments:
      - identifier: { system: { value: "urn:x" }, value: { text: "{id}" } }
      - each: line_ids[*]
        lineItem: { sequence: id }
        segments: [{ priceComponent: { type: { value: base }, amount.value: price } }, { priceComponent: { type: { value: tax } } }]
`
	over := `kind: mapping
format: 1
id: over
version: 1
extends: m.yaml
set:
  Invoice-totalNet.currency: { value: EUR }
  Invoice.identifier-system: { value: "urn:y" }
  Invoice.lineItem.priceComponent-amount.value: qty
remove: [Invoice.lineItem.priceComponent#2]
`
	fsys := fstest.MapFS{"snap.json": {Data: []byte(shopSnapshot)}, "m.yaml": {Data: []byte(base)}, "o.yaml": {Data: []byte(over)}}
	m, err := mapping.Load(fsys, "o.yaml", []tree.Format{x12.NewFormat(), fhir.NewFormat()})
	if err != nil {
		t.Fatal(err)
	}
	got := encoded(t, fhir.NewFormat(), "4.0.1", runShop(t, m, shopOrder))
	want := `{"resourceType":"Invoice","status":"issued","totalNet":{"currency":"EUR"},"identifier":[{"system":"urn:y","value":"1"}],"lineItem":[` +
		`{"sequence":7,"priceComponent":[{"type":"base","amount":{"value":2}}]},{"sequence":8,"priceComponent":[{"type":"base","amount":{"value":3.5}}]}]}`
	if got != want {
		t.Errorf("written as\n%s, not\n%s", got, want)
	}
	for _, id := range []string{"Invoice-totalNet", "Invoice.identifier-sytem", "Invoice.note", "Invoce-status", "-", "..-"} {
		fsys["o.yaml"] = &fstest.MapFile{Data: []byte(strings.Replace(over, "Invoice-totalNet.currency:", id+":", 1))}
		if _, err := mapping.Load(fsys, "o.yaml", []tree.Format{x12.NewFormat(), fhir.NewFormat()}); err == nil {
			t.Errorf("%s: an overlay changed what is not there", id)
		}
	}
}

// Whatever an outbound mapping and its overlay say, they load and write, or are
// refused.
func FuzzEmit(f *testing.F) {
	f.Add(resourceHead+"  - Invoice: { status: { value: issued }, \"cancelledReason\": name }\n    segments: [ { lineItem: { sequence: id }, segments: [ { priceComponent: { type: { value: base } } } ], each: \"line_ids[*]\" } ]\n", "set: { Invoice.lineItem.priceComponent-type: { value: tax } }")
	f.Add(strings.Replace(resourceHead, "set: Invoice", "set: Organization", 1)+"  - Organization: { name: name, \"address.line[2]\": note, address.line[1]: name }\n", "remove: [Organization-name, Organization]")
	f.Add(strings.Replace(resourceHead, "set: Invoice", "set: Bundle", 1)+"  - Bundle: { type: { value: batch } }\n  - Patient: { active: urgent }\n", "set: { \"-\": 1, \"..\": {} }")
	f.Add(shopHead+begin+lineBlock, "set: { PO1_LOOP.PO1-02: { value: 3 }, BEG-03: name }")
	f.Fuzz(func(t *testing.T, text, overlay string) {
		over := "kind: mapping\nformat: 1\nid: over\nversion: 1\nextends: m.yaml\n" + overlay
		fsys := fstest.MapFS{"snap.json": {Data: []byte(shopSnapshot)}, "m.yaml": {Data: []byte(text)}, "o.yaml": {Data: []byte(over)}}
		for _, name := range []string{"m.yaml", "o.yaml"} {
			m, err := mapping.Load(fsys, name, []tree.Format{x12.NewFormat(), hl7.NewFormat(), fhir.NewFormat()})
			if err != nil || m.Record() == nil {
				continue
			}
			m.Outline()
			res := runShop(t, m, shopOrder)
			if res.Class == mapping.ClassInternal {
				t.Error(string(res.Detail))
			}
			if res.Document != nil {
				_, _ = m.Emission(res.Document)
				_, _ = m.DocumentLines(res.Document)
			}
		}
	})
}
