package hl7

import (
	"bytes"
	"strings"
)

// An envelope is what the acknowledgement and the identity of a message need:
// its header's fields as received. Reading one allocates nothing, save for the
// character sets that are transcoded as a whole.
type envelope struct {
	header []byte // "MSH"; "FHS" or "BHS" for the beginning of a batch
	delims delimiters
	fields [19][]byte // fields[10] is MSH-10; 1 to 18
	chars  charset
	wide   bool // fields are UTF-8, and the answer must be encoded in chars
}

// readEnvelope reads the header segment that body begins with.
func readEnvelope(body []byte) (envelope, error) {
	var e envelope
	if cs, ok := wideCharset(body); ok {
		e.chars, e.wide = cs, true
		text, err := cs.decodeAll(body[:min(len(body), 4096)])
		if err != nil {
			return e, &syntaxError{errDataType, "MSH", 18, "the message is not in its character set"}
		}
		body = text
	}
	start, d, err := readDelimiters(body)
	if err != nil {
		return e, err
	}
	e.delims = d
	line := firstLine(body[start:])
	e.header, e.fields[1] = line[:3], line[3:4]
	rest := line[4:]
	for n := 2; n < len(e.fields); n++ {
		i := bytes.IndexByte(rest, d.field)
		if i < 0 {
			e.fields[n] = rest
			break
		}
		e.fields[n] = rest[:i:i]
		rest = rest[i+1:]
	}
	return e, nil
}

// firstLine returns the header: it ends with CR or LF, and is cut off where no
// real header goes on.
func firstLine(b []byte) []byte {
	b = b[:min(len(b), 16<<10)]
	if i := bytes.IndexByte(b, '\r'); i >= 0 {
		b = b[:i]
	}
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		b = b[:i]
	}
	return b
}

// check says what a message needs to be taken at all: a type and a control id.
func (e *envelope) check() *syntaxError {
	switch {
	case string(e.header) != "MSH":
		return &syntaxError{errSequence, "MSH", 0, "the message does not begin with MSH"}
	case len(e.controlID()) == 0:
		return &syntaxError{errRequired, "MSH", 10, "no message control id"}
	case len(e.controlID()) > maxControlID:
		return &syntaxError{errDataType, "MSH", 10, "the message control id is too long"}
	case e.kind() == "":
		return &syntaxError{errRequired, "MSH", 9, "no message type"}
	}
	return nil
}

func (e *envelope) controlID() []byte { return bytes.TrimSpace(e.fields[10]) }

// component returns component n of field f.
func (e *envelope) component(f, n int) []byte {
	return nth(nth(e.fields[f], e.delims.repetition, 1), e.delims.component, n)
}

// kind returns "ADT^A08", or "" if MSH-9 is no message type: whatever else
// stands there must not reach a log or a label.
func (e *envelope) kind() string {
	code, event := e.component(9, 1), e.component(9, 2)
	if len(code) == 0 || !isToken(code) || !isToken(event) {
		return ""
	}
	if len(event) == 0 {
		return string(code)
	}
	return string(code) + "^" + string(event)
}

func isToken(b []byte) bool {
	for _, c := range b {
		if !isNameByte(c) && c != '_' && (c < 'a' || c > 'z') {
			return false
		}
	}
	return len(b) <= 8
}

// senderID returns MSH-10 as UTF-8 text, escapes left alone.
func (e *envelope) senderID() string {
	m := Message{delims: e.delims, chars: e.chars, wide: e.wide}
	if !e.wide {
		m.chars = charsetNamed(nth(e.fields[18], e.delims.repetition, 1))
	}
	return m.utf8(e.controlID())
}

// version returns MSH-12.1.
func (e *envelope) version() string {
	return strings.TrimSpace(string(e.component(12, 1)))
}
