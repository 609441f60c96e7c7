package odoo

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// blindFor is how long we believe that the user may not read ir.model.data.
const blindFor = 10 * time.Minute

// lookupAll asks which of the external ids of the pass exist: those of its
// records and those that references name. A user who may not read ir.model.data
// makes the pass blind: then upserts are an insert-if-absent followed by an
// update, which needs no knowledge, and only what must be known is looked up,
// one by one.
func (p *pass) lookupAll(ctx context.Context) error {
	p.blind = p.t.isBlind()
	for {
		names := map[string][]string{} // by scope, which matters to a blind pass alone
		scopes := map[string]map[string]any{}
		for i := range p.states {
			s := &p.states[i]
			if s.outcome != nil {
				continue
			}
			for k := range s.unit.Ops {
				op := &s.unit.Ops[k]
				key := ""
				if p.blind {
					scope := scopeOf(op.Context)
					key = contextKey(scope)
					scopes[key] = scope
				}
				if xid := xidOf(s.unit, op); xid != "" && (!p.blind || op.XID != "" && mustKnow(op)) {
					names[key] = append(names[key], xid)
				}
				if name := madeName(s.unit, op); name != "" && !p.blind {
					names[key] = append(names[key], name)
				}
				names[key] = append(names[key], refNames(op)...)
			}
		}
		blind := p.blind
		for key, some := range names {
			p.scope = scopes[key]
			err := p.lookup(ctx, some)
			p.scope = nil
			if err != nil {
				return err
			}
		}
		if p.blind == blind {
			return nil
		}
	}
}

// refNames are the external ids that an operation refers to.
func refNames(op *broker.Operation) (names []string) {
	for _, vals := range []broker.Values{op.By, op.Vals, op.OnCreate, op.OnUpdate, op.Args, op.OnlyIf} {
		symbols(vals, func(m map[string]any) {
			if xid, ok := m["$xid"].(string); ok && validXID(xid) {
				names = append(names, xid)
			}
		})
	}
	return names
}

// lookup asks which of some external ids exist. It may make the pass blind, and
// is then to be asked again.
func (p *pass) lookup(ctx context.Context, xids []string) error {
	if p.blind {
		for _, x := range slices.Compact(slices.Sorted(slices.Values(xids))) {
			if err := p.lookupOne(ctx, x); err != nil {
				return err
			}
		}
		return nil
	}
	modules, names := map[string]bool{}, make([]string, len(xids))
	for i, x := range xids {
		module, name := splitXID(x)
		modules[module], names[i] = true, name
	}
	slices.Sort(names)
	for chunk := range slices.Chunk(slices.Compact(names), maxLookup) {
		if err := p.lookupNames(ctx, slices.Sorted(maps.Keys(modules)), chunk); err != nil {
			var f *fault
			if errors.As(err, &f) && f.class == "AccessError" {
				p.t.setBlind()
				p.blind = true
				return nil
			}
			return err
		}
	}
	return nil
}

func (p *pass) lookupOne(ctx context.Context, xid string) error {
	module, name := splitXID(xid)
	res, err := p.t.client.execute(ctx, "ir.model.data", "check_object_reference", []arg{{"module", module}, {"xml_id", name}},
		map[string]any{"context": p.context(true)})
	var f *fault
	if errors.As(err, &f) && f.class == "ValueError" { // not found
		return nil
	}
	if err != nil {
		return err
	}
	pair, _ := res.([]any)
	if len(pair) != 2 {
		return &fault{class: "net.garbage"}
	}
	model, _ := pair[0].(string)
	if id, ok := asInt(pair[1]); ok && id > 0 {
		p.known[xid] = record{model, id}
	}
	return nil
}

func (p *pass) lookupNames(ctx context.Context, modules, names []string) error {
	list, of := make([]any, len(names)), make([]any, len(modules))
	for i, n := range names {
		list[i] = n
	}
	for i, m := range modules {
		of[i] = m
	}
	res, err := p.t.client.execute(ctx, "ir.model.data", "search_read",
		[]arg{{"domain", []any{[]any{"module", "in", of}, []any{"name", "in", list}}}, {"fields", []any{"module", "name", "model", "res_id"}}}, nil)
	if err != nil {
		return err
	}
	rows, ok := res.([]any)
	if !ok {
		return &fault{class: "net.garbage"}
	}
	for _, v := range rows {
		m, _ := v.(map[string]any)
		module, _ := m["module"].(string)
		name, _ := m["name"].(string)
		model, _ := m["model"].(string)
		if module == madeModule {
			p.made[module+"."+name] = true
			continue
		}
		if id, ok := asInt(m["res_id"]); ok && id > 0 {
			p.known[module+"."+name] = record{model, id}
			if module == noModule {
				p.known[name] = record{model, id}
			}
		}
	}
	return nil
}

// noModule is where Odoo puts an external id without a dot.
const noModule = "__import__"

func splitXID(xid string) (module, name string) {
	module, name, ok := strings.Cut(xid, ".")
	if !ok {
		return noModule, xid
	}
	return module, name
}

func (t *Target) isBlind() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return time.Since(t.blindSince) < blindFor
}

func (t *Target) setBlind() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.blindSince = time.Now()
	t.log.Warn("odoo: the user may not read ir.model.data; every upsert takes two calls and cannot tell what it made; grant Access Rights to spare that")
}
