package worker

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// A partition is one lease, from the moment it was gained until it is lost or
// given back: a partition that comes back later is another *partition. Only
// lost is shared; the rest belongs to the lane's loop.
type partition struct {
	no    int
	lease ledger.Lease
	lost  atomic.Bool

	leaving bool
	cursor  uint64  // settled up to here
	taken   uint64  // in hand up to here
	next    uint64  // where the stream's next unit of this partition was found to be, or a lower bound
	window  []*item // taken, in order; the first is not settled
	reader  *reader // that began early enough for this partition
	held    keySet  // keys whose new units go behind those that wait in the ledger

	aside [tracks][]ref       // units put aside, by lane; of live those that were called up
	waits map[uint64]asideKey // their keys, by keyHash
}

type keySet map[string]struct{}

// keeper holds a lane's leases: it renews them and knows until when they may
// be relied on.
type keeper struct {
	ledger ledger.Ledger
	target string
	worker string
	ttl    time.Duration
	log    *slog.Logger

	changed chan struct{} // partitions were gained or lost, or the share changed; capacity 1
	again   chan struct{} // run asks at once; capacity 1
	onLost  func()        // called after partitions were marked lost; does not block

	serial chan struct{} // full during a Lease or Release: one at a time, so that no answer is older than the next question

	mu      sync.Mutex
	held    map[int]*partition
	share   int
	until   time.Time // the leases may be relied on until then
	expire  *time.Timer
	trouble string // the last error logged
}

var errLate = errors.New("the ledger's answer came after the lease had run out")

func newKeeper(l ledger.Ledger, target, worker string, ttl time.Duration, log *slog.Logger) *keeper {
	k := &keeper{ledger: l, target: target, worker: worker, ttl: ttl, log: log,
		changed: make(chan struct{}, 1), again: make(chan struct{}, 1), serial: make(chan struct{}, 1), onLost: func() {}, held: map[int]*partition{}, share: -1}
	k.expire = time.AfterFunc(time.Hour, k.expired)
	k.expire.Stop()
	return k
}

// run renews the leases until ctx is done.
func (k *keeper) run(ctx context.Context) {
	defer k.expire.Stop()
	tick := time.NewTicker(k.ttl / 3)
	defer tick.Stop()
	for {
		k.renew(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-k.again:
		}
	}
}

// renew asks the ledger once. It marks as lost what the ledger no longer
// counts as ours.
func (k *keeper) renew(ctx context.Context) {
	k.serial <- struct{}{}
	defer func() { <-k.serial }()
	asked := time.Now()
	call, cancel := context.WithTimeout(ctx, k.ttl)
	held, share, err := k.ledger.Lease(call, k.target, k.worker, k.ttl)
	cancel()
	// A tenth less than the ledger grants: a call that begins at the last
	// moment takes its time to arrive.
	until := asked.Add(k.ttl - k.ttl/10)
	if err == nil && !before(time.Now(), until) {
		err = errLate
	}
	if err != nil {
		if ctx.Err() == nil {
			k.complain(err)
		}
		return
	}
	k.complain(nil)
	atRenewed.Hit()
	k.mu.Lock()
	moved, lost := share != k.share, false
	k.share = share
	kept := make(map[int]*partition, len(held))
	for _, l := range held {
		p := k.held[l.Partition]
		if p == nil || p.lease.Token != l.Token || p.lost.Load() {
			atLeased.Hit()
			p = &partition{no: l.Partition, lease: l, cursor: l.Cursor, held: keySet{}}
			moved = true
		}
		kept[l.Partition] = p
	}
	for no, p := range k.held {
		if kept[no] != p {
			atLost.Hit()
			p.lost.Store(true)
			moved, lost = true, true
		}
	}
	k.held, k.until = kept, until
	k.expire.Reset(time.Until(until))
	k.mu.Unlock()
	k.tell(moved, lost)
}

// expired runs when the leases were not renewed in time.
func (k *keeper) expired() {
	k.mu.Lock()
	if before(time.Now(), k.until) { // renewed meanwhile
		k.mu.Unlock()
		return
	}
	lost := len(k.held) > 0
	for _, p := range k.held {
		atLost.Hit()
		p.lost.Store(true)
	}
	k.held = map[int]*partition{}
	k.mu.Unlock()
	if lost {
		k.log.Warn("leases ran out before the ledger renewed them: what was in hand is dropped and read again")
	}
	k.tell(lost, lost)
}

// forget gives up what is known of the leases, but not the leases: run asks the ledger
// for them and their cursors anew.
func (k *keeper) forget() {
	k.mu.Lock()
	for _, p := range k.held {
		p.lost.Store(true)
	}
	k.held = map[int]*partition{}
	k.mu.Unlock()
	select {
	case k.again <- struct{}{}:
	default:
	}
}

func (k *keeper) tell(moved, lost bool) {
	if lost {
		k.onLost()
	}
	if moved {
		select {
		case k.changed <- struct{}{}:
		default:
		}
	}
}

// fresh says whether the leases may be relied on at this moment. It looks at
// the monotonic clock, which a paused process shares with the world, and at the
// wall clock, which a suspended machine does.
func (k *keeper) fresh() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return before(time.Now(), k.until)
}

func before(now, until time.Time) bool {
	return now.Before(until) && now.Round(0).Before(until.Round(0))
}

// snapshot returns the partitions held now and how many are a fair share.
func (k *keeper) snapshot() (held []*partition, share int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, p := range k.held {
		held = append(held, p)
	}
	slices.SortFunc(held, func(a, b *partition) int { return a.no - b.no })
	return held, k.share
}

// holds says whether a partition is held now.
func (k *keeper) holds(no int) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.held[no] != nil && before(time.Now(), k.until)
}

// release gives partitions back. An error is no matter: they expire.
func (k *keeper) release(ctx context.Context, ps []*partition) {
	k.serial <- struct{}{}
	defer func() { <-k.serial }()
	leases := make([]ledger.Lease, 0, len(ps))
	k.mu.Lock()
	for _, p := range ps {
		p.lost.Store(true)
		if k.held[p.no] == p {
			delete(k.held, p.no)
		}
		leases = append(leases, p.lease)
	}
	k.mu.Unlock()
	call, cancel := context.WithTimeout(ctx, k.ttl)
	defer cancel()
	if err := k.ledger.Release(call, k.worker, leases); err != nil {
		k.log.Warn("leases could not be given back; they expire by themselves", "error", err)
	}
}

// complain logs the ledger's trouble when it begins, changes and ends.
func (k *keeper) complain(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	k.mu.Lock()
	same := text == k.trouble
	k.trouble = text
	k.mu.Unlock()
	switch {
	case same:
	case err != nil:
		k.log.Error("the ledger does not renew leases", "error", err)
	default:
		k.log.Info("the ledger renews leases again")
	}
}
