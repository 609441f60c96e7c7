package mapping

import (
	"cmp"
	"strings"

	"cel.dev/cel-go/cel"
)

// A ruleContext is where a rule stands.
type ruleContext struct {
	owner string
	scope *scope
	op    *operation // nil for a let
}

// id names the rule in the mapping: "patient.phone", "let.mrn".
func (r *rule) id() string { return r.owner + "." + r.field }

// rule compiles the right-hand side of a field or a let.
func (l *loader) rule(field string, at place, v *value, rc ruleContext) *rule {
	r := &rule{owner: rc.owner, field: field, at: at, conv: converter{zone: l.m.zone}}
	l.reads = nil
	before := len(l.c.issues)
	if rc.op != nil && !l.odooField(r, rc.op.model) {
		return nil
	}
	switch v.kind {
	case yamlString:
		v = &value{kind: yamlMap, at: v.at, keys: []entry{{key: "from", at: v.at, val: v}}}
	case yamlList:
		l.c.unsupported(v.at, "a list of rules for %s", field)
		return nil
	}
	for _, k := range []string{"fields", "key"} {
		if x := v.get(k); x != nil {
			l.c.unsupported(x.at, "%s: lines of %s", k, field)
		}
	}
	sc := rc.scope
	if e := v.get("each"); e != nil {
		if sc = l.ruleEach(r, e, v, sc); sc == nil {
			return nil
		}
	} else if m := v.get("mode"); m != nil {
		l.c.errorf(m.at, "each", "mode belongs to each")
	}
	l.rulePolicies(r, v)
	if !l.ruleSource(r, v, sc, rc) {
		return nil
	}
	l.ruleTable(r, v.get("map"))
	l.ruleAs(r, v.get("as"))
	l.ruleCEL(r, v, sc)
	l.ruleRef(r, v.get("ref"), sc)
	if w := v.get("when"); w != nil {
		r.when = l.condition(w, sc, l.variables(r))
	}
	if l.c.issues[before:].failed() {
		return nil
	}
	r.labels = r.labels&^r.drop | r.gain
	if rc.op != nil {
		l.checkTypes(r, rc.op.model)
		l.ruleFallback(r, v.get("default"))
		l.checkEgress(at, rc.owner+"."+field, r.labels)
	} else {
		l.letOnly(r, v)
		l.ruleFallback(r, v.get("default"))
	}
	return r
}

func (l *loader) odooField(r *rule, model string) bool {
	f, err := l.snap.field(model, r.field)
	if err != nil {
		l.c.errorf(r.at, "odoo-field", "%v", err)
		return false
	}
	if ok, why := f.writable(); !ok {
		l.c.errorf(r.at, "odoo-readonly", "%s.%s can not be written: %s", model, r.field, why)
		return false
	}
	switch f.Type {
	case "one2many":
		l.c.unsupported(r.at, "lines (one2many) such as %s.%s", model, r.field)
		return false
	case "char", "text", "html", "selection", "boolean", "integer", "float", "monetary", "date", "datetime", "many2one", "many2many":
	default:
		l.c.unsupported(r.at, "fields of type %s such as %s.%s", f.Type, model, r.field)
		return false
	}
	r.model, r.conv.field = model, f
	return true
}

func (l *loader) ruleEach(r *rule, e, v *value, sc *scope) *scope {
	if r.conv.field == nil || r.conv.field.Type != "many2many" {
		l.c.errorf(e.at, "each", "each in a rule fills a many2many field; an operation repeats with its own each")
		return nil
	}
	p, inner := l.each(e, sc)
	if p == nil {
		return nil
	}
	r.each = p
	r.mode = map[string]string{"add": "$add", "replace": "$replace"}[v.textOf("mode")]
	if r.mode == "" && v.get("mode") == nil {
		l.c.errorf(e.at, "each", "each needs mode: add or mode: replace")
	}
	return inner
}

func (l *loader) rulePolicies(r *rule, v *value) {
	r.onError = cmp.Or(v.textOf("on_error"), r.onError)
	r.keepNull = v.textOf("on_null") == "keep"
	switch v.textOf("only_on") {
	case "create":
		r.onCreate = true
	case "update":
		l.c.unsupported(v.get("only_on").at, "only_on: update")
	}
	if x := v.get("required"); x != nil {
		r.required = x.bool
	}
	if x := v.get("phi"); x != nil {
		r.gain = labelsOf(x)
	}
	if x := v.get("declassify"); x != nil {
		r.drop, r.because = labelsOf(x.get("drop")), x.textOf("because")
	}
}

// ruleSource compiles what the rule starts from: exactly one of from, value,
// text, op and, on its own, cel; an item of each is its own source.
func (l *loader) ruleSource(r *rule, v *value, sc *scope, rc ruleContext) bool {
	var have []string
	for _, k := range []string{"from", "value", "text", "op"} {
		if v.get(k) != nil {
			have = append(have, k)
		}
	}
	if len(have) > 1 {
		l.c.errorf(v.at, "rule", "%s: a rule starts from one of them", strings.Join(have, " and "))
		return false
	}
	switch {
	case len(have) == 0 && r.each != nil:
		r.inputs = []input{{path: sc.item(), text: r.each.text, at: v.get("each").at}}
		r.labels |= r.each.labels
		return true
	case len(have) == 0:
		if v.get("cel") == nil && v.get("ref") == nil {
			l.c.errorf(v.at, "rule", "the rule has no from, value, text, op or cel")
			return false
		}
		return true
	case have[0] == "from":
		return l.ruleFrom(r, v.get("from"), sc)
	case have[0] == "text":
		if r.text = l.template(v.get("text"), sc); r.text == nil {
			return false
		}
		r.labels |= r.text.labels
	case have[0] == "value":
		return l.ruleConstant(r, v.get("value"), &r.constant)
	default:
		if rc.op == nil || r.conv.field.Type != "many2one" {
			l.c.errorf(v.get("op").at, "op-order", "op: gives the record of an operation to a many2one field")
			return false
		}
		if r.op = l.earlier(v.get("op"), rc.op.each); r.op == nil {
			return false
		}
		if r.op.model != r.conv.field.Relation {
			l.c.errorf(v.get("op").at, "odoo-type", "%s takes a %s, and %s is a %s", r.field, r.conv.field.Relation, r.op.id, r.op.model)
		}
	}
	return true
}

// item is the path that stays at the item itself.
func (s *scope) item() *boundPath {
	p := &boundPath{text: s.name, depth: s.depth, way: s.elem, elems: s.elems}
	_ = p.follow(s, s.typ, nil)
	return p
}

func (l *loader) ruleFrom(r *rule, v *value, sc *scope) bool {
	add := func(name string, x *value) bool {
		in, ok := l.input(x.at, sc, x.text)
		in.name = name
		r.inputs = append(r.inputs, in)
		if ok {
			r.labels |= l.inputLabels(in)
		}
		return ok
	}
	ok := true
	switch v.kind {
	case yamlString:
		ok = add("", v)
	case yamlList:
		for _, x := range v.list {
			ok = add("", x) && ok
		}
	case yamlMap:
		r.named = true
		for _, e := range v.keys {
			if e.key == "it" {
				l.c.errorf(e.at, "rule", "\"it\" is the one input of an expression: take another name")
				ok = false
				continue
			}
			ok = add(e.key, e.val) && ok
		}
	}
	return ok && len(r.inputs) > 0
}

func (l *loader) ruleTable(r *rule, v *value) {
	if v == nil {
		return
	}
	name, at := v.text, v.at
	r.onMiss = "error"
	if v.kind == yamlMap {
		name, at = v.textOf("table"), v.get("table").at
		r.onMiss = cmp.Or(v.textOf("on_miss"), "error")
		if x := v.get("reverse"); x != nil {
			l.c.unsupported(x.at, "reverse")
		}
	}
	if r.table = l.m.tables[name]; r.table == nil {
		l.c.errorf(at, "table", "no table %q%s", name, didYouMean(name, l.m.tableNames()))
	} else if r.table.used = true; r.named || len(r.inputs) == 0 {
		l.c.errorf(at, "rule", "map takes one input: use table() in cel")
	}
}

func (l *loader) letOnly(r *rule, v *value) {
	for _, k := range []string{"as", "ref", "op", "each", "only_on", "on_null", "when"} {
		if x := v.get(k); x != nil {
			l.c.unsupported(x.at, "%s in a let", k)
		}
	}
	if r.cel == nil && r.named {
		l.c.errorf(r.at, "rule", "named inputs are for cel")
	}
}

// variables are what the rule's expressions may name: its inputs, or `it`.
func (l *loader) variables(r *rule) []variable {
	var out []variable
	for i, in := range r.inputs {
		v := variable{name: in.name, kind: varInput, index: i, typ: cel.StringType}
		if in.path == nil {
			v.typ = l.m.lets[in.let].typ
		}
		if !r.named {
			v.name, v.index = "it", itIndex
			if r.table != nil {
				v.typ = cel.StringType
			}
			return append(out, v)
		}
		out = append(out, v)
	}
	return out
}

func (l *loader) ruleCEL(r *rule, v *value, sc *scope) {
	x := v.get("cel")
	if x == nil {
		if r.named && v.get("ref") == nil {
			l.c.errorf(r.at, "rule", "named inputs are for cel")
		}
		return
	}
	if r.constant != nil || r.text != nil || r.op != nil {
		l.c.errorf(x.at, "rule", "cel works on what from gives")
		return
	}
	if r.cel = l.compileCEL(x.at, x.text, celScope{scope: sc, inputs: l.variables(r)}); r.cel != nil {
		r.labels |= r.cel.labels
	}
}
