package worker

import "github.com/vagus-health/vagus/broker/failpoint"

// The places at which a crash matters, in the order in which work passes them.
var (
	atLeased      = failpoint.New("worker.leased", "the ledger has given a partition", "it is not taken up")
	atRenewed     = failpoint.New("worker.renewed", "the ledger has renewed the leases", "nobody here knows")
	atLost        = failpoint.New("worker.lost", "a lease has run out, or another worker has it", "what is in hand of its partition is not dropped")
	atLeaving     = failpoint.New("worker.leaving", "nothing is in hand of partitions that are another worker's share", "they are not given back")
	atRead        = failpoint.New("worker.read", "units are taken from the stream", "the ledger does not know of them")
	atClaimed     = failpoint.New("worker.claimed", "the ledger knows that units are about to be applied", "none of them is")
	atApplying    = failpoint.New("worker.applying", "it is certain that the leases hold", "the target is not asked")
	atApplied     = failpoint.New("worker.applied", "the target has said what became of units", "the ledger does not know")
	atSettled     = failpoint.New("worker.settled", "the ledger has recorded outcomes and moved the cursors", "nobody here knows")
	atMet         = failpoint.New("worker.met", "the turn of a unit with several keys has come in one of them", "it is not parked there")
	atParking     = failpoint.New("worker.parking", "a unit is to be tried again", "the ledger does not know, nor what waits behind it")
	atDeferred    = failpoint.New("worker.deferred", "a unit is to wait for what another brings", "the ledger does not know")
	atReplayAsked = failpoint.New("replay.asked", "a site is asked to map a message again", "the replay's item is not marked")
	atRequeued    = failpoint.New("replay.requeued", "an item of a replay is carried out and marked", "the next one is not begun")
)
