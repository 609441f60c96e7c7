package hub

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/stream"
)

const somewhere = "tls://127.0.0.1:1" // for bundles whose link.yaml is not read

func opened(t *testing.T, c Config) *Hub {
	t.Helper()
	if c.Listen == "" {
		c.Listen = "127.0.0.1:0"
	}
	h, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Close)
	return h
}

func added(t *testing.T, dir, name, tenant string) string {
	t.Helper()
	b, err := AddSite(dir, name, SiteConfig{Tenant: tenant, URLs: []string{somewhere}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// options of a connection with a bundle's certificate and nkey.
func options(t *testing.T, bundle, role, inbox string) []nats.Option {
	t.Helper()
	nkey, err := nats.NkeyOptionFromSeed(filepath.Join(bundle, role+".nkey"))
	if err != nil {
		t.Fatal(err)
	}
	return []nats.Option{nkey, nats.RootCAs(filepath.Join(bundle, "ca.pem")), nats.ClientCert(filepath.Join(bundle, role+".pem"), filepath.Join(bundle, role+".key")),
		nats.TLSHandshakeFirst(), nats.CustomInboxPrefix(inbox), nats.Timeout(5 * time.Second)}
}

func connect(t *testing.T, h *Hub, opts []nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(h.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	return nc
}

func asSite(t *testing.T, h *Hub, bundle, name string) *nats.Conn {
	t.Helper()
	return connect(t, h, options(t, bundle, "site", "_INBOX_"+name))
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("30 s passed and it is not so that %s", what)
		}
	}
}

func TestSitesCanDoNothingButTheirOwn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	north, south := added(t, dir, "north", ""), added(t, dir, "south", "")
	h := opened(t, Config{Dir: dir})
	if err := h.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	worker := connect(t, h, options(t, h.WorkerBundle(DefaultTenant), "worker", "_INBOX.worker"))
	wjs, err := jetstream.New(worker)
	if err != nil {
		t.Fatal(err)
	}
	a, b := asSite(t, h, north, "north"), asSite(t, h, south, "south")
	refused := make(chan error, 100)
	a.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err })

	js, err := jetstream.New(b)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "unit.south.odoo.1.adt.x", []byte("south's"), jetstream.WithMsgID("s1")); err != nil {
		t.Fatalf("a site publishes its own unit: %v", err)
	}
	if r, err := b.Request("$JS.API.DIRECT.GET.UNITS."+stream.FeedFilter("south", "adt"), nil, 5*time.Second); err != nil || string(r.Data) != "south's" {
		t.Fatalf("a site reads its own last unit: %v %v", r, err)
	}
	if a, err := js.Publish(t.Context(), stream.AgentEvent("south", "mappings.taken"), []byte("{}")); err != nil || a.Stream != stream.Events {
		t.Fatalf("a site tells of itself: %v %v", a, err)
	}
	if err := stream.RequestRemap(t.Context(), wjs, "south", stream.Remap{Message: "m", Feed: "adt", Request: "r"}); err != nil {
		t.Fatal(err)
	}
	for _, subject := range []string{
		"unit.south.odoo.1.adt.y", "unit.x", "down.south.remap.z", "down.north.remap.z", "event.north.adt.applied", "event.north.agent.x", "event.south.agent.mappings.taken", "anything", "$SYS.REQ.SERVER.PING",
		"$JS.API.INFO", "$JS.API.STREAM.NAMES", "$JS.API.STREAM.INFO.UNITS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.UNITS", "$JS.API.STREAM.DELETE.UNITS",
		"$JS.API.STREAM.PURGE.UNITS", "$JS.API.STREAM.MSG.GET.UNITS", "$JS.API.STREAM.MSG.DELETE.UNITS", "$JS.API.STREAM.SNAPSHOT.UNITS", "$JS.API.STREAM.RESTORE.X",
		"$JS.API.DIRECT.GET.UNITS", "$JS.API.DIRECT.GET.UNITS.unit.south.>", "$JS.API.DIRECT.GET.UNITS.unit.>", "$JS.API.DIRECT.GET.DOWN.down.south.>", "$JS.API.DIRECT.GET.UNITS.unit.*.odoo.1.adt.x",
		"$JS.API.CONSUMER.CREATE.UNITS.x", "$JS.API.CONSUMER.DURABLE.CREATE.UNITS.x", "$JS.API.CONSUMER.CREATE.DOWN.north", "$JS.API.CONSUMER.DELETE.DOWN.north",
		"$JS.API.CONSUMER.INFO.DOWN.north", "$JS.API.CONSUMER.INFO.DOWN.south", "$JS.API.CONSUMER.MSG.NEXT.DOWN.south", "$JS.ACK.DOWN.south.1.1.1.1.0", "$JS.API.META.LEADER.STEPDOWN", "$JS.API.STREAM.LEADER.STEPDOWN.UNITS",
		"$JS.FC.x", "_INBOX.worker.x", "_INBOX_south.x",
		"$JS.API.CONSUMER.MSG.NEXT.DOWN.south_emit", "$JS.API.CONSUMER.INFO.DOWN.north_emit", "$JS.API.CONSUMER.DELETE.DOWN.north_emit", "$JS.ACK.DOWN.north_emit.1.1.1.1.0",
		"down.north.emit.z", "down.south.emit.z", "answer.south.x", "answer.north.x.y", "answer.north", "answer.x",
		"certificate.site.south", "certificate.worker", "certificate.site.north.x",
	} {
		if err := a.Publish(subject, []byte("attack")); err != nil {
			t.Fatal(err)
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publish to %s: %v", subject, err)
		}
	}
	for _, subject := range []string{">", "*.>", "unit.>", "unit.south.>", "unit.north.>", "down.>", "down.north.>", "event.>", "_INBOX.>", "_INBOX_south.>", "$JS.ACK.>", "$JS.API.>", "$SYS.>", "answer.>", "answer.north.x", "answer.south.*"} {
		sub, err := a.SubscribeSync(subject)
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := <-refused; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("subscribe to %s: %v", subject, err)
		}
		_ = sub.Unsubscribe()
	}
	s, err := wjs.Stream(t.Context(), stream.Units)
	if err != nil {
		t.Fatal(err)
	}
	if st := s.CachedInfo().State; st.Msgs != 1 {
		t.Errorf("UNITS has %d messages after the attacks, want the 1 of site south", st.Msgs)
	}

	// The server does not check the reply subject of a question: the answer must not leave the site's account.
	for _, body := range [][]byte{nil, []byte("{}"), []byte(`{"filter":">"}`)} {
		if _, err := js.Publish(t.Context(), "unit.south.odoo.1.adt.x", body); err != nil {
			t.Fatal(err)
		}
		for _, reply := range []string{"unit.north.odoo.1.adt.forged", "down.north.remap.x", "event.x", "$JS.API.STREAM.DELETE.EVENTS", "$JS.API.STREAM.PURGE.DOWN", "$JS.API.CONSUMER.DELETE.DOWN.north", "_INBOX.worker.x"} {
			for _, ask := range []string{"$JS.API.DIRECT.GET.UNITS.unit.south.>", "unit.south.odoo.1.adt.y"} {
				if err := b.PublishRequest(ask, reply, body); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := b.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.DOWN.south", "unit.north.odoo.1.adt.forged", []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	// What is asked now is answered after all that.
	if _, err := js.Publish(t.Context(), "unit.south.odoo.1.adt.last", []byte("x")); err != nil {
		t.Fatal(err)
	}
	until(t, "all that the site published is there", func() bool {
		s, err := wjs.Stream(t.Context(), stream.Units)
		if err != nil {
			t.Fatal(err)
		}
		info, err := s.Info(t.Context(), jetstream.WithSubjectFilter(">"))
		if err != nil {
			t.Fatal(err)
		}
		for subject := range info.State.Subjects {
			if !strings.HasPrefix(subject, "unit.south.") {
				t.Fatalf("a site's answer reached %s", subject)
			}
		}
		return info.State.Subjects["unit.south.odoo.1.adt.last"] == 1
	})
	if err := h.Check(t.Context()); err != nil {
		t.Errorf("a site's answer changed the streams: %v", err)
	}
	for name, want := range map[string]uint64{stream.Down: 1, stream.Events: 1} {
		s, err := wjs.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.CachedInfo().State.Msgs; got != want {
			t.Errorf("%s has %d messages, want %d", name, got, want)
		}
	}
}

func TestTenantsDoNotSeeEachOther(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	added(t, dir, "north", "")
	other := added(t, dir, "elsewhere", "other")
	h := opened(t, Config{Dir: dir})
	if err := h.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	o := asSite(t, h, other, "elsewhere")
	if _, err := o.Request("unit.elsewhere.odoo.1.adt.x", []byte("x"), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(connect(t, h, options(t, h.WorkerBundle(DefaultTenant), "worker", "_INBOX.worker")))
	if err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), stream.Units)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Msgs; n != 0 {
		t.Errorf("the tenant's UNITS has %d messages of another tenant", n)
	}
}

func TestOnlyTheRightCertificateAndKeyGetIn(t *testing.T) {
	t.Parallel()
	dir, foreign := t.TempDir(), t.TempDir()
	north, stranger := added(t, dir, "north", ""), added(t, foreign, "north", "")
	h := opened(t, Config{Dir: dir})
	good := options(t, north, "site", "_INBOX_north")
	connect(t, h, good)
	nkey, ca, cert := good[0], good[1], good[2]
	theirs := options(t, stranger, "site", "_INBOX_north")
	pool := x509.NewCertPool()
	pem, err := os.ReadFile(filepath.Join(north, "ca.pem"))
	if err != nil || !pool.AppendCertsFromPEM(pem) {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		opts []nats.Option
	}{
		{"a certificate of another authority", []nats.Option{nkey, ca, theirs[2], nats.TLSHandshakeFirst()}},
		{"no certificate", []nats.Option{nkey, ca, nats.TLSHandshakeFirst()}},
		{"a certificate but no nkey", []nats.Option{ca, cert, nats.TLSHandshakeFirst()}},
		{"a certificate and another hub's nkey", []nats.Option{theirs[0], ca, cert, nats.TLSHandshakeFirst()}},
		{"a certificate and a password", []nats.Option{ca, cert, nats.UserInfo("hub", "x"), nats.TLSHandshakeFirst()}},
		{"a hub that the site does not know", []nats.Option{nkey, theirs[1], cert, nats.TLSHandshakeFirst()}},
		{"TLS 1.2", []nats.Option{nkey, nats.Secure(&tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS12}), cert, nats.TLSHandshakeFirst()}},
		{"plain text", []nats.Option{nkey}},
	} {
		t.Run(tt.name+" is refused", func(t *testing.T) {
			url := h.URL()
			if tt.name == "plain text" {
				url = strings.Replace(url, "tls://", "nats://", 1)
			}
			nc, err := nats.Connect(url, append(tt.opts, nats.Timeout(3*time.Second))...)
			if err == nil {
				nc.Close()
				t.Fatal("it got in")
			}
			t.Log(err)
		})
	}
}

func TestARunningHubLetsSitesInAndThrowsThemOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h := opened(t, Config{Dir: dir, Watch: 20 * time.Millisecond})
	if err := h.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	stays, goes := added(t, dir, "stays", ""), added(t, dir, "goes", "")
	var a, b *nats.Conn
	until(t, "both sites are let in", func() bool {
		var err error
		if a == nil {
			a, err = nats.Connect(h.URL(), options(t, stays, "site", "_INBOX_stays")...)
		}
		if err == nil && b == nil {
			b, err = nats.Connect(h.URL(), append(options(t, goes, "site", "_INBOX_goes"), nats.NoReconnect())...)
		}
		return err == nil
	})
	defer a.Close()
	var drops atomic.Int32
	a.SetDisconnectErrHandler(func(*nats.Conn, error) { drops.Add(1) })
	if _, err := a.Request("unit.stays.odoo.1.adt.x", []byte("x"), 5*time.Second); err != nil {
		t.Errorf("a new site sends: %v", err)
	}
	until(t, "the new sites have their consumers", func() bool { return h.Check(t.Context()) == nil })

	if err := RemoveSite(dir, "goes"); err != nil {
		t.Fatal(err)
	}
	until(t, "the removed site's connection is closed", b.IsClosed)
	if nc, err := nats.Connect(h.URL(), options(t, added(t, t.TempDir(), "goes", ""), "site", "_INBOX_goes")...); err == nil {
		nc.Close()
		t.Error("a removed site is let in")
	}
	if err := RemoveSite(dir, "goes"); err == nil {
		t.Error("a site can be removed twice")
	}

	// A new certificate by reload: who is connected stays, who comes sees the new one.
	old := serial(t, h, stays)
	ca, err := openAuthority(dir)
	if err != nil {
		t.Fatal(err)
	}
	if made, err := ca.ensureServer(filepath.Join(dir, "servers", "hub-1"), []string{"127.0.0.1"}, time.Now().Add(serverValid-renewBefore+time.Hour)); err != nil || !made {
		t.Fatalf("a certificate near its end is made again: %v %v", made, err)
	}
	until(t, "the hub shows the new certificate", func() bool { return serial(t, h, stays) != old })
	if err := a.FlushTimeout(5 * time.Second); err != nil || drops.Load() != 0 {
		t.Errorf("the connection was dropped %d times: %v", drops.Load(), err)
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run: %v", err)
	}
}

// serial returns the serial number of the certificate that the hub shows.
// A reload would else compare, without a lock, what the server has in hand:
// connections that come and go are in maps.
func TestTheUsersOfTheOptionsDoNotLeadToTheServersAccounts(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	added(t, dir, "north", "")
	h := opened(t, Config{Dir: dir})
	opts, err := h.options()
	if err != nil {
		t.Fatal(err)
	}
	named := map[string]*server.Account{}
	for _, a := range opts.Accounts {
		named[a.Name] = a
	}
	if len(opts.Nkeys) < 3 || len(opts.Users) > 0 {
		t.Fatalf("%d users with keys and %d with passwords; want site, worker and administrator, all with keys", len(opts.Nkeys), len(opts.Users))
	}
	for _, u := range opts.Nkeys {
		if a := named[u.Account.Name]; a == nil || a == u.Account {
			t.Errorf("a user of account %s leads to %p, and the server's is %p", u.Account.Name, u.Account, a)
		}
	}
}

func serial(t *testing.T, h *Hub, bundle string) string {
	t.Helper()
	cert, err := tls.LoadX509KeyPair(filepath.Join(bundle, "site.pem"), filepath.Join(bundle, "site.key"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := tls.Dial("tcp", strings.TrimPrefix(h.URL(), "tls://"), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.String()
}

func TestProvisioningIsExplicitAndHappensOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	added(t, dir, "north", "")
	h := opened(t, Config{Dir: dir})
	if err := h.Check(t.Context()); !errors.Is(err, stream.ErrMissing) || !strings.Contains(err.Error(), "vagus hub provision") {
		t.Errorf("check of a new hub: %v", err)
	}
	for range 2 {
		if err := h.Provision(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.Close()
	// A site that is added while the hub is down, or just before it dies, finds its consumer.
	added(t, dir, "south", "")
	h = opened(t, Config{Dir: dir})
	if err := h.Provision(t.Context()); err != nil {
		t.Errorf("start with a site that is new: %v", err)
	}
	h.Close()
	// Streams that are gone are reported, not made again.
	if err := os.RemoveAll(filepath.Join(dir, "store", "jetstream")); err != nil {
		t.Fatal(err)
	}
	h = opened(t, Config{Dir: dir})
	if err := h.Provision(t.Context()); !errors.Is(err, stream.ErrMissing) {
		t.Errorf("provisioning a store that lost its streams: %v", err)
	}
}

func TestAWrongKeyIsRefusedAndDestroysNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	north := added(t, dir, "north", "")
	k1, k2 := strings.Repeat("1", 32), strings.Repeat("2", 32)
	h := opened(t, Config{Dir: dir, Key: k1})
	if err := h.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := asSite(t, h, north, "north").Request("unit.north.odoo.1.adt.x", []byte("a-patient"), 5*time.Second); err != nil {
		t.Fatal(err)
	}
	h.Close()
	for _, c := range []Config{{Key: k2}, {}} {
		c.Dir, c.Listen = dir, "127.0.0.1:0"
		if h, err := Open(t.Context(), c); !errors.Is(err, ErrWrongKey) {
			t.Errorf("open with another key: %v", err)
			h.Close()
		}
	}
	inClear := 0
	err := filepath.WalkDir(filepath.Join(dir, "store"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if strings.Contains(string(data), "a-patient") || strings.Contains(string(data), "unit.north.odoo") {
			inClear++
		}
		return err
	})
	if err != nil || inClear != 0 {
		t.Errorf("%d files of the store show payload or subject: %v", inClear, err)
	}
	h = opened(t, Config{Dir: dir, Key: k1})
	if err := h.Provision(t.Context()); err != nil {
		t.Fatal(err)
	}
	r, err := asSite(t, h, north, "north").Request("$JS.API.DIRECT.GET.UNITS.unit.north.>", nil, 5*time.Second)
	if err != nil || string(r.Data) != "a-patient" {
		t.Fatalf("the unit is gone: %v %v", r, err)
	}
}

func TestUnsafeConfigurationsAreRefusedWithTheFix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		c          Config
	}{
		{"no directory", "dir is missing", Config{}},
		{"one replica in production", "replicas: 3", Config{Dir: "x", Production: true}},
		{"replicas without a cluster", "needs a cluster", Config{Dir: "x", Replicas: 3}},
		{"a short key", "32 characters", Config{Dir: "x", Key: "short"}},
		{"routes without an address of its own", "cluster listen", Config{Dir: "x", Cluster: Cluster{Routes: []string{"h:1"}}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if _, err := Open(t.Context(), tt.c); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestABundleIsPrivateAndASiteIsAddedOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a, b := added(t, dir, "a", ""), added(t, dir, "b", "")
	for _, name := range []string{"ca.pem", "site.pem", "site.key", "site.nkey", "ordering.key", "link.yaml"} {
		st, err := os.Stat(filepath.Join(a, name))
		if err != nil {
			t.Fatal(err)
		}
		if st.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %o", name, st.Mode().Perm())
		}
		x, _ := os.ReadFile(filepath.Join(a, name))
		y, _ := os.ReadFile(filepath.Join(b, name))
		if shared := name == "ca.pem" || name == "ordering.key"; shared != (string(x) == string(y)) {
			t.Errorf("%s: shared between sites is %v, want %v", name, !shared, shared)
		}
	}
	if _, err := AddSite(dir, "a", SiteConfig{URLs: []string{somewhere}}); err == nil {
		t.Error("a site is added twice")
	}
	for _, bad := range []string{"", "A", "a.b", "a>", "../x", "a b"} {
		if _, err := AddSite(dir, bad, SiteConfig{URLs: []string{somewhere}}); err == nil {
			t.Errorf("a site may be called %q", bad)
		}
	}
}

func TestTheRenderedConfigurationRunsAStockServer(t *testing.T) {
	dir := t.TempDir()
	added(t, dir, "north", "")
	key := strings.Repeat("k", 32)
	t.Setenv(KeyVariable, key)
	text, err := Render(Config{Dir: dir, Listen: "127.0.0.1:4222", Key: key, Replicas: 3, Cluster: Cluster{Listen: "127.0.0.1:6222", Routes: []string{"127.0.0.1:6223"}}})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(text, key) {
		t.Error("the key is in the configuration")
	}
	path := filepath.Join(dir, "nats.conf")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	opts, err := server.ProcessConfigFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !opts.SyncAlways || opts.TLSConfig.MinVersion != tls.VersionTLS13 || opts.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || !opts.TLSHandshakeFirst ||
		opts.JetStreamKey != key || opts.Cluster.TLSConfig.ClientAuth != tls.RequireAndVerifyClientCert || opts.Cluster.Password == "" || !opts.Cluster.NoAdvertise ||
		opts.PingInterval != 5*time.Second || opts.LeafNode.Port != 0 || opts.HTTPPort != 0 || len(opts.Nkeys) != 3 {
		t.Errorf("the server would run otherwise: %+v", opts)
	}
}

func TestASiteCanNotJoinTheCluster(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	north := added(t, dir, "north", "")
	h := opened(t, Config{Dir: dir, Cluster: Cluster{Listen: "127.0.0.1:0"}})
	cert, err := tls.LoadX509KeyPair(filepath.Join(north, "site.pem"), filepath.Join(north, "site.key"))
	if err != nil {
		t.Fatal(err)
	}
	raw, err := tls.Dial("tcp", h.srv.ClusterAddr().String(), &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{cert}})
	if err == nil {
		defer raw.Close()
		fmt.Fprint(raw, "CONNECT {\"verbose\":false,\"user\":\"hub\",\"pass\":\"guess\",\"tls_required\":true,\"name\":\"evil\"}\r\nPING\r\n")
		buf := make([]byte, 4096)
		_ = raw.SetReadDeadline(time.Now().Add(5 * time.Second))
		var got string
		for {
			n, err := raw.Read(buf)
			got += string(buf[:n])
			if err != nil || strings.Contains(got, "PONG") {
				break
			}
		}
		if strings.Contains(got, "PONG") || h.srv.NumRoutes() != 0 {
			t.Errorf("a site's certificate opened a route: %q", got)
		}
	}
}

func TestAnAddressThatIsTakenIsSaidBeforeAStoreIsOpened(t *testing.T) {
	t.Parallel()
	first := opened(t, Config{Dir: t.TempDir()})
	taken := strings.TrimPrefix(first.URL(), "tls://")
	dir := t.TempDir()
	_, err := Open(t.Context(), Config{Dir: dir, Listen: taken})
	if err == nil || !strings.Contains(err.Error(), taken) || !strings.Contains(err.Error(), "listen") {
		t.Fatalf("got %v, want an error that names %s and the setting", err, taken)
	}
	if _, err := os.Stat(filepath.Join(dir, "store", "jetstream")); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the second hub opened its store: %v", err)
	}
}
