package hl7

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
	tracer       trace.Tracer
	in, ok, bad  metric.Int64Counter
	reuse, noise metric.Int64Counter
	turnedAway   metric.Int64Counter
	open         metric.Int64UpDownCounter
	latency      metric.Float64Histogram
	feed         metric.MeasurementOption
	reasons      map[string]metric.MeasurementOption
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
		reuse:      counter("vagus.source.reused_control_ids", "sender's ids that came again with other content"),
		noise:      counter("vagus.source.discarded_bytes", "bytes outside frames"),
		turnedAway: counter("vagus.source.refused_connections", "connections closed because max_connections were open"),
		feed:       metric.WithAttributeSet(attribute.NewSet(byFeed)),
		reasons:    make(map[string]metric.MeasurementOption),
	}
	for _, r := range []string{"syntax", "too_large", "rejected", "full", "error"} {
		ms.reasons[r] = metric.WithAttributeSet(attribute.NewSet(byFeed, attribute.String("reason", r)))
	}
	var err error
	ms.open, err = m.Int64UpDownCounter("vagus.source.connections", metric.WithDescription("open connections"))
	errs = append(errs, err)
	ms.latency, err = m.Float64Histogram("vagus.source.ack_latency", metric.WithUnit("s"),
		metric.WithDescription("from a frame's last byte to its acknowledgement's"),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	errs = append(errs, err)
	return ms, errors.Join(errs...)
}

func (m *meters) received(ctx context.Context, r reply) {
	m.in.Add(ctx, 1, m.feed)
	if r.verdict == taken {
		m.ok.Add(ctx, 1, m.feed)
		return
	}
	m.bad.Add(ctx, 1, m.reasons[r.reason])
}

func (m *meters) connectionOpen(ctx context.Context, n int64) { m.open.Add(ctx, n, m.feed) }
func (m *meters) connectionRefused(ctx context.Context)       { m.turnedAway.Add(ctx, 1, m.feed) }
func (m *meters) reused(ctx context.Context)                  { m.reuse.Add(ctx, 1, m.feed) }

func (m *meters) answered(ctx context.Context, took time.Duration) {
	m.latency.Record(ctx, took.Seconds(), m.feed)
}

func (m *meters) outside(ctx context.Context, n int) {
	if n > 0 {
		m.noise.Add(ctx, int64(n), m.feed)
	}
}

// traceparent returns the W3C header of a span, or "".
func traceparent(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}
