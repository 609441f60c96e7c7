package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/journal"
	"github.com/vagus-health/vagus/internal/config"
)

// MaxStored is how many messages StoredMessages returns at most, and
// maxStoredBytes how much they hold together.
const (
	MaxStored      = 1_000_000
	maxStoredBytes = 2 << 30
)

// lanes are the journal's feeds as an agent's configuration has them.
func lanes(cfg *config.Agent) []journal.Feed {
	out := make([]journal.Feed, len(cfg.Feeds))
	for i, c := range cfg.Feeds {
		limit := c.MaxBytes
		if limit == 0 {
			limit = cfg.Journal.MaxBytes
		}
		out[i] = journal.Feed{Name: c.Name, MaxBytes: limit}
	}
	return out
}

// A StoredMessage is a message of a journal as tools read it.
type StoredMessage struct {
	ID   string
	Body broker.PHI
}

// StoredMessages returns the last messages of a feed of a site, oldest first: 1
// to MaxStored. A running agent gives them over the socket in its data
// directory, to its own user; of one that does not run the journal is opened.
func StoredMessages(ctx context.Context, cfg *config.Agent, feed string, last int) ([]StoredMessage, error) {
	var names []string
	for _, f := range cfg.Feeds {
		names = append(names, f.Name)
	}
	if !slices.Contains(names, feed) {
		return nil, fmt.Errorf("the agent has no feed %q: it has %s", feed, strings.Join(names, ", "))
	}
	if last < 1 || last > MaxStored {
		return nil, fmt.Errorf("the last 1 to %d messages can be read, not %d", MaxStored, last)
	}
	kept := tail{last: last}
	err := askAgent(ctx, socketOf(cfg.DataDir), feed, last, kept.add)
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ECONNREFUSED) { // no agent runs here
		err = readJournal(ctx, cfg, feed, last, kept.add)
	}
	if err != nil {
		return nil, err
	}
	return kept.messages(), nil
}

// readJournal opens the journal of an agent that does not run.
func readJournal(ctx context.Context, cfg *config.Agent, feed string, last int, add func(StoredMessage) error) (err error) {
	dir := filepath.Join(cfg.DataDir, "journal")
	if _, err := os.Stat(dir); err != nil { // opening it would make one
		return err
	}
	j, err := journal.Open(ctx, journal.Config{Dir: dir, Feeds: lanes(cfg), Key: cfg.Journal.EncryptionKey})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	return j.Tail(ctx, feed, int64(last), func(e journal.Entry) error { return add(StoredMessage{e.ID, e.Body}) })
}

// A tail keeps the last of what it is given.
type tail struct {
	last  int
	bytes int
	all   []StoredMessage
}

func (t *tail) add(m StoredMessage) error {
	if len(t.all) >= 2*t.last { // not one by one: the front is moved
		t.all = t.messages()
	}
	if t.bytes += len(m.Body); t.bytes > maxStoredBytes {
		return fmt.Errorf("the messages hold over %d MiB: read fewer of them", maxStoredBytes>>20)
	}
	t.all = append(t.all, m)
	return nil
}

func (t *tail) messages() []StoredMessage {
	return append([]StoredMessage(nil), t.all[max(0, len(t.all)-t.last):]...)
}
