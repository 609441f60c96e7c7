package x12

import (
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

const order = "BEG*00*SA*P1**20260504~PO1*1*20*EA*1~CTT*1~"

// supplier is a partner that receives with our own receiver, by TLS.
func supplier(t *testing.T, answer func(w http.ResponseWriter, r *http.Request, body []byte)) PostConfig {
	t.Helper()
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		answer(w, r, body)
	}))
	t.Cleanup(server.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return PostConfig{URL: server.URL + "/edi", CAFile: ca, Bearer: broker.NewSecret("token-of-the-partner"), UserAgent: "vagus/test"}
}

func postingSink(t *testing.T, c PostConfig) *Sink {
	t.Helper()
	to, err := NewPost(c)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSink(SinkConfig{Partner: Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}, Version: "004010", Register: openRegister(t, t.TempDir())}, to)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWhatIsPostedIsReceivedAtTheOtherEndAndItsAnswerIsTheOutcome(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, document string
		partner        Partner
		want           broker.Outcome
	}{
		{"taken", order, Partner{}, broker.Outcome{}},
		{"taken, and nobody says so", order, Partner{Ack: AckNone}, broker.Outcome{}},
		{"taken, by TA1 too", order, Partner{TA1: TA1Always}, broker.Outcome{}},
		{"taken with errors", strings.Replace(order, "20260504", "20261304", 1), Partner{Tolerate: []string{"elements"}}, broker.Outcome{Warning: "997 E; BEG at 2: 8, element 5: 8"}},
		{"refused", strings.Replace(order, "20260504", "20261304", 1), Partner{}, broker.Outcome{Result: broker.Rejected, Class: "x12.refused", Reason: "997 R; BEG at 2: 8, element 5: 8"}},
		{"a stranger's", order, Partner{ID: "ZZ:OTHER"}, broker.Outcome{Result: broker.Rejected, Class: "x12.refused", Reason: "TA1 R 006"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := c.partner
			p.Name, p.Own = "north", "ZZ:MERID"
			if p.ID == "" {
				p.ID = "ZZ:NORTHHOSP"
			}
			theirs := open(t, Config{Partners: []Partner{p}})
			s := postingSink(t, supplier(t, func(w http.ResponseWriter, r *http.Request, body []byte) {
				if r.URL.Path != "/edi" || r.Header.Get("Content-Type") != "application/edi-x12" || r.Header.Get("Authorization") != "Bearer token-of-the-partner" || r.Header.Get("Idempotency-Key") != "850-000000001" {
					t.Errorf("the request is %s %v", r.URL, r.Header)
				}
				receipt, err := theirs.Receive(r.Context(), broker.Delivery{Body: body}, new(store).accept)
				if err != nil {
					w.WriteHeader(http.StatusUnprocessableEntity)
				}
				_, _ = w.Write(receipt.Answer)
			}))
			if err := s.Check(t.Context()); err != nil {
				t.Error(err)
			}
			for range 2 { // again, as after an answer that was lost
				out, err := s.Apply(t.Context(), []*broker.Unit{orderUnit("a", "850", c.document)})
				if err != nil {
					t.Fatal(err)
				}
				o := out[0]
				if o.Result != c.want.Result || o.Class != c.want.Class || !strings.Contains(o.Reason, c.want.Reason) || !strings.Contains(o.Warning, c.want.Warning) || (o.Warning == "") != (c.want.Warning == "") {
					t.Errorf("the outcome is %+v", o)
				}
			}
		})
	}
}

func TestAnAnswerThatIsNoAcknowledgment(t *testing.T) {
	t.Parallel()
	ack := func(from, to, rest string) string {
		return "ISA*00*          *00*          *ZZ*" + from + strings.Repeat(" ", 15-len(from)) + "*ZZ*" + to + strings.Repeat(" ", 15-len(to)) + "*260505*0830*U*00401*000000011*0*P*>~" + rest
	}
	for _, c := range []struct {
		name   string
		status int
		body   string
		want   broker.Outcome
		err    string
	}{
		{"nothing", 202, "", broker.Outcome{}, ""},
		{"a page", 200, "<html>thanks</html>", broker.Outcome{}, ""},
		{"what begins like one", 200, "ISA*00", broker.Outcome{Warning: "can not be read"}, ""},
		{"of another interchange", 200, ack("MERID", "NORTHHOSP", "TA1*000000002*260505*0830*R*025~IEA*0*000000011~"), broker.Outcome{Warning: "of something else"}, ""},
		{"of somebody else", 200, ack("OTHER", "NORTHHOSP", "TA1*000000001*260505*0830*R*025~IEA*0*000000011~"), broker.Outcome{Warning: "of something else"}, ""},
		{"of another group", 200, ack("MERID", "NORTHHOSP", "GS*FA*MERID*NORTHHOSP*20260505*0830*1*X*004010~ST*997*0001~AK1*PO*7~AK9*R*1*1*0~SE*4*0001~GE*1*1~IEA*1*000000011~"), broker.Outcome{Warning: "of something else"}, ""},
		{"a number that it has", 200, ack("MERID", "NORTHHOSP", "TA1*000000001*260505*0830*R*025~IEA*0*000000011~"), broker.Outcome{Result: broker.Rejected, Class: "x12.refused", Reason: "R 025 (its control number (ISA-13) came before with other content: this one"}, ""},
		{"a verdict of codes", 200, ack("MERID", "NORTHHOSP", "GS*FA*MERID*NORTHHOSP*20260505*0830*1*X*004010~ST*997*0001~AK1*PO*1~AK9*W*1*1*0~SE*4*0001~GE*1*1~IEA*1*000000011~"), broker.Outcome{Result: broker.Rejected, Class: "x12.refused", Reason: "997 W"}, ""},
		{"422 without one", 422, "no", broker.Outcome{Result: broker.Rejected, Class: "x12.http", Reason: "HTTP 422"}, ""},
		{"422 with one that says yes", 422, ack("MERID", "NORTHHOSP", "TA1*000000001*260505*0830*A*000~IEA*0*000000011~"), broker.Outcome{Result: broker.Rejected, Class: "x12.http", Reason: "HTTP 422"}, ""},
		{"busy", 503, "", broker.Outcome{}, "HTTP 503"},
		{"not let in", 401, "", broker.Outcome{}, "HTTP 401"},
		{"elsewhere", 307, "", broker.Outcome{}, "HTTP 307"},
		{"without end", 200, strings.Repeat("x", maxAnswer+1), broker.Outcome{}, "over 1048576 bytes"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			var calls atomic.Int32
			s := postingSink(t, supplier(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
				calls.Add(1)
				w.Header().Set("Location", "/other")
				w.WriteHeader(c.status)
				_, _ = io.WriteString(w, c.body)
			}))
			out, err := s.Apply(t.Context(), []*broker.Unit{orderUnit("a", "850", order)})
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) || calls.Load() != 1 {
					t.Errorf("%v after %d calls", err, calls.Load())
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if o := out[0]; o.Result != c.want.Result || o.Class != c.want.Class || !strings.Contains(o.Reason, c.want.Reason) || !strings.Contains(o.Warning, c.want.Warning) || (o.Warning == "") != (c.want.Warning == "") {
				t.Errorf("the outcome is %+v", o)
			}
		})
	}
}

// TestADocumentBehindOneThatDidNotGetAwayWaits: what went out before has its outcome.
func TestADocumentBehindOneThatDidNotGetAwayWaits(t *testing.T) {
	t.Parallel()
	var calls atomic.Int32
	s := postingSink(t, supplier(t, func(w http.ResponseWriter, _ *http.Request, _ []byte) {
		if calls.Add(1) == 2 {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	out, err := s.Apply(t.Context(), []*broker.Unit{orderUnit("a", "850", order), orderUnit("b", "850", order), orderUnit("c", "850", order)})
	if err != nil || calls.Load() != 2 || out[0].Result != broker.Applied || out[1].Result != broker.Retry || out[2].Result != broker.Retry {
		t.Errorf("%v, %v after %d calls", out, err, calls.Load())
	}
}

func TestTheWayToAPartnerIsChecked(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	junk := filepath.Join(dir, "junk.pem")
	if err := os.WriteFile(junk, []byte("junk"), 0o600); err != nil {
		t.Fatal(err)
	}
	secret := broker.NewSecret("x")
	for want, c := range map[string]PostConfig{
		"http.url: write":       {URL: "edi.example.org"},
		"in the clear":          {URL: "http://edi.example.org/"},
		"write it as":           {URL: "https://user:secret@edi.example.org/"},
		"http.bearer":           {URL: "https://edi.example.org/", Bearer: secret, User: "u", Password: secret},
		"http.password":         {URL: "https://edi.example.org/", User: "u"},
		"http.key_file":         {URL: "https://edi.example.org/", CertFile: junk},
		"http.cert_file":        {URL: "https://edi.example.org/", CertFile: junk, KeyFile: junk},
		"http.ca_file: open":    {URL: "https://edi.example.org/", CAFile: filepath.Join(dir, "none")},
		"holds no PEM":          {URL: "https://edi.example.org/", CAFile: junk},
		"http.timeout: use 1ms": {URL: "https://edi.example.org/", Timeout: 1},
	} {
		if _, err := NewPost(c); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", want, err)
		}
	}
	for _, c := range []PostConfig{{URL: "http://127.0.0.1:1/"}, {URL: "http://localhost:1/"}, {URL: "http://edi.example.org/", Insecure: true}} {
		if _, err := NewPost(c); err != nil {
			t.Errorf("%s: %v", c.URL, err)
		}
	}
	away := postingSink(t, PostConfig{URL: "http://127.0.0.1:1/?token=hidden"})
	if _, err := away.Apply(t.Context(), []*broker.Unit{orderUnit("a", "850", order)}); err == nil || strings.Contains(err.Error(), "hidden") || away.Check(t.Context()) == nil {
		t.Errorf("a partner that is not there: %v", err)
	}
	stranger := supplier(t, func(http.ResponseWriter, *http.Request, []byte) { t.Error("what is not trusted was sent to") })
	stranger.CAFile = ""
	if _, err := postingSink(t, stranger).Apply(t.Context(), []*broker.Unit{orderUnit("a", "850", order)}); err == nil {
		t.Error("a certificate of nobody is trusted")
	}
}
