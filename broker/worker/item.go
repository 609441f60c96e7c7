package worker

import (
	"time"

	"github.com/nats-io/nats.go"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// Classes of what the worker itself finds.
const (
	classMalformed    = "worker.malformed"    // the message is no unit
	classMisaddressed = "worker.misaddressed" // its subject says other things than the unit
	classTarget       = "worker.target_error" // the target errs on this unit, but serves others
	classPanic        = "worker.panic"        // so does its implementation
	classOutcomes     = "worker.outcomes"     // it does not answer for each unit
)

const collision = "control id used again with other content"

// An item is one unit in hand, or one gate: from the stream, or (due) from the
// ledger, where it waited.
type item struct {
	p    *partition
	due  bool
	id   string       // of the unit, or of the gate
	key  string       // the ordering key, or for a unit without one its id
	unit *broker.Unit // nil if there is nothing to apply: malformed, or a gate
	row  ledger.Unit  // what the ledger is to hold; Body is the wire form

	part  int // its partition
	track track
	mark  string  // what identifies its message in the stream: see unitID
	wide  bool    // the message was for all partitions
	gates []*item // in the other keys

	inDoubt bool
	errs    int // Apply errors of a chunk that it was in
	erredAt time.Time
	began   time.Time // of the last Apply

	outcome *ledger.Settlement // decided, not yet recorded; nil: nothing to record
	settled bool
}

func (it *item) hold() bool {
	return it.row.Key != "" && it.unit != nil && it.unit.OnDeadLetter != "continue"
}

// unitID returns what identifies a message of UNITS: what its header says, or
// what its content does.
func unitID(subject string, h nats.Header, data []byte) string {
	if id := h.Get(stream.HeaderUnit); id != "" && len(id) <= 64 {
		return id
	}
	return broker.NewMessageID("", "", "", subject, data)
}

// readItem makes an item of a message of UNITS, whatever it holds.
func readItem(subject string, h nats.Header, data []byte, seq uint64, at time.Time) *item {
	site, target, part, feed, err := stream.ParseUnitSubject(subject)
	it := &item{part: part}
	it.mark = unitID(subject, h, data)
	if err != nil { // no site's link publishes it; accept says so
		it.part, it.row = -1, ledger.Unit{Seq: seq}
		return it
	}
	it.wide = part == broker.Everywhere
	u, err := broker.DecodeUnit(data)
	class, reason := "", ""
	switch {
	case err != nil:
		class, reason = classMalformed, err.Error()
	case u.Site != site || u.Target != target || u.Feed != feed || u.Partition() != part || h.Get(stream.HeaderUnit) != "" && u.ID != it.mark:
		class, reason = classMisaddressed, "the subject or the header that it travelled with names another site, target, feed, partition or unit"
	case u.Verdict != broker.Apply && u.Verdict != broker.Skip && u.Verdict != broker.Reject && u.Verdict != broker.DeadLetter:
		class, reason = classMalformed, "its verdict is unknown; is the site newer than this worker?"
	case keysAreWrong(u):
		class, reason = classMalformed, "of its keys one is empty or stands twice, or they are too many"
	}
	if class != "" {
		// It has an id of its own: that of a unit which it is not would settle that one.
		it.row = ledger.Unit{ID: broker.NewMessageID("", site, feed, subject, data), MessageID: it.mark, Site: site, Feed: feed, Target: target,
			Status: ledger.Dead, Class: class, Reason: reason, ReceivedAt: at}
	} else {
		it.unit, it.row = u, rowOf(u)
	}
	it.key = it.row.Key
	if it.key == "" {
		it.key = it.row.ID
	}
	if it.wide {
		it.part = broker.Partition(it.row.Key, it.row.ID)
	}
	if it.unit != nil {
		it.track = trackOf(u.Lane)
	}
	it.id = it.row.ID
	it.row.Partition, it.row.Seq, it.row.StoredAt, it.row.Body, it.row.Request = it.part, seq, at, data, h.Get(stream.HeaderRemap)
	if it.row.Request != "" {
		it.track = replayed
	}
	if it.row.Trace == "" {
		it.row.Trace = h.Get(stream.HeaderTrace)
	}
	if it.unit != nil && (u.Verdict == broker.Apply || u.Verdict != broker.Skip && it.hold()) {
		for _, k := range u.OtherKeys {
			it.gates = append(it.gates, newGate(it.row, k, it.mark))
		}
	}
	return it
}

func rowOf(u *broker.Unit) ledger.Unit {
	return ledger.Unit{ID: u.ID, MessageID: u.MessageID, Tenant: u.Tenant, Site: u.Site, Feed: u.Feed, Target: u.Target, Key: u.Key, OtherKeys: u.OtherKeys, Idem: u.Idempotency,
		Kind: u.Kind, SenderID: u.SenderID, Mapping: u.Mapping, Trace: u.Trace, ReceivedAt: u.ReceivedAt, MappedAt: u.MappedAt}
}

// dueItem makes an item of a unit, or of a gate, that waited in the ledger.
func dueItem(p *partition, row ledger.Unit) *item {
	if row.Gate != "" {
		it := newGate(row, row.Gate, "")
		it.p, it.due = p, true
		return it
	}
	it := &item{p: p, due: true, id: row.ID, part: p.no, row: row, key: row.Key}
	if it.key == "" {
		it.key = row.ID
	}
	if row.Class == classTarget || row.Class == classPanic || row.Class == classOutcomes {
		it.errs = alone // it is known to spoil the calls that it is in
	}
	u, err := broker.DecodeUnit(row.Body)
	if err != nil {
		it.row.Class, it.row.Reason = classMalformed, err.Error()
		return it
	}
	if it.row.Trace == "" {
		it.row.Trace = u.Trace
	}
	it.unit, it.row.OtherKeys, it.track = u, u.OtherKeys, trackOf(u.Lane)
	if row.Attempts == 0 && row.Class != "" && row.WaitingSince.IsZero() { // it was dead, and somebody asked for it again
		it.track = replayed
	}
	return it
}

// decide sets what became of the unit. attempt says that the target was asked.
func (it *item) decide(status ledger.Status, attempt bool) *ledger.Settlement {
	row := it.row
	row.Status = status
	row.SettledAt = time.Now()
	if attempt {
		row.Attempts++
	}
	if status != ledger.Parked && status != ledger.Dead {
		row.Body = nil
	}
	row.Class, row.Reason, row.NextAttempt, row.WaitingSince = "", "", time.Time{}, time.Time{}
	it.outcome = &ledger.Settlement{Unit: row, Attempt: attempt}
	return it.outcome
}
