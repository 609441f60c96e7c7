// Package ledger is the idempotency store and the history: what became of
// every unit. It also holds what the workers of a cloud share: leases over
// partitions, the cursor of each partition, the units that wait.
//
// Two stores implement [Ledger]: postgres for a cloud with several workers,
// sqlite where one machine is enough. Both pass the suite in ledgertest.
//
// No body is kept of a unit that was applied. A unit that waits or is dead is
// kept with its body (its wire form), so that a retry does not depend on how
// long the UNITS stream remembers.
//
// A unit may have several keys. It is of the partition of one, Key, and has its
// place in each of the others by a gate: a mark that it has reached the front of
// that key at the worker of that key's partition, behind which later units of the key
// wait as they do behind a unit that is parked. A gate is no unit: nothing
// lists or counts it. It is there until the unit's outcome. The unit stands at one
// place of the UNITS stream, the same for all its keys, so that of two units with keys in common
// the earlier one is ahead in all of them, and no two wait for each other.
//
// The ordering key in a row is the HMAC that
// travels with the unit; reasons and classes hold no text that a patient could
// be in.
package ledger

import (
	"context"
	"errors"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// ErrFenced says that a partition's lease is no longer this worker's: somebody
// else has it. Nothing was recorded. The worker must drop what it has in hand
// for the partition.
var ErrFenced = errors.New("lease lost to another worker")

// ErrNotFound says that no unit has this id, or that several ids begin so.
var ErrNotFound = errors.New("no such unit")

// A Status is where a unit stands.
type Status string

const (
	Claimed   Status = "claimed"   // about to be applied, or a worker died while it was
	Applied   Status = "applied"   // in effect
	Skipped   Status = "skipped"   // its mapping said that there is nothing to do
	Parked    Status = "parked"    // waits: for its next attempt, or for an earlier unit of its key
	Dead      Status = "dead"      // needs a person
	Discarded Status = "discarded" // a person said that it is not wanted
)

// A Lease is the right to apply one partition of one target.
type Lease struct {
	Target    string
	Partition int
	Token     int64 // rises whenever the owner changes; guards every write
	// Cursor is the position in the UNITS stream of the last unit of this
	// partition that was settled, and CursorUnit its id: the stream must still
	// hold that id there, or it is not the stream that it was. 0 means none.
	Cursor     uint64
	CursorUnit string
}

// A Unit is what the ledger knows about one unit.
type Unit struct {
	ID         string          `json:"id"`
	MessageID  string          `json:"message_id"`
	Tenant     string          `json:"tenant"`
	Site       string          `json:"site"`
	Feed       string          `json:"feed"`
	Target     string          `json:"target"`
	Partition  int             `json:"partition"`
	Key        string          `json:"key,omitempty"`
	OtherKeys  []string        `json:"other_keys,omitempty"` // beside Key; Units leaves them out
	Idem       string          `json:"idempotency,omitempty"`
	Kind       string          `json:"kind"`
	SenderID   string          `json:"sender_id"`
	Mapping    string          `json:"mapping"`
	Seq        uint64          `json:"seq"` // position in the UNITS stream when it first came: its place in the order of its key
	Status     Status          `json:"status"`
	Attempts   int             `json:"attempts"` // at the target; waiting behind another unit is none
	Class      string          `json:"class,omitempty"`
	Reason     string          `json:"reason,omitempty"`
	Warning    string          `json:"warning,omitempty"`
	Records    []broker.Record `json:"records,omitempty"`
	Trace      string          `json:"trace,omitempty"`
	Remappable bool            `json:"remappable,omitempty"` // dead or skipped at the mapping: its content stayed at the site, a replay maps it again there
	Hold       bool            `json:"hold,omitempty"`       // dead, and later units of its key wait for it

	ReceivedAt  time.Time `json:"received_at"`           // by the source
	MappedAt    time.Time `json:"mapped_at"`             // at the site
	StoredAt    time.Time `json:"stored_at"`             // in the UNITS stream
	ClaimedAt   time.Time `json:"claimed_at,omitzero"`   // first claim, zero if none
	SettledAt   time.Time `json:"settled_at,omitzero"`   // last outcome
	NextAttempt time.Time `json:"next_attempt,omitzero"` // parked at the head of its key; zero while it waits behind another
	// WaitingSince is set while the unit is parked and waits for what another unit is to
	// bring (broker.Deferred): since when.
	WaitingSince time.Time  `json:"waiting_since,omitzero"`
	Body         broker.PHI `json:"-"` // wire form; only while parked or dead, and only from Due

	// Request is set on a unit that arrives because a replay asked its site to
	// map the message again: the request's id. Give it to Claim and to Settle.
	// Such a unit is to be applied although it is known as dead or skipped, if it
	// is Remappable; Settle then replaces what was there, but not its place in the order.
	Request string `json:"-"`
	// Gate, if not "", is one of OtherKeys, and what is settled or due is not the
	// unit but its gate there. The rest is as in the unit, and the partition that counts is that of Gate.
	Gate string `json:"-"`
	// Waits is what the unit waits for while it is parked; only from [Ledger.Unit].
	Waits []Wait `json:"waits,omitempty"`
}

// A Wait is one of a parked unit's keys that it is not the first of.
type Wait struct {
	Key       string `json:"key"`
	Partition int    `json:"partition"`
	// Unit is the id of the unit that is first in the key. "" if there is none: the
	// worker of the partition has not come to the unit yet.
	Unit string `json:"unit,omitempty"`
}

// A Hop is one line of a unit's history.
type Hop struct {
	At     time.Time     `json:"at"`
	What   string        `json:"what"` // "attempt", "parked", "dead", "applied", "replay asked", "discarded", …
	Worker string        `json:"worker,omitempty"`
	Took   time.Duration `json:"took,omitempty"` // of an attempt at the target
	Class  string        `json:"class,omitempty"`
	Reason string        `json:"reason,omitempty"`
	By     string        `json:"by,omitempty"` // the person, for what a person did
}

// A Claim's answer.
type Claim struct {
	// Status is "" when the unit is new or was claimed before without an
	// outcome: it is to be applied. Otherwise it is what became of it before:
	// nothing is to be applied (Applied, Skipped, Discarded), or it is already
	// waiting (Parked, Dead).
	Status Status
	// InDoubt: an earlier claim has no outcome. The unit may be in effect.
	InDoubt bool
	// Collision: another unit has the same idempotency value, but other
	// content: the sender used its control id twice.
	Collision bool
}

// A Settlement is what a worker learned about one unit.
type Settlement struct {
	Unit Unit // all fields that the ledger is to hold; Body is kept for Parked and Dead only
	// Attempt is true when the target was asked: it writes a line of history
	// with Class, Reason and Took, and Unit.Attempts counts it.
	Attempt bool
	Took    time.Duration
	// Quiet writes no line of history: it would say what the one before says.
	Quiet bool
}

// A Cursor moves one partition's cursor forward.
type Cursor struct {
	Lease Lease // Target, Partition and Token are used
	Seq   uint64
	Unit  string
}

// Ledger is what the workers and the operator's API need. All methods are safe
// for concurrent use. Times that decide about leases are the store's own
// clock, never the worker's.
type Ledger interface {
	// Lease tells that the worker lives, renews the leases that it holds and takes
	// free or expired partitions of the target while it holds fewer than its
	// fair share: ceil(64 / live workers of the target). It returns
	// every lease that the worker holds now, cursors included, and its fair share, and the
	// worker gives back with Release what is over it, after it has finished
	// what it has in hand. ttl is how long a lease lasts without renewal.
	Lease(ctx context.Context, target, worker string, ttl time.Duration) (held []Lease, share int, err error)
	// Release gives leases back and, with no lease left, the worker's name.
	// Leases that are already somebody else's are left alone.
	Release(ctx context.Context, worker string, leases []Lease) error

	// Claim records, in one transaction, that these units are about to be
	// applied, and answers for each what is known. The leases guard it:
	// ErrFenced if one of them is lost. It writes nothing for units that have a
	// status already.
	Claim(ctx context.Context, leases []Lease, units []Unit) ([]Claim, error)
	// Settle records outcomes and moves cursors in one transaction, guarded by
	// the leases: ErrFenced if one of them is lost, and then nothing is
	// recorded. Units that were never claimed are inserted. A unit that is Parked
	// with a zero NextAttempt waits behind the head of its key. When a
	// unit leaves Parked or Dead (applied, skipped, discarded, or dead without hold) the next
	// parked unit of its key becomes the head and is due at once.
	//
	// A unit with OtherKeys that is Parked is due when it is the head of Key and has
	// a gate at the head of each of the others. A settlement whose Unit.Gate is
	// set, with Status Parked, puts that gate; it does so if the unit is not known yet, is
	// claimed or parked, is dead and holds, or comes by a Request that may still
	// replace what is known of it, and has no effect else. The gates go, and their keys go on, when the unit
	// is applied, skipped, discarded, or dead without hold.
	Settle(ctx context.Context, worker string, leases []Lease, cursors []Cursor, done []Settlement) error
	// HeldKeys returns the keys that later units must wait behind: those with a
	// parked unit, with a dead one that holds, or with a gate.
	HeldKeys(ctx context.Context, leases []Lease) ([]string, error)
	// Due returns, with bodies and at most limit, the heads of parked keys of
	// these partitions whose next attempt has come, oldest first. It returns at
	// most one unit of a key. Gates that are to be put anew, because their unit was
	// dead and is tried again, are among them.
	Due(ctx context.Context, leases []Lease, limit int) ([]Unit, error)

	// Units returns what the filter selects, newest first.
	Units(ctx context.Context, f Filter) ([]Unit, error)
	// Unit returns the one unit whose id or message id begins with prefix
	// (4 characters at least), and its history, oldest first. ErrNotFound if
	// there is none or more than one.
	Unit(ctx context.Context, prefix string) (Unit, []Hop, error)
	// Summary counts units per site, feed and target.
	Summary(ctx context.Context) ([]Summary, error)
	// Cursors returns every partition's cursor and owner of a target, for the
	// backlog.
	Cursors(ctx context.Context, target string) ([]PartitionState, error)

	// Discard marks a dead unit as not wanted and lets its key go on. Any other status is an error.
	Discard(ctx context.Context, id, by, why string) error

	// PlanReplay selects units, decides for each what a replay would do, and
	// stores the plan. Nothing else happens until Requeue.
	PlanReplay(ctx context.Context, p ReplayRequest) (Replay, error)
	// Replay returns a stored plan with its progress; Replays all, newest first.
	Replay(ctx context.Context, id string) (Replay, error)
	Replays(ctx context.Context) ([]Replay, error)
	// StartReplay marks a plan as running, at rate units a second at most (0: as
	// many as its worker likes), until all its items are through. Starting it
	// again changes the rate.
	StartReplay(ctx context.Context, id string, rate float64) error
	// ReplayItems returns a plan's items in order, from the n-th on; only the
	// pending ones if pending is true.
	ReplayItems(ctx context.Context, id string, from, limit int, pending bool) ([]ReplayItem, error)
	// Requeue carries out one item of a running plan, deciding again in the
	// same transaction whether it may: a parked unit, if it is the head of its key, is due now; a dead one is
	// parked and due with its attempts at 0 (ahead of those that wait behind it), as soon as it has its gates again. It returns the item
	// with its result; for a Remap it only marks it: the caller asks the site.
	// Carrying out an item twice is harmless.
	Requeue(ctx context.Context, replayID, unitID string) (ReplayItem, error)

	// Prune forgets applied, skipped and discarded units and finished replays
	// settled before t, at most limit at once, and returns how many.
	Prune(ctx context.Context, t time.Time, limit int) (int, error)

	Close() error
}

// A Filter selects units. Zero fields select all.
type Filter struct {
	IDs                                       []string // ids or beginnings of ids, of units or messages
	Feed, Site, Target, Kind, SenderID, Class string
	Status                                    []Status
	Since, Until                              time.Time // of ReceivedAt
	Limit                                     int       // 0 means 100
	Before                                    string    // unit id to go on from: the last one of the page before
}

// A Summary counts the units of one feed of one site at one target.
type Summary struct {
	Site, Feed, Target string
	Counts             map[Status]int
	OldestParked       time.Time // ReceivedAt of the oldest parked unit that is to be tried again, or zero; not of those behind another, nor of those that are Waiting
	Waiting            int       // parked units that wait for what another unit is to bring
	WaitingSince       time.Time // of the one that has waited longest, or zero
	OldestDead         time.Time
	LastApplied        time.Time // SettledAt
}

// A PartitionState is one partition of a target.
type PartitionState struct {
	Partition int
	Owner     string // "" if nobody's
	Expires   time.Time
	Cursor    uint64
}

// A ReplayRequest asks for a plan.
type ReplayRequest struct {
	Filter     Filter // Limit 0 means no limit here
	AllowStale bool
	By         string
}

// An Action is what a replay does with one unit.
type Action string

const (
	RetryNow Action = "retry"           // parked or dead: tried again
	Nothing  Action = "already applied" // in effect: nothing is done
	Waits    Action = "waits"           // parked behind an earlier unit of its key: goes when that one does
	Refused  Action = "stale"           // a later unit of its key was applied
	Remap    Action = "map again"       // dead or skipped at its mapping: the site maps its message again
	Gone     Action = "discarded"       // a person discarded it: nothing is done
)

// A ReplayItem is one unit of a plan.
type ReplayItem struct {
	Unit   string `json:"unit"`
	Action Action `json:"action"`
	Done   bool   `json:"done"`
}

// A Replay is a plan and its progress.
type Replay struct {
	ID         string         `json:"id"`
	By         string         `json:"by"`
	CreatedAt  time.Time      `json:"created_at"`
	Running    bool           `json:"running"`
	AllowStale bool           `json:"allow_stale"`
	Rate       float64        `json:"rate,omitempty"` // units a second it was started with; 0 = the worker's own
	Total      int            `json:"total"`
	Done       int            `json:"done"`
	Actions    map[Action]int `json:"actions"`
}
