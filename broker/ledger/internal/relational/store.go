// Package relational is what both stores of the ledger have in common, which
// is nearly all: the statements and what they mean. A store adds how its
// database runs a transaction, what its clock and its locks are called, and
// its schema.
//
// # Tables
//
//	leases        one row per target and partition: owner, token, cursor
//	workers       who lives, per target
//	units         one row per unit, narrow, without its body
//	waiting       one more row, with its body, for a unit that is parked or dead; and one for each gate
//	other_keys    one row for each key of a unit beside the one in units
//	history       what happened to a unit, save what its row in units says
//	tally         units per target, site, feed and status, so that nobody counts rows
//	replays, replay_items, replay_counts
//
// Times are microseconds since 1970, 0 for none.
//
// # Locks
//
// Whatever changes the units of a partition first locks the partition's row in
// leases, in the order of target and partition: workers (who must also have its
// token) and operators alike. So the transactions of one partition follow each
// other, and no two wait for each other in a ring. What changes a gate locks the
// partitions of its key and of its unit. Tallies are kept in as many
// shards as there are partitions, so that two workers never wait for one row:
// a transaction counts in the shard of the lowest partition that it has locked.
//
// # Units do not move
//
// Units is the table that grows. A unit is inserted when it is claimed and
// updated when it is settled, and no index of the table names a column that
// the second step changes (a condition of a partial index would count as
// naming it), so that PostgreSQL updates it in place. That a unit waits is
// therefore told by a row in another table, not by an index over the status.
package relational

import (
	"context"
	"sync"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// A DB runs transactions.
type DB interface {
	// Write runs f in a transaction, then the statements that f returns, and
	// commits, these two in one round trip. If f returns an error nothing is
	// done. It may run f again if the database asks for that, so f starts afresh
	// each time.
	Write(ctx context.Context, f func(Tx) ([]Statement, error)) error
	// Read runs f outside of any transaction, or in one that writes nothing.
	Read(ctx context.Context, f func(Tx) error) error
	Close() error
}

// A Tx runs statements in their order, in one round trip where there is one.
type Tx interface {
	Run(ctx context.Context, statements ...Statement) error
}

// A Statement is one SQL statement. Row, if not nil, is called for each row of
// its result.
type Statement struct {
	SQL  string
	Args []any // string, int64, float64, bool, and what Dialect.Rows binds
	Row  func(scan Scan) error
}

// Scan reads a row's columns.
type Scan func(dest ...any) error

// A Dialect is where the two databases differ.
type Dialect struct {
	Now  string // an expression: microseconds since 1970 by the store's clock, at this moment
	Lock string // at the end of a SELECT: its rows are this transaction's until it ends
	Skip string // the same, without rows that are another transaction's
	// Within returns what joins the units x whose column is from d.low on and below d.high to d. It looks them up by the column's index for
	// each row of d, however many units there are.
	Within func(column string) string
	// Rows returns a FROM item: the rows of t with these columns. bind adds an
	// argument to the statement and returns what stands for it.
	Rows func(t Table, columns []Column, bind func(arg any) string) string
	// Bytes returns an expression: the bytes that the hexadecimal digits x mean.
	Bytes func(x string) string
	// Anonymous arguments are marked with a ? each; others are numbered: $1.
	Anonymous bool
}

// Store is a [ledger.Ledger] over a DB.
type Store struct {
	db       DB
	d        Dialect
	prepared sync.Map // statement as written here → its pieces
}

var _ ledger.Ledger = (*Store)(nil)

// New returns the ledger that db holds. Its schema is the caller's business.
func New(db DB, d Dialect) *Store { return &Store{db: db, d: d} }

// Bounds says how many connections of the database are in use.
func (s *Store) Bounds() []broker.Bound { return broker.BoundsOf(s.db) }

// Close gives back what the store holds.
func (s *Store) Close() error { return s.db.Close() }

// read asks one thing.
func (s *Store) read(ctx context.Context, row func(Scan) error, text string, args ...any) error {
	return s.db.Read(ctx, func(tx Tx) error { return tx.Run(ctx, s.ask(row, text, args...)) })
}
