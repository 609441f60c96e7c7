package hub

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
)

// startTimeout bounds how long a server may take to listen; it reads its
// store before (2 to 8 s for a million messages).
const startTimeout = 2 * time.Minute

// A Hub is a running server. Its methods are safe for concurrent use.
type Hub struct {
	cfg Config
	srv *server.Server

	mu     sync.Mutex // guards reloads
	digest [sha256.Size]byte
}

// Open makes what the directory lacks (authority, server certificate, tenant,
// the workers' bundle), checks the encryption key, and starts the server. It
// returns when the server accepts connections; it creates no stream. The
// caller ends it with Run or Close.
func Open(ctx context.Context, c Config) (*Hub, error) {
	h, err := open(ctx, c)
	if err != nil {
		return nil, fmt.Errorf("open hub: %w", err)
	}
	return h, nil
}

func open(ctx context.Context, c Config) (*Hub, error) {
	if err := c.complete(); err != nil {
		return nil, err
	}
	h := &Hub{cfg: c}
	h.digest = h.look() // of before what is made now, so that nothing is missed
	made, err := c.ensure()
	if err != nil {
		return nil, err
	}
	if made {
		h.digest = h.look()
	}
	if err := checkKey(c.Store, c.Key); err != nil {
		return nil, err
	}
	opts, err := h.options()
	if err != nil {
		return nil, err
	}
	if err := free(ctx, c.Listen); err != nil {
		return nil, err
	}
	if h.srv, err = server.NewServer(opts); err != nil {
		return nil, err
	}
	h.srv.SetLoggerV2(logger{c.Logger}, false, false, false)
	go h.srv.Start() // ends with Shutdown
	for deadline := time.Now().Add(startTimeout); !h.srv.ReadyForConnections(100 * time.Millisecond); {
		if ctx.Err() != nil || time.Now().After(deadline) || !h.srv.Running() {
			h.Close()
			return nil, errors.Join(ctx.Err(), fmt.Errorf("the server did not start on %s; its log says why", c.Listen))
		}
	}
	if err := errors.Join(keepCanary(c.Store, c.Key), h.ensureWorkers()); err != nil {
		h.Close()
		return nil, err
	}
	return h, nil
}

// free says what is wrong with the address before the server is there: it
// would open its stores, log what it could not listen on and "ready" after it.
func free(ctx context.Context, address string) error {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", address)
	if err != nil {
		return fmt.Errorf("listen: %w: is another hub running? Free the address, or say another one in listen", err)
	}
	return l.Close()
}

// Bounds says how many sites, workers and people are connected.
func (h *Hub) Bounds() []broker.Bound {
	return []broker.Bound{{Name: "connections to the hub", Used: int64(h.srv.NumClients()), Limit: connectionsMax}}
}

// Run keeps the hub until ctx is done: it lets sites that were added in and
// throws those out that were removed, takes up renewed certificates, and at
// the end stops the server so that clients and cluster notice at once.
func (h *Hub) Run(ctx context.Context) error {
	defer h.Close()
	if err := h.answerCertificates(ctx); err != nil {
		return fmt.Errorf("answer who asks about certificates: %w", err)
	}
	tick := time.NewTicker(h.cfg.Watch)
	defer tick.Stop()
	renew := time.NewTicker(6 * time.Hour)
	defer renew.Stop()
	var last string
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-renew.C:
			_, err = h.cfg.ensure()
		case <-tick.C:
			if err = h.reloadIfChanged(ctx); ctx.Err() != nil {
				return nil
			}
		}
		if text := fmt.Sprint(err); err != nil && text != last {
			h.cfg.Logger.Error("the hub's directory can not be used as it is now; the hub goes on as before", "err", err)
			last = text
		} else if err == nil {
			last = ""
		}
	}
}

// Close stops the server and waits until it has. Closing again does nothing.
func (h *Hub) Close() {
	if h.cfg.Cluster.Listen != "" && h.srv.Running() {
		h.srv.LameDuckShutdown() // hands leadership over first: 0.1 s without a leader instead of 4 s and more
	} else {
		h.srv.Shutdown()
	}
	h.srv.WaitForShutdown()
}

// URL returns where clients reach this server: with the first of Names, else
// with the address that it listens on.
func (h *Hub) URL() string {
	addr, ok := h.srv.Addr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	host := addr.IP.String()
	if len(h.cfg.Names) > 0 {
		host = h.cfg.Names[0]
	} else if addr.IP.IsUnspecified() {
		host = "127.0.0.1"
	}
	return (&url.URL{Scheme: "tls", Host: net.JoinHostPort(host, strconv.Itoa(addr.Port))}).String()
}

// WorkerBundle returns the directory that a tenant's workers connect with.
func (h *Hub) WorkerBundle(tenant string) string {
	return filepath.Join(h.cfg.Dir, "workers", tenant)
}

// Provision creates the streams of every tenant, once: with the marker in the
// store it makes the consumers of sites that are new, and checks. In a cluster it needs most servers to be up, and waits
// for them until ctx is done.
func (h *Hub) Provision(ctx context.Context) error {
	marker := filepath.Join(h.cfg.Store, "provisioned")
	data, err := os.ReadFile(marker)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	done := strings.Fields(string(data))
	err = h.eachTenant(ctx, func(ctx context.Context, js jetstream.JetStream, tenant string, s stream.Settings) error {
		for _, t := range done {
			if t == tenant {
				// A site may have been added while the hub was down.
				if err := addSites(ctx, js, s); err != nil {
					return err
				}
				return stream.Check(ctx, js, s)
			}
		}
		if err := stream.Provision(ctx, js, s); err != nil {
			return err
		}
		atProvisioned.Hit()
		done = append(done, tenant)
		return replaceFile(marker, []byte(strings.Join(done, "\n")+"\n"))
	})
	if err != nil {
		return fmt.Errorf("provision: %w", err)
	}
	return nil
}

// Check says whether every tenant's streams are there and safe; see
// [stream.Check].
func (h *Hub) Check(ctx context.Context) error {
	return h.eachTenant(ctx, func(ctx context.Context, js jetstream.JetStream, _ string, s stream.Settings) error {
		return stream.Check(ctx, js, s)
	})
}

// Reload takes up the directory as it is now: sites, certificates. Run does it
// by itself; a program that has just added a site need not wait for it. It
// loads twice: nats-server 2.15.2 connects what a new account imports only in
// the reload after the one that brought the account.
func (h *Hub) Reload(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.reload(ctx, h.look())
}

func (h *Hub) reloadIfChanged(ctx context.Context) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := h.look() // before all else: what changes meanwhile is for the next time
	if now == h.digest {
		return nil
	}
	// Another authority signs other certificates.
	if _, err := h.cfg.ensure(); err != nil {
		return err
	}
	if err := h.cfg.ensureWorkers(""); err != nil { // a server does not take the others' bundle over
		return err
	}
	return h.reload(ctx, now)
}

// reload holds mu. The digest is kept only when all went well, so that Run
// tries again.
func (h *Hub) reload(ctx context.Context, now [sha256.Size]byte) error {
	for range 2 {
		opts, err := h.options()
		if err != nil {
			return err
		}
		// The server closes the connections of users that are gone.
		if err := h.srv.ReloadOptions(opts); err != nil {
			return fmt.Errorf("reload: %w (a new tenant needs a restart)", err)
		}
	}
	atReloaded.Hit()
	err := h.eachTenant(ctx, func(ctx context.Context, js jetstream.JetStream, _ string, s stream.Settings) error {
		return addSites(ctx, js, s)
	})
	if err == nil {
		h.digest = now
	}
	return err
}

// addSites makes the consumers that sites of a provisioned tenant lack.
func addSites(ctx context.Context, js jetstream.JetStream, s stream.Settings) error {
	if _, err := js.Stream(ctx, stream.Down); errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil // not provisioned yet, which makes them; or damaged, which is for Check to say
	}
	if err := stream.Renew(ctx, js); err != nil {
		return err
	}
	for _, site := range s.Sites {
		if err := stream.AddSite(ctx, js, site); err != nil {
			return err
		}
	}
	return nil
}

// eachTenant calls f with an administrator's connection to each tenant.
func (h *Hub) eachTenant(ctx context.Context, f func(context.Context, jetstream.JetStream, string, stream.Settings) error) error {
	// Inside the process a connection needs no TLS.
	return h.cfg.eachTenant(ctx, func(admin nats.Option) (*nats.Conn, error) {
		return nats.Connect("", nats.InProcessServer(h.srv), admin, nats.Name("hub"), nats.NoReconnect(), nats.Timeout(10*time.Second))
	}, f)
}

func (c *Config) eachTenant(ctx context.Context, dial func(admin nats.Option) (*nats.Conn, error), f func(context.Context, jetstream.JetStream, string, stream.Settings) error) error {
	tenants, err := c.tenants()
	if err != nil {
		return err
	}
	sites, err := Sites(c.Dir)
	if err != nil {
		return err
	}
	for _, t := range tenants {
		s := c.reserve()
		for _, site := range sites {
			if site.Tenant == t {
				s.Sites = append(s.Sites, site.Name)
			}
		}
		if err := c.asAdmin(ctx, t, dial, func(ctx context.Context, js jetstream.JetStream) error { return f(ctx, js, t, s) }); err != nil {
			return fmt.Errorf("tenant %s: %w", t, err)
		}
	}
	return nil
}

// asAdmin calls f with an administrator's connection to a tenant.
func (c *Config) asAdmin(ctx context.Context, tenant string, dial func(admin nats.Option) (*nats.Conn, error), f func(context.Context, jetstream.JetStream) error) error {
	admin, err := nats.NkeyOptionFromSeed(filepath.Join(c.Dir, "tenants", tenant, "admin.nkey"))
	if err != nil {
		return err
	}
	nc, err := dial(admin)
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	for {
		// Without a leader JetStream does not answer, or says so.
		attempt, cancel := context.WithTimeout(ctx, 10*time.Second)
		err = f(attempt, js)
		cancel()
		if err == nil || ctx.Err() != nil || c.Cluster.Listen == "" || !isTransient(err) {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(250 * time.Millisecond):
		}
	}
}

// isTransient tells a cluster that is forming, or has lost a leader, from one
// that refuses.
func isTransient(err error) bool {
	var api *jetstream.APIError
	if errors.As(err, &api) {
		// 10005 no suitable peers, 10008 temporarily unavailable, 10074 insufficient resources, 10009 no leader
		return api.ErrorCode == 10005 || api.ErrorCode == 10008 || api.ErrorCode == 10009 || api.ErrorCode == 10074
	}
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, nats.ErrTimeout) || errors.Is(err, nats.ErrNoResponders)
}

// options turns the directory into the server's options: the same text that
// Render gives, and what only an embedded server can be told.
func (h *Hub) options() (*server.Options, error) {
	text, err := h.cfg.render(false)
	if err != nil {
		return nil, err
	}
	opts := new(server.Options)
	if err := opts.ProcessConfigString(text); err != nil {
		return nil, err
	}
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true
	opts.JetStreamKey = h.cfg.Key
	if h.cfg.Key != "" {
		opts.JetStreamCipher = server.AES
	}
	opts.LameDuckDuration, opts.LameDuckGracePeriod = 2*time.Second, 500*time.Millisecond
	// Each feed of each site has one batch under way; the server's own limit is 50.
	opts.JetStreamLimits.MaxBatchInflightPerStream, opts.JetStreamLimits.MaxBatchInflightTotal = 4000, 8000
	// A reload compares the users of before and of now as deep as they go
	// (nats-server 2.15.2), and a user's account leads to all that the server
	// has in hand: it would read, without a lock, the maps of connections
	// that come and go. The server looks a user's account up by name.
	for _, u := range opts.Nkeys {
		u.Account = server.NewAccount(u.Account.Name)
	}
	return opts, nil
}

func (h *Hub) ensureWorkers() error { return h.cfg.ensureWorkers(h.URL()) }

// look returns a digest of what a reload depends on.
func (h *Hub) look() [sha256.Size]byte {
	d := sha256.New()
	for _, pattern := range []string{"sites/*.yaml", "servers/" + h.cfg.Name + "/*.pem", "ca/ca.*"} {
		paths, _ := filepath.Glob(filepath.Join(h.cfg.Dir, filepath.FromSlash(pattern)))
		for _, p := range paths {
			if st, err := os.Stat(p); err == nil {
				fmt.Fprintln(d, p, st.Size(), st.ModTime().UnixNano())
			}
		}
	}
	return [sha256.Size]byte(d.Sum(nil))
}

// logger hands the server's own log on. It names subjects, keys' public
// halves and addresses; no subject and no address of ours holds PHI.
type logger struct{ *slog.Logger }

func (l logger) Noticef(format string, v ...any) { l.say(slog.LevelInfo, format, v) }
func (l logger) Warnf(format string, v ...any)   { l.say(slog.LevelWarn, format, v) }
func (l logger) Errorf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l logger) Fatalf(format string, v ...any)  { l.say(slog.LevelError, format, v) }
func (l logger) Debugf(string, ...any)           {}
func (l logger) Tracef(string, ...any)           {}

func (l logger) say(level slog.Level, format string, v []any) {
	l.Log(context.Background(), level, "nats-server", "text", fmt.Sprintf(format, v...))
}

// Dir returns the hub's directory, for AddSite and RemoveSite.
func (h *Hub) Dir() string { return h.cfg.Dir }
