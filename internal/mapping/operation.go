package mapping

import (
	"maps"
	"regexp"
	"slices"

	"github.com/vagus-health/vagus/internal/tree"
)

var (
	reservedIDs = []string{"let", "guards", "ordering", "idempotency"}
	xidPattern  = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[A-Za-z0-9_.\-]*$`)
)

func (l *loader) operations(v *value) {
	for _, item := range v.list {
		if op := l.operation(item); op != nil {
			l.m.ops = append(l.m.ops, op)
		}
	}
}

func (l *loader) operation(v *value) *operation {
	op := &operation{id: v.textOf("id"), model: v.textOf("model"), do: v.textOf("do"), at: v.at, because: v.textOf("because"), allowed: map[string]permit{}, argument: map[string]tree.Labels{}}
	if slices.Contains(reservedIDs, op.id) {
		l.c.errorf(v.get("id").at, "operations", "%s is a word of the language: choose another id", op.id)
	}
	if slices.ContainsFunc(l.m.ops, func(o *operation) bool { return o.id == op.id }) {
		l.c.errorf(v.get("id").at, "operations", "the id %s stands twice", op.id)
	}
	sc := l.root
	if e := v.get("each"); e != nil {
		if op.each, sc = l.each(e, sc); op.each == nil {
			return nil
		}
	}
	if w := v.get("when"); w != nil {
		op.when = l.condition(w, sc, nil)
		op.asks |= l.checkAsks(w.at, op.id, 0, l.asked(op.when))
	}
	l.operationOn(op, v)
	if l.snap.Models[op.model] == nil {
		if op.do != "call" || op.on != nil {
			l.c.errorf(where(v.get("model"), v.at), "odoo-model", "the snapshot has no model %q%s", op.model, didYouMean(op.model, slices.Sorted(maps.Keys(l.snap.Models))))
		}
		return nil
	}
	if op.do == "call" {
		l.call(op, v, sc)
	} else {
		l.match(op, v.get("match"), sc)
	}
	l.onlyIf(op, v.get("only_if"), sc)
	l.context(op, v.get("context"), sc)
	l.fields(op, v, sc)
	return op
}

// each compiles the list that an operation or a field repeats over, and opens
// its items' scope.
func (l *loader) each(v *value, sc *scope) (*boundPath, *scope) {
	text, name, at := v.text, "", v.at
	if v.kind == yamlMap {
		text, name, at = v.textOf("path"), v.textOf("as"), v.get("path").at
	}
	p := l.bind(at, sc, text)
	if p == nil {
		return nil, nil
	}
	if !p.list {
		l.c.errorf(at, "each", "each goes over a list: write [*] in %s", text)
		return nil, nil
	}
	l.checkAsks(at, "what "+text+" names", 0, []read{{text: text, asks: p.asks()}})
	if name == "" {
		name = lastName(p)
	}
	return p, sc.each(p, name)
}

// fields compiles an operation's fields; those of the fragments that it
// includes are among them by now.
func (l *loader) fields(op *operation, v *value, sc *scope) {
	entries := v.get("fields").entries()
	l.checkArguments(l.args[v], sc)
	if len(entries) > 0 && !slices.Contains([]string{"upsert", "create", "update"}, op.do) {
		l.c.errorf(entries[0].at, "fields", "%s writes no fields: let an upsert or an update do it", op.do)
		return
	}
	for _, e := range entries {
		if r := l.rule(e.key, e.at, e.val, ruleContext{owner: op.id, model: op.model, scope: sc, op: op}); r != nil {
			op.rules = append(op.rules, r)
			op.allowed[r.field] = r.permit()
		}
	}
	for _, name := range op.byFields {
		n := slices.IndexFunc(op.rules, func(r *rule) bool { return r.field == name })
		switch {
		case n < 0:
			l.c.errorf(v.get("match").at, "no-identity", "match by: [%s]: no rule of %s fills it", name, op.id)
		case op.rules[n].blocks != nil, op.rules[n].onCreate, op.rules[n].onUpdate:
			l.c.errorf(op.rules[n].at, "no-identity", "%s.%s is matched by its one value, which is always written", op.id, name)
		default:
			op.labels |= op.rules[n].labels
		}
	}
	if op.do == "upsert" || op.do == "create" {
		l.checkRequired(op.at, op.model, op.rules, "")
	}
}

// permit is what the second egress check lets a rule's field carry.
func (r *rule) permit() permit {
	p := permit{labels: r.labels}
	if r.lines {
		p.lines = map[string]permit{}
	}
	for _, b := range r.blocks {
		for _, x := range b.rules {
			more := x.permit()
			more.labels |= p.lines[x.field].labels
			p.lines[x.field] = more
		}
	}
	return p
}

// checkRequired finds fields that Odoo wants when it makes the record, besides
// the one that leads back from a line to its record.
func (l *loader) checkRequired(at place, model string, rules []*rule, inverse string) {
	fields := l.snap.Models[model]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		if !f.Required || f.Default || f.Compute || f.fixed() || f.Related != "" || f.Inherits != "" || name == inverse || l.snap.delegates(model, name) {
			continue
		}
		n := slices.IndexFunc(rules, func(r *rule) bool { return r.field == name })
		if n < 0 {
			l.c.errorf(at, "odoo-required", "%s.%s is required by Odoo and no rule fills it", model, name)
		} else if rules[n].onUpdate {
			l.c.errorf(rules[n].at, "odoo-required", "%s.%s is required by Odoo on a new record, and only_on: update leaves it out", model, name)
		}
	}
}
