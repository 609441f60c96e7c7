package link

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/vagus-health/vagus/broker"
)

const (
	windowItems = 1024     // entries that are read and mapped ahead of what is sent
	windowBytes = 16 << 20 // of message bodies in them; one message may be larger
)

// item is an entry on its way through the mapping.
type item struct {
	entry   Entry
	skip    string        // drop the units up to this one: the cloud has them
	ready   chan struct{} // closed when parcels or err is set
	parcels []*parcel
	err     error // only when the lane stops
}

// ahead reads a feed and maps what it reads, several at once, and hands it on
// in the order of the journal.
type ahead struct {
	queue chan *item
	todo  chan *item // the same, on their way to those that map
	bytes atomic.Int64
	freed chan struct{}
	err   error // why queue was closed
}

// readAhead starts reading after a mark. It ends, and closes queue, when ctx is
// done or the journal fails; the lane then waits for all that it started.
func (l *lane) readAhead(ctx context.Context, m mark) (*ahead, error) {
	a := &ahead{queue: make(chan *item, windowItems), todo: make(chan *item, windowItems), freed: make(chan struct{}, 1)}
	l.window.Store(a)
	var after Position
	var partial *item
	if m.ID != "" {
		e, err := l.link.cfg.Journal.Find(ctx, l.feed, broker.ShortID(m.ID))
		switch {
		case errors.Is(err, ErrNotFound) || err == nil && e.ID != m.ID:
			// Trimmed after it was sent; or the journal is not the one that it was.
			// All that is there goes; what the cloud has already, the ledger knows.
			l.lacks(ctx, m)
		case err != nil:
			return nil, &laneError{"journal", err}
		default:
			if e.Position.Seq > m.Seq { // it stands there twice, or the journal is counted anew: Read knows by the id
				e.Position = m.Position
			}
			after = e.Position
			if !m.complete() {
				partial = &item{entry: e, skip: m.unit}
			}
		}
	}
	r, err := l.link.cfg.Journal.Read(ctx, l.feed, after)
	if err != nil {
		return nil, &laneError{"journal", err}
	}
	for range cap(l.link.mapping) {
		l.work.Go(func() {
			for it := range a.todo {
				l.prepare(ctx, it)
			}
		})
	}
	l.work.Go(func() {
		defer close(a.queue)
		defer close(a.todo)
		if partial != nil && !a.add(ctx, l, partial) {
			return
		}
		for {
			e, err := r.Next(ctx)
			if err != nil {
				a.err = &laneError{"journal", err}
				return
			}
			if !a.add(ctx, l, &item{entry: e}) {
				return
			}
		}
	})
	return a, nil
}

// add waits until the window has room, then queues an item, also to be mapped.
func (a *ahead) add(ctx context.Context, l *lane, it *item) bool {
	n := int64(len(it.entry.Message.Body))
	for a.bytes.Load() > 0 && a.bytes.Load()+n > windowBytes {
		select {
		case <-a.freed:
		case <-ctx.Done():
			return false
		}
	}
	a.bytes.Add(n)
	it.ready = make(chan struct{})
	for _, to := range [...]chan *item{a.todo, a.queue} {
		select {
		case to <- it:
		case <-ctx.Done():
			return false
		}
	}
	return true
}

// done gives an item's room back.
func (a *ahead) done(it *item) {
	a.bytes.Add(-int64(len(it.entry.Message.Body)))
	select {
	case a.freed <- struct{}{}:
	default:
	}
}

// prepare maps an entry, again and again until it can.
func (l *lane) prepare(ctx context.Context, it *item) {
	defer close(it.ready)
	b := newBackoff()
	for {
		it.parcels, it.err = l.mapEntry(ctx, it.entry)
		atMapped.Hit()
		if it.err == nil {
			it.parcels = dropThrough(it.parcels, it.skip)
			return
		}
		if ctx.Err() != nil {
			return
		}
		l.note(ctx, &laneError{"mapping", it.err})
		if !wait(ctx, b.NextBackOff()) {
			return
		}
	}
}

func (l *lane) mapEntry(ctx context.Context, e Entry) ([]*parcel, error) {
	select {
	case l.link.mapping <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-l.link.mapping }()
	units, err := l.link.cfg.Map(ctx, e.Message)
	if err != nil {
		return nil, err
	}
	return l.pack(ctx, e, units)
}

// dropThrough leaves out the parcels up to and with a unit. If the mapping no
// longer makes that unit, all of them go.
func dropThrough(parcels []*parcel, unit string) []*parcel {
	for i, p := range parcels {
		if unit != "" && p.unit.ID == unit {
			return parcels[i+1:]
		}
	}
	return parcels
}
