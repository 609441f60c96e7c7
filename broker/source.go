package broker

import (
	"context"
	"errors"
	"fmt"
)

// Accept takes responsibility for messages: one, or all the messages of a
// batch, in one step. When it returns nil they are on stable storage and the
// source may acknowledge. On any error the source must not: it answers its
// sender with a refusal in its own protocol (a [RejectError]: the message is
// at fault and must not be sent again as it is; [ErrFull] and every other
// error: not now, send it again), and nothing has been taken. Accepting a message again that was
// accepted before returns nil. Safe for concurrent use; it blocks until the
// storage answers or ctx is done.
type Accept func(ctx context.Context, ms ...*Message) error

// A Source receives messages from one feed.
type Source interface {
	// Run receives until ctx is done, finishes the messages in hand and returns
	// nil. It returns an error only when it can not receive at all.
	Run(ctx context.Context, accept Accept) error
}

// A Target applies units to one system, such as an Odoo database.
type Target interface {
	// Apply applies units that do not depend on each other (no two share an
	// ordering key) and returns one Outcome for each, in their order. It may
	// bring many units' operations into one call. Applying a unit again that
	// was applied before, whole or in part, has no further effect and returns
	// Applied. An error means that the target as a whole is unwell or refuses
	// us (down, wrong credentials): nothing is known about any of the units,
	// and no attempt of theirs was used up. Safe for concurrent use.
	Apply(ctx context.Context, units []*Unit) ([]Outcome, error)
	// Check asks the target whether it would answer: the probe of a half-open
	// breaker and of `vagus status`.
	Check(ctx context.Context) error
}

// A Promiser is a [Target] that keeps its promise, that a unit which is applied
// twice has one effect, in different ways, and says in which.
type Promiser interface {
	// Promise returns "addon": a unit is applied whole or not at all, and the
	// target remembers it; "external-id": the target knows again what a unit made,
	// and before a method is called it is looked whether the call has been in effect;
	// or "" while it is not known, which a Check changes. It makes no call itself. Safe for
	// concurrent use.
	Promise() string
}

// A Sharer is a [Target] whose calls several processes may make, each for a part
// of the work.
type Sharer interface {
	// Share bounds this process's calls from now on, those in flight and those in a second,
	// to part of whole of what the target may take; one call at a time is always
	// allowed. It does not wait: what is under way goes on.
	Share(part, whole int)
}

// ErrFull says that the journal's limit or the disk's is reached. The sender
// keeps the message and sends it again.
var ErrFull = errors.New("journal is full")

// A RejectError says that the message itself is at fault and no retry can
// help. Every other error is retried. Code is a short stable token; Err's text
// goes back to the sender and into the log, so it names places (PID-3), never
// values.
type RejectError struct {
	Code string
	Err  error
}

func (e *RejectError) Error() string { return fmt.Sprintf("%s: %v", e.Code, e.Err) }

// Unwrap returns the cause.
func (e *RejectError) Unwrap() error { return e.Err }
