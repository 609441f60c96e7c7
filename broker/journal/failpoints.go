package journal

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atCreated  = failpoint.New("journal.created", "the stream of a new feed is made", "the register does not say so")
	atMarked   = failpoint.New("journal.marked", "a step of several messages is announced", "none of them is in the stream")
	atAppended = failpoint.New("journal.appended", "the server has written what came", "it is not on stable storage, and its senders have no answer")
	atSynced   = failpoint.New("journal.synced", "what came is on stable storage", "its senders have no answer")
	atTookBack = failpoint.New("journal.took_back", "a start has removed a message of a step that had not come to its end", "the others of the step")
	atTrimmed  = failpoint.New("journal.trimmed", "the server has removed what is old and sent", "the journal has not looked at the files again")
)
