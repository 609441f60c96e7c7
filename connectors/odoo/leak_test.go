package odoo

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// canary stands for what must not leave an answer of Odoo.
const canary = "Canary-Kowalska"

// faulty is a server of which the calls of one method are answered by a fault.
type faulty struct {
	mu     sync.Mutex
	next   http.Handler
	method string
	answer httpAnswer
	struck int
}

func (f *faulty) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	r.Body = io.NopCloser(bytes.NewReader(body))
	f.mu.Lock()
	hit := strings.HasSuffix(r.URL.Path, "/"+f.method) || bytes.Contains(body, []byte(`"`+f.method+`"`)) || bytes.Contains(body, []byte(">"+f.method+"<"))
	if hit {
		f.struck++
	}
	a := f.answer
	f.mu.Unlock()
	if !hit {
		f.next.ServeHTTP(w, r)
		return
	}
	w.Header().Set("Content-Type", a.contentType)
	w.Header().Set("Connection", "close")
	w.WriteHeader(a.status)
	_, _ = io.WriteString(w, a.body)
}

// leaky are answers with the canary wherever an answer has text.
func leaky(t *testing.T, wire string) map[string]httpAnswer {
	all := map[string]httpAnswer{
		"a page for people":        {wire, "text/html", 502, "<html><h1>" + canary + "</h1></html>"},
		"garbage":                  {wire, "text/html", 200, "<html>" + canary},
		"a result of another kind": {wire, "application/json", 200, `{"jsonrpc":"2.0","id":1,"result":"` + canary + `"}`},
	}
	for _, c := range faultCases {
		for _, a := range c.withText(c.text + "\n" + canary).answers(t) {
			if a.wire == wire {
				all[c.situation] = a
			}
		}
	}
	named := faultCase{class: "odoo.addons.site." + canary, text: canary, xml: 1, json2: 500}
	for _, a := range named.answers(t) {
		if a.wire == wire {
			all["an exception whose name is of the data"] = a
		}
	}
	return all
}

func (c faultCase) withText(text string) faultCase { c.text = text; return c }

// refused is a load whose message is a text, with the canary everywhere.
func refused(wire, text string) httpAnswer {
	message := map[string]any{"type": "error", "record": 0, "rows": map[string]any{"from": 0, "to": 0}, "field": canary, "field_name": canary, "message": text, "moreinfo": canary}
	result := map[string]any{"ids": false, "nextrow": 0, "messages": []any{message}}
	b, _ := json.Marshal(result)
	switch wire {
	case "json2":
		return httpAnswer{wire, "application/json", 200, string(b)}
	case "xmlrpc":
		var x strings.Builder
		x.WriteString(`<?xml version="1.0"?><methodResponse><params><param><value><struct><member><name>ids</name><value><boolean>0</boolean></value></member><member><name>nextrow</name><value><int>0</int></value></member>` +
			`<member><name>messages</name><value><array><data><value><struct><member><name>type</name><value><string>error</string></value></member><member><name>record</name><value><int>0</int></value></member>`)
		for _, name := range []string{"field", "field_name", "moreinfo"} {
			fmt.Fprintf(&x, `<member><name>%s</name><value><string>%s</string></value></member>`, name, canary)
		}
		fmt.Fprintf(&x, `<member><name>message</name><value><string>%s</string></value></member></struct></value></data></array></value></member></struct></value></param></params></methodResponse>`, strings.NewReplacer("&", "&amp;", "<", "&lt;").Replace(text))
		return httpAnswer{wire, "text/xml", 200, x.String()}
	}
	return httpAnswer{wire, "application/json", 200, `{"jsonrpc":"2.0","id":1,"result":` + string(b) + `}`}
}

// TestNoTextOfOdooLeavesTheConnector looks for the canary in outcomes, errors,
// the log, spans and metrics, for every fault on every wire.
func TestNoTextOfOdooLeavesTheConnector(t *testing.T) {
	eachWire(t, func(t *testing.T, srv *simulated.Server, c Config) {
		byMethod := map[string]map[string]httpAnswer{"load": leaky(t, c.Protocol), "search_read": leaky(t, c.Protocol), "authenticate": leaky(t, c.Protocol), "context_get": leaky(t, c.Protocol), "fields_get": leaky(t, c.Protocol)}
		for text := range loadMessages {
			byMethod["load"]["message: "+text] = refused(c.Protocol, text+" "+canary)
		}
		n := 0
		for method, answers := range byMethod {
			for situation, a := range answers {
				var log bytes.Buffer
				spans, reader := tracetest.NewSpanRecorder(), sdkmetric.NewManualReader()
				cfg := c
				cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				cfg.Tracer = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(spans)).Tracer("t")
				cfg.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader)).Meter("t")
				f := &faulty{next: srv, method: method, answer: a}
				front := httptest.NewServer(f)
				cfg.URL = front.URL
				target := connect(t, cfg)
				n++
				out, err := target.Apply(t.Context(), []*broker.Unit{contact(fmt.Sprint("canary", n), canary), {ID: fmt.Sprint("second", n), Ops: []broker.Operation{
					{ID: "o", Model: "res.partner", Do: "upsert", XID: fmt.Sprint("vagus_test.second", n), Vals: broker.Values{"name": canary, "ref": canary}}}}})
				checked := target.Check(t.Context())
				_, described := target.Describe(t.Context(), []string{"res.partner"}, nil)
				front.Close()
				var metrics metricdata.ResourceMetrics
				if err := reader.Collect(t.Context(), &metrics); err != nil {
					t.Fatal(err)
				}
				var traced strings.Builder
				for _, s := range spans.Ended() {
					fmt.Fprint(&traced, s.Name(), s.Attributes(), s.Events(), s.Status())
				}
				for where, text := range map[string]string{"outcomes": fmt.Sprintf("%+v", out), "the error": fmt.Sprint(err, checked, described), "the log": log.String(), "spans": traced.String(), "metrics": fmt.Sprintf("%+v", metrics)} {
					if strings.Contains(text, canary) {
						t.Errorf("%s: %s answered with %q: %s has it: %s", c.Protocol, method, situation, where, text)
					}
				}
				if wanted := map[string]bool{"authenticate": c.Protocol != "json2", "context_get": c.Protocol == "json2"}; f.struck == 0 && (wanted[method] || method == "load") {
					t.Errorf("%s: %s was not called for %q: %v %v", c.Protocol, method, situation, out, err)
				}
			}
		}
	})
}
