package odoo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	mnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tnoop "go.opentelemetry.io/otel/trace/noop"
	"golang.org/x/time/rate"

	"github.com/vagus-health/vagus/broker"
)

// A wire is one of Odoo's external interfaces. Results are trees of
// map[string]any, []any, string, bool, nil and numbers (int64 or float64, see
// asInt). Its errors are *fault or ctx's.
type wire interface {
	// login returns the id of a user, 0 where the wire needs none; a fault of class
	// AccessDenied when Odoo does not know the key.
	login(ctx context.Context, as who) (uid int64, err error)
	// execute calls a method of a model.
	execute(ctx context.Context, as who, model, method string, args []arg, kw map[string]any) (any, error)
	// version returns the server's, "18.0".
	version(ctx context.Context) (string, error)
}

// who calls.
type who struct {
	db, user, key string
	uid           int64
}

// An arg is a parameter of a method: the older wires send it by its place,
// JSON-2 by its name.
type arg struct {
	name  string
	value any
}

// client is a session: it knows who we are and never has more calls in flight
// than Odoo has workers for us. Safe for concurrent use.
type client struct {
	poster    *poster
	db, user  string
	keys      []broker.Secret // one, or two while a key is being replaced
	protocol  string
	lang      string
	companies []any // allowed_company_ids; none: the user's own
	slots     chan struct{}
	rate      rate.Limit // of all processes, calls a second
	log       *slog.Logger

	mu     sync.Mutex
	keep   int    // slots that are other processes'
	kept   int    // of those, the ones that we have taken out of use
	wire   wire   // nil: to be chosen by the server's version
	spoken string // wire and version that the log has
	uid    int64  // 0: not known
	me     int64  // our user's id where the wire needs none; 0: not asked yet
	key    int    // of keys, the one that worked last

	tracer   trace.Tracer
	duration metric.Float64Histogram
}

func newClient(c Config) (*client, error) {
	p, err := newPoster(c)
	if err != nil {
		return nil, err
	}
	cl := &client{poster: p, db: c.Database, user: c.User, keys: []broker.Secret{c.Key}, protocol: c.Protocol, lang: c.Lang,
		slots: make(chan struct{}, c.Concurrency), rate: p.rate.Limit(), log: c.Logger, tracer: c.Tracer}
	for _, id := range c.Companies {
		cl.companies = append(cl.companies, id)
	}
	if c.NextKey.Reveal() != "" {
		cl.keys = append(cl.keys, c.NextKey)
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

// wires are the values of Config.Protocol. auto has none until the server has
// told its version.
var wires = map[string]func(*poster) wire{
	"auto":    func(*poster) wire { return nil },
	"jsonrpc": func(p *poster) wire { return &rpc{"jsonrpc", (&jsonrpc{p}).call} },
	"xmlrpc":  func(p *poster) wire { return &rpc{"xmlrpc", (&xmlRPC{p}).call} },
	"json2":   func(p *poster) wire { return &json2{p} },
}

// choose returns the wire. Which one auto takes is settled when a server has
// told its version.
func (c *client) choose(ctx context.Context) (wire, error) {
	c.mu.Lock()
	w := c.wire
	c.mu.Unlock()
	if w != nil {
		return w, nil
	}
	name, version, err := c.protocol, "", error(nil)
	switch name {
	case "auto":
		name, version, err = c.best(ctx)
	case "json2": // no version changes anything
	default:
		version, err = c.versionBy(ctx, name)
	}
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wire == nil {
		c.wire = wires[name](c.poster)
	}
	if spoken := name + " " + version; c.spoken != spoken {
		c.spoken = spoken
		switch {
		case name == "json2":
			c.log.Info("odoo: the server is spoken to by JSON-2", "version", version)
		case major(version) >= 19:
			c.log.Warn("odoo: the protocol is deprecated in this version and gone in Odoo 22; take protocol out of the configuration, and JSON-2 is spoken", "protocol", name, "version", version)
		default:
			c.log.Info("odoo: the server is spoken to by a protocol that Odoo deprecates in 19 and has no more in 22; protocol: auto changes to JSON-2 by itself", "protocol", name, "version", version)
		}
	}
	return c.wire, nil
}

// best is JSON-2 from 19 on, JSON-RPC before. The page where 19 tells its
// version is missing before, and what stands in its place differs (a page for
// people, a redirect to the login), so JSON-RPC is asked then.
func (c *client) best(ctx context.Context) (name, version string, err error) {
	version, err = c.versionBy(ctx, "json2")
	if f := (*fault)(nil); errors.As(err, &f) && f.isPage() {
		version, err = c.versionBy(ctx, "jsonrpc")
	}
	if err == nil && major(version) >= 19 {
		return "json2", version, nil
	}
	return "jsonrpc", version, err
}

func (c *client) versionBy(ctx context.Context, name string) (string, error) {
	res, err := c.send(ctx, "", "version", func(ctx context.Context) (any, error) { return wires[name](c.poster).version(ctx) })
	version, _ := res.(string)
	if err == nil && (len(version) > 20 || !madeOf(version, ".~")) { // saas~18.2; it is logged
		return "", &fault{class: "net.garbage"}
	}
	return version, err
}

func major(version string) int {
	text, _, _ := strings.Cut(strings.TrimPrefix(version, "saas~"), ".")
	n, _ := strconv.Atoi(text)
	return n
}

// execute calls a method of a model. When Odoo does not know us any more we
// log in again, once with each key: the user may have a new id after a
// restore, and a key may have been replaced.
//
// Language, time zone and companies are in the context of every call that does
// not say otherwise.
func (c *client) execute(ctx context.Context, model, method string, args []arg, kw map[string]any) (any, error) {
	res, _, err := c.timed(ctx, model, method, args, kw)
	return res, err
}

// timed also says how long the call took, without the wait for its turn.
func (c *client) timed(ctx context.Context, model, method string, args []arg, kw map[string]any) (res any, took time.Duration, err error) {
	w, err := c.choose(ctx)
	if err != nil {
		return nil, 0, err
	}
	kw = c.inContext(kw)
	for range len(c.keys) + 1 {
		as, err := c.login(ctx, w)
		if err != nil {
			return nil, 0, err
		}
		res, err := c.send(ctx, model, method, func(ctx context.Context) (any, error) {
			start := time.Now()
			defer func() { took = time.Since(start) }()
			return w.execute(ctx, as, model, method, args, kw)
		})
		var f *fault
		if !errors.As(err, &f) || f.class != "AccessDenied" && !strings.Contains(f.text, fmt.Sprintf("res.users(%d,), User: %d)", as.uid, as.uid)) {
			return res, took, err
		}
		c.forget(as)
	}
	return nil, 0, &fault{class: "AccessDenied"}
}

// inContext adds the session's context to a call's.
func (c *client) inContext(kw map[string]any) map[string]any {
	all := map[string]any{"lang": c.lang, "tz": "UTC"}
	if len(c.companies) > 0 {
		all["allowed_company_ids"] = c.companies
	}
	own, _ := kw["context"].(map[string]any)
	maps.Copy(all, own)
	out := make(map[string]any, len(kw)+1)
	maps.Copy(out, kw)
	out["context"] = all
	return out
}

// defaults calls default_get, whose parameter has one name in Odoo and another
// in some of its models. Some models of 17 forgot to say that it takes no records.
func (c *client) defaults(ctx context.Context, model string, fields []any, kw map[string]any) (any, error) {
	res, err := c.execute(ctx, model, "default_get", []arg{{"fields_list", fields}}, kw)
	if f := (*fault)(nil); errors.As(err, &f) {
		switch f.class {
		case "UnprocessableEntity":
			return c.execute(ctx, model, "default_get", []arg{{"fields", fields}}, kw)
		case "TypeError":
			return c.execute(ctx, model, "default_get", []arg{{"ids", []any{}}, {"fields", fields}}, kw)
		}
	}
	return res, err
}

// login returns who we are, asking Odoo when it is not known: with the key that
// worked last, and then with the other one.
func (c *client) login(ctx context.Context, w wire) (who, error) {
	c.mu.Lock()
	as := who{db: c.db, user: c.user, key: c.keys[c.key].Reveal(), uid: c.uid}
	c.mu.Unlock()
	if as.uid != 0 {
		return as, nil
	}
	for try := range c.keys {
		uid, err := c.loginOnce(ctx, w, as)
		if err == nil {
			c.mu.Lock()
			defer c.mu.Unlock()
			as.uid, c.uid = uid, uid
			return as, nil
		}
		var f *fault
		if !errors.As(err, &f) || f.class != "AccessDenied" || try == len(c.keys)-1 {
			return who{}, err
		}
		as.key = c.otherKey(as.key)
	}
	return who{}, &fault{class: "AccessDenied"}
}

func (c *client) loginOnce(ctx context.Context, w wire, as who) (int64, error) {
	res, err := c.send(ctx, "", "authenticate", func(ctx context.Context) (any, error) { return w.login(ctx, as) })
	uid, _ := res.(int64)
	return uid, err
}

// otherKey changes to the key that this one is not.
func (c *client) otherKey(key string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keys[c.key].Reveal() == key && len(c.keys) > 1 {
		c.key = 1 - c.key
		c.log.Warn("odoo: the server refused a key and the other one is tried; take the refused one out of the configuration when calls go through", "refused", [...]string{"key", "next_key"}[1-c.key])
	}
	return c.keys[c.key].Reveal()
}

// forget makes the next call log in again.
func (c *client) forget(as who) {
	c.mu.Lock()
	if c.uid == as.uid {
		c.uid = 0
	}
	c.mu.Unlock()
}

// renew makes the next call ask Odoo who it is and who we are: it may have been
// upgraded or restored.
func (c *client) renew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wire, c.uid = nil, 0
}

func (c *client) bounds() []broker.Bound {
	c.mu.Lock()
	defer c.mu.Unlock()
	return []broker.Bound{{Name: "calls of Odoo at once", Used: int64(max(len(c.slots)-c.kept, 0)), Limit: int64(cap(c.slots) - c.kept)}}
}

// share keeps slots back, so that ours are a part of all, one at least. Those that
// are taken now are kept when their calls return.
func (c *client) share(part, whole int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.rate != rate.Inf {
		c.poster.rate.SetLimit(c.rate * rate.Limit(max(part, 1)) / rate.Limit(whole))
	}
	c.keep = cap(c.slots) - max(cap(c.slots)*part/whole, 1)
	for ; c.kept > c.keep; c.kept-- {
		<-c.slots
	}
	for c.kept < c.keep {
		select {
		case c.slots <- struct{}{}:
			c.kept++
		default:
			return
		}
	}
}

// free gives a slot back, or keeps it.
func (c *client) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.kept < c.keep {
		c.kept++
		return
	}
	<-c.slots
}

// send makes one call when there is a slot for it.
func (c *client) send(ctx context.Context, model, method string, call func(context.Context) (any, error)) (any, error) {
	select {
	case c.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer c.free()

	ctx, span := c.tracer.Start(ctx, strings.TrimSpace("odoo "+model)+" "+method, trace.WithSpanKind(trace.SpanKindClient))
	defer span.End()
	start := time.Now()
	res, err := call(ctx)
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

// self returns the id of our user. On JSON-2, whose calls are made by a key alone, it is
// asked for once.
func (c *client) self(ctx context.Context) (int64, error) {
	c.mu.Lock()
	uid := cmp.Or(c.uid, c.me)
	c.mu.Unlock()
	if uid > 0 {
		return uid, nil
	}
	res, err := c.execute(ctx, "res.users", "context_get", nil, nil)
	if err != nil {
		return 0, err
	}
	about, _ := res.(map[string]any)
	uid, ok := asInt(about["uid"])
	if !ok || uid <= 0 {
		return 0, &fault{class: "net.garbage"}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.me = uid
	return uid, nil
}
