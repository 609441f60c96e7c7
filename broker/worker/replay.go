package worker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/time/rate"

	"github.com/vagus-health/vagus/broker/ledger"
)

var errNoRemap = errors.New("the replay asks a site to map again, and this worker can not reach sites: its configuration names no way")

const (
	replayPoll = 2 * time.Second
	replayPage = 200
)

// replays carries out the running replays, one after the other, until ctx is
// done. It holds no state: an item is either done in the ledger or pending, so after a
// crash any worker goes on. Of several workers the one that has partition 0 of
// its first target does it; should two think so for a moment, no harm is done,
// because an item that is carried out twice is carried out once.
func (w *Worker) replays(ctx context.Context) {
	limit := rate.NewLimiter(rate.Limit(w.cfg.ReplayRate), 1)
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	trouble := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := w.replayAll(ctx, limit)
		if err == nil {
			trouble = ""
		} else if ctx.Err() == nil && err.Error() != trouble {
			trouble = err.Error()
			w.log.Error("a replay does not go on", "error", err)
		}
	}
}

func (w *Worker) replayAll(ctx context.Context, limit *rate.Limiter) error {
	if !w.lanes[0].keeper.holds(0) {
		return nil
	}
	all, err := w.ledger.Replays(ctx)
	if err != nil {
		return err
	}
	var first error
	for _, r := range all {
		if r.Running && r.Done < r.Total {
			if err := w.replay(ctx, r.ID, limit); err != nil && first == nil {
				first = err // the next one may do better
			}
		}
	}
	return first
}

// replay carries out what is pending of one plan.
func (w *Worker) replay(ctx context.Context, id string, limit *rate.Limiter) error {
	failed := map[string]error{} // they stay pending until the next round
	for w.lanes[0].keeper.holds(0) {
		items, err := w.ledger.ReplayItems(ctx, id, 0, replayPage+len(failed), true)
		if err != nil {
			return err
		}
		before := len(failed)
		progress := false
		for _, it := range items {
			if failed[it.Unit] != nil {
				continue
			}
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			if err := w.replayItem(ctx, id, it); err != nil {
				failed[it.Unit] = err
			} else {
				progress = true
			}
		}
		if !progress && len(failed) == before {
			break
		}
	}
	for _, err := range failed {
		return fmt.Errorf("%d items of replay %s: %w", len(failed), id, err)
	}
	return nil
}

// replayItem asks the site before it marks the item, so that a crash between
// the two asks twice and never not at all.
func (w *Worker) replayItem(ctx context.Context, id string, it ledger.ReplayItem) error {
	if it.Action == ledger.Remap {
		if w.cfg.Remap == nil {
			return errNoRemap
		}
		u, _, err := w.ledger.Unit(ctx, it.Unit)
		if err != nil {
			return err
		}
		if err := w.cfg.Remap(ctx, u, id); err != nil {
			return err
		}
	}
	_, err := w.ledger.Requeue(ctx, id, it.Unit)
	return err
}
