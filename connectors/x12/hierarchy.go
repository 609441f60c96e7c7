package x12

import "strconv"

// A hierarchy holds the HL segments of a set. A guide of health care counts them from 1 (HL-01) and has each name the one
// that it is in (HL-02), which their order tells as well; of an 856 HL-02 alone tells it. HL-04 says whether others are in it.
type hierarchy struct {
	last int // HL-01 of the one that came last
	all  []*level
	at   map[int]*level // by the position of the segment
}

// A level is one HL.
type level struct {
	at        cause // its HL-01
	id, child string
	inner     *level // the first in it
}

// level compares an HL, which has begun the loop f, with those before it.
func (c *checker) level(s *segment, f *frame) {
	h := &c.hierarchy
	if h.at == nil {
		h.at = map[int]*level{}
	}
	l := &level{at: cause{segment: c.position, id: s.id, loop: f.loop.name, element: 1}, id: string(s.element(1)), child: string(s.element(4))}
	h.all, h.at[c.position] = append(h.all, l), l
	var parent *level
	for f = f.up; f != nil && parent == nil; f = f.up {
		parent = h.at[f.first]
	}
	if parent != nil && parent.inner == nil {
		parent.inner = l
	}
	if c.g.levels() {
		return
	}
	n, err := strconv.Atoi(l.id)
	if l.id != "" && (err != nil || n != h.last+1) {
		c.misfit(l, 1, nil)
	}
	if h.last++; err == nil {
		h.last = n // what follows is counted on from here: a gap is one fault
	}
	if up := string(s.element(2)); up != "" && parent != nil && up != parent.id {
		c.misfit(l, 2, &parent.at)
	}
}

// childless compares HL-04 of each with what is in it, when all are known.
func (c *checker) childless() {
	missing := map[int]bool{} // a loop or segment of the level at this position: the same fault has been told
	for i := range c.faults {
		if f := &c.faults[i]; f.id == "HL" && f.element == 0 {
			missing[f.segment] = true
		}
	}
	for _, l := range c.hierarchy.all {
		switch {
		case l.child == "1" && l.inner == nil && !missing[l.at.segment]:
			c.misfit(l, 4, nil)
		case l.child == "0" && l.inner != nil:
			why := l.inner.at
			why.element = 2
			c.misfit(l, 4, &why)
		}
	}
}

// misfit notes an element of an HL that does not agree with the other HLs.
func (c *checker) misfit(l *level, element int, why *cause) {
	c.note(fault{code: "I12", class: hierarchical, segment: l.at.segment, id: l.at.id, loop: l.at.loop, element: element, cause: why})
}
