package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// grace is how long after a fault a repeated effect is laid to it: the longest of a call's timeout, a
// lease and a connection that nobody answers.
const grace = 30 * time.Second

// A plan is a run before it is made.
type plan struct {
	name   string // of the list of plans
	seed   uint64
	again  string // the command that makes it again
	shape  shape
	volume volume
	about  time.Duration // how long it takes on two cores
	alone  bool          // it measures: nothing else runs meanwhile
	asked  bool          // run when it is named only
	// play makes the faults, while the workload is under way.
	play func(*run) error
}

// A run is a system under a workload, with faults, and the history of it.
type run struct {
	plan
	ctx     context.Context
	fail    context.CancelCauseFunc // ends the run; senders may
	dir     string
	say     func(format string, args ...any)
	began   time.Time
	sys     *system
	load    *workload
	history *audit.Writer
	rnd     *rand.Rand

	mu       sync.Mutex
	poisoned map[string]simulated.Poison
}

// do makes the run, judges it, and returns the verdict. Its history is dir/history.ndjson.
func (p plan) do(ctx context.Context, dir string, say func(string, ...any)) (v *audit.Verdict, err error) {
	path := filepath.Join(dir, "history.ndjson")
	out, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer out.Close()
	ctx, cancel := context.WithCancelCause(ctx)
	r := &run{plan: p, ctx: ctx, fail: cancel, dir: dir, say: say, began: time.Now(), history: audit.NewWriter(out), poisoned: map[string]simulated.Poison{}, rnd: rand.New(rand.NewPCG(p.seed, 1))}
	r.history.Add(audit.Line{Run: &audit.Run{Seed: p.seed, Command: p.again, Exactly: p.shape.addon, Grace: grace}})
	if r.sys, err = newSystem(ctx, dir, p.shape); err != nil {
		cancel(nil)
		return nil, err
	}
	defer r.sys.close()
	r.load = r.start(ctx, p.volume)
	defer r.load.end()
	defer cancel(nil) // first: senders give up
	if err := r.flows("the first message"); err != nil {
		return nil, err
	}
	for _, step := range []func() error{func() error { return p.play(r) }, r.settle} {
		if err := step(); err != nil {
			if ctx.Err() != nil { // what ended the run says more than what it was waiting for
				err = context.Cause(ctx)
			}
			return nil, err
		}
	}
	if err := r.close(ctx); err != nil {
		return nil, err
	}
	if races := r.sys.races(); len(races) > 0 {
		return nil, errors.New(races[0])
	}
	return judgeFile(path)
}

// poison makes Odoo refuse what has this value, for good or every time.
func (r *run) poison(value string, how simulated.Poison) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.poisoned[value] = how
	r.sys.odoo.Poison(value, how)
}

// healOdoo takes away its faults, and not its poisons.
func (r *run) healOdoo() {
	r.sys.odoo.Heal()
	r.sys.odoo.half.Store(false)
	r.sys.odoo.SetLatency(0)
	r.mu.Lock()
	defer r.mu.Unlock()
	for value, how := range r.poisoned {
		r.sys.odoo.Poison(value, how)
	}
}

// recovery is how long it may take until messages flow again.
const recovery = 90 * time.Second

// flows waits until a message is acknowledged, and one applied, that was not yet.
func (r *run) flows(what string) error {
	acked, rows := r.load.acked.Load(), r.sys.odoo.rows()
	if err := bed.Wait(r.ctx, "an acknowledgement after "+what, recovery, func() bool { return r.load.acked.Load() > acked+5 }); err != nil {
		return fmt.Errorf("%w%s", err, r.sys.lastWords())
	}
	if err := bed.Wait(r.ctx, "a change at Odoo after "+what, recovery, func() bool { return r.sys.odoo.rows() > rows+5 }); err != nil {
		return fmt.Errorf("%w%s", err, r.sys.lastWords())
	}
	return nil
}

// settle ends the workload and waits until all that is sound is applied, or until nothing has changed in the
// ledger for a minute: the auditor says what that means.
func (r *run) settle() error {
	r.load.end()
	if r.ctx.Err() != nil {
		return context.Cause(r.ctx)
	}
	want := int(r.load.sound.Load())
	before, since := "", time.Now()
	for {
		n, err := r.statuses(r.ctx)
		now := fmt.Sprint(n, err)
		if now != before {
			before, since = now, time.Now()
		}
		// When all is there, something that is too much may still come.
		if rest := time.Since(since); rest > time.Minute || n["applied"] >= want && rest > 2*time.Second {
			break
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-r.ctx.Done():
			return context.Cause(r.ctx)
		}
	}
	return nil
}
