package journal

import "github.com/vagus-health/vagus/broker"

// Bounds says what of a feed's messages is on its way to stable storage, and what is remembered of them.
func (j *Journal) Bounds(feed string) []broker.Bound {
	l := j.lanes[feed]
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	way := broker.Bound{Name: "tokens of messages on the way to the disk", Limit: window}
	if l.s != nil {
		way.Used = int64(len(l.s.tokens))
	}
	return []broker.Bound{way, {Name: "bytes of messages just stored", Used: int64(l.recent.bytes), Limit: recentBytes}}
}
