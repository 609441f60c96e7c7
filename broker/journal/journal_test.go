package journal_test

import (
	"context"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
)

// open opens a journal that the test's end closes.
func open(tb testing.TB, cfg journal.Config) *journal.Journal {
	tb.Helper()
	if cfg.Dir == "" {
		cfg.Dir = tb.TempDir()
	}
	if cfg.Feeds == nil {
		cfg.Feeds = []journal.Feed{{Name: "adt", MaxBytes: 256 << 20}}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(tb.Output(), nil))
	}
	j, err := journal.Open(context.Background(), cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := j.Close(); err != nil {
			tb.Error(err)
		}
	})
	return j
}

// message is the i-th message of a feed.
func message(feed string, i int64, body []byte) *broker.Message {
	sender := strconv.FormatInt(i, 10)
	return &broker.Message{
		ID: broker.NewMessageID("t", "north", feed, sender, body), Tenant: "t", Site: "north", Feed: feed,
		Format: "hl7v2", Kind: "ADT^A08", SenderID: sender, ReceivedAt: time.Now().UTC(), Body: body,
	}
}
