package hl7

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/vagus-health/vagus/broker"
)

// An answer is what a receiver says of one message: MSA, and the first ERR that
// has a code.
type answer struct {
	env  envelope
	code string // MSA-1, one of AA AE AR CA CE CR
	of   string // MSA-2
	err  int    // HL7 table 0357, 0 if none
	at   string // place that ERR names, "PID-8", or ""
}

// accept says that it is an accept acknowledgement of the enhanced mode.
func (a answer) accept() bool { return a.code[0] == 'C' }

// readAnswer reads an acknowledgement; ok is false of anything else.
func readAnswer(frame []byte) (a answer, ok bool) {
	m, err := Parse(frame)
	if err != nil {
		return a, false
	}
	msa, found := m.Find("MSA")
	if !found {
		return a, false
	}
	if a.env, err = readEnvelope(frame); err != nil {
		return a, false
	}
	a.code, a.of = string(bytes.TrimSpace(msa.Field(1).Raw())), string(bytes.TrimSpace(msa.Field(2).Raw()))
	switch a.code {
	case "AA", "AE", "AR", "CA", "CE", "CR":
	default:
		return a, false
	}
	for i := range m.Len() {
		s := m.Segment(i)
		if s.Name() != "ERR" {
			continue
		}
		// ERR-2 and ERR-3 from 2.5 on; before that the four components of ERR-1.
		code, segment, field := s.Field(3).Component(1), s.Field(2).Component(1), s.Field(2).Component(3)
		if len(code.Raw()) == 0 {
			code, segment, field = s.Field(1).Component(4).SubComponent(1), s.Field(1).Component(1), s.Field(1).Component(3)
		}
		n, err := strconv.Atoi(string(code.Raw()))
		if err != nil || n < 100 || n > 299 {
			continue
		}
		a.err = n
		if name := segment.Raw(); len(name) == 3 && isSegmentStart(name, 0) {
			a.at = string(name)
			if n, err := strconv.Atoi(string(field.Raw())); err == nil && n > 0 && n < 1000 {
				a.at += "-" + strconv.Itoa(n)
			}
		}
		break
	}
	return a, true
}

// transient are the conditions of table 0357 under which the same message may be
// taken later: a key that another message may bring, a lock, and an error of the
// receiver's own.
var transient = map[int]bool{204: true, 206: true, 207: true}

// judge says what an answer means for the unit. What ERR-3 says decides. Without
// a code AE and CE are tried again, as often as the target's max_attempts says,
// and AR and CR are final. Of what the receiver wrote nothing is quoted but codes and places.
func judge(a answer) broker.Outcome {
	if a.code[1] == 'A' {
		return broker.Outcome{Result: broker.Applied}
	}
	o := broker.Outcome{Result: broker.Rejected, Class: "hl7." + string(a.code[0]|0x20) + string(a.code[1]|0x20), Reason: "the receiver answered " + a.code}
	if a.err != 0 {
		o.Reason += fmt.Sprintf(" with error %d", a.err)
		if name := conditions[a.err]; name != "" {
			o.Reason += " (" + name + ")"
		}
		if a.at != "" {
			o.Reason += " at " + a.at
		}
	}
	if transient[a.err] || a.err == 0 && a.code[1] == 'E' {
		o.Result = broker.Retry
	}
	return o
}

// conditions are those of HL7 table 0357.
var conditions = map[int]string{
	100: "segment sequence error", 101: "required field missing", 102: "data type error", 103: "table value not found", 104: "value too long",
	200: "unsupported message type", 201: "unsupported event code", 202: "unsupported processing id", 203: "unsupported version id",
	204: "unknown key identifier", 205: "duplicate key identifier", 206: "application record locked", 207: "application internal error",
}
