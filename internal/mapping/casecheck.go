package mapping

import (
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// operationParts are what check and not_sent can name beside fields.
var operationParts = []string{"xid", "do", "model", "on", "on_none", "by", "method", "args", "only_if", unchangedSince, "context"}

// lintTests checks a test file against the mapping that it tests. What is
// wrong with that one is said where it stands, and not here again.
func lintTests(fsys fs.FS, doc *value, t *testFile, formats []tree.Format, c *collector) {
	name := doc.get("mapping")
	if _, err := readFile(fsys, name.beside()); err != nil {
		c.errorf(name.at, "file", "%v", err)
		return
	}
	if l, issues := load(fsys, name.beside(), formats); !issues.failed() {
		l.checkCases(t.cases, c)
	}
}

// checkCases refuses names of operations and fields that the mapping does not
// have: of what nobody writes, not_sent would be true and say nothing.
func (l *loader) checkCases(cases []testCase, c *collector) {
	for i := range cases {
		for _, e := range cases[i].check {
			l.checkSent(e.key, e.at, c, true)
		}
		for _, v := range cases[i].notSent {
			l.checkSent(v.text, v.at, c, false)
		}
	}
}

// checkSent checks "operation.field", "operation#2.field" and the dotted way
// to a field of lines.
func (l *loader) checkSent(text string, at place, c *collector, one bool) {
	id, field, dotted := strings.Cut(text, ".")
	name, _, numbered := strings.Cut(id, "#")
	op := l.m.operation(name)
	switch {
	case l.m.document != nil:
		c.errorf(at, "test", "%s: the mapping writes a document and no operations: compare it with document:", text)
		return
	case op == nil:
		var ids []string
		for _, o := range l.m.ops {
			ids = append(ids, o.id)
		}
		c.errorf(at, "test", "%s has no operation %q%s", l.m.ID, name, didYouMean(name, ids))
		return
	case !dotted || field == "":
		c.errorf(at, "test", "%s: what of %s is meant? Write %s.FIELD", text, name, id)
		return
	case numbered && op.each == nil:
		c.errorf(at, "test", "%s runs once: write %s.%s", name, name, field)
		return
	case one && !numbered && op.each != nil:
		c.errorf(at, "test", "%s runs for each item of %s: write %s#1.%s", name, op.each.text, name, field)
		return
	}
	first, rest, inner := strings.Cut(field, ".")
	if slices.Contains(operationParts, first) && (!inner || slices.Contains([]string{"by", "args", "only_if", "context"}, first)) {
		return
	}
	model := op.model
	for {
		f := l.snap.Models[model][first]
		switch {
		case f == nil:
			c.errorf(at, "odoo-field", "%s has no field %q%s", model, first, didYouMean(first, slices.Sorted(maps.Keys(l.snap.Models[model]))))
			return
		case !inner:
			return
		case f.Type != "one2many":
			c.errorf(at, "test", "%s: %s is %s, and no lines that %s could be a field of", text, first, f.Type, rest)
			return
		}
		model = f.Relation
		first, rest, inner = strings.Cut(rest, ".")
	}
}
