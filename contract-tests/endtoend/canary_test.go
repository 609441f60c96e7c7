package endtoend_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectortrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/ops"
)

// What must never be seen outside a body: the canaries stand where names,
// numbers, dates, addresses and telephone numbers stand.
var canaries = []string{"QUETZAL", "Zanzibarro", "77341999", "19520229", "Wildgoose", "8675309"}

const canaryPID = `PID|1||77341999^^^NORTH^MR||QUETZAL^Zanzibarro^^^^^L||19520229|F|||1 Wildgoose Lane^^Oakland^CA^94607^USA^H||^PRN^PH^^1^510^8675309`

func TestNoCanaryLeavesItsBody(t *testing.T) {
	t.Parallel()
	collector := newCollector(t)
	s := newSystemWith(t, 0, simulated.Config{History: true}, "otlp: "+collector.URL+"\nlog: { level: debug }\n")
	s.maxAttempts = 2
	s.addWorker().start()
	// Each way that a message can go wrong quotes it somewhere, if anything does.
	msh := func(id string) string {
		return `MSH|^~\&|EPIC|NORTH|VAGUS|CLOUD|20260314||ADT^A08^ADT_A01|` + id + `|P|2.5.1`
	}
	messages := map[string]string{
		"good":                  msh("CAN1") + "\r" + canaryPID + "\r",
		"no family name":        msh("CAN2") + "\r" + strings.Replace(canaryPID, "QUETZAL^", "^", 1) + "\r",
		"no record number":      msh("CAN3") + "\r" + strings.Replace(canaryPID, "^MR", "^XX", 1) + "\r",
		"control id used again": msh("CAN1") + "\r" + canaryPID + "\rNK1|1|QUETZAL^Robin\r",
		"not wanted":            strings.Replace(msh("CAN4"), "A08", "A47", 1) + "\r" + canaryPID + "\r",
		"no MSH":                canaryPID + "\r",
		"cut segment":           "MSH|^~\\&|QUETZAL",
		"control id is a name":  msh("QUETZAL") + "\r",
	}
	conn, err := demo.Dial(t.Context(), s.mllp)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	send := func(name, body string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if _, _, err := conn.Send(ctx, []byte(body)); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	send("good", messages["good"])
	s.settled("CAN1", ledger.Applied)
	for name, body := range messages {
		send(name, body)
	}
	s.settled("CAN3", ledger.Dead)
	// Odoo refuses another patient, and quotes the row; a third one it crashes on.
	s.odoo.Poison("773419992", simulated.PoisonReject)
	send("refused by Odoo", msh("CAN5")+"\r"+strings.Replace(canaryPID, "77341999", "773419992", 1)+"\r")
	s.settled("CAN5", ledger.Dead)
	s.odoo.Heal()
	s.odoo.Fail(simulated.Fault{Kind: simulated.FaultRaise, Method: "load", Times: 8, Class: "builtins.ValueError", Message: "invalid value QUETZAL Zanzibarro 77341999"})
	other := strings.Replace(canaryPID, "77341999", "773419991", 1)
	send("crash of Odoo", msh("CAN6")+"\r"+other+"\r")
	s.settled("CAN6", ledger.Dead)

	api := s.api()
	seen := map[string][]byte{}
	page, err := api.Messages(t.Context(), ops.Query{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range page.Messages {
		if u.SenderID == "QUETZAL" {
			continue // a control id is what the operator looks for; that one is the test's own malice
		}
		d, err := api.Message(t.Context(), u.ID)
		if err != nil {
			t.Fatal(err)
		}
		seen["the API's answer about "+u.SenderID], _ = json.Marshal(d)
	}
	for _, addr := range append(append([]string{}, s.opsAddr...), s.agentOps) {
		r, err := http.Get("http://" + addr + "/metrics")
		if err != nil {
			t.Fatal(err)
		}
		seen["metrics of "+addr], _ = io.ReadAll(r.Body)
		_ = r.Body.Close()
	}
	for _, p := range append([]*process{s.hub, s.agent}, s.workers...) {
		p.stop() // sends the last traces
		seen["the log of "+p.conf] = p.Logged()
	}
	seen["traces"] = bytes.Join(collector.bodies(), nil)
	oneTraceFromAcceptToOutcome(t, collector.bodies())
	for where, text := range seen {
		for _, c := range canaries {
			if i := bytes.Index(text, []byte(c)); i >= 0 {
				t.Errorf("%s holds %q: …%s…", where, c, text[max(0, i-200):min(len(text), i+80)])
			}
		}
	}
	for _, subject := range s.subjects() {
		for _, c := range canaries {
			if strings.Contains(strings.ToLower(subject), strings.ToLower(c)) {
				t.Errorf("subject %s holds %q", subject, c)
			}
		}
	}
}

// settled waits until the ledger says so of a control id's unit.
func (s *system) settled(controlID string, want ledger.Status) {
	s.t.Helper()
	api := s.api()
	s.wait(controlID+" being "+string(want), 60*time.Second, func() bool {
		page, err := api.Messages(context.Background(), ops.Query{SenderID: controlID})
		if err != nil {
			return false
		}
		for _, u := range page.Messages {
			if u.Status == want {
				return true
			}
		}
		return false
	})
}

// A collector is an OTLP endpoint that keeps what it is sent.
type collector struct {
	*httptest.Server
	mu   sync.Mutex
	data [][]byte
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body io.Reader = r.Body
		if r.Header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(r.Body)
			if err != nil {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			body = z
		}
		b, _ := io.ReadAll(body)
		c.mu.Lock()
		c.data = append(c.data, b)
		c.mu.Unlock()
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(c.Close)
	return c
}

func (c *collector) bodies() [][]byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.data)
}

// oneTraceFromAcceptToOutcome looks for a trace that follows a message through
// all processes: each hop's span descends from the one before.
func oneTraceFromAcceptToOutcome(t *testing.T, bodies [][]byte) {
	t.Helper()
	type span struct{ name, parent, process string }
	traces := map[string]map[string]span{}
	for _, body := range bodies {
		var r collectortrace.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &r); err != nil {
			t.Fatal(err)
		}
		for _, rs := range r.ResourceSpans {
			process := ""
			for _, a := range rs.Resource.Attributes {
				if a.Key == "service.name" {
					process = a.Value.GetStringValue()
				}
			}
			for _, ss := range rs.ScopeSpans {
				for _, s := range ss.Spans {
					id := string(s.TraceId)
					if traces[id] == nil {
						traces[id] = map[string]span{}
					}
					traces[id][string(s.SpanId)] = span{s.Name, string(s.ParentSpanId), process}
				}
			}
		}
	}
	best := ""
	for _, spans := range traces {
		for _, s := range spans {
			if s.name != "worker.apply" {
				continue
			}
			way := s.process + "/" + s.name
			for p, ok := spans[s.parent]; ok; p, ok = spans[p.parent] {
				way = p.process + "/" + p.name + " > " + way
			}
			if len(way) > len(best) {
				best = way
			}
		}
	}
	if !strings.HasPrefix(best, "vagus-agent/hl7.receive") || !strings.HasSuffix(best, "vagus-worker/worker.apply") {
		t.Errorf("of %d traces the longest way to an outcome is %q: want one from vagus-agent/hl7.receive to vagus-worker/worker.apply", len(traces), best)
	}
}
