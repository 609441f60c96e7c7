package x12

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
)

const mediaType = "application/edi-x12" // RFC 1767

// maxAnswer bounds the answer to one interchange.
const maxAnswer = 1 << 20

// PostConfig is an address that interchanges are posted to.
type PostConfig struct {
	URL      string        `yaml:"url"`
	Bearer   broker.Secret `yaml:"bearer"`    // a token
	User     string        `yaml:"user"`      // or a user
	Password broker.Secret `yaml:"password"`  // and password
	CAFile   string        `yaml:"ca_file"`   // PEM; default: the system's
	CertFile string        `yaml:"cert_file"` // with which we show who we are
	KeyFile  string        `yaml:"key_file"`
	Timeout  time.Duration `yaml:"timeout"`  // from connecting to the whole answer; default 1 min
	Insecure bool          `yaml:"insecure"` // take http:// beyond loopback: what is sent travels in the clear

	UserAgent string `yaml:"-"`
}

// A Post is a [Carrier] that sends interchanges by HTTP.
type Post struct {
	conf PostConfig
	http *http.Client
}

var (
	_ Carrier = (*Post)(nil)
	_ poster  = (*Post)(nil)
)

// NewPost returns the carrier, or an error that names the setting at fault. It makes no call.
func NewPost(c PostConfig) (*Post, error) {
	u, err := url.Parse(c.URL)
	c.Timeout = cmp.Or(c.Timeout, time.Minute)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.User != nil:
		return nil, errors.New("x12: http.url: write it as https://edi.example.org/x12")
	case u.Scheme != "https" && !c.Insecure && u.Hostname() != "localhost" && !net.ParseIP(u.Hostname()).IsLoopback():
		return nil, errors.New("x12: http.url: what is sent would travel in the clear; use https://, or say insecure: true")
	case !c.Bearer.IsZero() && c.User != "":
		return nil, errors.New("x12: http.bearer: give a token, or user and password")
	case (c.User == "") != c.Password.IsZero():
		return nil, errors.New("x12: http.password: a user and a password go together")
	case (c.CertFile == "") != (c.KeyFile == ""):
		return nil, errors.New("x12: http.key_file: a certificate and its key go together")
	case c.Timeout < time.Millisecond:
		return nil, errors.New("x12: http.timeout: use 1ms or more")
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("x12: http.ca_file: %w", err)
		}
		if conf.RootCAs = x509.NewCertPool(); !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("x12: http.ca_file: %s holds no PEM certificate", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("x12: http.cert_file: %w", err)
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return &Post{conf: c, http: &http.Client{
		Timeout:       c.Timeout,
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: conf, TLSHandshakeTimeout: 10 * time.Second, IdleConnTimeout: 30 * time.Second, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Post sends an interchange and returns the body of the answer. A [broker.RejectError] says that sending it again
// will not help. Every other error is to be tried again: the partner could not be reached,
// is busy, or does not let us in.
func (p *Post) Post(ctx context.Context, name string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.conf.URL, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("post: the address is none")
	}
	req.Header.Set("Content-Type", mediaType)
	req.Header.Set("Idempotency-Key", strings.TrimSuffix(name, ".edi"))
	if p.conf.UserAgent != "" {
		req.Header.Set("User-Agent", p.conf.UserAgent)
	}
	if !p.conf.Bearer.IsZero() {
		req.Header.Set("Authorization", "Bearer "+p.conf.Bearer.Reveal())
	}
	if p.conf.User != "" {
		req.SetBasicAuth(p.conf.User, p.conf.Password.Reveal())
	}
	res, err := p.http.Do(req)
	if err != nil {
		var at *url.Error
		if errors.As(err, &at) {
			err = at.Err // without the address, which may hold a token
		}
		return nil, fmt.Errorf("post: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("post: read the answer: %w", err)
	case len(answer) > maxAnswer:
		return nil, fmt.Errorf("post: the answer is over %d bytes", maxAnswer)
	case res.StatusCode/100 == 2:
		return answer, nil
	}
	switch res.StatusCode {
	case http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity:
		return answer, &broker.RejectError{Code: "x12.http", Err: fmt.Errorf("the partner answers HTTP %d", res.StatusCode)}
	}
	return nil, fmt.Errorf("post: HTTP %d", res.StatusCode)
}

// Write posts an interchange whose answer nobody waits for.
func (p *Post) Write(ctx context.Context, name string, body []byte) error {
	_, err := p.Post(ctx, name, body)
	return err
}

// MakeDir asks whether the partner's host can be reached.
func (p *Post) MakeDir(ctx context.Context, _ string) error {
	u, err := url.Parse(p.conf.URL)
	if err != nil {
		return err
	}
	port := cmp.Or(u.Port(), map[string]string{"https": "443", "http": "80"}[u.Scheme])
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	return c.Close()
}
