package mapping

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A relation to many records is filled by blocks: each makes lines (one2many)
// or references (many2many), one for each item of a list, or one in all.

const maxBlocks = 16 // of one field

// Keys of rules that the blocks of one kind do not have.
var (
	notOfLines      = []string{"from", "map", "cel", "as", "value", "text", "op", "ref", "default", "on_null", "phi", "declassify"}
	notOfReferences = []string{"fields", "key", "as", "text", "default"}
)

// blocks compiles a field of lines or references.
func (l *loader) blocks(r *rule, v *value, rc ruleContext) {
	r.lines = r.conv.field.Type == "one2many"
	items := v.list
	if v.kind != yamlList {
		items = []*value{v}
	}
	if len(items) == 0 || len(items) > maxBlocks {
		l.c.errorf(v.at, "rule", "%s has 1 to %d blocks", r.field, maxBlocks)
		return
	}
	if r.lines && rc.line {
		l.c.errorf(r.at, "rule", "%s.%s are lines of a line: write them by an operation of their own", r.model, r.field)
		return
	}
	for i, b := range items {
		if !r.lines && b.kind == yamlString {
			b = l.ruleMap(r.field, b)
		}
		if b.kind != yamlMap {
			l.c.errorf(b.at, "type", "%s is filled by {each: list[*], …}", r.field)
			continue
		}
		l.block(r, i, b, rc)
	}
	if r.mode == "" {
		r.mode = "$merge"
	}
}

func (l *loader) block(r *rule, i int, v *value, rc ruleContext) {
	b := &block{owner: r.id()}
	if i > 0 {
		b.owner += "[" + strconv.Itoa(i+1) + "]"
	}
	own := &rule{owner: rc.owner, model: r.model, field: r.field, at: v.at, conv: r.conv}
	l.rulePolicies(own, v, rc)
	b.onError = own.onError
	sc := rc.scope
	if e := v.get("each"); e != nil {
		if b.each, sc = l.each(e, sc); b.each == nil {
			return
		}
	}
	l.blockMode(r, i, v, own)
	if r.lines {
		l.excluded(r, v, notOfLines)
		l.lineBlock(r, b, v, sc, rc)
	} else {
		l.excluded(r, v, notOfReferences)
		l.referenceBlock(r, b, own, v, sc, rc)
	}
	r.blocks = append(r.blocks, b)
}

func (l *loader) excluded(r *rule, v *value, keys []string) {
	for _, k := range keys {
		if x := v.get(k); x != nil {
			l.c.errorf(x.at, "rule", "%s: is not for %s, which is %s", k, r.field, r.conv.field.Type)
		}
	}
}

// blockMode reads what the blocks of one field must agree on.
func (l *loader) blockMode(r *rule, i int, v *value, own *rule) {
	words, hint := []string{"add", "replace"}, "add leaves the field's other records in it, and replace takes them out"
	if r.lines {
		words, hint = []string{"merge", "replace"}, "merge leaves other lines alone, and replace deletes them"
	}
	mode := v.textOf("mode")
	if mode != "" && !slices.Contains(words, mode) {
		l.c.errorf(v.get("mode").at, "rule", "%s is %s: its mode is %s: %s", r.field, r.conv.field.Type, strings.Join(words, " or "), hint)
	}
	if mode != "" {
		mode = "$" + mode
	} else if !r.lines && i == 0 {
		l.c.errorf(v.at, "rule", "%s needs mode: add or mode: replace: %s", r.field, hint)
	}
	if i == 0 {
		r.mode, r.required, r.keepNull, r.onCreate, r.onUpdate = mode, own.required, own.keepNull, own.onCreate, own.onUpdate
		return
	}
	if mode != "" && mode != r.mode || own.required != r.required || own.keepNull != r.keepNull || own.onCreate != r.onCreate || own.onUpdate != r.onUpdate {
		l.c.errorf(v.at, "rule", "the blocks of %s are one value: they have one mode, required, only_on and on_null, which the first one says", r.field)
	}
}

// referenceBlock compiles a block of a many2many field: its item is a rule
// whose value is a reference.
func (l *loader) referenceBlock(r *rule, b *block, item *rule, v *value, sc *scope, rc ruleContext) {
	l.reads = nil
	item.required, item.onCreate, item.onUpdate = false, false, false
	b.item = item
	if !l.ruleSource(item, v, sc, rc) {
		return
	}
	if item.constant != nil && !item.constant.null {
		l.c.errorf(v.get("value").at, "rule", "a constant record is found with ref:, as in ref: \"xid: base.group_user\"")
		return
	}
	before := len(l.c.issues)
	l.ruleTable(item, v.get("map"))
	l.ruleCEL(item, v, sc)
	l.ruleRef(item, v.get("ref"), sc, rc)
	if w := v.get("when"); w != nil {
		item.when = l.condition(w, sc, l.variables(item))
	}
	l.checkCodes(item)
	if l.c.issues[before:].failed() {
		return
	}
	if item.named {
		l.unusedInputs(item, v.get("from"))
	}
	if item.onMiss == "default" {
		l.c.errorf(v.get("map").at, "rule", "on_miss: default is for fields of one value: use skip")
	}
	l.checkTypes(item)
	item.labels = item.labels&^item.drop | item.gain
	l.checkEgress(r.at, r.id(), item.labels)
	r.asks |= l.checkAsks(r.at, r.id(), item.drop, append(l.asked(item.when), l.reads...))
	r.labels, r.drop, r.because = r.labels|item.labels, r.drop|item.drop, item.because
}

// lineBlock compiles a block of a one2many field. A line is known by its key:
// without one a replay would add it again.
func (l *loader) lineBlock(r *rule, b *block, v *value, sc *scope, rc ruleContext) {
	l.reads = nil
	if w := v.get("when"); w != nil {
		b.when = l.condition(w, sc, nil)
		r.asks |= l.checkAsks(w.at, "a line of "+r.id(), 0, l.asked(b.when))
	}
	key := v.get("key")
	switch {
	case key == nil:
		l.c.errorf(v.at, "no-identity", "lines of %s need key: — without it a replay would duplicate them", r.field)
	default:
		l.reads = nil
		if b.key = l.template(key, sc); b.key == nil {
			break
		}
		if b.each != nil && !b.key.reads() {
			l.c.errorf(key.at, "no-identity", "%q is one key for all lines of %s", key.text, b.each.text)
		}
		l.checkEgress(key.at, b.owner+".key", b.key.labels)
		r.labels |= b.key.labels
	}
	fields := v.get("fields")
	if len(fields.entries()) == 0 {
		l.c.errorf(where(fields, v.at), "fields", "lines of %s have fields: {field: rule}", r.field)
		return
	}
	model, op := r.conv.field.Relation, rc.op
	for _, e := range fields.keys {
		if e.key == r.conv.field.Inverse {
			l.c.errorf(e.at, "odoo-readonly", "%s.%s leads back to the record that the lines are of: Odoo fills it", model, e.key)
			continue
		}
		if x := l.rule(e.key, e.at, e.val, ruleContext{owner: b.owner, model: model, scope: sc, op: op, line: true}); x != nil {
			b.rules = append(b.rules, x)
			r.labels |= x.labels
		}
	}
	l.checkRequired(v.at, model, b.rules, r.conv.field.Inverse)
}

// ruleRef reads ref:, in one of its forms.
func (l *loader) ruleRef(r *rule, v *value, sc *scope, rc ruleContext) {
	if v == nil {
		return
	}
	model, at := l.refModel(r, v)
	if model == "" {
		return
	}
	if l.snap.Models[model] == nil {
		_, err := l.snap.field(model, "id")
		l.c.errorf(at, "odoo-model", "%v", err)
		return
	}
	r.ref = &reference{model: model}
	vars := l.refVariables(r)
	if v.kind == yamlString {
		text, isXID := cutXID(v)
		if isXID {
			l.refXID(r, text, sc, vars)
			return
		}
		l.refBy(r, &value{kind: yamlMap, at: v.at, keys: []entry{{key: v.text, at: v.at, val: &value{kind: yamlString, text: "it", at: v.at}}}}, sc, vars)
		return
	}
	r.ref.onNone = v.textOf("on_none")
	if x := v.get("on_none"); r.ref.onNone == "defer" && (rc.line || rc.argument || r.conv.field.Type != "many2one") {
		l.c.errorf(x.at, "ref", "defer writes the field of a record when what it refers to arrives: that is for a many2one field of an operation")
	}
	r.ref.onMany = v.textOf("on_many")
	xid, by := v.get("xid"), v.get("by")
	switch {
	case xid != nil && r.ref.onMany != "":
		l.c.errorf(v.get("on_many").at, "ref", "an external identifier names one record: on_many is for by:")
	case xid != nil:
		l.refXID(r, xid, sc, vars)
	default:
		l.refBy(r, by, sc, vars)
	}
}

// refModel finds the model that is referred to: that of the field, or the one
// that ref says where the field does not tell.
func (l *loader) refModel(r *rule, v *value) (string, place) {
	said, at := "", v.at
	if v.kind == yamlMap {
		if m := v.get("model"); m != nil {
			said, at = v.textOf("model"), m.at
		}
	}
	f := r.conv.field
	switch {
	case r.share && said == "account.analytic.account", f == nil && said != "":
		if f == nil {
			r.conv.field = &odooField{Type: "many2one", Relation: said}
		}
		return said, at
	case r.share:
		l.c.errorf(at, "odoo-type", "%s is shared out among analytic accounts: ref: {model: account.analytic.account, by: {code: it}}", r.field)
	case f == nil:
		l.c.errorf(at, "ref", "nothing tells the model of the record: ref: {model: MODEL, by: {field: expression}}")
	case f.Type != "many2one" && f.Type != "many2many":
		l.c.errorf(at, "odoo-type", "%s is %s: ref is for relations", r.field, f.Type)
	case said != "" && said != f.Relation:
		l.c.errorf(at, "odoo-type", "%s takes a %s, not a %s", r.field, f.Relation, said)
	default:
		return f.Relation, at
	}
	return "", at
}

// cutXID reads the short form "xid: template".
func cutXID(v *value) (*value, bool) {
	const word = "xid:"
	if len(v.text) < len(word) || v.text[:len(word)] != word {
		return nil, false
	}
	n := len(word)
	for n < len(v.text) && v.text[n] == ' ' {
		n++
	}
	return &value{kind: yamlString, text: v.text[n:], at: v.at.plus(n)}, true
}

// refVariables are what a reference may name: the rule's inputs, and `it`,
// which is what its expression gives where it has one.
func (l *loader) refVariables(r *rule) []variable {
	vars := l.variables(r)
	if r.cel != nil {
		it := variable{name: "it", kind: varInput, index: itIndex, typ: r.cel.out}
		vars = append([]variable{it}, slices.DeleteFunc(vars, func(v variable) bool { return v.name == "it" })...)
	}
	return vars
}

// refXID compiles an external identifier. One that is a single value is a
// whole identifier: module.name, as a code table gives it.
func (l *loader) refXID(r *rule, v *value, sc *scope, vars []variable) {
	t := l.template(v, sc, vars...)
	if t == nil {
		return
	}
	r.labels |= t.labels
	r.ref.xid = t
	if r.ref.whole = len(t.parts) == 1 && t.reads(); !r.ref.whole {
		l.checkXID(t, v)
	}
	if len(r.inputs) == 0 && !t.reads() && v.text == "" {
		l.c.errorf(v.at, "ref", "the external identifier is empty")
	}
}

func (l *loader) refBy(r *rule, by *value, sc *scope, vars []variable) {
	for _, e := range by.keys {
		k, ok := l.searchKey(r.ref.model, e)
		if !ok {
			continue
		}
		if n := slices.IndexFunc(vars, func(v variable) bool { return v.name == e.val.text }); n >= 0 {
			k.input = vars[n].index
		} else if k.cel = l.compileCEL(e.val.at, e.val.text, celScope{scope: sc, inputs: vars}); k.cel != nil {
			r.labels |= k.cel.labels
			l.checkKeyType(k, e)
		} else {
			continue
		}
		r.ref.by = append(r.ref.by, k)
	}
}

// checkKeyType compares what an expression gives with the field that is
// searched by.
func (l *loader) checkKeyType(k searchKey, e entry) {
	conv := k.conv
	if conv == nil {
		conv = &converter{field: &odooField{Type: "char"}}
	}
	if err := conv.acceptsCEL(k.cel.out); err != nil {
		l.c.errorf(e.val.at, "cel", "%s is %s: it gets %v", e.key, fieldType(k), err)
	}
}

func fieldType(k searchKey) string {
	if k.conv == nil {
		return "text"
	}
	return fmt.Sprint(k.conv.field.Type)
}
