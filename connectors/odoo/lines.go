package odoo

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"

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

// lineModule holds the external ids of lines.
const lineModule = "vagus_line."

// lineNames are the two external ids that a line can have, the first of them
// the one that it gets: by what names the record before it exists, and by its
// database id, as the addon names them.
func lineNames(owner string, r record, field, key string) []string {
	var names []string
	quoted := sha256.Sum256(pythonJSON(key))
	digest := hex.EncodeToString(quoted[:12])
	if owner != "" {
		of := sha256.Sum256([]byte(owner))
		names = append(names, lineModule+hex.EncodeToString(of[:12])+"_"+field+"_"+digest)
	}
	if r.id != 0 {
		names = append(names, fmt.Sprintf("%s%s_%d_%s_%s", lineModule, strings.ReplaceAll(r.model, ".", "_"), r.id, field, digest))
	}
	return names
}

// pythonJSON is a text as Python's json.dumps writes it.
func pythonJSON(s string) []byte {
	b := []byte{'"'}
	for _, c := range s {
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case c == '\n':
			b = append(b, `\n`...)
		case c == '\r':
			b = append(b, `\r`...)
		case c == '\t':
			b = append(b, `\t`...)
		case c == '\b':
			b = append(b, `\b`...)
		case c == '\f':
			b = append(b, `\f`...)
		case c >= ' ' && c <= '~' || c == 0x7f:
			b = append(b, byte(c))
		default:
			for _, u := range utf16.AppendRune(nil, c) {
				b = fmt.Appendf(b, `\u%04x`, u)
			}
		}
	}
	return append(b, '"')
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

// writeLines makes and changes the lines of records that are there by now, and
// takes away those that are no more. All goes through the record that they
// belong to: on its own, a line of a posted invoice takes changes that the
// invoice refuses.
func (p *pass) writeLines(ctx context.Context, jobs []*job) error {
	var open []*job
	var names []string
	for _, j := range jobs {
		if j.s.outcome != nil || j.held || slices.ContainsFunc(j.steps, func(r *row) bool { return r.verdict != nil }) {
			continue
		}
		j.lines = slices.DeleteFunc(j.lines, func(f *lineField) bool {
			return (j.made || j.op.Do == "create") && f.done == len(f.items)
		})
		if len(j.lines) == 0 {
			continue
		}
		open = append(open, j)
		for _, f := range j.lines {
			for i := range f.items {
				// Without knowing, a line that is written as it is made is the same either way.
				if !j.made && (!p.blind || len(f.items[i].onCreate) > 0 || j.op.Do == "create") {
					names = append(names, lineNames(j.owner, record{j.op.Model, j.record()}, f.name, f.items[i].key)...)
				}
			}
		}
	}
	if len(open) == 0 {
		return nil
	}
	if err := p.lookup(ctx, names); err != nil {
		return err
	}
	if err := p.observeLines(ctx, open); err != nil {
		return err
	}
	var rows []*row
	for _, j := range open {
		bad := p.lineRows(j)
		if bad != nil {
			j.s.outcome = bad
			continue
		}
		for _, f := range j.lines {
			rows = append(rows, f.rows...)
		}
	}
	if err := p.t.loadAll(ctx, p, rows); err != nil {
		return err
	}
	for _, j := range open {
		for _, f := range j.lines {
			for _, r := range f.rows {
				switch {
				case r.verdict == nil || j.s.outcome != nil:
				case r.verdict.act == stale && !j.again:
					j.stale = true
				default:
					j.s.fail(j.op.Model+"."+f.name, *r.verdict)
				}
			}
		}
	}
	return p.removeLines(ctx, open)
}

// observeLines reads what the lines hold that are there. One whose record was
// deleted under it has an external id that leads nowhere.
func (p *pass) observeLines(ctx context.Context, jobs []*job) error {
	ids, fields := map[string]map[int64]bool{}, map[string]map[string]bool{}
	each := func(visit func(j *job, f *lineField, item *lineItem, xid string, r record)) {
		for _, j := range jobs {
			for _, f := range j.lines {
				for i := range f.items {
					if xid, r, ok := p.lineAt(j, f, &f.items[i]); ok {
						visit(j, f, &f.items[i], xid, r)
					}
				}
			}
		}
	}
	each(func(_ *job, _ *lineField, item *lineItem, _ string, r record) {
		if ids[r.model] == nil {
			ids[r.model], fields[r.model] = map[int64]bool{}, map[string]bool{"write_date": true}
		}
		ids[r.model][r.id] = true
		for name, v := range item.vals {
			if text, ok := v.(string); !ok || len(text) <= maxCompared {
				fields[r.model][name] = true
			}
		}
	})
	for model := range ids {
		if p.t.unread.has(model) {
			fields[model] = map[string]bool{"write_date": true}
		}
		v, err := p.read(ctx, model, ids[model], fields[model])
		if v != nil && err == nil && len(fields[model]) > 1 {
			p.t.unread.add(model)
			v, err = p.read(ctx, model, ids[model], map[string]bool{"write_date": true})
		}
		if err != nil {
			return err
		}
		if v != nil {
			delete(ids, model)
		}
	}
	each(func(_ *job, _ *lineField, _ *lineItem, xid string, r record) {
		if ids[r.model] != nil && p.seen[r.model][r.id] == nil {
			delete(p.known, xid)
		}
	})
	return nil
}

// lineAt is the line that an item means, and its external id.
func (p *pass) lineAt(j *job, f *lineField, item *lineItem) (xid string, r record, ok bool) {
	names := lineNames(j.owner, record{j.op.Model, j.record()}, f.name, item.key)
	for _, n := range names {
		if r, ok := p.known[n]; ok && r.model == f.fact.relation {
			return n, r, true
		}
	}
	return names[0], record{}, false
}

// lineRows are the rows that make or change a job's lines: as few as the
// lines' columns allow.
func (p *pass) lineRows(j *job) *broker.Outcome {
	id := j.record()
	extra, context := j.op.Context, contextKey(j.op.Context)
	for _, f := range j.lines {
		f.rows = nil
		byColumns := map[string]*row{}
		for i := range f.items {
			item := &f.items[i]
			xid, line, there := p.lineAt(j, f, item)
			if j.op.Do == "create" && (there || i < f.done) || j.made && i < f.done {
				continue
			}
			vals := item.vals
			if !there {
				vals = item.all()
			}
			cells, bad := p.lineCells(j, f, vals)
			if bad != nil {
				return bad
			}
			if there && (len(cells) == 0 || p.seen.holdsAll(line, cells)) {
				continue
			}
			if len(cells) == 0 {
				return invalid(j.op.Model+"."+f.name, "a new line has no values")
			}
			parts := updates("", "", 0, true, cells)
			if !there {
				parts = []*row{{cells: cells}}
			}
			for _, part := range parts {
				key := fmt.Sprint(there, part.add)
				for _, c := range part.cells {
					key += " " + c.column
				}
				r := byColumns[key]
				if r == nil || len(r.nested.lines) >= p.t.batch {
					r = &row{model: j.op.Model, kind: updateByID, id: id, owner: id, add: part.add, extra: extra, context: context,
						nested: &nested{field: f.name, facts: p.facts[f.fact.relation]}}
					byColumns[key] = r
					f.rows = append(f.rows, r)
				}
				r.nested.lines = append(r.nested.lines, nestedLine{xid: xid, cells: part.cells})
			}
		}
	}
	return nil
}

// removeLines deletes the lines of replaced fields that the operation does not name.
func (p *pass) removeLines(ctx context.Context, jobs []*job) error {
	for _, j := range jobs {
		for _, f := range j.lines {
			if j.stale || !f.replace || j.made || j.op.Do == "create" || j.s.outcome != nil {
				continue
			}
			id := j.record()
			var names []string
			for i := range f.items {
				names = append(names, lineNames(j.owner, record{j.op.Model, id}, f.name, f.items[i].key)...)
			}
			if err := p.lookup(ctx, names); err != nil {
				return err
			}
			v, err := p.read(ctx, j.op.Model, map[int64]bool{id: true}, map[string]bool{f.name: true})
			if err != nil {
				return err
			}
			have, _ := p.seen.value(record{j.op.Model, id}, f.name)
			list, ok := have.([]any)
			if v != nil || !ok {
				if v == nil {
					v = &verdict{act: retry, class: "odoo.missing_record", reason: "the record was deleted meanwhile"}
				}
				j.s.fail(j.op.Model, *v)
				continue
			}
			keep := map[int64]bool{}
			for i := range f.items {
				if _, line, ok := p.lineAt(j, f, &f.items[i]); ok {
					keep[line.id] = true
				} else { // unknown is not unwanted
					v = &verdict{act: retry, class: "odoo.missing_record", reason: "a line of it is gone meanwhile"}
				}
			}
			if v != nil {
				j.s.fail(j.op.Model+"."+f.name, *v)
				continue
			}
			var commands []any
			for _, it := range list {
				if line, ok := asInt(it); ok && !keep[line] {
					commands = append(commands, []any{2, line, 0})
				}
			}
			if len(commands) == 0 {
				continue
			}
			_, err = p.t.client.execute(ctx, j.op.Model, "write", []arg{{"ids", []any{id}}, {"vals", map[string]any{f.name: commands}}},
				map[string]any{"context": p.t.writeContext(j.op.Context)})
			if err == nil {
				continue
			}
			verdict, err := p.assess(ctx, err, []string{f.name})
			if err != nil {
				return err
			}
			j.s.fail(j.op.Model+"."+f.name, verdict)
		}
	}
	return nil
}
