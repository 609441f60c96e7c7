package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/internal/tree"
)

// An Outline describes a loaded mapping for people and tools: what it reads,
// what it writes and how the one becomes the other.
type Outline struct {
	Lets       []RuleOutline
	Guards     []RuleOutline // ID "guards[1]", How its expression
	Operations []OperationOutline
	Segments   []RuleOutline // outbound: one for each element that is written; Field is its ID
	Allow      tree.Labels   // egress.allow
	Tables     []TableOutline
}

// A Place is where in a file something stands; Line and Col count from 1.
type Place struct {
	File      string
	Line, Col int
}

// A TableOutline is one code table. File is "" for one that stands in the
// mapping.
type TableOutline struct {
	Name, File string
	Place      Place
	Rows       int
	Used       bool
}

// An OperationOutline is one operation; its Labels are those of its identity.
type OperationOutline struct {
	ID, Model, Do, Each, When, Match string
	Place                            Place
	Labels                           tree.Labels
	Decides                          tree.Labels   // of what decides whether it is made: its when
	Rules                            []RuleOutline // of its fields, then of its arguments: "post.args.reason"
}

// A RuleOutline is one rule: a let, a guard, a field.
type RuleOutline struct {
	ID                                    string // "patient.phone", "order.order_line.price_unit", "let.mrn": unique in the mapping
	Place                                 Place  // of its key
	From                                  string // the file that it comes from when it is not the mapping's own
	Model, Field                          string // the target; zero for lets and guards, like what follows
	FieldTitle, FieldType, Relation, Help string
	Sources                               []SourceOutline
	How                                   []string // steps in words, in their order: "table sex", "text to date", "res.country by code"
	Policies                              []string // "required", "default false on create", "on_error skip", …
	Labels                                tree.Labels
	Decides                               tree.Labels // of what decides whether it is written: its when, and predicates
	Dropped                               tree.Labels // declassified, and Because of what
	Because                               string
	Outcomes                              []Outcome     // those that the rule can have
	Lines                                 []RuleOutline // of a one2many field: the rules of its lines
}

// A SourceOutline is one place that a rule reads: a path, or a let.
type SourceOutline struct {
	Path, Let string
	Place     Place
	Titles    []string // the standard's names on the way: "Patient Identification", "Patient Name", "Family Name"
	Type      string   // "XPN"
	Table     string   // of the standard
	Labels    tree.Labels
}

// Outline describes the mapping, in the file's order.
func (m *Mapping) Outline() Outline {
	o := Outline{Allow: m.allow}
	for _, x := range m.lets {
		o.Lets = append(o.Lets, m.outlineRule(x.rule))
	}
	for i, g := range m.guards {
		out := RuleOutline{ID: guardID(i), Outcomes: []Outcome{OutcomeValue, OutcomeWhenFalse}}
		if g.when != nil {
			out.Place, out.Labels, out.How = g.when.at.public(), g.when.labels, []string{howCEL(g.when)}
			out.Sources = m.celSources(nil, g.when)
		}
		out.Policies = []string{string(g.verdict) + ": " + g.because}
		o.Guards = append(o.Guards, out)
	}
	for _, op := range m.ops {
		out := OperationOutline{ID: op.id, Model: op.model, Do: op.do, Place: op.at.public(), Labels: op.labels, Decides: op.asks, Match: op.howMatched()}
		if op.each != nil {
			out.Each = op.each.text
		}
		if op.when != nil {
			out.When = op.when.text
		}
		for _, r := range op.rules {
			out.Rules = append(out.Rules, m.outlineRule(r))
		}
		for _, r := range op.args {
			out.Rules = append(out.Rules, m.outlineRule(r))
		}
		if op.since != nil {
			out.Rules = append(out.Rules, m.outlineRule(op.since))
		}
		o.Operations = append(o.Operations, out)
	}
	if m.document != nil {
		o.Segments = m.outlineBlocks(nil, m.document.blocks)
	}
	for _, name := range m.tableNames() {
		t := m.tables[name]
		rows := len(t.rows)
		if t.catch {
			rows++
		}
		o.Tables = append(o.Tables, TableOutline{Name: name, File: t.file, Place: t.at.public(), Rows: rows, Used: t.used})
	}
	return o
}

func (p place) public() Place {
	out := Place{Line: p.line, Col: p.col}
	if p.file != nil {
		out.File = p.file.name
	}
	return out
}

func guardID(i int) string { return "guards[" + strconv.Itoa(i+1) + "]" }

func (op *operation) howMatched() string {
	switch {
	case op.xid != nil:
		return op.xid.text
	case op.do == "call":
		return op.on.id
	}
	keys := slices.Clone(op.byFields)
	for _, k := range op.by {
		keys = append(keys, k.field+" = "+k.text.text)
	}
	return strings.Join(keys, ", ")
}

func (m *Mapping) outlineRule(r *rule) RuleOutline {
	o := RuleOutline{ID: r.id(), Place: r.at.public(), Labels: r.labels, Decides: r.asks, Dropped: r.drop, Because: r.because, Outcomes: m.outcomes(r), Policies: r.policies()}
	if o.Place.File != m.file {
		o.From = o.Place.File
	}
	if f := r.conv.field; f != nil && r.model != "" {
		o.Model, o.Field = r.model, r.field
		o.FieldTitle, o.FieldType, o.Relation, o.Help = f.Title, f.Type, f.Relation, f.Help
	}
	if r.blocks == nil {
		o.Sources, o.How = m.sources(r), r.how()
	}
	for _, b := range r.blocks {
		if b.each != nil {
			o.How = append(o.How, "each "+b.each.text)
		}
		if b.item != nil {
			o.Sources, o.How = append(o.Sources, m.sources(b.item)...), append(o.How, b.item.how()...)
			continue
		}
		o.How = append(o.How, "key "+b.key.text)
		o.Sources = m.templateSources(o.Sources, b.key)
		for _, x := range b.rules {
			o.Lines = append(o.Lines, m.outlineRule(x))
		}
	}
	return o
}

// sources are all places that a rule reads, besides its when: that decides,
// and does not leave.
func (m *Mapping) sources(r *rule) []SourceOutline {
	var out []SourceOutline
	for i := range r.inputs {
		out = append(out, m.source(&r.inputs[i]))
	}
	out = m.templateSources(out, r.text)
	out = m.celSources(out, r.cel)
	if r.ref != nil {
		out = m.templateSources(out, r.ref.xid)
		for _, k := range r.ref.by {
			out = m.celSources(out, k.cel)
		}
	}
	return out
}

func (m *Mapping) source(in *input) SourceOutline {
	if in.path == nil {
		x := m.lets[in.let]
		return SourceOutline{Let: x.name, Place: in.at.public(), Labels: x.labels}
	}
	return pathSource(in.path, in.at)
}

func pathSource(p *boundPath, at place) SourceOutline {
	s := SourceOutline{Path: p.text, Place: at.public(), Labels: p.labels}
	for _, e := range p.elems {
		if e.Title != "" {
			s.Titles = append(s.Titles, e.Title)
		}
	}
	if p.typ != nil {
		s.Type = p.typ.Name
	}
	if n := len(p.elems); n > 0 {
		s.Table = p.elems[n-1].Table
	}
	if s.Table == "" && p.leafElem != nil {
		s.Table = p.leafElem.Table
	}
	return s
}

func (m *Mapping) templateSources(out []SourceOutline, t *template) []SourceOutline {
	if t == nil {
		return out
	}
	for _, p := range t.parts {
		if p.input != nil {
			out = append(out, m.source(p.input))
		}
	}
	return out
}

// celSources appends what an expression reads besides the rule's inputs.
func (m *Mapping) celSources(out []SourceOutline, p *program) []SourceOutline {
	if p == nil {
		return out
	}
	add := func(s SourceOutline) {
		if !slices.ContainsFunc(out, func(o SourceOutline) bool { return o.Path == s.Path && o.Let == s.Let }) {
			out = append(out, s)
		}
	}
	for i := range p.vars {
		switch v := &p.vars[i]; {
		case v.kind == varLet:
			add(SourceOutline{Let: v.name, Place: p.at.public(), Labels: m.lets[v.index].labels})
		case v.path != nil:
			add(pathSource(v.path, p.at))
		}
	}
	for _, path := range p.paths {
		add(pathSource(path, p.at))
	}
	return out
}

// how says what a rule does with what it reads. The steps of a trace have the
// same words.
func (r *rule) how() []string {
	var out []string
	switch {
	case r.op != nil:
		out = append(out, "the record of "+r.op.id)
	case r.constant != nil:
		out = append(out, "constant "+r.constant.String())
	case r.text != nil:
		out = append(out, "text "+r.text.text)
	}
	if r.table != nil {
		out = append(out, howTable(r.table))
	}
	if r.cel != nil {
		out = append(out, howCEL(r.cel))
	}
	if r.ref != nil {
		return append(out, r.ref.how())
	}
	if how := r.howConverted(); how != "" {
		out = append(out, how)
	}
	return out
}

func howTable(t *table) string { return "table " + t.name }
func howCEL(p *program) string { return "CEL " + p.text }

func (ref *reference) how() string {
	if ref.xid != nil {
		return ref.model + " by external id " + ref.xid.text
	}
	fields := make([]string, len(ref.by))
	for i, k := range ref.by {
		fields[i] = k.field
	}
	return ref.model + " by " + strings.Join(fields, ", ")
}

// howConverted names a conversion that changes more than the type's name.
func (r *rule) howConverted() string {
	if r.conv.field == nil || r.op != nil || r.constant != nil || r.cel != nil || r.text != nil || r.ref != nil {
		return ""
	}
	to := r.conv.field.Type
	switch {
	case r.conv.as != nil && r.conv.as.layout != nil:
		return r.conv.as.layout.format + " to " + to
	case r.conv.as != nil:
		return r.conv.as.kind + " to " + to
	case slices.Contains([]string{"char", "text", "selection"}, to):
		return ""
	}
	from := "text"
	for _, in := range r.inputs {
		if in.path != nil && r.table == nil {
			from = strings.TrimPrefix(strings.TrimPrefix(kindName(in.path.kind), "a "), "an ")
		}
	}
	if from == to {
		return ""
	}
	return from + " to " + to
}

func (r *rule) policies() []string {
	var out []string
	add := func(yes bool, format string, args ...any) {
		if yes {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	for _, b := range r.blocks {
		add(b.when != nil, "when %s", programText(b.when))
		if b.item != nil {
			out = append(out, b.item.policies()...)
		}
	}
	add(r.when != nil, "when %s", programText(r.when))
	add(r.required, "required")
	add(r.fallback != nil && r.element == nil, "default %s on create", r.fallback)
	add(r.fallback != nil && r.element != nil, "default %s", r.fallback)
	add(r.onCreate, "only on create")
	add(r.onUpdate, "only on update")
	add(r.mode != "", "mode %s", strings.TrimPrefix(r.mode, "$"))
	add(r.keepNull, "on_null keep")
	add(r.onMiss != "" && r.onMiss != "error", "on_miss %s", r.onMiss)
	add(r.onError != "", "on_error %s", r.onError)
	if r.ref != nil {
		add(r.ref.onNone != "", "on_none %s", r.ref.onNone)
		add(r.ref.onMany != "", "on_many %s", r.ref.onMany)
	}
	return out
}

func programText(p *program) string {
	if p == nil {
		return ""
	}
	return p.text
}

// formatsWithoutNull can not say that a value is to be cleared (X12 has no
// null, a CSV cell is empty or not).
var formatsWithoutNull = []string{"x12", "csv", "fixed", "odoo"}

// outcomes are those that a rule can have with some message.
func (m *Mapping) outcomes(r *rule) []Outcome {
	var out []Outcome
	add := func(yes bool, o Outcome) {
		if yes {
			out = append(out, o)
		}
	}
	if r.blocks != nil {
		return m.outcomesOfMany(r)
	}
	maybe := m.maybeAbsent(r)
	add(r.constant == nil || !r.constant.null, OutcomeValue)
	add(maybe && !r.required && r.fallback == nil, OutcomeAbsent)
	add(m.maybeNull(r) && !r.required, OutcomeNull)
	add(r.fallback != nil && (maybe || r.onMiss == "default"), OutcomeDefault)
	add(r.when != nil, OutcomeWhenFalse)
	add(r.onError == "skip" || r.onMiss == "skip", OutcomeSkipped)
	add(r.required && maybe || r.onMiss == "error" && !r.table.catch, OutcomeError)
	return out
}

// maybeAbsent says whether what a rule starts from and makes of it can be
// nothing, or null.
func (m *Mapping) maybeAbsent(r *rule) bool {
	text := r.cel != nil && r.cel.out.IsExactType(cel.StringType)
	switch {
	case r.constant != nil, r.op != nil:
		return false
	case r.text != nil:
		return slices.ContainsFunc(r.text.parts, func(p templatePart) bool { return p.literal == "" && (p.input == nil || !m.sure(*p.input)) })
	case len(r.inputs) == 0:
		return text
	}
	empties := r.table != nil && (r.table.catch && r.table.other == "" || slices.Contains(slices.Collect(maps.Values(r.table.rows)), ""))
	return text || empties || r.ref != nil && (r.named || r.ref.xid != nil) || !slices.ContainsFunc(r.inputs, m.sure)
}

// maybeNull says whether a rule can be told to clear its field.
func (m *Mapping) maybeNull(r *rule) bool {
	if r.constant != nil {
		return r.constant.null
	}
	if slices.Contains(formatsWithoutNull, m.Format) || slices.ContainsFunc(r.inputs, m.sure) {
		return false
	}
	return slices.ContainsFunc(r.inputs, func(in input) bool {
		return in.path != nil || m.maybeNull(m.lets[in.let].rule) && !m.lets[in.let].rule.required
	})
}

// sure says whether an input always has a value, where the message is not
// refused before: a let that is required, constant or has a default.
func (m *Mapping) sure(in input) bool {
	if in.path != nil {
		return false
	}
	r := m.lets[in.let].rule
	if r.when != nil || r.onError == "skip" {
		return false
	}
	return r.required || !m.maybeNull(r) && (r.fallback != nil && r.onMiss != "skip" || !m.maybeAbsent(r))
}

// outcomesOfMany are those of lines or references as a whole: what one of them
// leaves out, others may bring.
func (m *Mapping) outcomesOfMany(r *rule) []Outcome {
	out := []Outcome{OutcomeValue}
	maybe, when, skip := false, false, false
	for _, b := range r.blocks {
		maybe = maybe || b.each != nil || b.when != nil || b.item != nil && m.maybeAbsent(b.item)
		when = when || b.when != nil
		skip = skip || b.onError == "skip"
	}
	if maybe && r.required {
		out = append(out, OutcomeError)
	} else if maybe && (r.mode != "$replace" || m.Format == "hl7v2" || r.blocks[0].each == nil) {
		out = append(out, OutcomeAbsent)
	}
	if when {
		out = append(out, OutcomeWhenFalse)
	}
	if skip {
		out = append(out, OutcomeSkipped)
	}
	return out
}
