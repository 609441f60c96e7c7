package mapping

import (
	"errors"
	"path"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// bindText reads and binds a path; its error is a *pathError.
func (l *loader) bindText(sc *scope, text string) (*boundPath, error) {
	e, err := parsePath(text)
	if err != nil {
		return nil, err
	}
	p, err := sc.bind(e)
	if err != nil {
		return nil, err
	}
	l.reads = append(l.reads, read{text: text, labels: p.labels, asks: p.asks(), choose: p.choose})
	l.readField(p)
	return p, nil
}

// bind is bindText that reports its error and warns of a forgotten selector.
func (l *loader) bind(at place, sc *scope, text string) *boundPath {
	p, err := l.bindText(sc, text)
	if err != nil {
		offset := 0
		var pe *pathError
		if errors.As(err, &pe) {
			offset = pe.at
		}
		l.c.errorf(at.plus(offset), "path", "%v", err)
		return nil
	}
	if p.repeat != "" && !p.list {
		l.c.warnf(at, "repeats", "%s", p.repeat)
	}
	return p
}

// input finds what a name or a path in a rule reads: a let, or the message.
func (l *loader) input(at place, sc *scope, text string) (input, bool) {
	if n := l.letIndex(text); n >= 0 {
		l.m.lets[n].used = true
		l.reads = append(l.reads, read{text: text, labels: l.m.lets[n].labels, asks: l.m.lets[n].asks})
		return input{let: n, text: text, at: at}, true
	}
	p := l.bind(at, sc, text)
	if p == nil {
		return input{}, false
	}
	if p.list {
		l.c.errorf(at, "path", "%s is a list: choose one with [first] or a predicate, or use each", text)
		return input{}, false
	}
	return input{path: p, text: text, at: at}, l.leaf(at, p)
}

// leaf reports a path that leads to several values where one is read.
func (l *loader) leaf(at place, p *boundPath) bool {
	err := p.single()
	if err != nil {
		l.c.errorf(at, "path", "%v", err)
	}
	return err == nil
}

func (l *loader) inputLabels(in input) tree.Labels {
	if in.path != nil {
		return in.path.labels
	}
	return l.m.lets[in.let].labels
}

// labelsOf reads one PHI label, or a list of them.
func labelsOf(v *value) tree.Labels {
	items := v.list
	if v.kind != yamlList {
		items = []*value{v}
	}
	var out tree.Labels
	for _, i := range items {
		label, _ := tree.ParseLabel(i.text) // one of them, by its shape
		out |= label
	}
	return out
}

func (l *loader) tables(v *value) {
	for _, e := range v.entries() {
		t := l.table(e.key, e.val)
		if t == nil {
			t = &table{name: e.key} // what is wrong with it is said: rules that use it are not wrong too
		}
		t.at = e.at
		l.m.tables[e.key] = t
	}
}

// table reads a table: its rows in the mapping, a CSV file, or a file of kind
// table.
func (l *loader) table(name string, v *value) *table {
	if v.kind == yamlMap {
		return l.rows(name, v)
	}
	file := path.Join(l.dir, v.text)
	data, err := readFile(l.fsys, file)
	if err != nil {
		l.c.errorf(v.at, "table", "%v", err)
		return nil
	}
	l.content(data)
	var t *table
	if strings.HasSuffix(file, ".csv") {
		var line int
		if t, line, err = readTable(name, data); err != nil {
			l.c.errorf(place{file: newSourceFile(file, data), line: line, col: 1}, "table", "%v (table %s of %s)", err, name, v.at.file.name)
			return nil
		}
	} else if doc := parseYAML(file, data, l.c); doc != nil && l.c.shape(doc, "table") {
		t = l.rows(name, doc.get("rows"))
	}
	if t != nil {
		t.file = file
	}
	return t
}

func (l *loader) rows(name string, v *value) *table {
	t := &table{name: name, rows: map[string]string{}}
	for _, e := range v.keys {
		if e.key == "on_miss" {
			t.onMiss = e.val.text
			continue
		}
		if err := t.put(e.key, e.val.text); err != nil {
			l.c.errorf(e.at, "table", "%v", err)
		}
	}
	return t
}

func (l *loader) lets(v *value) {
	for _, e := range v.entries() {
		if e.key == "it" {
			l.c.errorf(e.at, "let", "\"it\" is the input of an expression: take another name")
			continue
		}
		if lookup(l.root.typ, e.key) != nil {
			l.c.errorf(e.at, "let", "%s is a name of the message already", e.key)
			continue
		}
		r := l.rule(e.key, e.at, e.val, ruleContext{owner: "let", scope: l.root})
		if r == nil {
			continue
		}
		x := &let{rule: r, name: e.key, labels: r.labels, asks: r.asks}
		x.typ, x.kind = l.letType(r)
		if r.fallback != nil && !constantType(r.fallback).IsExactType(x.typ) && !(x.typ.IsExactType(cel.IntType) && constantType(r.fallback).IsExactType(decimalType)) {
			l.c.errorf(e.val.get("default").at, "type", "the default of %s is %s and its value %s", e.key, celType(constantType(r.fallback)), celType(x.typ))
		}
		l.m.lets = append(l.m.lets, x)
	}
}

// letType is what a let is to expressions, and to the fields that it fills.
func (l *loader) letType(r *rule) (*cel.Type, tree.Kind) {
	if f := r.conv.field; f != nil {
		switch f.Type {
		case "date":
			return cel.StringType, tree.Date
		case "datetime":
			return cel.TimestampType, tree.DateTime
		case "float":
			return decimalType, tree.Number
		case "integer":
			return cel.IntType, tree.Number
		case "boolean":
			return cel.BoolType, tree.Bool
		}
		return cel.StringType, tree.Text
	}
	switch {
	case r.cel != nil:
		return r.cel.out, tree.Text
	case r.constant != nil:
		return constantType(r.constant), tree.Text
	case r.table != nil:
		return cel.StringType, tree.Code
	case len(r.inputs) == 0:
		return cel.StringType, tree.Text
	}
	kind := l.inputKind(r.inputs[0])
	for _, in := range r.inputs[1:] {
		if l.inputKind(in) != kind {
			kind = tree.Text
		}
	}
	if n := r.inputs[0]; n.path == nil {
		return l.m.lets[n.let].typ, kind
	}
	return cel.StringType, kind
}

func constantType(c *constant) *cel.Type {
	switch c.value.(type) {
	case bool:
		return cel.BoolType
	case string:
		return cel.StringType
	}
	return decimalType
}

func (l *loader) inputKind(in input) tree.Kind {
	if in.path != nil {
		return in.path.kind
	}
	return l.m.lets[in.let].kind
}

func (l *loader) guards(v *value) {
	if v == nil {
		return
	}
	for _, g := range v.list {
		when := l.condition(g.get("when"), l.root, nil)
		l.m.guards = append(l.m.guards, &guard{when: when, verdict: broker.Verdict(g.textOf("do")), because: g.textOf("because")})
	}
}

// condition compiles an expression that is true or false.
func (l *loader) condition(v *value, sc *scope, inputs []variable) *program {
	p := l.compileCEL(v.at, v.text, celScope{scope: sc, inputs: inputs})
	if p != nil && !p.out.IsExactType(cel.BoolType) {
		l.c.errorf(v.at, "cel", "when: is true or false, and this gives %s", celType(p.out))
		return nil
	}
	return p
}
