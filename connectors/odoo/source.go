package odoo

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

var _ broker.Source = (*Source)(nil)

// A Source makes messages of the changes of records: format "odoo", one JSON
// object for one version of one record, see [Format].
//
// What it looks for are records whose write_date is not that of their last
// version that it read. write_date is when the transaction began that wrote the
// record, so it may become visible late; the API gives its second only; and
// Odoo isolates transactions so that of two versions of one record the later one
// has the later write_date. From that follows what is promised:
//
//   - No change is missed that is still there when the record is read; of several
//     changes between two readings the last one is sent. A transaction may commit
//     as late as Settle after it began. What takes longer is found by the next
//     comparison of all records, and so are deletions, and all that happened while
//     the database server's clock was set back by more than Settle.
//   - A change of a part, such as a line, is one of its record, though its
//     write_date does not tell. What no write_date tells is found within
//     Reconcile: in that time every record is read again.
//   - Two changes within one second are both seen: a version is read again when
//     its second is over, and a last time after Settle.
//   - Nothing is sent twice: a record of which no field that is read has changed
//     makes no message, and a message's identity is that of the version and its
//     content, so that what is read again because the memory of it was lost is
//     known to the journal and the ledger.
//   - No clock but the database server's decides what is looked at: its hands are
//     the write_dates. Ours tells how long ago one was seen, and a slow one makes
//     more be looked at, never less.
//
// With the addon the changes come from its feed, in the order of the commits,
// none too late and deletions among them.
//
// What was sent is remembered in a file for each model, written after accept.
type Source struct {
	origin  broker.Origin
	cfg     SourceConfig
	client  *client
	log     *slog.Logger
	now     func() time.Time
	watches []*watch
	addr    atomic.Pointer[net.Addr]
	running atomic.Bool

	meters    *reception.Meters
	unchanged reception.Counter
}

// A watch is the work on one model. It is done by one goroutine.
type watch struct {
	s       *Source
	records atomic.Int64 // remembered at the end of the last look
	model   string
	fields  []string
	watches []string
	domain  []any
	spec    map[string]any // of web_read; nil until the database has been asked
	behind  []string       // the models that the fields lead to
	parts   []*partModel
	memory  *memory
	hint    chan struct{}
	problem atomic.Pointer[string]
	changes struct { // whether the addon has them
		has   bool
		asked time.Time
	}
}

// NewSource returns the source that the configuration describes. It makes no
// call and opens no socket: Run does.
func NewSource(origin broker.Origin, c SourceConfig) (*Source, error) {
	c, err := c.withDefaults()
	if err != nil {
		return nil, err
	}
	if c.Dir == "" {
		return nil, errors.New("odoo: a source needs a directory for what it remembers")
	}
	cl, err := newClient(c.Config)
	if err != nil {
		return nil, err
	}
	s := &Source{origin: origin, cfg: c, client: cl, log: c.Logger.With("feed", origin.Feed), now: time.Now}
	if s.meters, err = reception.NewMeters(c.Meter, c.Tracer, origin.Feed); err == nil {
		s.unchanged, err = s.meters.Counter("vagus.source.unchanged", "records that were read and made no message: nothing changed that is read, or it was our own change")
	}
	if err != nil {
		return nil, fmt.Errorf("odoo: metrics: %w", err)
	}
	for _, m := range c.Models {
		s.watches = append(s.watches, &watch{s: s, model: m.Model, fields: m.Fields, watches: m.Watch, domain: m.Domain, hint: make(chan struct{}, 1)})
	}
	return s, nil
}

// Addr is where webhooks are received: nil while they are not.
func (s *Source) Addr() net.Addr {
	if a := s.addr.Load(); a != nil {
		return *a
	}
	return nil
}

// Ready says that Run has begun to look, and listens if it is to.
func (s *Source) Ready() bool { return s.running.Load() }

// Problem says what kept the last look at a model from its end; "" when nothing did.
func (s *Source) Problem() string {
	var out []string
	for _, w := range s.watches {
		if p := w.problem.Load(); p != nil {
			out = append(out, w.model+": "+*p)
		}
	}
	return strings.Join(out, "; ")
}

// Run looks at the models until ctx is done, finishes what it has handed to
// accept and returns nil. It returns an error only when it can not remember or
// not listen: an Odoo that does not answer is asked again.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	if err := s.remember(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	if s.cfg.Hints != nil {
		stop, err := s.listen(ctx)
		if err != nil {
			return err
		}
		defer stop()
	}
	for _, w := range s.watches {
		wg.Go(func() { w.run(ctx, accept) })
	}
	s.running.Store(true)
	defer s.running.Store(false)
	<-ctx.Done()
	return nil
}

// Bounds says how many records are remembered of the model that has most.
func (s *Source) Bounds() []broker.Bound {
	most := int64(0)
	for _, w := range s.watches {
		most = max(most, w.records.Load())
	}
	return append(s.client.bounds(), broker.Bound{Name: "records of a model remembered", Used: most, Limit: maxKnown})
}

// remember reads what was sent.
func (s *Source) remember() error {
	if err := os.MkdirAll(s.cfg.Dir, 0o700); err != nil {
		return fmt.Errorf("odoo: remember what was sent: %w", err)
	}
	for _, w := range s.watches {
		var problem error
		w.memory, problem = remember(filepath.Join(s.cfg.Dir, w.model+".state"), s.cfg.Database, reads(w.fields, w.domain, w.watches), s.now())
		if problem != nil {
			s.log.Warn("odoo: what was sent is not remembered, everything is read again", "model", w.model, "error", problem)
		}
	}
	return nil
}

const (
	hintGap   = time.Second     // between two looks
	hintAgain = 2 * time.Second // a webhook is sent before its transaction commits
	minWait   = 30 * time.Second
	maxWait   = 5 * time.Minute // between two looks that fail, from minWait on
)

func (w *watch) run(ctx context.Context, accept broker.Accept) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := 0
	for {
		hinted := false
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.hint:
			hinted = true
		}
		began := time.Now()
		err := w.look(ctx, accept)
		if ctx.Err() != nil {
			return
		}
		wait := w.s.cfg.Every
		w.note(err)
		switch {
		case err != nil && !errors.Is(err, errUnreadable):
			wait = min(maxWait, min(wait, minWait)<<min(failed, 10))
			failed++
		case hinted:
			wait = min(wait, hintAgain)
		}
		if err == nil {
			failed = 0
		}
		timer.Reset(wait)
		select { // hints that come faster than we look are one
		case <-ctx.Done():
			return
		case <-time.After(min(hintGap, w.s.cfg.Every) - time.Since(began)):
		}
	}
}

// note keeps the problem and logs it when it changes.
func (w *watch) note(err error) {
	var text *string
	if err != nil {
		t := err.Error()
		text = &t
	}
	old := w.problem.Swap(text)
	switch {
	case text != nil && (old == nil || *old != *text):
		w.s.log.Error("odoo: look for changes", "model", w.model, "error", *text)
	case text == nil && old != nil:
		w.s.log.Info("odoo: changes are seen again", "model", w.model)
	}
}
