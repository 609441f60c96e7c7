// Package reception is what sources have in common at their senders' side: the
// instruments, so that every source counts the same things by the same names, the
// TLS settings of what listens, and the listener of those who come by HTTP.
package reception

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

// Meters are the instruments of a source. Their only attributes are the feed,
// the reason of a refusal and what a [Counter] is given. A [broker.Receiver] counts no messages:
// the source that brings them to it does. Safe for concurrent use.
type Meters struct {
	Tracer trace.Tracer // a no-op when none was given

	meter                                   metric.Meter
	feed                                    attribute.KeyValue
	byFeed                                  metric.MeasurementOption
	received, accepted, refused, turnedAway Counter
	connections                             metric.Int64UpDownCounter
	latency                                 metric.Float64Histogram
}

// NewMeters makes the instruments of a feed. A nil meter or tracer is a no-op.
func NewMeters(m metric.Meter, t trace.Tracer, feed string) (*Meters, error) {
	if m == nil {
		m = noopmetric.Meter{}
	}
	if t == nil {
		t = nooptrace.Tracer{}
	}
	ms := &Meters{Tracer: t, meter: m, feed: attribute.String("feed", feed)}
	ms.byFeed = metric.WithAttributeSet(attribute.NewSet(ms.feed))
	var errs [6]error
	ms.received, errs[0] = ms.Counter("vagus.source.received", "messages received")
	ms.accepted, errs[1] = ms.Counter("vagus.source.accepted", "messages stored and acknowledged")
	ms.refused, errs[2] = ms.Counter("vagus.source.refused", "messages answered with a refusal")
	ms.turnedAway, errs[3] = ms.Counter("vagus.source.refused_connections", "connections closed because max_connections were open")
	ms.connections, errs[4] = m.Int64UpDownCounter("vagus.source.connections", metric.WithDescription("open connections"))
	ms.latency, errs[5] = m.Float64Histogram("vagus.source.ack_latency", metric.WithUnit("s"),
		metric.WithDescription("from a message's last byte to its answer's"),
		metric.WithExplicitBucketBoundaries(.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30))
	return ms, errors.Join(errs[:]...)
}

// Accepted counts messages that were received, stored and acknowledged.
func (m *Meters) Accepted(ctx context.Context, n int) {
	m.received.Add(ctx, n)
	m.accepted.Add(ctx, n)
}

// Refused counts messages that were received and answered with a refusal. The
// reason is one of a few words of the source's own, such as "syntax" or "full".
func (m *Meters) Refused(ctx context.Context, n int, reason string) {
	m.received.Add(ctx, n)
	m.refused.Add(ctx, n, attribute.String("reason", reason))
}

// Postponed counts a refusal of what the source itself tries again: it is
// received when that succeeds.
func (m *Meters) Postponed(ctx context.Context, reason string) {
	m.refused.Add(ctx, 1, attribute.String("reason", reason))
}

// Connected counts connections: 1 that opens, -1 that closes.
func (m *Meters) Connected(ctx context.Context, n int64) {
	m.connections.Add(ctx, n, m.byFeed)
}

// TurnedAway counts a connection that was closed at once, because too many were open.
func (m *Meters) TurnedAway(ctx context.Context) { m.turnedAway.Add(ctx, 1) }

// Answered records how long an answer took, since the message's last byte.
func (m *Meters) Answered(ctx context.Context, since time.Time) {
	m.latency.Record(ctx, time.Since(since).Seconds(), m.byFeed)
}

// A Counter counts what a source has of its own.
type Counter struct {
	c      metric.Int64Counter
	feed   attribute.KeyValue
	byFeed metric.MeasurementOption
}

// Counter makes one.
func (m *Meters) Counter(name, description string) (Counter, error) {
	c, err := m.meter.Int64Counter(name, metric.WithDescription(description))
	return Counter{c, m.feed, m.byFeed}, err
}

// Add counts n of them. An attribute is a few words of the source's own, never
// an id or a sender's text.
func (c Counter) Add(ctx context.Context, n int, more ...attribute.KeyValue) {
	switch {
	case n == 0:
	case len(more) == 0:
		c.c.Add(ctx, int64(n), c.byFeed)
	default:
		c.c.Add(ctx, int64(n), metric.WithAttributes(append(more, c.feed)...))
	}
}

// Traceparent returns the W3C header of the span that ctx has, or "".
func Traceparent(ctx context.Context) string {
	sc := trace.SpanContextFromContext(ctx)
	if !sc.IsValid() {
		return ""
	}
	return "00-" + sc.TraceID().String() + "-" + sc.SpanID().String() + "-" + sc.TraceFlags().String()
}
