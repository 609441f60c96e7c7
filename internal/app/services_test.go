package app_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// canary stands in everything that is clinical: it must not leave the site.
const canary = "CANARY7731"

// Every business service's HL7 feed at once, each over its own wire: MLLP, HTTP and files
// with batches. Charges come before the admission that they wait for.
func TestEveryServicesMessagesBecomeTheirRecords(t *testing.T) {
	t.Parallel()
	log := &safeLog{}
	product := func(code string) simulated.Seed {
		return simulated.Seed{Model: "product.product", Values: map[string]any{"name": code, "default_code": code, "type": "service"}}
	}
	cfg, sim := oneOf(t, simulated.Config{Seeds: []simulated.Seed{product("58410-2"), product("71046"), product("CT1100")}})
	mllp := func(name string, mappings ...string) config.Feed {
		return config.Feed{Name: name, Target: "odoo", Mappings: builtins(mappings...), HL7: &hl7.Config{Listen: "127.0.0.1:0"}}
	}
	files := t.TempDir()
	cfg.Feeds = []config.Feed{
		mllp("adt", "admissions/adt-patient", "admissions/adt-coverage", "admissions/adt-encounter", "admissions/adt-merge"),
		mllp("billing", "billing/dft-charges", "billing/bar-account"),
		mllp("lab", "lab/orm-oml-order", "lab/oru-charge"),
		mllp("front", "scheduling/siu-appointment", "documents/mdm-notice"),
		{Name: "imaging", Target: "odoo", Mappings: builtins("imaging/orm-omi-order", "imaging/oru-charge"), HL7: &hl7.Config{}, HTTP: &webhook.Config{Listen: "127.0.0.1:0", Open: true, Types: []string{"application/hl7-v2"}}},
		{Name: "supply", Target: "odoo", Mappings: builtins("procurement/mfn-items", "procurement/mfn-locations", "procurement/mfn-inventory", "procurement/omn-requisition"), HL7: &hl7.Config{}, Folder: &folder.Config{Dir: files, In: "in", Every: 20 * time.Millisecond, Settle: time.Millisecond}},
	}
	target := cfg.Targets["odoo"]
	target.RetryMin, target.RetryMax = 20*time.Millisecond, 200*time.Millisecond
	cfg.Targets["odoo"] = target
	if err := os.MkdirAll(filepath.Join(files, "in"), 0o700); err != nil {
		t.Fatal(err)
	}
	all, api := start(t, cfg, log)
	sent := 0
	say := func(feed, event string, segments ...string) {
		t.Helper()
		sent++
		if code := sendTo(t, all.Agent, feed, hospitalMessage(sent, event, segments...)); code != "AA" {
			t.Errorf("%s on feed %s is answered %s", event, feed, code)
		}
	}
	const (
		jane    = "PID|1||11^^^NORTH^MR~900-11-2233^^^SSA^SS||Doe^Jane||19840229|F||||||||||ACC1^^^NORTH^AN"
		retired = "PID|1||12^^^NORTH^MR||Doe^Jane^Q"
		sam     = "PID|1||13^^^NORTH^MR||Roe^Sam|||||||||||||ACC3"
		visit   = "PV1|1|I|4W^412^A^NORTH||||||||" + canary
		result  = "OBX|1|TX|718-7||" + canary + "||||||F\rNTE|1||" + canary
	)
	say("lab", "ORM^O01^ORM_O01", jane, visit, "ORC|NW|PO1", "OBR|1|PO1||58410-2^CBC|||||||||"+canary)
	say("billing", "DFT^P03^DFT_P03", "EVN|P03|20260402", jane, visit, "FT1|1|T1||20260402||CG|71046^Chest x-ray|||2|||||||"+"||"+canary)
	sent++
	post(t, all.Agent, hospitalMessage(sent, "OMI^O23^OMI_O23", jane, visit, "ORC|SC|PO2|||CM", "OBR|1|PO2||CT1100^CT chest|||||||||"+canary, "IPC|1|2|3|4"))
	say("front", "SIU^S12^SIU_S12", "SCH|P1|A1||||"+canary+"|"+canary+"||||^^^20260501140000", jane)
	say("front", "MDM^T02^MDM_T02", "EVN|T02|20260402", jane, visit, "TXA|1|"+canary+"||20260402||||||||D1||||"+canary, result)
	say("adt", "ADT^A01^ADT_A01", "EVN|A01|20260401", jane, "NK1|1|Doe^John", visit, "DG1|1||"+canary, "GT1|1||Doe^John||1 Elm St^^Springfield^CA^90210^USA", "IN1|1|PPO|7001|Acme Health")
	say("adt", "ADT^A04^ADT_A01", "EVN|A04|20260401", retired, "PV1|1|O")
	say("adt", "ADT^A40^ADT_A39", "EVN|A40|20260402", jane, "MRG|12^^^NORTH^MR")
	say("adt", "ADT^A01^ADT_A01", "EVN|A01|20260402", sam, visit)
	say("adt", "ADT^A11^ADT_A09", "EVN|A11|20260402", sam, visit)
	say("adt", "ADT^A02^ADT_A02", "EVN|A02|20260402", jane, "PV1|1|I|ICU^2^B^NORTH")
	say("billing", "BAR^P05^BAR_P05", "EVN|P05|20260402", jane, visit, "GT1|1||Doe^John")
	say("billing", "DFT^P03^DFT_P03", "EVN|P03|20260402", jane, visit, "FT1|1|T1||20260403||CD|71046^Chest x-ray|||1")
	say("lab", "ORU^R01^ORU_R01", jane, visit, "OBR|1|PO1|L1|58410-2^CBC"+strings.Repeat("|", 21)+"F", result)
	header := func(n int, event string) string {
		return strings.Replace(strings.SplitAfter(hospitalMessage(n, event), "\r")[0], "2.5.1", "2.8", 1)
	}
	batch := "FHS|^~\\&|MMIS|NORTH|V|C|20260401\rBHS|^~\\&|MMIS|NORTH|V|C|20260401||||B1\r" +
		header(101, "MFN^M05^MFN_M05") + "MFI|LOC||UPD|||NE\rMFE|MAD|1||4W|PL\rLOC|4W||N\rLDP|4W|MED\r" +
		header(102, "MFN^M16^MFN_M16") + "MFI|INV||UPD|||NE\rMFE|MAD|1||GLV-M|CWE\rITM|GLV-M|Nitrile gloves|A|||N\rVND|1|MERID|Meridian Supply\rPKG|1|BX|Y|100|12.50\r" +
		header(103, "MFN^M15^MFN_M15") + "MFI|INV||UPD|||NE\rMFE|MAD|1||GLV-M|CWE\rIIM|1|GLV-M||||4W||||||140\r" +
		header(104, "OMN^O07^OMN_O07") + "ORC|NW|RQ1\rRQD|1|GLV-M^Gloves|||20\rRQ1|12.50|||MERID\r" +
		header(105, "MFN^M16^MFN_M16") + "MFI|INV||UPD|||NE\rMFE|MAD|1||X|CWE\rITM||No number\r" +
		"BTS|5\rFTS|1\r"
	if err := os.WriteFile(filepath.Join(files, "in", "supply.hl7"), []byte(batch), 0o600); err != nil {
		t.Fatal(err)
	}
	settled := map[ledger.Status]int{}
	eventually(t, "all units being settled", log, func() bool {
		clear(settled)
		page, err := api.Messages(t.Context(), ops.Query{})
		for _, u := range page.Messages {
			settled[u.Status]++
		}
		// Each admission has a unit for contact, account and who pays; the item without a number is a dead letter.
		return err == nil && settled[ledger.Applied] == 21 && settled[ledger.Skipped] == 3 && settled[ledger.Dead] == 1
	})
	checkServices(t, sim)
	if answers, _ := filepath.Glob(filepath.Join(files, "*", "*supply*ack*")); len(answers) != 1 {
		t.Errorf("answers to the file: %v", answers)
	}
	for _, dir := range []string{"hub", "ledger.db"} { // what left the site
		err := filepath.WalkDir(filepath.Join(cfg.DataDir, dir), func(path string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			data, err := os.ReadFile(path)
			if bytes.Contains(data, []byte(canary)) {
				t.Errorf("%s has what is clinical", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	if strings.Contains(log.String(), canary) || strings.Contains(log.String(), "Jane") {
		t.Error("the log has what a message said")
	}
}

// checkServices holds what Odoo has against what the hospital said.
func checkServices(t *testing.T, sim *simulated.Server) {
	t.Helper()
	one := func(xid string) simulated.Record {
		t.Helper()
		r, ok := sim.ByXID(xid)
		if !ok {
			t.Errorf("there is no %s", xid)
		}
		return r
	}
	jane, order := one("vagus.patient_NORTH_11"), one("vagus.account_NORTH_ACC1")
	if other := one("vagus.patient_NORTH_12"); other.ID != jane.ID || jane.Values["ref"] != "11" || jane.Values["name"] != "Jane Doe" {
		t.Errorf("the merged contact is %v, the survivor %v", other.Values, jane.Values)
	}
	if order.Values["partner_id"] != jane.ID || order.Values["origin"] != "NORTH ICU 2 B" || order.Values["state"] != "draft" || order.Values["partner_invoice_id"] != one("vagus.patient_NORTH_11_guarantor_1").ID {
		t.Errorf("the order is %v", order.Values)
	}
	if cancelled := one("vagus.account_NORTH_ACC3"); cancelled.Values["state"] != "cancel" {
		t.Errorf("the cancelled order is %v", cancelled.Values)
	}
	var lines []string
	for _, l := range sim.Records("sale.order.line") {
		if l.Values["order_id"] == order.ID {
			lines = append(lines, fmt.Sprint(l.Values["name"], " × ", l.Values["product_uom_qty"]))
		}
	}
	for _, want := range []string{"CBC × 1", "Chest x-ray 2026-04-02 × 2", "Chest x-ray 2026-04-03 × -1", "CT chest × 1"} {
		if !strings.Contains(strings.Join(lines, "\n")+"\n", want+"\n") {
			t.Errorf("no line %q among %q", want, lines)
		}
	}
	var activities []string
	for _, a := range sim.Records("mail.activity") {
		activities = append(activities, fmt.Sprint(a.Values["res_id"] == jane.ID, " ", a.Values["summary"], " ", a.Values["date_deadline"]))
	}
	if got := strings.Join(activities, ", "); !strings.Contains(got, "true Appointment A1 2026-05-01") || !strings.Contains(got, "true Document D1 is there 2026-04-02") || len(activities) != 2 {
		t.Errorf("activities: %s", got)
	}
	item, place := one("vagus.item_GLV-M"), one("vagus.location_4W")
	quants := sim.Records("stock.quant")
	if len(quants) != 1 || quants[0].Values["quantity"] != 140.0 || quants[0].Values["product_id"] != item.ID || quants[0].Values["location_id"] != place.ID {
		t.Errorf("stock is %v", quants)
	}
	if price := one("vagus.item_GLV-M_vendor_MERID"); price.Values["product_id"] != item.ID || price.Values["price"] != 12.5 {
		t.Errorf("the vendor's price is %v", price.Values)
	}
	if rfq := one("vagus.requisition_RQ1"); rfq.Values["partner_id"] != one("vagus.vendor_MERID").ID || len(sim.Records("purchase.order.line")) != 1 {
		t.Errorf("the request for quotation is %v", rfq.Values)
	}
}

func builtins(names ...string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = config.Builtin + n + ".map.yaml"
	}
	return out
}

func hospitalMessage(n int, event string, segments ...string) string {
	return fmt.Sprintf("MSH|^~\\&|HIS|NORTH|V|C|20260402101500||%s|C%d|P|2.5.1\r%s\r", event, n, strings.Join(segments, "\r"))
}

func sendTo(t *testing.T, a *app.Agent, feed, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	s, err := demo.Dial(ctx, a.FeedAddr(feed).String())
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	code, _, err := s.Send(ctx, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return code
}

// post sends by HL7 over HTTP.
func post(t *testing.T, a *app.Agent, body string) {
	t.Helper()
	r, err := http.Post("http://"+a.FeedAddr("imaging").String()+"/", "application/hl7-v2; charset=utf-8", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	answer, err := io.ReadAll(r.Body)
	if err != nil || r.StatusCode != http.StatusOK || r.Header.Get("Content-Type") != "application/hl7-v2; charset=utf-8" || !bytes.Contains(answer, []byte("MSA|AA|")) {
		t.Errorf("answered %d, %s, %q, %v", r.StatusCode, r.Header.Get("Content-Type"), answer, err)
	}
}
