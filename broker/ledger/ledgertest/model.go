package ledgertest

import (
	"testing"

	"github.com/vagus-health/vagus/broker/ledger"
)

func model(t *testing.T, l ledger.Ledger) {}
