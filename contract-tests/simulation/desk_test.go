package simulation

import (
	"context"
	"errors"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// A desk is the ledger as one worker sees it: what travels there and back, fails before or after it was done,
// or waits. A method that it does not have is one that no worker called when it was written.
type desk struct {
	ledger.Ledger // nil
	s             *simulation
	p             *process
}

var errLedger = errors.New("connection to the ledger lost")

// asks makes one call.
func asks[T any](ctx context.Context, d *desk, of string, do func() (T, error)) (T, error) {
	w, s := d.s.world, d.s
	era := s.era()
	before, after := s.ledgerFails(w.draw(d.p.name+of, 1000)), s.ledgerFails(w.draw(d.p.name+of, 1000))
	hi := 4 * time.Millisecond
	if w.happens(d.p.name+of+"slow", 5) {
		hi = time.Second
	}
	got, err := reaches(ctx, d.p, of, 150*time.Microsecond, hi, func() (got T, err error) {
		if before || s.era() != era { // after the ledger was set back no call of the time before arrives
			return got, errLedger
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		return do()
	})
	if err == nil && after {
		var none T
		return none, errLedger
	}
	return got, err
}

func (d *desk) Lease(ctx context.Context, target, worker string, ttl time.Duration) ([]ledger.Lease, int, error) {
	type answer struct {
		held  []ledger.Lease
		share int
	}
	a, err := asks(ctx, d, ".lease", func() (a answer, err error) {
		a.held, a.share, err = d.s.ledger.Lease(ctx, target, worker, ttl)
		d.s.leased(d.p, a.held)
		return a, err
	})
	return a.held, a.share, err
}

func (d *desk) Release(ctx context.Context, worker string, leases []ledger.Lease) error {
	_, err := asks(ctx, d, ".release", func() (bool, error) {
		err := d.s.ledger.Release(ctx, worker, leases)
		d.s.released(d.p, leases)
		return true, err
	})
	return err
}

func (d *desk) Claim(ctx context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	return asks(ctx, d, ".claim", func() ([]ledger.Claim, error) {
		got, err := d.s.ledger.Claim(ctx, leases, units)
		d.s.claimed(d.p, leases, units, got, err)
		return got, err
	})
}

func (d *desk) Settle(ctx context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	_, err := asks(ctx, d, ".settle", func() (bool, error) {
		was := d.s.cursors(cursors)
		err := d.s.ledger.Settle(ctx, worker, leases, cursors, done)
		d.s.settled(d.p, leases, cursors, was, done, err)
		return true, err
	})
	return err
}

func (d *desk) HeldKeys(ctx context.Context, leases []ledger.Lease) ([]string, error) {
	return asks(ctx, d, ".held", func() ([]string, error) { return d.s.ledger.HeldKeys(ctx, leases) })
}

func (d *desk) Due(ctx context.Context, leases []ledger.Lease, limit int) ([]ledger.Unit, error) {
	return asks(ctx, d, ".due", func() ([]ledger.Unit, error) { return d.s.ledger.Due(ctx, leases, limit) })
}

func (d *desk) Unit(ctx context.Context, prefix string) (ledger.Unit, []ledger.Hop, error) {
	u, err := asks(ctx, d, ".unit", func() (ledger.Unit, error) {
		u, _, err := d.s.ledger.Unit(ctx, prefix)
		return u, err
	})
	return u, nil, err
}

func (d *desk) Replays(ctx context.Context) ([]ledger.Replay, error) {
	return asks(ctx, d, ".replays", func() ([]ledger.Replay, error) { return d.s.ledger.Replays(ctx) })
}

func (d *desk) Replay(ctx context.Context, id string) (ledger.Replay, error) {
	return asks(ctx, d, ".replay", func() (ledger.Replay, error) { return d.s.ledger.Replay(ctx, id) })
}

func (d *desk) ReplayItems(ctx context.Context, id string, from, limit int, pending bool) ([]ledger.ReplayItem, error) {
	return asks(ctx, d, ".items", func() ([]ledger.ReplayItem, error) { return d.s.ledger.ReplayItems(ctx, id, from, limit, pending) })
}

func (d *desk) Requeue(ctx context.Context, replay, unit string) (ledger.ReplayItem, error) {
	return asks(ctx, d, ".requeue", func() (ledger.ReplayItem, error) {
		it, err := d.s.ledger.Requeue(ctx, replay, unit)
		d.s.requeued(d.p, it, err)
		return it, err
	})
}
