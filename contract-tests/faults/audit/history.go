// Package audit judges a run of Vagus from the outside: from a history of what was
// offered and answered, of what the ledger's tables say at the end, and of what the target
// holds. It is written apart from the product and imports nothing of it, so that a
// mistake there is not made twice.
//
// It knows two things of what is under test: what a sound system promises (DESIGN, "Promises"),
// and where a version is found in the records that the bed's messages make.
package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// A Line is one line of a history, which is NDJSON in the order of what happened. Beside At, one field is set.
type Line struct {
	At     time.Duration `json:"at"` // since the run began, nanoseconds
	Run    *Run          `json:"run,omitempty"`
	Offer  *Offer        `json:"offer,omitempty"`
	Answer *Answer       `json:"answer,omitempty"`
	Fault  *Fault        `json:"fault,omitempty"`
	Unit   *Unit         `json:"unit,omitempty"`
	Record *Record       `json:"record,omitempty"`
	Effect *Effect       `json:"effect,omitempty"`
}

// A Run says how it was made.
type Run struct {
	Seed    uint64 `json:"seed"`
	Command string `json:"command"` // runs it again
	// Exactly is set when the target promises each effect once, as the addon does. Otherwise a
	// call whose answer was lost may be made again: an effect may be repeated, in its place, near a fault.
	Exactly bool `json:"exactly,omitempty"`
	// Grace is how long after its end a fault excuses a repeated effect.
	Grace time.Duration `json:"grace"`
}

// Want is what is to become of a message.
type Want string

const (
	Applied Want = "applied"
	Held    Want = "held"    // the target refuses it for ever, or it stands behind one that is refused: it waits or is a dead letter
	Dead    Want = "dead"    // its mapping rejects it: a dead letter
	Refused Want = "refused" // its sender is told so: nobody ever hears of it again
)

// An Offer is one message before it is sent for the first time. It is the sender's word
// that the message asks for Version of Thing and for nothing else.
type Offer struct {
	Message  string   `json:"message"` // unique in the history
	Feed     string   `json:"feed"`
	SenderID string   `json:"sender_id"` // what the sender calls it; a sloppy sender uses one twice
	Thing    string   `json:"thing"`     // see Things
	Version  int      `json:"version"`   // rises with each message about a thing, in the order they are sent; from 1
	Also     []string `json:"also,omitempty"`
	Want     Want     `json:"want"`
}

// An Answer is what the sender of messages heard, for each time it was answered.
type Answer struct {
	Messages []string `json:"messages"`
	OK       bool     `json:"ok"` // acknowledged: the site has taken responsibility
	Code     string   `json:"code,omitempty"`
}

// A Fault is its beginning, or with End its end.
type Fault struct {
	Name string `json:"name"`
	End  bool   `json:"end,omitempty"`
	// Accepts is set when the site must go on accepting meanwhile.
	Accepts bool   `json:"accepts,omitempty"`
	Detail  string `json:"detail,omitempty"`
}

// A Unit is a row of the ledger at the end.
type Unit struct {
	ID       string `json:"id"`
	Feed     string `json:"feed"`
	SenderID string `json:"sender_id"`
	Status   string `json:"status"`
	Class    string `json:"class,omitempty"`
	Reason   string `json:"reason,omitempty"`
	Attempts int    `json:"attempts,omitempty"`
	Records  []Ref  `json:"records,omitempty"`
}

// A Ref names a record of the target.
type Ref struct {
	Model string `json:"model"`
	ID    int64  `json:"id"`
}

// A Record is a record of the target at the end. Before says that it was there already
// when the run began.
type Record struct {
	Ref
	Values map[string]any `json:"values"`
	Before bool           `json:"before,omitempty"`
}

// An Effect is one committed change at the target; they come in the order of the commits.
type Effect struct {
	Ref
	Kind   string         `json:"kind"` // create, write, unlink
	Values map[string]any `json:"values"`
}

// A Writer writes a history. Safe for concurrent use.
type Writer struct {
	began time.Time

	mu  sync.Mutex
	out *bufio.Writer
	err error
}

// NewWriter returns one whose clock begins now.
func NewWriter(w io.Writer) *Writer { return &Writer{began: time.Now(), out: bufio.NewWriter(w)} }

// Add writes a line; a zero At is now.
func (w *Writer) Add(l Line) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if l.At == 0 {
		l.At = time.Since(w.began)
	}
	text, err := json.Marshal(l)
	if err == nil {
		_, err = w.out.Write(append(text, '\n'))
	}
	if w.err == nil {
		w.err = err
	}
}

// Since is a time as the history has it.
func (w *Writer) Since(t time.Time) time.Duration { return t.Sub(w.began) }

// Flush writes out what was added, and returns the first error there was.
func (w *Writer) Flush() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.out.Flush(); w.err == nil {
		w.err = err
	}
	return w.err
}

// maxLine bounds a line.
const maxLine = 4 << 20

// Read reads a history. Numbers in values are float64.
func Read(r io.Reader) ([]Line, error) {
	var lines []Line
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 64<<10), maxLine)
	for n := 1; in.Scan(); n++ {
		var l Line
		d := json.NewDecoder(bytes.NewReader(in.Bytes()))
		d.DisallowUnknownFields()
		if err := d.Decode(&l); err != nil {
			return nil, fmt.Errorf("history, line %d: %w", n, err)
		}
		lines = append(lines, l)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("history, after line %d: %w", len(lines), err)
	}
	return lines, nil
}
