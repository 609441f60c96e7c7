package simulated

import (
	"fmt"
	"math"
	"sort"
	"strings"
)

// search evaluates a domain: conditions [field, operator, value] joined by
// prefix "&", "|" and "!".
func (t *tx) search(model string, domain []any, ctx map[string]any) ([]int64, *exception) {
	m, tb := t.models[model], t.tables[model]
	ids := tb.ids
	mentionsActive := false
	for _, d := range domain {
		leaf, ok := d.([]any)
		if !ok {
			continue
		}
		if len(leaf) != 3 {
			return nil, valueError("Invalid leaf %v", pyTuple(leaf))
		}
		name, _ := leaf[0].(string)
		op, _ := leaf[1].(string)
		mentionsActive = mentionsActive || name == "active"
		first, _, _ := strings.Cut(name, ".")
		if _, ok := m.field(first); !ok {
			return nil, valueError("Invalid field %s.%s in leaf %s", model, name, pyTuple(leaf))
		}
		if !operators[op] {
			return nil, valueError("Invalid leaf %s", pyTuple(leaf))
		}
		if name == "id" && t.major < 19 { // the value is quoted then; 19 knows that no record has it
			if n, ok := asFloat(leaf[2]); ok && (n > math.MaxInt32 || n < math.MinInt32) {
				return nil, &exception{class: "psycopg2.errors.NumericValueOutOfRange", message: fmt.Sprintf("value \"%v\" is out of range for type integer\nLINE 1: ...", leaf[2])}
			}
		}
	}
	if few, ok := t.indexed(m, tb, domain); ok {
		ids = few
	}
	_, hasActive := m.Fields["active"]
	onlyActive := hasActive && !mentionsActive && ctx["active_test"] != false
	var out []int64
	for _, id := range ids {
		r := tb.rows[id]
		if r == nil || onlyActive && r.values["active"] != true || !t.visible(r) {
			continue
		}
		ok, rest := t.holds(model, id, r, domain)
		for ok && len(rest) > 0 { // conditions without operator are joined by and
			ok, rest = t.holds(model, id, r, rest)
		}
		if ok {
			out = append(out, id)
		}
	}
	return out, nil
}

var operators = map[string]bool{"=": true, "!=": true, "in": true, "not in": true, "<": true, "<=": true, ">": true, ">=": true,
	"like": true, "ilike": true, "=like": true, "=ilike": true, "not like": true, "not ilike": true, "=?": true, "child_of": true}

// indexed narrows the search by one condition on a char field, or on the id.
func (t *tx) indexed(m *Model, tb *table, domain []any) ([]int64, bool) {
	for _, d := range domain {
		leaf, ok := d.([]any)
		if !ok {
			return nil, false // "|" or "!": read all
		}
		name, _ := leaf[0].(string)
		var values []any
		switch leaf[1] {
		case "=":
			values = []any{leaf[2]}
		case "in":
			values, _ = leaf[2].([]any)
		}
		if values == nil {
			continue
		}
		set := map[int64]bool{}
		if name == "id" {
			for _, v := range values {
				if id, ok := asInt(v); ok {
					set[id] = true
				}
			}
			return sorted(set), true
		}
		if f, ok := m.Fields[name]; !ok || f.Type != "char" {
			continue
		}
		ix := tb.texts(name)
		for _, v := range values {
			s, ok := v.(string)
			if !ok {
				return nil, false // false: the empty ones
			}
			for id := range ix[s] {
				set[id] = true
			}
		}
		return sorted(set), true
	}
	return nil, false
}

func sorted(set map[int64]bool) []int64 {
	out := make([]int64, 0, len(set))
	for id := range set {
		out = append(out, id)
	}
	sort.Slice(out, func(i, j int) bool { return out[i] < out[j] })
	return out
}

// holds evaluates the first term of a domain and returns the terms after it.
func (t *tx) holds(model string, id int64, r *record, domain []any) (bool, []any) {
	if len(domain) == 0 {
		return true, nil
	}
	switch d := domain[0].(type) {
	case string:
		a, rest := t.holds(model, id, r, domain[1:])
		if d == "!" {
			return !a, rest
		}
		b, rest := t.holds(model, id, r, rest)
		if d == "|" {
			return a || b, rest
		}
		return a && b, rest
	case []any:
		return t.leaf(model, id, r, d), domain[1:]
	}
	return false, domain[1:]
}

func (t *tx) leaf(model string, id int64, r *record, leaf []any) bool {
	path, _ := leaf[0].(string)
	name, rest, deep := strings.Cut(path, ".")
	f, _ := t.models[model].field(name)
	if deep {
		other, _ := r.values[name].(int64)
		o := t.tables[f.Relation]
		return o != nil && o.rows[other] != nil && t.leaf(f.Relation, other, o.rows[other], []any{rest, leaf[1], leaf[2]})
	}
	v := t.plain(model, id, r, name)
	switch op := leaf[1]; op {
	case "=":
		return same(v, leaf[2])
	case "!=":
		return !same(v, leaf[2])
	case "in", "not in":
		list, _ := leaf[2].([]any)
		for _, x := range list {
			if same(v, x) {
				return op == "in"
			}
		}
		return op == "not in"
	case "like", "ilike", "=ilike", "=like":
		s, _ := v.(string)
		want, _ := leaf[2].(string)
		if op == "ilike" || op == "=ilike" {
			s, want = strings.ToLower(s), strings.ToLower(want)
		}
		if op == "like" || op == "ilike" {
			return strings.Contains(s, strings.ReplaceAll(want, "%", ""))
		}
		return matches(s, want)
	case "<", "<=", ">", ">=":
		return compare(v, leaf[2], op.(string))
	}
	return false
}

// plain is the value that searches see: false for what is empty.
func (t *tx) plain(model string, id int64, r *record, name string) any {
	switch name {
	case "id":
		return id
	case "display_name":
		return t.display(model, id)
	case "create_date":
		return r.created.UTC().Format(dateTime)
	case "write_date":
		return r.written.UTC().Format(dateTime)
	case "write_uid":
		if r.writer == 0 {
			return int64(1)
		}
		return r.writer
	}
	if name == "company_type" && model == "res.partner" {
		if r.values["is_company"] == true {
			return "company"
		}
		return "person"
	}
	if v, ok := r.values[name]; ok {
		return v
	}
	if through, rest, ok := strings.Cut(t.models[model].Fields[name].Related, "."); ok {
		other := t.models[model].Fields[through].Relation
		if at, set := r.values[through].(int64); set && t.tables[other].rows[at] != nil {
			return t.plain(other, at, t.tables[other].rows[at], rest)
		}
	}
	return false
}

func same(v, want any) bool {
	if list, ok := v.([]int64); ok {
		n, isInt := asInt(want)
		for _, id := range list {
			if isInt && id == n {
				return true
			}
		}
		return false
	}
	if n, ok := asFloat(want); ok {
		m, ok := asFloat(v)
		return ok && m == n
	}
	if want == nil {
		want = false
	}
	return v == want
}

func compare(v, want any, op string) bool {
	var c int
	if a, ok := asFloat(v); ok {
		b, ok := asFloat(want)
		if !ok {
			return false
		}
		switch {
		case a < b:
			c = -1
		case a > b:
			c = 1
		}
	} else {
		a, okA := v.(string)
		b, okB := want.(string)
		if !okA || !okB {
			return false
		}
		c = strings.Compare(a, b)
	}
	switch op {
	case "<":
		return c < 0
	case "<=":
		return c <= 0
	case ">":
		return c > 0
	}
	return c >= 0
}

// pyTuple prints a condition as Python would, nearly.
func pyTuple(leaf []any) string {
	parts := make([]string, len(leaf))
	for i, v := range leaf {
		if s, ok := v.(string); ok {
			parts[i] = "'" + s + "'"
		} else {
			parts[i] = fmt.Sprint(v)
		}
	}
	return "(" + strings.Join(parts, ", ") + ")"
}
