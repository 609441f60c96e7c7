package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// A fault is something that happens to a system and, after a while, is over.
type fault struct {
	name    string
	lasts   time.Duration // about
	accepts bool          // it is behind the site: senders go on hearing yes
	begin   func(*run) error
	end     func(*run) error
}

func killed(name string, p *bed.Process, accepts bool) fault {
	return fault{name + " killed", 500 * time.Millisecond, accepts,
		func(*run) error { p.Kill(); return nil },
		func(*run) error { return p.Start() }}
}

// stopped lasts longer than a lease and than a hub waits for a peer.
func stopped(name string, p *bed.Process, accepts bool) fault {
	return fault{name + " stopped", 12 * time.Second, accepts,
		func(*run) error { return p.Pause() },
		func(*run) error { return p.Resume() }}
}

// asleep is a worker that stands still with units in hand that the ledger knows as its own, until others have
// long taken its place: when it wakes up it must not go on where it was.
func asleep(p *bed.Process) fault {
	return fault{"worker asleep with units in hand", 12 * time.Second, true,
		func(r *run) error {
			p.Kill()
			p.Arms = "worker.claimed=stop#20"
			err := p.Start()
			p.Arms = ""
			if err != nil {
				return err
			}
			return bed.Wait(r.ctx, "a worker that stands still with units in hand", recovery, p.Still)
		},
		func(r *run) error {
			if err := p.Resume(); err != nil {
				return err
			}
			return r.sleep(2 * time.Second) // what it has in hand
		}}
}

// atOdoo is Odoo misbehaving.
func atOdoo(name string, lasts time.Duration, begin func(*erp)) fault {
	return fault{"Odoo " + name, lasts, true, func(r *run) error { begin(r.sys.odoo); return nil }, func(r *run) error { r.healOdoo(); return nil }}
}

// links does something to the site's link to each hub.
func links(name string, lasts time.Duration, do func(path)) fault {
	return fault{"link " + name, lasts, true,
		func(r *run) error {
			for _, l := range r.sys.links {
				do(l)
			}
			return nil
		}, func(r *run) error {
			err := r.sys.ready() // a site whose link is down can accept
			for _, l := range r.sys.links {
				l.Restore()
			}
			return err
		}}
}

// general are the faults that any system can have at any time. Several at once must not concern
// the same part, which is the first word of a name.
func (r *run) general() []fault {
	hub, worker := r.sys.hubs[r.rnd.IntN(len(r.sys.hubs))], r.sys.workers[r.rnd.IntN(len(r.sys.workers))]
	agent, front := r.sys.agent, r.sys.front
	var store []fault
	if r.sys.pg != nil {
		store = []fault{
			{"PostgreSQL killed", time.Second, true,
				func(r *run) error { r.sys.pg.Kill(); return nil },
				func(r *run) error { return r.sys.pg.Start() }},
			{"PostgreSQL stopped", 8 * time.Second, true,
				func(r *run) error { return r.sys.pg.Pause() },
				func(r *run) error { return r.sys.pg.Resume() }},
		}
	}
	return append(store, []fault{
		killed("agent", agent, false),
		killed("hub", hub, true),
		killed("worker", worker, true),
		killed("Odoo", front, true),
		stopped("agent", agent, false),
		stopped("hub", hub, true),
		asleep(worker),
		stopped("Odoo", front, true),
		links("cut", 5*time.Second, path.Cut),
		links("half-open", 15*time.Second, path.Freeze),
		{"link cut ten times", 2 * time.Second, true, flap, func(*run) error { return nil }},
		links("of 64 kbit/s and 400 ms", 10*time.Second, func(l path) { l.Slow(64_000/8, 400*time.Millisecond) }),
		atOdoo("applies and dies before it answers", 3*time.Second, func(o *erp) {
			for _, method := range []string{"load", "apply"} { // the stock API's and the addon's
				o.Fail(simulated.Fault{Kind: simulated.FaultDieBeforeReply, Method: method, Times: 12})
			}
		}),
		atOdoo("applies and answers by half", 3*time.Second, func(o *erp) { o.half.Store(true) }),
		atOdoo("takes 35 s", 12*time.Second, func(o *erp) { o.SetLatency(35 * time.Second) }),
		atOdoo("hears nobody out", 5*time.Second, func(o *erp) { o.Fail(simulated.Fault{Kind: simulated.FaultHangUp}) }),
		atOdoo("answers with a page", 4*time.Second, func(o *erp) { o.Fail(simulated.Fault{Kind: simulated.FaultGarbage}) }),
		atOdoo("answers 502", 4*time.Second, func(o *erp) { o.Fail(simulated.Fault{Kind: simulated.FaultStatus, Status: 502}) }),
		atOdoo("collides with itself", 4*time.Second, func(o *erp) {
			o.Fail(simulated.Fault{Kind: simulated.FaultRaise, Class: "psycopg2.errors.SerializationFailure", Message: "could not serialize access due to concurrent update\n", Times: 30})
		}),
		atOdoo("takes 400 ms", 6*time.Second, func(o *erp) { o.SetLatency(400 * time.Millisecond) }),
	}...)
}

// A path lies between a site and a hub.
type path interface {
	Cut()
	Freeze()
	Restore()
	Slow(bytesPerSecond int, delay time.Duration)
}

func flap(r *run) error {
	for range 10 {
		for _, l := range r.sys.links {
			l.Cut()
		}
		time.Sleep(50 * time.Millisecond)
		for _, l := range r.sys.links {
			l.Restore()
		}
		time.Sleep(150 * time.Millisecond)
	}
	return nil
}

// fault makes one fault and says what it did. Its end is when messages flow again.
func (r *run) fault(f fault, lasts time.Duration) error {
	began, acked, rows := time.Now(), r.load.acked.Load(), r.sys.odoo.rows()
	r.history.Add(audit.Line{Fault: &audit.Fault{Name: f.name, Accepts: f.accepts}})
	if err := f.begin(r); err != nil {
		return fmt.Errorf("%s: %w", f.name, err)
	}
	if err := r.sleep(lasts); err != nil {
		return err
	}
	if err := f.end(r); err != nil {
		return fmt.Errorf("end of %s: %w", f.name, err)
	}
	ended := time.Now()
	r.history.Add(audit.Line{Fault: &audit.Fault{Name: f.name, Accepts: f.accepts, End: true}})
	acked, rows = r.load.acked.Load()-acked, r.sys.odoo.rows()-rows
	if err := r.flows(f.name); err != nil {
		return err
	}
	r.say("%6.1f s  %-38s %5.1f s: %4d acknowledged, %4d changes; flowing %.1f s later",
		began.Sub(r.began).Seconds(), f.name, ended.Sub(began).Seconds(), acked, rows, time.Since(ended).Seconds())
	return nil
}

// sleep lets time pass, unless the run ends.
func (r *run) sleep(d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	}
}

// about varies a time by a quarter.
func about(rnd *rand.Rand, d time.Duration) time.Duration {
	return d*3/4 + time.Duration(rnd.Int64N(int64(d)/2+1))
}
