package relational

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// A countRow changes one tally.
type countRow struct {
	Target string `json:"target"`
	Shard  int    `json:"shard"`
	Site   string `json:"site"`
	Feed   string `json:"feed"`
	Status string `json:"status"`
	N      int64  `json:"n"`
	Last   int64  `json:"last"`
}

// addTally adds to the tallies what $1 counts, in a fixed order.
const addTally = `INSERT INTO tally (target, shard, site, feed, status, n, last)
	SELECT d.target, d.shard, d.site, d.feed, d.status, sum(d.n), max(d.last)
	FROM {$1: target text, shard integer, site text, feed text, status text, n bigint, last bigint} AS d
	GROUP BY d.target, d.shard, d.site, d.feed, d.status ORDER BY d.target, d.shard, d.site, d.feed, d.status
	ON CONFLICT (target, shard, site, feed, status) DO UPDATE SET n = tally.n + excluded.n,
		last = CASE WHEN excluded.last > tally.last THEN excluded.last ELSE tally.last END`

// A probe is what a claim asks about one unit.
type probe struct {
	N         int    `json:"n"`
	ID        string `json:"id"`
	MessageID string `json:"message_id,omitempty"`
	Target    string `json:"target,omitempty"`
	Site      string `json:"site,omitempty"`
	Feed      string `json:"feed,omitempty"`
	Idem      string `json:"idem,omitempty"`
	Seq       int64  `json:"seq,omitempty"`
	Request   string `json:"request,omitempty"`
}

// collides returns the units whose idempotency value one has that came before. They are found by that value: an empty text
// behind site and feed keeps a planner that knows nothing of the table yet from reading all units of both for it.
const collides = `SELECT p.n FROM
	(SELECT d.n, EXISTS (SELECT 1 FROM units x WHERE x.idem = d.idem AND x.idem <> '' AND x.target = d.target AND x.site || '' = d.site AND x.feed || '' = d.feed
			AND x.message_id <> d.message_id AND x.seq < d.seq) AS collides
	FROM {$1: n integer, message_id text, target text, site text, feed text, idem text, seq bigint} AS d) AS p
	WHERE p.collides`

// probeUnits returns what is known of each unit, and whether one that came
// before it has its idempotency value.
const probeUnits = `SELECT p.n, p.status, p.remappable, p.request, p.seq, p.collides FROM
	(SELECT d.n, coalesce(u.status, '') AS status, coalesce(u.remappable, false) AS remappable, coalesce(u.request, '') AS request, coalesce(u.seq, d.seq) AS seq,
		EXISTS (SELECT 1 FROM units x WHERE x.idem = d.idem AND x.idem <> '' AND x.target = d.target AND x.site || '' = d.site AND x.feed || '' = d.feed
			AND x.message_id <> d.message_id AND x.seq < coalesce(u.seq, d.seq)) AS collides
	FROM {$1: n integer, id text, message_id text, target text, site text, feed text, idem text, seq bigint} AS d LEFT JOIN units u ON u.id = d.id) AS p
	WHERE p.status <> '' OR p.collides`

var insertClaimed = `INSERT INTO units (id, ` + names("", originColumns+", "+mappedColumns) + `, status, attempts, class, reason, warning, records,
		remappable, hold, settled_at, took, request, worker)
	SELECT d.id, ` + names("d.", originColumns+", "+mappedColumns) + `, 'claimed', 0, '', '', '', '', false, false, 0, 0, '', ''
	FROM {$1: id text, ` + originColumns + ", " + mappedColumns + `} AS d WHERE true ON CONFLICT (id) DO NOTHING RETURNING id`

// Claim implements [ledger.Ledger]. Nearly all units are new: they are inserted
// at once, and only those that were there already are looked up.
func (s *Store) Claim(ctx context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	g := newGuard(leases)
	if err := g.touch(units); err != nil {
		return nil, fmt.Errorf("claim units: %w", err)
	}
	var rows []unitRow // by their first place among units
	var places []int
	var asked, idems, requests []probe // each asked, and those that have an idempotency value
	first := map[string]int{}
	now := time.Now().UnixMicro()
	for i := range units {
		row := newUnitRow(&units[i])
		if _, twice := first[row.ID]; twice {
			continue
		}
		first[row.ID] = i
		if row.ClaimedAt == 0 {
			row.ClaimedAt = now
		}
		rows, places = append(rows, row), append(places, i)
		p := probe{N: len(asked), ID: row.ID, Idem: row.Idem, Seq: row.Seq}
		if p.Idem != "" {
			p.MessageID, p.Target, p.Site, p.Feed = row.MessageID, row.Target, row.Site, row.Feed
			idems = append(idems, p)
		}
		asked = append(asked, p)
		if r := clean(units[i].Request, maxName); r != "" {
			requests = append(requests, probe{ID: row.ID, Request: r})
		}
	}
	answers := make([]ledger.Claim, len(units))
	err := s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		clear(answers)
		fresh := make(map[string]bool, len(rows))
		list, check := g.lock(s)
		if len(idems) > 0 {
			list = append(list, s.ask(func(scan Scan) error {
				var n int
				err := scan(&n)
				answers[places[n]].Collision = true
				return err
			}, collides, table(idems)))
		}
		if len(rows) > 0 {
			list = append(list, s.ask(func(scan Scan) error {
				var id string
				err := scan(&id)
				fresh[id] = true
				return err
			}, insertClaimed, table(rows)))
		}
		if err := tx.Run(ctx, list...); err != nil {
			return nil, err
		}
		if err := check(); err != nil {
			return nil, err
		}
		var known []probe
		for n, r := range rows {
			asked[n].Seq = r.Seq
			if !fresh[r.ID] {
				answers[places[n]].Collision = false // it has a place of its own in the order
				known = append(known, asked[n])
			}
		}
		if len(known) > 0 {
			if err := tx.Run(ctx, s.ask(func(scan Scan) error {
				var n int
				var seq int64
				var status, request string
				var remappable, collides bool
				if err := scan(&n, &status, &remappable, &request, &seq, &collides); err != nil {
					return err
				}
				a := &answers[places[n]]
				if status != "" {
					asked[n].Seq = seq
					*a = answer(ledger.Status(status), remappable && units[places[n]].Request != "", request)
				}
				a.Collision = collides
				return nil
			}, probeUnits, table(known))); err != nil {
				return nil, err
			}
		}
		for n := range collisions(asked) {
			answers[places[n]].Collision = true
		}
		atClaiming.Hit()
		list = s.countNew(g, rows, fresh)
		if len(requests) > 0 {
			list = append(list, s.do(`UPDATE units SET request = d.request FROM {$1: id text, request text} AS d
				WHERE units.id = d.id AND units.remappable AND units.status IN ('dead', 'skipped')`, table(requests)))
		}
		return list, nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim units: %w", err)
	}
	for i := range units { // what came twice at once: as if it came again later
		if n := first[clean(units[i].ID, maxName)]; n != i {
			answers[i] = answers[n]
			answers[i].InDoubt = answers[i].InDoubt || answers[i].Status == ""
		}
	}
	return answers, nil
}

// collisions yields which of the units have the idempotency value of an
// earlier one among them.
func collisions(units []probe) iter.Seq[int] {
	type value struct{ target, site, feed, idem string }
	same := map[value][]int{}
	for n, p := range units {
		if p.Idem != "" {
			v := value{p.Target, p.Site, p.Feed, p.Idem}
			same[v] = append(same[v], n)
		}
	}
	return func(yield func(int) bool) {
		for _, ns := range same {
			for _, n := range ns {
				if slices.ContainsFunc(ns, func(m int) bool { return units[m].MessageID != units[n].MessageID && units[m].Seq < units[n].Seq }) && !yield(n) {
					return
				}
			}
		}
	}
}

// answer says what a claim answers about a unit that is known. again: it was
// dead or skipped at its mapping, and its site mapped it again.
func answer(status ledger.Status, again bool, request string) ledger.Claim {
	switch {
	case status == ledger.Claimed:
		return ledger.Claim{InDoubt: true}
	case again && (status == ledger.Dead || status == ledger.Skipped):
		return ledger.Claim{InDoubt: request != ""}
	}
	return ledger.Claim{Status: status}
}

// countNew counts the units that were not known yet.
func (s *Store) countNew(g guard, rows []unitRow, fresh map[string]bool) []Statement {
	var counts []countRow
	for _, r := range rows {
		if fresh[r.ID] {
			counts = append(counts, countRow{Target: r.Target, Shard: g.shards[r.Target], Site: r.Site, Feed: r.Feed, Status: string(ledger.Claimed), N: 1})
		}
	}
	if len(counts) == 0 {
		return nil
	}
	return []Statement{s.do(addTally, table(merge(counts)))}
}

// merge adds up what counts the same.
func merge(counts []countRow) []countRow {
	at := map[countRow]int{}
	var sums []countRow
	for _, c := range counts {
		what := c
		what.N, what.Last = 0, 0
		i, ok := at[what]
		if !ok {
			i = len(sums)
			at[what] = i
			sums = append(sums, what)
		}
		sums[i].N += c.N
		sums[i].Last = max(sums[i].Last, c.Last)
	}
	return sums
}
