package odoo

import (
	"context"

	"github.com/vagus-health/vagus/broker"
)

// Odoo keeps no two records of one external id, but nothing keeps two writers from
// making a record each for the same fields: who looked before the other one's commit
// finds none. Where the database has a constraint the second is refused, and looks
// again; where it has none, both are there, and the second one to look says so.

// byFields says whether an operation makes a record when its fields find none.
func byFields(op *broker.Operation) bool {
	return op.Do == "upsert" && op.XID == "" && len(op.By) > 0
}

// twins looks for records that others made while jobs made theirs.
func (p *pass) twins(ctx context.Context, jobs []*job) error {
	var made []*job
	var need []*lookup
	for _, j := range jobs {
		if j.s.outcome != nil || !j.made || !byFields(j.op) || len(j.steps) == 0 || j.steps[0].verdict != nil {
			continue
		}
		l := p.lookupFor(j.s, j.op.Model, j.op.By, true)
		delete(p.found, l.key)
		made, need = append(made, j), append(need, l)
	}
	if err := p.resolve(ctx, need); err != nil {
		return err
	}
	for i, j := range made {
		l := need[i]
		if delete(p.failed, l.key); len(p.found[l.key]) > 1 {
			j.s.warn(j.op.Model + ": somebody else made a record with the same fields at the same moment (duplicate); archive or merge one of them")
		}
	}
	return nil
}
