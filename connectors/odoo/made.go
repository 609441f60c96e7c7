package odoo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// What an upsert writes to known records only (OnUpdate) must not reach a record that
// the unit itself made in an earlier attempt. A record that is matched by fields has an
// external id of the unit, which tells; one with an external id of its own has not. So
// before such a record is made, the unit says in Odoo that it is about to: a row of
// ir.model.data that leads nowhere. There it outlives our ledger, and goes back with
// the records when the database is put back from a backup.
//
// The row says that the unit found no record. Should it die before it makes one, and
// another unit then make it, the repeat takes the record for its own.
const madeModule = "vagus_made"

// madeName is the external id of the row, "" of an operation that needs none.
func madeName(u *broker.Unit, op *broker.Operation) string {
	if op.Do != "upsert" || op.XID == "" || len(op.OnUpdate) == 0 {
		return ""
	}
	return madeModule + "." + u.ID + "_" + safe(op.ID)
}

// announce writes the rows of the records that jobs are about to make.
func (p *pass) announce(ctx context.Context, jobs []*job) error {
	if p.blind || p.t.isMute() {
		return nil
	}
	var due []*job
	for _, j := range jobs {
		if j.s.outcome == nil && j.made && len(j.steps) > 0 {
			if name := madeName(j.s.unit, j.op); name != "" && !p.made[name] {
				due = append(due, j)
			}
		}
	}
	for some := range slices.Chunk(due, p.t.batch) {
		rows := make([]any, len(some))
		for i, j := range some {
			module, name := splitXID(madeName(j.s.unit, j.op))
			rows[i] = map[string]any{"module": module, "name": name, "model": j.op.Model, "res_id": 0, "noupdate": true}
		}
		_, err := p.t.client.execute(ctx, "ir.model.data", "create", []arg{{"vals_list", rows}}, map[string]any{"context": p.t.writeContext(nil)})
		atAnnounced.Hit()
		var f *fault
		if errors.As(err, &f) && f.class == "AccessError" {
			p.t.setMute()
			return nil
		}
		v := verdict{act: none}
		if err != nil {
			if v, err = p.assess(ctx, err, nil); err != nil {
				return err
			}
			v.act = retry // "again": another attempt at the unit is under way
		}
		for _, j := range some {
			if v.act == none {
				p.made[madeName(j.s.unit, j.op)] = true
			} else {
				j.s.fail("ir.model.data", v)
			}
		}
	}
	return nil
}

func (t *Target) isMute() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.muteSince) < blindFor
}

func (t *Target) setMute() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.muteSince = time.Now()
	t.log.Warn("odoo: the user may not write ir.model.data; a unit that is repeated after it made a record writes what is for known records only (only_on: update) to it; grant Access Rights to prevent that")
}
