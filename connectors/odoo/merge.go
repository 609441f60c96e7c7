package odoo

import (
	"context"

	"github.com/vagus-health/vagus/broker"
)

const mergeWizard = "base.partner.merge.automatic.wizard"

// merge lets one contact disappear into another by Odoo's own wizard, which
// moves everything that points at it, its external ids too: a repeat finds the
// one that is left under both.
func (p *pass) merge(ctx context.Context, j *job) error {
	into, ok := j.s.result(j.op.On)
	if !ok || into.id != 0 && into.model != j.op.Model {
		j.s.outcome = invalid(j.op.Model, "on: names no operation before it that has a contact")
		return nil
	}
	done := func() {
		j.s.results = append(j.s.results, result{j.op.ID, into})
		if into.id != 0 {
			j.s.records = append(j.s.records, broker.Record{Op: j.op.ID, Model: into.model, ID: into.id})
		}
	}
	if into.id == 0 || into.id == j.rec.id {
		done()
		return nil
	}
	kw := map[string]any{"context": p.t.writeContext(j.op.Context)}
	vals := map[string]any{"partner_ids": []any{[]any{6, 0, []any{into.id, j.rec.id}}}, "dst_partner_id": into.id, "state": "selection"}
	res, err := p.t.client.execute(ctx, mergeWizard, "create", []arg{{"vals_list", []any{vals}}}, kw)
	if err == nil {
		ids, _ := res.([]any)
		if len(ids) != 1 {
			return &fault{class: "net.garbage"}
		}
		atMerging.Hit()
		_, err = p.t.client.execute(ctx, mergeWizard, "action_merge", []arg{{"ids", ids}}, kw)
	}
	v := verdict{act: retry, class: "odoo.not_merged", reason: "Odoo's wizard left both contacts as they are; try it by hand to see why"}
	if err != nil {
		if v, err = p.assess(ctx, err, nil); err != nil {
			return err
		}
	}
	delete(p.seen, j.op.Model)
	bad, err := p.read(ctx, j.op.Model, map[int64]bool{j.rec.id: true, into.id: true}, map[string]bool{"write_date": true}) // Odoo "reads" the id alone of what is gone
	if err != nil {
		return err
	}
	if bad != nil {
		v = *bad
	}
	there := p.seen[j.op.Model]
	if there[into.id] == nil || there[j.rec.id] != nil {
		if v.act == again || v.act == none {
			v.act = retry
		}
		j.s.fail(j.op.Model, v)
		return nil
	}
	for xid, r := range p.known {
		if r == j.rec {
			p.known[xid] = into
		}
	}
	done()
	return nil
}
