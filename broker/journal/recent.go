package journal

import (
	"bytes"
	"time"

	"github.com/vagus-health/vagus/broker"
)

const (
	recentMessages = 512       // that are remembered of a feed
	recentBytes    = 512 << 10 // of their bodies
)

// recent remembers what was just made durable, one message at a time, so that
// a reader who keeps up need not ask the server for it: that is a tenth of an
// agent's processor time. What it does not have the server has; what came in
// steps of several is read from there, many at once.
//
// A message in it is a copy, as if it had been read.
type recent struct {
	at    [recentMessages]remembered // by sequence
	first uint64                     // nothing before it is remembered
	next  uint64                     // nothing from here on
	bytes int
}

type remembered struct {
	seq uint64
	m   *broker.Message
}

func (r *recent) put(seq uint64, m *broker.Message) {
	if seq < r.first || len(m.Body) > recentBytes/8 || m.ReceivedAt.IsZero() {
		return
	}
	if seq >= r.next+recentMessages {
		r.forget(seq)
	}
	r.next = max(r.next, seq+1)
	for r.first+recentMessages < r.next || r.bytes+len(m.Body) > recentBytes {
		r.drop(r.first)
		r.first++
	}
	if seq < r.first {
		return
	}
	own := *m
	own.Body = bytes.Clone(m.Body)
	own.ReceivedAt = time.Unix(0, m.ReceivedAt.UnixNano()).UTC()
	r.at[seq%recentMessages] = remembered{seq, &own}
	r.bytes += len(m.Body)
}

// get returns nil for what is not remembered.
func (r *recent) get(seq uint64) *broker.Message {
	if at := &r.at[seq%recentMessages]; at.seq == seq {
		return at.m
	}
	return nil
}

func (r *recent) drop(seq uint64) {
	if at := &r.at[seq%recentMessages]; at.seq == seq && at.m != nil {
		r.bytes -= len(at.m.Body)
		*at = remembered{}
	}
}

// forget drops everything. From here on only what is not before first is
// remembered.
func (r *recent) forget(first uint64) { *r = recent{first: first, next: first} }
