package worker

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
)

// lessor grants what it is told to.
type lessor struct {
	ledger.Ledger
	mu   sync.Mutex
	held []ledger.Lease
	err  error
	slow time.Duration
	n    int
}

func (l *lessor) Lease(ctx context.Context, _, _ string, _ time.Duration) ([]ledger.Lease, int, error) {
	l.mu.Lock()
	l.n++
	held, slow, err := l.held, l.slow, l.err
	l.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	return held, 64, err
}

func (l *lessor) set(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f()
}

func TestLeasesAreReliedOnNoLongerThanTheyLast(t *testing.T) {
	t.Parallel()
	const ttl = 3 * time.Second
	run := func(what string, f func(t *testing.T, l *lessor, k *keeper, lost *atomic.Int64)) {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := &lessor{held: []ledger.Lease{{Partition: 1, Token: 1}, {Partition: 2, Token: 1}}}
				k := newKeeper(l, "odoo", "w", ttl, slog.New(slog.DiscardHandler))
				var lost atomic.Int64
				k.onLost = func() { lost.Store(time.Now().UnixNano()) }
				ctx, stop := context.WithCancel(t.Context())
				done := make(chan struct{})
				go func() { defer close(done); k.run(ctx) }()
				defer func() { stop(); <-done }()
				synctest.Wait()
				f(t, l, k, &lost)
			})
		})
	}
	first := func(k *keeper) *partition { held, _ := k.snapshot(); return held[0] }

	run("they are renewed three times in their life", func(t *testing.T, l *lessor, k *keeper, lost *atomic.Int64) {
		p := first(k)
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if !k.fresh() || p.lost.Load() || l.n < 10 || l.n > 11 {
			t.Errorf("fresh %v, lost %v after %d renewals", k.fresh(), p.lost.Load(), l.n)
		}
	})
	run("a ledger that fails leaves them to run out, before the ledger gives them to others", func(t *testing.T, l *lessor, k *keeper, lost *atomic.Int64) {
		p, begun := first(k), time.Now()
		l.set(func() { l.err = errors.New("down") })
		time.Sleep(ttl - ttl/5)
		if !k.fresh() || p.lost.Load() {
			t.Error("lost too early")
		}
		time.Sleep(ttl / 5)
		synctest.Wait()
		if held, _ := k.snapshot(); k.fresh() || !p.lost.Load() || len(held) > 0 || time.Unix(0, lost.Load()).Sub(begun) >= ttl {
			t.Errorf("still relied on after %v", time.Since(begun))
		}
		l.set(func() { l.err = nil })
		time.Sleep(ttl)
		if q := first(k); !k.fresh() || q.lost.Load() || q == p {
			t.Error("they did not come back as new ones")
		}
	})
	run("an answer that comes late does not extend them beyond the question", func(t *testing.T, l *lessor, k *keeper, lost *atomic.Int64) {
		l.set(func() { l.slow = ttl - ttl/20 })
		time.Sleep(4 * ttl)
		if k.fresh() {
			t.Error("relied on although each answer came after the lease had run out")
		}
	})
	run("another token is another lease", func(t *testing.T, l *lessor, k *keeper, lost *atomic.Int64) {
		p := first(k)
		l.set(func() { l.held = []ledger.Lease{{Partition: p.no, Token: 2}} })
		time.Sleep(ttl)
		if q := first(k); q == p || !p.lost.Load() || q.lost.Load() {
			t.Error("a lease that was lost and gained again is taken for the same")
		}
	})
}

func TestRetriesWaitLongerEachTimeUpToALimit(t *testing.T) {
	t.Parallel()
	cfg := TargetConfig{RetryMin: 2 * time.Second, RetryMax: time.Hour}
	for n, want := range map[int]time.Duration{1: 2 * time.Second, 2: 4 * time.Second, 5: 32 * time.Second, 12: time.Hour, 100000: time.Hour} {
		for range 20 {
			if got := retryAfter(cfg, n); got < want*79/100 || got > want*121/100 || got > time.Hour {
				t.Errorf("after attempt %d it waits %v, not about %v", n, got, want)
			}
		}
	}
}
