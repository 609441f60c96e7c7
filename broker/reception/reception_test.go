package reception

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"
)

func TestEverySourceCountsTheSameThings(t *testing.T) {
	t.Parallel()
	reader := metric.NewManualReader()
	m, err := NewMeters(metric.NewMeterProvider(metric.WithReader(reader)).Meter("test"), nil, "adt")
	files, own := m.Counter("vagus.source.files", "files by what became of them")
	if err := errors.Join(err, own); err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	m.Accepted(ctx, 3)
	m.Refused(ctx, 2, "syntax")
	m.Refused(ctx, 0, "rejected") // makes no series
	m.Postponed(ctx, "full")
	m.Connected(ctx, 1)
	m.Connected(ctx, 1)
	m.Connected(ctx, -1)
	m.TurnedAway(ctx)
	m.Answered(ctx, time.Now())
	files.Add(ctx, 1, attribute.String("outcome", "taken"))
	got := map[string]int64{}
	var rm metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &rm); err != nil {
		t.Fatal(err)
	}
	for _, s := range rm.ScopeMetrics {
		for _, one := range s.Metrics {
			switch data := one.Data.(type) {
			case metricdata.Sum[int64]:
				for _, p := range data.DataPoints {
					got[one.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = p.Value
				}
			case metricdata.Histogram[float64]:
				for _, p := range data.DataPoints {
					got[one.Name+" "+p.Attributes.Encoded(attribute.DefaultEncoder())] = int64(p.Count)
				}
			}
		}
	}
	want := map[string]int64{
		"vagus.source.received feed=adt": 5, "vagus.source.accepted feed=adt": 3,
		"vagus.source.refused feed=adt,reason=syntax": 2, "vagus.source.refused feed=adt,reason=full": 1,
		"vagus.source.connections feed=adt": 1, "vagus.source.refused_connections feed=adt": 1, "vagus.source.ack_latency feed=adt": 1,
		"vagus.source.files feed=adt,outcome=taken": 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWithoutAMeterAndATracerNothingIsRecorded(t *testing.T) {
	t.Parallel()
	m, err := NewMeters(nil, nil, "adt")
	if err != nil {
		t.Fatal(err)
	}
	m.Accepted(t.Context(), 1)
	ctx, span := m.Tracer.Start(t.Context(), "receive")
	defer span.End()
	if got := Traceparent(ctx); got != "" {
		t.Errorf("trace %q", got)
	}
}

func TestATraceGoesOnByTheHeaderOfW3C(t *testing.T) {
	t.Parallel()
	sc := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{0: 1, 15: 2}, SpanID: trace.SpanID{7: 3}, TraceFlags: trace.FlagsSampled})
	if got := Traceparent(trace.ContextWithSpanContext(context.Background(), sc)); got != "00-01000000000000000000000000000002-0000000000000003-01" {
		t.Error(got)
	}
}

func TestTheSettingAtFaultIsNamed(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "none.pem")
	if err := os.WriteFile(file, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, conf := range map[string]TLS{
		"cert_file and key_file are both needed": {ClientCAFile: file},
		"read cert_file and key_file":            {CertFile: file, KeyFile: file},
	} {
		if got, err := conf.Load(); got != nil || err == nil || !strings.HasPrefix(err.Error(), "tls: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", conf, err)
		}
	}
	if conf, err := (TLS{}).Load(); conf != nil || err != nil {
		t.Errorf("without settings: %v, %v", conf, err)
	}
}
