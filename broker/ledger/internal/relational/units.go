package relational

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

const (
	minPrefix    = 4
	defaultUnits = 100
	// maxUnits is a page of 1000, and the one more that tells whether there is
	// another.
	maxUnits = 1001
	maxHops  = 1000 // of one unit, the newest
	maxByIDs = 5000 // units that a filter's ids may name
)

// HeldKeys implements [ledger.Ledger].
func (s *Store) HeldKeys(ctx context.Context, leases []ledger.Lease) (keys []string, err error) {
	err = s.read(ctx, func(scan Scan) error {
		var k string
		err := scan(&k)
		keys = append(keys, k)
		return err
	}, `SELECT DISTINCT w.key FROM {$1: target text, partition integer} AS d CROSS JOIN waiting w
		WHERE w.target = d.target AND w.partition = d.partition AND w.key <> '' AND w.holds ORDER BY w.key`, table(leaseRows(leases)))
	if err != nil {
		return nil, fmt.Errorf("read held keys: %w", err)
	}
	return keys, nil
}

// Due implements [ledger.Ledger].
func (s *Store) Due(ctx context.Context, leases []ledger.Lease, limit int) (units []ledger.Unit, err error) {
	err = s.read(ctx, func(scan Scan) error {
		var u ledger.Unit
		var body []byte
		err := scanUnit(scan, &u, &body, &u.Gate)
		u.Body = broker.PHI(body)
		units = append(units, u)
		return err
	}, `WITH heads AS MATERIALIZED (SELECT w.id FROM {$1: target text, partition integer} AS d CROSS JOIN waiting w
			WHERE w.target = d.target AND w.partition = d.partition AND w.due > 0 AND w.due <= {now}
				AND NOT `+fmt.Sprintf(lacksGate, "w.id")+` ORDER BY w.due, w.seq, w.id LIMIT $2)
		SELECT `+selectUnit+`, w.body, CASE WHEN w.gate_of = '' THEN '' ELSE w.key END FROM heads CROSS JOIN waiting w CROSS JOIN units u
		WHERE w.id = heads.id AND u.id = CASE WHEN w.gate_of = '' THEN w.id ELSE w.gate_of END ORDER BY w.due, w.seq, w.id`,
		table(leaseRows(leases)), int64(max(limit, 0)))
	if err != nil {
		return nil, fmt.Errorf("read due units: %w", err)
	}
	return units, nil
}

// A query is the conditions of a SELECT and its arguments.
type query struct {
	where []string
	args  []any
}

// add adds a condition; each ? in it is the next argument.
func (q *query) add(condition string, args ...any) {
	for _, a := range args {
		q.args = append(q.args, a)
		condition = strings.Replace(condition, "?", "$"+strconv.Itoa(len(q.args)), 1)
	}
	q.where = append(q.where, condition)
}

func (q *query) text() string {
	if len(q.where) == 0 {
		return "true"
	}
	return strings.Join(q.where, " AND ")
}

type rangeRow struct {
	Low  string `json:"low"`
	High string `json:"high"`
}

// byIDs selects the units whose id, or whose message's id, is in one of the
// ranges. The bound on how many there can be keeps a planner, which takes each
// range for a good part of the table, from walking all of it.
const byIDs = `u.id IN (SELECT p.id FROM (SELECT x.id FROM {?: low text, high text} AS d {within id}
	UNION SELECT x.id FROM {?: low text, high text} AS d {within message_id} LIMIT ?) AS p)`

func prefixes(ids []string) Table {
	rows := make([]rangeRow, len(ids))
	for i, id := range ids {
		id = clean(id, maxName)
		rows[i] = rangeRow{id, id + "\U0010FFFF"}
	}
	t := table(rows)
	t.Ranges = true
	return t
}

// from returns where a filter's units u, and what is kept of them while they
// wait, w, are read from, and the columns that order them. A planner that knows
// nothing of the tables yet, or that sees a limit, would rather walk all units
// in their order than look for the few that are asked for: "+ 0" keeps it from
// that.
func from(f ledger.Filter) (tables, received, id string) {
	switch {
	case len(f.IDs) > 0 || f.SenderID != "" || onlyDiscarded(f):
		return "units u LEFT JOIN waiting w ON w.id = u.id WHERE ", "u.received_at + 0", "u.id"
	case onlyWaiting(f):
		return "waiting w CROSS JOIN units u WHERE u.id = w.id AND ", "w.received_at", "w.id"
	}
	return "units u LEFT JOIN waiting w ON w.id = u.id WHERE ", "u.received_at", "u.id"
}

// newest returns the order of a filter's units, newest first. Where the value of a column is asked for that has an index,
// that column comes first in it, and filter asks for a range of this one value: so there is no other way
// than by that index, whatever a planner thinks of how rare the value is.
func newest(f ledger.Filter) string {
	_, received, id := from(f)
	order := received + " DESC, " + id + " DESC"
	if c := leading(f); c != "" {
		order = "u." + c + " DESC, " + order
	}
	return order
}

// leading is the column that a list is found by: of those that are asked for the one that is mostly the rarest.
func leading(f ledger.Filter) string {
	switch {
	case len(f.IDs) > 0 || f.SenderID != "" || onlyDiscarded(f) || onlyWaiting(f):
	case f.Class != "":
		return "class"
	case f.Site != "":
		return "site"
	case f.Kind != "":
		return "kind"
	case f.Feed != "":
		return "feed"
	}
	return ""
}

// onlyWaiting says whether a filter selects none but units that wait.
func onlyWaiting(f ledger.Filter) bool {
	return len(f.Status) > 0 && !slices.ContainsFunc(f.Status, func(s ledger.Status) bool { return s != ledger.Parked && s != ledger.Dead })
}

func onlyDiscarded(f ledger.Filter) bool {
	return len(f.Status) == 1 && f.Status[0] == ledger.Discarded
}

// equal adds a condition, if there is one: a value of "" selects all.
func (q *query) equal(column, value string) {
	if value != "" {
		q.add(column+" = ?", clean(value, maxName))
	}
}

// status adds that a table's row has one of these, if any are named.
func (q *query) status(table string, is []ledger.Status) {
	if len(is) == 0 {
		return
	}
	var marks []string
	var args []any
	for _, st := range is {
		marks, args = append(marks, "?"), append(args, clean(string(st), maxName))
	}
	q.add(table+".status IN ("+strings.Join(marks, ", ")+")", args...)
}

// filter adds a filter's conditions.
func (q *query) filter(f ledger.Filter) {
	if len(f.IDs) > 0 {
		ids := prefixes(f.IDs)
		q.add(byIDs, ids, ids, int64(maxByIDs))
	}
	for _, c := range []struct{ column, is string }{{"feed", f.Feed}, {"site", f.Site}, {"target", f.Target}, {"kind", f.Kind}, {"sender_id", f.SenderID}, {"class", f.Class}} {
		if c.column == leading(f) {
			q.add("u."+c.column+" >= ? AND u."+c.column+" <= ?", clean(c.is, maxName), clean(c.is, maxName))
			if c.column == "class" {
				q.where = append(q.where, "u.class <> ''") // its index has no others
			}
			continue
		}
		q.equal("u."+c.column, c.is)
	}
	if onlyWaiting(f) { // few: found by their other rows
		q.status("w", f.Status)
	} else {
		q.status("u", f.Status)
	}
	if onlyDiscarded(f) { // few, and none without a person who did it
		q.add("u.id IN (SELECT h.unit FROM history h WHERE h.what = 'discarded')")
	}
	_, received, id := from(f)
	if !f.Since.IsZero() {
		q.add(received+" >= ?", f.Since.UnixMicro())
	}
	if !f.Until.IsZero() {
		q.add(received+" < ?", f.Until.UnixMicro())
	}
	if f.Before != "" {
		q.add("("+received+", "+id+") < (SELECT b.received_at, b.id FROM units b WHERE b.id = ?)", clean(f.Before, maxName))
	}
}

// atMost returns how many units a page of at most limit can have, by the tallies of what the filter selects: nobody walks
// through all units to learn that there are no more than two that are claimed.
func (s *Store) atMost(ctx context.Context, tx Tx, f ledger.Filter, limit int) (int, error) {
	var q query
	q.equal("u.site", f.Site)
	q.equal("u.feed", f.Feed)
	q.equal("u.target", f.Target)
	q.status("u", f.Status)
	if len(q.where) == 0 || len(f.IDs) > 0 || f.SenderID != "" || onlyWaiting(f) {
		return limit, nil
	}
	n := int64(0)
	err := tx.Run(ctx, s.ask(func(scan Scan) error { return scan(&n) }, `SELECT CAST(coalesce(sum(u.n), 0) AS bigint) FROM tally u WHERE `+q.text(), q.args...))
	return int(min(n, int64(limit))), err
}

// Units implements [ledger.Ledger]. Newest means received last.
func (s *Store) Units(ctx context.Context, f ledger.Filter) (units []ledger.Unit, err error) {
	var q query
	q.filter(f)
	tables, _, _ := from(f)
	limit := f.Limit
	if limit <= 0 {
		limit = defaultUnits
	}
	err = s.db.Read(ctx, func(tx Tx) error {
		most, err := s.atMost(ctx, tx, f, min(limit, maxUnits))
		if err != nil || most <= 0 {
			return err
		}
		q.args = append(q.args, int64(most))
		return tx.Run(ctx, s.ask(func(scan Scan) error {
			var u ledger.Unit
			err := scanUnit(scan, &u)
			units = append(units, u)
			return err
		}, `SELECT `+selectUnit+` FROM `+tables+q.text()+` ORDER BY `+newest(f)+` LIMIT $`+strconv.Itoa(len(q.args)), q.args...))
	})
	if err != nil {
		return nil, fmt.Errorf("read units: %w", err)
	}
	return units, nil
}

// Unit implements [ledger.Ledger].
func (s *Store) Unit(ctx context.Context, prefix string) (ledger.Unit, []ledger.Hop, error) {
	if len(prefix) < minPrefix {
		return ledger.Unit{}, nil, ledger.ErrNotFound
	}
	var units []ledger.Unit
	var last ledger.Hop
	var hops []ledger.Hop
	ids := prefixes([]string{prefix})
	err := s.db.Read(ctx, func(tx Tx) error {
		var q query
		q.add(byIDs, ids, ids, int64(2))
		if err := tx.Run(ctx, s.ask(func(scan Scan) error {
			var u ledger.Unit
			var took int64
			err := scanUnit(scan, &u, &last.Worker, &took)
			last.Took = time.Duration(took) * time.Microsecond
			units = append(units, u)
			return err
		}, `SELECT `+selectUnit+`, u.worker, u.took FROM units u LEFT JOIN waiting w ON w.id = u.id WHERE `+q.text()+` LIMIT 2`, q.args...)); err != nil {
			return err
		}
		if len(units) != 1 {
			return ledger.ErrNotFound
		}
		if err := s.waits(ctx, tx, &units[0]); err != nil {
			return err
		}
		return tx.Run(ctx, s.ask(func(scan Scan) error {
			var h ledger.Hop
			var when, took int64
			err := scan(&when, &h.What, &h.Worker, &took, &h.Class, &h.Reason, &h.By)
			h.At, h.Took = at(when), time.Duration(took)*time.Microsecond
			hops = append(hops, h)
			return err
		}, `SELECT h.at, h.what, h.worker, h.took, h.class, h.reason, h.person FROM
			(SELECT * FROM history WHERE unit = $1 ORDER BY id DESC LIMIT $2) AS h ORDER BY h.id`, units[0].ID, int64(maxHops)))
	})
	if err != nil {
		return ledger.Unit{}, nil, fmt.Errorf("read unit: %w", err)
	}
	u := units[0]
	if u.Status == ledger.Applied || u.Status == ledger.Skipped {
		last.At, last.What, last.Class, last.Reason = u.SettledAt, string(u.Status), u.Class, u.Reason
		hops = append(hops, last)
	}
	return u, hops, nil
}

// Summary implements [ledger.Ledger].
func (s *Store) Summary(ctx context.Context) (sums []ledger.Summary, err error) {
	type group struct{ site, feed, target string }
	found := map[group]int{}
	of := func(g group) *ledger.Summary {
		i, ok := found[g]
		if !ok {
			i = len(sums)
			found[g] = i
			sums = append(sums, ledger.Summary{Site: g.site, Feed: g.feed, Target: g.target, Counts: map[ledger.Status]int{}})
		}
		return &sums[i]
	}
	err = s.db.Read(ctx, func(tx Tx) error {
		return tx.Run(ctx,
			s.ask(func(scan Scan) error {
				var g group
				var status string
				var n int
				var last int64
				err := scan(&g.site, &g.feed, &g.target, &status, &n, &last)
				sum := of(g)
				if n > 0 {
					sum.Counts[ledger.Status(status)] = n
				}
				if ledger.Status(status) == ledger.Applied {
					sum.LastApplied = at(last)
				}
				return err
			}, `SELECT site, feed, target, status, CAST(sum(n) AS bigint), max(last) FROM tally GROUP BY site, feed, target, status ORDER BY site, feed, target`),
			s.ask(func(scan Scan) error {
				var g group
				var status string
				var oldest, tried, since int64
				var waiting int
				err := scan(&g.site, &g.feed, &g.target, &status, &oldest, &tried, &waiting, &since)
				if sum := of(g); ledger.Status(status) == ledger.Parked {
					sum.OldestParked, sum.Waiting, sum.WaitingSince = at(tried), waiting, at(since)
				} else {
					sum.OldestDead = at(oldest)
				}
				return err
			}, `SELECT site, feed, target, status, min(received_at), coalesce(min(received_at) FILTER (WHERE due > 0 AND since = 0), 0),
				count(*) FILTER (WHERE since > 0), coalesce(min(since) FILTER (WHERE since > 0), 0) FROM waiting WHERE gate_of = '' GROUP BY site, feed, target, status`),
		)
	})
	if err != nil {
		return nil, fmt.Errorf("count units: %w", err)
	}
	return sums, nil
}
