package fhir

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/contract-tests/source"
)

func TestPollingKeepsWhatASourceThatAsksPromises(t *testing.T) {
	t.Parallel()
	source.RunPolling(t, polled)
}

// polled is a FHIR server in memory. Record n is Patient/pn, its text the
// family's name.
func polled(t *testing.T) source.Peer {
	server := newFHIRServer(t)
	fault := func(h http.HandlerFunc) func(*testing.T) func() {
		return func(*testing.T) func() { return server.spoil(h) }
	}
	return source.Peer{
		Page:  8,
		Late:  5 * time.Minute, // overlap
		Clock: server.setClock,
		Source: func(t *testing.T, dir string) source.Polling {
			return newPolling(t, server, dir, Poll{Count: 8, Deletions: true})
		},
		Put: func(_ *testing.T, n int, text string) {
			server.put("Patient", fmt.Sprintf("p%d", n), map[string]any{"name": []any{map[string]any{"family": text}}})
		},
		Delete: func(_ *testing.T, n int) { server.put("Patient", fmt.Sprintf("p%d", n), nil) },
		Read: func(t *testing.T, m *broker.Message) (n int, text string) {
			var v struct {
				ID    string
				Name  []struct{ Family string }
				Entry []struct{ Request struct{ Method, URL string } }
			}
			if err := json.Unmarshal(m.Body, &v); err != nil {
				t.Errorf("%s: %v", m.SenderID, err)
			}
			if len(v.Entry) == 1 && v.Entry[0].Request.Method == "DELETE" {
				v.ID = strings.TrimPrefix(v.Entry[0].Request.URL, "Patient/")
			}
			if len(v.Name) == 1 {
				text = v.Name[0].Family
			}
			_, _ = fmt.Sscanf(v.ID, "p%d", &n)
			return n, text
		},
		Faults: map[string]func(*testing.T) func(){
			"what is no answer of FHIR":            fault(says(200, "<html>welcome</html>")),
			"an answer of another shape":           fault(says(200, `{"resourceType":"Bundle","type":"searchset","entry":7}`)),
			"an answer as deep as it gets":         fault(says(200, strings.Repeat("[", 4<<20))),
			"an outcome where a Bundle belongs":    fault(says(200, `{"resourceType":"OperationOutcome","issue":[]}`)),
			"a server error":                       fault(says(500, "")),
			"a token that is not valid any more":   fault(says(401, "")),
			"a search that it does not understand": fault(says(400, `{"resourceType":"OperationOutcome","issue":[{"code":"not-supported"}]}`)),
			"a page that leads elsewhere":          fault(says(200, `{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":"http://127.0.0.2:1/Patient"}]}`)),
			"pages that lead to themselves": fault(func(w http.ResponseWriter, r *http.Request) {
				fmt.Fprintf(w, `{"resourceType":"Bundle","type":"searchset","link":[{"relation":"next","url":%q}]}`, "http://"+r.Host+r.URL.String())
			}),
			"an answer without end": fault(func(w http.ResponseWriter, r *http.Request) {
				for blank := []byte(strings.Repeat(" ", 1<<16)); r.Context().Err() == nil; {
					if _, err := w.Write(blank); err != nil {
						return
					}
				}
			}),
			"an answer that breaks off": fault(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Length", "1000")
				_, _ = io.WriteString(w, `{"resourceType":"Bundle","entry":[`)
			}),
			"a connection that is closed": fault(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
		},
		Silent: func(*testing.T) <-chan struct{} {
			asked, once := make(chan struct{}), sync.Once{}
			server.spoil(func(http.ResponseWriter, *http.Request) {
				once.Do(func() { close(asked) })
				<-server.ended
			})
			return asked
		},
	}
}

// newPolling returns a source that looks at a server's patients often.
func newPolling(t *testing.T, server *fhirServer, dir string, poll Poll) *Source {
	t.Helper()
	poll.Resources = []PollResource{{Type: "Patient"}}
	src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, Config{Server: &Server{URL: server.URL, MaxPage: 1 << 20}, Poll: &poll, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	src.conf.Poll.Every, src.firstWait = 20*time.Millisecond, 10*time.Millisecond // shorter than anybody may set
	return src
}

// A deletion that is told after the resource is there again changes nothing: it
// would archive what somebody has just brought back.
func TestADeletionThatTheResourceHasSurvivedIsNotTold(t *testing.T) {
	t.Parallel()
	server := newFHIRServer(t)
	at := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	server.setClock(func() time.Time { at = at.Add(time.Second); return at })
	put := func(id, name string) {
		server.put("Patient", id, map[string]any{"name": []any{map[string]any{"family": name}}})
	}
	put("back", "Doe")
	server.put("Patient", "back", nil)
	put("back", "Doe again")
	put("gone", "Roe")
	server.put("Patient", "gone", nil)
	src := newPolling(t, server, t.TempDir(), Poll{Deletions: true})
	var mu sync.Mutex
	var came []string
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		ended <- src.Run(ctx, func(_ context.Context, ms ...*broker.Message) error {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range ms {
				came = append(came, m.SenderID)
			}
			return nil
		})
	}()
	told := func() string {
		mu.Lock()
		defer mu.Unlock()
		return strings.Join(came, " ")
	}
	until(t, "what is there and what is gone", func() bool { return told() == "Patient/back/_history/3 Patient/gone/_history/2#deleted" })
	// The same again in a life that has seen the first version: deleted, seen to be
	// gone, and made again, which is told in that order.
	server.put("Patient", "back", nil)
	until(t, "the deletion", func() bool { return strings.HasSuffix(told(), " Patient/back/_history/4#deleted") })
	put("back", "Doe at last")
	until(t, "the resource again", func() bool { return strings.HasSuffix(told(), " Patient/back/_history/5") })
	walks := server.asked("GET /Patient/_history")
	until(t, "more looks", func() bool { return server.asked("GET /Patient/_history") > walks+3 })
	if n := len(strings.Fields(told())); n != 4 {
		t.Errorf("%d messages: %s", n, told())
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// A resource that says it was changed in the future does not move the cursor
// there, where everything that is changed now would be missed.
func TestTheFutureDoesNotHideThePresent(t *testing.T) {
	t.Parallel()
	server, dir := newFHIRServer(t), t.TempDir()
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	clock := func() time.Time { return now }
	put := func(id string, at time.Time) {
		server.setClock(func() time.Time { return at })
		server.put("Patient", id, map[string]any{})
		server.setClock(clock)
	}
	put("past", now.Add(-time.Hour))
	put("future", now.Add(24*time.Hour))
	src := newPolling(t, server, dir, Poll{Overlap: time.Minute})
	w := src.watches[0]
	var came []string
	accept := func(_ context.Context, ms ...*broker.Message) error {
		for _, m := range ms {
			came = append(came, m.SenderID)
		}
		return nil
	}
	look := func() {
		t.Helper()
		if err := w.walk(t.Context(), accept); err != nil {
			t.Fatal(err)
		}
	}
	look()
	if len(came) != 2 || !w.state.Cursor.Equal(now) {
		t.Fatalf("%v came, and the cursor stands at %v, not at the server's clock", came, w.state.Cursor)
	}
	now = now.Add(time.Hour)
	put("present", now.Add(-time.Minute))
	look()
	look()
	if got := strings.Join(came, " "); got != "Patient/past/_history/1 Patient/future/_history/1 Patient/present/_history/1" {
		t.Errorf("%s came", got)
	}
	if !w.state.Cursor.Equal(now) {
		t.Errorf("the cursor stands at %v", w.state.Cursor)
	}
}
