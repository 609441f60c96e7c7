package simulation

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// odoo is a target in memory that knows what it has by external id: an effect that is there
// is not made again.
type odoo struct {
	s *simulation

	mu      *sync.Mutex              // the simulation's
	effects map[string]time.Duration // by external id: when it was made
	order   []string
	tries   map[string]int // answers to each, other than errors of a whole call
	errs    map[string]int // and such errors
	healed  bool           // nothing is refused any more
	down    time.Time      // all calls fail before
	flaky   time.Time      // some calls fail, or have effect and fail, or hang before
}

func newOdoo(s *simulation) *odoo {
	return &odoo{s: s, mu: &s.mu, effects: map[string]time.Duration{}, tries: map[string]int{}, errs: map[string]int{}}
}

// A caller is the target as one worker sees it.
type caller struct {
	*odoo
	p *process
}

var (
	_        broker.Target = caller{}
	errSick                = errors.New("502 Bad Gateway")
	errWeary               = errors.New("504 Gateway Timeout")
)

// Check implements [broker.Target].
func (c caller) Check(ctx context.Context) error {
	_, err := reaches(ctx, c.p, ".check", time.Millisecond, 50*time.Millisecond, func() (bool, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if time.Now().Before(c.down) {
			return false, errSick
		}
		return true, nil
	})
	return err
}

// Apply implements [broker.Target].
func (c caller) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	w := c.s.world
	c.s.sends(c.p, units)
	c.mu.Lock()
	flaky := time.Now().Before(c.flaky)
	c.mu.Unlock()
	of := ".apply." + c.s.task(units[0].ID).name // calls may be under way side by side
	lo, hi := 2*time.Millisecond, 80*time.Millisecond
	if w.happens(c.p.name+of, 20) {
		hi = 2 * time.Second
	}
	before, after, hang, half := false, false, false, len(units)
	if flaky {
		switch w.draw(c.p.name+of, 6) {
		case 0:
			before = true
		case 1:
			after = true
		case 2:
			hang = true
		case 3:
			after, half = true, w.draw(c.p.name+of, len(units)+1)
		}
	}
	out, err := reaches(ctx, c.p, of, lo, hi, func() ([]broker.Outcome, error) {
		if before {
			return nil, errSick
		}
		out, err := c.apply(c.p, units[:half])
		if err == nil && after {
			return nil, errWeary
		}
		return out, err
	})
	if hang && err == nil {
		<-ctx.Done() // its answer never comes
		out, err = nil, context.Cause(ctx)
	}
	if err != nil {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, u := range units {
			c.errs[u.ID]++
		}
	}
	return out, err
}

// apply is what the target does with one call, at one moment.
func (o *odoo) apply(p *process, units []*broker.Unit) ([]broker.Outcome, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if time.Now().Before(o.down) {
		return nil, errSick
	}
	for _, u := range units {
		if t := o.s.task(u.ID); t.fate == poison && !o.healed {
			return nil, errSick
		}
	}
	out := make([]broker.Outcome, len(units))
	for i, u := range units {
		out[i] = o.one(p, u)
	}
	return out, nil
}

func (o *odoo) one(p *process, u *broker.Unit) broker.Outcome {
	t := o.s.task(u.ID)
	o.tries[u.ID]++
	xid := u.Ops[0].XID
	_, there := o.effects[xid]
	switch {
	case there:
	case t.fate == reject && !o.healed:
		return broker.Outcome{Result: broker.Rejected, Class: "sim.rejected", Reason: "no"}
	case t.fate == retry && o.tries[u.ID] <= t.times:
		return broker.Outcome{Result: broker.Retry, Class: "sim.retry", Reason: "later"}
	case t.fate == defers && !o.has(t.needs) && !o.healed:
		return broker.Outcome{Result: broker.Deferred, Class: "sim.missing", Reason: "waits for another"}
	default:
		o.s.effect(p, t)
		o.effects[xid] = time.Since(o.s.world.began)
		o.order = append(o.order, xid)
	}
	return broker.Outcome{Result: broker.Applied, Records: []broker.Record{{Op: "a", Model: "res.partner", ID: int64(len(xid)), Made: !there}}}
}

func (o *odoo) has(xid string) bool {
	_, is := o.effects[xid]
	return is
}
