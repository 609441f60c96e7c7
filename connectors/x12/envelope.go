package x12

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// maxGroups bounds the functional groups of one delivery, maxInterchanges its
// interchanges, maxAcks the TA1s of one of them.
const (
	maxGroups       = 10_000
	maxInterchanges = 1_000
	maxAcks         = 1_000
)

// An envelope is one interchange of what was delivered, ISA to IEA, and what
// is wrong with it as a whole.
type envelope struct {
	isa    segment
	start  int
	end    int
	groups []groupEnvelope
	acks   []segment // TA1
	faults []fault   // in TA105 codes
}

// A groupEnvelope is a functional group, GS to GE.
type groupEnvelope struct {
	gs       segment
	sets     []setEnvelope
	included int     // GE-01, or how many sets there are where it says nothing
	faults   []fault // in AK905 codes
}

// A setEnvelope is a transaction set, ST to SE.
type setEnvelope struct {
	st, se   segment // se.raw is nil where there is none
	start    int
	end      int
	segments int // with ST and SE
	faults   []fault
}

// scanEnvelopes finds interchanges, groups and transaction sets in one pass
// that copies nothing and allocates nothing for a segment. It returns an error where what was
// delivered can not be told apart: no ISA, one of which not even the sender can be read,
// or segments that stand in no interchange.
func scanEnvelopes(body []byte) ([]envelope, error) {
	s, err := newScanner(body)
	if err != nil {
		return nil, err
	}
	e := envelopes{s: s}
	for {
		if e.set != nil {
			n := s.pass()
			e.set.segments += n
			s.number += n
		}
		p, ok := piece{}, false
		if s.d.terminator != nil {
			p, ok = s.cut()
		}
		if !ok {
			if s.at == len(body) {
				break
			}
			if err := e.begin(); err != nil {
				return nil, err
			}
			continue
		}
		if p.number > maxSegments {
			return nil, &syntaxError{segment: p.number, offset: p.start, what: fmt.Sprintf("over %d segments at once", maxSegments)}
		}
		if e.set != nil && p.fault == nil && p.tag != tagSE && p.tag != tagST && p.tag != tagGE && p.tag != tagGS && p.tag != tagIEA {
			e.set.segments++
			continue
		}
		if err := e.piece(&p); err != nil {
			return nil, err
		}
	}
	e.endInterchange(len(body))
	return e.all, nil
}

// envelopes is what scanEnvelopes has found; in, group and set are open, or nil.
type envelopes struct {
	s      *scanner
	all    []envelope
	in     *envelope
	group  *groupEnvelope
	set    *setEnvelope
	groups int
	sets   int
}

func (e *envelopes) begin() error {
	e.endInterchange(e.s.at)
	if len(e.all) == maxInterchanges {
		return &syntaxError{segment: e.s.number, offset: e.s.at, what: fmt.Sprintf("over %d interchanges at once", maxInterchanges)}
	}
	isa, err := e.s.isa()
	if se := (*syntaxError)(nil); errors.As(err, &se) && se.code != "" { // what follows can not be told apart, and who sent it can
		e.all = append(e.all, envelope{isa: isa, start: isa.start, end: len(e.s.body), faults: []fault{{code: se.code, class: never}}})
		e.s.at = len(e.s.body)
		return nil
	}
	if err != nil {
		return err
	}
	e.all = append(e.all, envelope{isa: isa, start: isa.start})
	e.in = &e.all[len(e.all)-1]
	return nil
}

// piece takes a segment that is of the envelope, or stands outside of a set.
func (e *envelopes) piece(p *piece) error {
	seg := e.s.segment(p)
	if e.in == nil {
		return seg.errorf(0, 0, "the segment stands in no interchange: ISA is missing, or it follows IEA")
	}
	seg.d = e.in.isa.d
	switch {
	case p.fault != nil && e.set != nil: // the checker says more
		e.set.segments++
	case p.fault != nil:
		e.in.note("022", never)
	case p.tag == tagGS:
		e.endGroup()
		if e.groups++; e.groups > maxGroups {
			return seg.errorf(0, 0, "over %d functional groups at once", maxGroups)
		}
		e.in.groups = append(e.in.groups, groupEnvelope{gs: seg})
		e.group = &e.in.groups[len(e.in.groups)-1]
	case p.tag == tagST:
		e.endSet()
		if e.sets++; e.sets > maxSets {
			return seg.errorf(0, 0, "over %d transaction sets at once", maxSets)
		}
		if e.group == nil {
			e.in.note("022", never)
			e.in.groups = append(e.in.groups, groupEnvelope{})
			e.group = &e.in.groups[len(e.in.groups)-1]
		}
		e.group.sets = append(e.group.sets, setEnvelope{st: seg, start: seg.start, segments: 1})
		e.set = &e.group.sets[len(e.group.sets)-1]
	case p.tag == tagSE:
		if e.set == nil {
			e.in.note("022", never)
			return nil
		}
		e.set.segments++
		e.set.se, e.set.end = seg, seg.end
		e.set.trailer()
		e.set = nil
	case p.tag == tagGE:
		e.endSet()
		if e.group == nil {
			e.in.note("022", never)
			return nil
		}
		e.group.trailer(&seg)
		e.group = nil
	case p.tag == tagIEA:
		e.endSet()
		e.endGroup()
		e.in.end = seg.end
		e.in.trailer(&seg)
		e.in = nil
	case p.tag == tagTA1 && e.group == nil && len(e.in.acks) < maxAcks:
		e.in.acks = append(e.in.acks, seg)
	case (p.tag == tagISB || p.tag == tagISE || p.tag == tagTA3) && e.group == nil:
		// the grade and time of delivery that a network was asked for: nothing that we do
	default:
		e.in.note("022", never)
	}
	return nil
}

// endInterchange, endGroup and endSet close what its own trailer did not.
func (e *envelopes) endInterchange(at int) {
	e.endGroup()
	if e.in != nil {
		e.in.note("023", never)
		e.in.end, e.in = at, nil
	}
}

func (e *envelopes) endGroup() {
	e.endSet()
	if e.group != nil {
		if e.group.gs.raw != nil {
			e.group.note("3", never)
		}
		e.group.included, e.group = len(e.group.sets), nil
	}
}

func (e *envelopes) endSet() {
	if e.set != nil {
		e.set.faults = append(e.set.faults, fault{code: "2", class: never})
		e.set.end, e.set = e.set.start, nil
	}
}

func (in *envelope) note(code string, c class) {
	if len(in.faults) < maxFaults {
		in.faults = append(in.faults, fault{code: code, class: c})
	}
}

func (g *groupEnvelope) note(code string, c class) {
	g.faults = append(g.faults, fault{code: code, class: c})
}

// trailer compares SE with the set (X12.6 section 3.11).
func (t *setEnvelope) trailer() {
	if n, ok := number(t.se.element(1)); !ok || n != t.segments {
		t.faults = append(t.faults, fault{code: "4", class: counts})
	}
	if !bytes.Equal(t.se.element(2), t.st.element(2)) {
		t.faults = append(t.faults, fault{code: "3", class: controlNumbers})
	}
}

func (g *groupEnvelope) trailer(ge *segment) {
	n, ok := number(ge.element(1))
	if g.included = n; !ok || n != len(g.sets) {
		g.note("5", counts)
	}
	if !ok {
		g.included = len(g.sets)
	}
	if g.gs.raw != nil && !sameNumber(ge.element(2), g.gs.element(6)) {
		g.note("4", controlNumbers)
	}
}

func (in *envelope) trailer(iea *segment) {
	if n, ok := number(iea.element(1)); !ok || n != len(in.groups) {
		in.note("021", counts)
	}
	if !sameNumber(iea.element(2), in.isa.element(13)) {
		in.note("001", controlNumbers)
	}
}

// number reads a count of at most nine digits.
func number(b []byte) (int, bool) {
	if len(b) == 0 || len(b) > 9 {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
	}
	n, err := strconv.Atoi(string(b))
	return n, err == nil
}

// sameNumber compares control numbers: zeros before them do not count.
func sameNumber(a, b []byte) bool {
	return bytes.Equal(bytes.TrimLeft(a, "0"), bytes.TrimLeft(b, "0"))
}
