package mapping

import (
	"cmp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
)

// A ruleContext is where a rule stands.
type ruleContext struct {
	owner    string
	model    string // of a field
	scope    *scope
	op       *operation // nil for a let
	line     bool       // a field of a line
	argument bool       // of a call
	moment   bool       // it gives a point in time
}

// id names the rule in the mapping: "patient.phone", "let.mrn", "BEG-03".
func (r *rule) id() string {
	if r.element != nil {
		return r.owner + "-" + r.field
	}
	return r.owner + "." + r.field
}

// rule compiles the right-hand side of a field, an argument or a let.
func (l *loader) rule(field string, at place, v *value, rc ruleContext) *rule {
	r := &rule{owner: rc.owner, field: field, at: at, conv: converter{zone: l.m.zone}}
	if rc.moment {
		r.conv.field = &odooField{Type: "datetime"}
	}
	before := len(l.c.issues)
	if rc.model != "" && !l.odooField(r, rc.model) {
		l.withoutField(r, v, rc)
		return nil
	}
	if f := r.conv.field; f != nil && (f.Type == "one2many" || f.Type == "many2many") {
		l.blocks(r, v, rc)
	} else if v = l.ruleMap(field, v); v != nil {
		l.reads = nil
		for _, k := range []string{"each", "fields", "key", "mode"} {
			if x := v.get(k); x != nil {
				l.c.errorf(x.at, "rule", "%s: is for relations to many records; %s is one value", k, field)
			}
		}
		l.single(r, v, rc.scope, rc)
	}
	if f := r.conv.field; r.model != "" && f.fixed() && !r.onCreate && rc.op.do != "create" {
		l.c.errorf(at, "odoo-readonly", "%s.%s is read-only once there is a record: write it with only_on: create", r.model, field)
	}
	if l.c.issues[before:].failed() {
		return nil
	}
	if r.blocks == nil {
		r.labels = r.labels&^r.drop | r.gain
		if rc.op != nil {
			l.checkEgress(at, r.id(), r.labels)
			r.asks = l.checkAsks(at, r.id(), r.drop, append(l.asked(r.when), l.reads...))
		} else {
			r.asks = decide(append(l.asked(r.when), l.reads...))
		}
	}
	return r
}

// withoutField checks what can be checked of a rule whose field is wrong, so
// that one run names all its faults.
func (l *loader) withoutField(r *rule, v *value, rc ruleContext) {
	if v.kind != yamlString && v.kind != yamlMap {
		return
	}
	if v = l.ruleMap(r.field, v); v.get("each") == nil && l.ruleSource(r, v, rc.scope, rc) {
		l.ruleTable(r, v.get("map"))
		l.ruleCEL(r, v, rc.scope)
	}
}

// ruleMap makes a map of a rule in its short form.
func (l *loader) ruleMap(field string, v *value) *value {
	switch v.kind {
	case yamlString:
		return &value{kind: yamlMap, at: v.at, keys: []entry{{key: "from", at: v.at, val: v}}}
	case yamlMap:
		return v
	}
	l.c.errorf(v.at, "type", "%s is one value: a list of sources stands in from:", field)
	return nil
}

// single compiles a rule that gives one value.
func (l *loader) single(r *rule, v *value, sc *scope, rc ruleContext) {
	l.rulePolicies(r, v, rc)
	if r.conv.field == nil {
		l.valueType(r, v)
	}
	if !l.ruleSource(r, v, sc, rc) {
		return
	}
	before := len(l.c.issues)
	l.ruleTable(r, v.get("map"))
	l.ruleAs(r, v.get("as"))
	l.ruleCEL(r, v, sc)
	l.ruleRef(r, v.get("ref"), sc, rc)
	if w := v.get("when"); w != nil {
		r.when = l.condition(w, sc, l.variables(r))
	}
	l.checkCodes(r)
	if l.c.issues[before:].failed() {
		return
	}
	if r.named {
		l.unusedInputs(r, v.get("from"))
	}
	switch {
	case rc.op == nil:
		l.letOnly(r, v)
	default:
		l.checkTypes(r)
	}
	l.ruleFallback(r, v.get("default"), rc)
}

// valueType gives a let or an argument the type that as: says it has.
func (l *loader) valueType(r *rule, v *value) {
	as := v.get("as")
	if as == nil {
		return
	}
	kind := as.text
	if as.kind == yamlMap && len(as.keys) == 1 {
		kind = as.keys[0].key
	}
	if t := map[string]string{"text": "char", "date": "date", "datetime": "datetime", "decimal": "float", "n2": "float", "int": "integer", "bool": "boolean"}[kind]; t != "" {
		r.conv.field = &odooField{Type: t}
	}
}

// fieldTypes are those that a mapping writes.
var fieldTypes = []string{"char", "text", "html", "selection", "boolean", "integer", "float", "monetary", "date", "datetime", "many2one", "many2many", "one2many"}

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
	r.model, r.conv.field = model, f
	switch {
	case slices.Contains(fieldTypes, f.Type):
		return true
	case f.Type == "json" && strings.HasPrefix(r.field, "analytic_distribution"):
		r.share = true
		return true
	case f.Type == "binary":
		l.c.errorf(r.at, "odoo-type", "%s.%s is binary: a mapping carries no files; send the document to ir.attachment by other means", model, r.field)
	case f.Type == "reference", f.Type == "many2one_reference":
		l.c.errorf(r.at, "odoo-type", "%s.%s is a %s, whose model is a value of its own: nothing can be checked; write a many2one field", model, r.field, f.Type)
	default:
		l.c.errorf(r.at, "odoo-type", "%s.%s is %s, which a mapping does not write", model, r.field, f.Type)
	}
	return false
}

func (l *loader) rulePolicies(r *rule, v *value, rc ruleContext) {
	r.onError = v.textOf("on_error")
	r.keepNull = v.textOf("on_null") == "keep"
	r.onCreate = v.textOf("only_on") == "create"
	if x := v.get("only_on"); x != nil {
		r.onUpdate = x.text == "update"
		switch {
		case rc.op == nil || rc.argument:
			l.c.errorf(x.at, "rule", "only_on is for the fields of a record")
		case rc.line: // an update may make new lines
		case r.onUpdate && rc.op.do == "create", r.onCreate && rc.op.do == "update":
			l.c.errorf(x.at, "rule", "%s never writes a field that is only_on: %s", rc.op.do, x.text)
		}
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
	case len(have) == 0 && v.get("each") != nil:
		p := sc.item()
		if p.text = v.get("each").text; v.get("each").kind == yamlMap {
			p.text = v.get("each").textOf("path")
		}
		if !l.leaf(v.get("each").at, p) {
			return false
		}
		r.inputs = []input{{path: p, text: p.text, at: v.get("each").at}}
		r.labels |= p.labels
		l.reads = append(l.reads, read{text: p.text, labels: p.labels, asks: p.asks(), choose: p.choose})
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
		if f := r.conv.field; rc.op == nil || f == nil || f.Relation == "" {
			l.c.errorf(v.get("op").at, "op-order", "op: gives the record of an operation to a relation")
			return false
		}
		if r.op = l.earlier(v.get("op"), rc.op.each, false); r.op == nil {
			return false
		}
		if r.op.do == "merge" || r.op.do == "call" {
			l.c.errorf(v.get("op").at, "op-order", "%s leaves no record: name the operation that writes it", r.op.id)
		}
		if r.op.model != r.conv.field.Relation {
			l.c.errorf(v.get("op").at, "odoo-type", "%s takes a %s, and %s is a %s", r.field, r.conv.field.Relation, r.op.id, r.op.model)
		}
	}
	return true
}

// item is the path that stays at the item itself.
func (s *scope) item() *boundPath {
	p := &boundPath{text: s.name, depth: s.depth, way: s.elem, coded: s.coded, elems: s.elems}
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
	if v.kind == yamlMap {
		name, at = v.textOf("table"), v.get("table").at
		r.onMiss = v.textOf("on_miss")
	}
	if r.table = l.m.tables[name]; r.table == nil {
		l.c.errorf(at, "table", "no table %q%s", name, didYouMean(name, l.m.tableNames()))
		return
	}
	if x := v.get("reverse"); x != nil && x.bool {
		reversed, err := r.table.reversed()
		if err != nil {
			l.c.errorf(x.at, "not-invertible", "%v", err)
		}
		r.table.used, r.table = true, reversed
	}
	if r.table.used = true; r.named || len(r.inputs) == 0 {
		l.c.errorf(at, "rule", "map takes one input: use table() in cel")
	}
	if r.onMiss == "" {
		r.onMiss = cmp.Or(r.table.onMiss, "error")
	}
}

func (l *loader) letOnly(r *rule, v *value) {
	for _, k := range []string{"ref", "op", "each", "only_on", "on_null"} {
		if x := v.get(k); x != nil {
			l.c.errorf(x.at, "let", "%s is for fields: a let is a value of the message", k)
		}
	}
	if r.cel == nil && r.named {
		l.c.errorf(r.at, "rule", "named inputs are for cel")
	}
	if r.conv.field != nil {
		l.checkTypes(r)
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
