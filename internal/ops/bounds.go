package ops

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// A Bound is something that fills up to a limit, with what happens then.
type Bound struct {
	Name  string `json:"name"` // "journal of adt"
	Used  int64  `json:"used"` // bytes
	Limit int64  `json:"limit"`
	Then  string `json:"then"` // what happens when it is full, and what to do before
}

// Full is the share that is used.
func (b Bound) Full() float64 {
	if b.Limit <= 0 {
		return 0
	}
	return float64(b.Used) / float64(b.Limit)
}

// String tells a bound in one line.
func (b Bound) String() string {
	return fmt.Sprintf("%s is %.0f %% full (%.1f of %.1f GB)", b.Name, 100*b.Full(), float64(b.Used)/1e9, float64(b.Limit)/1e9)
}

// nearlyFull is when a person should look.
const nearlyFull = 0.9

// Nearest returns the fullest of the bounds; ok is false when there are none.
func (s *Status) Nearest() (b Bound, ok bool) {
	if len(s.Bounds) == 0 {
		return Bound{}, false
	}
	return slices.MaxFunc(s.Bounds, func(a, b Bound) int { return cmp.Compare(a.Full(), b.Full()) }), true
}

// judgeBound says whether a bound is so near that a person should look.
func judgeBound(b Bound) Verdict {
	if b.Full() < nearlyFull {
		return Verdict{Fine, b.String()}
	}
	return Verdict{Attention, b.String() + "; then " + b.Then}
}

// MeasureBounds tells bounds as metrics, for as long as the meter lives.
func MeasureBounds(meter metric.Meter, bounds func(context.Context) ([]Bound, error)) error {
	used, err := meter.Int64ObservableGauge("vagus.bound.used", metric.WithUnit("By"), metric.WithDescription("What is used of something that has a limit."))
	if err != nil {
		return err
	}
	limit, err := meter.Int64ObservableGauge("vagus.bound.limit", metric.WithUnit("By"), metric.WithDescription("Its limit."))
	if err != nil {
		return err
	}
	_, err = meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		bs, err := bounds(ctx)
		for _, b := range bs {
			name := metric.WithAttributes(attribute.String("bound", b.Name))
			o.ObserveInt64(used, b.Used, name)
			o.ObserveInt64(limit, b.Limit, name)
		}
		return err
	}, used, limit)
	return err
}
