package x12

import (
	"bytes"
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// A verdict is AK501, AK901 or TA104, in the order of severity.
type verdict byte

const (
	accepted verdict = 'A'
	noted    verdict = 'E' // accepted, with errors
	partly   verdict = 'P' // a group: some of its sets
	refused  verdict = 'R'
)

// older are the codes of a 999 in the words of a 997 (data elements 720 and
// 723), which knows no implementation guides.
var (
	olderSegment = map[string]string{"I4": "2", "I6": "3", "I7": "3", "I9": "2"}
	olderElement = map[string]string{"I6": "7", "I9": "2", "I10": "10", "I12": "7", "I13": "10", "12": "6", "13": "3"}
	olderSet     = map[string]string{"I5": "5", "I6": "1", "18": "6", "19": "1", "23": "7"}
	olderGroup   = map[string]string{"19": "6"}
)

// acknowledges says with which set a group is answered: "997", "999", or ""
// for none. An acknowledgment is never acknowledged (X12.20, X12.56).
func (p *Partner) acknowledges(g *groupEnvelope) string {
	version := string(g.gs.element(8))
	switch {
	case p.Ack == AckNone || string(g.gs.element(1)) == "FA":
		return ""
	case p.Ack != AckAuto:
		return p.Ack
	case strings.HasPrefix(version, "005010X"):
		return Ack999
	}
	return Ack997
}

// An acker writes the body of one 997 or 999.
type acker struct {
	kind     string // "997" or "999"
	body     []byte // of the delivery
	isa      *segment
	d        delimiters
	out      bytes.Buffer
	segments int
}

func (a *acker) segment(parts ...string) {
	for len(parts) > 1 && parts[len(parts)-1] == "" {
		parts = parts[:len(parts)-1]
	}
	for i, p := range parts {
		if i > 0 {
			a.out.WriteByte(a.d.element)
		}
		a.out.WriteString(p)
	}
	a.out.Write(a.d.terminator)
	a.segments++
}

// is returns a segment's id in the kind that is written: AK3 or IK3.
func (a *acker) is(n string) string {
	if a.kind == Ack999 {
		return "IK" + n
	}
	return "AK" + n
}

// code translates a code of a 999 where a 997 is written.
func (a *acker) code(code string, older map[string]string) string {
	if o := older[code]; o != "" && a.kind == Ack997 {
		return o
	}
	return code
}

// echo returns an element of the sender's, if it can stand in a segment of ours.
func (a *acker) echo(v []byte, most int) string {
	for _, c := range v {
		if c < ' ' || c > 0x7e || c == a.d.element || c == a.d.component || c == a.d.terminator[0] || c == a.d.repetition {
			return ""
		}
	}
	if len(v) > most {
		return ""
	}
	return string(v)
}

// must is echo for what may not be empty: what can be said of it, or 0.
func must(v []byte, most int) string {
	var b strings.Builder
	for _, c := range v {
		if (c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z') && b.Len() < most {
			b.WriteByte(c)
		}
	}
	if b.Len() == 0 {
		return "0"
	}
	return b.String()
}

// group writes what became of a functional group.
func (a *acker) group(g *judgedGroup) {
	ak1 := []string{"AK1", must(g.env.gs.element(1), 2), must(g.env.gs.element(6), 9), ""}
	if a.kind == Ack999 || strings.HasPrefix(string(g.env.gs.element(8)), "005") {
		ak1[3] = a.echo(g.env.gs.element(8), 12)
	}
	a.segment(ak1...)
	taken := 0
	for i := range g.sets {
		t := &g.sets[i]
		if t.verdict != refused {
			taken++
		}
		if g.verdict != refused || len(t.faults) > 0 {
			a.set(g, t)
		}
	}
	ak9 := []string{"AK9", string(g.verdict), strconv.Itoa(g.env.included), strconv.Itoa(len(g.sets)), strconv.Itoa(taken)}
	a.segment(append(ak9, a.codes(g.faults, olderGroup)...)...)
}

// codes are at most five different ones.
func (a *acker) codes(faults []fault, older map[string]string) (codes []string) {
	seen := map[string]bool{}
	for _, f := range faults {
		c := a.code(f.code, older)
		if f.segment == 0 && !seen[c] && len(codes) < 5 {
			codes = append(codes, c)
			seen[c] = true
		}
	}
	return codes
}

// control is ST-02, as it was sent if that can be said.
func (t *judgedSet) control(a *acker) string {
	if c := a.echo(t.env.st.element(2), 9); c != "" {
		return c
	}
	return must(t.env.st.element(2), 9)
}

func (a *acker) set(g *judgedGroup, t *judgedSet) {
	set := must(t.env.st.element(1), 3)
	ak2 := []string{"AK2", strings.Repeat("0", 3-len(set)) + set, t.control(a), ""}
	if a.kind == Ack999 || strings.HasPrefix(string(g.env.gs.element(8)), "005") {
		ak2[3] = a.echo(t.env.st.element(3), 35)
	}
	a.segment(ak2...)
	sent := copier{s: scanner{body: a.body[:max(t.env.end, t.env.st.end)], d: *a.isa.d, at: t.env.st.end}, position: 1}
	for i := 0; i < min(len(t.faults), maxTold); {
		f := &t.faults[i]
		if f.segment == 0 {
			i++
			continue
		}
		code := a.code(f.code, olderSegment)
		if f.element > 0 {
			code = "8"
		}
		a.segment(a.is("3"), f.id, strconv.Itoa(f.segment), loopID(f.loop), code)
		if f.element == 0 {
			a.cause(f)
		}
		if id := t.claimAt(f.segment); a.kind == Ack999 && id != nil {
			if text := a.echo(id, 35); text != "" {
				a.segment("CTX", "CLM01"+string(a.d.component)+text)
			}
		}
		if f.element == 0 {
			i++
			continue
		}
		for at := f.segment; i < len(t.faults) && t.faults[i].segment == at && t.faults[i].element > 0; i++ {
			f := &t.faults[i]
			place := strconv.Itoa(f.element)
			if f.component > 0 {
				place += string(a.d.component) + strconv.Itoa(f.component)
			}
			if f.repetition > 1 && a.d.repetition != 0 {
				if f.component == 0 {
					place += string(a.d.component)
				}
				place += string(a.d.component) + strconv.Itoa(f.repetition)
			}
			number := ""
			if n := f.number(); n > 0 {
				number = strconv.Itoa(n)
			}
			a.segment(a.is("4"), place, number, a.code(f.code, olderElement), a.echo(sent.value(f), 99))
			a.cause(f)
		}
	}
	codes := a.codes(slices.Concat(t.faults, t.places()), olderSet)
	a.segment(append([]string{a.is("5"), string(t.verdict)}, codes...)...)
}

// cause writes, in a 999, which element it is whose value called for another, or excluded it.
func (a *acker) cause(f *fault) {
	if f.cause == nil || a.kind != Ack999 {
		return
	}
	place := strconv.Itoa(f.cause.element)
	if f.cause.component > 0 {
		place += string(a.d.component) + strconv.Itoa(f.cause.component)
	}
	a.segment("CTX", "SITUATIONAL TRIGGER", f.cause.id, strconv.Itoa(f.cause.segment), loopID(f.cause.loop), place)
}

// loopID is a loop as far as it can be told: data element 447 has no room for more than four characters (2010AA has more),
// and HL_I is a name of ours.
func loopID(loop string) string {
	if len(loop) > 4 || loop != "" && loop[0] > '9' {
		return ""
	}
	return loop
}

// answer writes the interchange that answers one: TA1 and acknowledgments; nil where
// nothing is to be said. numbers gives the control numbers for so many groups.
func (j *judged) answer(numbers func(groups int) (Numbers, error)) (out []byte, ext string, err error) {
	if !j.isAddressed() {
		return nil, "", nil
	}
	version := "005010"
	if c := string(j.env.isa.element(12)); c != "" && c < "00402" {
		version = "004010"
	}
	w := newEnvelopeWriter(version)
	s := sealing{from: j.to, to: j.from, usage: j.usage()}
	if j.saysTA1() {
		ext = "ta1"
		a := acker{d: w.d}
		code := "000"
		if codes := a.codes(j.faults, nil); len(codes) > 0 {
			code = codes[0]
		}
		n, _ := number(j.env.isa.element(13))
		control := padded(n)
		s.acks = append(s.acks, strings.Join([]string{"TA1", control, onlyDigits(j.env.isa.element(9)), onlyDigits(j.env.isa.element(10)), string(j.verdict), code}, string(w.d.element)))
	}
	for _, kind := range []string{Ack997, Ack999} {
		var sets []sealedSet
		var of *judgedGroup
		for i := range j.groups {
			g := &j.groups[i]
			if j.partner.acknowledges(g.env) != kind { // there are groups where there is a partner
				continue
			}
			a := acker{kind: kind, d: w.d, body: j.body, isa: &j.env.isa}
			a.group(g)
			t := sealedSet{set: kind, body: a.out.Bytes(), segments: a.segments}
			if kind == Ack999 {
				t.guide = ack999Version
			}
			sets, of = append(sets, t), g
		}
		if sets == nil {
			continue
		}
		ext = kind
		a := acker{d: w.d}
		g := sealedGroup{function: "FA", from: cmp.Or(a.echo(of.env.gs.element(3), 15), j.to.id), to: cmp.Or(a.echo(of.env.gs.element(2), 15), j.from.id), version: version, sets: sets}
		if kind == Ack999 {
			g.version = ack999Version
		}
		s.groups = append(s.groups, g)
	}
	if s.acks == nil && s.groups == nil {
		return nil, "", nil
	}
	if s.numbers, err = numbers(len(s.groups)); err != nil {
		return nil, "", err
	}
	w.interchange(&s)
	return w.out.Bytes(), ext, nil
}

// isAddressed says whether there is somebody to answer, and a number to answer to.
func (j *judged) isAddressed() bool {
	_, ok := number(j.env.isa.element(13))
	for _, p := range []party{j.from, j.to} {
		_, err := readParty(p.String())
		ok = ok && err == nil && notBlank([]byte(p.id)) && notBlank([]byte(p.qualifier))
	}
	return ok
}

const ack999Version = "005010X231A1"

func padded(n int) string {
	s := strconv.Itoa(n)
	return strings.Repeat("0", max(9-len(s), 0)) + s
}

// onlyDigits is what can be said back of a date or a time.
func onlyDigits(v []byte) string {
	var b strings.Builder
	for _, c := range v[:min(len(v), 8)] {
		if c >= '0' && c <= '9' {
			b.WriteByte(c)
		}
	}
	return b.String()
}
