package workbench

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/mappings"
)

const upgradeSnapshot = `{"odoo":"18.0","models":{
"res.partner":{"name":{"type":"char"},"ref":{"type":"char"},"color":{"type":"integer"},"lang":{"type":"selection","selection":["en_US","de_DE"]},"country_id":{"type":"many2one","relation":"res.country"},"vat":{"type":"char"}},
"res.country":{"code":{"type":"char"}},"res.lang":{"name":{"type":"char"}}}}`

const upgradeMapping = `kind: mapping
format: 1
id: upgraded
version: 1
source: { format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT } }
target: { odoo: "18.0", snapshot: snapshots/old.json }
idempotency: ["{MSH-10}"]
egress: { allow: [name, identifier, admin, demographic, contact] }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{PID-3[5=MR].1}" }
    fields:
      name: PID-5[first].1.1
      ref: PID-18.1
      color: PID-1
      lang: { value: de_DE }
      country_id: { from: "PID-11[first].6", ref: code }
`

func TestAnUpgradeSaysWhatOfAFieldChanged(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, old, new, want string }{
		{"nothing", "", "", ""},
		{"a field that is gone", `"ref":{"type":"char"},`, ``, `upgraded.map.yaml:16:7: error[odoo-field]: res.partner has no field "ref"`},
		{"another type", `"ref":{"type":"char"}`, `"ref":{"type":"date"}`, `upgraded.map.yaml:16:7: error[odoo-type]: res.partner.ref is date: it gets PID-18.1`},
		{"text that became a number", `"ref":{"type":"char"}`, `"ref":{"type":"integer"}`, `upgraded.map.yaml:16:7: warning[odoo-type]: PID-18.1 is text and res.partner.ref an integer`},
		{"an option that is gone", `["en_US","de_DE"]`, `["en_US","fr_FR"]`, `upgraded.map.yaml:18:`},
		{"a relation to another model", `"relation":"res.country"`, `"relation":"res.lang"`, `upgraded.map.yaml:19:`},
		{"a relation that became a value", `"type":"many2one","relation":"res.country"`, `"type":"char"`, `upgraded.map.yaml:19:`},
		{"a field that is computed now", `"color":{"type":"integer"}`, `"color":{"type":"integer","compute":true}`, `upgraded.map.yaml:17:7: error[odoo-readonly]: res.partner.color can not be written`},
		{"a field that is required now", `"vat":{"type":"char"}`, `"vat":{"type":"char","required":true}`, `res.partner.vat is required by Odoo`},
		{"a model that is gone", `"res.partner":`, `"res.partners":`, `no model "res.partner"`},
	} {
		b := shipped().With(map[string][]byte{"upgraded.map.yaml": []byte(upgradeMapping), "snapshots/old.json": []byte(upgradeSnapshot),
			"snapshots/new.json": []byte(strings.Replace(strings.Replace(upgradeSnapshot, c.old, c.new, 1), `"odoo":"18.0"`, `"odoo":"19.0"`, 1))})
		rep, err := b.Upgrade(t.Context(), []string{"upgraded.map.yaml"}, "snapshots/new.json", "snapshots/old.json")
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		for _, f := range rep.Files {
			for _, i := range f.Issues {
				got += fmt.Sprintln(i)
			}
		}
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) || rep.OK() != (c.want == "") {
			t.Errorf("%s: %v\n got %s\nwant %s", c.what, rep.OK(), got, c.want)
		}
	}
}

// unfit are the shipped mappings that another version than 18 does not take as they are.
var unfit = map[string][]string{
	"snapshots/odoo17.json": {
		"billing/fhir-payment-reconciliation.map.yaml", "billing/payment-820.map.yaml", "billing/remittance-835.map.yaml", // a payment's memo is ref
		"procurement/fhir-device.map.yaml", "procurement/fhir-medication.map.yaml", "procurement/item-master-out.map.yaml", "procurement/mfn-items.map.yaml", // goods are of a type
		"procurement/ship-notice-856.map.yaml", "procurement/supplier-payment-820.map.yaml", // a module's field; a state
	},
	"snapshots/odoo19.json": {
		"admissions/adt-patient.map.yaml",                                         // alternatives/odoo19 is there for it
		"procurement/oms-requisition.map.yaml",                                    // likewise
		"procurement/order-850.map.yaml", "procurement/order-cancel-860.map.yaml", // product_uom_id
		"procurement/orm-stock-requisition.map.yaml", // as oms-requisition
		"procurement/ship-notice-856.map.yaml",       // a module's field
	},
}

func TestWhichShippedMappingsFitOtherVersions(t *testing.T) {
	t.Parallel()
	var names []string
	err := fs.WalkDir(mappings.FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if err == nil && name == "examples" {
			return fs.SkipDir
		}
		if strings.HasSuffix(name, ".map.yaml") {
			names = append(names, name)
		}
		return err
	})
	if err != nil || len(names) < 2 {
		t.Fatal(names, err)
	}
	for snapshot, want := range unfit {
		var got []string
		for _, name := range names {
			if strings.Contains(snapshot, "17") && strings.Contains(name, "odoo19/") {
				continue
			}
			rep, err := shipped().Upgrade(t.Context(), []string{name}, snapshot, "")
			if err != nil {
				t.Fatal(err)
			}
			if !rep.OK() {
				got = append(got, name)
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("with %s:\n%s", snapshot, d)
		}
	}
}
