package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/broker/link"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping/bundle"
	"github.com/vagus-health/vagus/internal/ops"
	"github.com/vagus-health/vagus/internal/tree"
)

// An Agent is a running `vagus agent`: sources, journal, mapping, link.
type Agent struct {
	*base
	cfg     *config.Agent
	site    *link.Bundle
	journal *journal.Journal
	link    *link.Link
	events  chan link.Event // to be told
	sources map[string]source
	heard   map[string]*atomic.Int64 // when each feed last accepted something, in Unix nanoseconds
	keeper  *bundle.Keeper
	feeds   atomic.Pointer[map[string]*feed] // with the mappings in force; replaced whole
}

// agentCollectAt is collectAt of a process that is an agent and nothing else: it
// runs on small machines beside other things. With 8 senders at full load it has
// 117 MB resident, and 155 at 200, for 3 % of its processor time. A limit in bytes
// would do worse where a journal's index is large.
const agentCollectAt = 100

// StartAgent starts a site. It returns when every feed listens.
func StartAgent(ctx context.Context, cfg *config.Agent, o Options) (*Agent, error) {
	who, err := link.LoadBundle(cfg.Bundle)
	if err != nil {
		return nil, fmt.Errorf("bundle: %w (vagus site add makes one, at the hub)", err)
	}
	base, err := startBase(ctx, "vagus-agent", who.Name, o, cfg.Process, cfg.Grace)
	if err != nil {
		return nil, err
	}
	if os.Getenv("GOGC") == "" && o.whole == nil {
		debug.SetGCPercent(agentCollectAt)
	}
	a := &Agent{base: base, cfg: cfg, site: who, sources: map[string]source{}, heard: map[string]*atomic.Int64{}, events: make(chan link.Event, eventsMax)}
	if err := a.start(ctx); err != nil {
		return nil, base.abandon(err)
	}
	return a, nil
}

func (a *Agent) start(ctx context.Context) error {
	secret, err := a.site.Ordering()
	if err != nil {
		return err
	}
	if err := a.loadMappings(ctx, secret); err != nil {
		return err
	}
	var names []string
	for _, c := range a.cfg.Feeds {
		if a.sources[c.Name], err = newSource(c, broker.Origin{Tenant: a.site.Tenant, Site: a.site.Name, Feed: c.Name}, a.cfg.DataDir, func() []tree.Dialect { return a.feed(c.Name).dialects() }, a.base); err != nil {
			return fmt.Errorf("feed %s: %w", c.Name, err)
		}
		a.heard[c.Name] = new(atomic.Int64)
		names = append(names, c.Name)
	}
	var checks []ops.Check
	if len(names) > 0 { // a site that only takes documents has nothing to keep
		if err := a.openJournal(ctx); err != nil {
			return err
		}
		checks = append(checks, ops.Check{Name: "journal", Run: func(context.Context) error { return a.journal.Err() }})
	}
	sinks := map[string]broker.Target{}
	for name, c := range a.cfg.Sinks {
		if sinks[name], err = newSink(name, c, a.cfg.DataDir, a.base); err != nil {
			return fmt.Errorf("sink %s: %w", name, err)
		}
		a.closeAtTheEnd("sink "+name, sinks[name])
	}
	a.link, err = link.New(link.Config{
		Sinks: sinks, SinkDir: filepath.Join(a.cfg.DataDir, "sinks"),
		Bundle: a.site, URLs: a.hubURLs(), Feeds: names, Journal: site{a.journal}, Retention: a.cfg.Journal.Retention, Logger: a.log, Tracer: a.tracer(), Meter: a.meter(),
		Map: func(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) {
			return a.feed(m.Feed).units(ctx, m)
		},
	})
	if err != nil {
		return err
	}
	a.run("link", a.link.Run)
	a.run("events", a.tell)
	if err := a.serve(ctx, ops.APIConfig{Sites: a.sitesNow, Bounds: a.bounds}, append(checks,
		ops.Check{Name: "link", Advisory: true, Run: func(ctx context.Context) error {
			if !a.link.State(ctx).Connected {
				return fmt.Errorf("not connected; the site accepts and keeps")
			}
			return nil
		}},
		ops.Check{Name: "mappings", Advisory: true, Run: func(context.Context) error {
			if p := a.keeper.Status().Problem; p != "" {
				return errors.New(p)
			}
			return nil
		}})...); err != nil {
		return err
	}
	for _, c := range a.cfg.Feeds {
		src, name, heard := a.sources[c.Name], c.Name, a.heard[c.Name]
		accept := func(ctx context.Context, ms ...*broker.Message) error {
			atAccepted.Hit()
			err := a.journal.Append(ctx, name, ms...)
			if err == nil {
				heard.Store(time.Now().UnixNano())
			}
			return err
		}
		if c.Validate == config.BeforeAck {
			store := accept
			accept = func(ctx context.Context, ms ...*broker.Message) error {
				if err := a.feed(name).check(ctx, ms...); err != nil {
					return err
				}
				return store(ctx, ms...)
			}
		}
		a.run("feed "+name, func(ctx context.Context) error { return src.Run(ctx, accept) })
	}
	return a.listening(ctx)
}

// openJournal opens the journal and lets `vagus mapping diff` read it.
func (a *Agent) openJournal(ctx context.Context) error {
	var err error
	a.journal, err = journal.Open(ctx, journal.Config{
		Dir: filepath.Join(a.cfg.DataDir, "journal"), Feeds: lanes(a.cfg), Key: a.cfg.Journal.EncryptionKey, Provision: a.cfg.Journal.Provision, Logger: a.log, Meter: a.meter(),
	})
	if err != nil {
		return err
	}
	a.onStop("journal", func(context.Context) error { return a.journal.Close() })
	a.run("journal's watch", a.journal.Run)
	if l, err := listenStored(socketOf(a.cfg.DataDir)); err != nil {
		a.log.Warn("stored messages can not be read while the agent runs", "err", err)
	} else {
		a.run("stored messages", func(ctx context.Context) error { return serveStored(ctx, l, a.journal, a.log) })
	}
	return nil
}

// listening waits until every source receives or one has failed.
func (a *Agent) listening(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for _, src := range a.sources {
		for !src.ready() {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case err := <-a.failed:
				return err
			case <-tick.C:
			}
		}
	}
	return nil
}

// FeedAddr is where a feed's senders connect, or nil for a feed that is not
// there or to which nobody connects.
func (a *Agent) FeedAddr(feed string) net.Addr {
	if src, ok := a.sources[feed]; ok {
		return src.addr()
	}
	return nil
}

func (a *Agent) sitesNow(ctx context.Context) ([]ops.SiteStatus, error) {
	s, err := a.Status(ctx)
	return []ops.SiteStatus{s}, err
}

// Status is how the site is now.
func (a *Agent) Status(ctx context.Context) (ops.SiteStatus, error) {
	state := a.link.State(ctx)
	s := ops.SiteStatus{Site: a.site.Name, LinkUp: state.Connected, CertificateUntil: a.site.Until(), Mappings: ops.MappingStatus(a.keeper.Status())}
	for _, lane := range state.Lanes {
		src := a.sources[lane.Feed]
		problem := src.problem()
		f := ops.FeedStatus{Feed: lane.Feed, Reads: src.reads, Listening: src.ready() && problem == "", Problem: cmp.Or(problem, lane.Error), Waiting: int(lane.Backlog), OldestWaiting: lane.Oldest, JournalDamaged: lane.DamagedAt}
		if !state.Connected && !lane.Since.IsZero() && (s.LinkSince.IsZero() || lane.Since.Before(s.LinkSince)) {
			s.LinkSince, s.Problem = lane.Since, lane.Error
		}
		stats, err := a.journal.Stats(ctx, lane.Feed)
		if err != nil {
			return s, err
		}
		f.JournalBytes, f.JournalLimit = stats.Bytes, stats.Limit
		if at := a.heard[lane.Feed].Load(); at != 0 {
			f.LastReceived = time.Unix(0, at)
		}
		s.Feeds = append(s.Feeds, f)
	}
	return s, nil
}

// site is the journal as the link sees it.
type site struct{ *journal.Journal }

func (s site) Read(ctx context.Context, feed string, after link.Position) (link.Reader, error) {
	r, err := s.Journal.Read(ctx, feed, journal.Position(after))
	if err != nil {
		return nil, err
	}
	return reader{r}, nil
}

func (s site) Find(ctx context.Context, feed, mid string) (link.Entry, error) {
	e, err := s.Journal.Find(ctx, feed, mid)
	if errors.Is(err, journal.ErrNotFound) {
		err = link.ErrNotFound
	}
	return link.Entry{Position: link.Position(e.Position), Message: e.Message}, err
}

func (s site) Last(ctx context.Context, feed string) (uint64, error) {
	stats, err := s.Journal.Stats(ctx, feed)
	return stats.Last.Seq, err
}

func (s site) Trim(ctx context.Context, feed string, sent link.Position, before time.Time) error {
	_, err := s.Journal.Trim(ctx, feed, journal.Position(sent), before)
	return err
}

type reader struct{ *journal.Reader }

func (r reader) Next(ctx context.Context) (link.Entry, error) {
	e, err := r.Reader.Next(ctx)
	return link.Entry{Position: link.Position(e.Position), Message: e.Message}, err
}
