package endtoend_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// The agent that reads Odoo, the one that delivers, and the worker between them die in turn
// while prices change.
func dieWithDocuments(t *testing.T, d *deaths) {
	const products = 8
	o, round := newOutward(t), 0
	// known waits until all has come to its end: what is delivered is remembered, too.
	known := func() {
		t.Helper()
		o.wait(fmt.Sprintf("the laboratory knowing the prices of round %d", round), 60*time.Second, func() bool { return o.told(round, products) })
		round++
		o.wait("every version being applied once", 60*time.Second, func() bool {
			units, err := o.units(o.api())
			if err != nil || len(units) != products*round {
				return false
			}
			for _, us := range units {
				if len(us) != 1 || us[0].Status != ledger.Applied {
					return false
				}
			}
			return true
		})
	}
	o.price(round, products)
	known()
	repeats := 0
	for _, at := range []struct {
		who   *process
		point string
		n     int
		most  int // repeats: of what is under way to the laboratory when the agent dies
	}{
		{o.cloud, "odoo.changes", 1, 0}, {o.cloud, "odoo.offered", 1, 0}, {o.cloud, "odoo.saved", 1, 0},
		{o.ward, "sink.taken", 3, 1}, {o.ward, "sink.delivered", 3, 1}, {o.ward, "sink.remembered", 3, 0}, {o.worker, "link.asked", 1, 0},
	} {
		d.dies(t, at.who, at.point, at.n, func() { o.price(round, products) })
		d.lives(at.who)
		known()
		n := o.repeats()
		if n-repeats > at.most {
			t.Errorf("after %s %d documents came again", at.point, n-repeats)
		}
		repeats = n
	}
	if n := len(o.lab.got()) - repeats; n != products*round {
		t.Errorf("%d messages of %d products and %d rounds", n, products, round)
	}
}

// repeats is how many messages the laboratory had before: each says what it said then. No price
// ever went back.
func (o *outward) repeats() (n int) {
	o.t.Helper()
	bodies, price := map[string]string{}, map[string]float64{}
	for _, m := range o.lab.got() {
		if body, again := bodies[m.id]; again {
			if n++; body != m.body {
				o.t.Errorf("%s came again and says something else", m.id)
			}
			continue
		}
		if bodies[m.id] = m.body; m.price < price[m.item] {
			o.t.Errorf("the price of %s went back from %v to %v", m.item, price[m.item], m.price)
		}
		price[m.item] = m.price
	}
	return n
}
