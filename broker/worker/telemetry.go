package worker

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

// metrics are the worker's instruments. Labels are the target and what became
// of a unit, never an id.
type metrics struct {
	units   metric.Int64Counter
	batch   metric.Int64Histogram
	call    metric.Float64Histogram
	latency metric.Float64Histogram
	rewinds metric.Int64Counter
	lost    metric.Int64Counter
}

// newMetrics makes the instruments; those that show a state read it of w's lanes.
func newMetrics(m metric.Meter, w *Worker) (*metrics, error) {
	var err error
	keep := func(e error) {
		if err == nil {
			err = e
		}
	}
	t := &metrics{}
	var e error
	t.units, e = m.Int64Counter("vagus.worker.units", metric.WithDescription("Units by what became of them: applied, skipped, retried, deferred, waiting, dead, duplicate, error (a call gave no outcome), collision, stray, fenced"))
	keep(e)
	t.batch, e = m.Int64Histogram("vagus.worker.batch.size", metric.WithDescription("Units in one call of the target"), metric.WithExplicitBucketBoundaries(1, 2, 5, 10, 20, 50, 100, 200))
	keep(e)
	t.call, e = m.Float64Histogram("vagus.worker.call.duration", metric.WithUnit("s"), metric.WithDescription("Calls of the target"), metric.WithExplicitBucketBoundaries(.005, .02, .05, .1, .25, .5, 1, 2.5, 5, 15, 60))
	keep(e)
	t.latency, e = m.Float64Histogram("vagus.worker.latency", metric.WithUnit("s"), metric.WithDescription("From a source's acceptance of a message to its effect at the target"), metric.WithExplicitBucketBoundaries(.01, .05, .1, .25, .5, 1, 5, 30, 120, 600, 3600, 86400))
	keep(e)
	t.rewinds, e = m.Int64Counter("vagus.worker.rewinds", metric.WithDescription("Partitions that were read again because the stream no longer held their cursor's unit"))
	keep(e)
	t.lost, e = m.Int64Counter("vagus.worker.events.dropped", metric.WithDescription("Events that were not published because too many waited"))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.breaker", metric.WithDescription("0 closed, 1 half open, 2 open"), w.observe(func(l *lane) int64 { return l.metrics.breaker.Load() }))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.partitions", metric.WithDescription("Partitions held"), w.observe(func(l *lane) int64 { return l.metrics.partitions.Load() }))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.backlog", metric.WithDescription("Units in the stream and in hand that are not settled"), w.observe(func(l *lane) int64 {
		s := l.snapshot()
		return int64(s.Backlog) + int64(s.InHand)
	}))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.parked.keys", metric.WithDescription("Keys whose units wait"), w.observe(func(l *lane) int64 { return int64(l.snapshot().HeldKeys) }))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.calls.limit", metric.WithDescription("Calls of the target at once that this worker makes at most, as it has learned"), w.observe(func(l *lane) int64 { return int64(l.snapshot().Calls) }))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.lane.waiting", metric.WithDescription("Units in hand or put aside, by lane"), w.observeLanes(func(s LaneStatus) int64 { return int64(s.Waiting) }))
	keep(e)
	_, e = m.Int64ObservableGauge("vagus.worker.lane.applied", metric.WithDescription("Units applied since the worker runs, by lane"), w.observeLanes(func(s LaneStatus) int64 { return int64(s.Applied) }))
	keep(e)
	return t, err
}

func (w *Worker) observeLanes(value func(LaneStatus) int64) metric.Int64ObservableGaugeOption {
	return metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		for _, l := range w.lanes {
			for _, s := range l.snapshot().Lanes {
				o.Observe(value(s), metric.WithAttributes(attribute.String("target", l.target), attribute.String("lane", s.Lane)))
			}
		}
		return nil
	})
}

func (w *Worker) observe(value func(*lane) int64) metric.Int64ObservableGaugeOption {
	return metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		for _, l := range w.lanes {
			o.Observe(value(l), l.metrics.target)
		}
		return nil
	})
}

// laneMetrics are the instruments of one target.
type laneMetrics struct {
	*metrics
	target     metric.MeasurementOption
	outcomes   map[string]metric.MeasurementOption
	breaker    atomic.Int64
	partitions atomic.Int64
}

func (m *metrics) forTarget(target string) *laneMetrics {
	of := func(kv ...attribute.KeyValue) metric.MeasurementOption {
		return metric.WithAttributeSet(attribute.NewSet(append(kv, attribute.String("target", target))...))
	}
	lm := &laneMetrics{metrics: m, target: of(), outcomes: map[string]metric.MeasurementOption{}}
	for _, o := range []string{"applied", "skipped", "retried", "deferred", "waiting", "dead", "duplicate", "error", "collision", "stray", "fenced"} {
		lm.outcomes[o] = of(attribute.String("outcome", o))
	}
	return lm
}

func (m *laneMetrics) count(outcome string, n int64) {
	m.units.Add(context.Background(), n, m.outcomes[outcome])
}

func (m *laneMetrics) chunk(units int, took time.Duration) {
	m.batch.Record(context.Background(), int64(units), m.target)
	m.call.Record(context.Background(), took.Seconds(), m.target)
}

func (m *laneMetrics) rewound() { m.rewinds.Add(context.Background(), 1, m.target) }

// what names an outcome for metrics and events.
func what(s *ledger.Settlement) string {
	switch {
	case s.Unit.Status == ledger.Parked && !s.Attempt:
		return "waiting"
	case s.Unit.Status == ledger.Parked && !s.Unit.WaitingSince.IsZero():
		return "deferred"
	case s.Unit.Status == ledger.Parked:
		return "retried"
	}
	return string(s.Unit.Status)
}

// record counts and publishes what was settled.
func (l *lane) record(done []ledger.Settlement) {
	if len(done) == 0 {
		return
	}
	now, counts, last := time.Now(), map[string]int64{}, time.Time{}
	for i := range done {
		s := &done[i]
		counts[what(s)]++
		if s.Unit.Status == ledger.Applied {
			last = now
			l.metrics.latency.Record(context.Background(), now.Sub(s.Unit.ReceivedAt).Seconds(), l.metrics.target)
		}
		if s.Unit.Status == ledger.Dead {
			l.log.Warn("dead letter", "unit", s.Unit.ID, "message", s.Unit.MessageID, "feed", s.Unit.Feed, "class", s.Unit.Class, "attempts", s.Unit.Attempts)
		}
	}
	for outcome, n := range counts {
		l.metrics.count(outcome, n)
	}
	l.mu.Lock()
	l.status.Settled += uint64(len(done))
	l.recent.add(now, len(done))
	if !last.IsZero() {
		l.status.LastApplied = last
	}
	l.mu.Unlock()
	l.events.settled(l.target, now, done)
}

// tracer makes the spans of attempts. A nil tracer makes none.
type tracer struct{ trace.Tracer }

// span records one attempt at one unit as a child of the trace that the unit
// brought with it.
func (t tracer) span(it *item, c *chunk, result, class string) {
	if t.Tracer == nil || it.row.Trace == "" {
		return
	}
	ctx := propagation.TraceContext{}.Extract(context.Background(), propagation.MapCarrier{stream.HeaderTrace: it.row.Trace})
	if !trace.SpanContextFromContext(ctx).IsSampled() {
		return
	}
	_, span := t.Start(ctx, "worker.apply", trace.WithTimestamp(c.began), trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		attribute.String("vagus.unit", it.row.ID), attribute.String("vagus.target", it.row.Target), attribute.String("vagus.result", result),
		attribute.Int("vagus.attempt", it.row.Attempts+1), attribute.Int("vagus.batch", len(c.items))))
	if class != "" {
		span.SetAttributes(attribute.String("vagus.class", class))
		span.SetStatus(codes.Error, class)
	}
	span.End(trace.WithTimestamp(c.began.Add(c.took)))
}
