package fhir

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

var _ broker.Source = (*Source)(nil)

// A Source makes messages of FHIR resources: those that are sent to its
// endpoint, those that a server has changed, those of a bulk export. It
// answers, or moves on, after accept has returned and never before.
type Source struct {
	origin  broker.Origin
	conf    Config
	log     *slog.Logger
	meters  *reception.Meters
	again   reception.Counter
	door    *endpoint // nil: none
	client  *client   // nil: nobody is asked
	watches []*watch
	export  *export // nil: none
	running atomic.Bool

	firstWait time.Duration // after the first failure of asking a server; it doubles
}

// New returns a source for one feed, or an error that names the setting at
// fault. It opens no socket and asks nobody: Run does.
func New(origin broker.Origin, conf Config) (*Source, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("fhir: %w", err)
	}
	s := &Source{origin: origin, conf: conf, log: conf.Logger.With("feed", origin.Feed, "protocol", "fhir"), firstWait: 5 * time.Second}
	if s.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, origin.Feed); err == nil {
		s.again, err = s.meters.Counter("vagus.source.unchanged", "versions that were read again and made no message")
	}
	if err != nil {
		return nil, fmt.Errorf("fhir: make metrics: %w", err)
	}
	if conf.Server != nil {
		if s.client, err = newClient(conf.Server, conf.UserAgent); err != nil {
			return nil, fmt.Errorf("fhir: %w", err)
		}
	}
	if conf.Poll != nil {
		s.watches = newWatches(s)
	}
	if conf.Export != nil {
		s.export = newExport(s)
	}
	if conf.Endpoint != nil {
		if s.door, err = newEndpoint(s); err != nil {
			return nil, fmt.Errorf("fhir: endpoint.%w", err)
		}
	}
	return s, nil
}

// count counts one message and what was said to it.
func (s *Source) count(ctx context.Context, reason string) {
	if reason == "" {
		s.meters.Accepted(ctx, 1)
		return
	}
	s.meters.Refused(ctx, 1, reason)
}

// Addr returns the address that the endpoint listens on, or nil while it does not.
func (s *Source) Addr() net.Addr {
	if s.door == nil {
		return nil
	}
	return s.door.Addr()
}

// Bounds says what senders fill up at the endpoint, and how many resources are remembered of the server that is read.
func (s *Source) Bounds() (all []broker.Bound) {
	if s.door != nil {
		all = s.door.Bounds()
	}
	fullest := int64(0)
	for _, w := range s.watches {
		fullest = max(fullest, w.remembered.Load())
	}
	if len(s.watches) > 0 {
		all = append(all, broker.Bound{Name: "resources remembered", Used: fullest, Limit: maxSeen})
	}
	return all
}

// Ready says that Run receives.
func (s *Source) Ready() bool { return s.running.Load() && (s.door == nil || s.Addr() != nil) }

// Problem says what keeps the server from being read, "" when nothing does.
func (s *Source) Problem() string {
	var out []string
	for _, w := range s.watches {
		if p := w.problem.text(); p != "" {
			out = append(out, w.name+": "+p)
		}
	}
	if s.export != nil {
		if p := s.export.problem.text(); p != "" {
			out = append(out, "export: "+p)
		}
	}
	return strings.Join(out, "; ")
}

// Run receives until ctx is done, finishes what is in hand and returns nil. It
// returns an error only when it can not listen or not remember where it
// stands: a server that does not answer is asked again.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	if s.client != nil {
		if err := os.MkdirAll(s.conf.Dir, 0o700); err != nil {
			return fmt.Errorf("fhir: %w", err)
		}
	}
	failed := make(chan error, 1)
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	if s.door != nil {
		if err := s.door.Listen(ctx); err != nil {
			return fmt.Errorf("fhir: endpoint.%w", err)
		}
		wg.Go(func() {
			if err := s.door.serve(ctx, accept); err != nil {
				failed <- err
			}
		})
	}
	for _, w := range s.watches {
		wg.Go(func() { w.run(ctx, accept) })
	}
	if s.export != nil {
		wg.Go(func() { s.export.run(ctx, accept) })
	}
	s.running.Store(true)
	defer s.running.Store(false)
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		return fmt.Errorf("fhir: endpoint: %w", err)
	}
}

// A problem is what keeps a part of the source from its work. Safe for
// concurrent use.
type problem struct{ now atomic.Pointer[string] }

func (p *problem) text() string {
	if t := p.now.Load(); t != nil {
		return *t
	}
	return ""
}

// note keeps it and logs it when it changes.
func (p *problem) note(log *slog.Logger, err error) {
	var text *string
	if err != nil {
		t := err.Error()
		text = &t
	}
	old := p.now.Swap(text)
	switch {
	case text != nil && (old == nil || *old != *text):
		log.Error("the FHIR server is not read", "error", *text)
	case text == nil && old != nil:
		log.Info("the FHIR server is read again")
	}
}
