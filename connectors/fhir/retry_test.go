package fhir

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

func TestRetryAfterIsSecondsOrADate(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"30":                            30 * time.Second,
		"Sat, 14 Mar 2026 09:01:30 GMT": 90 * time.Second,
		"Sat, 14 Mar 2026 08:59:59 GMT": 0,
		"":                              0,
		"-5":                            0,
		"soon":                          0,
		"999999999999":                  maxRetryAfter,
		"Thu, 31 Dec 2099 23:59:59 GMT": maxRetryAfter,
	} {
		if got := retryAfter(http.Header{"Retry-After": {value}}, now); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
}

// A server that says when it is to be asked again is not asked before, though we
// would have: one that is busy while it is polled, one that is asked for an
// export, and one whose export is under way.
func TestAServerIsNotAskedBeforeItSays(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		path   string // whose second answer is measured
		status int
		source func(t *testing.T, url string) *Source
	}{
		"a search":          {"/Patient", http.StatusServiceUnavailable, polls},
		"too many searches": {"/Patient", http.StatusTooManyRequests, polls},
		"a kick-off":        {"/$export", http.StatusTooManyRequests, exports},
		"a status":          {"/job/1", http.StatusAccepted, exports},
		"too many statuses": {"/job/1", http.StatusTooManyRequests, exports},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var asked []time.Time
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != c.path { // what comes before it
					w.Header().Set("Content-Location", "http://"+r.Host+"/job/1")
					w.WriteHeader(http.StatusAccepted)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				asked = append(asked, time.Now())
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(c.status)
			}))
			t.Cleanup(server.Close)
			run(t, c.source(t, server.URL), (&journal{}).accept)
			until(t, "it being asked again", func() bool { mu.Lock(); defer mu.Unlock(); return len(asked) > 1 })
			mu.Lock()
			defer mu.Unlock()
			if pause := asked[1].Sub(asked[0]); pause < 990*time.Millisecond {
				t.Errorf("it was asked again after %s", pause)
			}
		})
	}
}

func polls(t *testing.T, url string) *Source {
	return newPolling(t, &fhirServer{Server: &httptest.Server{URL: url}}, t.TempDir(), Poll{})
}

func exports(t *testing.T, url string) *Source {
	return newExportSource(t, &exporter{Server: &httptest.Server{URL: url}}, t.TempDir(), Export{})
}
