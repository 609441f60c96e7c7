package app

import "github.com/vagus-health/vagus/broker/failpoint"

var atAccepted = failpoint.New("agent.accepted", "a source has messages whole", "nothing of them is stored")
