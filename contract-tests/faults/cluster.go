package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

// mostPause is how long a rolling restart may keep the stream from growing.
const mostPause = time.Second

// cluster is a hub of three servers: its leader is killed, each server is started again in turn, one loses its disk and
// must stand in for another afterwards.
func cluster(r *run) error {
	steps := []struct {
		name string
		do   func() error
		most time.Duration // without a message in the stream; 0: as it comes
	}{
		{"leader killed", func() error { return r.again(r.leader, func(i int) error { r.sys.hubs[i].Kill(); return nil }) }, 0},
		{"leader stopped", func() error {
			return r.again(r.leader, func(i int) error {
				if err := r.sys.hubs[i].Pause(); err != nil {
					return err
				}
				time.Sleep(12 * time.Second)
				r.sys.hubs[i].Kill()
				return nil
			})
		}, 0},
		{"rolling restart", func() error {
			for i := range r.sys.hubs {
				if err := r.again(func() (int, error) { return i, nil }, func(i int) error { return r.sys.hubs[i].Stop() }); err != nil {
					return err
				}
			}
			return nil
		}, mostPause},
		{"disk of one lost, then another killed", func() error {
			lost, err := r.leader()
			if err != nil {
				return err
			}
			if err := r.again(func() (int, error) { return lost, nil }, func(i int) error {
				r.sys.hubs[i].Kill()
				return os.RemoveAll(filepath.Join(r.dir, fmt.Sprintf("store-%d", i+1)))
			}); err != nil {
				return err
			}
			other := (lost + 1) % len(r.sys.hubs)
			return r.again(func() (int, error) { return other, nil }, func(i int) error { r.sys.hubs[i].Kill(); return nil })
		}, 0},
	}
	for _, s := range steps {
		began := time.Now()
		if err := r.fault(fault{s.name, 0, true, func(*run) error { return s.do() }, func(*run) error { return nil }}, 0); err != nil {
			return err
		}
		pause, err := r.pause(began, time.Now())
		if err != nil {
			return err
		}
		r.say("%10s%-38s longest time without a message in the stream: %.2f s", "", s.name, pause.Seconds())
		if s.most > 0 && pause > s.most {
			return fmt.Errorf("%s: the stream took nothing for %v, %v is the most", s.name, pause.Round(time.Millisecond), s.most)
		}
	}
	return nil
}

// again does something to a server, starts it again, and returns when all of its stream is there again.
func (r *run) again(which func() (int, error), do func(int) error) error {
	i, err := which()
	if err != nil {
		return err
	}
	if err := do(i); err != nil {
		return err
	}
	time.Sleep(2 * time.Second) // the others go on without it
	if err := r.sys.hubs[i].Start(); err != nil {
		return err
	}
	return bed.Wait(r.ctx, fmt.Sprintf("hub-%d having caught up", i+1), recovery, func() bool {
		info, err := r.unitsStream()
		if err != nil || info.Cluster == nil || info.Cluster.Leader == "" {
			return false
		}
		current := map[string]bool{info.Cluster.Leader: true}
		for _, p := range info.Cluster.Replicas {
			current[p.Name] = p.Current && !p.Offline
		}
		return current[r.sys.hubs[i].Name] && len(current) == len(r.sys.hubs)
	})
}

// leader is the server that leads the stream of units.
func (r *run) leader() (int, error) {
	info, err := r.unitsStream()
	if err != nil {
		return 0, err
	}
	for i, h := range r.sys.hubs {
		if info.Cluster != nil && info.Cluster.Leader == h.Name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("nobody leads the stream")
}

// unitsStream asks as a worker does.
func (r *run) unitsStream() (*jetstream.StreamInfo, error) {
	bundle, err := link.LoadBundle(filepath.Join(r.dir, "worker-bundle"))
	if err != nil {
		return nil, err
	}
	nc, err := link.Connect(bundle, link.Dial{})
	if err != nil {
		return nil, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Second)
	defer cancel()
	for { // until it is connected
		s, err := js.Stream(ctx, stream.Units)
		if err == nil {
			return s.Info(ctx)
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return nil, fmt.Errorf("ask for the stream of units: %w", err)
		}
	}
}

// pause is the longest time without a message in the stream, between two moments, as the
// stream's own times say, which the ledger has.
func (r *run) pause(from, to time.Time) (longest time.Duration, err error) {
	last := from.UnixMicro()
	err = r.query(r.ctx, fmt.Sprintf("SELECT stored_at FROM units WHERE stored_at BETWEEN %d AND %d ORDER BY stored_at", last, to.UnixMicro()), func(scan scanner) error {
		var at int64
		if err := scan(&at); err != nil {
			return err
		}
		longest, last = max(longest, time.Duration(at-last)*time.Microsecond), at
		return nil
	})
	return longest, err
}
