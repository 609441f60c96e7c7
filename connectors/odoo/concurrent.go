package odoo

import (
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// Two systems that write one record: Odoo tells who wrote it last, and when. That
// is all it tells: if our own user wrote after somebody else, that one's change
// cannot be seen any more. And the record is read before it is written, in
// another transaction: what is written in between is overwritten. (The addon does
// both in one.)

// writtenBy finds out whether somebody else wrote an existing record last.
func (p *pass) writtenBy(j *job) *broker.Outcome {
	if j.op.Do == "create" {
		return nil
	}
	since := j.op.UnchangedSince
	if since != "" && !isDatetime(since) {
		return invalid(j.op.Model, "unchanged_since is not a time as Odoo writes it")
	}
	v, read := p.seen.value(j.rec, "write_uid")
	who, known := asInt(v)
	if !read || !known {
		if since != "" {
			return &broker.Outcome{Result: broker.Retry, Class: "odoo.missing_record", Reason: j.op.Model + ": nothing tells who wrote the record last; it may have been deleted meanwhile"}
		}
		return nil
	}
	j.others = who != p.me
	if at, _ := p.seen.value(j.rec, "write_date"); j.others && since != "" {
		when, _ := at.(string)
		j.newer = !isDatetime(when) || when > since
	}
	return nil
}

func isDatetime(s string) bool {
	_, err := time.Parse(time.DateTime, s)
	return err == nil
}

// overwrites is asked before fields of an existing record get other values.
func (j *job) overwrites(fields ...string) *broker.Outcome {
	if j.newer {
		return &broker.Outcome{Result: broker.Rejected, Class: "odoo.changed_since",
			Reason: j.op.Model + ": somebody else changed the record in Odoo after the time that the message goes by (only_if: unchanged_since); compare the two: discard this, or enter it by hand and replay"}
	}
	if j.others {
		j.lost = append(j.lost, fields...)
	}
	return nil
}

// lostWarning names the fields in which the last writer won.
func (j *job) lostWarning() string {
	if len(j.lost) == 0 {
		return ""
	}
	slices.Sort(j.lost)
	return j.op.Model + ": somebody else had written the record last, and other values in " + strings.Join(slices.Compact(j.lost), ", ")
}

// warn adds a sentence to the outcome's warning.
func (s *state) warn(sentence string) {
	if s.warning != "" && sentence != "" {
		s.warning += "; "
	}
	s.warning += sentence
}
