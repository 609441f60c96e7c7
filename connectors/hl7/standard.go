package hl7

import (
	"slices"

	"github.com/vagus-health/vagus/internal/tree"
)

// A walk puts segments where the standard's message structure has them. It is
// made for messages that do not keep to it: groups whose first segment is
// missing, segments out of order, segments that the structure does not have. A
// segment that has no place left, because it stands there already and may not
// repeat, is in no group of the standard.
type walk struct {
	b      *builder
	open   []frame // from the root to the innermost group
	strays int
}

// maxStrays bounds the segments of one message for which an earlier place is
// sought: it takes time in proportion to the message.
const maxStrays = 256

// A frame is a group that is open.
type frame struct {
	*part
	at   int // index of the kid that came last, -1 before the first
	node *tree.Node
}

func newWalk(b *builder, structure *part) *walk {
	root := frame{structure, -1, b.node("", 1, 0)}
	return &walk{b: b, open: append(make([]frame, 0, 8), root)}
}

// Where a segment may go, best first.
const (
	onwards   = iota // on from the kid that came last, or as the first segment of a group
	conformal        // on, in a group that may begin without what stands before it
	backwards        // in an earlier place
	anywhere         // on, in any group
)

// place puts a segment into its group.
func (w *walk) place(seg *tree.Node) {
	if !w.open[0].holds[seg.Name] {
		return
	}
	for how := onwards; how <= anywhere; how++ {
		for depth := len(w.open) - 1; depth >= 0; depth-- {
			f := &w.open[depth]
			if !f.holds[seg.Name] {
				continue
			}
			if how == backwards {
				if w.back(depth, seg) {
					return
				}
				continue
			}
			if i := f.next(seg.Name, how); i >= 0 {
				w.open = w.open[:depth+1]
				w.enter(i, seg)
				return
			}
		}
	}
}

// next returns the index of the kid, from the last one on, that takes a segment.
func (f *frame) next(name string, how int) int {
	for i := max(f.at, 0); i < len(f.kids); i++ {
		k := f.kids[i]
		if i == f.at && !k.many {
			continue
		}
		if k.takes(name, how) {
			return i
		}
	}
	return -1
}

// takes says whether p is the segment, or a group that it may stand in.
func (p *part) takes(name string, how int) bool {
	switch {
	case !p.isGroup():
		return p.name == name
	case !p.holds[name] || how == anywhere:
		return p.holds[name]
	case how == onwards:
		return p.lead() == name
	}
	for _, k := range p.kids {
		if k.takes(name, how) {
			return true
		}
		if k.must {
			return false
		}
	}
	return false
}

// enter puts the segment into kid i of the innermost group, opening groups on
// the way down.
func (w *walk) enter(i int, seg *tree.Node) {
	for {
		f := &w.open[len(w.open)-1]
		f.at = i
		k := f.kids[i]
		if !k.isGroup() {
			f.node.Kids = append(f.node.Kids, seg)
			return
		}
		n := w.b.node(k.name, seg.Pos.Line, seg.Pos.Offset)
		f.node.Kids = append(f.node.Kids, n)
		w.open = append(w.open, frame{k, -1, n})
		f = &w.open[len(w.open)-1]
		for how := onwards; ; how++ {
			if i = f.next(seg.Name, how); i >= 0 {
				break
			}
		}
	}
}

// back puts the segment into an earlier place of an open group: a new group
// that begins with it, and then the walk goes on from there, a group that is
// there, or any new group.
func (w *walk) back(depth int, seg *tree.Node) bool {
	f := &w.open[depth]
	for i, k := range f.kids {
		if k.isGroup() && k.many && k.lead() == seg.Name {
			w.open = w.open[:depth+1]
			w.enter(i, seg)
			return true
		}
	}
	if w.strays++; w.strays > maxStrays {
		return false
	}
	if w.add(f.part, f.node, seg) {
		return true
	}
	for i, k := range f.kids {
		if k.many && k.holds[seg.Name] {
			w.open = w.open[:depth+1]
			w.enter(i, seg)
			return true
		}
	}
	return false
}

// add puts a segment into a group that is there, where it has a place left, or
// into a group inside of it that is not there yet.
func (w *walk) add(p *part, n, seg *tree.Node) bool {
	for _, k := range p.kids {
		switch {
		case k.holds[seg.Name]:
			in := n.First(k.name)
			if in == nil {
				in = w.b.node(k.name, seg.Pos.Line, seg.Pos.Offset)
				n.Kids = append(n.Kids, in)
			}
			if w.add(k, in, seg) {
				return true
			}
		case k.name == seg.Name && !k.isGroup() && (k.many || n.First(k.name) == nil):
			n.Kids = append(n.Kids, seg)
			return true
		}
	}
	return false
}

// finish shows the groups at the root of the message but those that the layout
// has there already. The groups inside an ORDER of the standard go into the
// ORDER that owns its first segment.
func (w *walk) finish(root *tree.Node, l *layout, orders []placedOrder) {
	top := w.open[0]
	var owners map[*tree.Node]*tree.Node // of segments
	for _, n := range top.node.Kids {
		p := top.group(n.Name)
		switch {
		case p == nil, n.Name == patientGroup && l.ownPID, n.Name == priorGroup && l.prior:
		case n.Name != orderGroup:
			root.Kids = append(root.Kids, n)
		default:
			if owners == nil {
				owners = make(map[*tree.Node]*tree.Node)
				for _, o := range orders {
					for _, k := range o.node.Kids {
						owners[k] = o.node
					}
				}
			}
			first := p.firstSegment(n)
			order := owners[first]
			if order == nil {
				continue
			}
			for _, k := range order.Kids {
				delete(owners, k) // one ORDER has the groups of one ORDER of the standard
			}
			for _, k := range n.Kids {
				if p.group(k.Name) != nil && !isOrderView(k.Name) {
					order.Kids = append(order.Kids, k)
				}
			}
		}
	}
}

// firstSegment returns the first segment of a group, which has one.
func (p *part) firstSegment(n *tree.Node) *tree.Node {
	k := n.Kids[0]
	if g := p.group(k.Name); g != nil {
		return g.firstSegment(k)
	}
	return k
}

func isOrderView(name string) bool {
	return slices.ContainsFunc(orderViews, func(r rule) bool { return r.name == name })
}

// wants says whether a selection names a group that only the standard has, so
// that it must be made.
func (l *layout) wants(d *dictionary, only tree.Selection) bool {
	if only == nil || l.standard == nil {
		return l.standard != nil
	}
	return l.standard.groupIn(d, only) || l.standard.group(orderGroup).groupIn(d, only)
}

// groupIn says whether a selection names a group of p, other than in a segment.
// Messages have few groups, and mappings read many elements.
func (p *part) groupIn(d *dictionary, only tree.Selection) bool {
	if p == nil {
		return false
	}
	for _, k := range p.kids {
		if !k.isGroup() || d.segments[k.name] != nil {
			continue
		}
		for typ, elements := range only {
			if elements[k.name] && d.segments[typ] == nil {
				return true
			}
		}
	}
	return false
}
