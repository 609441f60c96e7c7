package odoo

import (
	"context"
	"crypto/sha256"
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func (b *bench) expect(t *testing.T, name string, o broker.Outcome, result broker.Result, class string) {
	t.Helper()
	if o.Result != result || o.Class != class {
		t.Errorf("%s: %s %s: %s", name, o.Result, o.Class, o.Reason)
	}
	if strings.Contains(o.Reason, b.prefix) {
		t.Errorf("%s: the reason quotes a value: %s", name, o.Reason)
	}
}

func TestAPostedInvoiceRefusesChangesAndNotRepetitions(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		if !b.has("account.move") {
			t.Log("the database has no account.move: not checked on it")
			return
		}
		invoice := func(lines any) broker.Operation {
			return op("inv", "account.move", "upsert", b.xid("m"), broker.Values{"move_type": "out_invoice", "invoice_date": "2026-05-09", "ref": b.prefix,
				"partner_id": map[string]any{"$xid": b.xid("p")}, "invoice_line_ids": lines})
		}
		one := line("1", map[string]any{"name": "visit", "quantity": 1, "price_unit": 100})
		two := line("2", map[string]any{"name": "lab", "quantity": 1, "price_unit": 50})
		post := broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}
		b.applied(t, b.unit(b.partner("p"), invoice(merge(one, two)), post))
		refused, class, all := broker.Rejected, "odoo.posted", 2
		if b.version < 18 { // which takes new and changed lines by its interface
			refused, class, all = broker.Applied, "", 3
		}
		for name, c := range map[string]struct {
			lines  any
			result broker.Result
			class  string
		}{
			"the same":       {merge(one, two), broker.Applied, ""},
			"a line changed": {merge(line("1", map[string]any{"price_unit": 99})), refused, class},
			"a line more":    {merge(line("3", map[string]any{"name": "late", "quantity": 1, "price_unit": 5})), refused, class},
			"a line less":    {replace(one), broker.Rejected, "odoo.posted"},
		} {
			b.expect(t, name, applyTo(t, b.target, b.unit(invoice(c.lines)))[0], c.result, c.class)
		}
		rows := b.call(t, "account.move.line", "search_read", []any{[]any{[]any{"move_id.ref", "=", b.prefix}, []any{"name", "in", []any{"visit", "lab", "late"}}}, []any{"price_unit"}}, nil).([]any)
		if len(rows) != all {
			t.Errorf("%d lines of %d", len(rows), all)
		}
	})
}

func TestOneRecordThatRefusesAMethodDoesNotStopTheOthers(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		if !b.has("account.move") {
			t.Log("the database has no account.move: not checked on it")
			return
		}
		var units []*broker.Unit
		for i := range 6 {
			lines := merge(line("1", map[string]any{"name": "visit", "quantity": 1, "price_unit": 100}))
			if i == 2 {
				lines = merge()
			}
			units = append(units, b.unit(b.partner("p"),
				op("inv", "account.move", "upsert", b.xid(fmt.Sprint("m", i)), broker.Values{"move_type": "out_invoice", "invoice_date": "2026-05-09", "partner_id": map[string]any{"$op": "p"}, "invoice_line_ids": lines}),
				broker.Operation{ID: "post", Model: "account.move", Do: "call", On: "inv", Method: "action_post", OnlyIf: broker.Values{"state": "draft"}}))
		}
		before := map[string]simulated.Count{}
		if b.simulated != nil {
			before = b.simulated.Calls()
		}
		out := applyTo(t, b.target, units...)
		for i, o := range out {
			if i == 2 {
				b.expect(t, "an invoice without lines", o, broker.Rejected, "odoo.UserError")
			} else {
				b.expect(t, fmt.Sprint("invoice ", i), o, broker.Applied, "")
			}
		}
		b.expect(t, "again", applyTo(t, b.target, units[0])[0], broker.Applied, "")
		if b.simulated == nil {
			return
		}
		after := b.simulated.Calls()
		if n := after["account.move.action_post"].Calls - before["account.move.action_post"].Calls; n != 7 { // all, then each alone
			t.Errorf("%d calls of action_post", n)
		}
		units = append(units[:2], units[3:]...)
		for i := range units {
			units[i].Ops[1].XID += "b"
		}
		b.applied(t, units...)
		if n := b.simulated.Calls()["account.move.action_post"].Calls - after["account.move.action_post"].Calls; n != 1 {
			t.Errorf("%d calls of action_post for five invoices", n)
		}
	})
}

func TestAMethodThatAsksBackIsNoSuccess(t *testing.T) {
	t.Parallel()
	for _, addon := range []string{"off", "require"} {
		sim, url := start(t, simulated.Config{Addon: addon == "require"})
		target := newTarget(t, url, "jsonrpc")
		target.addon.mode = addon
		unit := func(id string, context broker.Values) *broker.Unit {
			return &broker.Unit{ID: id, Target: "erp", Verdict: broker.Apply, Ops: []broker.Operation{
				op("receipt", "stock.picking", "upsert", "t.r", broker.Values{"name": "R1", "state": "assigned", "move_ids": merge(line("1", map[string]any{"name": "gloves", "product_uom_qty": 20, "quantity": 12}))}),
				{ID: "done", Model: "stock.picking", Do: "call", On: "receipt", Method: "button_validate", OnlyIf: broker.Values{"state": "assigned"}, Context: context}}}
		}
		b := &bench{prefix: "R1"}
		b.expect(t, addon, applyTo(t, target, unit("a", nil))[0], broker.Rejected, "odoo.asks_back")
		b.expect(t, addon+", answered", applyTo(t, target, unit("b", broker.Values{"skip_backorder": true}))[0], broker.Applied, "")
		if r, _ := sim.ByXID("t.r"); r.Values["state"] != "done" {
			t.Errorf("%s: the receipt is %v", addon, r.Values["state"])
		}
	}
}

func TestWhatOdooDoesNotMerge(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		contact := func(n, email, parent string) broker.Operation {
			vals := broker.Values{"name": n, "email": email, "ref": b.prefix + n}
			if parent != "" {
				vals["parent_id"] = map[string]any{"$xid": b.xid(parent)}
			}
			return op(n, "res.partner", "upsert", b.xid(n), vals)
		}
		b.applied(t, b.unit(contact("a", "a@example.org", ""), contact("b", "b@example.org", "")), b.unit(contact("c", "a@example.org", "")))
		b.applied(t, b.unit(contact("child", "a@example.org", "a")))
		into := func(old, onNone string) broker.Outcome {
			return applyTo(t, b.target, b.unit(contact("a", "a@example.org", ""), broker.Operation{ID: "m", Model: "res.partner", Do: "merge", XID: b.xid(old), On: "a", OnNone: onNone}))[0]
		}
		if b.simulated != nil { // an administrator may merge those
			b.expect(t, "different addresses", into("b", ""), broker.Rejected, "odoo.merge_refused")
		}
		b.expect(t, "a child", into("child", ""), broker.Rejected, "odoo.merge_refused")
		b.expect(t, "into itself", into("a", ""), broker.Applied, "")
		b.expect(t, "one that never was", into("never", "skip"), broker.Applied, "")
		b.expect(t, "one that is still to come", into("never", ""), broker.Deferred, "odoo.missing_record")
		b.expect(t, "one that can be merged", into("c", ""), broker.Applied, "")
		b.expect(t, "and again", into("c", ""), broker.Applied, "")
		b.expect(t, "a late message for the old one", applyTo(t, b.target, b.unit(op("p", "res.partner", "update", b.xid("c"), broker.Values{"city": "late"})))[0], broker.Applied, "")
		want(t, b.read(t, b.xid("a"), "city"), map[string]any{"city": "late"})
	})
}

func TestUnitsThatAreRefusedBeforeAnythingIsDone(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{History: true})
	target := newTarget(t, url, "jsonrpc")
	for name, c := range map[string]struct {
		op    broker.Operation
		class string
	}{
		"a call without a guard":        {broker.Operation{ID: "c", Model: "account.move", Do: "call", On: "first", Method: "action_post"}, "odoo.unguarded"},
		"a private method":              {broker.Operation{ID: "c", Model: "account.move", Do: "call", On: "first", Method: "_post", OnlyIf: broker.Values{"state": "draft"}}, "odoo.invalid"},
		"an argument called ids":        {broker.Operation{ID: "c", Model: "account.move", Do: "call", On: "first", Method: "x", Args: broker.Values{"ids": 1}, OnlyIf: broker.Values{"state": "draft"}}, "odoo.invalid"},
		"a merge of something else":     {broker.Operation{ID: "c", Model: "sale.order", Do: "merge", XID: "t.x", On: "first"}, "odoo.unsupported"},
		"a merge into nothing":          {broker.Operation{ID: "c", Model: "res.partner", Do: "merge", XID: "t.x"}, "odoo.unsupported"},
		"a guard on no field":           {broker.Operation{ID: "c", Model: "res.partner", Do: "update", XID: "t.x", OnlyIf: broker.Values{"a.b": 1}}, "odoo.invalid"},
		"an operation that nobody does": {broker.Operation{ID: "c", Model: "res.partner", Do: "destroy", XID: "t.x"}, "odoo.invalid"},
	} {
		out := applyTo(t, target, &broker.Unit{ID: "u", Ops: []broker.Operation{op("first", "res.partner", "upsert", "t.first", broker.Values{"name": "n"}), c.op}})[0]
		if out.Result != broker.Rejected || out.Class != c.class {
			t.Errorf("%s: %s %s %s", name, out.Result, out.Class, out.Reason)
		}
	}
	out := applyTo(t, target, &broker.Unit{ID: "u", Atomic: true, Ops: []broker.Operation{op("first", "res.partner", "upsert", "t.first", broker.Values{"name": "n"})}})[0]
	if out.Class != "odoo.needs_addon" {
		t.Errorf("%s %s", out.Class, out.Reason)
	}
	if n := len(sim.Effects()); n != 0 {
		t.Errorf("%d effects", n)
	}
}

func TestLinesThatAreRefused(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	partner := op("p", "res.partner", "upsert", "t.p", broker.Values{"name": "n"})
	one := line("1", map[string]any{"name": "x"})
	for name, c := range map[string]struct {
		field string
		v     any
		class string
	}{
		"a key twice":                {"order_line", merge(one, one), "odoo.invalid"},
		"no key":                     {"order_line", merge(map[string]any{"vals": map[string]any{"name": "x"}}), "odoo.invalid"},
		"lines of lines":             {"order_line", merge(line("1", map[string]any{"x_ids": merge(one)})), "odoo.invalid"},
		"a field without lines":      {"client_order_ref", merge(one), "odoo.invalid"},
		"a field that is not there":  {"x_lines", merge(one), "odoo.invalid"},
		"a line field not there":     {"order_line", merge(line("1", map[string]any{"x_no": "x"})), "odoo.unknown_field"},
		"a missing product":          {"order_line", merge(line("1", map[string]any{"product_id": refTo("product.product", map[string]any{"default_code": "none"})})), "odoo.missing_reference"},
		"an order as a product":      {"order_line", merge(line("1", map[string]any{"product_id": map[string]any{"$op": "p"}})), "odoo.other_model"},
		"a share without percentage": {"order_line", merge(line("1", map[string]any{"name": "x", "analytic_distribution": map[string]any{"$distribution": []any{map[string]any{"account": map[string]any{"$op": "p"}}}}})), "odoo.invalid"},
	} {
		u := &broker.Unit{ID: "u" + name, Ops: []broker.Operation{partner, op("o", "sale.order", "upsert", "t.o", broker.Values{"partner_id": map[string]any{"$op": "p"}, c.field: c.v})}}
		if out := applyTo(t, target, u)[0]; out.Result != broker.Rejected || out.Class != c.class {
			t.Errorf("%s: %s %s %s", name, out.Result, out.Class, out.Reason)
		}
	}
}

func TestAUserWhoMayNotReadModelDataWritesLinesAndGuards(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{History: true, Users: []simulated.User{{Login: "low", Key: "low", NoModelData: true}}})
	target, err := New(Config{URL: url, Database: "demo", User: "low", Key: broker.NewSecret("low"), Protocol: "jsonrpc"})
	if err != nil {
		t.Fatal(err)
	}
	order := func(id string, lines any) *broker.Unit {
		o := op("o", "sale.order", "upsert", "t.o", broker.Values{"partner_id": map[string]any{"$xid": "t.p"}, "order_line": lines})
		guarded := op("p", "res.partner", "upsert", "t.p", broker.Values{"name": "n", "city": id})
		guarded.OnlyIf = broker.Values{"name": "n"}
		return &broker.Unit{ID: id, Ops: []broker.Operation{guarded, o}}
	}
	a := order("a", merge(lineOf("1", map[string]any{"name": "one", "product_uom_qty": 1}, map[string]any{"sequence": 3}), line("2", map[string]any{"name": "two"})))
	z := order("z", replace(lineOf("1", map[string]any{"name": "one", "product_uom_qty": 4}, map[string]any{"sequence": 7}), line("3", map[string]any{"name": "three"})))
	for _, u := range []*broker.Unit{a, a, z, z} {
		if out := applyTo(t, target, u)[0]; out.Result != broker.Applied {
			t.Fatalf("%s: %s %s", u.ID, out.Class, out.Reason)
		}
	}
	var got []string
	for _, r := range sim.Records("sale.order.line") {
		got = append(got, fmt.Sprint(r.Values["name"], r.Values["product_uom_qty"], r.Values["sequence"]))
	}
	if s := strings.Join(got, " "); s != "one4 3 three1 10" {
		t.Error(s)
	}
}

func TestAReferenceIsDeferredUntilItsRecordComes(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{History: true})
	target := newTarget(t, url, "jsonrpc")
	employee := &broker.Unit{ID: "a", Ops: []broker.Operation{op("e", "hr.employee", "upsert", "t.a", broker.Values{"name": "a", "parent_id": map[string]any{"$xid": "t.b", "on_none": "defer"}})}}
	for range 2 {
		out := applyTo(t, target, employee)[0]
		if out.Result != broker.Deferred || out.Class != "odoo.deferred" || len(out.Records) != 1 {
			t.Fatalf("%s %s %v", out.Result, out.Class, out.Records)
		}
	}
	if n := len(sim.EffectsOf("t.a")); n != 1 {
		t.Errorf("%d effects while it waits", n)
	}
	applyTo(t, target, &broker.Unit{ID: "b", Ops: []broker.Operation{op("e", "hr.employee", "upsert", "t.b", broker.Values{"name": "b"})}})
	if out := applyTo(t, target, employee)[0]; out.Result != broker.Applied {
		t.Fatalf("%s %s", out.Result, out.Class)
	}
	manager, _ := sim.ByXID("t.b")
	if r, _ := sim.ByXID("t.a"); r.Values["parent_id"] != manager.ID || len(sim.EffectsOf("t.a")) != 2 {
		t.Errorf("%v", r.Values)
	}
}

func TestRecordsThatReferToEachOtherWaitForNothingInOneApply(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	one := func(n, manager string) *broker.Unit {
		return &broker.Unit{ID: n, Ops: []broker.Operation{op("e", "hr.employee", "upsert", "t."+n, broker.Values{"name": n, "parent_id": map[string]any{"$xid": "t." + manager, "on_none": "defer"}})}}
	}
	for i, o := range applyTo(t, target, one("a", "b"), one("b", "c"), one("c", "a")) {
		if o.Result != broker.Applied {
			t.Errorf("%d: %s %s", i, o.Result, o.Class)
		}
	}
	for _, r := range sim.Records("hr.employee") {
		if r.Values["parent_id"] == nil {
			t.Errorf("%v has no manager", r.Values["name"])
		}
	}
}

// A bill whose lines could not share a call, of which the second was lost.
func TestARecordThatIsOnlyMadeGetsTheLinesThatItLacks(t *testing.T) {
	t.Parallel()
	sim, url := start(t, simulated.Config{})
	target := newTarget(t, url, "jsonrpc")
	bill := &broker.Unit{ID: "u", Ops: []broker.Operation{op("b", "account.move", "create", "t.m", broker.Values{"move_type": "in_invoice", "invoice_line_ids": merge(
		line("1", map[string]any{"name": "one", "price_unit": 1}), line("2", map[string]any{"name": "two"}), line("3", map[string]any{"name": "three", "price_unit": 3}))})}}
	sim.Poison("two", simulated.PoisonRetry)
	if o := applyTo(t, target, bill)[0]; o.Result != broker.Retry {
		t.Fatalf("%s %s", o.Result, o.Class)
	}
	if n := len(sim.Records("account.move.line")); n != 2 { // the first, and the third, which goes by a call of its own
		t.Errorf("%d lines", n)
	}
	sim.Heal()
	for range 2 {
		if o := applyTo(t, target, bill)[0]; o.Result != broker.Applied {
			t.Fatalf("%s %s", o.Result, o.Class)
		}
	}
	var names []string
	for _, r := range sim.Records("account.move.line") {
		names = append(names, fmt.Sprint(r.Values["name"], r.Writes))
	}
	if s := strings.Join(names, " "); len(names) != 3 || strings.Contains(s, "1") {
		t.Error(s)
	}
}

func TestTheAddonIsAskedForAndTakesManyUnits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		mode    string
		has     bool
		promise string
		err     string
	}{{"auto", true, "addon", ""}, {"auto", false, "external-id", ""}, {"off", true, "external-id", ""}, {"require", true, "addon", ""}, {"require", false, "", "odoo.needs_addon"}} {
		sim, url := start(t, simulated.Config{Addon: c.has, History: true})
		target, err := New(Config{URL: url, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Addon: c.mode})
		if err != nil {
			t.Fatal(err)
		}
		units := patients(450)
		units[7].Ops[0].Vals["no_such_field"] = "1"
		units[7].Ops[0].Vals["name"] = secret
		units[9].Atomic = true
		nameless := &units[11].Ops[0]
		nameless.Do, nameless.XID, nameless.ID = "create", "", "kin#2"
		out, err := target.Apply(context.Background(), units)
		if c.err != "" {
			if err == nil || !strings.HasPrefix(err.Error(), c.err) {
				t.Errorf("%s: %v", c.mode, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if p := target.Promise(); p != c.promise {
			t.Errorf("%s, %v: %s", c.mode, c.has, p)
		}
		for i, o := range out {
			class := ""
			switch {
			case i == 7:
				class = "odoo.unknown_field"
			case i == 9 && c.promise != "addon":
				class = "odoo.needs_addon"
			}
			if o.Class != class || strings.Contains(o.Reason, secret) || class == "" && (len(o.Records) != 1 || !o.Records[0].Made) {
				t.Errorf("%s, unit %d: %s %s %v", c.mode, i, o.Class, o.Reason, o.Records)
			}
		}
		if n := sim.Calls()["vagus.unit.apply"].Calls; (n == 3) != (c.promise == "addon") {
			t.Errorf("%s: %d calls", c.mode, n)
		}
	}
}

func TestALineIsNamedAsTheAddonNamesIt(t *testing.T) {
	t.Parallel()
	for key, want := range map[string]string{"T1": `"T1"`, "a\"b\\c": `"a\"b\\c"`, "Größe 😀\n\x01\x7f": `"Gr\u00f6\u00dfe \ud83d\ude00\n\u0001` + "\x7f\""} {
		if got := string(pythonJSON(key)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	names := lineNames("t.o", record{"sale.order", 7}, "order_line", "T1")
	digest := fmt.Sprintf("%x", sha256.Sum256([]byte(`"T1"`)))[:24]
	owner := fmt.Sprintf("%x", sha256.Sum256([]byte("t.o")))[:24]
	if len(names) != 2 || names[0] != "vagus_line."+owner+"_order_line_"+digest || names[1] != "vagus_line.sale_order_7_order_line_"+digest {
		t.Error(names)
	}
}

func TestWhatCountsAsTheSameValue(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cell cell
		have any
		same bool
	}{
		{cell{value: "a"}, "a", true}, {cell{value: "a"}, "b", false}, {cell{value: false}, false, true}, {cell{value: ""}, false, true},
		{cell{value: "0"}, false, false}, {cell{value: "0", truth: true}, false, true}, {cell{value: "1", truth: true}, true, true}, {cell{value: "1"}, true, false},
		{cell{value: "1", truth: true}, "1", false}, {cell{value: "18.40"}, 18.4, true}, {cell{value: "18.41"}, 18.4, false}, {cell{value: "3"}, int64(3), true}, {cell{value: false}, int64(0), true},
		{cell{value: "7"}, int64(7), true}, {cell{value: "7"}, int64(8), false}, {cell{value: "7"}, false, false}, {cell{value: false}, int64(8), false},
		{cell{value: "1,2", mode: set}, []any{int64(2), int64(1)}, true}, {cell{value: "1", mode: set}, []any{int64(2), int64(1)}, false}, {cell{value: "1", mode: add}, []any{int64(2), int64(1)}, true},
		{cell{value: "3", mode: add}, []any{int64(2), int64(1)}, false}, {cell{value: false, mode: set}, []any{}, true}, {cell{value: false, mode: set}, []any{int64(1)}, false},
		{cell{value: `{"12":100}`}, map[string]any{"12": 100.0}, true}, {cell{value: `{"12":100}`}, map[string]any{"12": int64(90)}, false}, {cell{value: `{"12":100}`}, false, false},
		{cell{value: "x"}, "<p>x</p>", false},
	} {
		if got := c.cell.is(c.have); got != c.same {
			t.Errorf("%v (%v) and %v: %v", c.cell.value, c.cell.truth, c.have, got)
		}
	}
}
