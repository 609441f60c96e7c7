package lsp

import (
	"regexp"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// A focus is the part of a text that a place is in: of a template the path in
// braces, of an expression the name, or the text that a function is given.
type focus struct {
	means  grammar.Meaning
	text   string // whole
	before string // of the place
	start  int    // of the text in the spot's text, in characters
}

func focusOf(s mapping.Spot) focus {
	runes := []rune(s.Text)
	f := focus{s.Means, s.Text, string(runes[:s.Offset]), 0}
	switch s.Means {
	case grammar.Template:
		return f.template(runes, s.Offset)
	case grammar.Expression, grammar.Search:
		return f.expression(runes, s.Offset)
	case grammar.Reference:
		if rest, ok := strings.CutPrefix(s.Text, "xid:"); ok {
			f.start = len([]rune(s.Text)) - len([]rune(rest))
			return f.template(runes, s.Offset)
		}
	}
	return f
}

func (f focus) cut(means grammar.Meaning, runes []rune, from, at, to int) focus {
	return focus{means, string(runes[from:to]), string(runes[from:at]), from}
}

func (f focus) template(runes []rune, at int) focus {
	open := -1
	for i := 0; i < at; i++ {
		switch {
		case runes[i] == '{' && i+1 < len(runes) && runes[i+1] == '{' && open < 0:
			i++
		case runes[i] == '{':
			open = i + 1
		case runes[i] == '}':
			open = -1
		}
	}
	if open < 0 || open > at {
		f.means = grammar.Plain
		return f
	}
	return f.cut(grammar.Path, runes, open, at, end(runes, at, "}"))
}

var calls = regexp.MustCompile(`(\.?)\b([a-z]+)\(\s*$`)

func (f focus) expression(runes []rune, at int) focus {
	quote, open := rune(0), 0
	for i := 0; i < at; i++ {
		switch c := runes[i]; {
		case quote != 0 && c == '\\':
			i++
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '\'' || c == '"'):
			quote, open = c, i+1
		}
	}
	if quote == 0 {
		from := at
		for from > 0 && word(runes[from-1]) {
			from--
		}
		to := at
		for to < len(runes) && word(runes[to]) {
			to++
		}
		return f.cut(grammar.Expression, runes, from, at, to)
	}
	open = min(open, at)
	means := grammar.Plain
	if m := calls.FindStringSubmatch(string(runes[:open-1])); m != nil && m[1] == "" {
		for _, fn := range mapping.Functions() {
			if fn.Name == m[2] && fn.Path {
				means = grammar.Path
			}
		}
		if m[2] == "table" || m[2] == "intable" {
			means = grammar.TableName
		}
	}
	return f.cut(means, runes, open, at, end(runes, at, string(quote)))
}

func end(runes []rune, from int, stop string) int {
	for from < len(runes) && !strings.ContainsRune(stop, runes[from]) {
		from++
	}
	return from
}

func word(r rune) bool {
	return r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

// pathTo is a path up to the end of the step that a place is in.
func (f focus) pathTo() string {
	depth := 0
	for i, r := range f.text {
		switch {
		case r == '[':
			depth++
		case r == ']':
			depth--
		case depth == 0 && i >= len(f.before) && i > 0 && (r == '.' || r == '-'):
			return f.text[:i]
		}
	}
	return f.text
}
