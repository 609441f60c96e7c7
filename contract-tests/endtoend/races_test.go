package endtoend_test

import "testing"

func TestARaceCountsUnlessBothAccessesAreTheServersOwn(t *testing.T) {
	t.Parallel()
	const (
		server = "  github.com/nats-io/nats-server/v2/server.(*Server).sendAccConnsUpdate()\n      events.go:2399 +0x1\n"
		ours   = "  github.com/vagus-health/vagus/broker/hub.Start()\n      hub.go:1 +0x1\n"
		atomic = "  sync/atomic.CompareAndSwapInt32()\n      race_amd64.s:367 +0xb\n"
		first  = "\nRead at 0x00c0 by goroutine 1:\n"
		second = "\nPrevious write at 0x00c0 by goroutine 2:\n"
		made   = "\nGoroutine 1 (running) created at:\n" + server
	)
	for report, want := range map[string]bool{
		first + server + second + server + made:          false,
		first + atomic + server + second + server + made: false,
		first + atomic + ours + second + server + made:   true,
		first + ours + server + second + server + made:   true,
		first + server + second + ours + server + made:   true,
		first + server + made:                            true,
	} {
		if got := counts([]byte(report)); got != want {
			t.Errorf("%v of:%s", got, report)
		}
	}
}
