package scale

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/internal/app/demo"
)

// A ward is what one connection sends: messages of its own patients, with control ids that no other has.
type ward struct {
	n          uint64
	admissions *demo.Admissions
	sent       int

	patients int    // how many there are; then each message is of the next one, from the first on
	first    bool   // all are of the first patient
	not      string // none is of the patient of this number
}

// newWards returns this many, each with so many patients. first tells them from those of other loads.
func newWards(first, n, patients int) []*ward {
	all := make([]*ward, n)
	for i := range all {
		all[i] = &ward{n: uint64(first + i), admissions: demo.NewAdmissions(uint64(first+i), patients)}
	}
	return all
}

// next is the next message.
func (w *ward) next() []byte {
	var m demo.Admission
	switch {
	case w.first:
		m = w.admissions.Of(0)
	case w.patients > 0:
		m = w.admissions.Of(w.sent % w.patients)
	default:
		m = w.admissions.Next()
		for w.not != "" && m.MRN == w.not {
			m = w.admissions.Next()
		}
	}
	w.sent++
	return bytes.Replace(m.Body, []byte(m.ControlID), fmt.Appendf(nil, "W%dN%d", w.n, w.sent), 1)
}

// A load is messages that were sent and answered.
type load struct {
	took time.Duration
	acks []time.Duration // sorted
}

func (l *load) at(q float64) float64 { return quantile(l.acks, q) }

func (l *load) rate() float64 { return float64(len(l.acks)) / l.took.Seconds() }

// quantile of sorted durations, in ms.
func quantile(sorted []time.Duration, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return float64(sorted[min(len(sorted)-1, int(q*float64(len(sorted))))].Microseconds()) / 1000
}

// flood sends n messages in all, each ward over a connection of its own to the address that it has, and as
// soon as it was answered. It ends when all are acknowledged, or one is refused.
func flood(ctx context.Context, addrs []string, wards []*ward, n int, progress func(done int)) (*load, error) {
	return send(ctx, addrs, wards, n, 0, progress)
}

// pace sends so many messages a second, all wards together, for a time, however long answers take: what a message waits
// for the one before it counts as its own time.
func pace(ctx context.Context, addrs []string, wards []*ward, rate float64, d time.Duration, progress func(done int)) (*load, error) {
	return send(ctx, addrs, wards, int(rate*d.Seconds()), rate, progress)
}

func send(ctx context.Context, addrs []string, wards []*ward, n int, rate float64, progress func(done int)) (*load, error) {
	conns := make([]*demo.Sender, len(wards))
	for i := range wards {
		var err error
		if conns[i], err = demo.Dial(ctx, addrs[i%len(addrs)]); err != nil {
			return nil, err
		}
		defer conns[i].Close()
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var done, next atomic.Int64
	acks := make([][]time.Duration, len(wards))
	began := time.Now()
	var senders sync.WaitGroup
	for i, w := range wards {
		senders.Go(func() {
			for ctx.Err() == nil {
				no := next.Add(1) - 1
				if no >= int64(n) {
					return
				}
				body := w.next()
				at := time.Now()
				if rate > 0 {
					due := began.Add(time.Duration(float64(no) / rate * float64(time.Second)))
					if wait := due.Sub(at); wait > 0 {
						time.Sleep(wait)
					}
					at = due
				}
				once, end := context.WithTimeout(ctx, time.Minute)
				code, _, err := conns[i].Send(once, body)
				end()
				if err != nil || code != "CA" && code != "AA" {
					cancel(fmt.Errorf("a message was answered %q, %v", code, err))
					return
				}
				acks[i] = append(acks[i], time.Since(at))
				if d := done.Add(1); d%64 == 0 {
					progress(int(d))
				}
			}
		})
	}
	senders.Wait()
	l := &load{took: time.Since(began), acks: slices.Concat(acks...)}
	slices.Sort(l.acks)
	return l, context.Cause(ctx)
}
