package postgres

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger/internal/relational"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
)

func TestAWorkerThatIsPausedInATransactionKeepsNoPartition(t *testing.T) {
	t.Parallel()
	dsn := pgtest.Database(t)
	if _, err := Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	pool, err := connect(t.Context(), dsn, Config{Idle: 300 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	paused := &db{pool}
	defer func() { _ = paused.Close() }()
	other, err := Open(t.Context(), dsn, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	if _, _, err := relational.New(paused, dialect).Lease(t.Context(), "odoo", "paused", time.Millisecond); err != nil {
		t.Fatal(err)
	}
	err = paused.Write(t.Context(), func(tx relational.Tx) ([]relational.Statement, error) {
		if err := tx.Run(t.Context(), relational.Statement{SQL: "SELECT 1 FROM leases FOR UPDATE"}); err != nil {
			return nil, err
		}
		for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
			held, _, err := other.Lease(t.Context(), "odoo", "other", time.Minute)
			if err != nil {
				return nil, err
			}
			if len(held) == broker.Partitions {
				return []relational.Statement{{SQL: "UPDATE leases SET cursor = 1"}}, nil
			}
		}
		return nil, errors.New("nobody else got the partitions within 20 s")
	})
	if err == nil || strings.Contains(err.Error(), "nobody else") {
		t.Fatalf("the paused transaction: %v", err)
	}
	parts, err := other.Cursors(t.Context(), "odoo")
	if err != nil || parts[0].Cursor != 0 {
		t.Errorf("it left a cursor behind: %+v, %v", parts[0], err)
	}
}

func TestAnErrorFromTheServerQuotesNoValue(t *testing.T) {
	t.Parallel()
	pool, err := connect(t.Context(), pgtest.Database(t), Config{})
	if err != nil {
		t.Fatal(err)
	}
	d := &db{pool}
	defer func() { _ = d.Close() }()
	run := func(_ context.Context, s relational.Statement) error {
		return d.Read(t.Context(), func(tx relational.Tx) error { return tx.Run(t.Context(), s) })
	}
	err = run(t.Context(), relational.Statement{SQL: "SELECT CAST(CAST($1 AS text) AS integer)", Args: []any{"canary"}})
	if err == nil || strings.Contains(err.Error(), "canary") || !strings.Contains(err.Error(), "22P02") {
		t.Errorf("a bad value: %v", err)
	}
	if err = run(t.Context(), relational.Statement{SQL: "SELECT * FROM nosuchtable"}); err == nil || !strings.Contains(err.Error(), "nosuchtable") {
		t.Errorf("a missing table: %v", err)
	}
}
