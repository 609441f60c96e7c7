package fhir

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// A journal keeps what it accepts, in steps, unless answer says otherwise.
type journal struct {
	mu     sync.Mutex
	steps  [][]*broker.Message
	answer func(*broker.Message) error
}

func (j *journal) accept(_ context.Context, ms ...*broker.Message) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, m := range ms {
		if j.answer != nil {
			if err := j.answer(m); err != nil {
				return err
			}
		}
	}
	j.steps = append(j.steps, slices.Clone(ms))
	return nil
}

func (j *journal) all() (ms []*broker.Message) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Concat(j.steps...)
}

func (j *journal) script(answer func(*broker.Message) error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.answer = answer
}

// run runs a source until the test's end.
func run(t *testing.T, src *Source, accept broker.Accept) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx, accept) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	until(t, "the source receives", src.Ready)
}

func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("30 s passed, and not: %s", what)
		}
	}
}

// serving runs an endpoint.
func serving(t *testing.T, conf Endpoint, accept broker.Accept) (base string) {
	t.Helper()
	conf.Listen = "127.0.0.1:0"
	src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, Config{Endpoint: &conf})
	if err != nil {
		t.Fatal(err)
	}
	run(t, src, accept)
	return "http://" + src.Addr().String() + src.conf.Endpoint.Path
}

// An answer is what came back.
type answer struct {
	status int
	header http.Header
	body   string
}

func send(t *testing.T, method, url, body string, header ...string) answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", mediaType)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{resp.StatusCode, resp.Header, string(data)}
}

const jane = `{"resourceType":"Patient","id":"p1","name":[{"family":"Doe"}]}`

func TestRequestsAreAnsweredAsTheStandardSays(t *testing.T) {
	t.Parallel()
	j := &journal{}
	base := serving(t, Endpoint{Path: "/fhir/", MaxBody: 1024}, j.accept)
	for _, k := range []struct {
		name, method, path, body string
		header                   []string
		status                   int
		says                     string // in the OperationOutcome
	}{
		{"a create", "POST", "/Patient", jane, nil, 201, "informational"},
		{"an update", "PUT", "/Patient/p1", jane, nil, 200, "informational"},
		{"a delete", "DELETE", "/Patient/p1", "", nil, 200, "informational"},
		{"a charset and a version that we have", "POST", "/Patient", jane, []string{"Content-Type", mediaType + "; charset=UTF-8; fhirVersion=4.0"}, 201, "informational"},
		{"another version", "POST", "/Patient", jane, []string{"Content-Type", mediaType + "; fhirVersion=5.0"}, 415, "R4"},
		{"XML", "POST", "/Patient", "<Patient/>", []string{"Content-Type", "application/fhir+xml"}, 415, mediaType},
		{"JSON that does not say that it is FHIR", "POST", "/Patient", jane, []string{"Content-Type", "application/json"}, 415, mediaType},
		{"a compressed body", "POST", "/Patient", jane, []string{"Content-Encoding", "gzip"}, 415, "compressed"},
		{"a condition that we can not judge", "POST", "/Patient", jane, []string{"If-None-Exist", "identifier=a|b"}, 412, "If-None-Exist"},
		{"a version that we can not judge", "PUT", "/Patient/p1", jane, []string{"If-Match", `W/"3"`}, 412, "If-Match"},
		{"an update under another id", "PUT", "/Patient/p2", jane, nil, 400, "Patient.id"},
		{"an update of nothing", "PUT", "/Patient", jane, nil, 405, "POST"},
		{"another type than the address says", "POST", "/Organization", jane, nil, 400, "another type"},
		{"a type that R4 does not have", "POST", "/Doe", jane, nil, 404, "no resource"},
		{"an id that is none", "PUT", "/Patient/a_b", jane, nil, 400, "no id"},
		{"an address below a resource", "PUT", "/Patient/p1/name", jane, nil, 404, "nothing"},
		{"a read", "GET", "/Patient/p1", "", nil, 405, "nothing can be read"},
		{"a search", "GET", "/Patient", "", nil, 405, "nothing can be read"},
		{"too much", "POST", "/Patient", `{"resourceType":"Patient","language":"` + strings.Repeat("x", 2000) + `"}`, nil, 413, "too-long"},
		{"what is no Bundle, at the base", "POST", "", jane, nil, 400, "transaction"},
		{"a Bundle of another kind, at the base", "POST", "", `{"resourceType":"Bundle","type":"collection"}`, nil, 400, "transaction"},
		{"a notification, when there is nobody to ask", "POST", "", "", nil, 422, "polls no server"},
	} {
		a := send(t, k.method, base+k.path, k.body, k.header...)
		if a.status != k.status || !strings.Contains(a.body, k.says) || !strings.Contains(a.body, "OperationOutcome") || strings.Contains(a.body, "Doe") {
			t.Errorf("%s: %d %s", k.name, a.status, a.body)
		}
		if k.status == 405 && a.header.Get("Allow") == "" {
			t.Errorf("%s: nothing is said to be allowed", k.name)
		}
	}
	if n := len(j.all()); n != 4 {
		t.Errorf("%d messages were stored, want those of the four that were taken", n)
	}
	if m := j.all()[2]; m.Kind != "Bundle" || string(m.Body) != `{"resourceType":"Bundle","identifier":{"value":"Patient/p1#deleted"},"type":"transaction","entry":[{"request":{"method":"DELETE","url":"Patient/p1"}}]}` {
		t.Errorf("a delete is %s", string(m.Body))
	}
}

func TestAResendHasTheSameIdentityAndTheSameAnswer(t *testing.T) {
	t.Parallel()
	j := &journal{}
	base := serving(t, Endpoint{}, j.accept)
	for name, k := range map[string]struct {
		body         string
		first, again []string // headers
		same         bool
	}{
		"without a version": {jane, nil, nil, true},
		"with a version":    {`{"resourceType":"Patient","id":"p1","meta":{"versionId":"7"}}`, []string{"X-Request-Id", "a"}, []string{"X-Request-Id", "b"}, true},
		"with a time":       {`{"resourceType":"Patient","id":"p1","meta":{"lastUpdated":"2026-03-01T00:00:00Z"}}`, []string{"X-Request-Id", "a"}, []string{"X-Request-Id", "b"}, true},
		// It may be what the resource was before another update.
		"without a version, in another request": {jane, []string{"X-Request-Id", "a"}, []string{"X-Request-Id", "b"}, false},
		"without a version, in one request":     {jane, []string{"X-Request-Id", "a"}, []string{"X-Request-Id", "a"}, true},
	} {
		one, two := send(t, "POST", base+"/Patient", k.body, k.first...), send(t, "POST", base+"/Patient", k.body, k.again...)
		got := j.all()[len(j.all())-2:]
		if (got[0].ID == got[1].ID) != k.same {
			t.Errorf("%s: %s and %s", name, got[0].SenderID, got[1].SenderID)
		}
		for _, a := range []answer{one, two} {
			if at := a.header.Get("Location"); at != "/Patient/p1/_history/1" {
				t.Errorf("%s: it is said to be at %s", name, at)
			}
		}
	}
}

func TestWhatIsNotStoredIsToBeSentAgainOrNot(t *testing.T) {
	t.Parallel()
	j := &journal{}
	base := serving(t, Endpoint{}, j.accept)
	bundle := `{"resourceType":"Bundle","type":"%s","entry":[{"resource":` + jane + `,"request":{"method":"PUT","url":"Patient/p1"}}]}`
	for name, k := range map[string]struct {
		err    error
		status int
		after  bool
		says   string
	}{
		"full":                 {fmt.Errorf("append: %w", broker.ErrFull), 503, true, "no-store"},
		"anything else":        {errors.New("Doe is not known"), 503, true, "transient"},
		"rejected":             {&broker.RejectError{Code: "mapping.required", Err: errors.New("Patient.identifier is absent")}, 422, false, "Patient.identifier is absent"},
		"too large to be kept": {&broker.RejectError{Code: "too_large", Err: errors.New("the journal takes 5 bytes")}, 422, false, "too-long"},
	} {
		j.script(func(*broker.Message) error { return k.err })
		for _, a := range []answer{
			send(t, "POST", base+"/Patient", jane),
			send(t, "PUT", base+"/Patient/p1", jane),
			send(t, "POST", base, fmt.Sprintf(bundle, "transaction")),
		} {
			if a.status != k.status || (a.header.Get("Retry-After") != "") != k.after || !strings.Contains(a.body, k.says) || strings.Contains(a.body, "Doe") {
				t.Errorf("%s: %d, after %q: %s", name, a.status, a.header.Get("Retry-After"), a.body)
			}
		}
		if a := send(t, "POST", base, fmt.Sprintf(bundle, "batch")); k.status == 503 && (a.status != 503 || a.header.Get("Retry-After") == "") {
			t.Errorf("%s: a batch of which nothing was stored is answered %d %s", name, a.status, a.body)
		}
	}
	if n := len(j.all()); n != 0 {
		t.Errorf("%d messages are stored", n)
	}
}

const three = `{"resourceType":"Bundle","type":"%s","entry":[
 {"fullUrl":"urn:uuid:1b0b3f5c-0000-4000-8000-000000000001","resource":{"resourceType":"Patient","name":[{"family":"Doe"}]},"request":{"method":"POST","url":"Patient"}},
 {"resource":{"resourceType":"Organization","id":"o1","name":"North"},"request":{"method":"PUT","url":"Organization/o1"}},
 {"request":{"method":"DELETE","url":"Coverage/c1"}}]}`

// entries reads the answers to the entries of a Bundle.
func entries(t *testing.T, a answer, typ string) (out []struct {
	Response struct{ Status, Location string }
}) {
	t.Helper()
	var b struct {
		ResourceType, Type string
		Entry              []struct {
			Response struct{ Status, Location string }
		}
	}
	if err := json.Unmarshal([]byte(a.body), &b); err != nil || a.status != 200 || b.Type != typ {
		t.Fatalf("%d %s", a.status, a.body)
	}
	return b.Entry
}

func TestOfABatchEachEntryStandsForItself(t *testing.T) {
	t.Parallel()
	j := &journal{answer: func(m *broker.Message) error {
		if m.Kind == "Organization" {
			return &broker.RejectError{Code: "mapping.required", Err: errors.New("Organization.identifier is absent")}
		}
		return nil
	}}
	base := serving(t, Endpoint{}, j.accept)
	body := strings.Replace(fmt.Sprintf(three, "batch"), `"entry":[`, `"entry":[{"resource":{"resourceType":"Patient","birthDate":"Doe"},"request":{"method":"POST","url":"Patient"}},{"request":{"method":"GET","url":"Patient/p1"}},`, 1)
	a := send(t, "POST", base, body)
	var got []string
	for _, e := range entries(t, a, "batch-response") {
		got = append(got, e.Response.Status)
	}
	if want := []string{"400 Bad Request", "400 Bad Request", "201 Created", "422 Unprocessable Entity", "200 OK"}; !slices.Equal(got, want) {
		t.Errorf("answered %v, want %v", got, want)
	}
	if !strings.Contains(a.body, "Bundle.entry[0].resource.birthDate") || strings.Contains(a.body, "Doe") {
		t.Error(a.body)
	}
	if ms := j.all(); len(ms) != 2 || ms[0].Kind != "Patient" || ms[1].Kind != "Bundle" {
		t.Errorf("%d messages are stored", len(ms))
	}
}

func TestOnlyWhoShowsTheTokenMaySend(t *testing.T) {
	t.Parallel()
	j := &journal{}
	base := serving(t, Endpoint{Token: broker.NewSecret("a-token-of-the-ehr")}, j.accept)
	for auth, want := range map[string]int{"": 401, "Bearer a-token-of-the-eh": 401, "Basic a-token-of-the-ehr": 401, "Bearer a-token-of-the-ehr": 201, "bearer a-token-of-the-ehr": 201} {
		if a := send(t, "POST", base+"/Patient", jane, "Authorization", auth); a.status != want || want == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("%q: %d %s", auth, a.status, a.body)
		}
	}
	if a := send(t, "GET", base+"/metadata", ""); a.status != 200 || !strings.Contains(a.body, "CapabilityStatement") {
		t.Errorf("what is supported is for everybody: %d %s", a.status, a.body)
	}
	if n := len(j.all()); n != 2 {
		t.Errorf("%d messages are stored", n)
	}
}

func TestTLSWithCertificatesOfSenders(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	ca, caKey := certificate(t, dir, "ca", nil, nil)
	certificate(t, dir, "server", ca, caKey)
	certificate(t, dir, "client", ca, caKey)
	base := serving(t, Endpoint{TLS: reception.TLS{CertFile: filepath.Join(dir, "server.pem"), KeyFile: filepath.Join(dir, "server.key"), ClientCAFile: filepath.Join(dir, "ca.pem")}}, (&journal{}).accept)
	pool := x509.NewCertPool()
	pool.AddCert(ca)
	mine, err := tls.LoadX509KeyPair(filepath.Join(dir, "client.pem"), filepath.Join(dir, "client.key"))
	if err != nil {
		t.Fatal(err)
	}
	for name, k := range map[string]struct {
		certs []tls.Certificate
		max   uint16
		ok    bool
	}{"with a certificate": {[]tls.Certificate{mine}, 0, true}, "without": {nil, 0, false}, "TLS 1.1": {[]tls.Certificate{mine}, tls.VersionTLS11, false}} {
		c := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: "localhost", Certificates: k.certs, MinVersion: tls.VersionTLS10, MaxVersion: k.max}}}
		resp, err := c.Post(strings.Replace(base, "http:", "https:", 1)+"/Patient", mediaType, bytes.NewReader([]byte(jane)))
		if err == nil {
			_ = resp.Body.Close()
		}
		if (err == nil && resp.StatusCode == 201) != k.ok {
			t.Errorf("%s: %v", name, err)
		}
		c.CloseIdleConnections()
	}
}

// certificate writes NAME.pem and NAME.key, signed by the parent or itself.
func certificate(t *testing.T, dir, name string, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if parent == nil {
		parent, parentKey = c, key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, parentKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{".pem": {Type: "CERTIFICATE", Bytes: der}, ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name+file), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed, key
}

func TestANotificationWithoutPayloadLooksAtOnce(t *testing.T) {
	t.Parallel()
	server, j := newFHIRServer(t), &journal{}
	src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, Config{Endpoint: &Endpoint{Listen: "127.0.0.1:0"}, Server: &Server{URL: server.URL},
		Poll: &Poll{Resources: []PollResource{{Type: "Patient"}}, Every: time.Hour}, Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	run(t, src, j.accept)
	until(t, "it has looked once", func() bool { return server.asked("GET /Patient") == 1 })
	server.put("Patient", "p1", map[string]any{})
	if a := send(t, "POST", "http://"+src.Addr().String(), ""); a.status != 202 || !strings.Contains(a.body, "is asked") {
		t.Fatalf("%d %s", a.status, a.body)
	}
	until(t, "the patient is stored", func() bool { return len(j.all()) == 1 })
}
