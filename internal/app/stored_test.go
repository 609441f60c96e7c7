package app

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/internal/config"
)

func TestTheLastMessagesOfAFeedAreReadFromAStoppedSite(t *testing.T) {
	t.Parallel()
	cfg := config.NewAgent()
	cfg.DataDir = t.TempDir()
	cfg.Feeds = []config.Feed{{Name: "adt"}, {Name: "lab"}}
	j, err := journal.Open(t.Context(), journal.Config{Dir: filepath.Join(cfg.DataDir, "journal"), Feeds: lanes(cfg), Key: cfg.Journal.EncryptionKey, Provision: true})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 25 {
		m := &broker.Message{Tenant: "t", Site: "s", Feed: "adt", Format: "hl7v2", SenderID: fmt.Sprint(i), ReceivedAt: time.Now().UTC(), Body: broker.PHI(fmt.Sprintf("message %d", i))}
		m.ID = broker.NewMessageID("t", "s", "adt", m.SenderID, m.Body)
		if err := j.Append(t.Context(), "adt", m); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := StoredMessages(t.Context(), cfg, "adt", 5); err == nil || !strings.Contains(err.Error(), "stop the other agent") {
		t.Errorf("while an agent without a socket runs: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for last, want := range map[int]int{1: 1, 7: 7, 25: 25, MaxStored: 25} {
		got, err := StoredMessages(t.Context(), cfg, "adt", last)
		if err != nil || len(got) != want || string(got[len(got)-1].Body) != "message 24" || string(got[0].Body) != fmt.Sprintf("message %d", 25-want) {
			t.Errorf("last %d: %d messages, %v", last, len(got), err)
		}
	}
	if got, err := StoredMessages(t.Context(), cfg, "lab", 5); err != nil || len(got) != 0 {
		t.Errorf("an empty feed: %d, %v", len(got), err)
	}
	if _, err := StoredMessages(t.Context(), cfg, "pharmacy", 5); err == nil || !strings.Contains(err.Error(), "it has adt, lab") {
		t.Error(err)
	}
	for _, last := range []int{0, -1, MaxStored + 1} {
		if _, err := StoredMessages(t.Context(), cfg, "adt", last); err == nil {
			t.Errorf("the last %d messages were read", last)
		}
	}
	empty := *cfg
	empty.DataDir = t.TempDir()
	if _, err := StoredMessages(t.Context(), &empty, "adt", 5); err == nil || !strings.Contains(err.Error(), "journal: no such file") {
		t.Error(err)
	}
	if left, _ := os.ReadDir(empty.DataDir); len(left) != 0 {
		t.Error("reading what is not there has made", left)
	}
}

func TestASocketThatACrashLeftIsReplaced(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "vagus")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	path := socketOf(dir)
	for range 2 {
		l, err := listenStored(path)
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := askAgent(t.Context(), path, "adt", 1, nil); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
	}
	if _, err := listenStored(socketOf(filepath.Join(dir, strings.Repeat("x", 100)))); err == nil || !strings.Contains(err.Error(), "more than the 107 bytes") {
		t.Error(err)
	}
}
