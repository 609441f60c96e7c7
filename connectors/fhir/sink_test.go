package fhir

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/contract-tests/sink"
)

// A fhirReceiver is a FHIR server whose answers to what is written can be
// spoilt.
type fhirReceiver struct {
	t      *testing.T
	server *fhirServer
	addr   string

	mu       sync.Mutex
	listener *http.Server
	script   func(int) sink.Answer
	ids      []string
	contents []string
	taken    []string
	ended    chan struct{}
}

func newFHIRReceiver(t *testing.T) *fhirReceiver {
	t.Helper()
	r := &fhirReceiver{t: t, server: newFHIRServer(t), ended: make(chan struct{})}
	r.addr = "127.0.0.1:0"
	r.Start()
	t.Cleanup(func() { close(r.ended); r.Stop() })
	return r
}

func (r *fhirReceiver) Start() {
	ln, err := net.Listen("tcp", r.addr)
	if err != nil {
		r.t.Error(err)
		return
	}
	r.addr = ln.Addr().String()
	r.listener = &http.Server{Handler: r}
	server := r.listener
	go func() { _ = server.Serve(ln) }()
}

func (r *fhirReceiver) Stop() { _ = r.listener.Close() }

func (r *fhirReceiver) Script(f func(int) sink.Answer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.script = f
}

func (r *fhirReceiver) Came() (ids, contents []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ids), slices.Clone(r.contents)
}

func (r *fhirReceiver) Taken() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

func (r *fhirReceiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if req.Method == http.MethodGet {
		r.server.serve(w, req)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	id := req.Header.Get("If-None-Exist")
	r.mu.Lock()
	n := len(r.ids)
	r.ids, r.contents = append(r.ids, id), append(r.contents, string(body))
	how := sink.Take
	if r.script != nil {
		how = r.script(n)
	}
	if (how == sink.Take || how == sink.CutAfter) && !slices.Contains(r.taken, id) {
		r.taken = append(r.taken, id)
	}
	r.mu.Unlock()
	switch how {
	case sink.Take:
		r.server.serve(w, req)
	case sink.CutAfter:
		r.server.serve(httptest.NewRecorder(), req)
		panic(http.ErrAbortHandler)
	case sink.CutBefore:
		panic(http.ErrAbortHandler)
	case sink.Refuse:
		r.server.fail(w, http.StatusUnprocessableEntity, "business-rule")
	case sink.NotNow:
		w.Header().Set("Retry-After", "1")
		r.server.fail(w, http.StatusServiceUnavailable, "transient")
	case sink.Silence:
		select {
		case <-r.ended:
		case <-req.Context().Done():
		}
	}
}

func organization(n int, name string) []byte {
	return fmt.Appendf(nil, `{"resourceType":"Organization","identifier":[{"system":"urn:odoo","value":"partner|%d"}],"name":"%s"}`, n, name)
}

func newTestSink(t *testing.T, addr string) *Sink {
	t.Helper()
	s, err := NewSink(SinkConfig{Server: Server{URL: "http://" + addr, Timeout: 500 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestASinkKeepsWhatSinksPromise(t *testing.T) {
	t.Parallel()
	sink.Run(t, sink.Connector{
		New: func(t *testing.T) (broker.Target, sink.Receiver) {
			r := newFHIRReceiver(t)
			return newTestSink(t, r.addr), r
		},
		Document: func(n int) (kind, format string, doc []byte) {
			return "Organization", formatName, organization(n, fmt.Sprint(sink.Canary, n))
		},
	})
}

func unit(n int, doc []byte) *broker.Unit {
	u := sink.Connector{Document: func(int) (string, string, []byte) { return "Organization", formatName, doc }}.Unit(n)
	return u
}

func TestWhatIsThereIsUpdatedAndWhatSaysTheSameIsNot(t *testing.T) {
	t.Parallel()
	for name, conditional := range map[string]bool{"a server that creates conditionally": true, "one that does not": false} {
		server := newFHIRServer(t)
		server.simple = !conditional
		s := newTestSink(t, strings.TrimPrefix(server.URL, "http://"))
		apply := func(doc []byte) {
			t.Helper()
			out, err := s.Apply(t.Context(), []*broker.Unit{unit(1, doc)})
			if err != nil || out[0].Result != broker.Applied {
				t.Fatalf("%s: %v %v", name, out, err)
			}
		}
		apply(organization(1, "North"))
		apply(organization(1, "North"))
		apply(organization(1, "South"))
		apply(organization(1, "South"))
		server.mu.Lock()
		vs := server.resources["Organization/s1"].versions
		if len(server.resources) != 1 || len(vs) != 2 || vs[1].body["name"] != "South" {
			t.Errorf("%s: %d resources, of the first %d versions", name, len(server.resources), len(vs))
		}
		server.mu.Unlock()
	}
}

func TestSomebodyElsesWriteIsNotOverwrittenUnread(t *testing.T) {
	t.Parallel()
	is := func(name string) map[string]any {
		return map[string]any{"identifier": []any{map[string]any{"system": "urn:odoo", "value": "partner|1"}}, "name": name}
	}
	for name, theirs := range map[string]map[string]any{"written": is("Else"), "deleted": nil} {
		server := newFHIRServer(t)
		s := newTestSink(t, strings.TrimPrefix(server.URL, "http://"))
		server.put("Organization", "s1", is("North"))
		front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPut && server.asked("PUT") == 0 { // between our reading and our writing
				server.put("Organization", "s1", theirs)
				server.note(r)
				if theirs == nil {
					server.fail(w, http.StatusGone, "deleted")
					return
				}
			}
			server.serve(w, r)
		}))
		defer front.Close()
		s.client.base, _ = url.Parse(front.URL)
		out, err := s.Apply(t.Context(), []*broker.Unit{unit(1, organization(1, "South"))})
		if err != nil || out[0].Result != broker.Retry {
			t.Fatalf("%s: %v %v", name, out, err)
		}
		if out, err = s.Apply(t.Context(), []*broker.Unit{unit(1, organization(1, "South"))}); err != nil || out[0].Result != broker.Applied {
			t.Fatalf("%s: %v %v", name, out, err)
		}
	}
}

func TestAnswersAreClassified(t *testing.T) {
	t.Parallel()
	server := newFHIRServer(t)
	s := newTestSink(t, strings.TrimPrefix(server.URL, "http://"))
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	for status, want := range map[int]string{
		400: "rejected", 404: "rejected", 405: "rejected", 409: "retry", 410: "rejected", 412: "rejected", 413: "rejected", 415: "rejected", 422: "rejected", 423: "retry",
		500: "retry", 501: "rejected", 401: "error", 403: "error", 408: "error", 429: "error", 502: "error", 503: "error", 504: "error",
	} {
		body, _ := json.Marshal(map[string]any{"resourceType": "OperationOutcome", "issue": []any{map[string]any{"code": "business-rule", "diagnostics": "Canaryson"}, map[string]any{"code": "Canaryson"}}})
		heal := server.spoil(says(status, string(body)))
		out, err := s.Apply(t.Context(), []*broker.Unit{unit(1, organization(1, "North"))})
		heal()
		got := "error"
		if err == nil {
			got = out[0].Result.String()
		}
		if got != want || strings.Contains(fmt.Sprint(out, err), "Canaryson") {
			t.Errorf("%d: %s, want %s: %v %v", status, got, want, out, err)
		}
		if err == nil && status != 412 && !strings.Contains(out[0].Reason, "business-rule") {
			t.Errorf("%d: %s", status, out[0].Reason)
		}
	}
}

func TestWhatCouldNotBeKnownAgainIsRejected(t *testing.T) {
	t.Parallel()
	for name, doc := range map[string]string{
		"no identifier":     `{"resourceType":"Organization","name":"Canaryson"}`,
		"one without value": `{"resourceType":"Organization","identifier":[{"system":"urn:odoo"}]}`,
		"no resource":       `{"resourceType":"Canaryson"}`,
		"no JSON":           `Canaryson`,
	} {
		if _, err := readOwn([]byte(doc), ""); err == nil || strings.Contains(err.Error(), "Canaryson") {
			t.Errorf("%s: %v", name, err)
		}
	}
	o, err := readOwn([]byte(`{"resourceType":"Invoice","identifier":[{"system":"a","value":"b"},{"system":"urn:x,y","value":"1|2"}]}`), "urn:x,y")
	if err != nil || o.search != "identifier="+url.QueryEscape(`urn:x\,y|1\|2`) {
		t.Errorf("%v %v", o, err)
	}
}
