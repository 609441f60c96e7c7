package ops

import (
	"context"
	"maps"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
)

func TestTheFullestBoundIsNamedBeforeItIsReached(t *testing.T) {
	t.Parallel()
	journal := Bound{Name: "journal", Of: "adt", Unit: Bytes, Used: 4e9, Limit: 8e9, Then: "the feed refuses"}
	units := Bound{Name: "UNITS at the hub", Unit: Bytes, Used: 31e9, Limit: 34e9, Then: "sites keep what they have"}
	for name, c := range map[string]struct {
		bounds []Bound
		want   Verdict
	}{
		"nothing fills up":   {nil, Verdict{Fine, "all is well"}},
		"far from it":        {[]Bound{journal}, Verdict{Fine, "all is well"}},
		"no limit is none":   {[]Bound{{Name: "x", Used: 1}}, Verdict{Fine, "all is well"}},
		"one of two is near": {[]Bound{journal, units}, Verdict{Attention, "bounds: UNITS at the hub is 91 % full (31.0 of 34.0 GB); then sites keep what they have"}},
		"what is counted":    {[]Bound{{Name: "connections", Of: "feed adt", Unit: "connections", Used: 250, Limit: 256, Then: "senders try again"}}, Verdict{Attention, "bounds: connections of feed adt is 98 % full (250 of 256 connections); then senders try again"}},
		"what only paces":    {[]Bound{{Name: "calls", Unit: "calls", Used: 4, Limit: 4, Paces: true}}, Verdict{Fine, "all is well"}},
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
		return []Bound{{Name: "journal", Of: "feed adt", Unit: Bytes, Used: 3, Limit: 8}, {Name: "connections", Of: "feed adt", Unit: "connections", Used: 5, Limit: 9}}, nil
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
			name, _ := p.Attributes.Value("bound")
			of, _ := p.Attributes.Value("of")
			values[m.Name+" "+name.AsString()+" of "+of.AsString()] = p.Value
		}
	}
	want := map[string]int64{"vagus.bound.used journal of feed adt": 3, "vagus.bound.limit journal of feed adt": 8,
		"vagus.bound.count connections of feed adt": 5, "vagus.bound.count.limit connections of feed adt": 9}
	if !maps.Equal(values, want) {
		t.Errorf("%v, want %v", values, want)
	}
}
