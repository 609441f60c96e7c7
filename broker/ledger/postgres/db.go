package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
)

// db runs the transactions of a relational.Store.
type db struct{ pool *pgxpool.Pool }

var _ relational.DB = (*db)(nil)

// attempts are how often a transaction is tried that the server ended because
// of others.
const attempts = 4

// Bounds says how many connections are in use.
func (d *db) Bounds() []broker.Bound {
	s := d.pool.Stat()
	return []broker.Bound{{Name: "connections of the ledger", Used: int64(s.AcquiredConns()), Limit: int64(s.MaxConns())}}
}

// Write implements [relational.DB].
func (d *db) Write(ctx context.Context, f func(relational.Tx) ([]relational.Statement, error)) error {
	for n := 1; ; n++ {
		err := d.write(ctx, f)
		var pe *pgconn.PgError
		if again := errors.As(err, &pe) && (pe.Code == "40001" || pe.Code == "40P01"); !again || n == attempts {
			return sanitized(err)
		}
	}
}

func (d *db) write(ctx context.Context, f func(relational.Tx) ([]relational.Statement, error)) (err error) {
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer conn.Release() // closes the connection if its transaction is still open
	t := &tx{conn: conn.Conn()}
	defer func() {
		if err != nil && t.begun && conn.Conn().PgConn().TxStatus() != 'I' && !conn.Conn().IsClosed() {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			_, _ = conn.Exec(ctx, "rollback")
		}
	}()
	last, err := f(t)
	if err != nil || !t.begun && len(last) == 0 {
		return err
	}
	return t.run(ctx, last, true)
}

// Read implements [relational.DB].
func (d *db) Read(ctx context.Context, f func(relational.Tx) error) error {
	return sanitized(d.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error { return f(&tx{conn: conn.Conn(), begun: true}) }))
}

// Close implements [relational.DB].
func (d *db) Close() error {
	d.pool.Close()
	return nil
}

// tx sends the statements of a call in one go. The first of them begins the
// transaction.
type tx struct {
	conn  *pgx.Conn
	begun bool
}

// Run implements [relational.Tx].
func (t *tx) Run(ctx context.Context, statements ...relational.Statement) error {
	return t.run(ctx, statements, false)
}

func (t *tx) run(ctx context.Context, statements []relational.Statement, commit bool) error {
	var b pgx.Batch
	if !t.begun {
		t.begun = true
		b.Queue("begin")
	}
	for _, s := range statements {
		q := b.Queue(s.SQL, s.Args...)
		if s.Row != nil {
			q.Query(func(rows pgx.Rows) error {
				for rows.Next() {
					if err := s.Row(rows.Scan); err != nil {
						return err
					}
				}
				return rows.Err()
			})
		}
	}
	if commit {
		b.Queue("commit").Exec(func(tag pgconn.CommandTag) error {
			if tag.String() != "COMMIT" {
				return fmt.Errorf("the server answered commit with %s", tag)
			}
			return nil
		})
	}
	return t.conn.SendBatch(ctx, &b).Close()
}

// sanitized keeps of an error from the server what can not quote a value.
// Everything else passes.
func sanitized(err error) error {
	var pe *pgconn.PgError
	if !errors.As(err, &pe) {
		return err
	}
	what := pe.Message
	switch pe.Code[:min(2, len(pe.Code))] {
	case "22", "23", "P0": // data exceptions and violated constraints
		what = "the server refuses a value"
	}
	return fmt.Errorf("postgres: %s (SQLSTATE %s%s)", what, pe.Code, named(pe))
}

func named(pe *pgconn.PgError) string {
	if pe.TableName == "" {
		return ""
	}
	return ", table " + pe.TableName
}
