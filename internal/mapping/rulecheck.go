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

// idField is what every model has and no snapshot says.
var idField = &odooField{Type: "integer"}

// relatedField finds a field, also by a dotted way ("country_id.code").
func (l *loader) relatedField(model, name string) (*odooField, error) {
	head, rest, dotted := strings.Cut(name, ".")
	if head == "id" && !dotted && l.snap.Models[model] != nil {
		return idField, nil
	}
	f, err := l.snap.field(model, head)
	if err != nil || !dotted {
		return f, err
	}
	if f.Relation == "" {
		return nil, fmt.Errorf("%s.%s is %s: nothing can follow it", model, head, f.Type)
	}
	return l.relatedField(f.Relation, rest)
}

// checkTypes compares what the rule gives with what its field takes.
func (l *loader) checkTypes(r *rule) {
	f := r.conv.field
	if f == nil {
		return // an argument of no type is what it reads
	}
	name := r.field
	if r.model != "" {
		name = r.model + "." + r.field
	}
	bad := func(err error) {
		if err != nil {
			l.c.errorf(r.at, "odoo-type", "%s is %s: it gets %v", name, f.Type, err)
		}
	}
	cleared := r.constant != nil && r.constant.null
	switch {
	case r.share && r.ref == nil && !cleared:
		l.c.errorf(r.at, "odoo-type", "%s is shared out among analytic accounts: say with ref: {model: account.analytic.account, by: {code: it}} which one", name)
	case f.Relation != "" && r.ref == nil && r.op == nil && !cleared:
		l.c.errorf(r.at, "odoo-type", "%s is %s: say with ref: how the %s is found", name, f.Type, f.Relation)
	case f.Relation != "", r.share, r.constant != nil:
	case r.text != nil:
		bad(r.conv.acceptsCEL(cel.StringType))
	case r.cel != nil:
		bad(r.conv.acceptsCEL(r.cel.out))
	case r.table != nil:
		l.checkTable(r, name)
	default:
		for _, in := range r.inputs {
			if in.path == nil && !l.m.lets[in.let].typ.IsExactType(cel.StringType) {
				bad(r.conv.acceptsCEL(l.m.lets[in.let].typ))
				continue
			}
			if err := r.conv.accepts(l.inputKind(in)); err != nil {
				bad(fmt.Errorf("%s, and %s is %w", in.text, in.text, err))
			} else if l.inputKind(in) == tree.Text && r.conv.as == nil && slices.Contains(notText, f.Type) {
				l.c.warnf(r.at, "odoo-type", "%s is text and %s %s: what does not convert ends as on_error says; say map:, or as:", in.text, name, articled(f.Type))
			}
		}
	}
}

// notText are the types that not every text fits.
var notText = []string{"integer", "float", "monetary", "boolean", "selection"}

func articled(fieldType string) string {
	switch fieldType {
	case "integer":
		return "an integer"
	case "monetary":
		return "an amount"
	}
	return "a " + fieldType
}

// checkTable compares what a table gives with a selection's options.
func (l *loader) checkTable(r *rule, name string) {
	f := r.conv.field
	for _, result := range slices.Sorted(r.table.results) {
		if _, err := r.conv.convert(datum{state: tree.Value, text: result}); err != nil {
			hint := ""
			if f.Type == "selection" {
				hint = didYouMean(result, f.Selection) + "; there are: " + strings.Join(f.Selection, ", ")
			}
			l.c.errorf(r.at, "table", "table %s gives %q, which %s (%s) does not take%s", r.table.name, result, name, f.Type, hint)
		}
	}
}

// unused warns of names that nothing reads, and of rows that nothing leads to.
func (l *loader) unused() {
	if l.c.issues.failed() {
		return // what would use it may be what failed
	}
	for _, name := range l.m.tableNames() {
		if !l.m.tables[name].used {
			l.c.warnf(l.m.tables[name].at, "unused", "no rule uses table %s", name)
		}
		l.checkRows(l.m.tables[name])
	}
	for _, x := range l.m.lets {
		if !x.used && !x.rule.required { // a required one guards the message
			l.c.warnf(x.rule.at, "unused", "nothing uses %s", x.name)
		}
	}
}

// unusedInputs warns of named inputs that no expression of the rule reads. The
// rule runs when any of them has a value, so that one may still matter; but
// then when: says it.
func (l *loader) unusedInputs(r *rule, named *value) {
	for _, e := range named.entries() {
		reads := func(p *program) bool {
			return p != nil && slices.ContainsFunc(p.vars, func(v variable) bool { return v.kind == varInput && v.name == e.key })
		}
		used := reads(r.cel) || reads(r.when)
		if r.ref != nil {
			n := slices.IndexFunc(r.inputs, func(in input) bool { return in.name == e.key })
			used = used || slices.ContainsFunc(r.ref.by, func(k searchKey) bool { return reads(k.cel) || k.cel == nil && k.input == n })
			used = used || r.ref.xid != nil && slices.ContainsFunc(r.ref.xid.parts, func(p templatePart) bool { return p.own != nil && p.own.name == e.key })
		}
		if !used {
			l.c.warnf(e.at, "unused", "no expression uses %s", e.key)
		}
	}
}
