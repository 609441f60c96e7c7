package mapping

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Codes that a mapping writes down are compared with those of the standard,
// where the standard defines them all: a code that no sender can send makes a
// row, or a condition, that never holds. Tables that a site defines are its
// own, and so are codes that begin with Z (HL7 2.5.1 section 2.5.3.6 leaves
// them to sites). What only suggests codes says nothing here.

const maxNamed = 12 // codes that a warning names

// codeTable is the standard's table of what a path leads to; "" is none. The
// table of a coded element is that of its first part.
func (p *boundPath) codeTable() string {
	n := len(p.elems)
	switch {
	case n == 0:
		return ""
	case p.elems[n-1].Table != "":
		return p.elems[n-1].Table
	case p.leafElem != nil:
		return p.leafElem.Table
	case n > 1 && p.elems[n-1].Name == "1":
		return p.elems[n-2].Table
	}
	return ""
}

// codes are all that a path can lead to; nil where the standard does not define
// them, or not in the same way in all messages that the mapping takes.
func (l *loader) codes(p *boundPath) (table string, codes []string) {
	if p == nil || l.root == nil || l.root.standard == nil {
		return "", nil
	}
	table = p.codeTable()
	for _, a := range p.alts {
		if a.codeTable() != table {
			return "", nil
		}
	}
	values, closed := l.root.standard.Codes(table)
	if table == "" || !closed {
		return "", nil
	}
	return table, sent(values)
}

// sent are the codes; what stands for a notation, such as <null>, is none.
func sent(values []tree.TableValue) (out []string) {
	for _, v := range values {
		if strings.HasPrefix(v.Value, "<") {
			return nil
		}
		out = append(out, v.Value)
	}
	return out
}

// checkCondition warns of values of source.when that are never sent.
func (l *loader) checkCondition(c *condition, v *value) {
	table, codes := l.codes(c.path)
	if codes == nil {
		return
	}
	items := v.list
	if v.kind != yamlList {
		items = []*value{v}
	}
	for _, item := range items {
		if foreign(item.text, codes) {
			l.c.warnf(item.at, "code", "%s has no code %q%s", table, item.text, didYouMean(item.text, codes))
		}
	}
}

func foreign(code string, codes []string) bool {
	return !strings.HasPrefix(code, "Z") && !slices.Contains(codes, code)
}

// checkCodes looks for codes that a rule's inputs can be and its table has no
// row for. The table's rows are compared when all its rules are known: see
// checkRows.
func (l *loader) checkCodes(r *rule) {
	t := r.table
	if t == nil || t.turned {
		return
	}
	var names, codes []string
	for _, in := range r.inputs {
		table, more := l.codes(l.inputPath(in))
		if more == nil {
			t.open = true
			return
		}
		if !slices.Contains(names, table) {
			names, codes = append(names, table), append(codes, more...)
		}
	}
	t.fedBy, t.fed = append(t.fedBy, names...), append(t.fed, codes...)
	if t.catch || r.onMiss != "error" || r.when != nil || r.onError == "skip" {
		return
	}
	var lacking []string
	for _, code := range codes {
		if _, has := t.rows[code]; !has {
			lacking = append(lacking, code)
		}
	}
	if len(lacking) > 0 {
		l.c.warnf(r.at, "code", "table %s has no row for these codes of %s, and a message with one ends as on_error says: %s; add them, * for all others, or on_miss:", t.name, strings.Join(names, " and "), someOf(lacking))
	}
}

// checkRows warns of rows that no code leads to. A file may be the table of
// other mappings too.
func (l *loader) checkRows(t *table) {
	if t.file != "" || t.open || len(t.fed) == 0 {
		return
	}
	slices.Sort(t.fedBy)
	var unknown []string
	for _, code := range slices.Sorted(maps.Keys(t.rows)) {
		if foreign(code, t.fed) {
			unknown = append(unknown, fmt.Sprintf("%q%s", code, didYouMean(code, t.fed)))
		}
	}
	if len(unknown) > 0 {
		l.c.warnf(t.at, "code", "table %s has rows for what %s does not have: %s", t.name, strings.Join(slices.Compact(t.fedBy), " and "), someOf(unknown))
	}
}

// inputPath is the path that an input reads, also by way of a let that adds
// nothing to it.
func (l *loader) inputPath(in input) *boundPath {
	if in.path != nil {
		return in.path
	}
	if x := l.m.lets[in.let].rule; x.cel == nil && x.table == nil && x.text == nil && x.constant == nil && x.fallback == nil && len(x.inputs) == 1 {
		return l.inputPath(x.inputs[0])
	}
	return nil
}

func someOf(list []string) string {
	if more := len(list) - maxNamed; more > 0 {
		return strings.Join(list[:maxNamed], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(list, ", ")
}
