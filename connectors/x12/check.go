package x12

import (
	"bytes"
	"math"
	"strings"
	"unicode/utf8"
)

// A checker compares one transaction set with the guide that it names, and
// notes what is wrong in the words of a 999 (X12.6 and the guides' tables:
// IK304 is data element 620, IK403 is 621). It takes what the decoder takes in
// an order of the sender's own: providers of a claim, HL-02.
type checker struct {
	g          *guide
	d          *delimiters
	dictionary *dictionary
	parts      [][]byte // elements of the segment in hand
	faults     []fault
	levels     []*frame // of a guide whose loops may be gone on with later: they are complete at the end
	position   int      // of the segment in hand
	item       *item    // where it stands, nil: nowhere that the guide has
	cause      *cause   // of the fault that is noted next
	hierarchy  hierarchy
}

// checkSet returns the faults of a set's segments in their order. Of a set without a guide here only the
// elements are compared, by the standard that GS-08 names.
func checkSet(body []byte, isa *segment, t *setEnvelope, g *guide, version string) []fault {
	c := &checker{g: g, d: isa.d}
	var p *placer
	var has map[string]*used
	switch {
	case g == nil && strings.HasPrefix(version, "004010"):
		c.dictionary = dictionaries[release4010]()
	case g == nil && strings.HasPrefix(version, "005010"):
		c.dictionary = dictionaries[release5010]()
	case g == nil:
		c.dictionary = &dictionary{}
	default:
		c.dictionary, has = dictionaries[g.release](), g.has()
		p = newPlacer(nil, g, nil)
		p.check = c
		c.opened(p.open, &t.st)
		p.open.first, p.open.counts[0] = 1, 0 // ST is none of its items
	}
	s := &scanner{body: body[:t.end], d: *isa.d, at: t.st.end}
	for c.position = 2; len(c.faults) < maxFaults; c.position++ {
		piece, ok := s.cut()
		if !ok || piece.tag == tagSE && piece.fault == nil {
			break
		}
		seg := s.segment(&piece)
		seg.number = c.position
		if piece.fault != nil {
			code := "1"
			if piece.fault == faultUnended || piece.fault.element > 0 {
				code = "8"
			}
			c.note(fault{code: code, class: never, id: firstID(seg.raw)})
			if piece.fault.element > 0 {
				c.faults[len(c.faults)-1] = fault{code: "6", class: never, segment: c.position, id: firstID(seg.raw), element: piece.fault.element}
			}
			continue
		}
		if g == nil {
			if def := c.dictionary.segments[seg.id]; def != nil {
				c.elements(&seg, &used{def: def}, nil)
			}
			continue
		}
		u := has[seg.id]
		if u == nil {
			f := fault{code: "6", class: segments, id: seg.id, loop: p.open.loop.name}
			switch {
			case c.dictionary.segments[seg.id] == nil && !g.standard[seg.id]:
				f.code = "1"
			case g.standard[seg.id]:
				f.code, f.class = "I4", notUsed
			}
			c.note(f)
			continue
		}
		c.item = nil
		if err := p.place(&seg, nil); err != nil {
			element := err.(*syntaxError).element
			f := fault{code: "2", class: never, id: seg.id, loop: p.open.loop.name}
			if element > 0 { // what tells which loop begins is not one that may begin here
				f.code, f.element = "I6", element
			}
			c.note(f)
			continue
		}
		c.elements(&seg, u, p.open)
		if seg.id == "HL" && p.open.first == seg.number {
			c.level(&seg, p.open)
		}
	}
	if p != nil {
		c.closed(p.open, nil)
	}
	for _, f := range c.levels {
		c.complete(f)
	}
	c.childless()
	sortFaults(c.faults)
	return c.faults
}

func (c *checker) note(f fault) {
	if len(c.faults) >= maxFaults {
		return
	}
	if f.segment == 0 {
		f.segment = c.position
	}
	c.faults = append(c.faults, f)
}

// opened is told that a loop begins.
func (c *checker) opened(f *frame, s *segment) {
	f.counts, f.first = make([]uint16, len(f.loop.items)), s.number
	f.counts[0] = 1
	if c.g.levels() {
		c.levels = append(c.levels, f)
	}
}

// closed is told that the loops from f out to up, which stays open, have ended.
func (c *checker) closed(f, up *frame) {
	if len(c.levels) > 0 {
		return
	}
	for ; f != up && f != nil; f = f.up {
		c.complete(f)
	}
}

// counted is told that item i of a frame stands there once more.
func (c *checker) counted(f *frame, i int, s *segment) {
	it := &f.loop.items[i]
	c.item = it.starts()
	c.barred(f, i, s)
	if f.counts[i] < math.MaxUint16 {
		f.counts[i]++
	}
	if it.max == 0 || int(f.counts[i]) <= it.max {
		return
	}
	code := "5"
	if it.loop != nil {
		code = "4"
	}
	c.note(fault{code: code, class: segments, id: s.id, loop: f.loop.name})
}

// misplaced is told of a segment that stands where it does not belong: exact
// says that the frame has a place for it.
func (c *checker) misplaced(f *frame, s *segment, exact bool) {
	if exact {
		c.note(fault{code: "7", class: segments, id: s.id, loop: f.loop.name})
		return
	}
	for i := range f.loop.items {
		if it := &f.loop.items[i]; it.segment == s.id && it.when.element > 0 {
			c.note(fault{code: "I6", class: elements, id: s.id, loop: f.loop.name, element: it.when.element, component: it.when.component})
			return
		}
	}
	c.note(fault{code: "2", class: segments, id: s.id, loop: f.loop.name})
}

// complete notes what a loop must have and has not. The place is where the loop
// begins: what is missing stands nowhere.
func (c *checker) complete(f *frame) {
	for i := range f.loop.items {
		it := &f.loop.items[i]
		if !it.required || f.counts[i] > 0 || it.segment == "SE" || it.loop != nil && it.loop.level {
			continue
		}
		code, loop := "3", f.loop.name
		if it.loop != nil {
			code, loop = "I7", it.loop.name
		}
		c.note(fault{code: code, class: segments, segment: f.first, id: it.starts().segment, loop: loop})
	}
	c.lacking(f)
}

// badFunc notes a fault at an element of the segment in hand.
type badFunc func(of class, code string, element, component, repetition int)

// elements compares a segment with the dictionary, with the rules of the guide, and with what the guide says of the
// place where it stands in the loop f; nil is none.
func (c *checker) elements(s *segment, u *used, f *frame) {
	def, loop := u.def, ""
	if f != nil {
		loop = f.loop.name
	}
	c.parts = c.parts[:0]
	have, faulty := uint64(0), uint64(0) // bit n is element n
	bad := func(of class, code string, element, component, repetition int) {
		bit := uint64(1) << min(element, 63)
		if again := faulty&bit > 0; again && (code == "I6" || component == 0 && (code == "1" || code == "2")) {
			return // that it is no code of the list, or is missing, says no more
		}
		faulty |= bit
		c.note(fault{code: code, class: of, id: s.id, loop: loop, element: element, component: component, repetition: repetition, cause: c.cause})
	}
	at, n := len(s.id)+1, 0
	for at <= len(s.raw) && s.raw != nil {
		end := len(s.raw)
		if s.binary == 0 || at < s.binary {
			if k := bytes.IndexByte(s.raw[at:], c.d.element); k >= 0 {
				end = at + k
			}
		}
		n++
		if n > len(def.elements) {
			if len(bytes.TrimSpace(s.raw[at:])) > 0 {
				bad(elements, "3", n, 0, 0)
			}
			break
		}
		e := &def.elements[n-1]
		raw := trimSpaces(s.raw[at:end])
		at = end + 1
		if c.parts = append(c.parts, raw); len(raw) > 0 {
			have |= 1 << n
		}
		switch {
		case s.binary > 0 && e.binary:
		case len(raw) == 0:
			if e.required {
				bad(elements, "1", n, 0, 0)
			}
		case e.repeats && c.d.repetition != 0:
			for r, part := range bytes.Split(raw, []byte{c.d.repetition}) {
				c.compare(def, part, n, r+1, bad)
			}
		case c.d.repetition != 0 && bytes.IndexByte(raw, c.d.repetition) >= 0:
			bad(elements, "12", n, 0, 0)
		default:
			c.compare(def, raw, n, 0, bad)
		}
	}
	for i := n; i < len(def.elements); i++ {
		if def.elements[i].required {
			bad(elements, "1", i+1, 0, 0)
		}
	}
	if c.item != nil {
		c.usage(&c.item.usage, have, bad)
	}
	c.conditions(def.notes, u.rules, have, bad)
	if f != nil {
		c.situations(s, f, u.calls, bad)
	}
}

// trimSpaces takes the spaces at the end away.
func trimSpaces(v []byte) []byte {
	for len(v) > 0 && v[len(v)-1] == ' ' {
		v = v[:len(v)-1]
	}
	return v
}

// number returns that of an element or component, 0 where it has none.
func (def *segmentDef) number(element, component int) int {
	if element < 1 || element > len(def.elements) {
		return 0
	}
	e := &def.elements[element-1]
	if component == 0 {
		return e.number
	}
	if e.parts == nil {
		return 0
	}
	return e.parts.number(component, 0)
}

// compare compares element n, or one repetition of it, with what the dictionary has.
func (c *checker) compare(def *segmentDef, raw []byte, n, repetition int, bad badFunc) {
	e := &def.elements[n-1]
	if e.parts == nil {
		code := leafFault(e.typ.Name, e.least, e.max, raw)
		if code == "" && e.number == period && n > 1 && def.elements[n-2].number == periodFormat {
			code = periodFault(c.parts[n-2], raw)
		}
		if code != "" {
			bad(elements, code, n, 0, repetition)
		}
		return
	}
	have, before, last := uint64(0), []byte(nil), []byte(nil)
	for i, more := 0, true; i < len(e.parts.elements) || more; i++ {
		var part []byte
		part, raw, more = bytes.Cut(raw, []byte{c.d.component})
		if part = trimSpaces(part); i == len(e.parts.elements) {
			bad(elements, "13", n, i+1, repetition)
			break
		}
		k := &e.parts.elements[i]
		if i > 0 {
			before = last
		}
		last = part
		if len(part) == 0 {
			if k.required {
				bad(elements, "1", n, i+1, repetition)
			}
			continue
		}
		have |= 2 << i
		code := leafFault(k.typ.Name, k.least, k.max, part)
		if code == "" && k.number == period && i > 0 && e.parts.elements[i-1].number == periodFormat {
			code = periodFault(before, part)
		}
		if code != "" {
			bad(elements, code, n, i+1, repetition)
		}
	}
	for i := range e.parts.notes {
		if k, code := e.parts.notes[i].broken(have); k > 0 {
			bad(conditions, code, n, k, repetition)
		}
	}
}

// leafFault compares a value with its data type (X12.6 section 3.4) and
// returns the code for what is wrong, or "".
func leafFault(kind string, least, most int, v []byte) string {
	for _, c := range v {
		if c < ' ' || c == 0x7f {
			return "6"
		}
	}
	size := len(v)
	switch {
	case kind == "DT":
		if !isDate(v) || len(v) != most {
			return "8"
		}
	case kind == "TM":
		if !isTime(v) {
			return "9"
		}
	case kind == "R" || kind[0] == 'N' && len(kind) == 2:
		digits, ok := digitsOf(v, kind == "R")
		if !ok {
			return "6"
		}
		size = digits
	case size > most:
		size = utf8.RuneCount(v)
	}
	if most > 0 && size > most {
		return "5"
	}
	if size < least {
		return "4"
	}
	return ""
}

// digitsOf counts the digits of a number: a sign and the decimal point do not
// count as its length.
func digitsOf(v []byte, real bool) (n int, ok bool) {
	if v[0] == '-' {
		v = v[1:]
	}
	point := false
	for _, c := range v {
		switch {
		case c >= '0' && c <= '9':
			n++
		case c == '.' && real && !point:
			point = true
		default:
			return 0, false
		}
	}
	return n, n > 0
}

// firstID is what stands where a segment's identifier should, as far as it can be
// written into an acknowledgment.
func firstID(raw []byte) string {
	n := 0
	for n < len(raw) && n < 3 && (raw[n] >= '0' && raw[n] <= '9' || raw[n] >= 'A' && raw[n] <= 'Z' || raw[n] >= 'a' && raw[n] <= 'z') {
		n++
	}
	if n == 0 {
		return "???"
	}
	return string(bytes.ToUpper(raw[:n]))
}

// segmentIDs collects the segments that a loop and those in it have.
func (l *loop) segmentIDs(ids map[string]bool, seen map[*loop]bool) {
	if seen[l] {
		return
	}
	seen[l] = true
	for i := range l.items {
		if it := &l.items[i]; it.loop != nil {
			it.loop.segmentIDs(ids, seen)
		} else {
			ids[it.segment] = true
		}
	}
}
