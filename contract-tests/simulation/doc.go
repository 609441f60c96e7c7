// Package simulation runs the agent's link and the workers, the code that is shipped, in a testing/synctest
// bubble: a minute of their lives passes in some 50 ms, and what goes wrong meanwhile is drawn from a seed.
//
//	go test ./contract-tests/simulation -run TestSeeds -seeds 1000   # about a minute
//	go test ./contract-tests/simulation -run TestSeeds -v -seed 42   # one of them, with its history
//
// # What is real and what is not
//
// Real: broker/link (its sending side and remap requests), broker/worker, broker/stream's subjects and requests,
// nats.go with its jetstream package and the batch publisher. In memory: the wire and the
// hub (as much of the NATS protocol and of JetStream as the above ask for; any other question fails the run), the
// journal, the target, and the ledger, which passes broker/ledger/ledgertest as the stores do. Not here: the mapping
// language (a function of Go stands for it), sinks, the disks under journal, hub and ledger, TLS.
//
// # Faults
//
// Alone and mixed: agent and workers are killed, or paused for longer than a lease (also right before a chosen call), started and stopped; links are
// cut, or nothing passes them one way or both ways while they stay open; the hub goes down, and forgets the message ids that it knew
// (messages are stored twice); calls of the ledger fail before or after they are done, or arrive after their caller is
// dead; the ledger is set back to an earlier state; its clock jumps; the target is down, slow, refuses, errs on one unit, has effect
// and then errs, has half, never answers; persons ask for replays and discard dead units, while units wait in one key or several.
//
// A killed process reaches nothing any more; what it had sent may arrive later. A paused one can not be stopped inside a bubble: its
// goroutines run and its timers fire, but it reads and writes nothing and its calls wait, and are made when it goes
// on, though their context is over by then. So a pause between any two calls is covered, a pause between two looks at the clock
// with no call between them is not. All processes have one clock: that the clock of a single
// worker jumps is not simulated, that the ledger's does against all of theirs is.
//
// # What is judged
//
// At each step: nothing has effect that was not accepted and claimed; no unit has effect before an earlier one of one of its keys (save
// those that were let go past); a call holds no two units of a key; no worker that has the lease asks for what the ledger knows as
// applied; nobody claims or records whose lease was given to another; what is recorded as applied has effect; attempts are counted
// for answers only; cursors go forward only, and past nothing that the ledger does not know; the link sends nothing
// again that the hub said it has. At the end, when the faults are over: all that was accepted is applied, skipped,
// discarded, or dead because a later one of its key went past, in the ledger as at the target.
//
// # What a seed promises
//
// Messages, faults and all chances are those of the seed, always. The order in which goroutines run is nearly always the same as well: one
// processor, no garbage collection, each message with a delay of its own to the nanosecond, chance from
// crypto/rand in the product's pauses. What is left is Go's own choice where two things are ready at the very same moment. Of the
// first twenty seeds most give the same history line by line when they are run twice, all do within a few runs; with
// the race detector, which shuffles goroutines on purpose, fewer do. A seed that is run again is therefore run up to ten times, until it fails.
package simulation
