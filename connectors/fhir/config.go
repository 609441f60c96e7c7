package fhir

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// A Config configures a [Source]: at least one of its ways in.
type Config struct {
	Endpoint *Endpoint `yaml:"endpoint"` // others send to us
	Server   *Server   `yaml:"server"`   // whom Poll and Export ask
	Poll     *Poll     `yaml:"poll"`     // what changed at the server
	Export   *Export   `yaml:"export"`   // all that the server has, as files
	// Validation is what is checked of what the server has: "r4" or "json"; default the
	// endpoint's, else "r4". See [Config.Check].
	Validation string `yaml:"validation"`

	Dir       string       `yaml:"-"` // of this feed alone: where Poll and Export stand
	UserAgent string       `yaml:"-"`
	Logger    *slog.Logger `yaml:"-"` // nil discards
	Tracer    trace.Tracer `yaml:"-"` // nil is a no-op
	Meter     metric.Meter `yaml:"-"` // nil is a no-op
}

// How the resources of a transaction become messages.
const (
	TransactionsWhole   = "whole"   // the Bundle is one message
	TransactionsEntries = "entries" // each resource is one, all of them a group that is stored in one step
)

// What is checked before a resource is taken.
const (
	ValidationR4   = "r4"   // all that validate.go lists
	ValidationJSON = "json" // it is sound JSON of a known resource
)

// An Endpoint is where others send resources. The zero value of every field
// but Listen means its default.
type Endpoint struct {
	Listen         string        `yaml:"listen"`          // "host:port"; port 0 takes a free one
	Path           string        `yaml:"path"`            // of the service base: "/fhir"; default none
	TLS            reception.TLS `yaml:"tls"`             // zero: plain HTTP, on loopback only
	Plain          bool          `yaml:"plain"`           // something before us encrypts
	Token          broker.Secret `yaml:"token"`           // that senders show as a bearer; none: whoever connects may send
	Transactions   string        `yaml:"transactions"`    // "whole" (default) or "entries"
	Validation     string        `yaml:"validation"`      // "r4" (default) or "json"
	MaxBody        int           `yaml:"max_body"`        // bytes of one request; default and most 16 MiB
	MaxConnections int           `yaml:"max_connections"` // more are closed at once; default 256
	ReadTimeout    time.Duration `yaml:"read_timeout"`    // of one request; default 30 s
	IdleTimeout    time.Duration `yaml:"idle_timeout"`    // between requests; default 2 min
	WriteTimeout   time.Duration `yaml:"write_timeout"`   // from the request's head to the end of its answer; default 90 s
	AcceptTimeout  time.Duration `yaml:"accept_timeout"`  // of storing one request; default 30 s
}

// A Server is a FHIR server that we ask.
type Server struct {
	URL      string        `yaml:"url"`      // its service base: "https://ehr.example.org/fhir/r4"
	CAFile   string        `yaml:"ca_file"`  // PEM; default: the system's
	Token    broker.Secret `yaml:"token"`    // a bearer that does not change
	SMART    *SMART        `yaml:"smart"`    // or one that is asked for
	Timeout  time.Duration `yaml:"timeout"`  // until an answer's head, and between two parts of its body; default 1 min
	MaxPage  int           `yaml:"max_page"` // bytes of one answer that is not a file; default 32 MiB
	Insecure bool          `yaml:"insecure"` // take http:// beyond loopback: what is read travels in the clear
}

// SMART is the authorisation of a service by a signed assertion (SMART App
// Launch 2, Backend Services).
type SMART struct {
	ClientID string        `yaml:"client_id"`
	Key      broker.Secret `yaml:"key"`       // private, PEM or JWK: RSA signs RS384, P-384 signs ES384
	KeyID    string        `yaml:"key_id"`    // by which the server knows the public key; default: its RFC 7638 thumbprint
	Scope    string        `yaml:"scope"`     // default "system/*.read"
	TokenURL string        `yaml:"token_url"` // default: what the server's .well-known/smart-configuration says
	JKU      string        `yaml:"jku"`       // where the server finds the public key, when it is to look there
}

// Poll says what is looked for at the server, and how often.
type Poll struct {
	Resources []PollResource `yaml:"resources"`
	Every     time.Duration  `yaml:"every"`     // between two looks; default 1 min
	Overlap   time.Duration  `yaml:"overlap"`   // how late a change may become visible at the server after its lastUpdated; default 5 min
	Count     int            `yaml:"count"`     // resources on a page; default 100
	Since     string         `yaml:"since"`     // RFC 3339: nothing older; default: everything
	Deletions bool           `yaml:"deletions"` // ask the server's history for what was deleted
}

// A PollResource is a type and what restricts it.
type PollResource struct {
	Type   string `yaml:"type"`
	Search string `yaml:"search"` // "active=true&_tag=billing"
}

// Export says what is exported (Bulk Data Access 2), and how often.
type Export struct {
	Group string        `yaml:"group"` // id of a Group; default: all, [base]/$export
	Types []string      `yaml:"types"` // default: all
	Every time.Duration `yaml:"every"` // from one export's beginning to the next one's; default 24 h
	Since string        `yaml:"since"` // RFC 3339, of the first one; default: everything
}

// Files are the settings that name files, for paths relative to the
// configuration.
func (c *Config) Files() []*string {
	var files []*string
	if e := c.Endpoint; e != nil {
		files = append(files, &e.TLS.CertFile, &e.TLS.KeyFile, &e.TLS.ClientCAFile)
	}
	if s := c.Server; s != nil {
		files = append(files, &s.CAFile)
	}
	return files
}

// Bounds of settings.
const (
	maxBody     = 16 << 20 // the journal's own
	maxPerPage  = 1000
	maxPollType = 100
)

// withDefaults returns a copy with the defaults filled in, or an error that
// names the setting to change.
func (c Config) withDefaults() (Config, error) {
	if c.Endpoint == nil && c.Poll == nil && c.Export == nil {
		return c, errors.New("give endpoint: { listen: 127.0.0.1:8090 }, or a server with poll or export")
	}
	if (c.Poll != nil || c.Export != nil) != (c.Server != nil) {
		return c, errors.New("server: it is needed by poll and export, and for nothing else")
	}
	switch own := c.validation(); {
	case own != ValidationR4 && own != ValidationJSON:
		return c, fmt.Errorf("validation: use %s or %s", ValidationR4, ValidationJSON)
	case c.Endpoint != nil && own != cmp.Or(c.Endpoint.Validation, ValidationR4):
		return c, errors.New("validation: it is another one than endpoint.validation, and a feed has one; leave it out")
	}
	if c.Server != nil && c.Dir == "" {
		return c, errors.New("poll and export need a directory for where they stand")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var err error
	if c.Endpoint != nil {
		if c.Endpoint, err = c.Endpoint.withDefaults(); err != nil {
			return c, fmt.Errorf("endpoint.%w", err)
		}
	}
	if c.Server != nil {
		if c.Server, err = c.Server.withDefaults(); err != nil {
			return c, fmt.Errorf("server.%w", err)
		}
	}
	if c.Poll != nil {
		if c.Poll, err = c.Poll.withDefaults(); err != nil {
			return c, fmt.Errorf("poll.%w", err)
		}
	}
	if c.Export != nil {
		if c.Export, err = c.Export.withDefaults(); err != nil {
			return c, fmt.Errorf("export.%w", err)
		}
	}
	return c, nil
}

func (e Endpoint) withDefaults() (*Endpoint, error) {
	host, _, err := net.SplitHostPort(e.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen: write host:port, such as 0.0.0.0:8090: %w", err)
	}
	e.Path = strings.TrimRight(e.Path, "/")
	e.Transactions = cmp.Or(e.Transactions, TransactionsWhole)
	e.Validation = cmp.Or(e.Validation, ValidationR4)
	e.MaxBody = cmp.Or(e.MaxBody, maxBody)
	e.MaxConnections = cmp.Or(e.MaxConnections, 256)
	e.ReadTimeout = cmp.Or(e.ReadTimeout, 30*time.Second)
	e.IdleTimeout = cmp.Or(e.IdleTimeout, 2*time.Minute)
	e.WriteTimeout = cmp.Or(e.WriteTimeout, 90*time.Second)
	e.AcceptTimeout = cmp.Or(e.AcceptTimeout, 30*time.Second)
	switch {
	case e.Path != "" && (e.Path[0] != '/' || strings.ContainsAny(e.Path, "?#%{} ")):
		return nil, errors.New("path: write it as /fhir")
	case e.Transactions != TransactionsWhole && e.Transactions != TransactionsEntries:
		return nil, fmt.Errorf("transactions: use %s or %s", TransactionsWhole, TransactionsEntries)
	case e.Validation != ValidationR4 && e.Validation != ValidationJSON:
		return nil, fmt.Errorf("validation: use %s or %s", ValidationR4, ValidationJSON)
	case e.MaxBody < 256 || e.MaxBody > maxBody:
		return nil, fmt.Errorf("max_body: use 256 to %d bytes", maxBody)
	case e.MaxConnections < 1:
		return nil, errors.New("max_connections: use 1 or more")
	case min(e.ReadTimeout, e.IdleTimeout, e.WriteTimeout, e.AcceptTimeout) < time.Millisecond:
		return nil, errors.New("read_timeout, idle_timeout, write_timeout, accept_timeout: use 1ms or more")
	case !e.Token.IsZero() && len(e.Token.Reveal()) < minToken:
		return nil, fmt.Errorf("token: at least %d characters, from a file or the environment", minToken)
	case e.TLS == reception.TLS{} && !e.Plain && !loopback(host):
		return nil, errors.New("listen: patients' data would come in the clear; listen on 127.0.0.1, give tls: { cert_file, key_file }, or say plain: true when something before it encrypts")
	}
	return &e, nil
}

const minToken = 16

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (s Server) withDefaults() (*Server, error) {
	u, err := parseBase(s.URL)
	if err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	s.Timeout = cmp.Or(s.Timeout, time.Minute)
	s.MaxPage = cmp.Or(s.MaxPage, 32<<20)
	switch {
	case u.Scheme != "https" && !s.Insecure && !loopback(u.Hostname()):
		return nil, errors.New("url: patients' data would travel in the clear; use https://, or say insecure: true")
	case s.Timeout < time.Millisecond:
		return nil, errors.New("timeout: use 1ms or more")
	case s.MaxPage < 1024 || s.MaxPage > 256<<20:
		return nil, errors.New("max_page: use 1 KiB to 256 MiB")
	case s.SMART != nil && !s.Token.IsZero():
		return nil, errors.New("token: smart: asks for one; leave one of them out")
	}
	if s.SMART != nil {
		own := *s.SMART
		own.Scope = cmp.Or(own.Scope, "system/*.read")
		if own.ClientID == "" || own.Key.IsZero() {
			return nil, errors.New("smart: client_id and key are needed")
		}
		s.SMART = &own
	}
	return &s, nil
}

func (p Poll) withDefaults() (*Poll, error) {
	p.Every = cmp.Or(p.Every, time.Minute)
	p.Overlap = cmp.Or(p.Overlap, 5*time.Minute)
	p.Count = cmp.Or(p.Count, 100)
	switch {
	case len(p.Resources) == 0 || len(p.Resources) > maxPollType:
		return nil, fmt.Errorf("resources: name 1 to %d, such as - { type: Patient }", maxPollType)
	case p.Every < time.Second || p.Overlap < 0:
		return nil, errors.New("every: use 1s or more; overlap: not negative")
	case p.Count < 1 || p.Count > maxPerPage:
		return nil, fmt.Errorf("count: use 1 to %d", maxPerPage)
	}
	seen := map[PollResource]bool{}
	for i, r := range p.Resources {
		if !isResource(r.Type) {
			return nil, fmt.Errorf("resources[%d].type: R4 has no resource %q", i, r.Type)
		}
		if strings.Contains(r.Search, "_lastUpdated") || strings.Contains(r.Search, "_sort") || strings.ContainsAny(r.Search, "#? ") {
			return nil, fmt.Errorf("resources[%d].search: write parameters as active=true&_tag=a, without _lastUpdated and _sort", i)
		}
		if seen[r] {
			return nil, fmt.Errorf("resources[%d]: it is there twice", i)
		}
		seen[r] = true
	}
	return &p, checkSince(p.Since)
}

func (x Export) withDefaults() (*Export, error) {
	x.Every = cmp.Or(x.Every, 24*time.Hour)
	if x.Every < time.Second {
		return nil, errors.New("every: use 1s or more")
	}
	for i, t := range x.Types {
		if !isResource(t) {
			return nil, fmt.Errorf("types[%d]: R4 has no resource %q", i, t)
		}
	}
	if x.Group != "" && !isID(x.Group) {
		return nil, errors.New("group: it is not the id of a resource")
	}
	return &x, checkSince(x.Since)
}

func checkSince(s string) error {
	if s == "" {
		return nil
	}
	if _, err := time.Parse(time.RFC3339, s); err != nil {
		return errors.New("since: write it as 2026-01-31T00:00:00Z")
	}
	return nil
}
