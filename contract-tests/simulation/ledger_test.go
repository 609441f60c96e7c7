package simulation

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/ledgertest"
)

func TestTheLedgerInMemoryIsALedger(t *testing.T) {
	ledgertest.Run(t, func(*testing.T) ledger.Ledger { return newMemory(time.Now) })
}

// memory is a ledger in memory. It means what the statements of
// broker/ledger/internal/relational mean, and passes the same suite; but its clock can
// be moved, and it can be set back to what it was.
type memory struct {
	now func() time.Time

	mu   sync.Mutex
	plan int // last replay's number: not part of what is set back, so that ids are not used again
	book
}

// A book is what the ledger holds.
type book struct {
	workers map[workerAt]time.Time // until when they live
	leases  map[string]*[broker.Partitions]leaseRow
	units   map[string]*row
	waiting map[string]*waits
	others  map[string][]otherKey // by unit
	plans   map[string]*plan
}

type workerAt struct{ target, worker string }

type leaseRow struct {
	owner   string
	token   int64
	expires time.Time
	cursor  uint64
	unit    string
}

// A row is a unit without what is in waits.
type row struct {
	ledger.Unit
	request, worker string
	took            time.Duration
	hops            []ledger.Hop
}

// waits is what is kept of a unit that is parked or dead, and of a gate.
type waits struct {
	id     string
	at     keyAt
	seq    uint64
	status string // "parked", "dead", "gate", "asked"
	holds  bool
	due    time.Time
	since  time.Time
	body   broker.PHI
	of     string // the unit, of a gate
}

type keyAt struct {
	target string
	part   int
	key    string
}

type otherKey struct {
	keyAt
	seq uint64
}

var _ ledger.Ledger = (*memory)(nil)

func newMemory(now func() time.Time) *memory {
	return &memory{now: func() time.Time { return now().UTC().Truncate(time.Microsecond) }, book: book{workers: map[workerAt]time.Time{}, leases: map[string]*[broker.Partitions]leaseRow{},
		units: map[string]*row{}, waiting: map[string]*waits{}, others: map[string][]otherKey{}, plans: map[string]*plan{}}}
}

func copies[K comparable, V any](m map[K]*V, more func(*V)) map[K]*V {
	out := make(map[K]*V, len(m))
	for k, v := range m {
		c := *v
		if more != nil {
			more(&c)
		}
		out[k] = &c
	}
	return out
}

// backup returns a copy of what the ledger holds.
func (m *memory) backup() book {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.book.clone()
}

func (b book) clone() book {
	others := make(map[string][]otherKey, len(b.others))
	for k, v := range b.others {
		others[k] = slices.Clone(v)
	}
	return book{workers: maps.Clone(b.workers), leases: copies(b.leases, nil), units: copies(b.units, func(r *row) { r.hops = slices.Clone(r.hops) }),
		waiting: copies(b.waiting, nil), others: others, plans: copies(b.plans, func(p *plan) { p.items = slices.Clone(p.items) })}
}

// restore sets the ledger back.
func (m *memory) restore(b book) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.book = b.clone()
}

// fit makes text what a database would make of it.
func fit(s string, n int) string {
	if len(s) > n {
		for n > 0 && !utf8.RuneStart(s[n]) {
			n--
		}
		s = s[:n]
	}
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
}

func fitTime(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Microsecond)
}

// fitUnit returns what the ledger keeps of a unit as it is given.
func fitUnit(u ledger.Unit) ledger.Unit {
	for _, s := range []*string{&u.ID, &u.MessageID, &u.Tenant, &u.Site, &u.Feed, &u.SenderID, &u.Key, &u.Idem, &u.Kind, &u.Mapping, &u.Trace, &u.Class, &u.Request} {
		*s = fit(*s, 256)
	}
	u.Reason, u.Warning = fit(u.Reason, 1000), fit(u.Warning, 1000)
	for _, t := range []*time.Time{&u.ReceivedAt, &u.MappedAt, &u.StoredAt, &u.ClaimedAt, &u.SettledAt, &u.NextAttempt, &u.WaitingSince} {
		*t = fitTime(*t)
	}
	u.Hold = u.Hold && u.Status == ledger.Dead
	return u
}

// Lease implements [ledger.Ledger].
func (m *memory) Lease(_ context.Context, target, worker string, ttl time.Duration) (held []ledger.Lease, share int, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	m.workers[workerAt{target, worker}] = now.Add(ttl)
	live := 0
	for w, until := range m.workers {
		if w.target == target && until.Before(now.Add(-time.Minute)) {
			delete(m.workers, w)
		} else if w.target == target && (w.worker == worker || until.After(now)) {
			live++
		}
	}
	all := m.leases[target]
	if all == nil {
		all = new([broker.Partitions]leaseRow)
		m.leases[target] = all
	}
	share = (broker.Partitions + live - 1) / live
	has := 0
	for i := range all {
		if all[i].owner == worker {
			all[i].expires = now.Add(ttl)
			has++
		}
	}
	for i := range all {
		if l := &all[i]; has < share && (l.owner == "" || l.expires.Before(now)) {
			l.owner, l.expires = worker, now.Add(ttl)
			l.token++
			has++
		}
	}
	for i, l := range all {
		if l.owner == worker {
			held = append(held, ledger.Lease{Target: target, Partition: i, Token: l.token, Cursor: l.cursor, CursorUnit: l.unit})
		}
	}
	return held, share, nil
}

// Release implements [ledger.Ledger].
func (m *memory) Release(_ context.Context, worker string, leases []ledger.Lease) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, given := range leases {
		if l := m.lease(given); l != nil && l.owner == worker && l.token == given.Token {
			l.owner, l.expires = "", time.Time{}
			l.token++
		}
	}
	for w := range m.workers {
		if w.worker != worker || len(leases) > 0 && !slices.ContainsFunc(leases, func(l ledger.Lease) bool { return l.Target == w.target }) {
			continue
		}
		if all := m.leases[w.target]; all == nil || !slices.ContainsFunc(all[:], func(l leaseRow) bool { return l.owner == worker }) {
			delete(m.workers, w)
		}
	}
	return nil
}

func (m *memory) lease(l ledger.Lease) *leaseRow {
	all := m.leases[l.Target]
	if all == nil || l.Partition < 0 || l.Partition >= len(all) {
		return nil
	}
	return &all[l.Partition]
}

// guard checks that the leases are good, and that they are for each of these places.
func (m *memory) guard(leases []ledger.Lease, places []keyAt) error {
	for _, p := range places {
		if !slices.ContainsFunc(leases, func(l ledger.Lease) bool { return l.Target == p.target && l.Partition == p.part }) {
			return fmt.Errorf("no lease that was given is of partition %d of %s", p.part, p.target)
		}
	}
	for _, given := range leases {
		if l := m.lease(given); l == nil || l.token != given.Token {
			return fmt.Errorf("partition %d of %s: %w", given.Partition, given.Target, ledger.ErrFenced)
		}
	}
	return nil
}

// Claim implements [ledger.Ledger].
func (m *memory) Claim(_ context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	places := make([]keyAt, len(units))
	for i := range units {
		places[i] = keyAt{target: units[i].Target, part: units[i].Partition}
	}
	if err := m.guard(leases, places); err != nil {
		return nil, err
	}
	answers := make([]ledger.Claim, len(units))
	first := map[string]int{}
	var again []*row
	for i, given := range units {
		u := fitUnit(given)
		if n, twice := first[u.ID]; twice {
			answers[i] = answers[n]
			answers[i].InDoubt = answers[i].InDoubt || answers[i].Status == ""
			continue
		}
		first[u.ID] = i
		have := m.units[u.ID]
		if have == nil {
			r := ledger.Unit{ID: u.ID, MessageID: u.MessageID, Tenant: u.Tenant, Site: u.Site, Feed: u.Feed, Target: u.Target, Partition: u.Partition, Key: u.Key, Idem: u.Idem, Kind: u.Kind,
				SenderID: u.SenderID, Mapping: u.Mapping, Trace: u.Trace, Seq: u.Seq, ReceivedAt: u.ReceivedAt, MappedAt: u.MappedAt, StoredAt: u.StoredAt, ClaimedAt: u.ClaimedAt, Status: ledger.Claimed}
			if r.ClaimedAt.IsZero() {
				r.ClaimedAt = m.now()
			}
			m.units[u.ID] = &row{Unit: r}
			continue
		}
		retry := have.Remappable && (have.Status == ledger.Dead || have.Status == ledger.Skipped)
		switch {
		case have.Status == ledger.Claimed:
			answers[i].InDoubt = true
		case u.Request != "" && retry:
			answers[i].InDoubt = have.request != ""
		default:
			answers[i].Status = have.Status
		}
		if u.Request != "" && retry {
			have.Unit.Request = u.Request
			again = append(again, have)
		}
	}
	for _, have := range again {
		have.request, have.Unit.Request = have.Unit.Request, ""
	}
	for i := range units {
		if u := fitUnit(units[i]); u.Idem != "" {
			answers[i].Collision = m.collides(u)
		}
	}
	return answers, nil
}

// collides says whether another message came earlier with the same idempotency value.
func (m *memory) collides(u ledger.Unit) bool {
	seq := m.units[u.ID].Seq
	for _, x := range m.units {
		if x.Idem == u.Idem && x.Target == u.Target && x.Site == u.Site && x.Feed == u.Feed && x.MessageID != u.MessageID && x.Seq < seq {
			return true
		}
	}
	return false
}

// HeldKeys implements [ledger.Ledger].
func (m *memory) HeldKeys(_ context.Context, leases []ledger.Lease) (keys []string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mine := partitionsOf(leases)
	for _, w := range m.waiting {
		if w.holds && w.at.key != "" && mine[keyAt{target: w.at.target, part: w.at.part}] {
			keys = append(keys, w.at.key)
		}
	}
	slices.Sort(keys)
	return slices.Compact(keys), nil
}

// Due implements [ledger.Ledger].
func (m *memory) Due(_ context.Context, leases []ledger.Lease, limit int) (units []ledger.Unit, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mine, now := partitionsOf(leases), m.now()
	var heads []*waits
	for _, w := range m.waiting {
		if !w.due.IsZero() && !w.due.After(now) && mine[keyAt{target: w.at.target, part: w.at.part}] && !m.lacksGate(w.id) {
			heads = append(heads, w)
		}
	}
	slices.SortFunc(heads, func(a, b *waits) int {
		if c := a.due.Compare(b.due); c != 0 {
			return c
		}
		return a.compare(b)
	})
	for _, w := range heads[:min(max(limit, 0), len(heads))] {
		id := w.id
		if w.of != "" {
			id = w.of
		}
		r := m.units[id]
		if r == nil {
			continue
		}
		u := r.Unit
		u.NextAttempt, u.WaitingSince, u.Body = w.due, w.since, w.body
		if w.of != "" {
			u.Gate = w.at.key
		}
		units = append(units, u)
	}
	return units, nil
}

func partitionsOf(leases []ledger.Lease) map[keyAt]bool {
	mine := make(map[keyAt]bool, len(leases))
	for _, l := range leases {
		mine[keyAt{target: l.Target, part: l.Partition}] = true
	}
	return mine
}

// Cursors implements [ledger.Ledger].
func (m *memory) Cursors(_ context.Context, target string) (states []ledger.PartitionState, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if all := m.leases[target]; all != nil {
		for i, l := range all {
			states = append(states, ledger.PartitionState{Partition: i, Owner: l.owner, Expires: l.expires, Cursor: l.cursor})
		}
	}
	return states, nil
}

// Close implements [ledger.Ledger].
func (m *memory) Close() error { return nil }
