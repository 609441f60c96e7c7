package odoo

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/time/rate"
)

// maxResponse bounds an answer, decompressed. The largest we ask for, a look-up
// of 1000 external ids, is under 200 kB.
const maxResponse = 16 << 20

// poster posts one body and returns the whole answer, no faster than allowed. Every way in which that
// can fail becomes a fault of class net.* or http.*.
type poster struct {
	client    *http.Client
	base      string
	userAgent string
	timeout   time.Duration // of one request, not of waiting for its turn
	rate      *rate.Limiter
}

func newPoster(c Config) (*poster, error) {
	tlsConfig := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.TLS.CAFile != "" {
		pem, err := os.ReadFile(c.TLS.CAFile)
		if err != nil {
			return nil, fmt.Errorf("odoo: tls.ca_file: %w", err)
		}
		tlsConfig.RootCAs = x509.NewCertPool()
		if !tlsConfig.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("odoo: tls.ca_file: %s holds no PEM certificate", c.TLS.CAFile)
		}
	}
	tr := &http.Transport{
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxIdleConnsPerHost: c.Concurrency,
		// Odoo closes every connection itself; behind a proxy one is used again
		// while it is surely fresh.
		IdleConnTimeout: 5 * time.Second,
		// Odoo never compresses, a proxy may: the transport asks for gzip and
		// unpacks it while it is read, up to maxResponse.
		OnProxyConnectResponse: func(_ context.Context, _ *url.URL, _ *http.Request, resp *http.Response) error {
			if resp.StatusCode != http.StatusOK {
				return &fault{class: "http." + strconv.Itoa(resp.StatusCode)}
			}
			return nil
		},
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("odoo: proxy must look like http://proxy.example.org:3128")
		}
		tr.Proxy = http.ProxyURL(u)
	}
	limiter := rate.NewLimiter(rate.Inf, 1)
	if c.Rate > 0 {
		limiter.SetLimit(rate.Limit(c.Rate))
	}
	return &poster{
		client: &http.Client{
			Transport: tr,
			// Following a redirect would turn the POST into a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:      c.URL,
		userAgent: c.UserAgent,
		timeout:   c.Timeout,
		rate:      limiter,
	}, nil
}

// A reply is what came back, whatever its status.
type reply struct {
	status int
	body   []byte
}

// post returns the body of an answer with status 200. An error status comes
// with a page for people: its text is of no use.
func (p *poster) post(ctx context.Context, path, contentType string, body []byte) ([]byte, error) {
	a, err := p.do(ctx, http.MethodPost, path, contentType, body, nil)
	if err == nil && a.status != http.StatusOK {
		err = &fault{class: "http." + strconv.Itoa(a.status)}
	}
	return a.body, err
}

func (p *poster) do(ctx context.Context, method, path, contentType string, body []byte, header http.Header) (reply, error) {
	if err := p.rate.Wait(ctx); err != nil {
		if ctx.Err() == nil { // the turn would come after ctx's end
			err = context.DeadlineExceeded
		}
		return reply{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, p.base+path, bytes.NewReader(body))
	if err != nil {
		return reply{}, &fault{class: "net.url"}
	}
	maps.Copy(req.Header, header)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", p.userAgent)
	resp, err := p.client.Do(req)
	if err != nil {
		return reply{}, netFault(err)
	}
	defer resp.Body.Close()
	var data bytes.Buffer
	data.Grow(int(min(max(resp.ContentLength, 0), 1<<20)) + bytes.MinRead) // else it grows in many steps
	if _, err := data.ReadFrom(io.LimitReader(resp.Body, maxResponse+1)); err != nil {
		return reply{}, netFault(err)
	}
	if data.Len() > maxResponse {
		return reply{}, &fault{class: "net.too_large"}
	}
	return reply{resp.StatusCode, data.Bytes()}, nil
}

// netFault names what kept an answer from arriving. Only the kinds that surely
// did not reach Odoo get a class of their own; all others may have been
// executed.
func netFault(err error) error {
	var proxy *fault
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &proxy):
		return proxy
	case errors.As(err, &dns):
		return &fault{class: "net.dns"}
	case errors.As(err, &unknownCA), errors.As(err, &host), errors.As(err, &invalid):
		return &fault{class: "net.certificate"}
	case errors.Is(err, syscall.ECONNREFUSED), errors.As(err, &op) && op.Op == "dial":
		return &fault{class: "net.refused"}
	case errors.As(err, &timeout) && timeout.Timeout():
		return &fault{class: "net.timeout"}
	}
	return &fault{class: "net.closed"}
}
