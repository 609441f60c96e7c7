package fhir

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A client asks one FHIR server.
type client struct {
	base    *url.URL // without a slash at its end
	http    *http.Client
	agent   string
	maxPage int
	timeout time.Duration
	auth    authorizer // nil: none
}

// An authorizer gives the token that requests carry.
type authorizer interface {
	// token returns a bearer token; stale is one that the server has just refused.
	token(ctx context.Context, stale string) (string, error)
}

// A fixedToken does not change.
type fixedToken string

func (t fixedToken) token(context.Context, string) (string, error) { return string(t), nil }

func parseBase(s string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimRight(s, "/"))
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, errors.New("write it as https://ehr.example.org/fhir/r4")
	}
	return u, nil
}

func newClient(s *Server, agent string) (*client, error) {
	base, err := parseBase(s.URL)
	if err != nil {
		return nil, fmt.Errorf("server.url: %w", err)
	}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, fmt.Errorf("server.ca_file: %w", err)
		}
		conf.RootCAs = x509.NewCertPool()
		if !conf.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("server.ca_file: %s holds no PEM certificate", s.CAFile)
		}
	}
	c := &client{base: base, agent: agent, maxPage: s.MaxPage, timeout: s.Timeout}
	c.http = &http.Client{
		Transport: &http.Transport{
			Proxy:                 http.ProxyFromEnvironment,
			DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
			TLSClientConfig:       conf,
			TLSHandshakeTimeout:   10 * time.Second,
			ResponseHeaderTimeout: s.Timeout,
			MaxIdleConnsPerHost:   4,
			IdleConnTimeout:       30 * time.Second,
			ForceAttemptHTTP2:     true,
		},
		CheckRedirect: func(r *http.Request, via []*http.Request) error {
			if len(via) > 5 || !sameOrigin(r.URL, via[0].URL) {
				return errors.New("it redirects to another place")
			}
			return nil
		},
	}
	switch {
	case !s.Token.IsZero():
		c.auth = fixedToken(s.Token.Reveal())
	case s.SMART != nil:
		if c.auth, err = newTokens(c, s.SMART); err != nil {
			return nil, fmt.Errorf("server.smart.%w", err)
		}
	}
	return c, nil
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	if p := u.Port(); p != "" {
		return p
	}
	return map[string]string{"https": "443", "http": "80"}[u.Scheme]
}

// at returns an address below the service base: path is "Patient?active=true".
func (c *client) at(path string) string { return c.base.String() + "/" + path }

// within returns what a server's link leads to, relative to the service base.
// It has the base's origin.
func (c *client) within(link string) (*url.URL, error) {
	base := *c.base
	base.Path += "/"
	u, err := base.Parse(link)
	if err != nil || len(link) > maxLink {
		return nil, errors.New("the server's link is no address")
	}
	if !sameOrigin(u, c.base) || u.User != nil {
		return nil, errors.New("the server's link leads to another origin: it is not followed")
	}
	return u, nil
}

const maxLink = 8 << 10

// A serverError is an answer that is no success, or none. Its text has nothing
// that the server wrote but codes.
type serverError struct {
	status int           // 0: no answer
	after  time.Duration // Retry-After, 0 without one
	codes  []string      // of the issues of its OperationOutcome
	text   string
}

func (e *serverError) Error() string { return e.text }

// passes says whether the same request may succeed later.
func (e *serverError) passes() bool {
	return e.status == 0 || e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status == http.StatusUnauthorized ||
		e.status >= 500 && e.status != http.StatusNotImplemented
}

// do asks, with the token when authorized is true, and once more with a new one
// when the server refuses it. The answer's status is 2xx; every other one is a
// *serverError. Its body ends with an error when nothing comes for the timeout.
func (c *client) do(ctx context.Context, method, address string, header http.Header, body []byte, authorized bool) (*http.Response, error) {
	stale := ""
	for {
		resp, token, err := c.once(ctx, method, address, header, body, authorized, stale)
		if err != nil {
			return nil, err
		}
		if resp.StatusCode/100 == 2 {
			return resp, nil
		}
		failed := readFailure(method, resp)
		if resp.StatusCode != http.StatusUnauthorized || stale != "" || token == "" {
			return nil, failed
		}
		stale = token
	}
}

func (c *client) once(ctx context.Context, method, address string, header http.Header, body []byte, authorized bool, stale string) (_ *http.Response, token string, err error) {
	if c.auth != nil && authorized {
		if token, err = c.auth.token(ctx, stale); err != nil {
			return nil, "", err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		cancel(nil)
		return nil, "", &serverError{text: "the address can not be asked"}
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	req.Header.Set("User-Agent", c.agent)
	resp, err := c.http.Do(req)
	if err != nil {
		cancel(nil)
		return nil, "", noAnswer(ctx, method, err)
	}
	resp.Body = &impatient{ReadCloser: resp.Body, cancel: cancel, limit: c.timeout}
	return resp, token, nil
}

// noAnswer names what kept an answer from arriving, without the address, whose
// query may name a patient.
func noAnswer(ctx context.Context, method string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var dns *net.DNSError
	var timeout net.Error
	what := "the connection broke"
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	switch {
	case errors.As(err, &dns):
		what = "its name is not known"
	case errors.As(err, &authority):
		what = "its certificate is signed by an unknown authority: give server.ca_file"
	case errors.As(err, &host), errors.As(err, &invalid):
		what = "its certificate is not valid for it"
	case errors.As(err, &timeout) && timeout.Timeout():
		what = "no answer in time"
	case errors.As(err, &op) && op.Op == "dial":
		what = "no connection"
	case strings.Contains(err.Error(), "redirects"):
		what = "it redirects to another place"
	}
	return &serverError{text: method + " to the FHIR server: " + what}
}

// readFailure reads what there is to read of an error and ends the answer.
func readFailure(method string, resp *http.Response) *serverError {
	defer resp.Body.Close()
	e := &serverError{status: resp.StatusCode, after: retryAfter(resp.Header, time.Now())}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	var outcome struct {
		Issue []struct {
			Code string `json:"code"`
		} `json:"issue"`
	}
	_ = json.Unmarshal(body, &outcome)
	for _, i := range outcome.Issue {
		if isCode(i.Code) && len(e.codes) < 5 && !slices.Contains(e.codes, i.Code) {
			e.codes = append(e.codes, i.Code)
		}
	}
	e.text = fmt.Sprintf("the FHIR server answered %d to %s", e.status, method)
	if len(e.codes) > 0 {
		e.text += " (" + strings.Join(e.codes, ", ") + ")"
	}
	return e
}

// isCode says whether s looks like a code of issue-type: nothing of a patient
// fits into one.
func isCode(s string) bool {
	return s != "" && len(s) <= 20 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz-") == ""
}

const maxRetryAfter = time.Hour

// retryAfter reads Retry-After: seconds or a date (RFC 9110 section 10.2.3).
func retryAfter(h http.Header, now time.Time) time.Duration {
	v := h.Get("Retry-After")
	d := time.Duration(0)
	if n, err := strconv.Atoi(v); err == nil {
		d = time.Duration(min(max(n, 0), int(maxRetryAfter/time.Second))) * time.Second
	} else if at, err := http.ParseTime(v); err == nil {
		d = max(0, at.Sub(now))
	}
	return min(d, maxRetryAfter)
}

// read asks and returns the whole answer, within maxPage.
func (c *client) read(ctx context.Context, method, address string, header http.Header, body []byte) (*http.Response, []byte, error) {
	resp, err := c.do(ctx, method, address, header, body, true)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, int64(c.maxPage)+1))
	if err != nil {
		return nil, nil, noAnswer(ctx, method, err)
	}
	if len(data) > c.maxPage {
		return nil, nil, &serverError{status: resp.StatusCode, text: fmt.Sprintf("the FHIR server's answer has over %d bytes: ask for fewer at once (count), or set server.max_page", c.maxPage)}
	}
	return resp, data, nil
}

// An impatient body ends its request when nothing comes for a time.
type impatient struct {
	io.ReadCloser
	cancel context.CancelCauseFunc
	limit  time.Duration
}

func (b *impatient) Read(p []byte) (int, error) {
	timer := time.AfterFunc(b.limit, func() { b.cancel(os.ErrDeadlineExceeded) })
	n, err := b.ReadCloser.Read(p)
	timer.Stop()
	return n, err
}

func (b *impatient) Close() error {
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
