package journal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Trim removes from the beginning of a feed what is not after sent and was
// received before a time, and returns how many entries that were. It never
// removes more: it stops at the first entry that is younger, and does nothing
// if the message that sent names is not in the journal (it was trimmed before,
// or sent is a position in another journal).
//
// Entries received in the future, by a clock that was wrong, count as old once
// an entry after them is.
func (j *Journal) Trim(ctx context.Context, feed string, sent Position, before time.Time) (int, error) {
	l, err := j.lane(feed)
	if err != nil {
		return 0, err
	}
	n, err := l.trim(ctx, sent, before)
	if err != nil {
		return n, fmt.Errorf("journal: trim %s: %w", feed, err)
	}
	return n, nil
}

func (l *lane) trim(ctx context.Context, sent Position, before time.Time) (int, error) {
	if sent == (Position{}) {
		return 0, nil
	}
	at, err := l.locate(ctx, sent)
	if errors.Is(err, ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	keep, n, err := l.oldest(ctx, at, before)
	if err != nil || n == 0 {
		return 0, err
	}
	if p := l.j.poison.Load(); p != nil {
		return 0, *p
	}
	s, _ := l.current()
	if s == nil {
		return 0, errDown
	}
	// The server may rewrite the block that is cut: no sync may come between.
	l.syncMu.Lock()
	defer l.syncMu.Unlock()
	if err := s.stream.Purge(ctx, jetstream.WithPurgeSequence(keep)); err != nil {
		return 0, err
	}
	l.mu.Lock()
	l.recent.forget(keep)
	x := l.ids
	l.mu.Unlock()
	x.trim(keep, n)
	atTrimmed.Hit()
	if !l.j.group {
		return n, nil
	}
	if err := l.blocks.rebase(); err != nil {
		return n, l.j.fail(err)
	}
	l.mu.Lock()
	l.blocks.ahead = l.outBytes
	l.mu.Unlock()
	return n, nil
}

// oldest walks over the entries that may go. It returns the sequence of the
// first one to keep, and how many are before it.
func (l *lane) oldest(ctx context.Context, sent uint64, before time.Time) (keep uint64, n int, err error) {
	now := time.Now()
	r := Reader{l: l}
	pending := 0 // received in the future, so far
	for {
		if len(r.buf) == 0 {
			if _, durable := l.current(); r.last >= min(sent, durable) {
				return keep, n, nil
			}
			if err := r.fetch(ctx); err != nil {
				return 0, 0, err
			}
			if err := ctx.Err(); err != nil {
				return 0, 0, err
			}
			continue
		}
		e := r.buf[0]
		r.buf = r.buf[1:]
		switch {
		case e.Position.Seq > sent:
			return keep, n, nil
		case e.ReceivedAt.Before(before):
			keep, n, pending = e.Position.Seq+1, n+pending+1, 0
		case e.ReceivedAt.After(now):
			pending++
		default:
			return keep, n, nil
		}
	}
}

// Stats is what a feed holds.
type Stats struct {
	First, Last Position // of what may be read; zero if that is nothing
	Messages    int64
	Bytes       int64
	Limit       int64 // of Bytes
}

// Stats returns what a feed holds now.
func (j *Journal) Stats(ctx context.Context, feed string) (Stats, error) {
	l, err := j.lane(feed)
	if err != nil {
		return Stats{}, err
	}
	st, err := l.stats(ctx)
	if err != nil {
		return Stats{}, fmt.Errorf("journal: stats of %s: %w", feed, err)
	}
	return st, nil
}

func (l *lane) stats(ctx context.Context) (Stats, error) {
	s, _ := l.current()
	if s == nil {
		return Stats{}, errDown
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return Stats{}, err
	}
	st := Stats{Messages: int64(info.State.Msgs), Bytes: int64(info.State.Bytes), Limit: l.limit}
	if st.Messages == 0 {
		return st, nil
	}
	first, err := l.one(ctx, request{Seq: info.State.FirstSeq, Batch: 1, MaxBytes: 1})
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Stats{}, err
	}
	st.First = first.Position
	// The server would look at every subject to say which message is the last.
	err = l.tail(ctx, 1, func(e Entry) error { st.Last = e.Position; return nil })
	if err != nil {
		return Stats{}, err
	}
	return st, nil
}
