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

const (
	dateOnly = "2006-01-02"
	dateTime = "2006-01-02 15:04:05"
)

func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case json.Number:
		n, err := v.Int64()
		return n, err == nil
	case float64:
		return int64(v), v == math.Trunc(v)
	}
	return 0, false
}

func asFloat(v any) (float64, bool) {
	switch v := v.(type) {
	case int64:
		return float64(v), true
	case json.Number:
		n, err := v.Float64()
		return n, err == nil
	case float64:
		return v, true
	}
	return 0, false
}

// native turns the value of a create or write into what the record holds.
// Unlike load, these convert nothing: what does not fit is Python's or
// PostgreSQL's complaint.
func (t *tx) native(model, name string, f Field, old, v any) (any, *exception) {
	if v == nil || v == false {
		return nil, nil
	}
	switch f.Type {
	case "boolean":
		n, isNum := asFloat(v)
		s, isText := v.(string)
		return v == true || isNum && n != 0 || isText && s != "", nil
	case "integer":
		if n, ok := asFloat(v); ok {
			if n > math.MaxInt32 || n < math.MinInt32 {
				return nil, &exception{class: "psycopg2.errors.NumericValueOutOfRange", message: "integer out of range\n"}
			}
			return int64(n), nil
		}
		s, _ := v.(string)
		n, err := strconv.ParseInt(s, 10, 32)
		if err != nil {
			return nil, valueError("invalid literal for int() with base 10: '%s'", s)
		}
		return n, nil
	case "float", "monetary":
		if n, ok := asFloat(v); ok {
			return n, nil
		}
		s, _ := v.(string)
		n, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return nil, valueError("could not convert string to float: '%s'", s)
		}
		return n, nil
	case "date", "datetime":
		s, _ := v.(string)
		layout, python := dateOnly, "%Y-%m-%d"
		if f.Type == "datetime" {
			layout, python = dateTime, "%Y-%m-%d %H:%M:%S"
		}
		if _, err := time.Parse(layout, s); err != nil {
			return nil, valueError("time data '%s' does not match format '%s'", s, python)
		}
		return s, nil
	case "selection":
		s, _ := v.(string)
		for _, o := range f.Selection {
			if o[0] == s {
				return s, nil
			}
		}
		return nil, valueError("Wrong value for %s.%s: '%s'", model, name, s)
	case "many2one":
		id, ok := asInt(v)
		if !ok {
			return nil, &exception{class: "psycopg2.errors.InvalidTextRepresentation",
				message: fmt.Sprintf("invalid input syntax for type integer: \"%v\"\nLINE 1: ...'%v'...\n             ^\n", v, v)}
		}
		if t.tables[f.Relation].rows[id] == nil {
			if f.Relation == model {
				return nil, missingError(f.Relation, id, t.uid)
			}
			return nil, &exception{class: "odoo.exceptions.ValidationError",
				message: fmt.Sprintf("The operation cannot be completed: another model requires the record being deleted. If possible, archive it instead.\n\nModel: %s (%s)\nConstraint: %s_%s_fkey\n",
					t.models[model].Label, model, strings.ReplaceAll(model, ".", "_"), name)}
		}
		return id, nil
	case "many2many":
		return t.commands(f.Relation, old, v)
	case "json":
		return v, nil
	}
	s, ok := v.(string)
	if !ok {
		s = fmt.Sprint(v)
	}
	if strings.ContainsRune(s, 0) {
		return nil, valueError("A string literal cannot contain NUL (0x00) characters.")
	}
	return s, nil
}

// commands applies [3,id] [4,id] [5] [6,0,ids], or a bare list of ids.
func (t *tx) commands(relation string, old, v any) (any, *exception) {
	ids, _ := old.([]int64)
	ids = slices.Clone(ids)
	list, _ := v.([]any)
	rows := t.tables[relation].rows
	link := func(v any) *exception {
		id, _ := asInt(v)
		if rows[id] == nil {
			return missingError(relation, id, t.uid)
		}
		if !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
		return nil
	}
	if len(list) > 0 {
		if _, bare := asInt(list[0]); bare {
			ids, list = nil, []any{[]any{int64(6), int64(0), list}}
		}
	}
	for _, c := range list {
		cmd, _ := c.([]any)
		if len(cmd) == 0 {
			continue
		}
		switch code, _ := asInt(cmd[0]); {
		case code == 3 && len(cmd) > 1:
			id, _ := asInt(cmd[1])
			ids = slices.DeleteFunc(ids, func(x int64) bool { return x == id })
		case code == 4 && len(cmd) > 1:
			if e := link(cmd[1]); e != nil {
				return nil, e
			}
		case code == 5:
			ids = nil
		case code == 6 && len(cmd) > 2:
			ids = nil
			all, _ := cmd[2].([]any)
			for _, id := range all {
				if e := link(id); e != nil {
					return nil, e
				}
			}
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// natives converts the values of a create or write, but for those of lines,
// which need their record: see lines.
func (t *tx) natives(model string, id int64, values map[string]any) (map[string]any, *exception) {
	m := t.models[model]
	out := make(map[string]any, len(values))
	for name, v := range values {
		if f := m.Fields[name]; f.Type == "one2many" {
			continue
		}
		f, ok := m.Fields[name]
		if !ok {
			return nil, valueError("Invalid field '%s' on model '%s'", name, model)
		}
		var old any
		if r := t.tables[model].rows[id]; r != nil {
			old = r.values[name]
		}
		n, e := t.native(model, name, f, old, v)
		if e != nil {
			return nil, e
		}
		out[name] = n
	}
	return out, nil
}

// wire is a field as read returns it.
func (t *tx) wire(model string, id int64, r *record, name string) any {
	f, _ := t.models[model].field(name)
	v := t.plain(model, id, r, name)
	switch f.Type {
	case "many2one":
		if other, ok := v.(int64); ok {
			return []any{other, t.display(f.Relation, other)}
		}
	case "many2many":
		list := []any{}
		ids, _ := v.([]int64)
		for _, id := range ids {
			list = append(list, id)
		}
		return list
	case "one2many":
		list := []any{}
		for _, line := range sorted(t.tables[f.Relation].inverse[f.Inverse][id]) {
			list = append(list, line)
		}
		return list
	case "integer":
		if v == false {
			return int64(0)
		}
	case "float", "monetary":
		if v == false {
			return float64(0)
		}
	}
	return v
}

func (t *tx) display(model string, id int64) string {
	r := t.tables[model].rows[id]
	if r == nil {
		return ""
	}
	name, _ := r.values["name"].(string)
	switch model {
	case "res.partner":
		if p, ok := r.values["parent_id"].(int64); ok {
			return t.display(model, p) + ", " + strings.TrimSpace(name)
		}
		return strings.TrimSpace(name)
	case "res.country.state":
		if c, ok := r.values["country_id"].(int64); ok {
			code, _ := t.tables["res.country"].rows[c].values["code"].(string)
			return name + " (" + code + ")"
		}
	}
	return name
}
