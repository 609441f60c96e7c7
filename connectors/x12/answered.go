package x12

import (
	"bytes"
	"context"
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// answered says what the answer to one interchange of ours means for its document: TA1 by ISA-13, 997 or 999
// by GS-06, from the partner and to us. What says nothing of it changes nothing: a file may.
func (s *Sink) answered(answer []byte, n Numbers) broker.Outcome {
	if answer = bytes.TrimSpace(answer); !bytes.HasPrefix(answer, []byte("ISA")) {
		return broker.Outcome{}
	}
	envs, err := scanEnvelopes(answer)
	if err != nil {
		return broker.Outcome{Warning: "the partner's answer can not be read"}
	}
	var refusals, notes []string
	found := false
	say := func(verdict, what string) {
		found = true
		switch verdict {
		case "A":
		case "E":
			notes = append(notes, what)
		default:
			refusals = append(refusals, what)
		}
	}
	for i := range envs {
		e := &envs[i]
		if partyOf(&e.isa, 5) != s.partner.id || partyOf(&e.isa, 7) != s.partner.own {
			continue
		}
		for k := range e.acks {
			if c, ok := number(e.acks[k].element(1)); ok && uint32(c) == n.Interchange {
				verdict := must(e.acks[k].element(4), 1)
				note := must(e.acks[k].element(5), 3)
				what := "TA1 " + verdict + " " + note
				if m := meanings["TA105 "+note]; m != "" {
					what += " (" + m
					if note == duplicate {
						what += ": this one, when an answer was lost, or another system's"
					}
					what += ")"
				}
				say(verdict, what)
			}
		}
		for k := range e.groups {
			for m := range e.groups[k].sets {
				if t := &e.groups[k].sets[m]; t.se.raw != nil {
					if verdict, codes := groupVerdict(answer, &e.isa, t, n.Group); verdict != "" {
						say(verdict, must(t.st.element(1), 3)+" "+verdict+codes)
					}
				}
			}
		}
	}
	switch {
	case len(refusals) > 0:
		return broker.Outcome{Result: broker.Rejected, Class: "x12.refused", Reason: "the partner did not take it: " + strings.Join(append(refusals, notes...), ", ")}
	case len(notes) > 0:
		return broker.Outcome{Warning: "the partner took it with errors: " + strings.Join(notes, ", ")}
	case !found:
		return broker.Outcome{Warning: "the partner's answer is of something else"}
	}
	return broker.Outcome{}
}

// groupVerdict returns AK9-01 of the 997 or 999 that is of a group, and the places and codes that it names:
// "; NM1 at 3: 8, element 9: 7".
func groupVerdict(body []byte, isa *segment, t *setEnvelope, group uint32) (verdict, codes string) {
	s := &scanner{body: body[:t.end], d: *isa.d, at: t.st.end}
	var b strings.Builder
	ours := false
	for told := 0; ; {
		p, ok := s.cut()
		if !ok || p.tag == tagSE {
			return verdict, b.String()
		}
		seg := s.segment(&p)
		part := func(n, most int) string { return must(seg.element(n), most) }
		switch {
		case p.fault != nil:
		case seg.id == "AK1":
			c, ok := number(seg.element(2))
			ours = ok && uint32(c) == group
		case !ours || told == 20:
		case seg.id == "AK3" || seg.id == "IK3":
			fmt.Fprintf(&b, "; %s at %s: %s", part(1, 3), part(2, 6), part(4, 3))
			told++
		case seg.id == "AK4" || seg.id == "IK4":
			fmt.Fprintf(&b, ", element %s: %s", must(seg.qualifier(1, 1), 2), part(3, 3))
			told++
		}
		if ours && seg.id == "AK9" && p.fault == nil {
			verdict = part(1, 1)
		}
	}
}

// A poster is a carrier that may be answered at once.
type poster interface {
	Post(ctx context.Context, name string, body []byte) (answer []byte, err error)
}
