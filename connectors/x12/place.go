package x12

import (
	"github.com/vagus-health/vagus/internal/tree"
)

// maxDepth bounds the loops inside each other. The guides nest to 6; HL-02
// nests as deep as the sender likes.
const maxDepth = 32

// A frame is a loop that is open.
type frame struct {
	up    *frame
	depth int
	loop  *loop
	node  *tree.Node // nil for the checker
	at    int        // index of the item that came last

	counts []uint16 // of each item, for the checker
	first  int      // number of the segment that began it, for the checker
	calls  []call   // for what the values in it call, for the checker
}

// A placer puts the segments of one transaction set where the guide has them.
type placer struct {
	b      *builder
	open   *frame
	begins map[string]bool   // ids of segments that begin loops
	levels map[string]*frame // by HL-01, where HL-02 tells what is in what
	check  *checker          // nil when only the tree is wanted
}

func newPlacer(b *builder, g *guide, root *tree.Node) *placer {
	p := &placer{b: b, open: &frame{loop: g.root, node: root}, begins: g.begins()}
	if g.levels() {
		p.levels = map[string]*frame{}
	}
	return p
}

// place adds a segment, whose node has been made.
func (p *placer) place(s *segment, n *tree.Node) error {
	if s.id == "HL" && p.levels != nil {
		return p.level(s, n)
	}
	if f, i := p.find(s); f != nil {
		return p.put(f, i, s, n)
	}
	f, exact := p.misplaced(s)
	if f == nil && p.begins[s.id] {
		element := 0 // that tells which loop it begins
		for f := p.open; f != nil && element == 0; f = f.up {
			element = f.loop.starting(s.id)
		}
		return s.errorf(element, 0, "no loop of the guide begins with this here: the segments that follow would belong to nothing")
	}
	if f == nil {
		f = p.open
	}
	if p.check != nil {
		p.check.misplaced(f, s, exact)
		return nil
	}
	f.node.Kids = append(f.node.Kids, n)
	return nil
}

// find returns the open loop, the innermost first, and the item in it that
// takes a segment: one at or after the item that came last, then a loop before
// it, because many senders put providers in an order of their own. How often
// something may stand in its place does not tell where it stands.
func (p *placer) find(s *segment) (*frame, int) {
	for f := p.open; f != nil; f = f.up {
		for i := f.at; i < len(f.loop.items); i++ {
			it := &f.loop.items[i]
			if again := i == 0 && f.up != nil && it.max == 1; !again && it.takes(s) {
				return f, i // the first segment of a loop, if it stands there once, begins the next one
			}
		}
	}
	for f := p.open; f != nil; f = f.up {
		for i := 0; i < f.at; i++ {
			if it := &f.loop.items[i]; it.loop != nil && it.takes(s) {
				return f, i
			}
		}
	}
	return nil, 0
}

// misplaced returns the innermost open loop that has a segment of this id and
// qualifier (exact), or of this id whatever it says; nil is none. The loops inside it
// stay open.
func (p *placer) misplaced(s *segment) (f *frame, exact bool) {
	for i, fits := range []func(*item) bool{
		func(it *item) bool { return it.takes(s) },
		func(it *item) bool { return it.segment == s.id },
	} {
		for f := p.open; f != nil; f = f.up {
			for j := range f.loop.items {
				if it := &f.loop.items[j]; it.loop == nil && (j > 0 || f.up == nil) && fits(it) {
					return f, i == 0
				}
			}
		}
	}
	return nil, false
}

// starting returns the element that tells which loop a segment begins.
func (l *loop) starting(id string) int {
	for i := range l.items {
		if first := l.items[i].starts(); l.items[i].loop != nil && first.segment == id {
			return first.when.element
		}
	}
	return 0
}

// put adds a segment at an item of an open loop and closes those inside it.
func (p *placer) put(f *frame, i int, s *segment, n *tree.Node) error {
	f.at = i
	if p.check != nil {
		p.check.closed(p.open, f)
		p.check.counted(f, i, s)
	}
	p.open = f
	for it := &f.loop.items[i]; it.loop != nil; it = &it.loop.items[0] {
		if f.depth == maxDepth {
			return s.errorf(0, 0, "over %d loops inside each other", maxDepth)
		}
		in := &frame{up: f, depth: f.depth + 1, loop: it.loop}
		if p.check == nil {
			in.node = p.b.node(it.loop.name, n.Pos)
			f.node.Kids = append(f.node.Kids, in.node)
		}
		f, p.open = in, in
		if p.check != nil {
			p.check.opened(f, s)
		}
	}
	if p.check == nil {
		f.node.Kids = append(f.node.Kids, n)
	}
	return nil
}

// level opens the loop of an HL in that of the HL that its HL-02 names. In the
// health care guides it is their order that tells what is in what: HL-02 must
// agree with it, and many senders' does not.
func (p *placer) level(s *segment, n *tree.Node) error {
	parent := p.open
	if up := s.element(2); len(up) > 0 {
		if parent = p.levels[string(up)]; parent == nil {
			return s.errorf(2, 0, "no HL before this one has that HL-01")
		}
	} else {
		for parent.up != nil {
			parent = parent.up
		}
	}
	for i := range parent.loop.items {
		if it := &parent.loop.items[i]; it.loop != nil && it.takes(s) {
			if err := p.put(parent, i, s, n); err != nil {
				return err
			}
			id := string(s.element(1))
			if p.levels[id] != nil {
				return s.errorf(1, 0, "an HL before this one has the same HL-01")
			}
			p.levels[id] = p.open
			return nil
		}
	}
	return s.errorf(3, 0, "the guide has no such level here")
}
