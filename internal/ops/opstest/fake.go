package opstest

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

type Fake struct {
	ledger.Ledger
	mu    sync.Mutex
	units []ledger.Unit
	hops  map[string][]ledger.Hop
	reps  []ledger.Replay
	items map[string][]ledger.ReplayItem
}

func NewFake() *Fake {
	return &Fake{hops: map[string][]ledger.Hop{}, items: map[string][]ledger.ReplayItem{}}
}

func (f *Fake) Lease(_ context.Context, target, worker string, ttl time.Duration) (held []ledger.Lease, share int, err error) {
	for i := range broker.Partitions {
		held = append(held, ledger.Lease{Target: target, Partition: i, Token: 1})
	}
	return held, 64, nil
}
func (f *Fake) Claim(_ context.Context, _ []ledger.Lease, us []ledger.Unit) ([]ledger.Claim, error) {
	return make([]ledger.Claim, len(us)), nil
}
func (f *Fake) at(id string) int {
	return slices.IndexFunc(f.units, func(u ledger.Unit) bool { return u.ID == id })
}
func (f *Fake) next(key string) {
	for i := range f.units {
		u := &f.units[i]
		if u.Key == key && u.Key != "" && u.Status == ledger.Parked {
			if u.NextAttempt.IsZero() {
				u.NextAttempt = time.Now()
			}
			return
		}
	}
}
func (f *Fake) Settle(_ context.Context, w string, _ []ledger.Lease, _ []ledger.Cursor, done []ledger.Settlement) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, d := range done {
		f.hops[d.Unit.ID] = append(f.hops[d.Unit.ID], ledger.Hop{At: d.Unit.SettledAt, What: string(d.Unit.Status), Worker: w, Class: d.Unit.Class, Reason: d.Unit.Reason})
		if i := f.at(d.Unit.ID); i >= 0 {
			f.units[i] = d.Unit
			if d.Unit.Status == ledger.Applied {
				f.next(d.Unit.Key)
			}
		} else {
			f.units = append(f.units, d.Unit)
		}
	}
	return nil
}
func (f *Fake) Due(_ context.Context, _ []ledger.Lease, _ int) (us []ledger.Unit, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, u := range f.units {
		if u.Status == ledger.Parked && !u.NextAttempt.IsZero() && !u.NextAttempt.After(time.Now()) {
			us = append(us, u)
		}
	}
	return us, nil
}
func match(v, want string) bool { return want == "" || v == want }
func (f *Fake) pick(x ledger.Filter) (us []ledger.Unit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	seen := x.Before == ""
	for _, u := range slices.Backward(f.units) {
		if !seen {
			seen = u.ID == x.Before
			continue
		}
		if len(x.Status) > 0 && !slices.Contains(x.Status, u.Status) || !match(u.Feed, x.Feed) || !match(u.Site, x.Site) || !match(u.Target, x.Target) || !match(u.Kind, x.Kind) || !match(u.SenderID, x.SenderID) || !match(u.Class, x.Class) {
			continue
		}
		if len(x.IDs) > 0 && !slices.ContainsFunc(x.IDs, func(p string) bool {
			return strings.HasPrefix(u.ID, p) || strings.HasPrefix(u.MessageID, p)
		}) {
			continue
		}
		if !x.Since.IsZero() && u.ReceivedAt.Before(x.Since) || !x.Until.IsZero() && !u.ReceivedAt.Before(x.Until) {
			continue
		}
		u.Body = nil
		us = append(us, u)
	}
	return us
}
func (f *Fake) Units(_ context.Context, x ledger.Filter) ([]ledger.Unit, error) {
	us := f.pick(x)
	if x.Limit > 0 && len(us) > x.Limit {
		us = us[:x.Limit]
	}
	return us, nil
}
func (f *Fake) Unit(_ context.Context, p string) (ledger.Unit, []ledger.Hop, error) {
	us := f.pick(ledger.Filter{IDs: []string{p}})
	if len(us) != 1 {
		return ledger.Unit{}, nil, ledger.ErrNotFound
	}
	return us[0], f.hops[us[0].ID], nil
}
func (f *Fake) Summary(context.Context) ([]ledger.Summary, error) {
	us := f.pick(ledger.Filter{})
	if len(us) == 0 {
		return nil, nil
	}
	s := ledger.Summary{Site: us[0].Site, Feed: us[0].Feed, Target: us[0].Target, Counts: map[ledger.Status]int{}}
	for _, u := range us {
		s.Counts[u.Status]++
		switch u.Status {
		case ledger.Applied:
			if u.SettledAt.After(s.LastApplied) {
				s.LastApplied = u.SettledAt
			}
		case ledger.Parked:
			s.OldestParked = u.ReceivedAt
		case ledger.Dead:
			s.OldestDead = u.ReceivedAt
		}
	}
	return []ledger.Summary{s}, nil
}
func (f *Fake) Discard(_ context.Context, id, by, why string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := f.at(id)
	if i < 0 || f.units[i].Status != ledger.Dead {
		return errors.New("not dead")
	}
	f.units[i].Status = ledger.Discarded
	f.hops[id] = append(f.hops[id], ledger.Hop{At: Now, What: "discarded", By: by, Reason: why})
	f.next(f.units[i].Key)
	return nil
}
func (f *Fake) PlanReplay(_ context.Context, p ledger.ReplayRequest) (ledger.Replay, error) {
	us := f.pick(p.Filter)
	f.mu.Lock()
	defer f.mu.Unlock()
	r := ledger.Replay{ID: "rpl" + strconv.Itoa(1000+len(f.reps)), By: p.By, CreatedAt: Now, AllowStale: p.AllowStale, Total: len(us), Actions: map[ledger.Action]int{}}
	for _, u := range slices.Backward(us) {
		a := ledger.Nothing
		switch {
		case u.Remappable:
			a = ledger.Remap
		case u.Status == ledger.Dead, u.Status == ledger.Parked && !u.NextAttempt.IsZero():
			a = ledger.RetryNow
		case u.Status == ledger.Parked:
			a = ledger.Waits
		case u.Status == ledger.Discarded:
			a = ledger.Gone
		}
		r.Actions[a]++
		f.items[r.ID] = append(f.items[r.ID], ledger.ReplayItem{Unit: u.ID, Action: a})
	}
	f.reps = append(f.reps, r)
	return r, nil
}
func (f *Fake) Replay(_ context.Context, id string) (ledger.Replay, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.reps {
		if r.ID == id {
			r.Done = 0
			for _, it := range f.items[id] {
				if it.Done {
					r.Done++
				}
			}
			r.Running = r.Running && r.Done < r.Total
			return r, nil
		}
	}
	return ledger.Replay{}, ledger.ErrNotFound
}
func (f *Fake) Replays(ctx context.Context) (all []ledger.Replay, _ error) {
	f.mu.Lock()
	ids := []string{}
	for _, r := range slices.Backward(f.reps) {
		ids = append(ids, r.ID)
	}
	f.mu.Unlock()
	for _, id := range ids {
		r, _ := f.Replay(ctx, id)
		all = append(all, r)
	}
	return all, nil
}
func (f *Fake) StartReplay(_ context.Context, id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.reps {
		if f.reps[i].ID == id {
			f.reps[i].Running = true
		}
	}
	return nil
}
func (f *Fake) ReplayItems(_ context.Context, id string, from, limit int, pending bool) (its []ledger.ReplayItem, _ error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, it := range f.items[id] {
		if i >= from && len(its) < limit && !(pending && it.Done) {
			its = append(its, it)
		}
	}
	return its, nil
}
func (f *Fake) Requeue(_ context.Context, id, unit string) (ledger.ReplayItem, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.items[id] {
		it := &f.items[id][i]
		if it.Unit == unit {
			it.Done = true
			if it.Action == ledger.RetryNow {
				u := &f.units[f.at(unit)]
				u.Status, u.NextAttempt, u.Attempts = ledger.Parked, time.Now(), 0
			}
			return *it, nil
		}
	}
	return ledger.ReplayItem{}, ledger.ErrNotFound
}

func (f *Fake) Cursors(context.Context, string) (ps []ledger.PartitionState, _ error) {
	for i := range broker.Partitions {
		ps = append(ps, ledger.PartitionState{Partition: i, Owner: "worker-1", Expires: time.Now().Add(time.Minute)})
	}
	return ps, nil
}
