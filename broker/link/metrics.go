package link

import (
	"context"
	"errors"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

type metrics struct {
	units, batches, duplicates, resumes, tooLarge, errors, documents, damaged metric.Int64Counter
}

func newMetrics(l *Link) (*metrics, error) {
	var m metrics
	var errs []error
	counter := func(c *metric.Int64Counter, name, what string) {
		var err error
		*c, err = l.cfg.Meter.Int64Counter("vagus_link_"+name, metric.WithDescription(what))
		errs = append(errs, err)
	}
	counter(&m.units, "units", "Units that the cloud has confirmed.")
	counter(&m.batches, "batches", "Batches that units were sent in; the others went one by one.")
	counter(&m.duplicates, "duplicates", "Units that the cloud had already.")
	counter(&m.resumes, "resumes", "How often a lane asked the cloud where to go on.")
	counter(&m.tooLarge, "too_large", "Units that a dead letter was sent for because the hub takes none so large.")
	counter(&m.errors, "errors", "What stopped a lane, by class.")
	counter(&m.damaged, "journal_damaged", "How often a feed's journal was found to have lost messages that it had.")
	counter(&m.documents, "documents", "Documents from the cloud, by sink and by what it said of them; known: delivered before, and not again.")
	gauge := func(name, what string) metric.Float64ObservableGauge {
		g, err := l.cfg.Meter.Float64ObservableGauge("vagus_link_"+name, metric.WithDescription(what))
		errs = append(errs, err)
		return g
	}
	connected := gauge("connected", "1 if the link to the cloud is up.")
	backlog := gauge("backlog_entries", "Journal entries that the cloud has not confirmed.")
	oldest := gauge("oldest_seconds", "Age of the oldest entry that the cloud has not confirmed.")
	_, err := l.cfg.Meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		s := l.State(ctx)
		up := 0.0
		if s.Connected {
			up = 1
		}
		o.ObserveFloat64(connected, up)
		for _, lane := range s.Lanes {
			age := 0.0
			if !lane.Oldest.IsZero() {
				age = time.Since(lane.Oldest).Seconds()
			}
			o.ObserveFloat64(backlog, float64(lane.Backlog), feedAttr(lane.Feed))
			o.ObserveFloat64(oldest, age, feedAttr(lane.Feed))
		}
		return nil
	}, connected, backlog, oldest)
	return &m, errors.Join(append(errs, err)...)
}

func feedAttr(feed string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("feed", feed)))
}

func classAttr(class string) metric.MeasurementOption {
	return metric.WithAttributes(attribute.String("class", class))
}

func sinkAttr(sink, result string) metric.MeasurementOption {
	return metric.WithAttributeSet(attribute.NewSet(attribute.String("sink", sink), attribute.String("result", result)))
}
