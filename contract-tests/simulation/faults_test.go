package simulation

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// A fault is something that goes wrong, or that a person does, at a moment of a run.
type fault struct {
	n    int // its number in the run
	at   time.Duration
	name string
	do   func(*simulation)
}

const lastFault = 45 * time.Second

// newFaults draws what goes wrong in a run.
func newFaults(seed uint64) (all []fault) {
	r := rand.New(rand.NewPCG(seed, 7))
	kinds := []func(*rand.Rand) (string, func(*simulation)){crashAgent, crashWorker, crashWorker, pauseAgent, pauseWorker, pauseAtCall, pauseAtCall, cutAgent, cutWorker, holdUpAgent, holdUpWorker,
		hubDown, hubForgets, ledgerFails, ledgerFails, ledgerSetBack, clockJumps, stopWorker, startWorker, targetDown, targetFlaky, targetFlaky, replayAsked, replayAsked, discard}
	if r.IntN(2) == 0 { // one kind only, or a few
		r.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		kinds = kinds[:1+r.IntN(4)]
	}
	for range r.IntN(14) {
		name, do := kinds[r.IntN(len(kinds))](r)
		all = append(all, fault{at: time.Second + time.Duration(r.Int64N(int64(lastFault))), name: name, do: do})
	}
	slices.SortFunc(all, func(a, b fault) int { return int(a.at - b.at) })
	for i := range all {
		all[i].n = i + 1
		name, do := all[i].name, all[i].do
		all[i].do = func(s *simulation) {
			s.world.note("FAULT", name)
			do(s)
		}
	}
	return all
}

func span(r *rand.Rand, lo, hi time.Duration) time.Duration {
	return lo + time.Duration(r.Int64N(int64(hi-lo)))
}

// later does something after a while, unless the faults are over by then.
func (s *simulation) later(d time.Duration, f func()) {
	time.AfterFunc(d, func() {
		if time.Since(s.world.began) < lastFault+time.Second {
			f()
		}
	})
}

// running returns the n-th of the workers that run, nil if none does.
func (s *simulation) running(n int) (p *process, at int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []int
	for i, p := range s.workers {
		if p != nil {
			all = append(all, i)
		}
	}
	if len(all) == 0 {
		return nil, 0
	}
	at = all[n%len(all)]
	return s.workers[at], at
}

func (s *simulation) agentNow() *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.agent
}

func crashAgent(r *rand.Rand) (string, func(*simulation)) {
	back := span(r, 50*time.Millisecond, 8*time.Second)
	return fmt.Sprintf("the agent is killed, for %s", back), func(s *simulation) {
		p := s.agentNow()
		if p == nil {
			return
		}
		s.mu.Lock()
		s.agent = nil
		s.mu.Unlock()
		p.kill()
		s.later(back, func() {
			if s.agentNow() == nil {
				s.startAgent()
			}
		})
	}
}

func crashWorker(r *rand.Rand) (string, func(*simulation)) {
	back, n := span(r, 50*time.Millisecond, 8*time.Second), r.IntN(4)
	return fmt.Sprintf("worker [%d] is killed, for %s", n, back), func(s *simulation) {
		if _, at := s.running(n); s.killWorker(at) {
			s.later(back, func() { s.startAgain(at) })
		}
	}
}

func (s *simulation) killWorker(at int) bool {
	s.mu.Lock()
	var p *process
	if at < len(s.workers) {
		p = s.workers[at]
		s.workers[at] = nil
	}
	s.mu.Unlock()
	if p != nil {
		s.world.note("FAULT", p.name+" is killed")
		p.kill()
	}
	return p != nil
}

func (s *simulation) startAgain(at int) {
	s.mu.Lock()
	runs := s.workers[at] != nil
	s.mu.Unlock()
	if !runs {
		s.startWorker(at)
	}
}

func pauseAgent(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, 100*time.Millisecond, 25*time.Second)
	return fmt.Sprintf("the agent is paused, for %s", d), func(s *simulation) { s.pause(s.agentNow(), d) }
}

func pauseWorker(r *rand.Rand) (string, func(*simulation)) {
	d, n := span(r, 100*time.Millisecond, 9*time.Second), r.IntN(4)
	return fmt.Sprintf("worker [%d] is paused, for %s", n, d), func(s *simulation) {
		p, _ := s.running(n)
		s.pause(p, d)
	}
}

// pauseAtCall pauses a worker at the worst moment: it has looked whether its leases are good, and is about to call.
func pauseAtCall(r *rand.Rand) (string, func(*simulation)) {
	d, n, call := span(r, 3*time.Second, 9*time.Second), r.IntN(4), []string{".settle", ".claim", ".apply"}[r.IntN(3)]
	return fmt.Sprintf("worker [%d] is to be paused before its next %s, for %s", n, call, d), func(s *simulation) {
		if p, _ := s.running(n); p != nil {
			p.mu.Lock()
			p.trap, p.hold = call, d
			p.mu.Unlock()
		}
	}
}

func (s *simulation) pause(p *process, d time.Duration) {
	if p != nil {
		s.world.note("FAULT", p.name+" is paused")
		p.freeze()
		time.AfterFunc(d, func() {
			s.world.note("FAULT", p.name+" goes on")
			p.thaw()
		})
	}
}

func cutAgent(*rand.Rand) (string, func(*simulation)) {
	return "the link is cut", func(s *simulation) { s.cut(s.agentNow()) }
}

func cutWorker(r *rand.Rand) (string, func(*simulation)) {
	n := r.IntN(4)
	return fmt.Sprintf("the connection of worker [%d] is cut", n), func(s *simulation) {
		p, _ := s.running(n)
		s.cut(p)
	}
}

// wires returns the connections of a process.
func (s *simulation) wires(p *process) []*wire {
	if p == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.lines)
}

func (s *simulation) cut(p *process) {
	for _, l := range s.wires(p) {
		l.cut()
	}
}

func holdUpAgent(r *rand.Rand) (string, func(*simulation)) {
	d, ways := span(r, 200*time.Millisecond, 30*time.Second), 1+r.IntN(3)
	return fmt.Sprintf("nothing passes the link (%d), for %s", ways, d), func(s *simulation) { s.holdUp(s.agentNow(), ways, d) }
}

func holdUpWorker(r *rand.Rand) (string, func(*simulation)) {
	d, ways, n := span(r, 200*time.Millisecond, 30*time.Second), 1+r.IntN(3), r.IntN(4)
	return fmt.Sprintf("nothing passes between worker [%d] and the hub (%d), for %s", n, ways, d), func(s *simulation) {
		p, _ := s.running(n)
		s.holdUp(p, ways, d)
	}
}

func (s *simulation) holdUp(p *process, ways int, d time.Duration) {
	for _, l := range s.wires(p) {
		s.bus.mu.Lock()
		if until := time.Now().Add(d); ways&1 > 0 {
			l.up.freeze(until)
		}
		if until := time.Now().Add(d); ways&2 > 0 {
			l.down.freeze(until)
		}
		s.bus.mu.Unlock()
	}
}

func hubDown(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, 100*time.Millisecond, 6*time.Second)
	return fmt.Sprintf("the hub is down, for %s", d), func(s *simulation) {
		s.bus.mu.Lock()
		s.bus.down = time.Now().Add(d)
		for _, st := range s.bus.store { // of a hub that starts again
			for _, c := range st.consumers {
				if !c.acks {
					c.end()
				}
			}
		}
		clear(s.bus.staged)
		s.bus.mu.Unlock()
		s.mu.Lock()
		all := slices.Clone(s.processes)
		s.mu.Unlock()
		for _, p := range all {
			s.cut(p)
		}
	}
}

func hubForgets(*rand.Rand) (string, func(*simulation)) {
	return "the hub forgets the ids that it knew", func(s *simulation) {
		s.bus.mu.Lock()
		defer s.bus.mu.Unlock()
		for _, st := range s.bus.store {
			clear(st.ids)
		}
	}
}

func ledgerFails(r *rand.Rand) (string, func(*simulation)) {
	d, n := span(r, 200*time.Millisecond, 8*time.Second), []int{100, 300, 1000}[r.IntN(3)]
	return fmt.Sprintf("%d of 1000 calls of the ledger fail before they are done, and as many after, for %s", n, d), func(s *simulation) {
		s.mu.Lock()
		s.fails = n
		s.mu.Unlock()
		time.AfterFunc(d, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.fails = 0
		})
	}
}

// ledgerSetBack saves the ledger, and after a while stops all workers, sets it back and starts them.
func ledgerSetBack(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, time.Second, 20*time.Second)
	return fmt.Sprintf("the ledger is saved, to be set back after %s", d), func(s *simulation) {
		saved := s.ledger.backup()
		s.later(d, func() {
			s.world.note("FAULT", "the ledger is set back")
			s.mu.Lock()
			n := len(s.workers)
			s.mu.Unlock()
			var were []int
			for at := range n {
				if s.killWorker(at) {
					were = append(were, at)
				}
			}
			s.mu.Lock()
			s.ledger.restore(saved)
			s.eras++
			s.rewound = true
			s.owners = map[int]owner{}
			s.mu.Unlock()
			time.Sleep(10 * time.Millisecond)
			for _, at := range were {
				s.startAgain(at)
			}
		})
	}
}

func clockJumps(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, -4*time.Second, 8*time.Second)
	return fmt.Sprintf("the ledger's clock jumps by %s", d), func(s *simulation) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.skew += d
	}
}

func stopWorker(r *rand.Rand) (string, func(*simulation)) {
	n := r.IntN(4)
	return fmt.Sprintf("worker [%d] is stopped", n), func(s *simulation) {
		p, at := s.running(n)
		if p == nil {
			return
		}
		s.mu.Lock()
		s.workers[at] = nil
		s.mu.Unlock()
		s.world.note("FAULT", p.name+" is stopped")
		p.stop()
	}
}

func startWorker(r *rand.Rand) (string, func(*simulation)) {
	n := r.IntN(4)
	return fmt.Sprintf("worker %d is started", n), func(s *simulation) {
		s.mu.Lock()
		for len(s.workers) <= n {
			s.workers = append(s.workers, nil)
		}
		s.mu.Unlock()
		s.startAgain(n)
	}
}

func targetDown(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, 200*time.Millisecond, 12*time.Second)
	return fmt.Sprintf("the target is down, for %s", d), func(s *simulation) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.odoo.down = time.Now().Add(d)
	}
}

func targetFlaky(r *rand.Rand) (string, func(*simulation)) {
	d := span(r, 200*time.Millisecond, 12*time.Second)
	return fmt.Sprintf("calls of the target fail, have effect and fail, or hang, for %s", d), func(s *simulation) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.odoo.flaky = time.Now().Add(d)
	}
}

func replayAsked(r *rand.Rand) (string, func(*simulation)) {
	heals := r.IntN(2) == 0
	return fmt.Sprintf("a replay is asked for (healed %t)", heals), func(s *simulation) {
		if heals {
			s.mu.Lock()
			s.odoo.healed, s.corrected = true, true
			s.mu.Unlock()
		}
		s.operator()
	}
}

func discard(*rand.Rand) (string, func(*simulation)) {
	return "a dead unit is discarded", func(s *simulation) { s.discards() }
}
