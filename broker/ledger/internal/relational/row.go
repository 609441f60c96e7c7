package relational

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// Bytes kept of what comes from outside. Ids and keys are far shorter; what is
// longer can not stand in an index.
const (
	maxName    = 256
	maxText    = 1000
	maxRecords = 1000
)

// What a statement takes of a unit: where it comes from, how it was mapped, and
// what became of it.
const (
	originColumns  = `message_id text, tenant text, site text, feed text, target text, sender_id text, seq bigint, received_at bigint, claimed_at bigint`
	mappedColumns  = `partition integer, key text, idem text, kind text, mapping text, trace text, mapped_at bigint, stored_at bigint`
	outcomeColumns = `status text, attempts integer, class text, reason text, warning text, records text, remappable boolean, hold boolean, settled_at bigint, took bigint`
)

// names returns the names of columns, each after a prefix.
func names(prefix, columns string) string {
	var b strings.Builder
	for i, c := range strings.Split(columns, ", ") {
		if i > 0 {
			b.WriteString(", ")
		}
		name, _, _ := strings.Cut(c, " ")
		b.WriteString(prefix + name)
	}
	return b.String()
}

// assign returns the assignments of d's columns to those of the same names.
func assign(columns string) string {
	var b strings.Builder
	for i, c := range strings.Split(columns, ", ") {
		if i > 0 {
			b.WriteString(", ")
		}
		name, _, _ := strings.Cut(c, " ")
		b.WriteString(name + " = d." + name)
	}
	return b.String()
}

// A unitRow is a unit on its way into the database.
type unitRow struct {
	ID string `json:"id"`
	*origin
	*mapped
	*outcome
}

type origin struct {
	MessageID  string `json:"message_id"`
	Tenant     string `json:"tenant"`
	Site       string `json:"site"`
	Feed       string `json:"feed"`
	Target     string `json:"target"`
	SenderID   string `json:"sender_id"`
	Seq        int64  `json:"seq"`
	ReceivedAt int64  `json:"received_at"`
	ClaimedAt  int64  `json:"claimed_at"`
}

type mapped struct {
	Partition int    `json:"partition"`
	Key       string `json:"key"`
	Idem      string `json:"idem"`
	Kind      string `json:"kind"`
	Mapping   string `json:"mapping"`
	Trace     string `json:"trace"`
	MappedAt  int64  `json:"mapped_at"`
	StoredAt  int64  `json:"stored_at"`
}

type outcome struct {
	Status     string `json:"status"`
	Attempts   int    `json:"attempts"`
	Class      string `json:"class"`
	Reason     string `json:"reason"`
	Warning    string `json:"warning"`
	Records    string `json:"records"`
	Remappable bool   `json:"remappable"`
	Hold       bool   `json:"hold"`
	SettledAt  int64  `json:"settled_at"`
	Took       int64  `json:"took"`
}

// newUnitRow returns a unit's row without its outcome.
func newUnitRow(u *ledger.Unit) unitRow {
	return unitRow{ID: clean(u.ID, maxName),
		origin: &origin{MessageID: clean(u.MessageID, maxName), Tenant: clean(u.Tenant, maxName), Site: clean(u.Site, maxName), Feed: clean(u.Feed, maxName),
			Target: u.Target, SenderID: clean(u.SenderID, maxName), Seq: int64(u.Seq), ReceivedAt: micros(u.ReceivedAt), ClaimedAt: micros(u.ClaimedAt)},
		mapped: &mapped{Partition: u.Partition, Key: clean(u.Key, maxName), Idem: clean(u.Idem, maxName), Kind: clean(u.Kind, maxName),
			Mapping: clean(u.Mapping, maxName), Trace: clean(u.Trace, maxName), MappedAt: micros(u.MappedAt), StoredAt: micros(u.StoredAt)},
	}
}

func newOutcome(u *ledger.Unit, took time.Duration) *outcome {
	o := &outcome{Status: string(u.Status), Attempts: u.Attempts, Class: clean(u.Class, maxName), Reason: clean(u.Reason, maxText),
		Warning: clean(u.Warning, maxText), Records: recordsJSON(u.Records), Remappable: u.Remappable, Hold: u.Hold && u.Status == ledger.Dead,
		SettledAt: micros(u.SettledAt), Took: took.Microseconds()}
	if o.SettledAt == 0 {
		o.SettledAt = time.Now().UnixMicro()
	}
	return o
}

// A waitingRow is what more is kept of a unit that is parked or dead.
type waitingRow struct {
	ID    string `json:"id"`
	Due   int64  `json:"due"`
	Since int64  `json:"since"`
	Body  string `json:"body"` // hexadecimal
}

func newWaitingRow(u *ledger.Unit) waitingRow {
	w := waitingRow{ID: clean(u.ID, maxName), Body: hex.EncodeToString(u.Body)}
	if u.Status == ledger.Parked {
		w.Due, w.Since = micros(u.NextAttempt), micros(u.WaitingSince)
	}
	return w
}

// selectUnit are the columns that scanUnit reads, of units u and waiting w.
const selectUnit = `u.id, u.message_id, u.tenant, u.site, u.feed, u.target, u.partition, u.key, u.idem, u.kind, u.sender_id, u.mapping, u.seq,
	u.status, u.attempts, u.class, u.reason, u.warning, u.records, u.trace, u.remappable, u.hold,
	u.received_at, u.mapped_at, u.stored_at, u.claimed_at, u.settled_at, coalesce(w.due, 0), coalesce(w.since, 0)`

func scanUnit(scan Scan, u *ledger.Unit, more ...any) error {
	var seq, received, mapped, stored, claimed, settled, due, since int64
	var status, records string
	err := scan(append([]any{&u.ID, &u.MessageID, &u.Tenant, &u.Site, &u.Feed, &u.Target, &u.Partition, &u.Key, &u.Idem, &u.Kind, &u.SenderID,
		&u.Mapping, &seq, &status, &u.Attempts, &u.Class, &u.Reason, &u.Warning, &records, &u.Trace, &u.Remappable, &u.Hold,
		&received, &mapped, &stored, &claimed, &settled, &due, &since}, more...)...)
	if err != nil {
		return err
	}
	u.Seq, u.Status = uint64(seq), ledger.Status(status)
	u.ReceivedAt, u.MappedAt, u.StoredAt, u.ClaimedAt, u.SettledAt, u.NextAttempt, u.WaitingSince = at(received), at(mapped), at(stored), at(claimed), at(settled), at(due), at(since)
	if records != "" {
		return json.Unmarshal([]byte(records), &u.Records)
	}
	return nil
}

func recordsJSON(rs []broker.Record) string {
	if len(rs) == 0 {
		return ""
	}
	rs = rs[:min(len(rs), maxRecords)]
	return asJSON(rs)
}

// asJSON encodes rows of our own types, which always can be.
func asJSON(rows any) string {
	b, err := json.Marshal(rows)
	if err != nil {
		return "[]"
	}
	return string(b)
}

// clean makes text fit for both databases: valid UTF-8, no NUL, n bytes at most.
func clean(s string, n int) string {
	if len(s) > n {
		cut := n
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut]
	}
	if strings.IndexByte(s, 0) >= 0 {
		s = strings.ReplaceAll(s, "\x00", "\uFFFD")
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}

func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func at(us int64) time.Time {
	if us == 0 {
		return time.Time{}
	}
	return time.UnixMicro(us).UTC()
}
