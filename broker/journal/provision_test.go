package journal_test

import (
	"bytes"
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

func TestAStartChecksWhatWasProvisioned(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	adt := []journal.Feed{{Name: "adt", MaxBytes: 64 << 20}}
	edit := func(change func(*jetstream.StreamConfig)) func(*testing.T, string) {
		return func(t *testing.T, dir string) { editStream(t, dir, change) }
	}
	for _, c := range []struct {
		name    string
		before  journal.Config // the start that provisions
		between func(t *testing.T, dir string)
		after   journal.Config
		err     string // "" for none
	}{
		{name: "nothing changed", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: adt}},
		{name: "nothing changed, encrypted", before: journal.Config{Feeds: adt, Key: broker.NewSecret(key)}, after: journal.Config{Feeds: adt, Key: broker.NewSecret(key)}},
		{name: "a wrong key", before: journal.Config{Feeds: adt, Key: broker.NewSecret(key)}, after: journal.Config{Feeds: adt, Key: broker.NewSecret("another one")}, err: "not the one that the store"},
		{name: "no key", before: journal.Config{Feeds: adt, Key: broker.NewSecret(key)}, after: journal.Config{Feeds: adt}, err: "is encrypted: configure its key"},
		{name: "a key for a clear store", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: adt, Key: broker.NewSecret(key)}, err: "take the key out"},
		{name: "a new feed", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: append(adt, journal.Feed{Name: "lab"})}, err: "feed lab is new"},
		{name: "a new feed that is allowed", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: append(adt, journal.Feed{Name: "lab"}), Provision: true}},
		{name: "a feed less", before: journal.Config{Feeds: append(adt, journal.Feed{Name: "lab"})}, after: journal.Config{Feeds: adt}},
		{name: "another limit", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 1 << 20}}}, err: "start once with journal: { provision: true }"},
		{name: "another limit that is allowed", before: journal.Config{Feeds: adt}, after: journal.Config{Feeds: []journal.Feed{{Name: "adt", MaxBytes: 1 << 20}}, Provision: true}},
		{name: "a missing stream", before: journal.Config{Feeds: adt}, between: func(t *testing.T, dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "store", "jetstream", "$G", "streams", "JOURNAL_adt")))
		}, after: journal.Config{Feeds: adt, Provision: true}, err: "is missing"},
		{name: "a missing register", before: journal.Config{Feeds: adt}, between: func(t *testing.T, dir string) {
			must(t, os.Remove(filepath.Join(dir, "journal.json")))
		}, after: journal.Config{Feeds: adt, Provision: true}, err: "no journal.json"},
		{name: "a damaged register", before: journal.Config{Feeds: adt}, between: func(t *testing.T, dir string) {
			must(t, os.WriteFile(filepath.Join(dir, "journal.json"), []byte("{"), 0o600))
		}, after: journal.Config{Feeds: adt}, err: "damaged"},
		{name: "discard old", before: journal.Config{Feeds: adt}, between: edit(func(c *jetstream.StreamConfig) { c.Discard = jetstream.DiscardOld }), after: journal.Config{Feeds: adt, Provision: true}, err: "discard is DiscardOld"},
		{name: "persist mode async", before: journal.Config{Feeds: adt}, between: edit(func(c *jetstream.StreamConfig) { c.PersistMode = jetstream.AsyncPersistMode }), after: journal.Config{Feeds: adt, Provision: true}, err: "persist_mode"},
		{name: "a maximum age", before: journal.Config{Feeds: adt}, between: edit(func(c *jetstream.StreamConfig) { c.MaxAge = 1e15 }), after: journal.Config{Feeds: adt, Provision: true}, err: "max_age"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			c.before.Dir = t.TempDir()
			c.after.Dir = c.before.Dir
			j, err := journal.Open(ctx, settings(t, c.before))
			must(t, err)
			must(t, j.Append(ctx, "adt", message("adt", 1, []byte("x"))))
			closeJournal(t, j)
			if c.between != nil {
				c.between(t, c.before.Dir)
			}
			j, err = journal.Open(ctx, settings(t, c.after))
			if c.err != "" {
				if err == nil {
					closeJournal(t, j)
				}
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("it gives %v, want %q", err, c.err)
				}
				if c.between != nil {
					return
				}
				if j, err = journal.Open(ctx, settings(t, c.before)); err != nil { // nothing was destroyed
					t.Fatal(err)
				}
			} else if err != nil {
				t.Fatal(err)
			}
			defer closeJournal(t, j)
			if got := entries(t, j, "adt", journal.Position{}); len(got) != 1 {
				t.Errorf("%d entries, want 1", len(got))
			}
			for _, f := range c.after.Feeds {
				if c.err == "" {
					must(t, j.Append(ctx, f.Name, message(f.Name, 2, []byte("x"))))
				}
			}
		})
	}
}

// editStream changes a stream's settings behind the journal's back.
func editStream(t *testing.T, dir string, change func(*jetstream.StreamConfig)) {
	t.Helper()
	srv, err := server.NewServer(&server.Options{DontListen: true, NoSigs: true, JetStream: true, StoreDir: filepath.Join(dir, "store")})
	must(t, err)
	srv.Start()
	defer func() { srv.Shutdown(); srv.WaitForShutdown() }()
	nc, err := nats.Connect("", nats.InProcessServer(srv))
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	s, err := js.Stream(context.Background(), "JOURNAL_adt")
	must(t, err)
	cfg := s.CachedInfo().Config
	change(&cfg)
	must(t, js.DeleteStream(context.Background(), cfg.Name)) // not everything can be updated
	// The server removes the directory behind its answer.
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		if _, err = js.CreateStream(context.Background(), cfg); err == nil || time.Now().After(deadline) {
			break
		}
	}
	must(t, err)
}

func TestTwoAgentsCanNotHaveOneStore(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	open(t, journal.Config{Dir: dir})
	if _, err := journal.Open(context.Background(), settings(t, journal.Config{Dir: dir})); err == nil || !strings.Contains(err.Error(), "held by another") {
		t.Errorf("the second one gets %v", err)
	}
}

func TestWhatIdentifiesAPatientIsInNoLogErrorOrFileName(t *testing.T) {
	t.Parallel()
	const canary = "Canary-Siobhan"
	var said, logged bytes.Buffer // the journal logs while the test goes on
	dir := t.TempDir()
	cfg := journal.Config{Dir: dir, MaxMessage: 1000, Feeds: []journal.Feed{{Name: "adt", MaxBytes: 20_000}}, Key: broker.NewSecret("0123456789abcdef"),
		Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	ctx := context.Background()
	j, err := journal.Open(ctx, cfg)
	must(t, err)
	note := func(err error) {
		if err != nil {
			said.WriteString(err.Error())
		}
	}
	for i := range int64(30) {
		m := message("adt", i, bytes.Repeat([]byte(canary), 50))
		m.SenderID, m.Kind, m.Group.ID = canary, canary, canary
		m.ID = broker.NewMessageID("t", "s", "adt", string(rune(i)), m.Body)
		note(j.Append(ctx, "adt", m))
		if i == 0 {
			_, err := j.Read(ctx, "adt", journal.Position{Seq: 5, ID: m.ID})
			note(err)
		}
	}
	note(j.Append(ctx, "adt", message("adt", 1, bytes.Repeat([]byte(canary), 500))))
	note(j.Append(ctx, "adt", batch(100, 5, bytes.Repeat([]byte(canary), 50))...))
	closeJournal(t, j)
	said.Write(logged.Bytes())
	if !strings.Contains(said.String(), "full") {
		t.Error("the test has provoked nothing")
	}
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		said.WriteString(path)
		if err == nil && d.Type().IsRegular() { // the store is encrypted
			b, err := os.ReadFile(path)
			said.Write(b)
			return err
		}
		return err
	}))
	if strings.Contains(said.String(), "Canary") {
		t.Error("the canary is in what was logged, returned, named or written")
	}
}
