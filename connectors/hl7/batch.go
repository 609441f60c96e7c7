package hl7

import (
	"bytes"
	"strconv"
)

// maxBatch bounds the messages of one frame.
const maxBatch = 10_000

// A batch is a frame cut into messages (HL7 2.5.1 section 2.10.3):
//
//	[FHS] { [BHS] { MSH … } [BTS] } [FTS]
//
// The usual frame holds one message and nothing else.
type batch struct {
	file   []byte // the FHS segment, or nil
	groups []group
	count  int // messages in all groups
}

type group struct {
	header   []byte // the BHS segment, or nil
	messages [][]byte
}

// first is the first message.
func (b batch) first() []byte {
	for _, g := range b.groups {
		if len(g.messages) > 0 {
			return g.messages[0]
		}
	}
	return nil
}

// split cuts a frame into messages without copying. A frame that holds one
// message keeps all its bytes in that message; the messages of a batch reach
// from MSH to the next header or trailer. The counts in BTS-1 and FTS-1 are
// checked where they are given. Errors are *syntaxError.
func split(frame []byte) (batch, error) {
	if isUTF16(frame) { // one message: the delimiters of a batch are two bytes wide
		return batch{groups: []group{{messages: [][]byte{frame}}}, count: 1}, nil
	}
	start, d, err := readDelimiters(frame)
	if err != nil {
		return batch{}, err
	}
	if frame[start] == 'M' && !hasSecondMessage(frame[start+4:], d.field) {
		return batch{groups: []group{{messages: [][]byte{frame}}}, count: 1}, nil
	}
	var b batch
	begin := -1 // of the message in hand
	end := func(at int) {
		if begin >= 0 {
			g := &b.groups[len(b.groups)-1]
			g.messages = append(g.messages, frame[begin:at:at])
			b.count++
			begin = -1
		}
	}
	closed, batches := true, 0 // no group is open; groups with a BHS
	for at := start; at < len(frame); {
		line := frame[at:]
		next := len(frame)
		if i := bytes.IndexAny(line, "\r\n"); i >= 0 {
			line, next = line[:i], at+i+1
		}
		switch name := lineName(line, d.field); name {
		case "FHS":
			end(at)
			if b.file == nil {
				b.file = line
			}
		case "BHS":
			end(at)
			b.groups = append(b.groups, group{header: line})
			closed = false
			batches++
		case "MSH":
			end(at)
			if closed {
				b.groups = append(b.groups, group{})
				closed = false
			}
			if b.count == maxBatch {
				return batch{}, tooMany()
			}
			begin = at
		case "BTS":
			end(at)
			n := 0
			if !closed {
				n = len(b.groups[len(b.groups)-1].messages)
			}
			if err := checkCount("BTS", line, d.field, n); err != nil {
				return b, err
			}
			closed = true
		case "FTS":
			end(at)
			if err := checkCount("FTS", line, d.field, batches); err != nil {
				return b, err
			}
		}
		at = next
	}
	end(len(frame))
	if b.count == 0 {
		return b, &syntaxError{errSequence, "BHS", 0, "the batch holds no message"}
	}
	return b, nil
}

func tooMany() error {
	return &syntaxError{errSequence, "BHS", 0, "over " + strconv.Itoa(maxBatch) + " messages in one batch"}
}

// hasSecondMessage says whether a line of b begins with MSH.
func hasSecondMessage(b []byte, field byte) bool {
	want := []byte{'M', 'S', 'H', field}
	for {
		i := bytes.Index(b, want)
		if i < 0 {
			return false
		}
		if i > 0 && (b[i-1] == '\r' || b[i-1] == '\n') {
			return true
		}
		b = b[i+4:]
	}
}

func lineName(line []byte, field byte) string {
	if len(line) < 3 || len(line) > 3 && line[3] != field {
		return ""
	}
	return string(line[:3])
}

// checkCount compares the first field of a trailer, if it is there, with what
// was counted.
func checkCount(name string, line []byte, field byte, n int) error {
	given := bytes.TrimSpace(nth(line, field, 2))
	if len(given) == 0 {
		return nil
	}
	want, err := strconv.Atoi(string(given))
	switch {
	case err != nil:
		return &syntaxError{errDataType, name, 1, "the count is not a number"}
	case want != n:
		return &syntaxError{errSequence, name, 1, "the count is not what the batch holds (" + strconv.Itoa(n) + ")"}
	}
	return nil
}
