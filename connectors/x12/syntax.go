package x12

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Bounds of what is read.
const (
	maxInterchange = 64 << 20  // bytes handed over at once
	maxSegments    = 1_000_000 // of them
	maxElements    = 200       // of a segment; the longest of the standard have 40
	maxTerminator  = utf8.UTFMax
)

// A syntaxError says where an interchange goes wrong, and never with what.
type syntaxError struct {
	segment int    // from 1, in what was handed over; 0 is unknown
	id      string // of the segment, "" where it is none
	element int    // from 1; 0 is the segment as a whole
	offset  int    // bytes from the beginning
	what    string
	code    string // of TA105, where who sent the ISA at fault can still be read
}

func (e *syntaxError) Error() string {
	var b strings.Builder
	if e.segment > 0 {
		b.WriteString("segment " + strconv.Itoa(e.segment))
	}
	if e.id != "" {
		b.WriteString(" (" + e.id)
		if e.element > 0 {
			fmt.Fprintf(&b, "-%02d", e.element)
		}
		b.WriteByte(')')
	}
	if b.Len() > 0 {
		b.WriteString(" at ")
	}
	fmt.Fprintf(&b, "byte %d: %s", e.offset, e.what)
	return b.String()
}

// delimiters are what separates (X12.5 and X12.6 section 3.5): the sender's
// choice, which ISA shows by its form.
type delimiters struct {
	element    byte
	component  byte
	repetition byte   // ISA-11 from version 00402 on; 0: none
	terminator []byte // one character, one byte but for characters outside of ASCII
}

// readDelimiters reads them off an ISA at the beginning of body, and returns
// the number of bytes up to and with its terminator; so much of it as can be read with an error that has a code. Senders that do not pad
// ISA to its 106 bytes are understood.
func readDelimiters(body []byte) (d delimiters, size int, err error) {
	fail := func(element, offset int, what string) (delimiters, int, error) {
		return d, size, &syntaxError{segment: 1, id: "ISA", element: element, offset: offset, what: what}
	}
	if len(body) < 4 || string(body[:3]) != "ISA" {
		return delimiters{}, 0, &syntaxError{offset: 0, what: "an interchange begins with ISA"}
	}
	d.element = body[3]
	if !isDelimiter(d.element) {
		return fail(0, 3, "the character after ISA can not separate elements")
	}
	at := 3
	var version []byte
	var standard byte // ISA-11
	for n := 1; n <= 15; n++ {
		from := at + 1
		i := bytes.IndexByte(body[from:min(len(body), from+40)], d.element)
		if i < 0 {
			return fail(n, from, "ISA has 16 elements, of at most 15 characters each")
		}
		at = from + i
		switch n {
		case 11:
			if i == 1 {
				standard = body[from]
			}
		case 12:
			version = body[from:at]
		}
	}
	if len(body) < at+3 {
		return fail(16, at, "ISA ends before its terminator")
	}
	d.component = body[at+1]
	size = at + 2
	n := 1
	if body[size] >= utf8.RuneSelf {
		if r, width := utf8.DecodeRune(body[size:]); r != utf8.RuneError {
			n = width
		}
	}
	d.terminator = body[size : size+n : size+n]
	if string(version) >= "00402" && isDelimiter(standard) && standard != d.element && standard != d.component && standard != d.terminator[0] {
		d.repetition = standard
	}
	size += n
	switch {
	case !isDelimiter(d.component) || d.component == d.element:
		return d, size, &syntaxError{segment: 1, id: "ISA", element: 16, offset: at + 1, what: "the character can not separate components", code: "027"}
	case !isDelimiter(d.terminator[0]) || d.terminator[0] == d.element || d.terminator[0] == d.component:
		return d, size, &syntaxError{segment: 1, id: "ISA", offset: size - n, what: "the character after ISA-16 can not end segments", code: "004"}
	}
	return d, size, nil
}

// isDelimiter: letters, digits and the space are data.
func isDelimiter(c byte) bool {
	return c != ' ' && c != 0 && !(c >= '0' && c <= '9') && !(c >= 'A' && c <= 'Z') && !(c >= 'a' && c <= 'z')
}

// A scanner cuts an interchange, or several in a row, into segments without
// copying.
type scanner struct {
	body   []byte
	d      delimiters
	at     int
	number int // of the segment that next returned, from 1
}

// A segment is one segment of a scanner's body.
type segment struct {
	id     string // one of the dictionary's, or a copy
	raw    []byte // without its terminator
	start  int    // of raw
	end    int    // after the terminator
	number int
	binary int // offset in raw of the data of BIN and BDS, 0 elsewhere
	d      *delimiters
}

func (s *segment) errorf(element, offset int, format string, args ...any) error {
	return &syntaxError{segment: s.number, id: s.id, element: element, offset: s.start + offset, what: fmt.Sprintf(format, args...)}
}

// element returns element n from 1; nil when it is not there.
func (s *segment) element(n int) []byte {
	rest := s.raw
	for ; n > 0; n-- {
		i := bytes.IndexByte(rest, s.d.element)
		if i < 0 {
			return nil
		}
		rest = rest[i+1:]
	}
	if i := bytes.IndexByte(rest, s.d.element); i >= 0 {
		rest = rest[:i]
	}
	return bytes.TrimRight(rest, " ")
}

// qualifier returns element n, or its component when that is not 0.
func (s *segment) qualifier(n, component int) []byte {
	v := s.element(n)
	if component == 0 {
		return v
	}
	return nth(v, s.d.component, component)
}

// nth returns component n of an element.
func nth(v []byte, separator byte, n int) []byte {
	for ; n > 1; n-- {
		i := bytes.IndexByte(v, separator)
		if i < 0 {
			return nil
		}
		v = v[i+1:]
	}
	if i := bytes.IndexByte(v, separator); i >= 0 {
		v = v[:i]
	}
	return v
}

// newScanner checks the size and skips what editors put before ISA.
func newScanner(body []byte) (*scanner, error) {
	if len(body) > maxInterchange {
		return nil, &syntaxError{offset: maxInterchange, what: fmt.Sprintf("over %d bytes at once", maxInterchange)}
	}
	s := &scanner{body: body, at: len(body) - len(bytes.TrimPrefix(body, []byte("\ufeff")))}
	s.skip()
	if s.at == len(body) {
		return nil, &syntaxError{offset: s.at, what: "there is no interchange"}
	}
	return s, nil
}

// skip passes the line ends and blanks that may stand between segments.
func (s *scanner) skip() {
	for s.at < len(s.body) {
		switch s.body[s.at] {
		case '\r', '\n', ' ', '\t', 0x1a: // 0x1a: the end of a file, to DOS
			s.at++
		default:
			return
		}
	}
}
