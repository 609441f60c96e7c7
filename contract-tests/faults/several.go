package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// A series is plans that are made one after the other or, as they mostly wait, some at the same time.
type series struct {
	atOnce int
	dir    string // for what they leave
	from   string // commit that the upgrade begins with
	began  time.Time
	say    func(format string, args ...any)
}

// lasts is about how long the plans take, on two cores.
func (s *series) lasts(plans []plan) (d time.Duration) {
	for _, p := range plans {
		if n := s.slots(p); n < s.atOnce {
			d += p.about / time.Duration(s.atOnce)
		} else {
			d += p.about
		}
	}
	return d
}

// slots is how much of the machine a plan needs: one that measures has it for itself.
func (s *series) slots(p plan) int {
	if p.alone {
		return s.atOnce
	}
	return 1
}

// run makes the plans and returns what they came to, in their order.
func (s *series) run(ctx context.Context, plans []plan) []outcome {
	outcomes := make([]outcome, len(plans))
	free := make(chan struct{}, s.atOnce)
	var all sync.WaitGroup
	for i, p := range plans {
		n := s.slots(p)
		for range n { // in the order of the plans, so that one that needs all of them comes to its turn
			free <- struct{}{}
		}
		all.Go(func() {
			outcomes[i] = s.one(ctx, p)
			for range n {
				<-free
			}
		})
	}
	all.Wait()
	return outcomes
}

func (s *series) one(ctx context.Context, p plan) outcome {
	o := outcome{Plan: p.name, Again: p.again}
	if ctx.Err() != nil {
		o.Err = "the run was ended before"
		return o
	}
	s.say("%s, about %v, %v after the beginning: %s", p.name, p.about, time.Since(s.began).Round(time.Second), p.again)
	where := filepath.Join(s.dir, p.name)
	err := os.MkdirAll(where, 0o711)
	if err == nil && p.name == upgradePlan {
		var root string
		if root, err = sources(); err == nil {
			p.shape.release, err = release(ctx, root, where, s.from)
		}
	}
	if err == nil {
		o.Verdict, err = p.do(ctx, where, func(format string, args ...any) { s.say("%-12s "+format, append([]any{p.name}, args...)...) })
	}
	verdict := "sound"
	switch {
	case err != nil:
		o.Err = err.Error()
		verdict = "not judged"
	case !o.sound():
		verdict = fmt.Sprintf("%d violations", len(o.Verdict.Violations))
	}
	s.say("%-12s %s, %v after the beginning", p.name, verdict, time.Since(s.began).Round(time.Second))
	return o
}
