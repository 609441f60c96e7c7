package hl7

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "hl7v2"

// maxNodes bounds the tree of one message; a node costs about 100 bytes.
const maxNodes = 1_000_000

var _ tree.Format = Format{}

// A Format is HL7 v2 for mappings. Safe for concurrent use.
//
// A message's tree: the root's kids are segments ("PID") and groups ("ORDER";
// structure.go says which), a segment's kids are fields ("5"; repetitions are
// siblings), then components and sub-components, by number. Empty elements
// have no node; "" gives a node that is Null. A field, repetition or component
// that has no separator inside is a leaf itself: PID-8 is the leaf, not
// PID-8.1. One that has separators is never a leaf, so its value is its first
// leaf, going down: PID-5 of "O'Hara&van^Siobhan" has the kids 1 (with kids 1
// and 2) and 2. Segments that the dictionary does not know, Z segments above
// all, decode like the others. Pos is the segment's number and the byte
// offset in the bytes received (in their UTF-8 form for UTF-16, GB 18030 and
// Big5).
type Format struct{}

// NewFormat returns the format; Format{} is the same.
func NewFormat() Format { return Format{} }

// Name returns "hl7v2".
func (Format) Name() string { return formatName }

// A dialect is the format in one version.
type dialect struct {
	Format
	dictionary *dictionary
}

// Dialect returns the format in one version.
func (f Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	dict, err := dictionaryOf(d.Version)
	if err != nil {
		return nil, err
	}
	return dialect{f, dict}, nil
}

// Schema returns the root type for messages of a structure.
func (d dialect) Schema(structure string) (*tree.Type, error) {
	return d.dictionary.schema(structure), nil
}

// Structures returns what MSH-9 may be: MSH-9.3, or "ADT^A08" of MSH-9.1 and 9.2.
func (d dialect) Structures(when map[string][]string) []string {
	if s := when["MSH.9.3"]; s != nil {
		return s
	}
	var out []string
	for _, code := range when["MSH.9.1"] {
		for _, event := range when["MSH.9.2"] {
			out = append(out, code+"^"+event)
		}
	}
	if out == nil {
		return []string{""}
	}
	return out
}

// Schema returns the root type for messages of a version, "2.3" to "2.8", and
// a structure: "ADT_A01", "ADT^A08", or "" for a type that has all groups.
//
// The dictionary is that of 2.5.1. Older versions get it whole: they have
// fewer fields and some simpler types under the same numbers. 2.6 to 2.8 get
// it with the fields that they added to types and segments most in use
// (extend, in dictionary.txt), not with all that they added, and keep TS where
// they have DTM and CE where they have CWE.
func (Format) Schema(version, structure string) (*tree.Type, error) {
	d, err := dictionaryOf(version)
	if err != nil {
		return nil, err
	}
	return d.schema(structure), nil
}

// Decode reads one message. Of segments, whose types have their names, it
// decodes the fields that are selected; the segments themselves and their
// groups are all there.
func (Format) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	m, err := Parse(body)
	if err != nil {
		return nil, fmt.Errorf("decode hl7v2: %w", err)
	}
	if name := m.Segment(0).Name(); name != "MSH" {
		return nil, fmt.Errorf("decode hl7v2: it begins with %s: a batch, not a message", name)
	}
	code, event, kind := messageType(m)
	b := &builder{m: m, only: only, left: maxNodes}
	if m.wide || isASCII(m.body) || m.chars.enc == nil && utf8.Valid(m.body) {
		b.text = string(m.body)
	}
	size := 64 // nodes: about what a mapping reads, or
	if only == nil {
		size = (len(m.fields) + bytes.Count(m.body, []byte{m.delims.component})) / 2 // what is not empty, as a rule
	}
	b.slab = make([]tree.Node, 0, min(size+len(m.segs)+32, 4096))
	b.kids = make([]*tree.Node, 0, cap(b.slab))
	g := newGrouper(b, layoutOf(code, event))
	for i := range m.segs {
		g.place(b.segment(i))
	}
	if b.left < 0 {
		return nil, fmt.Errorf("decode hl7v2: over %d elements in one message", maxNodes)
	}
	return &tree.Message{Format: formatName, Type: kind, Root: g.finish()}, nil
}

// messageType returns the code and the trigger event of MSH-9, the event from
// the structure's name where the sender left it out, and all of it as
// "ADT^A08^ADT_A01".
func messageType(m *Message) (code, event, kind string) {
	f := m.Segment(0).Field(9).Repetition(1)
	code, event = f.Component(1).Text(), f.Component(2).Text()
	structure := f.Component(3).Text()
	kind = strings.TrimRight(code+"^"+event+"^"+structure, "^")
	if event == "" {
		if c, e := splitStructure(structure); c == code {
			event = e
		}
	}
	return code, event, kind
}

// A builder makes nodes. They come from slabs, and so do the slices of kids.
type builder struct {
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
	seg := b.node(segmentName(s.nameBytes()), i+1, int(s.s.start))
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
	raw := b.m.body[from:to]
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
	return b.m.text(raw)
}

// A grouper puts segments where the layout wants them.
type grouper struct {
	b       *builder
	layout  layout
	root    *tree.Node
	own     *tree.Node // the ORDER, PATIENT or PRIOR_RESULT that is open, or nil
	views   []*tree.Node
	inOrder []*tree.Node // views of the open order

	patients [][]*tree.Node // segments of each patient
	orders   []placedOrder
}

// A placedOrder is an ORDER and how many patients came before it.
type placedOrder struct {
	node    *tree.Node
	patient int
}

func newGrouper(b *builder, l layout) *grouper {
	return &grouper{b: b, layout: l, root: b.node("", 1, 0), views: make([]*tree.Node, len(l.views)), inOrder: make([]*tree.Node, len(orderViews))}
}

func (g *grouper) place(seg *tree.Node) {
	name := seg.Name
	switch {
	case g.own != nil && g.own.Name == priorGroup:
		g.own.Kids = append(g.own.Kids, seg)
		return
	case g.layout.prior && name == priorResult.start && len(g.orders) > 0:
		g.open(priorGroup, seg)
		g.own.Kids = append(g.own.Kids, seg)
		return
	case g.layout.ownPID && name == mergePatient.start:
		g.open(patientGroup, seg)
	case g.beginsOrder(name):
		g.open(orderGroup, seg)
		clear(g.inOrder)
		g.orders = append(g.orders, placedOrder{g.own, len(g.patients)})
	case g.own != nil && g.own.Name == orderGroup && (slices.Contains(orderEnds, name) || slices.Contains(g.layout.orderEnds, name)):
		g.own = nil
	case g.own != nil && g.own.Name == patientGroup && !mergePatient.has(name):
		g.own = nil
	}
	if g.own == nil {
		g.ofOnePatient(seg)
		g.root.Kids = append(g.root.Kids, seg)
		g.view(g.root, g.views, g.rule, seg)
		return
	}
	g.own.Kids = append(g.own.Kids, seg)
	if g.own.Name == orderGroup {
		g.view(g.own, g.inOrder, func(i int) *rule { return &orderViews[i] }, seg)
	}
}

func (g *grouper) rule(i int) *rule { return g.layout.views[i] }

// open begins a group that owns its segments.
func (g *grouper) open(name string, first *tree.Node) {
	g.own = g.b.node(name, first.Pos.Line, first.Pos.Offset)
	g.own.Kids = make([]*tree.Node, 0, 8)
	g.root.Kids = append(g.root.Kids, g.own)
	g.view(g.root, g.views, g.rule, g.own)
}

// beginsOrder: the lead segment always does; OBR does when the open order has
// one; the others do when no order is open.
func (g *grouper) beginsOrder(name string) bool {
	if !slices.Contains(orderStarts, name) {
		return false
	}
	if g.own == nil || g.own.Name != orderGroup || name == g.layout.orderLead {
		return true
	}
	has := g.own.First(name) != nil
	return has && (name == "OBR" || name == "ORC" || g.own.First("ORC") == nil && g.own.First("OBR") == nil)
}

// view shows a new kid of parent in the groups that are views.
func (g *grouper) view(parent *tree.Node, open []*tree.Node, ruleOf func(int) *rule, kid *tree.Node) {
	for i := range open {
		r := ruleOf(i)
		switch {
		case kid.Name == r.start:
			n := g.b.node(r.name, kid.Pos.Line, kid.Pos.Offset)
			n.Kids = append(n.Kids, kid)
			open[i] = n
			parent.Kids = append(parent.Kids, n)
		case open[i] == nil:
		case r.has(kid.Name):
			open[i].Kids = append(open[i].Kids, kid)
		default:
			open[i] = nil
		}
	}
}

// ofOnePatient remembers a PID and what follows it of the same patient.
func (g *grouper) ofOnePatient(seg *tree.Node) {
	if !slices.Contains(ofPatient, seg.Name) {
		return
	}
	if n := len(g.patients); n == 0 || seg.Name == "PID" && g.patients[n-1][0].Name == "PID" {
		g.patients = append(g.patients, make([]*tree.Node, 0, len(ofPatient)))
	}
	p := &g.patients[len(g.patients)-1]
	*p = append(*p, seg)
}

// finish gives every order the PID, PD1, PV1 and PV2 of its patient, the last
// one before it, and returns the root. An order before any patient belongs to
// the only one there is, or to nobody.
func (g *grouper) finish() *tree.Node {
	for _, o := range g.orders {
		i := o.patient - 1
		if i < 0 && len(g.patients) == 1 {
			i = 0
		}
		if i >= 0 {
			o.node.Kids = append(slices.Clone(g.patients[i]), o.node.Kids...)
		}
	}
	return g.root
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
func segmentName(b []byte) string {
	if e := dictionaries[5]().segments[string(b)]; e != nil {
		return e.Name
	}
	return string(b)
}
