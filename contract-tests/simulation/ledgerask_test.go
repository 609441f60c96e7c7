package simulation

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// A plan is a replay.
type plan struct {
	ledger.Replay
	started bool
	items   []ledger.ReplayItem
}

// selected returns the units that a filter selects, newest first.
func (m *memory) selected(f ledger.Filter) (us []ledger.Unit) {
	after := m.units[f.Before]
	for _, r := range m.units {
		u := r.Unit
		if w := m.waiting[u.ID]; w != nil {
			u.NextAttempt, u.WaitingSince = w.due, w.since
		}
		is := func(want, have string) bool { return want == "" || fit(want, 256) == have }
		if !is(f.Feed, u.Feed) || !is(f.Site, u.Site) || !is(f.Target, u.Target) || !is(f.Kind, u.Kind) || !is(f.SenderID, u.SenderID) || !is(f.Class, u.Class) ||
			len(f.Status) > 0 && !slices.Contains(f.Status, u.Status) || !f.Since.IsZero() && u.ReceivedAt.Before(f.Since) || !f.Until.IsZero() && !u.ReceivedAt.Before(f.Until) ||
			len(f.IDs) > 0 && !slices.ContainsFunc(f.IDs, func(p string) bool { return strings.HasPrefix(u.ID, p) || strings.HasPrefix(u.MessageID, p) }) ||
			f.Before != "" && (after == nil || newer(u, after.Unit) <= 0) {
			continue
		}
		us = append(us, u)
	}
	slices.SortFunc(us, newer)
	return us
}

func newer(a, b ledger.Unit) int {
	return cmp.Or(b.ReceivedAt.Compare(a.ReceivedAt), strings.Compare(b.ID, a.ID))
}

// Units implements [ledger.Ledger].
func (m *memory) Units(_ context.Context, f ledger.Filter) ([]ledger.Unit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	us := m.selected(f)
	return us[:min(len(us), cmp.Or(max(f.Limit, 0), 100))], nil
}

// Unit implements [ledger.Ledger].
func (m *memory) Unit(_ context.Context, prefix string) (ledger.Unit, []ledger.Hop, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.units[prefix]
	if r == nil {
		us := m.selected(ledger.Filter{IDs: []string{prefix}})
		if len(prefix) < 4 || len(us) != 1 {
			return ledger.Unit{}, nil, ledger.ErrNotFound
		}
		r = m.units[us[0].ID]
	}
	u, hops := r.Unit, slices.Clone(r.hops)
	if w := m.waiting[u.ID]; w != nil {
		u.NextAttempt, u.WaitingSince = w.due, w.since
	}
	wait := func(at keyAt, there bool) {
		w := ledger.Wait{Key: at.key, Partition: at.part}
		if h := m.head(at, nil); h != nil {
			w.Unit = cmp.Or(h.of, h.id)
		}
		if u.Status == ledger.Parked && at.key != "" && (!there || w.Unit != u.ID) {
			if w.Unit == u.ID {
				w.Unit = ""
			}
			u.Waits = append(u.Waits, w)
		}
	}
	wait(keyAt{u.Target, u.Partition, u.Key}, true)
	for _, o := range m.others[u.ID] {
		u.OtherKeys = append(u.OtherKeys, o.key)
		g := m.waiting[u.ID+"~"+o.key]
		wait(o.keyAt, g != nil && g.status == "gate")
	}
	if u.Status == ledger.Applied || u.Status == ledger.Skipped {
		hops = append(hops, ledger.Hop{At: u.SettledAt, What: string(u.Status), Worker: r.worker, Took: r.took, Class: u.Class, Reason: u.Reason})
	}
	return u, hops, nil
}

// Summary implements [ledger.Ledger].
func (m *memory) Summary(context.Context) (sums []ledger.Summary, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	oldest := func(t *time.Time, by time.Time) {
		if t.IsZero() || by.Before(*t) {
			*t = by
		}
	}
	for _, r := range m.units {
		i := slices.IndexFunc(sums, func(s ledger.Summary) bool { return s.Site == r.Site && s.Feed == r.Feed && s.Target == r.Target })
		if i < 0 {
			i = len(sums)
			sums = append(sums, ledger.Summary{Site: r.Site, Feed: r.Feed, Target: r.Target, Counts: map[ledger.Status]int{}})
		}
		s, w := &sums[i], m.waiting[r.ID]
		s.Counts[r.Status]++
		switch {
		case r.Status == ledger.Applied && r.SettledAt.After(s.LastApplied):
			s.LastApplied = r.SettledAt
		case r.Status == ledger.Dead:
			oldest(&s.OldestDead, r.ReceivedAt)
		case r.Status == ledger.Parked && !w.since.IsZero():
			s.Waiting++
			oldest(&s.WaitingSince, w.since)
		case r.Status == ledger.Parked && !w.due.IsZero():
			oldest(&s.OldestParked, r.ReceivedAt)
		}
	}
	return sums, nil
}

// Discard implements [ledger.Ledger].
func (m *memory) Discard(_ context.Context, id, by, why string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := m.units[id]
	if r == nil {
		return ledger.ErrNotFound
	}
	if r.Status != ledger.Dead {
		return fmt.Errorf("it is %s, and only a dead unit can be discarded", r.Status)
	}
	r.Status, r.Hold, r.Remappable, r.SettledAt = ledger.Discarded, false, false, m.now()
	for wid, w := range m.waiting {
		if wid == id || w.of == id {
			delete(m.waiting, wid)
		}
	}
	m.hop(id, ledger.Hop{At: m.now(), What: "discarded", Reason: fit(why, 1000), By: fit(by, 256)})
	m.settleKeys(m.keysOf(r))
	return nil
}

func (m *memory) keysOf(r *row) map[keyAt]bool {
	keys := map[keyAt]bool{}
	if r.Key != "" {
		keys[keyAt{r.Target, r.Partition, r.Key}] = true
	}
	for _, o := range m.others[r.ID] {
		keys[o.keyAt] = true
	}
	return keys
}

// action decides what a replay does with a unit.
func (m *memory) action(r *row, allowStale bool) ledger.Action {
	w := m.waiting[r.ID]
	switch {
	case r.Status == ledger.Claimed:
		return ledger.Waits
	case r.Status == ledger.Discarded:
		return ledger.Gone
	case r.Status == ledger.Applied, r.Status == ledger.Skipped && !r.Remappable:
		return ledger.Nothing
	case r.Status == ledger.Parked && (w.due.IsZero() || m.lacksGate(r.ID)):
		return ledger.Waits
	case !allowStale && r.Key != "" && m.overtaken(r):
		return ledger.Refused
	case r.Remappable && r.Status != ledger.Parked:
		return ledger.Remap
	}
	return ledger.RetryNow
}

// overtaken says whether a later unit of one of the unit's keys was applied.
func (m *memory) overtaken(r *row) bool {
	mine := m.keysOf(r)
	for _, l := range m.units {
		if l.Status != ledger.Applied || l.Seq <= r.Seq || l.Target != r.Target {
			continue
		}
		for k := range m.keysOf(l) {
			if mine[k] {
				return true
			}
		}
	}
	return false
}

// PlanReplay implements [ledger.Ledger].
func (m *memory) PlanReplay(_ context.Context, q ledger.ReplayRequest) (ledger.Replay, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	us := m.selected(q.Filter)
	if q.Filter.Limit > 0 {
		us = us[:min(len(us), q.Filter.Limit)]
	}
	slices.SortFunc(us, func(a, b ledger.Unit) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), strings.Compare(a.ID, b.ID))
	})
	m.plan++
	p := &plan{Replay: ledger.Replay{ID: fmt.Sprintf("replay%06d", m.plan), By: q.By, CreatedAt: m.now(), AllowStale: q.AllowStale}}
	for _, u := range us {
		p.items = append(p.items, ledger.ReplayItem{Unit: u.ID, Action: m.action(m.units[u.ID], q.AllowStale)})
	}
	m.plans[p.ID] = p
	return p.told(), nil
}

func (p *plan) told() ledger.Replay {
	r := p.Replay
	r.Total, r.Done, r.Actions = len(p.items), 0, map[ledger.Action]int{}
	for _, it := range p.items {
		r.Actions[it.Action]++
		if it.Done {
			r.Done++
		}
	}
	r.Running = p.started && r.Done < r.Total
	return r
}

// Replay implements [ledger.Ledger].
func (m *memory) Replay(_ context.Context, id string) (ledger.Replay, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if p := m.plans[id]; p != nil {
		return p.told(), nil
	}
	return ledger.Replay{}, ledger.ErrNotFound
}

// Replays implements [ledger.Ledger].
func (m *memory) Replays(context.Context) (all []ledger.Replay, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.plans {
		all = append(all, p.told())
	}
	slices.SortFunc(all, func(a, b ledger.Replay) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	return all, nil
}

// StartReplay implements [ledger.Ledger].
func (m *memory) StartReplay(_ context.Context, id string, rate float64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.plans[id]
	if p == nil {
		return ledger.ErrNotFound
	}
	p.started, p.Rate = true, rate
	return nil
}

// ReplayItems implements [ledger.Ledger].
func (m *memory) ReplayItems(_ context.Context, id string, from, limit int, pending bool) (items []ledger.ReplayItem, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.plans[id]
	for n := from; p != nil && n < len(p.items) && len(items) < min(limit, 1000); n++ {
		if !pending || !p.items[n].Done {
			items = append(items, p.items[n])
		}
	}
	return items, nil
}

// Requeue implements [ledger.Ledger].
func (m *memory) Requeue(_ context.Context, replayID, unitID string) (ledger.ReplayItem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p := m.plans[replayID]
	if p == nil {
		return ledger.ReplayItem{}, ledger.ErrNotFound
	}
	n := slices.IndexFunc(p.items, func(it ledger.ReplayItem) bool { return it.Unit == unitID })
	switch {
	case n < 0:
		return ledger.ReplayItem{}, ledger.ErrNotFound
	case !p.started:
		return ledger.ReplayItem{}, errors.New("it was not started")
	case p.items[n].Done:
		return p.items[n], nil
	}
	it := &p.items[n]
	it.Action, it.Done = ledger.Nothing, true
	r := m.units[unitID]
	if r == nil {
		return *it, nil
	}
	it.Action = m.action(r, p.AllowStale)
	if it.Action == ledger.RetryNow || it.Action == ledger.Remap {
		m.hop(unitID, ledger.Hop{At: m.now(), What: "replay asked", By: p.By})
	}
	if it.Action == ledger.RetryNow {
		m.requeue(r)
	}
	return *it, nil
}

func (m *memory) requeue(r *row) {
	w := m.waiting[r.ID]
	w.due = m.now()
	if r.Status == ledger.Parked {
		return
	}
	r.Status, r.Hold, r.Attempts = ledger.Parked, false, 0
	w.status, w.holds = "parked", true
	for _, o := range m.others[r.ID] {
		if id := r.ID + "~" + o.key; m.waiting[id] == nil {
			m.waiting[id] = &waits{id: id, at: o.keyAt, seq: o.seq, status: "asked", holds: true, of: r.ID}
		}
	}
	m.settleKeys(m.keysOf(r))
}

// Prune implements [ledger.Ledger].
func (m *memory) Prune(_ context.Context, t time.Time, limit int) (n int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, u := range m.selected(ledger.Filter{Until: t, Status: []ledger.Status{ledger.Applied, ledger.Skipped, ledger.Discarded}}) {
		if n < limit && u.SettledAt.Before(t) {
			delete(m.units, u.ID)
			delete(m.others, u.ID)
			n++
		}
	}
	for id, p := range m.plans {
		if r := p.told(); n < limit && p.CreatedAt.Before(t) && (!p.started || r.Done >= r.Total) {
			delete(m.plans, id)
			n++
		}
	}
	return n, nil
}

// partitionOf is where a unit is applied.
func partitionOf(u *broker.Unit) int { return broker.Partition(u.Key, u.ID) }
