package journal_test

import (
	"bytes"
	"context"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

// The size of an ADT message (MSH to IN1) in the field.
var adt = bytes.Repeat([]byte("PID|1||X\r"), 134)[:1200]

func BenchmarkAppend(b *testing.B) {
	for _, senders := range []int{1, 8, 64} {
		b.Run(fmt.Sprintf("senders=%d", senders), func(b *testing.B) {
			j := open(b, journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 8 << 30}}})
			measure(b, senders, func(i int64) error {
				return j.Append(context.Background(), "adt", message("adt", i, adt))
			})
		})
	}
}

func BenchmarkAppendStep(b *testing.B) {
	for _, size := range []int{10, 100, 1000} {
		b.Run(fmt.Sprintf("messages=%d", size), func(b *testing.B) {
			j := open(b, journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 8 << 30}}})
			measure(b, 1, func(i int64) error {
				ms := make([]*broker.Message, size)
				for k := range ms {
					ms[k] = message("adt", i*int64(size)+int64(k), adt)
				}
				return j.Append(context.Background(), "adt", ms...)
			})
			b.ReportMetric(float64(b.N*size)/b.Elapsed().Seconds(), "messages/s")
		})
	}
}

// BenchmarkBarePublishAlways is the yardstick: one publisher, one message at a
// time, a server that syncs each.
func BenchmarkBarePublishAlways(b *testing.B) {
	js := bare(b, b.TempDir(), true)
	measure(b, 1, func(i int64) error {
		m := message("adt", i, adt)
		_, err := js.Publish(context.Background(), "journal.adt."+broker.ShortID(m.ID), m.Body)
		return err
	})
}

// BenchmarkLoneSender takes turns with the yardstick, so that what else the
// machine does falls on both, and reports the ratio of their times.
func BenchmarkLoneSender(b *testing.B) {
	js := bare(b, b.TempDir(), true)
	j := open(b, journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 8 << 30}}})
	ctx := context.Background()
	var yard, ours time.Duration
	for i := int64(0); b.Loop(); i++ {
		m := message("adt", i, adt)
		start := time.Now()
		if _, err := js.Publish(ctx, "journal.adt."+broker.ShortID(m.ID), m.Body); err != nil {
			b.Fatal(err)
		}
		between := time.Now()
		if err := j.Append(ctx, "adt", m); err != nil {
			b.Fatal(err)
		}
		yard, ours = yard+between.Sub(start), ours+time.Since(between)
	}
	b.ReportMetric(float64(ours.Microseconds())/float64(b.N), "append-µs")
	b.ReportMetric(float64(yard.Microseconds())/float64(b.N), "bare-µs")
	b.ReportMetric(float64(ours)/float64(yard), "ratio")
}

func BenchmarkRead(b *testing.B) {
	j := open(b, journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 8 << 30}}})
	ctx := context.Background()
	const step = 1000
	for i := 0; i < 40*step; i += step {
		ms := make([]*broker.Message, step)
		for k := range ms {
			ms[k] = message("adt", int64(i+k), adt)
		}
		if err := j.Append(ctx, "adt", ms...); err != nil {
			b.Fatal(err)
		}
	}
	var r *journal.Reader
	left := 0
	measure(b, 1, func(int64) (err error) {
		if left == 0 {
			if r, err = j.Read(ctx, "adt", journal.Position{}); err != nil {
				return err
			}
			left = 40 * step
		}
		left--
		_, err = r.Next(ctx)
		return err
	})
}

// measure calls do b.N times from this many goroutines and reports the rate
// and the CPU time of the process for each.
func measure(b *testing.B, senders int, do func(i int64) error) {
	var next atomic.Int64
	var wg sync.WaitGroup
	runtime.GC()
	cpu := cpuTime()
	b.ResetTimer()
	for range senders {
		wg.Go(func() {
			for i := next.Add(1); i <= int64(b.N); i = next.Add(1) {
				if err := do(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.ReportMetric(float64((cpuTime()-cpu).Microseconds())/float64(b.N), "cpu-µs/call")
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// bare is a plain embedded server with one stream, as anybody would set it up.
func bare(tb testing.TB, dir string, always bool) jetstream.JetStream {
	tb.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: dir, SyncAlways: always, SyncInterval: 2 * time.Minute})
	if err != nil {
		tb.Fatal(err)
	}
	srv.Start()
	tb.Cleanup(func() { srv.Shutdown(); srv.WaitForShutdown() })
	if !srv.ReadyForConnections(10 * time.Second) {
		tb.Fatal("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := js.CreateStream(context.Background(), jetstream.StreamConfig{Name: "JOURNAL_adt", Subjects: []string{"journal.adt.*"}, Storage: jetstream.FileStorage, Discard: jetstream.DiscardNew, MaxBytes: 8 << 30}); err != nil {
		tb.Fatal(err)
	}
	return js
}
