package worker

import (
	"context"
	"errors"
	"hash/maphash"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/ledger"
)

// The reader reads a target's units in the order of the stream, all lanes
// together. What comes of lanes other than live is put aside when their part of the hand
// is full, so that live units behind a long backlog are reached: all that is
// kept of a unit is where it stands and a hash of its key. When there is
// room it is fetched from the stream again. Nothing of this is written anywhere: the
// partition's cursor stays before the first unit that is aside, and who has the
// partition next reads on from there; the ledger knows what was settled behind it.
//
// Order of a key holds across lanes. A unit whose key waits aside goes aside
// too, behind it, if it is of the same lane. If it is of another, what waits of
// the key is called up at once, ahead of its lane, and the reader stands until that
// is in hand: one question to the stream. So a live unit waits for the earlier
// units of its own key in another lane, and for nothing else there.

const (
	asideMax  = 1 << 19 // units aside: some 40 MB; then the reader stands until there are fewer
	fetchMax  = 64      // units fetched at once
	fetchers  = 8       // questions at once
	noSeq     = ^uint64(0)
	slowBytes = handBytes / 8 // bodies in hand of a lane other than live
)

var asideSeed = maphash.MakeSeed()

func keyHash(key string) uint64 { return maphash.String(asideSeed, key) }

// A ref is a unit that is aside.
type ref struct{ seq, key uint64 }

// An asideKey is how many units of a key are aside, all in one lane.
type asideKey struct {
	t track
	n int
}

// roomOf is how many units of a lane may be taken in hand. Each has a part of its own.
func (l *lane) roomOf(t track) int {
	if t == live {
		return l.most - l.handOf[live]
	}
	if l.bytesOf[t] >= slowBytes {
		return 0
	}
	return max(l.most/3, 1) - l.handOf[t]
}

// setAside puts a unit aside, or says that it has to stand until its key was
// called up; false: it is to be taken in hand.
func (l *lane) setAside(it *item) bool {
	h := keyHash(it.key)
	w, waits := it.p.waits[h]
	switch {
	case waits && (w.t == live || w.t != it.track):
		l.callUp(it.p, h)
		l.stalled = it
		return true
	case !waits && (it.track == live || len(it.p.aside[it.track]) == 0 && l.roomOf(it.track) > 0):
		return false
	}
	p := it.p
	p.taken = it.row.Seq
	p.aside[it.track] = append(p.aside[it.track], ref{it.row.Seq, h})
	if p.waits == nil {
		p.waits = map[uint64]asideKey{}
	}
	p.waits[h] = asideKey{it.track, w.n + 1}
	l.asideOf[it.track]++
	l.asideAll++
	return true
}

// callUp moves what is aside of a key ahead of its lane.
func (l *lane) callUp(p *partition, key uint64) {
	w, ok := p.waits[key]
	if !ok || w.t == live {
		return
	}
	from, rest := w.t, p.aside[w.t][:0]
	for _, r := range p.aside[from] {
		if r.key == key {
			p.aside[live] = append(p.aside[live], r)
		} else {
			rest = append(rest, r)
		}
	}
	p.aside[from] = rest
	l.asideOf[from] -= w.n
	l.asideOf[live] += w.n
	p.waits[key] = asideKey{live, w.n}
}

// firstAside is where the first unit of a partition that is aside stands in the stream.
func (p *partition) firstAside() uint64 {
	first := noSeq
	for t, refs := range p.aside {
		if t != int(live) { // in order
			refs = refs[:min(len(refs), 1)]
		}
		for _, r := range refs {
			first = min(first, r.seq)
		}
	}
	return first
}

// letGoAside forgets what is aside of a partition.
func (l *lane) letGoAside(p *partition) {
	for t, refs := range p.aside {
		l.asideOf[t] -= len(refs)
		l.asideAll -= len(refs)
	}
	p.aside, p.waits = [tracks][]ref{}, nil
}

// A fetched is what came of fetching units that were aside.
type fetched struct {
	t     track
	parts []*partition // of each item
	items []*item      // one with the ref's place only: the stream has it no longer
	err   error
}

// fetch asks the stream for units that are aside and that there is room for.
func (l *lane) fetch(ctx context.Context) {
	if l.fetching || l.asideAll == 0 || !l.working() || l.waiting() || l.windowed >= 2*windowMax {
		return
	}
	for range tracks {
		t := l.fetchTurn
		l.fetchTurn = (t + 1) % track(tracks)
		if l.asideOf[live] > 0 {
			t = live
		}
		room := min(l.roomOf(t), fetchMax)
		if room < 1 || l.asideOf[t] == 0 || t != live && l.handOf[t] > 0 && room < min(fetchMax, l.most/8) {
			continue
		}
		l.startFetch(ctx, t, room)
		return
	}
}

// startFetch fetches the first n units of a lane that are aside, in the order of the stream.
func (l *lane) startFetch(ctx context.Context, t track, n int) {
	var parts []*partition
	var refs []ref
	next := map[*partition]int{}
	for len(refs) < n {
		var first *partition
		for _, p := range l.parts {
			i := next[p]
			if i < len(p.aside[t]) && !p.leaving && !p.lost.Load() && (first == nil || p.aside[t][i].seq < first.aside[t][next[first]].seq) {
				first = p
			}
		}
		if first == nil {
			break
		}
		parts, refs = append(parts, first), append(refs, first.aside[t][next[first]])
		next[first]++
	}
	if len(refs) == 0 {
		return
	}
	l.fetching = true
	go func() {
		f := &fetched{t: t, parts: parts, items: make([]*item, len(refs))}
		var all sync.WaitGroup
		errs := make([]error, fetchers)
		for w := range fetchers {
			all.Go(func() {
				for i := w; i < len(refs) && errs[w] == nil; i += fetchers {
					m, err := l.get(ctx, getRequest{Seq: refs[i].seq})
					switch {
					case errors.Is(err, jetstream.ErrMsgNotFound):
						f.items[i] = &item{part: -1, row: ledger.Unit{Seq: refs[i].seq}}
					case err != nil:
						errs[w] = err
					default:
						f.items[i] = readItem(m.Subject, m.Header, m.Data, refs[i].seq, m.Time)
					}
				}
			})
		}
		all.Wait()
		f.err = errors.Join(errs...)
		l.fetched <- f
	}()
}

// cameBack takes in hand what was fetched.
func (l *lane) cameBack(ctx context.Context, f *fetched) {
	l.fetching = false
	if f.err != nil {
		l.failed(ctx, "the stream does not give units that waited in their lane", f.err)
		return
	}
	for i, it := range f.items {
		p := f.parts[i]
		refs := p.aside[f.t]
		if l.parts[p.no] != p || p.leaving || p.lost.Load() || len(refs) == 0 || refs[0].seq != it.row.Seq || l.byID[it.id] != nil && it.part >= 0 {
			continue // lost, called up meanwhile, or behind such a one: it is fetched when its turn comes
		}
		if w := p.waits[refs[0].key]; w.n > 1 {
			p.waits[refs[0].key] = asideKey{w.t, w.n - 1}
		} else {
			delete(p.waits, refs[0].key)
		}
		p.aside[f.t] = refs[1:]
		l.asideOf[f.t]--
		l.asideAll--
		if it.part < 0 {
			l.log.Error("a unit that waited in its lane is gone from the stream, which keeps it for max_age only", "seq", it.row.Seq)
			l.metrics.count("stray", 1)
			continue
		}
		it.p, it.track = p, f.t
		l.takeInHand(it)
	}
}

// insert puts an item at its place in the window of its partition.
func (p *partition) insert(it *item) {
	n := len(p.window)
	for n > 0 && p.window[n-1].row.Seq > it.row.Seq {
		n--
	}
	p.window = slices.Insert(p.window, n, it)
}

// shrink keeps one of the settled items that follow each other: while units are
// aside the cursor can not go past them, and there may be many.
func (l *lane) shrink(p *partition) {
	kept := p.window[:0]
	for i, it := range p.window {
		if !it.settled || i+1 == len(p.window) || !p.window[i+1].settled {
			kept = append(kept, it)
		}
	}
	l.windowed -= len(p.window) - len(kept)
	clear(p.window[len(kept):])
	p.window = kept
}

// liveFor is how long after a live unit a call is kept free for the next one.
const liveFor = 5 * time.Second

// spared says whether live units come, so that other lanes must leave them a call.
func (l *lane) spared() bool { return time.Since(l.liveAt) < liveFor }
