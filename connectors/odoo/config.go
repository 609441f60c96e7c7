package odoo

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
)

// Config says which Odoo database a [Target] writes to, and how. URL,
// Database, User and Key are required; the zero value of everything else is
// a default that works.
type Config struct {
	// URL is the server's root, "https://odoo.example.org". Plain http is taken
	// for a loopback address only, unless PlainHTTP is set.
	URL      string `yaml:"url"`
	Database string `yaml:"database"`
	// User is the login of the integration user; Key is its API key, which
	// Odoo takes in place of the password.
	User string        `yaml:"user"`
	Key  broker.Secret `yaml:"key"`
	// NextKey is a second key of the user, tried when Odoo refuses the first: a
	// key is replaced by setting the new one here, and later moving it to Key.
	NextKey broker.Secret `yaml:"next_key"`
	// Protocol is "json2" (Odoo 19 and newer), "jsonrpc" or "xmlrpc" (both until
	// 21), or "auto", the default: json2 when the server has it, else jsonrpc.
	Protocol string `yaml:"protocol"`
	// Timeout bounds one call; default 90 s. Odoo itself tries a call again for
	// up to 30 s when rows are contended, so less than 60 s is refused: it would
	// turn clean failures into unknown outcomes.
	Timeout time.Duration `yaml:"timeout"`
	// Batch is the largest number of rows in one call, 1 to 60; default 60.
	// PostgreSQL suffers beyond: Odoo retries the rows of a failed batch one by
	// one, each in a savepoint, and of more than 64 in a transaction the whole server feels.
	Batch int `yaml:"batch"`
	// Concurrency is the number of calls in flight, at most the number of
	// Odoo's HTTP workers that we may use; default 2.
	Concurrency int `yaml:"concurrency"`
	// Rate is the number of calls a second that are started at most; 0, the
	// default, is no limit. Odoo Online asks for one.
	Rate float64 `yaml:"rate"`
	// Addon is "auto", the default: units go by the addon when the database has
	// it, each in one transaction, and else by Odoo's own interface; "require",
	// which waits for the addon, or "off", which never asks for it.
	Addon string `yaml:"addon"`
	TLS   TLS    `yaml:"tls"`
	// PlainHTTP allows http to an address that is not loopback.
	PlainHTTP bool `yaml:"plain_http"`
	// Proxy is the URL of an HTTP proxy; empty means none, whatever the environment says.
	Proxy     string `yaml:"proxy"`
	UserAgent string `yaml:"user_agent"` // default "vagus", which a process makes "vagus/" and its version
	// Companies are the database ids of the companies that calls work in
	// (allowed_company_ids), the one that new records belong to first; empty
	// means the user's own. A mapping's context may name others.
	Companies []int64 `yaml:"companies"`
	// Lang is the context language; default en_US. Odoo reports what is wrong
	// with a row as a text in this language, and only the English texts are
	// known to the fault table. A mapping's context may name another, but not over
	// XML-RPC, where most faults have no more than their text.
	Lang string `yaml:"lang"`

	Logger *slog.Logger `yaml:"-"` // nil discards
	Tracer trace.Tracer `yaml:"-"` // nil traces nothing
	Meter  metric.Meter `yaml:"-"` // nil measures nothing
}

// TLS says whom to trust.
type TLS struct {
	// CAFile names a PEM file with the authorities that may sign the server's
	// certificate; empty means the system's.
	CAFile string `yaml:"ca_file"`
}

const (
	maxBatch   = 60
	minTimeout = 60 * time.Second
)

// withDefaults fills in what is zero and refuses what cannot work.
func (c Config) withDefaults() (Config, error) {
	for _, f := range []struct{ name, value string }{{"url", c.URL}, {"database", c.Database}, {"user", c.User}, {"key", c.Key.Reveal()}} {
		if f.value == "" {
			return c, fmt.Errorf("odoo: %s is required", f.name)
		}
	}
	u, err := url.Parse(c.URL)
	if err != nil || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https") || u.User != nil {
		return c, fmt.Errorf("odoo: url must look like https://odoo.example.org, without user or password")
	}
	if u.Scheme == "http" && !c.PlainHTTP && !loopback(u.Hostname()) {
		return c, fmt.Errorf("odoo: url is plain http to another machine: patients' data and the key would travel in the clear; use https, or set plain_http: true when the network itself is encrypted")
	}
	c.URL = strings.TrimRight(c.URL, "/")
	if c.Protocol == "" {
		c.Protocol = "auto"
	}
	if wires[c.Protocol] == nil {
		return c, fmt.Errorf("odoo: protocol must be json2, jsonrpc, xmlrpc or auto")
	}
	if c.Timeout == 0 {
		c.Timeout = 90 * time.Second
	}
	if c.Timeout < minTimeout {
		return c, fmt.Errorf("odoo: timeout must be at least %s: Odoo itself tries a contended call again for up to 30 s", minTimeout)
	}
	if c.Batch == 0 {
		c.Batch = maxBatch
	}
	if c.Batch < 1 || c.Batch > maxBatch {
		return c, fmt.Errorf("odoo: batch must be 1 to %d", maxBatch)
	}
	if c.Concurrency == 0 {
		c.Concurrency = 2
	}
	if c.Concurrency < 1 || c.Concurrency > 64 {
		return c, fmt.Errorf("odoo: concurrency must be 1 to 64, got %s", strconv.Itoa(c.Concurrency))
	}
	if !(c.Rate >= 0 && c.Rate <= 10000) {
		return c, fmt.Errorf("odoo: rate must be 0 (no limit) to 10000 calls a second")
	}
	for i, id := range c.Companies {
		if id <= 0 || slices.Contains(c.Companies[:i], id) {
			return c, fmt.Errorf("odoo: companies must be database ids of companies, each once: see the company's page in Odoo's developer mode")
		}
	}
	if c.Addon == "" {
		c.Addon = "auto"
	}
	if c.Addon != "auto" && c.Addon != "require" && c.Addon != "off" {
		return c, fmt.Errorf("odoo: addon must be auto, require or off")
	}
	if c.UserAgent == "" {
		c.UserAgent = "vagus"
	}
	if c.Lang == "" {
		c.Lang = "en_US"
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
