// Package postgres keeps a ledger in PostgreSQL 13 or newer, for a cloud with
// several workers.
//
// What workers call is two round trips: one takes the locks and writes what
// needs no look at what was there, the other writes the rest and commits. A
// third between them reads what is known of units that are not new to a claim,
// or not claimed when they are settled. A commit is on the server's stable storage
// (synchronous_commit stays on). The store's clock is the server's.
//
// The ledger's tables are in the first schema of the connection's search_path.
// Its sessions take settings of their own, so a pooler between must pool
// sessions, not transactions.
package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
)

// Config is a store's settings.
type Config struct {
	Connections int           // at most; 0 means 8, or what the DSN says (pool_max_conns)
	Idle        time.Duration // how long the server waits for a worker in the middle of a transaction before it takes the locks away; 0 means 5 s
}

//go:embed migrations/*.sql
var files embed.FS

var dialect = relational.Dialect{
	Now:  "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)",
	Lock: " FOR UPDATE",
	Skip: " FOR UPDATE SKIP LOCKED",
	// One array for each column: the server reads them three times as fast as JSON.
	Rows: func(t relational.Table, columns []relational.Column, bind func(any) string) string {
		if t.Ranges { // the planner counts 100 rows of JSON, and 10 of arrays
			names := make([]string, len(columns))
			for i, c := range columns {
				names[i] = c.Name + " " + c.Type
			}
			return "ROWS FROM (json_to_recordset(CAST(CAST(" + bind(t.JSON()) + " AS text) AS json)) AS (" + strings.Join(names, ", ") + "))"
		}
		arrays, names := make([]string, len(columns)), make([]string, len(columns))
		for i, c := range columns {
			arrays[i], names[i] = "CAST("+bind(t.Values(c))+" AS "+c.Type+"[])", c.Name
		}
		return "(SELECT * FROM unnest(" + strings.Join(arrays, ", ") + ") AS r (" + strings.Join(names, ", ") + "))"
	},
	// The planner takes a range for a ninth of the table. What is limited can not be joined but row by row.
	Within: func(c string) string {
		return "CROSS JOIN LATERAL (SELECT y.id FROM units y WHERE y." + c + " >= d.low AND y." + c + " < d.high ORDER BY y." + c + " LIMIT 5000) AS x"
	},
	Bytes: func(x string) string { return "decode(" + x + ", 'hex')" },
}

// Open connects to the ledger at dsn. Its schema must be this program's:
// Migrate sees to it.
func Open(ctx context.Context, dsn string, cfg Config) (ledger.Ledger, error) {
	ms, err := migrations()
	if err != nil {
		return nil, err
	}
	pool, err := connect(ctx, dsn, cfg)
	if err != nil {
		return nil, fmt.Errorf("open ledger: %w", err)
	}
	conn, err := pool.Acquire(ctx)
	if err == nil {
		var have int
		have, err = version(ctx, conn.Conn())
		conn.Release()
		if err == nil {
			err = relational.CheckVersion(have, ms)
		}
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open ledger: %w", sanitized(err))
	}
	return relational.New(&db{pool}, dialect), nil
}

// migrationLock is the advisory lock of whoever migrates: "vagus" in ASCII.
const migrationLock = 0x7661677573

// Migrate brings the schema of the ledger at dsn up to date, one process at a
// time, and returns the names of the migrations that it applied.
func Migrate(ctx context.Context, dsn string) (applied []string, err error) {
	ms, err := migrations()
	if err != nil {
		return nil, err
	}
	cfg, err := pgx.ParseConfig(dsn)
	if err != nil {
		return nil, fmt.Errorf("migrate ledger: %w", sanitized(err))
	}
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("migrate ledger: %w", sanitized(err))
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	err = pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(migrationLock)); err != nil {
			return err
		}
		have, err := version(ctx, conn)
		if err != nil {
			return err
		}
		if have > len(ms) {
			return relational.CheckVersion(have, ms)
		}
		if have == 0 {
			if _, err := tx.Exec(ctx, "CREATE TABLE ledger_version (version integer NOT NULL); INSERT INTO ledger_version VALUES (0)", pgx.QueryExecModeSimpleProtocol); err != nil {
				return err
			}
		}
		for _, m := range ms[have:] {
			if _, err := tx.Exec(ctx, m.SQL, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("%s: %w", m.Name, err)
			}
			if _, err := tx.Exec(ctx, "UPDATE ledger_version SET version = $1", m.Version); err != nil {
				return err
			}
			relational.AtMigrated.Hit()
			applied = append(applied, m.Name)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("migrate ledger: %w", sanitized(err))
	}
	return applied, nil
}

func migrations() ([]relational.Migration, error) {
	dir, err := fs.Sub(files, "migrations")
	if err != nil {
		return nil, err
	}
	return relational.Migrations(dir)
}

// version reads the schema's version: 0 where there is none.
func version(ctx context.Context, conn *pgx.Conn) (n int, err error) {
	var there bool
	if err := conn.QueryRow(ctx, "SELECT to_regclass('ledger_version') IS NOT NULL").Scan(&there); err != nil || !there {
		return 0, err
	}
	err = conn.QueryRow(ctx, "SELECT version FROM ledger_version").Scan(&n)
	return n, err
}

const oldest = 130000 // server_version_num

func connect(ctx context.Context, dsn string, cfg Config) (*pgxpool.Pool, error) {
	pc, err := poolConfig(dsn, cfg)
	if err != nil {
		return nil, err
	}
	return pgxpool.NewWithConfig(ctx, pc)
}

func poolConfig(dsn string, cfg Config) (*pgxpool.Config, error) {
	pc, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return nil, sanitized(err)
	}
	if cfg.Connections > 0 {
		pc.MaxConns = int32(cfg.Connections)
	} else {
		pc.MaxConns = max(pc.MaxConns, 8)
	}
	idle := cfg.Idle
	if idle <= 0 {
		idle = 5 * time.Second
	}
	// A worker that is paused in the middle of a transaction must not keep the
	// others from its partitions. Every query here goes by an index: the planner
	// must not think otherwise while tables are empty or not yet analysed, nor
	// keep such a plan. Its estimates do not matter for what is left. Several
	// processes for one statement would read on when its list is full.
	settings := fmt.Sprintf(`SET idle_in_transaction_session_timeout = %d; SET enable_seqscan = off; SET enable_hashjoin = off;
		SET enable_mergejoin = off; SET jit = off; SET max_parallel_workers_per_gather = 0; SET synchronous_commit = on; SET default_transaction_isolation = 'read committed'`, idle.Milliseconds())
	pc.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		var n int
		if err := conn.QueryRow(ctx, "SELECT CAST(current_setting('server_version_num') AS integer)").Scan(&n); err != nil {
			return err
		}
		if n < oldest {
			return errors.New("the server is older than PostgreSQL 13: upgrade it")
		}
		_, err := conn.Exec(ctx, settings, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	return pc, nil
}
