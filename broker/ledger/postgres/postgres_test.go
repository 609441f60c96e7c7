package postgres_test

import (
	"testing"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/ledgertest"
	"github.com/vagus-health/vagus/broker/ledger/pgtest"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
)

func open(t testing.TB, dsn string) ledger.Ledger {
	t.Helper()
	if _, err := postgres.Migrate(t.Context(), dsn); err != nil {
		t.Fatal(err)
	}
	l, err := postgres.Open(t.Context(), dsn, postgres.Config{Connections: 10})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	})
	return l
}

// TestLedger holds the ledger to the contract, and then the plan of every statement that this took.
func TestLedger(t *testing.T) {
	var r postgres.Recorder
	t.Run("Contract", func(t *testing.T) {
		ledgertest.Run(t, func(t *testing.T) ledger.Ledger {
			dsn := pgtest.Database(t)
			if _, err := postgres.Migrate(t.Context(), dsn); err != nil {
				t.Fatal(err)
			}
			return r.Open(t, dsn)
		})
	})
	t.Run("Plans", r.Plans)
}
