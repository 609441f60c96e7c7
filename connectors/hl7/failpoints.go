package hl7

import "github.com/vagus-health/vagus/broker/failpoint"

var atAcknowledged = failpoint.New("hl7.acknowledged", "a message is stored, and its acknowledgement is written", "it may not have reached the sender")
