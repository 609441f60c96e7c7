package x12

import (
	"context"
	"sync"

	"github.com/vagus-health/vagus/broker"
)

// maxInHand bounds the deliveries that a feed receives at once: each may come to several times its size.
const maxInHand = 8

// A hand holds the deliveries that are being received, and the interchanges in them by their keys.
type hand struct {
	slots chan struct{}
	mu    sync.Mutex
	keys  map[string]chan struct{} // closed when it is out of hand
}

func newHand() hand {
	return hand{slots: make(chan struct{}, maxInHand), keys: map[string]chan struct{}{}}
}

func (h *hand) bound() broker.Bound {
	return broker.Bound{Name: "deliveries in hand", Used: int64(len(h.slots)), Limit: maxInHand}
}

// enter waits for a place.
func (h *hand) enter(ctx context.Context) (leave func(), err error) {
	select {
	case h.slots <- struct{}{}:
		return func() { <-h.slots }, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// take waits until none of some interchanges is in another delivery, and returns what to do at the end.
func (h *hand) take(all []*judged) (release func()) {
	mine := map[string]bool{}
	for _, j := range all {
		mine[j.key()] = true
	}
	done := make(chan struct{})
	for other := h.try(mine, done); other != nil; other = h.try(mine, done) {
		<-other
	}
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		for key := range mine {
			delete(h.keys, key)
		}
		close(done)
	}
}

// try takes all keys, or none and returns the end of one that another has: so two can not wait for each other.
func (h *hand) try(mine map[string]bool, done chan struct{}) (other chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for key := range mine {
		if other := h.keys[key]; other != nil {
			return other
		}
	}
	for key := range mine {
		h.keys[key] = done
	}
	return nil
}
