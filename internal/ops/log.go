package ops

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"sync"

	"go.opentelemetry.io/otel/trace"
)

// NewLogger returns a logger that writes one record a line to w. level is
// "debug", "info" (also ""), "warn" or "error"; format is "json" (also "") or
// "text". A record that is logged with a context inside a span carries its
// trace_id and span_id. Bytes are never written out, whoever passes them: they
// print their length.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	switch level {
	case "debug":
		l = slog.LevelDebug
	case "", "info":
	case "warn":
		l = slog.LevelWarn
	case "error":
		l = slog.LevelError
	default:
		return nil, fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	opts := &slog.HandlerOptions{Level: l, ReplaceAttr: hideBytes}
	switch format {
	case "", "json":
		return slog.New(traceHandler{slog.NewJSONHandler(w, opts)}), nil
	case "text":
		return slog.New(traceHandler{slog.NewTextHandler(w, opts)}), nil
	}
	return nil, fmt.Errorf("log format %q: use json or text", format)
}

// hideBytes is the last line of defence: what arrives as bytes came from a
// wire, and the JSON handler would print it as base64 that nobody greps.
func hideBytes(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() != slog.KindAny {
		return a
	}
	switch b := a.Value.Any().(type) {
	case []byte:
		return slog.String(a.Key, fmt.Sprintf("[bytes len=%d]", len(b)))
	case json.RawMessage:
		return slog.String(a.Key, fmt.Sprintf("[bytes len=%d]", len(b)))
	}
	return a
}

// A traceHandler adds the ids of the context's span to each record.
type traceHandler struct{ slog.Handler }

func (h traceHandler) Handle(ctx context.Context, r slog.Record) error {
	if sc := trace.SpanContextFromContext(ctx); sc.IsValid() {
		r.AddAttrs(slog.String("trace_id", sc.TraceID().String()), slog.String("span_id", sc.SpanID().String()))
	}
	return h.Handler.Handle(ctx, r)
}

func (h traceHandler) WithAttrs(as []slog.Attr) slog.Handler {
	return traceHandler{h.Handler.WithAttrs(as)}
}

func (h traceHandler) WithGroup(name string) slog.Handler {
	return traceHandler{h.Handler.WithGroup(name)}
}

// onChange logs an error of something that repeats itself only when its text
// differs from the one before.
type onChange struct {
	log *slog.Logger
	msg string
	mu  sync.Mutex
	old string
}

// Handle implements otel's ErrorHandler.
func (c *onChange) Handle(err error) {
	if err == nil {
		return
	}
	c.mu.Lock()
	changed := c.old != err.Error()
	c.old = err.Error()
	c.mu.Unlock()
	if changed {
		c.log.Warn(c.msg, "error", err)
	}
}
