package odoo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	mnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tnoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/vagus-health/vagus/broker"
)

// A transport carries one call to one of Odoo's services. Results are trees of
// map[string]any, []any, string, bool, nil and numbers (int64 or float64, see
// asInt). Its errors are *fault or ctx's.
type transport interface {
	call(ctx context.Context, service, method string, args []any) (any, error)
}

// client is a session: it knows who we are and never has more calls in flight
// than Odoo has workers for us. Safe for concurrent use.
type client struct {
	transport transport
	db, user  string
	key       broker.Secret
	timeout   time.Duration
	slots     chan struct{}

	mu  sync.Mutex
	uid int64 // 0: not known

	tracer   trace.Tracer
	duration metric.Float64Histogram
}

func newClient(c Config) (*client, error) {
	p, err := newPoster(c)
	if err != nil {
		return nil, err
	}
	cl := &client{db: c.Database, user: c.User, key: c.Key, timeout: c.Timeout,
		slots: make(chan struct{}, c.Concurrency), tracer: c.Tracer}
	cl.transport = &jsonrpc{p}
	if c.Protocol == "xmlrpc" {
		cl.transport = &xmlRPC{p}
	}
	if cl.tracer == nil {
		cl.tracer = tnoop.Tracer{}
	}
	meter := c.Meter
	if meter == nil {
		meter = mnoop.Meter{}
	}
	cl.duration, err = meter.Float64Histogram("vagus_odoo_call_duration_seconds",
		metric.WithUnit("s"), metric.WithDescription("Calls to Odoo by model, method and class of the answer."))
	if err != nil {
		return nil, fmt.Errorf("odoo: metrics: %w", err)
	}
	return cl, nil
}

// execute calls a method of a model. When Odoo does not know us any more it
// authenticates again, once: the user may have a new id after a restore.
func (c *client) execute(ctx context.Context, model, method string, args []any, kw map[string]any) (any, error) {
	for again := false; ; again = true {
		uid, err := c.authenticate(ctx)
		if err != nil {
			return nil, err
		}
		res, err := c.send(ctx, "object", "execute_kw", model, method, []any{c.db, uid, c.key.Reveal(), model, method, args, kw})
		var f *fault
		if errors.As(err, &f) && (f.class == "AccessDenied" || strings.Contains(f.text, fmt.Sprintf("res.users(%d,), User: %d)", uid, uid))) {
			c.forget(uid)
			if again {
				return nil, &fault{class: "AccessDenied"}
			}
			continue
		}
		return res, err
	}
}

// authenticate returns the user's id, asking Odoo when it is not known.
func (c *client) authenticate(ctx context.Context) (int64, error) {
	c.mu.Lock()
	uid := c.uid
	c.mu.Unlock()
	if uid != 0 {
		return uid, nil
	}
	res, err := c.send(ctx, "common", "authenticate", "", "", []any{c.db, c.user, c.key.Reveal(), map[string]any{}})
	if err != nil {
		return 0, err
	}
	uid, ok := asInt(res) // false for a wrong user or key
	if !ok || uid <= 0 {
		return 0, &fault{class: "AccessDenied"}
	}
	c.mu.Lock()
	c.uid = uid
	c.mu.Unlock()
	return uid, nil
}

func (c *client) forget(uid int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.uid == uid {
		c.uid = 0
	}
}

// send makes one call under the limit and the timeout. Waiting for a slot does
// not count against the timeout.
func (c *client) send(ctx context.Context, service, rpc, model, method string, args []any) (any, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-c.slots }()

	name := rpc
	if model != "" {
		name = model + " " + method
	}
	ctx, span := c.tracer.Start(ctx, "odoo "+name, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	call, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	res, err := c.transport.call(call, service, rpc, args)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	class := "ok"
	if err != nil {
		class = "canceled"
		if f := (*fault)(nil); errors.As(err, &f) {
			class = token(f.class)
		}
		span.SetAttributes(attribute.String("odoo.class", class))
	}
	c.duration.Record(ctx, time.Since(start).Seconds(), metric.WithAttributes(
		attribute.String("model", model), attribute.String("method", method), attribute.String("class", class)))
	return res, err
}
