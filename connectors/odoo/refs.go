package odoo

import (
	"context"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A lookup asks for the records of a model by their fields.
type lookup struct {
	key      string // all below and the scope that it was asked in, canonical
	model    string
	by       map[string]any // as search domains have them
	archived bool           // finds archived records too
}

// A ref is a look-up in a value: {"$ref": model, "by": {field: value, …}, …}.
type ref struct {
	*lookup
	onNone, onMany string
}

// refOf reads a reference. In its fields {"$op"…} stands for the id of an
// earlier operation's record.
func (p *pass) refOf(s *state, m map[string]any) (ref, bool) {
	model, _ := m["$ref"].(string)
	by, _ := m["by"].(map[string]any)
	if !dottedName(model) || len(by) == 0 {
		return ref{}, false
	}
	r := ref{lookup: p.lookupFor(s, model, by, false)}
	r.onNone, _ = m["on_none"].(string)
	r.onMany, _ = m["on_many"].(string)
	return r, r.lookup != nil
}

// lookupFor returns the one look-up of the pass for these fields; nil when they
// are not plain values. It is called for every reference of every unit, several
// times, so that a look-up that is known costs no memory.
func (p *pass) lookupFor(s *state, model string, by map[string]any, archived bool) *lookup {
	p.fields = p.fields[:0]
	for f := range by {
		if !dottedName(f) {
			return nil
		}
		p.fields = append(p.fields, f)
	}
	slices.Sort(p.fields)
	p.key = append(append(p.key[:0], p.scopeKey...), model...)
	if archived {
		p.key = append(p.key, '+')
	}
	for _, f := range p.fields {
		v, ok := p.operand(s, by[f])
		if !ok {
			return nil
		}
		p.key = append(append(p.key, ' '), f...)
		switch v := v.(type) {
		case string:
			p.key = strconv.AppendInt(append(p.key, '"'), int64(len(v)), 10) // so that no text reads like two fields
			p.key = append(append(p.key, ':'), v...)
		case bool:
			p.key = strconv.AppendBool(append(p.key, '?'), v)
		case int64:
			p.key = strconv.AppendInt(append(p.key, '='), v, 10)
		case float64:
			p.key = strconv.AppendFloat(append(p.key, '='), v, 'g', -1, 64)
		}
	}
	if l := p.lookups[string(p.key)]; l != nil {
		return l
	}
	l := &lookup{key: string(p.key), model: model, by: make(map[string]any, len(by)), archived: archived}
	for f, v := range by {
		l.by[f], _ = p.operand(s, v)
	}
	p.lookups[l.key] = l
	return l
}

// operand is what a search compares a field with: a string, bool, int64 or float64.
func (p *pass) operand(s *state, v any) (any, bool) {
	switch t := v.(type) {
	case map[string]any:
		if xid, ok := t["$xid"].(string); ok {
			r, ok := p.known[xid]
			return r.id, ok
		}
		name, _ := t["$op"].(string)
		r, _ := s.result(name)
		return r.id, r.id != 0
	case json.Number:
		return number(t), true
	case string:
		return cleaned(v, t), true
	case nil:
		return false, true
	case int:
		return int64(t), true
	case bool, int64, float64:
		return v, true
	}
	return nil, false
}

// refsIn visits the look-up of every reference in values, those of lines too.
func (p *pass) refsIn(s *state, vals broker.Values, visit func(*lookup)) {
	symbols(vals, func(m map[string]any) {
		if _, ok := m["$ref"]; ok {
			if r, ok := p.refOf(s, m); ok {
				visit(r.lookup)
			}
		}
	})
}

// symbols visits every reference in a value, however deep.
func symbols(v any, visit func(map[string]any)) {
	switch v := v.(type) {
	case broker.Values:
		for _, it := range v {
			symbols(it, visit)
		}
	case []any:
		for _, it := range v {
			symbols(it, visit)
		}
	case map[string]any:
		for _, name := range []string{"$ref", "$xid", "$op"} {
			if _, ok := v[name]; ok {
				visit(v)
			}
		}
		for name, it := range v {
			switch it.(type) {
			case map[string]any, []any, broker.Values:
				if name != "$ref" {
					symbols(it, visit)
				}
			}
		}
	}
}

// maxLookup bounds the values in one domain.
const maxLookup = 1000

// resolve finds the records of look-ups: p.found[key] has none, one, or two
// (which means several) ids. Look-ups in one model by one plain field share a
// call.
func (p *pass) resolve(ctx context.Context, need []*lookup) error {
	type shared struct {
		model, field string
		archived     bool
	}
	byField := map[shared][]*lookup{}
	var alone, asked []*lookup
	for _, r := range need {
		if _, ok := p.found[r.key]; ok {
			continue
		}
		if id, ok := p.t.refs.get(r.key); ok {
			p.found[r.key] = []int64{id}
			continue
		}
		p.found[r.key] = nil
		asked = append(asked, r)
		field, text := "", false
		for f, v := range r.by {
			field = f
			_, text = v.(string)
		}
		if len(r.by) == 1 && text && !strings.Contains(field, ".") {
			g := shared{r.model, field, r.archived}
			byField[g] = append(byField[g], r)
		} else {
			alone = append(alone, r)
		}
	}
	for g, rs := range byField {
		if len(rs) == 1 {
			alone = append(alone, rs[0])
			continue
		}
		for chunk := range slices.Chunk(rs, maxLookup) {
			if err := p.searchShared(ctx, g.model, g.field, g.archived, chunk); err != nil {
				return err
			}
		}
	}
	for _, r := range alone {
		if err := p.searchOne(ctx, r); err != nil {
			return err
		}
	}
	for _, r := range asked {
		if ids := p.found[r.key]; len(ids) == 1 && !r.archived {
			p.t.refs.put(r.key, ids[0])
		}
	}
	return nil
}

func (p *pass) searchShared(ctx context.Context, model, field string, archived bool, rs []*lookup) error {
	values := make([]any, len(rs))
	byValue := make(map[string]*lookup, len(rs))
	for i, r := range rs {
		values[i] = r.by[field]
		byValue[r.by[field].(string)] = r
	}
	res, err := p.t.client.execute(ctx, model, "search_read", []arg{{"domain", []any{[]any{field, "in", values}}}, {"fields", []any{field}}},
		map[string]any{"limit": 4 * maxLookup, "context": p.context(archived)})
	if err != nil {
		return p.lookupFault(ctx, err, rs)
	}
	rows, ok := res.([]any)
	if !ok {
		return &fault{class: "net.garbage"}
	}
	for _, row := range rows {
		m, _ := row.(map[string]any)
		id, _ := asInt(m["id"])
		value, text := m[field].(string)
		r, known := byValue[value]
		if !text || !known || len(rows) >= 4*maxLookup {
			// The field is not what its name promised (a relation, or compared
			// without case): look each up by itself.
			for _, r := range rs {
				p.found[r.key] = nil
				if err := p.searchOne(ctx, r); err != nil {
					return err
				}
			}
			return nil
		}
		if len(p.found[r.key]) < 2 {
			p.found[r.key] = append(p.found[r.key], id)
		}
	}
	return nil
}

func (p *pass) searchOne(ctx context.Context, r *lookup) error {
	domain := make([]any, 0, len(r.by))
	for f, v := range r.by {
		domain = append(domain, []any{f, "=", v})
	}
	res, err := p.t.client.execute(ctx, r.model, "search", []arg{{"domain", domain}},
		map[string]any{"limit": 2, "context": p.context(r.archived)})
	if err != nil {
		return p.lookupFault(ctx, err, []*lookup{r})
	}
	list, ok := res.([]any)
	if !ok {
		return &fault{class: "net.garbage"}
	}
	for _, v := range list {
		if id, ok := asInt(v); ok {
			p.found[r.key] = append(p.found[r.key], id)
		}
	}
	return nil
}

// lookupFault keeps a look-up's fault for the units that asked for it, unless
// the target as a whole is unwell.
func (p *pass) lookupFault(ctx context.Context, err error, rs []*lookup) error {
	v, err := p.assess(ctx, err, nil)
	if err != nil {
		return err
	}
	for _, r := range rs {
		p.failed[r.key] = v
	}
	return nil
}

func (t *Target) searchContext(archived bool) map[string]any {
	c := map[string]any{"lang": t.lang, "tz": "UTC"}
	if archived {
		c["active_test"] = false
	}
	return c
}

// refCache remembers which record a reference found, for a while. Only single
// hits are remembered: what is missing today may come. Old entries leave by
// generation, so it never holds more than two of them.
type refCache struct {
	mu       sync.Mutex
	cur, old map[string]int64
	since    time.Time
}

const (
	refGeneration = 5000
	refAge        = 10 * time.Minute
)

func (c *refCache) bound() broker.Bound {
	c.mu.Lock()
	defer c.mu.Unlock()
	return broker.Bound{Name: "references remembered", Used: int64(len(c.cur) + len(c.old)), Limit: 2 * refGeneration}
}

func (c *refCache) get(key string) (int64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if id, ok := c.cur[key]; ok {
		return id, true
	}
	id, ok := c.old[key]
	return id, ok
}

func (c *refCache) put(key string, id int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.turn()
	if _, ok := c.old[key]; !ok {
		c.cur[key] = id
	}
}

func (c *refCache) drop(key string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.cur, key)
	delete(c.old, key)
}

// turn starts a new generation when this one is full or old.
func (c *refCache) turn() {
	if c.cur == nil || len(c.cur) >= refGeneration || time.Since(c.since) > refAge {
		c.old, c.cur, c.since = c.cur, make(map[string]int64), time.Now()
	}
}
