package ops

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	otelprom "go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/exemplar"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// TelemetryConfig says what a process is called and where its traces go.
type TelemetryConfig struct {
	Service  string // "vagus-worker"; required
	Version  string
	Instance string // the site's or the worker's name

	Endpoint string            // OTLP over HTTP: "https://collector:4318"; "" sends traces nowhere
	Headers  map[string]string // for the collector, such as its token
	// Sample is the share of new traces that are recorded, over 0 to 1; 0 means
	// all and a negative number none. What began elsewhere is recorded if it
	// was there.
	Sample float64

	Log *slog.Logger // hears of failing exports, when the failure changes; nil = discard
}

// Telemetry is one process's tracer and meter providers. Nothing of it is
// global but otel's error handler, which would print to stderr otherwise.
type Telemetry struct {
	Traces  trace.TracerProvider
	Meters  metric.MeterProvider
	Metrics http.Handler // the Prometheus page

	stop []func(context.Context) error
}

// NewTelemetry starts a process's telemetry. Without an endpoint spans still
// have ids, so that logs can be joined and the context travels on.
func NewTelemetry(ctx context.Context, cfg TelemetryConfig) (*Telemetry, error) {
	if cfg.Service == "" {
		return nil, errors.New("telemetry: no service name")
	}
	if cfg.Sample > 1 {
		return nil, fmt.Errorf("telemetry: sample %g: use 0 to 1", cfg.Sample)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	res := resource.NewSchemaless(
		attribute.String("service.name", cfg.Service),
		attribute.String("service.version", cfg.Version),
		attribute.String("service.instance.id", cfg.Instance),
	)
	t := &Telemetry{}

	reg := prometheus.NewRegistry()
	reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	reader, err := otelprom.New(otelprom.WithRegisterer(reg), otelprom.WithoutScopeInfo())
	if err != nil {
		return nil, fmt.Errorf("telemetry: %w", err)
	}
	// The page has no exemplars.
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader), sdkmetric.WithResource(res), sdkmetric.WithExemplarFilter(exemplar.AlwaysOffFilter))
	t.Meters = meters
	t.Metrics = promhttp.HandlerFor(reg, promhttp.HandlerOpts{Registry: reg, MaxRequestsInFlight: 4})

	sampler := sdktrace.NeverSample()
	if cfg.Sample == 0 {
		sampler = sdktrace.AlwaysSample()
	} else if cfg.Sample > 0 {
		sampler = sdktrace.TraceIDRatioBased(cfg.Sample)
	}
	sampler = sdktrace.ParentBased(sampler)
	t.Traces, t.stop = unrecorded{sampler: sampler}, []func(context.Context) error{meters.Shutdown}
	if cfg.Endpoint != "" {
		u, err := url.Parse(cfg.Endpoint)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, errors.New("telemetry: the OTLP endpoint is not a URL such as https://collector:4318")
		}
		if u.Path == "" || u.Path == "/" {
			u.Path = "/v1/traces"
		}
		exp, err := otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(u.String()), otlptracehttp.WithHeaders(cfg.Headers))
		if err != nil {
			return nil, fmt.Errorf("telemetry: %w", err)
		}
		traces := sdktrace.NewTracerProvider(sdktrace.WithResource(res), sdktrace.WithSampler(sampler), sdktrace.WithBatcher(exp))
		t.Traces, t.stop = traces, append([]func(context.Context) error{traces.Shutdown}, t.stop...)
	}
	otel.SetErrorHandler(&onChange{log: cfg.Log, msg: "telemetry is not delivered"})
	return t, nil
}

// Shutdown sends what is still held and stops, for as long as ctx allows.
func (t *Telemetry) Shutdown(ctx context.Context) error {
	var errs []error
	for _, stop := range t.stop {
		errs = append(errs, stop(ctx))
	}
	return errors.Join(errs...)
}
