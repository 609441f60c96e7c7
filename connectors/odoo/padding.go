package odoo

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// Messages of one kind rarely fill the same fields, and the rows of a call
// share their columns. New records may travel together all the same: a column
// that a row lacks is sent empty when that is the same as not sending it, which
// is so when the field is stored as it is, with no default. (For an update it
// never is: it would clear the field.)

// A fact is what Odoo says of a field.
type fact struct {
	kind     string // "many2one"; "" when nothing is known
	relation string // the model that it points to
	inverse  string // of a one2many: the field of its lines that points back
	digits   int    // of a float: decimals that are kept; -1: all
	optional bool   // an empty value is the same as none in a new record
}

// fieldFacts remembers them, by model and field.
type fieldFacts struct {
	mu    sync.Mutex
	since time.Time
	known map[string]map[string]fact
	n     int // fields in it
}

// factMax bounds the fields that are remembered: their names come with the units.
const factMax = 50_000

func (o *fieldFacts) bound() broker.Bound {
	o.mu.Lock()
	defer o.mu.Unlock()
	return broker.Bound{Name: "fields remembered", Used: int64(o.n), Limit: factMax}
}

// factAge is how long a change of a model or a default goes unnoticed.
const factAge = 10 * time.Minute

// pad gives new records, and the lines that come with them, the same columns
// where that changes nothing.
func (t *Target) pad(ctx context.Context, p *pass, rows []*row) error {
	byModel := map[string][]*row{}
	for _, r := range rows {
		if r.kind == insert {
			byModel[r.model] = append(byModel[r.model], r)
		}
	}
	for model, rs := range byModel {
		if !slices.ContainsFunc(rs, func(r *row) bool { return !sameColumns(r, rs[0]) }) {
			continue
		}
		named := map[string]bool{}
		for _, r := range rs {
			for _, c := range r.cells {
				named[fieldOf(c.column)] = true
			}
		}
		facts, err := t.facts(ctx, p, model, slices.Collect(maps.Keys(named)))
		if err != nil {
			return err
		}
		// Rows that agree in what is not optional get the union of the rest.
		groups := map[string][]*row{}
		for _, r := range rs {
			key := r.context + " " + fixedColumns(r.cells, facts)
			if r.nested != nil {
				key += "|" + r.nested.field + " " + fixedColumns(r.nested.lines[0].cells, r.nested.facts)
			}
			groups[key] = append(groups[key], r)
		}
		for _, g := range groups {
			union, lines := map[string]bool{}, map[string]bool{}
			for _, r := range g {
				columnsOf(r.cells, union)
				if r.nested != nil {
					columnsOf(r.nested.lines[0].cells, lines)
				}
			}
			for _, r := range g {
				r.cells = filled(r.cells, union)
				if r.nested != nil {
					r.nested.fill(lines)
				}
			}
		}
	}
	return nil
}

// fixedColumns names the columns that only rows which have them too can share a call with.
func fixedColumns(cells []cell, facts map[string]fact) string {
	var b strings.Builder
	for _, c := range cells {
		if !facts[fieldOf(c.column)].optional {
			b.WriteString(c.column)
			b.WriteByte(' ')
		}
	}
	return b.String()
}

func columnsOf(cells []cell, into map[string]bool) {
	for _, c := range cells {
		into[c.column] = true
	}
}

// filled returns cells with the columns that they lack, empty.
func filled(cells []cell, columns map[string]bool) []cell {
	if len(cells) == len(columns) {
		return cells
	}
	out := slices.Grow(slices.Clone(cells), len(columns)-len(cells))
	for c := range columns {
		if !slices.ContainsFunc(cells, func(have cell) bool { return have.column == c }) {
			out = append(out, cell{column: c, value: false})
		}
	}
	sortCells(out)
	return out
}

func sameColumns(a, b *row) bool {
	same := func(a, b []cell) bool {
		return slices.EqualFunc(a, b, func(x, y cell) bool { return x.column == y.column })
	}
	return same(a.cells, b.cells) && (a.nested == nil) == (b.nested == nil) &&
		(a.nested == nil || same(a.nested.lines[0].cells, b.nested.lines[0].cells))
}

func fieldOf(column string) string {
	f, _, _ := strings.Cut(column, "/")
	return f
}

// facts returns what is known of a model's fields, asking Odoo about those that
// it does not remember. A field that the model does not have gives a zero fact.
func (t *Target) facts(ctx context.Context, p *pass, model string, fields []string) (map[string]fact, error) {
	o := &t.fields
	o.mu.Lock()
	if o.known == nil || o.n >= factMax || time.Since(o.since) > factAge {
		o.known, o.n, o.since = map[string]map[string]fact{}, 0, time.Now()
	}
	out := make(map[string]fact, len(fields))
	var ask []any
	for _, f := range fields {
		if is, ok := o.known[model][f]; ok {
			out[f] = is
		} else {
			ask = append(ask, f)
		}
	}
	o.mu.Unlock()
	if len(ask) == 0 {
		return out, nil
	}
	answers, err := t.describe(ctx, model, ask)
	if err != nil {
		if _, err := p.assess(ctx, err, nil); err != nil {
			return nil, err
		}
		answers = nil // the rows will say what is wrong
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.known[model] == nil {
		o.known[model] = map[string]fact{}
	}
	for _, f := range ask {
		name := f.(string)
		out[name] = answers[name]
		if o.n < factMax {
			o.known[model][name] = answers[name]
			o.n++
		}
	}
	return out, nil
}

// describe asks for the fields' nature and their defaults. Where a model does
// not tell its defaults, every field counts as having one.
func (t *Target) describe(ctx context.Context, model string, fields []any) (map[string]fact, error) {
	kw := map[string]any{"context": t.searchContext(false)}
	res, err := t.client.execute(ctx, model, "fields_get", []arg{{"allfields", fields}, {"attributes", []any{"type", "required", "depends", "company_dependent", "readonly", "store", "relation", "relation_field", "digits"}}}, kw)
	if err != nil {
		return nil, err
	}
	natures, _ := res.(map[string]any)
	res, err = t.client.defaults(ctx, model, fields, kw)
	if f := (*fault)(nil); err != nil && (!errors.As(err, &f) || isTransport(f)) {
		return nil, err
	}
	defaults, told := res.(map[string]any)
	out := make(map[string]fact, len(natures))
	for name, v := range natures {
		n, _ := v.(map[string]any)
		depends, _ := n["depends"].([]any)
		f := fact{digits: -1}
		f.kind, _ = n["type"].(string)
		if digits, _ := n["digits"].([]any); len(digits) == 2 {
			if d, ok := asInt(digits[1]); ok && d >= 0 && d <= 15 {
				f.digits = int(d)
			}
		}
		f.relation, _ = n["relation"].(string)
		f.inverse, _ = n["relation_field"].(string)
		f.optional = told && contains("char text date datetime selection many2one many2many", f.kind) && n["store"] == true &&
			n["required"] != true && n["readonly"] != true && n["company_dependent"] != true && len(depends) == 0 && isEmpty(defaults[name])
		out[name] = f
	}
	return out, nil
}

// isEmpty says whether a default is as good as none: false, or the command that
// sets a many2many field to nothing.
func isEmpty(v any) bool {
	list, ok := v.([]any)
	if !ok {
		return v == nil || v == false || v == ""
	}
	for _, c := range list {
		cmd, _ := c.([]any)
		if len(cmd) != 3 {
			return false
		}
		if ids, ok := cmd[2].([]any); !ok || len(ids) != 0 {
			return false
		}
	}
	return true
}
