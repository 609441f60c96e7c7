package tabular

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

var (
	_ tree.Format   = Fixed{}
	_ tree.Dialect  = (*fixedDialect)(nil)
	_ tree.Splitter = (*fixedDialect)(nil)
)

// Fixed is the format "fixed": a record on each line, its columns at fixed
// places. Safe for concurrent use.
//
// A message is one line. Start and width count characters, not bytes. Blanks
// behind a value are not part of it, nor are those before one that is no text
// or code (numbers stand right); a column of blanks is absent. A short line
// is read as if blanks followed, since many programs cut them off. What stands
// between the columns or behind the last one must be blank: anything else
// means that the sender's layout is not the declared one, and is refused.
type Fixed struct{}

// Name returns "fixed".
func (Fixed) Name() string { return "fixed" }

// maxLineWidth bounds where a column may end.
const maxLineWidth = 32 << 10

// Dialect returns the format with the columns that a mapping declares.
func (Fixed) Dialect(d tree.Declaration) (tree.Dialect, error) {
	t, err := newTable("fixed", d)
	if err != nil {
		return nil, err
	}
	if d.Delimiter != "" {
		return nil, errors.New("fixed: columns of fixed width have no delimiter")
	}
	out := &fixedDialect{table: t}
	for _, c := range d.Columns {
		if c.Start < 1 || c.Width < 1 || c.Start > maxLineWidth || c.Width > maxLineWidth {
			return nil, fmt.Errorf("fixed: %s needs a start, from 1, and a width, from 1, of at most %d characters", c.Name, maxLineWidth)
		}
		out.fields = append(out.fields, field{element: t.root.Element(c.Name), from: c.Start - 1, to: c.Start - 1 + c.Width})
	}
	slices.SortStableFunc(out.fields, func(a, b field) int { return a.from - b.from })
	for i := 1; i < len(out.fields); i++ {
		if a, b := out.fields[i-1], out.fields[i]; b.from < a.to {
			return nil, fmt.Errorf("fixed: %s and %s overlap at character %d", a.element.Name, b.element.Name, b.from+1)
		}
	}
	return out, nil
}

type fixedDialect struct {
	table
	fields []field // in the order of the line
}

// A field is a column's place: characters from 0.
type field struct {
	element  *tree.Element
	from, to int
}

// Decode reads one line.
func (d *fixedDialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := d.decode(body, only)
	if err != nil {
		return nil, fmt.Errorf("decode fixed: %w", err)
	}
	return &tree.Message{Format: "fixed", Root: root}, nil
}

func (d *fixedDialect) decode(body []byte, only tree.Selection) (*tree.Node, error) {
	if len(body) > maxRowBytes {
		return nil, fmt.Errorf("%d bytes; a line has at most %d", len(body), maxRowBytes)
	}
	text, before, err := d.text(bytes.TrimRight(body, "\r\n"))
	if err != nil {
		return nil, err
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("there are several lines, and a message is one")
	}
	at := newRuler(text)
	nodes := make([]tree.Node, 1, 1+len(d.fields))
	nodes[0] = tree.Node{State: tree.Value, Pos: tree.Pos{Line: 1, Offset: before}}
	kids := make([]*tree.Node, 0, len(d.fields))
	end := 0 // of the column before
	for _, f := range d.fields {
		if err := blank(text, at, end, f.from); err != nil {
			return nil, err
		}
		end = f.to
		start := at.offset(f.from)
		raw := text[start:at.offset(f.to)]
		value := strings.TrimRight(raw, " ")
		if k := f.element.Type.Kind; k != tree.Text && k != tree.Code {
			value = strings.TrimLeft(value, " ")
			start += strings.Index(raw, value)
		}
		if value == "" || !d.selected(only, f.element.Name) {
			continue
		}
		nodes = append(nodes, tree.Node{Name: f.element.Name, State: tree.Value, Text: value, Pos: tree.Pos{Line: 1, Offset: before + start}})
		kids = append(kids, &nodes[len(nodes)-1])
	}
	if err := blank(text, at, end, at.length); err != nil {
		return nil, err
	}
	nodes[0].Kids = kids
	return &nodes[0], nil
}

// blank refuses anything but blanks between two characters of the line.
func blank(text string, at ruler, from, to int) error {
	if to = min(to, at.length); from >= to {
		return nil
	}
	if strings.Trim(text[at.offset(from):at.offset(to)], " ") == "" {
		return nil
	}
	return &gapError{from + 1, to}
}

// A gapError says that characters, counted from 1, are not blank.
type gapError struct{ from, to int }

func (e *gapError) Error() string {
	return fmt.Sprintf("characters %d to %d are not blank, and no column is declared there: the layout is another, or declare what stands there", e.from, e.to)
}

// A ruler finds characters of a line.
type ruler struct {
	length  int   // in characters
	offsets []int // of each character; nil when each is one byte
	bytes   int
}

func newRuler(text string) ruler {
	r := ruler{length: len(text), bytes: len(text)}
	for i := range len(text) {
		if text[i] < 0x80 {
			continue
		}
		for at := range text {
			r.offsets = append(r.offsets, at)
		}
		r.length = len(r.offsets)
		break
	}
	return r
}

// offset returns where character n begins, or the end of the line.
func (r ruler) offset(n int) int {
	switch {
	case n >= r.length:
		return r.bytes
	case r.offsets == nil:
		return n
	}
	return r.offsets[n]
}

// Split makes a message of each line that is not blank.
func (d *fixedDialect) Split(body []byte) ([][]byte, error) {
	rows, err := d.lines(body)
	if err != nil {
		return nil, fmt.Errorf("split fixed: %w", err)
	}
	return bodies(rows), nil
}

func (d *fixedDialect) rows(body []byte) ([]row, error) {
	rows, err := d.lines(body)
	for i := range rows {
		if _, err := d.decode(rows[i].body, tree.Selection{}); err != nil {
			rows[i].fault = &fault{"fixed.layout", 0, err.Error()}
			var gap *gapError
			if errors.As(err, &gap) {
				rows[i].fault.column = gap.from
			}
		}
	}
	return rows, err
}

func (d *fixedDialect) lines(body []byte) ([]row, error) {
	if len(body) > maxFileBytes {
		return nil, fmt.Errorf("%d bytes; a file has at most %d", len(body), maxFileBytes)
	}
	var out []row
	lines := unmarked(body)
	mark := body[:len(body)-len(lines)]
	n := 0
	for line := range bytes.Lines(lines) {
		n++
		line = bytes.TrimRight(line, "\r\n")
		if len(bytes.Trim(line, " ")) == 0 {
			continue
		}
		if len(line) > maxRowBytes {
			return nil, fmt.Errorf("line of %d bytes; at most %d are taken", len(line), maxRowBytes)
		}
		if out = append(out, row{line: n, body: slices.Concat(mark, line)}); len(out) > maxRows {
			return nil, errTooMany
		}
	}
	return out, nil
}
