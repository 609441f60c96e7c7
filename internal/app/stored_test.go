package app

import (
	"fmt"
	"path/filepath"
	"strings"
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
		t.Errorf("while the agent runs: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for last, want := range map[int]int{1: 1, 7: 7, 25: 25, 1000: 25} {
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
}
