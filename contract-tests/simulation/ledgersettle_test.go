package simulation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// Settle implements [ledger.Ledger].
func (m *memory) Settle(_ context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	leases = slices.Clone(leases)
	for _, c := range cursors {
		leases = append(leases, c.Lease)
	}
	var units, gates []ledger.Settlement
	var places []keyAt
	for _, s := range done {
		s.Unit = fitUnit(s.Unit)
		switch u := &s.Unit; {
		case u.Gate != "" && u.Status != ledger.Parked:
			return fmt.Errorf("%q is not what becomes of a gate", u.Status)
		case u.Gate != "":
			gates = append(gates, s)
			places = append(places, keyAt{target: u.Target, part: broker.Partition(u.Gate, "")})
		default:
			if u.Status != ledger.Applied && u.Status != ledger.Skipped && u.Status != ledger.Parked && u.Status != ledger.Dead {
				return fmt.Errorf("%q is not an outcome", u.Status)
			}
			units = append(units, s)
			places = append(places, keyAt{target: u.Target, part: u.Partition})
		}
	}
	if err := m.guard(leases, places); err != nil {
		return err
	}
	for _, c := range cursors {
		if l := m.lease(c.Lease); c.Seq > l.cursor {
			l.cursor, l.unit = c.Seq, fit(c.Unit, 256)
		}
	}
	m.settleUnits(fit(worker, 256), units, gates)
	return nil
}

func (m *memory) settleUnits(worker string, units, gates []ledger.Settlement) {
	last := map[string]int{}
	for i := range units {
		last[units[i].Unit.ID] = i
	}
	keys := map[keyAt]bool{}
	var old []keyAt
	var told []func()
	for i := range units {
		s := &units[i]
		u := &s.Unit
		if (u.Status == ledger.Parked || u.Status == ledger.Dead) && !s.Quiet {
			h := ledger.Hop{At: u.SettledAt, What: string(u.Status), Worker: worker, Took: s.Took.Truncate(time.Microsecond), Class: u.Class, Reason: u.Reason}
			if u.Status == ledger.Parked && s.Attempt {
				h.What = "attempt"
			}
			if h.At.IsZero() {
				h.At = m.now()
			}
			told = append(told, func() { m.hop(u.ID, h) })
		}
		if last[u.ID] == i {
			old = append(old, m.settleUnit(worker, s, keys)...)
		}
	}
	for _, tell := range told {
		tell()
	}
	for i := range units {
		if last[units[i].Unit.ID] == i {
			m.settleGates(&units[i].Unit, keys)
		}
	}
	for _, k := range old {
		keys[k] = true
	}
	for i := range gates {
		m.putGate(&gates[i].Unit, keys)
	}
	m.settleKeys(keys)
}

// settleUnit records one outcome, and returns the other keys that the unit had under a mapping before.
func (m *memory) settleUnit(worker string, s *ledger.Settlement, keys map[keyAt]bool) (old []keyAt) {
	u := &s.Unit
	have := m.units[u.ID]
	known := have != nil
	var was ledger.Unit
	if known {
		was = have.Unit
		if was.Status == ledger.Skipped || was.Status == ledger.Applied {
			m.hop(u.ID, ledger.Hop{At: was.SettledAt, What: string(was.Status), Class: was.Class, Reason: was.Reason})
		}
	} else {
		have = &row{Unit: *u}
		m.units[u.ID] = have
	}
	r := &have.Unit
	if known && u.Request != "" {
		r.Partition, r.Key, r.Idem, r.Kind, r.Mapping, r.Trace, r.MappedAt, r.StoredAt = u.Partition, u.Key, u.Idem, u.Kind, u.Mapping, u.Trace, u.MappedAt, u.StoredAt
	}
	r.Status, r.Attempts, r.Class, r.Reason, r.Warning, r.Records, r.Remappable, r.Hold, r.SettledAt = u.Status, u.Attempts, u.Class, u.Reason, u.Warning, slices.Clone(u.Records), u.Remappable, u.Hold, u.SettledAt
	if r.SettledAt.IsZero() {
		r.SettledAt = m.now()
	}
	r.Body, r.Request, r.Gate, r.OtherKeys, r.Waits, r.NextAttempt, r.WaitingSince = nil, "", "", nil, nil, time.Time{}, time.Time{}
	have.request, have.worker, have.took = "", worker, s.Took.Truncate(time.Microsecond)

	wait := u.Status == ledger.Parked || u.Status == ledger.Dead
	waited := known && (was.Status == ledger.Parked || was.Status == ledger.Dead)
	if (wait || waited) && known && was.Key != "" {
		keys[keyAt{was.Target, was.Partition, was.Key}] = true
	}
	if wait && (!known || u.Request != "") && u.Key != "" {
		keys[keyAt{r.Target, r.Partition, r.Key}] = true
	}
	switch w := m.waiting[u.ID]; {
	case !wait:
		delete(m.waiting, u.ID)
	default:
		if w == nil {
			w = &waits{id: u.ID, seq: r.Seq}
			m.waiting[u.ID] = w
		}
		w.at, w.status, w.holds = keyAt{r.Target, r.Partition, r.Key}, string(u.Status), u.Status == ledger.Parked || u.Hold
		w.due, w.since = time.Time{}, time.Time{}
		if u.Status == ledger.Parked {
			if w.due, w.since = u.NextAttempt, u.WaitingSince; w.due.IsZero() && r.Key == "" {
				w.due = m.now()
			}
		}
		if len(u.Body) > 0 {
			w.body = slices.Clone(u.Body)
		}
	}
	if u.Request != "" {
		for _, o := range m.others[u.ID] {
			old = append(old, o.keyAt)
		}
	}
	return old
}

// settleGates does what the outcome of a unit means to its other keys and their gates.
func (m *memory) settleGates(u *ledger.Unit, keys map[keyAt]bool) {
	r := m.units[u.ID]
	if u.Request != "" && len(m.others[u.ID]) > 0 {
		delete(m.others, u.ID)
		for id, w := range m.waiting {
			if w.of == u.ID && !slices.ContainsFunc(u.OtherKeys, func(k string) bool { return u.ID+"~"+fit(k, 256) == id }) {
				delete(m.waiting, id)
			}
		}
	}
	for _, k := range u.OtherKeys {
		at := keyAt{r.Target, broker.Partition(k, ""), fit(k, 256)}
		keys[at] = true
		if !slices.ContainsFunc(m.others[u.ID], func(o otherKey) bool { return o.key == at.key }) {
			m.others[u.ID] = append(m.others[u.ID], otherKey{at, r.Seq})
		}
	}
	slices.SortFunc(m.others[u.ID], func(a, b otherKey) int { return strings.Compare(a.key, b.key) })
	if len(u.OtherKeys) == 0 {
		return
	}
	through := u.Status != ledger.Parked && !(u.Status == ledger.Dead && u.Hold)
	for id, w := range m.waiting {
		if w.of == u.ID {
			if w.seq = r.Seq; through {
				delete(m.waiting, id)
			}
		}
	}
}

func (m *memory) putGate(u *ledger.Unit, keys map[keyAt]bool) {
	at := keyAt{u.Target, broker.Partition(u.Gate, ""), fit(u.Gate, 256)}
	keys[at] = true
	seq := u.Seq
	if r := m.units[u.ID]; r != nil {
		seq = r.Seq
		if r.Status != ledger.Claimed && r.Status != ledger.Parked && !r.Hold && !(u.Request != "" && r.Remappable && (r.Status == ledger.Dead || r.Status == ledger.Skipped)) {
			return
		}
	}
	id := u.ID + "~" + at.key
	w := m.waiting[id]
	if w == nil {
		w = &waits{id: id, at: at, seq: seq, holds: true, of: u.ID}
		m.waiting[id] = w
	}
	w.status, w.due = "gate", time.Time{}
}

// settleKeys sees to it that the first of those that hold each key is due if it is parked, and no other.
func (m *memory) settleKeys(keys map[keyAt]bool) {
	for _, w := range m.waiting {
		if keys[w.at] && !w.due.IsZero() && m.head(w.at, w) != nil {
			w.due = time.Time{}
		}
	}
	for at := range keys {
		if w := m.head(at, nil); w != nil && w.due.IsZero() && (w.status == "parked" || w.status == "asked") {
			w.due = m.now()
		}
	}
}

// head returns the first that holds a key, of those before one if that is not nil.
func (m *memory) head(at keyAt, before *waits) (first *waits) {
	if at.key == "" {
		return nil
	}
	for _, w := range m.waiting {
		if w.at == at && w.holds && (before == nil || w.compare(before) < 0) && (first == nil || w.compare(first) < 0) {
			first = w
		}
	}
	return first
}

func (w *waits) compare(v *waits) int {
	return cmp.Or(cmp.Compare(w.seq, v.seq), strings.Compare(w.id, v.id))
}

// lacksGate says whether a unit is not at the front of all its other keys.
func (m *memory) lacksGate(unit string) bool {
	for _, o := range m.others[unit] {
		if w := m.waiting[unit+"~"+o.key]; w == nil || w.status != "gate" || m.head(w.at, w) != nil {
			return true
		}
	}
	return false
}

func (m *memory) hop(unit string, h ledger.Hop) {
	if r := m.units[unit]; r != nil {
		r.hops = append(r.hops, h)
	}
}
