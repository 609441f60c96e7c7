package relational

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// A keyRow names an ordering key.
type keyRow struct {
	Target    string `json:"target"`
	Partition int    `json:"partition"`
	Key       string `json:"key"`
}

// A hopRow is a line of history.
type hopRow struct {
	Unit   string `json:"unit"`
	At     int64  `json:"at"` // 0: now
	What   string `json:"what"`
	Worker string `json:"worker"`
	Took   int64  `json:"took"`
	Class  string `json:"class"`
	Reason string `json:"reason"`
	Person string `json:"person"`
}

const (
	addHops = `INSERT INTO history (unit, at, what, worker, took, class, reason, person)
		SELECT d.unit, CASE WHEN d.at = 0 THEN {now} ELSE d.at END, d.what, d.worker, d.took, d.class, d.reason, d.person
		FROM {$1: unit text, at bigint, what text, worker text, took bigint, class text, reason text, person text} AS d`

	dropWaiting = `DELETE FROM waiting WHERE id IN (SELECT d.id FROM {$1: id text} AS d)`

	// putWaiting comes last: where a unit stands is read from there.
	putWaiting = `INSERT INTO waiting (id, target, partition, key, seq, status, holds, due, since, site, feed, received_at, body)
		SELECT u.id, u.target, u.partition, u.key, u.seq, u.status, u.status = 'parked' OR u.hold,
			CASE WHEN d.due = 0 AND u.key = '' AND u.status = 'parked' THEN {now} ELSE d.due END, d.since, u.site, u.feed, u.received_at, {bytes d.body}
		FROM {$1: id text, due bigint, since bigint, body text} AS d CROSS JOIN units u WHERE u.id = d.id
		ON CONFLICT (id) DO UPDATE SET partition = excluded.partition, key = excluded.key, status = excluded.status, holds = excluded.holds,
			due = excluded.due, since = excluded.since, body = CASE WHEN length(excluded.body) = 0 THEN waiting.body ELSE excluded.body END`

	// demote and promote see to it, for the keys that a transaction touched,
	// that the first of those that hold the key is due if it is parked, and no
	// other.
	demote = `UPDATE waiting SET due = 0 WHERE id IN (SELECT w.id
		FROM {$1: target text, partition integer, key text} AS k CROSS JOIN waiting w
		WHERE w.target = k.target AND w.partition = k.partition AND w.key = k.key AND w.key <> '' AND w.due > 0 AND EXISTS
			(SELECT 1 FROM waiting e WHERE e.target = w.target AND e.partition = w.partition AND e.key = w.key AND e.key <> '' AND e.holds
				AND (e.seq, e.id) < (w.seq, w.id)))`
	promote = `UPDATE waiting SET due = {now} WHERE due = 0 AND status IN ('parked', 'asked') AND id IN (SELECT
			(SELECT e.id FROM waiting e WHERE e.target = k.target AND e.partition = k.partition AND e.key = k.key AND e.key <> '' AND e.holds
				ORDER BY e.seq, e.id LIMIT 1)
		FROM {$1: target text, partition integer, key text} AS k)`
)

// Outcomes of units that are claimed, which is the rule, of others that are
// known, of those that were mapped again too, and of those that were never
// claimed. Where a unit comes from and its place in the
// order stay as they were when it first came ($2: the worker).
var (
	updateClaimed = `UPDATE units SET ` + assign(outcomeColumns) + `, request = '', worker = $2
		FROM {$1: id text, ` + outcomeColumns + `} AS d WHERE units.id = d.id AND units.status = 'claimed'
		RETURNING units.id, units.target, units.partition, units.key, units.site, units.feed`
	updateOutcome = `UPDATE units SET ` + assign(outcomeColumns) + `, request = '', worker = $2
		FROM {$1: id text, ` + outcomeColumns + `} AS d WHERE units.id = d.id`
	updateMapped = `UPDATE units SET ` + assign(mappedColumns+", "+outcomeColumns) + `, request = '', worker = $2
		FROM {$1: id text, ` + mappedColumns + ", " + outcomeColumns + `} AS d WHERE units.id = d.id`
	insertSettled = `INSERT INTO units (id, ` + names("", originColumns+", "+mappedColumns+", "+outcomeColumns) + `, request, worker)
		SELECT d.id, ` + names("d.", originColumns+", "+mappedColumns+", "+outcomeColumns) + `, '', $2
		FROM {$1: id text, ` + originColumns + ", " + mappedColumns + ", " + outcomeColumns + `} AS d`
)

// Settle implements [ledger.Ledger].
func (s *Store) Settle(ctx context.Context, worker string, leases []ledger.Lease, cursors []ledger.Cursor, done []ledger.Settlement) error {
	units, gates, err := splitGates(done)
	if err != nil {
		return err
	}
	g := newGuard(slices.Clone(leases))
	for _, c := range cursors {
		g.leases = append(g.leases, c.Lease)
		g.touched[place{c.Lease.Target, c.Lease.Partition}] = true
	}
	b := s.newBook(clean(worker, maxName), g, units)
	b.gates = gates
	if err := errors.Join(b.guard.touch(b.units), b.guard.touchGates(gates, done)); err != nil {
		return fmt.Errorf("settle units: %w", err)
	}
	for i := range b.units {
		for _, k := range b.units[i].OtherKeys {
			g.touched[place{b.units[i].Target, broker.Partition(k, "")}] = true
		}
		switch u := &b.units[i]; u.Status {
		case ledger.Applied, ledger.Skipped, ledger.Parked, ledger.Dead:
		default:
			return fmt.Errorf("settle unit %s: %q is not an outcome", u.ID, u.Status)
		}
	}
	err = s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		if err := b.open(ctx, tx); err != nil {
			return nil, err
		}
		atSettling.Hit()
		return append(moveCursors(s, cursors), b.statements()...), nil
	})
	if err != nil {
		return fmt.Errorf("settle units: %w", err)
	}
	return nil
}

func moveCursors(s *Store, cursors []ledger.Cursor) []Statement {
	if len(cursors) == 0 {
		return nil
	}
	last := map[place]leaseRow{}
	for _, c := range cursors {
		p := place{c.Lease.Target, c.Lease.Partition}
		if row, ok := last[p]; !ok || int64(c.Seq) > row.Cursor {
			last[p] = leaseRow{Target: p.target, Partition: p.partition, Token: c.Lease.Token, Cursor: int64(c.Seq), Unit: clean(c.Unit, maxName)}
		}
	}
	var rows []leaseRow
	for _, row := range last {
		rows = append(rows, row)
	}
	return []Statement{s.do(`UPDATE leases SET cursor = d.cursor, cursor_unit = d.unit
		FROM {$1: target text, partition integer, token bigint, cursor bigint, unit text} AS d
		WHERE leases.target = d.target AND leases.partition = d.partition AND leases.token = d.token AND leases.cursor < d.cursor`, table(rows))}
}

// errChanged says that what was looked up before the locks is no longer so.
var errChanged = errors.New("it was changed at the same moment by somebody else; ask again")

// A book is what one transaction writes down about some units.
type book struct {
	s      *Store
	worker string
	guard  guard

	units []ledger.Unit // each once, as they are settled last
	rows  []unitRow
	hops  []hopRow // of all settlements, in their order
	gates []gateRow

	before map[string]state // of the units that are known
	put    map[string]bool  // their outcomes are recorded
	// oldKeys are the other keys of the units that were mapped again, under the mapping before.
	oldKeys []keyRow
}

// A state is what a unit was before.
type state struct {
	keyRow
	site, feed, status, class, reason string
	settled                           int64
}

func (s *Store) newBook(worker string, g guard, done []ledger.Settlement) *book {
	b := &book{s: s, worker: worker, guard: g}
	place := map[string]int{}
	for i := range done {
		u := &done[i].Unit
		row := newUnitRow(u)
		row.outcome = newOutcome(u, done[i].Took)
		n, twice := place[row.ID]
		if twice {
			b.units[n], b.rows[n] = *u, row
		} else {
			place[row.ID] = len(b.rows)
			b.units, b.rows = append(b.units, *u), append(b.rows, row)
		}
		// How a unit came to be applied or skipped is told by its own row.
		if (u.Status == ledger.Parked || u.Status == ledger.Dead) && !done[i].Quiet {
			what := row.Status
			if u.Status == ledger.Parked && done[i].Attempt {
				what = "attempt"
			}
			b.hops = append(b.hops, hopRow{Unit: row.ID, At: row.SettledAt, What: what, Worker: worker, Took: row.Took, Class: row.Class, Reason: row.Reason})
		}
	}
	return b
}

// open locks the leases and checks them, records the outcomes of the units that
// are claimed, and reads what the others were before.
func (b *book) open(ctx context.Context, tx Tx) error {
	var claimed []unitRow
	var again []probe
	for i, r := range b.rows {
		if b.units[i].Request != "" {
			again = append(again, probe{ID: r.ID})
		} else {
			claimed = append(claimed, r)
		}
	}
	if len(again) > 0 {
		// Another mapping may have given it another key: those that wait for it
		// under the old one are in a partition that may be another worker's.
		if err := tx.Run(ctx, b.s.ask(func(scan Scan) error {
			var p place
			err := scan(&p.target, &p.partition)
			b.guard.touched[p] = true
			return err
		}, `SELECT u.target, u.partition FROM {$1: id text} AS d CROSS JOIN units u WHERE u.id = d.id
			UNION SELECT o.target, o.partition FROM {$1: id text} AS d CROSS JOIN other_keys o WHERE o.unit = d.id`, table(again))); err != nil {
			return err
		}
	}
	statements, check := b.guard.lock(b.s)
	b.before, b.put = make(map[string]state, len(b.rows)), make(map[string]bool, len(b.rows))
	if len(claimed) > 0 {
		statements = append(statements, b.s.ask(func(scan Scan) error {
			var id string
			st := state{status: string(ledger.Claimed)}
			err := scan(&id, &st.Target, &st.Partition, &st.Key, &st.site, &st.feed)
			b.before[id], b.put[id] = st, true
			return err
		}, updateClaimed, table(claimed), b.worker))
	}
	if err := tx.Run(ctx, statements...); err != nil {
		return err
	}
	if err := check(); err != nil {
		return err
	}
	if len(again) > 0 {
		var err error
		if b.oldKeys, err = b.s.otherKeys(ctx, tx, again); err != nil {
			return err
		}
		for _, k := range b.oldKeys {
			if !b.guard.touched[place{k.Target, k.Partition}] {
				return errChanged
			}
		}
	}
	var others []probe
	for _, r := range b.rows {
		if !b.put[r.ID] {
			others = append(others, probe{ID: r.ID})
		}
	}
	if len(others) == 0 {
		return nil
	}
	return tx.Run(ctx, b.s.ask(func(scan Scan) error {
		var id string
		var st state
		err := scan(&id, &st.Target, &st.Partition, &st.Key, &st.site, &st.feed, &st.status, &st.class, &st.reason, &st.settled)
		b.before[id] = st
		return err
	}, `SELECT u.id, u.target, u.partition, u.key, u.site, u.feed, u.status, u.class, u.reason, u.settled_at
		FROM {$1: id text} AS d CROSS JOIN units u WHERE u.id = d.id`, table(others)))
}

// statements returns what records the settlements.
func (b *book) statements() []Statement {
	if len(b.rows) == 0 && len(b.gates) == 0 {
		return nil
	}
	var counts []countRow
	var leaving []probe
	var waiting []waitingRow
	var hops []hopRow
	keys := map[keyRow]bool{}
	for i := range b.rows {
		row, u := &b.rows[i], &b.units[i]
		was, known := b.before[row.ID]
		site, feed := row.Site, row.Feed
		if known {
			site, feed = was.site, was.feed
			counts = append(counts, countRow{Target: row.Target, Shard: b.guard.shards[row.Target], Site: site, Feed: feed, Status: was.status, N: -1})
			if was.status == string(ledger.Skipped) || was.status == string(ledger.Applied) { // its row told it so far
				hops = append(hops, hopRow{Unit: row.ID, At: was.settled, What: was.status, Class: was.class, Reason: was.reason})
			}
		}
		counts = append(counts, countRow{Target: row.Target, Shard: b.guard.shards[row.Target], Site: site, Feed: feed, Status: row.Status, N: 1, Last: row.SettledAt})
		wait := u.Status == ledger.Parked || u.Status == ledger.Dead
		waited := known && (was.status == string(ledger.Parked) || was.status == string(ledger.Dead))
		if wait {
			waiting = append(waiting, newWaitingRow(u))
		} else if waited {
			leaving = append(leaving, probe{ID: row.ID})
		}
		if (wait || waited) && known && was.Key != "" {
			keys[was.keyRow] = true
		}
		if wait && (!known || u.Request != "") && row.Key != "" {
			keys[keyRow{row.Target, row.Partition, row.Key}] = true
		}
	}
	s := b.s
	list := b.putUnits()
	if len(counts) > 0 {
		list = append(list, s.do(addTally, table(merge(counts))))
	}
	if hops = append(hops, b.hops...); len(hops) > 0 {
		list = append(list, s.do(addHops, table(hops)))
	}
	if len(leaving) > 0 {
		list = append(list, s.do(dropWaiting, table(leaving)))
	}
	if len(waiting) > 0 {
		list = append(list, s.do(putWaiting, table(waiting)))
	}
	list = append(list, b.gateStatements(keys)...)
	return append(list, s.settleKeys(keys)...)
}

// putUnits records the outcomes that are not recorded yet.
func (b *book) putUnits() (list []Statement) {
	var known, again, fresh []unitRow
	for i, r := range b.rows {
		_, ok := b.before[r.ID]
		switch {
		case b.put[r.ID]:
		case !ok:
			fresh = append(fresh, r)
		case b.units[i].Request != "":
			again = append(again, r)
		default:
			known = append(known, r)
		}
	}
	for _, p := range []struct {
		text string
		rows []unitRow
	}{{updateOutcome, known}, {updateMapped, again}, {insertSettled, fresh}} {
		if len(p.rows) > 0 {
			list = append(list, b.s.do(p.text, table(p.rows), b.worker))
		}
	}
	return list
}

// settleKeys makes the first unit that waits for each key its head.
func (s *Store) settleKeys(keys map[keyRow]bool) []Statement {
	if len(keys) == 0 {
		return nil
	}
	var rows []keyRow
	for k := range keys {
		rows = append(rows, k)
	}
	list := table(rows)
	return []Statement{s.do(demote, list), s.do(promote, list)}
}
