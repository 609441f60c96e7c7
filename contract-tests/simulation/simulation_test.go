package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"testing/synctest"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/broker/worker"
)

// A simulation is one run: an agent with its link, some workers, and what they stand on.
type simulation struct {
	world   *world
	bus     *bus
	journal *journal
	odoo    *odoo

	mu     sync.Mutex // guards what follows, and the ledger and the target, so that the auditor sees one moment of both
	ledger *memory
	eras   int           // how often the ledger was set back
	skew   time.Duration // of the ledger's clock
	fails  int           // of 1000 calls of the ledger, before and after each
	tasks  []*task
	audit
	accepts   int
	corrected bool          // the mapping
	retention time.Duration // of the journal

	processes []*process // all that ever ran
	agent     *process
	workers   []*process // nil: does not run
	names     map[string]int
}

var urls = []string{"nats://127.0.0.1:4222"}

func newSimulation(seed uint64) *simulation {
	s := &simulation{world: newWorld(seed), journal: newJournal(), audit: newAudit(), names: map[string]int{}}
	s.ledger = newMemory(func() time.Time { return time.Now().Add(s.skew) })
	s.bus = newBus(s.world)
	s.bus.sends, s.bus.asked = s.stored, s.looked
	c := s.bus.store["DOWN"].consume(stream.Remaps(site), 1, stream.DownSubject(site, stream.DownRemap, ">"))
	c.acks = true
	s.odoo = newOdoo(s)
	s.retention = []time.Duration{20 * time.Second, time.Hour}[s.world.chance("retention").IntN(2)]
	s.tasks = newTasks(s.world)
	for _, t := range s.tasks {
		s.byUnit[t.unit], s.byName[t.name] = t, t
	}
	for _, t := range s.tasks {
		if t.fate == defers && s.byName[t.needs] == nil {
			t.fate = fine
		}
	}
	return s
}

func (s *simulation) era() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.eras
}

func (s *simulation) ledgerFails(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n < s.fails
}

// process names the next run of a program.
func (s *simulation) process(name string) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names[name]++
	p := newProcess(s.world, fmt.Sprintf("%s.%d", name, s.names[name]))
	s.processes = append(s.processes, p)
	return p
}

func (s *simulation) logger(p *process) *slog.Logger {
	if os.Getenv("SIMULATION_LOG") == "" {
		return nil
	}
	return slog.New(slog.NewTextHandler(os.Stderr, nil)).With("process", p.name)
}

func (s *simulation) startAgent() {
	p := s.process("agent")
	s.world.note("FAULT", p.name+" starts")
	p.start(func(ctx context.Context) error {
		l, err := link.New(link.Config{Bundle: &link.Bundle{Role: "site", Name: site, Tenant: tenant}, URLs: urls, Dialer: dialer{s.bus, p}, Feeds: feeds, Journal: shelf{s.journal, p},
			Map: func(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) { return s.mapping(ctx, p, m) }, Retention: s.retention, TrimEvery: 5 * time.Second, Logger: s.logger(p)})
		if err != nil {
			return err
		}
		return l.Run(ctx)
	})
	s.mu.Lock()
	s.agent = p
	s.mu.Unlock()
}

func (s *simulation) mapping(ctx context.Context, p *process, m *broker.Message) ([]*broker.Unit, error) {
	return reaches(ctx, p, ".map."+m.SenderID+m.Feed, 50*time.Microsecond, 3*time.Millisecond, func() ([]*broker.Unit, error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		return []*broker.Unit{s.byName[string(m.Body)].mapped(s.corrected)}, nil
	})
}

// startWorker starts the n-th worker.
func (s *simulation) startWorker(n int) {
	p := s.process(fmt.Sprintf("worker%d", n))
	s.world.note("FAULT", p.name+" starts")
	p.start(func(ctx context.Context) error {
		nc, err := link.Connect(&link.Bundle{Role: "worker", Name: "worker", Tenant: tenant}, link.Dial{URLs: urls, Dialer: dialer{s.bus, p}, Logger: s.logger(p)})
		if err != nil {
			return err
		}
		defer nc.Close()
		js, err := jetstream.New(nc)
		if err != nil {
			return err
		}
		w, err := worker.New(js, &desk{s: s, p: p}, worker.Config{Name: p.name, Grace: 4 * time.Second, Logger: s.logger(p),
			Remap: func(ctx context.Context, u ledger.Unit, request string) error {
				p.goesOn()
				return stream.RequestRemap(ctx, js, u.Site, stream.Remap{Message: u.MessageID, Feed: u.Feed, Request: request})
			},
			Targets: map[string]worker.TargetConfig{target: {Target: caller{s.odoo, p}, Concurrency: 4, Take: 12, ApplyTimeout: 8 * time.Second, RetryMin: 200 * time.Millisecond, RetryMax: 5 * time.Second,
				MaxAttempts: 4, DeferFor: 40 * time.Second, Breaker: worker.BreakerConfig{ProbeMax: 4 * time.Second}}}})
		if err != nil {
			return err
		}
		return w.Run(ctx)
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.workers) <= n {
		s.workers = append(s.workers, nil)
	}
	s.workers[n] = p
}

// source gives the agent the messages of one feed, one after the other, each again until it is accepted.
func (s *simulation) source(feed string) {
	gap := s.world.chance("source." + feed)
	burst := 0
	for _, t := range s.tasks {
		if t.feed != feed {
			continue
		}
		if burst--; burst < 0 { // else at once after the one before
			time.Sleep(time.Duration(gap.Int64N(int64(4 * time.Second))))
			burst = gap.IntN(6)
		}
		time.Sleep(time.Duration(gap.Int64N(int64(5 * time.Millisecond))))
		for again := true; again; {
			s.mu.Lock()
			a := s.agent
			s.mu.Unlock()
			if a == nil || a.isDead() {
				time.Sleep(time.Duration(gap.Int64N(int64(300 * time.Millisecond))))
				continue
			}
			a.goesOn()
			t.msg.ReceivedAt = time.Now().UTC()
			s.mu.Lock()
			s.journal.append(t.msg)
			if t.accepted == 0 {
				s.accepted(t)
			}
			s.mu.Unlock()
			again = gap.IntN(40) == 0 // the acknowledgement was lost, and it is long ago that the journal knew
		}
	}
}

// run is one whole run. It returns what does not hold, nil if all does.
func (s *simulation) run(faults []fault) {
	s.startAgent()
	for n := range 1 + s.world.chance("workers").IntN(3) {
		s.startWorker(n)
	}
	var sources sync.WaitGroup
	for _, f := range feeds {
		sources.Go(func() { s.source(f) })
	}
	for _, f := range faults {
		time.Sleep(time.Until(s.world.began.Add(f.at)))
		f.do(s)
		if s.world.fault() != nil {
			break
		}
	}
	s.calm()
	sources.Wait()
	s.settle()
	s.end()
}

// calm ends all faults.
func (s *simulation) calm() {
	s.world.note("FAULT", "all faults are over")
	s.mu.Lock()
	s.fails, s.odoo.down, s.odoo.flaky, s.odoo.healed, s.corrected = 0, time.Time{}, time.Time{}, true, true
	agent, workers := s.agent, slices.Clone(s.workers)
	s.mu.Unlock()
	if agent == nil {
		s.startAgent()
	} else {
		agent.thaw()
	}
	any := false
	for _, p := range workers {
		if p != nil {
			p.thaw()
			any = true
		}
	}
	if !any {
		s.startWorker(0)
	}
}

// settle waits until everything is as it is to be.
func (s *simulation) settle() {
	for until := time.Now().Add(settleWithin); s.world.fault() == nil; {
		time.Sleep(s.world.between("settle", 4*time.Second, 5*time.Second))
		what, about := s.unsettled()
		if what == "" {
			break
		}
		if time.Now().After(until) {
			s.world.breach(about, "%s after the faults are over: %s", settleWithin, what)
			return
		}
		switch n := s.world.chance("settle").IntN(10); {
		case n < 3:
			s.operator()
		case n < 5 && time.Until(until) < settleWithin-time.Minute: // a person gives up what a replay can not bring back
			s.discards()
		}
	}
}

// end stops all that runs, in an orderly way.
func (s *simulation) end() {
	s.mu.Lock()
	all := slices.Clone(s.processes)
	s.mu.Unlock()
	for _, p := range all {
		p.thaw()
		p.stop()
	}
	for _, p := range all {
		<-p.done
	}
	synctest.Wait()
	if s.world.fault() == nil {
		if what, about := s.unsettled(); what != "" {
			s.world.breach(about, "at the end %s", what)
		}
	}
}
