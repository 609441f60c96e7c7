package powercut

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

// What the child does, by environment.
const (
	envDir     = "VAGUS_POWERCUT_DIR" // its store; set: we are the child
	envSenders = "VAGUS_POWERCUT_SENDERS"
	envKey     = "VAGUS_POWERCUT_KEY"
	envMode    = "VAGUS_POWERCUT_MODE"
	envFrom    = "VAGUS_POWERCUT_FROM"
)

// Modes of the child.
const (
	group  = "group commit"
	always = "sync always"
	steps  = "steps" // several messages at a time
	trim   = "trim"  // removes what is older than a moment meanwhile
	stock  = "stock" // no journal: a plain server that acknowledges before it syncs
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := child(dir, os.Getenv(envMode)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

const (
	stepSize  = 20
	senderIDs = 1_000_000 // from one sender's first id to the next one's
	cutIDs    = 100_000   // from one cut's first id to the next one's
)

var body = make([]byte, 1200)

func message(i int) *broker.Message {
	sender := strconv.Itoa(i)
	return &broker.Message{ID: broker.NewMessageID("t", "north", "adt", sender, body), Tenant: "t", Site: "north", Feed: "adt", SenderID: sender, ReceivedAt: time.Now(), Body: body}
}

func config(dir, mode, key string, log *slog.Logger) journal.Config {
	return journal.Config{Dir: filepath.Join(dir, "journal"), Feeds: []journal.Feed{{Name: "adt", MaxBytes: 400 << 20}},
		Key: broker.NewSecret(key), SyncAlways: mode == always, MinFree: 1, Logger: log}
}

// child appends until it is killed and prints, for every message that was
// acknowledged, its sender id and when it was received.
func child(dir, mode string) error {
	ctx := context.Background()
	var out sync.Mutex
	say := func(s string) {
		out.Lock()
		defer out.Unlock()
		_, _ = os.Stdout.WriteString(s + "\n")
	}
	var accept broker.Accept
	if mode == stock {
		js, _, err := stockServer(dir)
		if err != nil {
			return err
		}
		accept = func(ctx context.Context, ms ...*broker.Message) error {
			_, err := js.Publish(ctx, "journal.adt."+broker.ShortID(ms[0].ID), ms[0].Body)
			return err
		}
	} else {
		log := slog.New(slog.NewTextHandler(os.Stderr, nil))
		j, err := journal.Open(ctx, config(dir, mode, os.Getenv(envKey), log))
		if err != nil {
			return err
		}
		accept = func(ctx context.Context, ms ...*broker.Message) error { return j.Append(ctx, "adt", ms...) }
		if mode == trim {
			go trimming(ctx, j)
		}
	}
	n, _ := strconv.Atoi(os.Getenv(envSenders))
	from, _ := strconv.Atoi(os.Getenv(envFrom))
	failed := make(chan error, n)
	for s := range n {
		go func() {
			for i := s*senderIDs + from; ; {
				ms := []*broker.Message{message(i)}
				for mode == steps && s%2 == 0 && len(ms) < stepSize {
					ms = append(ms, message(i+len(ms)))
				}
				for k, m := range ms {
					m.Group = broker.Group{ID: strconv.Itoa(i), Index: k, Count: len(ms)}
				}
				if err := accept(ctx, ms...); err != nil {
					failed <- err
					return
				}
				for _, m := range ms {
					say(m.SenderID + " " + strconv.FormatInt(m.ReceivedAt.UnixNano(), 10))
				}
				i += len(ms)
			}
		}()
	}
	return <-failed
}

// kept is how young an entry must be for the child not to trim it.
const kept = 300 * time.Millisecond

// trimming removes entries all the time, so that the server rewrites and
// removes blocks all the time.
func trimming(ctx context.Context, j *journal.Journal) {
	for {
		if st, err := j.Stats(ctx, "adt"); err == nil && st.Messages > 0 {
			_, _ = j.Trim(ctx, "adt", st.Last, time.Now().Add(-kept))
		}
	}
}

func stockServer(dir string) (_ jetstream.JetStream, stop func(), err error) {
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: dir})
	if err != nil {
		return nil, nil, err
	}
	srv.Start()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, nil, err
	}
	_, err = js.CreateOrUpdateStream(context.Background(), jetstream.StreamConfig{Name: "JOURNAL_adt", Subjects: []string{"journal.adt.*"}, AllowDirect: true})
	return js, func() { nc.Close(); srv.Shutdown(); srv.WaitForShutdown() }, err
}

func TestAPowerCutLosesNothingThatWasAcknowledged(t *testing.T) {
	if !possible(t) {
		return
	}
	for _, c := range []struct {
		senders int
		mode    string
		key     string
		cuts    int
	}{
		{1, group, "", 2}, {8, group, "", 2}, {64, group, "", 3},
		{64, group, "0123456789abcdef", 2},
		{16, steps, "", 2}, {16, trim, "", 2}, {16, trim, "0123456789abcdef", 1}, {8, always, "", 1},
	} {
		t.Run(fmt.Sprintf("%d senders, %s, encrypted %v", c.senders, c.mode, c.key != ""), func(t *testing.T) {
			d := newDisk(t, "700M")
			var acked []string
			for cut := range c.cuts { // each on what the one before has left
				load := 400*time.Millisecond + rand.N(700*time.Millisecond)
				lines := cutUnderLoad(t, d, load, envDir+"="+d.Mount, envMode+"="+c.mode, envKey+"="+c.key,
					envSenders+"="+strconv.Itoa(c.senders), envFrom+"="+strconv.Itoa(cut*cutIDs))
				acked = append(acked, lines...)
				check(t, d, c.mode, c.key, acked)
			}
		})
	}
}

// The harness itself: a server that acknowledges before it syncs must be seen
// to lose messages.
func TestThePowerCutIsSeenByAServerThatDoesNotSync(t *testing.T) {
	if !possible(t) {
		return
	}
	d := newDisk(t, "700M")
	acked := cutUnderLoad(t, d, time.Second, envDir+"="+d.Mount, envMode+"="+stock, envSenders+"=8")
	js, stop, err := stockServer(d.Mount)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	s, err := js.Stream(context.Background(), "JOURNAL_adt")
	if err != nil {
		t.Fatal(err)
	}
	left := int(s.CachedInfo().State.Msgs)
	t.Logf("%d acknowledged, %d in the stream, %d lost", len(acked), left, len(acked)-left)
	if len(acked) < 100 || left >= len(acked) {
		t.Error("nothing is lost: this harness proves nothing here")
	}
}

// check opens the journal and compares it with what was acknowledged.
func check(t *testing.T, d *bed.Disk, mode, key string, acked []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	j, err := journal.Open(ctx, config(d.Mount, mode, key, slog.New(slog.NewTextHandler(t.Output(), nil))))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := j.Close(); err != nil {
			t.Error(err)
		}
	}()
	st, err := j.Stats(ctx, "adt")
	if err != nil {
		t.Fatal(err)
	}
	r, err := j.Read(ctx, "adt", journal.Position{})
	if err != nil {
		t.Fatal(err)
	}
	found, last, steps := map[string]int{}, map[int]int{}, map[string]int{}
	for range st.Messages {
		e, err := r.Next(ctx)
		if err != nil {
			t.Fatal(err)
		}
		found[e.SenderID]++
		n, _ := strconv.Atoi(e.SenderID)
		if prev, ok := last[n/senderIDs]; ok && n != prev+1 && n%cutIDs != 0 {
			t.Errorf("sender %d: message %d follows %d", n/senderIDs, n, prev)
		}
		last[n/senderIDs] = n
		if steps[e.Group.ID]++; e.Group.Index == e.Group.Count-1 {
			if steps[e.Group.ID] == e.Group.Count {
				delete(steps, e.Group.ID)
			}
		}
	}
	if len(steps) > 0 && mode != trim {
		t.Errorf("%d steps are there by half", len(steps))
	}
	lost, trimmed := 0, 0
	var latest int64
	for _, line := range acked {
		var id string
		var at int64
		_, _ = fmt.Sscan(line, &id, &at)
		latest = max(latest, at)
	}
	for _, line := range acked {
		var id string
		var at int64
		_, _ = fmt.Sscan(line, &id, &at)
		switch {
		case found[id] == 1:
		case mode == trim && at < latest-int64(kept)*3/4:
			trimmed++
		default:
			lost++
		}
	}
	t.Logf("%d acknowledged, %d in the journal, %d trimmed, %d lost", len(acked), len(found), trimmed, lost)
	if lost > 0 || len(acked) == 0 {
		t.Errorf("%d of %d acknowledged messages are lost", lost, len(acked))
	}
}
