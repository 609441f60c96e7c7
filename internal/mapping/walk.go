package mapping

import (
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Limits at run time. Codecs have their own; these keep a mapping bounded
// whatever the codec lets through.
const (
	maxRepetitions = 1000     // items of one each or one list
	maxTextBytes   = 64 << 10 // one value
	maxOutputBytes = 1 << 20  // all values of one unit
	maxOperations  = 1000     // of one unit
)

// A found is what a path leads to: a leaf's text, or that it is absent or null.
type found struct {
	state tree.State
	text  string
}

// one follows a scalar path from its frame.
func (p *boundPath) one(frames []*tree.Node) found {
	return p.leaf(p.node(frames[p.depth]))
}

// node follows a scalar path to a node; nil when nothing is there.
func (p *boundPath) node(n *tree.Node) *tree.Node {
	for i := range p.steps {
		if n == nil || n.State == tree.Absent {
			return nil
		}
		if n.State == tree.Null {
			return n // what is null is null in all its parts
		}
		n = p.steps[i].pick(n)
	}
	return n
}

// leaf reads a node, or the first leaf of a composite.
func (p *boundPath) leaf(n *tree.Node) found {
	for _, name := range p.tail {
		if n == nil || n.State != tree.Value || len(n.Kids) == 0 {
			break
		}
		n = n.First(name)
	}
	for n != nil && n.State == tree.Value && len(n.Kids) > 0 {
		n = n.First("1") // HL7: a sender may give a primitive parts
	}
	if n == nil || n.State == tree.Value && isBlank(n.Text) {
		return found{}
	}
	return found{state: n.State, text: n.Text}
}

// isBlank says whether a text shows nothing: no format means a value by it, and
// a name of spaces is none to whoever reads it.
func isBlank(s string) bool { return strings.TrimSpace(s) == "" }

// pick takes the repetition that the step's selectors name.
func (s *step) pick(n *tree.Node) *tree.Node {
	if len(n.Kids) == 0 {
		if s.first && len(s.sels) == 0 {
			return n
		}
		return nil
	}
	switch {
	case len(s.sels) == 0, len(s.sels) == 1 && s.sels[0].kind == selectFirst:
		return n.First(s.name)
	case len(s.sels) == 1 && s.sels[0].kind == selectWhere:
		return s.sels[0].firstMatch(n, s.name)
	}
	kept := s.all(n, nil)
	if len(kept) == 0 {
		return nil
	}
	return kept[0]
}

// firstMatch returns the first repetition that the predicate takes. A field
// that is null as a whole is null whatever the predicate asks: the sender
// deleted all of its repetitions.
func (b *boundSelector) firstMatch(n *tree.Node, name string) *tree.Node {
	var only *tree.Node
	count := 0
	for _, k := range n.Kids {
		if k.Name != name {
			continue
		}
		if b.matches(k) {
			return k
		}
		only = k
		count++
	}
	if count == 1 && only.State == tree.Null {
		return only
	}
	return nil
}

func (b *boundSelector) matches(n *tree.Node) bool {
	if n.State != tree.Value {
		return false
	}
	f := b.path.leaf(b.path.node(n))
	if f.state == tree.Value {
		for _, v := range b.values {
			if f.text == v {
				return !b.not
			}
		}
	}
	return b.not
}

// all appends the repetitions that the selectors keep, in document order;
// selectors apply from left to right.
func (s *step) all(n *tree.Node, out []*tree.Node) []*tree.Node {
	from := len(out)
	if len(n.Kids) == 0 && s.first && n.State == tree.Value {
		out = append(out, n)
	}
	for _, k := range n.Kids {
		if k.Name == s.name {
			out = append(out, k)
		}
	}
	if len(out) == from+1 && out[from].State == tree.Null {
		return out
	}
	for i := 0; i < len(s.sels) && len(out) > from; i++ {
		out = s.sels[i].keep(out, from)
	}
	if len(s.sels) == 0 && len(out) > from {
		out = out[:from+1]
	}
	return out
}

func (b *boundSelector) keep(out []*tree.Node, from int) []*tree.Node {
	switch b.kind {
	case selectFirst:
		return out[:from+1]
	case selectLast:
		out[from] = out[len(out)-1]
		return out[:from+1]
	case selectIndex:
		if from+b.index >= len(out) {
			return out[:from]
		}
		out[from] = out[from+b.index]
		return out[:from+1]
	case selectWhere:
		kept := out[:from]
		for _, n := range out[from:] {
			if b.matches(n) {
				kept = append(kept, n)
			}
		}
		return kept
	}
	return out
}

// nodes follows a list path; more is true when there are more than
// maxRepetitions. A predicate without [*] keeps its first match.
func (p *boundPath) nodes(start *tree.Node) (out []*tree.Node, more bool) {
	out = []*tree.Node{start}
	for i := range p.steps {
		s := &p.steps[i]
		var next []*tree.Node
		for _, n := range out {
			if n == nil || n.State == tree.Absent {
				continue
			}
			if n.State == tree.Null {
				next = append(next, n)
				continue
			}
			at := len(next)
			next = s.all(n, next)
			if !s.lists() && len(next) > at+1 {
				next = next[:at+1]
			}
			if len(next) > maxRepetitions {
				return nil, true
			}
		}
		out = next
	}
	return out, false
}

// An item is one of an each: its node, and those of the groups on the way.
type item struct {
	node *tree.Node
	way  []*tree.Node
}

// items follows the path of an each, in document order; more as nodes says it.
func (p *boundPath) items(start *tree.Node) (out []item, more bool) {
	if len(p.steps) == 1 {
		nodes, more := p.nodes(start)
		out = make([]item, len(nodes))
		for i, n := range nodes {
			out[i].node = n
		}
		return out, more
	}
	last := len(p.steps) - 1
	var walk func(n *tree.Node, i int, way []*tree.Node) bool
	walk = func(n *tree.Node, i int, way []*tree.Node) bool {
		if n.State == tree.Absent {
			return true
		}
		next := []*tree.Node{n} // what is null is null in all its parts
		if n.State == tree.Value {
			s := &p.steps[i]
			if next = s.all(n, nil); !s.lists() && len(next) > 1 {
				next = next[:1]
			}
		}
		if i == last {
			for _, k := range next {
				out = append(out, item{k, way})
			}
			return len(out) <= maxRepetitions
		}
		for _, k := range next {
			if !walk(k, i+1, append(way[:len(way):len(way)], k)) {
				return false
			}
		}
		return true
	}
	if start != nil && !walk(start, 0, nil) {
		return nil, true
	}
	return out, false
}

// enter makes an item the innermost frames, and returns where they begin.
func (r *run) enter(i item) int {
	at := len(r.frames)
	r.frames = append(append(r.frames, i.way...), i.node)
	return at
}

func (s *step) lists() bool {
	for i := range s.sels {
		if s.sels[i].kind == selectAll {
			return true
		}
	}
	return false
}
