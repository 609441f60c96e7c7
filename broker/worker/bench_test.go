package worker

import (
	"context"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// atOnce is a target that answers at once.
type atOnce struct{ n, calls atomic.Int64 }

func (t *atOnce) Apply(_ context.Context, us []*broker.Unit) ([]broker.Outcome, error) {
	t.n.Add(int64(len(us)))
	t.calls.Add(1)
	return make([]broker.Outcome, len(us)), nil
}

func (t *atOnce) Check(context.Context) error { return nil }

func cpu() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkBacklog delivers b.N units that wait in the stream, of about 1,200
// bytes and of 2,000 keys. cpu-µs/unit is all of this process: worker, embedded
// nats-server and, with SQLite, the ledger.
func BenchmarkBacklog(b *testing.B) {
	for _, store := range []struct {
		name string
		open func(testing.TB) ledger.Ledger
	}{{"postgres", newLedger}, {"sqlite", newFileLedger}} {
		b.Run(store.name, func(b *testing.B) {
			h, l := newHub(b), store.open(b)
			var us []*broker.Unit
			for i := range b.N {
				u := unit(fmt.Sprint("k", i%2000), i/2000+1)
				for f := range 30 {
					u.Ops[0].Vals[fmt.Sprint("field_", f)] = "a value of a field"
				}
				us = append(us, u)
				if len(us) == 1000 || i == b.N-1 {
					h.send(us...)
					us = us[:0]
				}
			}
			tg := &atOnce{}
			w, err := New(h.js, l, Config{Name: "w", Targets: map[string]TargetConfig{"odoo": {Target: tg}}})
			if err != nil {
				b.Fatal(err)
			}
			ctx, stop := context.WithCancel(b.Context())
			defer stop()
			done := make(chan error)
			b.ResetTimer()
			used := cpu()
			go func() { done <- w.Run(ctx) }()
			until(b, "all settled", func() bool { return w.Status()[0].Settled >= uint64(b.N) })
			b.StopTimer()
			b.ReportMetric(float64(cpu()-used)/float64(time.Microsecond)/float64(b.N), "cpu-µs/unit")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "units/s")
			b.ReportMetric(float64(tg.n.Load())/float64(tg.calls.Load()), "units/call")
			stop()
			if err := <-done; err != nil {
				b.Fatal(err)
			}
		})
	}
}
