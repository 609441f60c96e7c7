package journal

import (
	"context"
	"fmt"
)

// Tail calls each with the last n entries of a feed, oldest first: of those that
// were on stable storage when it began, however many are appended or trimmed
// meanwhile. It ends with the first error of each. It may call each more than n
// times when entries were taken back: the last n are those meant.
func (j *Journal) Tail(ctx context.Context, feed string, n int64, each func(Entry) error) error {
	l, err := j.lane(feed)
	if err != nil {
		return err
	}
	if err := l.tail(ctx, n, each); err != nil {
		return fmt.Errorf("journal: last of %s: %w", feed, err)
	}
	return nil
}

func (l *lane) tail(ctx context.Context, n int64, each func(Entry) error) error {
	s, end := l.current()
	if s == nil {
		return errDown
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return err
	}
	first, last := int64(info.State.FirstSeq), int64(info.State.LastSeq)
	if info.State.Msgs == 0 || n < 1 {
		return nil
	}
	gaps := last - first + 1 - int64(info.State.Msgs)
	r := &Reader{l: l, last: uint64(max(first-1, int64(end)-n-gaps, 0))}
	for r.last < end {
		if err := ctx.Err(); err != nil {
			return err
		}
		if now, _ := l.current(); now == nil {
			return errDown
		}
		if err := r.fetch(ctx); err != nil {
			return err
		}
		for _, e := range r.buf {
			if e.Position.Seq > end {
				return nil
			}
			if err := each(e); err != nil {
				return err
			}
		}
		r.buf = r.buf[:0]
	}
	return nil
}
