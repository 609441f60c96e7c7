package fhir

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/vagus-health/vagus/broker"
)

// A guard is an authorisation server and the FHIR server that it guards. Safe
// for concurrent use.
type guard struct {
	*httptest.Server
	mu      sync.Mutex
	now     func() time.Time
	keys    jose.JSONWebKeySet
	expires int // seconds, of each token
	valid   string
	given   int
	used    map[string]bool // jti
	refused int             // requests for resources with a token that is not valid
	fault   string          // in an assertion
}

func newGuard(t *testing.T) *guard {
	t.Helper()
	g := &guard{now: time.Now, expires: 300, used: map[string]bool{}}
	g.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.mu.Lock()
		defer g.mu.Unlock()
		switch {
		case r.URL.Path == "/fhir/.well-known/smart-configuration":
			fmt.Fprintf(w, `{"token_endpoint":%q}`, g.URL+"/token")
		case r.URL.Path == "/token":
			if g.fault = g.check(r); g.fault != "" {
				w.WriteHeader(http.StatusBadRequest)
				return
			}
			g.given++
			g.valid = fmt.Sprintf("token-%d", g.given)
			fmt.Fprintf(w, `{"access_token":%q,"token_type":"bearer","expires_in":%d,"scope":"system/*.read"}`, g.valid, g.expires)
		case r.Header.Get("Authorization") != "Bearer "+g.valid:
			g.refused++
			w.WriteHeader(http.StatusUnauthorized)
		default:
			fmt.Fprint(w, `{"resourceType":"Bundle","type":"searchset"}`)
		}
	}))
	t.Cleanup(g.Close)
	return g
}

// check says what is wrong with an assertion (SMART App Launch 2.2, client
// authentication by asymmetric keys).
func (g *guard) check(r *http.Request) string {
	if r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "system/*.read" ||
		r.FormValue("client_assertion_type") != "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" {
		return "the form is " + r.Form.Encode()
	}
	signed, err := jose.ParseSignedCompact(r.FormValue("client_assertion"), []jose.SignatureAlgorithm{jose.RS384, jose.ES384})
	if err != nil {
		return err.Error()
	}
	header := signed.Signatures[0].Header
	if header.ExtraHeaders["typ"] != "JWT" {
		return fmt.Sprint("typ is ", header.ExtraHeaders["typ"])
	}
	keys := g.keys.Key(header.KeyID)
	if len(keys) != 1 {
		return "no key " + header.KeyID
	}
	payload, err := signed.Verify(keys[0])
	if err != nil {
		return err.Error()
	}
	var c struct {
		Iss, Sub, Aud, Jti string
		Exp                int64
	}
	if err := json.Unmarshal(payload, &c); err != nil {
		return err.Error()
	}
	life := time.Unix(c.Exp, 0).Sub(g.now())
	if c.Iss != "vagus-north" || c.Sub != c.Iss || c.Aud != g.URL+"/token" || life <= 0 || life > 5*time.Minute || c.Jti == "" || g.used[c.Jti] {
		return string(payload)
	}
	g.used[c.Jti] = true
	return ""
}

func (g *guard) tokens() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.given
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// privateKeys are keys in every form that they come in.
func privateKeys(t *testing.T) map[string]string {
	t.Helper()
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	e, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err8 := x509.MarshalPKCS8PrivateKey(r)
	sec1, err1 := x509.MarshalECPrivateKey(e)
	jwk, err := json.Marshal(jose.JSONWebKey{Key: e, KeyID: "own"})
	if err != nil {
		t.Fatal(err)
	}
	return map[string]string{
		"RSA, PKCS #8": pemOf(t, "PRIVATE KEY", pkcs8, err8), "RSA, PKCS #1": pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(r), nil),
		"P-384, SEC 1": pemOf(t, "EC PRIVATE KEY", sec1, err1), "P-384, JWK": string(jwk),
	}
}

func newGuarded(t *testing.T, g *guard, key string) (*client, *tokens) {
	t.Helper()
	s, err := Server{URL: g.URL + "/fhir", SMART: &SMART{ClientID: "vagus-north", Key: broker.NewSecret(key)}}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(s, "vagus/test")
	if err != nil {
		t.Fatal(err)
	}
	tok := c.auth.(*tokens)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keys = tok.keySet()
	return c, tok
}

func read(t *testing.T, c *client) error {
	t.Helper()
	_, _, err := c.read(t.Context(), http.MethodGet, c.at("Patient"), nil, nil)
	return err
}

func TestAServiceShowsWhoItIsByASignedAssertion(t *testing.T) {
	t.Parallel()
	for name, key := range privateKeys(t) {
		g := newGuard(t)
		c, tok := newGuarded(t, g, key)
		for range 3 {
			if err := read(t, c); err != nil {
				t.Fatalf("%s: %v: %s", name, err, g.fault)
			}
		}
		if n := g.tokens(); n != 1 {
			t.Errorf("%s: %d tokens were asked for", name, n)
		}
		set, err := json.Marshal(tok.keySet())
		if err != nil || strings.Contains(string(set), `"d":`) || !strings.Contains(string(set), `"kid"`) {
			t.Errorf("%s: the key set is not public, or names no key: %v", name, err)
		}
	}
}

func TestATokenIsRenewedBeforeItsEndAndWhenItIsRefused(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	c, tok := newGuarded(t, g, privateKeys(t)["P-384, JWK"])
	now := time.Now()
	tok.now = func() time.Time { return now }
	g.mu.Lock()
	g.now = tok.now
	g.mu.Unlock()
	ask := func(what string, tokens int) {
		t.Helper()
		if err := read(t, c); err != nil {
			t.Fatalf("%s: %v: %s", what, err, g.fault)
		}
		if n := g.tokens(); n != tokens {
			t.Errorf("%s: %d tokens were asked for, want %d", what, n, tokens)
		}
	}
	ask("at first", 1)
	now = now.Add(239 * time.Second)
	ask("a minute and a second before its end", 1)
	now = now.Add(2 * time.Second)
	ask("less than a minute before its end", 2)
	g.mu.Lock()
	g.valid = "taken back"
	g.mu.Unlock()
	ask("when it is refused", 3)
	if g.refused != 1 {
		t.Errorf("%d requests were refused", g.refused)
	}
}

func TestARefusalIsNotAskedAboutForEver(t *testing.T) {
	t.Parallel()
	server := newFHIRServer(t)
	other := "another"
	server.token.Store(&other)
	g := newGuard(t)
	_, tok := newGuarded(t, g, privateKeys(t)["P-384, JWK"])
	s, err := Server{URL: server.URL}.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	c, err := newClient(s, "")
	if err != nil {
		t.Fatal(err)
	}
	c.auth = tok
	if err := read(t, c); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("it ends with %v", err)
	}
	if n := g.tokens(); n != 2 {
		t.Errorf("%d tokens were asked for, want one and one more", n)
	}
}

func TestManyWaitForOneToken(t *testing.T) {
	t.Parallel()
	g := newGuard(t)
	c, _ := newGuarded(t, g, privateKeys(t)["P-384, JWK"])
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			if err := read(t, c); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := g.tokens(); n != 1 {
		t.Errorf("%d tokens were asked for", n)
	}
}

func TestKeysThatSMARTDoesNotUseAreRefused(t *testing.T) {
	t.Parallel()
	p256, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalECPrivateKey(p256)
	public, errPublic := json.Marshal(jose.JSONWebKey{Key: &p256.PublicKey})
	if errPublic != nil {
		t.Fatal(errPublic)
	}
	for name, key := range map[string]string{"another curve": pemOf(t, "EC PRIVATE KEY", der, err), "a public key": string(public), "no key": "SECRET", "PEM of something else": "-----BEGIN X-----\nU0VDUkVU\n-----END X-----\n"} {
		_, err := newTokens(&client{}, &SMART{ClientID: "a", Key: broker.NewSecret(key)})
		if err == nil || strings.Contains(err.Error(), "SECRET") || !strings.HasPrefix(err.Error(), "key: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestATokenEndpointThatFailsIsAProblemAndNoMore(t *testing.T) {
	t.Parallel()
	for name, body := range map[string]string{"no JSON": "<html>", "no token": `{"token_type":"bearer"}`, "another kind": `{"access_token":"a","token_type":"mac"}`, "two lines": `{"access_token":"a\nb","token_type":"bearer"}`} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) }))
		defer server.Close()
		c := &client{http: http.DefaultClient, timeout: time.Second}
		tok, err := newTokens(c, &SMART{ClientID: "a", Key: broker.NewSecret(privateKeys(t)["P-384, JWK"]), TokenURL: server.URL})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := tok.token(context.Background(), ""); err == nil {
			t.Errorf("%s: the token is %q", name, got)
		}
	}
}
