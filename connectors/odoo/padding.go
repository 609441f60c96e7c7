package odoo

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"
)

// Messages of one kind rarely fill the same fields, and the rows of a call
// share their columns. New records may travel together all the same: a column
// that a row lacks is sent empty when that is the same as not sending it, which
// is so when the field is stored as it is, with no default. (For an update it
// never is: it would clear the field.)

// optionalFields remembers which fields those are, by model.
type optionalFields struct {
	mu    sync.Mutex
	since time.Time
	known map[string]map[string]bool
}

// optionalAge is how long a change of a model or a default goes unnoticed.
const optionalAge = 10 * time.Minute

// pad gives new records the same columns where that changes nothing.
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
		columns := map[string]bool{}
		for _, r := range rs {
			for _, c := range r.cells {
				columns[c.column] = true
			}
		}
		optional, err := t.optional(ctx, p, model, columns)
		if err != nil {
			return err
		}
		// Rows that agree in what is not optional get the union of the rest.
		groups := map[string][]*row{}
		for _, r := range rs {
			var b strings.Builder
			for _, c := range r.cells {
				if !optional[fieldOf(c.column)] {
					b.WriteString(c.column)
					b.WriteByte(' ')
				}
			}
			groups[b.String()] = append(groups[b.String()], r)
		}
		for _, g := range groups {
			union := map[string]bool{}
			for _, r := range g {
				for _, c := range r.cells {
					union[c.column] = true
				}
			}
			for _, r := range g {
				r.fill(union)
			}
		}
	}
	return nil
}

// fill adds the columns that the row lacks, empty.
func (r *row) fill(columns map[string]bool) {
	if len(r.cells) == len(columns) {
		return
	}
	cells := slices.Grow(slices.Clone(r.cells), len(columns)-len(r.cells))
	for c := range columns {
		if !slices.ContainsFunc(r.cells, func(have cell) bool { return have.column == c }) {
			cells = append(cells, cell{column: c, value: false})
		}
	}
	sortCells(cells)
	r.cells = cells
}

func sameColumns(a, b *row) bool {
	return slices.EqualFunc(a.cells, b.cells, func(x, y cell) bool { return x.column == y.column })
}

func fieldOf(column string) string {
	f, _, _ := strings.Cut(column, "/")
	return f
}

// optional says of which of the columns' fields an empty value is the same as
// none, asking Odoo about those that it does not remember.
func (t *Target) optional(ctx context.Context, p *pass, model string, columns map[string]bool) (map[string]bool, error) {
	o := &t.fields
	o.mu.Lock()
	if o.known == nil || time.Since(o.since) > optionalAge {
		o.known, o.since = map[string]map[string]bool{}, time.Now()
	}
	out := map[string]bool{}
	var ask []any
	for c := range columns {
		f := fieldOf(c)
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
		o.known[model] = map[string]bool{}
	}
	for _, f := range ask {
		name := f.(string)
		out[name] = answers[name]
		o.known[model][name] = answers[name]
	}
	return out, nil
}

// describe asks for the fields' nature and their defaults.
func (t *Target) describe(ctx context.Context, model string, fields []any) (map[string]bool, error) {
	kw := map[string]any{"context": t.searchContext(false)}
	res, err := t.client.execute(ctx, model, "fields_get", []arg{{"allfields", fields}, {"attributes", []any{"type", "required", "depends", "company_dependent", "readonly", "store"}}}, kw)
	if err != nil {
		return nil, err
	}
	natures, _ := res.(map[string]any)
	if res, err = t.client.defaults(ctx, model, fields, kw); err != nil {
		return nil, err
	}
	defaults, ok := res.(map[string]any)
	if !ok {
		return nil, &fault{class: "net.garbage"}
	}
	out := map[string]bool{}
	for name, v := range natures {
		n, _ := v.(map[string]any)
		depends, _ := n["depends"].([]any)
		kind, _ := n["type"].(string)
		out[name] = contains("char text date datetime selection many2one many2many", kind) && n["store"] == true &&
			n["required"] != true && n["readonly"] != true && n["company_dependent"] != true && len(depends) == 0 && isEmpty(defaults[name])
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
