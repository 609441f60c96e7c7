package link

import (
	"context"
	"errors"
	"time"
)

func (l *lane) position() mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.confirmed
}

// known is what the cloud must have stored, as far as this process knows.
func (l *lane) known() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stored
}

// resumed takes the cloud's word for where the lane stands.
func (l *lane) resumed(ctx context.Context, m mark) {
	l.link.metrics.resumes.Add(ctx, 1, l.attr)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed, l.stored, l.whole = m, m.Seq, Position{}
	if m.complete() {
		l.whole = m.Position
	}
	if l.failing == "link.down" || l.failing == "hub.timeout" || l.failing == "hub.no_stream" {
		l.failing = "" // the other classes end when a unit goes through
	}
}

func (l *lane) confirm(m mark, dup bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.confirmed, l.failing = m, ""
	if !dup {
		l.stored = m.Seq
	}
}

// waits notes the entry at the head, passed that it and all before it are in
// the cloud.
func (l *lane) waits(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.oldest = it.entry.Message.ReceivedAt
}

func (l *lane) passed(it *item) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.whole, l.oldest = it.entry.Position, time.Time{}
}

// note records what stops the lane, and logs it when it changes.
func (l *lane) note(ctx context.Context, err error) {
	class := "link.error"
	var le *laneError
	if errors.As(err, &le) {
		class = le.class
	}
	l.link.metrics.errors.Add(ctx, 1, l.attr, classAttr(class))
	l.mu.Lock()
	changed := l.failing != class
	if changed {
		l.failing, l.since = class, time.Now()
	}
	l.mu.Unlock()
	if changed {
		l.link.cfg.Logger.Warn("lane stopped; it goes on by itself", "feed", l.feed, "class", class, "err", err)
	}
}

func (l *lane) snapshot(ctx context.Context) LaneState {
	l.mu.Lock()
	s := LaneState{Feed: l.feed, Sent: l.whole, Oldest: l.oldest, Error: l.failing}
	if l.failing != "" {
		s.Since = l.since
	}
	s.Damaged, s.DamagedAt = l.damaged, l.damagedAt
	l.mu.Unlock()
	if last, err := l.link.cfg.Journal.Last(ctx, l.feed); err == nil {
		s.Journal = last
		s.Backlog = last - min(s.Sent.Seq, last)
	}
	switch {
	case s.Backlog == 0:
		s.Oldest = time.Time{}
	case s.Oldest.IsZero() && s.Sent.ID != "": // it came while the link was down
		s.Oldest = l.peek(ctx, s.Sent)
	}
	return s
}

// peek returns when the entry after a position was received.
func (l *lane) peek(ctx context.Context, after Position) time.Time {
	ctx, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
	defer cancel()
	e, err := l.next(ctx, after)
	if err != nil {
		return time.Time{}
	}
	return e.Message.ReceivedAt
}

// next returns the entry after a position. It waits for one until ctx is done.
func (l *lane) next(ctx context.Context, after Position) (Entry, error) {
	r, err := l.link.cfg.Journal.Read(ctx, l.feed, after)
	if err != nil {
		return Entry{}, err
	}
	return r.Next(ctx)
}

// lacks deals with a journal that does not have the last message in the cloud. Trimming takes
// from the front what was sent: then all that is there comes after that message. If not, the
// journal has lost its end, as it does from one damaged bit on, or is another one.
func (l *lane) lacks(ctx context.Context, m mark) {
	log := l.link.cfg.Logger.With("feed", l.feed, "message", m.ID, "sequence", m.Seq)
	newest, err := l.link.cfg.Journal.Last(ctx, l.feed)
	var first Entry
	if err == nil && newest > 0 { // else all of it was sent and trimmed
		wait, cancel := context.WithTimeout(ctx, l.link.cfg.AckTimeout)
		first, err = l.next(wait, Position{})
		cancel()
	}
	if err != nil || newest == 0 || first.Seq > m.Seq {
		log.Info("the journal no longer has the last message in the cloud; sending from its first")
		return
	}
	l.mu.Lock()
	again := l.damaged == m.Position
	if !again {
		l.damaged, l.damagedAt = m.Position, time.Now()
	}
	l.mu.Unlock()
	if again {
		return
	}
	l.link.metrics.damaged.Add(ctx, 1, l.attr)
	log.Error("the journal is damaged: it has lost messages, among them the last one in the cloud. The cloud has all up to that one; sending goes on with all that is left. "+
		"Have this feed's senders send again what they had acknowledged after it, and check the disk", "journal_newest", newest)
}
