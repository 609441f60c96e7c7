package x12

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atTaken    = failpoint.New("x12.taken", "the messages of interchanges are stored", "no answer is made, and the interchanges are not remembered")
	atNumbered = failpoint.New("x12.numbered", "a control number is given, on stable storage", "nothing has it")
	atSealed   = failpoint.New("x12.answered", "the answer is made, and its interchanges are remembered", "nobody has it")
)
