package fhir

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// meters are the source's instruments. Their only attributes are the feed and
// the reason of a refusal.
type meters struct {
	tracer             trace.Tracer
	in, ok, bad, again metric.Int64Counter
	turnedAway         metric.Int64Counter
	open               metric.Int64UpDownCounter
	latency            metric.Float64Histogram
	feed               metric.MeasurementOption
	reasons            map[string]metric.MeasurementOption
}

func newMeters(m metric.Meter, t trace.Tracer, feed string) (meters, error) {
	if m == nil {
		m = noopmetric.Meter{}
	}
	if t == nil {
		t = nooptrace.Tracer{}
	}
	var errs []error
	counter := func(name, what string) metric.Int64Counter {
		c, err := m.Int64Counter(name, metric.WithDescription(what))
		errs = append(errs, err)
		return c
	}
	byFeed := attribute.String("feed", feed)
	ms := meters{
		tracer:     t,
		in:         counter("vagus.source.received", "messages received"),
		ok:         counter("vagus.source.accepted", "messages stored and acknowledged"),
		bad:        counter("vagus.source.refused", "messages answered with a refusal"),
		again:      counter("vagus.source.unchanged", "versions that were read again and made no message"),
		turnedAway: counter("vagus.source.refused_connections", "connections closed because max_connections were open"),
		feed:       metric.WithAttributeSet(attribute.NewSet(byFeed)),
		reasons:    make(map[string]metric.MeasurementOption),
	}
	for _, r := range []string{"syntax", "too_large", "rejected", "full", "error", "unsupported", "unauthorized"} {
		ms.reasons[r] = metric.WithAttributeSet(attribute.NewSet(byFeed, attribute.String("reason", r)))
	}
	var err error
	ms.open, err = m.Int64UpDownCounter("vagus.source.connections", metric.WithDescription("open connections"))
	errs = append(errs, err)
	ms.latency, err = m.Float64Histogram("vagus.source.ack_latency", metric.WithUnit("s"),
		metric.WithDescription("from a request's last byte to its answer"),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	errs = append(errs, err)
	return ms, errors.Join(errs...)
}

// received counts one message and what was said to it.
func (m *meters) received(ctx context.Context, reason string) {
	m.in.Add(ctx, 1, m.feed)
	if reason == "" {
		m.ok.Add(ctx, 1, m.feed)
		return
	}
	m.bad.Add(ctx, 1, m.reasons[reason])
}

func (m *meters) answered(ctx context.Context, began time.Time) {
	m.latency.Record(ctx, time.Since(began).Seconds(), m.feed)
}

// traceparent returns the W3C header of a span, or "".
func traceparent(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}
