package x12

import (
	"bytes"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// FuzzReceive: whatever is delivered, nothing panics, every message that comes
// of it decodes alone where its guide is one of ours, the answer is one that we would take ourselves, and
// a second delivery has the same messages and the same answer.
func FuzzReceive(f *testing.F) {
	addSeeds(f)
	f.Add(manyClaims(3))
	f.Add(sent("005010X221A1", "HP", 3, remittance("80", "100")))
	f.Add(sent("004010", "PO", 7, "850*0001~BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"))
	f.Add(sent("005010X231A1", "FA", 12, "999*0001*005010X231A1~AK1*HC*1*005010X222A1~AK2*837*0001~IK5*A~AK9*A*1*1*1~"))
	strict, lenient := open(f, anyone()), open(f, anyone("counts", "control_numbers", "headers", "segments", "elements", "not_used", "situations", "conditions", "codes", "balance", "line_breaks"))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, r := range []*Receiver{strict, lenient} {
			var s, again store
			at := time.Now().UTC()
			first, err := r.Receive(t.Context(), broker.Delivery{Body: bytes.Clone(body), At: at}, s.accept)
			second, err2 := r.Receive(t.Context(), broker.Delivery{Body: body, At: at}, again.accept)
			if (err == nil) != (err2 == nil) || first.Accepted != second.Accepted || first.Refused != second.Refused || !bytes.Equal(first.Answer, second.Answer) || len(s.messages) != len(again.messages) {
				// Another interchange may have had its number in between.
				if !bytes.Contains(first.Answer, []byte("*025")) && !bytes.Contains(second.Answer, []byte("*025")) {
					t.Fatalf("first %+v, %v, then %+v, %v\n%s\n%s", first, err, second, err2, first.Answer, second.Answer)
				}
			}
			wellFormed(t, first.Answer)
			for i, m := range s.messages {
				if i < len(again.messages) && m.ID != again.messages[i].ID {
					t.Fatalf("message %d has another id", i)
				}
				if i < 3 && m.Kind != formatName {
					readable(t, m)
				}
			}
		}
	})
}

// readable says whether a message is one transaction set, or TA1, and decodes in the version of its guide.
func readable(t *testing.T, m *broker.Message) {
	t.Helper()
	d := dialectOf(t, "005010")
	if parts, err := d.Split(m.Body); err != nil || len(parts) != 1 {
		t.Fatalf("%s has %d parts: %v\n%q", m.Kind, len(parts), err, []byte(m.Body))
	}
	envs, err := scanEnvelopes(m.Body)
	if err != nil || len(envs) != 1 {
		t.Fatalf("%d interchanges: %v", len(envs), err)
	}
	if len(envs[0].groups) != 1 {
		return
	}
	g := &envs[0].groups[0]
	set := &g.sets[0]
	guide := guideFor(string(set.st.element(1)), string(set.st.element(3)), string(g.gs.element(8)))
	if guide == nil {
		return
	}
	if _, err := dialectOf(t, guide.version).Decode(m.Body, nil); err != nil {
		t.Fatalf("%s: %v\n%q", m.Kind, err, []byte(m.Body))
	}
	if len(set.faults) > 0 {
		t.Fatalf("%s: %s\n%q", m.Kind, set.faults[0].String(), []byte(m.Body))
	}
}

// FuzzScan: the envelope scan, which goes over what is in a transaction set, counts the same
// segments as the scanner that looks at each.
func FuzzScan(f *testing.F) {
	addSeeds(f)
	f.Add([]byte(isa + "~GS*PO~ST~BEG*00~SE~SE*1*1~GE*1~IEA*1~"))
	f.Fuzz(func(t *testing.T, body []byte) {
		envs, err := scanEnvelopes(body)
		if err != nil {
			return
		}
		for i := range envs {
			for k := range envs[i].groups {
				for n := range envs[i].groups[k].sets {
					set := &envs[i].groups[k].sets[n]
					if set.se.raw == nil {
						continue
					}
					s := &scanner{body: body[:set.end], d: *envs[i].isa.d, at: set.start}
					count := 0
					for {
						if _, ok := s.cut(); !ok {
							break
						}
						count++
					}
					if count != set.segments {
						t.Fatalf("%d segments, and one by one %d", set.segments, count)
					}
				}
			}
		}
	})
}
