package journal_test

import (
	"context"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker/journal"
)

// Nothing in memory may grow with the number of messages handled.
func TestMemoryDoesNotGrowWithWhatWasHandled(t *testing.T) {
	j := open(t, journal.Config{})
	ctx := context.Background()
	r, err := j.Read(ctx, "adt", journal.Position{})
	must(t, err)
	handled := int64(0)
	handle := func(until int64) uint64 {
		var last journal.Position
		for handled < until {
			must(t, j.Append(ctx, "adt", batch(handled, 1000, []byte("x"))...))
			handled += 1000
			for range 1000 {
				e, err := r.Next(ctx)
				must(t, err)
				last = e.Position
			}
			if handled%10_000 == 0 {
				n, err := j.Trim(ctx, "adt", last, time.Now().Add(time.Hour))
				must(t, err)
				if n != 10_000 {
					t.Fatalf("%d trimmed", n)
				}
			}
		}
		return heap()
	}
	small, large := handle(10_000), handle(100_000)
	t.Logf("heap %d KiB after 10,000 messages, %d KiB after 100,000", small>>10, large>>10)
	if large > small+4<<20 {
		t.Errorf("heap grows from %d to %d bytes", small, large)
	}
	if rss := resident(t); rss > 0 {
		t.Logf("resident %d MiB", rss>>20)
	}
}

// heap is what is reachable. Two collections empty the pools.
func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/statm")
	must(t, err)
	pages, err := strconv.ParseInt(strings.Fields(string(b))[1], 10, 64)
	must(t, err)
	return pages * int64(os.Getpagesize())
}
