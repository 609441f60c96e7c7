package app

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

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
	var err error
	if a.keeper, err = bundle.Open(ctx, cfg); err != nil {
		return err
	}
	a.run("mappings", a.keeper.Run)
	return nil
}

// feed is a feed with the mappings that are in force.
func (a *Agent) feed(name string) *feed { return (*a.feeds.Load())[name] }
