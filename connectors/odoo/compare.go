package odoo

import (
	"context"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// What a record holds already is not written again: looking up and reading fifty
// records costs a fifteenth of writing them, and a write takes locks, changes
// write_date and wakes whatever listens. A person's change in between is seen,
// which a memory of what was sent would miss.

// seen are the values of records, by model, id and field, as read returns them.
type seen map[string]map[int64]map[string]any

func (s seen) value(r record, field string) (v any, ok bool) {
	v, ok = s[r.model][r.id][field]
	return v, ok
}

// holdsAll says whether the record has all values already. A count of stock reads as
// 0 when none is entered.
func (s seen) holdsAll(r record, cells []cell) bool {
	for _, c := range cells {
		have, ok := s.value(r, fieldOf(c.column))
		if !ok || !c.is(have) {
			return false
		}
		if set, _ := s.value(r, "inventory_quantity_set"); c.column == counted && r.model == quantModel && set != true {
			return false
		}
	}
	return true
}

// differing are the fields of cells in which the record has another value.
func (s seen) differing(r record, cells []cell) (fields []string) {
	for _, c := range cells {
		if have, ok := s.value(r, fieldOf(c.column)); ok && !c.is(have) {
			fields = append(fields, fieldOf(c.column))
		}
	}
	return fields
}

// maxCompared is the longest text that is read back to be compared.
const maxCompared = 4096

// observe reads what the operations of a wave ask of existing records: the
// fields of only_if, and those that they would write.
func (p *pass) observe(ctx context.Context, jobs []*job) error {
	type ask struct {
		ids    map[int64]bool
		fields map[string]bool
		guards map[string]bool // of the fields, those without which nothing can be decided
	}
	asks := map[string]*ask{}
	for _, j := range jobs {
		if !j.exists {
			continue
		}
		a := asks[j.op.Model]
		if a == nil {
			a = &ask{map[int64]bool{}, map[string]bool{}, map[string]bool{}}
			asks[j.op.Model] = a
		}
		if j.op.Do != "create" {
			for f := range j.op.OnlyIf {
				a.guards[f] = true
			}
		}
		for f := range deferrable(j.op) {
			a.guards[f] = true
		}
		if j.op.UnchangedSince != "" {
			a.guards["write_uid"], a.guards["write_date"] = true, true
		}
		if enters(j.op) && j.op.Do != "create" {
			a.fields["inventory_quantity_set"], a.fields["product_id"] = true, true
		}
		for f, v := range j.written() {
			if text, ok := v.(string); (!ok || len(text) <= maxCompared) && !isLines(v) {
				a.fields[f], a.fields["write_uid"] = true, true
			}
		}
		maps.Copy(a.fields, a.guards)
		if len(a.fields) > 0 {
			a.ids[j.rec.id] = true
		}
	}
	p.seen = seen{}
	if len(asks) > 0 && p.me == 0 {
		var err error
		if p.me, err = p.t.client.self(ctx); err != nil {
			return err
		}
	}
	for model, a := range asks {
		if len(a.fields) == 0 {
			continue
		}
		fields := a.fields
		if p.t.unread.has(model) {
			fields = a.guards
		}
		v, err := p.read(ctx, model, a.ids, fields)
		if err != nil {
			return err
		}
		if v != nil && len(a.guards) < len(fields) { // a field that is unknown, or that the user may write and not read
			p.t.unread.add(model)
			if v, err = p.read(ctx, model, a.ids, a.guards); err != nil {
				return err
			}
		}
		for _, j := range jobs {
			if v == nil && j.exists && j.op.Model == model {
				if err := p.liken(ctx, j.rec, j.written()); err != nil {
					return err
				}
			}
		}
		if v != nil && len(a.guards) > 0 {
			for _, j := range jobs {
				if j.exists && j.op.Model == model && (len(j.op.OnlyIf) > 0 || j.op.UnchangedSince != "") {
					j.s.fail(model, *v)
				}
			}
		}
	}
	return nil
}

// read adds fields of records to what is seen: of a many2one field its id alone,
// without the name, which takes Odoo as long as all the rest. A verdict says that
// Odoo refuses.
func (p *pass) read(ctx context.Context, model string, ids map[int64]bool, fields map[string]bool) (*verdict, error) {
	if len(fields) == 0 {
		return nil, nil
	}
	if p.seen == nil {
		p.seen = seen{}
	}
	if p.seen[model] == nil {
		p.seen[model] = map[int64]map[string]any{}
	}
	names := make([]any, 0, len(fields))
	for _, f := range slices.Sorted(maps.Keys(fields)) {
		names = append(names, f)
	}
	for chunk := range slices.Chunk(slices.Sorted(maps.Keys(ids)), maxLookup) {
		list := make([]any, len(chunk))
		for i, id := range chunk {
			list[i] = id
		}
		res, err := p.t.client.execute(ctx, model, "read", []arg{{"ids", list}, {"fields", names}, {"load", ""}}, map[string]any{"context": p.context(true)})
		if err != nil {
			v, err := p.assess(ctx, err, nil)
			return &v, err
		}
		rows, ok := res.([]any)
		if !ok {
			return nil, &fault{class: "net.garbage"}
		}
		for _, row := range rows {
			m, _ := row.(map[string]any)
			if id, ok := asInt(m["id"]); ok {
				p.seen[model][id] = m
			}
		}
	}
	return nil, nil
}

// holds says whether a record has the values of only_if.
func (p *pass) holds(s *state, r record, want broker.Values) (bool, *broker.Outcome) {
	for f, v := range want {
		c := cell{column: f}
		if m, ok := v.(map[string]any); ok {
			id, bad := p.one(s, r.model, f, m)
			if bad != nil {
				return false, bad
			}
			c.value = any(false)
			if id != 0 {
				c.value = strconv.FormatInt(id, 10)
			}
		} else {
			if c.value, ok = scalar(v); !ok {
				return false, invalid(f, "only_if takes a plain value or a reference")
			}
			_, c.truth = v.(bool)
		}
		have, ok := p.seen.value(r, f)
		if !ok || !c.is(have) {
			return false, nil
		}
	}
	return true, nil
}

// is says whether the value of a record is the cell's; when in doubt it is not.
func (c *cell) is(have any) bool {
	text, hasText := c.value.(string)
	hasText = hasText && text != ""
	switch have := have.(type) {
	case nil:
		return !hasText
	case bool:
		if c.truth {
			return have == (text == "1")
		}
		return !have && !hasText
	case string:
		return !c.truth && (hasText && have == text || !hasText && have == "")
	case int64, float64:
		n, err := strconv.ParseFloat(text, 64)
		x, whole := have.(float64)
		if i, ok := have.(int64); ok && !whole {
			x = float64(i)
		}
		return !c.truth && (err == nil && n == x || !hasText && x == 0)
	case []any:
		return !c.truth && c.isRelation(text, have)
	case map[string]any:
		want, ok := readJSON([]byte(text))
		return ok && hasText && reflect.DeepEqual(normalized(want), normalized(have))
	}
	return false
}

// isRelation compares the ids of relations to many records.
func (c *cell) isRelation(text string, have []any) bool {
	there := make(map[string]bool, len(have))
	for _, v := range have {
		id, ok := asInt(v)
		if !ok {
			return false
		}
		there[strconv.FormatInt(id, 10)] = true
	}
	if text == "" {
		return len(there) == 0
	}
	want := map[string]bool{}
	for id := range strings.SplitSeq(text, ",") {
		if want[id] = true; !there[id] {
			return false
		}
	}
	return c.mode == add || len(want) == len(there)
}

// normalized makes numbers comparable.
func normalized(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, it := range v {
			out[k] = normalized(it)
		}
		return out
	case int64:
		return float64(v)
	case json.Number:
		f, _ := v.Float64()
		return f
	}
	return v
}

// unread are models whose fields the user may not read as a whole.
type unread struct {
	mu    sync.Mutex
	since map[string]time.Time
}

func (u *unread) has(model string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return time.Since(u.since[model]) < factAge
}

func (u *unread) add(model string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.since == nil || len(u.since) > 1000 {
		u.since = map[string]time.Time{}
	}
	u.since[model] = time.Now()
}
