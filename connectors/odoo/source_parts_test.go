package odoo

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// An orders is a site whose feed reads purchase orders with their lines. Its
// server writes nothing to an order when a line changes.
type orders struct{ *site }

func newOrders(t *testing.T, addon string) orders {
	return orders{newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) {
		c.Addon, s.Addon = addon, true
		c.Models = []SourceModel{{Model: "purchase.order", Fields: []string{"partner_ref", "partner_id.ref", "order_line.product_qty", "order_line.price_unit"}, Domain: []any{[]any{"partner_ref", "!=", false}}}}
	})}
}

func (o orders) call(c *client, model, method string, args ...any) any {
	o.t.Helper()
	list := make([]arg, len(args))
	for i, a := range args {
		list[i] = arg{value: a}
	}
	v, err := c.execute(context.Background(), model, method, list, nil)
	if err != nil {
		o.t.Fatalf("%s.%s: %v", model, method, err)
	}
	return v
}

// order makes an order with a line for each price.
func (o orders) order(c *client, ref string, prices ...float64) (id int64, lines []int64) {
	var commands []any
	for _, p := range prices {
		commands = append(commands, []any{int64(0), int64(0), map[string]any{"price_unit": p}})
	}
	id, _ = asInt(o.call(c, "purchase.order", "create", map[string]any{"partner_ref": ref, "partner_id": int64(1), "order_line": commands}))
	for _, v := range o.call(c, "purchase.order.line", "search", []any{[]any{"order_id", "=", id}}).([]any) {
		line, _ := asInt(v)
		lines = append(lines, line)
	}
	return id, lines
}

func (o orders) price(c *client, line int64, price float64) {
	o.call(c, "purchase.order.line", "write", []any{line}, map[string]any{"price_unit": price})
}

// prices are those that were told of the order with the reference, and forgets them.
func (o orders) prices(ref string) string {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []string
	o.messages = slices.DeleteFunc(o.messages, func(m *broker.Message) bool {
		v := bodyOf(o.t, m)
		if v["partner_ref"] != ref {
			return false
		}
		var of []string
		for _, l := range v["order_line"].([]any) {
			of = append(of, fmt.Sprint(l.(map[string]any)["price_unit"]))
		}
		out = append(out, strings.Join(of, "+"))
		return true
	})
	return strings.Join(out, " ")
}

func (o orders) later(d time.Duration) {
	o.t.(*testing.T).Helper()
	o.clock = o.clock.Add(d)
	o.mustLook()
}

func TestALineThatChangesAloneIsAChangeOfItsDocument(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		t.Run("addon "+addon, func(t *testing.T) {
			t.Parallel()
			o := newOrders(t, addon)
			wants := func(ref, want string) {
				t.Helper()
				if got := o.prices(ref); got != want {
					t.Fatalf("the prices told of %s are %q, want %q", ref, got, want)
				}
			}
			_, lines := o.order(o.person, "A", 5, 7)
			_, outside := o.order(o.person, "B", 1)
			o.mustLook()
			wants("A", "5+7")
			wants("B", "1")
			o.later(time.Hour)
			o.later(time.Minute)
			wants("A", "")
			for range 2 { // what was told before is told again: the order has no new write_date to tell them apart
				for _, p := range []float64{6, 5} {
					o.price(o.person, lines[0], p)
					o.later(time.Minute)
					wants("A", fmt.Sprintf("%v+7", p))
					o.start() // and it is remembered
				}
			}
			o.price(o.person, lines[0], 8)
			o.mustLook()
			o.price(o.person, lines[0], 9) // in the same second
			o.mustLook()
			wants("A", "8+7")
			o.later(3 * time.Second)
			wants("A", "9+7")
			o.call(o.person, "purchase.order.line", "write", []any{lines[1]}, map[string]any{"name": "not read"})
			o.later(time.Minute)
			wants("A", "")
			o.call(o.person, "purchase.order.line", "unlink", []any{lines[1]}) // which had changed a while ago
			o.later(time.Minute)
			wants("A", "9")
			o.price(o.us, lines[0], 10)
			o.later(time.Minute)
			wants("A", "") // is our own work
			o.price(o.person, lines[0], 11)
			o.call(o.us, "purchase.order", "write", []any{int64(1)}, map[string]any{"partner_ref": "A"})
			o.later(time.Minute)
			wants("A", "11") // is not, though the order is
			wants("B", "")
			o.call(o.person, "purchase.order", "write", []any{int64(2)}, map[string]any{"partner_ref": false})
			o.later(time.Minute)
			o.price(o.person, outside[0], 2) // of an order that is not of the domain
			o.later(time.Minute)
			o.later(20 * time.Minute)
			o.later(25 * time.Hour)
			if told := o.told(); len(told) > 0 || o.repeats > 0 {
				t.Errorf("told in the end is %q, and %d messages were offered again", told, o.repeats)
			}
		})
	}
}

func TestALineWhoseDocumentWasNotStoredIsReadAgain(t *testing.T) {
	t.Parallel()
	o := newOrders(t, "off")
	_, lines := o.order(o.person, "A", 5)
	o.mustLook()
	o.later(time.Hour)
	o.price(o.person, lines[0], 6)
	o.clock = o.clock.Add(time.Minute)
	o.refuse = broker.ErrFull
	if err := o.look(); err == nil {
		t.Fatal("a look that could not hand on its messages succeeds")
	}
	o.refuse = nil
	o.mustLook()
	if got := o.prices("A"); got != "5 6" {
		t.Errorf("the prices told are %q", got)
	}
}

func TestWhatChangesNoWriteDateIsSeenWithinReconcile(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		t.Run("addon "+addon, func(t *testing.T) {
			t.Parallel()
			o := newOrders(t, addon)
			const n = 10
			for i := range n {
				o.order(o.us, fmt.Sprint(i))
			}
			o.mustLook()
			o.later(time.Hour)
			o.call(o.us, partner, "write", []any{int64(1)}, map[string]any{"ref": "V1"})
			o.later(time.Minute)
			if told := o.told(); len(told) > 0 {
				t.Fatalf("what a document refers to is followed at once: %q", told)
			}
			most := 0
			for range 26 {
				before := len(o.told())
				o.later(time.Hour)
				o.start() // it goes on where it was
				o.mustLook()
				most = max(most, len(o.told())-before)
			}
			for id, v := range o.last(t) {
				if p, _ := v["partner_id"].(map[string]any); p["ref"] != "V1" {
					t.Errorf("of order %d is told %v", id, v)
				}
			}
			if got := len(o.told()); got != n || o.repeats > 0 || most > 2 {
				t.Errorf("%d orders were told, %d of them again, and %d at once; want %d, and one or two at once", got, o.repeats, most, n)
			}
		})
	}
}

func TestWhatTheUserMayNotReadIsNamed(t *testing.T) {
	t.Parallel()
	st := newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) {
		s.Users = append(s.Users, simulated.User{Login: "low", Key: "low", NoAccess: []string{"purchase.order.line"}})
		c.User, c.Key = "low", broker.NewSecret("low")
		c.Models = []SourceModel{{Model: "purchase.order", Fields: []string{"order_line.price_unit"}}}
	})
	if err := st.look(); err == nil || !strings.Contains(err.Error(), "give the user the right to read purchase.order, purchase.order.line") {
		t.Errorf("the error is %v", err)
	}
}

func TestWhatIsKeptInAnotherRecordIsAPartOfTheRecord(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		t.Run("addon "+addon, func(t *testing.T) {
			t.Parallel()
			const users = "x.user"
			o := orders{newSite(t, t.TempDir(), func(c *SourceConfig, s *simulated.Config) {
				c.Addon, s.Addon = addon, true
				s.Models = map[string]simulated.Model{users: {Fields: map[string]simulated.Field{
					"ref": {Type: "char"}, "partner_id": {Type: "many2one", Relation: partner}, "name": {Type: "char", Related: "partner_id.name"}}}}
				c.Models = []SourceModel{{Model: users, Fields: []string{"ref", "name"}, Domain: []any{[]any{"ref", "!=", false}}}}
			})}
			contact := o.create(o.person, "C", "Ann")
			other := o.create(o.person, "D", "Dan")
			for _, ref := range []any{"A", "B", false} {
				o.call(o.us, users, "create", map[string]any{"ref": ref, "partner_id": contact})
			}
			o.mustLook()
			o.later(time.Hour)
			o.later(time.Minute)
			o.write(o.person, other, map[string]any{"name": "Dora"})
			o.later(time.Minute)
			o.write(o.us, contact, map[string]any{"name": "ours"})
			o.later(time.Minute)
			o.wants()
			o.write(o.person, contact, map[string]any{"name": "Bea"})
			o.later(time.Minute)
			o.wants("write A Bea", "write B Bea")
			o.write(o.person, contact, map[string]any{"city": "Poseidonis"})
			o.later(20 * time.Minute)
			o.later(20 * time.Minute)
			o.wants("write A Bea", "write B Bea")
		})
	}
}
