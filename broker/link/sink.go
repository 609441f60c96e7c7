package link

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

const (
	outletMax   = 1000            // documents that wait for one sink; their workers hear that it is busy
	outletBytes = 64 << 20        // of these
	withinMax   = 5 * time.Minute // what a worker may wait for an outcome
)

// An outlet hands documents to one sink, one at a time, in the order in which
// they were given.
type outlet struct {
	link  *Link
	name  string
	sink  broker.Target
	queue chan *given
	room  chan int // holds the bytes that wait
	sent  *sent    // belongs to run
}

// A given document, or question whether the sink is well (unit is nil).
type given struct {
	unit   *broker.Unit
	size   int
	answer string    // subject
	until  time.Time // nobody waits after that
}

func newOutlets(l *Link) (map[string]*outlet, error) {
	out := make(map[string]*outlet, len(l.cfg.Sinks))
	if len(l.cfg.Sinks) == 0 {
		return out, nil
	}
	if l.cfg.SinkDir == "" {
		return nil, errors.New("sinks need a directory for what was delivered")
	}
	if err := os.MkdirAll(l.cfg.SinkDir, 0o700); err != nil {
		return nil, err
	}
	for name, sink := range l.cfg.Sinks {
		o := &outlet{link: l, name: name, sink: sink, queue: make(chan *given, outletMax), room: make(chan int, 1)}
		o.room <- 0
		var err error
		if o.sent, err = openSent(filepath.Join(l.cfg.SinkDir, name+".sent"), time.Now()); err != nil {
			return nil, fmt.Errorf("sink %s: %w", name, err)
		}
		out[name] = o
	}
	return out, nil
}

// take queues one document, and says so to who gave it. It never waits: a
// sink that is slow holds up no other.
func (l *Link) take(_ context.Context, nc *nats.Conn, m *nats.Msg) {
	token := m.Header.Get(stream.HeaderAnswer)
	if !stream.IsID(token) {
		l.cfg.Logger.Warn("a document from the cloud names nobody to answer; it is left alone")
		return
	}
	within, err := time.ParseDuration(m.Header.Get(stream.HeaderWithin))
	g := &given{answer: stream.AnswerSubject(l.cfg.Bundle.Name, token), size: len(m.Data), until: time.Now().Add(min(max(within, 0), withinMax))}
	if err == nil && m.Header.Get(stream.HeaderUnit) != "" {
		g.unit, err = broker.DecodeUnit(m.Data)
	}
	refuse := func(text string) {
		l.tell(nc, g, stream.Answer{State: stream.AnswerFailed, Unit: m.Header.Get(stream.HeaderUnit), Error: text})
	}
	o := l.outlets[m.Header.Get(stream.HeaderSink)]
	switch {
	case err != nil || within <= 0:
		refuse("what came to the site is malformed; is its agent older than the worker?")
	case o == nil:
		refuse("the site has no such sink: add it to sinks: in the agent's configuration")
	default:
		l.tell(nc, g, stream.Answer{State: stream.AnswerTaken, Unit: m.Header.Get(stream.HeaderUnit)})
		atSinkTaken.Hit()
		if !o.put(g) {
			refuse("too many documents wait for the sink")
		}
	}
}

func (o *outlet) put(g *given) bool {
	bytes := <-o.room
	if bytes+g.size > outletBytes {
		o.room <- bytes
		return false
	}
	select {
	case o.queue <- g:
		o.room <- bytes + g.size
		return true
	default:
		o.room <- bytes
		return false
	}
}

// run hands out documents until ctx is done; the one in hand has a little
// longer, so that what is known of it is known.
func (o *outlet) run(ctx context.Context, nc *nats.Conn) {
	defer o.sent.close()
	work, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(o.link.cfg.AckTimeout, cancel) })
	defer stop()
	for {
		select {
		case <-ctx.Done():
			return
		case g := <-o.queue:
			o.room <- <-o.room - g.size
			if time.Now().Before(g.until) { // else who gave it gives it again
				o.link.tell(nc, g, o.serve(work, g))
			}
		}
	}
}

// serve asks the sink.
func (o *outlet) serve(ctx context.Context, g *given) stream.Answer {
	ctx, cancel := context.WithDeadline(ctx, g.until)
	defer cancel()
	if g.unit == nil {
		if err := checkSafely(ctx, o.sink); err != nil {
			return stream.Answer{State: stream.AnswerFailed, Error: err.Error()}
		}
		return stream.Answer{State: stream.AnswerDone}
	}
	u := g.unit
	a := stream.Answer{State: stream.AnswerDone, Unit: u.ID, Outcome: &broker.Outcome{Result: broker.Applied}}
	if o.sent.has(u.ID) { // its answer was lost
		o.count(ctx, "known")
		return a
	}
	ctx = propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{stream.HeaderTrace: u.Trace})
	ctx, span := o.link.cfg.Tracer.Start(ctx, "sink.apply", trace.WithSpanKind(trace.SpanKindProducer))
	defer span.End()
	out, err := applySafely(ctx, o.sink, u)
	if err != nil {
		o.count(ctx, "error")
		o.link.cfg.Logger.Warn("the sink gave no outcome", "sink", o.name, "unit", u.ID, "err", err)
		return stream.Answer{State: stream.AnswerFailed, Unit: u.ID, Error: err.Error()}
	}
	o.count(ctx, out.Result.String())
	if out.Result == broker.Applied {
		atDelivered.Hit()
		if err := o.sent.add(u.ID, time.Now()); err != nil {
			o.link.cfg.Logger.Error("a document was delivered, and that is not remembered: it is sent again if its worker asks again", "sink", o.name, "unit", u.ID, "err", err)
		}
		atRemembered.Hit()
	}
	a.Outcome = &out
	return a
}

func (o *outlet) count(ctx context.Context, result string) {
	o.link.metrics.documents.Add(ctx, 1, sinkAttr(o.name, result))
}

var errPanic = errors.New("the sink failed on this document; please report it")

// applySafely calls the sink. A panic, whose value may quote the document, is an error.
func applySafely(ctx context.Context, sink broker.Target, u *broker.Unit) (out broker.Outcome, err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	all, err := sink.Apply(ctx, []*broker.Unit{u})
	if err != nil {
		return out, err
	}
	if len(all) != 1 {
		return out, fmt.Errorf("the sink gave %d outcomes for one unit", len(all))
	}
	return all[0], nil
}

func checkSafely(ctx context.Context, sink broker.Target) (err error) {
	defer func() {
		if recover() != nil {
			err = errPanic
		}
	}()
	return sink.Check(ctx)
}

// A told answer may have been lost with the link.
type told struct {
	subject string
	data    []byte
	until   time.Time
}

// toldMax bounds the answers that are kept; who misses an older one asks again.
const toldMax = 4 * outletMax

// tell says what became of what was given, and keeps the answer as long as
// somebody may wait for it.
func (l *Link) tell(nc *nats.Conn, g *given, a stream.Answer) {
	data, err := json.Marshal(a)
	if err != nil { // an outcome is texts and numbers
		return
	}
	l.mu.Lock()
	now := time.Now()
	l.told = slices.DeleteFunc(l.told, func(t told) bool { return now.After(t.until) })
	if len(l.told) < toldMax {
		l.told = append(l.told, told{g.answer, data, g.until})
	}
	l.mu.Unlock()
	_ = nc.Publish(g.answer, data) // while the link is down: when it is up
}

// tellAgain says once that the agent began, and all that somebody may still
// wait for whenever the link is back.
func (l *Link) tellAgain(ctx context.Context, nc *nats.Conn) {
	up := nc.StatusChanged(nats.CONNECTED)
	defer nc.RemoveStatusListener(up)
	began := stream.AnswerSubject(l.cfg.Bundle.Name, stream.AnswerBegan)
	told := nc.IsConnected() && nc.Publish(began, nil) == nil
	for {
		select {
		case <-ctx.Done():
			return
		case <-up:
		}
		if !told {
			told = nc.Publish(began, nil) == nil
		}
		l.mu.Lock()
		again := slices.Clone(l.told)
		l.mu.Unlock()
		for _, t := range again {
			if time.Now().Before(t.until) {
				_ = nc.Publish(t.subject, t.data)
			}
		}
	}
}
