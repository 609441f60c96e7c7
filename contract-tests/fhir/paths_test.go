package fhir_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/mappings"
)

// mappingOf returns a mapping of FHIR with this text behind its head.
func mappingOf(t testing.TB, text string) (*mapping.Mapping, error) {
	t.Helper()
	snapshot, err := mappings.FS.ReadFile("snapshots/odoo18.json")
	if err != nil {
		t.Fatal(err)
	}
	head := `kind: mapping
format: 1
id: test
version: 1
source: { format: fhir, version: "4.0.1", zone: America/Los_Angeles }
target: { odoo: "18.0", snapshot: odoo18.json }
ordering: "{Patient[first].id}"
idempotency: ["{Bundle.id}"]
egress: { allow: [name, contact, demographic, identifier, order, admin, clinical, sensitive, financial] }
`
	fsys := fstest.MapFS{"odoo18.json": {Data: snapshot}, "m.yaml": {Data: []byte(head + text)}}
	return mapping.Load(fsys, "m.yaml", []tree.Format{fhir.NewFormat()})
}

const operation = `
operations:
  - id: patient
    model: res.partner
    do: upsert
    match: { xid: "t.p_{Patient[first].id}" }
    fields:
`

func TestThePathsOfTheReadmeAreThoseOfTheLanguage(t *testing.T) {
	t.Parallel()
	readme := string(readFile(t, "../../connectors/fhir/README.md"))
	table := readme[strings.Index(readme, "## Paths"):strings.Index(readme, "## Writing")]
	paths := 0
	for line := range strings.SplitSeq(table, "\n") {
		cell, ok := strings.CutPrefix(line, "| `")
		if !ok {
			continue
		}
		cell, _, _ = strings.Cut(cell, " | ")
		for _, path := range regexp.MustCompile("[A-Za-z][^`]*").FindAllString(strings.SplitN(cell, "`", 2)[0], -1) {
			paths++
			text := fmt.Sprintf("let: { x: %q }", path)
			if strings.Contains(path, "[*]") {
				text = fmt.Sprintf("guards: [ { when: \"size(values('%s')) > 9\", do: skip, because: x } ]", path)
			}
			if m, err := mappingOf(t, text+operation+`      name: "Patient[first].name[use=official].text"`+"\n"); err != nil {
				t.Errorf("%s: %v", path, err)
			} else if m.Format != "fhir" {
				t.Errorf("its format is %s", m.Format)
			}
		}
	}
	if paths < 8 {
		t.Errorf("only %d paths were found", paths)
	}
}

func TestAMappingReadsABundle(t *testing.T) {
	t.Parallel()
	m, err := mappingOf(t, operation+`      name: { from: { f: "Patient[first].name[use=official].family", g: "Patient[first].name[use=official].given[first]" }, cel: "words([g, f])" }
      function: "MedicationRequest[first].contained[Medication.id=med].Medication.code.text"
      active: "Patient[first].deceasedBoolean"
      partner_latitude: "ChargeItem[first].priceOverride.value"
      ref: "Patient[first].fullUrl"
      street: "Bundle.entry[request.method=DELETE].request.url"
`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"name": "Siobhan O'Hara", "function": "Ibuprofen 400 mg", "active": false, "partner_latitude": json.Number("1.1"), "ref": "urn:uuid:1", "street": "Patient/9"}
	for _, only := range []tree.Selection{nil, m.Reads()} {
		msg, err := dialect(t).Decode(readFile(t, "../../connectors/fhir/testdata/bundle.json"), only)
		if err != nil {
			t.Fatal(err)
		}
		r := m.Run(t.Context(), msg)
		if len(r.Ops) != 1 {
			t.Fatalf("%s: %s, %d operations", r.Verdict, r.Reason, len(r.Ops))
		}
		if diff := cmp.Diff(want, map[string]any(r.Ops[0].Vals)); diff != "" {
			t.Error(diff)
		}
	}
}
