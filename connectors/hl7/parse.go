package hl7

import (
	"bytes"
	"strconv"
	"strings"
)

// Bounds on what one message may hold. They keep a hostile frame from costing
// more memory than a small multiple of its size.
const (
	maxSegments     = 100_000
	maxFieldsPerSeg = 2_000
	maxLeadingJunk  = 64 // white space and a byte order mark before MSH
	maxControlID    = 250
)

// Codes of HL7 table 0357, message error condition.
const (
	errSequence  = 100
	errRequired  = 101
	errDataType  = 102
	errInternal  = 207
	tableErrCode = "HL70357"
)

// A syntaxError says where a message breaks the standard's syntax. It holds no
// value of the message.
type syntaxError struct {
	code    int    // HL7 table 0357
	segment string // "MSH"
	field   int    // 0: the whole segment
	text    string
}

func (e *syntaxError) Error() string {
	if e.field == 0 {
		return e.segment + ": " + e.text
	}
	return e.segment + "-" + strconv.Itoa(e.field) + ": " + e.text
}

// delimiters are the bytes that MSH-1 and MSH-2 name (HL7 2.5.1 section
// 2.5.4); 0 stands for one that the message does not have.
type delimiters struct {
	field, component, repetition, escape, subComponent, truncation byte
}

var defaultDelimiters = delimiters{'|', '^', '~', '\\', '&', 0}

// encoding returns MSH-2.
func (d delimiters) encoding() string {
	b := make([]byte, 0, 5)
	for _, c := range [...]byte{d.component, d.repetition, d.escape, d.subComponent, d.truncation} {
		if c != 0 {
			b = append(b, c)
		}
	}
	return string(b)
}

// A Message is a view of one message: where its segments and fields stand in
// the bytes received. It does not copy or change them, and it is valid as long
// as they are left alone. Read-only and safe for concurrent use.
type Message struct {
	body   []byte // as received, or its UTF-8 form where the character set hides delimiters (see charset.go)
	delims delimiters
	chars  charset
	wide   bool // body was transcoded as a whole
	segs   []segment
	fields []uint32 // where fields begin
}

type segment struct {
	start, end uint32 // end excludes the segment's terminator
	first, n   uint32 // its fields: fields[first : first+n]
}

// Parse finds the segments and fields of a message. Segments end with CR, LF
// or CRLF; a line that does not begin with a segment's name continues the
// field before it. Errors name places, never values.
func Parse(body []byte) (*Message, error) {
	m := &Message{}
	if err := m.read(body); err != nil {
		return nil, err
	}
	return m, nil
}

// read is Parse into a message that nobody looks at any more: its memory is used
// again.
func (m *Message) read(body []byte) error {
	*m = Message{body: body, segs: m.segs[:0], fields: m.fields[:0]}
	if cs, ok := wideCharset(body); ok {
		text, err := cs.decodeAll(body)
		if err != nil {
			return &syntaxError{errDataType, "MSH", 18, "the message is not in its character set"}
		}
		m.body, m.chars, m.wide = text, cs, true
	}
	start, d, err := readDelimiters(m.body)
	if err != nil {
		return err
	}
	m.delims = d
	if err := m.index(start); err != nil {
		return err
	}
	if !m.wide {
		m.chars = charsetNamed(m.Segment(0).Field(18).Repetition(1).raw)
	}
	return nil
}

// Body returns the bytes that the message's views point into: those that
// Parse got, or their UTF-8 form for UTF-16, GB 18030 and Big5.
func (m *Message) Body() []byte { return m.body }

// Len returns the number of segments.
func (m *Message) Len() int { return len(m.segs) }

// Segment returns the i-th segment, from 0 to Len()-1.
func (m *Message) Segment(i int) Segment { return Segment{m, m.segs[i]} }

// Find returns the first segment of this name; ok is false if there is none.
func (m *Message) Find(name string) (s Segment, ok bool) {
	for i := range m.segs {
		if s := m.Segment(i); string(s.nameBytes()) == name {
			return s, true
		}
	}
	return Segment{}, false
}

// readDelimiters checks the header (MSH, FHS or BHS) and returns where it
// begins and the delimiters that it declares.
func readDelimiters(b []byte) (start int, d delimiters, err error) {
	start = skipLeading(b)
	b = b[start:]
	if len(b) < 3 || !isHeader(b[:3]) {
		return 0, d, &syntaxError{errSequence, "MSH", 0, "the message does not begin with MSH"}
	}
	name := headerName(b[0])
	if len(b) < 5 || !isDelimiter(b[3]) {
		return 0, d, &syntaxError{errRequired, name, 1, "no field separator"}
	}
	d.field = b[3]
	enc := b[4:min(len(b), 4+8)]
	if i := bytes.IndexByte(enc, d.field); i >= 0 {
		enc = enc[:i]
	} else if i := bytes.IndexAny(enc, "\r\n"); i >= 0 {
		enc = enc[:i]
	}
	if len(enc) == 0 || len(enc) > 5 {
		return 0, d, &syntaxError{errDataType, name, 2, "not 1 to 5 encoding characters"}
	}
	for i, c := range enc {
		if !isDelimiter(c) || c == d.field || bytes.IndexByte(enc[:i], c) >= 0 {
			return 0, d, &syntaxError{errDataType, name, 2, "an encoding character is a letter, a digit or used twice"}
		}
	}
	for i, p := range [...]*byte{&d.component, &d.repetition, &d.escape, &d.subComponent, &d.truncation} {
		if i < len(enc) {
			*p = enc[i]
		}
	}
	return start, d, nil
}

// skipLeading returns the length of what senders put before MSH: a UTF-8 byte
// order mark, white space and control characters.
func skipLeading(b []byte) int {
	i := 0
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		i = 3
	}
	for i < len(b) && i < maxLeadingJunk && b[i] <= ' ' {
		i++
	}
	return i
}

func isHeader(name []byte) bool {
	return string(name) == "MSH" || string(name) == "FHS" || string(name) == "BHS"
}

// headerName returns the name of a header segment without allocating.
func headerName(first byte) string {
	switch first {
	case 'F':
		return "FHS"
	case 'B':
		return "BHS"
	}
	return "MSH"
}

func isDelimiter(c byte) bool {
	return c > ' ' && c < 0x7f && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z')
}

// isSegmentStart says whether a line is a segment: a name of three letters or
// digits and the field separator or the line's end.
func isSegmentStart(b []byte, field byte) bool {
	if len(b) < 3 || b[0] < 'A' || b[0] > 'Z' || !isNameByte(b[1]) || !isNameByte(b[2]) {
		return false
	}
	return len(b) == 3 || b[3] == field || b[3] == '\r' || b[3] == '\n'
}

func isNameByte(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' }

// index finds segments and fields in one pass over the bytes.
func (m *Message) index(start int) error {
	b, sep := m.body, m.delims.field
	end := len(b) // without what follows the last segment: terminators, a stray FS or SUB
	for end > start && b[end-1] < ' ' && b[end-1] != '\t' {
		end--
	}
	b = b[:end]
	var stop [256]bool
	stop[sep], stop['\r'], stop['\n'] = true, true, true
	if m.segs == nil {
		m.segs = make([]segment, 0, 8+len(b)/128)
		m.fields = make([]uint32, 0, 32+len(b)/5)
	}
	s := segment{start: uint32(start)}
	for i := start; i < len(b); i++ {
		c := b[i]
		if !stop[c] {
			continue
		}
		if c == sep {
			m.fields = append(m.fields, uint32(i+1))
			continue
		}
		next := i + 1
		for next < len(b) && (b[next] == '\r' || b[next] == '\n') {
			next++
		}
		if isSegmentStart(b[next:], sep) {
			if err := m.close(&s, i, next); err != nil {
				return err
			}
		}
		i = next - 1
	}
	return m.close(&s, len(b), 0)
}

// close ends the segment s at end and begins the next one at next.
func (m *Message) close(s *segment, end, next int) error {
	s.end, s.n = uint32(end), uint32(len(m.fields))-s.first
	if s.n > maxFieldsPerSeg {
		return &syntaxError{errDataType, string(m.body[s.start : s.start+3]), 0, "over " + strconv.Itoa(maxFieldsPerSeg) + " fields in one segment"}
	}
	if len(m.segs) == maxSegments {
		return &syntaxError{errSequence, "MSH", 0, "over " + strconv.Itoa(maxSegments) + " segments in one message"}
	}
	m.segs = append(m.segs, *s)
	*s = segment{start: uint32(next), first: uint32(len(m.fields))}
	return nil
}

// A Segment is a view of one segment. The zero Segment is one that is not
// there: it has no name and no fields.
type Segment struct {
	m *Message
	s segment
}

func (s Segment) nameBytes() []byte {
	if s.m == nil {
		return nil
	}
	return s.m.body[s.s.start : s.s.start+3]
}

// Name returns "PID".
func (s Segment) Name() string { return string(s.nameBytes()) }

// isHeader: in MSH, FHS and BHS the first separator is itself field 1.
func (s Segment) isHeader() bool { return isHeader(s.nameBytes()) }

// Len returns the number of the last field that is there, empty or not.
func (s Segment) Len() int {
	if s.isHeader() {
		return int(s.s.n) + 1
	}
	return int(s.s.n)
}

// Field returns field n, counted from 1 as the standard does: PID-3 is field
// 3, and MSH-1 is the separator itself. A field that is not there is empty.
func (s Segment) Field(n int) Value {
	if n < 1 || n > s.Len() {
		return Value{}
	}
	literal := false
	if s.isHeader() {
		if n == 1 {
			return Value{raw: s.m.body[s.s.start+3 : s.s.start+4], literal: true}
		}
		literal = n == 2
		n--
	}
	i := s.s.first + uint32(n) - 1
	end := s.s.end
	if uint32(n) < s.s.n {
		end = s.m.fields[i+1] - 1
	}
	return Value{raw: s.m.body[s.m.fields[i]:end:end], m: s.m, literal: literal}
}

// A Value is a view of a field, a repetition, a component or a sub-component.
// The zero Value is one that is not there.
type Value struct {
	raw     []byte
	m       *Message
	literal bool // MSH-1 and MSH-2: delimiters are their content
}

// Raw returns the bytes as they were received.
func (v Value) Raw() []byte { return v.raw }

// IsNull reports whether the value is "", which deletes what the receiver has
// (HL7 2.5.1 section 2.5.3).
func (v Value) IsNull() bool { return string(v.raw) == `""` }

// Text returns the value with escapes resolved, in UTF-8.
func (v Value) Text() string {
	if v.m == nil || v.literal {
		return string(v.raw)
	}
	return v.m.text(v.raw)
}

// Repetition returns the n-th repetition of a field, from 1.
func (v Value) Repetition(n int) Value {
	return v.part(n, func(d delimiters) byte { return d.repetition })
}

// Component returns the n-th component of a field or repetition, from 1.
func (v Value) Component(n int) Value {
	return v.part(n, func(d delimiters) byte { return d.component })
}

// SubComponent returns the n-th sub-component of a component, from 1.
func (v Value) SubComponent(n int) Value {
	return v.part(n, func(d delimiters) byte { return d.subComponent })
}

func (v Value) part(n int, sep func(delimiters) byte) Value {
	if v.literal || v.m == nil {
		if n != 1 {
			return Value{}
		}
		return v
	}
	v.raw = nth(v.raw, sep(v.m.delims), n)
	return v
}

// nth returns the n-th part, from 1, of b split at sep, or nil.
func nth(b []byte, sep byte, n int) []byte {
	for ; n >= 1; n-- {
		i := -1
		if sep != 0 {
			i = bytes.IndexByte(b, sep)
		}
		switch {
		case n == 1 && i >= 0:
			return b[:i:i]
		case n == 1:
			return b
		case i < 0:
			return nil
		}
		b = b[i+1:]
	}
	return nil
}

// minorVersion returns 5 for "2.5.1" and 0 for what is not a version 2.
func minorVersion(v string) int {
	v, ok := strings.CutPrefix(v, "2.")
	if !ok {
		return 0
	}
	if i := strings.IndexByte(v, '.'); i >= 0 {
		v = v[:i]
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0
	}
	return n
}
