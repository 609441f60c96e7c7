package sqlite

import (
	"context"
	"database/sql"
	"errors"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
)

// db runs the transactions of a relational.Store.
type db struct {
	writer  *sql.DB // one connection
	readers *sql.DB
}

var _ relational.DB = (*db)(nil)

// Bounds says how many connections are in use for reading; one writes.
func (d *db) Bounds() []broker.Bound {
	s := d.readers.Stats()
	return []broker.Bound{{Name: "connections of the ledger", Used: int64(s.InUse), Limit: int64(s.MaxOpenConnections)}}
}

// Write implements [relational.DB]. The transaction has the file's write lock
// from its beginning.
func (d *db) Write(ctx context.Context, f func(relational.Tx) ([]relational.Statement, error)) error {
	tx, err := d.writer.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback() }() // nothing, once it is committed
	last, err := f(querier{tx})
	if err != nil {
		return err
	}
	if err := (querier{tx}).Run(ctx, last...); err != nil {
		return err
	}
	return tx.Commit()
}

// Read implements [relational.DB].
func (d *db) Read(_ context.Context, f func(relational.Tx) error) error {
	return f(querier{d.readers})
}

// Close implements [relational.DB].
func (d *db) Close() error { return errors.Join(d.readers.Close(), d.writer.Close()) }

// querier runs statements one after the other.
type querier struct {
	q interface {
		ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
		QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	}
}

// Run implements [relational.Tx].
func (q querier) Run(ctx context.Context, statements ...relational.Statement) error {
	for _, s := range statements {
		if err := q.run(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

func (q querier) run(ctx context.Context, s relational.Statement) error {
	if s.Row == nil {
		_, err := q.q.ExecContext(ctx, s.SQL, s.Args...)
		return err
	}
	rows, err := q.q.QueryContext(ctx, s.SQL, s.Args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := s.Row(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}
