package link

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nkeys"

	"github.com/vagus-health/vagus/broker/stream"
)

// A Bundle is what a site, or a worker, connects to the cloud with: the
// link.yaml that `vagus site add` writes and the files that it names, relative
// to its directory. The files are read at every connection, so that renewed
// ones are taken up without a restart.
type Bundle struct {
	Role        string   `yaml:"role"` // "site" or "worker"
	Name        string   `yaml:"name"` // of the site; "worker"
	Tenant      string   `yaml:"tenant"`
	URLs        []string `yaml:"urls"` // tls://host:port
	CA          string   `yaml:"ca"`
	Certificate string   `yaml:"certificate"`
	Key         string   `yaml:"key"`
	Nkey        string   `yaml:"nkey"`         // file with the seed
	OrderingKey string   `yaml:"ordering_key"` // file with the secret of broker.OrderingKey; of sites only
}

// LoadBundle reads and checks dir/link.yaml and that the files it names are
// there and fit together.
func LoadBundle(dir string) (*Bundle, error) {
	path := filepath.Join(dir, "link.yaml")
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var b Bundle
	if err := yaml.UnmarshalWithOptions(data, &b, yaml.Strict()); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	for _, f := range []*string{&b.CA, &b.Certificate, &b.Key, &b.Nkey, &b.OrderingKey} {
		if *f != "" && !filepath.IsAbs(*f) {
			*f = filepath.Join(dir, *f)
		}
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return &b, nil
}

func (b *Bundle) check() error {
	errs := []error{stream.CheckToken("name", b.Name), stream.CheckToken("tenant", b.Tenant)}
	if b.Role != "site" && b.Role != "worker" {
		errs = append(errs, errors.New("role: site or worker"))
	}
	if len(b.URLs) == 0 {
		errs = append(errs, errors.New("urls: give at least one, tls://host:port"))
	}
	for _, u := range b.URLs {
		if p, err := url.Parse(u); err != nil || p.Scheme != "tls" || p.Port() == "" || p.User != nil {
			errs = append(errs, errors.New("urls: each must be tls://host:port"))
		}
	}
	_, tlsErr := b.tlsConfig()
	_, keyErr := b.nkey()
	return errors.Join(append(errs, tlsErr, keyErr)...)
}

// Ordering returns the tenant's secret for broker.OrderingKey.
func (b *Bundle) Ordering() ([]byte, error) {
	if b.OrderingKey == "" {
		return nil, errors.New("the bundle names no ordering_key")
	}
	secret, err := os.ReadFile(b.OrderingKey)
	if err != nil {
		return nil, err
	}
	if secret = bytes.TrimSpace(secret); len(secret) < 32 {
		return nil, fmt.Errorf("%s holds fewer than 32 characters", b.OrderingKey)
	}
	return secret, nil
}

// Dial says how a connection behaves.
type Dial struct {
	URLs []string // instead of the bundle's
	// Dialer, if not nil, makes the connections instead of TCP with TLS. Then of the bundle
	// only the names count, not its certificates and keys.
	Dialer nats.CustomDialer
	Ping   time.Duration // 0 means 5 s; a link that misses two is cut
	Logger *slog.Logger
}

// Connect opens one outbound TLS 1.3 connection with the bundle's certificate
// and nkey, and keeps it: it comes back by itself after every cut, with
// jitter, for as long as it is not closed. It returns at once when nobody
// answers yet. Nothing is buffered while the link is down, so the caller
// always knows what was sent.
func Connect(b *Bundle, d Dial) (*nats.Conn, error) {
	if d.Ping == 0 {
		d.Ping = 5 * time.Second
	}
	if d.Logger == nil {
		d.Logger = slog.New(slog.DiscardHandler)
	}
	if len(d.URLs) == 0 {
		d.URLs = b.URLs
	}
	inbox := "_INBOX_" + b.Name
	if b.Role == "worker" {
		inbox = "_INBOX.worker" // no site's name has a dot: no site can listen there
	}
	o := nats.GetDefaultOptions()
	o.Servers, o.Name, o.InboxPrefix = d.URLs, b.Role+" "+b.Name, inbox
	if o.CustomDialer = d.Dialer; d.Dialer == nil {
		cfg, err := b.tlsConfig()
		if err != nil {
			return nil, err
		}
		public, err := b.nkey()
		if err != nil {
			return nil, err
		}
		o.Secure, o.TLSConfig, o.TLSHandshakeFirst = true, cfg, true
		o.RootCAsCB = b.roots // at every connection
		o.Nkey, o.SignatureCB = public, b.sign
	}
	o.AllowReconnect, o.MaxReconnect, o.RetryOnFailedConnect, o.IgnoreAuthErrorAbort = true, -1, true, true
	o.ReconnectBufSize = -1
	o.CustomReconnectDelayCB = reconnectDelay
	o.Timeout, o.DrainTimeout = 5*time.Second, 5*time.Second
	o.PingInterval, o.MaxPingsOut = d.Ping, 2
	// A write that hangs holds the pings back as well, so it has the same time.
	o.FlusherTimeout, o.ReconnectOnFlusherError = 2*d.Ping, true
	o.IgnoreDiscoveredServers = true
	log := d.Logger
	o.ConnectedCB = func(nc *nats.Conn) { log.Info("link is up", "server", nc.ConnectedServerName()) }
	o.ReconnectedCB = func(nc *nats.Conn) { log.Info("link is up again", "server", nc.ConnectedServerName()) }
	o.DisconnectedErrCB = func(nc *nats.Conn, err error) {
		if !nc.IsClosed() { // we did not hang up ourselves
			log.Warn("link is down", "err", err)
		}
	}
	o.AsyncErrorCB = func(_ *nats.Conn, s *nats.Subscription, err error) { log.Warn("link", "err", err) }
	nc, err := o.Connect()
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return nc, nil
}

func (b *Bundle) tlsConfig() (*tls.Config, error) {
	pool, err := b.roots()
	if err != nil {
		return nil, err
	}
	load := func() (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(b.Certificate, b.Key)
		return &c, err
	}
	if _, err := load(); err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: pool,
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return load() }}, nil
}

func (b *Bundle) roots() (*x509.CertPool, error) {
	pem, err := os.ReadFile(b.CA)
	if err != nil {
		return nil, fmt.Errorf("ca: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("ca: %s holds no certificate", b.CA)
	}
	return pool, nil
}

func (b *Bundle) keyPair() (nkeys.KeyPair, error) {
	seed, err := os.ReadFile(b.Nkey)
	if err != nil {
		return nil, fmt.Errorf("nkey: %w", err)
	}
	defer clear(seed)
	kp, err := nkeys.FromSeed(bytes.TrimSpace(seed))
	if err != nil {
		return nil, fmt.Errorf("nkey: %s holds no seed", b.Nkey)
	}
	return kp, nil
}

func (b *Bundle) nkey() (string, error) {
	kp, err := b.keyPair()
	if err != nil {
		return "", err
	}
	defer kp.Wipe()
	return kp.PublicKey()
}

func (b *Bundle) sign(nonce []byte) ([]byte, error) {
	kp, err := b.keyPair()
	if err != nil {
		return nil, err
	}
	defer kp.Wipe()
	return kp.Sign(nonce)
}

// reconnectDelay is how long to wait after all servers were tried: 50 ms at
// first, doubling to 2 s, each by a random half more or less, so that the
// sites of a hub that restarts do not come back as one.
func reconnectDelay(attempts int) time.Duration {
	return halfMoreOrLess(min(50*time.Millisecond<<min(attempts, 6), 2*time.Second))
}
