package link

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/journal"
)

// real is the site's journal as a link wants it.
type real struct{ j *journal.Journal }

func (r real) Read(ctx context.Context, feed string, after Position) (Reader, error) {
	rd, err := r.j.Read(ctx, feed, journal.Position(after))
	if err != nil {
		return nil, err
	}
	return realReader{rd}, nil
}

func (r real) Find(ctx context.Context, feed, mid string) (Entry, error) {
	e, err := r.j.Find(ctx, feed, mid)
	if errors.Is(err, journal.ErrNotFound) {
		return Entry{}, ErrNotFound
	}
	return Entry{Position(e.Position), e.Message}, err
}

func (r real) Last(ctx context.Context, feed string) (uint64, error) {
	st, err := r.j.Stats(ctx, feed)
	return st.Last.Seq, err
}

func (r real) Trim(ctx context.Context, feed string, sent Position, before time.Time) error {
	_, err := r.j.Trim(ctx, feed, journal.Position(sent), before)
	return err
}

type realReader struct{ r *journal.Reader }

func (r realReader) Next(ctx context.Context) (Entry, error) {
	e, err := r.r.Next(ctx)
	return Entry{Position(e.Position), e.Message}, err
}

func TestTheSitesJournalGoesUpAndIsTrimmed(t *testing.T) {
	t.Parallel()
	c := newCloud(t, hub.Config{})
	js := c.worker()
	j, err := journal.Open(t.Context(), journal.Config{Dir: t.TempDir(), Feeds: []journal.Feed{{Name: "adt"}}, Provision: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = j.Close() })
	var want memory
	const n = 200
	l, stop := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: real{j}, Map: mapThree, Retention: time.Nanosecond, TrimEvery: 50 * time.Millisecond})
	send := func(from, to int) {
		ms := make([]*broker.Message, 0, to-from)
		for i := from; i < to; i++ {
			m := message(i, "body")
			ms = append(ms, m)
			want.entries = append(want.entries, Entry{Message: m})
		}
		if err := j.Append(t.Context(), "adt", ms...); err != nil {
			t.Fatal(err)
		}
	}
	send(0, n)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == n })
	until(t, "the journal is trimmed", func() bool { st, err := j.Stats(t.Context(), "adt"); return err == nil && st.Messages <= 1 })
	stop()
	send(n, 2*n)
	l, _ = running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: real{j}, Map: mapThree})
	until(t, "the rest is sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 2*n })
	sameAsJournal(t, js, &want, mapThree)
}
