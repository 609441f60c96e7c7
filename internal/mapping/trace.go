package mapping

import (
	"context"
	"encoding/json"

	"cel.dev/cel-go/common/types/ref"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// An Outcome is what a rule made of one message.
type Outcome string

const (
	OutcomeValue     Outcome = "value"
	OutcomeAbsent    Outcome = "absent"     // nothing to send: the target keeps what it has
	OutcomeNull      Outcome = "null"       // cleared
	OutcomeDefault   Outcome = "default"    // for new records only
	OutcomeWhenFalse Outcome = "when_false" // its condition did not hold
	OutcomeSkipped   Outcome = "skipped"    // left out with a warning: on_error, on_miss
	OutcomeError     Outcome = "error"      // it stopped the unit
)

// An Event is what one rule did with one message. Events hold values of the
// message: they are for a person at a local tool, never for a log.
type Event struct {
	Rule    string // RuleOutline.ID; an operation's id for its when and its match; "ordering", "idempotency"
	Op      string // "kin#2"; "" for lets and guards
	Line    string // key of the line
	Place   Place
	Outcome Outcome
	Inputs  []Input
	Steps   []Step
	Value   any    // what the operation gets; nil unless Outcome is value or default
	Reason  string // of an error or a skip: names places, never values
	Labels  tree.Labels
}

// An Input is one value that a rule read.
type Input struct {
	Name  string // of a named input or a let
	Path  string
	Pos   tree.Pos
	State tree.State
	Text  broker.PHI
}

// A Step is what a value was after one step of its rule.
type Step struct {
	What  string // as in RuleOutline.How
	Value broker.PHI
}

// RunTraced is Run that also tells what each rule did, in order.
func (m *Mapping) RunTraced(ctx context.Context, msg *tree.Message) (Result, []Event) {
	t := &tracer{}
	return m.run(ctx, msg, t), t.events
}

// A tracer records a run. Its methods are called only where a run has one.
type tracer struct {
	events []Event
	now    Event // of the rule in hand
	op     string
	line   string
}

const maxEvents = 20_000 // a tool's memory, not a limit of the language

func (t *tracer) end(rule string, at place, outcome Outcome, value any, f *fault, labels tree.Labels) {
	e := t.now
	t.now = Event{}
	e.Rule, e.Op, e.Line, e.Place, e.Outcome, e.Labels = rule, t.op, t.line, at.public(), outcome, labels
	switch outcome {
	case OutcomeValue, OutcomeDefault:
		e.Value = value
	}
	if f != nil {
		e.Reason = f.text
	}
	if len(t.events) < maxEvents {
		t.events = append(t.events, e)
	}
}

func (t *tracer) input(r *run, in *input, d datum) {
	i := Input{Name: in.name, State: d.state}
	s, _ := d.asText()
	i.Text = broker.PHI(s)
	if in.path == nil {
		i.Name = r.m.lets[in.let].name
	} else {
		i.Path, i.Pos = in.path.text, posOf(in.path.node(r.frames[in.path.depth]))
	}
	t.add(i)
}

// add records an input once: conditions and expressions read again what the
// rule has read.
func (t *tracer) add(i Input) {
	for _, have := range t.now.Inputs {
		if have.Path == i.Path && have.Pos == i.Pos && (have.Name == i.Name || i.Name == "") {
			return
		}
	}
	t.now.Inputs = append(t.now.Inputs, i)
}

// leaf records what a path function of an expression read.
func (t *tracer) leaf(p *boundPath, n *tree.Node) {
	f := p.leaf(n)
	t.add(Input{Path: p.text, Pos: posOf(n), State: f.state, Text: broker.PHI(f.text)})
}

func posOf(n *tree.Node) tree.Pos {
	if n == nil {
		return tree.Pos{}
	}
	return n.Pos
}

func (t *tracer) step(what string, v any) {
	s := ""
	switch v := v.(type) {
	case datum:
		s, _ = v.asText()
	case string:
		s = v
	case ref.Val:
		d := datum{state: tree.Value, cel: v}
		s, _ = d.asText()
	default:
		if b, err := json.Marshal(v); err == nil {
			s = string(b)
		}
	}
	t.now.Steps = append(t.now.Steps, Step{What: what, Value: broker.PHI(s)})
}

// value records a let that an expression named.
func (t *tracer) value(let string, d datum) {
	s, _ := d.asText()
	t.add(Input{Name: let, State: d.state, Text: broker.PHI(s)})
}

func (t *tracer) let(r *run, x *let, d datum, f *fault) {
	outcome, value := outcomeOf(x.rule, d.state, r.left, f), any(nil)
	if s, err := d.asText(); err == nil && d.state == tree.Value {
		value = s
	}
	t.op = ""
	t.end(x.rule.id(), x.rule.at, outcome, value, f, r.taint)
}

// key records what orders units or tells them apart.
func (t *tracer) key(name string, from *template, value string) {
	outcome := OutcomeValue
	if value == "" {
		outcome = OutcomeAbsent
	}
	t.op = ""
	t.end(name, from.at, outcome, value, nil, from.labels)
}

// condition records a guard, or an operation's when.
func (t *tracer) condition(rule string, at place, yes bool, f *fault, labels tree.Labels) {
	outcome := OutcomeValue
	if f != nil {
		outcome = OutcomeError
	} else if !yes {
		outcome = OutcomeWhenFalse
	}
	t.end(rule, at, outcome, yes, f, labels)
}

// identity records what an operation is matched by.
func (t *tracer) identity(op *operation, out *broker.Operation, f *fault) {
	outcome, value := OutcomeValue, any(out.XID)
	switch {
	case out.By != nil:
		value = map[string]any(out.By)
	case out.XID == "":
		value = out.On
	}
	if f != nil {
		outcome = OutcomeError
	}
	t.end(op.id, op.at, outcome, value, f, op.labels)
}

// field records a rule of an operation, or of a line, after it ran.
func (t *tracer) field(r *run, x *rule, out *sink, f *fault) {
	state, value := tree.Absent, any(nil)
	for _, vals := range [...]broker.Values{out.vals, out.onCreate, out.onUpdate} {
		if v, sent := vals[x.field]; sent {
			if state, value = tree.Value, v; v == nil {
				state = tree.Null
			}
		}
	}
	labels := r.taint
	if x.blocks == nil {
		labels = labels&^x.drop | x.gain
	}
	t.end(x.id(), x.at, outcomeOf(x, state, r.left, f), value, f, labels)
}

func outcomeOf(x *rule, s tree.State, left Outcome, f *fault) Outcome {
	switch {
	case f != nil && x.onError == "skip":
		return OutcomeSkipped
	case f != nil:
		return OutcomeError
	case left != "":
		return left
	case s == tree.Value:
		return OutcomeValue
	case s == tree.Null:
		return OutcomeNull
	}
	return OutcomeAbsent
}
