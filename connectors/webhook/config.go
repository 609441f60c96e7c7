package webhook

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// Config configures a [Source]. The zero value of every field but Listen means its
// default; one of Signatures, Bearer, Basic, TLS.ClientCAFile and Open is needed.
type Config struct {
	Listen string        `yaml:"listen"` // "host:port"; port 0 takes a free one
	TLS    reception.TLS `yaml:"tls"`
	// Plain says that something before us encrypts: without it and without TLS
	// it listens on loopback only.
	Plain   bool     `yaml:"plain"`
	Path    string   `yaml:"path"`    // default "/"
	Methods []string `yaml:"methods"` // default POST
	// Types are the media types that are taken, without parameters; default all.
	Types []string `yaml:"types"`

	Signatures *Signatures     `yaml:"signatures"`
	Bearer     []broker.Secret `yaml:"bearer"` // tokens, any of them
	Basic      *Basic          `yaml:"basic"`
	Open       bool            `yaml:"open"` // everybody who reaches it may send

	MaxBody        int64         `yaml:"max_body"`        // bytes; default 16 MiB
	MaxConnections int           `yaml:"max_connections"` // more are closed at once; default 256
	MaxRequests    int           `yaml:"max_requests"`    // in hand at one moment, more are answered 429; default 256
	ReadTimeout    time.Duration `yaml:"read_timeout"`    // from a request's first byte to its last; default 30 s
	IdleTimeout    time.Duration `yaml:"idle_timeout"`    // between requests; default 2 min
	WriteTimeout   time.Duration `yaml:"write_timeout"`   // of one answer; default 30 s
	AcceptTimeout  time.Duration `yaml:"accept_timeout"`  // of storing one delivery; default 30 s

	Logger *slog.Logger `yaml:"-"` // nil discards
	Tracer trace.Tracer `yaml:"-"` // nil is a no-op
	Meter  metric.Meter `yaml:"-"` // nil is a no-op
}

// Signatures are those of Standard Webhooks (version 1, symmetric).
type Signatures struct {
	// Secrets are "whsec_" and base64 of 24 to 64 bytes. Several are for the time in which
	// one takes another's place: any of them is right.
	Secrets []broker.Secret `yaml:"secrets"`
	Window  time.Duration   `yaml:"window"` // how far the sender's clock may be from ours, both ways; default 5 min
}

// Basic is HTTP basic authentication.
type Basic struct {
	User     string        `yaml:"user"`
	Password broker.Secret `yaml:"password"`
}

const minSecret = 16 // characters of a token or a password

// withDefaults returns the settings with the defaults filled in, or an error that names
// the setting to change.
func (c Config) withDefaults() (Config, error) {
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		return c, fmt.Errorf("listen: write host:port, such as 0.0.0.0:8443: %w", err)
	}
	if c.Path == "" {
		c.Path = "/"
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{http.MethodPost}
	}
	orInt(&c.MaxConnections, 256)
	orInt(&c.MaxRequests, 256)
	if c.MaxBody == 0 {
		c.MaxBody = 16 << 20
	}
	orTime(&c.ReadTimeout, 30*time.Second)
	orTime(&c.IdleTimeout, 2*time.Minute)
	orTime(&c.WriteTimeout, 30*time.Second)
	orTime(&c.AcceptTimeout, 30*time.Second)
	switch {
	case !strings.HasPrefix(c.Path, "/") || strings.ContainsAny(c.Path, "?# "):
		return c, errors.New("path: write it as in a URL, such as /orders")
	case slices.ContainsFunc(c.Methods, func(m string) bool { return m != http.MethodPost && m != http.MethodPut }):
		return c, errors.New("methods: POST and PUT bring something; leave others out")
	case slices.ContainsFunc(c.Types, func(t string) bool { return t != mediaType(t) || !strings.Contains(t, "/") }):
		return c, errors.New("types: write media types in lower case without parameters, such as application/json")
	case c.MaxBody < 1 || c.MaxBody > 1<<30:
		return c, errors.New("max_body: use 1 byte to 1 GiB")
	case c.MaxConnections < 1 || c.MaxRequests < 1:
		return c, errors.New("max_connections, max_requests: use 1 or more")
	case min(c.ReadTimeout, c.IdleTimeout, c.WriteTimeout, c.AcceptTimeout) < time.Millisecond:
		return c, errors.New("read_timeout, idle_timeout, write_timeout, accept_timeout: use 1ms or more")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orInt(v *int, def int) {
	if *v == 0 {
		*v = def
	}
}

func orTime(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}
