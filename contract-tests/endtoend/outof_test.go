package endtoend_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// Products of the group's Odoo go to the hospital's, while the agent that reads
// them is killed again and again: what the one says in the end the other says
// too, every version is in the ledger once, and no price ever went back.
func TestProductsAndPricesOfOneOdooReachAnother(t *testing.T) {
	t.Parallel()
	for name, addon := range map[string]bool{"by their time": false, "by the addon": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const products, rounds = 20, 6
			s := newSystem(t, 1, simulated.Config{History: true})
			group, groupURL := startOdoo(t, simulated.Config{Addon: addon, Users: []simulated.User{{Login: "buyer", Key: "buyer"}}})
			bundle, err := hub.AddSite(filepath.Join(s.dir, "hub"), "cloud", hub.SiteConfig{URLs: []string{"tls://" + s.link.Addr()}})
			if err != nil {
				t.Fatal(err)
			}
			write(t, s.dir, "group.key", simulatedKey)
			agent := newProcess(t, "agent", write(t, s.dir, "cloud.yaml", fmt.Sprintf(`
data_dir: cloud
bundle: %s
feeds:
  - name: products
    target: odoo
    mappings: [ "builtin:examples/north/10-odoo-products/products.map.yaml" ]
    odoo:
      url: %q
      database: hospital
      user: vagus
      key: { file: group.key }
      every: 1s
      batch: 7
      models: [ { model: product.product, fields: [ name, default_code, barcode, list_price, active ] } ]
ops: { listen: %q }
`, bundle, groupURL, freeAddr(t))))
			agent.start()
			defer func() {
				if t.Failed() {
					t.Logf("%s", agent.LastWords())
				}
			}()
			buyer, err := odoo.New(odoo.Config{URL: groupURL, Database: "hospital", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"})
			if err != nil {
				t.Fatal(err)
			}
			for round := range rounds {
				before := len(s.odoo.Effects())
				var units []*broker.Unit
				for n := range products {
					code := fmt.Sprintf("P-%02d", n)
					units = append(units, &broker.Unit{ID: fmt.Sprintf("%s-%d", code, round), Ops: []broker.Operation{{ID: "p", Model: "product.product", Do: "upsert",
						XID: "test." + code, Vals: broker.Values{"name": "Gloves " + code, "default_code": code, "list_price": 1 + round*10 + n}}}})
				}
				outcomes, err := buyer.Apply(context.Background(), units)
				for _, o := range outcomes {
					if o.Result != broker.Applied {
						t.Fatalf("the buyer's change is %v", o)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
				s.wait("the first of the round", 30*time.Second, func() bool { return len(s.odoo.Effects()) > before })
				agent.kill()
				agent.start()
			}
			there := group.Records("product.product")
			if addon { // else the next comparison of all records would tell
				group.Delete("product.product", there[0].ID)
			}
			xid := func(r simulated.Record) string { return fmt.Sprintf("group.product_%d", r.ID) }
			s.wait("both saying the same", 60*time.Second, func() bool {
				for i, want := range there {
					got, ok := s.odoo.ByXID(xid(want))
					deleted := addon && i == 0 // what it was last nobody may have read
					if !ok || (got.Values["active"] != true) != deleted || !deleted && got.Values["list_price"] != want.Values["list_price"] {
						return false
					}
				}
				return true
			})
			agent.stop()
			var units map[string][]ledger.Unit
			s.wait("every version being applied", 30*time.Second, func() bool {
				if units, err = s.units(s.api()); err != nil {
					return false
				}
				for _, us := range units {
					if us[0].Status != ledger.Applied {
						return false
					}
				}
				return true
			})
			for id, us := range units {
				if len(us) != 1 {
					t.Errorf("version %s is %d times in the ledger", id, len(us))
				}
			}
			if len(units) < products || len(units) > products*rounds+1 {
				t.Errorf("%d versions of %d products and %d changes", len(units), products, products*rounds)
			}
			made, price := map[string]int{}, map[int64]float64{}
			for _, e := range s.odoo.Effects() {
				if e.Model != "product.product" || len(e.XIDs) == 0 {
					continue
				}
				if e.Kind == "create" {
					made[e.XIDs[0]]++
				}
				if p, ok := e.Values["list_price"].(float64); ok {
					if p < price[e.ID] {
						t.Errorf("a price went back from %v to %v", price[e.ID], p)
					}
					price[e.ID] = p
				}
			}
			for _, r := range there {
				if made[xid(r)] != 1 {
					t.Errorf("a product was made %d times", made[xid(r)])
				}
			}
		})
	}
}
