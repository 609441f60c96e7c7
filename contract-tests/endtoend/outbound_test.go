package endtoend_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// A mllpLab is a hospital system that takes item masters.
type mllpLab struct {
	addr string

	mu   sync.Mutex
	came []mfn
}

// An mfn is what came: MSH-10, the item, its price, and all of it.
type mfn struct {
	id, item, body string
	price          float64
}

func newMLLPLab(t *testing.T) *mllpLab {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l := &mllpLab{addr: ln.Addr().String()}
	var conns sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close() })
	conns.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			conns.Go(func() { l.serve(c) })
		}
	})
	return l
}

func (l *mllpLab) serve(c net.Conn) {
	in := bufio.NewReader(c)
	for {
		frame, err := in.ReadBytes(0x1c)
		if err != nil {
			return
		}
		m := mfn{body: string(bytes.Trim(frame, "\x0b\x1c\r"))}
		for line := range strings.SplitSeq(m.body, "\r") {
			switch f := strings.Split(line, "|"); f[0] {
			case "MSH":
				m.id = f[9]
			case "ITM":
				price, _, _ := strings.Cut(f[13], "&")
				m.item = f[1]
				m.price, _ = strconv.ParseFloat(price, 64)
			}
		}
		l.mu.Lock()
		l.came = append(l.came, m)
		l.mu.Unlock()
		time.Sleep(5 * time.Millisecond) // it works slowly, so that cuts find something under way
		if _, err := fmt.Fprintf(c, "\x0bMSH|^~\\&|LAB|N|||20260504||ACK^M16^ACK|A%s|P|2.6\rMSA|AA|%s\r\x1c\r", m.id, m.id); err != nil {
			return
		}
	}
}

func (l *mllpLab) got() []mfn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]mfn(nil), l.came...)
}

// outward is a system whose Odoo tells a laboratory of its products: an agent at
// site cloud reads Odoo, one at site ward has the laboratory as its sink.
type outward struct {
	*system
	lab         *mllpLab
	cloud, ward *process
	worker      *process
	buyer       broker.Target
}

func newOutward(t *testing.T) *outward {
	t.Helper()
	o := &outward{system: newSystem(t, 0, simulated.Config{History: true, Users: []simulated.User{{Login: "buyer", Key: "buyer"}}}), lab: newMLLPLab(t)}
	site := func(name string) string {
		bundle, err := hub.AddSite(filepath.Join(o.dir, "hub"), name, hub.SiteConfig{URLs: []string{"tls://" + o.link.Addr()}})
		if err != nil {
			t.Fatal(err)
		}
		return bundle
	}
	write(t, o.dir, "group.key", simulatedKey)
	o.cloud = newProcess(t, "agent", write(t, o.dir, "cloud.yaml", fmt.Sprintf(`
data_dir: cloud
bundle: %s
feeds:
  - name: products
    target: lab
    mappings: [ "builtin:procurement/item-master-out.map.yaml" ]
    odoo:
      url: %q
      database: hospital
      user: vagus
      key: { file: group.key }
      every: 1s
      models: [ { model: product.product, fields: [ name, default_code, barcode, list_price, active, is_storable, categ_id, currency_id.name, taxes_id ] } ]
ops: { listen: %q }
`, site("cloud"), o.odooURL, freeAddr(t))))
	o.ward = newProcess(t, "agent", write(t, o.dir, "ward.yaml", fmt.Sprintf(`
data_dir: ward
bundle: %s
sinks: { lab: { hl7: { connect: %q, header: { sending_application: VAGUS, receiving_application: LAB }, ack_timeout: 5s } } }
ops: { listen: %q }
`, site("ward"), o.lab.addr, freeAddr(t))))
	write(t, o.dir, "ledger.dsn", o.dsn)
	addr := freeAddr(t)
	o.worker = newProcess(t, "worker", write(t, o.dir, "out.yaml", fmt.Sprintf(`
name: out-1
bundle: hub/workers/main
ledger: { postgres: { file: ledger.dsn } }
targets: { lab: { site: ward, sink: lab, retry_min: 100ms, retry_max: 2s } }
ops: { listen: %q, token: { file: token } }
`, addr)))
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("--- cloud\n%s\n--- ward\n%s", o.cloud.LastWords(), o.ward.LastWords())
		}
	})
	o.workers, o.opsAddr = []*process{o.worker}, []string{addr}
	for _, p := range []*process{o.ward, o.cloud, o.worker} {
		p.start()
	}
	var err error
	if o.buyer, err = odoo.New(odoo.Config{URL: o.odooURL, Database: "hospital", User: "buyer", Key: broker.NewSecret("buyer"), Addon: "off"}); err != nil {
		t.Fatal(err)
	}
	return o
}

// price changes the prices of products.
func (o *outward) price(round, products int) {
	o.t.Helper()
	var units []*broker.Unit
	for n := range products {
		code := fmt.Sprintf("P-%02d", n)
		units = append(units, &broker.Unit{ID: fmt.Sprintf("%s-%d", code, round), Ops: []broker.Operation{{ID: "p", Model: "product.product", Do: "upsert",
			XID: "test." + code, Vals: broker.Values{"name": "Gloves " + code, "default_code": code, "list_price": 1 + round*100 + n}}}})
	}
	outcomes, err := o.buyer.Apply(context.Background(), units)
	if err != nil {
		o.t.Fatal(err)
	}
	for _, x := range outcomes {
		if x.Result != broker.Applied {
			o.t.Fatalf("the buyer's change is %v", x)
		}
	}
}

// told says whether the laboratory knows all prices of a round.
func (o *outward) told(round, products int) bool {
	last := map[string]float64{}
	for _, m := range o.lab.got() {
		last[m.item] = m.price
	}
	for n := range products {
		if last[fmt.Sprintf("P-%02d", n)] != float64(1+round*100+n) {
			return false
		}
	}
	return true
}

// Prices that change in Odoo reach a laboratory, each version once and a product's
// in their order, while the link is cut and the worker is killed again and again.
func TestPricesThatChangeInOdooReachALaboratoryOnce(t *testing.T) {
	t.Parallel()
	const products, rounds = 8, 5
	o := newOutward(t)
	for round := range rounds {
		before := len(o.lab.got())
		o.price(round, products)
		switch round {
		case 0: // all is well
		case 1, 3:
			o.wait("the first of the round", 60*time.Second, func() bool { return len(o.lab.got()) > before })
			o.worker.kill()
			o.worker.start()
		default:
			o.wait("the first of the round", 60*time.Second, func() bool { return len(o.lab.got()) > before })
			o.link.Cut()
			o.wait("what was under way", 30*time.Second, func() bool { return len(o.lab.got()) > before })
			o.link.Restore()
		}
		o.wait(fmt.Sprintf("the laboratory knowing the prices of round %d", round), 45*time.Second, func() bool { return o.told(round, products) })
	}
	seen, price := map[string]bool{}, map[string]float64{}
	for _, m := range o.lab.got() {
		if seen[m.id] {
			t.Errorf("%s of %s came twice", m.id, m.item)
		}
		seen[m.id] = true
		if m.price < price[m.item] {
			t.Errorf("the price of %s went back from %v to %v", m.item, price[m.item], m.price)
		}
		price[m.item] = m.price
		if !strings.HasPrefix(m.body, "MSH|^~\\&|VAGUS||LAB||") {
			t.Errorf("the header is %.40q", m.body)
		}
	}
	if len(seen) != products*rounds {
		t.Errorf("%d messages of %d products and %d rounds", len(seen), products, rounds)
	}
	api := o.api()
	var units map[string][]ledger.Unit
	o.wait("every version being applied", 30*time.Second, func() bool {
		var err error
		if units, err = o.units(api); err != nil || len(units) != products*rounds {
			return false
		}
		for _, us := range units {
			if len(us) != 1 || us[0].Status != ledger.Applied {
				return false
			}
		}
		return true
	})
	for _, us := range units {
		d, err := api.Message(t.Context(), us[0].MessageID)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(d)
		for _, want := range []string{`"products"`, `"lab"`, `"applied"`, `"out-1`} {
			if !strings.Contains(string(text), want) {
				t.Fatalf("its trace has no %s: %s", want, text)
			}
		}
		break
	}
}

// An agent that is killed between a delivery and its memory sends again what it
// sent, byte for byte, under the control id that the laboratory knows.
func TestAnAgentThatIsKilledWhileItDeliversRepeatsItselfExactly(t *testing.T) {
	t.Parallel()
	const products, rounds = 20, 3
	o := newOutward(t)
	for round := range rounds {
		before := len(o.lab.got())
		o.price(round, products)
		o.wait("some of the round", 60*time.Second, func() bool { return len(o.lab.got()) > before+3 })
		o.ward.kill()
		o.ward.start()
		o.wait(fmt.Sprintf("the laboratory knowing the prices of round %d", round), 45*time.Second, func() bool { return o.told(round, products) })
	}
	bodies, price, repeats := map[string]string{}, map[string]float64{}, 0
	for _, m := range o.lab.got() {
		if body, again := bodies[m.id]; again {
			repeats++
			if body != m.body {
				t.Errorf("%s came again and says something else", m.id)
			}
			continue
		}
		if bodies[m.id] = m.body; m.price < price[m.item] {
			t.Errorf("the price of %s went back from %v to %v", m.item, price[m.item], m.price)
		}
		price[m.item] = m.price
	}
	if len(bodies) != products*rounds || repeats > rounds {
		t.Errorf("%d messages and %d repeats; at most one is in hand when the agent is killed", len(bodies), repeats)
	}
}
