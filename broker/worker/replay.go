package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

var errNoRemap = errors.New("the replay asks a site to map again, and this worker can not reach sites: its configuration names no way")

const (
	replayPoll = 2 * time.Second
	replayPage = 200
	replaysMax = 8    // at once; the others wait for their turn
	failedMax  = 1000 // items of a replay that failed in one round; then it begins another
)

// replays carries out the running replays, side by side and each at its own
// rate, until ctx is done. It holds no state: an item is either done in the
// ledger or pending, so after a crash any worker goes on. Of several workers
// the one that has partition 0 of its first target does it; should two think so
// for a moment, no harm is done, because an item that is carried out twice is
// carried out once.
func (w *Worker) replays(ctx context.Context) {
	tick := time.NewTicker(replayPoll)
	defer tick.Stop()
	var all sync.WaitGroup
	defer all.Wait()
	type end struct {
		id  string
		err error
	}
	ended := make(chan end)
	active, trouble := map[string]bool{}, map[string]string{}
	turns, turn := map[string]int{}, 0 // when each was last begun: of more than replaysMax each has its turn
	told := func(id string, err error) {
		if err == nil {
			delete(trouble, id)
		} else if text := err.Error(); ctx.Err() == nil && text != trouble[id] {
			trouble[id] = text
			w.log.Error("a replay does not go on", "replay", id, "error", err)
		}
	}
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-ended:
			delete(active, e.id)
			w.replaying.Store(int64(len(active)))
			told(e.id, e.err)
			continue
		case <-tick.C:
		}
		if !w.lanes[0].keeper.holds(0) {
			continue
		}
		plans, err := w.ledger.Replays(ctx)
		told("", err)
		slices.SortStableFunc(plans, func(a, b ledger.Replay) int { return cmp.Compare(turns[a.ID], turns[b.ID]) })
		before := turns
		turns = map[string]int{}
		for _, r := range plans {
			if turns[r.ID] = before[r.ID]; !r.Running || active[r.ID] || len(active) == replaysMax {
				continue
			}
			turn++
			turns[r.ID], active[r.ID] = turn, true
			w.replaying.Store(int64(len(active)))
			all.Go(func() {
				e := end{r.ID, w.replay(ctx, r)}
				select {
				case ended <- e:
				case <-ctx.Done():
				}
			})
		}
	}
}

// replay carries out what is pending of one plan.
func (w *Worker) replay(ctx context.Context, r ledger.Replay) error {
	pace := &pace{rate: w.rateOf(r), look: func() (float64, error) {
		r, err := w.ledger.Replay(ctx, r.ID)
		return w.rateOf(r), err
	}}
	failed := map[string]error{} // they stay pending until the next round
	for w.lanes[0].keeper.holds(0) {
		items, err := w.ledger.ReplayItems(ctx, r.ID, 0, replayPage+len(failed), true)
		if err != nil {
			return err
		}
		before := len(failed)
		progress := false
		for _, it := range items {
			if failed[it.Unit] != nil {
				continue
			}
			if err := pace.wait(ctx); err != nil {
				return err
			}
			if !w.lanes[0].keeper.holds(0) {
				return nil
			}
			if err := w.replayItem(ctx, r.ID, it); err != nil {
				failed[it.Unit] = err
			} else {
				progress = true
			}
		}
		if !progress && len(failed) == before || len(failed) >= failedMax {
			break
		}
	}
	for _, err := range failed {
		return fmt.Errorf("%d items: %w", len(failed), err)
	}
	return nil
}

func (w *Worker) rateOf(r ledger.Replay) float64 { return cmp.Or(r.Rate, w.cfg.ReplayRate) }

// A pace spaces what is done at a rate that may change meanwhile.
type pace struct {
	rate   float64
	look   func() (rate float64, err error)
	looked time.Time
	last   time.Time // when the last one was due
}

// wait returns when the next one is due.
func (p *pace) wait(ctx context.Context) error {
	for {
		now := time.Now()
		if p.looked.IsZero() {
			p.looked = now
		}
		if now.Sub(p.looked) >= replayPoll {
			rate, err := p.look()
			if err != nil {
				return err
			}
			p.rate, p.looked = rate, now
		}
		due := p.last.Add(time.Duration(min(float64(time.Second)/p.rate, float64(time.Hour))))
		if !due.After(now) {
			p.last = due
			if now.Sub(due) > 100*time.Millisecond { // it was held up: nothing is made up for
				p.last = now
			}
			return nil
		}
		timer := time.NewTimer(min(due.Sub(now), replayPoll))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
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
		atReplayAsked.Hit()
	}
	_, err := w.ledger.Requeue(ctx, id, it.Unit)
	atRequeued.Hit()
	return err
}
