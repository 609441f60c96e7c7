package mapping

import (
	"errors"
	"path"
	"strings"

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// plus is a place inside of a text that stands on one line.
func (p place) plus(offset int) place {
	if p.file == nil || p.sub || p.line < 1 || p.line > len(p.file.lines) {
		return p
	}
	line := p.file.lines[p.line-1]
	head := len(firstRunes(line, p.col-1))
	if head < len(line) {
		switch line[head] {
		case '"', '\'':
			offset++
		case '|', '>':
			return p
		}
	}
	if head+offset <= len(line) {
		p.col += offset
	}
	return p
}

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
	l.reads = append(l.reads, read{text, p.labels})
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
		l.c.warnf(at, "repeats", "%s repeats in %s and the first one is taken: write %s[first], or choose", p.repeat, text, p.repeat)
	}
	return p
}

// input finds what a name or a path in a rule reads: a let, or the message.
func (l *loader) input(at place, sc *scope, text string) (input, bool) {
	if n := l.letIndex(text); n >= 0 {
		l.reads = append(l.reads, read{text, l.m.lets[n].labels})
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
	return input{path: p, text: text, at: at}, true
}

func (l *loader) inputLabels(in input) tree.Labels {
	if in.path != nil {
		return in.path.labels
	}
	return l.m.lets[in.let].labels
}

func (l *loader) egress(v *value, at place) {
	allow := v.get("allow")
	if allow == nil || allow.kind != yamlList {
		l.c.errorf(where(v, at), "egress", "egress: {allow: [labels]} is missing: what may leave the hospital is named, and may be []")
		return
	}
	l.m.allow = l.labels(allow)
}

// labels reads a list of PHI labels.
func (l *loader) labels(v *value) tree.Labels {
	items := v.list
	if v.kind != yamlList {
		items = []*value{v}
	}
	var out tree.Labels
	for _, i := range items {
		label, ok := tree.ParseLabel(i.text)
		if !ok || i.kind != yamlString {
			l.c.errorf(i.at, "label", "no PHI label %q%s; there are: %s", i.text, didYouMean(i.text, tree.LabelNames()), strings.Join(tree.LabelNames(), ", "))
		}
		out |= label
	}
	return out
}

func (l *loader) tables(v *value) {
	if v == nil {
		return
	}
	if v.kind != yamlMap {
		l.c.errorf(v.at, "table", "tables: {NAME: FILE.csv or {code: result}}")
		return
	}
	for _, e := range v.keys {
		if t := l.table(e.key, e.val); t != nil {
			t.at = e.at
			l.m.tables[e.key] = t
		}
	}
}

func (l *loader) table(name string, v *value) *table {
	switch {
	case v.kind == yamlMap:
		t := &table{name: name, rows: map[string]string{}}
		for _, e := range v.keys {
			if e.val.kind != yamlString && e.val.kind != yamlNull {
				l.c.errorf(e.val.at, "table", "what a code becomes is text: write it in quotes")
			}
			if err := t.put(e.key, e.val.text); err != nil {
				l.c.errorf(e.at, "table", "%v", err)
			}
		}
		return t
	case v.kind == yamlString && strings.HasSuffix(v.text, ".csv"):
		data, err := readFile(l.fsys, path.Join(l.dir, v.text))
		if err != nil {
			l.c.errorf(v.at, "table", "%v", err)
			return nil
		}
		l.content(data)
		t, err := readTable(name, data)
		if err != nil {
			l.c.errorf(v.at, "table", "%s: %v", v.text, err)
			return nil
		}
		t.file = path.Join(l.dir, v.text)
		return t
	}
	l.c.errorf(v.at, "table", "a table is a FILE.csv or {code: result}")
	return nil
}

func (l *loader) lets(v *value) {
	if v == nil {
		return
	}
	if v.kind != yamlMap {
		l.c.errorf(v.at, "let", "let: {name: rule}")
		return
	}
	for _, e := range v.keys {
		if !namePattern.MatchString(e.key) || e.key == "it" {
			l.c.errorf(e.at, "let", "a name is lower-case letters, digits and _, from a letter, and not \"it\"")
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
		x := &let{rule: r, name: e.key, typ: cel.StringType, labels: r.labels}
		if r.cel != nil {
			x.typ = r.cel.out
		} else if r.constant != nil {
			x.typ = constantType(r.constant)
		} else if len(r.inputs) == 1 {
			x.kind = l.inputKind(r.inputs[0])
			if r.table != nil {
				x.kind = tree.Code
			} else if n := r.inputs[0]; n.path == nil {
				x.typ = l.m.lets[n.let].typ
			}
		}
		if r.fallback != nil && !constantType(r.fallback).IsExactType(x.typ) {
			l.c.errorf(e.val.get("default").at, "type", "the default of %s is %s and its value %s", e.key, cel.FormatCELType(constantType(r.fallback)), cel.FormatCELType(x.typ))
		}
		l.m.lets = append(l.m.lets, x)
	}
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
	if v.kind != yamlList {
		l.c.errorf(v.at, "guard", "guards is a list of {when, do, because}")
		return
	}
	for _, g := range v.list {
		if g.kind != yamlMap {
			l.c.errorf(g.at, "guard", "a guard is {when: CEL, do: reject, because: text}")
			continue
		}
		verdict := l.oneOf(g, "do", "", "reject", "dead_letter", "skip")
		because := l.str(g, "because")
		if verdict == "" || because == "" {
			l.c.errorf(g.at, "guard", "a guard says do: and because:")
		}
		when := l.condition(g.get("when"), g.at, l.root, nil)
		l.m.guards = append(l.m.guards, &guard{when: when, verdict: broker.Verdict(verdict), because: because})
	}
}

// condition compiles an expression that is true or false.
func (l *loader) condition(v *value, at place, sc *scope, inputs []variable) *program {
	if v == nil || v.kind != yamlString {
		l.c.errorf(where(v, at), "cel", "when: is an expression, as text")
		return nil
	}
	p := l.compileCEL(v.at, v.text, celScope{scope: sc, inputs: inputs})
	if p != nil && !p.out.IsExactType(cel.BoolType) {
		l.c.errorf(v.at, "cel", "when: is true or false, and this gives %s", cel.FormatCELType(p.out))
		return nil
	}
	return p
}
