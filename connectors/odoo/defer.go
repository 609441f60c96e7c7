package odoo

import (
	"context"
	"slices"
	"strconv"

	"github.com/vagus-health/vagus/broker"
)

// A reference that is deferred is left out now and written when its record
// comes. Nothing of ours remembers it: the unit is answered with Retry, so the
// ledger holds it, visibly, and its next attempt writes what is missing, which
// by then is this reference alone. Later units of its key wait, as they must:
// a repeat would write the older values over theirs. Two records that refer to
// each other get past that, since each is made without the other.

// waiting is a reference to a record that is still to come.
type waiting struct {
	record     // that has the field; set once it exists
	field, xid string
	extra      broker.Values
}

// forgetWaiting drops what the operation at hand has noted.
func (s *state) forgetWaiting() {
	s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool { return w.model == "" })
}

// arrived writes the deferred references whose record came with another unit
// of the pass.
func (p *pass) arrived(ctx context.Context) error {
	var rows []*row
	var of []*state
	for i := range p.states {
		s := &p.states[i]
		if s.outcome != nil || len(s.waiting) == 0 {
			continue
		}
		s.waiting = slices.DeleteFunc(s.waiting, func(w waiting) bool {
			r, ok := p.known[w.xid]
			if !ok {
				return false
			}
			if bad := p.fits(w.model, w.field, r); bad != nil {
				s.outcome = bad
				return true
			}
			rows = append(rows, &row{model: w.model, kind: updateByID, id: w.id, extra: w.extra, context: contextKey(w.extra),
				cells: []cell{{column: p.byID(w.field), value: strconv.FormatInt(r.id, 10)}}})
			of = append(of, s)
			return true
		})
	}
	if err := p.t.loadAll(ctx, p, rows); err != nil {
		return err
	}
	for i, r := range rows {
		if r.verdict != nil && of[i].outcome == nil {
			of[i].fail(r.model, *r.verdict)
		}
	}
	return nil
}

// complete writes to a record that exists those deferred references of a new
// record that are still empty: they came too late for the record's creation.
func (j *job) complete(p *pass) {
	late := deferrable(j.op)
	for field, v := range late {
		have, ok := p.seen.value(j.rec, field)
		if !ok || have != false {
			delete(late, field)
			continue
		}
		late[field] = v
	}
	if len(late) == 0 {
		return
	}
	cells := j.cells(p, late)
	if j.s.outcome != nil || len(cells) == 0 {
		return
	}
	j.steps = append(j.steps, &row{model: j.op.Model, kind: updateByID, id: j.rec.id, cells: cells, extra: j.op.Context, context: contextKey(j.op.Context)})
}

// deferrable are the deferred references that only a new record gets.
func deferrable(op *broker.Operation) broker.Values {
	out := broker.Values{}
	collect := func(vals broker.Values) {
		for f, v := range vals {
			if m, ok := v.(map[string]any); ok && m["$xid"] != nil && m["on_none"] == "defer" {
				out[f] = v
			}
		}
	}
	switch op.Do {
	case "create":
		collect(op.OnCreate)
		collect(op.Vals)
	case "upsert":
		collect(op.OnCreate)
		for f := range op.Vals {
			delete(out, f)
		}
	}
	return out
}
