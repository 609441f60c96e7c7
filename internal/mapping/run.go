package mapping

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path"
	"slices"
	"strconv"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Result is what a mapping makes of one message. Ordering, OtherOrdering and
// Idempotency are values of the message: they leave the site as HMACs only.
type Result struct {
	Verdict  broker.Verdict
	Class    string     // of a verdict other than Apply: "mapping.required", "mapping.guard", …
	Reason   string     // of a verdict other than Apply: names places, never values
	Detail   broker.PHI // Reason with the values, for a person at a local tool
	Warnings []Issue    // what was left out on purpose, and why
	Ordering string     // "" when the mapping has no ordering, or the message none of its values
	// OtherOrdering are the keys beside Ordering, each once.
	OtherOrdering []string
	Idempotency   string
	Ops           []broker.Operation // of Apply
	Document      *tree.Message      // of Apply, when the mapping is outbound: what its dialect encodes
}

// Format prints the verdict and its class for every verb, so that no %v spells
// out a key or a value.
func (res Result) Format(s fmt.State, _ rune) {
	fmt.Fprintf(s, "%s %s [%d operations, %d warnings]", res.Verdict, res.Class, len(res.Ops), len(res.Warnings))
}

// LogValue implements [slog.LogValuer]: the verdict, its class and reason.
func (res Result) LogValue() slog.Value {
	return slog.GroupValue(slog.String("verdict", string(res.Verdict)), slog.String("class", res.Class), slog.String("reason", res.Reason))
}

// Matches says whether the mapping wants the message: its format, and every
// condition of source.when.
func (m *Mapping) Matches(msg *tree.Message) bool {
	if msg == nil || msg.Root == nil || msg.Format != m.Format {
		return false
	}
	frames := []*tree.Node{msg.Root}
	for i := range m.when {
		if !m.when[i].holds(frames) {
			return false
		}
	}
	return true
}

func (c *condition) holds(frames []*tree.Node) bool {
	if len(c.values) > 0 {
		f := c.path.one(frames)
		return f.state == tree.Value && slices.Contains(c.values, f.text)
	}
	nodes, more := c.path.nodes(frames[c.path.depth])
	return c.present == (more || slices.ContainsFunc(nodes, func(n *tree.Node) bool {
		return c.path.whole && n.State != tree.Absent || !c.path.whole && c.path.leaf(n).state == tree.Value
	}))
}

// maxTime bounds the mapping of one message: far more than the worst that the
// other limits let through in practice, and less than a site can do without.
const maxTime = 30 * time.Second

// Run maps one message. It is pure, and stops when ctx is done or a limit is
// reached (maxTime among them): then the verdict is DeadLetter. Safe for
// concurrent use.
func (m *Mapping) Run(ctx context.Context, msg *tree.Message) Result { return m.run(ctx, msg, nil) }

func (m *Mapping) run(ctx context.Context, msg *tree.Message, t *tracer) (res Result) {
	if !m.Matches(msg) {
		return Result{Verdict: broker.Skip, Class: ClassNotMine, Reason: "the message is not one that " + m.ID + " takes"}
	}
	r := &run{m: m, ctx: ctx, until: time.Now().Add(maxTime), trace: t, ran: make([][]bool, len(m.ops))}
	r.frames = append(r.frameBuf[:0], msg.Root)
	defer func() {
		// One poisonous message must not stop a site: a fault of ours is a dead
		// letter like any other. Its text could hold a value and is not kept.
		if p := recover(); p != nil {
			res = Result{Verdict: broker.DeadLetter, Class: ClassInternal, Reason: "the mapping failed on this message; please report it",
				Detail: broker.PHI(fmt.Sprint(p))}
		}
	}()
	res = r.all()
	res.Warnings = r.warnings
	return res
}

// A run is one message on its way.
type run struct {
	m        *Mapping
	ctx      context.Context
	until    time.Time
	looks    int          // how often it was asked whether there is time left
	frames   []*tree.Node // root, the operation's item, the rule's item
	frameBuf [8]*tree.Node
	lets     []datum
	item     int      // of the operation's list, from 0
	repeats  bool     // the operation has a list
	ran      [][]bool // by operation and item
	ops      []broker.Operation
	taint    tree.Labels // of what was read since it was cleared
	letTaint []tree.Labels
	bytes    int
	written  int // segments of the document
	warnings []Issue
	act      activation
	inBuf    []datum // inputs of the rule in hand
	lines    int
	it       datum   // `it` of the reference in hand
	missed   bool    // the rule's table has no such code, and its default stands for it
	left     Outcome // the rule left its field alone on purpose: no default either
	trace    *tracer // nil but for RunTraced
}

// all runs lets, guards, keys and operations.
func (r *run) all() Result {
	var res Result
	r.lets = make([]datum, 0, len(r.m.lets))
	var stop *fault
	verdict := r.m.onError
	for _, x := range r.m.lets {
		d, f := r.let(x)
		if r.trace != nil {
			r.trace.let(r, x, d, f)
		}
		if f != nil && x.rule.skips(f) {
			r.warn(x.rule, f)
		} else if f != nil && stop == nil {
			stop = f
			verdict = r.verdict(x.rule.stops(f))
		}
		r.lets = append(r.lets, d)
	}
	var missing string
	for _, t := range r.m.ordering {
		// A unit that fails has its keys too: later units of them may wait for it.
		key, lacks := t.expand(r, nil)
		if lacks != "" {
			key, missing = "", cmp.Or(missing, lacks)
		}
		switch {
		case key == "" || key == res.Ordering || slices.Contains(res.OtherOrdering, key):
		case res.Ordering == "":
			res.Ordering = key
		default:
			res.OtherOrdering = append(res.OtherOrdering, key)
		}
		if r.trace != nil {
			r.trace.key("ordering", t, key)
		}
	}
	res.Idempotency = r.idempotency()
	if r.trace != nil && len(r.m.idem) > 0 {
		r.trace.key("idempotency", r.m.idem[0], res.Idempotency)
	}
	if stop != nil {
		return res.stop(r.m, verdict, stop)
	}
	for i, g := range r.m.guards {
		r.taint = 0
		yes, f := r.test(g.when, nil)
		if r.trace != nil {
			r.trace.condition(guardID(i), g.when.at, yes, f, r.taint)
		}
		if f != nil {
			return res.stop(r.m, r.m.onError, f.in("guard").of(g.when.at))
		}
		if yes {
			return res.stop(r.m, g.verdict, &fault{class: ClassGuard, text: g.because})
		}
	}
	for i, op := range r.m.ops {
		if v, f := r.operation(i, op); f != nil {
			return res.stop(r.m, v, f)
		}
	}
	if r.m.document != nil {
		doc, f := r.document()
		if f != nil {
			return res.stop(r.m, r.verdict(f), f)
		}
		res.Document = doc
	}
	if missing != "" && (len(r.ops) > 0 || res.Document != nil) {
		return res.stop(r.m, r.m.onError, &fault{class: ClassIdentity, text: "ordering: " + missing})
	}
	if f := r.checkEgress(); f != nil {
		return res.stop(r.m, broker.DeadLetter, f)
	}
	if len(r.ops) == 0 && res.Document == nil {
		res.Verdict, res.Class, res.Reason = broker.Skip, ClassNothing, "no operation of "+r.m.ID+" applies to the message"
		res.Detail = broker.PHI(res.Reason)
		return res
	}
	res.Verdict, res.Ops = broker.Apply, r.ops
	return res
}

func (res Result) stop(m *Mapping, v broker.Verdict, f *fault) Result {
	detail := f.detail
	if detail == "" {
		detail = f.text
	}
	at := ""
	if f.rule.line > 0 {
		at = " (line " + strconv.Itoa(f.rule.line)
		if file := f.rule.file.name; file != m.file {
			at += " of " + path.Base(file)
		}
		at += ")"
	}
	res.Verdict, res.Class, res.Reason, res.Detail = v, f.class, f.text+at, broker.PHI(detail+at)
	return res
}

// idempotency joins the templates by |. A missing part is empty; when all are,
// there is no key.
func (r *run) idempotency() string {
	out := make([]byte, 0, 48)
	any := false
	for i, t := range r.m.idem {
		if i > 0 {
			out = append(out, '|')
		}
		s, missing := t.expand(r, nil)
		any = any || missing == ""
		out = append(out, s...)
	}
	if !any {
		return ""
	}
	return string(out)
}

// operation runs one operation: once, or for each item.
func (r *run) operation(index int, op *operation) (broker.Verdict, *fault) {
	if r.repeats = op.each != nil; !r.repeats {
		r.item = 0
		return r.one(index, op, op.id)
	}
	items, more := op.each.items(r.frames[op.each.depth])
	if more {
		return r.m.onError, &fault{class: ClassLimit, text: fmt.Sprintf("%s: %s repeats more than %d times", op.id, op.each.text, maxRepetitions)}
	}
	for n, item := range items {
		if item.node.State != tree.Value {
			continue
		}
		outer := r.enter(item)
		r.item = n
		v, f := r.one(index, op, op.id+"#"+strconv.Itoa(n+1))
		r.frames = r.frames[:outer]
		if f != nil {
			return v, f
		}
	}
	return "", nil
}

// stopped is the fault of a mapping that has no more time.
func (r *run) stopped() *fault {
	if r.ctx.Err() == nil {
		if r.looks++; r.looks%16 != 0 || time.Now().Before(r.until) { // a look at the clock costs as much as a small rule
			return nil
		}
	}
	return &fault{class: ClassLimit, text: "the mapping was stopped before it was done", policy: string(broker.DeadLetter)}
}

func (r *run) one(index int, op *operation, name string) (broker.Verdict, *fault) {
	if r.trace != nil {
		r.trace.op = name
	}
	if f := r.stopped(); f != nil {
		return broker.DeadLetter, f.in(name)
	}
	if op.when != nil {
		yes, f := r.test(op.when, nil)
		if r.trace != nil && (!yes || f != nil) {
			r.trace.condition(op.id, op.at, yes, f, op.when.labels)
		}
		if f != nil {
			return r.m.onError, f.in(name + ".when").of(op.at)
		}
		if !yes {
			return "", nil
		}
	}
	if len(r.ops) == maxOperations {
		return r.m.onError, &fault{class: ClassLimit, text: fmt.Sprintf("%s: more than %d operations", name, maxOperations), rule: op.at}
	}
	out := broker.Operation{ID: name, Model: op.model, Do: op.do, OnNone: op.onNone, Method: op.method, OnlyIf: maps.Clone(op.onlyIf)}
	here, f := r.identity(op, &out)
	if r.trace != nil && here {
		r.trace.identity(op, &out, f)
	}
	if f != nil {
		return r.verdict(f), f.in(name).of(op.at)
	}
	if !here {
		return "", nil
	}
	var s sink
	if f := r.rules(op.rules, op.do, name, &s); f != nil {
		return r.verdict(f), f
	}
	out.Vals, out.OnCreate, out.OnUpdate = s.vals, s.onCreate, s.onUpdate
	var args sink
	if f := r.rules(op.args, op.do, name+".args", &args); f != nil {
		return r.verdict(f), f
	}
	out.Args = args.vals
	if op.since != nil {
		var since sink
		if f := r.rules([]*rule{op.since}, op.do, name+".only_if", &since); f != nil {
			return r.verdict(f), f
		}
		out.UnchangedSince, _ = since.vals[unchangedSince].(string)
	}
	if f := r.byFields(op, &out); f != nil {
		return r.m.onError, f.in(name).of(op.at)
	}
	for len(r.ran[index]) <= r.item {
		r.ran[index] = append(r.ran[index], false)
	}
	r.ran[index][r.item] = true
	r.ops = append(r.ops, out)
	return "", nil
}

// rules runs the rules of an operation's fields or arguments.
func (r *run) rules(rules []*rule, do, name string, s *sink) *fault {
	if len(rules) == 0 {
		return nil
	}
	s.do, s.vals = do, make(broker.Values, len(rules))
	for _, x := range rules {
		f := r.field(x, s)
		if r.trace != nil {
			r.trace.field(r, x, s, f)
		}
		if f == nil {
			continue
		}
		if x.skips(f) {
			r.warn(x, f.in(name+"."+x.field))
			continue
		}
		return x.stops(f).in(name + "." + x.field).of(x.at)
	}
	if len(s.vals) == 0 {
		s.vals = nil
	}
	return nil
}

// identity fills XID or By, On and Context. here is false for a call whose
// record's operation did not run: there is nothing to call.
func (r *run) identity(op *operation, out *broker.Operation) (here bool, f *fault) {
	r.taint = 0
	if op.xid != nil {
		var missing string
		if out.XID, missing = op.xid.expand(r, escapeXID); missing != "" {
			return true, &fault{class: ClassIdentity, text: "no identity: " + missing}
		}
		if f := r.count(out.XID); f != nil {
			return true, f
		}
	}
	for i := range op.by {
		k := &op.by[i]
		s, missing := k.text.expand(r, nil)
		if missing != "" {
			return true, &fault{class: ClassIdentity, text: "no identity: " + missing}
		}
		v, f := r.keyValue(k, datum{state: tree.Value, text: s})
		if f != nil {
			return true, f
		}
		if out.By == nil {
			out.By = make(broker.Values, len(op.by))
		}
		out.By[k.field] = v
	}
	if op.on != nil {
		if out.On, f = r.earlier(op.on); f != nil && op.do == "call" {
			return false, nil
		} else if f != nil {
			return true, f
		}
	}
	for i := range op.context {
		c := &op.context[i]
		v := c.value
		if c.text != nil {
			s, missing := c.text.expand(r, nil)
			if missing != "" {
				continue
			}
			if f := r.count(s); f != nil {
				return true, f
			}
			v = s
		}
		if out.Context == nil {
			out.Context = make(broker.Values, len(op.context))
		}
		out.Context[c.key] = v
	}
	return true, r.leaves(0)
}

// byFields matches by what the fields' own rules gave.
func (r *run) byFields(op *operation, out *broker.Operation) *fault {
	for _, name := range op.byFields {
		v := out.Vals[name]
		if v == nil {
			return &fault{class: ClassIdentity, text: "no identity: " + name + " has no value"}
		}
		if out.By == nil {
			out.By = make(broker.Values, len(op.byFields))
		}
		out.By[name] = v
	}
	return nil
}

// earlier names the operation that op or on means in this message: that of the
// same item where it repeats, or all of it where the one in hand does not.
func (r *run) earlier(op *operation) (string, *fault) {
	index := slices.Index(r.m.ops, op)
	item, name := 0, op.id
	switch {
	case op.each != nil && r.repeats:
		item = r.item
		name += "#" + strconv.Itoa(item+1)
	case op.each != nil:
		item = slices.Index(r.ran[index], true)
	}
	if item < 0 || item >= len(r.ran[index]) || !r.ran[index][item] {
		return "", &fault{class: ClassOp, text: "operation " + name + " did not run"}
	}
	return name, nil
}

// test evaluates a condition.
func (r *run) test(p *program, inputs []datum) (bool, *fault) {
	v, f := r.eval(p, inputs, first(inputs))
	if f != nil {
		return false, f
	}
	b, ok := v.Value().(bool)
	if !ok {
		return false, &fault{class: ClassCEL, text: "the expression is neither true nor false"}
	}
	return b, nil
}
