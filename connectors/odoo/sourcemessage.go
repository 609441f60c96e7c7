package odoo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"time"

	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

type acceptFunc = broker.Accept

const (
	acceptTimeout = 30 * time.Second
	maxOffered    = 4 << 20 // bytes of messages in one call of accept, more or less
)

// A sending is a version on its way to accept.
type sending struct {
	id      int64
	version version
	message *broker.Message // nil: nothing to say
}

// offer makes messages of records and remembers them once they are accepted.
func (r *reading) offer(records []map[string]any) error {
	var batch []sending
	size := 0
	for _, rec := range records {
		s, err := r.sending(rec)
		if err != nil {
			return err
		}
		batch = append(batch, s)
		if s.message == nil {
			r.s.unchanged.Add(r.ctx, 1)
		} else if size += len(s.message.Body); size >= maxOffered {
			if err := r.hand(batch); err != nil {
				return err
			}
			batch, size = nil, 0
		}
	}
	return r.hand(batch)
}

// sending compares a record that was read with its last version.
func (r *reading) sending(rec map[string]any) (sending, error) {
	id, isID := asInt(rec["id"])
	at, isAt := seconds(rec["write_date"])
	if !isID || id <= 0 || !isAt {
		return sending{}, &fault{class: "net.garbage"}
	}
	written, writer := rec["write_date"], idOf(rec["write_uid"])
	for _, name := range []string{"write_date", "write_uid"} { // of a touch that changes nothing else there is nothing to say
		if !slices.Contains(r.fields, name) {
			delete(rec, name)
		}
	}
	content, err := encodeRecord(rec)
	if err != nil {
		return sending{}, err
	}
	sum := sha256.Sum256(content)
	v := version{at: at, hash: binary.LittleEndian.Uint64(sum[:])}
	if v.was, err = r.watched(rec); err != nil {
		return sending{}, err
	}
	old, known := r.memory.known[id]
	sameTime := known && old.at == at
	switch {
	case r.final, at < r.memory.settled(r.s.cfg.Settle, r.s.now()):
		v.looks = done
	case !sameTime || old.hash != v.hash:
	case r.s.now().Sub(r.memory.open[id]) >= r.s.cfg.Settle:
		v.looks = done
	default:
		v.looks = max(old.looks, twice)
	}
	name := fmt.Sprintf("%s.%08x", time.Unix(at, 0).UTC().Format(timeLayout), uint32(v.hash))
	if sameTime { // what was sent may come back without a new write_date
		if v.chain = old.chain; old.hash != v.hash {
			v.chain = crc32.ChecksumIEEE(binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(nil, old.chain), old.hash))
		}
		name += fmt.Sprintf(".%08x", v.chain)
	}
	s := sending{id: id, version: v}
	if known && old.hash == v.hash || r.ours(id, writer, old, sameTime) && !r.s.cfg.Echo {
		return s, nil
	}
	rec["write_date"] = written
	r.sayBefore(rec, old, known)
	s.message, err = r.message("write", id, name, rec)
	return s, err
}

// ours says whether what is different about a record is our own user's work.
func (r *reading) ours(id, writer int64, old version, sameTime bool) bool {
	onlyWe, parts := r.due[id]
	switch {
	case parts && (sameTime || !onlyWe):
		return onlyWe
	case sameTime && old.looks == done: // nobody wrote the record itself
		return false
	}
	return writer == r.self
}

// idOf reads a many2one in each of its forms: 0 when it is empty.
func idOf(v any) int64 {
	switch m := v.(type) {
	case map[string]any:
		v = m["id"]
	case []any:
		if len(m) > 0 {
			v = m[0]
		}
	}
	id, _ := asInt(v)
	return id
}

// encodeRecord writes JSON whose names are sorted: one content has one form.
func encodeRecord(rec map[string]any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(rec); err != nil {
		return nil, &fault{class: "net.garbage"} // a number that is none
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// message is what is sent of a version. Its identity is made of nothing that
// differs when the version is read again.
func (r *reading) message(change string, id int64, name string, rec map[string]any) (*broker.Message, error) {
	rec["_model"], rec["_change"], rec["_version"] = r.model, change, name
	body, err := encodeRecord(rec)
	if err != nil {
		return nil, err
	}
	return r.s.origin.Message(formatName, r.model+":"+change, fmt.Sprintf("%s,%d,%s", r.model, id, name), time.Now().UTC(), body), nil
}

// offerDeleted hands on deletions of records that are remembered.
func (r *reading) offerDeleted(ids []int64) error {
	var batch []sending
	for _, id := range ids {
		if _, known := r.memory.known[id]; !known {
			continue
		}
		m, err := r.message("delete", id, "deleted", map[string]any{"id": id})
		if err != nil {
			return err
		}
		batch = append(batch, sending{id: id, message: m})
	}
	for part := range slices.Chunk(batch, maxBatch) {
		if err := r.take(part, func(s sending) { r.memory.forget(s.id) }); err != nil {
			return err
		}
	}
	return nil
}

func (r *reading) hand(batch []sending) error {
	now := r.s.now()
	return r.take(batch, func(s sending) {
		// A second look must not be put off by looks at the same version.
		read := now
		if old := r.memory.known[s.id]; old.at == s.version.at && old.hash == s.version.hash {
			if first, open := r.memory.open[s.id]; open {
				read = first
			}
		}
		r.memory.keep(s.id, s.version, read)
	})
}

// take hands a batch to accept, and then calls accepted for each.
func (r *reading) take(batch []sending, accepted func(sending)) error {
	// A stop must not leave a message stored and not remembered.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), acceptTimeout)
	defer cancel()
	ctx, span := r.s.meters.Tracer.Start(ctx, "odoo.changes", trace.WithSpanKind(trace.SpanKindConsumer))
	defer span.End()
	var ms []*broker.Message
	for _, s := range batch {
		if s.message != nil {
			s.message.Trace = reception.Traceparent(ctx)
			ms = append(ms, s.message)
		}
	}
	if len(ms) > 0 {
		atChanges.Hit()
		err := r.accept(ctx, ms...)
		atOffered.Hit()
		var refused *broker.RejectError
		switch {
		case errors.As(err, &refused) && len(batch) > 1: // one of them does not hold the others
			for i := range batch {
				if err := r.take(batch[i:i+1], accepted); err != nil {
					return err
				}
			}
			return nil
		case refused != nil: // there is nobody to send it otherwise; its next version may do
			r.s.log.Error("odoo: a record is refused and not sent", "model", r.model, "id", batch[0].id, "code", refused.Code)
		case err != nil:
			return err
		}
		r.found += len(ms)
		if refused == nil {
			r.s.meters.Accepted(ctx, len(ms))
		} else {
			r.s.meters.Refused(ctx, len(ms), "rejected")
		}
	}
	for _, s := range batch {
		accepted(s)
	}
	return nil
}
