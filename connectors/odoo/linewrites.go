package odoo

import (
	"context"
	"fmt"
	"slices"

	"github.com/vagus-health/vagus/broker"
)

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
		for _, f := range j.lines {
			if bad == nil && len(f.rows) > 0 && !j.made {
				bad = j.overwrites(f.name)
			}
		}
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
	atLines.Hit()
	return p.removeLines(ctx, open)
}

// observeLines reads what the lines hold that are there.
func (p *pass) observeLines(ctx context.Context, jobs []*job) error {
	ids, fields := map[string]map[int64]bool{}, map[string]map[string]bool{}
	for _, j := range jobs {
		for _, f := range j.lines {
			for i := range f.items {
				_, r, ok := p.lineAt(j, f, &f.items[i])
				if !ok || p.t.unread.has(r.model) {
					continue
				}
				if ids[r.model] == nil {
					ids[r.model], fields[r.model] = map[int64]bool{}, map[string]bool{}
				}
				ids[r.model][r.id] = true
				for name, v := range f.items[i].vals {
					if text, ok := v.(string); !ok || len(text) <= maxCompared {
						fields[r.model][name] = true
					}
				}
			}
		}
	}
	for model := range ids {
		v, err := p.read(ctx, model, ids[model], fields[model])
		if err != nil {
			return err
		}
		if v != nil {
			p.t.unread.add(model)
		}
	}
	for _, j := range jobs {
		for _, f := range j.lines {
			for i := range f.items {
				if _, r, ok := p.lineAt(j, f, &f.items[i]); ok {
					if err := p.liken(ctx, r, f.items[i].vals); err != nil {
						return err
					}
				}
			}
		}
	}
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
			keep, whole := p.kept(j, f)
			var commands []any
			for _, it := range list {
				line, ok := asInt(it)
				if ok && !keep[line] {
					commands = append(commands, []any{2, line, 0})
				}
				delete(keep, line)
			}
			if whole && len(keep) > 0 && len(commands) > 0 {
				// Another writer may have put a line anew between our two looks, and what
				// seems to be too much is the new one. Or somebody moved a line elsewhere.
				for _, n := range names {
					delete(p.known, n)
				}
				if err := p.lookup(ctx, names); err != nil {
					return err
				}
				var now map[int64]bool
				now, whole = p.kept(j, f)
				for line := range keep {
					whole = whole && now[line]
				}
			}
			if !whole { // unknown is not unwanted
				j.s.fail(j.op.Model+"."+f.name, verdict{act: retry, class: "odoo.conflict", reason: "somebody else changes its lines at the same time"})
				continue
			}
			if len(commands) == 0 {
				continue
			}
			if j.s.outcome = j.overwrites(f.name); j.s.outcome != nil {
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

// kept are the lines that a job's field names, as far as they are known; whole
// says whether all of them are.
func (p *pass) kept(j *job, f *lineField) (keep map[int64]bool, whole bool) {
	keep, whole = map[int64]bool{}, true
	for i := range f.items {
		_, line, ok := p.lineAt(j, f, &f.items[i])
		if ok {
			keep[line.id] = true
		}
		whole = whole && ok
	}
	return keep, whole
}
