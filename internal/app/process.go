// Package app is the composition root: it starts an agent, a worker, a hub, or
// all three in one process, from their configuration, and stops them in the
// reverse order. Wiring is here and nowhere else; a new connector is one case
// in source.go.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// parts are what a process has started, in order. They stop in the reverse
// order, each after what depends on it: intake first.
type parts struct {
	log   *slog.Logger
	grace time.Duration

	mu     sync.Mutex
	list   []part
	failed chan error // the first part that ended by itself
}

type part struct {
	name string
	stop func(context.Context) error
}

func newParts(log *slog.Logger, grace time.Duration, failed chan error) *parts {
	return &parts{log: log, grace: grace, failed: failed}
}

// run starts a part that runs until its context is done.
func (p *parts) run(name string, run func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		err := run(ctx)
		if ctx.Err() == nil {
			if err == nil {
				err = errors.New("ended by itself")
			}
			select {
			case p.failed <- fmt.Errorf("%s: %w", name, err):
			default:
			}
		}
		ended <- err
	}()
	p.onStop(name, func(ctx context.Context) error {
		cancel()
		select {
		case err := <-ended:
			return err
		case <-ctx.Done():
			return errors.New("did not end within the grace period")
		}
	})
}

// onStop registers what a part needs done at the end.
func (p *parts) onStop(name string, stop func(context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = append(p.list, part{name, stop})
}

// Failed yields the error of the first part that ended by itself. The process
// should stop then.
func (p *parts) Failed() <-chan error { return p.failed }

// Stop ends all parts, last started first, within the grace period, and
// returns what went wrong. Calling it again does nothing.
func (p *parts) Stop() error {
	p.mu.Lock()
	list := p.list
	p.list = nil
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), p.grace)
	defer cancel()
	var errs []error
	for _, part := range slices.Backward(list) {
		began := time.Now()
		err := part.stop(ctx)
		p.log.Debug("stopped", "part", part.name, "took", time.Since(began), "err", err)
		if err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", part.name, err))
		}
	}
	return errors.Join(errs...)
}

// A Process is an agent, a worker, a hub or all of them.
type Process interface {
	Failed() <-chan error
	Stop() error
}

// Run waits until ctx is done or a part of the process fails, and stops it.
func Run(ctx context.Context, p Process) error {
	var failed error
	select {
	case <-ctx.Done():
	case failed = <-p.Failed():
	}
	return errors.Join(failed, p.Stop())
}
