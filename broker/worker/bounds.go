package worker

import "github.com/vagus-health/vagus/broker"

// heldMax bounds the keys that a target's lane knows to wait: some 100 MB. Beyond it the
// lane takes nothing more of the stream until there are fewer.
const heldMax = 1 << 20

// Bounds says what is used of what all targets of the worker share.
func (w *Worker) Bounds() []broker.Bound {
	return []broker.Bound{
		{Name: "events to publish", Used: int64(len(w.lanes[0].events.queue)), Limit: eventsMax},
		{Name: "replays under way", Used: w.replaying.Load(), Limit: replaysMax},
	}
}

// bounds says what is used of what the lane has for itself.
func (l *lane) bounds() []broker.Bound {
	bytes, taken := 0, 0
	for _, n := range l.bytesOf {
		bytes += n
	}
	if l.reader != nil {
		taken = len(l.reader.units)
	}
	others := len(broker.Lanes) - 1
	return []broker.Bound{
		{Name: "units in hand", Used: int64(l.hand), Limit: int64(l.cfg.Take + others*max(l.cfg.Take/3, 1))},
		{Name: "bytes of units in hand", Used: int64(bytes), Limit: handBytes + int64(others)*slowBytes},
		{Name: "units of the ledger in hand", Used: int64(len(l.byID) - l.hand), Limit: int64(l.dueMax())},
		{Name: "units before the cursor", Used: int64(l.windowed), Limit: 2 * windowMax},
		{Name: "units put aside", Used: int64(l.asideAll), Limit: asideMax},
		{Name: "units read ahead", Used: int64(taken), Limit: readAhead},
		{Name: "keys that wait", Used: int64(l.heldKeys), Limit: heldMax},
		{Name: "calls of the target at once", Used: int64(l.inFlight), Limit: int64(max(l.cfg.Concurrency*len(l.parts)/broker.Partitions, 1))},
	}
}
