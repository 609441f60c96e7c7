package odoo

import (
	"context"
	"errors"
	"maps"
	"sync/atomic"

	"github.com/vagus-health/vagus/broker"
)

// A pass is one Apply. Its maps are used by one goroutine only.
type pass struct {
	t        *Target
	states   []state
	known    map[string]record  // by external id: what ir.model.data says
	lookups  map[string]*lookup // by key: every look-up of the pass, once
	found    map[string][]int64 // by look-up key
	failed   map[string]verdict // by look-up key: the look-up itself failed
	blind    bool               // known cannot be had
	suspects atomic.Int32       // calls that failed although Odoo answers

	columns map[string]string // by field: see byID

	// For making a look-up's key.
	key    []byte
	fields []string
}

type record struct {
	model string
	id    int64
}

// A state is one unit on its way through the waves.
type state struct {
	unit    *broker.Unit
	results []result // of the operations so far
	records []broker.Record
	outcome *broker.Outcome // set: the unit goes no further
}

// A result is the record of an operation; an operation that was skipped has none.
type result struct {
	op string
	id int64
}

// result is the record of an earlier operation, of the last one if several have
// the name; ok is false when there was none.
func (s *state) result(op string) (id int64, ok bool) {
	for i := len(s.results) - 1; i >= 0; i-- {
		if s.results[i].op == op {
			return s.results[i].id, true
		}
	}
	return 0, false
}

func (s *state) final() broker.Outcome {
	o := broker.Outcome{Result: broker.Applied}
	if s.outcome != nil {
		o = *s.outcome
	}
	o.Records = s.records
	return o
}

// A job is one operation of one unit.
type job struct {
	s     *state
	op    *broker.Operation
	xid   string
	steps []*row // in order; at most two
	id    int64  // known before any step
	made  bool   // the first step makes the record
	again bool   // this is its second go, after something that we remembered was gone
}

func (p *pass) run(ctx context.Context, xids []string, waves int) error {
	p.known = make(map[string]record, len(xids))
	p.lookups = map[string]*lookup{}
	p.columns = map[string]string{}
	p.found = map[string][]int64{}
	p.failed = map[string]verdict{}
	if err := p.lookup(ctx, xids); err != nil {
		return err
	}
	for w := range waves {
		all := make([]job, 0, len(p.states))
		jobs := make([]*job, 0, len(p.states))
		for i := range p.states {
			if s := &p.states[i]; s.outcome == nil && w < len(s.unit.Ops) {
				op := &s.unit.Ops[w]
				all = append(all, job{s: s, op: op, xid: xidOf(s.unit, op)})
				jobs = append(jobs, &all[len(all)-1])
			}
		}
		for len(jobs) > 0 {
			var err error
			if jobs, err = p.wave(ctx, jobs); err != nil {
				return err
			}
		}
	}
	return nil
}

// wave runs jobs and returns those that need another go: two that mean the
// same record take turns, and one whose reference was gone tries once more.
func (p *pass) wave(ctx context.Context, jobs []*job) (left []*job, err error) {
	var need []*lookup
	want := func(l *lookup) {
		if _, ok := p.found[l.key]; !ok {
			need = append(need, l)
		}
	}
	for _, j := range jobs {
		p.refsIn(j.s, j.op.Vals, want)
		p.refsIn(j.s, j.op.OnCreate, want)
		if l := p.match(j); l != nil {
			delete(p.found, l.key) // never remembered: an earlier wave may have made it
			need = append(need, l)
		}
	}
	if err := p.resolve(ctx, need); err != nil {
		return nil, err
	}
	taken := make(map[string]bool, len(jobs))
	var now []*job
	for _, j := range jobs {
		same := j.xid
		if l := p.match(j); l != nil {
			same = l.key
		}
		if taken[same] {
			left = append(left, j)
			continue
		}
		if j.plan(p); j.s.outcome == nil {
			taken[same] = true
			now = append(now, j)
		}
	}
	for step := range 2 {
		var rows []*row
		for _, j := range now {
			if step < len(j.steps) && (step == 0 || j.steps[0].verdict == nil) {
				rows = append(rows, j.steps[step])
			}
		}
		if err := p.t.loadAll(ctx, p, rows); err != nil {
			return nil, err
		}
	}
	for _, j := range now {
		more, err := p.finish(ctx, j)
		if err != nil {
			return nil, err
		}
		if more {
			left = append(left, j)
		}
	}
	return left, nil
}

// match is the look-up of an operation that matches by fields, or nil.
func (p *pass) match(j *job) *lookup {
	if len(j.op.By) == 0 || j.op.XID != "" {
		return nil
	}
	if _, ok := p.known[j.xid]; ok && j.xid != "" {
		return nil
	}
	return p.lookupFor(j.s, j.op.Model, j.op.By, true)
}

// plan decides what the job does, given what is known now. It may end the unit.
func (j *job) plan(p *pass) {
	j.steps, j.id, j.made = nil, 0, false
	s, op := j.s, j.op
	stop := func(r broker.Result, class, reason string) {
		s.outcome = &broker.Outcome{Result: r, Class: class, Reason: op.Model + ": " + reason}
	}
	rec, exists := p.known[j.xid]
	exists = exists && j.xid != ""
	if exists && rec.model != op.Model {
		stop(broker.Rejected, "odoo.other_model", "the external id belongs to a record of another model; give the operation an id of its own")
		return
	}
	byID := op.Do == "update" || op.Do == "archive"
	if len(op.By) > 0 && op.XID == "" && !exists {
		l := p.match(j)
		if l == nil {
			stop(broker.Rejected, "odoo.invalid", "the fields to match by are not plain values; correct the mapping")
			return
		}
		if v, ok := p.failed[l.key]; ok {
			o := v.outcome(op.Model)
			s.outcome = &o
			return
		}
		switch ids := p.found[l.key]; {
		case len(ids) > 1:
			stop(broker.Rejected, "odoo.ambiguous", "more than one record matches; make them differ in Odoo, or match by an external id")
			return
		case len(ids) == 1:
			rec, exists, byID = record{op.Model, ids[0]}, true, true
		}
	}
	blind := p.blind && op.XID != "" && (op.Do == "upsert" || op.Do == "create")
	if !exists && !blind && (op.Do == "update" || op.Do == "archive") {
		switch op.OnNone {
		case "skip":
			s.results = append(s.results, result{op: op.ID})
		case "dead_letter", "reject":
			stop(broker.Rejected, "odoo.missing_record", "the record does not exist; let its feed bring it, then replay")
		default:
			stop(broker.Retry, "odoo.missing_record", "the record does not exist yet; let its feed bring it")
		}
		return
	}
	j.id = rec.id
	vals := op.Vals
	if op.Do == "archive" {
		vals = broker.Values{"active": false}
		for f, v := range op.Vals {
			vals[f] = v
		}
	}
	if !exists {
		j.made = !blind
		all := vals
		if len(op.OnCreate) > 0 {
			all = make(broker.Values, len(vals)+len(op.OnCreate))
			maps.Copy(all, op.OnCreate)
			maps.Copy(all, vals)
		}
		cells := j.cells(p, all)
		if s.outcome != nil {
			return
		}
		j.steps = append(j.steps, &row{model: op.Model, kind: insert, key: j.xid, cells: cells})
		if !blind || op.Do == "create" {
			return
		}
	}
	if op.Do == "create" {
		return
	}
	cells := j.cells(p, vals)
	if s.outcome != nil || len(cells) == 0 {
		return
	}
	j.steps = append(j.steps, updates(op.Model, j.xid, rec.id, byID, cells)...)
	if blind && len(j.steps) > 2 {
		stop(broker.Rejected, "odoo.unsupported", "a user who may not read ir.model.data cannot both add to and replace many2many fields; grant the right")
	}
}

func (j *job) cells(p *pass, vals broker.Values) []cell {
	for _, f := range p.failures(j.s, vals) {
		o := f.outcome(j.op.Model)
		j.s.outcome = &o
		return nil
	}
	cells, bad := p.cellsOf(j.s, vals)
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

// finish takes the job's results over into its unit. It says whether the job
// should be done again.
func (p *pass) finish(ctx context.Context, j *job) (more bool, err error) {
	id := j.id
	for _, r := range j.steps {
		if r.verdict == nil {
			id = r.done
			continue
		}
		if r.verdict.act == stale && !j.again {
			j.again = true
			forget := func(l *lookup) {
				p.t.refs.drop(l.key)
				delete(p.found, l.key)
			}
			p.refsIn(j.s, j.op.Vals, forget)
			p.refsIn(j.s, j.op.OnCreate, forget)
			if j.xid != "" {
				delete(p.known, j.xid)
				return true, p.lookup(ctx, []string{j.xid})
			}
			return true, nil
		}
		o := r.verdict.outcome(j.op.Model)
		j.s.outcome = &o
		return false, nil
	}
	if id == 0 { // skipped
		return false, nil
	}
	j.s.results = append(j.s.results, result{j.op.ID, id})
	if j.xid != "" && (j.op.XID != "" || j.made) {
		p.known[j.xid] = record{j.op.Model, id}
	}
	j.s.records = append(j.s.records, broker.Record{Op: j.op.ID, Model: j.op.Model, ID: id, Made: j.made})
	return false, nil
}

// maxSuspects is how many calls of one Apply may fail while Odoo itself
// answers, before the target counts as unwell: enough to find two bad rows
// among fifty by halves.
const maxSuspects = 16

// assess judges an error of a call. Its own error says that the target as a
// whole is unwell: the fault says so, or nobody answers when asked.
func (p *pass) assess(ctx context.Context, err error, columns []string) (verdict, error) {
	var f *fault
	if !errors.As(err, &f) {
		return verdict{}, err
	}
	v := judge(f, "", columns)
	switch v.act {
	case unwell:
		return v, err
	case suspect:
		// One unit must not make the whole target look unwell for ever: when
		// Odoo answers others, it is this call that it cannot take.
		if p.suspects.Add(1) > maxSuspects || p.t.Check(ctx) != nil {
			return v, err
		}
	}
	return v, nil
}
