package postgres

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
)

// A Recorder keeps each statement that its ledgers ask their server, once, with the arguments that
// it had first. Safe for concurrent use.
type Recorder struct {
	mu         sync.Mutex
	statements map[string][]any
}

var _ pgx.BatchTracer = (*Recorder)(nil)

// Open opens a ledger whose statements are recorded.
func (r *Recorder) Open(t *testing.T, dsn string) ledger.Ledger {
	t.Helper()
	pc, err := poolConfig(dsn, Config{Connections: 10})
	if err != nil {
		t.Fatal(err)
	}
	pc.ConnConfig.Tracer = r
	pool, err := pgxpool.NewWithConfig(t.Context(), pc)
	if err != nil {
		t.Fatal(err)
	}
	l := relational.New(&db{pool}, dialect)
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

func (r *Recorder) record(sql string, args []any) {
	verb, _, _ := strings.Cut(strings.TrimSpace(sql), " ")
	if !slices.Contains([]string{"SELECT", "INSERT", "UPDATE", "DELETE", "WITH"}, verb) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.statements == nil {
		r.statements = map[string][]any{}
	}
	if _, seen := r.statements[sql]; !seen {
		r.statements[sql] = args
	}
}

// TraceQueryStart implements [pgx.QueryTracer].
func (r *Recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.record(d.SQL, d.Args)
	return ctx
}

// TraceQueryEnd implements [pgx.QueryTracer].
func (r *Recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// TraceBatchStart implements [pgx.BatchTracer].
func (r *Recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	return ctx
}

// TraceBatchQuery implements [pgx.BatchTracer].
func (r *Recorder) TraceBatchQuery(_ context.Context, _ *pgx.Conn, d pgx.TraceBatchQueryData) {
	r.record(d.SQL, d.Args)
}

// TraceBatchEnd implements [pgx.BatchTracer].
func (r *Recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// Plans has the server explain each statement on a ledger of many units, and holds that none goes through a table that
// grows: for the arguments that it had, and as the server plans it once it has seen it some times. In which order a
// server would do that with millions of rows is decided by the same numbers, times a hundred.
func (r *Recorder) Plans(t *testing.T) {
	const units, least = 20_000, 60
	if len(r.statements) < least {
		t.Fatalf("the contract took %d statements, which is less than %d: they are not recorded", len(r.statements), least)
	}
	ctx, dsn := t.Context(), pgtest.Database(t)
	if _, err := Migrate(ctx, dsn); err != nil {
		t.Fatal(err)
	}
	filler, err := pgx.Connect(ctx, dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer filler.Close(ctx)
	if err := pgtest.Fill(ctx, filler, units, func(int) {}); err != nil {
		t.Fatal(err)
	}
	pool, err := connect(ctx, dsn, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn, err := pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	// As with millions of rows, where a plan for several processes seems cheap.
	if _, err := conn.Exec(ctx, "SET min_parallel_index_scan_size = 0; SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET parallel_tuple_cost = 0", pgx.QueryExecModeSimpleProtocol); err != nil {
		t.Fatal(err)
	}
	n := 0
	for sql, args := range r.statements {
		n++
		plans := map[string]string{}
		var plan string
		if err := conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) "+sql, args...).Scan(&plan); err != nil {
			t.Errorf("%v, to explain %s", err, sql)
			continue
		}
		plans["with its arguments"] = plan
		name := fmt.Sprintf("generic_%d", n)
		described, err := conn.Conn().Prepare(ctx, name, sql)
		if err == nil && len(described.ParamOIDs) > 0 {
			nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(described.ParamOIDs)), ", ")
			if _, err = conn.Exec(ctx, "SET plan_cache_mode = force_generic_plan"); err == nil {
				err = conn.QueryRow(ctx, "EXPLAIN (FORMAT JSON) EXECUTE "+name+"("+nulls+")", pgx.QueryExecModeSimpleProtocol).Scan(&plan)
			}
			plans["in general"] = plan
		}
		if err != nil {
			t.Errorf("%v, to explain in general %s", err, sql)
			continue
		}
		if _, err := conn.Exec(ctx, "RESET plan_cache_mode"); err != nil {
			t.Fatal(err)
		}
		for how, plan := range plans {
			for _, walk := range pgtest.Walks(sql, []byte(plan)) {
				t.Errorf("planned %s it %s: %s", how, walk, sql)
			}
		}
	}
}
