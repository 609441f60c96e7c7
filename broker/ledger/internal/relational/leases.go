package relational

import (
	"context"
	"fmt"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// share is a worker's fair share of a target's partitions ($1: target, $2:
// the worker, which lives, however short its ttl).
var share = fmt.Sprintf(`(SELECT (%d + count(*) - 1) / count(*) FROM workers WHERE target = $1 AND (worker = $2 OR until > {now}))`, broker.Partitions)

// allPartitions are the rows of a target's first lease.
var allPartitions = func() Table {
	var all []leaseRow
	for p := range broker.Partitions {
		all = append(all, leaseRow{Partition: p})
	}
	return table(all)
}()

type leaseRow struct {
	Target    string `json:"target,omitempty"`
	Partition int    `json:"partition"`
	Token     int64  `json:"token"`
	Cursor    int64  `json:"cursor,omitempty"`
	Unit      string `json:"unit,omitempty"`
}

// Lease implements [ledger.Ledger]. No two calls wait for each other: each
// takes what it finds free, and what two workers wrongly counted at the same
// moment is put right by their next calls.
func (s *Store) Lease(ctx context.Context, target, worker string, ttl time.Duration) (held []ledger.Lease, fair int, err error) {
	us := max(ttl.Microseconds(), 1)
	err = s.db.Write(ctx, func(Tx) ([]Statement, error) {
		held = nil
		return []Statement{
			s.do(`INSERT INTO workers (target, worker, until) VALUES ($1, $2, {now} + $3)
				ON CONFLICT (target, worker) DO UPDATE SET until = excluded.until`, target, worker, us),
			s.do(`DELETE FROM workers WHERE target = $1 AND until < {now} - 60000000`, target),
			s.do(`INSERT INTO leases (target, partition) SELECT $1, d.partition FROM {$2: partition integer} AS d
				WHERE NOT EXISTS (SELECT 1 FROM leases WHERE target = $1) ORDER BY d.partition
				ON CONFLICT (target, partition) DO NOTHING`, target, allPartitions),
			s.do(`WITH mine AS MATERIALIZED (SELECT partition FROM leases WHERE target = $1 AND owner = $2 ORDER BY partition{lock})
				UPDATE leases SET expires_at = {now} + $3 WHERE target = $1 AND partition IN (SELECT partition FROM mine)`, target, worker, us),
			s.do(`WITH free AS MATERIALIZED (SELECT partition FROM leases WHERE target = $1 AND (owner = '' OR expires_at < {now}) ORDER BY partition
				LIMIT (SELECT CASE WHEN f.fair > f.has THEN f.fair - f.has ELSE 0 END FROM
					(SELECT `+share+` AS fair, (SELECT count(*) FROM leases WHERE target = $1 AND owner = $2) AS has) AS f){skip})
				UPDATE leases SET owner = $2, token = token + 1, expires_at = {now} + $3
				WHERE target = $1 AND partition IN (SELECT partition FROM free)`, target, worker, us),
			s.ask(func(scan Scan) error { return scan(&fair) }, `SELECT `+share, target, worker),
			s.ask(func(scan Scan) error {
				l := ledger.Lease{Target: target}
				var cursor int64
				err := scan(&l.Partition, &l.Token, &cursor, &l.CursorUnit)
				l.Cursor = uint64(cursor)
				held = append(held, l)
				return err
			}, `SELECT partition, token, cursor, cursor_unit FROM leases WHERE target = $1 AND owner = $2 ORDER BY partition`, target, worker),
		}, nil
	})
	if err != nil {
		return nil, 0, fmt.Errorf("lease partitions of %s: %w", target, err)
	}
	return held, fair, nil
}

// Release implements [ledger.Ledger].
func (s *Store) Release(ctx context.Context, worker string, leases []ledger.Lease) error {
	rows := table(leaseRows(leases))
	err := s.db.Write(ctx, func(Tx) ([]Statement, error) {
		return []Statement{
			s.do(lockLeases, rows),
			s.do(`UPDATE leases SET owner = '', token = token + 1, expires_at = 0 WHERE owner = $2 AND (target, partition, token) IN
				(SELECT d.target, d.partition, d.token FROM {$1: target text, partition integer, token bigint} AS d)`, rows, worker),
			s.do(`DELETE FROM workers WHERE worker = $2 AND ($3 OR target IN (SELECT d.target FROM {$1: target text} AS d)) AND NOT EXISTS
				(SELECT 1 FROM leases l WHERE l.target = workers.target AND l.owner = workers.worker)`, rows, worker, len(leases) == 0),
		}, nil
	})
	if err != nil {
		return fmt.Errorf("release leases: %w", err)
	}
	return nil
}

// lockLeases locks the leases that it names, in their order, and returns of
// each what its token is now ($1: leases).
const lockLeases = `SELECT l.target, l.partition, l.token FROM leases AS l
	WHERE (l.target, l.partition) IN (SELECT d.target, d.partition FROM {$1: target text, partition integer} AS d)
	ORDER BY l.target, l.partition{lock}`

// tokens returns the tokens of a target's leases as they are now ($1: target).
const tokens = `SELECT target, partition, token FROM leases WHERE target = $1`

// A guard is the leases that a transaction is about.
type guard struct {
	leases []ledger.Lease
	shards map[string]int // by target
	// touched are the partitions that the transaction changes. Only those are
	// locked; the other leases are looked at.
	touched map[place]bool
}

type place struct {
	target    string
	partition int
}

func newGuard(leases []ledger.Lease) guard {
	return guard{leases: leases, shards: map[string]int{}, touched: map[place]bool{}}
}

// touch adds the partitions of units, or returns an error if no lease names
// one.
func (g guard) touch(units []ledger.Unit) error {
	has := make(map[place]bool, len(g.leases))
	for _, l := range g.leases {
		has[place{l.Target, l.Partition}] = true
	}
	for i := range units {
		u := &units[i]
		p := place{u.Target, u.Partition}
		if !has[p] {
			return fmt.Errorf("unit %s is of partition %d of %s, and no lease that was given is", u.ID, u.Partition, u.Target)
		}
		g.touched[p] = true
		if n, ok := g.shards[u.Target]; !ok || u.Partition < n {
			g.shards[u.Target] = u.Partition
		}
	}
	return nil
}

// lock returns the statements that lock what is touched and read all tokens,
// and the check to make when they have run.
func (g guard) lock(s *Store) ([]Statement, func() error) {
	now := make(map[place]int64, broker.Partitions)
	row := func(scan Scan) error {
		var p place
		var token int64
		err := scan(&p.target, &p.partition, &token)
		now[p] = token
		return err
	}
	var list []Statement
	if len(g.touched) > 0 {
		rows := make([]leaseRow, 0, len(g.touched))
		for p := range g.touched {
			rows = append(rows, leaseRow{Target: p.target, Partition: p.partition})
		}
		list = append(list, s.ask(row, lockLeases, table(rows)))
	}
	asked := map[string]bool{}
	for _, l := range g.leases {
		if !g.touched[place{l.Target, l.Partition}] && !asked[l.Target] {
			asked[l.Target] = true
			list = append(list, s.ask(row, tokens, l.Target))
		}
	}
	return list, func() error {
		for _, l := range g.leases {
			if token, ok := now[place{l.Target, l.Partition}]; !ok || token != l.Token {
				return fmt.Errorf("partition %d of %s: %w", l.Partition, l.Target, ledger.ErrFenced)
			}
		}
		return nil
	}
}

func leaseRows(leases []ledger.Lease) []leaseRow {
	rows := make([]leaseRow, len(leases))
	for i, l := range leases {
		rows[i] = leaseRow{Target: l.Target, Partition: l.Partition, Token: l.Token}
	}
	return rows
}

// Cursors implements [ledger.Ledger].
func (s *Store) Cursors(ctx context.Context, target string) (states []ledger.PartitionState, err error) {
	err = s.read(ctx, func(scan Scan) error {
		var p ledger.PartitionState
		var expires, cursor int64
		err := scan(&p.Partition, &p.Owner, &expires, &cursor)
		p.Expires, p.Cursor = at(expires), uint64(cursor)
		states = append(states, p)
		return err
	}, `SELECT partition, owner, expires_at, cursor FROM leases WHERE target = $1 ORDER BY partition`, target)
	if err != nil {
		return nil, fmt.Errorf("read cursors of %s: %w", target, err)
	}
	return states, nil
}
