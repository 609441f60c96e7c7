package ops

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// Bytes is the unit of a [Bound] that is measured; every other one is counted.
const Bytes = "bytes"

// A Bound is something that fills up to a limit, with what happens then.
type Bound struct {
	Name  string `json:"name"`         // "journal", the same wherever there is one
	Of    string `json:"of,omitempty"` // "feed adt"; "" where there is one only
	Unit  string `json:"unit"`         // Bytes, or what is counted: "connections"
	Used  int64  `json:"used"`
	Limit int64  `json:"limit"`
	Then  string `json:"then"` // what happens when it is full, and what to do before
	// Paces says that it is full whenever there is much to do, or a cache, full for ever: others wait a
	// little, or are asked again, and nobody has to look.
	Paces bool `json:"paces,omitempty"`
}

// Full is the share that is used.
func (b Bound) Full() float64 {
	if b.Limit <= 0 {
		return 0
	}
	return float64(b.Used) / float64(b.Limit)
}

// Title is its name with whose it is.
func (b Bound) Title() string {
	if b.Of == "" {
		return b.Name
	}
	return b.Name + " of " + b.Of
}

// Amount tells used and limit with their unit.
func (b Bound) Amount() string {
	if b.Unit != Bytes {
		return fmt.Sprintf("%d of %d %s", b.Used, b.Limit, b.Unit)
	}
	size, unit := 1e9, "GB"
	switch {
	case b.Limit < 1e6:
		size, unit = 1e3, "kB"
	case b.Limit < 1e9:
		size, unit = 1e6, "MB"
	}
	return fmt.Sprintf("%.1f of %.1f %s", float64(b.Used)/size, float64(b.Limit)/size, unit)
}

// String tells a bound in one line.
func (b Bound) String() string {
	return fmt.Sprintf("%s is %.0f %% full (%s)", b.Title(), 100*b.Full(), b.Amount())
}

// nearlyFull is when a person should look.
const nearlyFull = 0.9

// Nearest returns the fullest of the bounds that a person has to look after; ok is false when there are none.
func (s *Status) Nearest() (b Bound, ok bool) {
	return fullest(s.Bounds, false)
}

// Pacing returns the fullest of those that only pace, if it is nearly full.
func (s *Status) Pacing() (b Bound, ok bool) {
	b, ok = fullest(s.Bounds, true)
	return b, ok && b.Full() >= nearlyFull
}

func fullest(bounds []Bound, paces bool) (b Bound, ok bool) {
	some := slices.DeleteFunc(slices.Clone(bounds), func(b Bound) bool { return b.Paces != paces })
	if len(some) == 0 {
		return Bound{}, false
	}
	return slices.MaxFunc(some, func(a, b Bound) int { return cmp.Compare(a.Full(), b.Full()) }), true
}

// judgeBound says whether a bound is so near that a person should look.
func judgeBound(b Bound) Verdict {
	if b.Full() < nearlyFull {
		return Verdict{Fine, b.String()}
	}
	return Verdict{Attention, b.String() + "; then " + b.Then}
}

// MeasureBounds tells bounds as metrics, for as long as the meter lives: those in bytes as
// vagus.bound.used and vagus.bound.limit, those that are counted as vagus.bound.count and
// vagus.bound.count.limit, each with its name and whose it is.
func MeasureBounds(meter metric.Meter, bounds func(context.Context) ([]Bound, error)) error {
	var failed error
	gauge := func(name, unit, what string) metric.Int64ObservableGauge {
		g, err := meter.Int64ObservableGauge(name, metric.WithUnit(unit), metric.WithDescription(what))
		failed = cmp.Or(failed, err)
		return g
	}
	used, limit := gauge("vagus.bound.used", "By", "What is used of something that has a limit, in bytes."), gauge("vagus.bound.limit", "By", "Its limit.")
	count, most := gauge("vagus.bound.count", "{entry}", "What is used of something that has a limit, counted."), gauge("vagus.bound.count.limit", "{entry}", "Its limit.")
	if failed != nil {
		return failed
	}
	_, err := meter.RegisterCallback(func(ctx context.Context, o metric.Observer) error {
		bs, err := bounds(ctx)
		for _, b := range bs {
			of := metric.WithAttributeSet(attribute.NewSet(attribute.String("bound", b.Name), attribute.String("of", b.Of)))
			if b.Unit == Bytes {
				o.ObserveInt64(used, b.Used, of)
				o.ObserveInt64(limit, b.Limit, of)
			} else {
				o.ObserveInt64(count, b.Used, of)
				o.ObserveInt64(most, b.Limit, of)
			}
		}
		return err
	}, used, limit, count, most)
	return err
}
