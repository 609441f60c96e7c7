package journal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
)

// A Position is a place in a feed's journal: the stream's sequence and the id
// of the message found there. A sequence alone identifies nothing: when a
// stream is cut short by a damaged disk its sequences are used again. The zero
// Position is before the first entry.
type Position struct {
	Seq uint64 `json:"seq"`
	ID  string `json:"id"` // message id
}

// An Entry is a message and where it stands.
type Entry struct {
	Position Position
	*broker.Message
}

// A Reader reads a feed's entries in order. It is for one goroutine.
type Reader struct {
	l    *lane
	last uint64 // the last sequence that was fetched
	buf  []Entry
}

// Read returns a reader of the entries after a position. It trusts the id, not
// the sequence: if another message stands at the sequence it looks for the id,
// and logs that it had to; if the id is nowhere it begins with the first
// entry, which repeats what was read before but leaves out nothing.
func (j *Journal) Read(ctx context.Context, feed string, after Position) (*Reader, error) {
	l, err := j.lane(feed)
	if err != nil {
		return nil, err
	}
	r := &Reader{l: l}
	if after == (Position{}) {
		return r, nil
	}
	at, err := l.locate(ctx, after)
	switch {
	case err == nil:
		if r.last = at; at != after.Seq {
			j.log.Warn("journal: a position's message was found at another sequence", "feed", feed, "id", after.ID, "seq", after.Seq, "found", at)
		}
	case errors.Is(err, ErrNotFound):
		j.log.Warn("journal: a position's message is not there any more, reading from the first entry", "feed", feed, "id", after.ID, "seq", after.Seq)
	default:
		return nil, fmt.Errorf("journal: read %s: %w", feed, err)
	}
	return r, nil
}

// Next returns the next entry. It blocks until there is one that is on stable
// storage, or ctx is done; then it returns ctx's error. While the embedded
// server is being started again it waits.
func (r *Reader) Next(ctx context.Context) (Entry, error) {
	for len(r.buf) == 0 {
		if err := ctx.Err(); err != nil {
			return Entry{}, err
		}
		if err := r.l.wait(ctx, r.last); err != nil {
			return Entry{}, err
		}
		if err := r.fetch(ctx); err != nil {
			return Entry{}, fmt.Errorf("journal: read %s: %w", r.l.feed, err)
		}
	}
	e := r.buf[0]
	r.buf[0] = Entry{}
	r.buf = r.buf[1:]
	return e, nil
}

// Buffered returns how many entries Next will return without waiting.
func (r *Reader) Buffered() int { return len(r.buf) }

// What one request brings: messages, and bytes after which it stops.
const (
	batchMessages = 512
	batchBytes    = 2 << 20
)

// fetch fills the buffer with what follows r.last and is durable.
func (r *Reader) fetch(ctx context.Context) error {
	s, durable := r.l.current()
	if s == nil || r.remember() {
		return nil
	}
	entries, err := r.l.get(ctx, s, request{Seq: r.last + 1, Batch: int(min(batchMessages, durable-r.last)), MaxBytes: batchBytes})
	if errors.Is(err, ErrNotFound) { // all that follows was trimmed or taken back
		r.last = durable
		return nil
	}
	if err != nil {
		if now, _ := r.l.current(); now != s { // the server went away meanwhile
			return nil
		}
		return err
	}
	for _, e := range entries {
		if e.Position.Seq > durable {
			break
		}
		r.buf, r.last = append(r.buf, e), e.Position.Seq
	}
	if len(r.buf) == 0 {
		r.last = durable
	}
	return nil
}

// remember fills the buffer with what follows r.last and is still in memory.
func (r *Reader) remember() bool {
	r.l.mu.Lock()
	defer r.l.mu.Unlock()
	for r.last < r.l.durable {
		m := r.l.recent.get(r.last + 1)
		if m == nil {
			break
		}
		r.last++
		r.buf = append(r.buf, Entry{Position{r.last, m.ID}, m})
	}
	return len(r.buf) > 0
}

// current returns the lane's session, nil while there is none, and up to where
// its entries may be read.
func (l *lane) current() (*session, uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.s, l.durable
}

// wait blocks until there are entries after seq.
func (l *lane) wait(ctx context.Context, seq uint64) error {
	for {
		l.mu.Lock()
		if l.s != nil && l.durable > seq {
			l.mu.Unlock()
			return nil
		}
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A request of the JetStream direct get API (nats ADR-31).
type request struct {
	Seq      uint64 `json:"seq,omitempty"`
	Batch    int    `json:"batch,omitempty"`
	MaxBytes int    `json:"max_bytes,omitempty"`
}

const answerWithin = 15 * time.Second

// get asks for entries: a batch, or one. It returns ErrNotFound for none.
func (l *lane) get(ctx context.Context, s *session, q request) ([]Entry, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	sub, err := s.nc.SubscribeSync(s.nc.NewInbox())
	if err != nil {
		return nil, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil { // the request bounds it
		return nil, err
	}
	if err := s.nc.PublishRequest("$JS.API.DIRECT.GET."+streamName(l.feed), sub.Subject, body); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	entries := make([]Entry, 0, max(1, q.Batch))
	for {
		m, err := sub.NextMsgWithContext(ctx)
		if err != nil {
			return nil, err
		}
		if len(m.Data) == 0 {
			switch status := m.Header.Get("Status"); status {
			case "":
			case "204":
				return entries, nil
			case "404":
				return nil, ErrNotFound
			default:
				return nil, fmt.Errorf("direct get: status %s %s", status, m.Header.Get("Description"))
			}
		}
		e, err := l.entry(m)
		if err != nil {
			return nil, err
		}
		if entries = append(entries, e); q.Batch == 0 {
			return entries, nil
		}
	}
}

func (l *lane) entry(m *nats.Msg) (Entry, error) {
	seq, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return Entry{}, fmt.Errorf("direct get: %w", errHeader)
	}
	msg, err := decode(l.feed, m.Header, m.Data)
	if err != nil {
		return Entry{}, fmt.Errorf("sequence %d: %w", seq, err)
	}
	if msg.ReceivedAt.IsZero() {
		msg.ReceivedAt, _ = time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer)) // when it was stored
	}
	return Entry{Position{seq, msg.ID}, msg}, nil
}

// one returns the only entry that a request asks for, if it is durable.
func (l *lane) one(ctx context.Context, q request) (Entry, error) {
	s, _ := l.current()
	if s == nil {
		return Entry{}, errDown
	}
	entries, err := l.get(ctx, s, q)
	switch now, durable := l.current(); {
	case now != s: // whatever the other server said, or why it did not
		return Entry{}, errDown
	case err != nil:
		return Entry{}, err
	case entries[0].Position.Seq > durable:
		return Entry{}, ErrNotFound
	default:
		return entries[0], nil
	}
}

// find returns the entry whose message has a short id.
func (l *lane) find(ctx context.Context, mid string) (Entry, error) {
	l.mu.Lock()
	x := l.ids
	l.mu.Unlock()
	seq := x.where(idHash(mid))
	if seq == 0 {
		return Entry{}, ErrNotFound
	}
	e, err := l.one(ctx, request{Seq: seq})
	if err == nil && (e.Position.Seq != seq || broker.ShortID(e.ID) != mid) {
		err = ErrNotFound
	}
	return e, err
}

// locate returns the sequence at which a position's message stands.
func (l *lane) locate(ctx context.Context, p Position) (uint64, error) {
	if p.Seq > 0 {
		e, err := l.one(ctx, request{Seq: p.Seq})
		if err == nil && e.Position == p {
			return p.Seq, nil
		}
		if err != nil && !errors.Is(err, ErrNotFound) {
			return 0, err
		}
	}
	if !validToken(p.ID) {
		return 0, ErrNotFound
	}
	e, err := l.find(ctx, broker.ShortID(p.ID))
	if err != nil {
		return 0, err
	}
	if e.ID != p.ID {
		return 0, ErrNotFound
	}
	return e.Position.Seq, nil
}

// Find returns the entry whose message has the short id mid
// (broker.ShortID), or ErrNotFound.
func (j *Journal) Find(ctx context.Context, feed, mid string) (Entry, error) {
	l, err := j.lane(feed)
	if err != nil {
		return Entry{}, err
	}
	if !validToken(mid) {
		return Entry{}, fmt.Errorf("journal: find in %s: %w", feed, ErrNotFound)
	}
	e, err := l.find(ctx, mid)
	if err != nil {
		return Entry{}, fmt.Errorf("journal: find in %s: %w", feed, err)
	}
	return e, nil
}
