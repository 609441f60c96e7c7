package hl7

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A verdict is what became of one message, in the order of severity.
type verdict uint8

const (
	taken   verdict = iota // on stable storage
	later                  // not taken; the same message may be sent again
	refused                // not taken; the message is at fault
)

// A reply is all that an acknowledgement says.
type reply struct {
	verdict verdict
	reason  string // of the metric
	code    int    // HL7 table 0357
	segment string // where, "" if nowhere
	field   int
	appCode string // ERR-5
	text    string // for people, no values
}

// replyTo turns the error of a parser or of Accept into a reply: the one place
// where an error becomes an HL7 code.
func replyTo(err error) reply {
	if err == nil {
		return reply{}
	}
	var syntax *syntaxError
	var reject *broker.RejectError
	switch {
	case errors.As(err, &syntax):
		return reply{verdict: refused, reason: "syntax", code: syntax.code, segment: syntax.segment, field: syntax.field, text: syntax.Error()}
	case errors.Is(err, errTooLarge):
		return reply{verdict: refused, reason: "too_large", code: errInternal, text: "the message is larger than this receiver takes"}
	case errors.As(err, &reject):
		return reply{verdict: refused, reason: "rejected", code: errInternal, appCode: reject.Code, text: reject.Error()}
	case errors.Is(err, broker.ErrFull):
		return reply{verdict: later, reason: "full", code: errInternal, text: "storage is full, try again later"}
	}
	return reply{verdict: later, reason: "error", code: errInternal, text: "the message could not be stored, try again"}
}

var conditionNames = map[int]string{
	errSequence: "Segment sequence error",
	errRequired: "Required field missing",
	errDataType: "Data type error",
	errInternal: "Application internal error",
}

// wanted says whether the sender of e wants to hear of v (HL7 2.5.1 section
// 2.9.2 and table 0155), and whether in the words of the enhanced mode. Of
// that mode we are the receiving side, which takes responsibility: the
// application acknowledgement that MSH-16 asks for is not ours to send.
func wanted(e *envelope, mode string, v verdict) (answer, enhanced bool) {
	accept, app := bytes.TrimSpace(e.fields[15]), bytes.TrimSpace(e.fields[16])
	if mode == AckOriginal || isEmptyOrNull(accept) && isEmptyOrNull(app) {
		return true, false
	}
	switch string(accept) {
	case "NE":
		return false, true
	case "ER":
		return v != taken, true
	case "SU":
		return v == taken, true
	}
	return true, true // AL, and what the table does not know
}

func isEmptyOrNull(b []byte) bool { return len(b) == 0 || string(b) == `""` }

func (v verdict) code(enhanced bool) string {
	if enhanced {
		return [...]string{"CA", "CE", "CR"}[v]
	}
	return [...]string{"AA", "AE", "AR"}[v]
}

// appendAck appends the acknowledgement of the message with this envelope, in
// its delimiters. id is the acknowledgement's own control id.
func appendAck(dst []byte, e *envelope, r reply, enhanced bool, id string, now time.Time) []byte {
	d := e.delims
	if d.field == 0 { // there was no header to read
		d = defaultDelimiters
	}
	minor := minorVersion(e.version())
	field := func(parts ...string) {
		dst = append(dst, d.field)
		for _, p := range parts {
			dst = append(dst, p...)
		}
	}
	// Components need a component separator; MSH-2 has one at least.
	c := string(d.component)
	dst = append(dst, "MSH"...)
	field(d.encoding())
	for _, n := range [...]int{5, 6, 3, 4} {
		field(string(e.fields[n]))
	}
	field(stamp(now))
	field()
	field("ACK")
	if event := e.component(9, 2); len(event) > 0 && isToken(event) {
		dst = append(dst, c+string(event)+c+"ACK"...)
	}
	field(id)
	field(orString(e.fields[11], "P"))
	field(orString(e.fields[12], "2.5.1"))
	if cs := e.fields[18]; len(cs) > 0 {
		for range 6 {
			field()
		}
		dst = append(dst, cs...)
	}
	dst = append(dst, '\r')

	dst = append(dst, "MSA"...)
	field(r.verdict.code(enhanced))
	field(string(e.fields[10]))
	if r.verdict == taken {
		return append(dst, '\r')
	}
	modern := minor >= 5 || minor == 0
	if !modern { // MSA-3 is for backward compatibility only from 2.4 on
		field()
		dst = appendEscaped(dst, d, r.text)
	}
	dst = append(dst, '\r')
	return appendError(dst, d, r, modern)
}

// appendError appends the ERR segment: from 2.5 on ERR-2 (location), ERR-3
// (HL7 table 0357), ERR-4 (severity), ERR-5 (application error code) and ERR-8
// (text for people); before that the four components of ERR-1.
func appendError(dst []byte, d delimiters, r reply, modern bool) []byte {
	comp, sub := string(d.component), string(orByte(d.subComponent, ' '))
	place := r.segment
	if place != "" {
		place += comp + "1"
		if r.field > 0 {
			place += comp + strconv.Itoa(r.field)
		}
	}
	code, name := strconv.Itoa(r.code), conditionNames[r.code]
	dst = append(append(dst, "ERR"...), d.field)
	if !modern {
		for n := bytes.Count([]byte(place), []byte(comp)); n < 3; n++ {
			place += comp
		}
		dst = append(dst, place+code+sub+name+sub+tableErrCode...)
		return append(dst, '\r')
	}
	dst = append(dst, d.field)
	dst = append(dst, place...)
	dst = append(dst, d.field)
	dst = append(dst, code+comp+name+comp+tableErrCode...)
	dst = append(dst, d.field, 'E', d.field)
	dst = appendEscaped(dst, d, r.appCode)
	dst = append(dst, d.field, d.field, d.field)
	dst = appendEscaped(dst, d, r.text)
	return append(dst, '\r')
}

// appendBatchHeader appends the FHS or BHS that answers the given one: senders
// and receivers swapped, field 12 naming field 11 of the one it answers.
func appendBatchHeader(dst []byte, header []byte, id string, now time.Time) []byte {
	d := batchDelimiters(header)
	at := func(n int) []byte { return nth(header, d.field, n) } // field n of FHS and BHS: the separator is field 1
	dst = append(append(dst, header[:3]...), d.field)
	dst = append(dst, d.encoding()...)
	for _, n := range [...]int{5, 6, 3, 4} {
		dst = append(append(dst, d.field), at(n)...)
	}
	dst = append(append(dst, d.field), stamp(now)...)
	dst = append(dst, d.field, d.field, d.field, d.field)
	dst = append(append(dst, id...), d.field)
	return append(append(dst, at(11)...), '\r')
}

// batchDelimiters are those of an FHS or BHS, which may be three letters and
// nothing else.
func batchDelimiters(header []byte) delimiters {
	_, d, err := readDelimiters(header)
	if err != nil {
		return defaultDelimiters
	}
	return d
}

func appendTrailer(dst []byte, name string, header []byte, n int) []byte {
	dst = append(append(dst, name...), batchDelimiters(header).field)
	return append(strconv.AppendInt(dst, int64(n), 10), '\r')
}

func stamp(t time.Time) string { return t.UTC().Format("20060102150405+0000") }

func orString(b []byte, def string) string {
	if len(b) == 0 {
		return def
	}
	return string(b)
}
