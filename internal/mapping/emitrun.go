package mapping

import (
	"fmt"
	"strconv"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// maxSegments bounds the segments of one document.
const maxSegments = 20_000

// document writes the document of an outbound mapping.
func (r *run) document() (*tree.Message, *fault) {
	d := r.m.document
	root := &tree.Node{State: tree.Value}
	if f := r.segments(d.blocks, root); f != nil {
		return nil, f
	}
	if len(root.Kids) == 0 {
		return nil, &fault{class: ClassRequired, text: "no segment of the document has a value"}
	}
	return &tree.Message{Format: d.format, Type: d.set, Root: root}, nil
}

// Emission encodes the document that [Mapping.Run] made of a message: the one
// operation of its unit. An error names the place that the format can not say.
func (m *Mapping) Emission(doc *tree.Message) (broker.Operation, error) {
	body, err := m.document.encoder.Encode(doc)
	if err != nil {
		return broker.Operation{}, err
	}
	return broker.Operation{ID: "document", Model: m.document.set, Do: "emit", Format: m.document.format, Document: body}, nil
}

// segments writes segments and loops into a node.
func (r *run) segments(blocks []*outBlock, into *tree.Node) *fault {
	var open *tree.Node // the loop without a name
	for _, b := range blocks {
		if b.each == nil {
			if f := r.block(b, into, &open, 0); f != nil {
				return f.of(b.at)
			}
			continue
		}
		items, more := b.each.items(r.frames[b.each.depth])
		if more {
			return (&fault{class: ClassLimit, text: fmt.Sprintf("%s: %s repeats more than %d times", b.id, b.each.text, maxRepetitions)}).of(b.at)
		}
		for n, item := range items {
			if item.node.State != tree.Value {
				continue
			}
			outer := r.enter(item)
			f := r.block(b, into, &open, n+1)
			r.frames = r.frames[:outer]
			if f != nil {
				return f.of(b.at)
			}
		}
	}
	return nil
}

// block writes one segment or loop, for the item n of its list.
func (r *run) block(b *outBlock, into *tree.Node, open **tree.Node, n int) *fault {
	if r.trace != nil && n > 0 {
		outer := r.trace.op
		r.trace.op = b.id + "#" + strconv.Itoa(n)
		defer func() { r.trace.op = outer }()
	}
	if f := r.stopped(); f != nil {
		return f.in(b.id)
	}
	if b.when != nil {
		yes, f := r.test(b.when, nil)
		if r.trace != nil && (!yes || f != nil) {
			r.trace.condition(b.id, b.at, yes, f, b.when.labels)
		}
		if f != nil {
			return f.in(b.id + ".when")
		}
		if !yes {
			if b.begins != "" {
				*open = nil
			}
			return nil
		}
	}
	if len(b.elements) == 0 {
		return r.loop(b, into)
	}
	seg := &tree.Node{Name: b.name, State: tree.Value}
	for _, o := range b.elements {
		text, state, f := r.element(o)
		if f != nil {
			return f
		}
		if state != tree.Absent {
			putLeaf(seg, o.names, state, text)
		}
	}
	if f := r.segments(b.blocks, seg); f != nil {
		return f
	}
	if len(seg.Kids) == 0 {
		return nil
	}
	if r.written++; r.written > maxSegments {
		return &fault{class: ClassLimit, text: fmt.Sprintf("%s: more than %d segments", b.id, maxSegments)}
	}
	switch {
	case b.begins != "":
		*open = &tree.Node{Name: b.begins, State: tree.Value}
		into.Kids = append(into.Kids, *open)
		into = *open
	case b.in != "" && *open == nil:
		return nil // what begins the loop was not written, and so this has nothing to belong to
	case b.in != "":
		into = *open
	default:
		*open = nil
	}
	into.Kids = append(into.Kids, seg)
	return nil
}

func (r *run) loop(b *outBlock, into *tree.Node) *fault {
	if b.name == "" {
		return r.segments(b.blocks, into)
	}
	n := &tree.Node{Name: b.name, State: tree.Value}
	if f := r.segments(b.blocks, n); f != nil {
		return f
	}
	switch {
	case len(n.Kids) == 0:
	case b.needs != "" && n.Kids[0].Name != b.needs:
		return &fault{class: ClassRequired, text: fmt.Sprintf("%s: the loop does not begin with %s", b.id, b.needs)}
	default:
		into.Kids = append(into.Kids, n)
	}
	return nil
}

// putLeaf adds a leaf below a node; nodes on the way are shared.
func putLeaf(n *tree.Node, names []string, state tree.State, text string) {
	for _, name := range names[:len(names)-1] {
		k := n.First(name)
		if k == nil {
			k = &tree.Node{Name: name, State: tree.Value}
			n.Kids = append(n.Kids, k)
		}
		n = k
	}
	n.Kids = append(n.Kids, &tree.Node{Name: names[len(names)-1], State: state, Text: text})
}

// element runs the rule of one element.
func (r *run) element(o *outElement) (text string, state tree.State, f *fault) {
	x := o.rule
	r.taint, r.left, r.missed = 0, "", false
	text, state, f = r.elementText(o)
	switch {
	case f != nil || state == tree.Value || r.left == OutcomeWhenFalse && !o.must:
	case x.required:
		f = r.requiredFault(x, state)
	case o.must:
		f = &fault{class: ClassRequired, text: "the standard wants a value here, and there is none"}
	}
	if f == nil && state != tree.Absent {
		f = r.leaves(x.drop)
	}
	if f == nil {
		f = r.count(text)
	}
	if r.trace != nil {
		r.trace.end(x.id(), x.at, outcomeOf(x, state, r.left, f), text, f, r.taint&^x.drop|x.gain)
	}
	switch {
	case f == nil:
		return text, state, nil
	case x.skips(f) && !o.must:
		r.warn(x, f.in(x.id()))
		return "", tree.Absent, nil
	}
	return "", tree.Absent, x.stops(f).in(x.id()).of(x.at)
}

func (r *run) elementText(o *outElement) (string, tree.State, *fault) {
	x := o.rule
	if yes, f := r.when(x); !yes || f != nil {
		r.left = OutcomeWhenFalse
		return "", tree.Absent, f
	}
	d, f := r.source(x)
	if f != nil {
		return "", tree.Absent, f
	}
	if d.state == tree.Absent && x.fallback != nil && r.left == "" {
		d, r.left = x.fallback.datum(), OutcomeDefault
	}
	if d.state != tree.Value {
		return "", d.state, nil
	}
	text, err := o.text(d, r.m.zone)
	if err != nil {
		return "", tree.Absent, x.convertFault(d, err)
	}
	if text == "" {
		return "", tree.Absent, nil
	}
	return text, tree.Value, nil
}
