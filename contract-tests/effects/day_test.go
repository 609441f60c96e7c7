package effects_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// when is a reference to a record that may come later, by another feed.
func (k *kit) when(name string) object { return object{"$xid": k.xid(name), "on_none": "retry"} }

// day makes what several feeds send in a day about n patients, all operations
// among it. Units of one key follow each other; those of different feeds do not wait
// for each other, but by their references.
func (k *kit) day(n int, has func(model string) bool) (units []*broker.Unit) {
	add := func(feed, mapping, key string, ops ...broker.Operation) {
		u := k.unit(key, ops...)
		u.Feed, u.Mapping = feed, mapping+"@1"
		units = append(units, u)
	}
	add("adt", "tags", "", k.tag("one"), k.tag("two"))
	sales, invoices, staff := has("sale.order"), has("account.move"), has("hr.employee")
	if sales {
		add("stock", "product", "", k.product("x"))
	}
	for i := range n {
		p, key := fmt.Sprint("p", i), fmt.Sprint("patient", i/2)
		add("adt", "admit", key, with(k.contact(p, "street", "first", "category_id", object{"$replace": list{k.when("one")}}), func(o *broker.Operation) { o.OnUpdate = broker.Values{"function": "known"} }))
		add("adt", "update", key, k.contact(p, "street", fmt.Sprint("street ", i), "category_id", object{"$add": list{k.when("two")}}))
		add("adt", "family", key, k.contact(p, "child_ids", object{"$merge": list{kin("mother", "a"), kin("father", "b")}}))
		switch i % 4 {
		case 1: // the one before was the same person
			add("adt", "merge", key, k.contact(p, "street", "merged"), broker.Operation{ID: "gone", Model: "res.partner", Do: "merge", XID: k.xid(fmt.Sprint("p", i-1)), On: p, OnNone: "skip"})
		case 2:
			add("adt", "leave", key, op("p", "res.partner", "archive", k.xid(p), nil))
		case 3:
			add("adt", "family", key, k.contact(p, "child_ids", object{"$replace": list{kin("father", "c"), kin("aunt", "d")}}))
			add("billing", "address", key, op("p", "res.partner", "update", k.xid(p), broker.Values{"city": "billed"}))
		}
		if sales {
			order := func(lines ...any) broker.Operation {
				o := k.order(object{"$merge": lines})
				o.XID = k.xid(fmt.Sprint("order", i))
				o.Vals["client_order_ref"], o.Vals["partner_id"] = k.prefix+p, k.when(p)
				return o
			}
			confirm := broker.Operation{ID: "confirm", Model: "sale.order", Do: "call", On: "order", Method: "action_confirm", OnlyIf: broker.Values{"state": "draft"}}
			item := func(key string, quantity int) object {
				it := k.item(key, quantity)
				it["vals"].(object)["product_id"] = k.when("x")
				return it
			}
			add("billing", "charges", "order"+p, order(item("T1", 1), item("T2", 2)))
			add("billing", "charges", "order"+p, order(item("T2", 5), item("T3", 3)), confirm)
		}
		if invoices {
			add("billing", "invoice", "", op("inv", "account.move", "create", k.xid("inv"+p), broker.Values{"move_type": "out_invoice", "ref": k.prefix + p, "invoice_date": "2026-05-09",
				"partner_id": k.when(p), "invoice_line_ids": object{"$merge": list{line("1", object{"name": "visit", "quantity": 1, "price_unit": 100})}}}),
				broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}})
		}
		if staff { // each is managed by the next one, who comes later, and the last by the first
			add("hr", "employee", p, op("e", "hr.employee", "upsert", k.xid("e"+p), broker.Values{"name": k.prefix + "e" + p, "parent_id": k.later(fmt.Sprint("ep", (i+1)%n))}))
		}
	}
	return units
}

func TestADayThatIsAppliedAgainTwiceLeavesTheSame(t *testing.T) {
	t.Parallel()
	check := func(e endpoint, patients int) {
		t.Run(e.name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
			defer cancel()
			s := newStack(t)
			r, end, err := s.begin(t.TempDir(), e)
			defer func() {
				if err := end(); err != nil {
					t.Error(err)
				}
				if t.Failed() {
					t.Log(r.process.lastWords())
				}
			}()
			if err != nil {
				t.Fatal(err)
			}
			k := &kit{prefix: fmt.Sprintf("d%x.", time.Now().UnixNano()), version: e.version}
			units := k.day(patients, e.has)
			for _, u := range units {
				u.Target = r.target
				if err := r.send(ctx, u); err != nil {
					t.Fatal(err)
				}
			}
			all := func() (dump, history []string) {
				t.Helper()
				for _, u := range units {
					if err := r.settled(ctx, u, ledger.Applied); err != nil {
						t.Fatal(err)
					}
				}
				dump, err := e.dump(k.prefix)
				if err != nil {
					t.Fatal(err)
				}
				return dump, e.history(k.prefix)
			}
			want, history := all()
			t.Logf("%d units made %d records", len(units), len(want))

			for range 2 {
				if err := replayAll(ctx, s.ledger, len(units)); err != nil {
					t.Fatal(err)
				}
			}
			got, happened := all()
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("replayed twice:\n%s", d)
			}
			if len(happened) != len(history) {
				t.Errorf("a replay of what is applied made %d changes", len(happened)-len(history))
			}

			for n := range 2 { // and everything again by a ledger that has forgotten all of it
				r.process.kill()
				s.newLedger(t)
				r.process.settings.DSN = s.dsn
				if err := r.process.start(); err != nil {
					t.Fatal(err)
				}
				got, happened := all()
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("without the ledger, time %d:\n%s", n+1, d)
				}
				if e.mode != "off" && len(happened) != len(history) {
					t.Errorf("without the ledger, time %d, the addon made %d changes", n+1, len(happened)-len(history))
				}
			}
		})
	}
	for _, addon := range []bool{false, true} {
		check(simulate(t, addon), 40)
	}
	for _, e := range realOnes(t) {
		check(e, 8)
	}
}

// replayAll replays whatever there is, as `vagus replay` does.
func replayAll(ctx context.Context, l ledger.Ledger, want int) error {
	plan, err := l.PlanReplay(ctx, ledger.ReplayRequest{By: "a test"})
	if err != nil {
		return err
	}
	if plan.Total != want || plan.Actions[ledger.Nothing] != want {
		return fmt.Errorf("the plan has %d units and %v", plan.Total, plan.Actions)
	}
	if err := l.StartReplay(ctx, plan.ID, 1000); err != nil {
		return err
	}
	for {
		if plan, err = l.Replay(ctx, plan.ID); err != nil || plan.Done == plan.Total {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("%d of %d are replayed: %w", plan.Done, plan.Total, ctx.Err())
		}
	}
}
