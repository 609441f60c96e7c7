package x12_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/mappings"
)

var update = flag.Bool("update", false, "write testdata anew")

// TestWhatMappingsWriteGoesOutAndIsTakenAtTheOtherEnd: from a record of Odoo to the bytes of an interchange, which
// the supplier's own receiver, our strictest, takes without a fault.
func TestWhatMappingsWriteGoesOutAndIsTakenAtTheOtherEnd(t *testing.T) {
	t.Parallel()
	register, err := x12.OpenRegister(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = register.Close() })
	supplier := x12.Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}
	us := x12.Partner{Name: "north", ID: "ZZ:NORTHHOSP", Own: "ZZ:MERID"}
	end, err := x12.NewReceiver(broker.Origin{Tenant: "t", Site: "s", Feed: "f"}, x12.Config{Register: register, Partners: []x12.Partner{us}})
	if err != nil {
		t.Fatal(err)
	}
	order, err := os.ReadFile("../../mappings/procurement/in/order.json")
	if err != nil {
		t.Fatal(err)
	}
	payment := []byte(`{"id":1,"name":"PBNK1/2026/00017","write_date":"2026-06-08 10:00:00","state":"paid","payment_type":"outbound","partner_type":"supplier","amount":1515.0,"date":"2026-06-08",
		"company_id":{"name":"North Hospital"},"partner_id":{"name":"Meridian Medical Supply","ref":"MERID"},"reconciled_bill_ids":[{"id":3,"ref":"INV-7781","amount_total":1265},{"id":4,"ref":"INV-7790","amount_total":250}]}`)
	for _, c := range []struct {
		mapping, set, version string
		record                []byte
	}{
		{"order-850", "850", "004010", order},
		{"order-cancel-860", "860", "004010", order},
		{"supplier-payment-820", "820", "005010", payment},
	} {
		m, err := mapping.Load(mappings.FS, "procurement/"+c.mapping+".map.yaml", []tree.Format{odoo.Format{}, x12.Format{}})
		if err != nil {
			t.Fatal(err)
		}
		record, err := m.Dialect.Decode(c.record, nil)
		if err != nil {
			t.Fatal(err)
		}
		result := m.Run(t.Context(), record)
		if result.Document == nil {
			t.Fatalf("%s: %s", c.mapping, result.Reason)
		}
		out, err := x12.Format{}.Dialect(tree.Declaration{Version: c.version})
		if err != nil {
			t.Fatal(err)
		}
		document, err := out.(tree.Encoder).Encode(result.Document)
		if err != nil {
			t.Fatal(err)
		}
		numbers, err := register.Issue(supplier, c.mapping)
		if err != nil {
			t.Fatal(err)
		}
		numbers.At = time.Date(2026, 6, 8, 10, 0, 0, 0, time.UTC)
		sealed, err := supplier.Seal(c.set, c.version, document, numbers)
		if err != nil {
			t.Fatal(err)
		}
		golden := filepath.Join("testdata", c.set+"-out.edi")
		if *update {
			if err := os.WriteFile(golden, sealed, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(golden); err != nil || string(want) != string(sealed) {
			t.Errorf("%s is not as in %s (go test -update writes it): %v\n%s", c.set, golden, err, sealed)
		}
		got, err := end.Receive(t.Context(), broker.Delivery{Body: sealed}, func(context.Context, ...*broker.Message) error { return nil })
		if err != nil || got.Accepted != 1 || got.Refused != 0 {
			t.Errorf("%s at the other end: %+v, %v: %s", c.set, got, err, []byte(got.Answer))
		}
		if d, ok := register.Sent(supplier, numbers.Group); !ok || d != c.mapping {
			t.Errorf("group %d is of %q", numbers.Group, d)
		}
	}
}
