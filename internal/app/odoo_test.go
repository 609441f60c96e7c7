package app_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// HL7 v2, X12, FHIR and a file reach Odoo's records, which are read over Odoo's own interface:
// those of the simulated one and, where one is given, of a real one.
func TestFeedsReachOdooAsItTellsItself(t *testing.T) {
	t.Parallel()
	against(t, feedsReach)
}

func feedsReach(t *testing.T, real *odoo.Config) {
	log, dir := &safeLog{}, t.TempDir()
	cfg, _ := oneOf(t, simulated.Config{}, builtin)
	if real != nil {
		cfg.Targets["odoo"] = config.Target{Odoo: real}
	}
	database := teller{t, cfg.Targets["odoo"].Odoo}
	run := strings.ToUpper(runNumber())
	code := "VT" + run
	database.call("product.product", "create", map[string]any{"name": "Office visit", "default_code": code, "type": "service"})

	cfg.Feeds = []config.Feed{
		{Name: "adt", Target: "odoo", Mappings: builtins("admissions/adt-patient", "admissions/adt-encounter"), HL7: &hl7.Config{Listen: "127.0.0.1:0"}},
		{Name: "lab", Target: "odoo", Mappings: builtins("lab/oru-charge"), HL7: &hl7.Config{Listen: "127.0.0.1:0"}},
		{Name: "claims", Target: "odoo", Mappings: builtins("billing/claim-837p"), Folder: &folder.Config{Dir: filepath.Join(dir, "claims"), Settle: time.Millisecond, Every: 5 * time.Millisecond},
			X12: &x12.Config{Partners: []x12.Partner{{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}}}},
		{Name: "ehr", Target: "odoo", Mappings: builtins("admissions/fhir-patient", "admissions/fhir-encounter", "billing/fhir-charge-item"),
			FHIR: &fhir.Config{Endpoint: &fhir.Endpoint{Listen: "127.0.0.1:0", Transactions: fhir.TransactionsEntries}}},
		{Name: "items", Target: "odoo", Mappings: builtins("procurement/item-list"), Folder: &folder.Config{Dir: filepath.Join(dir, "items"), Settle: time.Millisecond, Every: 5 * time.Millisecond}, Tabular: &tabular.Config{}},
	}
	target := cfg.Targets["odoo"]
	target.RetryMin, target.RetryMax = 20*time.Millisecond, 200*time.Millisecond
	cfg.Targets["odoo"] = target
	for _, in := range []string{"claims", "items"} {
		if err := os.Mkdir(filepath.Join(dir, in), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	all, api := start(t, cfg, log)

	patient := "PID|1||M" + run + "^^^NORTH^MR||Doe^Jane||19840229|F||||||||||A" + run + "^^^NORTH^AN"
	for _, m := range []struct{ feed, text string }{
		{"lab", hospitalMessage(1, "ORU^R01^ORU_R01", patient, "PV1|1|I|4W", "OBR|1|PO1|L1|"+code+"^Blood count"+strings.Repeat("|", 21)+"F", "OBX|1|NM|718-7||9||||||F")},
		{"adt", hospitalMessage(2, "ADT^A01^ADT_A01", "EVN|A01|20260401", patient, "PV1|1|I|4W^412^A^NORTH")},
	} {
		if answer := sendTo(t, all.Agent, m.feed, m.text); answer != "AA" {
			t.Errorf("feed %s answers %s", m.feed, answer)
		}
	}
	drop(t, filepath.Join(dir, "claims"), "claims.837", strings.ReplaceAll(claims, "RUN", run))
	drop(t, filepath.Join(dir, "items"), "items.csv", "item_no,name,barcode,cost,price,status\nI"+run+",Nitrile gloves,,12.50,18.00,A\n")
	created := transact(t, all.Agent, strings.NewReplacer("RUN", strings.ToLower(run), "CODE", code).Replace(visit))

	var units ops.Page
	eventually(t, "eight units being applied", log, func() bool {
		var err error
		units, err = api.Messages(t.Context(), ops.Query{Status: []ledger.Status{ledger.Applied}})
		return err == nil && len(units.Messages) == 8 // the admission has two, the transaction three
	})
	id, jane := database.read("vagus.patient_NORTH_M"+run, "name", "ref")
	if jane["name"] != "Jane Doe" || jane["ref"] != "M"+run {
		t.Errorf("the patient is %v", jane)
	}
	_, order := database.read("vagus.account_NORTH_A"+run, "state", "partner_id", "order_line")
	if order["state"] != "draft" || first(order["partner_id"]) != id {
		t.Errorf("the account's order is %v, the patient %v", order, id)
	}
	if lines := database.lines("sale.order.line", order["order_line"], "product_uom_qty"); len(lines) != 1 || lines[0]["product_uom_qty"] != 1.0 {
		t.Errorf("the account is charged %v", lines)
	}
	_, invoice := database.read("vagus.claim_MERID_C"+run, "move_type", "state", "invoice_line_ids")
	if invoice["move_type"] != "out_invoice" || invoice["state"] != "draft" {
		t.Errorf("the claim's invoice is %v", invoice)
	}
	if lines := database.lines("account.move.line", invoice["invoice_line_ids"], "price_unit"); len(lines) != 2 || lines[0]["price_unit"] != 100.0 || lines[1]["price_unit"] != 20.5 {
		t.Errorf("the claim's lines are %v", lines)
	}
	if _, item := database.read("vagus.item_I"+run, "name", "standard_price"); item["name"] != "Nitrile gloves" || item["standard_price"] != 12.5 {
		t.Errorf("the item is %v", item)
	}
	id, roe := database.read("vagus.fhir_Patient_"+created, "name")
	if roe["name"] != "Sam Roe" {
		t.Errorf("the patient that the endpoint named is %v", roe)
	}
	_, order = database.read("vagus.fhir_Encounter_e"+strings.ToLower(run), "partner_id", "order_line")
	if first(order["partner_id"]) != id {
		t.Errorf("the visit's order is %v, its patient %v", order, id)
	}
	if lines := database.lines("sale.order.line", order["order_line"], "product_uom_qty", "price_unit"); len(lines) != 1 || lines[0]["product_uom_qty"] != 2.0 || lines[0]["price_unit"] != 120.5 {
		t.Errorf("the visit is charged %v", lines)
	}
}

const claims = "ISA*00*          *00*          *ZZ*MERID          *ZZ*NORTHHOSP      *260505*0830*^*00501*000000001*0*P*:~GS*HC*MERID*NORTHHOSP*20260505*0830*1*X*005010X222A1~" +
	"ST*837*0001*005010X222A1~BHT*0019*00*BRUN*20260505*0830*CH~NM1*41*2*NORTH*****46*N1~PER*IC*P*TE*5550100~NM1*40*2*PAYER*****46*P1~" +
	"HL*1**20*1~NM1*85*2*NORTH*****XX*1234567893~N3*1 ST~N4*LA*CA*900011234~REF*EI*991234567~" +
	"HL*2*1*22*0~SBR*P*18*******CI~NM1*IL*1*DOE*JANE****MI*M1~N3*2 ST~N4*LA*CA*900011234~DMG*D8*19800101*F~NM1*PR*2*PAYER*****PI*P1~" +
	"CLM*CRUN*120.5***11:B:1*Y*A*Y*Y~HI*ABK:J209~LX*1~SV1*HC:99213*100*UN*1***1~DTP*472*D8*20260402~LX*2~SV1*HC:85025*20.5*UN*1***1~DTP*472*D8*20260402~" +
	"SE*26*0001~GE*1*1~IEA*1*000000001~"

// visit creates a patient, whom the endpoint gives an id, and refers to it.
const visit = `{"resourceType":"Bundle","type":"transaction","entry":[
 {"fullUrl":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000a","resource":{"resourceType":"Patient","identifier":[{"value":"RUN"}],"name":[{"family":"Roe","given":["Sam"]}]},"request":{"method":"POST","url":"Patient"}},
 {"resource":{"resourceType":"Encounter","id":"eRUN","identifier":[{"value":"V-RUN"}],"status":"in-progress","class":{"code":"AMB"},"subject":{"reference":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000a"}},"request":{"method":"PUT","url":"Encounter/eRUN"}},
 {"resource":{"resourceType":"ChargeItem","id":"cRUN","status":"billable","code":{"coding":[{"system":"http://www.ama-assn.org/go/cpt","code":"CODE"}]},"subject":{"reference":"urn:uuid:1b0b3f5c-0000-4000-8000-00000000000a"},"context":{"reference":"Encounter/eRUN"},"quantity":{"value":2},"priceOverride":{"value":120.5,"currency":"USD"}},"request":{"method":"PUT","url":"ChargeItem/cRUN"}}]}`

// transact sends a transaction and returns the id of the patient that it creates.
func transact(t *testing.T, a *app.Agent, bundle string) string {
	t.Helper()
	r, err := http.Post("http://"+a.FeedAddr("ehr").String()+"/", "application/fhir+json", strings.NewReader(bundle))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	var answer struct {
		Entry []struct{ Response struct{ Location string } }
	}
	if err := json.NewDecoder(r.Body).Decode(&answer); err != nil || len(answer.Entry) != 3 {
		t.Fatalf("%s: %d entries, %v", r.Status, len(answer.Entry), err)
	}
	return strings.Split(answer.Entry[0].Response.Location, "/")[2] // /Patient/id/_history/1
}

func drop(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, ".new"), []byte(text), 0o600), os.Rename(filepath.Join(dir, ".new"), filepath.Join(dir, name))); err != nil {
		t.Fatal(err)
	}
}

// A teller asks a database by JSON-RPC, with nothing of the connector's.
type teller struct {
	t *testing.T
	*odoo.Config
}

func (d teller) rpc(service, method string, args ...any) any {
	d.t.Helper()
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "params": map[string]any{"service": service, "method": method, "args": args}})
	if err != nil {
		d.t.Fatal(err)
	}
	res, err := http.Post(d.URL+"/jsonrpc", "application/json", bytes.NewReader(body))
	if err != nil {
		d.t.Fatal(err)
	}
	defer res.Body.Close()
	var answer struct{ Result, Error any }
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil || answer.Error != nil {
		d.t.Fatalf("%s.%s: %v %v", service, method, err, answer.Error)
	}
	return answer.Result
}

func (d teller) call(model, method string, args ...any) any {
	d.t.Helper()
	uid := d.rpc("common", "authenticate", d.Database, d.User, d.Key.Reveal(), map[string]any{})
	return d.rpc("object", "execute_kw", d.Database, uid, d.Key.Reveal(), model, method, args, map[string]any{})
}

// read returns the record of an external id.
func (d teller) read(xid string, fields ...string) (id float64, values map[string]any) {
	d.t.Helper()
	module, name, _ := strings.Cut(xid, ".")
	found, _ := d.call("ir.model.data", "search_read", []any{[]any{"module", "=", module}, []any{"name", "=", name}}, []string{"model", "res_id"}).([]any)
	if len(found) != 1 {
		d.t.Fatalf("%d records are %s", len(found), xid)
	}
	at, _ := found[0].(map[string]any)
	rows := d.lines(fmt.Sprint(at["model"]), []any{at["res_id"]}, fields...)
	if len(rows) != 1 {
		d.t.Fatalf("%s has %d records", xid, len(rows))
	}
	id, _ = at["res_id"].(float64)
	return id, rows[0]
}

// lines reads records by their ids.
func (d teller) lines(model string, ids any, fields ...string) (out []map[string]any) {
	d.t.Helper()
	rows, _ := d.call(model, "read", ids, fields).([]any)
	for _, r := range rows {
		row, _ := r.(map[string]any)
		out = append(out, row)
	}
	return out
}

// first is the id of a many2one.
func first(many2one any) any {
	if pair, ok := many2one.([]any); ok && len(pair) > 0 {
		return pair[0]
	}
	return nil
}
