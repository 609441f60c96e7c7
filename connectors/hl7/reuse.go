package hl7

import (
	"hash/maphash"
	"sync"

	"github.com/vagus-health/vagus/broker"
)

// reuseSize is how many control ids a feed remembers.
const reuseSize = 8192

// A reuseWatch remembers the message ids of the last control ids of a feed, to
// tell that a sender used one again for other content. It is a warning only:
// identity rests on the content, so forgetting does no harm. It holds no
// control id, only a hash.
type reuseWatch struct {
	seed maphash.Seed
	mu   sync.Mutex
	ids  map[uint64]string // of application, facility and control id → short message id
	ring []uint64          // the keys, oldest at next once it is full
	next int
}

func newReuseWatch() *reuseWatch {
	return &reuseWatch{seed: maphash.MakeSeed(), ids: make(map[uint64]string)}
}

// seen remembers that the message with this envelope has this id, and returns
// the short id of another message that had the same control id, or "".
func (w *reuseWatch) seen(e *envelope, id string) (before string) {
	var h maphash.Hash
	h.SetSeed(w.seed)
	for _, n := range [...]int{3, 4, 10} {
		_, _ = h.Write(e.fields[n])
		_ = h.WriteByte(0)
	}
	key, id := h.Sum64(), broker.ShortID(id)

	w.mu.Lock()
	defer w.mu.Unlock()
	before, known := w.ids[key]
	w.ids[key] = id
	switch {
	case known && before != id:
		return before
	case known:
		return ""
	case len(w.ring) < reuseSize:
		w.ring = append(w.ring, key)
	default:
		delete(w.ids, w.ring[w.next])
		w.ring[w.next] = key
		w.next = (w.next + 1) % reuseSize
	}
	return ""
}
