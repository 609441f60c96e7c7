// Package endtoend_test runs the whole way of a message with real processes:
// agent, hub and workers are children of the test that can be killed, the link
// between site and cloud is a TCP path that can be cut or frozen, PostgreSQL is
// real, Odoo is the simulated one. After every scenario the same audit holds
// what was acknowledged against what the ledger and Odoo have. What happens to them when
// they are killed, cut and filled is in contract-tests/faults; what happens when one dies at
// a place that the code names (`vagus failpoints`) is here. To arm one by hand:
//
//	VAGUS_FAILPOINT=journal.synced=kill#3 vagus agent -c agent.yaml
package endtoend_test

import (
	"os"
	"testing"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// TestMain: the test binary is the program as well.
func TestMain(m *testing.M) {
	command()
	bed.Role()
	os.Exit(m.Run())
}
