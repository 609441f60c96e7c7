package ops_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/ops"
	"github.com/vagus-health/vagus/internal/ops/opstest"
)

func token(name, secret string) []ops.Token {
	return []ops.Token{{Name: name, Secret: broker.NewSecret(secret)}}
}

func TestAServerThatWouldNotBeSafeDoesNotStart(t *testing.T) {
	t.Parallel()
	api := http.NotFoundHandler()
	for name, c := range map[string]struct {
		cfg  ops.ServerConfig
		want string // in the error; "" = starts
	}{
		"an API without a token":                {ops.ServerConfig{Addr: "127.0.0.1:0", API: api}, "openssl rand"},
		"a token without a name":                {ops.ServerConfig{Addr: "127.0.0.1:0", API: api, Tokens: token("", opstest.Secret)}, "has no name"},
		"a token that can be guessed":           {ops.ServerConfig{Addr: "127.0.0.1:0", API: api, Tokens: token("me", "secret")}, "less than 16"},
		"an empty token":                        {ops.ServerConfig{Addr: "127.0.0.1:0", API: api, Tokens: token("me", "")}, "less than 16"},
		"an API in the clear for all":           {ops.ServerConfig{Addr: "0.0.0.0:0", API: api, Tokens: token("me", opstest.Secret)}, "in the clear"},
		"an address that is none":               {ops.ServerConfig{Addr: "nowhere"}, "missing port"},
		"health for all":                        {ops.ServerConfig{Addr: "0.0.0.0:0"}, ""},
		"an API for all, encrypted before us":   {ops.ServerConfig{Addr: "0.0.0.0:0", API: api, Tokens: token("me", opstest.Secret), Plain: true}, ""},
		"an API for all with TLS":               {ops.ServerConfig{Addr: "0.0.0.0:0", API: api, Tokens: token("me", opstest.Secret), TLS: &tls.Config{}}, ""},
		"an API on loopback with a good secret": {ops.ServerConfig{Addr: "localhost:0", API: api, Tokens: token("me", opstest.Secret)}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := ops.NewServer(t.Context(), c.cfg)
			if err == nil {
				defer s.Close()
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if err != nil && strings.Contains(err.Error(), opstest.Secret) {
				t.Error("the error holds the token")
			}
		})
	}
}

// start runs a server for the test and returns its address.
func start(t *testing.T, cfg ops.ServerConfig) string {
	t.Helper()
	cfg.Addr = "127.0.0.1:0"
	s, err := ops.NewServer(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("stop: %v", err)
		}
	})
	return "http://" + s.Addr()
}

// ask sends one request and returns code and body.
func ask(t *testing.T, method, url, secret, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if secret != "" {
		req.Header.Set("Authorization", secret)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

func TestOnlyATokenOpensTheAPI(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	log := &opstest.Buffer{}
	l, err := ops.NewLogger(log, "debug", "")
	if err != nil {
		t.Fatal(err)
	}
	url := start(t, ops.ServerConfig{
		API:    http.HandlerFunc(func(http.ResponseWriter, *http.Request) { calls.Add(1) }),
		Tokens: append(token("day", "day-day-day-day-day"), token("night", "night-night-night")...), Log: l,
		Metrics: http.NotFoundHandler(),
	})
	for name, c := range map[string]struct {
		header string
		code   int
		says   string
	}{
		"no token":                 {"", 401, "no token was sent"},
		"another scheme":           {"Basic ZGF5OmRheQ==", 401, "no token was sent"},
		"an empty token":           {"Bearer ", 401, "no token was sent"},
		"a wrong token":            {"Bearer day-day-day-day-daz", 401, "not one that this server knows"},
		"the beginning of a token": {"Bearer day-day-day-day", 401, "not one that this server knows"},
		"a token's name":           {"Bearer day", 401, "not one that this server knows"},
		"the first token":          {"Bearer day-day-day-day-day", 200, ""},
		"the second token":         {"bearer night-night-night", 200, ""},
	} {
		before := calls.Load()
		code, body := ask(t, "GET", url+"/v1/status", c.header, "")
		if code != c.code || !strings.Contains(body, c.says) {
			t.Errorf("%s: got %d %s, want %d %q", name, code, body, c.code, c.says)
		}
		if opened := calls.Load() > before; opened != (c.code == 200) {
			t.Errorf("%s: API reached: %v", name, opened)
		}
	}
	for _, path := range []string{"/livez", "/readyz"} {
		if code, body := ask(t, "GET", url+path, "", ""); code != 200 {
			t.Errorf("%s without a token: %d %s", path, code, body)
		}
	}
	if code, body := ask(t, "GET", url+"/nowhere", "", ""); code != 404 || !strings.Contains(body, `"fix"`) {
		t.Errorf("an unknown address: %d %s", code, body)
	}
	if strings.Contains(log.String(), "day-day") || strings.Contains(log.String(), "night-night") {
		t.Errorf("the log holds a token: %s", log.String())
	}
}

func TestASiteWhoseLinkIsDownIsReady(t *testing.T) {
	t.Parallel()
	var down atomic.Bool
	url := start(t, ops.ServerConfig{Checks: []ops.Check{
		{Name: "link", Advisory: true, Run: func(context.Context) error { return errors.New("no route to the hub") }},
		{Name: "journal", Run: func(context.Context) error {
			if down.Load() {
				return errors.New("disk full")
			}
			return nil
		}},
	}})
	code, body := ask(t, "GET", url+"/readyz", "", "")
	want := `{"ready":true,"checks":[{"name":"link","ok":false,"advisory":true,"error":"no route to the hub"},{"name":"journal","ok":true}]}` + "\n"
	if code != 200 || body != want {
		t.Errorf("got %d %s", code, cmp.Diff(want, body))
	}
	down.Store(true)
	// Answers are kept for a second, so that nobody makes the ledger work.
	for deadline := time.Now().Add(10 * time.Second); code != 503; {
		if time.Now().After(deadline) {
			t.Fatalf("a full journal is ready: %s", body)
		}
		<-time.After(50 * time.Millisecond)
		code, body = ask(t, "GET", url+"/readyz", "", "")
	}
	if !strings.Contains(body, "disk full") || !strings.Contains(body, `"ready":false`) {
		t.Errorf("got %s", body)
	}
}

func TestACheckThatHangsIsCutOff(t *testing.T) {
	t.Parallel()
	url := start(t, ops.ServerConfig{Checks: []ops.Check{{Name: "ledger", Run: func(ctx context.Context) error {
		<-ctx.Done()
		return ctx.Err()
	}}}})
	if code, body := ask(t, "GET", url+"/readyz", "", ""); code != 503 {
		t.Errorf("got %d %s", code, body)
	}
}

func TestRequestsInHandAreFinishedAtTheEnd(t *testing.T) {
	t.Parallel()
	arrived, leave := make(chan struct{}), make(chan struct{})
	s, err := ops.NewServer(t.Context(), ops.ServerConfig{
		Addr: "127.0.0.1:0", Tokens: token("me", opstest.Secret),
		API: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			close(arrived)
			<-leave
			_, _ = w.Write([]byte("done"))
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	answer := make(chan string, 1)
	go func() {
		_, body := ask(t, "GET", "http://"+s.Addr()+"/v1/x", "Bearer "+opstest.Secret, "")
		answer <- body
	}()
	<-arrived
	cancel()
	for deadline := time.Now().Add(5 * time.Second); ; { // the listener closes first
		c, err := net.Dial("tcp", s.Addr())
		if err != nil {
			break
		}
		_ = c.Close()
		if time.Now().After(deadline) {
			t.Fatal("it still listens")
		}
	}
	close(leave)
	if body := <-answer; body != "done" {
		t.Errorf("the request in hand got %q", body)
	}
	if err := <-ended; err != nil {
		t.Errorf("Run: %v", err)
	}
}

func TestARequestIsBounded(t *testing.T) {
	t.Parallel()
	s := opstest.Serve(t, newLedger(t), nil)
	auth := "Bearer " + opstest.Secret
	big := strings.Repeat("x", 2<<20)
	if code, body := ask(t, "POST", s.URL+"/v1/replays", auth, `{"query":{"feed":"`+big+`"}}`); code != 413 {
		t.Errorf("a body of 2 MiB: %d %s", code, body)
	}
	req, err := http.NewRequestWithContext(t.Context(), "GET", s.URL+"/livez", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Big", big)
	if res, err := http.DefaultClient.Do(req); err == nil {
		res.Body.Close()
		if res.StatusCode != 431 {
			t.Errorf("a header of 2 MiB: %d", res.StatusCode)
		}
	}
}

func TestLogLinesCarryTheTraceAndNeverBytes(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	log, err := ops.NewLogger(&b, "info", "json")
	if err != nil {
		t.Fatal(err)
	}
	tel, err := ops.NewTelemetry(t.Context(), ops.TelemetryConfig{Service: "vagus-test"})
	if err != nil {
		t.Fatal(err)
	}
	defer tel.Shutdown(context.Background())
	ctx, span := tel.Traces.Tracer("test").Start(t.Context(), "accept")
	log.With("feed", "adt").InfoContext(ctx, "accepted", "body", []byte(opstest.Canary), "phi", broker.PHI(opstest.Canary), "message", &broker.Message{ID: "m", Body: broker.PHI(opstest.Canary)})
	log.DebugContext(ctx, "not written")
	span.End()
	if sc := span.SpanContext(); span.IsRecording() || !sc.IsSampled() {
		t.Errorf("a span for nobody: recorded %v, those after it %v", span.IsRecording(), sc.IsSampled())
	}
	if _, inner := tel.Traces.Tracer("test").Start(ctx, "map"); inner.SpanContext().TraceID() != span.SpanContext().TraceID() || inner.SpanContext().SpanID() == span.SpanContext().SpanID() {
		t.Error("a span inside another is not one of its trace, or has no id of its own")
	}
	line := b.String()
	opstest.NoCanary(t, "the log", b.Bytes())
	for _, want := range []string{`"trace_id":"` + span.SpanContext().TraceID().String() + `"`, `"feed":"adt"`, `"phi":"[phi len=18]"`, `"body":"[bytes len=18]"`} {
		if !strings.Contains(line, want) {
			t.Errorf("no %s in %s", want, line)
		}
	}
	if strings.Count(line, "\n") != 1 {
		t.Errorf("more than one line: %s", line)
	}
	for _, c := range [][2]string{{"loud", "json"}, {"info", "xml"}} {
		if _, err := ops.NewLogger(&b, c[0], c[1]); err == nil {
			t.Errorf("level %s, format %s: no error", c[0], c[1])
		}
	}
}

func TestTelemetryGoesWhereItIsSent(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	collector := start(t, ops.ServerConfig{Metrics: http.NotFoundHandler()}) // takes no traces: must not harm
	take := http.NewServeMux()
	take.HandleFunc("POST /v1/traces", func(_ http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- r.Header.Get("X-Key") + string(b)
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: take}
	go func() { _ = srv.Serve(ln) }()
	defer srv.Close()

	tel, err := ops.NewTelemetry(t.Context(), ops.TelemetryConfig{Service: "vagus-test", Endpoint: "http://" + ln.Addr().String(), Headers: map[string]string{"X-Key": "k1"}})
	if err != nil {
		t.Fatal(err)
	}
	_, span := tel.Traces.Tracer("test").Start(t.Context(), "apply-a-unit")
	span.End()
	counter, err := tel.Meters.Meter("test").Int64Counter("vagus.test.count")
	if err != nil {
		t.Fatal(err)
	}
	counter.Add(t.Context(), 3)
	url := start(t, ops.ServerConfig{Metrics: tel.Metrics})
	_, page := ask(t, "GET", url+"/metrics", "", "")
	for _, want := range []string{"vagus_test_count_total 3", "go_goroutines", "process_resident_memory_bytes", `service_name="vagus-test"`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in /metrics", want)
		}
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
	if sent := <-got; !strings.HasPrefix(sent, "k1") || !strings.Contains(sent, "apply-a-unit") {
		t.Errorf("the collector got %q", sent)
	}

	for name, cfg := range map[string]ops.TelemetryConfig{
		"no service": {}, "no URL": {Service: "x", Endpoint: "collector:4318"}, "more than all": {Service: "x", Sample: 1.5},
	} {
		if _, err := ops.NewTelemetry(t.Context(), cfg); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	none, err := ops.NewTelemetry(t.Context(), ops.TelemetryConfig{Service: "x", Sample: -1, Endpoint: collector})
	if err != nil {
		t.Fatal(err)
	}
	_, span = none.Traces.Tracer("test").Start(t.Context(), "x")
	if sc := span.SpanContext(); sc.IsSampled() || !sc.IsValid() {
		t.Errorf("sample none: %v", sc)
	}
	if err := none.Shutdown(t.Context()); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}
