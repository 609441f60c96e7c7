package fhir_test

import (
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/mappings"
)

// carried are the resources that hospitals send, and those that go out of Odoo.
var carried = map[string][]string{
	"in": {"Patient", "RelatedPerson", "Coverage", "Organization", "Practitioner", "PractitionerRole", "Encounter", "ChargeItem", "Claim", "ExplanationOfBenefit", "PaymentReconciliation",
		"Invoice", "Account", "ServiceRequest", "DiagnosticReport", "ImagingStudy", "SupplyRequest", "SupplyDelivery", "Medication", "Device", "Location"},
	"out": {"Organization", "Location", "Invoice", "SupplyDelivery"},
}

// A shipped mapping of FHIR, as far as it matters here.
type shipped struct {
	Source struct {
		Format string
		When   map[string]any
	}
	Emit struct{ Format, Set string }
}

// A suite is a mapping's test file.
type suite struct {
	Cases []struct {
		Name   string
		Expect struct{ Document []string }
	}
}

func read(t *testing.T, name string, into any) {
	t.Helper()
	data, err := fs.ReadFile(mappings.FS, name)
	if err == nil {
		err = yaml.Unmarshal(data, into)
	}
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestEveryResourceHasAMappingWithTests(t *testing.T) {
	t.Parallel()
	files, err := fs.Glob(mappings.FS, "*/fhir-*.map.yaml")
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]bool{}
	for _, f := range files {
		var m shipped
		var tests suite
		read(t, f, &m)
		read(t, strings.TrimSuffix(f, ".map.yaml")+".test.yaml", &tests)
		if len(tests.Cases) < 3 {
			t.Errorf("%s has %d cases", f, len(tests.Cases))
		}
		if typ, ok := m.Source.When["resourceType"].(string); ok && m.Source.Format == "fhir" {
			found["in "+typ] = true
		}
		if m.Emit.Format == "fhir" {
			found["out "+m.Emit.Set] = true
		}
	}
	for way, types := range carried {
		for _, typ := range types {
			if !found[way+" "+typ] {
				t.Errorf("%s: there is no mapping of %s", way, typ)
			}
		}
	}
}

// What the mappings write is valid to google/fhir and to our own endpoint, which
// knows the invariants, too.
func TestWhatGoesOutIsValid(t *testing.T) {
	t.Parallel()
	base, _ := listening(t, fhir.Endpoint{})
	files, err := fs.Glob(mappings.FS, "*/fhir-*-out.test.yaml")
	if err != nil || len(files) < len(carried["out"]) {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		var tests suite
		read(t, f, &tests)
		for _, c := range tests.Cases {
			if len(c.Expect.Document) == 0 {
				continue
			}
			doc := []byte("{" + strings.Join(c.Expect.Document, ",") + "}")
			if _, err := oracle(t).Unmarshal(doc); err != nil {
				t.Errorf("%s: %s: %v", f, c.Name, err)
			}
			typ, _, _ := strings.Cut(strings.TrimPrefix(c.Expect.Document[0], `"resourceType":"`), `"`)
			if status, answer := post(t, base+"/"+typ, doc); status != http.StatusCreated {
				t.Errorf("%s: %s: %d %s", f, c.Name, status, answer)
			}
		}
	}
}
