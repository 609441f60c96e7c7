package webhook

import "github.com/vagus-health/vagus/broker/failpoint"

var atReceived = failpoint.New("http.received", "what a request brought is stored", "the request has no answer")
