package app_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

const orderSnapshot = `{"odoo":"18.0","models":{
"purchase.order":{"name":{"type":"char"},"state":{"type":"selection","selection":["draft","sent","purchase","done","cancel"]},"date_planned":{"type":"datetime"},"origin":{"type":"char"},"partner_id":{"type":"many2one","relation":"res.partner"},"order_line":{"type":"one2many","relation":"purchase.order.line"}},
"purchase.order.line":{"product_qty":{"type":"float"},"price_unit":{"type":"float"},"name":{"type":"text"}},
"res.partner":{"ref":{"type":"char"}}}}`

const orderMapping = `kind: mapping
format: 1
id: order-out
version: 1
title: Confirmed order → 850
owner: tests
direction: outbound
source: { format: odoo, model: purchase.order, trigger: { on: write, becomes: { state: purchase } } }
target: { odoo: "18.0", snapshot: snapshot.json }
ordering: "{name}"
idempotency: ["{name}", "{write_date}"]
egress: { allow: [none] }
emit: { format: x12, set: "850", version: "004010" }
segments:
  - BEG: { "01": { value: "00" }, "02": { value: SA }, "03": name, "05": { from: date_planned, as: date } }
  - REF: { "01": { value: CR }, "02": partner_id.ref }
  - each: order_line[*]
    loop: PO1_LOOP
    segments:
      - PO1: { "01": order_line.id, "02": order_line.product_qty, "03": { value: EA }, "04": { from: order_line.price_unit, cel: "dec(it).fixed2()" } }
`

// An order that is confirmed in Odoo is left with the supplier as one
// interchange; what happens to it afterwards sends it no second time.
func TestAnOrderGoesToItsSupplierWhenItIsConfirmedAndOnlyThen(t *testing.T) {
	t.Parallel()
	cfg, _ := oneOf(t, simulated.Config{Users: []simulated.User{{Login: "buyer", Key: "buyer"}}}, builtin)
	dir := t.TempDir()
	for name, text := range map[string]string{"order.map.yaml": orderMapping, "snapshot.json": orderSnapshot} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	tray := filepath.Join(dir, "meridian")
	if err := os.Mkdir(tray, 0o700); err != nil {
		t.Fatal(err)
	}
	feed := config.Feed{Name: "orders", Target: "meridian", Mappings: []string{filepath.Join(dir, "order.map.yaml")}, Odoo: &odoo.SourceConfig{Config: *cfg.Targets["odoo"].Odoo, Every: time.Second,
		Models: []odoo.SourceModel{{Model: "purchase.order", Fields: []string{"name", "state", "date_planned", "partner_id.ref", "order_line.product_qty", "order_line.price_unit"}}}}}
	cfg.Feeds = append(cfg.Feeds, feed)
	cfg.Sinks = map[string]config.Outlet{"meridian": {X12: &config.X12Sink{Partner: x12.SinkConfig{Partner: x12.Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTH"}, Version: "004010"}, Folder: tray}}}
	cfg.Targets["meridian"] = config.Target{Site: cfg.Site, At: "meridian"}

	log := &safeLog{}
	if _, err := app.StartAll(t.Context(), cfg, app.Options{Log: log}); err == nil || !strings.Contains(err.Error(), "feed orders: mapping order-out runs when state of purchase.order becomes something: add it to odoo.models[].watch") {
		t.Fatalf("a trigger that nobody watches: %v", err)
	}
	cfg.DataDir = t.TempDir()
	cfg.Ledger.SQLite = filepath.Join(cfg.DataDir, "ledger.db")
	cfg.Feeds[1].Odoo.Models[0].Watch = []string{"state"}
	buyer, err := odoo.New(odoo.Config{URL: feed.Odoo.URL, Database: "demo", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"})
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	write := func(name string, vals broker.Values) {
		t.Helper()
		step++
		vals["partner_id"] = map[string]any{"$op": "s"}
		ops := []broker.Operation{{ID: "s", Model: "res.partner", Do: "upsert", XID: "t.s", Vals: broker.Values{"name": "Meridian", "ref": "MERID"}}, {ID: "o", Model: "purchase.order", Do: "upsert", XID: "t." + name, Vals: vals}}
		out, err := buyer.Apply(t.Context(), []*broker.Unit{{ID: fmt.Sprint("w", step), Ops: ops}})
		if err != nil || out[0].Result != broker.Applied {
			t.Fatalf("%v %v", out, err)
		}
	}
	order := func(name, state string) broker.Values {
		return broker.Values{"name": name, "state": state, "date_planned": "2026-05-08 08:00:00", "order_line": map[string]any{"$merge": []any{
			map[string]any{"key": "1", "vals": map[string]any{"name": "Gloves", "product_qty": 20, "price_unit": 12.5}}}}}
	}
	write("P1", order("P1", "purchase")) // confirmed before anybody looked: no news
	write("P2", order("P2", "draft"))
	_, api := start(t, cfg, log)
	units := func() (applied, other int) {
		rows, err := api.Messages(context.Background(), ops.Query{Feed: "orders"})
		if err != nil {
			return -1, -1
		}
		for _, u := range rows.Messages {
			if u.Status == ledger.Applied {
				applied++
			} else {
				other++
			}
		}
		return applied, other
	}
	settled := func(what string, applied, other int) {
		t.Helper()
		for deadline := time.Now().Add(40 * time.Second); ; time.Sleep(20 * time.Millisecond) {
			a, o := units()
			if a == applied && o == other {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %d orders are sent and %d changes are not, want %d and %d", what, a, o, applied, other)
			}
		}
	}
	settled("at the beginning", 0, 2)
	write("P2", broker.Values{"state": "purchase"})
	settled("when it is confirmed", 1, 2)
	write("P2", broker.Values{"origin": "x", "date_planned": "2026-05-09 08:00:00"})
	settled("when it is changed", 1, 3)
	write("P3", order("P3", "purchase"))
	settled("when one is made and confirmed at once", 2, 3)
	entries, err := os.ReadDir(tray)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if !slices.Equal(names, []string{"850-000000001.edi", "850-000000002.edi"}) {
		t.Errorf("the supplier has %v", names)
	}
	first, err := os.ReadFile(filepath.Join(tray, "850-000000001.edi"))
	if err != nil || !strings.Contains(string(first), "BEG*00*SA*P2**20260508~REF*CR*MERID~PO1*") || !strings.Contains(string(first), "*20*EA*12.50~") {
		t.Errorf("%v %s", err, first)
	}
}
