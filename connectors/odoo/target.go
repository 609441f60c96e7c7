// Package odoo applies units to an Odoo database (17 to 19; see README.md)
// through its external API, so that applying one twice changes nothing, and
// makes messages of what changes in one.
package odoo

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/vagus-health/vagus/broker"
)

var (
	_ broker.Target   = (*Target)(nil)
	_ broker.Promiser = (*Target)(nil)
	_ broker.Sharer   = (*Target)(nil)
)

// A Target is one Odoo database. Safe for concurrent use.
type Target struct {
	client *client
	batch  int // rows in one call, at most
	pace   pace
	lang   string
	log    *slog.Logger
	refs   refCache
	fields fieldFacts
	unread unread
	addon  addon

	mu sync.Mutex
	// claimed holds the external ids that an Apply works on: two at once would
	// only make each other fail, or hide one's values behind the other's.
	claimed    map[string]bool
	freed      chan struct{} // closed when claimed shrinks
	blindSince time.Time     // when the user was found not to be allowed to read ir.model.data
	muteSince  time.Time     // and when not to write it
}

// New returns the target that the configuration describes. It makes no call.
func New(c Config) (*Target, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	cl, err := newClient(c)
	if err != nil {
		return nil, err
	}
	slow := slowCall
	units := slow
	if c.Rate > 0 { // calls are counted: each carries what it can
		slow, units = 0, c.Timeout/3
	}
	return &Target{client: cl, batch: c.Batch, pace: pace{most: c.Batch, slow: slow, log: c.Logger}, lang: c.Lang, log: c.Logger,
		addon: addon{mode: c.Addon, pace: pace{most: addonOps, slow: units, log: c.Logger}}, claimed: map[string]bool{}, freed: make(chan struct{})}, nil
}

// Check asks for the version and logs in, which takes a working server, worker,
// database and key, sees that the user may work in the companies, and asks for
// the addon unless that was done lately.
func (t *Target) Check(ctx context.Context) error {
	t.client.renew()
	w, err := t.client.choose(ctx)
	if err != nil {
		return unwellFrom(err)
	}
	if _, err := t.client.login(ctx, w); err != nil {
		return unwellFrom(err)
	}
	if len(t.client.companies) > 0 {
		if _, err := t.client.execute(ctx, "res.company", "search_count", []arg{{"domain", []any{[]any{"id", "in", t.client.companies}}}}, nil); err != nil {
			return unwellFrom(err)
		}
	}
	_, err = t.wholeUnits(ctx)
	return err
}

// Share implements [broker.Sharer].
func (t *Target) Share(part, whole int) { t.client.share(part, whole) }

// Apply implements [broker.Target]. Operations run in waves: the first of all
// units, then the second, so that a unit's later operations may name the
// records of its earlier ones; the rows of a wave that go to one model with the
// same columns travel in one call.
func (t *Target) Apply(ctx context.Context, units []*broker.Unit) ([]broker.Outcome, error) {
	p := &pass{t: t, states: make([]state, len(units))}
	whole, err := t.wholeUnits(ctx)
	if err != nil {
		return nil, err
	}
	var xids []string
	for i, u := range units {
		s := &p.states[i]
		s.unit = u
		s.results = make([]result, 0, len(u.Ops))
		if o := check(u, whole); o != nil {
			s.outcome = o
			continue
		}
		for j := range u.Ops {
			if xid := xidOf(u, &u.Ops[j]); xid != "" {
				xids = append(xids, xid)
			}
		}
	}
	if err := t.claim(ctx, xids); err != nil {
		return nil, err
	}
	defer t.release(xids)
	if whole {
		err = p.runWhole(ctx)
	} else {
		err = p.run(ctx)
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, unwellFrom(err)
	}
	outcomes := make([]broker.Outcome, len(units))
	for i := range p.states {
		outcomes[i] = p.states[i].final()
	}
	return outcomes, nil
}

// unwellFrom turns what kept a call from its result into the error for our
// caller, in our words.
func unwellFrom(err error) error {
	var f *fault
	if !errors.As(err, &f) {
		return err
	}
	v := judge(f, "", nil)
	return &unwellError{class: v.class, reason: v.reason}
}

// Bounds says how many calls are under way and what is remembered of the database.
func (t *Target) Bounds() []broker.Bound {
	return append(t.client.bounds(), t.refs.bound(), t.fields.bound())
}

// claim waits until nobody else works on any of the external ids, and takes them all.
func (t *Target) claim(ctx context.Context, xids []string) error {
	for {
		t.mu.Lock()
		busy := false
		for _, x := range xids {
			busy = busy || t.claimed[x]
		}
		if !busy {
			for _, x := range xids {
				t.claimed[x] = true
			}
			t.mu.Unlock()
			return nil
		}
		freed := t.freed
		t.mu.Unlock()
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (t *Target) release(xids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, x := range xids {
		delete(t.claimed, x)
	}
	close(t.freed)
	t.freed = make(chan struct{})
}

// xidOf is the external id of the record that the operation is about, or "".
// What is only ever made, or matched by fields and then made, gets one of its
// own, so that a repeat finds it.
func xidOf(u *broker.Unit, op *broker.Operation) string {
	if op.XID != "" {
		return op.XID
	}
	if op.Do == "create" || op.Do == "upsert" {
		return "vagus_unit." + u.ID + "_" + safe(op.ID)
	}
	return ""
}

func validXID(xid string) bool {
	for _, c := range xid {
		if c <= ' ' || c == ',' || c == 0x7f {
			return false
		}
	}
	return true
}
