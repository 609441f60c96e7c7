package broker

import (
	"context"
	"time"
)

// A Delivery is what a transport brought whole: a file of a folder or of an SFTP
// server, the body of an HTTP request. What it says is a [Receiver]'s to read.
type Delivery struct {
	// Name is the file's, as its sender wrote it, without folders; "" of what has
	// none. It may hold a patient's name: it never goes to a log or a subject.
	Name string
	// ID is the sender's own id of it, the same when it is sent again (webhook-id), "" where
	// the transport has none: then the content alone tells it from others.
	ID string
	// Type is the media type that the sender declared, "" if none.
	Type string
	// At is when the transport had all of it, UTC.
	At time.Time
	// Body is all of it, bounded by the transport.
	Body PHI
}

// A Receipt says what became of a delivery.
type Receipt struct {
	Accepted int // messages on stable storage
	Refused  int // messages that are at fault; the answer says which and why
	// Answer is what the sender is told in the format's own protocol (an X12 997,
	// 999 or TA1, HL7 acknowledgements, the summary of a table), nil when the
	// protocol has nothing to say.
	Answer PHI
	// Type is the answer's media type, Ext how a file of it ends: "application/edi-x12", "999".
	Type, Ext string
}

// A Receiver is a format's way in, behind any transport: it takes a delivery apart
// into messages, has them accepted in one step, so that a delivery that is cut
// off anywhere leaves nothing half taken, and makes the answer.
type Receiver interface {
	// Receive returns an error when nothing was taken: a [RejectError] when the
	// delivery as a whole is at fault and must not be sent again as it is - the
	// receipt's Answer, if there is one, says so in the sender's protocol - and
	// any other error when it may be sent again. Messages at fault beside sound ones are
	// counted in the receipt and are no error. Receiving the same delivery again accepts
	// the same messages, by their ids, and returns an equal verdict. Safe for concurrent use.
	Receive(ctx context.Context, d Delivery, accept Accept) (Receipt, error)
}
