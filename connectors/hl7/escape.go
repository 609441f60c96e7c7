package hl7

import (
	"bytes"
	"encoding/hex"
)

// text resolves the escapes of a value (HL7 2.5.1 section 2.7) and turns it
// into UTF-8.
//
//	\F\ \S\ \T\ \R\ \E\   the delimiters
//	\P\                   the truncation character (2.7), # if MSH-2 names none
//	\Xhh…\                bytes of the message's character set
//	\.br\                 a line feed
//	\H\ \N\               highlighting: nothing
//
// Every other sequence (\.sp2\, \C…\, \M…\, \Z…\, or a lone escape character)
// stays as it was sent.
func (m *Message) text(raw []byte) string {
	esc := m.delims.escape
	if esc == 0 || bytes.IndexByte(raw, esc) < 0 {
		return m.utf8(raw)
	}
	out := make([]byte, 0, len(raw))
	for {
		i := bytes.IndexByte(raw, esc)
		if i < 0 {
			out = append(out, raw...)
			break
		}
		out = append(out, raw[:i]...)
		raw = raw[i:]
		j := bytes.IndexByte(raw[1:], esc)
		if j < 0 {
			out = append(out, raw...)
			break
		}
		if piece, ok := m.sequence(raw[1 : 1+j]); ok {
			out = append(out, piece...)
			raw = raw[j+2:]
			continue
		}
		// Not a sequence: the next escape character may begin one.
		out = append(out, raw[:1+j]...)
		raw = raw[1+j:]
	}
	return m.utf8(out)
}

// sequence returns what stands for the escape sequence of this name.
func (m *Message) sequence(name []byte) (text []byte, ok bool) {
	if len(name) == 1 {
		var c byte
		switch name[0] {
		case 'F':
			c = m.delims.field
		case 'S':
			c = m.delims.component
		case 'T':
			c = orByte(m.delims.subComponent, '&')
		case 'R':
			c = orByte(m.delims.repetition, '~')
		case 'E':
			c = m.delims.escape
		case 'P':
			c = orByte(m.delims.truncation, '#')
		case 'H', 'N':
			return nil, true
		default:
			return nil, false
		}
		return []byte{c}, true
	}
	if string(name) == ".br" {
		return []byte{'\n'}, true
	}
	if len(name) >= 3 && len(name)%2 == 1 && name[0] == 'X' {
		b := make([]byte, len(name)/2)
		if _, err := hex.Decode(b, name[1:]); err != nil {
			return nil, false
		}
		if m.wide { // the rest is UTF-8 already
			if u, err := m.chars.decodeAll(b); err == nil {
				b = u
			}
		}
		return b, true
	}
	return nil, false
}

func orByte(c, def byte) byte {
	if c == 0 {
		return def
	}
	return c
}

// appendEscaped appends text with the message's delimiters and line ends
// escaped.
func appendEscaped(dst []byte, d delimiters, text string) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		var name byte
		switch {
		case c == '\r' || c == '\n':
			dst = append(dst, ' ')
			continue
		case c == d.field:
			name = 'F'
		case c == d.component:
			name = 'S'
		case c == d.subComponent:
			name = 'T'
		case c == d.repetition:
			name = 'R'
		case c == d.escape:
			name = 'E'
		case c == d.truncation:
			name = 'P'
		}
		switch {
		case name == 0 || c == 0:
			dst = append(dst, c)
		case d.escape == 0:
			dst = append(dst, ' ')
		default:
			dst = append(dst, d.escape, name, d.escape)
		}
	}
	return dst
}
