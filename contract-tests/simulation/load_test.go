package simulation

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/link"
)

const (
	tenant, site, target = "main", "north", "odoo"
	secret               = "an ordering key of the simulation"
)

var feeds = []string{"adt", "lab"}

// A task is one message and what is to come of it.
type task struct {
	name  string // "adt#7"
	feed  string
	keys  []string // of its unit, by their short names; none: no key
	fate  string
	lane  string
	times int    // of fate "retry": how often
	needs string // of fate "defer": the task whose effect it waits for, until the target is healed
	cont  bool   // on_dead_letter: continue
	msg   *broker.Message
	unit  string // its unit's id

	accepted int // place in its feed's order, from 1; 0: not yet
}

// Fates of tasks. Most are fine.
const (
	fine   = "fine"
	reject = "reject" // the target refuses it, until it is healed
	poison = "poison" // every call that it is in fails, until it is healed
	retry  = "retry"  // the target asks to try it again, some times
	defers = "defer"
	skip   = "skip" // the mapping says that there is nothing to do
	unfit  = "dead" // the mapping can not, until it is corrected
)

// newTasks draws the messages of a run.
func newTasks(w *world) (all []*task) {
	r := w.chance("tasks")
	trouble := r.IntN(3) // none, some, much
	for _, feed := range feeds {
		keys := 3 + r.IntN(6)
		for n := range 12 + r.IntN(20) {
			t := &task{name: fmt.Sprintf("%s#%02d", feed, n+1), feed: feed, fate: fine, cont: r.IntN(3) == 0}
			if r.IntN(20) > 0 {
				t.keys = []string{fmt.Sprintf("%s.k%d", feed, r.IntN(keys))}
			}
			if len(t.keys) > 0 && r.IntN(6) == 0 {
				for range 1 + r.IntN(2) {
					if k := fmt.Sprintf("%s.k%d", feed, r.IntN(keys)); !slices.Contains(t.keys, k) {
						t.keys = append(t.keys, k)
					}
				}
			}
			if r.IntN(30) < 3*trouble {
				t.fate = []string{reject, poison, retry, retry, defers, skip, unfit}[r.IntN(7)]
			}
			if t.fate == defers {
				if t.needs = fmt.Sprintf("%s#%02d", feed, 1+r.IntN(n+6)); t.needs == t.name {
					t.fate = fine
				}
			}
			t.times = 1 + r.IntN(2)
			t.lane = []string{"", "", "bulk", "synthetic"}[r.IntN(4)]
			t.msg = &broker.Message{Tenant: tenant, Site: site, Feed: feed, Format: "json", Kind: "task", SenderID: fmt.Sprint(n + 1), Body: broker.PHI(t.name)}
			t.msg.ID = broker.NewMessageID(tenant, site, feed, t.msg.SenderID, t.msg.Body)
			t.unit = broker.NewUnitID(t.msg.ID, "m")
			all = append(all, t)
		}
	}
	return all
}

// about returns what a line of the history about the task concerns.
func (t *task) about() []string { return append([]string{t.name}, t.keys...) }

// mapped is the mapping: pure, but for the day on which it is corrected.
func (t *task) mapped(corrected bool) *broker.Unit {
	u := &broker.Unit{ID: t.unit, MessageID: t.msg.ID, Tenant: tenant, Site: site, Feed: t.feed, Target: target, Lane: t.lane, Kind: "task", SenderID: t.msg.SenderID, Mapping: "m@1",
		Verdict: broker.Apply, ReceivedAt: t.msg.ReceivedAt, MappedAt: time.Now().UTC()}
	for i, k := range t.keys {
		if k = broker.OrderingKey([]byte(secret), k); i == 0 {
			u.Key = k
		} else {
			u.OtherKeys = append(u.OtherKeys, k)
		}
	}
	if t.cont {
		u.OnDeadLetter = "continue"
	}
	switch {
	case t.fate == skip:
		u.Verdict, u.Class, u.Reason = broker.Skip, "sim.skip", "nothing to do"
	case t.fate == unfit && !corrected:
		u.Verdict, u.Class, u.Reason = broker.DeadLetter, "sim.unfit", "the mapping can not"
	default:
		u.Ops = []broker.Operation{{ID: "a", Model: "res.partner", Do: "upsert", XID: t.name, Vals: broker.Values{"n": json.Number(t.msg.SenderID)}}}
	}
	return u
}

// A journal is a site's journal in memory. What it has is on stable storage.
type journal struct {
	mu      sync.Mutex
	entries map[string][]link.Entry // by feed
	first   map[string]int          // how many of them are trimmed
	grown   chan struct{}
}

func newJournal() *journal {
	return &journal{entries: map[string][]link.Entry{}, first: map[string]int{}, grown: make(chan struct{})}
}

func (j *journal) append(m *broker.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := j.entries[m.Feed]
	j.entries[m.Feed] = append(all, link.Entry{Position: link.Position{Seq: uint64(len(all) + 1), ID: m.ID}, Message: m})
	close(j.grown)
	j.grown = make(chan struct{})
}

// A shelf is the journal as one process sees it.
type shelf struct {
	*journal
	p *process
}

var _ link.Journal = shelf{}

const shelfLo, shelfHi = 20 * time.Microsecond, 2 * time.Millisecond

func (s shelf) Read(ctx context.Context, feed string, after link.Position) (link.Reader, error) {
	return reaches(ctx, s.p, ".read."+feed, shelfLo, shelfHi, func() (link.Reader, error) {
		return &shelfReader{s, feed, int(after.Seq)}, nil
	})
}

func (s shelf) Find(ctx context.Context, feed, mid string) (link.Entry, error) {
	return reaches(ctx, s.p, ".find."+feed, shelfLo, shelfHi, func() (link.Entry, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range slices.Backward(s.entries[feed][s.first[feed]:]) {
			if broker.ShortID(e.ID) == mid {
				return e, nil
			}
		}
		return link.Entry{}, link.ErrNotFound
	})
}

func (s shelf) Last(_ context.Context, feed string) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return uint64(len(s.entries[feed])), nil
}

func (s shelf) Trim(ctx context.Context, feed string, sent link.Position, before time.Time) error {
	_, err := reaches(ctx, s.p, ".trim."+feed, shelfLo, shelfHi, func() (bool, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		for n := s.first[feed]; n < int(sent.Seq) && n < len(s.entries[feed]) && s.entries[feed][n].Message.ReceivedAt.Before(before); n++ {
			s.first[feed] = n + 1
		}
		return true, nil
	})
	return err
}

type shelfReader struct {
	s    shelf
	feed string
	next int
}

func (r *shelfReader) Next(ctx context.Context) (link.Entry, error) {
	for {
		r.s.mu.Lock()
		grown := r.s.grown
		r.next = max(r.next, r.s.first[r.feed])
		there := r.next < len(r.s.entries[r.feed])
		r.s.mu.Unlock()
		if there {
			r.next++
			return reaches(ctx, r.s.p, ".next."+r.feed, shelfLo, shelfHi, func() (link.Entry, error) {
				r.s.mu.Lock()
				defer r.s.mu.Unlock()
				return r.s.entries[r.feed][r.next-1], nil
			})
		}
		select {
		case <-grown:
		case <-ctx.Done():
			return link.Entry{}, ctx.Err()
		}
	}
}
