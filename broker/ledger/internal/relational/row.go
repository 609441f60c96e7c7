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

// unitColumns are the columns of units as a row of JSON has them.
const unitColumns = `id text, message_id text, tenant text, site text, feed text, target text, partition integer, key text, idem text,
	kind text, sender_id text, mapping text, seq bigint, status text, attempts integer, class text, reason text, warning text, records text,
	trace text, remappable boolean, hold boolean, received_at bigint, mapped_at bigint, stored_at bigint, claimed_at bigint, settled_at bigint,
	took bigint, request text`

// insertColumns and insertValues insert a row d as it is.
const (
	insertColumns = `id, message_id, tenant, site, feed, target, partition, key, idem, kind, sender_id, mapping, seq, status, attempts,
		class, reason, warning, records, trace, remappable, hold, received_at, mapped_at, stored_at, claimed_at, settled_at, took, request`
	insertValues = `d.id, d.message_id, d.tenant, d.site, d.feed, d.target, d.partition, d.key, d.idem, d.kind, d.sender_id, d.mapping, d.seq, d.status, d.attempts,
		d.class, d.reason, d.warning, d.records, d.trace, d.remappable, d.hold, d.received_at, d.mapped_at, d.stored_at, d.claimed_at, d.settled_at, d.took, d.request`
)

// A unitRow is a unit on its way into the database.
type unitRow struct {
	ID         string `json:"id"`
	MessageID  string `json:"message_id"`
	Tenant     string `json:"tenant"`
	Site       string `json:"site"`
	Feed       string `json:"feed"`
	Target     string `json:"target"`
	Partition  int    `json:"partition"`
	Key        string `json:"key"`
	Idem       string `json:"idem"`
	Kind       string `json:"kind"`
	SenderID   string `json:"sender_id"`
	Mapping    string `json:"mapping"`
	Seq        int64  `json:"seq"`
	Status     string `json:"status"`
	Attempts   int    `json:"attempts"`
	Class      string `json:"class"`
	Reason     string `json:"reason"`
	Warning    string `json:"warning"`
	Records    string `json:"records"`
	Trace      string `json:"trace"`
	Remappable bool   `json:"remappable"`
	Hold       bool   `json:"hold"`
	ReceivedAt int64  `json:"received_at"`
	MappedAt   int64  `json:"mapped_at"`
	StoredAt   int64  `json:"stored_at"`
	ClaimedAt  int64  `json:"claimed_at"`
	SettledAt  int64  `json:"settled_at"`
	Took       int64  `json:"took"`
	Request    string `json:"request"`
}

func newUnitRow(u *ledger.Unit) unitRow {
	return unitRow{
		ID: clean(u.ID, maxName), MessageID: clean(u.MessageID, maxName), Tenant: clean(u.Tenant, maxName), Site: clean(u.Site, maxName),
		Feed: clean(u.Feed, maxName), Target: u.Target, Partition: u.Partition, Key: clean(u.Key, maxName), Idem: clean(u.Idem, maxName),
		Kind: clean(u.Kind, maxName), SenderID: clean(u.SenderID, maxName), Mapping: clean(u.Mapping, maxName), Seq: int64(u.Seq),
		Status: string(u.Status), Attempts: u.Attempts, Class: clean(u.Class, maxName), Reason: clean(u.Reason, maxText),
		Warning: clean(u.Warning, maxText), Records: recordsJSON(u.Records), Trace: clean(u.Trace, maxName),
		Remappable: u.Remappable, Hold: u.Hold && u.Status == ledger.Dead,
		ReceivedAt: micros(u.ReceivedAt), MappedAt: micros(u.MappedAt), StoredAt: micros(u.StoredAt),
		ClaimedAt: micros(u.ClaimedAt), SettledAt: micros(u.SettledAt), Request: clean(u.Request, maxName),
	}
}

// claimed takes off what is known only when a unit is settled.
func (r *unitRow) claimed(now int64) {
	if r.ClaimedAt == 0 {
		r.ClaimedAt = now
	}
	r.Status, r.Attempts, r.Class, r.Reason, r.Warning, r.Records = string(ledger.Claimed), 0, "", "", "", ""
	r.Remappable, r.Hold, r.SettledAt, r.Request = false, false, 0, ""
}

// A waitingRow is what more is kept of a unit that is parked or dead.
type waitingRow struct {
	ID   string `json:"id"`
	Due  int64  `json:"due"`
	Body string `json:"body"` // hexadecimal
}

func newWaitingRow(u *ledger.Unit) waitingRow {
	w := waitingRow{ID: clean(u.ID, maxName), Body: hex.EncodeToString(u.Body)}
	if u.Status == ledger.Parked {
		w.Due = micros(u.NextAttempt)
	}
	return w
}

// selectUnit are the columns that scanUnit reads, of units u and waiting w.
const selectUnit = `u.id, u.message_id, u.tenant, u.site, u.feed, u.target, u.partition, u.key, u.idem, u.kind, u.sender_id, u.mapping, u.seq,
	u.status, u.attempts, u.class, u.reason, u.warning, u.records, u.trace, u.remappable, u.hold,
	u.received_at, u.mapped_at, u.stored_at, u.claimed_at, u.settled_at, coalesce(w.due, 0)`

func scanUnit(scan Scan, u *ledger.Unit, more ...any) error {
	var seq, received, mapped, stored, claimed, settled, due int64
	var status, records string
	err := scan(append([]any{&u.ID, &u.MessageID, &u.Tenant, &u.Site, &u.Feed, &u.Target, &u.Partition, &u.Key, &u.Idem, &u.Kind, &u.SenderID,
		&u.Mapping, &seq, &status, &u.Attempts, &u.Class, &u.Reason, &u.Warning, &records, &u.Trace, &u.Remappable, &u.Hold,
		&received, &mapped, &stored, &claimed, &settled, &due}, more...)...)
	if err != nil {
		return err
	}
	u.Seq, u.Status = uint64(seq), ledger.Status(status)
	u.ReceivedAt, u.MappedAt, u.StoredAt, u.ClaimedAt, u.SettledAt, u.NextAttempt = at(received), at(mapped), at(stored), at(claimed), at(settled), at(due)
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
