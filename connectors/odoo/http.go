package odoo

import (
	"bytes"
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
	"strconv"
	"syscall"
	"time"
)

// maxResponse bounds an answer. The largest we ask for, a look-up of 500
// external ids, is under 100 kB.
const maxResponse = 16 << 20

// poster posts one body and returns the whole answer. Every way in which that
// can fail becomes a fault of class net.* or http.*.
type poster struct {
	client    *http.Client
	base      string
	userAgent string
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
		// Odoo never compresses, and what does not decompress cannot explode.
		DisableCompression: true,
	}
	if c.Proxy != "" {
		u, err := url.Parse(c.Proxy)
		if err != nil || u.Host == "" {
			return nil, fmt.Errorf("odoo: proxy must look like http://proxy.example.org:3128")
		}
		tr.Proxy = http.ProxyURL(u)
	}
	return &poster{
		client: &http.Client{
			Transport: tr,
			// Following a redirect would turn the POST into a GET.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:      c.URL,
		userAgent: c.UserAgent,
	}, nil
}

func (p *poster) post(ctx context.Context, path, contentType string, body []byte) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, &fault{class: "net.url"}
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", p.userAgent)
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, netFault(err)
	}
	defer resp.Body.Close()
	// An error status comes with a page for people: its text is of no use.
	if resp.StatusCode != http.StatusOK {
		return nil, &fault{class: "http." + strconv.Itoa(resp.StatusCode)}
	}
	var data bytes.Buffer
	data.Grow(int(min(max(resp.ContentLength, 0), 1<<20)) + bytes.MinRead) // else it grows in many steps
	if _, err := data.ReadFrom(io.LimitReader(resp.Body, maxResponse+1)); err != nil {
		return nil, netFault(err)
	}
	if data.Len() > maxResponse {
		return nil, &fault{class: "net.too_large"}
	}
	return data.Bytes(), nil
}

// netFault names what kept an answer from arriving. Only the kinds that surely
// did not reach Odoo get a class of their own; all others may have been
// executed.
func netFault(err error) error {
	var dns *net.DNSError
	var unknownCA x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return context.Canceled
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
