package x12

import (
	"context"
	"errors"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	noopmetric "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	nooptrace "go.opentelemetry.io/otel/trace/noop"
)

// meters are the receiver's instruments: the same names as other sources'.
type meters struct {
	tracer                     trace.Tracer
	in, ok, bad, known, strays metric.Int64Counter
	feed                       metric.MeasurementOption
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
		tracer: t,
		in:     counter("vagus.source.received", "messages received"),
		ok:     counter("vagus.source.accepted", "messages stored and acknowledged"),
		bad:    counter("vagus.source.refused", "messages answered with a refusal"),
		known:  counter("vagus.x12.acknowledgments", "acknowledgments of what was sent"),
		strays: counter("vagus.x12.stray_acknowledgments", "acknowledgments of nothing that was sent"),
		feed:   metric.WithAttributeSet(attribute.NewSet(attribute.String("feed", feed))),
	}
	return ms, errors.Join(errs...)
}

func (m *meters) received(ctx context.Context, taken, lost int) {
	m.in.Add(ctx, int64(taken+lost), m.feed)
	m.ok.Add(ctx, int64(taken), m.feed)
	m.bad.Add(ctx, int64(lost), m.feed)
}

func (m *meters) acknowledged(ctx context.Context, known bool) {
	if known {
		m.known.Add(ctx, 1, m.feed)
	} else {
		m.strays.Add(ctx, 1, m.feed)
	}
}

// traceparent returns the W3C header of a span, or "".
func traceparent(sc trace.SpanContext) string {
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}
