package endtoend_test

import (
	"context"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/ops"
)

// BenchmarkCatchUp measures how fast a site's backlog comes to the hub after a
// cut: 1,200-byte ADTs that were accepted meanwhile. No worker runs: what they
// read goes on beside it. msg/s is from the link's return to the last
// confirmation; grown-MB is what the agent holds at most meanwhile, beyond what it held before.
func BenchmarkCatchUp(b *testing.B) {
	for range b.N {
		s := newSystem(b, 1, simulated.Config{})
		const senders = 64
		each := shorter(50_000, 3200) / senders
		s.load(senders, 500, 4, 0).wait()
		s.applied(senders * 4)
		s.workers[0].stop()
		s.link.Cut()
		s.load(senders, 500, each, 0).wait()
		site, err := ops.NewClient("http://"+s.agentOps, broker.NewSecret(token), "bench")
		if err != nil {
			b.Fatal(err)
		}
		waiting := func() int {
			st, err := site.Status(context.Background())
			if err != nil {
				return -1
			}
			return st.Sites[0].Feeds[0].Waiting
		}
		n := senders * each
		s.wait("the backlog", time.Minute, func() bool { return waiting() >= n })
		before, held, most, began := s.cpuOf(s.agent, s.hub), rss(b, s.agent.Pid()), 0.0, time.Now()
		s.link.Restore()
		for waiting() != 0 {
			if most = max(most, rss(b, s.agent.Pid())); time.Since(began) > 5*time.Minute {
				b.Fatal("the backlog does not end" + s.lastWords())
			}
			time.Sleep(20 * time.Millisecond)
		}
		took, after := time.Since(began), s.cpuOf(s.agent, s.hub)
		b.ReportMetric(float64(n)/took.Seconds(), "msg/s")
		for role := range after {
			b.ReportMetric((after[role]-before[role]).Seconds()*1e6/float64(n), role+"-µs/msg")
		}
		b.ReportMetric(most-held, "grown-MB")
		s.agent.stop() // writes the profiles, if they were asked for
		s.hub.stop()
	}
}

// cpuOf is what processes have used, each.
func (s *system) cpuOf(ps ...*process) map[string]time.Duration {
	s.t.Helper()
	used := map[string]time.Duration{}
	for _, p := range ps {
		used[p.role] += processorTime(s.t, p.Pid(), false)
	}
	return used
}
