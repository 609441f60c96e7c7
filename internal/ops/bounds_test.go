package ops

import (
	"context"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestTheFullestBoundIsNamedBeforeItIsReached(t *testing.T) {
	t.Parallel()
	journal := Bound{Name: "journal of adt", Used: 4e9, Limit: 8e9, Then: "the feed refuses"}
	units := Bound{Name: "UNITS at the hub", Used: 31e9, Limit: 34e9, Then: "sites keep what they have"}
	for name, c := range map[string]struct {
		bounds []Bound
		want   Verdict
	}{
		"nothing fills up":   {nil, Verdict{Fine, "all is well"}},
		"far from it":        {[]Bound{journal}, Verdict{Fine, "all is well"}},
		"no limit is none":   {[]Bound{{Name: "x", Used: 1}}, Verdict{Fine, "all is well"}},
		"one of two is near": {[]Bound{journal, units}, Verdict{Attention, "bounds: UNITS at the hub is 91 % full (31.0 of 34.0 GB); then sites keep what they have"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := Status{At: time.Now(), Bounds: c.bounds}
			s.Judge(time.UTC)
			if s.Verdict != c.want {
				t.Errorf("%+v, want %+v", s.Verdict, c.want)
			}
		})
	}
}

func TestBoundsAreMetrics(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	bounds := func(context.Context) ([]Bound, error) {
		return []Bound{{Name: "journal of adt", Used: 3, Limit: 8}}, nil
	}
	if err := MeasureBounds(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), bounds); err != nil {
		t.Fatal(err)
	}
	var got metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &got); err != nil {
		t.Fatal(err)
	}
	values := map[string]int64{}
	for _, m := range got.ScopeMetrics[0].Metrics {
		for _, p := range m.Data.(metricdata.Gauge[int64]).DataPoints {
			if name, _ := p.Attributes.Value(attribute.Key("bound")); name.AsString() == "journal of adt" {
				values[m.Name] = p.Value
			}
		}
	}
	if values["vagus.bound.used"] != 3 || values["vagus.bound.limit"] != 8 {
		t.Errorf("%v", values)
	}
}
