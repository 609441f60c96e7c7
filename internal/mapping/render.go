package mapping

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// A Line is one line of a rendered mapping and where it was written. The lines
// of a long text have no place: its key has it.
type Line struct {
	Text string `json:"text"`
	File string `json:"file,omitempty"`
	Line int    `json:"line,omitempty"`
}

// Render returns a mapping as one file: with what it extends and includes put
// in. Beside the file that was rendered it loads to the same behaviour. The
// error is an [Issues].
func Render(fsys fs.FS, name string) ([]Line, error) {
	c := &collector{}
	doc := (&flattener{fsys: fsys, c: c}).flatten(name)
	if c.issues.failed() || doc == nil {
		return nil, c.issues.sorted()
	}
	r := &renderer{}
	r.entries(0, inOrder(doc.keys))
	return r.lines, nil
}

// inOrder puts the keys of a mapping into the order that all mappings have:
// those of an overlay come behind the base's otherwise.
func inOrder(keys []entry) []entry {
	order := grammar.Files["mapping"].KeyNames()
	rank := func(e entry) int {
		if i := slices.Index(order, e.key); i >= 0 {
			return i
		}
		return len(order)
	}
	keys = slices.Clone(keys)
	slices.SortStableFunc(keys, func(a, b entry) int { return rank(a) - rank(b) })
	return keys
}

// A renderer prints values as YAML: what stood on one line in braces stays so.
type renderer struct {
	lines     []Line
	canonical bool // one line for each scalar, whatever the file looks like
}

const maxFlow = 160 // bytes of what is written in braces

func (r *renderer) line(indent int, text string, at place) {
	r.lines = append(r.lines, Line{Text: strings.Repeat(" ", indent) + text, File: at.file.name, Line: at.line})
}

func (r *renderer) entries(indent int, keys []entry) {
	for _, e := range keys {
		if text, ok := r.inline(e.at, e.val); ok {
			r.line(indent, scalar(e.key)+": "+text, e.at)
			continue
		}
		if e.val.kind == yamlString {
			r.literal(indent, e)
			continue
		}
		r.line(indent, scalar(e.key)+":", e.at)
		r.block(indent+2, e.val)
	}
}

// literal prints a text of several lines as it was; a comment behind one of
// them would be a part of it.
func (r *renderer) literal(indent int, e entry) {
	style := "|"
	if !strings.HasSuffix(e.val.text, "\n") {
		style = "|-"
	}
	r.line(indent, scalar(e.key)+": "+style, e.at)
	for line := range strings.Lines(e.val.text) {
		if line = strings.TrimSuffix(line, "\n"); line != "" {
			line = strings.Repeat(" ", indent+2) + line
		}
		r.lines = append(r.lines, Line{Text: line})
	}
}

// block prints a map or a list over several lines.
func (r *renderer) block(indent int, v *value) {
	if v.kind == yamlMap {
		r.entries(indent, v.keys)
		return
	}
	for _, item := range v.list {
		if text, ok := r.inline(item.at, item); ok {
			r.line(indent, "- "+text, item.at)
			continue
		}
		first := len(r.lines)
		r.block(indent+2, item)
		l := &r.lines[first]
		l.Text = strings.Repeat(" ", indent) + "- " + l.Text[indent+2:]
	}
}

// inline is a value on the line of its key, if it is a scalar or stood there.
func (r *renderer) inline(at place, v *value) (string, bool) {
	if v.kind != yamlMap && v.kind != yamlList {
		return scalarOf(v), r.canonical || !literalText.MatchString(v.text)
	}
	if len(v.keys)+len(v.list) == 0 {
		return map[yamlKind]string{yamlMap: "{}", yamlList: "[]"}[v.kind], true
	}
	if r.canonical || !v.on(at) {
		return "", false
	}
	text := flow(v)
	return text, len(text) <= maxFlow
}

// on says whether all of a value stands on one line.
func (v *value) on(at place) bool {
	if v.at.file != at.file || v.at.line != at.line {
		return false
	}
	for _, e := range v.keys {
		if e.at.file != at.file || e.at.line != at.line || !e.val.on(at) {
			return false
		}
	}
	return !slices.ContainsFunc(v.list, func(x *value) bool { return !x.on(at) })
}

func flow(v *value) string {
	var parts []string
	switch v.kind {
	case yamlMap:
		for _, e := range v.keys {
			parts = append(parts, scalar(e.key)+": "+flow(e.val))
		}
		return "{ " + strings.Join(parts, ", ") + " }"
	case yamlList:
		for _, x := range v.list {
			parts = append(parts, flow(x))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	return scalarOf(v)
}

func scalarOf(v *value) string {
	switch v.kind {
	case yamlString:
		return scalar(v.text)
	case yamlNull:
		return "null"
	}
	return v.text
}

var (
	// Several lines that neither begin (the first) nor end with a space, with at
	// most one line end behind the last.
	literalText = regexp.MustCompile(`^[!-~¡-\x{2010}]([ -~¡-\x{2010}]*[!-~])?(\n+ *[!-~]([ -~¡-\x{2010}]*[!-~])?)+\n?$`)
	plainText   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*( [A-Za-z0-9_./-]+)*$`)
	yamlWord    = regexp.MustCompile(`(?i)^(true|false|null|yes|no|on|off|y|n|nan|inf)$`)
)

// scalar writes a text so that it is read as the same text.
func scalar(s string) string {
	switch {
	case plainText.MatchString(s) && !yamlWord.MatchString(s):
		return s
	case strings.ContainsFunc(s, func(r rune) bool {
		return r < ' ' || r == 0x7f || r == '\u2028' || r == '\u2029' || r == '\u0085' || r == '\ufeff'
	}):
		b, err := json.Marshal(s)
		if err != nil {
			return `""`
		}
		return string(b)
	case !strings.ContainsAny(s, `"\`):
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", "''") + "'"
}

// Annotate returns rendered lines as text, with where each was written behind
// it as a comment.
func Annotate(lines []Line) string {
	const widest = 100
	width := 0
	for _, l := range lines {
		if n := len([]rune(l.Text)); n <= widest {
			width = max(width, n)
		}
	}
	var b strings.Builder
	for _, l := range lines {
		if l.File == "" {
			fmt.Fprintln(&b, l.Text)
			continue
		}
		fmt.Fprintf(&b, "%-*s  # %s:%d\n", width, l.Text, l.File, l.Line)
	}
	return b.String()
}
