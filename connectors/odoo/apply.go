package odoo

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/vagus-health/vagus/broker"
)

// A pass is one Apply. Its maps are used by one goroutine only.
type pass struct {
	t        *Target
	states   []state
	known    map[string]record          // by external id: what ir.model.data says
	made     map[string]bool            // by madeName: which records earlier attempts were about to make
	lookups  map[string]*lookup         // by key: every look-up of the pass, once
	found    map[string][]int64         // by look-up key
	failed   map[string]verdict         // by look-up key: the look-up itself failed
	facts    map[string]map[string]fact // by model and field, as far as they were needed
	seen     seen                       // what the records of a wave hold
	blind    bool                       // known cannot be had
	me       int64                      // our user, 0: not asked yet
	suspects atomic.Int32               // calls that failed although Odoo answers

	columns map[string]string // by field: see byID

	scope    map[string]any // of the operations at hand
	scopeKey string

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
	waiting []waiting       // references to records that are still to come
	warning string          // of the outcome
	outcome *broker.Outcome // set: the unit goes no further
}

// A result is the record of an operation; one that was skipped has the id 0.
type result struct {
	op string
	record
}

// result is the record of an earlier operation, of the last one if several have
// the name; ok is false when there was none.
func (s *state) result(op string) (r record, ok bool) {
	for i := len(s.results) - 1; i >= 0; i-- {
		if s.results[i].op == op {
			return s.results[i].record, true
		}
	}
	return record{}, false
}

func (s *state) final() broker.Outcome {
	o := broker.Outcome{Result: broker.Applied}
	switch {
	case s.outcome != nil:
		o = *s.outcome
	case len(s.waiting) > 0:
		o = broker.Outcome{Result: broker.Retry, Class: "odoo.deferred",
			Reason: s.waiting[0].field + ": everything else is in effect; the record that it refers to does not exist yet, so the reference is written when it comes"}
	}
	if o.Result == broker.Retry && (o.Class == "odoo.deferred" || o.Class == "odoo.missing_reference" || o.Class == "odoo.missing_record") {
		o.Result = broker.Deferred // another unit brings what is missing
	}
	o.Records, o.Warning = s.records, s.warning
	return o
}

// stop ends the unit.
func (s *state) stop(r broker.Result, class, reason string) {
	s.outcome = &broker.Outcome{Result: r, Class: class, Reason: reason}
}

func (s *state) fail(model string, v verdict) {
	o := v.outcome(model)
	s.outcome = &o
}

// A job is one operation of one unit.
type job struct {
	s      *state
	op     *broker.Operation
	xid    string
	rec    record // when exists
	exists bool
	byID   bool         // the record was found by its fields
	own    bool         // and was made by an earlier attempt of this very unit
	unsure bool         // exists cannot be known
	held   bool         // only_if does not hold: leave the record alone
	others bool         // somebody else wrote the record last
	newer  bool         // and did so after UnchangedSince
	lost   []string     // fields in which the job overwrites what somebody else may have written
	steps  []*row       // in order; at most two
	lines  []*lineField // to be written after the steps
	owner  string       // names the record among those that have lines
	stale  bool         // a line refers to something that is gone
	id     int64        // the record's, when it is known before any step
	made   bool         // the first step makes the record
	again  bool         // this is its second go, after something that we remembered was gone
}

func (p *pass) run(ctx context.Context) error {
	p.known = map[string]record{}
	p.made = map[string]bool{}
	p.lookups = map[string]*lookup{}
	p.columns = map[string]string{}
	p.found = map[string][]int64{}
	p.failed = map[string]verdict{}
	p.facts = map[string]map[string]fact{}
	if err := p.lookupAll(ctx); err != nil {
		return err
	}
	all := make([]*state, len(p.states))
	for i := range p.states {
		all[i] = &p.states[i]
	}
	if err := p.waves(ctx, all); err != nil {
		return err
	}
	if early := p.tooEarly(); len(early) > 0 {
		if err := p.lookupAll(ctx); err != nil {
			return err
		}
		if err := p.waves(ctx, early); err != nil {
			return err
		}
	}
	return p.arrived(ctx)
}

// waves runs the first operations of all units, then the second, and so on.
func (p *pass) waves(ctx context.Context, states []*state) error {
	for w, more := 0, true; more; w++ {
		more = false
		all := make([]job, 0, len(states))
		jobs := make([]*job, 0, len(states))
		for _, s := range states {
			if s.outcome == nil && w < len(s.unit.Ops) {
				op := &s.unit.Ops[w]
				all = append(all, job{s: s, op: op, xid: xidOf(s.unit, op)})
				jobs = append(jobs, &all[len(all)-1])
			}
			more = more || w+1 < len(s.unit.Ops)
		}
		for _, jobs := range p.scopes(jobs) {
			jobs, err := p.enter(ctx, jobs)
			if err != nil {
				return err
			}
			for len(jobs) > 0 {
				if jobs, err = p.wave(ctx, jobs); err != nil {
					return err
				}
			}
		}
		p.scope, p.scopeKey = nil, ""
		if more {
			atWave.Hit()
		}
	}
	return nil
}

// tooEarly starts those units anew that were rejected for a record which
// another unit of the pass may have made since, in a later wave.
func (p *pass) tooEarly() (early []*state) {
	made := false
	for i := range p.states {
		s := &p.states[i]
		for _, r := range s.records {
			made = made || r.Made
		}
		if o := s.outcome; o != nil && o.Result == broker.Rejected && (o.Class == "odoo.missing_reference" || o.Class == "odoo.missing_record") {
			early = append(early, s)
		}
	}
	if !made {
		return nil
	}
	for _, s := range early {
		*s = state{unit: s.unit, records: s.records[:0]}
	}
	return early
}

// wave runs jobs and returns those that need another go: two that mean the
// same record take turns, and one whose reference was gone tries once more.
func (p *pass) wave(ctx context.Context, jobs []*job) (left []*job, err error) {
	if err := p.learn(ctx, jobs); err != nil {
		return nil, err
	}
	var need []*lookup
	want := func(l *lookup) {
		if _, ok := p.found[l.key]; !ok {
			need = append(need, l)
		}
	}
	for _, j := range jobs {
		for _, vals := range allValues(j.op) {
			p.refsIn(j.s, vals, want)
		}
		if l := p.match(j); l != nil {
			delete(p.found, l.key) // never remembered: an earlier wave may have made it
			need = append(need, l)
		}
	}
	if err := p.resolve(ctx, need); err != nil {
		return nil, err
	}
	taken := make(map[string]bool, len(jobs))
	var now, calls, merges []*job
	for _, j := range jobs {
		same := j.xid
		if l := p.match(j); l != nil {
			same = l.key
		}
		if taken[same] && same != "" {
			left = append(left, j)
			continue
		}
		switch ok := j.identify(p); {
		case !ok: // ended or skipped
		case j.op.Do == "call":
			calls = append(calls, j)
		case j.op.Do == "merge":
			merges = append(merges, j)
		default:
			now = append(now, j)
		}
		if j.s.outcome == nil {
			taken[same] = true
		}
	}
	if err := p.write(ctx, now); err != nil {
		return nil, err
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
	p.forgetMissing(now)
	for _, j := range merges {
		if err := p.merge(ctx, j); err != nil {
			return nil, err
		}
	}
	return left, p.call(ctx, calls)
}

// forgetMissing makes the pass ask again for what it did not find and a job
// may have made.
func (p *pass) forgetMissing(jobs []*job) {
	made := map[string]bool{}
	for _, j := range jobs {
		made[j.op.Model] = made[j.op.Model] || j.made
	}
	for key, ids := range p.found {
		if l := p.lookups[key]; len(ids) == 0 && l != nil && made[l.model] {
			delete(p.found, key)
		}
	}
}

// write takes jobs that make or change records from what is known to what is done.
func (p *pass) write(ctx context.Context, jobs []*job) error {
	if err := p.observe(ctx, jobs); err != nil {
		return err
	}
	for _, j := range jobs {
		j.plan(p)
	}
	if err := p.skipCounted(ctx, jobs); err != nil {
		return err
	}
	if err := p.announce(ctx, jobs); err != nil {
		return err
	}
	for step := range 2 {
		var rows []*row
		for _, j := range jobs {
			if j.s.outcome == nil && step < len(j.steps) && (step == 0 || j.steps[0].verdict == nil) {
				rows = append(rows, j.steps[step])
			}
		}
		if err := p.t.loadAll(ctx, p, rows); err != nil {
			return err
		}
	}
	if err := p.writeLines(ctx, jobs); err != nil {
		return err
	}
	return p.twins(ctx, jobs)
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

// finish takes the job's results over into its unit. It says whether the job
// should be done again.
func (p *pass) finish(ctx context.Context, j *job) (more bool, err error) {
	if j.s.outcome != nil {
		return false, nil
	}
	if j.stale {
		return true, p.anew(ctx, j)
	}
	for _, r := range j.steps {
		if r.verdict == nil && r.raced && r.kind == insert && j.op.Do == "upsert" && !j.again {
			return true, p.anew(ctx, j) // insert-if-absent leaves another writer's record as it is
		}
		if r.verdict == nil {
			continue
		}
		if !j.again && (r.verdict.act == stale || r.verdict.act == reject && r.kind == insert && byFields(j.op)) {
			return true, p.anew(ctx, j)
		}
		j.s.fail(j.op.Model, *r.verdict)
		return false, nil
	}
	id := j.record()
	j.s.warn(j.lostWarning())
	j.s.results = append(j.s.results, result{j.op.ID, record{j.op.Model, id}})
	if id == 0 { // nothing had to be done, and the record is gone
		return false, nil
	}
	if j.xid != "" && (j.op.XID != "" || j.made) {
		p.known[j.xid] = record{j.op.Model, id}
	}
	for i := range j.s.waiting {
		if w := &j.s.waiting[i]; w.model == "" {
			w.record, w.extra = record{j.op.Model, id}, j.op.Context
		}
	}
	j.s.records = append(j.s.records, broker.Record{Op: j.op.ID, Model: j.op.Model, ID: id, Made: j.made})
	return false, nil
}

// record is the id of the job's record, once its steps are done.
func (j *job) record() int64 {
	id := j.id
	for _, r := range j.steps {
		if r.verdict == nil && r.done != 0 {
			id = r.done
		}
	}
	return id
}

// anew forgets what the job remembered, for its second go.
func (p *pass) anew(ctx context.Context, j *job) error {
	j.again = true
	j.s.forgetWaiting()
	for _, vals := range allValues(j.op) {
		p.refsIn(j.s, vals, func(l *lookup) {
			p.t.refs.drop(l.key)
			delete(p.found, l.key)
		})
	}
	names := refNames(j.op)
	if j.xid != "" {
		names = append(names, j.xid)
	}
	for _, x := range names {
		delete(p.known, x)
	}
	return p.lookup(ctx, names)
}

// allValues are an operation's values that references can stand in.
func allValues(op *broker.Operation) [5]broker.Values {
	return [...]broker.Values{op.Vals, op.OnCreate, op.OnUpdate, op.Args, op.OnlyIf}
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
