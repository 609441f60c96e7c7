package fhir

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// assertionLife is that of a client assertion: the specification allows five
// minutes, and a server's clock may be behind ours.
const assertionLife = 4 * time.Minute

// tokens asks for access tokens by a signed assertion and keeps the last one
// until shortly before its end. Safe for concurrent use: one asks, the others
// wait.
type tokens struct {
	client *client
	conf   *SMART
	signer jose.Signer
	public jose.JSONWebKey
	now    func() time.Time

	mu      sync.Mutex
	address string // of the token endpoint, once known
	value   string
	until   time.Time
}

func newTokens(c *client, conf *SMART) (*tokens, error) {
	private, err := readKey([]byte(conf.Key.Reveal()))
	if err != nil {
		return nil, err
	}
	if conf.KeyID != "" {
		private.KeyID = conf.KeyID
	}
	var algorithm jose.SignatureAlgorithm
	switch k := private.Key.(type) {
	case *rsa.PrivateKey:
		if algorithm = jose.RS384; k.N.BitLen() < 2048 {
			return nil, errors.New("key: an RSA key needs 2048 bits or more")
		}
	case *ecdsa.PrivateKey:
		if algorithm = jose.ES384; k.Curve != elliptic.P384() {
			return nil, errors.New("key: of elliptic curves, SMART uses P-384")
		}
	default:
		return nil, errors.New("key: give a private RSA or P-384 key")
	}
	if private.KeyID == "" {
		sum, err := private.Thumbprint(crypto.SHA256)
		if err != nil {
			return nil, errors.New("key: it has no thumbprint: give key_id")
		}
		private.KeyID = base64.RawURLEncoding.EncodeToString(sum)
	}
	private.Algorithm, private.Use = string(algorithm), "sig"
	options := (&jose.SignerOptions{}).WithType("JWT")
	if conf.JKU != "" {
		options = options.WithHeader("jku", conf.JKU)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: algorithm, Key: jose.JSONWebKey{Key: private.Key, KeyID: private.KeyID}}, options)
	if err != nil {
		return nil, errors.New("key: it can not sign " + string(algorithm))
	}
	t := &tokens{client: c, conf: conf, signer: signer, public: private.Public(), now: time.Now}
	if conf.TokenURL != "" {
		u, err := url.Parse(conf.TokenURL)
		if err != nil || u.Scheme != "https" && !loopback(u.Hostname()) {
			return nil, errors.New("token_url: it must begin with https://")
		}
		t.address = conf.TokenURL
	}
	return t, nil
}

// readKey reads a private key: PEM (PKCS #8, PKCS #1, SEC 1) or a JWK. Its
// errors quote nothing.
func readKey(data []byte) (key jose.JSONWebKey, err error) {
	if block, _ := pem.Decode(data); block != nil {
		if key.Key, err = x509.ParsePKCS8PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key.Key, err = x509.ParsePKCS1PrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		if key.Key, err = x509.ParseECPrivateKey(block.Bytes); err == nil {
			return key, nil
		}
		return key, errors.New("key: the PEM holds no private key that is not encrypted")
	}
	if key.UnmarshalJSON(data) != nil || !key.Valid() || key.IsPublic() {
		return key, errors.New("key: it is neither a private key in PEM nor a private JWK")
	}
	return key, nil
}

// keySet is the JSON Web Key Set of the public key.
func (t *tokens) keySet() jose.JSONWebKeySet {
	return jose.JSONWebKeySet{Keys: []jose.JSONWebKey{t.public}}
}

// token implements authorizer.
func (t *tokens) token(ctx context.Context, stale string) (string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.value != "" && t.value != stale && t.now().Before(t.until) {
		return t.value, nil
	}
	t.value = ""
	if t.address == "" {
		if err := t.discover(ctx); err != nil {
			return "", err
		}
	}
	asked := t.now()
	assertion, err := t.assertion(asked)
	if err != nil {
		return "", err
	}
	form := url.Values{
		"grant_type":            {"client_credentials"},
		"scope":                 {t.conf.Scope},
		"client_assertion_type": {"urn:ietf:params:oauth:client-assertion-type:jwt-bearer"},
		"client_assertion":      {assertion},
	}
	var answer struct {
		Token   string `json:"access_token"`
		Type    string `json:"token_type"`
		Expires int64  `json:"expires_in"`
	}
	header := http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "Accept": {"application/json"}}
	if err := t.ask(ctx, http.MethodPost, t.address, header, []byte(form.Encode()), &answer); err != nil {
		return "", err
	}
	if answer.Token == "" || !strings.EqualFold(answer.Type, "bearer") || strings.ContainsAny(answer.Token, "\r\n") {
		return "", &serverError{text: "the token endpoint gave no bearer token"}
	}
	life := time.Duration(min(max(answer.Expires, 0), 24*3600)) * time.Second
	t.value, t.until = answer.Token, asked.Add(life-min(life/5, time.Minute)) // renewed before its end
	return t.value, nil
}

// ask reads one small JSON answer, without a token.
func (t *tokens) ask(ctx context.Context, method, address string, header http.Header, body []byte, into any) error {
	ctx, cancel := context.WithTimeout(ctx, t.client.timeout)
	defer cancel()
	resp, err := t.client.do(ctx, method, address, header, body, false)
	if err != nil {
		if e := (*serverError)(nil); errors.As(err, &e) && e.status != 0 {
			e.text += ", asked for a token"
		}
		return err
	}
	defer resp.Body.Close()
	dec := json.NewDecoder(http.MaxBytesReader(nil, resp.Body, 1<<20))
	if dec.Decode(into) != nil {
		return &serverError{text: "the answer to a request for a token is no JSON"}
	}
	return nil
}

// discover asks the server for its token endpoint.
func (t *tokens) discover(ctx context.Context) error {
	var about struct {
		Token string `json:"token_endpoint"`
	}
	header := http.Header{"Accept": {"application/json"}}
	if err := t.ask(ctx, http.MethodGet, t.client.at(".well-known/smart-configuration"), header, nil, &about); err != nil {
		return err
	}
	u, err := url.Parse(about.Token)
	if err != nil || u.Host == "" || u.Scheme != "https" && !loopback(u.Hostname()) {
		return &serverError{text: "the server's .well-known/smart-configuration names no token_endpoint: give server.smart.token_url"}
	}
	t.address = about.Token
	return nil
}

func (t *tokens) assertion(now time.Time) (string, error) {
	claims, _ := json.Marshal(map[string]any{ // strings and numbers
		"iss": t.conf.ClientID, "sub": t.conf.ClientID, "aud": t.address,
		"iat": now.Unix(), "exp": now.Add(assertionLife).Unix(), "jti": rand.Text(),
	})
	signed, err := t.signer.Sign(claims)
	if err == nil {
		var compact string
		if compact, err = signed.CompactSerialize(); err == nil {
			return compact, nil
		}
	}
	return "", errors.New("fhir: the client assertion can not be signed")
}
