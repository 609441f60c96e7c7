package ops

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

// TargetStatus is what the workers know about one target.
type TargetStatus struct {
	Target       string       `json:"target"`
	Promise      string       `json:"promise,omitempty"` // how units have one effect: "addon", "external-id", or "" while it is not known
	Breaker      string       `json:"breaker"`           // "closed", "half-open", "open"
	BreakerSince time.Time    `json:"breaker_since,omitzero"`
	Problem      string       `json:"problem,omitempty"` // why it is open: a class or a sentence without PHI
	Backlog      int          `json:"backlog"`           // units in the stream that no cursor has passed
	Oldest       time.Time    `json:"oldest,omitzero"`   // when the oldest of them was received
	Rate         float64      `json:"rate,omitempty"`    // units settled a second, lately; 0 = not known
	Partitions   int          `json:"partitions"`        // that some worker must hold; from the ledger's leases
	Held         int          `json:"held"`              // of these, that some worker does hold
	Counted      int          `json:"counted,omitempty"` // of these, that Backlog, Oldest and Rate are of: those of the worker that answers; 0 = all
	LastApplied  time.Time    `json:"last_applied,omitzero"`
	Calls        int          `json:"calls,omitempty"`     // at once, that the worker which answers makes at most, by what it learned of the target
	CallsMax     int          `json:"calls_max,omitempty"` // of all workers, by the settings
	Lanes        []LaneStatus `json:"lanes,omitempty"`     // of the worker that answers; those that had no unit yet are missing
}

// LaneStatus is one of the lanes that share a target's calls.
type LaneStatus struct {
	Lane    string `json:"lane"` // one of broker.Lanes
	Weight  int    `json:"weight"`
	Waiting int    `json:"waiting"` // units that the worker has read and not settled
	Aside   int    `json:"aside"`   // of them, those that are put aside until their lane has room
	Applied uint64 `json:"applied"` // since it runs
}

// SiteStatus is what an agent knows about itself.
type SiteStatus struct {
	Site             string        `json:"site"`
	LinkUp           bool          `json:"link_up"`
	LinkSince        time.Time     `json:"link_since,omitzero"`        // up or down since
	Problem          string        `json:"problem,omitempty"`          // why it is down
	CertificateUntil time.Time     `json:"certificate_until,omitzero"` // when the hub lets it in no more; it is renewed long before, by itself
	Mappings         MappingStatus `json:"mappings,omitzero"`
	Feeds            []FeedStatus  `json:"feeds"`
	Verdict          Verdict       `json:"verdict"` // filled in by [Status.Judge]
}

// MappingStatus is which mappings a site runs.
type MappingStatus struct {
	Set       string    `json:"set"`               // what tells it from others
	Loaded    time.Time `json:"loaded"`            // when it came into force
	Kept      bool      `json:"kept,omitempty"`    // it is the copy of an earlier one: at the start the files could not be taken
	Problem   string    `json:"problem,omitempty"` // why the files of now are not in force: file, line and fault
	ProblemAt time.Time `json:"problem_at,omitzero"`
}

// FeedStatus is one feed of a site as its agent sees it.
type FeedStatus struct {
	Feed          string    `json:"feed"`
	Reads         string    `json:"reads,omitempty"` // what a feed reads that is not sent to: "Odoo"
	Listening     bool      `json:"listening"`       // or reading
	Problem       string    `json:"problem,omitempty"`
	LastReceived  time.Time `json:"last_received,omitzero"`
	Waiting       int       `json:"waiting"` // in the journal, and the cloud does not have it yet
	OldestWaiting time.Time `json:"oldest_waiting,omitzero"`
	JournalBytes  int64     `json:"journal_bytes"`
	JournalLimit  int64     `json:"journal_limit"` // 0 = not known
	// JournalDamaged is when it was found that the journal has lost messages, if it was since the agent started.
	JournalDamaged time.Time `json:"journal_damaged,omitzero"`
	Verdict        Verdict   `json:"verdict"` // filled in by [Status.Judge]
}

func (f FeedStatus) full() float64 {
	if f.JournalLimit <= 0 {
		return 0
	}
	return float64(f.JournalBytes) / float64(f.JournalLimit)
}

// Status is the answer of GET /v1/status, of a worker (Targets, Lanes) and of an
// agent (Sites).
type Status struct {
	Service  string       `json:"service"`
	At       time.Time    `json:"at"` // by the server's clock: every age is counted from here
	Verdict  Verdict      `json:"verdict"`
	Targets  []TargetLine `json:"targets,omitempty"`
	Lanes    []Lane       `json:"lanes,omitempty"`
	Sites    []SiteStatus `json:"sites,omitempty"`
	Bounds   []Bound      `json:"bounds,omitempty"`
	Problems []string     `json:"problems,omitempty"` // parts of this answer that could not be had, and why
}

// A TargetLine is one target with what the ledger counts for it.
type TargetLine struct {
	TargetStatus
	Parked       int       `json:"parked"`
	OldestParked time.Time `json:"oldest_parked,omitzero"` // of those that are to be tried again
	Waiting      int       `json:"waiting,omitempty"`      // of Parked, those that wait for what another unit is to bring
	WaitingSince time.Time `json:"waiting_since,omitzero"` // the one that has waited longest
	Dead         int       `json:"dead"`
	HeldKeys     int       `json:"held_keys"`           // keys that wait behind a dead letter
	HeldNoun     string    `json:"held_noun,omitempty"` // what such a key is: "patient" or "record"
	Verdict      Verdict   `json:"verdict"`
}

// A Lane is one feed of one site at one target.
type Lane struct {
	Site         string                `json:"site"`
	Feed         string                `json:"feed"`
	Target       string                `json:"target"`
	Counts       map[ledger.Status]int `json:"counts"`
	OldestParked time.Time             `json:"oldest_parked,omitzero"`
	Waiting      int                   `json:"waiting,omitempty"`
	WaitingSince time.Time             `json:"waiting_since,omitzero"`
	OldestDead   time.Time             `json:"oldest_dead,omitzero"`
	LastApplied  time.Time             `json:"last_applied,omitzero"`
	HeldKeys     int                   `json:"held_keys"`
	HeldNoun     string                `json:"held_noun,omitempty"`
	Verdict      Verdict               `json:"verdict"`
}

// Judge fills in every verdict, with times in loc's zone. The server judges in
// its own zone; a client that prints for a person judges again in theirs.
func (s *Status) Judge(loc *time.Location) {
	now := s.At.In(loc)
	s.Verdict = Verdict{Fine, "all is well"}
	worse := func(what string, v Verdict) {
		if v.Level > s.Verdict.Level {
			s.Verdict = Verdict{v.Level, what + ": " + v.Text}
		}
	}
	for _, p := range s.Problems {
		worse("status", Verdict{Broken, p})
	}
	targets := map[string]*TargetLine{}
	for i := range s.Targets {
		t := &s.Targets[i]
		targets[t.Target] = t
		t.Verdict = judge(now, t.facts())
		worse(t.Target, t.Verdict)
	}
	for i := range s.Lanes {
		l := &s.Lanes[i]
		f := facts{Target: l.Target, Breaker: "closed"}
		if t := targets[l.Target]; t != nil {
			f = t.facts()
		}
		f.Feed = l.Feed
		f.Parked, f.OldestParked, f.Waiting, f.WaitingSince = l.Counts[ledger.Parked], l.OldestParked, l.Waiting, l.WaitingSince
		f.Dead, f.Held, f.Noun = l.Counts[ledger.Dead], l.HeldKeys, l.HeldNoun
		// The backlog is the whole target's; what this feed's lane last did is its own.
		if f.Backlog == 0 {
			f.LastApplied = l.LastApplied
		}
		if f.Breaker == "open" {
			f.Backlog = 0
		}
		l.Verdict = judge(now, f)
		worse(l.Site+"/"+l.Feed, l.Verdict)
	}
	for i := range s.Sites {
		site := &s.Sites[i]
		site.Verdict = judgeLink(now, *site)
		worse("site "+site.Site, site.Verdict)
		for j := range site.Feeds {
			f := &site.Feeds[j]
			f.Verdict = judgeIntake(now, *f)
			worse("feed "+f.Feed, f.Verdict)
		}
	}
	if b, ok := s.Nearest(); ok {
		worse("bounds", judgeBound(b))
	}
}

func (t *TargetLine) facts() facts {
	return facts{
		Target: t.Target, Breaker: t.Breaker, BreakerSince: t.BreakerSince, Problem: t.Problem,
		Unowned: max(0, t.Partitions-t.Held), Backlog: t.Backlog, Oldest: t.Oldest, Rate: t.Rate, Counted: t.Counted, Partitions: t.Partitions,
		Parked: t.Parked, OldestParked: t.OldestParked, Waiting: t.Waiting, WaitingSince: t.WaitingSince,
		Dead: t.Dead, Held: t.HeldKeys, Noun: t.HeldNoun, LastApplied: t.LastApplied,
	}
}

// leaseSlack is how far the ledger's clock may be behind ours before a lease
// that is renewed every second looks expired.
const leaseSlack = 15 * time.Second

// maxDead is how many dead letters are looked at to count who waits behind them.
const maxDead = 1000

// status puts together what the ledger, the workers and the sites say. A part
// that does not answer becomes a problem: half an answer at night is better
// than none.
func (a *api) status(ctx context.Context) Status {
	s := Status{Service: a.cfg.Service, At: a.cfg.Now()}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	problem := func(what string, err error) {
		if err != nil {
			s.Problems = append(s.Problems, what+": "+clip(err.Error(), 300))
		}
	}
	if a.cfg.Targets != nil {
		ts, err := a.cfg.Targets(ctx)
		problem("the workers' state is not known", err)
		for _, t := range ts {
			s.Targets = append(s.Targets, TargetLine{TargetStatus: t})
		}
	}
	if a.cfg.Ledger != nil {
		problem("the ledger does not answer", a.lanes(ctx, &s))
	}
	if a.cfg.Sites != nil {
		sites, err := a.cfg.Sites(ctx)
		problem("the sites' state is not known", err)
		s.Sites = sites
	}
	if a.cfg.Bounds != nil {
		bounds, err := a.cfg.Bounds(ctx)
		problem("what fills up is not known", err)
		s.Bounds = bounds
	}
	s.Judge(s.At.Location())
	return s
}

func (a *api) lanes(ctx context.Context, s *Status) error {
	sums, err := a.cfg.Ledger.Summary(ctx)
	if err != nil {
		return fmt.Errorf("count units: %w", err)
	}
	type lane struct{ site, feed, target string }
	held := map[lane]map[string]bool{}
	all := map[string]map[string]bool{} // by target: one patient may be held in two feeds
	patients := map[string]bool{}       // by key
	if slices.ContainsFunc(sums, func(m ledger.Summary) bool { return m.Counts[ledger.Dead] > 0 }) {
		dead, err := a.cfg.Ledger.Units(ctx, ledger.Filter{Status: []ledger.Status{ledger.Dead}, Limit: maxDead})
		if err != nil {
			return fmt.Errorf("list dead letters: %w", err)
		}
		for _, u := range dead {
			if !u.Hold || u.Key == "" {
				continue
			}
			l := lane{u.Site, u.Feed, u.Target}
			if held[l] == nil {
				held[l] = map[string]bool{}
			}
			if all[u.Target] == nil {
				all[u.Target] = map[string]bool{}
			}
			held[l][u.Key], all[u.Target][u.Key] = true, true
			if ofPatient(u.Kind) {
				patients[u.Key] = true
			}
		}
	}
	noun := func(keys map[string]bool) string {
		if len(keys) == 0 {
			return ""
		}
		for k := range keys {
			if !patients[k] {
				return "record"
			}
		}
		return "patient"
	}
	for _, m := range sums {
		i := slices.IndexFunc(s.Targets, func(t TargetLine) bool { return t.Target == m.Target })
		if i < 0 { // nobody works for it now; what it did is still to be seen
			i = len(s.Targets)
			s.Targets = append(s.Targets, TargetLine{TargetStatus: TargetStatus{Target: m.Target}})
		}
		t := &s.Targets[i]
		t.Parked += m.Counts[ledger.Parked]
		t.Dead += m.Counts[ledger.Dead]
		t.Waiting += m.Waiting
		t.OldestParked, t.WaitingSince = earlier(t.OldestParked, m.OldestParked), earlier(t.WaitingSince, m.WaitingSince)
		if m.LastApplied.After(t.LastApplied) {
			t.LastApplied = m.LastApplied
		}
		keys := held[lane{m.Site, m.Feed, m.Target}]
		s.Lanes = append(s.Lanes, Lane{
			Site: m.Site, Feed: m.Feed, Target: m.Target, Counts: m.Counts, HeldKeys: len(keys), HeldNoun: noun(keys),
			OldestParked: m.OldestParked, Waiting: m.Waiting, WaitingSince: m.WaitingSince, OldestDead: m.OldestDead, LastApplied: m.LastApplied,
		})
	}
	for i := range s.Targets {
		t := &s.Targets[i]
		keys := all[t.Target]
		t.HeldKeys, t.HeldNoun = len(keys), noun(keys)
		parts, err := a.cfg.Ledger.Cursors(ctx, t.Target)
		if err != nil {
			return fmt.Errorf("list leases: %w", err)
		}
		t.Partitions = broker.Partitions
		t.Held = 0
		for _, p := range parts {
			if p.Owner != "" && p.Expires.After(s.At.Add(-leaseSlack)) {
				t.Held++
			}
		}
	}
	slices.SortFunc(s.Targets, func(x, y TargetLine) int { return strings.Compare(x.Target, y.Target) })
	slices.SortFunc(s.Lanes, func(x, y Lane) int {
		return cmp.Or(strings.Compare(x.Site, y.Site), strings.Compare(x.Feed, y.Feed), strings.Compare(x.Target, y.Target))
	})
	return nil
}

// earlier returns the earlier of two times; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// ofPatient says whether a message of this kind has a patient as its subject:
// HL7 v2 events other than master files and personnel.
func ofPatient(kind string) bool {
	typ, _, ok := strings.Cut(kind, "^")
	return ok && len(typ) == 3 && typ != "MFN" && typ != "PMU"
}
