package relational

import "github.com/vagus-health/vagus/broker/failpoint"

// AtMigrated is where a store is that brings its schema up to date.
var AtMigrated = failpoint.New("ledger.migrated", "a step of the schema is executed", "it is not committed")

// The places at which a crash matters, in the order in which work passes them.
var (
	atClaiming = failpoint.New("ledger.claiming", "a transaction has written claims", "it is not committed")
	atSettling = failpoint.New("ledger.settling", "a transaction has locked the leases and written outcomes", "it is not committed, and the cursors have not moved")
)
