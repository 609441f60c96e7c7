package x12

import (
	"bytes"
	"strconv"
)

// A stretch is some segments of a transaction set in a row.
type stretch struct {
	from, to    int // bytes of the body
	first, last int // positions in the set, from 1 for ST
}

// A claim is one claim of an 837: its own segments, and those of the loops
// that it stands in.
type claim struct {
	id    []byte // CLM-01
	parts []stretch
}

// claimsOf finds the claims of an 837. What they share - the header, 2000A of the
// provider, 2000B of the subscriber, 2000C of a patient who is not - is told by
// HL-03 and the order of the segments, as in the guides; HL-02 repeats it.
func claimsOf(body []byte, isa *segment, t *setEnvelope) []claim {
	s := &scanner{body: body[:t.end], d: *isa.d, at: t.st.start}
	var (
		all    []claim
		levels [4]stretch // ST to the first HL, 20, 22, 23
		open   = &levels[0]
		mine   stretch
		id     []byte
	)
	open.from, open.first = t.st.start, 1
	end := func(at, position int) {
		if open != nil {
			open.to, open.last = at, position-1
			open = nil
		}
		if mine.first == 0 {
			return
		}
		mine.to, mine.last = at, position-1
		c := claim{id: id, parts: make([]stretch, 0, 5)}
		for _, l := range levels {
			if l.first > 0 {
				c.parts = append(c.parts, l)
			}
		}
		c.parts = append(c.parts, mine)
		all = append(all, c)
		mine = stretch{}
	}
	for position := 1; ; position++ {
		p, ok := s.cut()
		if !ok || p.tag == tagSE && p.fault == nil {
			if !ok {
				p.start = s.at
			}
			end(p.start, position)
			return all
		}
		switch p.tag {
		case tagHL:
			end(p.start, position)
			seg := s.segment(&p)
			level := 3
			switch string(seg.element(3)) {
			case "20":
				level = 1
			case "22":
				level = 2
			}
			for i := level; i < len(levels); i++ {
				levels[i] = stretch{}
			}
			open = &levels[level]
			open.from, open.first = p.start, position
		case tagCLM:
			end(p.start, position)
			seg := s.segment(&p)
			id = seg.element(1)
			mine = stretch{from: p.start, first: position}
		}
	}
}

// sizeOf is how many bytes claims have, with what each repeats.
func sizeOf(claims []claim) (n int) {
	for i := range claims {
		for _, p := range claims[i].parts {
			n += p.to - p.from
		}
	}
	return n
}

// reduced returns an interchange that holds the given parts of one transaction
// set and nothing else: every segment as it was sent, and trailers that count
// what is there.
func reduced(body []byte, in *envelope, g *groupEnvelope, t *setEnvelope, parts []stretch) []byte {
	size, n := 0, 1
	for _, p := range parts {
		size += p.to - p.from
		n += p.last - p.first + 1
	}
	var b bytes.Buffer
	b.Grow(size + 300)
	d := in.isa.d
	trailer := func(id string, n int, control []byte) {
		b.WriteString(id)
		b.WriteByte(d.element)
		b.WriteString(strconv.Itoa(n))
		b.WriteByte(d.element)
		b.Write(control)
		b.Write(d.terminator)
	}
	b.Write(body[in.isa.start:in.isa.end])
	b.Write(body[g.gs.start:g.gs.end])
	for _, p := range parts {
		b.Write(body[p.from:p.to])
	}
	trailer("SE", n, t.st.element(2))
	trailer("GE", 1, g.gs.element(6))
	trailer("IEA", 1, in.isa.element(13))
	return b.Bytes()
}
