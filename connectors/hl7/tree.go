package hl7

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "hl7v2"

// maxNodes bounds the tree of one message; a node costs about 100 bytes.
const maxNodes = 1_000_000

var (
	_ tree.Format  = Format{}
	_ tree.Encoder = dialect{}
)

// A Format is HL7 v2 for mappings. Safe for concurrent use.
//
// A message's tree: the root's kids are segments ("PID") and groups ("ORDER";
// structure.go says which), a segment's kids are fields ("5"; repetitions are
// siblings), then components and sub-components, by number. Empty elements
// have no node, and trailing blanks say nothing (2.5.1 section 2.A.75); ""
// gives a node that is Null. A field, repetition or component
// that has no separator inside is a leaf itself: PID-8 is the leaf, not
// PID-8.1. One that has separators is never a leaf, so its value is its first
// leaf, going down: PID-5 of "O'Hara&van^Siobhan" has the kids 1 (with kids 1
// and 2) and 2. Segments that the dictionary does not know, Z segments above
// all, decode like the others, and so do fields and components that the
// declared version does not have. Pos is the segment's number and the byte
// offset in the bytes received (in their UTF-8 form for UTF-16, GB 18030 and
// Big5).
type Format struct{}

// NewFormat returns the format; Format{} is the same.
func NewFormat() Format { return Format{} }

// Name returns "hl7v2".
func (Format) Name() string { return formatName }

// A dialect is the format in one version, with declared segments.
type dialect struct {
	*dictionary
	roots *schemas
	named string // the version that was declared
}

// Remark says that another version stands in for the declared one.
func (d dialect) Remark() string {
	if as := nearest[d.named]; as != "" {
		return fmt.Sprintf("HL7 %s is read as %s: what only %s has is not known here", d.named, as, d.named)
	}
	return ""
}

// Dialect returns the format in one version, whose data types are those that
// declared segments may have. Of a Declaration it takes the version and the
// segments.
func (Format) Dialect(decl tree.Declaration) (tree.Dialect, error) {
	d, err := dictionaryOf(decl.Version)
	if err != nil {
		return nil, err
	}
	if len(decl.Columns) > 0 || decl.Delimiter != "" {
		return nil, errors.New("hl7v2 has neither columns nor a delimiter to declare: Z segments are declared as segments")
	}
	if len(decl.Segments) == 0 {
		return dialect{d, d.schemas, decl.Version}, nil
	}
	own := &schemas{dictionary: d}
	if own.declared, err = d.declare(decl.Segments); err != nil {
		return nil, err
	}
	return dialect{d, own, decl.Version}, nil
}

// Schema returns the root type for messages of a structure: each segment once
// wherever in the message it stood, with its fields of the version.
func (d dialect) Schema(structure string) (*tree.Type, error) {
	return d.roots.of(structure), nil
}

// Structures returns what MSH-9 may be: MSH-9.3, or "ADT^A08" of MSH-9.1 and
// 9.2. Of several codes and events those that belong together count.
func (d dialect) Structures(when map[string][]string) []string {
	if s := when["MSH.9.3"]; s != nil {
		return s
	}
	var known, all []string
	for _, code := range when["MSH.9.1"] {
		for _, trigger := range when["MSH.9.2"] {
			name := code + "^" + trigger
			all = append(all, name)
			if d.structures().of(code, trigger, "") != nil {
				known = append(known, name)
			}
		}
	}
	switch {
	case known != nil:
		return known
	case all != nil:
		return all
	}
	return []string{""}
}

// views are messages whose memory a decoding may use: the tree that it makes holds
// nothing of them.
var views = sync.Pool{New: func() any { return &Message{} }}

func (m *Message) putBack() {
	if cap(m.fields) <= 1<<16 { // not that of an unusually large one
		m.body = nil
		views.Put(m)
	}
}

// Decode reads one message. Of segments, whose types have their names, it
// decodes the fields that are selected; the segments themselves are all there,
// and the groups that the selection does not name only where they cost
// nothing.
func (d dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	m := views.Get().(*Message)
	defer m.putBack()
	if err := m.read(body); err != nil {
		return nil, fmt.Errorf("decode hl7v2: %w", err)
	}
	if name := m.Segment(0).Name(); name != "MSH" {
		return nil, fmt.Errorf("decode hl7v2: it begins with %s: a batch, not a message", name)
	}
	b := builders.Get().(*builder)
	b.dictionary, b.m, b.only, b.left = d.dictionary, m, only, maxNodes
	if m.wide || isASCII(m.body) || m.chars.enc == nil && utf8.Valid(m.body) {
		b.text = string(m.body)
	}
	size := 64 // nodes: about what a mapping reads, or
	if only == nil {
		size = (len(m.fields) + bytes.Count(m.body, []byte{m.delims.component})) / 2 // what is not empty, as a rule
	}
	if size = min(size+len(m.segs)+32, maxSlab); size > cap(b.slab) {
		b.slab, b.kids = make([]tree.Node, 0, size), make([]*tree.Node, 0, size)
	}
	kind := typeOf(m)
	g := newGrouper(b, d.layoutOf(kind.complete()))
	for i := range m.segs {
		g.place(b.segment(i))
	}
	if b.left < 0 {
		return nil, fmt.Errorf("decode hl7v2: over %d elements in one message", maxNodes)
	}
	msg := &tree.Message{Format: formatName, Type: kind.String(), Root: g.finish()}
	b.dictionary, b.m, b.only, b.text = nil, nil, nil, ""
	msg.OnFree(b.putBack)
	return msg, nil
}

// maxSlab is how many nodes of a message are made in one piece.
const maxSlab = 4096

// builders are those of messages that were freed, with their last slabs.
var builders = sync.Pool{New: func() any { return &builder{} }}

func (b *builder) putBack() {
	clear(b.slab)
	clear(b.kids)
	clear(b.stack[:cap(b.stack)])
	b.slab, b.kids, b.stack = b.slab[:0], b.kids[:0], b.stack[:0]
	if cap(b.stack) <= maxSlab {
		builders.Put(b)
	}
}

// typeOf returns MSH-9 as it was sent, but for trailing blanks.
func typeOf(m *Message) messageType {
	f := m.Segment(0).Field(9).Repetition(1)
	part := func(n int) string { return strings.TrimRight(f.Component(n).Text(), " ") }
	return messageType{part(1), part(2), part(3)}
}

// A builder makes nodes. They come from slabs, and so do the slices of kids.
type builder struct {
	*dictionary
	m     *Message
	only  tree.Selection
	text  string // the body as text, where leaves without escapes may be cut from it
	slab  []tree.Node
	kids  []*tree.Node
	stack []*tree.Node // kids of the composites in hand
	left  int          // nodes that may still be made
}

func (b *builder) node(name string, line, offset int) *tree.Node {
	b.left--
	if len(b.slab) == cap(b.slab) {
		b.slab = make([]tree.Node, 0, max(cap(b.slab)/2, 64))
	}
	b.slab = append(b.slab, tree.Node{Name: name, State: tree.Value, Pos: tree.Pos{Line: line, Offset: offset}})
	return &b.slab[len(b.slab)-1]
}

// take moves the kids above mark from the stack into a slice of their own.
func (b *builder) take(mark int) []*tree.Node {
	n := len(b.stack) - mark
	if cap(b.kids)-len(b.kids) < n {
		b.kids = make([]*tree.Node, 0, max(cap(b.kids)/2, n, 64))
	}
	at := len(b.kids)
	b.kids = append(b.kids, b.stack[mark:]...)
	b.stack = b.stack[:mark]
	return b.kids[at : at+n : at+n]
}

func (b *builder) segment(i int) *tree.Node {
	m := b.m
	s := Segment{m, m.segs[i]}
	seg := b.node(b.segmentName(s.nameBytes()), i+1, int(s.s.start))
	mark := len(b.stack)
	field := uint32(1)
	if s.isHeader() {
		at := int(s.s.start) + 3
		sep := b.node("1", i+1, at)
		sep.Text = string(m.body[at : at+1])
		b.stack = append(b.stack, sep)
		field = 2
	}
	only := b.only[seg.Name]
	for k := uint32(0); k < s.s.n; k++ {
		from, to := m.fields[s.s.first+k], s.s.end
		if k+1 < s.s.n {
			to = m.fields[s.s.first+k+1] - 1
		}
		if from < to && b.left > 0 {
			name := numberName(int(field + k))
			// The first one always: a segment that has fields must not look like one without.
			if b.only != nil && !only[name] && len(b.stack) > mark {
				continue
			}
			if field == 2 && k == 0 { // MSH-2: delimiters are its content
				n := b.node(name, i+1, int(from))
				n.Text = string(m.body[from:to])
				b.stack = append(b.stack, n)
				continue
			}
			b.repetitions(name, i+1, int(from), int(to))
		}
	}
	seg.Kids = b.take(mark)
	return seg
}

// repetitions pushes a node for each repetition that is not empty.
func (b *builder) repetitions(name string, line, from, to int) {
	sep := b.m.delims.repetition
	for from <= to {
		end := to
		if sep != 0 {
			if i := bytes.IndexByte(b.m.body[from:to], sep); i >= 0 {
				end = from + i
			}
		}
		if n := b.value(name, line, from, end, b.m.delims.component); n != nil {
			b.stack = append(b.stack, n)
		}
		from = end + 1
	}
}

// value makes the node of a repetition (sep is the component separator) or of
// a component (sep is the sub-component separator), nil if it is empty.
func (b *builder) value(name string, line, from, to int, sep byte) *tree.Node {
	raw := bytes.TrimRight(b.m.body[from:to], " ")
	to = from + len(raw)
	if len(raw) == 0 || b.left <= 0 {
		b.left -= min(len(raw), 1) // one that was left out for want of room makes the decode fail
		return nil
	}
	sub := b.m.delims.subComponent
	inner := sub // separator inside the parts
	if sep == sub {
		inner = 0
	}
	switch {
	case sep != 0 && bytes.IndexByte(raw, sep) >= 0:
	case inner != 0 && bytes.IndexByte(raw, inner) >= 0:
	default:
		n := b.node(name, line, from)
		if string(raw) == `""` {
			n.State = tree.Null
		} else {
			n.Text = b.leaf(raw, from, to)
		}
		return n
	}
	n := b.node(name, line, from)
	mark := len(b.stack)
	for part := 1; from <= to; part++ {
		end := to
		if i := bytes.IndexByte(b.m.body[from:to], sep); sep != 0 && i >= 0 {
			end = from + i
		}
		if k := b.value(numberName(part), line, from, end, inner); k != nil {
			b.stack = append(b.stack, k)
		}
		from = end + 1
	}
	if len(b.stack) == mark { // separators and nothing else
		return nil
	}
	n.Kids = b.take(mark)
	return n
}

func (b *builder) leaf(raw []byte, from, to int) string {
	if b.text != "" && (b.m.delims.escape == 0 || bytes.IndexByte(raw, b.m.delims.escape) < 0) {
		return b.text[from:to]
	}
	return strings.TrimRight(b.m.text(raw), " ")
}

// numberName returns the name of field, component or sub-component n.
func numberName(n int) string {
	if n < len(numbers) {
		return numbers[n]
	}
	return strconv.Itoa(n)
}

var numbers = func() (s [128]string) {
	for i := range s {
		s[i] = strconv.Itoa(i)
	}
	return s
}()

// segmentName returns the name without allocating for segments of the
// standard.
func (d *dictionary) segmentName(b []byte) string {
	if e := d.segments[string(b)]; e != nil {
		return e.Name
	}
	return string(b)
}
