package mapping

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/internal/tree"
)

// ruleAs reads `as:`.
func (l *loader) ruleAs(r *rule, v *value) {
	if v == nil || r.conv.field == nil {
		return
	}
	a := &asRule{kind: v.text}
	if v.kind == yamlMap {
		for _, kind := range []string{"date", "datetime", "bool"} {
			x := v.get(kind)
			if x == nil {
				continue
			}
			a.kind = kind
			if kind == "bool" {
				a.yes, a.no = codes(x.get("true")), codes(x.get("false"))
				continue
			}
			lay, err := newLayout(x.text, kind == "datetime")
			if err != nil {
				l.c.errorf(x.at, "as", "%v", err)
			}
			a.layout = &lay
		}
	}
	fits := map[string][]string{"text": {"char", "text", "html", "selection"}, "date": {"date"}, "datetime": {"datetime"},
		"decimal": {"float", "monetary", "integer"}, "int": {"integer"}, "bool": {"boolean"}, "n2": {"float", "monetary"}}
	if !slices.Contains(fits[a.kind], r.conv.field.Type) {
		l.c.errorf(v.at, "odoo-type", "%s is %s, and as: %s does not fit it", r.field, r.conv.field.Type, a.kind)
	}
	r.conv.as = a
}

func codes(v *value) []string {
	if v == nil {
		return nil
	}
	items := v.list
	if v.kind != yamlList {
		items = []*value{v}
	}
	var out []string
	for _, i := range items {
		out = append(out, i.text)
	}
	return out
}

// ruleRef reads `ref:`.
func (l *loader) ruleRef(r *rule, v *value, sc *scope) {
	if v == nil {
		return
	}
	f := r.conv.field
	if f == nil {
		return
	}
	if f.Type != "many2one" && f.Type != "many2many" {
		l.c.errorf(v.at, "odoo-type", "%s is %s: ref is for relations", r.field, f.Type)
		return
	}
	r.ref = &reference{model: f.Relation}
	by := &value{kind: yamlMap, at: v.at}
	switch {
	case v.kind == yamlString && !strings.Contains(v.text, ":"):
		by.keys = []entry{{key: v.text, at: v.at, val: &value{kind: yamlString, text: "it", at: v.at}}}
	case v.kind == yamlMap:
		if x := v.get("xid"); x != nil {
			l.c.unsupported(x.at, "ref by xid")
			return
		}
		if m := v.textOf("model"); m != "" && m != f.Relation {
			l.c.errorf(v.get("model").at, "odoo-type", "%s takes a %s, not a %s", r.field, f.Relation, m)
		}
		r.ref.onNone = v.textOf("on_none")
		if r.ref.onNone == "defer" || r.ref.onNone == "create" {
			l.c.unsupported(v.get("on_none").at, "on_none: %s", r.ref.onNone)
		}
		r.ref.onMany = v.textOf("on_many")
		by = v.get("by")
	default:
		l.c.unsupported(v.at, "ref by xid; write ref: field, or ref: {by: {field: expression}}")
		return
	}
	for _, e := range by.keys {
		l.refKey(r, e, sc)
	}
}

func (l *loader) refKey(r *rule, e entry, sc *scope) {
	if err := l.relatedField(r.ref.model, e.key); err != nil {
		l.c.errorf(e.at, "odoo-field", "%v", err)
		return
	}
	vars := l.variables(r)
	if r.cel != nil {
		it := variable{name: "it", kind: varInput, index: itIndex, typ: r.cel.out}
		vars = append([]variable{it}, slices.DeleteFunc(vars, func(v variable) bool { return v.name == "it" })...)
	}
	for _, v := range vars {
		if v.name == e.val.text {
			r.ref.by = append(r.ref.by, refKey{field: e.key, input: v.index})
			return
		}
	}
	p := l.compileCEL(e.val.at, e.val.text, celScope{scope: sc, inputs: vars})
	if p == nil {
		return
	}
	if !slices.ContainsFunc([]*cel.Type{cel.StringType, cel.IntType, cel.BoolType}, p.out.IsExactType) {
		l.c.errorf(e.val.at, "cel", "a record is found by text, a whole number or a boolean, and this gives %s", cel.FormatCELType(p.out))
	}
	r.labels |= p.labels
	r.ref.by = append(r.ref.by, refKey{field: e.key, cel: p})
}

// relatedField checks a field, also by a dotted way ("country_id.code").
func (l *loader) relatedField(model, name string) error {
	head, rest, dotted := strings.Cut(name, ".")
	f, err := l.snap.field(model, head)
	if err != nil || !dotted {
		return err
	}
	if f.Relation == "" {
		return fmt.Errorf("%s.%s is %s: nothing can follow it", model, head, f.Type)
	}
	return l.relatedField(f.Relation, rest)
}

// checkTypes compares what the rule gives with what the field takes.
func (l *loader) checkTypes(r *rule, model string) {
	f := r.conv.field
	bad := func(err error) {
		if err != nil {
			l.c.errorf(r.at, "odoo-type", "%s.%s is %s: it gets %v", model, r.field, f.Type, err)
		}
	}
	relation := f.Type == "many2one" || f.Type == "many2many"
	switch {
	case relation && r.ref == nil && r.op == nil && (r.constant == nil || !r.constant.null):
		l.c.errorf(r.at, "odoo-type", "%s.%s is %s: say with ref: how the %s is found", model, r.field, f.Type, f.Relation)
	case f.Type == "many2many" && r.each == nil:
		l.c.unsupported(r.at, "one record for a many2many field; write each: and mode:")
	case relation, r.constant != nil:
	case r.text != nil:
		bad(r.conv.acceptsCEL(cel.StringType))
	case r.cel != nil:
		bad(r.conv.acceptsCEL(r.cel.out))
	case r.table != nil:
		l.checkTable(r, model)
	default:
		for _, in := range r.inputs {
			if in.path == nil && !l.m.lets[in.let].typ.IsExactType(cel.StringType) {
				bad(r.conv.acceptsCEL(l.m.lets[in.let].typ))
				continue
			}
			if err := r.conv.accepts(l.inputKind(in)); err != nil {
				bad(fmt.Errorf("%s, and %s is %w", in.text, in.text, err))
			}
		}
	}
}

// checkTable compares what a table gives with a selection's options.
func (l *loader) checkTable(r *rule, model string) {
	f := r.conv.field
	for _, result := range slices.Sorted(r.table.results) {
		if _, err := r.conv.convert(datum{state: tree.Value, text: result}); err != nil {
			hint := ""
			if f.Type == "selection" {
				hint = didYouMean(result, f.Selection) + "; there are: " + strings.Join(f.Selection, ", ")
			}
			l.c.errorf(r.at, "table", "table %s gives %q, which %s.%s (%s) does not take%s", r.table.name, result, model, r.field, f.Type, hint)
		}
	}
}

// unusedTables warns of tables that nothing reads.
func (l *loader) unusedTables() {
	for _, name := range l.m.tableNames() {
		if !l.m.tables[name].used {
			l.c.warnf(l.m.tables[name].at, "unused", "no rule uses table %s", name)
		}
	}
}
