package tabular

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
	"github.com/vagus-health/vagus/internal/tree"
)

// Values of [Config.Format], [Config.Identity] and [Config.Summary].
const (
	formatCSV   = "csv"
	formatFixed = "fixed"
	formatXLSX  = "xlsx"

	byContent = "content"
	byName    = "name"

	summaryJSON = "json"
	summaryCSV  = "csv"
)

// Config says how files of rows become messages. The zero value is CSV. Columns,
// delimiter and charset are what the feed's mappings declare.
type Config struct {
	Format  string   `yaml:"format"`  // "csv" (default; tabs are a delimiter of it), "fixed", or "xlsx", whose mappings are for csv
	Sheet   string   `yaml:"sheet"`   // of a workbook; default the first
	Charset string   `yaml:"charset"` // "utf-16le" or "utf-16be", of files without a byte order mark that are in it
	Kind    string   `yaml:"kind"`    // what a row is called, for people and routing; default "row"
	Trailer *Trailer `yaml:"trailer"` // the last line, if it is no row
	// Identity says when a file is one that came before: when its content is ("content", default), or only
	// when its name is as well ("name"): of senders whose state can go back to what it was before.
	Identity string `yaml:"identity"`
	Summary  string `yaml:"summary"` // "json" (default) or "csv"
}

// A Trailer is a last line that counts the rows before it. A file without it was cut
// off, and is refused.
type Trailer struct {
	Begins string `yaml:"begins"` // what the line begins with
	Cell   int    `yaml:"cell"`   // CSV: the cell of the count, from 1
	Start  int    `yaml:"start"`  // fixed width: the characters of the count, from 1
	Width  int    `yaml:"width"`
	Plus   int    `yaml:"plus"` // what the count has more than there are rows: 2 where it counts header and trailer
}

// FormatName returns the format of the messages: "csv" or "fixed".
func (c Config) FormatName() string {
	if c.Format == formatFixed {
		return formatFixed
	}
	return formatCSV
}

func (c Config) withDefaults() (Config, error) {
	for _, d := range []struct {
		name  string
		value *string
		known []string
	}{
		{"format", &c.Format, []string{formatCSV, formatFixed, formatXLSX}},
		{"identity", &c.Identity, []string{byContent, byName}},
		{"summary", &c.Summary, []string{summaryJSON, summaryCSV}},
		{"charset", &c.Charset, []string{"", utf16le, utf16be}},
	} {
		if *d.value == "" {
			*d.value = d.known[0]
		}
		ok := false
		for _, k := range d.known {
			ok = ok || *d.value == k
		}
		if !ok {
			return c, fmt.Errorf("%s: use %s", d.name, strings.TrimPrefix(strings.Join(d.known, " or "), " or "))
		}
	}
	if c.Kind == "" {
		c.Kind = "row"
	}
	switch t := c.Trailer; {
	case strings.ContainsFunc(c.Kind, notKind) || len(c.Kind) > 64:
		return c, errors.New("kind: use a word, such as employee")
	case c.Format == formatXLSX && (t != nil || c.Charset != ""):
		return c, errors.New("trailer, charset: a workbook has none")
	case c.Format != formatXLSX && c.Sheet != "":
		return c, errors.New("sheet: only a workbook has one: format: xlsx")
	case t == nil:
	case t.Begins == "":
		return c, errors.New("trailer.begins: missing: what does the last line begin with?")
	case c.Format == formatCSV && (t.Cell < 1 || t.Start != 0 || t.Width != 0):
		return c, errors.New("trailer: give the cell of the count, from 1")
	case c.Format == formatFixed && (t.Start < 1 || t.Width < 1 || t.Width > 18 || t.Start > maxLineWidth || t.Cell != 0):
		return c, errors.New("trailer: give start and width of the count")
	}
	return c, nil
}

func notKind(c rune) bool {
	return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.ContainsRune("._-/:^", c))
}

var _ broker.Receiver = (*Receiver)(nil)

// A Receiver receives files of rows.
type Receiver struct {
	origin   broker.Origin
	conf     Config
	declared func() []tree.Dialect
}

// NewReceiver returns a receiver for one feed, or an error that names the setting at fault.
// declared returns what the feed's mappings of the format [Config.FormatName] that are in force
// now declare: a file must be as all of them say.
func NewReceiver(origin broker.Origin, conf Config, declared func() []tree.Dialect) (*Receiver, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("tabular: %w", err)
	}
	return &Receiver{origin, conf, declared}, nil
}

// Receive implements [broker.Receiver]. A file that is not as declared (header,
// trailer, charset, layout of the whole) is refused whole; a row that is wrong in itself, or that a mapping
// rejects, is refused by itself, and the answer says which: a [Summary].
func (r *Receiver) Receive(ctx context.Context, d broker.Delivery, accept broker.Accept) (broker.Receipt, error) {
	rows, err := r.rows(d.Body)
	var reject *broker.RejectError
	if errors.As(err, &reject) {
		answer, ext, mediaType := r.answer(Summary{Rows: []Refusal{{Code: reject.Code, Reason: reject.Err.Error()}}})
		return broker.Receipt{Answer: answer, Ext: ext, Type: mediaType}, err
	} else if err != nil {
		return broker.Receipt{}, err
	}
	ms, at := r.messages(ctx, d, rows)
	faults := make([]*fault, len(rows))
	for i := range rows {
		faults[i] = rows[i].fault
	}
	if err := take(ctx, accept, ms, func(m int, f *fault) { faults[at[m]] = f }); err != nil {
		return broker.Receipt{}, err
	}
	var s Summary
	for i, f := range faults {
		if f == nil {
			s.Accepted++
			continue
		}
		if s.Refused++; len(s.Rows) < maxRefusals {
			s.Rows = append(s.Rows, Refusal{Row: i + 1, Line: rows[i].line, Column: f.column, Code: f.code, Reason: f.reason})
		}
	}
	answer, ext, mediaType := r.answer(s)
	return broker.Receipt{Accepted: s.Accepted, Refused: s.Refused, Answer: answer, Ext: ext, Type: mediaType}, nil
}

// rows cuts a file into rows. An error that is no RejectError is ours.
func (r *Receiver) rows(body []byte) ([]row, error) {
	dialects := r.declared()
	if len(dialects) == 0 {
		return nil, errors.New("tabular: no mapping is in force that declares the columns")
	}
	fail := func(code string, err error) error {
		return &broker.RejectError{Code: r.conf.Format + "." + code, Err: err}
	}
	var first []row
	for i, d := range dialects {
		d, ok := d.(rower)
		if !ok {
			return nil, fmt.Errorf("tabular: a mapping is not for %s", r.conf.FormatName())
		}
		rows, err := r.cut(d, body)
		var reject *broker.RejectError
		switch {
		case errors.As(err, &reject):
			return nil, err
		case err != nil:
			return nil, fail("malformed", err)
		case i == 0:
			first = rows
		case !sameRows(first, rows):
			return nil, errors.New("tabular: the feed's mappings declare delimiters or charsets by which the rows are not the same: give them feeds of their own")
		}
	}
	if len(first) == 0 && r.conf.Trailer == nil {
		return nil, fail("empty", errors.New("there is no row in it"))
	}
	return first, nil
}

// sameRows says whether two mappings see the same rows, and notes in a what only b finds wrong.
func sameRows(a, b []row) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !bytes.Equal(a[i].body, b[i].body) {
			return false
		}
		if a[i].fault == nil {
			a[i].fault = b[i].fault
		}
	}
	return true
}

func (r *Receiver) cut(d rower, body []byte) ([]row, error) {
	if r.conf.Format == formatXLSX {
		if c, ok := d.(*csvDialect); ok {
			return c.sheet(body, r.conf.Sheet)
		}
		return nil, errors.New("a workbook's mappings are for csv")
	}
	body, err := fromUTF16(body, r.conf.Charset)
	if err != nil {
		return nil, err
	}
	t := r.conf.Trailer
	if t == nil {
		return d.rows(body)
	}
	body, last := lastLine(body)
	if !strings.HasPrefix(string(last), t.Begins) {
		return nil, &broker.RejectError{Code: r.conf.Format + ".trailer", Err: errors.New("the last line is no trailer: the file was cut off")}
	}
	rows, err := d.rows(body)
	if err != nil {
		return nil, err
	}
	want, err := strconv.Atoi(strings.TrimSpace(t.count(d, string(last))))
	if err != nil {
		return nil, &broker.RejectError{Code: r.conf.Format + ".trailer", Err: errors.New("the trailer's count is no number")}
	}
	if have := len(rows) + t.Plus; want != have {
		return nil, &broker.RejectError{Code: r.conf.Format + ".trailer", Err: fmt.Errorf("the trailer counts %d, and it should count %d: rows are missing or too many", want, have)}
	}
	return rows, nil
}

// lastLine cuts the last line that is not blank off a file.
func lastLine(body []byte) (before, line []byte) {
	body = bytes.TrimRight(body, "\r\n \x1a") // some end with the end-of-file of DOS
	i := bytes.LastIndexByte(body, '\n') + 1
	return body[:i], body[i:]
}

// count returns the text of the count.
func (t *Trailer) count(d rower, line string) string {
	if c, ok := d.(*csvDialect); ok {
		if cells, err := c.reader(strings.NewReader(line)).Read(); err == nil && len(cells) >= t.Cell {
			return cells[t.Cell-1]
		}
		return ""
	}
	at := newRuler(line)
	return line[at.offset(t.Start-1):at.offset(t.Start-1+t.Width)]
}

// messages makes a message of each sound row, and returns of which.
func (r *Receiver) messages(ctx context.Context, d broker.Delivery, rows []row) (ms []*broker.Message, at []int) {
	id := d.ID
	if r.conf.Identity == byName {
		id = d.Name + "\x00" + id
	}
	whole := r.origin.MessageID(id, d.Body)
	file := broker.ShortID(whole)
	received, traced := d.At.UTC(), reception.Traceparent(ctx)
	if received.IsZero() {
		received = time.Now().UTC()
	}
	for i, row := range rows {
		if row.fault != nil {
			continue
		}
		sender := file + "/" + strconv.Itoa(i+1) // the row's place: a key may be a patient's
		m := r.origin.Message(r.conf.FormatName(), r.conf.Kind, sender, received, row.body)
		m.Trace, m.Group = traced, broker.Group{ID: whole, Index: i, Count: len(rows)}
		ms = append(ms, m)
		at = append(at, i)
	}
	return ms, at
}

// take has messages accepted, in one step if that is possible. When a mapping rejects some, it
// halves them until it has found which. A non-nil error is no rejection.
func take(ctx context.Context, accept broker.Accept, ms []*broker.Message, refused func(int, *fault)) error {
	type span struct{ from, to int }
	for todo := []span{{0, len(ms)}}; len(todo) > 0; {
		s := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if s.from == s.to {
			continue
		}
		err := accept(ctx, ms[s.from:s.to]...)
		var reject *broker.RejectError
		switch {
		case err == nil:
		case !errors.As(err, &reject):
			return err
		case s.to-s.from == 1:
			refused(s.from, &fault{reject.Code, 0, reject.Err.Error()})
		default:
			half := (s.from + s.to) / 2
			todo = append(todo, span{half, s.to}, span{s.from, half}) // the first one last: it is next, as in the file
		}
	}
	return nil
}
