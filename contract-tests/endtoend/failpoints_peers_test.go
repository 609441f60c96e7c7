package endtoend_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/internal/app/demo"
)

// resources is as much of a FHIR server as is asked here: two pages of patients, and an
// export of others, which is ready when it is told to be.
type resources struct {
	*httptest.Server
	looked, exported int
	ready            atomic.Bool
}

func newResources(t *testing.T) *resources {
	r := &resources{looked: 6, exported: 5}
	r.Server = httptest.NewServer(http.HandlerFunc(r.serve))
	t.Cleanup(r.Close)
	return r
}

// finish lets the export be ready.
func (r *resources) finish() { r.ready.Store(true) }

// refs are the record numbers of all patients.
func (r *resources) refs() (all []string) {
	for i := range r.looked {
		all = append(all, fmt.Sprint("F-looked", i))
	}
	for i := range r.exported {
		all = append(all, fmt.Sprint("F-exported", i))
	}
	return all
}

func (r *resources) patient(id string) string {
	return fmt.Sprintf(`{"resourceType":"Patient","id":%q,"meta":{"versionId":"1","lastUpdated":"2026-03-14T09:15:22Z"},"identifier":[{"type":{"coding":[{"system":"http://terminology.hl7.org/CodeSystem/v2-0203","code":"MR"}]},"value":"F-%s"}],"active":true,"name":[{"use":"official","family":"Oyelaran","given":["Rosalind"]}],"gender":"female","birthDate":"1984-02-29"}`, id, id)
}

func (r *resources) serve(w http.ResponseWriter, req *http.Request) {
	send := func(status int, body string) {
		w.Header().Set("Content-Type", "application/fhir+json")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
	switch req.URL.Path {
	case "/Patient":
		from, next := 0, fmt.Sprintf(`,"link":[{"relation":"next","url":"%s/Patient?page=2"}]`, r.URL)
		if req.URL.Query().Get("page") == "2" {
			from, next = r.looked/2, ""
		}
		var entries []string
		for i := from; i < from+r.looked/2; i++ {
			entries = append(entries, fmt.Sprintf(`{"resource":%s,"search":{"mode":"match"}}`, r.patient(fmt.Sprint("looked", i))))
		}
		send(http.StatusOK, fmt.Sprintf(`{"resourceType":"Bundle","type":"searchset"%s,"entry":[%s]}`, next, strings.Join(entries, ",")))
	case "/$export":
		w.Header().Set("Content-Location", r.URL+"/status")
		send(http.StatusAccepted, "")
	case "/status":
		if req.Method == http.MethodDelete || !r.ready.Load() {
			w.Header().Set("Retry-After", "1")
			send(http.StatusAccepted, "")
			return
		}
		manifest, _ := json.Marshal(map[string]any{"transactionTime": "2026-03-15T00:00:00Z", "requiresAccessToken": false, "output": []any{map[string]any{"type": "Patient", "url": r.URL + "/file"}}})
		send(http.StatusOK, string(manifest))
	case "/file":
		for i := range r.exported {
			_, _ = fmt.Fprintln(w, r.patient(fmt.Sprint("exported", i)))
		}
	default:
		send(http.StatusNotFound, `{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"not-found"}]}`)
	}
}

// again does a thing until it is done: its peer dies meanwhile.
func again(t *testing.T, do func() (string, bool)) string {
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline) && t.Context().Err() == nil; time.Sleep(50 * time.Millisecond) {
		if answer, ok := do(); ok {
			return answer
		}
	}
	t.Error("a peer did not answer for a minute")
	return ""
}

func call(method, url, media, body string) (answer string, status int) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return "", 0
	}
	req.Header.Set("Content-Type", media)
	req.Header.Set("Authorization", "Bearer "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", 0
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", 0
	}
	return string(text), resp.StatusCode
}

// acknowledged sends an HL7 message by a connection of its own.
func acknowledged(t *testing.T, addr, body string) bool {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	conn, err := demo.Dial(ctx, addr)
	if err != nil {
		return false
	}
	defer conn.Close()
	code, _, err := conn.Send(ctx, []byte(body))
	return err == nil && (code == "AA" || code == "CA")
}
