package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
	"github.com/vagus-health/vagus/connectors/webhook"
)

// A secret of Standard Webhooks, as its own libraries use it in their tests.
const (
	whsec   = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	another = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// posted is a source at work, what it accepted and what its accept answers.
type posted struct {
	url string

	stop     context.CancelFunc // and do not wait
	mu       sync.Mutex
	accepted []*broker.Message
	refuse   func(*broker.Message) error
	during   func(context.Context) // accept; nil: nothing
}

func post(t *testing.T, conf webhook.Config, format webhook.JSON) *posted {
	t.Helper()
	r, err := webhook.NewReceiver(broker.Origin{Tenant: "main", Site: "north", Feed: "orders"}, format)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, conf, r)
}

func serve(t *testing.T, conf webhook.Config, r broker.Receiver) *posted {
	t.Helper()
	conf.Listen = "127.0.0.1:0"
	src, err := webhook.New("orders", conf, r)
	if err != nil {
		t.Fatal(err)
	}
	p := &posted{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	p.stop = cancel
	go func() { ended <- src.Run(ctx, p.accept) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run returned %v", err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); src.Addr() == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the source does not listen")
		}
	}
	p.url = "http://" + src.Addr().String()
	return p
}

func (p *posted) accept(ctx context.Context, ms ...*broker.Message) error {
	if p.during != nil {
		p.during(ctx)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range ms {
		if p.refuse != nil {
			if err := p.refuse(m); err != nil {
				return err
			}
		}
	}
	p.accepted = append(p.accepted, ms...)
	return nil
}

func (p *posted) got() []*broker.Message {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.accepted)
}

// do sends a request and returns its answer.
func (p *posted) do(t *testing.T, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, p.url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(answer)
}

// sign returns the headers of a body, as of Standard Webhooks.
func sign(secret, id string, at time.Time, body string) []string {
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil {
		panic(err)
	}
	stamp := strconv.FormatInt(at.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	_, _ = mac.Write([]byte(id + "." + stamp + "." + body))
	return []string{"webhook-id", id, "webhook-timestamp", stamp, "webhook-signature", "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))}
}

func secrets(values ...string) (all []broker.Secret) {
	for _, v := range values {
		all = append(all, broker.NewSecret(v))
	}
	return all
}

func TestWhoMaySend(t *testing.T) {
	t.Parallel()
	const body = `{"id":17}`
	now := time.Now()
	signed := webhook.Config{Signatures: &webhook.Signatures{Secrets: secrets(whsec, another)}}
	replace := func(h []string, name, value string) []string {
		h = slices.Clone(h)
		h[slices.Index(h, name)+1] = value
		return h
	}
	right := sign(whsec, "msg_1", now, body)
	basic := func(user, password string) []string {
		return []string{"Authorization", "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))}
	}
	for _, tt := range []struct {
		name    string
		conf    webhook.Config
		headers []string
		ok      bool
	}{
		{"a signature", signed, right, true},
		{"one by the other secret", signed, sign(another, "msg_1", now, body), true},
		{"several, one of which is right", signed, replace(right, "webhook-signature", "v1,AAAA v1a,Zm9v "+right[5]), true},
		{"one by a secret of somebody else", signed, sign("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", "msg_1", now, body), false},
		{"of another body", signed, sign(whsec, "msg_1", now, `{"id":18}`), false},
		{"of another id", signed, replace(right, "webhook-id", "msg_2"), false},
		{"of another time", signed, replace(right, "webhook-timestamp", strconv.FormatInt(now.Unix()+1, 10)), false},
		{"of another version", signed, replace(right, "webhook-signature", strings.Replace(right[5], "v1,", "v2,", 1)), false},
		{"sent again after the window", signed, sign(whsec, "msg_1", now.Add(-6*time.Minute), body), false},
		{"from the future", signed, sign(whsec, "msg_1", now.Add(6*time.Minute), body), false},
		{"at the edge of the window", signed, sign(whsec, "msg_1", now.Add(-4*time.Minute), body), true},
		{"an id that ends before its dot", signed, sign(whsec, "msg.1", now, body), false},
		{"none", signed, nil, false},
		{"a token", webhook.Config{Bearer: secrets("0123456789abcdef", "fedcba9876543210")}, []string{"Authorization", "bearer fedcba9876543210"}, true},
		{"another token", webhook.Config{Bearer: secrets("0123456789abcdef")}, []string{"Authorization", "Bearer 0123456789abcdeF"}, false},
		{"a token without scheme", webhook.Config{Bearer: secrets("0123456789abcdef")}, []string{"Authorization", "0123456789abcdef"}, false},
		{"no token", webhook.Config{Bearer: secrets("0123456789abcdef")}, nil, false},
		{"a password", webhook.Config{Basic: &webhook.Basic{User: "lab", Password: broker.NewSecret("0123456789abcdef")}}, basic("lab", "0123456789abcdef"), true},
		{"another password", webhook.Config{Basic: &webhook.Basic{User: "lab", Password: broker.NewSecret("0123456789abcdef")}}, basic("lab", "0123456789abcde"), false},
		{"another user", webhook.Config{Basic: &webhook.Basic{User: "lab", Password: broker.NewSecret("0123456789abcdef")}}, basic("lob", "0123456789abcdef"), false},
		{"everybody", webhook.Config{Open: true}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := post(t, tt.conf, webhook.JSON{})
			res, answer := p.do(t, "POST", "/", body, tt.headers...)
			want := http.StatusUnauthorized
			if tt.ok {
				want = http.StatusAccepted
			}
			if res.StatusCode != want || (want == http.StatusUnauthorized) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Errorf("answered %s, %s", res.Status, answer)
			}
			if got := len(p.got()); got != 0 && !tt.ok || tt.ok && got != 1 {
				t.Errorf("%d messages are accepted", got)
			}
		})
	}
}

func TestADeliveryThatComesAgainIsTheSameMessage(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Signatures: &webhook.Signatures{Secrets: secrets(whsec)}}, webhook.JSON{})
	send := func(id, body string) {
		t.Helper()
		if res, answer := p.do(t, "POST", "/", body, sign(whsec, id, time.Now(), body)...); res.StatusCode != http.StatusAccepted {
			t.Fatalf("%s %s", res.Status, answer)
		}
	}
	send("msg_1", `{"on":true}`)
	send("msg_1", `{"on":true}`)
	send("msg_2", `{"on":true}`) // the switch was turned off meanwhile
	send("msg_2", `{"on":false}`)
	got := p.got()
	if got[0].ID != got[1].ID || got[0].SenderID != "msg_1" {
		t.Errorf("%s is %s, and again %s", got[0].SenderID, got[0].ID, got[1].ID)
	}
	if got[1].ID == got[2].ID || got[2].ID == got[3].ID {
		t.Error("two messages have one id")
	}
}

func TestWhatASenderIsAnswered(t *testing.T) {
	t.Parallel()
	conf := webhook.Config{Open: true, Path: "/orders", Types: []string{"application/json"}, MaxBody: 100}
	typed := []string{"Content-Type", "application/json; charset=utf-8"}
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		refuse                   error
		status                   int
		want                     string // in the answer
		retry                    bool
	}{
		{"what is stored", "POST", "/orders", `{"mrn":"4711"}`, typed, nil, 202, "", false},
		{"another path", "POST", "/", `{}`, typed, nil, 404, "Not Found", false},
		{"a look", "GET", "/orders", "", nil, nil, 405, "Method Not Allowed", false},
		{"another type", "POST", "/orders", `<a/>`, []string{"Content-Type", "text/xml"}, nil, 415, "use application/json", false},
		{"no type", "POST", "/orders", `{}`, nil, nil, 415, "use application/json", false},
		{"a body that is packed", "POST", "/orders", `{}`, append([]string{"Content-Encoding", "gzip"}, typed...), nil, 415, "as it is", false},
		{"too much", "POST", "/orders", `{"mrn":"` + strings.Repeat("4711", 100) + `"}`, typed, nil, 413, "100 bytes", false},
		{"no JSON", "POST", "/orders", `{"mrn":"4711"`, typed, nil, 400, `"code":"json.malformed"`, false},
		{"nothing", "POST", "/orders", ``, typed, nil, 400, "no object", false},
		{"several objects", "POST", "/orders", `[{"mrn":"4711"},{}]`, typed, nil, 400, "split: true", false},
		{"an id that is none", "POST", "/orders", `{}`, append([]string{"webhook-id", "a b"}, typed...), nil, 400, "http.id", false},
		{"what a mapping rejects", "POST", "/orders", `{"mrn":"4711"}`, typed, &broker.RejectError{Code: "mapping.required", Err: errors.New("lines is absent")}, 422, `"code":"mapping.required","detail":"lines is absent"`, false},
		{"a full disk", "POST", "/orders", `{"mrn":"4711"}`, typed, broker.ErrFull, 503, "storage is full", true},
		{"anything else", "POST", "/orders", `{"mrn":"4711"}`, typed, errors.New("4711"), 503, "try again", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			p := post(t, conf, webhook.JSON{})
			if tt.refuse != nil {
				p.refuse = func(*broker.Message) error { return tt.refuse }
			}
			res, answer := p.do(t, tt.method, tt.path, tt.body, tt.headers...)
			if res.StatusCode != tt.status || !strings.Contains(answer, tt.want) || tt.retry != (res.Header.Get("Retry-After") != "") {
				t.Errorf("answered %s %s, want %d %s", res.Status, answer, tt.status, tt.want)
			}
			if tt.status >= 400 && (res.Header.Get("Content-Type") != "application/problem+json" || !json.Valid([]byte(answer))) {
				t.Errorf("the answer is %s: %s", res.Header.Get("Content-Type"), answer)
			}
			if strings.Contains(answer, "4711") {
				t.Errorf("the answer has a value in it: %s", answer)
			}
		})
	}
}

func TestABodyWithoutALengthIsBounded(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true, MaxBody: 100}, webhook.JSON{})
	body := io.MultiReader(strings.NewReader(`{"a":"`), bytes.NewReader(bytes.Repeat([]byte("x"), 1<<20)), strings.NewReader(`"}`))
	res, err := http.Post(p.url, "application/json", body) // chunked
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusRequestEntityTooLarge || len(p.got()) != 0 {
		t.Errorf("answered %s", res.Status)
	}
}

func TestABodyThatSaysItIsTooLargeIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true, MaxBody: 100}, webhook.JSON{})
	c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := io.WriteString(c, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, len("HTTP/1.1 413"))
	if _, err := io.ReadFull(c, line); err != nil || string(line) != "HTTP/1.1 413" {
		t.Errorf("%q %v", line, err)
	}
}

func TestAStopDoesNotTakeAMessageFromWhoStoresIt(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true}, webhook.JSON{})
	p.during = func(ctx context.Context) {
		p.stop()
		if _, bounded := ctx.Deadline(); ctx.Err() != nil || !bounded {
			t.Errorf("what stores it is told %v", ctx.Err())
		}
	}
	if res, answer := p.do(t, "POST", "/", `{}`); res.StatusCode != http.StatusAccepted {
		t.Errorf("%s %s", res.Status, answer)
	}
}

func TestASlowBodyIsNotWaitedForForEver(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true, ReadTimeout: 50 * time.Millisecond}, webhook.JSON{})
	for _, begin := range []string{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", "POST /other HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{", "POST / HTT"} {
		c, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.WriteString(c, begin); err != nil {
			t.Fatal(err)
		}
		answer, err := io.ReadAll(c)
		if err != nil || len(p.got()) != 0 || strings.Contains(string(answer), " 202 ") {
			t.Errorf("%q ends with %v, %q", begin, err, answer)
		}
	}
}

func TestMoreRequestsThanAreTakenAtOnceAreAskedToWait(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true, MaxRequests: 1}, webhook.JSON{})
	inHand, goOn := make(chan struct{}), make(chan struct{})
	p.refuse = func(*broker.Message) error { close(inHand); <-goOn; return nil }
	first := make(chan int, 1)
	go func() {
		res, err := http.Post(p.url, "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Error(err)
			first <- 0
			return
		}
		_ = res.Body.Close()
		first <- res.StatusCode
	}()
	<-inHand
	if res, _ := p.do(t, "POST", "/", `{}`); res.StatusCode != http.StatusTooManyRequests || res.Header.Get("Retry-After") == "" {
		t.Errorf("the second is answered %s", res.Status)
	}
	close(goOn)
	if status := <-first; status != http.StatusAccepted {
		t.Errorf("the first is answered %d", status)
	}
}

// A format whose answers are its own.
type echo struct{ err error }

func (e echo) Receive(_ context.Context, d broker.Delivery, _ broker.Accept) (broker.Receipt, error) {
	return broker.Receipt{Accepted: 1, Answer: append(broker.PHI("ack of "), d.Body...), Type: "application/edi-x12"}, e.err
}

func TestAFormatsOwnAnswerIsSent(t *testing.T) {
	t.Parallel()
	for status, err := range map[int]error{200: nil, 422: &broker.RejectError{Code: "x12.envelope", Err: errors.New("ISA13")}, 503: broker.ErrFull} {
		p := serve(t, webhook.Config{Open: true, Methods: []string{"PUT"}}, echo{err})
		res, answer := p.do(t, "PUT", "/", "ISA")
		if res.StatusCode != status || answer != "ack of ISA" || res.Header.Get("Content-Type") != "application/edi-x12" {
			t.Errorf("%s %s %s", res.Status, res.Header, answer)
		}
	}
}

func TestSettingsOfHTTP(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		conf webhook.Config
	}{
		{"listen: write host:port", webhook.Config{Listen: "8080", Open: true}},
		{"who may send?", webhook.Config{}},
		{"signatures, bearer: give one", webhook.Config{Signatures: &webhook.Signatures{Secrets: secrets(whsec)}, Bearer: secrets("0123456789abcdef")}},
		{"open: it allows everybody", webhook.Config{Open: true, Bearer: secrets("0123456789abcdef")}},
		{"signatures.secrets[0]", webhook.Config{Signatures: &webhook.Signatures{Secrets: secrets("whsec_short")}}},
		{"signatures: give secrets", webhook.Config{Signatures: &webhook.Signatures{}}},
		{"bearer[0]", webhook.Config{Bearer: secrets("short")}},
		{"basic: give a user", webhook.Config{Basic: &webhook.Basic{User: "a:b", Password: broker.NewSecret("0123456789abcdef")}}},
		{"path:", webhook.Config{Open: true, Path: "orders"}},
		{"methods:", webhook.Config{Open: true, Methods: []string{"GET"}}},
		{"types:", webhook.Config{Open: true, Types: []string{"JSON"}}},
		{"tls: cert_file and key_file", webhook.Config{TLS: reception.TLS{ClientCAFile: "ca.pem"}}},
		{"max_body", webhook.Config{Open: true, MaxBody: -1}},
	} {
		if tt.conf.Listen == "" {
			tt.conf.Listen = "127.0.0.1:0"
		}
		if _, err := webhook.New("orders", tt.conf, echo{}); err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "short") {
			t.Errorf("%v, want %s", err, tt.want)
		}
	}
	src, err := webhook.New("orders", webhook.Config{Listen: "0.0.0.0:0", Open: true}, echo{})
	if err != nil {
		t.Fatal(err)
	}
	if err := src.Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "is not loopback") {
		t.Errorf("in the clear for everybody: %v", err)
	}
}

func TestSeveralObjectsAreMessagesOfOneGroup(t *testing.T) {
	t.Parallel()
	p := post(t, webhook.Config{Open: true}, webhook.JSON{Split: true, ID: "event.id", Kind: "type"})
	body := `[{"event":{"id":"e1"},"type":"order.paid"}, {"event":{"id":2},"type":"Jane Doe"}]`
	if res, answer := p.do(t, "POST", "/", body); res.StatusCode != http.StatusAccepted {
		t.Fatalf("%s %s", res.Status, answer)
	}
	got := p.got()
	if len(got) != 2 || got[0].SenderID != "e1" || got[0].Kind != "order.paid" || got[1].SenderID != "2" || got[1].Kind != "json" {
		t.Errorf("%v %v", got[0], got[1])
	}
	if g := got[1].Group; g.Index != 1 || g.Count != 2 || g.ID == "" || g.ID != got[0].Group.ID || string(got[1].Body) != `{"event":{"id":2},"type":"Jane Doe"}` {
		t.Errorf("%+v %s", g, string(got[1].Body))
	}

	p.mu.Lock()
	p.refuse = func(m *broker.Message) error {
		if m.SenderID == "e3" {
			return &broker.RejectError{Code: "mapping.required", Err: errors.New("type is absent")}
		}
		return nil
	}
	p.mu.Unlock()
	res, answer := p.do(t, "POST", "/", `{"event":{"id":"e3"}}`+"\n"+`{"event":{"id":"e4"}}`)
	if want := `{"accepted":1,"refused":[{"index":0,"code":"mapping.required","reason":"type is absent"}]}`; res.StatusCode != 200 || answer != want {
		t.Errorf("%s %s", res.Status, answer)
	}
	if res, answer := p.do(t, "POST", "/", `{"event":{}}`); res.StatusCode != 400 || !strings.Contains(answer, "event.id: an id") {
		t.Errorf("an object without an id: %s %s", res.Status, answer)
	}
}

func TestSettingsOfJSON(t *testing.T) {
	t.Parallel()
	for _, conf := range []webhook.JSON{{ID: "."}, {ID: "a", Kind: "a.b"}, {ID: "a.b", Kind: "a"}} {
		if _, err := webhook.NewReceiver(broker.Origin{}, conf); err == nil || !strings.HasPrefix(err.Error(), "json: ") {
			t.Errorf("%+v: %v", conf, err)
		}
	}
	if _, err := webhook.NewReceiver(broker.Origin{}, webhook.JSON{ID: "a.id", Kind: "a.type"}); err != nil {
		t.Error(err)
	}
}

func ExampleReceiver() {
	r, err := webhook.NewReceiver(broker.Origin{Tenant: "main", Site: "north", Feed: "orders"}, webhook.JSON{ID: "id"})
	if err != nil {
		fmt.Println(err)
		return
	}
	receipt, err := r.Receive(context.Background(), broker.Delivery{Body: broker.PHI(`{"id": 17, "total": "12.50"}`)}, func(_ context.Context, ms ...*broker.Message) error {
		fmt.Println(ms[0].SenderID, ms[0].Body)
		return nil
	})
	fmt.Println(receipt.Accepted, err)
	// Output:
	// 17 [phi len=28]
	// 1 <nil>
}
