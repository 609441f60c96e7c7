package mapping

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/internal/tree"
)

// recordFormatName is the source.format of outbound mappings.
const recordFormatName = "odoo"

// A Record is what an outbound mapping wants of Odoo: the change of a record
// that makes it run, and the fields that it reads.
type Record struct {
	Model   string
	On      string         // "create" or "write"
	Becomes map[string]any // fields and the values that they get by the change: string, bool or json.Number
	Fields  []string       // "name", "partner_id.ref", "order_line.product_id.default_code", sorted
}

// Record returns what the mapping wants of Odoo; nil for an inbound one.
func (m *Mapping) Record() *Record { return m.record }

// A recordFormat is one model's records for outbound mappings: JSON objects
// whose relations are objects, or arrays of them, with the fields that were
// asked for. It exists within one mapping: the snapshot is its schema.
//
// false is an absent value of every type but boolean, as Odoo's read has it.
// Points in time are UTC; the tree has them as 2026-05-04T16:20:11Z.
type recordFormat struct{ root *tree.Type }

func (recordFormat) Name() string { return recordFormatName }

// Dialect returns the format: an Odoo record has no versions.
func (f recordFormat) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" || len(d.Columns)+len(d.Segments) > 0 || d.Delimiter != "" {
		return nil, errors.New("an Odoo record is described by target.snapshot alone: leave out version, columns, segments and delimiter")
	}
	return f, nil
}

func (f recordFormat) Schema(string) (*tree.Type, error)     { return f.root, nil }
func (recordFormat) Structures(map[string][]string) []string { return []string{""} }

func (f recordFormat) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := tree.ReadJSON(body, f.root, only, tree.JSONLimits{FalseIsAbsent: true})
	if err != nil {
		return nil, fmt.Errorf("decode odoo: %w", err)
	}
	if err := recordTimes(root, f.root, only); err != nil {
		return nil, fmt.Errorf("decode odoo: %w", err)
	}
	return &tree.Message{Format: recordFormatName, Type: f.root.Name, Root: root}, nil
}

// recordTimes writes Odoo's points in time so that they say that they are UTC. What is not
// selected is there without its text.
func recordTimes(n *tree.Node, typ *tree.Type, only tree.Selection) error {
	for _, k := range n.Kids {
		e := typ.Element(k.Name)
		if e == nil || only != nil && !only[typ.Name][k.Name] {
			continue
		}
		if e.Type.Kind == tree.DateTime && k.State == tree.Value {
			t, err := time.Parse(odooDatetime, k.Text)
			if err != nil {
				return fmt.Errorf("JSON line %d, offset %d: %s.%s is not a time as Odoo writes it", k.Pos.Line, k.Pos.Offset, typ.Name, k.Name)
			}
			k.Text = t.Format(time.RFC3339)
		}
		if err := recordTimes(k, e.Type, only); err != nil {
			return err
		}
	}
	return nil
}

// recordKinds are the types of fields that can be read, by Odoo's name. Files
// are not among them.
var recordKinds = map[string]tree.Kind{
	"char": tree.Text, "text": tree.Text, "html": tree.Text, "selection": tree.Code, "boolean": tree.Bool,
	"integer": tree.Number, "float": tree.Number, "monetary": tree.Number, "date": tree.Date, "datetime": tree.DateTime,
	"many2one": tree.Composite, "one2many": tree.Composite, "many2many": tree.Composite,
}

// recordFields are those that every model has.
var recordFields = map[string]*odooField{
	"id": {Type: "integer"}, "display_name": {Type: "char"}, "create_date": {Type: "datetime"}, "write_date": {Type: "datetime"},
}

// recordType builds the type of a model's records, with those of the models
// that relations lead to. The id comes first: it is what a relation stands for.
func (s *snapshot) recordType(model string) *tree.Type {
	leaves, models := map[string]*tree.Type{}, map[string]*tree.Type{}
	leaf := func(name string) *tree.Type {
		if leaves[name] == nil {
			leaves[name] = tree.NewType(name, recordKinds[name])
		}
		return leaves[name]
	}
	var build func(model string) *tree.Type
	build = func(model string) *tree.Type {
		if t := models[model]; t != nil {
			return t
		}
		t := tree.NewType(model, tree.Composite)
		models[model] = t
		fields := maps.Clone(recordFields)
		maps.Copy(fields, s.Models[model])
		delete(fields, "id")
		t.Add(&tree.Element{Name: "id", Type: leaf("integer")})
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			f := fields[name]
			kind, ok := recordKinds[f.Type]
			if !ok {
				continue
			}
			e := &tree.Element{Name: name, Title: f.Title, Labels: f.labels()}
			switch {
			case f.Relation != "":
				e.Type, e.Repeats = build(f.Relation), f.Type != "many2one"
			case kind == tree.Composite:
				continue // a relation to a model that the snapshot does not name
			default:
				e.Type = leaf(f.Type)
			}
			t.Add(e)
		}
		return t
	}
	return build(model)
}

// labels are what the snapshot says that a field may reveal: nothing, for
// most.
func (f *odooField) labels() tree.Labels {
	var out tree.Labels
	for _, name := range f.PHI {
		l, _ := tree.ParseLabel(name) // one of them, by snapshot.check
		out |= l
	}
	return out
}

// recordSource makes the snapshot's records a format of this mapping, and
// reads what source: says of them.
func (l *loader) recordSource(v *value) bool {
	m := v.get("model")
	if m == nil {
		l.c.errorf(v.at, "missing", "the source of an outbound mapping needs model: and trigger:")
		return false
	}
	if l.snap.Models[m.text] == nil {
		l.c.errorf(m.at, "odoo-model", "the snapshot has no model %q%s", m.text, didYouMean(m.text, slices.Sorted(maps.Keys(l.snap.Models))))
		return false
	}
	if f := v.get("format"); f != nil && f.text != recordFormatName {
		l.c.errorf(f.at, "format", "an outbound mapping reads records: format: %s", recordFormatName)
		return false
	}
	l.m.record = &Record{Model: m.text}
	l.formats = append(slices.Clip(l.formats), recordFormat{l.snap.recordType(m.text)})
	if t := v.get("trigger"); t == nil {
		l.c.errorf(v.at, "missing", "the source of an outbound mapping needs trigger: — the change of a record that writes it out")
	} else {
		l.trigger(t)
	}
	return true
}

func (l *loader) trigger(v *value) {
	rec := l.m.record
	rec.On = v.textOf("on")
	for _, e := range v.get("becomes").entries() {
		f, err := l.snap.field(rec.Model, e.key)
		if err != nil {
			l.c.errorf(e.at, "odoo-field", "%v", err)
			continue
		}
		r := &rule{field: e.key, conv: converter{field: f}}
		if f.Relation != "" {
			l.c.errorf(e.at, "odoo-type", "%s is a relation: a trigger compares simple values", e.key)
		} else if l.ruleConstant(r, e.val, &r.constant) {
			if rec.Becomes == nil {
				rec.Becomes = map[string]any{}
			}
			rec.Becomes[e.key] = r.constant.value
		}
	}
}

// readField notes the fields that a path of an outbound mapping reads: the one
// that it leads to, and those that its predicates compare.
func (l *loader) readField(p *boundPath) {
	rec := l.m.record
	if rec == nil || p == nil {
		return
	}
	note := func(way []*tree.Element, rest ...string) {
		names := make([]string, 0, len(way)+len(rest))
		for _, e := range way {
			names = append(names, e.Name)
		}
		name := strings.Join(append(names, rest...), ".")
		if at, found := slices.BinarySearch(rec.Fields, name); !found && name != "" {
			rec.Fields = slices.Insert(rec.Fields, at, name)
		}
	}
	note(p.elems, p.tail...)
	for i := range p.steps {
		way := p.elems[:len(p.elems)-len(p.steps)+i+1]
		for _, s := range p.steps[i].sels {
			if s.path == nil {
				continue
			}
			rest := []string{}
			for _, st := range s.path.steps {
				rest = append(rest, st.name)
			}
			note(way, append(rest, s.path.tail...)...)
		}
	}
}
