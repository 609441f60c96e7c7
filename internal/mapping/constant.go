package mapping

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// String writes a constant as the file has it.
func (c *constant) String() string {
	if c.null {
		return "null"
	}
	return fmt.Sprint(c.value)
}

// ruleConstant reads a value or a default of the field's type.
func (l *loader) ruleConstant(r *rule, v *value, into **constant) bool {
	c := &constant{}
	want := map[yamlKind]any{yamlString: v.text, yamlBool: v.bool}
	if v.kind == yamlNumber {
		n, err := parseDecimal(v.text)
		if err != nil {
			l.c.errorf(v.at, "type", "%s %v", v.text, err)
			return false
		}
		s, _ := decimalText(n)
		want[yamlNumber] = json.Number(s)
	}
	c.value, c.null = want[v.kind], v.kind == yamlNull
	if c.value == nil && !c.null {
		l.c.errorf(v.at, "type", "a constant is text, a boolean or a number, not %s", v.kind)
		return false
	}
	*into = c
	if r.conv.field == nil || c.null {
		return true
	}
	f := r.conv.field
	ok := false
	switch f.Type {
	case "boolean":
		ok = v.kind == yamlBool
	case "integer", "float", "monetary":
		ok = v.kind == yamlNumber && (f.Type != "integer" || !strings.Contains(v.text, "."))
	case "char", "text", "html":
		ok = v.kind == yamlString
	case "selection":
		if ok = v.kind == yamlString; ok && len(f.Selection) > 0 && !slices.Contains(f.Selection, v.text) {
			l.c.errorf(v.at, "odoo-selection", "%s has no option %q%s; there are: %s", r.field, v.text, didYouMean(v.text, f.Selection), strings.Join(f.Selection, ", "))
			return false
		}
	case "date", "datetime":
		if v.kind == yamlString {
			got, err := r.conv.moment(datum{text: v.text})
			c.value, ok = got, err == nil
		}
	case "many2one", "many2many", "one2many":
		l.c.errorf(v.at, "odoo-type", "%s is a relation: a constant record is found with ref: \"xid: module.name\", or with cel: \"'CODE'\" and ref: code", r.field)
		return false
	}
	if !ok {
		is := v.kind.String()
		switch {
		case v.kind == yamlString && f.Type == "date":
			is += ": a date is written \"2026-01-31\""
		case v.kind == yamlString && f.Type == "datetime":
			is += ": a point in time is written \"2026-01-31T08:00:00Z\""
		case v.kind == yamlNumber && f.Type == "integer":
			is += " with a fraction"
		}
		l.c.errorf(v.at, "odoo-type", "%s is %s, and this is %s", r.field, f.Type, is)
	}
	return ok
}

// ruleFallback reads default:, which fills new records. In front of a ref it
// is what the record is found by.
func (l *loader) ruleFallback(r *rule, v *value, rc ruleContext) {
	missing := r.onMiss == "default"
	if v == nil {
		if missing {
			l.c.errorf(r.at, "rule", "on_miss: default needs default:")
		}
		return
	}
	if v.kind == yamlNull {
		l.c.errorf(v.at, "type", "a default is a value")
		return
	}
	if r.required {
		l.c.errorf(v.at, "rule", "required and default exclude each other")
	}
	if rc.op != nil && (rc.op.do == "update" && !rc.line && !missing || r.onUpdate) {
		l.c.errorf(v.at, "rule", "a default fills new records, and this rule never sees one")
	}
	if r.ref == nil {
		l.ruleConstant(r, v, &r.fallback)
		return
	}
	key := &rule{field: r.field}
	if r.named || r.ref.xid == nil && len(r.ref.by) != 1 {
		l.c.errorf(v.at, "rule", "a default in front of ref: is the one value that the record is found by")
	} else if l.ruleConstant(key, v, &key.fallback) {
		r.fallback = key.fallback
	}
}
