package odoo

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// byAnother lets the other user of the endpoint write fields of an external id's record.
func (b *bench) byAnother(t *testing.T, xid string, vals map[string]any) {
	t.Helper()
	r := b.read(t, xid, "write_date")
	other := b.as(t, b.lowUser, b.lowKey)
	if _, err := other.client.execute(context.Background(), "res.partner", "write", []arg{{"ids", []any{r["id"]}}, {"vals", vals}}, nil); err != nil {
		t.Fatal(err)
	}
}

// written is when a record was written last, moved by some seconds.
func (b *bench) written(t *testing.T, xid string, seconds int) string {
	t.Helper()
	at, _ := b.read(t, xid, "write_date")["write_date"].(string)
	when, err := time.Parse(time.DateTime, at)
	if err != nil {
		t.Fatal(err)
	}
	return when.Add(time.Duration(seconds) * time.Second).Format(time.DateTime)
}

func TestAChangeByAnotherUserIsNotUndone(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		xid := b.xid("shared")
		op := func(do, city, since string) broker.Operation {
			o := upsert(xid, broker.Values{"name": "Shared", "city": city, "phone": "1"})
			o.Do, o.UnchangedSince = do, since
			if do == "archive" {
				o.Vals = nil
			}
			return o
		}
		b.applied(t, b.unit(op("upsert", "Austin", "2020-01-01 00:00:00"))) // a new record is made all the same
		b.applied(t, b.unit(op("upsert", "Boston", "2020-01-01 00:00:00"))) // our own write is none of somebody else
		b.byAnother(t, xid, map[string]any{"city": "Chicago"})
		for _, do := range []string{"upsert", "update", "archive"} {
			u := b.unit(op(do, "Denver", b.written(t, xid, -1)))
			for range 2 { // a replay is refused as well
				if o := applyTo(t, b.target, u)[0]; o.Result != broker.Rejected || o.Class != "odoo.changed_since" || strings.Contains(o.Reason, "Chicago") {
					t.Fatalf("%s: %s %s: %s", do, o.Result, o.Class, o.Reason)
				}
			}
		}
		want(t, b.read(t, xid, "city", "active"), map[string]any{"city": "Chicago", "active": true})
		if o := b.applied(t, b.unit(op("upsert", "Chicago", "2020-01-01 00:00:00")))[0]; o.Warning != "" {
			t.Errorf("nothing is lost when the record has all values already: %q", o.Warning)
		}
		o := b.applied(t, b.unit(op("upsert", "Denver", b.written(t, xid, 0))))[0] // the change was there by then
		want(t, b.read(t, xid, "city"), map[string]any{"city": "Denver"})
		if !strings.HasSuffix(o.Warning, "other values in city") {
			t.Errorf("warning %q", o.Warning)
		}
	})
}

func TestTheLastWriterWinsAndSaysSo(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		xid := b.xid("last")
		unit := func(city string) *broker.Unit {
			return b.unit(upsert(xid, broker.Values{"name": "Last", "city": city, "phone": "1", "email": "a@example.org"}))
		}
		b.applied(t, unit("Austin"))
		b.byAnother(t, xid, map[string]any{"city": "Chicago", "phone": "2", "zip": "1"})
		o := b.applied(t, unit("Boston"))[0]
		if want := "res.partner: somebody else had written the record last, and other values in city, phone"; o.Warning != want {
			t.Errorf("warning %q, want %q", o.Warning, want)
		}
		if o := b.applied(t, unit("Denver"))[0]; o.Warning != "" {
			t.Errorf("our own write was the last one: %q", o.Warning)
		}
	})
}

// Of a field that the user may not read nothing is compared, but who wrote the record
// last is asked for all the same.
func TestAChangeIsSeenAlsoWhereFieldsMayNotBeRead(t *testing.T) {
	t.Parallel()
	sim, cfg := server(t, simulated.Config{Users: []simulated.User{{Login: "other", Key: "other"}}})
	target := connect(t, cfg)
	o := upsert("t.p", broker.Values{"name": "n", "city": "Austin"})
	wantApplied(t, applyTo(t, target, &broker.Unit{ID: "a", Ops: []broker.Operation{o}}))
	theirs := cfg
	theirs.User, theirs.Key = "other", broker.NewSecret("other")
	o.Vals = broker.Values{"city": "Boston"}
	wantApplied(t, applyTo(t, connect(t, theirs), &broker.Unit{ID: "b", Ops: []broker.Operation{o}}))
	sim.Fail(simulated.Fault{Kind: simulated.FaultRaise, Model: "res.partner", Method: "read", Times: 1, Class: "odoo.exceptions.AccessError", Message: secret})
	o.Vals, o.UnchangedSince = broker.Values{"city": "Denver"}, "2020-01-01 00:00:00"
	if got := applyTo(t, target, &broker.Unit{ID: "c", Ops: []broker.Operation{o}})[0]; got.Class != "odoo.changed_since" {
		t.Errorf("%s %s: %s", got.Result, got.Class, got.Reason)
	}
}

func TestAnUnchangedSinceThatIsNoTimeIsRefused(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		o := upsert(b.xid("odd"), broker.Values{"name": "n"})
		b.applied(t, b.unit(o))
		o.Vals, o.UnchangedSince = broker.Values{"name": "m"}, "yesterday"
		if got := applyTo(t, b.target, b.unit(o))[0]; got.Class != "odoo.invalid" {
			t.Errorf("%s %s", got.Class, got.Reason)
		}
	})
}

func TestLinesThatAnotherUserChangedAreNotUndone(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		if b.simulated == nil && !b.has("account.move") {
			t.Log("the database has no invoices: not checked on it")
			return
		}
		partner, order := b.xid("buyer"), b.xid("order")
		b.applied(t, b.unit(upsert(partner, broker.Values{"name": "Buyer"})))
		unit := func(quantity int, since string) *broker.Unit {
			o := broker.Operation{ID: "order", Model: "account.move", Do: "upsert", XID: order, UnchangedSince: since, Vals: broker.Values{
				"move_type": "out_invoice", "partner_id": map[string]any{"$xid": partner},
				"invoice_line_ids": map[string]any{"$merge": []any{map[string]any{"key": "1", "vals": map[string]any{"name": "line", "quantity": quantity, "price_unit": 1}}}}}}
			return b.unit(o)
		}
		b.applied(t, unit(5, ""))
		// Somebody else writes the invoice itself.
		byPassword := *b
		if b.protocol == "json2" { // which takes keys only
			byPassword.protocol = "jsonrpc"
		}
		other := byPassword.as(t, "admin", "admin")
		if b.simulated != nil {
			other = b.as(t, b.lowUser, b.lowKey)
		}
		id := b.read(t, order, "name")["id"]
		if _, err := other.client.execute(context.Background(), "account.move", "write", []arg{{"ids", []any{id}}, {"vals", map[string]any{"ref": "x"}}}, nil); err != nil {
			t.Fatal(err)
		}
		if o := applyTo(t, b.target, unit(6, "2020-01-01 00:00:00"))[0]; o.Class != "odoo.changed_since" {
			t.Errorf("%s %s: %s", o.Result, o.Class, o.Reason)
		}
		b.applied(t, unit(5, "2020-01-01 00:00:00")) // nothing to write
		if o := b.applied(t, unit(7, ""))[0]; !strings.HasSuffix(o.Warning, "other values in invoice_line_ids") {
			t.Errorf("warning %q", o.Warning)
		}
	})
}
