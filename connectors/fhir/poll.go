package fhir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/url"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A watch looks for what has changed of one type at the server and, by another
// watch behind it, for what was deleted of it. One goroutine does both, so that
// what is told of a resource comes in its order.
//
// A walk asks for what was updated at or after the cursor, less the overlap,
// and follows the pages to their end. Each page is stored in one step, then
// the next page's address is remembered, so that a walk that was interrupted
// goes on where it stood. At the walk's end, and only there, the cursor moves:
// to the latest lastUpdated that was seen, but not beyond the server's own
// clock (Date): a resource from the future must not hide the present. Our clock
// decides nothing but how often we look.
//
// Of a resource each version makes one message. Those of the overlap are
// remembered, so that they are not offered again; if that memory is lost, or
// too small, what is read again has the same identity and the journal knows it.
type watch struct {
	s          *Source
	name       string // for logs: "Patient", "Patient deletions"
	typ        string
	search     string
	file       string
	hint       chan struct{}
	problem    problem
	state      pollState
	remembered atomic.Int64 // of state.Seen

	deletions *watch // nil: nobody asks for them
	of        *watch // whose deletions it looks for; nil of all others
}

// A pollState is what a watch remembers.
type pollState struct {
	Query  string             `json:"query"`           // of another query nothing holds
	Cursor time.Time          `json:"cursor"`          // all that was updated before it has been read; zero: nothing
	Next   string             `json:"next,omitempty"`  // the page that is read next; "": no walk is under way
	Pages  int                `json:"pages,omitempty"` // of the walk, read so far
	Latest time.Time          `json:"latest,omitzero"` // lastUpdated seen in the walk
	Limit  time.Time          `json:"limit,omitzero"`  // the server's clock when the walk began
	Seen   map[string]sighted `json:"seen,omitempty"`  // by Type/id
}

// A sighted is the version of a resource that was stored last.
type sighted struct {
	Version string    `json:"v"`
	Updated time.Time `json:"t"`
}

const (
	maxSeen  = 20_000  // resources of the overlap; more are offered again
	maxPages = 100_000 // of one walk
	hintGap  = time.Second
	maxWait  = 10 * time.Minute
)

func newWatches(s *Source) (ws []*watch) {
	for _, r := range s.conf.Poll.Resources {
		w := newWatch(s, r.Type, r.Type, r.Search)
		if s.conf.Poll.Deletions {
			w.deletions = newWatch(s, r.Type+" deletions", r.Type, "")
			w.deletions.of = w
		}
		ws = append(ws, w)
	}
	return ws
}

func newWatch(s *Source, name, typ, search string) *watch {
	w := &watch{s: s, name: name, typ: typ, search: search, hint: make(chan struct{}, 1)}
	sum := sha256.Sum256([]byte(s.client.base.String() + "\n" + name + "\n" + search))
	w.state.Query = hex.EncodeToString(sum[:8])
	w.file = filepath.Join(s.conf.Dir, typ+"-"+w.state.Query+".poll")
	return w
}

// look asks for a look soon.
func (w *watch) look() {
	select {
	case w.hint <- struct{}{}:
	default: // it is to look anyway
	}
}

func (w *watch) run(ctx context.Context, accept broker.Accept) {
	log := w.s.log.With("reads", w.name)
	w.remember(log)
	if w.deletions != nil {
		w.deletions.remember(log)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	failed := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-w.hint:
		}
		err := w.walk(ctx, accept)
		if err == nil && w.deletions != nil {
			err = w.deletions.walk(ctx, accept)
		}
		if ctx.Err() != nil {
			return
		}
		w.problem.note(log, err)
		wait := w.s.conf.Poll.Every
		if err != nil {
			wait = w.s.backOff(err, failed)
			failed++
		} else {
			failed = 0
		}
		timer.Reset(wait)
		if err == nil { // a hint does not hurry what has failed
			wait = min(wait, hintGap)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// remember reads where the watch stood.
func (w *watch) remember(log *slog.Logger) {
	fresh := w.state
	if err := load(w.file, &w.state); err != nil || w.state.Query != fresh.Query {
		w.state = fresh
		if err != nil {
			log.Warn("what was read is not remembered", "error", err)
		}
	}
	if w.state.Cursor.IsZero() && w.s.conf.Poll.Since != "" {
		w.state.Cursor, _ = time.Parse(time.RFC3339, w.s.conf.Poll.Since)
	}
}

// backOff is how long to wait after so many failures: what the server asks
// for, or twice as long each time.
func (s *Source) backOff(err error, failed int) time.Duration {
	wait := min(maxWait, s.firstWait<<min(failed, 10))
	var server *serverError
	if errors.As(err, &server) && server.after > 0 {
		wait = server.after
	}
	return wait
}

// walk reads the pages that are left, or all from the cursor on.
func (w *watch) walk(ctx context.Context, accept broker.Accept) error {
	resumed := w.state.Next != ""
	if !resumed {
		w.begin()
	}
	for w.state.Next != "" {
		err := w.page(ctx, accept)
		var server *serverError
		if resumed && errors.As(err, &server) && server.status/100 == 4 && !server.passes() {
			// The server has forgotten the page: from the cursor on again.
			resumed = false
			w.begin()
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// begin begins a walk at the cursor.
func (w *watch) begin() {
	p := w.s.conf.Poll
	from := w.state.Cursor
	if !from.IsZero() {
		from = from.Add(-p.Overlap)
	}
	q := url.Values{"_count": {strconv.Itoa(p.Count)}}
	address := w.s.client.at(w.typ)
	stamp := from.UTC().Format("2006-01-02T15:04:05.000Z")
	if w.of != nil {
		address += "/_history"
		if !from.IsZero() {
			q.Set("_since", stamp)
		}
	} else {
		q.Set("_sort", "_lastUpdated")
		if !from.IsZero() {
			q.Set("_lastUpdated", "ge"+stamp)
		}
	}
	address += "?" + q.Encode()
	if w.search != "" {
		address += "&" + w.search
	}
	w.state.Next, w.state.Pages, w.state.Latest, w.state.Limit = address, 0, time.Time{}, time.Time{}
}
