package odoo

import (
	"encoding/json"
	"math"
	"slices"
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
	truth  bool // the value is a yes or no
}

// cellsOf turns values into cells, sorted by column. A field whose reference is
// to be skipped is left out. Lines are none of its business.
func (p *pass) cellsOf(s *state, model string, vals broker.Values) (cells []cell, bad *broker.Outcome) {
	cells = make([]cell, 0, len(vals))
	for field, v := range vals {
		switch v := v.(type) {
		case map[string]any:
			c, keep, bad := p.symbol(s, model, field, v)
			if bad != nil {
				return nil, bad
			}
			if keep {
				cells = append(cells, c)
			}
		case []any:
			return nil, invalid(field, "a list is not a value; a many2many field takes $add or $replace")
		default:
			text, ok := scalar(v)
			if !ok {
				return nil, invalid(field, "it is of a kind that no field takes")
			}
			_, truth := v.(bool)
			cells = append(cells, cell{column: field, value: text, truth: truth})
		}
	}
	sortCells(cells)
	return cells, nil
}

func sortCells(cells []cell) {
	slices.SortFunc(cells, func(a, b cell) int { return strings.Compare(a.column, b.column) })
}

// symbol resolves a symbolic value that is not lines.
func (p *pass) symbol(s *state, model, field string, v map[string]any) (c cell, keep bool, bad *broker.Outcome) {
	if shares, ok := v["$distribution"]; ok {
		c.column = field
		c.value, keep, bad = p.distribution(s, field, shares)
		return c, keep, bad
	}
	c = cell{column: p.byID(field)}
	list, isList := v["$add"]
	name := "$add"
	if c.mode = add; !isList {
		list, isList = v["$replace"]
		name, c.mode = "$replace", set
	}
	if !isList {
		c.mode = plain
		id, bad := p.one(s, model, field, v)
		c.value = strconv.FormatInt(id, 10)
		return c, id != 0, bad // a reference to skip: leave the field alone
	}
	items, ok := list.([]any)
	if !ok {
		return c, false, invalid(field, name+" takes a list")
	}
	var ids []byte
	for _, it := range items {
		id, bad := p.one(s, model, field, it)
		if bad != nil {
			return c, false, bad
		}
		if id == 0 {
			continue
		}
		if len(ids) > 0 {
			ids = append(ids, ',')
		}
		ids = strconv.AppendInt(ids, id, 10)
	}
	if len(ids) == 0 {
		// Nothing to add, or nothing but references to skip: leave the field
		// alone. An empty $replace clears it.
		c.value = false
		return c, c.mode == set && len(items) == 0, nil
	}
	c.value = string(ids)
	return c, true, nil
}

// distribution is what a json field of analytic shares holds: percentages by
// account, as text.
func (p *pass) distribution(s *state, field string, v any) (text any, keep bool, bad *broker.Outcome) {
	items, ok := v.([]any)
	if !ok {
		return nil, false, invalid(field, "$distribution takes a list")
	}
	shares := make(map[string]any, len(items))
	for _, it := range items {
		share, _ := it.(map[string]any)
		id, bad := p.one(s, "", field, share["account"])
		if bad != nil || id == 0 {
			return nil, false, bad
		}
		percent, ok := scalar(share["percent"])
		n, isText := percent.(string)
		if _, err := strconv.ParseFloat(n, 64); !ok || !isText || err != nil {
			return nil, false, invalid(field, "a share has no percent")
		}
		shares[strconv.FormatInt(id, 10)] = json.Number(n)
	}
	b, err := json.Marshal(shares)
	if err != nil {
		return nil, false, invalid(field, "a share has no percent")
	}
	return string(b), len(shares) > 0, nil
}

// byID is the column that gives a relation by database id.
func (p *pass) byID(field string) string {
	c, ok := p.columns[field]
	if !ok {
		c = field + "/.id"
		p.columns[field] = c
	}
	return c
}

// one resolves an item of a symbolic value to a database id; 0 means to skip
// it. Where the field's relation is known, the record must be of that model.
func (p *pass) one(s *state, model, field string, it any) (id int64, bad *broker.Outcome) {
	m, ok := it.(map[string]any)
	if !ok {
		return 0, invalid(field, "it is not a reference")
	}
	if name, ok := m["$op"].(string); ok {
		r, ok := s.result(name)
		if !ok {
			return 0, invalid(field, "it names an operation that does not come before it")
		}
		return r.id, p.fits(model, field, r)
	}
	onNone, _ := m["on_none"].(string)
	if xid, ok := m["$xid"].(string); ok {
		r, ok := p.known[xid]
		if ok {
			return r.id, p.fits(model, field, r)
		}
		if onNone == "defer" {
			s.waiting = append(s.waiting, waiting{field: field, xid: xid})
			return 0, nil
		}
		return 0, missing(field, "no record has the external id", onNone)
	}
	r, ok := p.refOf(s, m)
	if !ok {
		return 0, invalid(field, "it is a reference without model or fields")
	}
	ids := p.found[r.key]
	switch {
	case len(ids) == 1:
		return ids[0], nil
	case len(ids) > 1:
		if r.onMany == "skip" {
			return 0, nil
		}
		return 0, &broker.Outcome{Result: broker.Rejected, Class: "odoo.ambiguous",
			Reason: field + ": more than one record of " + r.model + " matches; make them differ in Odoo, or match by more fields"}
	}
	return 0, missing(field, "no record of "+r.model+" matches", onNone)
}

// missing is what becomes of a unit whose reference finds nothing.
func missing(field, what, onNone string) *broker.Outcome {
	o := &broker.Outcome{Result: broker.Rejected, Class: "odoo.missing_reference", Reason: field + ": " + what + "; create it in Odoo, or let its feed bring it"}
	switch onNone {
	case "skip":
		return nil
	case "retry":
		o.Result = broker.Retry
	}
	return o
}

// fits says what is wrong with a record of another model than the field's.
func (p *pass) fits(model, field string, r record) *broker.Outcome {
	if to := p.facts[model][field].relation; r.id == 0 || to == "" || r.model == to {
		return nil
	}
	return &broker.Outcome{Result: broker.Rejected, Class: "odoo.other_model",
		Reason: field + ": the record that it refers to is of another model than the field's; correct the mapping"}
}

func invalid(field, why string) *broker.Outcome {
	return &broker.Outcome{Result: broker.Rejected, Class: "odoo.invalid", Reason: field + ": " + why + "; correct the mapping"}
}

// scalar turns a plain value into what a cell holds.
func scalar(v any) (any, bool) {
	switch t := v.(type) {
	case nil:
		return false, true
	case bool:
		if t {
			return "1", true
		}
		return "0", true
	case string:
		return cleaned(v, t), true
	case json.Number:
		return t.String(), true
	case int:
		return strconv.Itoa(t), true
	case int64:
		return strconv.FormatInt(t, 10), true
	case float64:
		return strconv.FormatFloat(t, 'f', -1, 64), true
	}
	return nil, false
}

// cleaned is clean of the text s that v holds: v itself when nothing is to be
// taken out, which costs no memory.
func cleaned(v any, s string) any {
	if c := clean(s); c != s {
		return c
	}
	return v
}

// clean takes out what one of the wires does not carry: forbidden characters,
// and bytes that are not UTF-8 (an HTTP 500), which become U+FFFD.
func clean(s string) string {
	for _, c := range s {
		if forbidden(c) || c == utf8.RuneError {
			return strings.Map(func(c rune) rune { // which makes U+FFFD of invalid bytes
				if forbidden(c) {
					return -1
				}
				return c
			}, s)
		}
	}
	return s
}

// forbidden are the characters that XML has none of: C0 controls but for tab
// and line ends (XML-RPC refuses the request, and MLLP leaves some in the
// data), and two more.
func forbidden(c rune) bool {
	return c < 0x20 && c != '\t' && c != '\n' && c != '\r' || c == 0xFFFE || c == 0xFFFF
}

// number is what a number is in a search domain: an int64 when it is whole.
func number(n json.Number) any {
	if i, err := n.Int64(); err == nil {
		return i // also on XML-RPC, where Odoo takes more than the 32 bits of the specification
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
	case float64:
		return int64(v), v == math.Trunc(v)
	}
	return 0, false
}
