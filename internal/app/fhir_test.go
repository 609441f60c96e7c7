package app_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// A visit by FHIR from the wire to Odoo: who is charged, for what, at which
// visit; in the order in which a hospital sends it, and with the charge first.
func TestAVisitByFHIRReachesOdoo(t *testing.T) {
	t.Parallel()
	log, dir := &safeLog{}, t.TempDir()
	server := simulated.New(simulated.Config{Database: "demo", User: "vagus", Key: secret, Seeds: []simulated.Seed{{Model: "product.product", Values: map[string]any{"name": "Office visit", "default_code": "99213"}},
		{Model: "product.product", Values: map[string]any{"name": "Lipid panel", "default_code": "24331-1"}}}})
	url, err := server.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	for name, text := range map[string]string{"key": secret, "token": "a-token-of-the-ehr", "vagus.yaml": fmt.Sprintf(`
data_dir: data
site: north
listen: 127.0.0.1:0
max_bytes: 268435456
journal: { max_bytes: 268435456 }
feeds:
  - name: ehr
    target: odoo
    mappings:
      - builtin:admissions/fhir-patient.map.yaml
      - builtin:admissions/fhir-encounter.map.yaml
      - builtin:admissions/fhir-deleted.map.yaml
      - builtin:billing/fhir-charge-item.map.yaml
      - builtin:lab/fhir-service-request.map.yaml
      - builtin:lab/fhir-diagnostic-report.map.yaml
      - builtin:identity/fhir-organization.map.yaml
      - builtin:billing/fhir-account.map.yaml
      - builtin:billing/fhir-claim.map.yaml
      - builtin:billing/fhir-explanation-of-benefit.map.yaml
    validate: before-ack
    fhir: { endpoint: { listen: "127.0.0.1:0", path: /fhir, token: { file: token }, transactions: entries } }
targets:
  odoo: { odoo: { url: %q, database: demo, user: vagus, key: { file: key } }, retry_min: 50ms, retry_max: 200ms }
ops: { listen: "127.0.0.1:0" }
`, url)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg := config.NewAll()
	if err := config.Load(filepath.Join(dir, "vagus.yaml"), cfg); err != nil {
		t.Fatal(err)
	}
	all, _ := start(t, cfg, log)
	send := func(method, path, body string, want int) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), method, "http://"+all.Agent.FeedAddr("ehr").String()+"/fhir"+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Content-Type", "application/fhir+json")
		req.Header.Set("Authorization", "Bearer a-token-of-the-ehr")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if answer, _ := io.ReadAll(resp.Body); resp.StatusCode != want {
			t.Fatalf("%s %s is answered %d %s", method, path, resp.StatusCode, answer)
		}
	}
	charge := `{"resourceType":"ChargeItem","id":"ci1","meta":{"versionId":"1"},"status":"billable","code":{"coding":[{"system":"http://www.ama-assn.org/go/cpt","code":"99213"}]},"subject":{"reference":"Patient/p1"},"context":{"reference":"Encounter/e1"},"quantity":{"value":2},"priceOverride":{"value":120.5,"currency":"USD"}}`
	send("PUT", "/ChargeItem/ci1", charge, 200)
	send("POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[
		{"resource":{"resourceType":"Patient","id":"p1","meta":{"versionId":"1"},"name":[{"family":"Canaryson","given":["Jane"]}]},"request":{"method":"PUT","url":"Patient/p1"}},
		{"resource":{"resourceType":"Encounter","id":"e1","meta":{"versionId":"1"},"identifier":[{"value":"V-100"}],"status":"in-progress","class":{"code":"AMB"},"subject":{"reference":"Patient/p1"}},"request":{"method":"PUT","url":"Encounter/e1"}}]}`, 200)
	send("PUT", "/ChargeItem/ci1", charge, 200) // a resend
	send("POST", "/Patient", `{"resourceType":"Patient","id":"p2"}`, 422)
	send("POST", "/Patient", `{"resourceType":"Patient","id":"p2","gender":"Canaryson"}`, 400)

	eventually(t, "the charge in the visit's order", log, func() bool {
		order, ok := server.ByXID("vagus.fhir_Encounter_e1")
		return ok && order.Values["client_order_ref"] == "V-100" && len(server.Records("sale.order.line")) == 1
	})
	patient, ok := server.ByXID("vagus.fhir_Patient_p1")
	if !ok || patient.Values["name"] != "Jane Canaryson" {
		t.Errorf("the patient is %v", patient)
	}
	line := server.Records("sale.order.line")[0]
	if fmt.Sprint(line.Values["product_uom_qty"]) != "2" || fmt.Sprint(line.Values["price_unit"]) != "120.5" {
		t.Errorf("the line is %v", line)
	}
	if _, ok := server.ByXID("vagus.fhir_Patient_p2"); ok || len(server.Records("sale.order")) != 1 {
		t.Error("what was refused, or sent twice, is in Odoo")
	}

	// What was ordered is charged when it is done, on the one line; what a payer
	// does not pay is a credit note, and a note on the claim's invoice.
	lipids := func() any {
		for _, l := range server.Records("sale.order.line") {
			if l.Values["name"] == "Lipid panel" {
				return l.Values["product_uom_qty"]
			}
		}
		return nil
	}
	send("PUT", "/ServiceRequest/sr1", `{"resourceType":"ServiceRequest","id":"sr1","meta":{"versionId":"1"},"status":"active","intent":"order","code":{"coding":[{"system":"http://loinc.org","code":"24331-1","display":"Lipid panel"}]},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"}}`, 200)
	eventually(t, "the order's line", log, func() bool { return fmt.Sprint(lipids()) == "0" })
	send("PUT", "/DiagnosticReport/dr1", `{"resourceType":"DiagnosticReport","id":"dr1","meta":{"versionId":"1"},"basedOn":[{"reference":"ServiceRequest/sr1"}],"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"24331-1"}]},"subject":{"reference":"Patient/p1"},"encounter":{"reference":"Encounter/e1"},"conclusion":"Canaryson"}`, 200)
	eventually(t, "the report's charge", log, func() bool { return fmt.Sprint(lipids()) == "1" })
	if n := len(server.Records("sale.order.line")); n != 2 {
		t.Errorf("an order and its report made %d lines beside that of the visit", n-1)
	}
	send("POST", "", `{"resourceType":"Bundle","type":"transaction","entry":[
		{"resource":{"resourceType":"Claim","id":"cl1","meta":{"versionId":"1"},"identifier":[{"value":"CLM-1"}],"status":"active","use":"claim","type":{"text":"x"},"patient":{"reference":"Patient/p1"},"created":"2026-03-14","insurer":{"reference":"Organization/o1"},"provider":{"reference":"Organization/o2"},"priority":{"text":"x"},"insurance":[{"sequence":1,"focal":true,"coverage":{"reference":"Coverage/c1"}}],"item":[{"sequence":1,"productOrService":{"text":"Visit"},"net":{"value":241}}]},"request":{"method":"PUT","url":"Claim/cl1"}},
		{"resource":{"resourceType":"Account","id":"a1","meta":{"versionId":"1"},"status":"active","name":"Canaryson","subject":[{"reference":"Patient/p1"}]},"request":{"method":"PUT","url":"Account/a1"}},
		{"resource":{"resourceType":"Organization","id":"o1","meta":{"versionId":"1"},"name":"Payer"},"request":{"method":"PUT","url":"Organization/o1"}}]}`, 200)
	send("PUT", "/ExplanationOfBenefit/eb1", `{"resourceType":"ExplanationOfBenefit","id":"eb1","meta":{"versionId":"1"},"status":"active","type":{"text":"x"},"use":"claim","patient":{"reference":"Patient/p1"},"created":"2026-03-20","insurer":{"reference":"Organization/o1"},"provider":{"reference":"Organization/o2"},"claim":{"reference":"Claim/cl1"},"outcome":"complete","insurance":[{"focal":true,"coverage":{"reference":"Coverage/c1"}}],"item":[{"sequence":1,"productOrService":{"text":"x"},"net":{"value":241},"adjudication":[{"category":{"coding":[{"code":"eligible"}]},"reason":{"coding":[{"code":"expired"}]},"amount":{"value":0}}]}]}`, 200)
	eventually(t, "what the payer does not pay", log, func() bool {
		note, ok := server.ByXID("vagus.fhir_ExplanationOfBenefit_eb1")
		claim, there := server.ByXID("vagus.fhir_Claim_cl1")
		return ok && there && note.Values["move_type"] == "out_refund" && strings.Contains(fmt.Sprint(claim.Values["narration"]), "Denied by the payer: expired")
	})
	eventually(t, "the account", log, func() bool {
		account, ok := server.ByXID("vagus.fhir_Account_a1")
		return ok && account.Values["name"] == "Account a1"
	})

	send("DELETE", "/Patient/p1", "", 200)
	eventually(t, "the patient archived", log, func() bool {
		p, ok := server.ByXID("vagus.fhir_Patient_p1")
		return ok && p.Values["active"] == nil // what is false is empty
	})
	if strings.Contains(log.String(), "Canaryson") {
		t.Errorf("the log names the patient:\n%s", log)
	}
}

// What a server gives us is checked as what is sent to us is; nobody is there to
// be told, so what is not valid waits for a person, and nothing waits for it.
func TestAnInvalidResourceOfAServerIsADeadLetter(t *testing.T) {
	t.Parallel()
	const page = `{"resourceType":"Bundle","type":"searchset","entry":[
		{"resource":{"resourceType":"Patient","id":"p1","meta":{"versionId":"1"},"name":[{"family":"Doe"}]}},
		{"resource":{"resourceType":"Patient","id":"p2","meta":{"versionId":"1"},"name":[{"family":"Canaryson"}],"gender":"Canaryson"}},
		{"resource":{"resourceType":"Patient","id":"p3","meta":{"versionId":"1"},"name":[{"family":"Roe"}]}}]}`
	ehr := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, page) }))
	t.Cleanup(ehr.Close)
	for validation, taken := range map[string]bool{"": false, "r4": false, "json": true} {
		log := &safeLog{}
		cfg, server := oneOf(t, simulated.Config{}, config.Builtin+"admissions/fhir-patient.map.yaml")
		cfg.Feeds[0].Name, cfg.Feeds[0].HL7 = "ehr", nil
		cfg.Feeds[0].FHIR = &fhir.Config{Validation: validation, Server: &fhir.Server{URL: ehr.URL}, Poll: &fhir.Poll{Resources: []fhir.PollResource{{Type: "Patient"}}, Every: time.Second}}
		_, api := start(t, cfg, log)
		eventually(t, "what came behind it", log, func() bool {
			_, first := server.ByXID("vagus.fhir_Patient_p1")
			_, last := server.ByXID("vagus.fhir_Patient_p3")
			return first && last
		})
		var units ops.Page
		eventually(t, "the outcome of all in the ledger", log, func() bool {
			page, err := api.Messages(t.Context(), ops.Query{Feed: "ehr", Status: []ledger.Status{ledger.Applied, ledger.Dead}})
			units = page
			return err == nil && len(units.Messages) == 3
		})
		var dead []ledger.Unit
		for _, u := range units.Messages {
			if u.Status == ledger.Dead {
				dead = append(dead, u)
			}
		}
		switch _, ok := server.ByXID("vagus.fhir_Patient_p2"); {
		case ok != taken, taken != (len(dead) == 0):
			t.Errorf("validation %q: it is in Odoo: %v, dead letters: %v", validation, ok, dead)
		case !taken && (len(dead) != 1 || dead[0].Class != "fhir.invalid" || !strings.HasPrefix(dead[0].Reason, "Patient.gender: ") || strings.Contains(dead[0].Reason, "Canaryson")):
			t.Errorf("validation %q: the dead letters are %+v", validation, dead)
		}
		if strings.Contains(log.String(), "Canaryson") {
			t.Errorf("the log names the patient:\n%s", log)
		}
	}
}
