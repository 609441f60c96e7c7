package relational

import (
	"context"
	"fmt"
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

// Claim implements [ledger.Ledger].
func (s *Store) Claim(ctx context.Context, leases []ledger.Lease, units []ledger.Unit) ([]ledger.Claim, error) {
	g := newGuard(leases)
	if err := g.covers(units); err != nil {
		return nil, fmt.Errorf("claim units: %w", err)
	}
	var rows []unitRow
	var known, idems, requests []probe
	now := time.Now().UnixMicro()
	place := map[string]int{} // unit → its first place among units
	for i := range units {
		row := newUnitRow(&units[i])
		row.claimed(now)
		if _, twice := place[row.ID]; twice {
			continue
		}
		place[row.ID] = i
		rows = append(rows, row)
		known = append(known, probe{N: i, ID: row.ID})
		if row.Idem != "" {
			idems = append(idems, probe{N: i, ID: row.ID, MessageID: row.MessageID, Target: row.Target, Site: row.Site, Feed: row.Feed, Idem: row.Idem, Seq: row.Seq})
		}
		if units[i].Request != "" {
			requests = append(requests, probe{ID: row.ID, Request: clean(units[i].Request, maxName)})
		}
	}
	answers := make([]ledger.Claim, len(units))
	err := s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		clear(answers)
		existed := make([]bool, len(units))
		lock, check := g.lock(s)
		statements := []Statement{lock}
		if len(rows) > 0 {
			statements = append(statements, s.ask(func(scan Scan) error {
				var n int
				var status, request string
				var remappable bool
				if err := scan(&n, &status, &remappable, &request); err != nil {
					return err
				}
				existed[n] = true
				answers[n] = answer(ledger.Status(status), remappable && units[n].Request != "", request)
				return nil
			}, `SELECT d.n, u.status, u.remappable, u.request FROM {$1: n integer, id text} AS d CROSS JOIN units u WHERE u.id = d.id`, asJSON(known)))
		}
		// The check comes before anything is written: a worker that lost a
		// lease leaves no trace, not even of waiting for another's rows.
		if err := tx.Run(ctx, statements...); err != nil {
			return nil, err
		}
		if err := check(); err != nil {
			return nil, err
		}
		statements = s.claimNew(g, rows, units, existed, place)
		if len(requests) > 0 {
			statements = append(statements, s.do(`UPDATE units SET request = d.request FROM {$1: id text, request text} AS d
				WHERE units.id = d.id AND units.remappable AND units.status IN ('dead', 'skipped')`, asJSON(requests)))
		}
		if len(idems) > 0 {
			statements = append(statements, s.ask(func(scan Scan) error {
				var n int
				err := scan(&n)
				answers[n].Collision = true
				return err
			}, `SELECT DISTINCT d.n FROM {$1: n integer, id text, message_id text, target text, site text, feed text, idem text} AS d
				CROSS JOIN units me CROSS JOIN units x WHERE me.id = d.id AND x.idem = d.idem AND x.idem <> '' AND x.target = d.target
				AND x.site = d.site AND x.feed = d.feed AND x.message_id <> d.message_id AND x.seq < me.seq`, asJSON(idems)))
		}
		return statements, nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim units: %w", err)
	}
	for i := range units { // what came twice at once: as if it came again later
		if first := place[clean(units[i].ID, maxName)]; first != i {
			answers[i] = answers[first]
			answers[i].InDoubt = answers[i].InDoubt || answers[i].Status == ""
		}
	}
	return answers, nil
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

// claimNew inserts the units that are not known yet.
func (s *Store) claimNew(g guard, rows []unitRow, units []ledger.Unit, existed []bool, place map[string]int) []Statement {
	var fresh []unitRow
	var counts []countRow
	for _, r := range rows {
		if !existed[place[r.ID]] {
			fresh = append(fresh, r)
			counts = append(counts, countRow{Target: r.Target, Shard: g.shards[r.Target], Site: r.Site, Feed: r.Feed, Status: r.Status, N: 1})
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	return []Statement{
		s.do(`INSERT INTO units (`+insertColumns+`, worker) SELECT `+insertValues+`, '' FROM {$1: `+unitColumns+`} AS d WHERE true
			ON CONFLICT (id) DO NOTHING`, asJSON(fresh)),
		s.do(addTally, asJSON(merge(counts))),
	}
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
