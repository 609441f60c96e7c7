package x12

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"strconv"
)

// Seal puts one transaction set, as [Encoder] writes it, into an interchange of ours to
// a partner, with the control numbers that a [Register] gave. set is ST-01
// ("850"), version GS-08 ("004010"). ST and SE are made; ST-02, which the partner's 997 or 999 repeats, is the
// document's own if it has one.
func (p Partner) Seal(set, version string, document []byte, n Numbers) ([]byte, error) {
	if err := p.fill(); err != nil {
		return nil, fmt.Errorf("x12: partner %s: %w", p.Name, err)
	}
	function := functions[set]
	switch {
	case p.ID == Anyone:
		return nil, fmt.Errorf("x12: partner %s: id: nothing can be sent to everybody", p.Name)
	case function == "":
		return nil, fmt.Errorf("x12: transaction set %q is none that is sent", set)
	case n.Interchange == 0 || n.Group == 0:
		return nil, errors.New("x12: an interchange needs control numbers from a register")
	case !isPlain(version) || len(version) < 6 || len(version) > 12:
		return nil, errors.New("x12: the version is none of X12")
	}
	w := newEnvelopeWriter(version)
	s, err := newScanner(append([]byte("ISA*00**00**ZZ*A*ZZ*B*260101*0000*"+standardOf(w.d)+"*"+w.control+"*1*0*P*"+string(w.d.component)+"~"), document...))
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	count, control := 0, "0001"
	for first := true; ; first = false {
		seg, ok, err := s.next()
		if err != nil {
			return nil, fmt.Errorf("x12: the document: %w", err)
		}
		if !ok {
			break
		}
		if own := string(seg.element(2)); seg.id == "ST" && own != "" {
			if control = own; len(own) < 4 || len(own) > 9 || must(seg.element(2), 9) != own || string(seg.element(1)) != set {
				return nil, seg.errorf(2, 0, "ST names another set, or its control number is not of four to nine letters and digits")
			}
		}
		if first || seg.id == "ST" || seg.id == "SE" {
			continue
		}
		if seg.id == "ISA" || seg.id == "GS" || seg.id == "GE" || seg.id == "IEA" {
			return nil, seg.errorf(0, 0, "the document has an envelope of its own")
		}
		body.Write(seg.raw)
		body.Write(w.d.terminator)
		count++
	}
	if count == 0 {
		return nil, errors.New("x12: the document is empty")
	}
	guide := ""
	if len(version) > 6 {
		guide = version
	}
	w.interchange(&sealing{from: p.own, to: p.id, usage: p.Usage, numbers: n, groups: []sealedGroup{{
		function: function, from: p.OwnCode, to: p.Code, version: version,
		sets: []sealedSet{{set: set, guide: guide, control: control, body: body.Bytes(), segments: count}},
	}}})
	return w.out.Bytes(), nil
}

// functions are the functional groups, GS-01, of transaction sets.
var functions = map[string]string{"810": "IN", "820": "RA", "835": "HP", "837": "HC", "850": "PO", "855": "PR", "856": "SH", "860": "PC", "277": "HN", "997": "FA", "999": "FA"}

// belongs says whether a group of this function may hold the set, as far as either is known here.
func belongs(set, function string) bool {
	if own, known := functions[set]; known {
		return own == function
	}
	for _, other := range functions {
		if other == function {
			return false
		}
	}
	return true
}

// A sealing is an interchange to be written.
type sealing struct {
	from, to party
	usage    string
	numbers  Numbers
	acks     []string // TA1 segments without terminator
	groups   []sealedGroup
}

type sealedGroup struct {
	function, from, to, version string
	sets                        []sealedSet
}

// A sealedSet is what stands between ST and SE.
type sealedSet struct {
	set, guide string
	control    string // ST-02; "": its position in the group
	body       []byte
	segments   int // in body
}

// An envelopeWriter writes interchanges with the delimiters of a release.
type envelopeWriter struct {
	out     bytes.Buffer
	d       delimiters
	control string // ISA-12
}

// delimitersOf are those that we write in a version.
func delimitersOf(version string) delimiters {
	if version < "00402" {
		return delimiters{'*', '>', 0, []byte{'~'}}
	}
	return delimiters{'*', ':', '^', []byte{'~'}}
}

// standardOf is ISA-11: the repetition separator, or U of versions without.
func standardOf(d delimiters) string {
	if d.repetition == 0 {
		return "U"
	}
	return string(d.repetition)
}

func newEnvelopeWriter(version string) *envelopeWriter {
	w := &envelopeWriter{d: delimitersOf(version), control: "00501"}
	if w.d.repetition == 0 {
		w.control = "00401"
	}
	return w
}

func (w *envelopeWriter) segment(parts ...string) {
	for i, p := range parts {
		if i > 0 {
			w.out.WriteByte(w.d.element)
		}
		w.out.WriteString(p)
	}
	w.out.Write(w.d.terminator)
}

func (w *envelopeWriter) interchange(s *sealing) {
	control := fmt.Sprintf("%09d", s.numbers.Interchange)
	w.segment("ISA", "00", "          ", "00", "          ", s.from.qualifier, fmt.Sprintf("%-15s", s.from.id), s.to.qualifier, fmt.Sprintf("%-15s", s.to.id),
		s.numbers.At.Format("060102"), s.numbers.At.Format("1504"), standardOf(w.d), w.control, control, "0", s.usage, string(w.d.component))
	for _, a := range s.acks {
		w.segment(a)
	}
	for i, g := range s.groups {
		number := strconv.Itoa(int(following(s.numbers.Group, i)))
		w.segment("GS", g.function, g.from, g.to, s.numbers.At.Format("20060102"), s.numbers.At.Format("1504"), number, "X", g.version)
		for j, t := range g.sets {
			st := cmp.Or(t.control, fmt.Sprintf("%04d", j+1))
			if t.guide == "" {
				w.segment("ST", t.set, st)
			} else {
				w.segment("ST", t.set, st, t.guide)
			}
			w.out.Write(t.body)
			w.segment("SE", strconv.Itoa(t.segments+2), st)
		}
		w.segment("GE", strconv.Itoa(len(g.sets)), number)
	}
	w.segment("IEA", strconv.Itoa(len(s.groups)), control)
}
