package mapping

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

// Limits of what a mapping may declare of its source.
const (
	maxColumns = 2000
	maxNested  = 8 // objects within objects
)

func (l *loader) source(v *value) bool {
	name := v.textOf("format")
	var format tree.Format
	var names []string
	for _, f := range l.formats {
		if names = append(names, f.Name()); f.Name() == name {
			format = f
		}
	}
	if format == nil {
		l.c.errorf(where(v.get("format"), v.at), "format", "no format %q%s; there are: %s", name, didYouMean(name, names), strings.Join(names, ", "))
		return false
	}
	l.m.Format = name
	if z := v.textOf("zone"); z != "" {
		zone, err := time.LoadLocation(z)
		if err != nil || z == "Local" {
			l.c.errorf(v.get("zone").at, "zone", "%q is no time zone of the IANA database, such as America/Los_Angeles", z)
		} else {
			l.m.zone = zone
		}
	}
	l.conditions(v.get("when"))
	before := len(l.c.issues)
	l.declaration(v)
	if l.c.issues[before:].failed() {
		return false // what the declaration lacks would be missed again in every path
	}
	dialect, err := format.Dialect(l.m.Source)
	if err != nil {
		l.c.errorf(where(v.get("version"), v.at), "source", "%v", err)
		return false
	}
	l.m.Dialect = dialect
	if r, ok := dialect.(tree.Remarker); ok && r.Remark() != "" {
		l.c.warnf(where(v.get("version"), v.at), "source", "%s", r.Remark())
	}
	types, err := roots(dialect, l.m.when)
	if err != nil {
		l.c.errorf(v.at, "source", "%v", err)
		return false
	}
	l.m.reads = tree.Selection{}
	standard, _ := dialect.(tree.Dictionary)
	g := &ground{reads: l.m.reads, unordered: name == "fhir", standard: standard}
	switch {
	case name == "hl7v2": // fields and components, not segments and groups
		g.leads = func(e *tree.Element) bool { return isNumber(e.Name) }
	case l.m.record != nil:
		g.leads = func(*tree.Element) bool { return true }
	}
	l.root = &scope{typ: types[0], ground: g}
	for _, t := range types[1:] {
		l.root.alts = append(l.root.alts, &scope{typ: t, ground: g})
	}
	for i := range l.m.when {
		cond := &l.m.when[i]
		switch cond.path = l.bind(v.get("when").at, l.root, cond.text); {
		case cond.path == nil || len(cond.values) == 0:
		case cond.path.list:
			l.c.errorf(v.get("when").at, "path", "%s is a list; a condition compares one value", cond.text)
		case l.leaf(v.get("when").at, cond.path):
			l.checkCondition(cond, v.get("when").get(cond.text))
		}
	}
	return true
}

func (l *loader) conditions(v *value) {
	if v == nil {
		return
	}
	for _, e := range v.keys {
		c := condition{text: e.key}
		items := []*value{e.val}
		switch e.val.kind {
		case yamlMap:
			items, c.present = nil, e.val.get("present").bool
		case yamlList:
			items = e.val.list
		}
		for _, i := range items {
			c.values = append(c.values, i.text)
		}
		l.m.when = append(l.m.when, c)
	}
}

// declaration reads what a mapping says of its source beside the format's name.
func (l *loader) declaration(v *value) {
	d := &l.m.Source
	d.Version = v.textOf("version")
	if x := v.get("delimiter"); x != nil {
		if d.Delimiter = x.text; utf8.RuneCountInString(x.text) != 1 {
			l.c.errorf(x.at, "source", "delimiter is one character, in quotes")
		}
	}
	columns, attributes := v.get("columns"), v.get("attributes")
	if x := v.get("charset"); x != nil {
		if d.Charset = x.text; columns == nil {
			l.c.errorf(x.at, "source", "charset is of a table: it needs columns")
		}
	}
	if columns != nil && attributes != nil {
		l.c.errorf(attributes.at, "source", "a table has columns and an entry attributes: declare one of them")
	} else if columns == nil {
		columns = attributes
	}
	if columns != nil {
		d.Columns = l.columns(columns, tree.None, false, maxNested)
	}
	if x := v.get("segments"); x != nil {
		d.Segments = l.segments(x)
	}
}

// columns reads declared places. Every leaf says what it may reveal, or the
// object that it is a part of does.
func (l *loader) columns(v *value, outer tree.Labels, labelled bool, depth int) []tree.Column {
	if depth == 0 || len(v.keys) > maxColumns {
		l.c.errorf(v.at, "source", "columns are at most %d, and objects stand in each other at most %d deep", maxColumns, maxNested)
		return nil
	}
	var out []tree.Column
	for _, e := range v.keys {
		c := l.column(e.val)
		c.Name = e.key
		kind, _ := tree.KindOf(c.Type)
		says := labelled || e.val.get("phi") != nil
		if p := e.val.get("parts"); p != nil {
			c.Parts = l.columns(p, outer|c.Labels, says, depth-1)
		}
		switch {
		case (kind == tree.Composite) != (len(c.Parts) > 0):
			l.c.errorf(e.at, "source", "an object has parts:, and nothing else has: %s is %s", e.key, c.Type)
		case !says && kind != tree.Composite:
			l.c.errorf(e.at, "source", "%s does not say what it may reveal: phi: is one of %s", e.key, strings.Join(tree.LabelNames(), ", "))
		}
		l.columnLayout(e.val.get("format"), c, kind)
		out = append(out, c)
	}
	return out
}

// column reads what columns and the fields of segments have in common.
func (l *loader) column(v *value) tree.Column {
	c := tree.Column{Type: v.textOf("type"), Title: v.textOf("title"), Table: v.textOf("table"), Layout: v.textOf("format"),
		Start: l.count(v, "start"), Width: l.count(v, "width")}
	if x := v.get("repeats"); x != nil {
		c.Repeats = x.bool
	}
	if x := v.get("phi"); x != nil {
		c.Labels = labelsOf(x)
	}
	return c
}

func (l *loader) columnLayout(at *value, c tree.Column, kind tree.Kind) {
	if at == nil {
		return
	}
	if kind != tree.Date && kind != tree.DateTime {
		l.c.errorf(at.at, "source", "format: is the notation of a date or datetime, and %s is %s", c.Name, c.Type)
		return
	}
	if _, err := newLayout(c.Layout, kind == tree.DateTime); err != nil {
		l.c.errorf(at.at, "source", "%v", err)
	}
}

// count reads a number from 1; 0 when it is missing.
func (l *loader) count(v *value, key string) int {
	x := v.get(key)
	if x == nil {
		return 0
	}
	n, err := strconv.Atoi(x.text)
	if err != nil || n > 1<<20 {
		l.c.errorf(x.at, "type", "%s is a whole number up to %d", key, 1<<20)
		return 0
	}
	return n
}

// segments reads the segments that the standard does not have: lists of
// fields, the first of which is field 1.
func (l *loader) segments(v *value) []tree.Column {
	var out []tree.Column
	for _, e := range v.keys {
		if len(e.val.list) > maxColumns {
			l.c.errorf(e.val.at, "source", "%s has more than %d fields", e.key, maxColumns)
			continue
		}
		seg := tree.Column{Name: e.key, Type: "object"}
		for i, f := range e.val.list {
			c := l.column(f)
			c.Name = strconv.Itoa(i + 1)
			seg.Parts = append(seg.Parts, c)
		}
		out = append(out, seg)
	}
	return out
}
