package odoo

import (
	"encoding/json"
	"maps"

	"github.com/vagus-health/vagus/broker"
)

// identify finds the record that the job is about, and says whether there is
// something to do with it. It may end the unit.
func (j *job) identify(p *pass) bool {
	j.steps, j.lines, j.rec, j.id, j.exists, j.byID, j.made, j.held, j.stale = nil, nil, record{}, 0, false, false, false, false, false
	j.others, j.newer, j.lost = false, false, nil
	s, op := j.s, j.op
	if op.Do == "call" && op.On != "" {
		return true
	}
	j.owner = j.xid
	if op.XID == "" && len(op.By) > 0 {
		if l := p.lookupFor(s, op.Model, op.By, true); l != nil {
			j.owner = l.key
		}
	}
	j.rec, j.exists = p.known[j.xid]
	j.exists = j.exists && j.xid != ""
	if j.exists && j.rec.model != op.Model {
		s.stop(broker.Rejected, "odoo.other_model", op.Model+": the external id belongs to a record of another model; give the operation an id of its own")
		return false
	}
	if len(op.By) > 0 && op.XID == "" && !j.exists {
		l := p.match(j)
		if l == nil {
			s.stop(broker.Rejected, "odoo.invalid", op.Model+": the fields to match by are not plain values; correct the mapping")
			return false
		}
		if v, ok := p.failed[l.key]; ok {
			s.fail(op.Model, v)
			return false
		}
		switch ids := p.found[l.key]; {
		case len(ids) > 1:
			s.stop(broker.Rejected, "odoo.ambiguous", op.Model+": more than one record matches; make them differ in Odoo, or match by an external id")
			return false
		case len(ids) == 1:
			j.rec, j.exists, j.byID = record{op.Model, ids[0]}, true, true
		}
	}
	makes := op.Do == "upsert" || op.Do == "create"
	j.byID = j.byID || !makes
	j.unsure = p.blind && !j.exists && op.XID != "" && makes && !mustKnow(op)
	if !j.exists && !makes {
		switch op.OnNone {
		case "skip":
			s.results = append(s.results, result{op: op.ID})
		case "dead_letter", "reject":
			s.stop(broker.Rejected, "odoo.missing_record", op.Model+": the record does not exist; let its feed bring it, then replay")
		default:
			s.stop(broker.Retry, "odoo.missing_record", op.Model+": the record does not exist yet; let its feed bring it")
		}
		return false
	}
	j.id = j.rec.id
	j.own = j.exists && !j.byID && (op.XID == "" || p.made[madeName(s.unit, op)] && !j.again)
	return true
}

// mustKnow says whether an operation can only be done when it is known whether
// its record exists.
func mustKnow(op *broker.Operation) bool {
	return len(op.OnUpdate)+len(op.OnlyIf) > 0 || op.UnchangedSince != "" || op.Do != "upsert" && op.Do != "create"
}

// written are the values that an existing record is to have.
func (j *job) written() broker.Values {
	switch op := j.op; {
	case op.Do == "create":
		return nil
	case op.Do == "archive":
		vals := broker.Values{"active": false}
		maps.Copy(vals, op.Vals)
		return vals
	case len(op.OnUpdate) > 0 && !j.own:
		vals := maps.Clone(op.Vals)
		if vals == nil {
			return op.OnUpdate
		}
		maps.Copy(vals, op.OnUpdate)
		return vals
	default:
		return op.Vals
	}
}

// plan decides the rows of the job, given what is known now. It may end the unit.
func (j *job) plan(p *pass) {
	s, op := j.s, j.op
	if s.outcome != nil {
		return
	}
	if j.exists {
		if len(op.OnlyIf) > 0 && op.Do != "create" {
			ok, bad := p.holds(s, j.rec, op.OnlyIf)
			if bad != nil {
				s.outcome = bad
				return
			}
			if !ok {
				j.held = true
				return
			}
		}
		if s.outcome = p.writtenBy(j); s.outcome != nil {
			return
		}
		if op.Do == "create" {
			if s.outcome = j.rest(p); s.outcome != nil {
				return
			}
		} else if j.update(p, j.written()); s.outcome != nil {
			return
		}
		j.complete(p)
		return
	}
	j.made = !j.unsure
	plain, fields, bad := p.linesIn(op.Model, initial(op))
	if bad != nil {
		s.outcome = bad
		return
	}
	cells := j.cells(p, plain)
	if s.outcome != nil {
		return
	}
	r := &row{model: op.Model, kind: insert, key: j.xid, cells: cells, extra: op.Context, context: contextKey(op.Context)}
	if j.lines = fields; len(fields) > 0 {
		if s.outcome = p.nest(j, r); s.outcome != nil {
			return
		}
	}
	j.steps = append(j.steps, r)
	if !j.unsure || op.Do == "create" {
		return
	}
	j.update(p, op.Vals)
	if len(j.steps) > 2 {
		s.stop(broker.Rejected, "odoo.unsupported", op.Model+": a user who may not read ir.model.data cannot both add to and replace many2many fields; grant the right")
	}
}

// initial are the values of a new record.
func initial(op *broker.Operation) broker.Values {
	if len(op.OnCreate) == 0 {
		return op.Vals
	}
	all := make(broker.Values, len(op.Vals)+len(op.OnCreate))
	maps.Copy(all, op.OnCreate)
	maps.Copy(all, op.Vals)
	return all
}

// rest leaves to be written those lines of a record that was only to be made
// which did not fit into the call that made it: that it is there does not say
// that they are.
func (j *job) rest(p *pass) *broker.Outcome {
	_, fields, bad := p.linesIn(j.op.Model, initial(j.op))
	if bad != nil || len(fields) == 0 {
		return bad
	}
	j.lines = fields
	return p.nest(j, &row{})
}

// update adds what writes values to the record, unless it has them already.
func (j *job) update(p *pass, vals broker.Values) {
	plain, fields, bad := p.linesIn(j.op.Model, vals)
	if bad != nil {
		j.s.outcome = bad
		return
	}
	cells := j.cells(p, plain)
	if j.s.outcome != nil {
		return
	}
	j.lines = fields
	if len(cells) == 0 || j.exists && p.seen.holdsAll(j.rec, cells) {
		return
	}
	if j.s.outcome = j.overwrites(p.seen.differing(j.rec, cells)...); j.s.outcome != nil {
		return
	}
	extra, context := j.op.Context, contextKey(j.op.Context)
	for _, r := range updates(j.op.Model, j.xid, j.rec.id, j.byID, cells) {
		r.extra, r.context = extra, context
		j.steps = append(j.steps, r)
	}
}

func (j *job) cells(p *pass, vals broker.Values) []cell {
	for _, f := range p.failures(j.s, vals) {
		j.s.fail(j.op.Model, f)
		return nil
	}
	cells, bad := p.cellsOf(j.s, j.op.Model, vals)
	if bad != nil {
		bad.Reason = j.op.Model + "." + bad.Reason
		j.s.outcome = bad
	}
	return cells
}

// failures are the look-ups in values that did not work at all.
func (p *pass) failures(s *state, vals broker.Values) (vs []verdict) {
	if len(p.failed) == 0 {
		return nil
	}
	p.refsIn(s, vals, func(l *lookup) {
		if v, ok := p.failed[l.key]; ok {
			vs = append(vs, v)
		}
	})
	return vs
}

// updates are the steps that write cells to an existing record: two when some
// columns add to a many2many field and others replace one, for the context that
// says which holds for the whole call.
func updates(model, xid string, id int64, byID bool, cells []cell) []*row {
	base := row{model: model, kind: update, key: xid, id: id}
	if byID {
		base.kind = updateByID
	}
	has := [3]bool{}
	for _, c := range cells {
		has[c.mode] = true
	}
	if !has[add] || !has[set] {
		r := base
		r.cells, r.add = cells, has[add]
		return []*row{&r}
	}
	one, two := base, base
	two.add = true
	for _, c := range cells {
		if c.mode == add {
			two.cells = append(two.cells, c)
		} else {
			one.cells = append(one.cells, c)
		}
	}
	return []*row{&one, &two}
}

// contextKey says which operations may share a call.
func contextKey(c broker.Values) string {
	if len(c) == 0 {
		return ""
	}
	b, err := json.Marshal(c)
	if err != nil {
		return "unique" // no context that a mapping can write
	}
	return string(b)
}
