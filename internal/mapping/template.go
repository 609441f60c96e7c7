package mapping

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// A template is text with {path} or {let} in it; {{ and }} are braces.
type template struct {
	text   string // as written
	at     place
	parts  []templatePart
	labels tree.Labels
}

type templatePart struct {
	literal string
	input   *input    // a place of the message, or a let
	own     *variable // an input of the rule itself, or `it`
}

// template compiles a template; vars are the rule's own inputs where it has any.
func (l *loader) template(v *value, sc *scope, vars ...variable) *template {
	if v.kind != yamlString || v.text == "" {
		l.c.errorf(v.at, "template", "a template is text, not %s: write it in quotes", v.kind)
		return nil
	}
	if len(v.text) > maxLineBytes {
		l.c.errorf(v.at, "template", "a template has at most %d bytes", maxLineBytes)
		return nil
	}
	t := &template{text: v.text, at: v.at}
	var lit strings.Builder
	for i := 0; i < len(v.text); {
		rest := v.text[i:]
		switch {
		case strings.HasPrefix(rest, "{{"), strings.HasPrefix(rest, "}}"):
			lit.WriteByte(rest[0])
			i += 2
			continue
		case rest[0] == '}':
			l.c.errorf(v.at.plus(i), "template", "a } that closes nothing: write }} for a brace")
			return nil
		case rest[0] != '{':
			lit.WriteByte(rest[0])
			i++
			continue
		}
		end := strings.IndexByte(rest, '}')
		if end < 0 {
			l.c.errorf(v.at.plus(i), "template", "the { is not closed: write {{ for a brace")
			return nil
		}
		if lit.Len() > 0 {
			t.parts = append(t.parts, templatePart{literal: lit.String()})
			lit.Reset()
		}
		name := rest[1:end]
		if n := slices.IndexFunc(vars, func(v variable) bool { return v.name == name }); n >= 0 {
			t.parts = append(t.parts, templatePart{own: &vars[n]})
			i += end + 1
			continue
		}
		in, ok := l.input(v.at.plus(i+1), sc, name)
		if !ok {
			return nil
		}
		t.labels |= l.inputLabels(in)
		t.parts = append(t.parts, templatePart{input: &in})
		i += end + 1
	}
	if lit.Len() > 0 {
		t.parts = append(t.parts, templatePart{literal: lit.String()})
	}
	return t
}

// reads says whether a template names anything of the message.
func (t *template) reads() bool {
	for _, p := range t.parts {
		if p.literal == "" {
			return true
		}
	}
	return false
}

// expand fills a template. missing says which part is no value; escape, when
// not nil, makes a value fit for where it goes.
func (t *template) expand(r *run, escape func(string) string) (text, missing string) {
	text, missing, _ = t.fill(r, escape)
	return text, missing
}

// fill is expand that also counts the parts that are values.
func (t *template) fill(r *run, escape func(string) string) (text, missing string, valued int) {
	if len(t.parts) == 1 && t.parts[0].literal != "" {
		return t.parts[0].literal, "", 0
	}
	buf := make([]byte, 0, 64)
	for i := range t.parts {
		p := &t.parts[i]
		if p.literal != "" {
			buf = append(buf, p.literal...)
			continue
		}
		d, what := r.part(p)
		s, err := d.asText()
		switch {
		case err == nil && d.state == tree.Value && !isBlank(s):
			valued++
		case missing == "" && d.state == tree.Null:
			missing = what + " is null"
		case missing == "":
			missing = what + " is absent"
		}
		if escape != nil {
			s = escape(s)
		}
		buf = append(buf, s...)
	}
	return string(buf), missing, valued
}

// part reads what stands between braces, and names it.
func (r *run) part(p *templatePart) (datum, string) {
	switch {
	case p.input != nil:
		return r.read1(p.input), p.input.text
	case p.own.index == itIndex:
		return r.it, p.own.name
	}
	return r.inBuf[p.own.index], p.own.name
}

// escapeXID makes a value fit for an external identifier, whose name may hold
// no space and whose lists are joined by commas: other characters than letters,
// digits, . and - are written as %XX. So is _, which stands between values: two
// pairs of values never make one identifier.
func escapeXID(s string) string {
	plain := true
	for i := 0; i < len(s); i++ {
		plain = plain && xidByte(s[i])
	}
	if plain {
		return s
	}
	const hex = "0123456789ABCDEF"
	out := make([]byte, 0, len(s)+8)
	for i := 0; i < len(s); i++ {
		if c := s[i]; xidByte(c) {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

func xidByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-'
}
