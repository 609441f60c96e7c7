package app

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/ops"
)

// Options are what the caller knows and no configuration file does.
type Options struct {
	Version string
	Log     io.Writer // nil is standard error

	failed chan error // of a process that this one is a part of; nil: its own
}

// base is what every process begins with: its log, its telemetry, its parts.
type base struct {
	*parts
	service   string
	settings  config.Process
	telemetry *ops.Telemetry
	server    *ops.Server
}

func startBase(ctx context.Context, service, instance string, o Options, p config.Process, grace time.Duration) (*base, error) {
	if o.Log == nil {
		o.Log = os.Stderr
	}
	log, err := ops.NewLogger(o.Log, p.Log.Level, p.Log.Format)
	if err != nil {
		return nil, err
	}
	log = log.With("service", service, "instance", instance)
	b := &base{parts: newParts(log, grace, o.failed), service: service, settings: p}
	b.telemetry, err = ops.NewTelemetry(ctx, ops.TelemetryConfig{Service: service, Version: o.Version, Instance: instance, Endpoint: p.OTLP, Log: log})
	if err != nil {
		return nil, err
	}
	b.onStop("telemetry", b.telemetry.Shutdown)
	log.Info("starting", "version", o.Version, "pid", os.Getpid())
	return b, nil
}

func (b *base) tracer() trace.Tracer { return b.telemetry.Traces.Tracer("vagus") }
func (b *base) meter() metric.Meter  { return b.telemetry.Meters.Meter("vagus") }

// serve starts the HTTP side; api may be nil.
func (b *base) serve(ctx context.Context, api func(*slog.Logger) http.Handler, checks ...ops.Check) error {
	cfg := ops.ServerConfig{Addr: b.settings.Ops.Listen, Metrics: b.telemetry.Metrics, Checks: checks, Plain: b.settings.Ops.Plain, Log: b.log}
	if api != nil && !b.settings.Ops.Token.IsZero() {
		cfg.API = api(b.log)
		cfg.Tokens = []ops.Token{{Name: "api", Secret: b.settings.Ops.Token}}
	}
	server, err := ops.NewServer(ctx, cfg)
	if err != nil {
		return err
	}
	b.server = server
	b.run("http", server.Run)
	return nil
}

// abandon stops what a failed start has started and returns why it failed.
func (b *base) abandon(err error) error {
	return errors.Join(err, b.Stop())
}

// OpsAddr is where the process's HTTP side listens.
func (b *base) OpsAddr() string { return b.server.Addr() }
