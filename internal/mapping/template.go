package mapping

import (
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
	input   *input // nil for a literal
}

// template compiles a template.
func (l *loader) template(v *value, sc *scope) *template {
	if v.kind != yamlString || v.text == "" {
		l.c.errorf(v.at, "template", "a template is text, not %s: write it in quotes", v.kind)
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

// expand fills a template. missing is the first part that is not a value.
// escape, when not nil, makes a value fit for where it goes.
func (t *template) expand(r *run, escape func(string) string) (text string, missing string) {
	if len(t.parts) == 1 && escape == nil && t.parts[0].input == nil {
		return t.parts[0].literal, ""
	}
	buf := make([]byte, 0, 64)
	for i := range t.parts {
		p := &t.parts[i]
		if p.input == nil {
			buf = append(buf, p.literal...)
			continue
		}
		d := r.read1(p.input)
		s, err := d.asText()
		if (err != nil || d.state != tree.Value || s == "") && missing == "" {
			missing = p.input.text + " is absent"
			if d.state == tree.Null {
				missing = p.input.text + " is null"
			}
		}
		if escape != nil {
			s = escape(s)
		}
		buf = append(buf, s...)
	}
	return string(buf), missing
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
