package workbench

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Unit is what a mapping makes of one message, as goldens have it, with what
// a person wants to know besides. It holds values of the message.
type Unit struct {
	Mapping     string             `json:"mapping"` // "id@version"
	Verdict     broker.Verdict     `json:"verdict"`
	Class       string             `json:"class,omitempty"`
	Reason      string             `json:"reason,omitempty"`
	Ordering    string             `json:"ordering,omitempty"`
	OtherKeys   []string           `json:"other_ordering,omitempty"`
	Idempotency string             `json:"idempotency,omitempty"`
	Warnings    []string           `json:"warnings,omitempty"`
	Ops         []broker.Operation `json:"ops,omitempty"`
	Document    []string           `json:"document,omitempty"` // of an outbound mapping: its segments
}

func unitOf(m *mapping.Mapping, res mapping.Result) (Unit, error) {
	u := Unit{Mapping: fmt.Sprintf("%s@%d", m.ID, m.Version), Verdict: res.Verdict, Class: res.Class, Reason: string(res.Detail),
		Ordering: res.Ordering, OtherKeys: res.OtherOrdering, Idempotency: res.Idempotency, Ops: res.Ops}
	for _, w := range res.Warnings {
		u.Warnings = append(u.Warnings, string(w.Detail))
	}
	if res.Document == nil {
		return u, nil
	}
	var err error
	u.Document, err = m.DocumentLines(res.Document)
	return u, err
}

// A Run is one message on its way through a mapping.
type Run struct {
	Message string        `json:"message"` // its type: "ADT^A08^ADT_A01"
	Unit    Unit          `json:"unit"`
	Events  []ExplainedAs `json:"events,omitempty"`

	outline mapping.Outline
	events  []mapping.Event
	show    func(string) string
}

// ExplainedAs is what one rule did, with the values in clear.
type ExplainedAs struct {
	Rule    string          `json:"rule"`
	Op      string          `json:"op,omitempty"`
	Line    string          `json:"line,omitempty"` // key of a line of a one2many field
	At      string          `json:"at"`             // file:line
	Outcome mapping.Outcome `json:"outcome"`
	Reason  string          `json:"reason,omitempty"`
	Inputs  []ExplainedIn   `json:"inputs,omitempty"`
	Steps   []ExplainedStep `json:"steps,omitempty"`
	Value   any             `json:"value,omitempty"`
	Labels  []string        `json:"labels,omitempty"`
}

// ExplainedIn is one value that a rule read.
type ExplainedIn struct {
	Name   string `json:"name,omitempty"`
	Path   string `json:"path,omitempty"`
	Line   int    `json:"line,omitempty"`   // segment or line of the message, from 1
	Offset int    `json:"offset,omitempty"` // in bytes, from 0
	State  string `json:"state"`            // absent, null, value
	Text   string `json:"text,omitempty"`
}

// ExplainedStep is what a value was after one step.
type ExplainedStep struct {
	What  string `json:"what"`
	Value string `json:"value"`
}

// Run maps the messages of one file, which may be many where the format splits
// files, and tells what each rule did.
func (b Bench) Run(ctx context.Context, file string, body []byte) ([]Run, error) {
	m, err := b.load(file)
	if err != nil {
		return nil, err
	}
	bodies, err := split(m.Dialect, body)
	if err != nil {
		return nil, err
	}
	var out []Run
	for i, body := range bodies {
		msg, err := m.Dialect.Decode(body, nil)
		if err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(bodies), err)
		}
		res, events := m.RunTraced(ctx, msg)
		unit, err := unitOf(m, res)
		if err != nil {
			return nil, fmt.Errorf("message %d of %d: %w", i+1, len(bodies), err)
		}
		r := Run{Message: msg.Type, Unit: unit, outline: m.Outline(), events: events, show: b.show}
		for _, e := range events {
			r.Events = append(r.Events, b.explained(e))
		}
		out = append(out, r)
	}
	return out, ctx.Err()
}

// split returns the messages of a file.
func split(d tree.Dialect, body []byte) ([][]byte, error) {
	s, ok := d.(tree.Splitter)
	if !ok {
		return [][]byte{body}, nil
	}
	return s.Split(body)
}

func (b Bench) explained(e mapping.Event) ExplainedAs {
	x := ExplainedAs{Rule: e.Rule, Op: e.Op, Line: e.Line, At: fmt.Sprintf("%s:%d", b.show(e.Place.File), e.Place.Line), Outcome: e.Outcome,
		Reason: e.Reason, Value: e.Value, Labels: e.Labels.Names()}
	for _, in := range e.Inputs {
		x.Inputs = append(x.Inputs, ExplainedIn{in.Name, in.Path, in.Pos.Line, in.Pos.Offset, stateName(in.State), string(in.Text)})
	}
	for _, s := range e.Steps {
		x.Steps = append(x.Steps, ExplainedStep{s.What, string(s.Value)})
	}
	return x
}

func stateName(s tree.State) string { return [...]string{"absent", "null", "value"}[s] }

// Print writes the unit as indented JSON, its keys in a colour.
func (u Unit) Print(s Screen) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(u); err != nil {
		return err
	}
	for l := range strings.Lines(b.String()) {
		l = strings.TrimSuffix(l, "\n")
		if key, value, ok := strings.Cut(l, `": `); ok && strings.HasPrefix(strings.TrimLeft(key, " "), `"`) {
			l = s.in(cyan, printable(key+`"`)) + ": " + printable(value)
		} else {
			l = printable(l)
		}
		s.line(l)
	}
	return nil
}
