package fhir

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

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
	atRead.Hit()
	for id, v := range seen {
		if w.state.Seen == nil {
			w.state.Seen = map[string]sighted{}
		}
		w.state.Seen[id] = v
	}
	w.remembered.Store(int64(len(w.state.Seen)))
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
	err := save(w.file, w.state)
	atTurned.Hit()
	return err
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
	w.remembered.Store(int64(len(w.state.Seen)))
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
			w.s.again.Add(context.Background(), 1)
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
	if w.of != nil {
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
		id = typ + "/" + resource
		if w.of.state.Seen[id].Updated.After(v.Updated) { // it is there again
			return nil, "", v
		}
		return w.s.deletion(typ, resource, v.Version, "", now), id, v
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
	return w.s.resource(e.Resource, "", now), id, v
}
