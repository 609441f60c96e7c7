package folder

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atClaimed  = failpoint.New("folder.claimed", "a file is where nobody replaces it", "it is not read")
	atStored   = failpoint.New("folder.stored", "what is in a file is stored", "its answer is not written")
	atAnswered = failpoint.New("folder.answered", "the answer of a file is written", "the file is not put away")
)
