package endtoend_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A mixed is a site of four feeds with all of their senders, and what they said:
// admissions and results by MLLP, claims by HTTP, resources by FHIR, with the
// mappings that are shipped.
type mixed struct {
	s     *system
	addr  map[string]string // by feed
	wards []*ward
	share []volume // of each

	mu         sync.Mutex
	last       map[string]int     // version, by what is versioned
	quantities map[string]float64 // charged at last, by what is charged
	amounts    map[string]float64 // by claim
	sent       map[[2]string]bool // feed and sender's id of each message
	took       map[string][]time.Duration
}

func newMixed(t testing.TB, workers, wards, patients int, all volume) *mixed {
	t.Helper()
	m := &mixed{addr: map[string]string{}, last: map[string]int{}, quantities: map[string]float64{}, amounts: map[string]float64{},
		sent: map[[2]string]bool{}, took: map[string][]time.Duration{}}
	for _, feed := range []string{"adt", "oru", "claims", "fhir"} {
		m.addr[feed] = freeAddr(t)
	}
	var tariff []simulated.Seed
	for _, code := range labTests {
		tariff = append(tariff, simulated.Seed{Model: "product.product", Values: map[string]any{"name": code, "default_code": code}})
	}
	m.s = newSystemOf(t, workers, simulated.Config{History: true, Seeds: tariff}, "", "336h", fmt.Sprintf(`
  - { name: adt, target: odoo, mappings: [ "builtin:admissions/adt-patient.map.yaml" ], hl7: { listen: %q } }
  - { name: oru, target: odoo, mappings: [ "builtin:lab/oru-charge.map.yaml" ], hl7: { listen: %q } }
  - name: claims
    target: odoo
    mappings: [ "builtin:billing/claim-837p.map.yaml" ]
    http: { listen: %q, bearer: [ { file: token } ] }
    x12: { split: claim, partners: [ { name: meridian, id: "ZZ:MERIDIAN", own: "ZZ:NORTH" } ] }
  - name: fhir
    target: odoo
    mappings: [ "builtin:admissions/fhir-patient.map.yaml", "builtin:admissions/fhir-encounter.map.yaml" ]
    fhir: { endpoint: { listen: %q, token: { file: token } } }`, m.addr["adt"], m.addr["oru"], m.addr["claims"], m.addr["fhir"]))
	for _, addr := range m.addr {
		m.s.waitDial(addr)
	}
	for n := range wards {
		m.wards, m.share = append(m.wards, newWard(m, n, patients)), append(m.share, all.share(n, wards))
	}
	return m
}

// send has all wards send, and returns when all is acknowledged.
func (m *mixed) send() {
	var wards sync.WaitGroup
	for i, w := range m.wards {
		wards.Go(func() { w.send(m.s.t.Context(), m.share[i]) })
	}
	wards.Wait()
	if m.s.t.Failed() {
		m.s.t.Fatal("not everything was acknowledged" + m.s.lastWords())
	}
}

func (m *mixed) expect(key string, version int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[key] = version
}

func (m *mixed) quantity(key string, q float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.quantities[key] = q
}

func (m *mixed) claim(claim string, amount float64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.amounts[claim] = amount
}

func (m *mixed) unit(feed, sender string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sent[[2]string{feed, sender}] = true
}

func (m *mixed) acknowledged(feed string, took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.took[feed] = append(m.took[feed], took)
}

// settle waits until all is applied, or nothing has been for a while: then what is
// missing is told by those who look for it.
func (m *mixed) settle(units int) {
	api, before, since := m.s.api(), -1, time.Now()
	for time.Since(since) < time.Minute {
		got := m.s.countApplied(api)
		if got >= units {
			return
		}
		if got > before {
			before, since = got, time.Now()
		}
		time.Sleep(100 * time.Millisecond) // each look costs the worker what it is measured by
	}
	m.s.t.Errorf("%d of %d units are applied, and for a minute no other was", before, units)
}

// versioned returns the version that a change of a record says, if it says one.
func versioned(model string, values map[string]any) (int, bool) {
	field := map[string]string{"res.partner": "street2", "sale.order.line": "name", "sale.order": "client_order_ref"}[model]
	text, _ := values[field].(string)
	v := version.FindStringSubmatch(text)
	if v == nil {
		return 0, false
	}
	n, err := strconv.Atoi(v[1])
	return n, err == nil
}

// judge holds what Odoo has, and every change that came to it, against what was
// sent, and returns how often one came before another that was sent earlier.
// Whatever is missing, too much or not the last fails the test. It reads Odoo by
// what people read there (record numbers, accounts, names), not by external ids.
func (m *mixed) judge() (violations int) {
	t := m.s.t
	t.Helper()
	odoo, key, found := m.s.odoo, map[string]string{}, map[string]int{}
	record := func(model string, id int64) string { return model + "/" + strconv.FormatInt(id, 10) }
	text := func(r simulated.Record, field string) string { s, _ := r.Values[field].(string); return s }
	see := func(model string, r simulated.Record, k string) {
		key[record(model, r.ID)] = k
		found[k]++
		if v, _ := versioned(model, r.Values); v != m.last[k] {
			t.Errorf("%s is at version %d, the last that was sent is %d", k, v, m.last[k])
		}
	}
	for _, r := range odoo.Records("res.partner") {
		if ref := text(r, "ref"); ref != "" && !strings.HasPrefix(ref, "PAY") {
			see("res.partner", r, "patient "+ref)
		}
	}
	accounts, tests := map[int64]string{}, map[int64]string{}
	for _, r := range odoo.Records("sale.order") {
		ref := text(r, "client_order_ref")
		accounts[r.ID] = ref
		if visit := version.ReplaceAllString(ref, ""); visit != ref {
			see("sale.order", r, "visit "+visit)
		}
	}
	for _, r := range odoo.Records("product.product") {
		tests[r.ID] = text(r, "default_code")
	}
	for _, r := range odoo.Records("sale.order.line") {
		order, _ := r.Values["order_id"].(int64)
		product, _ := r.Values["product_id"].(int64)
		k := "charge " + accounts[order] + " " + tests[product]
		see("sale.order.line", r, k)
		if q, _ := r.Values["product_uom_qty"].(float64); q != m.quantities[k] {
			t.Errorf("%s is charged %v times, the last result says %v", k, q, m.quantities[k])
		}
	}
	for k := range m.last {
		if found[k] != 1 {
			t.Errorf("%s is %d records in Odoo", k, found[k])
		}
	}
	if len(found) != len(m.last) {
		t.Errorf("Odoo has %d things with a version, %d were sent", len(found), len(m.last))
	}

	at := map[string]int{}
	for _, e := range odoo.Effects() {
		if v, ok := versioned(e.Model, e.Values); ok {
			if v < at[record(e.Model, e.ID)] {
				violations++
				t.Errorf("%s went from version %d to %d", key[record(e.Model, e.ID)], at[record(e.Model, e.ID)], v)
			}
			at[record(e.Model, e.ID)] = v
		}
	}
	return violations + m.judgeClaims()
}

// judgeClaims holds the invoices against the claims: each once, of its last amount,
// and never of an earlier one again.
func (m *mixed) judgeClaims() (violations int) {
	t := m.s.t
	t.Helper()
	of, at := map[int64]int64{}, map[int64]float64{} // the invoice of a line, the charge of an invoice's first line
	for _, e := range m.s.odoo.Effects() {
		if move, ok := e.Values["move_id"].(int64); ok && e.Model == "account.move.line" {
			of[e.ID] = move
		}
		price, _ := e.Values["price_unit"].(float64)
		if e.Model != "account.move.line" || price < aClaim {
			continue
		}
		if price < at[of[e.ID]] {
			violations++
			t.Errorf("an invoice went from a claim's version %v to %v", at[of[e.ID]]-aClaim, price-aClaim)
		}
		at[of[e.ID]] = price
	}
	sum, found := map[int64]float64{}, map[string]int{}
	for _, r := range m.s.odoo.Records("account.move.line") {
		move, _ := r.Values["move_id"].(int64)
		price, _ := r.Values["price_unit"].(float64)
		quantity, _ := r.Values["quantity"].(float64)
		sum[move] += price * quantity
	}
	for _, r := range m.s.odoo.Records("account.move") {
		ref, _ := r.Values["ref"].(string)
		found[ref]++
		if want, ok := m.amounts[ref]; !ok || sum[r.ID] != want {
			t.Errorf("the invoice of claim %q comes to %v, the claim to %v", ref, sum[r.ID], want)
		}
	}
	for claim := range m.amounts {
		if found[claim] != 1 {
			t.Errorf("claim %s is %d invoices", claim, found[claim])
		}
	}
	return violations
}

// account checks that of each message the ledger has one unit, applied, and no other.
func (m *mixed) account() {
	t := m.s.t
	t.Helper()
	units, err := m.s.units(m.s.api())
	if err != nil {
		t.Fatal(err)
	}
	left := maps.Clone(m.sent)
	for _, of := range units {
		for _, u := range of {
			id := [2]string{u.Feed, u.SenderID}
			if !left[id] {
				t.Errorf("the ledger has %v, which was not sent, or twice", id)
			}
			delete(left, id)
			if u.Status != ledger.Applied {
				t.Errorf("%v is %s: %s", id, u.Status, u.Reason)
			}
		}
	}
	for id := range left {
		t.Errorf("%v is not in the ledger", id)
	}
}

func TestMixedFeedsAreAppliedInOrder(t *testing.T) {
	t.Parallel()
	all := volume{adt: 200, oru: 40, claims: 10, fhir: 20}
	m := newMixed(t, 0, 4, 10, all)
	m.send()
	m.s.addWorker().start() // it finds all of it there, and could confuse it
	m.settle(all.units())
	m.judge()
	m.account()
}

// BenchmarkMixed sends what a hospital's systems send at the same time, by 50
// connections, and measures until all of it is applied. An interchange of claims is one
// message here, as it is to its sender. Odoo and the senders are in the test's own
// process and do not count. It fails when one order is broken or one message is missing.
func BenchmarkMixed(b *testing.B) {
	for range b.N {
		all := volume{adt: shorter(10_000, 400), oru: shorter(2000, 80), claims: shorter(500, 20), fhir: shorter(1000, 40)}
		m := newMixed(b, 1, 16, shorter(30, 5), all)
		before, began := m.s.cpu(), time.Now()
		m.send()
		sent := time.Since(began)
		m.settle(all.units())
		took, after := time.Since(began), m.s.cpu()
		n, used := float64(all.messages()), 0.0
		for role := range after {
			part := (after[role] - before[role]).Seconds()
			b.ReportMetric(part*1e6/n, role+"-µs/msg")
			if role != "postgres" {
				used += part
			}
		}
		b.ReportMetric(n/sent.Seconds(), "accepted/s")
		b.ReportMetric(n/took.Seconds(), "msg/s")
		b.ReportMetric(n/used, "msg/cpu-s")
		b.ReportMetric(n/(after["agent"]-before["agent"]).Seconds(), "agent-msg/cpu-s")
		m.took["ack"] = slices.Concat(slices.Collect(maps.Values(m.took))...)
		for feed, took := range m.took {
			slices.Sort(took)
			b.ReportMetric(took[len(took)/2].Seconds()*1e3, feed+"-p50-ms")
			b.ReportMetric(took[len(took)*99/100].Seconds()*1e3, feed+"-p99-ms")
		}
		b.ReportMetric(float64(m.judge()), "violations")
		m.account()
		for _, p := range []*process{m.s.agent, m.s.hub, m.s.workers[0]} {
			p.stop() // writes the profile, if one was asked for
		}
	}
}
