package link

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atMapped     = failpoint.New("link.mapped", "a message of the journal is mapped", "its units are not sent")
	atSending    = failpoint.New("link.sending", "units are ready, and those before them are confirmed", "none of them is sent")
	atConfirmed  = failpoint.New("link.confirmed", "the cloud has confirmed units", "the site does not know")
	atRemapped   = failpoint.New("link.remapped", "a message that was asked for again is mapped", "its units are not sent")
	atCommanded  = failpoint.New("link.commanded", "a command of the cloud is carried out", "the cloud does not know")
	atAsked      = failpoint.New("link.asked", "documents for a site are in its stream", "nobody has said what became of them")
	atTrusted    = failpoint.New("link.trusted", "a site trusts the authorities that the hub has now", "it has the certificate of before")
	atSinkTaken  = failpoint.New("sink.taken", "a document has come to the site, and its worker is told so", "it is not delivered")
	atDelivered  = failpoint.New("sink.delivered", "a document is delivered", "nobody remembers")
	atRemembered = failpoint.New("sink.remembered", "that a document is delivered is remembered", "its worker does not know")
)
