package x12

import (
	"bytes"
	"fmt"
	"strconv"
)

// A tag is the identifier of a segment as a number, to be compared without
// allocating: its letters in the three lowest bytes. 0 is no identifier.
type tag uint32

const (
	tagISA tag = 'I'<<16 | 'S'<<8 | 'A'
	tagIEA tag = 'I'<<16 | 'E'<<8 | 'A'
	tagTA1 tag = 'T'<<16 | 'A'<<8 | '1'
	tagTA3 tag = 'T'<<16 | 'A'<<8 | '3'
	tagISB tag = 'I'<<16 | 'S'<<8 | 'B'
	tagISE tag = 'I'<<16 | 'S'<<8 | 'E'
	tagBIN tag = 'B'<<16 | 'I'<<8 | 'N'
	tagBDS tag = 'B'<<16 | 'D'<<8 | 'S'
	tagCLM tag = 'C'<<16 | 'L'<<8 | 'M'
	tagGS  tag = 'G'<<8 | 'S'
	tagGE  tag = 'G'<<8 | 'E'
	tagST  tag = 'S'<<8 | 'T'
	tagSE  tag = 'S'<<8 | 'E'
	tagHL  tag = 'H'<<8 | 'L'
)

// A piece is where a segment stands in the body.
type piece struct {
	tag    tag // 0: what it begins with is no identifier
	start  int
	end    int // without its terminator
	next   int // after it
	number int
	binary int       // offset from start of the data of BIN and BDS, 0 elsewhere
	fault  *cutFault // nil is none
}

// A cutFault is what keeps a piece from being a segment.
type cutFault struct {
	element, offset int
	what            string
}

var (
	faultIdentifier = &cutFault{what: "a segment begins with an identifier of two or three letters and digits"}
	faultSeparator  = &cutFault{offset: 2, what: "the identifier is not followed by the element separator of this interchange"}
	faultUnended    = &cutFault{what: "the segment is not terminated"}
)

// cut returns the next piece of the interchange in hand, whatever it is; ok is
// false at the end, and before an ISA, whose delimiters hold from there on:
// see begins. It allocates only for binary data at fault.
func (s *scanner) cut() (p piece, ok bool) {
	body, first := s.body, s.d.terminator[0]
	at := s.at
	for at < len(body) {
		if c := body[at]; c == first && bytes.HasPrefix(body[at:], s.d.terminator) {
			at += len(s.d.terminator) // nothing between two terminators
		} else if c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == 0x1a {
			at++
		} else {
			break
		}
	}
	s.at = at
	if at == len(body) || s.begins() {
		return piece{}, false
	}
	s.number++
	p = piece{start: at, number: s.number}
	n := 0
	for ; n < 4 && at+n < len(body); n++ {
		c := body[at+n]
		if c < '0' || c > 'Z' || c > '9' && c < 'A' {
			break
		}
		p.tag = p.tag<<8 | tag(c)
	}
	switch {
	case n < 2 || n > 3 || body[at] < 'A':
		p.tag, p.fault = 0, faultIdentifier
	case p.tag == tagBIN || p.tag == tagBDS:
		if p.fault = s.binary(&p); p.fault == nil {
			s.at = p.next
			return p, true
		}
	}
	rest := body[at:]
	i := bytes.IndexByte(rest, first)
	if len(s.d.terminator) > 1 {
		i = bytes.Index(rest, s.d.terminator)
	}
	if i >= 0 {
		p.end, p.next = at+i, at+i+len(s.d.terminator)
	} else {
		p.end, p.next = at+len(bytes.TrimRight(rest, "\r\n")), len(body)
		if !endsMessage(p.tag) && p.fault == nil { // what came last may have lost its terminator, the line end of an editor
			p.fault = faultUnended
		}
	}
	if p.tag != 0 && at+n < p.end && body[at+n] != s.d.element {
		p.fault = faultSeparator
	}
	s.at = p.next
	return p, true
}

// pass goes over the segments of a transaction set, up to one that may be of
// the envelope or holds binary data, and returns how many they were. It only looks for
// terminators: whether they are segments is the checker's business.
func (s *scanner) pass() (n int) {
	if len(s.d.terminator) > 1 {
		return 0
	}
	body, at, end := s.body, s.at, s.d.terminator[0]
	for at < len(body)-3 {
		switch body[at] {
		case '\n', '\r', ' ', '\t', 0x1a, end:
			at++
			continue
		case 'S': // ST, SE
			if body[at+2] == s.d.element || body[at+2] == end {
				s.at = at
				return n
			}
		case 'G', 'I', 'B': // GS, GE, ISA, IEA, BIN, BDS
			s.at = at
			return n
		}
		i := bytes.IndexByte(body[at:], end)
		if i < 0 {
			s.at = at
			return n
		}
		at += i + 1
		n++
	}
	s.at = at
	return n
}

// begins says whether an ISA stands at hand.
func (s *scanner) begins() bool {
	rest := s.body[s.at:]
	return len(rest) > 3 && rest[0] == 'I' && rest[1] == 'S' && rest[2] == 'A' && isDelimiter(rest[3])
}

func endsMessage(t tag) bool { return t == tagSE || t == tagGE || t == tagIEA || t == tagTA1 }

// binary sets the bounds of BIN (length, data) or BDS (filter, length, data);
// delimiters inside the data mean nothing.
func (s *scanner) binary(p *piece) *cutFault {
	place := 1
	if p.tag == tagBDS {
		place = 2
	}
	rest := s.body[p.start:]
	head := rest[:min(len(rest), 64)]
	if i := bytes.Index(head, s.d.terminator); i >= 0 {
		head = head[:i]
	}
	at := 0
	var length []byte
	for n := range place + 1 {
		i := bytes.IndexByte(head[at:], s.d.element)
		if i < 0 {
			return &cutFault{n, at, "the segment has no length and data"}
		}
		length = head[at : at+i]
		at += i + 1
	}
	n, err := strconv.ParseUint(string(length), 10, 31)
	if err != nil {
		return &cutFault{place, at, "the length of the binary data is not a number"}
	}
	end := at + int(n)
	if end > len(rest) || !bytes.HasPrefix(rest[end:], s.d.terminator) {
		return &cutFault{place, at, "the binary data does not end where its length says"}
	}
	p.end, p.next, p.binary = p.start+end, p.start+end+len(s.d.terminator), at
	return nil
}

// isa reads the ISA at hand, and sets the delimiters that it shows. Where they are at fault it returns
// what can be read of it all the same, with a syntaxError that has a code.
func (s *scanner) isa() (segment, error) {
	s.number++
	d, size, err := readDelimiters(s.body[s.at:])
	seg := segment{id: "ISA", raw: s.body[s.at : s.at+max(size-len(d.terminator), 0)], start: s.at, end: s.at + size, number: s.number, d: &d}
	if err != nil {
		se := err.(*syntaxError)
		se.segment, se.offset = s.number, se.offset+s.at
		return seg, se
	}
	s.d = d
	s.at = seg.end
	return seg, nil
}

// segment returns the segment that a piece is. Its identifier may be none.
func (s *scanner) segment(p *piece) segment {
	raw := s.body[p.start:p.end:p.end]
	n := 3
	if p.tag < 1<<16 {
		n = 2
	}
	id := ""
	if p.tag != 0 {
		id = segmentID(raw[:n])
	}
	return segment{id: id, raw: raw, start: p.start, end: p.next, number: p.number, binary: p.binary, d: &s.d}
}

// next returns the next segment; ok is false at the end. Every ISA sets the
// delimiters anew. What is no segment is an error.
func (s *scanner) next() (seg segment, ok bool, err error) {
	var p piece
	if s.d.terminator != nil {
		p, ok = s.cut()
	}
	if !ok && s.at == len(s.body) {
		return segment{}, false, nil
	}
	if s.number > maxSegments {
		return segment{}, false, &syntaxError{segment: s.number, offset: s.at, what: fmt.Sprintf("over %d segments at once", maxSegments)}
	}
	if !ok {
		seg, err = s.isa()
		return seg, err == nil, err
	}
	seg = s.segment(&p)
	if f := p.fault; f != nil {
		return segment{}, false, seg.errorf(f.element, f.offset, "%s", f.what)
	}
	if seg.binary == 0 && bytes.Count(seg.raw, []byte{s.d.element}) > maxElements {
		return segment{}, false, seg.errorf(0, 0, "over %d elements in one segment", maxElements)
	}
	return seg, true, nil
}
