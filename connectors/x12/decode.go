package x12

import (
	"bytes"
	"encoding/base64"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/vagus-health/vagus/internal/tree"
)

// maxNodes bounds the tree of one message; a node costs about 100 bytes.
const maxNodes = 1_000_000

// Decode reads one message: a part that Split returned, or an interchange that
// holds one transaction set. Of segments, whose types have their names, it
// decodes the elements that are selected; the segments themselves and their
// loops are all there. The counts and control numbers of the trailers are the
// receiver's business, not the mapping's, and not compared.
func (d *dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	s, err := newScanner(body)
	if err != nil {
		return nil, decodeError(err)
	}
	b := &builder{only: only, left: maxNodes, dictionary: dictionaries[release5010]()}
	if utf8.Valid(body) {
		b.text = string(body)
	}
	root := b.node("", tree.Pos{Line: 1})
	m := &tree.Message{Format: formatName, Root: root}
	for {
		seg, ok, err := s.next()
		if err != nil {
			return nil, decodeError(err)
		}
		if !ok {
			break
		}
		if err := d.read(b, m, &seg); err != nil {
			return nil, decodeError(err)
		}
		if b.left < 0 {
			return nil, decodeError(seg.errorf(0, 0, "over %d elements in one message", maxNodes))
		}
	}
	switch {
	case m.Type == "":
		return nil, decodeError(&syntaxError{offset: len(body), what: "there is no transaction set"})
	case b.placer != nil && !b.ended:
		return nil, decodeError(&syntaxError{offset: len(body), what: "the transaction set has no SE"})
	}
	return m, nil
}

// read adds one segment to the message.
func (d *dialect) read(b *builder, m *tree.Message, seg *segment) error {
	envelope := seg.id == "ISA" || seg.id == "GS" || seg.id == "TA1"
	switch {
	case b.placer != nil && !b.ended && (envelope || seg.id == "ST" || seg.id == "GE" || seg.id == "IEA"):
		return seg.errorf(0, 0, "the transaction set before this has no SE")
	case seg.id == "GE" || seg.id == "IEA":
		return nil
	case m.Type != "" && (b.placer == nil || b.ended):
		return seg.errorf(0, 0, "there is more than one transaction set: they are to be split")
	case envelope:
		if seg.id == "TA1" {
			m.Type = acknowledgment.set
		}
		if n := b.segment(seg); m.Root.First(seg.id) == nil {
			m.Root.Kids = append(m.Root.Kids, n)
		} else {
			return seg.errorf(0, 0, "there is more than one transaction set: they are to be split")
		}
		if seg.id == "GS" {
			b.convention = string(seg.element(8))
		}
		return nil
	case seg.id == "ST":
		m.Type = b.string(seg.element(1))
		g, known := d.guideOf(m.Type, string(seg.element(3)), b.convention)
		if !known {
			return seg.errorf(3, 0, "ST-03 or GS-08 names an implementation guide that is not known")
		}
		if g == nil {
			g = newGuide("", m.Type, "", &loop{})
		} else {
			b.dictionary = dictionaries[g.release]()
		}
		m.Root.Kids = append(m.Root.Kids, b.segment(seg))
		b.placer = newPlacer(b, g, m.Root)
		return nil
	case b.placer == nil:
		return seg.errorf(0, 0, "the segment stands outside of a transaction set")
	case seg.id == "SE":
		b.ended = true
		m.Root.Kids = append(m.Root.Kids, b.segment(seg))
		return nil
	}
	return b.placer.place(seg, b.segment(seg))
}

func decodeError(err error) error { return &wrapped{err} }

// wrapped says which format it was; the cause says where.
type wrapped struct{ err error }

func (w *wrapped) Error() string { return "decode x12: " + w.err.Error() }
func (w *wrapped) Unwrap() error { return w.err }

// A builder makes the nodes of one message.
type builder struct {
	only       tree.Selection
	dictionary *dictionary
	text       string // the body, where it is UTF-8, to cut leaves from
	slab       []tree.Node
	kids       []*tree.Node // slab of the slices of kids
	stack      []*tree.Node // kids of the composite in hand
	left       int          // nodes that may still be made
	placer     *placer      // from ST on
	convention string       // GS-08
	ended      bool         // SE was read
}

func (b *builder) node(name string, at tree.Pos) *tree.Node {
	b.left--
	if len(b.slab) == cap(b.slab) {
		b.slab = make([]tree.Node, 0, min(max(2*cap(b.slab), 64), 1024))
	}
	b.slab = append(b.slab, tree.Node{Name: name, State: tree.Value, Pos: at})
	return &b.slab[len(b.slab)-1]
}

// take moves the kids above mark from the stack into a slice of their own.
func (b *builder) take(mark int) []*tree.Node {
	n := len(b.stack) - mark
	if n == 0 {
		return nil
	}
	if cap(b.kids)-len(b.kids) < n {
		b.kids = make([]*tree.Node, 0, max(min(2*cap(b.kids), 2048), n, 64))
	}
	at := len(b.kids)
	b.kids = append(b.kids, b.stack[mark:]...)
	b.stack = b.stack[:mark]
	return b.kids[at : at+n : at+n]
}

// segment makes a segment's node with the elements that are selected.
func (b *builder) segment(s *segment) *tree.Node {
	n := b.node(s.id, tree.Pos{Line: s.number, Offset: s.start})
	def := b.dictionary.segments[s.id]
	only := b.only[s.id]
	mark := len(b.stack)
	at := len(s.id) + 1
	for i := 1; at <= len(s.raw) && b.left > 0; i++ {
		end := len(s.raw)
		if s.binary == 0 || at < s.binary {
			if k := bytes.IndexByte(s.raw[at:], s.d.element); k >= 0 {
				end = at + k
			}
		}
		name := elementName(i)
		// The first one always: a segment that has elements must not look like one without.
		if at < end && (b.only == nil || only[name] || len(b.stack) == mark) {
			var e *elementDef
			if def != nil && i <= len(def.elements) {
				e = &def.elements[i-1]
			}
			b.repetitions(s, name, e, at, end)
		}
		at = end + 1
	}
	n.Kids = b.take(mark)
	return n
}

// repetitions pushes a node for each repetition that is not empty.
func (b *builder) repetitions(s *segment, name string, e *elementDef, from, to int) {
	if s.binary > 0 && from == s.binary {
		n := b.node(name, tree.Pos{Line: s.number, Offset: s.start + from})
		n.Text = base64.StdEncoding.EncodeToString(s.raw[from:to])
		b.stack = append(b.stack, n)
		return
	}
	for from <= to && b.left > 0 {
		end := to
		if s.d.repetition != 0 && (e == nil || e.repeats) {
			if i := bytes.IndexByte(s.raw[from:to], s.d.repetition); i >= 0 {
				end = from + i
			}
		}
		if n := b.value(s, name, e, from, end); n != nil {
			b.stack = append(b.stack, n)
		}
		from = end + 1
	}
}

// value makes the node of an element or of one repetition, nil if it is empty.
func (b *builder) value(s *segment, name string, e *elementDef, from, to int) *tree.Node {
	raw := bytes.TrimRight(s.raw[from:to], " ")
	if len(raw) == 0 {
		return nil
	}
	composite := e == nil || e.typ.Kind == tree.Composite
	if !composite || bytes.IndexByte(raw, s.d.component) < 0 {
		return b.leaf(s, name, from, raw)
	}
	n := b.node(name, tree.Pos{Line: s.number, Offset: s.start + from})
	mark := len(b.stack)
	for i, at := 1, from; at <= to && b.left > 0; i++ {
		end := to
		if k := bytes.IndexByte(s.raw[at:to], s.d.component); k >= 0 {
			end = at + k
		}
		if part := bytes.TrimRight(s.raw[at:end], " "); len(part) > 0 {
			b.stack = append(b.stack, b.leaf(s, componentName(i), at, part))
		}
		at = end + 1
	}
	if n.Kids = b.take(mark); n.Kids == nil { // separators and nothing else
		return nil
	}
	return n
}

func (b *builder) leaf(s *segment, name string, at int, raw []byte) *tree.Node {
	n := b.node(name, tree.Pos{Line: s.number, Offset: s.start + at})
	if b.text != "" {
		n.Text = b.text[n.Pos.Offset : n.Pos.Offset+len(raw)]
	} else {
		n.Text = b.string(raw)
	}
	return n
}

// string returns bytes as UTF-8. X12 knows no other character sets than the
// partners agree on: what is not UTF-8 is ISO 8859-1.
func (b *builder) string(raw []byte) string {
	if utf8.Valid(raw) {
		return string(raw)
	}
	out, err := charmap.ISO8859_1.NewDecoder().Bytes(raw)
	if err != nil { // every byte has a meaning there
		return strings.ToValidUTF8(string(raw), "\ufffd")
	}
	return string(out)
}
