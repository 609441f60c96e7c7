package odoo

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// A count of stock is entered (inventory_quantity of a stock.quant) and then applied
// by action_apply_inventory, which moves the difference and forgets the entry: neither
// of the two can tell that it has happened. The move can, which Odoo makes even of no
// difference: its reference begins with inventory_name of the context, and there we
// put what names the unit and the operation. A count that has its move is over, and
// nothing of it is done again, whatever has become of the quant (Odoo deletes those
// that are empty) and of the stock meanwhile.
const (
	quantModel   = "stock.quant"
	moveModel    = "stock.move"
	counted      = "inventory_quantity"
	applyCount   = "action_apply_inventory"
	conflictName = "stock.inventory.conflict"
)

// enters says whether an operation enters a count.
func enters(op *broker.Operation) bool {
	if op.Model != quantModel || op.Do == "call" {
		return false
	}
	for _, vals := range []broker.Values{op.Vals, op.OnCreate, op.OnUpdate} {
		if _, ok := vals[counted]; ok {
			return true
		}
	}
	return false
}

// countName is what the reference of a count's move begins with; op is the operation
// that entered it.
func countName(u *broker.Unit, op string) string { return "vagus_unit." + u.ID + "_" + safe(op) }

// skipCounted takes out the entries of counts that were applied.
func (p *pass) skipCounted(ctx context.Context, jobs []*job) error {
	var asked []*job
	names, products := map[string]bool{}, map[int64]bool{}
	for _, j := range jobs {
		if j.s.outcome != nil || len(j.steps) == 0 || !enters(j.op) {
			continue
		}
		asked = append(asked, j)
		names[countName(j.s.unit, j.op.ID)] = true
		products[j.product(p)] = true
	}
	over, v, err := p.countsOver(ctx, names, products)
	if err != nil {
		return err
	}
	for _, j := range asked {
		switch {
		case v != nil:
			j.s.fail(moveModel, *v)
		case over[countName(j.s.unit, j.op.ID)]:
			j.steps, j.lines, j.made, j.id = nil, nil, false, j.rec.id
		}
	}
	return nil
}

// product is the database id of what a job counts, 0 when it is not known.
func (j *job) product(p *pass) int64 {
	for _, c := range j.steps[0].cells {
		if text, ok := c.value.(string); ok && c.column == p.byID("product_id") {
			id, _ := strconv.ParseInt(text, 10, 64)
			return id
		}
	}
	return p.productOf(j.rec)
}

func (p *pass) productOf(r record) int64 {
	v, _ := p.seen.value(r, "product_id")
	id, _ := asInt(v)
	return id
}

// countsOver says which counts have their move. The products spare Odoo from reading
// all moves that there are.
func (p *pass) countsOver(ctx context.Context, names map[string]bool, products map[int64]bool) (over map[string]bool, v *verdict, err error) {
	over = map[string]bool{}
	var of []any
	for id := range products {
		of = append(of, id)
	}
	for some := range slices.Chunk(slices.Sorted(maps.Keys(names)), p.t.batch) {
		domain := []any{[]any{"is_inventory", "=", true}}
		if !products[0] {
			domain = append(domain, []any{"product_id", "in", of})
		}
		for range some[1:] {
			domain = append(domain, "|")
		}
		for _, name := range some { // "_" stands for any character: looked at again below
			domain = append(domain, []any{"reference", "=like", name + "%"})
		}
		res, err := p.t.client.execute(ctx, moveModel, "search_read", []arg{{"domain", domain}, {"fields", []any{"reference"}}}, map[string]any{"context": p.context(true)})
		if err != nil {
			v, err := p.assess(ctx, err, nil)
			return nil, &v, err
		}
		rows, ok := res.([]any)
		if !ok {
			return nil, nil, &fault{class: "net.garbage"}
		}
		for _, row := range rows {
			m, _ := row.(map[string]any)
			reference, _ := m["reference"].(string)
			name, _, _ := strings.Cut(reference, " ") // what follows is the user, and the mapping's own words
			over[name] = true
		}
	}
	return over, nil, nil
}

// dueCounts leaves out the targets whose count was applied: an entry that is there
// now is somebody else's.
func (p *pass) dueCounts(ctx context.Context, due []*callTarget) (left []*callTarget, err error) {
	names, products := map[string]bool{}, map[int64]bool{}
	for _, t := range due {
		names[t.count()], products[p.productOf(t.record)] = true, true
	}
	over, v, err := p.countsOver(ctx, names, products)
	if err != nil {
		return nil, err
	}
	for _, t := range due {
		switch {
		case v != nil:
			t.job.s.fail(moveModel, *v)
		case !over[t.count()]:
			left = append(left, t)
		}
	}
	return left, nil
}

// count names the count that a call applies: by what entered it, else by the call.
func (t *callTarget) count() string { return countName(t.job.s.unit, t.op) }

// named is the context of a call that applies the target's count.
func (t *callTarget) named(context map[string]any) map[string]any {
	name := t.count()
	if text, ok := context["inventory_name"].(string); ok && text != "" {
		name += " " + text
	}
	context["inventory_name"] = name
	return context
}

// keepDifference answers the question that Odoo asks when stock has moved between
// entry and application: what was counted stays counted when it was, and what moved
// since stays moved. It does so only where the entry is known to be the unit's own, as
// that of a create is: else a person has to say which of the two came first.
func (p *pass) keepDifference(ctx context.Context, t *callTarget, context map[string]any) (answered bool, err error) {
	ops := t.job.s.unit.Ops
	i := slices.IndexFunc(ops, func(op broker.Operation) bool { return op.ID == t.op && op.Do == "create" && enters(&op) })
	if i < 0 {
		return false, nil
	}
	c := cell{column: counted}
	c.value, _ = scalar(initial(&ops[i])[counted])
	if there, ok := p.seen.value(t.record, counted); !ok || !c.is(there) {
		return false, nil
	}
	quants := []any{[]any{6, 0, []any{t.id}}}
	kw := map[string]any{"context": context}
	res, err := p.t.client.execute(ctx, conflictName, "create", []arg{{"vals_list", []any{map[string]any{"quant_ids": quants, "quant_to_fix_ids": quants}}}}, kw)
	if err != nil {
		return false, err
	}
	ids, _ := res.([]any)
	if len(ids) != 1 {
		return false, &fault{class: "net.garbage"}
	}
	_, err = p.t.client.execute(ctx, conflictName, "action_keep_difference", []arg{{"ids", ids}}, kw)
	return err == nil, err
}
