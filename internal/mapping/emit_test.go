package mapping_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

const shopSnapshot = `{"odoo": "18.0", "models": {
 "shop.order": {"id": {"type": "integer"}, "name": {"type": "char", "required": true}, "state": {"type": "selection", "selection": ["draft", "done"]},
  "date": {"type": "date"}, "sent_at": {"type": "datetime"}, "write_date": {"type": "datetime"}, "urgent": {"type": "boolean"}, "amount": {"type": "monetary"}, "note": {"type": "text"},
  "scan": {"type": "binary"}, "ghost_id": {"type": "many2one"},
  "partner_id": {"type": "many2one", "relation": "shop.partner"}, "line_ids": {"type": "one2many", "relation": "shop.line", "inverse": "order_id"}},
 "shop.partner": {"name": {"type": "char", "string": "Name"}, "ref": {"type": "char"}, "birthday": {"type": "date", "phi": ["demographic"]}, "parent_id": {"type": "many2one", "relation": "shop.partner"}},
 "shop.line": {"order_id": {"type": "many2one", "relation": "shop.order"}, "qty": {"type": "float"}, "code": {"type": "char"}, "state": {"type": "selection"}, "price": {"type": "float"}}}}`

const shopHead = `kind: mapping
format: 1
id: out
version: 2
title: Orders to the supplier
direction: outbound
source: { format: odoo, model: shop.order, zone: America/New_York, trigger: { on: write, becomes: { state: done, urgent: true } }, when: { partner_id.ref: [EDI, EDI2] } }
target: { odoo: "18.0", snapshot: snap.json }
ordering: "{name}"
idempotency: ["{name}", "{write_date}"]
egress: { allow: [none] }
tables: { uom: { Box: BX, Unit: EA, Long: TOOLONG } }
emit: { format: x12, set: "850", version: "004010", control: partner }
segments:
`

const begin = "  - BEG: { \"01\": { value: \"00\" }, \"02\": { value: SA }, \"03\": name, \"05\": { from: sent_at, as: date } }\n"

// lineBlock is, like begin, what an 850 can not be without.
const lineBlock = "  - each: \"line_ids[*]\"\n    loop: PO1_LOOP\n    segments:\n      - PO1: { \"02\": qty }\n"

const shopOrder = `{"id": 1, "name": "P1", "state": "done", "date": "2026-05-04", "sent_at": "2026-05-05 01:30:00", "write_date": "2026-05-05 01:30:09", "urgent": true, "amount": 12.5, "note": false,
 "partner_id": {"id": 5, "name": "Meridian", "ref": "EDI", "birthday": "1980-01-02", "parent_id": false},
 "line_ids": [{"id": 7, "qty": 2, "code": "A", "price": 1.25, "state": "open"}, {"id": 8, "qty": 3.5, "code": false, "price": 10, "state": "done"}]}`

func loadShop(segments string) (*mapping.Mapping, error) {
	return loadOut(shopHead + segments)
}

func loadOut(text string) (*mapping.Mapping, error) {
	fsys := fstest.MapFS{"snap.json": {Data: []byte(shopSnapshot)}, "m.yaml": {Data: []byte(text)}}
	return mapping.Load(fsys, "m.yaml", []tree.Format{x12.NewFormat(), hl7.NewFormat(), fhir.NewFormat()})
}

func runShop(t *testing.T, m *mapping.Mapping, record string) mapping.Result {
	t.Helper()
	msg, err := m.Dialect.Decode([]byte(record), m.Reads())
	if err != nil {
		t.Fatal(err)
	}
	return m.Run(t.Context(), msg)
}

func TestATimeThatComesFirstAndNoRuleReadsIsLeftAlone(t *testing.T) {
	t.Parallel()
	m, err := loadShop(strings.Replace(begin, "sent_at", "date", 1) + lineBlock)
	if err != nil {
		t.Fatal(err)
	}
	if res := runShop(t, m, strings.NewReplacer(`, "sent_at": "2026-05-05 01:30:00"`, "", `{"id": 1,`, `{"sent_at": "2026-05-05 01:30:00", "id": 1,`).Replace(shopOrder)); res.Document == nil {
		t.Errorf("no document: %s %s", res.Verdict, string(res.Detail))
	}
}

// encoded is the document of a result, encoded.
func encoded(t *testing.T, f tree.Format, version string, res mapping.Result) string {
	t.Helper()
	if res.Document == nil {
		t.Fatalf("no document: %s %s", res.Verdict, string(res.Detail))
	}
	d, err := f.Dialect(tree.Declaration{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	out, err := d.(tree.Encoder).Encode(res.Document)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestElementsAreWrittenAsTheirTypesWant(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, segment, want string }{
		{"text", "REF: { \"01\": { value: CR }, \"02\": partner_id.name }", "REF*CR*Meridian~"},
		{"a template", "REF: { \"01\": { value: CR }, \"02\": { text: \"{name}/{partner_id.ref}\" } }", "REF*CR*P1/EDI~"},
		{"a whole number as text", "REF: { \"01\": { value: CR }, \"02\": id }", "REF*CR*1~"},
		{"an amount with implied decimals", "SAC: { \"01\": { value: C }, \"05\": amount }", "SAC*C****1250~"},
		{"a constant with implied decimals", "SAC: { \"01\": { value: C }, \"05\": { value: 3.5 } }", "SAC*C****350~"},
		{"an expression with implied decimals", "SAC: { \"01\": { value: C }, \"05\": { cel: \"sum('line_ids[*].price')\" } }", "SAC*C****1125~"},
		{"a number keeps its digits", "CTP: { \"03\": { from: amount, cel: \"dec(it).fixed2()\" } }", "CTP***12.50~"},
		{"a day stays a day", "DTM: { \"01\": { value: \"002\" }, \"02\": date }", "DTM*002*20260504~"},
		{"a moment is a day in the mapping's zone", "DTM: { \"01\": { value: \"002\" }, \"02\": sent_at }", "DTM*002*20260504~"},
		{"a moment is a time there", "DTM: { \"01\": { value: \"002\" }, \"03\": sent_at }", "DTM*002**2130~"},
		{"a moment of an expression", "DTM: { \"01\": { value: \"002\" }, \"02\": { cel: \"ts('sent_at')\" } }", "DTM*002*20260504~"},
		{"a date in a notation of the file", "REF: { \"01\": { value: CR }, \"02\": { from: date, as: { date: MM/DD/YYYY } } }", "REF*CR*05/04/2026~"},
		{"a date as text", "REF: { \"01\": { value: CR }, \"02\": { from: sent_at, as: date } }", "REF*CR*20260504~"},
		{"codes of a boolean", "REF: { \"01\": { value: CR }, \"02\": { from: urgent, as: { bool: { true: Y, false: N } } } }", "REF*CR*Y~"},
		{"a boolean that says nothing in one case", "REF: { \"01\": { value: CR }, \"02\": { from: urgent, as: { bool: { false: N } } } }", "REF*CR~"},
		{"a table, and components", "MEA: { \"03\": amount, \"04.1\": { cel: \"'Box'.size() > 1 ? table('uom', 'Box') : ''\" }, \"04.2\": { value: 2 } }", "MEA***12.5*BX>2~"},
		{"a table read backwards", "REF: { \"01\": { value: CR }, \"02\": { value: X }, \"03\": { from: partner_id.ref, map: { table: uom, reverse: true, on_miss: keep } } }", "REF*CR*X*EDI~"},
		{"a default where there is no value", "REF: { \"01\": { value: CR }, \"02\": { from: note, default: none } }", "REF*CR*none~"},
		{"what its condition leaves out", "REF: { \"01\": { value: CR }, \"02\": { from: name, when: \"v('name') == 'P2'\" }, \"03\": name }", "REF*CR**P1~"},
		{"what does not fit and may be left out", "REF: { \"01\": { value: CR }, \"02\": { cel: \"'0123456789012345678901234567890'\", on_error: skip }, \"03\": name }", "REF*CR**P1~"},
		{"a segment without a value is not written", "REF: { \"01\": { value: CR, when: \"false\" }, \"02\": note }\n    when: \"valued('note')\"", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := loadShop(begin + "  - " + c.segment + "\n" + lineBlock)
			if err != nil {
				t.Fatal(err)
			}
			got := encoded(t, x12.NewFormat(), "004010", runShop(t, m, shopOrder))
			if want := "BEG*00*SA*P1**20260504~" + c.want + "PO1**2~PO1**3.5~"; got != want {
				t.Errorf("written as\n%s, not\n%s", got, want)
			}
		})
	}
}

func TestLoopsAndListsAreWritten(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, segments, want string }{
		{"a loop for each item, with a list inside of it", begin + `  - each: "line_ids[*]"
    loop: PO1_LOOP
    segments:
      - PO1: { "01": line_ids.id, "02": qty, "07": { from: code, when: "valued('code')" } }
      - PID: { "01": { value: F }, "05": { text: "{name} {code}" } }
      - loop: SAC_LOOP
        when: "num('price') > dec('5')"
        segments:
          - SAC: { "01": { value: C }, "05": price }
`, "PO1*7*2*****A~PID*F****P1 A~PO1*8*3.5~PID*F~SAC*C****1000~"},
		{"a segment for each item that is wanted", begin + `  - each: "line_ids[*]"
    when: "v('state') == 'done'"
    REF: { "01": { value: LI }, "02": line_ids.id }
` + lineBlock, "REF*LI*8~PO1**2~PO1**3.5~"},
		{"several segments for each item, without a loop", begin + `  - each: { path: "line_ids[state=open][*]", as: line }
    segments:
      - REF: { "01": { value: LI }, "02": line.id }
      - DTM: { "01": { value: "002" }, "02": date }
` + lineBlock, "REF*LI*7~DTM*002*20260504~PO1**2~PO1**3.5~"},
		{"a loop that is not named", begin + `  - N1: { "01": { value: ST }, "02": name }
  - N3: { "01": { value: "Street 1" } }
  - N1: { "01": { value: VN }, "02": note }
    when: "valued('note')"
  - N3: { "01": { value: "nobody's" } }
` + lineBlock, "N1*ST*P1~N3*Street 1~PO1**2~PO1**3.5~"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := loadShop(c.segments)
			if err != nil {
				t.Fatal(err)
			}
			res := runShop(t, m, shopOrder)
			if got, want := encoded(t, x12.NewFormat(), "004010", res), "BEG*00*SA*P1**20260504~"+c.want; got != want {
				t.Errorf("written as\n%s, not\n%s", got, want)
			}
			if c.name == "a loop that is not named" && res.Document.Root.First("N1_LOOP").First("N3") == nil {
				t.Error("N3 is not in N1_LOOP")
			}
		})
	}
}

func TestARecordThatDoesNotFitEndsAsADeadLetterThatNamesTheElement(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, segment, class, reason string }{
		{"a text that is too long", "REF: { \"01\": { value: CR }, \"02\": { cel: \"'0123456789012345678901234567890'\" } }", mapping.ClassConvert, "REF-02: the value has more than the 30 characters"},
		{"more decimals than the type implies", "SAC: { \"01\": { value: C }, \"05\": { cel: \"dec('1.234')\" } }", mapping.ClassConvert, "SAC-05: the value has more than 2 decimals"},
		{"an amount that is too long", "SAC: { \"01\": { value: C }, \"05\": { cel: \"dec('1234567890123456.78')\" } }", mapping.ClassConvert, "SAC-05: the value has more than the 15 digits that SAC-05 may have (line"},
		{"a number that is none", "CTP: { \"03\": name }", mapping.ClassConvert, "CTP-03: name is not a decimal number"},
		{"what the file requires", "REF: { \"01\": { value: CR }, \"02\": { from: note, required: true } }", mapping.ClassRequired, "REF-02: required, but note is absent"},
		{"what the standard wants", "REF: { \"01\": note, \"02\": name }", mapping.ClassRequired, "REF-01: the standard wants a value here"},
		{"what the standard wants is not skipped", "REF: { \"01\": { from: note, on_error: skip }, \"02\": name }", mapping.ClassRequired, "REF-01: the standard wants a value here"},
		{"a code that the table does not have", "REF: { \"01\": { value: CR }, \"02\": { from: partner_id.ref, map: uom } }", mapping.ClassTable, "REF-02: partner_id.ref: table uom has no such code"},
		{"a loop without its first segment", "loop: N1_LOOP\n    segments:\n      - N1: { \"01\": { value: ST } }\n        when: \"false\"\n      - N3: { \"01\": name }", mapping.ClassRequired, "N1_LOOP: the loop does not begin with N1"},
		{"a policy of its own", "REF: { \"01\": { value: CR }, \"02\": { from: note, required: true, on_error: reject } }", mapping.ClassRequired, "REF-02"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := loadShop(begin + "  - " + c.segment + "\n" + lineBlock)
			if err != nil {
				t.Fatal(err)
			}
			res := runShop(t, m, shopOrder)
			want := broker.DeadLetter
			if strings.Contains(c.segment, "reject") {
				want = broker.Reject
			}
			if res.Verdict != want || res.Class != c.class || !strings.Contains(res.Reason, c.reason) || res.Document != nil {
				t.Errorf("%s %s: %s", res.Verdict, res.Class, res.Reason)
			}
		})
	}
}

func TestFaultsOfADocumentAreFoundWhenItLoads(t *testing.T) {
	t.Parallel()
	ref := func(rule string) string {
		return begin + "  - REF: { \"01\": { value: CR }, \"02\": " + rule + " }\n" + lineBlock
	}
	for _, c := range []struct{ name, text, want string }{
		{"an unknown segment", shopHead + begin + "  - BEX: { \"01\": name }\n" + lineBlock, "16:5: error[emit-segment]: 850 has no segment BEX (did you mean \"BEG\"?)"},
		{"an unknown segment of a loop", shopHead + begin + "  - loop: PO1_LOOP\n    segments:\n      - PO1: { \"02\": { value: 1 } }\n      - P01: { \"02\": { value: 1 } }\n", "error[emit-segment]: PO1_LOOP has no segment P01 (did you mean \"PO1\"?)"},
		{"an unknown loop", shopHead + begin + "  - loop: PO1LOOP\n    segments:\n      - PO1: { \"02\": { value: 1 } }\n", "error[emit-segment]: 850 has no loop PO1LOOP (did you mean \"PO1_LOOP\"?)"},
		{"an unknown element", shopHead + begin + "  - REF: { \"01\": { value: CR }, \"09\": name }\n" + lineBlock, "error[emit-element]: REF has parts 1..4, no REF-09"},
		{"an unknown component", shopHead + begin + "  - REF: { \"01\": { value: CR }, \"04.9\": name }\n" + lineBlock, "error[emit-element]: C040 has parts 1..6, no C040-9"},
		{"a component of a simple element", shopHead + begin + "  - REF: { \"01\": { value: CR }, \"02.1\": name }\n" + lineBlock, "error[emit-element]: AN is a simple value"},
		{"an element twice", shopHead + begin + "  - REF: { \"01\": { value: CR }, \"1\": name }\n" + lineBlock, "error[emit-element]: REF-01 is written twice"},
		{"a mandatory element that is missing", shopHead + begin + "  - REF: { \"02\": name }\n" + lineBlock, "16:5: error[emit-required]: REF-01 (Reference Identification Qualifier) is mandatory"},
		{"a required segment that is missing", shopHead + lineBlock, "error[emit-required]: 850 needs BEG (Beginning Segment for Purchase Order)"},
		{"a required loop that is missing", shopHead + begin, "error[emit-required]: 850 needs PO1_LOOP"},
		{"a constant that is too long", shopHead + ref("{ value: \"0123456789012345678901234567890\" }"), "error[emit-type]: REF-02 is text (AN, at most 30 characters): it gets a constant that has more than the 30 characters"},
		{"a result of a table that is too long", shopHead + begin + "  - MEA: { \"07\": { from: partner_id.ref, map: uom } }\n" + lineBlock, "\"TOOLONG\" of table uom, which has more than the 2 characters"},
		{"a constant that is no number", shopHead + begin + "  - CTP: { \"03\": { value: much } }\n" + lineBlock, "error[emit-type]: CTP-03 is a number (R, at most 17 characters): it gets a constant that is not a decimal number"},
		{"a boolean for a code", shopHead + ref("urgent"), "it gets urgent, and urgent is a boolean; add as: {bool:"},
		{"a date for a text", shopHead + ref("date"), "and date is a date; add as: date"},
		{"a text for a date", shopHead + begin + "  - DTM: { \"01\": { value: \"002\" }, \"02\": name }\n" + lineBlock, "DTM-02 is a date (DT, at most 8 characters): it gets name, and name is text"},
		{"a day for a time", shopHead + begin + "  - DTM: { \"01\": { value: \"002\" }, \"03\": date }\n" + lineBlock, "and date is a date"},
		{"an expression of another type", shopHead + ref("{ cel: \"1 == 1\" }"), "it gets true or false from the expression"},
		{"a value that X12 can not delete", shopHead + ref("{ value: null }"), "x12 can not say that a value is to be deleted"},
		{"a label that may not leave", shopHead + ref("{ from: partner_id.birthday, as: date }"), "error[egress]: REF-02 carries demographic data (from partner_id.birthday)"},
		{"an unknown field", shopHead + ref("partner_id.nam"), "error[path]: shop.partner has no nam (did you mean \"name\"?)"},
		{"a file", shopHead + ref("scan"), "error[path]: shop.order has no scan"},
		{"a relation to a model that is not there", shopHead + ref("ghost_id.name"), "error[path]: shop.order has no ghost_id"},
		{"two segments in one block", shopHead + begin + "  - REF: { \"01\": name }\n    DTM: { \"01\": name }\n", "error[emit]: a block has one segment: begin another with - before DTM"},
		{"a segment beside segments", shopHead + begin + "  - REF: { \"01\": name }\n    segments: [{ DTM: { \"01\": name } }]\n", "error[emit]: REF stands beside segments: or loop:"},
		{"an empty block", shopHead + begin + "  - when: \"true\"\n", "error[emit]: a block has a segment and its elements"},
		{"an unknown output format", strings.Replace(shopHead, "format: x12", "format: x21", 1) + begin, "error[format]: no format \"x21\" (did you mean \"x12\"?); there are: x12, hl7v2, fhir"},
		{"an unknown version", strings.Replace(shopHead, "\"004010\"", "\"4010\"", 1) + begin, "error[emit]: x12: no version \"4010\""},
		{"an unknown set", strings.Replace(shopHead, "\"850\"", "\"851\"", 1) + begin, "error[emit]: x12: version 004010 has the sets"},
		{"another source", strings.Replace(shopHead, "format: odoo", "format: x12", 1) + begin, "error[format]: an outbound mapping reads records"},
		{"an unknown model", strings.Replace(shopHead, "model: shop.order", "model: shop.oder", 1) + begin, "error[odoo-model]: the snapshot has no model \"shop.oder\" (did you mean \"shop.order\"?)"},
		{"no trigger", strings.Replace(shopHead, ", trigger: { on: write, becomes: { state: done, urgent: true } }", "", 1) + begin, "needs trigger:"},
		{"a trigger on an unknown field", strings.Replace(shopHead, "becomes: { state:", "becomes: { stat:", 1) + begin, "error[odoo-field]: shop.order has no field \"stat\""},
		{"a trigger on an unknown option", strings.Replace(shopHead, "state: done", "state: dne", 1) + begin, "error[odoo-selection]: state has no option \"dne\""},
		{"a version of a record", strings.Replace(shopHead, "format: odoo,", "format: odoo, version: \"18\",", 1) + begin, "error[source]: an Odoo record is described by target.snapshot alone"},
		{"operations of an outbound mapping", shopHead + begin + "operations: [{ id: a, do: upsert }]\n", "error["},
		{"an element that has elements, as a value", resourceHead + "  - Invoice: { status: { value: issued }, totalNet: amount }\n", "error[emit-element]: totalNet has elements: write totalNet. and one of "},
		{"a place in a list that is none", resourceHead + "  - Invoice: { \"status[1]\": { value: issued } }\n", "error[emit-element]: status does not repeat: write it without [1]"},
		{"a value of a list twice", resourceHead + "  - Invoice: { status: { value: issued }, cancelledReason: name }\n    segments: [{ note: { text: name, \"text\": name } }]\n", "error["},
		{"an unknown element of a resource", resourceHead + "  - Invoice: { status: { value: issued }, totalNett.value: amount }\n", "error[emit-element]: Invoice has no totalNett"},
		{"a required element that neither a value nor a block writes", resourceHead + "  - Invoice: { date: date }\n", "error[emit-required]: Invoice-status"},
		{"another resource than is said", resourceHead + "  - Patient: { active: urgent }\n", "error[emit-segment]: Invoice has no segment Patient"},
		{"an unknown resource", strings.Replace(resourceHead, "set: Invoice", "set: Invoce", 1) + "  - Invoice: { date: date }\n", "error[emit]: set: says which resource is written, such as Organization (did you mean \"Invoice\"?)"},
		{"no resource", strings.Replace(resourceHead, "set: Invoice, ", "", 1) + "  - Invoice: { date: date }\n", "error[emit]: set: says which resource is written"},
		{"a segment of X12 with segments within it", shopHead + begin + "    segments: [{ REF: { \"01\": name } }]\n", "error[emit]: BEG stands beside segments: or loop:"},
		{"an inbound mapping that writes a document", strings.Replace(shopHead, "direction: outbound", "direction: inbound", 1) + begin, "error[direction]: emit is not for direction: inbound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := loadOut(c.text)
			var issues mapping.Issues
			if !errors.As(err, &issues) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAMappingTellsWhichFieldsItReads(t *testing.T) {
	t.Parallel()
	m, err := loadShop(begin + "  - each: \"line_ids[state=open][*]\"\n    REF: { \"01\": { value: LI }, \"02\": { cel: \"v('code') + v('partner_id.parent_id.name')\" } }\n" + lineBlock)
	if err != nil {
		t.Fatal(err)
	}
	rec := m.Record()
	want := []string{"line_ids.code", "line_ids.id", "line_ids.qty", "line_ids.state", "name", "partner_id.parent_id.name", "partner_id.ref", "sent_at", "write_date"}
	if rec.Model != "shop.order" || rec.On != "write" || rec.Becomes["state"] != "done" || rec.Becomes["urgent"] != true || !slices.Equal(rec.Fields, want) {
		t.Errorf("it wants %+v", rec)
	}
}

func TestARecordIsReadAsOdooHasIt(t *testing.T) {
	t.Parallel()
	m, err := loadShop(begin + lineBlock)
	if err != nil {
		t.Fatal(err)
	}
	msg, err := m.Dialect.Decode([]byte(shopOrder), nil)
	if err != nil {
		t.Fatal(err)
	}
	root := msg.Root
	if root.First("note") != nil || root.First("partner_id").First("parent_id") != nil || root.First("urgent").Text != "true" || root.First("write_date").Text != "2026-05-05T01:30:09Z" || root.First("amount").Text != "12.5" {
		t.Error("the record is not what Odoo means")
	}
	res := m.Run(t.Context(), msg)
	if res.Ordering != "P1" || res.Idempotency != "P1|2026-05-05T01:30:09Z" {
		t.Errorf("the keys are %s and %s", res.Ordering, res.Idempotency)
	}
	if res := runShop(t, m, strings.Replace(shopOrder, `"EDI"`, `"PAPER"`, 1)); res.Class != mapping.ClassNotMine {
		t.Errorf("a record of another partner: %v", res)
	}
	for _, bad := range []string{`[]`, `{"partner_id": 5}`, `{"sent_at": "yesterday"}`} {
		if _, err := m.Dialect.Decode([]byte(bad), nil); err == nil || strings.Contains(err.Error(), "yesterday") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

func TestADocumentIsDescribedAndTraced(t *testing.T) {
	t.Parallel()
	m, err := loadShop(begin + lineBlock + "  - CTT: { \"01\": { value: 2 } }\n  - REF: { \"01\": { value: A } }\n    when: \"v('name') == ''\"\n")
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, s := range m.Outline().Segments {
		ids = append(ids, s.ID)
	}
	if want := []string{"BEG-01", "BEG-02", "BEG-03", "BEG-05", "PO1_LOOP.PO1-02", "CTT-01", "REF-01"}; !slices.Equal(ids, want) {
		t.Errorf("the outline has %v", ids)
	}
	if s := m.Outline().Segments[3]; s.FieldTitle != "Date" || s.FieldType != "DT" || s.Sources[0].Path != "sent_at" || !slices.Contains(s.How, "date and time to date") {
		t.Errorf("BEG-05 is %+v", s)
	}
	msg, err := m.Dialect.Decode([]byte(shopOrder), m.Reads())
	if err != nil {
		t.Fatal(err)
	}
	_, events := m.RunTraced(t.Context(), msg)
	var got []string
	for _, e := range events {
		v, _ := e.Value.(string)
		got = append(got, strings.TrimSpace(e.Op+" "+e.Rule+" "+string(e.Outcome)+" "+v))
	}
	for _, want := range []string{"BEG-03 value P1", "BEG-05 value 20260504", "PO1_LOOP#2 PO1_LOOP.PO1-02 value 3.5", "CTT-01 value 2", "REF when_false"} {
		if !slices.Contains(got, want) {
			t.Errorf("no event %q in %v", want, got)
		}
	}
}

func TestTheSameLanguageWritesHL7(t *testing.T) {
	t.Parallel()
	text := strings.Replace(shopHead, `emit: { format: x12, set: "850", version: "004010", control: partner }`, `emit: { format: hl7v2, set: MFN_M05, version: "2.5.1" }`, 1) + `  - MSH: { "9.1": { value: MFN }, "9.2": { value: M05 }, "9.3": { value: MFN_M05 }, "7": sent_at, "10": { text: "{name}" }, "11": { value: P }, "12": { value: "2.5.1" } }
  - MFI: { "1.1": { value: LOC }, "3": { value: UPD }, "6": { value: NE } }
  - MFE: { "1": { value: MUP }, "3": date, "4.1": name, "5": { value: PL } }
  - LOC: { "1.1": name, "2": partner_id.name, "3": { value: N } }
`
	m, err := loadOut(text)
	if err != nil {
		t.Fatal(err)
	}
	got := encoded(t, hl7.NewFormat(), "2.5.1", runShop(t, m, strings.Replace(shopOrder, "Meridian", "Mer|dian & Sons", 1)))
	want := `MSH|^~\&|||||20260504213000-0400||MFN^M05^MFN_M05|P1|P|2.5.1` + "\rMFI|LOC||UPD|||NE\rMFE|MUP||20260504|P1|PL\rLOC|P1|Mer\\F\\dian \\T\\ Sons|N\r"
	if got != want {
		t.Errorf("written as\n%q, not\n%q", got, want)
	}
}

func TestWhatTheSenderSuppliesNeedNotBeWritten(t *testing.T) {
	t.Parallel()
	load := func(header string) (*mapping.Mapping, error) {
		return loadOut(strings.Replace(shopHead, `emit: { format: x12, set: "850", version: "004010", control: partner }`, `emit: { format: hl7v2, set: MFN_M05, version: "2.5.1" }`, 1) + "  - MSH: " + header + `
  - MFI: { "1.1": { value: LOC }, "3": { value: UPD }, "6": { value: NE } }
  - MFE: { "1": { value: MUP }, "4.1": name, "5": { value: PL } }
  - LOC: { "1.1": name, "3": { value: N } }
`)
	}
	m, err := load(`{ "9.1": { value: MFN }, "9.2": { value: M05 }, "9.3": { value: MFN_M05 }, "12": { value: "2.5.1" } }`)
	if err != nil {
		t.Fatal(err)
	}
	res := runShop(t, m, shopOrder)
	op, err := m.Emission(res.Document)
	if err != nil || op.Do != "emit" || op.Model != "MFN_M05" || op.Format != "hl7v2" || !strings.HasPrefix(string(op.Document), "MSH|^~\\&|||||||MFN^M05^MFN_M05|||2.5.1\rMFI|") {
		t.Errorf("%+v %q %v", op, string(op.Document), err)
	}
	if _, err := load(`{ "12": { value: "2.5.1" } }`); err == nil || !strings.Contains(err.Error(), "MSH-9 (Message Type) is mandatory") {
		t.Errorf("without a type: %v", err)
	}
}

func TestADocumentIsBounded(t *testing.T) {
	t.Parallel()
	m, err := loadShop(begin + "  - each: \"line_ids[*]\"\n    segments:\n      - each: \"/line_ids[*]\"\n        REF: { \"01\": { value: CR }, \"02\": name }\n" + lineBlock)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Repeat(`{"id": 7, "qty": 2},`, 190)
	record := strings.Replace(shopOrder, `"line_ids": [`, `"line_ids": [`+lines, 1)
	if res := runShop(t, m, record); res.Class != mapping.ClassLimit || !strings.Contains(res.Reason, "more than 20000 segments") {
		t.Errorf("%s: %s", res.Class, res.Reason)
	}
}

func TestADocumentIsTheSameHoweverOftenItIsWritten(t *testing.T) {
	t.Parallel()
	m, err := loadShop(begin + lineBlock)
	if err != nil {
		t.Fatal(err)
	}
	first := encoded(t, x12.NewFormat(), "004010", runShop(t, m, shopOrder))
	for range 20 {
		if again := encoded(t, x12.NewFormat(), "004010", runShop(t, m, shopOrder)); again != first {
			t.Fatalf("%s and then %s", first, again)
		}
	}
}
