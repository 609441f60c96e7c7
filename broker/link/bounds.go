package link

import "github.com/vagus-health/vagus/broker"

// FeedBounds says how much is read ahead of what the cloud has of a feed.
func (l *Link) FeedBounds(feed string) []broker.Bound {
	entries, bytes := broker.Bound{Name: "entries on the way", Limit: windowItems}, broker.Bound{Name: "bytes on the way", Limit: windowBytes}
	if lane := l.lanes[feed]; lane != nil {
		if a := lane.window.Load(); a != nil {
			entries.Used, bytes.Used = int64(len(a.queue)), a.bytes.Load()
		}
	}
	return []broker.Bound{entries, bytes}
}

// SinkBounds says what waits for a sink, and what is remembered of it.
func (l *Link) SinkBounds(sink string) []broker.Bound {
	o := l.outlets[sink]
	if o == nil {
		return nil
	}
	bytes := <-o.room
	o.room <- bytes
	return []broker.Bound{
		{Name: "documents that wait", Used: int64(len(o.queue)), Limit: outletMax},
		{Name: "bytes of documents that wait", Used: int64(bytes), Limit: outletBytes},
		{Name: "deliveries remembered", Used: o.sent.known.Load(), Limit: int64(o.sent.max)},
	}
}

// Bounds says what the link holds beside its feeds and sinks.
func (l *Link) Bounds() []broker.Bound {
	l.mu.Lock()
	defer l.mu.Unlock()
	return []broker.Bound{
		{Name: "mappings at once", Used: int64(len(l.mapping)), Limit: int64(cap(l.mapping))},
		{Name: "answers kept for the cloud", Used: int64(len(l.told)), Limit: toldMax},
	}
}
