package odoo

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

// blindFor is how long we believe that the user may not read ir.model.data.
const blindFor = 10 * time.Minute

// lookup asks which of the external ids exist. A user who may not read
// ir.model.data makes the pass blind: then upserts are an insert-if-absent
// followed by an update, which needs no knowledge, and only operations that
// never create are looked up, one by one.
func (p *pass) lookup(ctx context.Context, xids []string) error {
	p.blind = p.t.isBlind()
	if !p.blind {
		byModule := map[string][]string{}
		for _, x := range xids {
			module, name := splitXID(x)
			byModule[module] = append(byModule[module], name)
		}
		for module, names := range byModule {
			slices.Sort(names)
			for chunk := range slices.Chunk(slices.Compact(names), maxLookup) {
				if err := p.lookupNames(ctx, module, chunk); err != nil {
					var f *fault
					if errors.As(err, &f) && f.class == "AccessError" {
						p.t.setBlind()
						return p.lookup(ctx, xids)
					}
					return err
				}
			}
		}
		return nil
	}
	need := map[string]bool{}
	for i := range p.states {
		if s := &p.states[i]; s.outcome == nil {
			for k := range s.unit.Ops {
				if op := &s.unit.Ops[k]; op.XID != "" && (op.Do == "update" || op.Do == "archive") {
					need[op.XID] = true
				}
			}
		}
	}
	for _, x := range xids {
		if !need[x] {
			continue
		}
		module, name := splitXID(x)
		res, err := p.t.client.execute(ctx, "ir.model.data", "check_object_reference", []arg{{"module", module}, {"xml_id", name}},
			map[string]any{"context": p.t.searchContext(true)})
		var f *fault
		if errors.As(err, &f) && f.class == "ValueError" { // not found
			continue
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
			p.known[x] = record{model, id}
		}
	}
	return nil
}

func (p *pass) lookupNames(ctx context.Context, module string, names []string) error {
	list := make([]any, len(names))
	for i, n := range names {
		list[i] = n
	}
	res, err := p.t.client.execute(ctx, "ir.model.data", "search_read",
		[]arg{{"domain", []any{[]any{"module", "=", module}, []any{"name", "in", list}}}, {"fields", []any{"name", "model", "res_id"}}}, nil)
	if err != nil {
		return err
	}
	rows, ok := res.([]any)
	if !ok {
		return &fault{class: "net.garbage"}
	}
	for _, v := range rows {
		m, _ := v.(map[string]any)
		name, _ := m["name"].(string)
		model, _ := m["model"].(string)
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
