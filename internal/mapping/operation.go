package mapping

import (
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

var (
	xidPattern = regexp.MustCompile(`^[a-z][a-z0-9_]*\.[A-Za-z0-9_.\-]*$`)
)

func (l *loader) operations(v *value) {
	for _, item := range v.list {
		if op := l.operation(item); op != nil {
			l.m.ops = append(l.m.ops, op)
		}
	}
}

func (l *loader) operation(v *value) *operation {
	op := &operation{id: v.textOf("id"), model: v.textOf("model"), at: v.at, allowed: map[string]tree.Labels{}}
	if slices.Contains([]string{"let", "guards", "ordering", "idempotency"}, op.id) {
		l.c.errorf(v.get("id").at, "operations", "%s is a word of the language: choose another id", op.id)
	}
	if slices.ContainsFunc(l.m.ops, func(o *operation) bool { return o.id == op.id }) {
		l.c.errorf(v.get("id").at, "operations", "the id %s stands twice", op.id)
	}
	for _, k := range []string{"method", "args", "only_if", "context"} {
		if x := v.get(k); x != nil {
			l.c.unsupported(x.at, "%s of an operation", k)
		}
	}
	op.do = v.textOf("do")
	switch op.do {
	case "upsert", "merge":
	default:
		l.c.unsupported(v.get("do").at, "do: %s", op.do)
	}
	if l.snap.Models[op.model] == nil {
		l.c.errorf(where(v.get("model"), v.at), "odoo-model", "the snapshot has no model %q%s", op.model, didYouMean(op.model, slices.Sorted(maps.Keys(l.snap.Models))))
		return nil
	}
	sc := l.root
	if e := v.get("each"); e != nil {
		if op.each, sc = l.each(e, sc); op.each == nil {
			return nil
		}
	}
	if w := v.get("when"); w != nil {
		op.when = l.condition(w, sc, nil)
	}
	l.match(op, v.get("match"), sc)
	l.survivor(op, v)
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
	if name == "" {
		name = lastName(p)
	}
	return p, sc.inner(p, name)
}

// match compiles an operation's identity. Without one a replay would make the
// records again.
func (l *loader) match(op *operation, v *value, sc *scope) {
	if v == nil {
		l.c.errorf(op.at, "no-identity", "operation %s: %s needs match: — without identity a replay would duplicate records", op.id, op.do)
		return
	}
	l.reads = nil
	if x := v.get("xid"); x != nil {
		if op.xid = l.template(x, sc); op.xid != nil {
			op.labels |= op.xid.labels
			l.checkXID(op, x)
		}
	}
	if b := v.get("by"); b != nil {
		l.matchBy(op, b, sc)
	}
	if (op.xid == nil) == (len(op.by) == 0) && !l.c.issues.failed() {
		l.c.errorf(v.at, "no-identity", "match: has either xid: or by:")
	}
	l.checkEgress(v.at, op.id+".match", op.labels)
}

func (l *loader) checkXID(op *operation, v *value) {
	var fixed strings.Builder
	for _, p := range op.xid.parts {
		fixed.WriteString(p.literal)
	}
	if !xidPattern.MatchString(fixed.String()) {
		l.c.errorf(v.at, "xid", "an external identifier is module.name without spaces, and its module is not filled in: %q", v.text)
	}
	if !op.xid.reads() {
		l.c.warnf(v.at, "xid", "%q names one record for all messages", v.text)
	}
}

// matchBy takes {field: input} and [field], which means that the field's own
// path of the same mapping is not enough: only {field: path or let}.
func (l *loader) matchBy(op *operation, v *value, sc *scope) {
	if v.kind != yamlMap {
		l.c.unsupported(v.at, "match by a list of fields; write by: {field: path}")
		return
	}
	for _, e := range v.keys {
		if _, err := l.snap.field(op.model, e.key); err != nil {
			l.c.errorf(e.at, "odoo-field", "%v", err)
			continue
		}
		in, ok := l.input(e.val.at, sc, e.val.text)
		if !ok {
			continue
		}
		labels := l.inputLabels(in)
		op.labels |= labels
		op.by = append(op.by, refKey{field: e.key, tmpl: &template{parts: []templatePart{{input: &in}}, labels: labels}})
	}
}

// survivor compiles on: and on_none:.
func (l *loader) survivor(op *operation, v *value) {
	if x := v.get("on_none"); x != nil {
		op.onNone = v.textOf("on_none")
		if op.do == "upsert" {
			l.c.errorf(x.at, "operations", "on_none is for operations on a record that must exist, and upsert makes it")
		}
	}
	x := v.get("on")
	switch {
	case op.do == "merge" && x == nil:
		l.c.errorf(op.at, "operations", "merge needs on: the operation whose record stays")
	case op.do != "merge" && x != nil:
		l.c.errorf(x.at, "operations", "on: is for merge")
	case x != nil:
		op.on = l.earlier(x, op.each)
		if op.on != nil && op.on.model != op.model {
			l.c.errorf(x.at, "operations", "%s is a %s and %s a %s: they do not merge", op.on.id, op.on.model, op.id, op.model)
		}
	}
}

// earlier finds the operation that op: or on: names. One that repeats can be
// named only from the same list: then it is that of the same item.
func (l *loader) earlier(v *value, each *boundPath) *operation {
	var names []string
	for _, o := range l.m.ops {
		if o.id == v.text {
			if o.each != nil && (each == nil || each.text != o.each.text) {
				l.c.errorf(v.at, "op-order", "%s repeats over %s: which of them is meant?", o.id, o.each.text)
				return nil
			}
			return o
		}
		names = append(names, o.id)
	}
	l.c.errorf(v.at, "op-order", "%q is not an earlier operation%s", v.text, didYouMean(v.text, names))
	return nil
}

// fields compiles an operation's fields; those of the fragments that it
// includes are among them by now.
func (l *loader) fields(op *operation, v *value, sc *scope) {
	entries := v.get("fields").entries()
	l.checkArguments(l.args[v], sc)
	if op.do == "merge" && len(entries) > 0 {
		l.c.errorf(entries[0].at, "fields", "merge writes no fields: let an upsert of the survivor do it")
		return
	}
	for _, e := range entries {
		r := l.rule(e.key, e.at, e.val, ruleContext{owner: op.id, scope: sc, op: op})
		if r == nil {
			continue
		}
		op.rules = append(op.rules, r)
		op.allowed[r.field] = r.labels
	}
	if op.do == "upsert" {
		l.checkRequired(op)
	}
}

// checkRequired finds fields that Odoo wants when it makes the record.
func (l *loader) checkRequired(op *operation) {
	fields := l.snap.Models[op.model]
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		f := fields[name]
		if !f.Required || f.Default || f.Compute || f.Related != "" || f.Inherits != "" {
			continue
		}
		if !slices.ContainsFunc(op.rules, func(r *rule) bool { return r.field == name }) {
			l.c.errorf(op.at, "odoo-required", "%s.%s is required by Odoo and no rule fills it", op.model, name)
		}
	}
}
