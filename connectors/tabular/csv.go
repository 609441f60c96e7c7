package tabular

import (
	"bytes"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"unicode"

	"github.com/vagus-health/vagus/internal/tree"
)

var (
	_ tree.Format   = CSV{}
	_ tree.Dialect  = (*csvDialect)(nil)
	_ tree.Splitter = (*csvDialect)(nil)
)

// CSV is the format "csv": rows of RFC 4180 with a header. Safe for concurrent
// use.
//
// A message is the header and one row. The header names the declared columns,
// all of them and no others, in any order. An empty cell is absent; what else a
// cell holds is kept as it is, blanks too; a line break in quotes is "\n". Pos
// counts lines and bytes of the message, the header being line 1.
type CSV struct{}

// Name returns "csv".
func (CSV) Name() string { return "csv" }

// Dialect returns the format with the columns that a mapping declares.
func (CSV) Dialect(d tree.Declaration) (tree.Dialect, error) {
	t, err := newTable("csv", d)
	if err != nil {
		return nil, err
	}
	out := &csvDialect{table: t, comma: ','}
	switch d.Delimiter {
	case "", ",":
	case ";", "|", "\t":
		out.comma = rune(d.Delimiter[0])
	default:
		return nil, fmt.Errorf("csv: no delimiter %q; there are: , ; | \\t", d.Delimiter)
	}
	for _, c := range d.Columns {
		if c.Start != 0 || c.Width != 0 {
			return nil, fmt.Errorf("csv: %s has a start or a width: the format of those is fixed", c.Name)
		}
	}
	return out, nil
}

type csvDialect struct {
	table
	comma rune
	last  atomic.Pointer[header] // of the message before: files have thousands of rows under one
}

// A header is the names of a file's columns, and what they stand for.
type header struct {
	names    []string
	elements []*tree.Element
}

func (d *csvDialect) reader(r io.Reader) *csv.Reader {
	out := csv.NewReader(r)
	out.Comma = d.comma
	out.FieldsPerRecord = -1
	out.ReuseRecord = true
	return out
}

// Decode reads a header and one row.
func (d *csvDialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := d.decode(body, only)
	if err != nil {
		return nil, fmt.Errorf("decode csv: %w", err)
	}
	return &tree.Message{Format: "csv", Root: root}, nil
}

func (d *csvDialect) decode(body []byte, only tree.Selection) (*tree.Node, error) {
	if len(body) > 2*maxRowBytes {
		return nil, fmt.Errorf("%d bytes; a header and a row have at most %d", len(body), 2*maxRowBytes)
	}
	text, mark, err := d.text(body)
	if err != nil {
		return nil, err
	}
	r := d.reader(strings.NewReader(text))
	names, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("the header is missing")
	} else if err != nil {
		return nil, err
	}
	h, err := d.header(names)
	if err != nil {
		return nil, err
	}
	cells, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("there is a header and no row")
	} else if err != nil {
		return nil, err
	}
	first, _ := r.FieldPos(0)
	if len(cells) != len(h.elements) {
		return nil, fmt.Errorf("line %d: %d cells where the header has %d columns", first, len(cells), len(h.elements))
	}
	nodes := make([]tree.Node, 1, 1+len(cells))
	at := lineFinder{text: text, before: mark}
	nodes[0] = tree.Node{State: tree.Value, Pos: at.pos(r.FieldPos(0))}
	kids := make([]*tree.Node, 0, len(cells))
	for i, cell := range cells {
		if e := h.elements[i]; cell != "" && d.selected(only, e.Name) {
			nodes = append(nodes, tree.Node{Name: e.Name, State: tree.Value, Text: cell, Pos: at.pos(r.FieldPos(i))})
			kids = append(kids, &nodes[len(nodes)-1])
		}
	}
	if _, err := r.Read(); err != io.EOF {
		return nil, errors.New("there are several rows, and a message is one")
	}
	nodes[0].Kids = kids
	return &nodes[0], nil
}

// A lineFinder turns lines and columns, in rising order, into offsets.
type lineFinder struct {
	text   string
	before int // bytes that the body has before the text
	line   int // lines before start
	start  int // offset of the line at hand
}

func (f *lineFinder) pos(line, column int) tree.Pos {
	for ; f.line < line-1; f.line++ {
		i := strings.IndexByte(f.text[f.start:], '\n')
		if i < 0 {
			break
		}
		f.start += i + 1
	}
	return tree.Pos{Line: line, Offset: f.before + f.start + column - 1}
}

// header finds what the columns of a header stand for. Its error names those
// that are missing, new or doubled.
func (d *csvDialect) header(names []string) (*header, error) {
	if h := d.last.Load(); h != nil && slices.Equal(h.names, names) {
		return h, nil
	}
	if slices.ContainsFunc(names, func(n string) bool { return strings.ContainsFunc(n, unicode.IsControl) }) {
		return nil, errors.New("the header has a control character in it: do its lines end with LF or CRLF?")
	}
	h := &header{}
	seen := map[string]bool{}
	var wrong []string
	var unknown []int
	for i, n := range names {
		e := d.root.Element(n)
		switch {
		case e == nil:
			unknown = append(unknown, i)
		case seen[n]:
			wrong = append(wrong, fmt.Sprintf("column %s is there twice", n))
		}
		seen[n] = true
		h.names = append(h.names, strings.Clone(n))
		h.elements = append(h.elements, e)
	}
	missing := 0
	for _, e := range d.root.Elements {
		if !seen[e.Name] {
			missing++
			wrong = append(wrong, fmt.Sprintf("column %s is missing", e.Name))
		}
	}
	if found := len(d.root.Elements) - missing; found == 0 {
		return nil, errors.New("the first line names none of the declared columns: is the header missing, or the delimiter another?")
	} else if len(unknown) > found {
		return nil, fmt.Errorf("of the %d columns in the header %d are not declared", len(names), len(unknown))
	}
	// It is a header, so its other names may be told.
	for _, i := range unknown {
		if n := names[i]; n != "" && len(n) <= 64 {
			wrong = append(wrong, fmt.Sprintf("column %s is not declared", n))
		} else {
			wrong = append(wrong, fmt.Sprintf("column number %d is not declared", i+1))
		}
	}
	if len(wrong) > 0 {
		return nil, fmt.Errorf("the header is not what the mapping declares: %s", strings.Join(wrong, ", "))
	}
	d.last.Store(h)
	return h, nil
}

// Split makes a message of each row: the header's line and its own. Blank
// lines and rows without any content are left out. A header that is not as
// declared is an error, and so is a quote that is never closed; a row that is
// wrong in itself is a message, which Decode refuses.
func (d *csvDialect) Split(body []byte) ([][]byte, error) {
	rows, err := d.rows(body)
	if err != nil {
		return nil, fmt.Errorf("split csv: %w", err)
	}
	return bodies(rows), nil
}

func (d *csvDialect) rows(body []byte) ([]row, error) {
	if len(body) > maxFileBytes {
		return nil, fmt.Errorf("%d bytes; a file has at most %d", len(body), maxFileBytes)
	}
	text := unmarked(body)
	mark := len(body) - len(text)
	r := d.reader(bytes.NewReader(text))
	names, err := r.Read()
	if err == io.EOF {
		return nil, errors.New("the header is missing")
	} else if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	columns := len(names)
	start := mark + int(r.InputOffset())
	head := bytes.TrimRight(body[:start], "\r\n")
	h, err := d.checkHeader(head)
	if err != nil {
		return nil, err
	}
	cs := d.charset
	if mark > 0 {
		cs = charsets[0]
	}
	var out []row
	size := 0
	for {
		cells, err := r.Read()
		if err == io.EOF {
			return out, nil
		}
		end := mark + int(r.InputOffset())
		raw := body[start:end]
		start = end
		if len(raw) > maxRowBytes {
			return nil, fmt.Errorf("the row that ends at byte %d has over %d bytes", end, maxRowBytes)
		}
		if err != nil && end == len(body) && d.neverCloses(raw) {
			return nil, fmt.Errorf("a quote is never closed: %w", err)
		}
		if err == nil && !slices.ContainsFunc(cells, func(c string) bool { return c != "" }) {
			continue
		}
		next := row{body: slices.Concat(head, []byte{'\n'}, raw)}
		var parse *csv.ParseError
		switch {
		case errors.As(err, &parse):
			next.line = parse.StartLine
			next.fault = &fault{"csv.quote", len(cells) + 1, "a quote stands where none may: double it, and put the cell into quotes"}
		case err != nil:
			return nil, err
		default:
			next.line, _ = r.FieldPos(0)
			next.fault = h.check(cells, columns, cs)
		}
		out = append(out, next)
		if size += len(next.body); len(out) > maxRows || size > maxRowsBytes {
			return nil, errTooMany
		}
	}
}

// check returns what is wrong with a row in itself.
func (h *header) check(cells []string, columns int, cs charset) *fault {
	switch {
	case len(cells) < columns:
		return &fault{"csv.ragged", len(cells) + 1, fmt.Sprintf("%d cells where the header has %d columns: %s and what follows is missing", len(cells), columns, h.names[len(cells)])}
	case len(cells) > columns:
		return &fault{"csv.ragged", columns + 1, fmt.Sprintf("%d cells where the header has %d columns", len(cells), columns)}
	}
	for i, c := range cells {
		if !cs.valid(c) {
			return &fault{"csv.charset", i + 1, fmt.Sprintf("%s has a byte that is no character of %s", h.names[i], cs.name)}
		}
	}
	return nil
}

// checkHeader reads a header's line, which may have names outside of ASCII.
func (d *csvDialect) checkHeader(line []byte) (*header, error) {
	text, _, err := d.text(line)
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	names, err := d.reader(strings.NewReader(text)).Read()
	if err != nil {
		return nil, fmt.Errorf("header: %w", err)
	}
	return d.header(names)
}

// neverCloses says that a row would be right with one more quote at its end.
func (d *csvDialect) neverCloses(row []byte) bool {
	_, err := d.reader(bytes.NewReader(slices.Concat(row, []byte{'"'}))).Read()
	return err == nil
}
