package stream

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atCreated  = failpoint.New("hub.created", "one of the tenant's streams is made", "the others are not")
	atConsumer = failpoint.New("hub.consumer", "a site can read its commands", "it can not read its documents")
)
