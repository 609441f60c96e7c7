package hl7

import (
	"slices"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// schemas makes the types of messages and keeps them. Safe for concurrent use.
type schemas struct {
	*dictionary
	declared []*tree.Element // segments that the standard does not have

	mu    sync.Mutex
	types map[string]*tree.Type
}

// of returns the root type for messages of a structure ("ADT_A01", "ADT^A08"),
// the same one for all that are grouped alike; "" gives all groups of all
// structures.
func (s *schemas) of(structure string) *tree.Type {
	t := typeNamed(structure)
	l := s.layoutOf(t)
	name := structure
	if structure == "" {
		l = s.anyLayout()
	} else if l.standard != nil {
		name = l.standard.name
	}
	key := name
	if l.ownPID {
		key += " owns"
	}
	if l.prior {
		key += " prior"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	typ := s.types[key]
	if typ == nil {
		if s.types == nil {
			s.types = make(map[string]*tree.Type)
		}
		typ = s.root(name, l)
		s.types[key] = typ
	}
	return typ
}

// anyLayout is that of a message of any type.
func (d *dictionary) anyLayout() layout {
	all := newGroup(&part{kids: []*part{mergePatient.part()}})
	for i := range rootViews {
		all.unite(rootViews[i].part())
	}
	for _, name := range d.structures().names {
		for _, k := range d.structures().byName[name]().kids {
			if k.isGroup() {
				all.unite(k)
			}
		}
	}
	return layout{standard: all, prior: true}
}

// unite adds a kid so that the group has all that either has.
func (p *part) unite(kid *part) {
	var to *part
	for _, k := range p.kids {
		if k.name == kid.name && k.isGroup() == kid.isGroup() {
			to = k
		}
	}
	if to == nil {
		to = &part{name: kid.name}
		if kid.isGroup() {
			to.kids = []*part{}
		}
		p.kids = append(p.kids, to)
	}
	to.many = to.many || kid.many
	for i, k := range kid.kids {
		to.unite(k)
		if !k.isGroup() && slices.ContainsFunc(kid.kids[:i], func(o *part) bool { return o.name == k.name }) {
			to.unite(&part{name: k.name, many: true}) // it stands in two places
		}
	}
}

func (s *schemas) root(name string, l layout) *tree.Type {
	root := tree.NewType(name, tree.Composite)
	for _, n := range s.order {
		e, count := s.segments[n], l.standard.countOf(n)
		if slices.Contains(orderStarts, n) || count == 0 && slices.Contains(orderOnly, n) || l.ownPID && mergePatient.has(n) {
			continue
		}
		if count > 0 && name != "" {
			e = place(e, count > 1, l.standard.requires(n))
		}
		root.Add(e)
	}
	for _, e := range s.declared {
		root.Add(e)
	}
	root.Add(&tree.Element{Name: orderGroup, Title: "Order", Type: s.orderType(l.standard.group(orderGroup)), Repeats: true})
	if l.ownPID {
		root.Add(s.group(mergePatient.part()))
	}
	if l.prior {
		root.Add(&tree.Element{Name: priorGroup, Title: title(priorGroup), Type: s.everything(priorGroup), Repeats: true})
	}
	for _, r := range l.views {
		root.Add(s.group(r.part()))
	}
	if l.standard != nil {
		for _, k := range l.standard.kids {
			if k.isGroup() && root.Element(k.name) == nil {
				root.Add(s.group(k))
			}
		}
	}
	return root
}

// countOf says how often a segment may stand at the root: 0, 1, or 2 for
// more. What orders own does not count.
func (p *part) countOf(name string) int {
	if p == nil || !p.holds[name] {
		return 0
	}
	n := 0
	for _, k := range p.kids {
		one := 0
		switch {
		case k.isGroup() && !k.isOrder():
			one = k.countOf(name)
		case k.name == name:
			one = 1
		}
		if k.many {
			one *= 2
		}
		n += one
	}
	return min(n, 2)
}

// isOrder: what the group holds belongs to an ORDER.
func (p *part) isOrder() bool {
	return slices.ContainsFunc(p.kids, func(k *part) bool { return slices.Contains(orderStarts, k.name) })
}

// requires says whether a segment always stands in p itself.
func (p *part) requires(name string) bool {
	return slices.ContainsFunc(p.kids, func(k *part) bool { return k.must && k.name == name && !k.isGroup() })
}

// place returns an element for a place where it repeats or does not.
func place(e *tree.Element, repeats, required bool) *tree.Element {
	if e.Repeats == repeats && e.Required == required {
		return e
	}
	one := *e
	one.Repeats, one.Required = repeats, required
	return &one
}

// group returns a group of the standard, exactly.
func (s *schemas) group(p *part) *tree.Element {
	t := tree.NewType(p.name, tree.Composite)
	for i, k := range p.kids {
		again := func(o *part) bool { return o.name == k.name && !o.isGroup() }
		switch e := s.segments[k.name]; {
		case k.isGroup():
			t.Add(s.group(k))
		case e != nil && !slices.ContainsFunc(p.kids[:i], again):
			t.Add(place(e, k.many || slices.ContainsFunc(p.kids[i+1:], again), k.must))
		}
	}
	return &tree.Element{Name: p.name, Title: title(p.name), Type: t, Repeats: p.many, Required: p.must}
}

func title(group string) string { return strings.ReplaceAll(group, "_", " ") }

// orderType is ORDER: every segment that an order may have and those of its
// patient, and the groups inside of the standard's ORDER.
func (s *schemas) orderType(standard *part) *tree.Type {
	t := s.everything(orderGroup)
	for i := range orderViews {
		t.Add(s.group(orderViews[i].part()))
	}
	if standard != nil {
		for _, k := range standard.kids {
			if k.isGroup() && t.Element(k.name) == nil {
				t.Add(s.group(k))
			}
		}
	}
	return t
}

// everything is a group that any segment may stand in that does not end it.
func (s *schemas) everything(name string) *tree.Type {
	t := tree.NewType(name, tree.Composite)
	for _, n := range s.order {
		if name != orderGroup || !endsOrder(n) || slices.Contains(ofPatient, n) {
			t.Add(s.segments[n])
		}
	}
	for _, e := range s.declared {
		t.Add(e)
	}
	return t
}
