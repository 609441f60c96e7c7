package hl7

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Encode writes a message: its segments in the order of the document, or, where
// they were not decoded (Pos is zero), in that of the tree; one that stands in
// several groups once. MSH-1 and MSH-2 are the standard's delimiters. The
// text is in the character set that MSH-18 names: a character that it does not
// have is an error.
//
// What Encode wrote decodes to the same tree: of decoded composites also the
// separators that nothing follows stay, so that none becomes a leaf.
func (d dialect) Encode(msg *tree.Message) ([]byte, error) {
	if msg.Format != formatName {
		return nil, fmt.Errorf("encode hl7v2: the message is %s", msg.Format)
	}
	segments, err := segmentsOf(msg.Root)
	if err != nil {
		return nil, fmt.Errorf("encode hl7v2: %w", err)
	}
	if len(segments) == 0 || segments[0].Name != "MSH" {
		return nil, fmt.Errorf("encode hl7v2: the message does not begin with MSH")
	}
	w := writer{d: defaultDelimiters}
	if n := segments[0].First("18"); n != nil {
		name := []byte(firstLeaf(n).Text)
		w.chars = charsetNamed(name)
		if w.whole, _ = multiByte(name); string(name) == "UNICODE UTF-16" {
			w.whole = charset{utf16LE.enc, bomLE}
		}
	}
	for _, s := range segments {
		if err := w.segment(s); err != nil {
			return nil, fmt.Errorf("encode hl7v2: %w", err)
		}
	}
	if w.whole.enc != nil {
		out, err := w.whole.encodeAll(w.out)
		if err != nil {
			return nil, fmt.Errorf("encode hl7v2: the message has characters that its character set (MSH-18) does not have")
		}
		return out, nil
	}
	return w.out, nil
}

func firstLeaf(n *tree.Node) *tree.Node {
	for len(n.Kids) > 0 {
		n = n.Kids[0]
	}
	return n
}

// segmentsOf collects the segments of all groups.
func segmentsOf(root *tree.Node) ([]*tree.Node, error) {
	var out []*tree.Node
	seen := make(map[*tree.Node]bool)
	decoded := true
	var collect func(n *tree.Node, depth int) error
	collect = func(n *tree.Node, depth int) error {
		if depth > maxGroups {
			return fmt.Errorf("groups stand over %d deep in each other", maxGroups)
		}
		for _, k := range n.Kids {
			switch {
			case seen[k]:
			case len(k.Name) == 3 && isSegmentStart([]byte(k.Name), 0) && (len(k.Kids) == 0 || isNumber(k.Kids[0].Name)):
				seen[k] = true
				out = append(out, k)
				decoded = decoded && k.Pos.Line > 0
			case len(k.Kids) == 0 || isNumber(k.Kids[0].Name):
				return fmt.Errorf("%s is neither a segment nor a group", k.Name)
			default:
				seen[k] = true
				if err := collect(k, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	err := collect(root, 0)
	if decoded {
		slices.SortStableFunc(out, func(a, b *tree.Node) int { return cmp.Compare(a.Pos.Line, b.Pos.Line) })
	}
	return out, err
}

// maxGroups is deeper than any structure of the standard.
const maxGroups = 32

func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// A writer writes segments.
type writer struct {
	d     delimiters
	chars charset // of values
	whole charset // of the message, where bytes of its characters may be delimiters
	out   []byte
}

// segment writes one segment; its kids are fields in order, and repetitions
// follow each other.
func (w *writer) segment(s *tree.Node) error {
	w.out = append(w.out, s.Name...)
	last, header := 0, isHeader([]byte(s.Name))
	if header { // MSH-1 is the separator that follows the name
		w.out = append(append(w.out, w.d.field), w.d.encoding()...)
		last = 2
	}
	for _, f := range s.Kids {
		n, err := strconv.Atoi(f.Name)
		if err != nil || n < 1 || n > maxFieldsPerSeg || n < last && !(header && n == 1) {
			return fmt.Errorf("%s has %q where field %d or a later one stands", s.Name, f.Name, max(last, 1))
		}
		switch {
		case header && n <= 2:
			continue
		case n == last:
			w.out = append(w.out, w.d.repetition)
		default:
			for ; last < n; last++ {
				w.out = append(w.out, w.d.field)
			}
		}
		if err := w.value(f, w.d.component); err != nil {
			return fmt.Errorf("%s-%d%w", s.Name, n, err)
		}
	}
	w.out = append(w.out, '\r')
	return nil
}

// value writes a repetition (sep is the component separator), a component (the
// sub-component separator) or a sub-component (0). Its error begins where
// the place's name goes on.
func (w *writer) value(n *tree.Node, sep byte) error {
	if len(n.Kids) == 0 {
		return w.leaf(n)
	}
	if sep == 0 {
		return fmt.Errorf(" has parts inside a sub-component")
	}
	inner := w.d.subComponent
	if sep == inner {
		inner = 0
	}
	last, whole := 1, true
	for i, k := range n.Kids {
		at, err := strconv.Atoi(k.Name)
		if err != nil || at < last || at > maxFieldsPerSeg || i > 0 && at == last {
			return fmt.Errorf(" has %q where part %d or a later one stands", k.Name, last)
		}
		for ; last < at; last++ {
			w.out = append(w.out, sep)
			whole = false
		}
		if err := w.value(k, inner); err != nil {
			return fmt.Errorf(".%d%w", at, err)
		}
		whole = whole && len(k.Kids) == 0
	}
	if whole && n.Pos.Line > 0 {
		w.out = append(w.out, sep)
	}
	return nil
}

func (w *writer) leaf(n *tree.Node) error {
	switch n.State {
	case tree.Absent:
		return nil
	case tree.Null:
		w.out = append(w.out, `""`...)
		return nil
	}
	text := n.Text
	switch {
	case text == "":
		w.out = append(w.out, `\H\\N\`...) // nothing, highlighted: an empty field would be absent
		return nil
	case text == `""`:
		w.hex('"')
		w.out = append(w.out, '"')
		return nil
	}
	if w.chars.enc != nil && !isASCII([]byte(text)) {
		b, err := w.chars.encodeAll([]byte(text))
		if err != nil {
			return fmt.Errorf(" has characters that the character set of MSH-18 does not have")
		}
		text = string(b)
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\n':
			w.out = append(w.out, `\.br\`...)
		case c < ' ' && c != '\t' || c == 0x7f:
			w.hex(c)
		default:
			w.out = appendEscaped(w.out, w.d, text[i:i+1])
		}
	}
	return nil
}

// hex writes a character as the bytes that it has in the message's character set.
func (w *writer) hex(c byte) {
	w.out = fmt.Appendf(w.out, `\X%02X`, c)
	if w.whole.bom != nil { // UTF-16
		w.out = append(w.out, "00"...)
	}
	w.out = append(w.out, '\\')
}
