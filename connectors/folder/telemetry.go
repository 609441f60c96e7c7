package folder

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

// meters are the source's instruments. Their only attributes are the feed, the reason of
// a refusal and what became of a file.
type meters struct {
	tracer      trace.Tracer
	in, ok, bad metric.Int64Counter
	files       metric.Int64Counter
	feed        string
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
		tracer: t, feed: feed,
		in:    counter("vagus.source.received", "messages received"),
		ok:    counter("vagus.source.accepted", "messages stored and acknowledged"),
		bad:   counter("vagus.source.refused", "messages answered with a refusal"),
		files: counter("vagus.source.files", "files by what became of them: taken, duplicate, changed, quarantined"),
	}
	return ms, errors.Join(errs...)
}

func (m *meters) with(key, value string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("feed", m.feed), attribute.String(key, value))
}

// took counts what a receiver took or refused for good.
func (m *meters) took(ctx context.Context, r broker.Receipt, reject *broker.RejectError) {
	feed := metric.WithAttributes(attribute.String("feed", m.feed))
	if reject != nil { // a file at fault counts as one message, whatever is in it
		m.in.Add(ctx, 1, feed)
		m.bad.Add(ctx, 1, m.with("reason", "rejected"))
		return
	}
	m.in.Add(ctx, int64(r.Accepted+r.Refused), feed)
	m.ok.Add(ctx, int64(r.Accepted), feed)
	m.bad.Add(ctx, int64(r.Refused), m.with("reason", "rejected"))
	m.files.Add(ctx, 1, m.with("outcome", "taken"))
}

// failed counts a file that is tried again.
func (m *meters) failed(ctx context.Context, err error) {
	reason := "error"
	if errors.Is(err, broker.ErrFull) {
		reason = "full"
	}
	m.bad.Add(ctx, 1, m.with("reason", reason))
}

func (m *meters) duplicate(ctx context.Context) { m.files.Add(ctx, 1, m.with("outcome", "duplicate")) }
func (m *meters) changed(ctx context.Context)   { m.files.Add(ctx, 1, m.with("outcome", "changed")) }
func (m *meters) quarantined(ctx context.Context) {
	m.files.Add(ctx, 1, m.with("outcome", "quarantined"))
}
