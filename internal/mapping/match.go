package mapping

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// match compiles an operation's identity. Without one a replay would make the
// records again.
func (l *loader) match(op *operation, v *value, sc *scope) {
	if v == nil {
		l.c.errorf(op.at, "no-identity", "operation %s: %s needs match: — without identity a replay would duplicate records", op.id, op.do)
		return
	}
	l.reads = nil
	x, b := v.get("xid"), v.get("by")
	if x != nil {
		if op.xid = l.template(x, sc); op.xid != nil {
			op.labels |= op.xid.labels
			l.checkXID(op.xid, x)
			if !op.xid.reads() {
				l.c.warnf(x.at, "xid", "%q names one record for all messages", x.text)
			}
		}
	}
	if b != nil {
		l.matchBy(op, b, sc)
	}
	if op.do == "archive" && l.snap.Models[op.model]["active"] == nil {
		l.c.errorf(op.at, "odoo-field", "%s has no field active: its records can not be archived", op.model)
	}
	l.checkEgress(v.at, op.id+".match", op.labels)
}

func (l *loader) checkXID(t *template, v *value) {
	var fixed strings.Builder
	for _, p := range t.parts {
		fixed.WriteString(p.literal)
	}
	if !xidPattern.MatchString(fixed.String()) || !strings.Contains(t.parts[0].literal, ".") {
		l.c.errorf(v.at, "xid", "an external identifier is module.name without spaces, and its module is not filled in: %q", v.text)
	}
}

// matchBy takes {field: template}, and [field] for the values that the fields'
// own rules give.
func (l *loader) matchBy(op *operation, v *value, sc *scope) {
	for _, item := range v.list {
		if slices.Contains(op.byFields, item.text) {
			l.c.errorf(item.at, "no-identity", "%s stands twice", item.text)
		}
		if _, err := l.snap.field(op.model, item.text); err != nil {
			l.c.errorf(item.at, "odoo-field", "%v", err)
		}
		op.byFields = append(op.byFields, item.text)
	}
	for _, e := range v.keys {
		key, ok := l.searchKey(op.model, e)
		if !ok {
			continue
		}
		if key.text = l.template(e.val, sc); key.text == nil {
			continue
		}
		if !key.text.reads() {
			l.checkConstantKey(op.model, key, e, sc)
		}
		op.labels |= key.text.labels
		op.by = append(op.by, key)
	}
}

// checkConstantKey refuses a path or a let that was meant to be filled in: a
// mistake in a path never becomes a constant.
func (l *loader) checkConstantKey(model string, key searchKey, e entry, sc *scope) {
	text := e.val.text
	path, err := parsePath(text)
	if err == nil {
		_, err = sc.bind(path)
	}
	if l.letIndex(text) >= 0 || err == nil {
		l.c.errorf(e.val.at, "template", "%s: %q is a text: write \"{%s}\" for what stands there in the message", e.key, text, text)
		return
	}
	if f, err := l.relatedField(model, e.key); err == nil {
		l.checkConstant(f, e)
	}
	if key.conv != nil {
		if _, err := key.conv.convert(datum{state: tree.Value, text: text}); err != nil {
			l.c.errorf(e.val.at, "odoo-type", "%s: %q %v", e.key, text, err)
		}
	}
}

// checkConstant checks a constant against a selection's options.
func (l *loader) checkConstant(f *odooField, e entry) {
	if f.Type == "selection" && len(f.Selection) > 0 && e.val.kind == yamlString && !slices.Contains(f.Selection, e.val.text) {
		l.c.errorf(e.val.at, "odoo-selection", "%s has no option %q%s; there are: %s", e.key, e.val.text, didYouMean(e.val.text, f.Selection), strings.Join(f.Selection, ", "))
	}
}

// searchKey checks a field that records are searched by. What is searched for
// has the field's own type: Odoo compares a date, or a number, in any other
// notation as a text, and finds nothing.
func (l *loader) searchKey(model string, e entry) (searchKey, bool) {
	k := searchKey{field: e.key, input: itIndex}
	f, err := l.relatedField(model, e.key)
	if err != nil {
		l.c.errorf(e.at, "odoo-field", "%v", err)
		return k, false
	}
	switch f.Type {
	case "char", "text", "selection":
	case "integer", "float", "monetary", "boolean", "date", "datetime":
		k.conv = &converter{field: f, zone: l.m.zone}
	case "many2one", "one2many", "many2many":
		l.c.errorf(e.at, "odoo-type", "%s is a relation: search by a field of the %s, such as %s.name", e.key, f.Relation, e.key)
		return k, false
	default:
		l.c.errorf(e.at, "odoo-type", "%s is %s: records are not found by it", e.key, f.Type)
		return k, false
	}
	return k, true
}

// operationOn compiles on: and on_none:.
func (l *loader) operationOn(op *operation, v *value) {
	if x := v.get("on_none"); x != nil {
		op.onNone = v.textOf("on_none")
		if op.do == "upsert" || op.do == "create" || op.do == "call" {
			l.c.errorf(x.at, "operations", "on_none is for operations on a record that must exist: %s is not one", op.do)
		}
	}
	x := v.get("on")
	switch {
	case op.do == "merge" && x == nil:
		l.c.errorf(op.at, "operations", "merge needs on: the operation whose record stays")
	case op.do == "call" && x == nil:
		l.c.errorf(op.at, "operations", "call needs on: the operation whose record is called")
	case x == nil:
	case op.do != "merge" && op.do != "call":
		l.c.errorf(x.at, "operations", "on: is for merge and call")
	default:
		if op.on = l.earlier(x, op.each, op.do == "call" && op.each == nil); op.on == nil {
			return
		}
		if op.model == "" && op.do == "call" {
			op.model = op.on.model
		}
		if op.on.model != op.model {
			l.c.errorf(x.at, "operations", "%s is a %s and %s a %s: one can not stand for the other", op.on.id, op.on.model, op.id, op.model)
		}
		if op.on.do == "merge" || op.on.do == "call" || op.on.do == "archive" && op.do == "merge" {
			l.c.errorf(x.at, "operations", "%s leaves no record to %s", op.on.id, op.do)
		}
	}
}

// call compiles what only calls have. A call that is made twice must change
// nothing the second time: only_if sees to it, or a person says why.
func (l *loader) call(op *operation, v *value, sc *scope) {
	if m := v.get("match"); m != nil {
		l.c.errorf(m.at, "operations", "call has on:, the operation that finds the record, and no match")
	}
	switch op.method = v.textOf("method"); {
	case op.method == "":
		l.c.errorf(v.at, "operations", "method: names a public method of %s, such as action_post", op.model)
	case !workflow(op.method):
		l.c.errorf(v.get("method").at, "operations", "%s is a method that every model has, and what it does no rule checks: write records with upsert, update and archive, and call what moves a %s on: action_…, button_… or a method of its own", op.method, op.model)
	}
	if v.get("only_if") == nil && len(strings.TrimSpace(op.because)) < 10 {
		l.c.errorf(v.at, "not-repeatable", "a replay calls %s again: say only_if: {field: value}, the state in which it is to be called, or because: why a second call changes nothing", op.method)
	}
	args := v.get("args")
	if len(args.entries()) > maxArguments {
		l.c.errorf(args.at, "operations", "a call has at most %d arguments", maxArguments)
		return
	}
	for _, e := range args.entries() {
		if r := l.rule(e.key, e.at, e.val, ruleContext{owner: op.id + ".args", scope: sc, op: op, argument: true}); r != nil {
			op.args = append(op.args, r)
			op.argument[e.key] = r.labels
		}
	}
}

const maxArguments = 32 // of a call, and entries of a context

// onlyIf compiles the state in which a record is written or called.
func (l *loader) onlyIf(op *operation, v *value, sc *scope) {
	if v == nil {
		return
	}
	if op.do == "merge" || op.do == "create" {
		l.c.errorf(v.at, "operations", "only_if: {field: value} is the state in which upsert, update, archive or call changes the record")
		return
	}
	op.onlyIf = broker.Values{}
	for _, e := range v.keys {
		if e.key == unchangedSince {
			l.unchangedSince(op, e, sc)
			continue
		}
		f, err := l.snap.field(op.model, e.key)
		if err != nil {
			l.c.errorf(e.at, "odoo-field", "%v", err)
			continue
		}
		r := &rule{field: e.key, conv: converter{field: f, zone: l.m.zone}}
		var c *constant
		if l.ruleConstant(r, e.val, &c) {
			op.onlyIf[e.key] = c.value
		}
	}
}

// unchangedSince is the key of only_if that is no field: the point in time
// after which nobody else may have written the record.
const unchangedSince = "unchanged_since"

func (l *loader) unchangedSince(op *operation, e entry, sc *scope) {
	if op.do == "call" {
		l.c.errorf(e.at, "operations", "only_if: unchanged_since is for upsert, update and archive; a call is guarded by the state that the method leaves")
		return
	}
	op.since = l.rule(e.key, e.at, e.val, ruleContext{owner: op.id + ".only_if", scope: sc, op: op, argument: true, moment: true})
	if op.since == nil {
		return
	}
	if op.since.constant != nil || op.since.fallback != nil {
		l.c.errorf(e.val.at, "rule", "unchanged_since is a time in the message: one that stands here would be the same for all")
		return
	}
	op.since.required = true // nothing tells what a message without it knew
	op.labels |= op.since.labels
}

// context compiles an operation's Odoo context: constants, and templates of
// the message.
func (l *loader) context(op *operation, v *value, sc *scope) {
	if v == nil {
		return
	}
	if len(v.keys) > maxArguments {
		l.c.errorf(v.at, "operations", "a context has at most %d entries", maxArguments)
		return
	}
	l.reads = nil
	for _, e := range v.keys {
		if e.key == "uid" || e.key == "su" {
			l.c.errorf(e.at, "operations", "context: %s says who Odoo takes the caller for: that is the connection's user, and no mapping changes it", e.key)
			continue
		}
		c := contextValue{key: e.key}
		switch e.val.kind {
		case yamlBool:
			c.value = e.val.bool
		case yamlNumber:
			c.value = json.Number(e.val.text)
			if _, err := parseDecimal(e.val.text); err != nil {
				l.c.errorf(e.val.at, "type", "%s %v", e.val.text, err)
			}
		case yamlString:
			if c.text = l.template(e.val, sc); c.text == nil {
				continue
			}
			op.labels |= c.text.labels
			l.checkEgress(e.at, op.id+".context."+e.key, c.text.labels)
		}
		op.context = append(op.context, c)
	}
}

// earlier finds the operation that op: or on: names. One that repeats can be
// named only from the same list: then it is that of the same item; or, where
// all is true, all of it is meant.
func (l *loader) earlier(v *value, each *boundPath, all bool) *operation {
	var names []string
	for _, o := range l.m.ops {
		if o.id == v.text {
			if o.each != nil && !all && (each == nil || each.text != o.each.text) {
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
