package journal

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/vagus-health/vagus/broker"
)

// metrics are the same for every feed; labels hold the feed's name only.
type metrics struct {
	messages metric.Int64Counter     // by result: stored, duplicate, full, error
	seconds  metric.Float64Histogram // of one Append
	sync     metric.Float64Histogram // of one fsync of the block files
	group    metric.Int64Histogram   // Appends that one fsync served
	reg      metric.Registration
	options  sync.Map // feed and result to metric.MeasurementOption
}

func (m *metrics) init(j *Journal, meter metric.Meter) error {
	if meter == nil {
		meter = noop.Meter{}
	}
	var errs [7]error
	m.messages, errs[0] = meter.Int64Counter("vagus.journal.messages", metric.WithDescription("Messages offered to the journal, by result: stored, duplicate, full, error."))
	m.seconds, errs[1] = meter.Float64Histogram("vagus.journal.append.duration", metric.WithUnit("s"), metric.WithDescription("Time until a message is on stable storage."))
	m.sync, errs[2] = meter.Float64Histogram("vagus.journal.sync.duration", metric.WithUnit("s"), metric.WithDescription("Time of one fsync of the block files."))
	m.group, errs[3] = meter.Int64Histogram("vagus.journal.sync.group", metric.WithDescription("Appends that one fsync served."))
	held, err := meter.Int64ObservableGauge("vagus.journal.held", metric.WithDescription("Messages in the journal."))
	errs[4] = err
	used, err := meter.Int64ObservableGauge("vagus.journal.used", metric.WithUnit("By"), metric.WithDescription("Bytes in the journal."))
	errs[5] = err
	limit, err := meter.Int64ObservableGauge("vagus.journal.limit", metric.WithUnit("By"), metric.WithDescription("Bytes at which the journal refuses."))
	errs[6] = err
	if err := errors.Join(errs[:]...); err != nil {
		return err
	}
	m.reg, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		for feed, l := range j.lanes {
			s, _ := l.current()
			if s == nil {
				continue
			}
			info, err := s.stream.Info(ctx)
			if err != nil {
				continue // the server stands still, and the log says so
			}
			opt := m.option(feed, "")
			o.ObserveInt64(held, int64(info.State.Msgs), opt)
			o.ObserveInt64(used, int64(info.State.Bytes), opt)
			o.ObserveInt64(limit, l.limit, opt)
		}
		return nil
	}, held, used, limit)
	return err
}

func (m *metrics) close() error {
	if m.reg == nil {
		return nil
	}
	return m.reg.Unregister()
}

func (m *metrics) appended(ctx context.Context, feed string, n, dups int, took time.Duration, err error) {
	if m.messages == nil {
		return
	}
	m.seconds.Record(ctx, took.Seconds(), m.option(feed, ""))
	switch {
	case errors.Is(err, broker.ErrFull):
		m.messages.Add(ctx, int64(n), m.option(feed, "full"))
	case err != nil:
		m.messages.Add(ctx, int64(n), m.option(feed, "error"))
	default:
		if n > dups {
			m.messages.Add(ctx, int64(n-dups), m.option(feed, "stored"))
		}
		if dups > 0 {
			m.messages.Add(ctx, int64(dups), m.option(feed, "duplicate"))
		}
	}
}

func (m *metrics) synced(feed string, group int, took time.Duration) {
	if m.sync == nil {
		return
	}
	m.sync.Record(context.Background(), took.Seconds(), m.option(feed, ""))
	m.group.Record(context.Background(), int64(group), m.option(feed, ""))
}

func (m *metrics) option(feed, result string) metric.MeasurementOption {
	key := [2]string{feed, result}
	if o, ok := m.options.Load(key); ok {
		return o.(metric.MeasurementOption)
	}
	attrs := []attribute.KeyValue{attribute.String("feed", feed)}
	if result != "" {
		attrs = append(attrs, attribute.String("result", result))
	}
	o := metric.WithAttributeSet(attribute.NewSet(attrs...))
	m.options.Store(key, o)
	return o
}
