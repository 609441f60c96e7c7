package pgtest

import (
	"context"
	"crypto/md5" // no secret: as PostgreSQL has it built in
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// What a filled ledger has of each unit, by its number i from 1: a hash for an id, as
// real ones have it; a patient of 50 messages; 30 days of receipt, the last of them now.
// One in 1,000 is dead and one in 2,000 parked, one in 100 has a second key, one in 50 was skipped;
// a few are of a kind, a feed and an error class that are rare.
const (
	unitID  = `substr(translate(md5('unit' || i), '0189', 'wxyz'), 1, 26)`
	message = `substr(translate(md5('message' || i), '0189', 'wxyz'), 1, 26)`
	status  = `CASE WHEN i > $2 - 100 THEN 'claimed' WHEN i % 1000 = 7 THEN 'dead' WHEN i % 2000 = 11 THEN 'parked' WHEN i % 50 = 3 THEN 'skipped'
		WHEN i % 100000 = 13 THEN 'discarded' ELSE 'applied' END`
	class = `CASE WHEN i % 500000 = 7 THEN 'odoo.rare' WHEN i % 1000 = 7 THEN 'odoo.ValidationError' WHEN i % 2000 = 11 THEN 'odoo.timeout'
		WHEN i % 50 = 3 THEN 'guard' ELSE '' END`
	fillSite = `'site-' || i % 100`
	fillFeed = `CASE WHEN i % 1000000 = 17 THEN 'rare' WHEN i % 5 = 0 THEN 'orders' ELSE 'adt' END`
	received = `CAST(extract(epoch FROM now()) * 1000000 AS bigint) - ($2 - i) * (CAST(2592000000000 AS bigint) / $2)`
)

// waitingUnits are the units that wait, found by the numbers that they have ($1: of all).
const waitingUnits = `(SELECT u.* FROM (SELECT i FROM generate_series(7, CAST($1 AS bigint), 1000) AS i UNION ALL SELECT i FROM generate_series(11, CAST($1 AS bigint), 2000) AS i) AS x
	JOIN units u ON u.id = ` + unitID + ` WHERE u.status IN ('parked', 'dead')) AS w`

var (
	fillUnits = `INSERT INTO units (id, message_id, tenant, site, feed, target, partition, key, idem, kind, sender_id, mapping, seq, status, attempts, class,
		reason, warning, records, trace, remappable, hold, received_at, mapped_at, stored_at, claimed_at, settled_at, took, request, worker)
	SELECT ` + unitID + `, ` + message + `, 'main', ` + fillSite + `, ` + fillFeed + `,
		'odoo', CAST(i / 100 % 64 AS integer), substr(translate(md5('key' || i % greatest($2 / 50, 1)), '0189', 'wxyz'), 1, 26), substr(translate(md5('idem' || i), '0189', 'wxyz'), 1, 26),
		CASE WHEN i % 1000000 = 19 THEN 'ADT^A40' WHEN i % 5 = 0 THEN 'ORM^O01' WHEN i % 7 = 0 THEN 'ADT^A01' ELSE 'ADT^A08' END,
		'MSG' || i, 'hl7-adt-patient@4#1f2e3d4c5b6a', i, ` + status + `, 1, ` + class + `,
		CASE WHEN i % 1000 = 7 THEN 'a required value is not there' ELSE '' END, '',
		'[{"op":"patient","model":"res.partner","id":' || i || ',"made":true}]', '00-' || md5('trace' || i) || '-00f067aa0ba902b7-01',
		i % 50 = 3, i % 2000 = 7, r, r + 1000, r + 20000, r + 30000, CASE WHEN i > $2 - 100 THEN 0 ELSE r + 60000 END, 30000, '', 'worker-1'
	FROM (SELECT i, ` + received + ` AS r FROM generate_series(CAST($1 AS bigint), LEAST($1 + $3 - 1, $2)) AS i) AS x`

	// fillRest fills the other tables, each statement once, with the same rows that are in units.
	fillRest = []string{
		`INSERT INTO waiting (id, target, partition, key, seq, status, holds, due, since, site, feed, received_at, body)
		SELECT id, target, partition, key, seq, status, status = 'parked' OR hold, CASE WHEN status = 'parked' THEN CAST(extract(epoch FROM now()) * 1000000 AS bigint) + 86400000000 ELSE 0 END, 0,
			site, feed, received_at, convert_to(repeat('body of a unit, ', 91), 'UTF8') FROM ` + waitingUnits,
		`INSERT INTO history (unit, at, what, worker, took, class, reason, person)
		SELECT id, settled_at + n, 'attempt', 'worker-1', 30000, class, reason, '' FROM ` + waitingUnits + ` CROSS JOIN generate_series(1, 5) AS n`,
		`INSERT INTO history (unit, at, what, worker, took, class, reason, person)
		SELECT ` + unitID + `, 0, 'discarded', '', 0, '', 'not wanted', 'a person' FROM generate_series(13, CAST($1 AS integer), 100000) AS i`,
		`INSERT INTO other_keys (unit, target, partition, key, seq)
		SELECT ` + unitID + `, 'odoo', CAST(i / 100 % 64 AS integer), substr(translate(md5('other' || i), '0189', 'wxyz'), 1, 26), i FROM generate_series(100, CAST($1 AS integer), 100) AS i`,
		`INSERT INTO waiting (id, target, partition, key, seq, status, holds, due, since, site, feed, received_at, body, gate_of)
		SELECT o.unit || '~' || o.key, o.target, o.partition, o.key, o.seq, 'gate', true, 0, 0, 'site-1', 'adt', 0, '', o.unit FROM other_keys o WHERE o.seq < 100000 AND $1 > 0`,
		`INSERT INTO tally (target, shard, site, feed, status, n, last)
		SELECT 'odoo', shard, site, feed, status, count(*), max(r) FROM (SELECT CAST(i / 100 % 64 AS integer) AS shard, ` + fillSite + ` AS site, ` + fillFeed + ` AS feed, ` + strings.ReplaceAll(status, "$2", "$1") + ` AS status,
			` + strings.ReplaceAll(received, "$2", "$1") + ` AS r FROM generate_series(1, CAST($1 AS bigint)) AS i) AS x GROUP BY shard, site, feed, status`,
		`INSERT INTO leases (target, partition) SELECT 'odoo', p FROM generate_series(0, 63) AS p WHERE $1 > 0 ON CONFLICT DO NOTHING`,
		`INSERT INTO replays (id, person, created_at, started, allow_stale, total, done)
		SELECT 'filled' || n, 'a person', CAST(extract(epoch FROM now()) * 1000000 AS bigint) - n * 3600000000, true, false, 500, 500 FROM generate_series(1, 200) AS n WHERE $1 > 0`,
		`INSERT INTO replay_items (replay, n, unit, action, done)
		SELECT 'filled' || n, m, substr(translate(md5('unit' || (n * 500 + m)), '0189', 'wxyz'), 1, 26), 'already applied', true FROM generate_series(1, 200) AS n CROSS JOIN generate_series(0, 499) AS m WHERE $1 > 0`,
		`INSERT INTO replay_counts (replay, action, n) SELECT id, 'already applied', total FROM replays WHERE $1 > 0`,
	}
)

// Fill writes n units, and what belongs to them, into the empty ledger that conn is connected to, as a superuser,
// and has the server gather what its planner goes by. Indexes of the large table are made at the end: all that is there.
// Rows are packed closely: what an update would need is not left free, or the disk would be read for twice as long to make the indexes.
// The server need not log what it writes meanwhile, if it runs with wal_level = minimal.
func Fill(ctx context.Context, conn *pgx.Conn, n int, progress func(done int)) error {
	const chunk = 100_000
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL maintenance_work_mem = '1GB'; SET LOCAL work_mem = '64MB'; SET LOCAL max_parallel_maintenance_workers = 2; TRUNCATE units; ALTER TABLE units SET (fillfactor = 100)", pgx.QueryExecModeSimpleProtocol); err != nil {
			return err
		}
		again, err := dropIndexes(ctx, tx)
		if err != nil {
			return err
		}
		for first := 1; first <= n; first += chunk {
			if _, err := tx.Exec(ctx, fillUnits, int64(first), int64(n), int64(chunk)); err != nil {
				return fmt.Errorf("units from %d on: %w", first, err)
			}
			progress(min(first+chunk-1, n))
		}
		again = append(again, "ALTER TABLE units SET (fillfactor = 40)")
		for _, sql := range again {
			if _, err := tx.Exec(ctx, sql); err != nil {
				return fmt.Errorf("%s: %w", sql, err)
			}
		}
		for _, sql := range fillRest {
			if _, err := tx.Exec(ctx, sql, int64(n)); err != nil {
				head, _, _ := strings.Cut(sql, "(")
				return fmt.Errorf("%s: %w", head, err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill a ledger: %w", err)
	}
	for _, sql := range []string{"VACUUM waiting, history, other_keys, tally, replays, replay_items", "ANALYZE"} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return fmt.Errorf("fill a ledger: %w", err)
		}
	}
	return nil
}

// dropIndexes drops what the large table has of indexes, and returns what makes them anew.
func dropIndexes(ctx context.Context, tx pgx.Tx) (again []string, err error) {
	rows, err := tx.Query(ctx, `SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indisprimary FROM pg_index i WHERE i.indrelid = 'units'::regclass`)
	if err != nil {
		return nil, err
	}
	var drop []string
	var name, definition string
	var primary bool
	_, err = pgx.ForEachRow(rows, []any{&name, &definition, &primary}, func() error {
		if primary {
			drop, again = append(drop, "ALTER TABLE units DROP CONSTRAINT "+name), append(again, "ALTER TABLE units ADD CONSTRAINT "+name+" PRIMARY KEY (id)")
			return nil
		}
		drop, again = append(drop, "DROP INDEX "+name), append(again, definition)
		return nil
	})
	for _, sql := range drop {
		if err == nil {
			_, err = tx.Exec(ctx, sql)
		}
	}
	return again, err
}

// UnitID and MessageID are the ids of the i-th unit of a filled ledger.
func UnitID(i int) string    { return id("unit", i) }
func MessageID(i int) string { return id("message", i) }

func id(what string, i int) string {
	sum := md5.Sum([]byte(what + strconv.Itoa(i)))
	return strings.NewReplacer("0", "w", "1", "x", "8", "y", "9", "z").Replace(hex.EncodeToString(sum[:])[:26])
}
