package app_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"
)

// A fhirServer is a FHIR server that insists: a resource is created under a
// condition only, updated in the version that was read only, and valid to
// google/fhir. Safe for concurrent use.
type fhirServer struct {
	*httptest.Server
	t     *testing.T
	valid *jsonformat.Unmarshaller

	mu        sync.Mutex
	resources []*resource
	before    func(method string, body map[string]any) (status int) // of a write, with the lock held; 0: go on
	writes    []string                                              // "POST Organization 201"
}

type resource struct {
	typ, id string
	version int
	body    map[string]any
}

func newFHIRServer(t *testing.T) *fhirServer {
	t.Helper()
	valid, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		t.Fatal(err)
	}
	f := &fhirServer{t: t, valid: valid}
	f.Server = httptest.NewServer(http.HandlerFunc(f.serve))
	t.Cleanup(f.Close)
	return f
}

func (f *fhirServer) serve(w http.ResponseWriter, r *http.Request) {
	typ, id, _ := strings.Cut(strings.Trim(r.URL.Path, "/"), "/")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Content-Type", "application/fhir+json")
	switch {
	case typ == "metadata":
		var offered []any
		for _, name := range []string{"Organization", "Location", "Invoice", "SupplyDelivery"} {
			offered = append(offered, map[string]any{"type": name, "conditionalCreate": true})
		}
		f.answer(w, 200, map[string]any{"resourceType": "CapabilityStatement", "rest": []any{map[string]any{"resource": offered}}})
	case r.Method == http.MethodGet && id == "":
		var entries []any
		for _, found := range f.identified(typ, r.URL.Query().Get("identifier")) {
			entries = append(entries, map[string]any{"resource": found.body})
		}
		f.answer(w, 200, map[string]any{"resourceType": "Bundle", "type": "searchset", "entry": entries})
	case r.Method == http.MethodPost || r.Method == http.MethodPut:
		status, there := f.write(r, typ, id, body)
		f.writes = append(f.writes, fmt.Sprintf("%s %s %d", r.Method, typ, status))
		if there == nil {
			f.answer(w, status, map[string]any{"resourceType": "OperationOutcome", "issue": []any{map[string]any{"severity": "error", "code": "processing"}}})
			return
		}
		w.Header().Set("ETag", fmt.Sprintf(`W/"%d"`, there.version))
		f.answer(w, status, there.body)
	default:
		f.answer(w, 405, map[string]any{"resourceType": "OperationOutcome"})
	}
}

func (f *fhirServer) answer(w http.ResponseWriter, status int, body any) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// write takes a create or an update.
func (f *fhirServer) write(r *http.Request, typ, id string, doc []byte) (int, *resource) {
	if _, err := f.valid.Unmarshal(doc); err != nil {
		f.t.Errorf("%s %s is not valid: %v\n%s", r.Method, typ, err, doc)
		return 422, nil
	}
	var body map[string]any
	if err := json.Unmarshal(doc, &body); err != nil || body["resourceType"] != typ {
		f.t.Errorf("%s %s has a resource of another type", r.Method, typ)
		return 400, nil
	}
	if f.before != nil {
		if status := f.before(r.Method, body); status != 0 {
			return status, nil
		}
	}
	if r.Method == http.MethodPost {
		condition, err := url.ParseQuery(r.Header.Get("If-None-Exist"))
		if err != nil || condition.Get("identifier") == "" {
			f.t.Errorf("a %s is created without a condition", typ)
			return 400, nil
		}
		switch found := f.identified(typ, condition.Get("identifier")); len(found) {
		case 0:
			made := &resource{typ: typ, id: fmt.Sprintf("r%d", len(f.resources)+1)}
			f.resources = append(f.resources, made)
			return 201, made.next(body)
		case 1:
			return 200, found[0]
		}
		return 412, nil
	}
	n := slices.IndexFunc(f.resources, func(r *resource) bool { return r.typ == typ && r.id == id })
	switch {
	case n < 0:
		return 404, nil
	case r.Header.Get("If-Match") == "":
		f.t.Errorf("%s/%s is updated without a condition", typ, id)
		return 428, nil
	case r.Header.Get("If-Match") != fmt.Sprintf(`W/"%d"`, f.resources[n].version):
		return 412, nil
	}
	return 200, f.resources[n].next(body)
}

func (r *resource) next(body map[string]any) *resource {
	r.version++
	body["id"], body["meta"] = r.id, map[string]any{"versionId": fmt.Sprint(r.version)}
	r.body = body
	return r
}

// identified returns the resources that have an identifier, "system|value".
func (f *fhirServer) identified(typ, identifier string) (found []*resource) {
	system, value, _ := strings.Cut(identifier, "|")
	for _, r := range f.resources {
		list, _ := r.body["identifier"].([]any)
		if r.typ == typ && slices.ContainsFunc(list, func(i any) bool { m := i.(map[string]any); return m["system"] == system && m["value"] == value }) {
			found = append(found, r)
		}
	}
	return found
}

// watch calls see before each write, with the lock held; it may answer in the
// server's place.
func (f *fhirServer) watch(see func(method string, body map[string]any) int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = see
}

// is the one resource of a type whose element has a value, as JSON; "" says that
// there is none, or more than one.
func (f *fhirServer) is(typ, element, value string) (text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.resources {
		if r.typ == typ && r.body[element] == value {
			if text != "" {
				return ""
			}
			b, _ := json.Marshal(r.body)
			text = string(b)
		}
	}
	return text
}

// has says whether there is one resource that is, with these parts in its JSON.
func (f *fhirServer) has(typ, element, value string, parts ...string) func() bool {
	return func() bool {
		text := f.is(typ, element, value)
		return text != "" && !slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(text, p) })
	}
}

// versions counts those of all resources.
func (f *fhirServer) versions() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.resources {
		n += r.version
	}
	return n
}

// wrote counts the writes that were answered so: "PUT Organization 200".
func (f *fhirServer) wrote(what string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.writes {
		if strings.HasPrefix(w, what) {
			n++
		}
	}
	return n
}
