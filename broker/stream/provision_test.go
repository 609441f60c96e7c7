package stream

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
)

func running(t *testing.T) jetstream.JetStream {
	t.Helper()
	s, err := server.NewServer(&server.Options{JetStream: true, StoreDir: t.TempDir(), DontListen: true, NoSigs: true, NoLog: true})
	if err != nil {
		t.Fatal(err)
	}
	go s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(10 * time.Second) {
		t.Fatal("the server did not start")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

var small = Settings{MaxBytes: 16 << 20, Sites: []string{"north", "south"}}

func TestProvisioningTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	js := running(t)
	if err := Provision(t.Context(), js, small); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "unit.north.odoo.1.adt.x", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if err := Provision(t.Context(), js, small); err != nil {
		t.Fatal(err)
	}
	s, err := js.Stream(t.Context(), Units)
	if err != nil || s.CachedInfo().State.Msgs != 1 {
		t.Fatalf("after provisioning again: %+v %v", s.CachedInfo().State, err)
	}
	if err := s.Purge(t.Context()); err == nil {
		t.Error("UNITS can be purged")
	}
	if err := s.DeleteMsg(t.Context(), 1); err == nil {
		t.Error("a message of UNITS can be deleted")
	}
}

func TestCheckRefusesWhatIsUnsafeAndSaysTheFix(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		set  func(*Settings)
		edit func(*jetstream.StreamConfig) // of UNITS, before it is made
		down func(*jetstream.StreamConfig) // of DOWN
		is   error
		want string
	}{
		{name: "as provisioned", is: nil},
		{name: "discard old", edit: func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }, is: ErrUnsafe, want: "nats stream edit UNITS --discard=new"},
		{name: "no max_bytes", edit: func(c *jetstream.StreamConfig) { c.MaxBytes = -1 }, is: ErrUnsafe, want: "nats stream edit UNITS --max-bytes=16777216"},
		{name: "persist_mode async", edit: func(c *jetstream.StreamConfig) {
			c.PersistMode, c.AllowAtomicPublish = jetstream.AsyncPersistMode, false
		}, is: ErrUnsafe, want: "persist_mode is async"},
		{name: "memory", edit: func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }, is: ErrUnsafe, want: "storage is memory"},
		{name: "no batches", edit: func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }, is: ErrUnsafe, want: "--allow-batch"},
		{name: "no direct get", edit: func(c *jetstream.StreamConfig) { c.AllowDirect = false }, is: ErrUnsafe, want: "--allow-direct"},
		{name: "purge allowed", edit: func(c *jetstream.StreamConfig) { c.DenyPurge = false }, is: ErrUnsafe, want: "--deny-purge"},
		{name: "a work queue", edit: func(c *jetstream.StreamConfig) { c.Retention = jetstream.WorkQueuePolicy }, is: ErrUnsafe, want: "reading may delete"},
		{name: "a short memory for ids", edit: func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute }, is: ErrUnsafe, want: "--dupe-window=10m"},
		{name: "a limit on messages", edit: func(c *jetstream.StreamConfig) { c.MaxMsgs = 10 }, is: ErrUnsafe, want: "--max-msgs=-1"},
		{name: "documents without expiry", down: func(c *jetstream.StreamConfig) { c.AllowMsgTTL = false }, is: ErrUnsafe, want: "nats stream edit DOWN --allow-msg-ttl"},
		{name: "one replica in production", set: func(s *Settings) { s.Production = true }, is: ErrUnsafe, want: "replicas: 3"},
		{name: "one replica where three are configured in production", set: func(s *Settings) { s.Production, s.Replicas = true, 3 }, is: ErrUnsafe, want: "nats stream edit UNITS --replicas=3"},
		{name: "settings without max_bytes", set: func(s *Settings) { s.MaxBytes = 0 }, is: ErrUnsafe, want: "set max_bytes"},
		{name: "a site without a consumer", set: func(s *Settings) { s.Sites = append(s.Sites, "west") }, is: ErrMissing, want: "consumer west of DOWN"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			js := running(t)
			for _, c := range small.configs() {
				if c.Name == Units && tt.edit != nil {
					tt.edit(&c)
				}
				if c.Name == Down && tt.down != nil {
					tt.down(&c)
				}
				if _, err := js.CreateStream(t.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			for _, site := range small.Sites {
				if err := AddSite(t.Context(), js, site); err != nil {
					t.Fatal(err)
				}
			}
			s := small
			s.Sites = append([]string(nil), small.Sites...)
			if tt.set != nil {
				tt.set(&s)
			}
			err := Check(t.Context(), js, s)
			if !errors.Is(err, tt.is) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v\nwant %q", err, tt.want)
			}
		})
	}
}

func TestWhatAnOlderVersionMadeIsRenewed(t *testing.T) {
	t.Parallel()
	js := running(t)
	for _, c := range small.configs() {
		c.AllowMsgTTL = false
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.CreateConsumer(t.Context(), Down, jetstream.ConsumerConfig{Durable: "north", FilterSubject: "down.north.>",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 16, MaxWaiting: 8}); err != nil {
		t.Fatal(err)
	}
	if err := Renew(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	for _, site := range small.Sites {
		if err := AddSite(t.Context(), js, site); err != nil {
			t.Fatal(err)
		}
	}
	if err := Check(t.Context(), js, small); err != nil {
		t.Error(err)
	}
}

func TestCheckOfAnEmptyServerCreatesNothing(t *testing.T) {
	t.Parallel()
	js := running(t)
	if err := Check(t.Context(), js, small); !errors.Is(err, ErrMissing) || !strings.Contains(err.Error(), "vagus hub provision") {
		t.Errorf("got %v", err)
	}
	for name := range js.StreamNames(t.Context()).Name() {
		t.Errorf("stream %s was made", name)
	}
	if err := AddSite(t.Context(), js, "north"); !errors.Is(err, ErrMissing) {
		t.Errorf("add site: %v", err)
	}
}

func TestARemapRequestIsCheckedBeforeItIsSent(t *testing.T) {
	t.Parallel()
	js := running(t)
	if err := Provision(t.Context(), js, small); err != nil {
		t.Fatal(err)
	}
	good := Remap{Message: "abc", Feed: "adt", Request: "r-1"}
	for _, tt := range []struct {
		name, site string
		r          Remap
		ok         bool
	}{
		{"complete", "north", good, true},
		{"a site that is no token", "north.x", good, false},
		{"no message", "north", Remap{Feed: "adt", Request: "r"}, false},
		{"a message that would be a wildcard", "north", Remap{Message: ">", Feed: "adt", Request: "r"}, false},
		{"a feed that is no token", "north", Remap{Message: "abc", Feed: "a b", Request: "r"}, false},
		{"a request that would break a header", "north", Remap{Message: "abc", Feed: "adt", Request: "r\r\nX: y"}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := RequestRemap(t.Context(), js, tt.site, tt.r); (err == nil) != tt.ok {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSubjectsDoNotGrowWithUnits(t *testing.T) {
	t.Parallel()
	subjects := map[string]bool{}
	for n := range 10_000 {
		u := broker.Unit{ID: broker.NewMessageID("main", "north", "adt", strconv.Itoa(n), nil), Site: "north", Target: "odoo", Feed: "adt", Key: strconv.Itoa(n % 500)}
		subjects[UnitSubject(&u)] = true
	}
	if len(subjects) > broker.Partitions {
		t.Errorf("10,000 units of a feed travel on %d subjects: a server keeps each of them in memory", len(subjects))
	}
}

func TestAUnitsSubjectIsReadBack(t *testing.T) {
	t.Parallel()
	u := broker.Unit{ID: "1", Site: "north", Target: "odoo", Feed: "adt", Key: "a"}
	want := fmt.Sprintf("unit.north.odoo.%d.adt.", u.Partition())
	for lane, token := range map[string]string{"": "live", "bulk": "bulk"} {
		u.Lane = lane
		subject := UnitSubject(&u)
		site, target, partition, feed, err := ParseUnitSubject(subject)
		if subject != want+token || site != "north" || target != "odoo" || partition != u.Partition() || feed != "adt" || err != nil {
			t.Error(subject, site, target, partition, feed, err)
		}
	}
	if _, _, partition, _, err := ParseUnitSubject("unit.north.odoo.7.adt.k3q9w2m4x7b1z"); partition != 7 || err != nil {
		t.Errorf("a unit of an older site: partition %d, %v", partition, err)
	}
	for _, bad := range []string{"", "unit.a.b.c.d.e", "unit.a.b.1.d", "other.a.b.1.d.e", "unit.a.b.1.d.e.f"} {
		if _, _, _, _, err := ParseUnitSubject(bad); err == nil {
			t.Errorf("%q is read", bad)
		}
	}
}
