package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel/metric"
	metricnoop "go.opentelemetry.io/otel/metric/noop"
	"go.opentelemetry.io/otel/trace"
	tracenoop "go.opentelemetry.io/otel/trace/noop"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

// A Position is a place in a feed's journal: a sequence and the id of the
// message there. The sequence alone is not trusted: a damaged journal that was
// cut short uses its sequences again.
type Position struct {
	Seq uint64
	ID  string
}

// An Entry is a message of the journal.
type Entry struct {
	Position
	Message *broker.Message
}

// ErrNotFound is what Journal.Find returns, wrapped or not, when the journal
// has no such message (any more).
var ErrNotFound = errors.New("not in the journal")

// A Journal is what a link needs of a site's journal. Safe for concurrent use.
type Journal interface {
	// Read reads a feed's entries after a position, in order; the zero Position
	// is before the first. The link asks for positions that Find or Read gave.
	Read(ctx context.Context, feed string, after Position) (Reader, error)
	// Find returns the newest entry whose message id has this ShortID.
	Find(ctx context.Context, feed, mid string) (Entry, error)
	// Last returns the sequence of a feed's newest entry, 0 if there is none.
	Last(ctx context.Context, feed string) (uint64, error)
	// Trim may forget entries up to sent that are older than before.
	Trim(ctx context.Context, feed string, sent Position, before time.Time) error
}

// A Reader reads entries in order. It is used by one goroutine.
type Reader interface {
	// Next returns the next entry. It waits for one until ctx is done.
	Next(ctx context.Context) (Entry, error)
}

// Config is a link. Bundle, Journal and Map are required, and Feeds or Sinks.
type Config struct {
	Bundle  *Bundle
	URLs    []string          // instead of the bundle's
	Dialer  nats.CustomDialer // see Dial
	Feeds   []string
	Journal Journal
	// Map turns a message into units, at least one. Safe for concurrent use. Its
	// verdicts are units; an error means that it could not do its work, stops
	// the feed, is logged, and is tried again.
	Map func(context.Context, *broker.Message) ([]*broker.Unit, error)

	// Sinks are the systems at the site that documents from the cloud go to.
	// SinkDir is where it is remembered which ones did.
	Sinks   map[string]broker.Target
	SinkDir string

	Retention  time.Duration // what was sent stays in the journal so long; 0 means 14 days
	Ping       time.Duration // 0 means 5 s; a link that misses two is cut
	AckTimeout time.Duration // how long the cloud may take to confirm; 0 means 10 s
	TrimEvery  time.Duration // 0 means 1 min, or the retention where that is shorter

	Logger *slog.Logger
	Tracer trace.Tracer
	Meter  metric.Meter
}

// A Link carries a site's units to the cloud. Its methods are safe for
// concurrent use.
type Link struct {
	cfg     Config
	lanes   map[string]*lane
	outlets map[string]*outlet
	metrics *metrics
	mapping chan struct{} // one token for each mapping that may run at once

	mu   sync.Mutex
	nc   *nats.Conn // nil while Run does not run
	told []told
}

// State is how a link is.
type State struct {
	Connected bool
	Server    string // name of the hub's server, "" if not connected
	Lanes     []LaneState
}

// LaneState is how a feed's lane is.
type LaneState struct {
	Feed    string
	Journal uint64    // sequence of the journal's newest entry
	Sent    Position  // the newest that the cloud has confirmed in full
	Backlog uint64    // entries that are not confirmed, at most
	Oldest  time.Time // ReceivedAt of the oldest that is not confirmed, zero if none is known
	Error   string    // class of what stops the lane, "" if it flows
	Since   time.Time // when Error began
	// Damaged is the last message in the cloud when the journal was last found, at
	// DamagedAt, to have lost its end; zero if it was not since the link was made.
	Damaged   Position
	DamagedAt time.Time
}

// New checks a link's configuration.
func New(c Config) (*Link, error) {
	var errs []error
	if c.Bundle == nil {
		errs = append(errs, errors.New("the bundle is missing"))
	} else if c.Bundle.Role != "site" {
		errs = append(errs, fmt.Errorf("the bundle is a %s's: give the one that `vagus site add` made", c.Bundle.Role))
	}
	if c.Journal == nil || c.Map == nil {
		errs = append(errs, errors.New("the journal or the mapping is missing"))
	}
	for _, f := range c.Feeds {
		errs = append(errs, stream.CheckToken("feed", f))
	}
	for name := range c.Sinks {
		errs = append(errs, stream.CheckToken("sink", name))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	def := func(d *time.Duration, v time.Duration) {
		if *d == 0 {
			*d = v
		}
	}
	def(&c.Retention, 14*24*time.Hour)
	def(&c.Ping, 5*time.Second)
	def(&c.AckTimeout, 10*time.Second)
	def(&c.TrimEvery, min(time.Minute, max(c.Retention, time.Second)))
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Tracer == nil {
		c.Tracer = tracenoop.NewTracerProvider().Tracer("")
	}
	if c.Meter == nil {
		c.Meter = metricnoop.NewMeterProvider().Meter("")
	}
	l := &Link{cfg: c, lanes: make(map[string]*lane, len(c.Feeds)), mapping: make(chan struct{}, runtime.GOMAXPROCS(0))}
	for _, f := range c.Feeds {
		l.lanes[f] = newLane(l, f)
	}
	var err error
	if l.outlets, err = newOutlets(l); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if l.metrics, err = newMetrics(l); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	if err := c.Bundle.measure(c.Meter); err != nil {
		return nil, fmt.Errorf("link: %w", err)
	}
	return l, nil
}

// Run carries units until ctx is done, waits for the cloud's answer to what is
// on its way, at most AckTimeout, and returns nil. It returns an error only
// when the bundle can not be used. While the cloud can not be reached it goes
// on trying.
func (l *Link) Run(ctx context.Context) error {
	nc, err := Connect(l.cfg.Bundle, Dial{URLs: l.cfg.URLs, Dialer: l.cfg.Dialer, Ping: l.cfg.Ping, Logger: l.cfg.Logger})
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("link: %w", err)
	}
	l.setConn(nc)
	defer l.setConn(nil)
	var wg sync.WaitGroup
	for _, f := range l.cfg.Feeds {
		ln := l.lanes[f]
		wg.Go(func() { ln.run(ctx, nc, js) })
		wg.Go(func() { ln.trim(ctx) })
	}
	if l.cfg.Dialer == nil { // else the bundle's certificate is not used
		wg.Go(func() { _ = KeepCertificate(ctx, nc, l.cfg.Bundle, "", l.cfg.Logger, nil) }) // without a meter it has no error
	}
	wg.Go(func() { l.serveDown(ctx, nc, stream.Remaps(l.cfg.Bundle.Name), l.handle) })
	if len(l.outlets) > 0 {
		wg.Go(func() { l.serveDown(ctx, nc, stream.Documents(l.cfg.Bundle.Name), l.take) })
		wg.Go(func() { l.tellAgain(ctx, nc) })
	}
	for _, o := range l.outlets {
		wg.Go(func() { o.run(ctx, nc) })
	}
	wg.Wait()
	return nil
}

func (l *Link) setConn(nc *nats.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.nc = nc
}

// State returns how the link is now. Lanes are in the order of Config.Feeds.
func (l *Link) State(ctx context.Context) State {
	var s State
	l.mu.Lock()
	if l.nc != nil && l.nc.IsConnected() {
		s.Connected, s.Server = true, l.nc.ConnectedServerName()
	}
	l.mu.Unlock()
	for _, f := range l.cfg.Feeds {
		s.Lanes = append(s.Lanes, l.lanes[f].snapshot(ctx))
	}
	return s
}
