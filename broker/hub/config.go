package hub

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vagus-health/vagus/broker/stream"
)

// Config is a hub. Dir is required; the zero value of everything else is a
// single server that listens on all addresses.
type Config struct {
	Dir    string // definitions: keys, certificates, sites; made on first use
	Store  string // streams; "" means Dir/store. Its own volume, please
	Name   string // of this server, unique in a cluster; "" means "hub-1"
	Listen string // host:port; "" means 0.0.0.0:4222; port 0 takes a free one
	// Names are the DNS names and addresses that sites know the hub by: its
	// certificate covers them, localhost and the address it listens on.
	Names  []string
	Tenant string // made on first use; "" means DefaultTenant

	MaxBytes   int64         // of each tenant's UNITS; 0 means 4 GiB. Keep the sum of Reserve below the disk
	MaxAge     time.Duration // how long UNITS keeps a unit, a day at least; 0 means 30 days. Goes by when the streams are made
	MaxPayload int32         // largest message; 0 means 8 MiB
	Replicas   int           // of the streams; 0 means 1
	Production bool          // refuse fewer than three replicas

	Cluster Cluster

	// Key encrypts the store at rest: at least 32 characters, "" means not. It
	// is chosen once: nats-server 2.15.2, asked to change it (prev_key), removes
	// streams that are empty.
	Key string

	PingInterval time.Duration // 0 means 5 s; a peer that misses two is gone
	Watch        time.Duration // how often Run looks for new and removed sites; 0 means 1 s
	Ask          time.Duration // how often sites and workers ask about their certificates; 0 means 1 min, while the authority is rotated 3 s
	Logger       *slog.Logger
}

// A Cluster joins hubs: three share streams of three replicas. The zero
// Cluster is a single server.
type Cluster struct {
	Name   string   // the same everywhere; "" means "vagus"
	Listen string   // host:port for the other servers
	Routes []string // host:port of the servers, this one may be among them
}

// complete fills in defaults and checks what was given.
func (c *Config) complete() error {
	def := func(s *string, v string) {
		if *s == "" {
			*s = v
		}
	}
	def(&c.Store, filepath.Join(c.Dir, "store"))
	def(&c.Name, "hub-1")
	def(&c.Listen, "0.0.0.0:4222")
	def(&c.Tenant, DefaultTenant)
	def(&c.Cluster.Name, "vagus")
	if c.MaxBytes == 0 {
		c.MaxBytes = 4 << 30
	}
	if c.MaxPayload == 0 {
		c.MaxPayload = 8 << 20
	}
	if c.PingInterval == 0 {
		c.PingInterval = 5 * time.Second
	}
	if c.Watch == 0 {
		c.Watch = time.Second
	}
	if c.Ask == 0 {
		c.Ask = time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	var errs []error
	if c.Dir == "" {
		errs = append(errs, errors.New("dir is missing: give the directory that the hub's keys and sites are in"))
	}
	errs = append(errs, stream.CheckToken("server name", c.Name), stream.CheckToken("tenant", c.Tenant), stream.CheckToken("cluster name", c.Cluster.Name))
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fmt.Errorf("listen: %w: give host:port", err))
	}
	for _, r := range c.Cluster.Routes {
		if _, _, err := net.SplitHostPort(r); err != nil {
			errs = append(errs, fmt.Errorf("cluster routes: %w: give host:port", err))
		}
	}
	if len(c.Cluster.Routes) > 0 && c.Cluster.Listen == "" {
		errs = append(errs, errors.New("cluster listen is missing: give the host:port that the other servers reach this one at"))
	}
	if c.Replicas > 1 && c.Cluster.Listen == "" {
		errs = append(errs, fmt.Errorf("replicas: %d needs a cluster: give cluster listen and routes", c.Replicas))
	}
	if c.Production && c.Replicas < 3 {
		errs = append(errs, fmt.Errorf("%w: %d replica(s) in production: set replicas: 3 and run three hubs, or production: false", stream.ErrUnsafe, max(c.Replicas, 1)))
	}
	if c.MaxPayload < 64<<10 || c.MaxPayload > 64<<20 {
		errs = append(errs, errors.New("max_payload: give 64 KiB to 64 MiB"))
	}
	if c.Key != "" && len(c.Key) < 32 {
		errs = append(errs, errors.New("key: an encryption key needs at least 32 characters (openssl rand -base64 32)"))
	}
	return errors.Join(errs...)
}

// ensure makes what the hub's directory lacks. It reports whether the server's
// certificate is new.
func (c *Config) ensure() (bool, error) {
	if err := os.MkdirAll(c.Store, 0o700); err != nil {
		return false, err
	}
	ca, err := openAuthority(c.Dir)
	if err != nil {
		return false, err
	}
	if err := ensureTenant(c.Dir, c.Tenant); err != nil {
		return false, err
	}
	if c.Cluster.Listen != "" {
		if err := makeFile(filepath.Join(c.Dir, "route.key"), newSecret()); err != nil {
			return false, err
		}
	}
	names := append([]string(nil), c.Names...)
	for _, addr := range []string{c.Listen, c.Cluster.Listen} {
		if host, _, err := net.SplitHostPort(addr); err == nil && host != "" && !isUnspecified(host) {
			names = append(names, host)
		}
	}
	return ca.ensureServer(c.serverDir(), append(names, "localhost", "127.0.0.1", "::1"), time.Now())
}

func (c *Config) serverDir() string { return filepath.Join(c.Dir, "servers", c.Name) }

// reserve is what a tenant's streams take.
func (c *Config) reserve() stream.Settings {
	return stream.Settings{MaxBytes: c.MaxBytes, MaxAge: c.MaxAge, Replicas: c.Replicas, Production: c.Production}
}

func isUnspecified(host string) bool {
	ip := net.ParseIP(host)
	return ip != nil && ip.IsUnspecified()
}
