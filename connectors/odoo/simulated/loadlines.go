package simulated

type plannedLine struct {
	field string
	plan
}

// onlyLines says whether a row has cells of lines only: it belongs to the record above.
func (l *loading) onlyLines(row any) bool {
	cells, _ := row.([]any)
	any := false
	for k, c := range l.columns {
		if k < len(cells) && cells[k] != nil && cells[k] != "" && cells[k] != false {
			if c.line == nil {
				return false
			}
			any = true
		}
	}
	return any
}

// convertLines reads the lines in the rows of one record.
func (l *loading) convertLines(p *plan, rows []any) *exception {
	byField := map[string][]column{}
	places := map[string][]int{}
	var order []string
	for k, c := range l.columns {
		if c.line == nil {
			continue
		}
		if byField[c.name] == nil {
			order = append(order, c.name)
		}
		byField[c.name] = append(byField[c.name], *c.line)
		places[c.name] = append(places[c.name], k)
	}
	for _, name := range order {
		f := l.m.Fields[name]
		for _, row := range rows {
			all, _ := row.([]any)
			cells := make([]any, 0, len(places[name]))
			filled := false
			for _, k := range places[name] {
				var v any
				if k < len(all) {
					v = all[k]
				}
				filled = filled || v != nil && v != "" && v != false
				cells = append(cells, v)
			}
			if !filled {
				continue
			}
			line, e := l.convert(p.row, cells, byField[name], f.Relation)
			if e != nil {
				return e
			}
			if line.poison != 0 {
				p.poison = line.poison
			}
			p.lines = append(p.lines, plannedLine{field: name, plan: line})
		}
	}
	return nil
}

// writeLines makes the lines of a record, or changes those whose external ids exist.
func (l *loading) writeLines(id int64, lines []plannedLine) *exception {
	if len(lines) > 0 {
		if guard := l.m.guard; guard != nil {
			if e := guard(l.tx, id, map[string]any{lines[0].field: true}); e != nil {
				return e
			}
		}
	}
	for i := range lines {
		p := &lines[i]
		f := l.m.Fields[p.field]
		values, e := l.fit(f.Relation, 0, p.values)
		if e != nil {
			return e
		}
		values[f.Inverse] = id
		if x := l.xids[p.xid]; x != nil && x.model == f.Relation && l.tables[f.Relation].rows[x.res] != nil {
			if e := l.tx.write(f.Relation, x.res, values); e != nil {
				return e
			}
			continue
		}
		line, e := l.create(f.Relation, values)
		if e != nil {
			return e
		}
		if p.xid != "" {
			if e := l.name(p.xid, f.Relation, line, l.noupdate); e != nil {
				return e
			}
		}
	}
	return nil
}
