package hl7

import (
	"slices"

	"github.com/vagus-health/vagus/internal/tree"
)

// A grouper puts segments where the layout wants them.
type grouper struct {
	b       *builder
	layout  layout
	walk    *walk // nil when no group of the standard is asked for
	root    *tree.Node
	own     *tree.Node // the ORDER, PATIENT or PRIOR_RESULT that is open, or nil
	views   []*tree.Node
	inOrder []*tree.Node // views of the open order
	started uint         // the orderStarts that the open order has, by index; ORC is the first, OBR the second

	patients [][]*tree.Node // segments of each patient
	orders   []placedOrder
}

// A placedOrder is an ORDER and how many patients came before it.
type placedOrder struct {
	node    *tree.Node
	patient int
}

func newGrouper(b *builder, l layout) *grouper {
	g := &grouper{b: b, layout: l, root: b.node("", 1, 0), views: make([]*tree.Node, len(l.views)), inOrder: make([]*tree.Node, len(orderViews))}
	if l.wants(b.dictionary, b.only) {
		g.walk = newWalk(b, l.standard)
	}
	return g
}

func (g *grouper) place(seg *tree.Node) {
	name := seg.Name
	if g.walk != nil {
		g.walk.place(seg)
	}
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
	case g.own != nil && g.own.Name == orderGroup && (endsOrder(name) || slices.Contains(g.layout.orderEnds, name)):
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
	if g.b.segments[name] == nil {
		g.root.Kids = append(g.root.Kids, seg)
	}
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
	i := slices.Index(orderStarts, name)
	if i < 0 {
		return false
	}
	has := g.started
	g.started |= 1 << i
	if g.own == nil || g.own.Name != orderGroup || name == g.layout.orderLead || has&(1<<i) != 0 && (has&3 == 0 || i < 2) {
		g.started = 1 << i
		return true
	}
	return false
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

// ofOnePatient remembers a PID and what follows it of the same patient, one of
// each: every order of the patient gets them.
func (g *grouper) ofOnePatient(seg *tree.Node) {
	if !slices.Contains(ofPatient, seg.Name) {
		return
	}
	if n := len(g.patients); n == 0 || seg.Name == "PID" && g.patients[n-1][0].Name == "PID" {
		g.patients = append(g.patients, make([]*tree.Node, 0, len(ofPatient)))
	}
	p := &g.patients[len(g.patients)-1]
	if !slices.ContainsFunc(*p, func(n *tree.Node) bool { return n.Name == seg.Name }) {
		*p = append(*p, seg)
	}
}

// finish gives every order the PID, PD1, PV1 and PV2 of its patient, the last
// one before it, and returns the root. An order before any patient belongs to
// the only one there is, or to nobody.
func (g *grouper) finish() *tree.Node {
	if g.walk != nil {
		g.walk.finish(g.root, &g.layout, g.orders)
	}
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
