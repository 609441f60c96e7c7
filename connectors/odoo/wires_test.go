package odoo

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// eachWire runs a check on every wire, each of a server that offers it.
func eachWire(t *testing.T, check func(t *testing.T, srv *simulated.Server, c Config)) {
	for _, w := range []struct{ protocol, version string }{{"jsonrpc", "18.0"}, {"xmlrpc", "18.0"}, {"json2", "19.0"}} {
		t.Run(w.protocol, func(t *testing.T) {
			t.Parallel()
			srv, c := server(t, simulated.Config{Version: w.version, Users: []simulated.User{{Login: "second", Key: "second"}}})
			c.Protocol, c.Addon = w.protocol, "off"
			check(t, srv, c)
		})
	}
}

// before puts a handler in front of a server, as a proxy of the customer's would be.
func before(t *testing.T, c *Config, handler func(next http.Handler) http.Handler) {
	t.Helper()
	u, err := url.Parse(c.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.ModifyResponse = func(r *http.Response) error { r.Header.Del("Connection"); return nil }
	srv := httptest.NewServer(handler(proxy))
	t.Cleanup(srv.Close)
	c.URL = srv.URL
}

func contact(id, name string) *broker.Unit {
	return &broker.Unit{ID: "u" + id, Ops: []broker.Operation{upsert("vagus_test."+id, broker.Values{"name": name})}}
}

func wantApplied(t *testing.T, out []broker.Outcome) {
	t.Helper()
	for _, o := range out {
		if o.Result != broker.Applied {
			t.Errorf("%s %s %s", o.Result, o.Class, o.Reason)
		}
	}
}

func TestValuesAreTheSameOnEveryWire(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		partner := b.call(t, "res.partner", "create", []any{[]any{map[string]any{"name": "v"}}}, nil).([]any)[0]
		back := func(values map[string]any) map[string]any {
			t.Helper()
			b.call(t, "res.partner", "write", []any{[]any{partner}, values}, nil)
			fields := []any{}
			for f := range values {
				fields = append(fields, f)
			}
			return normal(b.call(t, "res.partner", "read", []any{[]any{partner}, fields}, nil).([]any)[0]).(map[string]any)
		}
		want(t, back(map[string]any{"name": "a\x00b\x0b\x1c\x1fc \ufffe\uffff<&>\"' ü 😀", "street": "tab\tand\nline", "street2": "\xff", "ref": nil, "city": "", "color": int64(2147483647)}),
			map[string]any{"name": "abc <&>\"' ü 😀", "street": "tab\tand\nline", "street2": "\ufffd", "ref": false, "city": "", "color": int64(2147483647)})
		want(t, back(map[string]any{"ref": false, "color": nil, "city": json.Number("12345678901")}), map[string]any{"ref": false, "color": int64(0)})
		want(t, back(map[string]any{"active": true, "partner_latitude": json.Number("1.5")}), map[string]any{"active": true, "partner_latitude": 1.5})

		// A whole number that no column holds is refused, where it is written and where it is looked for.
		for method, args := range map[string][]any{"write": {[]any{partner}, map[string]any{"color": int64(4294967296)}}, "search_count": {[]any{[]any{"id", "=", number("4294967296")}}}} {
			_, err := b.target.client.execute(t.Context(), "res.partner", method, named(method, args), nil)
			if b.version >= 19 && method == "search_count" && err == nil {
				continue // which knows that no record has it
			}
			if f, ok := err.(*fault); !ok || judge(f, "", nil).class != "odoo.bad_value" {
				t.Errorf("%s of an integer of 33 bits: %v", method, err)
			}
		}

		// A method that returns None has succeeded.
		if res := b.call(t, "res.partner", "action_archive", []any{[]any{partner}}, nil); res != nil {
			t.Errorf("None came as %v", res)
		}
		rows := b.call(t, "res.partner", "read", []any{[]any{partner}, []any{"active", "create_date"}}, nil).([]any)
		row := rows[0].(map[string]any)
		if row["active"] != false {
			t.Error("the method that returned None did nothing")
		}
		if at, err := time.Parse(time.DateTime, fmt.Sprint(row["create_date"])); err != nil || time.Since(at).Abs() > time.Hour {
			t.Errorf("a datetime came as %v", row["create_date"])
		}
	})
}

func TestXMLNamesAreEscaped(t *testing.T) {
	t.Parallel()
	_, c := server(t, simulated.Config{})
	c.Protocol = "xmlrpc"
	kw := map[string]any{"context": map[string]any{"a<b&\x01": 1}}
	if _, err := connect(t, c).client.execute(t.Context(), "res.partner", "search_count", named("search_count", []any{[]any{}}), kw); err != nil {
		t.Error(err)
	}
}

func FuzzXMLAnswer(f *testing.F) {
	f.Add([]byte("<?xml version=\"1.0\"?>\n<methodResponse><params><param><value><array><data><value><int>1</int></value><value><struct><member><name>a</name><value><nil/></value></member></struct></value></data></array></value></param></params></methodResponse>"))
	f.Add([]byte("<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>1</int></value></member><member><name>faultString</name><value><string>a: b</string></value></member></struct></value></fault></methodResponse>"))
	f.Add([]byte("<methodResponse>" + strings.Repeat("<value><array><data>", 5000)))
	f.Add([]byte("<methodResponse><>"))
	f.Add([]byte("<methodResponse><params><param><value><dateTime.iso8601>20260101T00:00:00</dateTime.iso8601></value></param></params></methodResponse>"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, err := readXML(body); err != nil && v != nil {
			t.Errorf("%v and %v", v, err)
		}
	})
}

func TestADeepAnswerIsGarbage(t *testing.T) {
	t.Parallel()
	if _, err := readXML([]byte("<methodResponse>" + strings.Repeat("<value><array><data>", 700000))); fmt.Sprint(err) != "odoo answered net.garbage" {
		t.Error(err)
	}
}

func TestTheLogTellsOfADeprecatedProtocolOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		protocol, version string
		level, says       string
	}{
		{"auto", "18.0", "INFO", "protocol=jsonrpc version=18.0"},
		{"auto", "19.0", "INFO", "by JSON-2"},
		{"jsonrpc", "18.0", "INFO", "protocol=jsonrpc version=18.0"},
		{"xmlrpc", "18.0", "INFO", "protocol=xmlrpc version=18.0"},
		{"jsonrpc", "19.0", "WARN", "deprecated in this version and gone in Odoo 22"},
		{"xmlrpc", "19.0", "WARN", "deprecated in this version and gone in Odoo 22"},
		{"json2", "19.0", "INFO", "by JSON-2"},
	} {
		_, cfg := server(t, simulated.Config{Version: c.version})
		var log bytes.Buffer
		cfg.Protocol, cfg.Logger = c.protocol, slog.New(slog.NewTextHandler(&log, nil))
		target := connect(t, cfg)
		for i := range 3 {
			if err := target.Check(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantApplied(t, applyTo(t, target, contact(fmt.Sprint("d", i), "n")))
		}
		var about []string
		for line := range strings.Lines(log.String()) {
			if strings.Contains(line, "spoken to") || strings.Contains(line, "protocol") && !strings.Contains(line, "units") {
				about = append(about, line)
			}
		}
		if len(about) != 1 || !strings.Contains(about[0], "level="+c.level) || !strings.Contains(about[0], c.says) {
			t.Errorf("%s on %s: %q", c.protocol, c.version, about)
		}
	}
}

func TestAVersionThatIsNoneIsGarbage(t *testing.T) {
	t.Parallel()
	for _, said := range []string{canary, strings.Repeat("1", 1000), ""} {
		for _, protocol := range []string{"auto", "jsonrpc"} {
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				answer := fmt.Sprintf(`{"version":%[1]q,"version_info":[%[1]q,0]}`, said)
				if r.URL.Path == "/jsonrpc" {
					answer = fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"result":{"server_serie":%q}}`, said)
				}
				_, _ = io.WriteString(w, answer)
			}))
			t.Cleanup(srv.Close)
			var log bytes.Buffer
			target := connect(t, Config{URL: srv.URL, Database: "d", User: "u", Key: broker.NewSecret("k"), Protocol: protocol, Logger: slog.New(slog.NewTextHandler(&log, nil))})
			if err := target.Check(t.Context()); err == nil || said != "" && strings.Contains(log.String()+err.Error(), said) {
				t.Errorf("%s, %.20q: %v\n%s", protocol, said, err, log.String())
			}
		}
	}
}

func TestAutoFollowsAServerThatWasUpgraded(t *testing.T) {
	t.Parallel()
	older, c := server(t, simulated.Config{Version: "18.0"})
	newer, _ := server(t, simulated.Config{Version: "19.0"})
	var upgraded atomic.Bool
	before(t, &c, func(http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if upgraded.Load() {
				newer.ServeHTTP(w, r)
				return
			}
			older.ServeHTTP(w, r)
		})
	})
	target := connect(t, c)
	wantApplied(t, applyTo(t, target, contact("a", "n")))
	upgraded.Store(true)
	if err := target.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := target.client.wire.(*json2); !ok {
		t.Errorf("a server that was upgraded is spoken to by %T", target.client.wire)
	}
	wantApplied(t, applyTo(t, target, contact("b", "n")))
}

func TestAProxyMayKeepConnectionsAndCompress(t *testing.T) {
	eachWire(t, func(t *testing.T, _ *simulated.Server, c Config) {
		var connections, compressed, plain atomic.Int64
		before(t, &c, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Content-Encoding") != "" {
					t.Error("a request is compressed, which Odoo does not read")
				}
				rec := httptest.NewRecorder()
				next.ServeHTTP(rec, r)
				if !strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
					plain.Add(1)
				}
				w.Header().Set("Content-Type", rec.Header().Get("Content-Type"))
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(rec.Code)
				z := gzip.NewWriter(w)
				_, _ = io.Copy(z, rec.Body)
				_ = z.Close()
				compressed.Add(1)
			})
		})
		c.Concurrency = 1
		target := connect(t, c)
		dial := target.client.poster.client.Transport.(*http.Transport)
		inner := dial.DialContext
		dial.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
			connections.Add(1)
			return inner(ctx, network, addr)
		}
		for i := range 5 {
			wantApplied(t, applyTo(t, target, contact(fmt.Sprint("k", i), "n")))
		}
		if connections.Load() != 1 || compressed.Load() < 5 || plain.Load() != 0 {
			t.Errorf("%d connections, %d answers compressed, %d not asked for", connections.Load(), compressed.Load(), plain.Load())
		}
	})
}

func TestAnAnswerIsBoundedDecompressed(t *testing.T) {
	t.Parallel()
	var mega bytes.Buffer
	z := gzip.NewWriter(&mega)
	_, _ = z.Write(make([]byte, 1<<20))
	_ = z.Close()
	bomb := bytes.Repeat(mega.Bytes(), 64) // members of one stream
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	}))
	t.Cleanup(srv.Close)
	p, err := newPoster(Config{URL: srv.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := p.post(t.Context(), "/jsonrpc", "application/json", nil); fmt.Sprint(err) != "odoo answered net.too_large" {
		t.Error(err)
	}
}

func TestCallsInFlightAndTheirRateAreBounded(t *testing.T) {
	eachWire(t, func(t *testing.T, _ *simulated.Server, c Config) {
		var mu sync.Mutex
		var now, most int
		var calls int
		var last time.Time
		before(t, &c, func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				now++
				most = max(most, now)
				calls++
				last = time.Now()
				mu.Unlock()
				next.ServeHTTP(w, r)
				mu.Lock()
				now--
				mu.Unlock()
			})
		})
		c.Concurrency, c.Rate = 3, 200
		target := connect(t, c)
		var wg sync.WaitGroup
		start := time.Now()
		for i := range 20 {
			wg.Go(func() { wantApplied(t, applyTo(t, target, contact(fmt.Sprint("c", i), "n"))) })
		}
		wg.Wait()
		if most > 3 {
			t.Errorf("%d calls in flight", most)
		}
		if took := last.Sub(start); took < time.Duration(calls-1)*time.Second/200 {
			t.Errorf("%d calls were started in %s", calls, took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		target.client.poster.rate.SetLimit(0.001)
		err := error(nil)
		for range 2 { // the first may still be allowed
			_, err = target.client.execute(ctx, "res.partner", "search_count", named("search_count", []any{[]any{}}), nil)
		}
		if err != context.DeadlineExceeded || ctx.Err() != nil {
			t.Errorf("a call that the rate does not allow in time: %v", err)
		}
	})
}

func TestAKeyIsReplacedUnderLoadWithoutAFailedCall(t *testing.T) {
	eachWire(t, func(t *testing.T, srv *simulated.Server, c Config) {
		c.NextKey, c.Concurrency = broker.NewSecret("next"), 4
		target := connect(t, c)
		var done atomic.Int64
		stop := make(chan struct{})
		var wg sync.WaitGroup
		for i := range 6 {
			wg.Go(func() {
				for n := 0; ; n++ {
					select {
					case <-stop:
						return
					default:
					}
					out, err := target.Apply(t.Context(), []*broker.Unit{contact(fmt.Sprintf("r%d_%d", i, n), "n")})
					if err != nil || out[0].Result != broker.Applied {
						t.Errorf("%v %v", out, err)
						return
					}
					done.Add(1)
				}
			})
		}
		passed := func(n int64) {
			t.Helper()
			for until := time.Now().Add(20 * time.Second); done.Load() < n; {
				if time.Now().After(until) || t.Failed() {
					t.Fatalf("only %d units went through", done.Load())
				}
				time.Sleep(time.Millisecond)
			}
		}
		for _, key := range []string{"next", "simulated", "next"} {
			passed(done.Load() + 20)
			srv.SetKey("vagus", key)
		}
		passed(done.Load() + 20)
		close(stop)
		wg.Wait()
		// Nobody logs in again and again afterwards.
		logins := func() int { n := srv.Calls(); return n["authenticate"].Calls + n["res.users.context_get"].Calls }
		was := logins()
		for i := range 10 {
			wantApplied(t, applyTo(t, target, contact(fmt.Sprint("after", i), "n")))
		}
		if logins() > was+1 {
			t.Errorf("%d logins after the key was replaced", logins()-was)
		}
	})
}

func TestTheServersCertificateMayBeOfAPrivateAuthority(t *testing.T) {
	eachWire(t, func(t *testing.T, srv *simulated.Server, c Config) {
		secure := httptest.NewUnstartedServer(srv)
		secure.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
		secure.StartTLS()
		t.Cleanup(secure.Close)
		c.URL = secure.URL
		if err := connect(t, c).Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "odoo.certificate") {
			t.Errorf("an authority that nobody knows: %v", err)
		}
		c.TLS.CAFile = filepath.Join(t.TempDir(), "ca.pem")
		if err := os.WriteFile(c.TLS.CAFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: secure.Certificate().Raw}), 0o600); err != nil {
			t.Fatal(err)
		}
		wantApplied(t, applyTo(t, connect(t, c), contact("tls", "n")))

		// The same through a proxy that connects, or does not.
		status := http.StatusOK
		var connects atomic.Int64
		proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			connects.Add(1)
			if r.Method != http.MethodConnect || status != http.StatusOK {
				w.WriteHeader(status)
				return
			}
			out, err := net.Dial("tcp", r.Host)
			if err != nil {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			in, _, err := w.(http.Hijacker).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			_, _ = io.WriteString(in, "HTTP/1.1 200 Connection established\r\n\r\n")
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			_, _ = io.Copy(in, out)
			_ = in.Close()
		}))
		t.Cleanup(proxy.Close)
		c.Proxy = proxy.URL
		wantApplied(t, applyTo(t, connect(t, c), contact("connect", "n")))
		if connects.Load() == 0 {
			t.Error("nothing went through the proxy")
		}
		for code, class := range map[int]string{407: "odoo.wrong_url", 403: "odoo.refused_request", 502: "odoo.unavailable"} {
			status = code
			if err := connect(t, c).Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), class) {
				t.Errorf("a proxy that answers CONNECT with %d: %v", code, err)
			}
		}
		proxy.Close()
		if err := connect(t, c).Check(t.Context()); err == nil || !strings.HasPrefix(err.Error(), "odoo.unreachable") {
			t.Errorf("a proxy that is down: %v", err)
		}
	})
}
