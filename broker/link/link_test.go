package link

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.uber.org/goleak"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/stream"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		// nats-server starts these once for a process and never ends them.
		goleak.IgnoreTopFunction("github.com/nats-io/nats-server/v2/server.init.0.func1"),
		goleak.IgnoreAnyFunction("github.com/nats-io/nats-server/v2/server.(*fileStore).flushLoop"))
}

func TestALoneUnitGoesAtOnceWithItsHeaders(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	l, _ := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne})
	until(t, "the link is up", func() bool { return l.State(t.Context()).Connected })
	m := message(1, "Anna")
	m.Trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	j.add(m)
	until(t, "the unit is in UNITS", func() bool { return stored(t, js) == 1 })
	got := units(t, js)[0]
	u, err := broker.DecodeUnit(got.Data)
	if err != nil {
		t.Fatal(err)
	}
	for k, want := range map[string]string{
		nats.MsgIdHdr: u.ID, stream.HeaderUnit: u.ID, stream.HeaderMessage: m.ID, stream.HeaderJournalSeq: "1", stream.HeaderPart: "1/1",
		stream.HeaderTrace: "", "ce-id": u.ID, "ce-source": "/vagus/main/north/adt", stream.HeaderRemap: "",
	} {
		if got.Header.Get(k) != want {
			t.Errorf("header %s is %q, want %q", k, got.Header.Get(k), want)
		}
	}
	if want := fmt.Sprintf("unit.north.odoo.%d.adt.live", u.Partition()); got.Subject != want {
		t.Errorf("subject %s, want %s", got.Subject, want)
	}
	until(t, "nothing waits", func() bool {
		s := l.State(t.Context()).Lanes[0]
		return s.Backlog == 0 && s.Sent == Position{1, m.ID} && s.Error == "" && s.Oldest.IsZero()
	})
}

func TestNothingIsLostDoubledOrReordered(t *testing.T) {
	t.Parallel()
	const n = 3000
	for _, tt := range []struct {
		name  string
		fault func(c *cloud, w *wire)
	}{
		{"when the link is cut again and again", func(_ *cloud, w *wire) {
			for range 4 {
				w.cut()
				time.Sleep(time.Duration(50+rand.IntN(100)) * time.Millisecond)
				w.mend()
				time.Sleep(time.Duration(100+rand.IntN(200)) * time.Millisecond)
			}
		}},
		{"when the link freezes and thaws after it was given up", func(_ *cloud, w *wire) {
			w.freeze()
			time.Sleep(1500 * time.Millisecond)
			w.thaw()
		}},
		{"when the link freezes for good and a new one is made", func(_ *cloud, w *wire) {
			w.freeze()
			time.Sleep(1200 * time.Millisecond)
			w.cut()
			w.thaw()
			w.mend()
		}},
		{"when the hub restarts on the same store", func(c *cloud, _ *wire) {
			c.hub.Close()
			c.start()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c, j := newCloud(t, hub.Config{PingInterval: 300 * time.Millisecond}), newMemory()
			var addr atomic.Value
			addr.Store(strings.TrimPrefix(c.hub.URL(), "tls://"))
			w := newWire(t, func() string { return addr.Load().(string) })
			l, _ := running(t, Config{Bundle: c.bundle, URLs: []string{w.url()}, Journal: j, Map: mapThree, Ping: 300 * time.Millisecond, AckTimeout: 2 * time.Second})
			filled := make(chan struct{})
			go func() {
				defer close(filled)
				for range n / 30 {
					j.fill(30, "body")
					time.Sleep(20 * time.Millisecond)
				}
			}()
			until(t, "units flow", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq > 100 })
			tt.fault(c, w)
			addr.Store(strings.TrimPrefix(c.hub.URL(), "tls://"))
			<-filled
			until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == n })
			sameAsJournal(t, c.worker(), j, mapThree)
		})
	}
}

func TestAnAgentThatWasKilledGoesOnInTheMiddleOfAMessage(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	c.forgetIDs()
	j.fill(2, "body")
	// What an agent leaves that dies after the second of the three units of the first message.
	l, err := New(Config{Bundle: c.bundle, Feeds: []string{"adt"}, Journal: j, Map: mapThree})
	if err != nil {
		t.Fatal(err)
	}
	parcels, err := l.lanes["adt"].mapEntry(t.Context(), j.entries[0])
	if err != nil {
		t.Fatal(err)
	}
	site := siteConn(t, c)
	for _, p := range parcels[:2] {
		if _, err := site.PublishMsg(t.Context(), p.msg); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(150 * time.Millisecond) // for the ids to be forgotten
	running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapThree})
	until(t, "the other four units are there", func() bool { return stored(t, js) >= 6 })
	sameAsJournal(t, js, j, mapThree)
}

func TestStoppedAndStartedManyTimes(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	c.forgetIDs()
	for round := range 6 {
		j.fill(200, "body")
		l, stop := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapThree})
		until(t, "some are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq > uint64(round*200+20) })
		stop()
		time.Sleep(150 * time.Millisecond) // for the ids to be forgotten
	}
	l, _ := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapThree})
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 1200 })
	sameAsJournal(t, js, j, mapThree)
}

func TestTheIdDecidesNotTheSequence(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	j.fill(5, "before")
	l, stop := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne})
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 5 })
	stop()
	// A journal that lost its end and has used the sequences again.
	cut := newMemory()
	cut.add(j.entries[0].Message, j.entries[1].Message)
	for i := range 5 {
		cut.add(message(100+i, "after"))
	}
	said, err := os.Create(filepath.Join(t.TempDir(), "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	l, stop = running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: cut, Map: mapOne, Logger: slog.New(slog.NewTextHandler(said, nil))})
	until(t, "all of the new ones are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 7 })
	if s := l.State(t.Context()).Lanes[0]; s.Damaged != j.entries[4].Position || s.DamagedAt.IsZero() {
		t.Errorf("it is not found that the end of the journal is lost: %+v", s)
	}
	stop()
	text, err := os.ReadFile(said.Name())
	if text := string(text); err != nil || strings.Count(text, "level=ERROR") != 1 || !strings.Contains(text, "the journal is damaged") || !strings.Contains(text, "feed=adt message="+j.entries[4].ID+" sequence=5 journal_newest=7") {
		t.Errorf("it is not said that the end of the journal is lost: %s", text)
	}
	j.add(message(100, "after"), message(101, "after"), message(102, "after"), message(103, "after"), message(104, "after"))
	sameAsJournal(t, js, j, mapOne)
}

func TestAJournalThatIsTrimmedIsNotDamaged(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	j.fill(5, "before")
	cfg := Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne}
	l, stop := running(t, cfg)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 5 })
	stop()
	j.first = 5
	j.fill(1, "after")
	l, _ = running(t, cfg)
	until(t, "the new one is sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 6 })
	if s := l.State(t.Context()).Lanes[0]; s.Damaged != (Position{}) || !s.DamagedAt.IsZero() {
		t.Errorf("%+v", s)
	}
	sameAsJournal(t, js, j, mapOne)
}

func TestAUnitThatIsTooLargeBecomesADeadLetterInItsPlace(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{MaxPayload: 64 << 10}), newMemory()
	js := c.worker()
	j.add(message(1, "a"), message(2, strings.Repeat("x", 100<<10)), message(3, "c"))
	running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne})
	until(t, "three units are there", func() bool { return stored(t, js) == 3 })
	sameAsJournal(t, js, j, mapOne)
	u, err := broker.DecodeUnit(units(t, js)[1].Data)
	if err != nil {
		t.Fatal(err)
	}
	if u.Verdict != broker.DeadLetter || u.Class != "link.too_large" || len(u.Ops) != 0 || u.Key == "" {
		t.Errorf("unit 2 is %s %s with %d operations and key %q", u.Verdict, u.Class, len(u.Ops), u.Key)
	}
}

func TestADuplicateInABatchStopsNothing(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	m := message(1, "same")
	j.fill(20, "body")
	j.entries[0].Message, j.entries[0].ID = m, m.ID
	j.add(m) // the journal's own memory of it is over: it stands there twice
	j.fill(20, "body")
	l, _ := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne})
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 41 })
	j.entries = append(j.entries[:20], j.entries[21:]...)
	sameAsJournal(t, js, j, mapOne)
}

// A damaged journal has lost its end: all of what is left is in the cloud, more than a batch holds.
func TestALaneGetsPastManyMessagesThatTheCloudHas(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	const many = 3 * batchMax
	j.fill(many+1, "body")
	cfg := Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne}
	l, stop := running(t, cfg)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == many+1 })
	stop()
	cut := newMemory()
	for _, e := range j.entries[:many] {
		cut.add(e.Message)
	}
	cut.add(message(many+2, "after"))
	cfg.Journal = cut
	running(t, cfg)
	until(t, "the new one is sent", func() bool { return stored(t, js) == many+2 })
	j.add(message(many+2, "after"))
	sameAsJournal(t, js, j, mapOne)
}

func TestALaneGoesOnWhereTheCloudHasAMessageThatStandsInTheJournalTwice(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	m := message(1, "same")
	j.add(m)
	cfg := Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne}
	l, stop := running(t, cfg)
	until(t, "the first is sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 1 })
	stop()
	j.fill(20, "body")
	j.add(m)
	j.fill(20, "body")
	l, _ = running(t, cfg)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 42 })
	j.entries = append(j.entries[:21], j.entries[22:]...)
	sameAsJournal(t, js, j, mapOne)
}

func TestAMappingThatFailsIsTriedAgainAndKeepsTheOrder(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	j.fill(30, "body")
	var broken atomic.Bool
	broken.Store(true)
	bad := j.entries[10].ID
	l, _ := running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: func(ctx context.Context, m *broker.Message) ([]*broker.Unit, error) {
		if m.ID == bad && broken.Load() {
			return nil, errors.New("a table is missing")
		}
		return mapOne(ctx, m)
	}})
	until(t, "all before it are sent and the lane says why it stands", func() bool {
		s := l.State(t.Context()).Lanes[0]
		return s.Sent.Seq == 10 && s.Error == "mapping" && s.Backlog == 20 && !s.Oldest.IsZero()
	})
	broken.Store(false)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 30 })
	sameAsJournal(t, js, j, mapOne)
}

func TestRemapSendsTheUnitsAgainAndTheLaneStillKnowsItsPlace(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	js := c.worker()
	c.forgetIDs()
	j.fill(5, "body")
	cfg := Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapOne}
	l, stop := running(t, cfg)
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 5 })
	req := stream.Remap{Message: j.entries[1].ID, Feed: "adt", Request: "r1"}
	for range 2 { // asking twice is asking once
		if err := stream.RequestRemap(t.Context(), js, "north", req); err != nil {
			t.Fatal(err)
		}
	}
	for _, bad := range []stream.Remap{{Message: "nowhere", Feed: "adt", Request: "r2"}, {Message: j.entries[1].ID, Feed: "other", Request: "r3"}} {
		if err := stream.RequestRemap(t.Context(), js, "north", bad); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := js.Publish(t.Context(), stream.DownSubject("north", "dance", "x"), nil); err != nil {
		t.Fatal(err)
	}
	down := func() *jetstream.ConsumerInfo {
		cons, err := js.Consumer(t.Context(), stream.Down, "north")
		if err != nil {
			t.Fatal(err)
		}
		return cons.CachedInfo()
	}
	until(t, "every command is answered", func() bool { i := down(); return i.NumPending == 0 && i.NumAckPending == 0 })
	got := units(t, js)
	if len(got) != 6 {
		t.Fatalf("UNITS has %d units, want 6", len(got))
	}
	again := got[5]
	id := broker.NewUnitID(req.Message, "a")
	if again.Header.Get(stream.HeaderRemap) != "r1" || again.Header.Get(stream.HeaderUnit) != id || again.Header.Get(nats.MsgIdHdr) != id+":r1" || again.Header.Get(stream.HeaderMessage) != req.Message {
		t.Errorf("the unit that was asked for has headers %v", again.Header)
	}
	stop()
	time.Sleep(150 * time.Millisecond) // for the ids to be forgotten
	j.fill(1, "body")
	l, _ = running(t, cfg)
	until(t, "the next is sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == 6 })
	if n := stored(t, js); n != 7 {
		t.Errorf("UNITS has %d units, want 7: the lane forgot its place", n)
	}
}

func TestTrimmingFollowsWhatTheCloudHas(t *testing.T) {
	t.Parallel()
	c, j := newCloud(t, hub.Config{}), newMemory()
	j.fill(3, "body")
	running(t, Config{Bundle: c.bundle, URLs: []string{c.hub.URL()}, Journal: j, Map: mapThree, TrimEvery: 10 * time.Millisecond})
	until(t, "the journal may forget all three", func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		return len(j.trimmed) > 0 && j.trimmed[len(j.trimmed)-1] == j.entries[2].Position
	})
}

// siteConn returns a plain connection of site north.
func siteConn(t testing.TB, c *cloud) jetstream.JetStream {
	t.Helper()
	nc, err := Connect(c.bundle, Dial{URLs: []string{c.hub.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	until(t, "the site is connected", nc.IsConnected)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
