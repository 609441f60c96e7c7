package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/broker"
)

// Config says where a journal is and how much it may hold.
type Config struct {
	// Dir holds the journal and nothing else, best on a volume of its own
	// (ext4: see the package's documentation). An empty or missing directory is
	// provisioned; from then on a start only checks what it finds.
	Dir   string
	Feeds []Feed
	// MaxMessage is the largest body in bytes; 0 means 16 MiB, the most is 60 MiB.
	MaxMessage int
	// Key encrypts the streams at rest (AES-256-GCM of nats-server). It is
	// chosen once: a store can not change from clear to encrypted.
	Key broker.Secret
	// Provision allows this start to create streams for feeds that the store
	// does not have yet and to apply changed limits. Without it both are errors.
	Provision bool
	// SyncAlways leaves every fsync to the server, one for each message. Without
	// it that happens only where group commit is not known to be safe.
	SyncAlways bool
	// MinFree is how much of the file system must stay free, in bytes; below it
	// the journal refuses with broker.ErrFull. 0 means 256 MiB.
	MinFree int64

	Logger *slog.Logger // nil: discard
	Meter  metric.Meter // nil: none
}

// A Feed has a stream of its own.
type Feed struct {
	Name     string // 1 to 32 of a-z, 0-9 and -
	MaxBytes int64  // the stream refuses what would exceed it; 0 means 1 GiB
}

// ErrNotFound says that no entry has this id.
var ErrNotFound = errors.New("no such entry in the journal")

// A Journal is a site's durable log. All methods may be called concurrently.
type Journal struct {
	cfg    Config
	log    *slog.Logger
	met    metrics
	lock   *os.File
	group  bool // we fsync, not the server
	lanes  map[string]*lane
	poison atomic.Pointer[error] // set once: nothing is accepted until the process starts again
	full   atomic.Pointer[error] // set while the disk is full or the server stands still
	closed atomic.Bool

	mu    sync.Mutex // guards store: the server is replaced when the disk was full
	store *store
}

// Open opens the journal in cfg.Dir, or provisions it there. It fails, and
// changes nothing, if another process has it, if the key is not the store's,
// if a stream is missing, and if a stream's settings are not what this
// configuration asks for or not safe; the error says what to do.
func Open(ctx context.Context, cfg Config) (_ *Journal, err error) {
	if err := cfg.complete(); err != nil {
		return nil, fmt.Errorf("journal: %w", err)
	}
	j := &Journal{cfg: cfg, log: cfg.Logger, lanes: map[string]*lane{}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("journal: %w", err), j.shut())
		}
	}()
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, err
	}
	if j.lock, err = lockFile(filepath.Join(cfg.Dir, "lock")); err != nil {
		return nil, err
	}
	if j.group = !cfg.SyncAlways; j.group {
		ok, why := groupable(cfg.Dir)
		if j.group = ok; !ok {
			j.log.Warn("journal: no group commit here, one fsync for each message", "dir", cfg.Dir, "reason", why)
		}
	}
	for _, f := range cfg.Feeds {
		j.lanes[f.Name] = &lane{j: j, feed: f.Name, limit: f.MaxBytes, turn: make(chan struct{}, 1)}
	}
	reg, err := openRegister(cfg)
	if err != nil {
		return nil, err
	}
	j.checkDisk()
	if err := j.start(ctx, reg); err != nil {
		return nil, err
	}
	if err := j.met.init(j, cfg.Meter); err != nil {
		return nil, err
	}
	return j, nil
}

func (c *Config) complete() error {
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.MaxMessage == 0 {
		c.MaxMessage = 16 << 20
	}
	if c.MinFree == 0 {
		c.MinFree = 256 << 20
	}
	if c.Dir == "" || c.MaxMessage < 0 || c.MaxMessage > 60<<20 || len(c.Feeds) == 0 {
		return errors.New("dir, at least one feed and a max_message of at most 60 MiB are needed")
	}
	c.Feeds = append([]Feed(nil), c.Feeds...)
	seen := map[string]bool{}
	for i := range c.Feeds {
		f := &c.Feeds[i]
		if f.MaxBytes == 0 {
			f.MaxBytes = 1 << 30
		}
		if !validToken(f.Name) || len(f.Name) > 32 || seen[f.Name] || f.MaxBytes < 0 {
			return fmt.Errorf("feed %q: use a name of its own, of 1 to 32 of a-z, 0-9 and -, and a max_bytes above 0", f.Name)
		}
		seen[f.Name] = true
	}
	return nil
}

// validToken says whether s may stand in a subject and in a file's name.
func validToken(s string) bool {
	ok := s != ""
	for _, c := range s {
		ok = ok && (c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-')
	}
	return ok
}

// Append appends messages to a feed, all in one step, and returns nil only
// when all of them are on stable storage; on an error none of them will be
// read (but see ctx). A message whose ID the feed holds already counts as
// appended.
//
// The error wraps broker.ErrFull when the feed's limit or the disk's is
// reached, and is a *broker.RejectError when a message is larger than
// Config.MaxMessage. When ctx ends first the outcome is not known: the sender
// sends again, and what was stored is recognised.
func (j *Journal) Append(ctx context.Context, feed string, ms ...*broker.Message) error {
	l, err := j.lane(feed)
	if err != nil {
		return err
	}
	for _, m := range ms {
		if m.Feed != feed || !validToken(broker.ShortID(m.ID)) {
			return fmt.Errorf("journal: append to %s: a message of feed %q with an id of %d characters", feed, m.Feed, len(m.ID))
		}
		if len(m.Body) > j.cfg.MaxMessage {
			return &broker.RejectError{Code: "too_large", Err: fmt.Errorf("the message has %d bytes, the journal takes %d", len(m.Body), j.cfg.MaxMessage)}
		}
	}
	if len(ms) == 0 {
		return nil
	}
	start := time.Now()
	dups, err := l.append(ctx, ms)
	j.met.appended(ctx, feed, len(ms), dups, time.Since(start), err)
	if err != nil {
		return fmt.Errorf("journal: append to %s: %w", feed, err)
	}
	return nil
}

func (j *Journal) lane(feed string) (*lane, error) {
	if l := j.lanes[feed]; l != nil {
		return l, nil
	}
	return nil, fmt.Errorf("journal: no feed %q: add it to the configuration", feed)
}

// Err returns nil while the journal accepts messages, else why it does not:
// wrapping broker.ErrFull when that can pass, and not when the process must be
// started again.
func (j *Journal) Err() error {
	if j.closed.Load() {
		return errors.New("journal is closed")
	}
	if p := j.poison.Load(); p != nil {
		return *p
	}
	if p := j.full.Load(); p != nil {
		return *p
	}
	return nil
}

// fail stops the journal for good. After a failed fsync the kernel may have
// dropped the pages and report success the next time, so nothing that this
// process could do would make an acknowledgement true again.
func (j *Journal) fail(cause error) error {
	err := fmt.Errorf("stable storage failed, nothing is accepted until the agent is started again (check the disk and the kernel's log): %w", cause)
	if j.poison.CompareAndSwap(nil, &err) {
		j.log.Error("journal: stable storage failed, refusing everything until the agent is started again", "dir", j.cfg.Dir, "error", cause)
	}
	return *j.poison.Load()
}

// checkDisk refuses or accepts by the free space. It reports whether there is
// enough.
func (j *Journal) checkDisk() bool {
	free, err := freeBytes(j.cfg.Dir)
	if err == nil && free >= j.cfg.MinFree {
		return true
	}
	if err == nil {
		err = fmt.Errorf("%d MiB free on the file system of %s, %d MiB must stay free: %w", free>>20, j.cfg.Dir, j.cfg.MinFree>>20, broker.ErrFull)
	}
	j.refuse(err)
	return false
}

func (j *Journal) refuse(err error) {
	if j.full.Swap(&err) == nil {
		j.log.Error("journal: refusing messages", "error", err)
	}
}

// How often Run looks, and for how long the server may answer nothing before
// it is taken to stand still.
const (
	watchEvery = time.Second
	stuckAfter = 10 * time.Second
)

// Run watches the disk until ctx is done: it refuses messages before the file
// system is full and, when the embedded server stands still because it was
// full all the same, starts it again once there is space. It then returns nil.
// Close the journal afterwards.
func (j *Journal) Run(ctx context.Context) error {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		j.watch(ctx)
	}
}

func (j *Journal) watch(ctx context.Context) {
	patience := stuckAfter
	if j.full.Load() != nil { // what owes an answer since then will never give it
		patience = watchEvery
	}
	var stuck []string
	for _, l := range j.lanes {
		if l.stuck(patience) {
			stuck = append(stuck, l.feed)
		}
	}
	if len(stuck) > 0 {
		j.refuse(fmt.Errorf("the store answers nothing for feeds %s: %w", strings.Join(stuck, ", "), broker.ErrFull))
	}
	if !j.checkDisk() || j.poison.Load() != nil {
		return
	}
	if len(stuck) > 0 {
		if err := j.restart(ctx); err != nil {
			j.log.Error("journal: restart of the embedded server", "error", err)
			return
		}
	}
	if j.full.Swap(nil) != nil {
		j.log.Info("journal: accepting messages again")
	}
}

// restart replaces the embedded server: after a failed write it never answers
// again by itself.
func (j *Journal) restart(ctx context.Context) error {
	j.log.Warn("journal: starting the embedded server again")
	reg, err := openRegister(j.cfg)
	if err != nil {
		return err
	}
	if err := j.stop(); err != nil {
		return err
	}
	return j.start(ctx, reg)
}

// Close waits for the messages in hand, stops the server and gives the
// directory free.
func (j *Journal) Close() error {
	if j.closed.Swap(true) {
		return nil
	}
	for _, l := range j.lanes {
		l.drain(stuckAfter)
	}
	return errors.Join(j.met.close(), j.shut())
}

func (j *Journal) shut() error {
	err := j.stop()
	if j.lock != nil {
		err = errors.Join(err, unlockFile(j.lock))
	}
	return err
}
