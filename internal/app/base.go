package app

import (
	"context"
	"errors"
	"io"
	"os"
	"runtime/debug"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker/failpoint"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// Options are what the caller knows and no configuration file does.
type Options struct {
	Version string
	Log     io.Writer // nil is standard error; each part writes whole lines to it, at the same time as others

	whole *whole // the process that this one is a part of; nil: it stands alone
}

// A whole is what the parts of one process share: `vagus up` has one telemetry
// and one HTTP side for hub, worker and agent.
type whole struct {
	failed    chan error
	telemetry *ops.Telemetry
	api       ops.APIConfig
	checks    []ops.Check
	promise   func(ctx context.Context, target string) string // see broker.Promiser; nil before there is a worker
	hub       []string                                        // where its own hub listens now, whatever the bundles say
}

// base is what every process begins with: its log, its telemetry, its parts.
type base struct {
	*parts
	service   string
	version   string
	settings  config.Process
	whole     *whole
	telemetry *ops.Telemetry
	server    *ops.Server
	x12       *x12.Register // nil until a feed needs it
}

// collectAt is how much the heap grows, in percent of what is in use, before it
// is collected. A message is many small objects that die young: at 200 the
// end-to-end benchmark does 1,690 to 1,930 messages per second of processor time,
// at Go's 100 it does 1,480 in the same hour, for 50 MB more at full load and nothing at
// rest. GOGC in the environment goes before it.
const collectAt = 200

func startBase(ctx context.Context, service, instance string, o Options, p config.Process, grace time.Duration) (*base, error) {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(collectAt)
	}
	if o.Log == nil {
		o.Log = os.Stderr
	}
	log, err := ops.NewLogger(o.Log, p.Log.Level, p.Log.Format)
	if err != nil {
		return nil, err
	}
	log = log.With("service", service, "instance", instance)
	log.Info("starting", "version", o.Version, "pid", os.Getpid())
	if armed := failpoint.Armed(); armed != "" {
		log.Warn("this process is armed to end itself at a failpoint; nobody wants that outside of tests", "armed", armed)
	}
	if o.whole != nil {
		return &base{parts: newParts(log, grace, o.whole.failed), service: service, version: o.Version, settings: p, whole: o.whole, telemetry: o.whole.telemetry}, nil
	}
	b := &base{parts: newParts(log, grace, make(chan error, 1)), service: service, version: o.Version, settings: p}
	b.telemetry, err = ops.NewTelemetry(ctx, ops.TelemetryConfig{Service: service, Version: o.Version, Instance: instance, Endpoint: p.OTLP, Log: log})
	if err != nil {
		return nil, err
	}
	b.onStop("telemetry", b.telemetry.Shutdown)
	return b, nil
}

// hubURLs is where to connect instead of where the bundle says, if anywhere.
func (b *base) hubURLs() []string {
	if b.whole == nil {
		return nil
	}
	return b.whole.hub
}

func (b *base) tracer() trace.Tracer { return b.telemetry.Traces.Tracer("vagus") }
func (b *base) meter() metric.Meter  { return b.telemetry.Meters.Meter("vagus") }

// serve starts the HTTP side, or adds to that of the whole.
func (b *base) serve(ctx context.Context, api ops.APIConfig, checks ...ops.Check) error {
	if w := b.whole; w != nil {
		w.checks = append(w.checks, checks...)
		if api.Ledger != nil {
			w.api.Ledger, w.api.Targets = api.Ledger, api.Targets
		}
		if api.Sites != nil {
			w.api.Sites = api.Sites
		}
		w.api.Bounds = both(w.api.Bounds, api.Bounds)
		return nil
	}
	api.Bounds = both(api.Bounds, b.ownBounds)
	if err := ops.MeasureBounds(b.meter(), api.Bounds); err != nil {
		return err
	}
	api.Service, api.Log = b.service, b.log
	cfg := ops.ServerConfig{Addr: b.settings.Ops.Listen, Metrics: b.telemetry.Metrics, Checks: checks, Plain: b.settings.Ops.Plain, Log: b.log}
	if !b.settings.Ops.Token.IsZero() && (api.Ledger != nil || api.Sites != nil) {
		cfg.API = ops.NewAPI(api)
		cfg.Tokens = []ops.Token{{Name: "api", Secret: b.settings.Ops.Token}}
	}
	server, err := ops.NewServer(ctx, cfg)
	if err != nil {
		return err
	}
	b.server = server
	b.run("http", server.Run)
	if err := releaseStart(); err != nil {
		b.log.Warn("the memory that starting needed is kept", "error", err)
	}
	return nil
}

// both asks two; either may be nil.
func both(a, b func(context.Context) ([]ops.Bound, error)) func(context.Context) ([]ops.Bound, error) {
	if a == nil || b == nil {
		if a == nil {
			return b
		}
		return a
	}
	return func(ctx context.Context) ([]ops.Bound, error) {
		some, err := a(ctx)
		more, other := b(ctx)
		return append(some, more...), errors.Join(err, other)
	}
}

// abandon stops what a failed start has started and returns why it failed.
func (b *base) abandon(err error) error {
	return errors.Join(err, b.Stop())
}

// OpsAddr is where the process's HTTP side listens.
func (b *base) OpsAddr() string { return b.server.Addr() }
