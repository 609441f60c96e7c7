package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/broker/ledger/sqlite"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/broker/worker"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// A Worker is a running `vagus worker`.
type Worker struct {
	*base
	cfg    *config.Worker
	nc     *nats.Conn
	ledger ledger.Ledger
	worker *worker.Worker

	reached map[string]broker.Target // by name
}

// gcPercent is how much garbage a worker lets pile up, in percent of what it
// holds: that is a few MB, and all that a unit is decoded into is garbage within
// a second. At Go's own 100 a fifth of the processor's time went to it. Who sets
// GOGC has his way.
const gcPercent = 300

// StartWorker starts one of the cloud's workers. Its ledger must have been
// migrated.
func StartWorker(ctx context.Context, cfg *config.Worker, o Options) (*Worker, error) {
	bundle, err := link.LoadBundle(cfg.Bundle)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w (the hub makes it, in its data_dir under workers)", err)
	}
	name := cfg.Name
	if name == "" {
		host, _ := os.Hostname()
		name = fmt.Sprintf("%s-%d", host, os.Getpid())
	}
	base, err := startBase(ctx, "vagus-worker", name, o, cfg.Process, cfg.Grace)
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" && o.whole == nil {
		debug.SetGCPercent(gcPercent)
	}
	w := &Worker{base: base, cfg: cfg}
	if err := w.start(ctx, name, bundle); err != nil {
		return nil, base.abandon(err)
	}
	return w, nil
}

func (w *Worker) start(ctx context.Context, name string, bundle *link.Bundle) error {
	var err error
	if w.ledger, err = openLedger(ctx, w.cfg.Ledger); err != nil {
		return fmt.Errorf("ledger: %w", err)
	}
	w.onStop("ledger", func(context.Context) error { return w.ledger.Close() })
	if w.nc, err = link.Connect(bundle, link.Dial{URLs: w.hubURLs(), Logger: w.log}); err != nil {
		return err
	}
	w.onStop("connection", func(context.Context) error { w.nc.Close(); return nil })
	js, err := jetstream.New(w.nc)
	if err != nil {
		return err
	}
	targets, promisers := map[string]worker.TargetConfig{}, map[string]broker.Target{}
	w.reached = promisers
	for target, c := range w.cfg.Targets {
		t, err := newTarget(target, c, w.nc, w.base)
		if err != nil {
			return fmt.Errorf("target %s: %w", target, err)
		}
		w.closeAtTheEnd("target "+target, t)
		promisers[target] = t
		targets[target] = targetConfig(c, t)
	}
	w.worker, err = worker.New(js, w.ledger, worker.Config{
		Name: name, Targets: targets, Logger: w.log, Tracer: w.tracer(), Meter: w.meter(),
		Remap: func(ctx context.Context, u ledger.Unit, request string) error {
			return stream.RequestRemap(ctx, js, u.Site, stream.Remap{Message: u.MessageID, Feed: u.Feed, Request: request})
		},
	})
	if err != nil {
		return err
	}
	if w.whole != nil {
		w.whole.promise = func(ctx context.Context, target string) string { return promise(ctx, promisers[target]) }
	}
	w.run("worker", w.worker.Run)
	w.run("certificate", func(ctx context.Context) error {
		return link.KeepCertificate(ctx, w.nc, bundle, name, w.log, w.meter())
	})
	w.run("prune", w.prune)
	return w.serve(ctx, ops.APIConfig{Ledger: w.ledger, Targets: w.targets, Bounds: w.bounds},
		ops.Check{Name: "ledger", Run: func(ctx context.Context) error { _, err := w.ledger.Replays(ctx); return err }},
		ops.Check{Name: "hub", Run: func(context.Context) error {
			if !w.nc.IsConnected() {
				return errors.New("not connected")
			}
			return nil
		}})
}

// promise says how a target keeps its promise, and asks it when that is not
// known; "" when it does not answer.
func promise(ctx context.Context, t broker.Target) string {
	p, ok := t.(broker.Promiser)
	if !ok {
		return ""
	}
	if p.Promise() == "" {
		ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		_ = t.Check(ctx) // what it does not answer now is refused unit by unit
	}
	return p.Promise()
}

// openLedger opens the store that the configuration names.
func openLedger(ctx context.Context, cfg config.Ledger) (ledger.Ledger, error) {
	if cfg.SQLite != "" {
		return sqlite.Open(ctx, cfg.SQLite, sqlite.Config{})
	}
	return postgres.Open(ctx, cfg.Postgres.Reveal(), postgres.Config{})
}

// MigrateLedger creates or updates the ledger's tables and returns the names
// of the steps that this took.
func MigrateLedger(ctx context.Context, cfg config.Ledger) ([]string, error) {
	if cfg.SQLite != "" {
		return sqlite.Migrate(ctx, cfg.SQLite)
	}
	return postgres.Migrate(ctx, cfg.Postgres.Reveal())
}

// prune forgets, now and then, what was settled longer ago than the ledger is
// to remember.
func (w *Worker) prune(ctx context.Context) error {
	const chunk = 5000
	tick := time.NewTicker(10 * time.Minute)
	defer tick.Stop()
	for {
		n, err := w.ledger.Prune(ctx, time.Now().Add(-w.cfg.Keep), chunk)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			w.log.Warn("prune the ledger", "err", err)
		case n > 0:
			w.log.Info("pruned the ledger", "units", n)
		}
		if n == chunk {
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// targets says what this worker knows. The API adds what the ledger knows of
// all workers.
func (w *Worker) targets(context.Context) ([]ops.TargetStatus, error) {
	var all []ops.TargetStatus
	for _, t := range w.worker.Status() {
		var lanes []ops.LaneStatus
		for _, s := range t.Lanes {
			lanes = append(lanes, ops.LaneStatus(s))
		}
		all = append(all, ops.TargetStatus{
			Lanes: lanes, Calls: t.Calls, CallsMax: t.CallsMax,
			Target: t.Target, Promise: t.Promise, Breaker: t.Breaker, BreakerSince: t.BreakerSince, Problem: t.Problem,
			Backlog: int(t.Backlog) + t.InHand, Oldest: t.Oldest, Rate: t.Rate, Counted: t.Partitions, LastApplied: t.LastApplied,
		})
	}
	return all, nil
}
