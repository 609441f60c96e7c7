package ldap

import (
	"bytes"
	"encoding/base64"
	encoding "encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

// ldif reads one content record of RFC 2849: dn: and attributes. A change
// record, a value that stands at a URL and an attribute of which the server
// sent only a part are errors.
func (d *dialect) ldif(body []byte, only tree.Selection) (*tree.Node, error) {
	if len(body) > maxEntryBytes {
		return nil, fmt.Errorf("a record of %d bytes; at most %d are taken", len(body), maxEntryBytes)
	}
	root := &tree.Node{State: tree.Value, Pos: tree.Pos{Line: 1}}
	r := &ldifReader{body: body, i: len(body) - len(bytes.TrimPrefix(body, []byte(byteOrderMark)))}
	r.next()
	if strings.EqualFold(r.name, "version") {
		r.any = false
		r.next()
	}
	n := 0
	for ; r.name != ""; n++ {
		switch {
		case n == 0 && !strings.EqualFold(r.name, "dn"):
			return nil, r.fail("an entry begins with dn: (ldapsearch -LLL leaves its own lines out)")
		case n > 0 && strings.EqualFold(r.name, "dn"):
			return nil, r.fail("another entry begins, and a message is one")
		case strings.EqualFold(r.name, "changetype"), strings.EqualFold(r.name, "control"):
			return nil, r.fail("a record of a change, not of an entry's content")
		case n >= maxValues:
			return nil, r.fail(fmt.Sprintf("over %d values", maxValues))
		}
		e, err := d.element(r.name)
		if err != nil {
			return nil, r.fail(err.Error())
		}
		if e != nil && (only == nil || only[d.root.Name][e.Name]) {
			text, err := r.value(known().syntaxes[strings.ToLower(baseName(e.Name))])
			if err != nil {
				return nil, r.fail(e.Name + ": " + err.Error())
			}
			if text != "" {
				root.Kids = append(root.Kids, &tree.Node{Name: e.Name, State: tree.Value, Text: text, Pos: r.pos})
			}
		}
		r.next()
	}
	if r.err != nil {
		return nil, r.fail(r.err.Error())
	}
	if n == 0 {
		return nil, errors.New("nothing is there, and an entry begins with its dn")
	}
	return root, nil
}

func baseName(name string) string {
	base, _, _ := strings.Cut(name, ";")
	return base
}

// element finds the element of an attribute description: of all of it, or of
// the attribute when its options do not make it another one (RFC 4512, section
// 2.5). nil is nobody's.
func (d *dialect) element(description string) (*tree.Element, error) {
	description = strings.ToLower(description)
	if e := d.byName[description]; e != nil {
		return e, nil
	}
	name, options, _ := strings.Cut(description, ";")
	e := d.byName[name]
	if e == nil {
		return nil, nil
	}
	for option := range strings.SplitSeq(options, ";") {
		part, isRange := strings.CutPrefix(option, "range=")
		switch {
		case isRange && part != "0-*":
			return nil, fmt.Errorf("%s has only a part of its values (an option range): read the others too", e.Name)
		case isRange, option == "", option == "binary":
		default: // a subtype, such as cn;lang-de: read where it is declared
			e = nil
		}
		if e == nil {
			return nil, nil
		}
	}
	return e, nil
}

// An ldifReader reads the lines of a record, unfolded and without comments.
type ldifReader struct {
	body []byte
	i    int
	line int // lines before i

	name string   // of the attribute at hand, "" at the end
	raw  []byte   // its value as written
	kind byte     // how it is written: ' ' as it is, ':' base64, '<' at a URL
	pos  tree.Pos // of the value
	any  bool     // the record has begun
	err  error
}

func (r *ldifReader) fail(what string) error {
	return fmt.Errorf("LDIF line %d: %s", r.pos.Line, what)
}

// next reads the next attribute; at the end of the record or a fault the name
// is "" or err is set.
func (r *ldifReader) next() {
	for {
		r.name, r.raw = "", nil
		line, start, at := r.unfolded()
		r.pos = tree.Pos{Line: at, Offset: start}
		switch {
		case line == nil:
			return
		case len(line) == 0 && !r.any, len(line) > 0 && line[0] == '#':
			continue
		case len(line) == 0: // the record's end: nothing may follow
			if rest := bytes.Trim(r.body[r.i:], "\r\n"); len(rest) > 0 && rest[0] != '#' {
				r.err = errors.New("another record begins, and a message is one")
			}
			return
		}
		colon := bytes.IndexByte(line, ':')
		if colon <= 0 {
			r.err = errors.New("an attribute, a colon and a value are expected")
			return
		}
		if at := bytes.IndexFunc(line[:colon], func(c rune) bool { return c <= ' ' || c >= 0x7f }); at >= 0 {
			r.err = errors.New("the name of an attribute is letters, digits, hyphens and options")
			return
		}
		r.any = true
		r.name, r.raw, r.kind = string(line[:colon]), line[colon+1:], ' '
		if len(r.raw) > 0 && (r.raw[0] == ':' || r.raw[0] == '<') {
			r.kind, r.raw = r.raw[0], r.raw[1:]
		}
		r.raw = bytes.TrimLeft(r.raw, " ")
		r.pos.Offset += len(line) - len(r.raw)
		return
	}
}

// unfolded returns the next line with those that continue it, nil at the end,
// and where it begins.
func (r *ldifReader) unfolded() (line []byte, start, number int) {
	if r.i >= len(r.body) {
		return nil, r.i, r.line
	}
	start = r.i
	line = r.physical()
	number = r.line
	for folded := false; r.i < len(r.body) && r.body[r.i] == ' '; folded = true {
		if !folded { // the lines of body stay as they are
			line = bytes.Clone(line)
		}
		line = append(line, r.physical()[1:]...)
	}
	return line, start, number
}

func (r *ldifReader) physical() []byte {
	rest := r.body[r.i:]
	end := bytes.IndexByte(rest, '\n')
	if end < 0 {
		r.i = len(r.body)
	} else {
		rest = rest[:end]
		r.i += end + 1
	}
	r.line++
	return bytes.TrimSuffix(rest, []byte("\r"))
}

// value returns the value at hand as text.
func (r *ldifReader) value(s syntax) (string, error) {
	if r.kind == '<' {
		return "", errors.New("the value stands at a URL, which is not followed")
	}
	if r.kind == ' ' {
		if !utf8.Valid(r.raw) {
			return "", errors.New("the value is not UTF-8: write it in base64")
		}
		return string(r.raw), nil
	}
	decoded := make([]byte, base64.StdEncoding.DecodedLen(len(r.raw)))
	n, err := base64.StdEncoding.Decode(decoded, bytes.TrimRight(r.raw, " "))
	if err != nil {
		return "", errors.New("the value is not base64")
	}
	return written(decoded[:n], s), nil
}

// written returns bytes as people write them, base64 where they do not.
func written(b []byte, s syntax) string {
	switch {
	case s == guid && len(b) == 16:
		le := encoding.LittleEndian
		return fmt.Sprintf("%08x-%04x-%04x-%x-%x", le.Uint32(b), le.Uint16(b[4:]), le.Uint16(b[6:]), b[8:10], b[10:])
	case s == sid && len(b) >= 8 && len(b) == 8+4*int(b[1]):
		out := fmt.Appendf(nil, "S-%d-%d", b[0], encoding.BigEndian.Uint64(append(make([]byte, 2, 8), b[2:8]...)))
		for rest := b[8:]; len(rest) > 0; rest = rest[4:] {
			out = fmt.Appendf(out, "-%d", encoding.LittleEndian.Uint32(rest))
		}
		return string(out)
	case s == plain && utf8.Valid(b):
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}

// splitLDIF returns the records of a file: what stands between blank lines, if
// it is more than comments and the version.
func splitLDIF(body []byte) [][]byte {
	var parts [][]byte
	start, content := 0, false
	end := func(at int) {
		if content {
			parts = append(parts, body[start:at:at])
		}
		content = false
	}
	for at := 0; at < len(body); {
		n := bytes.IndexByte(body[at:], '\n') + 1
		if n == 0 {
			n = len(body) - at
		}
		line := bytes.TrimRight(body[at:at+n], "\r\n")
		line = bytes.TrimPrefix(line, []byte(byteOrderMark))
		switch {
		case len(line) == 0:
			end(at)
			start = at + n
		case line[0] != '#' && line[0] != ' ' && !bytes.HasPrefix(bytes.ToLower(line[:min(len(line), 8)]), []byte("version:")):
			content = true
		}
		at += n
	}
	end(len(body))
	return parts
}
