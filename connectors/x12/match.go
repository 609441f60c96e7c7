package x12

import (
	"context"

	"github.com/vagus-health/vagus/broker"
)

// match compares the acknowledgments in an interchange with what went out to
// its partner: a TA1 by ISA-13, a 997 or 999 by GS-06. One of nothing that we remember is
// a message like any other, and somebody is told.
func (r *Receiver) match(ctx context.Context, j *judged) {
	if j.partner == nil || j.verdict == refused {
		return
	}
	for i := range j.env.acks {
		n, ok := number(j.env.acks[i].element(1))
		document := ""
		if ok {
			document, ok = r.register.find(j.partner.counter(), "ISA", uint32(n))
		}
		r.matched(ctx, j, acknowledgment.set, join(j.env.acks[i].element(1)), document, ok)
	}
	for i := range j.groups {
		for k := range j.groups[i].sets {
			t := &j.groups[i].sets[k]
			set := string(t.env.st.element(1))
			if set != Ack997 && set != Ack999 || t.verdict == refused {
				continue
			}
			for _, m := range t.messages {
				if m.msg == nil {
					continue
				}
				control := groupAnswered(m.msg.Body)
				n, ok := number(control)
				document := ""
				if ok {
					document, ok = r.register.find(j.partner.counter(), "GS", uint32(n))
				}
				r.matched(ctx, j, set, join(control), document, ok)
			}
		}
	}
}

func (r *Receiver) matched(ctx context.Context, j *judged, set, control, document string, ok bool) {
	if ok {
		r.acks.Add(ctx, 1)
		r.log.Info("acknowledgment of what was sent", "partner", j.partner.Name, "set", set, "control", control, "document", document)
		return
	}
	r.strays.Add(ctx, 1)
	r.log.Warn("acknowledgment of nothing that was sent from here", "partner", j.partner.Name, "set", set, "control", control)
}

// groupAnswered returns AK1-02.
func groupAnswered(body broker.PHI) []byte {
	s, err := newScanner(body)
	if err != nil {
		return nil
	}
	for {
		seg, ok, err := s.next()
		if err != nil || !ok {
			return nil
		}
		if seg.id == "AK1" {
			return seg.element(2)
		}
	}
}
