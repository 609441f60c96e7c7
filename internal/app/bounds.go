package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/internal/ops"
)

// bounds are what fills up at a site.
func (a *Agent) bounds(ctx context.Context) ([]ops.Bound, error) {
	var all []ops.Bound
	if a.journal != nil {
		for _, f := range a.cfg.Feeds {
			s, err := a.journal.Stats(ctx, f.Name)
			if err != nil {
				return all, err
			}
			all = append(all, ops.Bound{Name: "journal of " + f.Name, Used: s.Bytes, Limit: s.Limit,
				Then: "the feed refuses, and its senders keep their messages: raise journal.max_bytes or shorten journal.retention"})
		}
	}
	disk, err := diskOf(a.cfg.DataDir)
	disk.Name, disk.Then = "disk of the site's data_dir", "every feed refuses: make room, or shorten journal.retention"
	if err != nil {
		return all, err
	}
	return append(all, disk), nil
}

// diskOf is what is used of the file system that a directory is on, of what its owner may use.
func diskOf(dir string) (ops.Bound, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return ops.Bound{}, fmt.Errorf("disk of %s: %w", dir, err)
	}
	block := int64(s.Bsize)
	used := int64(s.Blocks-s.Bfree) * block
	return ops.Bound{Used: used, Limit: used + int64(s.Bavail)*block}, nil
}

// bounds are the hub's streams as a worker sees them.
func (w *Worker) bounds(ctx context.Context) ([]ops.Bound, error) {
	if !w.nc.IsConnected() { // the check of the hub says so
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	js, err := jetstream.New(w.nc)
	if err != nil {
		return nil, err
	}
	var all []ops.Bound
	for _, s := range []struct{ name, then string }{
		{stream.Units, "sites keep what they have and send no more: raise the hub's max_bytes, or shorten the stream's max_age (nats stream edit UNITS)"},
		{stream.Down, "documents for sites wait with the worker: see which site does not take its documents (vagus status), or raise the hub's max_bytes"},
	} {
		st, err := js.Stream(ctx, s.name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("size of %s: %w", s.name, err)
		}
		i := st.CachedInfo()
		all = append(all, ops.Bound{Name: s.name + " at the hub", Used: int64(i.State.Bytes), Limit: i.Config.MaxBytes, Then: s.then})
	}
	return all, nil
}
