package fhir

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// A watch looks for what has changed of one type at the server, or for what was
// deleted of it. One goroutine does it.
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
	s       *Source
	name    string // for logs: "Patient", "Patient deletions"
	typ     string
	search  string
	history bool
	file    string
	hint    chan struct{}
	problem problem
	state   pollState
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
	// maxStep bounds the bytes that are stored in one step.
	maxStep = 8 << 20
)

func newWatches(s *Source) (ws []*watch) {
	for _, r := range s.conf.Poll.Resources {
		for _, history := range []bool{false, true} {
			if history && !s.conf.Poll.Deletions {
				continue
			}
			w := &watch{s: s, name: r.Type, typ: r.Type, search: r.Search, history: history, hint: make(chan struct{}, 1)}
			if history {
				w.name, w.search = r.Type+" deletions", ""
			}
			sum := sha256.Sum256([]byte(s.client.base.String() + "\n" + w.name + "\n" + w.search))
			w.state.Query = hex.EncodeToString(sum[:8])
			w.file = filepath.Join(s.conf.Dir, r.Type+"-"+w.state.Query+".poll")
			ws = append(ws, w)
		}
	}
	return ws
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
		if err != nil { // a hint does not hurry what has failed
			wait = min(wait, maxWait)
		} else {
			wait = hintGap
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
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
	if w.history {
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

// page reads one page, stores what is new on it, and remembers the next one.
func (w *watch) page(ctx context.Context, accept broker.Accept) error {
	at, err := w.s.client.within(w.state.Next)
	if err != nil {
		w.state.Next = ""
		return err
	}
	resp, body, err := w.s.client.read(ctx, http.MethodGet, at.String(), http.Header{"Accept": {mediaType}}, nil)
	if err != nil {
		return err
	}
	var b bundle
	if json.Unmarshal(body, &b) != nil || b.Resource != bundleName {
		return &serverError{status: resp.StatusCode, text: "the FHIR server's answer to a search is no Bundle"}
	}
	if w.state.Limit.IsZero() {
		w.state.Limit = serverTime(resp.Header)
	}
	ms, seen, latest := w.news(&b, time.Now().UTC())
	if err := w.s.store(ctx, accept, ms); err != nil {
		return err
	}
	for id, v := range seen {
		if w.state.Seen == nil {
			w.state.Seen = map[string]sighted{}
		}
		w.state.Seen[id] = v
	}
	if latest.After(w.state.Latest) {
		w.state.Latest = latest
	}
	return w.turn(&b)
}

// serverTime is the server's clock; without one ours: a slow one makes more be
// read again, never less.
func serverTime(h http.Header) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at.UTC()
	}
	return time.Now().UTC()
}

// turn remembers the next page or, after the last one, moves the cursor.
func (w *watch) turn(b *bundle) error {
	next := ""
	for _, l := range b.Link {
		if l.Relation == "next" {
			next = l.URL
		}
	}
	w.state.Pages++
	switch {
	case next != "":
		u, err := w.s.client.within(next)
		if err == nil && u.String() == w.state.Next {
			err = &serverError{text: "the FHIR server's page leads to itself"}
		}
		if err == nil && w.state.Pages >= maxPages {
			err = &serverError{text: "the FHIR server's answer has no end: ask for more at once (count)"}
		}
		if err != nil {
			w.state.Next = "" // the cursor stays: all of it is read again
			return errors.Join(err, save(w.file, w.state))
		}
		w.state.Next = u.String()
		w.forget(w.state.Latest)
	default:
		w.state.Next = ""
		to := w.state.Latest
		if to.After(w.state.Limit) {
			to = w.state.Limit
		}
		if to.After(w.state.Cursor) {
			w.state.Cursor = to
		}
		w.forget(w.state.Cursor)
	}
	return save(w.file, w.state)
}

// forget drops the versions that no walk asks for once all before at has been
// read: pages come in the order of lastUpdated.
func (w *watch) forget(at time.Time) {
	from := at.Add(-w.s.conf.Poll.Overlap)
	for id, v := range w.state.Seen {
		if v.Updated.Before(from) {
			delete(w.state.Seen, id)
		}
	}
}

// news makes messages of what is on a page and was not stored yet.
func (w *watch) news(b *bundle, now time.Time) (ms []*broker.Message, seen map[string]sighted, latest time.Time) {
	seen = map[string]sighted{}
	for i := range b.Entry {
		m, id, v := w.message(&b.Entry[i], now)
		if m == nil {
			continue
		}
		if v.Updated.After(latest) {
			latest = v.Updated
		}
		if id != "" && v.Version != "" && (w.state.Seen[id].Version == v.Version || seen[id].Version == v.Version) {
			w.s.meters.again.Add(context.Background(), 1, w.s.meters.feed)
			continue
		}
		if id != "" && len(w.state.Seen)+len(seen) < maxSeen {
			seen[id] = v
		}
		ms = append(ms, m)
	}
	return ms, seen, latest
}

// message reads an entry; nil is none that this watch is about.
func (w *watch) message(e *entry, now time.Time) (m *broker.Message, id string, v sighted) {
	if w.history {
		typ, rest, _ := strings.Cut(e.Request.URL, "/")
		resource, _, _ := strings.Cut(rest, "/")
		if e.Request.Method != http.MethodDelete || typ != w.typ || !isID(resource) {
			return nil, "", v
		}
		v.Updated, _ = time.Parse(time.RFC3339Nano, e.Response.LastModified)
		v.Version = strings.Trim(strings.TrimPrefix(e.Response.ETag, "W/"), `"`)
		if !isID(v.Version) {
			v.Version = e.Response.LastModified
		}
		return w.s.feed.deletion(typ, resource, v.Version, "", now), typ + "/" + resource, v
	}
	if len(e.Resource) == 0 || e.Search.Mode != "" && e.Search.Mode != "match" {
		return nil, "", v
	}
	h := readHead(e.Resource)
	if isID(h.ID) {
		id = h.Type + "/" + h.ID
	}
	v.Version = h.version()
	v.Updated, _ = time.Parse(time.RFC3339Nano, h.Meta.Updated)
	return w.s.feed.resource(e.Resource, "", now), id, v
}

// store offers messages in steps that are not too large. What is at fault by
// itself (too large for the journal) is left out and said: nobody is there to
// be told, and it must not hold the others.
func (s *Source) store(ctx context.Context, accept broker.Accept, ms []*broker.Message) error {
	// A stop must not leave what is stored unremembered.
	ctx = context.WithoutCancel(ctx)
	for len(ms) > 0 {
		n, size := 0, 0
		for n < len(ms) && (n == 0 || size+len(ms[n].Body) <= maxStep && n < 1000) {
			size += len(ms[n].Body)
			n++
		}
		if err := s.step(ctx, accept, ms[:n]); err != nil {
			return err
		}
		ms = ms[n:]
	}
	return nil
}

const storeTimeout = time.Minute

func (s *Source) step(ctx context.Context, accept broker.Accept, ms []*broker.Message) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	ctx, span := s.meters.tracer.Start(ctx, "fhir.read")
	defer span.End()
	parent := traceparent(span.SpanContext())
	for _, m := range ms {
		m.Trace = parent
	}
	err := accept(ctx, ms...)
	var reject *broker.RejectError
	switch {
	case err == nil:
		s.meters.in.Add(ctx, int64(len(ms)), s.meters.feed)
		s.meters.ok.Add(ctx, int64(len(ms)), s.meters.feed)
		return nil
	case !errors.As(err, &reject):
		return err
	}
	for _, m := range ms {
		err := accept(ctx, m)
		if err != nil && !errors.As(err, &reject) {
			return err
		}
		s.meters.received(ctx, replyTo(err).reason)
		if err != nil {
			s.log.Error("left out: it can not be stored, and stays at the server", "message", broker.ShortID(m.ID), "kind", m.Kind, "error", err)
		}
	}
	return nil
}
