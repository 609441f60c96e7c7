package endtoend_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/ops"
)

// A clinic is a site whose claims come in files and by HTTP, whose patients come from a FHIR
// server, by looking and by an export, and whose registration and laboratory send HL7.
type clinic struct {
	*system
	t        *testing.T
	dir      string // of the files
	fhir     *resources
	adt, oru string
	posts    string

	controls int                // interchanges so far
	files    []string           // their names
	answers  []string           // of those that were posted
	units    int                // that are to be applied
	skipped  int                // that nobody asked for
	charged  map[string]float64 // what each claim comes to; a void one to -1
	posted   chan string        // answers
	waiting  int                // of them
}

func newClinic(t *testing.T) *clinic {
	c := &clinic{t: t, dir: t.TempDir(), fhir: newResources(t), adt: freeAddr(t), oru: freeAddr(t), posts: freeAddr(t), charged: map[string]float64{}, posted: make(chan string, 10)}
	const x12 = `x12: { split: claim, partners: [ { name: meridian, id: "ZZ:MERIDIAN", own: "ZZ:NORTH" } ] }`
	c.system = newSystemOf(t, 1, simulated.Config{History: true, Seeds: []simulated.Seed{{Model: "product.product", Values: map[string]any{"name": "K", "default_code": "K"}}}}, "", "336h", fmt.Sprintf(`
  - { name: adt, target: odoo, mappings: [ "builtin:admissions/adt-patient.map.yaml", "builtin:admissions/adt-merge.map.yaml" ], hl7: { listen: %q } }
  - { name: oru, target: odoo, mappings: [ "builtin:lab/oru-charge.map.yaml" ], hl7: { listen: %q } }
  - { name: files, target: odoo, mappings: [ "builtin:billing/claim-837p.map.yaml" ], folder: { dir: %q, settle: 1ms, every: 50ms }, %s }
  - { name: posts, target: odoo, mappings: [ "builtin:billing/claim-837p.map.yaml" ], http: { listen: %q, bearer: [ { file: token } ] }, %s }
  - { name: looks, target: odoo, mappings: [ "builtin:admissions/fhir-patient.map.yaml" ], fhir: { validation: json, server: { url: %q }, poll: { every: 1s, resources: [ { type: Patient } ] } } }
  - { name: exports, target: odoo, mappings: [ "builtin:admissions/fhir-patient.map.yaml" ], fhir: { validation: json, server: { url: %q }, export: { types: [ Patient ] } } }`,
		c.adt, c.oru, c.dir, x12, c.posts, x12, c.fhir.URL, c.fhir.URL))
	c.units = c.fhir.looked + c.fhir.exported
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(c.lastWords())
		}
	})
	return c
}

// drop puts a file with claims into the folder.
func (c *clinic) drop(claims ...string) {
	c.t.Helper()
	name, text := c.interchange(claims)
	c.files = append(c.files, name)
	if err := os.Rename(write(c.t, c.t.TempDir(), name, text), filepath.Join(c.dir, name)); err != nil {
		c.t.Fatal(err)
	}
}

// post sends claims by HTTP, again and again until they are answered.
func (c *clinic) post(claims ...string) {
	c.waiting++
	_, text := c.interchange(claims)
	go func() {
		c.posted <- again(c.t, func() (string, bool) {
			answer, status := call("POST", "http://"+c.posts+"/", "application/edi-x12", text)
			return answer, status == 200
		})
	}()
}

// interchange returns an interchange of claims, by default of three new ones.
func (c *clinic) interchange(claims []string) (name, text string) {
	c.controls++
	n := 700_000 + c.controls
	if len(claims) == 0 {
		for i := range 3 {
			claims = append(claims, c.claim(fmt.Sprintf("C%d-%d", c.controls, i), "1", 100+c.controls, 20+i))
		}
	}
	file := []string{
		fmt.Sprintf("ISA*00*          *00*          *ZZ*MERIDIAN       *ZZ*NORTH          *260505*0830*^*00501*%09d*0*P*:", n),
		fmt.Sprintf("GS*HC*MERIDIAN*NORTH*20260505*0830*%d*X*005010X222A1", n), "ST*837*0001*005010X222A1", fmt.Sprintf("BHT*0019*00*%d*20260505*0830*CH", n),
		"NM1*41*2*MERIDIAN BILLING*****46*1935665544", "PER*IC*BILLING*TE*5550100", "NM1*40*2*EXAMPLE HEALTH PLAN*****46*EXHP",
		"HL*1**20*1", "NM1*85*2*NORTH HOSPITAL*****XX*1234567893", "N3*1 HOSPITAL WAY", "N4*SACRAMENTO*CA*958141234", "REF*EI*941234567",
	}
	for i, claim := range claims {
		file = append(file, fmt.Sprintf("HL*%d*1*22*0", i+2), "SBR*P*18*******CI", fmt.Sprintf("NM1*IL*1*QUIST*MAREN****MI*EX%d", i), "N3*1 ELM ST", "N4*SACRAMENTO*CA*95814", "DMG*D8*19811105*F",
			fmt.Sprintf("NM1*PR*2*EXAMPLE PLAN*****PI*PAY%d", i))
		file = append(file, strings.Split(claim, "~")...)
	}
	c.units += len(claims)
	file = append(file, fmt.Sprintf("SE*%d*0001", len(file)-1), fmt.Sprintf("GE*1*%d", n), fmt.Sprintf("IEA*1*%09d", n), "")
	return fmt.Sprintf("claims-%d.edi", n), strings.Join(file, "~\n")
}

// claim returns the segments of a claim with these charges, as CLM-05.3 says.
func (c *clinic) claim(id, frequency string, charges ...int) string {
	sum, lines := 0, ""
	for i, charge := range charges {
		sum += charge
		lines += fmt.Sprintf("~LX*%d~SV1*HC:99213*%d*UN*1***1~DTP*472*D8*20260402", i+1, charge)
	}
	if c.charged[id] = float64(sum); frequency == "8" {
		c.charged[id] = -1
	}
	of := ""
	if frequency != "1" {
		of = "~REF*F8*PAYERS" + id
	}
	return fmt.Sprintf("CLM*%s*%d***11:B:%s*Y*A*Y*Y%s~HI*ABK:J209%s", id, sum, frequency, of, lines)
}

// hl7 sends an HL7 message, again and again until it is acknowledged.
func (c *clinic) hl7(addr, event, structure string, segments ...string) {
	c.t.Helper()
	c.controls++
	body := fmt.Sprintf("MSH|^~\\&|REG|NORTH|VAGUS|CLOUD|20260401||%s^%s|M%04d|P|2.5.1\rEVN||20260401\r%s\r", event, structure, c.controls, strings.Join(segments, "\r"))
	again(c.t, func() (string, bool) { return "", acknowledged(c.t, addr, body) })
}

func (c *clinic) patient(event, number string) {
	c.t.Helper()
	c.hl7(c.adt, "ADT^"+event, "ADT_A01", "PID|1||"+number+"^^^NORTH^MR||Quist^Maren")
}

func (c *clinic) merge(pair int) {
	c.t.Helper()
	c.hl7(c.adt, "ADT^A40", "ADT_A39", fmt.Sprintf("PID|1||New%d^^^NORTH^MR||Quist^Maren", pair), fmt.Sprintf("MRG|Old%d^^^NORTH^MR", pair))
	c.units++
}

// applied waits until as many units as were sent are settled.
func (c *clinic) applied() {
	c.t.Helper()
	api, all := c.api(), map[ledger.Status]int{}
	c.wait("all being applied", 90*time.Second, func() bool {
		units, err := c.system.units(api)
		clear(all)
		for _, of := range units {
			for _, u := range of {
				all[u.Status]++
			}
		}
		return err == nil && all[ledger.Applied] >= c.units && all[ledger.Skipped] >= c.skipped
	})
	if all[ledger.Applied] != c.units || all[ledger.Skipped] != c.skipped || len(all) > 2 {
		c.t.Errorf("the ledger has %v of %d that are to be applied, and %d that nobody asked for", all, c.units, c.skipped)
	}
}

// Everything that a clinic sends comes to a process that dies, in turn.
func dieWithFiles(t *testing.T, d *deaths) {
	c := newClinic(t)
	drop := func() { c.drop() }
	d.dies(t, c.agent, "fhir.read", 1, nil)
	d.dies(t, c.agent, "fhir.turned", 1, nil)
	d.dies(t, c.agent, "fhir.exported", 1, c.fhir.finish)
	d.lives(c.agent)
	c.applied()
	d.dies(t, c.agent, "journal.marked", 1, drop)
	d.dies(t, c.agent, "journal.appended", 1, nil)
	d.dies(t, c.agent, "journal.took_back", 1, nil)
	for _, point := range []string{"folder.claimed", "folder.stored", "folder.answered", "x12.taken", "x12.numbered", "x12.answered"} {
		d.dies(t, c.agent, point, 1, drop)
	}
	d.dies(t, c.agent, "http.received", 1, func() { c.post() })
	d.lives(c.agent)
	c.applied()

	c.replays(d)
	for _, end := range []struct {
		point  string
		before func()
		deed   func()
		after  func()
	}{
		{"odoo.lines", nil, func() { c.drop(c.claim("C1-0", "7", 70)) }, nil},
		{"odoo.called", nil, func() { c.drop(c.claim("C1-1", "8", 121)) }, nil},
		{"worker.met", func() { c.patient("A01", "Old1"); c.patient("A01", "New1"); c.units += 2 }, func() { c.merge(1) }, nil},
		{"odoo.merging", func() { c.patient("A01", "Old2"); c.patient("A01", "New2"); c.units += 2 }, func() { c.merge(2) }, nil},
		{"worker.deferred", nil, func() {
			c.hl7(c.oru, "ORU^R01", "ORU_R01", "PID|1||Late^^^NORTH^MR||Quist^Maren"+strings.Repeat("|", 13)+"ACC1^^^NORTH^AN", "ORC|RE|P1|F1", "OBR|1|P1|F1|K^Potassium^L|||20260314083000"+strings.Repeat("|", 18)+"F", "OBX|1|NM|K||4||||||F")
		}, func() { c.patient("A01", "Late"); c.units += 2 }},
	} {
		if end.before != nil {
			end.before()
			c.applied()
		}
		d.dies(t, c.workers[0], end.point, 1, end.deed)
		if end.after != nil {
			end.after()
		}
		d.lives(c.workers[0])
		c.applied()
	}
	for pair := 1; pair <= 2; pair++ {
		if old := c.xid(fmt.Sprint("NORTH_Old", pair)); old == 0 || old != c.xid(fmt.Sprint("NORTH_New", pair)) {
			t.Errorf("the patients of pair %d are not one", pair)
		}
	}
	c.judge()
}

// replays lets messages that no mapping takes be mapped again, by a worker and then an agent
// that die while they do it.
func (c *clinic) replays(d *deaths) {
	c.t.Helper()
	for range 8 {
		c.patient("A02", "Nobody")
		c.skipped++
	}
	c.applied()
	c.agent.kill()
	plan, err := c.api().Plan(c.t.Context(), ops.PlanRequest{Query: ops.Query{Feed: "adt", Status: []ledger.Status{ledger.Skipped}}})
	if err != nil || plan.Actions[ledger.Remap] != c.skipped {
		c.t.Fatalf("the plan is %v: %v", plan, err)
	}
	if _, err := c.api().Start(c.t.Context(), plan.ID, 20); err != nil {
		c.t.Fatal(err)
	}
	d.dies(c.t, c.workers[0], "replay.asked", 1, nil)
	d.dies(c.t, c.workers[0], "replay.requeued", 1, nil)
	d.lives(c.workers[0])
	d.dies(c.t, c.agent, "link.remapped", 1, nil)
	d.dies(c.t, c.agent, "link.commanded", 1, nil)
	d.lives(c.agent)
	c.wait("the end of the replay", 60*time.Second, func() bool {
		r, err := c.api().Replay(c.t.Context(), plan.ID)
		return err == nil && r.Done == r.Total
	})
}

var (
	answered    = regexp.MustCompile(`\*(\d{9})\*0\*P\*:~`)
	acceptedAll = regexp.MustCompile(`~AK9\*A\*1\*1\*1~`)
)

// judge holds the claims against the invoices, the patients against the contacts, and looks at
// the answers to interchanges: one for each, by numbers without gap and repeat.
func (c *clinic) judge() {
	c.t.Helper()
	sum := map[any]float64{}
	for _, r := range c.odoo.Records("account.move.line") {
		price, _ := r.Values["price_unit"].(float64)
		sum[r.Values["move_id"]] += price
	}
	found := map[string]int{}
	for _, r := range c.odoo.Records("account.move") {
		claim, _ := r.Values["ref"].(string)
		found[claim]++
		got := sum[r.ID]
		if r.Values["state"] == "cancel" {
			got = -1
		}
		if got != c.charged[claim] {
			c.t.Errorf("the invoice of claim %s comes to %v, the claim to %v", claim, got, c.charged[claim])
		}
	}
	for claim := range c.charged {
		if found[claim] != 1 {
			c.t.Errorf("claim %s is %d invoices", claim, found[claim])
		}
	}
	contacts := map[string]int{}
	for _, r := range c.odoo.Records("res.partner") {
		ref, _ := r.Values["ref"].(string)
		contacts[ref]++
	}
	for _, ref := range c.fhir.refs() {
		if contacts[ref] != 1 {
			c.t.Errorf("%s is %d contacts", ref, contacts[ref])
		}
	}
	made := map[string]int{}
	for _, e := range c.odoo.Effects() {
		for _, xid := range e.XIDs[:min(len(e.XIDs), 1)] {
			if e.Kind == "create" {
				if made[xid]++; made[xid] > 1 {
					c.t.Errorf("%s was made %d times", xid, made[xid])
				}
			}
		}
	}

	for range c.waiting {
		c.answers = append(c.answers, <-c.posted)
	}
	for _, name := range c.files {
		answer, err := os.ReadFile(filepath.Join(c.dir, "out", name+".999"))
		if err != nil {
			c.t.Error(err)
		}
		c.answers = append(c.answers, string(answer))
		if _, err := os.Stat(filepath.Join(c.dir, "archive", name)); err != nil {
			c.t.Error(err)
		}
	}
	var numbers []string
	for _, a := range c.answers {
		n := answered.FindStringSubmatch(a)
		if n == nil || !acceptedAll.MatchString(a) {
			c.t.Errorf("an interchange was answered %q", a)
			continue
		}
		numbers = append(numbers, n[1])
	}
	slices.Sort(numbers)
	for i, n := range numbers {
		if want := fmt.Sprintf("%09d", i+1); n != want {
			c.t.Fatalf("the control numbers of the answers are %v", numbers)
		}
	}
}
