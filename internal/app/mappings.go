package app

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/bundle"
	"github.com/vagus-health/vagus/mappings"
)

// loadMappings brings the mappings of all feeds into force, and keeps them up
// to date from then on: by looking at their files, and at once on SIGHUP.
func (a *Agent) loadMappings(ctx context.Context, secret []byte) error {
	cfg := bundle.Config{
		Feeds: map[string][]string{}, Builtin: mappings.FS, Formats: Formats(), Dir: a.cfg.DataDir, Every: a.cfg.Mappings.Every, Logger: a.log, Meter: a.meter(),
		// A message keeps the feed that it began with: what is in hand when another
		// set comes finishes on the mappings that it was begun with.
		Prepare: func(set *bundle.Set) (func(), error) {
			feeds := map[string]*feed{}
			for _, c := range a.cfg.Feeds {
				if err := a.mayBeAtomic(ctx, c, set.Feeds[c.Name]); err != nil {
					return nil, err
				}
				f, err := newFeed(c, set.Feeds[c.Name], secret, a.log)
				if err != nil {
					return nil, err
				}
				feeds[c.Name] = f
			}
			return func() { a.feeds.Store(&feeds) }, nil
		},
	}
	for _, f := range a.cfg.Feeds {
		cfg.Feeds[f.Name] = f.Mappings
	}
	if file := a.cfg.Mappings.Trust.File; file != "" {
		data, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("mappings.trust: %w", err)
		}
		if cfg.Trust, err = bundle.PublicKey(data); err != nil {
			return fmt.Errorf("mappings.trust: %s: %w", file, err)
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	a.onStop("signals", func(context.Context) error { signal.Stop(hup); return nil })
	cfg.Now = hup
	cfg.Told = a.tellOfMappings
	var err error
	if a.keeper, err = bundle.Open(ctx, cfg); err != nil {
		return err
	}
	a.run("mappings", a.keeper.Run)
	return nil
}

// eventsMax is how many events may wait for the link.
const eventsMax = 64

// tellOfMappings queues the event of a set that was taken or refused, with the
// set that is in force now. Why it was refused stays at the site, in its log and status: the
// words may quote a mapping's files, and nothing decided that those leave. What
// finds the queue full is not told.
func (a *Agent) tellOfMappings(result, set string) {
	data, err := json.Marshal(map[string]string{"set": set})
	if err != nil {
		return
	}
	select {
	case a.events <- link.Event{ID: strings.ToLower(rand.Text()), What: "mappings." + result, Time: time.Now(), Data: data}:
	default:
		a.log.Warn("an event for the hub is dropped: too many wait", "event", "mappings."+result)
	}
}

// tell brings events to the hub, in order, until ctx is done. One that the hub
// does not take though it answers others (it knows no such event) is given up.
func (a *Agent) tell(ctx context.Context) error {
	const pause, tries = 2 * time.Second, 5
	for {
		select {
		case <-ctx.Done():
			return nil
		case e := <-a.events:
			for failed := 0; failed < tries; {
				err := a.link.Tell(ctx, e)
				if err == nil {
					break
				}
				if a.link.State(ctx).Connected {
					failed++
				}
				if failed == tries {
					a.log.Warn("an event is lost", "event", e.What, "err", err)
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(pause):
				}
			}
		}
	}
}

// mayBeAtomic refuses mappings whose units are to be applied whole or not at all
// where that would not be: the feed must say that its target does so, and the target itself
// is asked when its worker is in this process. A worker elsewhere refuses each such
// unit.
func (a *Agent) mayBeAtomic(ctx context.Context, c config.Feed, ms []*mapping.Mapping) error {
	i := slices.IndexFunc(ms, func(m *mapping.Mapping) bool { return m.Format == feedFormat(c) && m.Unit == "atomic" })
	if i < 0 {
		return nil
	}
	why := ""
	switch {
	case !c.Atomic:
		why = "and it is not said that target " + c.Target + " can: see with `vagus odoo check` that it has the addon, and set atomic: true on the feed, or make the mapping unit: resumable"
	case a.whole != nil && a.whole.promise != nil && a.whole.promise(ctx, c.Target) == "external-id":
		why = "and target " + c.Target + " has no addon that its user may use: install it, or make the mapping unit: resumable"
	default:
		return nil
	}
	return fmt.Errorf("feed %s: mapping %s is unit: atomic, which needs the addon of Odoo, %s", c.Name, ms[i].ID, why)
}

// feed is a feed with the mappings that are in force.
func (a *Agent) feed(name string) *feed { return (*a.feeds.Load())[name] }
