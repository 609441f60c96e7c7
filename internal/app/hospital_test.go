package app_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// mmis is the hospital's materials system: it takes documents by MLLP and refuses
// those about a place called Attic.
type mmis struct {
	addr string

	mu   sync.Mutex
	came []string
}

func newMMIS(t *testing.T) *mmis {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := &mmis{addr: l.Addr().String()}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go m.serve(c)
		}
	}()
	return m
}

func (m *mmis) serve(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		frame, err := in.ReadString(0x1c)
		if err != nil {
			return
		}
		body := strings.Trim(frame, "\x0b\x1c\r")
		m.mu.Lock()
		m.came = append(m.came, body)
		m.mu.Unlock()
		code := "AA"
		if strings.Contains(body, "Attic") {
			code = "AR"
		}
		id := strings.Split(body, "|")[9]
		if _, err := fmt.Fprintf(c, "\x0bMSH|^~\\&|MMIS|NORTH|||20260504||ACK|A%.18s|P|2.5.1\rMSA|%s|%s\r\x1c\r", id, code, id); err != nil {
			return
		}
	}
}

// document returns the first one of this kind with this text, without its header.
func (m *mmis) document(kind, with string) string {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, body := range m.came {
		if head, rest, _ := strings.Cut(body, "\r"); strings.Contains(head, "|"+kind+"^") && strings.Contains(rest, with) {
			return rest
		}
	}
	return ""
}

// A requisition makes a purchase order, or a transfer, in Odoo; what people do with them there
// reaches who asked as answers and status by MLLP, and so does a new place. The ledger has the
// outcome of each, a refusal too.
func TestWhatBecomesOfARequisitionReachesWhoAsked(t *testing.T) {
	t.Parallel()
	log, peer := &safeLog{}, newMMIS(t)
	cfg, sim := oneOf(t, simulated.Config{Users: []simulated.User{{Login: "buyer", Key: "buyer"}}})
	database := *cfg.Targets["odoo"].Odoo
	watched := func(name, model, watch string, mappings []string, fields ...string) config.Feed {
		m := odoo.SourceModel{Model: model, Fields: fields}
		if watch != "" {
			m.Watch = strings.Fields(watch)
		}
		return config.Feed{Name: name, Target: "mmis", Mappings: builtins(mappings...), Odoo: &odoo.SourceConfig{Config: database, Every: time.Second, Models: []odoo.SourceModel{m}}}
	}
	cfg.Feeds = []config.Feed{
		{Name: "adt", Target: "odoo", Mappings: builtins("procurement/mfn-items", "procurement/mfn-locations", "procurement/omn-requisition", "procurement/oms-requisition"), HL7: &hl7.Config{Listen: "127.0.0.1:0"}},
		watched("orders", "purchase.order", "state receipt_status", []string{"procurement/requisition-response-out", "procurement/requisition-cancelled-out", "procurement/requisition-received-out"},
			"name", "state", "receipt_status", "origin", "order_line.name", "order_line.product_qty", "order_line.qty_received", "order_line.date_planned", "order_line.product_id.default_code"),
		watched("transfers", "stock.picking", "state", []string{"procurement/stock-requisition-response-out"}, "name", "state", "origin", "move_ids.quantity", "move_ids.product_id.default_code", "move_ids.product_id.name"),
		watched("places", "stock.location", "", []string{"procurement/location-master-out"}, "name", "barcode", "complete_name", "usage", "active", "location_id"),
	}
	cfg.Sinks = map[string]config.Outlet{"mmis": {HL7: &hl7.SinkConfig{Connect: peer.addr, Header: hl7.Header{SendingApplication: "VAGUS", ReceivingApplication: "MMIS"}}}}
	cfg.Targets["mmis"] = config.Target{Site: cfg.Site, At: "mmis", RetryMin: 20 * time.Millisecond}
	all, api := start(t, cfg, log)
	outcome := func(what, feed string, status ledger.Status, class string, n int) {
		t.Helper()
		eventually(t, what, log, func() bool {
			page, err := api.Messages(t.Context(), ops.Query{Feed: feed, Status: []ledger.Status{status}, Class: class})
			return err == nil && len(page.Messages) == n
		})
	}
	buyer, err := odoo.New(odoo.Config{URL: database.URL, Database: "demo", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"})
	if err != nil {
		t.Fatal(err)
	}
	step := 0
	does := func(ops ...broker.Operation) {
		t.Helper()
		step++
		// Odoo tells versions apart by whole seconds.
		second := time.Now().Unix()
		eventually(t, "the next second", log, func() bool { return time.Now().Unix() > second })
		for i := range ops {
			ops[i].ID = fmt.Sprint("o", i)
		}
		if out, err := buyer.Apply(t.Context(), []*broker.Unit{{ID: fmt.Sprint("w", step), Ops: ops}}); err != nil || out[0].Result != broker.Applied {
			t.Fatalf("%v %v", out, err)
		}
	}
	hears := func(kind, with, want string) {
		t.Helper()
		eventually(t, "the "+kind, log, func() bool { return peer.document(kind, with) != "" })
		if got := peer.document(kind, with); !strings.Contains(got, want) {
			t.Errorf("the %s is\n%q, not with\n%q", kind, got, want)
		}
	}
	says := func(n int, event string, segments ...string) {
		t.Helper()
		if code := sendTo(t, all.Agent, "adt", strings.Replace(hospitalMessage(n, event, segments...), "|2.5.1\r", "|2.8\r", 1)); code != "AA" {
			t.Errorf("%s is answered %s", event, code)
		}
	}
	says(1, "MFN^M16^MFN_M16", "MFI|INV||UPD|||NE", "MFE|MAD|1||GLV-M|CWE", "ITM|GLV-M|Nitrile gloves|A|||N", "VND|1|MERID|Meridian Supply", "PKG|1|BX|Y|100|12.50")
	says(2, "MFN^M05^MFN_M05", "MFI|LOC||UPD|||NE", "MFE|MAD|1||4W|PL", "LOC|4W||N", "LDP|4W|MED")
	says(3, "OMN^O07^OMN_O07", "ORC|NW|RQ1", "RQD|1|GLV-M^Gloves|||20|||||20260408", "RQ1|12.50|||MERID")
	says(4, "OMN^O07^OMN_O07", "ORC|NW|RQ2", "RQD|1|GLV-M^Gloves|||5", "RQ1|12.50|||MERID")
	says(5, "OMS^O05^OMS_O05", "ORC|NW|RQ3", "RQD|1|GLV-M^Gloves|||7||||4W|20260408")
	outcome("what the hospital said in Odoo", "adt", ledger.Applied, "", 5)

	change := func(xid, model, field, to string) {
		t.Helper()
		does(broker.Operation{Model: model, Do: "update", XID: "vagus." + xid, Vals: broker.Values{field: to}})
	}
	does(broker.Operation{Model: "purchase.order", Do: "update", XID: "vagus.requisition_RQ1", Vals: broker.Values{"name": "P00001", "state": "purchase"}})
	hears("ORN", "RQ1", "MSA|AA|C3\rORC|OK|RQ1|P00001||IP||||")
	change("requisition_RQ1", "purchase.order", "receipt_status", "full")
	hears("OMN", "RQ1", "ORC|SC|RQ1|")
	change("requisition_RQ2", "purchase.order", "state", "cancel")
	hears("OMN", "RQ2", "ORC|OC|RQ2|")
	change("stock_requisition_RQ3", "stock.picking", "state", "done")
	hears("ORS", "RQ3", "MSA|AA|C5\rORC|OK|RQ3|")
	stock := map[string]any{"$xid": "stock.stock_location_stock"}
	for _, name := range []string{"5W", "Attic"} {
		does(broker.Operation{Model: "stock.location", Do: "upsert", XID: "test." + name, Vals: broker.Values{"name": name, "complete_name": "WH/Stock/" + name, "usage": "internal", "location_id": stock}})
	}
	hears("MFN", "5W", "MFE|MUP|")
	hears("MFN", "Attic", "LOC|Attic|WH/Stock/Attic|L\rLDP|Attic|")
	outcome("the outcomes of three documents about orders", "orders", ledger.Applied, "", 3)
	outcome("that about a transfer", "transfers", ledger.Applied, "", 1)
	outcome("the refusal of a place", "places", ledger.Dead, "hl7.ar", 1)
	if _, ok := sim.ByXID("vagus.stock_requisition_RQ3"); !ok {
		t.Error("there is no transfer")
	}
	if page, err := api.Messages(t.Context(), ops.Query{Status: []ledger.Status{ledger.Dead}}); err != nil || len(page.Messages) != 1 {
		t.Errorf("dead letters: %v %v", page.Messages, err)
	}
}
