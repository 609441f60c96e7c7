package simulated

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// column is one of load's, "category_id/.id".
type column struct {
	name, sub string
	field     Field
	line      *column // of a one2many field: the column of its lines
}

// loading is one call of load.
type loading struct {
	*tx
	server   *Server
	user     *User
	model    string
	m        *Model
	columns  []column
	messages []any
	insert   bool // context mode "update" with noupdate: what exists is left alone
	noupdate bool
	addToM2M bool
	ctx      map[string]any
	pending  []plan // converted, not yet written
	ids      []any
	crash    bool
}

// load is BaseModel.load of Odoo 18: convert all rows and note what does not
// convert; write all; when that fails write one by one to find out which; when
// anything failed take everything back.
func (s *Server) load(t *tx, u *User, model string, fields []any, rows []any, ctx map[string]any) (any, *exception) {
	l := &loading{tx: t, server: s, user: u, model: model, m: t.models[model], ctx: ctx, messages: []any{}}
	l.noupdate = ctx["noupdate"] == true
	l.insert = ctx["mode"] == "update" && l.noupdate
	l.addToM2M = ctx["update_many2many"] == true
	for _, f := range fields {
		path, _ := f.(string)
		c, e := columnOf(t, l.m, path)
		if e != nil {
			return nil, e
		}
		l.columns = append(l.columns, c)
	}
	l.ids = make([]any, 0, len(rows))
	l.pending = make([]plan, 0, len(rows))
	for i, records := 0, 0; i < len(rows); records++ {
		cells, _ := rows[i].([]any)
		last := i
		for last+1 < len(rows) && l.onlyLines(rows[last+1]) {
			last++
		}
		p, e := l.convert(records, cells, l.columns, l.model)
		if e != nil {
			return nil, e
		}
		if e := l.convertLines(&p, rows[i:last+1]); e != nil {
			return nil, e
		}
		l.pending = append(l.pending, p)
		i = last + 1
	}
	l.flush()
	if l.crash {
		return nil, &exception{class: workerDied}
	}
	ids := any(l.ids)
	if l.failed() {
		l.rollback(0, 0)
		ids = false
	}
	return map[string]any{"ids": ids, "messages": l.messages, "nextrow": int64(0)}, nil
}

// columnOf reads the path of a column.
func columnOf(t *tx, m *Model, path string) (column, *exception) {
	name, sub, deep := strings.Cut(path, "/")
	c := column{name: name, sub: sub}
	if name == "id" || name == ".id" {
		return c, nil
	}
	var ok bool
	if c.field, ok = m.Fields[name]; !ok {
		return c, valueError("Invalid field name '%s'", name)
	}
	if deep && c.field.Type == "one2many" {
		line, e := columnOf(t, t.models[c.field.Relation], sub)
		c.line = &line
		return c, e
	}
	if deep && sub != "id" && sub != ".id" && c.field.Relation != "" {
		return c, valueError("Invalid field name '%s'", sub)
	}
	return c, nil
}

// workerDied is the class of an exception that nobody is told of.
const workerDied = "worker died"

// flush writes what is converted so far: at the end, and before a row that
// refers to an external id which an earlier row of the call may bring.
func (l *loading) flush() {
	if plans := l.pending; len(plans) > 0 {
		l.pending = nil
		l.ids = append(l.ids, l.write(plans)...)
	}
}

// plan is one row, converted.
type plan struct {
	row    int
	xid    string
	id     int64
	values map[string]any // many2many as the ids to link or set
	poison Poison
	lines  []plannedLine
}

func (l *loading) convert(i int, cells []any, columns []column, model string) (plan, *exception) {
	p := plan{row: i, values: make(map[string]any, len(cells))}
	for k, c := range columns {
		if c.line != nil {
			continue
		}
		var v any
		if k < len(cells) {
			v = cells[k]
		}
		if s, ok := v.(string); ok && len(l.server.poisons) > 0 {
			if bad, ok := l.server.poisons[s]; ok {
				p.poison = bad
			}
		}
		switch c.name {
		case "id":
			p.xid, _ = v.(string)
			if p.xid != "" && !strings.Contains(p.xid, ".") {
				p.xid = "__import__." + p.xid
			}
			continue
		case ".id":
			n, _ := asInt(v)
			if s, ok := v.(string); ok {
				n, _ = strconv.ParseInt(s, 10, 64)
			}
			found, _ := l.search(model, []any{[]any{"id", "=", n}}, l.ctx)
			if len(found) == 0 {
				l.messages = append(l.messages, map[string]any{"type": "error", "record": int64(i), "field": ".id", "rows": span(i),
					"message": fmt.Sprintf("Unknown database identifier '%d'", n)})
				continue
			}
			p.id = n
			continue
		}
		if v == nil || v == "" || v == false {
			p.values[c.name] = nil
			continue
		}
		val, bad, e := l.cell(c, v)
		if e != nil {
			return p, e
		}
		if bad != "" {
			m := map[string]any{"type": "error", "record": int64(i), "field": c.name, "field_name": c.field.Label, "rows": span(i),
				"message": strings.ReplaceAll(bad, "%f", c.field.Label)}
			if more := moreInfo(c); more != nil {
				m["moreinfo"] = more
			}
			l.messages = append(l.messages, m)
			continue
		}
		p.values[c.name] = val
	}
	return p, nil
}

// moreInfo is what load says beside the message.
func moreInfo(c column) any {
	switch c.field.Type {
	case "selection":
		labels := []any{}
		for _, o := range c.field.Selection {
			labels = append(labels, o[1])
		}
		return labels
	case "date":
		return "Use the format '2012-12-31'"
	case "datetime":
		return "Use the format '2012-12-31 23:59:59'"
	case "boolean":
		return "Use '1' for yes and '0' for no"
	case "many2one", "many2many":
		action := map[string]any{"name": "Possible Values", "type": "ir.actions.act_window", "target": "new", "view_mode": "list,form", "views": []any{[]any{false, "list"}, []any{false, "form"}},
			"context": map[string]any{"create": false}, "help": "See all possible values", "res_model": c.field.Relation}
		if c.sub != "" {
			action["res_model"], action["domain"] = "ir.model.data", []any{[]any{"model", "=", c.field.Relation}}
		}
		return action
	}
	return nil
}

func span(i int) any { return map[string]any{"from": int64(i), "to": int64(i)} }

// cell converts one cell by its field's type. bad is the message for what does
// not convert, with %f for the field's label.
func (l *loading) cell(c column, v any) (val any, bad string, e *exception) {
	s, text := v.(string)
	switch c.field.Type {
	case "boolean":
		if !text {
			kind := "int"
			if v == true {
				kind = "bool"
			}
			return nil, "", &exception{class: "builtins.AttributeError", message: "'" + kind + "' object has no attribute 'lower'"}
		}
		switch strings.ToLower(s) {
		case "1", "true", "yes":
			return true, "", nil
		case "0", "false", "no":
			return false, "", nil
		}
		return nil, fmt.Sprintf("Unknown value '%s' for boolean field '%%f'", s), nil
	case "integer":
		if n, ok := asFloat(v); ok {
			return int64(n), "", nil
		}
		n, err := strconv.ParseInt(strings.TrimSpace(s), 10, 64)
		if err != nil {
			return nil, fmt.Sprintf("'%s' does not seem to be an integer for field '%%f'", s), nil
		}
		return n, "", nil
	case "float", "monetary":
		if n, ok := asFloat(v); ok {
			return n, "", nil
		}
		n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil {
			return nil, fmt.Sprintf("'%s' does not seem to be a number for field '%%f'", s), nil
		}
		return n, "", nil
	case "date", "datetime":
		layout := dateOnly
		if c.field.Type == "datetime" {
			layout = dateTime
		}
		at, err := time.Parse(layout, s)
		if err != nil {
			return nil, fmt.Sprintf("'%s' does not seem to be a valid %s for field '%%f'", s, c.field.Type), nil
		}
		if zone, err := time.LoadLocation(fmt.Sprint(l.ctx["tz"])); err == nil && c.field.Type == "datetime" && l.ctx["tz"] != nil {
			at = time.Date(at.Year(), at.Month(), at.Day(), at.Hour(), at.Minute(), at.Second(), 0, zone).UTC()
		}
		return at.Format(layout), "", nil
	case "selection":
		for _, o := range c.field.Selection {
			if s == o[0] || s == o[1] {
				return o[0], "", nil
			}
		}
		return nil, fmt.Sprintf("Value '%s' not found in selection field '%%f'", s), nil
	case "many2one":
		if !text {
			s = fmt.Sprint(v)
		}
		id, bad := l.reference(c, s)
		return id, bad, nil
	case "many2many":
		if !text {
			s = fmt.Sprint(v)
		}
		ids := []int64{}
		for _, one := range strings.Split(s, ",") {
			id, bad := l.reference(c, one)
			if bad != "" {
				return nil, bad, nil
			}
			ids = append(ids, id)
		}
		return ids, "", nil
	}
	if c.field.Type == "json" {
		var val any
		if json.Unmarshal([]byte(s), &val) != nil {
			return nil, fmt.Sprintf("'%s' does not seem to be a valid JSON for field '%%f'", s), nil
		}
		return val, "", nil
	}
	if !text {
		s = fmt.Sprint(v)
	}
	return s, "", nil
}

// reference finds the record that a cell of a relation means.
func (l *loading) reference(c column, s string) (int64, string) {
	rows := l.tables[c.field.Relation].rows
	switch c.sub {
	case ".id":
		id, err := strconv.ParseInt(s, 10, 64)
		if err != nil {
			return 0, fmt.Sprintf("Invalid database id '%s' for the field '%%f'", s)
		}
		if rows[id] != nil {
			return id, ""
		}
		return 0, fmt.Sprintf("No matching record found for database id '%s' in field '%%f'", s)
	case "id":
		key := s
		if !strings.Contains(key, ".") {
			key = "__import__." + key
		}
		if x := l.xids[key]; x != nil && x.model == c.field.Relation && rows[x.res] != nil {
			return x.res, ""
		}
		if len(l.pending) > 0 {
			l.flush()
			return l.reference(c, s)
		}
		return 0, fmt.Sprintf("No matching record found for external id '%s' in field '%%f'", s)
	}
	ids, _ := l.search(c.field.Relation, []any{[]any{"name", "=", s}}, nil)
	for _, id := range l.tables[c.field.Relation].ids { // as it is displayed: "Massachusetts (US)"
		if len(ids) == 0 && l.display(c.field.Relation, id) == s {
			ids = append(ids, id)
		}
	}
	if len(ids) == 0 {
		return 0, fmt.Sprintf("No matching record found for name '%s' in field '%%f'", s)
	}
	return ids[0], ""
}

// write writes all plans, or, when one fails, each by itself to report all that do.
func (l *loading) write(plans []plan) []any {
	ids := make([]any, 0, len(plans))
	undo, effects := l.mark()
	var first *exception
	for i := range plans {
		id, e := l.one(&plans[i])
		if e != nil {
			first = e
			break
		}
		ids = append(ids, id)
	}
	if first == nil {
		return ids
	}
	l.rollback(undo, effects)
	ids = ids[:0]
	errors := 0
	for i := range plans {
		u, ef := l.mark()
		id, e := l.one(&plans[i])
		if e == nil {
			ids = append(ids, id)
			continue
		}
		l.rollback(u, ef)
		m := map[string]any{"type": "error", "record": int64(plans[i].row), "rows": span(plans[i].row), "message": l.server.worded(e).rowMessage()}
		if e.field != "" {
			m["field"] = e.field
		}
		if !e.isUserError() && !strings.HasPrefix(e.class, "psycopg2.") {
			m["moreinfo"] = "Resolve other errors first"
		}
		l.messages = append(l.messages, m)
		if errors++; errors >= 10 && errors >= (i+1)/10 {
			l.messages = append(l.messages, map[string]any{"type": "warning",
				"message": "Found more than 10 errors and more than one error per 10 records, interrupted to avoid showing too many errors."})
			break
		}
	}
	// What failed the batch is reported first, with the place of the batch's
	// first row, whichever row it was.
	if first.isUserError() && first.row == "" && errors > 0 {
		global := map[string]any{"type": "error", "record": int64(plans[0].row), "rows": span(plans[0].row), "message": l.server.worded(first).rowMessage()}
		known := slices.ContainsFunc(l.messages, func(m any) bool {
			have := m.(map[string]any)
			return have["message"] == global["message"] && have["record"] == global["record"]
		})
		if !known {
			l.messages = append([]any{global}, l.messages...)
		}
	}
	return ids
}

// one writes one plan: BaseModel._load_records of a single record.
func (l *loading) one(p *plan) (int64, *exception) {
	switch p.poison {
	case PoisonReject:
		return 0, userError("This record is refused by a rule of the simulated server.")
	case PoisonRetry:
		return 0, serializationFailure()
	case PoisonCrash:
		l.crash = true
		return 0, userError("the worker dies")
	}
	id, exists := p.id, p.id != 0
	if x := l.xids[p.xid]; x != nil {
		if x.model != l.model {
			return 0, validationError("For external id %s when trying to create/update a record of model %s found record of different model %s (%d)", p.xid, l.model, x.model, x.id)
		}
		if exists = l.tables[l.model].rows[x.res] != nil; exists {
			id = x.res
			if l.insert && x.noupdate {
				return id, nil
			}
		}
	}
	values, e := l.fit(l.model, id, p.values)
	if e != nil {
		return 0, e
	}
	if exists {
		if l.user.ReadOnly {
			return 0, accessError("modify", l.m, l.model, "Extra Rights/Contact Creation")
		}
		if e := l.tx.write(l.model, id, values); e != nil {
			return 0, e
		}
		return id, l.writeLines(id, p.lines)
	}
	if l.user.ReadOnly {
		return 0, accessError("create", l.m, l.model, "Extra Rights/Contact Creation")
	}
	id, e = l.create(l.model, values)
	if e != nil {
		return 0, e
	}
	if p.xid != "" {
		if e := l.name(p.xid, l.model, id, l.noupdate); e != nil {
			return 0, e
		}
	}
	return id, l.writeLines(id, p.lines)
}

// fit makes converted values those of a record.
func (l *loading) fit(model string, id int64, converted map[string]any) (map[string]any, *exception) {
	m := l.models[model]
	values := make(map[string]any, len(converted))
	for name, v := range converted {
		ids, many := v.([]int64)
		if n, ok := v.(int64); ok && m.Fields[name].Type == "integer" && (n > math.MaxInt32 || n < math.MinInt32) {
			return nil, &exception{class: "psycopg2.errors.NumericValueOutOfRange", message: "integer out of range\n"}
		}
		if many {
			ids = slices.Clone(ids)
			if r := l.tables[model].rows[id]; l.addToM2M && r != nil {
				old, _ := r.values[name].([]int64)
				ids = append(ids, old...)
			}
			slices.Sort(ids)
			v = slices.Compact(ids)
		}
		if s, ok := v.(string); ok && strings.ContainsRune(s, 0) {
			return nil, valueError("A string literal cannot contain NUL (0x00) characters.")
		}
		values[name] = v
	}
	return values, nil
}

func (l *loading) failed() bool {
	return slices.ContainsFunc(l.messages, func(m any) bool { return m.(map[string]any)["type"] == "error" })
}
