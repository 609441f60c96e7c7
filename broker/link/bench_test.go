//go:build unix

package link

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/hub"
)

// BenchmarkLane sends a backlog of 1,200-byte messages, one unit each, to a
// hub in the same process: R1, sync_interval always. cpu-us/unit is of both.
func BenchmarkLane(b *testing.B) {
	for _, backlog := range []int{1, 20, 200, 20000} {
		b.Run(fmt.Sprintf("backlog=%d", backlog), func(b *testing.B) {
			c, j := newCloud(b, hub.Config{}), newMemory()
			l, _ := running(b, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne})
			until(b, "the link is up", func() bool { return l.State(b.Context()).Connected })
			body := strings.Repeat("x", 1200)
			sent := 0
			var busy time.Duration
			before := cpu(b)
			for b.Loop() {
				j.fill(backlog, body)
				sent += backlog
				began := time.Now()
				for l.lanes["adt"].position().Seq < uint64(sent) {
					time.Sleep(50 * time.Microsecond)
				}
				busy += time.Since(began)
			}
			b.ReportMetric(float64(sent)/busy.Seconds(), "units/s")
			b.ReportMetric(float64((cpu(b)-before).Microseconds())/float64(sent), "cpu-us/unit")
		})
	}
}

func cpu(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
