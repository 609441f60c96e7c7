package worker

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// memory is a ledger for tests that need its clock to be theirs.
type memory struct {
	ledger.Ledger // nil: what is not written here is not called
	mu            sync.Mutex
	leases        map[int]*memoryLease
	seen          map[string]time.Time
	rows          map[string]*ledger.Unit
}

type memoryLease struct {
	ledger.Lease
	owner   string
	expires time.Time
}

func newMemory() *memory {
	return &memory{leases: map[int]*memoryLease{}, seen: map[string]time.Time{}, rows: map[string]*ledger.Unit{}}
}

func (m *memory) Close() error { return nil }

func (m *memory) Lease(_ context.Context, target, worker string, ttl time.Duration) ([]ledger.Lease, int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	m.seen[worker] = now.Add(ttl)
	live := 0
	for w, until := range m.seen {
		if until.Before(now) {
			delete(m.seen, w)
		} else {
			live++
		}
	}
	share, mine := (broker.Partitions+live-1)/live, 0
	for p := range broker.Partitions {
		l := m.leases[p]
		if l == nil {
			l = &memoryLease{Lease: ledger.Lease{Target: target, Partition: p}}
			m.leases[p] = l
		}
		if l.owner == worker {
			l.expires = now.Add(ttl)
			mine++
		}
	}
	var held []ledger.Lease
	for p := range broker.Partitions {
		l := m.leases[p]
		if l.owner != worker && (l.owner == "" || l.expires.Before(now)) && mine < share {
			l.owner, l.expires = worker, now.Add(ttl)
			l.Token++
			mine++
		}
		if l.owner == worker {
			held = append(held, l.Lease)
		}
	}
	return held, share, nil
}

func (m *memory) Release(_ context.Context, worker string, leases []ledger.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range leases {
		if h := m.leases[l.Partition]; h.owner == worker && h.Token == l.Token {
			h.owner = ""
		}
	}
	for _, h := range m.leases {
		if h.owner == worker {
			return nil
		}
	}
	delete(m.seen, worker)
	return nil
}

func (m *memory) guard(leases []ledger.Lease) error {
	for _, l := range leases {
		if h := m.leases[l.Partition]; h.Token != l.Token || h.owner == "" {
			return ledger.ErrFenced
		}
	}
	return nil
}

func (m *memory) Claim(_ context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.guard(leases); err != nil {
		return nil, err
	}
	out := make([]ledger.Claim, len(units))
	for i, u := range units {
		if row := m.rows[u.ID]; row != nil {
			if again := u.Request != "" && row.Remappable && (row.Status == ledger.Dead || row.Status == ledger.Skipped); again {
			} else if row.Status == ledger.Claimed {
				out[i].InDoubt = true
			} else {
				out[i].Status = row.Status
			}
			continue
		}
		for _, row := range m.rows {
			out[i].Collision = out[i].Collision || u.Idem != "" && row.Idem == u.Idem
		}
		m.rows[u.ID] = &u
	}
	return out, nil
}

func (m *memory) Settle(_ context.Context, _ string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.guard(leases); err != nil {
		return err
	}
	for _, s := range done {
		u := s.Unit
		if row := m.rows[u.ID]; row != nil {
			u.Seq = row.Seq
		}
		m.rows[u.ID] = &u
	}
	for _, c := range cursors {
		m.leases[c.Lease.Partition].Cursor, m.leases[c.Lease.Partition].CursorUnit = c.Seq, c.Unit
	}
	return nil
}

func waits(u *ledger.Unit) bool {
	return u.Status == ledger.Parked || u.Status == ledger.Dead && u.Hold
}

func (m *memory) HeldKeys(_ context.Context, leases []ledger.Lease) ([]string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var keys []string
	for _, u := range m.rows {
		if waits(u) && u.Key != "" && slices.ContainsFunc(leases, func(l ledger.Lease) bool { return l.Partition == u.Partition }) {
			keys = append(keys, u.Key)
		}
	}
	return keys, nil
}

func (m *memory) Due(_ context.Context, leases []ledger.Lease, limit int) ([]ledger.Unit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	heads := map[string]*ledger.Unit{}
	for _, u := range m.rows {
		key := cmp.Or(u.Key, u.ID)
		if h := heads[key]; waits(u) && (h == nil || u.Seq < h.Seq) {
			heads[key] = u
		}
	}
	var due []ledger.Unit
	for _, u := range heads {
		if u.Status == ledger.Parked && !u.NextAttempt.After(time.Now()) &&
			slices.ContainsFunc(leases, func(l ledger.Lease) bool { return l.Partition == u.Partition }) {
			due = append(due, *u)
		}
	}
	slices.SortFunc(due, func(a, b ledger.Unit) int { return cmp.Compare(a.Seq, b.Seq) })
	return due[:min(limit, len(due))], nil
}

func (m *memory) Unit(_ context.Context, prefix string) (ledger.Unit, []ledger.Hop, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u := m.rows[prefix]; u != nil {
		return *u, nil, nil
	}
	return ledger.Unit{}, nil, ledger.ErrNotFound
}

func (m *memory) Units(context.Context, ledger.Filter) ([]ledger.Unit, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all []ledger.Unit
	for _, u := range m.rows {
		all = append(all, *u)
	}
	return all, nil
}

func (m *memory) Discard(_ context.Context, id, _, _ string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.rows[id].Status = ledger.Discarded
	return nil
}

func (m *memory) Replays(context.Context) ([]ledger.Replay, error) { return nil, nil }
