package broker

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"
)

// A Verdict is what a mapping decided about a message.
type Verdict string

const (
	Apply      Verdict = "apply"       // the operations are to be applied
	Skip       Verdict = "skip"        // a guard said that there is nothing to do, or no mapping of the feed wanted it
	Reject     Verdict = "reject"      // the message is at fault; its sender should hear of it
	DeadLetter Verdict = "dead_letter" // the message needs a person
)

// Lanes are the names of the lanes that share a target's calls: what happens
// now, what comes in bulk, what a person asked to have again, and what only
// tests the way.
var Lanes = [...]string{"live", "bulk", "replay", "synthetic"}

// A Unit is what one message means to one target: operations in order. It is
// the thing that is delivered, retried, dead-lettered and replayed. A unit
// whose verdict is not Apply has no operations: it tells the ledger what
// became of a message whose content stayed at the site.
type Unit struct {
	ID           string      `json:"id"`
	MessageID    string      `json:"message_id"`
	Tenant       string      `json:"tenant"`
	Site         string      `json:"site"`
	Feed         string      `json:"feed"`
	Target       string      `json:"target"`
	Lane         string      `json:"lane,omitempty"` // one of Lanes; "" is live
	Kind         string      `json:"kind"`
	SenderID     string      `json:"sender_id"`
	Mapping      string      `json:"mapping"`               // "hl7-adt-patient@4#<content hash>"
	Key          string      `json:"key,omitempty"`         // OrderingKey: units with one key are applied in order
	OtherKeys    []string    `json:"other_keys,omitempty"`  // beside Key: applied when it is first in all of them, and holds them all until its outcome
	Idempotency  string      `json:"idempotency,omitempty"` // OrderingKey-hashed value of the mapping's idempotency templates
	Verdict      Verdict     `json:"verdict"`
	Class        string      `json:"class,omitempty"`          // of a verdict other than Apply: a short stable token, "mapping.required"
	Reason       string      `json:"reason,omitempty"`         // of a verdict other than Apply: a sentence without any value of the message
	OnDeadLetter string      `json:"on_dead_letter,omitempty"` // "hold" (also ""): later units of the key wait for a person; "continue": they go on
	Atomic       bool        `json:"atomic,omitempty"`         // all operations in one transaction of the target, or none; a target that can not do that rejects the unit
	ReceivedAt   time.Time   `json:"received_at"`
	MappedAt     time.Time   `json:"mapped_at"`
	Trace        string      `json:"trace,omitempty"` // W3C traceparent
	Ops          []Operation `json:"ops,omitempty"`
}

// An Operation is one step on the target. Values in Vals, OnCreate, By and Args
// are plain, or symbolic and resolved by the target when it applies them. A ref
// is one of
//
//	{"$ref": "res.country", "by": {"code": "US"}, "on_none": "skip", "on_many": "skip"}
//	                                  the record of a model that these fields find; a name with dots leads through relations
//	{"$xid": "hr.employee_7", "on_none": "defer"}
//	                                  the record of this external identifier
//	{"$op": "patient"}                the record of an earlier operation of the unit
//
// and the values of relations are
//
//	{"$add": [ref, …]}                many2many: these too
//	{"$replace": [ref, …]}            many2many: these and no others; none clears the field
//	{"$merge": [line, …]}             one2many: makes or writes these lines, and leaves the others alone
//	{"$replace": [line, …]}           one2many: these lines and no others
//	{"$distribution": [{"account": ref, "percent": 100}]}
//	                                  json: shares by analytic account
//
// where a line is {"key": "T1", "vals": {…}, "on_create": {…}}, known by its key
// within the record, and on_create is written to a new line only.
//
// on_none says what happens when nothing is found: "skip" leaves the value out,
// "retry" holds the unit until there is a record, "dead_letter" (also "") gives
// up, "defer" writes the value when the record arrives. on_many says it of
// several: "skip" or "dead_letter" (also "").
//
// nil clears a field. A field that is not named is left alone. On names one
// operation ("kin#2"), or, of a call, all that an operation made ("kin").
//
// UnchangedSince is for records that another system writes too: an upsert,
// update or archive that would change something in an existing record is
// refused for good when somebody other than the broker's own user wrote the
// record last, and did so after this second (in Odoo, write_uid and
// write_date). A record that has all values already is no conflict, so a repeat
// is none. What the broker itself wrote counts for nothing: between its own
// messages their order decides. Without UnchangedSince the last writer wins, and
// the Outcome's Warning names the fields in which somebody else's values went.
//
// An operation that emits is the only one of its unit: its Document goes to a
// system that takes documents of its Format. What differs from one sending to
// the next, control numbers and envelopes, is not in it: the target adds it.
type Operation struct {
	ID       string `json:"op"`    // "patient", or "kin#2" for the second repetition
	Model    string `json:"model"` // "res.partner"; of emit the kind of document, "MFN_M05"
	Do       string `json:"do"`    // upsert, create, update, archive, merge, call; emit
	XID      string `json:"xid,omitempty"`
	By       Values `json:"by,omitempty"`        // match by fields instead of XID
	Vals     Values `json:"vals,omitempty"`      // written always
	OnCreate Values `json:"on_create,omitempty"` // written only when the operation makes the record
	OnUpdate Values `json:"on_update,omitempty"` // written only when the record was there
	On       string `json:"on,omitempty"`        // merge, call: the operation whose record survives or is called
	OnNone   string `json:"on_none,omitempty"`   // update, merge, archive, call: skip, retry or dead_letter when nothing matches
	Method   string `json:"method,omitempty"`    // call
	Args     Values `json:"args,omitempty"`      // call: by name
	OnlyIf   Values `json:"only_if,omitempty"`   // nothing is done unless the record has these values; a new record is made all the same
	// UnchangedSince is "2006-01-02 15:04:05", UTC, or "".
	UnchangedSince string `json:"unchanged_since,omitempty"`
	Context        Values `json:"context,omitempty"` // Odoo's, of this operation's calls

	Format   string   `json:"format,omitempty"`   // emit: "hl7v2", "x12", "fhir"
	Document Document `json:"document,omitempty"` // emit: the bytes, as the format's encoder wrote them
}

// Emission returns the document of a unit that is one, and its format; false of
// a unit that is for a target with records.
func (u *Unit) Emission() (doc []byte, format string, ok bool) {
	if len(u.Ops) != 1 || u.Ops[0].Do != "emit" || len(u.Ops[0].Document) == 0 {
		return nil, "", false
	}
	return u.Ops[0].Document, u.Ops[0].Format, true
}

// LogValue logs what identifies a unit, never its values.
func (u *Unit) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", u.ID), slog.String("feed", u.Feed), slog.String("kind", u.Kind),
		slog.String("mapping", u.Mapping), slog.Int("ops", len(u.Ops)))
}

// Format prints a unit's id for every verb, so that no %v spells out its values.
func (u *Unit) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, "unit "+u.ID) }

// Partition is the partition that the unit travels in: that of its key, or
// Everywhere when it has several. It is applied in that of Key.
func (u *Unit) Partition() int {
	if len(u.OtherKeys) > 0 {
		return Everywhere
	}
	return Partition(u.Key, u.ID)
}

// Encode returns the wire form: JSON with sorted keys and no HTML escapes, so
// the same unit gives the same bytes everywhere.
func (u *Unit) Encode() ([]byte, error) {
	e := encoder{buf: make([]byte, 0, 1024+512*len(u.Ops))}
	if e.unit(u); e.err != nil {
		return nil, fmt.Errorf("encode unit %s: %w", u.ID, e.err)
	}
	return e.buf, nil
}

// DecodeUnit reads what Encode wrote. Numbers come back as json.Number, exact.
// Its errors never quote the input.
func DecodeUnit(data []byte) (*Unit, error) {
	u, ok := decodeFast(data)
	if !ok {
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		u = &Unit{}
		if err := dec.Decode(u); err != nil {
			return nil, fmt.Errorf("decode unit: malformed at byte %d of %d", dec.InputOffset(), len(data))
		}
	}
	if u.ID == "" || u.Target == "" {
		return nil, fmt.Errorf("decode unit: it has no id or no target")
	}
	return u, nil
}

// A Result is what became of a unit in one attempt at its target.
type Result int

const (
	Applied  Result = iota // every operation is in effect, now or from an earlier attempt
	Retry                  // not in effect, or not known to be; the same unit may be applied again
	Rejected               // the target refuses this unit and will do so again: a dead letter
	Deferred               // waits for what another unit is to bring, such as a record that it names; what can be in effect without is
)

var resultNames = [...]string{"applied", "retry", "rejected", "deferred"}

// String returns "applied", "retry", "rejected" or "deferred".
func (r Result) String() string {
	if r < 0 || int(r) >= len(resultNames) {
		return fmt.Sprintf("result(%d)", int(r))
	}
	return resultNames[r]
}

// MarshalText returns what String does.
func (r Result) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (r *Result) UnmarshalText(text []byte) error {
	i := slices.Index(resultNames[:], string(text))
	if i < 0 {
		return errors.New("it is not the name of a result")
	}
	*r = Result(i)
	return nil
}

// An Outcome is one attempt's Result with its reason. Class is a short stable
// token ("odoo.ValidationError", "odoo.missing_reference"); Reason is a
// sentence for people. Neither holds text that the target or the message
// chose: both may quote a patient.
type Outcome struct {
	Result  Result   `json:"result"`
	Class   string   `json:"class,omitempty"`
	Reason  string   `json:"reason,omitempty"`
	Records []Record `json:"records,omitempty"` // what the unit made or changed, in the order of its operations
	Warning string   `json:"warning,omitempty"` // something a person should know although the unit was applied
}

// A Record names what an operation made or found at the target.
type Record struct {
	Op    string `json:"op"`
	Model string `json:"model"`
	ID    int64  `json:"id"`
	// Made is true when this attempt created the record.
	Made bool `json:"made,omitempty"`
}
