package odoo

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// opOf is the operation that a deed's record is of, or nil.
func (d *Deed) opOf() *broker.Operation {
	if d.Body == nil {
		return nil
	}
	i := slices.IndexFunc(d.Body.Ops, func(op broker.Operation) bool { return op.ID == d.Record.Op })
	if i < 0 {
		return nil
	}
	return &d.Body.Ops[i]
}

// identified asks where the external ids of the deeds lead. Of records that are gone it
// tells those that were deleted from those that were merged away, whose external id leads
// to the survivor; a record that is there, and whose external id leads to another one,
// was made twice, or somebody moved the id.
func (c *Comparer) identified(ctx context.Context, model string, gone, deeds []*Deed) ([]Difference, error) {
	var modules, names []any
	for _, d := range deeds {
		if module, name := splitXID(d.xid()); name != "" {
			if names = append(names, name); !slices.Contains(modules, any(module)) {
				modules = append(modules, module)
			}
		}
	}
	leads := map[string]int64{}
	if len(names) > 0 && !c.blind {
		rows, err := c.identifiers(ctx, []any{[]any{"model", "=", model}, []any{"module", "in", modules}, []any{"name", "in", names}})
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			leads[r.module+"."+r.name] = r.id
		}
	}
	var out []Difference
	for _, d := range deeds {
		module, name := splitXID(d.xid())
		other := leads[module+"."+name]
		elsewhere := other != 0 && other != d.Record.ID
		diff := d.difference(Missing)
		if elsewhere {
			diff.Kind, diff.Others = Twice, []int64{other}
		}
		switch missing := slices.Contains(gone, d); {
		case missing && elsewhere:
			diff.Kind = Merged
			fallthrough
		case missing, elsewhere:
			out = append(out, diff)
		}
	}
	return out, nil
}

// xid is the external id of a deed's record, or "".
func (d *Deed) xid() string {
	if op := d.opOf(); op != nil {
		return xidOf(d.Body, op)
	}
	return ""
}

type identifier struct {
	module, name string
	id           int64
}

// identifiers searches ir.model.data; nothing where the user may not.
func (c *Comparer) identifiers(ctx context.Context, domain []any) ([]identifier, error) {
	rows, v, err := c.read(ctx, "ir.model.data", "search_read", []arg{{"domain", domain}, {"fields", []any{"module", "name", "res_id"}}})
	if err != nil {
		return nil, err
	}
	if v != nil {
		c.blind = true
		c.notices = append(c.notices, "external ids could not be compared ("+v.class+"): give the user Administration / Access Rights")
		return nil, nil
	}
	var out []identifier
	for _, it := range rows {
		row, _ := it.(map[string]any)
		r := identifier{}
		r.module, _ = row["module"].(string)
		r.name, _ = row["name"].(string)
		r.id, _ = asInt(row["res_id"])
		out = append(out, r)
	}
	return out, nil
}

// shared finds records that several external ids of ours lead to.
func (c *Comparer) shared(ctx context.Context, model string, _, deeds []*Deed) ([]Difference, error) {
	if c.blind {
		return nil, nil
	}
	ids := make([]any, len(deeds))
	modules := []any{"vagus", "vagus_unit"}
	byID := map[int64]*Deed{}
	for i, d := range deeds {
		ids[i], byID[d.Record.ID] = d.Record.ID, d
		if op := d.opOf(); op != nil && op.XID != "" {
			if module, _ := splitXID(op.XID); !slices.Contains(modules, any(module)) {
				modules = append(modules, module)
			}
		}
	}
	rows, err := c.identifiers(ctx, []any{[]any{"model", "=", model}, []any{"module", "in", modules}, []any{"res_id", "in", ids}})
	if err != nil {
		return nil, err
	}
	count := map[int64]int{}
	var out []Difference
	for _, r := range rows {
		if count[r.id]++; count[r.id] == 2 && byID[r.id] != nil {
			out = append(out, byID[r.id].difference(Shared))
		}
	}
	return out, nil
}

// maxSame is how many records with the values of a search are read.
const maxSame = 5000

// duplicates finds several records with the fields that one was matched by.
func (c *Comparer) duplicates(ctx context.Context, model string, gone, deeds []*Deed) ([]Difference, error) {
	type search struct {
		fields []string
		first  []any
		deeds  map[string]*Deed // by the fields' values
	}
	searches := map[string]*search{}
	for _, d := range deeds {
		op := d.opOf()
		if op == nil || len(op.By) == 0 || op.XID != "" || slices.Contains(gone, d) {
			continue
		}
		fields := nameList(keysOf(op.By))
		s := &search{deeds: map[string]*Deed{}}
		key, plain := "", true
		for _, f := range fields {
			name, _ := f.(string)
			v, ok := scalar(op.By[name])
			plain = plain && ok && fieldName(name)
			s.fields = append(s.fields, name)
			key += fmt.Sprintf("%q", fmt.Sprint(v))
		}
		if !plain {
			continue
		}
		in := strings.Join(s.fields, " ")
		if searches[in] == nil {
			searches[in] = s
		}
		s = searches[in]
		s.deeds[key] = d
		s.first = append(s.first, wireTree(op.By[s.fields[0]]))
	}
	var out []Difference
	for _, s := range searches {
		names := make([]any, len(s.fields))
		for i, f := range s.fields {
			names[i] = f
		}
		rows, v, err := c.page(ctx, model, []any{[]any{s.fields[0], "in", s.first}}, names)
		if err != nil {
			return nil, err
		}
		if v != nil {
			continue
		}
		same := map[*Deed][]int64{}
		for _, it := range rows {
			row, _ := it.(map[string]any)
			id, _ := asInt(row["id"])
			key := ""
			for _, f := range s.fields {
				key += fmt.Sprintf("%q", plainText(row[f]))
			}
			if d := s.deeds[key]; d != nil && id != d.Record.ID {
				same[d] = append(same[d], id)
			}
		}
		for d, others := range same {
			diff := d.difference(Duplicate)
			slices.Sort(others)
			diff.Others, diff.Fields = others, s.fields
			out = append(out, diff)
		}
	}
	slices.SortFunc(out, func(a, b Difference) int { return int(a.ID - b.ID) })
	return out, nil
}

func (c *Comparer) page(ctx context.Context, model string, domain, fields []any) ([]any, *verdict, error) {
	res, err := c.t.client.execute(ctx, model, "search_read", []arg{{"domain", domain}, {"fields", fields}},
		map[string]any{"limit": int64(maxSame), "context": c.t.searchContext(true)})
	if err != nil {
		if v := judged(err); ctx.Err() == nil && v.act == reject {
			return nil, v, nil
		}
		return nil, nil, unwellFrom(err)
	}
	rows, _ := res.([]any)
	return rows, nil, nil
}

func keysOf(vals broker.Values) map[string]bool {
	out := map[string]bool{}
	for f := range vals {
		out[f] = true
	}
	return out
}

// plainText is what a record holds as scalar writes it; of a relation the id.
func plainText(v any) string {
	if pair, ok := v.([]any); ok && len(pair) > 0 {
		v = pair[0]
	}
	text, _ := scalar(v)
	return fmt.Sprint(text)
}
