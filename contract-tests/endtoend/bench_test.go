package endtoend_test

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/ops"
)

// shorter is set by `make bench BENCH=-short`: enough to see that it runs.
func shorter(full, short int) int {
	if os.Getenv("VAGUS_BENCH_SHORT") != "" {
		return short
	}
	return full
}

// BenchmarkAccept measures a sender's view: a 1,200-byte ADT by MLLP, on disk
// before its acknowledgement.
func BenchmarkAccept(b *testing.B) {
	for _, connections := range []int{1, 8, 64} {
		b.Run("connections="+strconv.Itoa(connections), func(b *testing.B) { accept(b, connections) })
	}
}

// BenchmarkAcceptToBare measures one sender against bare JetStream publishes,
// one at a time, with an fsync for each: by a client over TCP, as the sender is
// one, and by one inside the server's process, which no network crosses. They
// take turns, so that all see the same disk at the same time.
func BenchmarkAcceptToBare(b *testing.B) {
	srv, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, JetStream: true, StoreDir: b.TempDir(), SyncAlways: true, NoSigs: true, NoLog: true})
	if err != nil {
		b.Fatal(err)
	}
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	if !srv.ReadyForConnections(10 * time.Second) {
		b.Fatal("the server does not start")
	}
	publisher := func(opts ...nats.Option) func([]byte) {
		nc, err := nats.Connect(srv.ClientURL(), opts...)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(nc.Close)
		js, err := jetstream.New(nc)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := js.CreateOrUpdateStream(b.Context(), jetstream.StreamConfig{Name: "BARE", Subjects: []string{"bare.>"}}); err != nil {
			b.Fatal(err)
		}
		return func(body []byte) {
			if _, err := js.Publish(b.Context(), "bare.x", body); err != nil {
				b.Fatal(err)
			}
		}
	}
	bare, inProcess := publisher(), publisher(nats.InProcessServer(srv))
	site := newIntake(b)
	sender, err := demo.Dial(b.Context(), site.addr)
	if err != nil {
		b.Fatal(err)
	}
	defer sender.Close()
	accepted := func(body []byte) {
		if code, _, err := sender.Send(b.Context(), body); err != nil || code != "CA" {
			b.Fatalf("answered %q, %v", code, err)
		}
	}
	admissions := demo.NewAdmissions(1, 20)
	turn := func(one func([]byte)) float64 {
		began := time.Now()
		for range 100 {
			one(admissions.Next().Body)
		}
		return time.Since(began).Seconds()
	}
	var toBare, toInProcess []float64
	for range b.N {
		theirs, inside, ours := turn(bare), turn(inProcess), turn(accepted)
		toBare, toInProcess = append(toBare, ours/theirs), append(toInProcess, ours/inside)
	}
	slices.Sort(toBare)
	slices.Sort(toInProcess)
	b.ReportMetric(toBare[len(toBare)/2], "×bare")
	b.ReportMetric(toInProcess[len(toInProcess)/2], "×in-process")
}

// An intake is a source and its journal, and nothing behind them.
type intake struct{ addr string }

func newIntake(b *testing.B) intake {
	b.Helper()
	j, err := journal.Open(b.Context(), journal.Config{Dir: filepath.Join(b.TempDir(), "journal"), Feeds: []journal.Feed{{Name: "adt", MaxBytes: 8 << 30}}})
	if err != nil {
		b.Fatal(err)
	}
	src, err := hl7.New(broker.Origin{Tenant: "main", Site: "north", Feed: "adt"}, hl7.Config{Listen: "127.0.0.1:0"})
	if err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- src.Run(ctx, func(ctx context.Context, ms ...*broker.Message) error { return j.Append(ctx, "adt", ms...) })
	}()
	b.Cleanup(func() { stop(); <-ended; _ = j.Close() })
	for src.Addr() == nil {
		time.Sleep(time.Millisecond)
	}
	return intake{src.Addr().String()}
}

func accept(b *testing.B, connections int) {
	site := newIntake(b)
	ctx := b.Context()
	var err error
	senders := make([]*demo.Sender, connections)
	bodies := make([][][]byte, connections)
	for i := range senders {
		if senders[i], err = demo.Dial(ctx, site.addr); err != nil {
			b.Fatal(err)
		}
		defer senders[i].Close()
		a := demo.NewAdmissions(uint64(i), 20)
		for range b.N/connections + 1 {
			m := a.Next()
			bodies[i] = append(bodies[i], []byte(strings.Replace(string(m.Body), m.ControlID, fmt.Sprintf("S%02d%s", i, m.ControlID), 1)))
		}
	}
	var left atomic.Int64
	left.Store(int64(b.N))
	var wg sync.WaitGroup
	b.ResetTimer()
	for i, s := range senders {
		wg.Go(func() {
			for n := 0; left.Add(-1) >= 0 && n < len(bodies[i]); n++ {
				if code, _, err := s.Send(ctx, bodies[i][n]); err != nil || code != "CA" {
					b.Errorf("answered %q, %v", code, err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
}

// BenchmarkEndToEnd sends a backlog by MLLP and measures until all of it is
// applied: messages for each second of processor time of agent, hub, worker and
// PostgreSQL together. Odoo and the senders are in the test's own process and
// do not count.
func BenchmarkEndToEnd(b *testing.B) {
	for range b.N {
		s := newSystem(b, 1, simulated.Config{})

		senders, err := strconv.Atoi(cmp.Or(os.Getenv("SENDERS"), "64"))
		if err != nil {
			b.Fatal(err)
		}
		each := shorter(20000, 400) / senders
		s.load(senders, 500, 20, 0).wait() // warm up: connections, caches, plans
		s.applied(senders * 20)
		before, calls, all, commits, began := s.cpu(), s.odoo.Calls()["res.partner.load"], s.odooCalls(), s.commits(), time.Now()
		s.load(senders, 500, each, 0).wait()
		b.ReportMetric(float64(senders*each)/time.Since(began).Seconds(), "accepted/s")
		s.applied(senders * (20 + each))
		took, after := time.Since(began), s.cpu()
		n, used := float64(senders*each), time.Duration(0)
		for name := range after {
			part := after[name] - before[name]
			used += part
			b.ReportMetric(part.Seconds()*1e6/n, name+"-µs/msg")
		}
		loads := s.odoo.Calls()["res.partner.load"]
		b.ReportMetric(n/used.Seconds(), "msg/cpu-s")
		b.ReportMetric(n/float64(s.commits()-commits), "msg/commit")
		b.ReportMetric(n/float64(s.odooCalls()-all), "msg/odoo-call")
		b.ReportMetric(n/took.Seconds(), "msg/s")
		b.ReportMetric(float64(loads.Rows-calls.Rows)/float64(max(1, loads.Calls-calls.Calls)), "upserts/call")
		for _, p := range []*process{s.agent, s.hub, s.workers[0]} {
			b.ReportMetric(rss(b, p.Pid()), p.role+"-MB")
			p.stop() // writes the profile, if one was asked for
		}
	}
}

// odooCalls is how often Odoo was called, by any method.
func (s *system) odooCalls() (n int) {
	for _, c := range s.odoo.Calls() {
		n += c.Calls
	}
	return n
}

// commits is how many transactions of the ledger's database were committed. The
// server's own count comes a second late at most.
func (s *system) commits() (n int64) {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, "SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()").Scan(&n); err != nil {
		s.t.Fatal(err)
	}
	return n
}

// BenchmarkAgentAtRest measures the resident memory of an agent that has
// nothing to do.
func BenchmarkAgentAtRest(b *testing.B) {
	for range b.N {
		s := newSystem(b, 1, simulated.Config{})
		s.load(1, 1, 1, 0).wait()
		s.applied(1)
		time.Sleep(3 * time.Second)
		b.ReportMetric(rss(b, s.agent.Pid()), "MB")
	}
}

// BenchmarkHeapGrowth compares what agent and worker hold after 10,000 messages
// and after 100,000, each time with a journal that has forgotten them: what it
// keeps costs memory for its index, by design. Buffers and caches fill up to
// their bounds meanwhile; one id kept of each message would be 32 bytes.
func BenchmarkHeapGrowth(b *testing.B) {
	for range b.N {
		s := newSystemKeeping(b, 1, simulated.Config{}, "", "1s")
		few, many := shorter(10_000, 200), shorter(100_000, 2000)
		s.load(8, 200, few/8, 0).wait()
		s.applied(few / 8 * 8)
		s.trimmed()
		agent, worker := s.agent.heap(), s.workers[0].heap()
		s.load(8, 200, (many-few)/8, 0).wait()
		s.applied(few/8*8 + (many-few)/8*8)
		s.trimmed()
		agentNow, workerNow := s.agent.heap(), s.workers[0].heap()
		b.ReportMetric((agentNow-agent)/float64(many-few), "agent-B/msg")
		b.ReportMetric((workerNow-worker)/float64(many-few), "worker-B/msg")
		b.ReportMetric(agentNow/(1<<20), "agent-MB")
		b.ReportMetric(workerNow/(1<<20), "worker-MB")
	}
}

// trimmed waits until the journal has forgotten what the cloud has.
func (s *system) trimmed() {
	s.t.Helper()
	site, err := ops.NewClient("http://"+s.agentOps, broker.NewSecret(token), "bench")
	if err != nil {
		s.t.Fatal(err)
	}
	s.wait("the journal being trimmed", 5*time.Minute, func() bool {
		st, err := site.Status(context.Background())
		return err == nil && st.Sites[0].Feeds[0].JournalBytes < 64<<10
	})
}

// applied waits until this many units are applied.
func (s *system) applied(n int) {
	s.t.Helper()
	api := s.api()
	s.wait(fmt.Sprintf("%d units being applied", n), 10*time.Minute, func() bool { return s.countApplied(api) >= n })
}

// countApplied is 0 while the worker does not answer.
func (s *system) countApplied(api *ops.Client) (n int) {
	st, err := api.Status(context.Background())
	if err != nil {
		return 0
	}
	for _, l := range st.Lanes {
		n += l.Counts["applied"]
	}
	return n
}

// cpu is what agent, hub, workers and PostgreSQL have used, each.
func (s *system) cpu() map[string]time.Duration {
	s.t.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, s.dsn)
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close(ctx)
	var backend int
	if err := conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&backend); err != nil {
		s.t.Fatal(err)
	}
	postmaster := parent(s.t, backend)
	used := map[string]time.Duration{"postgres": processorTime(s.t, postmaster, true)}
	for _, pid := range children(s.t, postmaster) {
		used["postgres"] += processorTime(s.t, pid, false)
	}
	for _, p := range append([]*process{s.agent, s.hub}, s.workers...) {
		used[p.role] += processorTime(s.t, p.Pid(), false)
	}
	return used
}

// stat returns the fields of /proc/<pid>/stat after the command's name: field
// 3 (state) is the first.
func stat(t testing.TB, pid int) []string {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
}

func parent(t testing.TB, pid int) int {
	n, _ := strconv.Atoi(stat(t, pid)[1])
	return n
}

func children(t testing.TB, pid int) (pids []int) {
	t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			continue // it has just ended
		}
		fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
		if len(fields) > 1 && fields[1] == strconv.Itoa(pid) {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			pids = append(pids, n)
		}
	}
	return pids
}

// processorTime is utime + stime of a process, with those of its ended children if asked.
func processorTime(t testing.TB, pid int, ended bool) time.Duration {
	const tick = 10 * time.Millisecond // USER_HZ is 100 on every Linux that Go runs on
	f := stat(t, pid)
	n := 13
	if ended {
		n = 15
	}
	var sum time.Duration
	for _, s := range f[11:n] {
		v, _ := strconv.Atoi(s)
		sum += time.Duration(v) * tick
	}
	return sum
}

// rss is a process's resident memory in MB.
func rss(t testing.TB, pid int) float64 {
	pages, _ := strconv.Atoi(stat(t, pid)[21])
	return float64(pages) * float64(os.Getpagesize()) / (1 << 20)
}

// heap asks a child for the bytes that it holds after a collection.
func (p *process) heap() float64 {
	p.t.Helper()
	file := p.conf + ".heap"
	_ = os.Remove(file)
	if err := syscall.Kill(p.Pid(), syscall.SIGUSR1); err != nil {
		p.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if data, err := os.ReadFile(file); err == nil {
			v, err := strconv.ParseFloat(string(data), 64)
			if err != nil {
				p.t.Fatal(err)
			}
			return v
		}
	}
	p.t.Fatal("the child does not tell its heap")
	return 0
}
