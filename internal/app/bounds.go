package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/internal/ops"
)

// named adds to what a part says of its bounds what the table does.
func named(of string, bounds []broker.Bound) []ops.Bound {
	all := make([]ops.Bound, 0, len(bounds))
	for _, b := range bounds {
		k := boundKinds[b.Name]
		all = append(all, ops.Bound{Name: b.Name, Of: of, Unit: k.unit, Used: b.Used, Limit: b.Limit, Then: k.then, Paces: k.paces})
	}
	return all
}

// bounds are what fills up at a site.
func (a *Agent) bounds(ctx context.Context) ([]ops.Bound, error) {
	var all []ops.Bound
	for _, f := range a.cfg.Feeds {
		s, err := a.journal.Stats(ctx, f.Name)
		if err != nil {
			return all, err
		}
		own := append([]broker.Bound{{Name: boundJournal, Used: s.Bytes, Limit: s.Limit}}, broker.BoundsOf(a.sources[f.Name].Source)...)
		own = append(append(own, a.journal.Bounds(f.Name)...), a.link.FeedBounds(f.Name)...)
		all = append(all, named("feed "+f.Name, own)...)
	}
	for name := range a.cfg.Sinks {
		all = append(all, named("sink "+name, a.link.SinkBounds(name))...)
	}
	all = append(all, named("", append(a.link.Bounds(), broker.Bound{Name: boundEvents, Used: int64(len(a.events)), Limit: eventsMax}))...)
	disk, err := diskOf(a.cfg.DataDir)
	if err != nil {
		return all, err
	}
	return append(all, named("", []broker.Bound{disk})...), nil
}

// diskOf is what is used of the file system that a directory is on, of what its owner may use.
func diskOf(dir string) (broker.Bound, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		return broker.Bound{}, fmt.Errorf("disk of %s: %w", dir, err)
	}
	block := int64(s.Bsize)
	used := int64(s.Blocks-s.Bfree) * block
	return broker.Bound{Name: boundDisk, Used: used, Limit: used + int64(s.Bavail)*block}, nil
}

// bounds are what fills up at a hub, beside its streams.
func (h *Hub) bounds(context.Context) ([]ops.Bound, error) { return named("", h.hub.Bounds()), nil }

// ownBounds are those of every process.
func (b *base) ownBounds(context.Context) ([]ops.Bound, error) {
	var all []broker.Bound
	if b.server != nil {
		all = b.server.Bounds()
	}
	if b.x12 != nil {
		all = append(all, b.x12.Bounds()...)
	}
	return named("", all), nil
}

// bounds are the worker's own, its targets', and the hub's streams as it sees them.
func (w *Worker) bounds(ctx context.Context) ([]ops.Bound, error) {
	all := named("", append(w.worker.Bounds(), broker.BoundsOf(w.ledger)...))
	for _, s := range w.worker.Status() {
		all = append(all, named("target "+s.Target, append(s.Bounds, broker.BoundsOf(w.reached[s.Target])...))...)
	}
	if !w.nc.IsConnected() { // the check of the hub says so
		return all, nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	js, err := jetstream.New(w.nc)
	if err != nil {
		return all, err
	}
	for _, s := range []struct{ stream, name string }{{stream.Units, boundUnits}, {stream.Down, boundDown}} {
		st, err := js.Stream(ctx, s.stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			continue
		}
		if err != nil {
			return all, fmt.Errorf("size of %s: %w", s.stream, err)
		}
		i := st.CachedInfo()
		all = append(all, named("", []broker.Bound{{Name: s.name, Used: int64(i.State.Bytes), Limit: i.Config.MaxBytes}})...)
	}
	return all, nil
}
