package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// A scope is one item that paths can start from: the message's root, the
// item of an each, or a group on the way to it.
type scope struct {
	outer *scope
	depth int             // 0 is the root; the frame of the item at run time
	name  string          // of an item: what its paths begin with
	typ   *tree.Type      // of the item
	elem  tree.Labels     // labels that the way to the item carries
	coded []coded         // what the parts of the item reveal by their codes
	elems []*tree.Element // the way to the item
	named bool            // paths begin here by the item's name only: a segment, whose parts are numbers
	alts  []*scope        // the same place in the other message types of source.when
	*ground
}

// A ground is what all scopes of a mapping have in common.
type ground struct {
	reads tree.Selection // what the mapping's paths lead through; may be nil
	// unordered is FHIR: the order of an array has no meaning (R4 section 2.1.0.4
	// of JSON: order is kept, and means nothing unless an element says so).
	unordered bool
	// leads says whether an element stands for its first part: a field of HL7 v2
	// does, and a relation of an Odoo record for the id. nil is none: elsewhere
	// the first part is any one of them.
	leads    func(*tree.Element) bool
	standard tree.Dictionary // what the format knows of its standard; nil of one that has none
}

// inner opens the scope of an item that a path leads to.
func (s *scope) inner(p *boundPath, name string) *scope {
	in := &scope{outer: s, depth: s.depth + 1, name: name, typ: p.typ, elem: p.way, coded: p.coded, elems: p.elems, ground: s.ground}
	for i, a := range s.alts {
		in.alts = append(in.alts, a.inner(p.alts[i], name))
	}
	return in
}

// each opens the scopes of an each: of every group that its path goes through,
// and of the item. At run time each of them is a frame.
func (s *scope) each(p *boundPath, name string) *scope {
	in := *s.inner(p, name)
	way := len(p.elems) - len(p.steps) // elements before the path's own
	for i := range len(p.steps) - 1 {
		el := p.elems[way+i]
		g := &scope{outer: in.outer, depth: in.depth, name: el.Name, typ: el.Type, elems: p.elems[:way+i+1], ground: s.ground}
		for _, e := range g.elems {
			g.elem |= e.Labels
		}
		g.named = isSegment(el.Type)
		in.outer, in.depth = g, in.depth+1
	}
	in.alts = nil
	for i, a := range s.alts {
		in.alts = append(in.alts, a.each(p.alts[i], name))
	}
	return &in
}

// isSegment says whether a type's elements are numbered.
func isSegment(t *tree.Type) bool {
	return t != nil && len(t.Elements) > 0 && isNumber(t.Elements[0].Name)
}

// has says whether a path that begins with this name begins here.
func (s *scope) has(name string) bool {
	return s.name == name || !s.named && lookup(s.typ, name) != nil
}

// within finds a segment in the groups of a type, and the way to it. seen are the types that it is not in, by how deep
// they were looked through: groups that stand in each other have very many ways.
func within(t *tree.Type, name string, depth int, seen map[*tree.Type]int) string {
	if t == nil || depth == 0 || isSegment(t) || seen[t] >= depth {
		return ""
	}
	seen[t] = depth
	for _, e := range t.Elements {
		if e.Type == nil || isSegment(e.Type) {
			continue
		}
		if in := e.Type.Element(name); in != nil && isSegment(in.Type) {
			return e.Name
		}
		if way := within(e.Type, name, depth-1, seen); way != "" {
			return e.Name + "." + way
		}
	}
	return ""
}

// maxGroups is how deep groups are looked through for a segment.
const maxGroups = 6

// A boundPath is a pathExpr bound to a schema.
type boundPath struct {
	text     string
	depth    int // the frame it starts from
	steps    []step
	list     bool            // has [*]
	typ      *tree.Type      // of what it leads to
	kind     tree.Kind       // of its first leaf
	labels   tree.Labels     // of all that may be read through it
	repeat   string          // what lint says of a step that repeats and has no selector
	coded    []coded         // of what it leads to
	choose   string          // a predicate that would decide what it may be; "" when none would
	whole    bool            // a composite of which no part stands for it: it is there, or not, and has no text
	tail     []string        // the way from a composite to its first leaf
	way      tree.Labels     // labels of the elements on the way, without the tail's
	elems    []*tree.Element // on the way from the root, without the tail's
	leafElem *tree.Element   // the last of the tail
	layout   *layout         // notation of the leaf's dates; nil is the format's own
	alts     []*boundPath    // the same path in the other message types
}

type step struct {
	name  string
	sels  []boundSelector
	first bool // the first element of its parent: a parent without parts stands for it
}

type boundSelector struct {
	selector
	path *boundPath // of selectWhere; its depth is that of the repetition itself
}

// bind finds what a path means where it stands: its first step belongs to the
// innermost scope whose schema has that name. The data never decides. It must
// mean the same in every message type that the mapping takes.
func (s *scope) bind(e *pathExpr) (*boundPath, error) {
	p, err := s.bindOne(e)
	if err != nil {
		return nil, err
	}
	for _, a := range s.alts {
		q, err := a.bindOne(e)
		if err != nil {
			return nil, err
		}
		if q.depth != p.depth || q.kind != p.kind || q.list != p.list {
			return nil, &pathError{0, fmt.Sprintf("%s means different things in the message types of source.when", e.text)}
		}
		p.labels |= q.labels
		p.way |= q.way
		p.alts = append(p.alts, q)
	}
	return p, nil
}

func (s *scope) bindOne(e *pathExpr) (*boundPath, error) {
	start := s
	if e.root {
		for start.outer != nil {
			start = start.outer
		}
	} else {
		for first := e.steps[0].name; start.outer != nil && !start.has(first); start = start.outer {
			// What the each goes through has one of its own: the one further out is another's.
			if way := within(start.typ, first, maxGroups, map[*tree.Type]int{}); way != "" {
				return nil, &pathError{e.steps[0].at, fmt.Sprintf("%s stands in %s of this each: write %s.%s, or /%s for that of the whole message", first, way, way, first, first)}
			}
		}
	}
	if first := e.steps[0]; start != s && !start.has(first.name) && !e.root {
		for in := s; in != start; in = in.outer { // the item is meant rather than the message
			if there := elsewhere(in.typ, first.name); there != "" {
				return nil, &pathError{first.at, there}
			}
			if near := cmp.Or(didYouMean(first.name, elementNames(in.typ)), nearBelow(in.typ, first.name)); near != "" {
				return nil, &pathError{first.at, fmt.Sprintf("%s has no %s%s", typeName(in.typ), first.name, near)}
			}
		}
	}
	p := &boundPath{text: e.text, depth: start.depth, way: start.elem, coded: start.coded, elems: start.elems}
	rest := e.steps
	typ := start.typ
	if !e.root && start.outer != nil && start.name == rest[0].name {
		if len(rest[0].sels) > 0 {
			return nil, &pathError{rest[0].sels[0].at, fmt.Sprintf("%s is the item of this each and takes no selector here: /%s begins at the message", rest[0].name, rest[0].name)}
		}
		rest = rest[1:]
	}
	return p, p.follow(start, typ, rest)
}

// follow binds the steps from a type on.
func (p *boundPath) follow(from *scope, typ *tree.Type, steps []pathStep) error {
	for _, st := range steps {
		el := lookup(typ, st.name)
		if el == nil {
			if typ != nil && len(typ.Elements) == 0 && st.name == "1" && len(st.sels) == 0 {
				continue // HL7: component 1 of a primitive is the primitive
			}
			return &pathError{st.at, noElement(from, typ, st.name)}
		}
		b := step{name: el.Name, first: typ.Elements[0] == el}
		if el.Repeats && len(st.sels) == 0 && p.repeat == "" {
			p.repeat = repeatText(p.text, st)
		}
		for _, sel := range st.sels {
			bs := boundSelector{selector: sel}
			if sel.kind == selectIndex && from.unordered {
				return &pathError{sel.at, fmt.Sprintf("[%d]: the order of a FHIR array has no meaning: write [first], or choose by what it says, as in [use=official]", sel.index+1)}
			}
			if sel.kind == selectAll {
				p.list = true
			}
			if sel.kind == selectWhere {
				in := &boundPath{text: sel.path.text}
				if err := in.follow(from, el.Type, sel.path.steps); err != nil {
					return err
				}
				if in.list || sel.path.root {
					return &pathError{sel.at, "a predicate compares one value of the repetition itself"}
				}
				if err := in.single(); err != nil {
					return &pathError{sel.at, err.Error()}
				}
				bs.path = in
			}
			b.sels = append(b.sels, bs)
		}
		p.steps = append(p.steps, b)
		p.elems = append(p.elems[:len(p.elems):len(p.elems)], el)
		p.choose = undecided(p.coded, el, p.choose)
		p.way = p.way&^leftBehind(p.coded, el) | codedLabels(p.coded, el)
		p.coded = codings(el, &b)
		p.way &^= ruledOut(p.coded)
		from.read(typ, el)
		typ = el.Type
	}
	p.typ, p.kind, p.labels = typ, tree.Text, p.way
	p.whole = typ != nil && len(typ.Elements) > 0 && (from.leads == nil || len(p.elems) > 0 && !from.leads(p.elems[len(p.elems)-1]))
	coded := p.coded
	for range maxPathSteps {
		if typ == nil {
			break
		}
		if len(typ.Elements) == 0 {
			p.kind = typ.Kind
			break
		}
		first := typ.Elements[0]
		p.tail = append(p.tail, first.Name)
		p.leafElem = first
		p.choose = undecided(coded, first, p.choose)
		p.labels = p.labels&^leftBehind(coded, first) | codedLabels(coded, first)
		coded = codings(first, nil)
		from.read(typ, first)
		typ = first.Type
	}
	return p.notation()
}

// repeatText is about a step that repeats and has no selector.
func repeatText(path string, st pathStep) string {
	if st.at > len(path) {
		return "" // of a predicate, whose places are those of the whole path: nobody asks
	}
	step := path[:st.at] + st.name
	if strings.HasPrefix(path[st.at:], "`") {
		step = path[:st.at] + "`" + st.name + "`"
	}
	rest := strings.TrimPrefix(path, step)
	return fmt.Sprintf("%s repeats, and the first one is taken: write %s[first]%s, or choose", step, step, rest)
}

// single refuses a path that leads to several values where one is read.
func (p *boundPath) single() error {
	if !p.whole {
		return nil
	}
	var names []string
	for depth := 0; depth < 2 && len(names) < 3; depth++ {
		names = leaves(names, p.text, p.typ, depth)
	}
	return &pathError{0, fmt.Sprintf("%s is %s, which has several values: say which one: %s", p.text, typeName(p.typ), strings.Join(names, ", "))}
}

// leaves appends paths to the leaves of a type, so many levels down, that a
// person may want.
func leaves(names []string, path string, t *tree.Type, depth int) []string {
	for _, e := range t.Elements {
		switch step := path + "." + quoteStep(e.Name); {
		case len(names) == 6 || strings.HasPrefix(e.Name, "_") || slices.Contains([]string{"id", "extension", "modifierExtension"}, e.Name):
		case e.Type == nil:
		case (len(e.Type.Elements) == 0) != (depth == 0):
		case e.Repeats && depth > 0:
			names = leaves(names, step+"[first]", e.Type, depth-1)
		case depth > 0:
			names = leaves(names, step, e.Type, depth-1)
		case e.Repeats:
			names = append(names, step+"[first]")
		default:
			names = append(names, step)
		}
	}
	return names
}

// notation finds the declared notation of what the path leads to.
func (p *boundPath) notation() error {
	leaf := p.leafElem
	if leaf == nil && len(p.elems) > 0 {
		leaf = p.elems[len(p.elems)-1]
	}
	if leaf == nil || leaf.Layout == "" {
		return nil
	}
	lay, err := newLayout(leaf.Layout, leaf.Type != nil && leaf.Type.Kind == tree.DateTime)
	if err != nil {
		return &pathError{0, err.Error()}
	}
	p.layout = &lay
	return nil
}

// read notes what a path leads through.
func (s *scope) read(typ *tree.Type, el *tree.Element) {
	if s.reads != nil {
		s.reads.Add(typ.Name, el.Name)
	}
}

// lookup finds an element; X12 writes CLP-01 and CLP-1 alike.
func lookup(t *tree.Type, name string) *tree.Element {
	if t == nil {
		return nil
	}
	if e := t.Element(name); e != nil {
		return e
	}
	if n, err := strconv.Atoi(name); err == nil && n > 0 {
		if e := t.Element(strconv.Itoa(n)); e != nil {
			return e
		}
		return t.Element(fmt.Sprintf("%02d", n))
	}
	return nil
}

func isNumber(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

func typeName(t *tree.Type) string {
	if t == nil || t.Name == "" {
		return "the message"
	}
	return t.Name
}

func elementNames(t *tree.Type) []string {
	if t == nil {
		return nil
	}
	names := make([]string, len(t.Elements))
	for i, e := range t.Elements {
		names[i] = e.Name
	}
	return names
}

// roots returns the schema of every message type that source.when lets in.
// A path must mean the same in all of them.
func roots(d tree.Dialect, when []condition) ([]*tree.Type, error) {
	values := make(map[string][]string, len(when))
	for _, c := range when {
		if len(c.values) > 0 {
			values[strings.ReplaceAll(c.text, "-", ".")] = c.values
		}
	}
	var out []*tree.Type
	for _, name := range d.Structures(values) {
		t, err := d.Schema(name)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(out, t) {
			out = append(out, t)
		}
	}
	return out, nil
}
