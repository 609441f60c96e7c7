package webhook

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"

	"github.com/vagus-health/vagus/broker"
)

// meters are the source's instruments. Their only attributes are the feed and the
// reason of a refusal.
type meters struct {
	tracer      trace.Tracer
	in, ok, bad metric.Int64Counter
	turnedAway  metric.Int64Counter
	open        metric.Int64UpDownCounter
	latency     metric.Float64Histogram
	name        string
	feed        metric.MeasurementOption
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
	ms := meters{
		tracer: t, name: feed, feed: metric.WithAttributeSet(attribute.NewSet(attribute.String("feed", feed))),
		in:         counter("vagus.source.received", "messages received"),
		ok:         counter("vagus.source.accepted", "messages stored and acknowledged"),
		bad:        counter("vagus.source.refused", "messages answered with a refusal"),
		turnedAway: counter("vagus.source.refused_connections", "connections closed because max_connections were open"),
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

// took counts what a receiver took.
func (m *meters) took(ctx context.Context, r broker.Receipt) {
	m.in.Add(ctx, int64(r.Accepted+r.Refused), m.feed)
	m.ok.Add(ctx, int64(r.Accepted), m.feed)
	if r.Refused > 0 {
		m.bad.Add(ctx, int64(r.Refused), m.reason("rejected"))
	}
}

// refused counts a request that was not taken: as one message, whatever is in it.
func (m *meters) refused(ctx context.Context, reason string) {
	m.in.Add(ctx, 1, m.feed)
	m.bad.Add(ctx, 1, m.reason(reason))
}

func (m *meters) reason(r string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("feed", m.name), attribute.String("reason", r))
}
