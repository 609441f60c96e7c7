package fhir

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A fhirServer is as much of a FHIR server as we ask: search by _lastUpdated
// with pages, history, conditional create, update with If-Match. It keeps its
// resources in memory. Safe for concurrent use.
type fhirServer struct {
	*httptest.Server
	spoilt atomic.Pointer[http.HandlerFunc] // answers instead
	ended  chan struct{}
	token  atomic.Pointer[string] // that requests must carry; nil: none
	simple bool                   // it knows no conditional create

	mu        sync.Mutex
	now       func() time.Time
	resources map[string]*stored // by Type/id
	order     []*version         // all versions, oldest first
	made      int
	requests  []string
}

type stored struct{ versions []*version }

type version struct {
	typ, id string
	n       int
	at      time.Time
	body    map[string]any // nil: deleted
}

func (s *stored) last() *version { return s.versions[len(s.versions)-1] }

func newFHIRServer(t testing.TB) *fhirServer {
	t.Helper()
	f := &fhirServer{ended: make(chan struct{}), now: time.Now, resources: map[string]*stored{}}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.note(r)
		if h := f.spoilt.Load(); h != nil {
			(*h)(w, r)
			return
		}
		if want := f.token.Load(); want != nil && r.Header.Get("Authorization") != "Bearer "+*want {
			f.fail(w, http.StatusUnauthorized, "login")
			return
		}
		f.serve(w, r)
	}))
	t.Cleanup(func() {
		close(f.ended)
		f.Close()
	})
	return f
}

func (f *fhirServer) note(r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests = append(f.requests, r.Method+" "+r.URL.Path)
}

// asked returns how many requests began so.
func (f *fhirServer) asked(prefix string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.requests {
		if strings.HasPrefix(r, prefix) {
			n++
		}
	}
	return n
}

func (f *fhirServer) setClock(now func() time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.now = now
}

// put makes a version; a nil body deletes.
func (f *fhirServer) put(typ, id string, body map[string]any) *version {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.putLocked(typ, id, body)
}

func (f *fhirServer) putLocked(typ, id string, body map[string]any) *version {
	s := f.resources[typ+"/"+id]
	if s == nil {
		s = &stored{}
		f.resources[typ+"/"+id] = s
	}
	v := &version{typ: typ, id: id, n: len(s.versions) + 1, at: f.now().UTC(), body: body}
	if body != nil {
		body["resourceType"], body["id"] = typ, id
		body["meta"] = map[string]any{"versionId": strconv.Itoa(v.n), "lastUpdated": v.at.Format("2006-01-02T15:04:05.000Z")}
	}
	s.versions = append(s.versions, v)
	f.order = append(f.order, v)
	return v
}

func (f *fhirServer) all(typ string) (vs []*version) {
	for _, s := range f.resources {
		if v := s.last(); v.typ == typ && v.body != nil {
			vs = append(vs, v)
		}
	}
	slices.SortFunc(vs, func(a, b *version) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return vs
}

func (f *fhirServer) fail(w http.ResponseWriter, status int, code string) {
	f.write(w, status, map[string]any{"resourceType": "OperationOutcome", "issue": []any{map[string]any{"severity": "error", "code": code, "diagnostics": "about Canaryson"}}})
}

func (f *fhirServer) write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", mediaType)
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

func (f *fhirServer) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	steps := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	typ := steps[0]
	switch {
	case typ == "metadata":
		f.write(w, 200, map[string]any{"resourceType": "CapabilityStatement", "rest": []any{map[string]any{"mode": "server", "resource": []any{map[string]any{"type": "Organization", "conditionalCreate": !f.simple}}}}})
	case r.Method == http.MethodGet && len(steps) == 1:
		f.search(w, r, typ)
	case r.Method == http.MethodGet && steps[1] == "_history":
		f.history(w, r, typ)
	case r.Method == http.MethodGet:
		f.answer(w, 200, f.resources[typ+"/"+steps[1]])
	case r.Method == http.MethodPost && len(steps) == 1:
		f.create(w, r, typ)
	case r.Method == http.MethodPut && len(steps) == 2:
		f.update(w, r, typ, steps[1])
	default:
		f.fail(w, http.StatusMethodNotAllowed, "not-supported")
	}
}

func (f *fhirServer) answer(w http.ResponseWriter, status int, s *stored) {
	if s == nil || s.last().body == nil {
		f.fail(w, http.StatusNotFound, "not-found")
		return
	}
	v := s.last()
	w.Header().Set("ETag", fmt.Sprintf(`W/"%d"`, v.n))
	w.Header().Set("Location", fmt.Sprintf("%s/%s/%s/_history/%d", f.URL, v.typ, v.id, v.n))
	f.write(w, status, v.body)
}

func (f *fhirServer) create(w http.ResponseWriter, r *http.Request, typ string) {
	var body map[string]any
	if json.NewDecoder(r.Body).Decode(&body) != nil {
		f.fail(w, http.StatusBadRequest, "structure")
		return
	}
	if want := r.Header.Get("If-None-Exist"); want != "" && !f.simple {
		q, err := url.ParseQuery(want)
		found := f.identified(typ, q.Get("identifier"))
		switch {
		case err != nil || len(found) > 1:
			f.fail(w, http.StatusPreconditionFailed, "multiple-matches")
			return
		case len(found) == 1:
			f.answer(w, http.StatusOK, f.resources[typ+"/"+found[0].id])
			return
		}
	}
	f.made++
	v := f.putLocked(typ, fmt.Sprintf("s%d", f.made), body)
	f.answer(w, http.StatusCreated, f.resources[typ+"/"+v.id])
}

func (f *fhirServer) update(w http.ResponseWriter, r *http.Request, typ, id string) {
	body := map[string]any{}
	s := f.resources[typ+"/"+id]
	if json.NewDecoder(r.Body).Decode(&body) != nil || body["id"] != id {
		f.fail(w, http.StatusBadRequest, "invalid")
		return
	}
	if m := r.Header.Get("If-Match"); m != "" && (s == nil || m != fmt.Sprintf(`W/"%d"`, s.last().n)) {
		f.fail(w, http.StatusPreconditionFailed, "conflict")
		return
	}
	f.putLocked(typ, id, body)
	f.answer(w, http.StatusOK, f.resources[typ+"/"+id])
}

// identified returns the resources with an identifier, "system|value".
func (f *fhirServer) identified(typ, identifier string) (found []*version) {
	system, value, _ := strings.Cut(identifier, "|")
	value = strings.ReplaceAll(value, `\|`, "|")
	for _, v := range f.all(typ) {
		list, _ := v.body["identifier"].([]any)
		for _, i := range list {
			if m := i.(map[string]any); m["system"] == system && m["value"] == value {
				found = append(found, v)
			}
		}
	}
	return found
}

func (f *fhirServer) search(w http.ResponseWriter, r *http.Request, typ string) {
	q := r.URL.Query()
	vs := f.all(typ)
	if id := q.Get("identifier"); id != "" {
		vs = f.identified(typ, id)
	}
	if from, ok := strings.CutPrefix(q.Get("_lastUpdated"), "ge"); ok {
		at, err := time.Parse(time.RFC3339Nano, from)
		if err != nil {
			f.fail(w, http.StatusBadRequest, "value")
			return
		}
		vs = slices.DeleteFunc(vs, func(v *version) bool { return v.at.Truncate(time.Millisecond).Before(at) })
	}
	var entries []any
	page, next := f.page(r, len(vs))
	for _, v := range vs[page[0]:page[1]] {
		entries = append(entries, map[string]any{"fullUrl": f.URL + "/" + typ + "/" + v.id, "resource": v.body, "search": map[string]any{"mode": "match"}})
	}
	f.bundle(w, "searchset", entries, next)
}

func (f *fhirServer) history(w http.ResponseWriter, r *http.Request, typ string) {
	var vs []*version
	since, _ := time.Parse(time.RFC3339Nano, r.URL.Query().Get("_since"))
	for _, v := range slices.Backward(f.order) {
		if v.typ == typ && !v.at.Truncate(time.Millisecond).Before(since) {
			vs = append(vs, v)
		}
	}
	var entries []any
	page, next := f.page(r, len(vs))
	for _, v := range vs[page[0]:page[1]] {
		e := map[string]any{"fullUrl": f.URL + "/" + typ + "/" + v.id,
			"request":  map[string]any{"method": "PUT", "url": typ + "/" + v.id},
			"response": map[string]any{"status": "200", "etag": fmt.Sprintf(`W/"%d"`, v.n), "lastModified": v.at.Format("2006-01-02T15:04:05.000Z")}}
		if v.body == nil {
			e["request"] = map[string]any{"method": "DELETE", "url": typ + "/" + v.id}
		} else {
			e["resource"] = v.body
		}
		entries = append(entries, e)
	}
	f.bundle(w, "history", entries, next)
}

// page returns from where to where, and the address of the next page.
func (f *fhirServer) page(r *http.Request, n int) (of [2]int, next string) {
	q := r.URL.Query()
	count, _ := strconv.Atoi(q.Get("_count"))
	from, _ := strconv.Atoi(q.Get("_from"))
	if count == 0 {
		count = 50
	}
	from = min(from, n)
	to := min(from+count, n)
	if to < n {
		q.Set("_from", strconv.Itoa(to))
		next = f.URL + r.URL.Path + "?" + q.Encode()
	}
	return [2]int{from, to}, next
}

func (f *fhirServer) bundle(w http.ResponseWriter, typ string, entries []any, next string) {
	b := map[string]any{"resourceType": "Bundle", "type": typ}
	if len(entries) > 0 {
		b["entry"] = entries
	}
	if next != "" {
		b["link"] = []any{map[string]any{"relation": "next", "url": next}}
	}
	f.write(w, 200, b)
}

// spoil makes the server answer otherwise until heal is called.
func (f *fhirServer) spoil(h http.HandlerFunc) (heal func()) {
	f.spoilt.Store(&h)
	return func() { f.spoilt.Store(nil) }
}

func says(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}
