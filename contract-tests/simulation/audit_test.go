package simulation

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// What the auditor knows. It judges by what was accepted, by what the target did and by what the ledger
// holds, each at the moment at which it happens. All of it is called with s.mu held, but for sends.
type audit struct {
	byUnit  map[string]*task
	byName  map[string]*task
	byKey   map[string][]*task // accepted, in their order
	owners  map[int]owner      // who was given a partition last
	known   map[string]uint64  // by connection and feed: the journal's sequence up to which the hub said that it has it
	stream  []*task            // what UNITS holds
	letGo   map[string]bool    // by name: was dead, and later ones of its keys did not wait
	rewound bool               // the ledger was set back
}

type owner struct {
	process string
	token   int64
}

func newAudit() audit {
	return audit{byUnit: map[string]*task{}, byName: map[string]*task{}, byKey: map[string][]*task{}, owners: map[int]owner{}, known: map[string]uint64{}, letGo: map[string]bool{}}
}

func (s *simulation) task(unit string) *task { return s.byUnit[unit] }

// status returns what the ledger says of a task.
func (s *simulation) status(t *task) ledger.Unit {
	if r := s.ledger.units[t.unit]; r != nil {
		return r.Unit
	}
	return ledger.Unit{}
}

// accepted notes that a message is on stable storage.
func (s *simulation) accepted(t *task) {
	s.accepts++
	t.accepted = s.accepts
	for _, k := range t.keys {
		s.byKey[k] = append(s.byKey[k], t)
	}
	s.world.note("source", fmt.Sprintf("%s is accepted: %s %v", t.name, t.fate, t.keys), t.about()...)
}

// stored is told of each message that the hub stores.
func (s *simulation) stored(l *wire, m *message, units bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !units {
		return
	}
	t := s.task(m.get("Vagus-Unit"))
	if t == nil {
		s.world.breach(nil, "the hub stores a unit that nobody asked for")
		return
	}
	s.stream = append(s.stream, t)
	s.world.note("hub", fmt.Sprintf("%s is stored at %d%s", t.name, m.seq, map[bool]string{true: ", mapped again"}[m.get("Vagus-Remap") != ""]), t.about()...)
	if t.accepted == 0 {
		s.world.breach(t.about(), "%s is in the cloud and was not accepted", t.name)
	}
	seq, _ := strconv.ParseUint(m.get("Vagus-Journal-Seq"), 10, 64)
	if known := s.known[l.id+t.feed]; m.get("Vagus-Remap") == "" && seq <= known {
		s.world.breach(t.about(), "%s is sent again, and the hub had said that it has all up to %d of the journal", t.name, known)
	}
}

// looked is told what the hub answers to a link that asks where it stands.
func (s *simulation) looked(l *wire, filter string, last *message) {
	s.mu.Lock()
	defer s.mu.Unlock()
	feed := strings.Split(filter, ".")[4]
	seq := ""
	if last != nil {
		if seq = last.get("Vagus-Journal-Seq"); last.get("Vagus-Remap") != "" {
			seq, _, _ = strings.Cut(last.get("Vagus-Resume"), " ")
		}
	}
	s.known[l.id+feed], _ = strconv.ParseUint(seq, 10, 64)
}

// leased checks that no partition is two workers' under the same token.
func (s *simulation) leased(p *process, held []ledger.Lease) {
	gained := 0
	for _, l := range held {
		was := s.owners[l.Partition]
		if was.process == p.name && was.token == l.Token {
			continue
		}
		if l.Token <= was.token {
			s.world.breach(nil, "partition %d goes from %s to %s, and its token from %d to %d", l.Partition, was.process, p.name, was.token, l.Token)
		}
		s.owners[l.Partition] = owner{p.name, l.Token}
		gained++
	}
	if gained > 0 {
		s.world.note(p.name, fmt.Sprintf("gains %d partitions and has %d", gained, len(held)))
	}
}

func (s *simulation) released(p *process, leases []ledger.Lease) {
	for _, l := range leases {
		if was := s.owners[l.Partition]; was.process == p.name && was.token == l.Token {
			s.owners[l.Partition] = owner{"", l.Token + 1}
		}
	}
	s.world.note(p.name, fmt.Sprintf("gives %d partitions back", len(leases)))
}

// holds says whether the process is the last that was given the leases.
func (s *simulation) holds(p *process, leases []ledger.Lease) bool {
	return !slices.ContainsFunc(leases, func(l ledger.Lease) bool { return s.owners[l.Partition] != owner{p.name, l.Token} })
}

func (s *simulation) claimed(p *process, leases []ledger.Lease, units []ledger.Unit, got []ledger.Claim, err error) {
	if err != nil {
		return
	}
	if !s.holds(p, leases) {
		s.world.breach(nil, "%s claims units, and a partition of theirs is somebody else's", p.name)
	}
	for i, u := range units {
		t := s.task(u.ID)
		s.world.note(p.name, fmt.Sprintf("claims %s%s", t.name, map[bool]string{true: ", in doubt"}[got[i].InDoubt]+map[bool]string{true: ": it is " + string(got[i].Status)}[got[i].Status != ""]), t.about()...)
	}
}

func (s *simulation) cursors(cursors []ledger.Cursor) map[int]uint64 {
	was := map[int]uint64{}
	if all := s.ledger.leases[target]; all != nil {
		for _, c := range cursors {
			was[c.Lease.Partition] = all[c.Lease.Partition].cursor
		}
	}
	return was
}

// settled judges a transaction that the ledger took.
func (s *simulation) settled(p *process, leases []ledger.Lease, cursors []ledger.Cursor, was map[int]uint64, done []ledger.Settlement, err error) {
	if err != nil {
		return
	}
	if !s.holds(p, leases) {
		s.world.breach(nil, "%s records outcomes, and a partition of theirs is somebody else's", p.name)
	}
	for i := range done {
		u := &done[i].Unit
		t := s.task(u.ID)
		if u.Gate != "" {
			s.world.note(p.name, fmt.Sprintf("settles a gate of %s", t.name), t.about()...)
			continue
		}
		s.world.note(p.name, fmt.Sprintf("settles %s: %s %s after %d attempts", t.name, u.Status, u.Class, u.Attempts), t.about()...)
		s.letGo[t.name] = s.letGo[t.name] || u.Status == ledger.Dead && !u.Hold
		if u.Status == ledger.Applied && !s.odoo.has(t.name) {
			s.world.breach(t.about(), "%s is recorded as applied, and the target has no effect of it", t.name)
		}
		if u.Status == ledger.Skipped && t.fate != skip {
			s.world.breach(t.about(), "%s is recorded as skipped, and nobody said so", t.name)
		}
		// Who errs alone three times is itself to blame, and again each time.
		if tries, errs := s.odoo.tries[t.unit], s.odoo.errs[t.unit]; u.Attempts > tries+max(errs-2, 0) {
			s.world.breach(t.about(), "%s is recorded with %d attempts, and the target answered %d and erred %d times", t.name, u.Attempts, tries, errs)
		}
	}
	for _, c := range cursors {
		now := s.ledger.leases[target][c.Lease.Partition].cursor
		if now < was[c.Lease.Partition] {
			s.world.breach(nil, "the cursor of partition %d goes from %d back to %d", c.Lease.Partition, was[c.Lease.Partition], now)
		}
		s.passed(c.Lease.Partition, was[c.Lease.Partition], now)
	}
}

// passed checks that the ledger knows what became of all that a cursor went past.
func (s *simulation) passed(part int, from, to uint64) {
	for seq := from + 1; seq <= to && int(seq) <= len(s.stream); seq++ {
		t := s.stream[seq-1]
		u, other := t.mapped(true), slices.Index(s.partitions(t), part)
		switch {
		case other < 0:
			continue
		case other == 0:
			if st := s.status(t).Status; st == "" || st == ledger.Claimed {
				s.world.breach(t.about(), "the cursor of partition %d goes past %s at %d, of which the ledger has no outcome (%q)", part, t.name, seq, st)
			}
		default:
			st := s.status(t)
			through := st.Status == ledger.Applied || st.Status == ledger.Skipped || st.Status == ledger.Discarded || st.Status == ledger.Dead && !st.Hold
			for i, k := range u.OtherKeys {
				if broker.Partition(k, "") == part && !through && s.ledger.waiting[t.unit+"~"+k] == nil && t.fate != skip && !(t.fate == unfit && t.cont) {
					s.world.breach(t.about(), "the cursor of partition %d goes past %s at %d, which is %q and has no gate in %s", part, t.name, seq, st.Status, t.keys[i+1])
				}
			}
		}
	}
}

// partitions returns those of a task's keys.
func (s *simulation) partitions(t *task) []int {
	u := t.mapped(true)
	out := []int{partitionOf(u)}
	for _, k := range u.OtherKeys {
		out = append(out, broker.Partition(k, ""))
	}
	return out
}

// sends judges a call before it is made.
func (s *simulation) sends(p *process, units []*broker.Unit) {
	s.mu.Lock()
	defer s.mu.Unlock()
	seen := map[string]bool{}
	for _, u := range units {
		t := s.task(u.ID)
		if t == nil {
			s.world.breach(nil, "%s asks the target for a unit that nobody knows", p.name)
			continue
		}
		s.world.note(p.name, "asks the target for "+t.name, t.about()...)
		for _, k := range t.keys {
			if seen[k] {
				s.world.breach(t.about(), "one call has two units of key %s", k)
			}
			seen[k] = true
		}
		if st := s.status(t); s.owners[partitionOf(u)].process == p.name && (st.Status == ledger.Applied || st.Status == ledger.Skipped || st.Status == ledger.Discarded) && !p.isDead() {
			s.world.breach(t.about(), "%s asks the target for %s, has its partition, and the ledger says that it is %s", p.name, t.name, st.Status)
		}
	}
}

// effect judges the moment at which a task has effect for the first time.
func (s *simulation) effect(p *process, t *task) {
	s.world.note("target", fmt.Sprintf("%s has effect, by %s", t.name, p.name), t.about()...)
	if t.accepted == 0 {
		s.world.breach(t.about(), "%s has effect and was not accepted", t.name)
	}
	if st := s.status(t).Status; st == "" && !s.rewound {
		s.world.breach(t.about(), "%s has effect and was not claimed", t.name)
	}
	for _, k := range t.keys {
		for _, e := range s.byKey[k] {
			if e == t {
				break
			}
			if s.odoo.has(e.name) || e.fate == skip || e.fate == unfit && e.cont || s.letGo[e.name] {
				continue
			}
			st := s.status(e)
			if st.Status == ledger.Discarded {
				continue
			}
			s.world.breach(append(t.about(), e.name), "%s has effect before %s, which is earlier in key %s and %q", t.name, e.name, k, st.Status)
		}
	}
}

func (s *simulation) requeued(p *process, it ledger.ReplayItem, err error) {
	if t := s.task(it.Unit); err == nil && t != nil {
		s.world.note(p.name, fmt.Sprintf("replays %s: %s", t.name, it.Action), t.about()...)
		if st := s.status(t); it.Action == ledger.RetryNow && st.Status != ledger.Parked {
			s.world.breach(t.about(), "%s is to be tried again, and it is %s", t.name, st.Status)
		}
	}
}

// unsettled returns what is not as it is to be when all faults are over, "" if nothing.
func (s *simulation) unsettled() (what string, about []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		st := s.status(t)
		switch {
		case t.accepted == 0:
			return t.name + " was not accepted", t.about()
		case st.Status == ledger.Applied && !s.odoo.has(t.name):
			return t.name + " is applied in the ledger and not at the target", t.about()
		case st.Status == ledger.Applied, st.Status == ledger.Skipped && t.fate == skip, st.Status == ledger.Discarded:
		case st.Status == ledger.Dead && (s.overtaken(t) || t.fate == unfit && s.retention < time.Minute): // it is not in the journal any more
		case st.Status == "":
			return t.name + " is unknown to the ledger", t.about()
		default:
			return fmt.Sprintf("%s is %s (%s)", t.name, st.Status, st.Class), t.about()
		}
		if s.odoo.has(t.name) && st.Status != ledger.Applied && !s.rewound {
			return fmt.Sprintf("%s has effect at the target and is %s in the ledger", t.name, st.Status), t.about()
		}
	}
	return "", nil
}

// overtaken says whether a later unit of one of the task's keys was applied.
func (s *simulation) overtaken(t *task) bool {
	r := s.ledger.units[t.unit]
	return r != nil && s.ledger.overtaken(r)
}

// operator asks for all that is dead to be tried again.
func (s *simulation) operator() {
	s.mu.Lock()
	defer s.mu.Unlock()
	r, err := s.ledger.PlanReplay(context.Background(), ledger.ReplayRequest{Filter: ledger.Filter{Target: target}, By: "operator"})
	if err == nil {
		err = s.ledger.StartReplay(context.Background(), r.ID, 0)
	}
	if err != nil {
		s.world.breach(nil, "replay: %v", err)
		return
	}
	s.world.note("FAULT", fmt.Sprintf("%s is asked for: %v", r.ID, r.Actions))
}

// discards drops one dead unit, if there is one.
func (s *simulation) discards() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tasks {
		if s.status(t).Status == ledger.Dead && !s.odoo.has(t.name) {
			if err := s.ledger.Discard(context.Background(), t.unit, "operator", "not wanted"); err != nil {
				s.world.breach(t.about(), "discard: %v", err)
			}
			s.world.note("FAULT", t.name+" is discarded", t.about()...)
			return
		}
	}
}

const settleWithin = 20 * time.Minute
