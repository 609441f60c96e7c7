package bundle

import "github.com/vagus-health/vagus/broker/failpoint"

var atKept = failpoint.New("mappings.kept", "a new set of mappings is the one to go back to", "it is not in force")
