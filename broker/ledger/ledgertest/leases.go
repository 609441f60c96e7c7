package ledgertest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

func oneWorkerHoldsAll(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	first := d.leases
	if share := d.renew(long); share != broker.Partitions {
		t.Errorf("its share is %d", share)
	}
	if diff := cmp.Diff(first, d.leases); diff != "" {
		t.Errorf("renewing changed the leases:\n%s", diff)
	}
	other, share, err := l.Lease(d.ctx, "another", "a", long)
	if err != nil || len(other) != broker.Partitions || share != broker.Partitions {
		t.Errorf("at another target it has %d of %d partitions, %v", len(other), share, err)
	}
}

func fairShare(t *testing.T, l ledger.Ledger) {
	all := []*desk{}
	for _, n := range []string{"a", "b", "c", "d"} {
		all = append(all, &desk{TB: t, Ledger: l, ctx: t.Context(), name: n})
	}
	tokens := map[int]int64{}
	last := map[int]string{}
	round := func(ds []*desk) (settled bool) {
		settled = true
		seen := map[int]string{}
		for _, d := range ds {
			share := d.renew(long)
			if want := (broker.Partitions + len(ds) - 1) / len(ds); share != want {
				settled = false
			}
			if over := len(d.leases) - share; over > 0 {
				if err := l.Release(d.ctx, d.name, d.leases[:over]); err != nil {
					t.Fatal(err)
				}
				d.leases = d.leases[over:]
				settled = false
			}
			for _, le := range d.leases {
				if o, twice := seen[le.Partition]; twice {
					t.Fatalf("partition %d is %s's and %s's", le.Partition, o, d.name)
				}
				if last[le.Partition] != d.name && le.Token <= tokens[le.Partition] {
					t.Fatalf("partition %d went from %s to %s, and its token from %d to %d", le.Partition, last[le.Partition], d.name, tokens[le.Partition], le.Token)
				}
				seen[le.Partition], tokens[le.Partition], last[le.Partition] = d.name, le.Token, d.name
			}
		}
		return settled && len(seen) == broker.Partitions
	}
	for _, n := range []int{1, 4, 2, 1} {
		for _, d := range all[n:] {
			if err := l.Release(d.ctx, d.name, d.leases); err != nil {
				t.Fatal(err)
			}
			d.leases = nil
		}
		soon(t, fmt.Sprintf("%d workers share %d partitions", n, broker.Partitions), func() bool { return round(all[:n]) })
	}
}

func takeover(t *testing.T, l ledger.Ledger) {
	a := sit(t, l, "a")
	a.renew(20 * time.Millisecond)
	b := &desk{TB: t, Ledger: l, ctx: t.Context(), name: "b"}
	soon(t, "b has all that a had", func() bool { b.renew(long); return len(b.leases) == broker.Partitions })
	for i := range b.leases {
		if b.leases[i].Token <= a.leases[i].Token {
			t.Fatalf("token %d after %d", b.leases[i].Token, a.leases[i].Token)
		}
	}
	u := unit(1, "k")
	if _, err := l.Claim(a.ctx, a.leases, []ledger.Unit{u}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a claims: %v", err)
	}
	b.claim(u)
	cursors := []ledger.Cursor{{Lease: a.leases[0], Seq: 9, Unit: "u"}}
	if err := l.Settle(a.ctx, "a", a.leases, cursors, []ledger.Settlement{{Unit: applied(u)}}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a settles: %v", err)
	}
	if err := l.Settle(a.ctx, "a", nil, cursors, nil); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a moves a cursor: %v", err)
	}
	if got := b.get(u); got.Status != ledger.Claimed {
		t.Errorf("after a was fenced the unit is %s", got.Status)
	}
	b.renew(long)
	if b.leases[0].Cursor != 0 {
		t.Errorf("after a was fenced the cursor is %d", b.leases[0].Cursor)
	}
}

func expiredIsStillGood(t *testing.T, l ledger.Ledger) {
	a := sit(t, l, "a")
	a.renew(time.Millisecond)
	soon(t, "the leases ran out", func() bool {
		states, err := l.Cursors(a.ctx, target)
		return err == nil && states[0].Expires.Before(time.Now())
	})
	u := unit(1, "k")
	a.claim(u)
	a.settle(applied(u))
	was := a.leases
	if a.renew(long); a.leases[0].Token != was[0].Token {
		t.Errorf("renewing its own lease too late changed the token")
	}
}

func released(t *testing.T, l ledger.Ledger) {
	a := sit(t, l, "a")
	if err := l.Release(a.ctx, "b", a.leases); err != nil {
		t.Fatal(err)
	}
	a.claim(unit(1, "k")) // b could not give back what is a's
	if err := l.Release(a.ctx, "a", a.leases); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Claim(a.ctx, a.leases, []ledger.Unit{unit(2, "k")}); !errors.Is(err, ledger.ErrFenced) {
		t.Errorf("a claims with what it gave back: %v", err)
	}
	b := sit(t, l, "b") // a does not live any more: all is b's
	if err := l.Release(a.ctx, "a", a.leases); err != nil {
		t.Fatal(err)
	}
	b.claim(unit(2, "k"))
	states, err := l.Cursors(b.ctx, target)
	if err != nil || len(states) != broker.Partitions || states[5].Owner != "b" || states[5].Partition != 5 {
		t.Errorf("partitions: %+v, %v", states, err)
	}
}

func cursors(t *testing.T, l ledger.Ledger) {
	a := sit(t, l, "a")
	move := func(seq uint64, id string) {
		t.Helper()
		if err := l.Settle(a.ctx, "a", a.leases[3:4], []ledger.Cursor{{Lease: a.leases[3], Seq: seq, Unit: id}}, nil); err != nil {
			t.Fatal(err)
		}
	}
	move(7, "seven")
	move(5, "five")
	a.renew(long)
	if c := a.leases[3]; c.Cursor != 7 || c.CursorUnit != "seven" {
		t.Errorf("the cursor is at %d, %q", c.Cursor, c.CursorUnit)
	}
	move(8, "eight")
	if err := l.Release(a.ctx, "a", a.leases); err != nil {
		t.Fatal(err)
	}
	b := sit(t, l, "b")
	if c := b.leases[3]; c.Cursor != 8 || c.CursorUnit != "eight" || b.leases[4].Cursor != 0 {
		t.Errorf("the next owner finds the cursor at %d, %q", c.Cursor, c.CursorUnit)
	}
}

// contention lets four workers with two goroutines each lease, claim and settle
// as fast as they can, with leases that run out while they do, and every other
// time with those of the time before. A write that succeeds although a higher
// token was given out before it began is a violation.
func contention(t *testing.T, l ledger.Ledger) {
	const goal = 120
	var newest [broker.Partitions]atomic.Int64
	var recorded, fenced, violated, number atomic.Int64
	var group sync.WaitGroup
	deadline := time.Now().Add(60 * time.Second)
	enough := func() bool { return number.Load() >= goal && recorded.Load() > 10 && fenced.Load() > 10 }
	for w := range 4 {
		name := fmt.Sprintf("w%d", w)
		for range 2 {
			group.Go(func() {
				var before []ledger.Lease
				for n := w; !enough() && time.Now().Before(deadline); n++ {
					held, share, err := l.Lease(t.Context(), target, name, time.Duration(15+n%6*100)*time.Millisecond) // short ones run out in the middle; a slow machine needs the long ones
					if err != nil {
						t.Errorf("lease: %v", err)
						return
					}
					for _, le := range held {
						for seen := newest[le.Partition].Load(); seen < le.Token && !newest[le.Partition].CompareAndSwap(seen, le.Token); {
							seen = newest[le.Partition].Load()
						}
					}
					use := held
					if n%2 == 0 {
						use = before
					}
					before = held
					if len(use) == 0 {
						continue
					}
					le := use[n*7%len(use)]
					u := unit(int(number.Add(1)), "")
					u.Partition = le.Partition
					for _, write := range []func() error{
						func() error { _, err := l.Claim(t.Context(), []ledger.Lease{le}, []ledger.Unit{u}); return err },
						func() error {
							err := l.Settle(t.Context(), name, []ledger.Lease{le}, []ledger.Cursor{{Lease: le, Seq: u.Seq, Unit: u.ID}}, []ledger.Settlement{{Unit: applied(u)}})
							if err == nil {
								recorded.Add(1)
							}
							return err
						},
					} {
						seen := newest[le.Partition].Load()
						err := write()
						if err == nil && le.Token < seen {
							violated.Add(1)
						}
						if errors.Is(err, ledger.ErrFenced) {
							fenced.Add(1)
							break
						}
						if err != nil {
							t.Errorf("write: %v", err)
							return
						}
					}
					if over := len(held) - share; over > 0 {
						if err := l.Release(t.Context(), name, held[:over]); err != nil {
							t.Errorf("release: %v", err)
							return
						}
					}
				}
			})
		}
	}
	group.Wait()
	if violated.Load() != 0 || fenced.Load() == 0 || recorded.Load() == 0 {
		t.Errorf("%d writes were recorded, %d fenced, and %d recorded under a lease that was another's", recorded.Load(), fenced.Load(), violated.Load())
	}
	sums, err := l.Summary(t.Context())
	if err != nil || len(sums) != 1 || sums[0].Counts[ledger.Applied] != int(recorded.Load()) {
		t.Errorf("%d settlements succeeded, and the summary is %+v, %v", recorded.Load(), sums, err)
	}
	us, err := l.Units(t.Context(), ledger.Filter{Status: []ledger.Status{ledger.Applied}, Limit: 1000})
	if err != nil || len(us) != min(int(recorded.Load()), 1000) {
		t.Errorf("%d units are listed as applied, want %d or the limit (%v)", len(us), recorded.Load(), err)
	}
}
