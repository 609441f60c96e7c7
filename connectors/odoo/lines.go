package odoo

import (
	"context"
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// The lines of a document come into being in the call of load that makes it,
// and each of them with an external id of its own: so a repeat finds them, and a
// later message changes the line that it means. A line is known by what names
// its record, the external id or the fields that it is matched by, and
// by a digest of its key: a key may be a number that only the hospital should
// read.

// A lineField are the lines that an operation writes to one field.
type lineField struct {
	name    string
	fact    fact
	items   []lineItem
	replace bool   // these lines and no others
	rows    []*row // that write them when the record is there
	done    int    // how many of items came into being with the record
}

type lineItem struct {
	key            string
	vals, onCreate broker.Values
}

// nested are lines that are made by the row that makes their record.
type nested struct {
	field string
	facts map[string]fact
	lines []nestedLine // at least one; all with the same columns
}

type nestedLine struct {
	xid   string
	cells []cell
}

func (n *nested) fill(columns map[string]bool) {
	for i := range n.lines {
		n.lines[i].cells = filled(n.lines[i].cells, columns)
	}
}

// maxLines bounds the lines of one field of one operation.
const maxLines = 5000

// isLines says whether a value can only be lines.
func isLines(v any) bool {
	m, _ := v.(map[string]any)
	if _, ok := m["$merge"]; ok {
		return true
	}
	list, _ := m["$replace"].([]any)
	if len(list) == 0 {
		return false
	}
	first, _ := list[0].(map[string]any)
	_, ok := first["key"]
	return ok
}

// linesIn takes the lines out of values.
func (p *pass) linesIn(model string, vals broker.Values) (plain broker.Values, fields []*lineField, bad *broker.Outcome) {
	for name, v := range vals {
		f := p.facts[model][name]
		if !isLines(v) && (f.kind != "one2many" || !isEmptyList(v)) {
			continue
		}
		if f.kind != "one2many" || f.relation == "" || f.inverse == "" {
			return nil, nil, invalid(model+"."+name, "it has no lines: it is not a one2many field of this database's model")
		}
		lf, ok := lineFieldOf(name, v)
		if !ok {
			return nil, nil, invalid(model+"."+name, "its lines are a list of key, vals and on_create, each key once")
		}
		lf.fact = f
		fields = append(fields, lf)
	}
	if len(fields) == 0 {
		return vals, nil, nil
	}
	plain = maps.Clone(vals)
	for _, f := range fields {
		delete(plain, f.name)
	}
	slices.SortFunc(fields, func(a, b *lineField) int { return strings.Compare(a.name, b.name) })
	return plain, fields, nil
}

// isEmptyList says whether a value of a one2many field means no lines at all.
func isEmptyList(v any) bool {
	m, _ := v.(map[string]any)
	list, ok := m["$replace"].([]any)
	return v == nil || ok && len(list) == 0
}

func lineFieldOf(name string, v any) (*lineField, bool) {
	f := &lineField{name: name, replace: true}
	m, _ := v.(map[string]any)
	list, _ := m["$replace"].([]any)
	if merge, ok := m["$merge"]; ok {
		f.replace = false
		if list, ok = merge.([]any); !ok || m["$replace"] != nil {
			return nil, false
		}
	}
	keys := make(map[string]bool, len(list))
	for _, it := range list {
		one, ok := it.(map[string]any)
		key, isText := one["key"].(string)
		if !ok || !isText || keys[key] || len(keys) >= maxLines {
			return nil, false
		}
		keys[key] = true
		item := lineItem{key: key, vals: values(one["vals"]), onCreate: values(one["on_create"])}
		for _, vals := range []broker.Values{item.vals, item.onCreate} {
			for field, v := range vals {
				if !fieldName(field) || isLines(v) { // lines of lines
					return nil, false
				}
			}
		}
		f.items = append(f.items, item)
	}
	return f, true
}

func values(v any) broker.Values {
	if m, ok := v.(map[string]any); ok {
		return m
	}
	m, _ := v.(broker.Values)
	return m
}

// all are the values of a new line.
func (l *lineItem) all() broker.Values {
	if len(l.onCreate) == 0 {
		return l.vals
	}
	vals := maps.Clone(l.onCreate)
	maps.Copy(vals, l.vals)
	return vals
}

// learn asks for what must be known of fields before their values can be
// written: which hold lines, and to which model a reference leads.
func (p *pass) learn(ctx context.Context, jobs []*job) error {
	ask := map[string]map[string]bool{}
	add := func(model, field string) {
		if _, ok := p.facts[model][field]; ok {
			return
		}
		if ask[model] == nil {
			ask[model] = map[string]bool{}
		}
		ask[model][field] = true
	}
	fetch := func() error {
		for model, fields := range ask {
			facts, err := p.t.facts(ctx, p, model, slices.Sorted(maps.Keys(fields)))
			if err != nil {
				return err
			}
			if p.facts[model] == nil {
				p.facts[model] = map[string]fact{}
			}
			maps.Copy(p.facts[model], facts)
		}
		clear(ask)
		return nil
	}
	for _, j := range jobs {
		for _, vals := range []broker.Values{j.op.Vals, j.op.OnCreate, j.op.OnUpdate} {
			for f, v := range vals {
				if m, ok := v.(map[string]any); ok && m["$ref"] == nil || v == nil {
					add(j.op.Model, f)
				}
			}
		}
	}
	if err := fetch(); err != nil {
		return err
	}
	for _, j := range jobs {
		for _, vals := range []broker.Values{j.op.Vals, j.op.OnCreate, j.op.OnUpdate} {
			for f, v := range vals {
				if to := p.facts[j.op.Model][f].relation; to != "" && isLines(v) {
					if lf, ok := lineFieldOf(f, v); ok {
						for _, item := range lf.items {
							for name := range item.all() {
								add(to, name)
							}
						}
					}
				}
			}
		}
	}
	return fetch()
}

// nest puts lines of the job's first line field into the row that makes the
// record: those that have the same columns, but for some that may be empty. The
// others come right after it.
func (p *pass) nest(j *job, r *row) *broker.Outcome {
	for _, f := range j.lines {
		facts := p.facts[f.fact.relation]
		var fixed string
		columns := map[string]bool{}
		n := &nested{field: f.name, facts: facts}
		for i := range f.items {
			item := &f.items[i]
			cells, bad := p.lineCells(j, f, item.all())
			if bad != nil {
				return bad
			}
			key := fixedColumns(cells, facts)
			if i == 0 {
				fixed = key
			}
			if len(cells) == 0 || key != fixed || r.nested != nil || len(n.lines) != i {
				continue // the rest follows in its order
			}
			columnsOf(cells, columns)
			n.lines = append(n.lines, nestedLine{xid: lineNames(j.owner, record{}, f.name, item.key)[0], cells: cells})
		}
		if len(n.lines) > 0 {
			n.fill(columns)
			r.nested, f.done = n, len(n.lines)
		}
	}
	return nil
}

func (p *pass) lineCells(j *job, f *lineField, vals broker.Values) ([]cell, *broker.Outcome) {
	for _, v := range p.failures(j.s, vals) {
		o := v.outcome(f.fact.relation)
		return nil, &o
	}
	cells, bad := p.cellsOf(j.s, f.fact.relation, vals)
	if bad != nil {
		bad.Reason = j.op.Model + "." + f.name + "." + bad.Reason
	}
	return cells, bad
}
