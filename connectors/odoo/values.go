package odoo

import (
	"encoding/json"
	"math"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/broker"
)

// How a cell of a many2many column changes what is there.
type mode byte

const (
	plain mode = iota
	add        // adds to it: such columns need the context key update_many2many
	set        // replaces it, so it must not share a call with add
)

// A cell is one column of one row of load. Its value is a string, or false,
// which clears the field: load takes both for every type, while it crashes on
// true and would convert numbers by their type.
type cell struct {
	column string
	value  any
	mode   mode
}

// cellsOf turns values into cells, sorted by column. It also returns the
// references that were used, for when one of them turns out to be gone. A
// field whose reference is to be skipped is left out.
func (p *pass) cellsOf(s *state, vals broker.Values) (cells []cell, used []string, bad *broker.Outcome) {
	for field, v := range vals {
		switch v := v.(type) {
		case map[string]any:
			c, refs, keep, bad := p.symbol(s, field, v)
			used = append(used, refs...)
			if bad != nil {
				return nil, used, bad
			}
			if keep {
				cells = append(cells, c)
			}
		case []any:
			return nil, used, invalid(field, "a list is not a value; a many2many field takes $add or $set")
		default:
			text, ok := scalar(v)
			if !ok {
				return nil, used, invalid(field, "it is of a kind that no field takes")
			}
			cells = append(cells, cell{column: field, value: text})
		}
	}
	sort.Slice(cells, func(i, j int) bool { return cells[i].column < cells[j].column })
	return cells, used, nil
}

// symbol resolves {"$ref"…}, {"$op"…}, {"$add"…} and {"$set"…}.
func (p *pass) symbol(s *state, field string, v map[string]any) (c cell, used []string, keep bool, bad *broker.Outcome) {
	items, m := []any{v}, plain
	if list, ok := v["$add"]; ok {
		items, ok = list.([]any)
		if m = add; !ok {
			return c, nil, false, invalid(field, "$add takes a list")
		}
	} else if list, ok := v["$set"]; ok {
		items, ok = list.([]any)
		if m = set; !ok {
			return c, nil, false, invalid(field, "$set takes a list")
		}
	}
	ids := make([]string, 0, len(items))
	for _, it := range items {
		id, key, bad := p.one(s, field, it)
		if key != "" {
			used = append(used, key)
		}
		if bad != nil {
			return c, used, false, bad
		}
		if id != 0 {
			ids = append(ids, strconv.FormatInt(id, 10))
		}
	}
	c = cell{column: field + "/.id", value: strings.Join(ids, ","), mode: m}
	if len(ids) == 0 {
		// Nothing to add, or a reference to skip: leave the field alone. An
		// empty $set clears it.
		c.value = false
		return c, used, m == set && len(items) == 0, nil
	}
	return c, used, true, nil
}

// one resolves an item of a symbolic value to a database id; 0 means to skip it.
func (p *pass) one(s *state, field string, it any) (id int64, key string, bad *broker.Outcome) {
	m, ok := it.(map[string]any)
	if !ok {
		return 0, "", invalid(field, "it is not a reference")
	}
	if name, ok := m["$op"].(string); ok {
		r, ok := s.results[name]
		if !ok {
			return 0, "", invalid(field, "it names an operation that does not come before it")
		}
		return r.id, "", nil
	}
	r, ok := p.refOf(s, m)
	if !ok {
		return 0, "", invalid(field, "it is a reference without model or fields")
	}
	ids := p.found[r.key]
	switch {
	case len(ids) == 1:
		return ids[0], r.key, nil
	case len(ids) > 1:
		if r.onMany == "skip" {
			return 0, r.key, nil
		}
		return 0, r.key, &broker.Outcome{Result: broker.Rejected, Class: "odoo.ambiguous",
			Reason: field + ": more than one record of " + r.model + " matches; make them differ in Odoo, or match by more fields"}
	}
	o := &broker.Outcome{Result: broker.Retry, Class: "odoo.missing_reference",
		Reason: field + ": no record of " + r.model + " matches; create it in Odoo, or let its feed bring it"}
	switch r.onNone {
	case "skip":
		return 0, r.key, nil
	case "dead_letter", "reject":
		o.Result = broker.Rejected
	}
	return 0, r.key, o
}

func invalid(field, why string) *broker.Outcome {
	return &broker.Outcome{Result: broker.Rejected, Class: "odoo.invalid", Reason: field + ": " + why + "; correct the mapping"}
}

// scalar turns a plain value into what a cell holds.
func scalar(v any) (any, bool) {
	switch v := v.(type) {
	case nil:
		return false, true
	case bool:
		if v {
			return "1", true
		}
		return "0", true
	case string:
		return clean(v), true
	case json.Number:
		return v.String(), true
	case int:
		return strconv.Itoa(v), true
	case int64:
		return strconv.FormatInt(v, 10), true
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64), true
	}
	return nil, false
}

// clean takes out what one of the wires does not carry: C0 controls (XML-RPC
// refuses the request, MLLP leaves them in the data), bytes that are not UTF-8
// (an HTTP 500), and the two code points that XML forbids.
func clean(s string) string {
	dirty := false
	for _, c := range s {
		if c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == utf8.RuneError || c == 0xFFFE || c == 0xFFFF {
			dirty = true
			break
		}
	}
	if !dirty {
		return s
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r', c == 0xFFFE, c == 0xFFFF:
			return -1
		}
		return c // ranging over s has made U+FFFD of invalid bytes
	}, s)
}

// number is what a number is in a search domain: an int64 when it is whole.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		if i > math.MaxInt32 || i < math.MinInt32 {
			return float64(i) // XML-RPC's int has 32 bits
		}
		return i
	}
	f, err := n.Float64()
	if err != nil {
		return n.String()
	}
	return f
}

// asInt reads a number that came from either wire.
func asInt(v any) (int64, bool) {
	switch v := v.(type) {
	case int64:
		return v, true
	case json.Number:
		i, err := v.Int64()
		return i, err == nil
	case float64:
		return int64(v), v == math.Trunc(v)
	}
	return 0, false
}
