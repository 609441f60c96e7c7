package odoo

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A ref is a look-up by fields: {"$ref": model, "by": {field: value, …}}.
type ref struct {
	key            string // model and fields, canonical
	model          string
	by             map[string]any
	onNone, onMany string
	archived       bool // finds archived records too
}

// refOf reads a reference. In its fields {"$op"…} stands for the id of an
// earlier operation's record.
func (p *pass) refOf(s *state, m map[string]any) (ref, bool) {
	model, _ := m["$ref"].(string)
	by, _ := m["by"].(map[string]any)
	r := ref{model: model}
	r.onNone, _ = m["on_none"].(string)
	r.onMany, _ = m["on_many"].(string)
	if !identifier.MatchString(model) || len(by) == 0 {
		return r, false
	}
	return r, p.keyed(s, &r, by)
}

// keyed fills in the reference's fields and its key.
func (p *pass) keyed(s *state, r *ref, by map[string]any) bool {
	r.by = make(map[string]any, len(by))
	for f, v := range by {
		if !identifier.MatchString(f) {
			return false
		}
		switch v := v.(type) {
		case map[string]any:
			name, _ := v["$op"].(string)
			res, ok := s.results[name]
			if !ok || res.id == 0 {
				return false
			}
			r.by[f] = res.id
		case json.Number:
			r.by[f] = number(v)
		case string:
			r.by[f] = clean(v)
		case nil:
			r.by[f] = false
		case bool, int, int64, float64:
			r.by[f] = v
		default:
			return false
		}
	}
	key, err := json.Marshal([]any{r.model, r.by, r.archived})
	r.key = string(key)
	return err == nil
}

// refsIn visits every reference in values.
func (p *pass) refsIn(s *state, vals broker.Values, visit func(ref)) {
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, it := range v {
				walk(it)
			}
		case map[string]any:
			if _, ok := v["$ref"]; ok {
				if r, ok := p.refOf(s, v); ok {
					visit(r)
				}
				return
			}
			walk(v["$add"])
			walk(v["$set"])
		}
	}
	for _, v := range vals {
		if m, ok := v.(map[string]any); ok {
			walk(m)
		}
	}
}

// maxLookup bounds the values in one domain.
const maxLookup = 500

// resolve finds the records of references: p.found[key] has none, one, or two
// (which means several) ids. References to one model by one plain field share
// a call.
func (p *pass) resolve(ctx context.Context, refs []ref) error {
	type shared struct {
		model, field string
		archived     bool
	}
	byField := map[shared][]ref{}
	var alone []ref
	for _, r := range refs {
		if _, ok := p.found[r.key]; ok {
			continue
		}
		if id, ok := p.t.refs.get(r.key); ok {
			p.found[r.key] = []int64{id}
			continue
		}
		p.found[r.key] = nil
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
	for _, r := range refs {
		if ids := p.found[r.key]; len(ids) == 1 && !r.archived {
			p.t.refs.put(r.key, ids[0])
		}
	}
	return nil
}

func (p *pass) searchShared(ctx context.Context, model, field string, archived bool, rs []ref) error {
	values := make([]any, len(rs))
	byValue := make(map[string]ref, len(rs))
	for i, r := range rs {
		values[i] = r.by[field]
		byValue[r.by[field].(string)] = r
	}
	res, err := p.t.client.execute(ctx, model, "search_read", []any{[]any{[]any{field, "in", values}}, []any{field}},
		map[string]any{"limit": 4 * maxLookup, "context": p.t.searchContext(archived)})
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

func (p *pass) searchOne(ctx context.Context, r ref) error {
	domain := make([]any, 0, len(r.by))
	for f, v := range r.by {
		domain = append(domain, []any{f, "=", v})
	}
	res, err := p.t.client.execute(ctx, r.model, "search", []any{domain},
		map[string]any{"limit": 2, "context": p.t.searchContext(r.archived)})
	if err != nil {
		return p.lookupFault(ctx, err, []ref{r})
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
func (p *pass) lookupFault(ctx context.Context, err error, rs []ref) error {
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
