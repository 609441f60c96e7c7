package app

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/internal/config"
)

// lanes are the journal's feeds as an agent's configuration has them.
func lanes(cfg *config.Agent) []journal.Feed {
	out := make([]journal.Feed, len(cfg.Feeds))
	for i, c := range cfg.Feeds {
		limit := c.MaxBytes
		if limit == 0 {
			limit = cfg.Journal.MaxBytes
		}
		out[i] = journal.Feed{Name: c.Name, MaxBytes: limit}
	}
	return out
}

// StoredMessages returns the last messages of a feed from a site's journal,
// oldest first. The agent that owns the journal must not run: the error says so
// when it does.
func StoredMessages(ctx context.Context, cfg *config.Agent, feed string, last int) (_ []*broker.Message, err error) {
	var names []string
	for _, f := range cfg.Feeds {
		names = append(names, f.Name)
	}
	if !slices.Contains(names, feed) {
		return nil, fmt.Errorf("the agent has no feed %q: it has %s", feed, strings.Join(names, ", "))
	}
	j, err := journal.Open(ctx, journal.Config{Dir: filepath.Join(cfg.DataDir, "journal"), Feeds: lanes(cfg), Key: cfg.Journal.EncryptionKey})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	stats, err := j.Stats(ctx, feed)
	if err != nil || stats.Messages == 0 {
		return nil, err
	}
	r, err := j.Read(ctx, feed, journal.Position{})
	if err != nil {
		return nil, err
	}
	var out []*broker.Message
	for {
		e, err := r.Next(ctx)
		if err != nil {
			return nil, err
		}
		if out = append(out, e.Message); len(out) >= 2*last { // not one by one: the front is moved
			out = append(out[:0:0], out[len(out)-last:]...)
		}
		if e.Position.Seq >= stats.Last.Seq {
			return out[max(0, len(out)-last):], nil
		}
	}
}
