package relational

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// hold locks the partitions of a unit's keys, whoever has their leases, and
// reads the unit as it is from then on. It returns ErrNotFound if there is none.
func (s *Store) hold(ctx context.Context, tx Tx, id string) (u ledger.Unit, err error) {
	var parts []leaseRow
	err = tx.Run(ctx, s.ask(func(scan Scan) error {
		var l leaseRow
		err := scan(&l.Target, &l.Partition)
		parts = append(parts, l)
		return err
	}, `SELECT target, partition FROM units WHERE id = $1 UNION SELECT target, partition FROM other_keys WHERE unit = $1`, id))
	if err == nil && len(parts) == 0 {
		err = ledger.ErrNotFound
	}
	if err != nil {
		return u, err
	}
	found := false
	err = tx.Run(ctx, s.do(lockLeases, table(parts)), s.ask(func(scan Scan) error {
		found = true
		return scanUnit(scan, &u)
	}, `SELECT `+selectUnit+` FROM units u LEFT JOIN waiting w ON w.id = u.id WHERE u.id = $1`, id))
	if err == nil && !found {
		err = ledger.ErrNotFound
	}
	if err != nil {
		return u, err
	}
	keys, err := s.otherKeys(ctx, tx, []probe{{ID: u.ID}})
	for _, k := range keys {
		u.OtherKeys = append(u.OtherKeys, k.Key)
		if !slices.Contains(parts, leaseRow{Target: k.Target, Partition: k.Partition}) {
			return u, errChanged
		}
	}
	return u, err
}

// move counts a unit that changes its status.
func (s *Store) move(u ledger.Unit, to ledger.Status) Statement {
	from := countRow{Target: u.Target, Shard: u.Partition, Site: u.Site, Feed: u.Feed, Status: string(u.Status), N: -1}
	into := from
	into.Status, into.N = string(to), 1
	return s.do(addTally, table([]countRow{from, into}))
}

func keysOf(u ledger.Unit) map[keyRow]bool {
	keys := map[keyRow]bool{}
	if u.Key != "" {
		keys[keyRow{u.Target, u.Partition, u.Key}] = true
	}
	for _, k := range u.OtherKeys {
		keys[keyRow{u.Target, broker.Partition(k, ""), k}] = true
	}
	return keys
}

// Discard implements [ledger.Ledger]. It forgets the unit's body: nobody can
// ask for it any more.
func (s *Store) Discard(ctx context.Context, id, by, why string) error {
	id = clean(id, maxName)
	err := s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		u, err := s.hold(ctx, tx, id)
		if err != nil {
			return nil, err
		}
		if u.Status != ledger.Dead {
			return nil, fmt.Errorf("it is %s, and only a dead unit can be discarded", u.Status)
		}
		return append([]Statement{
			s.do(`UPDATE units SET status = 'discarded', hold = false, remappable = false, settled_at = {now} WHERE id = $1`, id),
			s.do(`DELETE FROM waiting WHERE id = $1 OR gate_of = $1 AND gate_of <> ''`, id),
			s.do(addHops, table([]hopRow{{Unit: id, What: string(ledger.Discarded), Reason: clean(why, maxText), Person: clean(by, maxName)}})),
			s.move(u, ledger.Discarded),
		}, s.settleKeys(keysOf(u))...), nil
	})
	if err != nil {
		return fmt.Errorf("discard unit %s: %w", id, err)
	}
	return nil
}

const maxPrune = 10000

// Prune implements [ledger.Ledger]. It goes by the time of receipt, which a
// site's clock told: a unit from a clock that was ahead stays until that time
// has passed too.
func (s *Store) Prune(ctx context.Context, t time.Time, limit int) (n int, err error) {
	if limit <= 0 || limit > maxPrune {
		limit = maxPrune
	}
	before := t.UnixMicro()
	err = s.db.Write(ctx, func(tx Tx) ([]Statement, error) {
		n = 0
		var gone, plans []probe
		var counts []countRow
		if err := tx.Run(ctx,
			s.ask(func(scan Scan) error {
				var p probe
				c := countRow{Shard: -1, N: -1} // a shard of its own: it holds no partition
				err := scan(&p.ID, &c.Target, &c.Site, &c.Feed, &c.Status)
				gone, counts = append(gone, p), append(counts, c)
				return err
			}, `SELECT id, target, site, feed, status FROM units WHERE received_at < $1 AND settled_at < $1
				AND status IN ('applied', 'skipped', 'discarded') ORDER BY received_at, id LIMIT $2{skip}`, before, int64(limit)),
			s.ask(func(scan Scan) error {
				var p probe
				err := scan(&p.ID)
				plans = append(plans, p)
				return err
			}, `SELECT id FROM replays WHERE created_at < $1 AND (NOT started OR done >= total) ORDER BY created_at LIMIT $2{skip}`, before, int64(limit)),
		); err != nil {
			return nil, err
		}
		n = len(gone) + len(plans)
		var list []Statement
		if len(gone) > 0 {
			ids := table(gone)
			list = append(list,
				s.do(`DELETE FROM history WHERE unit IN (SELECT d.id FROM {$1: id text} AS d)`, ids),
				s.do(`DELETE FROM other_keys WHERE unit IN (SELECT d.id FROM {$1: id text} AS d)`, ids),
				s.do(`DELETE FROM units WHERE id IN (SELECT d.id FROM {$1: id text} AS d)`, ids),
				s.do(addTally, table(merge(counts))))
		}
		if len(plans) > 0 {
			ids := table(plans)
			for _, table := range []string{"replay_items", "replay_counts"} {
				list = append(list, s.do(`DELETE FROM `+table+` WHERE replay IN (SELECT d.id FROM {$1: id text} AS d)`, ids))
			}
			list = append(list, s.do(`DELETE FROM replays WHERE id IN (SELECT d.id FROM {$1: id text} AS d)`, ids))
		}
		return list, nil
	})
	if err != nil {
		return 0, fmt.Errorf("prune: %w", err)
	}
	return n, nil
}
