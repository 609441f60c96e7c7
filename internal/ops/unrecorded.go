package ops

import (
	"context"
	"encoding/binary"
	"math/rand/v2"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/embedded"
)

// unrecorded makes the spans of a process that sends its traces nowhere: they have
// ids, and say whether those that come after are to be recorded, and are nothing
// else. A span that is recorded for nobody costs some microseconds and a kilobyte.
type unrecorded struct {
	embedded.TracerProvider
	sampler sdktrace.Sampler
}

// Tracer implements [trace.TracerProvider].
func (u unrecorded) Tracer(string, ...trace.TracerOption) trace.Tracer {
	return idTracer{sampler: u.sampler}
}

type idTracer struct {
	embedded.Tracer
	sampler sdktrace.Sampler
}

// Start implements [trace.Tracer].
func (t idTracer) Start(ctx context.Context, name string, _ ...trace.SpanStartOption) (context.Context, trace.Span) {
	parent := trace.SpanContextFromContext(ctx)
	c := trace.SpanContextConfig{TraceID: parent.TraceID(), TraceState: parent.TraceState()}
	if !parent.IsValid() {
		binary.NativeEndian.PutUint64(c.TraceID[:], rand.Uint64()|1) // never zero, which is no id
		binary.NativeEndian.PutUint64(c.TraceID[8:], rand.Uint64())
	}
	binary.NativeEndian.PutUint64(c.SpanID[:], rand.Uint64()|1)
	if t.sampler.ShouldSample(sdktrace.SamplingParameters{ParentContext: ctx, TraceID: c.TraceID, Name: name}).Decision == sdktrace.RecordAndSample {
		c.TraceFlags = trace.FlagsSampled
	}
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(c))
	return ctx, trace.SpanFromContext(ctx)
}
