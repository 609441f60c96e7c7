package bundle

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Config says which mappings a site runs. Feeds, Formats, Dir, Prepare,
// Logger and Meter are required.
type Config struct {
	// Feeds names, by feed, mapping files, directories, archives, parts of
	// archives (ARCHIVE#PATH) and mappings that come with Vagus (builtin:FILE).
	// Paths are absolute.
	Feeds   map[string][]string
	Builtin fs.FS
	Formats []tree.Format
	Trust   ed25519.PublicKey // not nil: nothing but archives that it signed, and builtin:
	Dir     string            // of what is remembered

	// Prepare says whether a set that passed the gate can be run, and returns
	// what brings it into force: that does not fail.
	Prepare func(*Set) (take func(), err error)

	Every   time.Duration    // between two looks at the files; 0 is 5 s
	Timeout time.Duration    // for loading and testing a set; 0 is 1 min
	Now     <-chan os.Signal // asks to look now; nil never does
	// Told hears of each set that was taken or refused after the first, as the
	// counter does: result is "taken" or "refused", set the one in force after that, as
	// Status has it. It must not block; nil hears nothing.
	Told   func(result, set string)
	Logger *slog.Logger
	Meter  metric.Meter

	disk fs.FS // "/"; tests have another one
}

// A Status is what a keeper has and what it could not take.
type Status struct {
	Set       string    // first 12 characters of the hash of the set in force
	Loaded    time.Time // when it came into force
	Kept      bool      // it is the copy of an earlier one: the files of today could not be taken at the start
	Problem   string    // why the files of today are not in force; "" when they are
	ProblemAt time.Time // since when
}

// A Keeper holds the set of mappings that is in force.
type Keeper struct {
	cfg    Config
	memory memory
	reload metric.Int64Counter

	// Of Run's goroutine.
	seen    *snapshot         // the files that the last set was tried from
	state   [sha256.Size]byte // of seen; zero: try again
	changed [sha256.Size]byte // a state that was seen once
	hash    string            // of the set in force

	mu     sync.Mutex
	status Status
}

// Open loads the set that the files of today make. When it can not be taken
// and a copy of the last good one is there, that comes into force, and the
// status has the problem; the error is for when nothing can.
func Open(ctx context.Context, cfg Config) (*Keeper, error) {
	cfg.Every, cfg.Timeout = cmp.Or(cfg.Every, 5*time.Second), cmp.Or(cfg.Timeout, time.Minute)
	if cfg.disk == nil {
		cfg.disk = os.DirFS("/")
	}
	k := &Keeper{cfg: cfg, memory: memory{filepath.Join(cfg.Dir, "mappings")}}
	if err := k.metrics(); err != nil {
		return nil, err
	}
	err := k.try(ctx, "start")
	if err == nil {
		return k, nil
	}
	files, keptErr := k.memory.lastGood()
	if keptErr != nil {
		if !errors.Is(keptErr, fs.ErrNotExist) {
			err = errors.Join(err, fmt.Errorf("the copy of the last good set can not be used either: %w", keptErr))
		}
		return nil, err
	}
	r := k.resolver(files)
	set, take, keptErr := k.prepared(ctx, r)
	if keptErr != nil {
		return nil, errors.Join(err, fmt.Errorf("the copy of the last good set can not be used either: %w", keptErr))
	}
	take()
	k.took(set, true)
	k.refused(err, false)
	cfg.Logger.Error("mappings refused at the start, a copy of the last good ones is in force", "set", short(set.Hash), "err", first(err))
	return k, nil
}

func (k *Keeper) resolver(disk fs.FS) *resolver {
	return &resolver{disk: disk, builtin: k.cfg.Builtin, formats: k.cfg.Formats, trust: k.cfg.Trust}
}

// prepared loads, tests and prepares a set.
func (k *Keeper) prepared(ctx context.Context, r *resolver) (*Set, func(), error) {
	ctx, cancel := context.WithTimeoutCause(ctx, k.cfg.Timeout, fmt.Errorf("to load and test the mappings took longer than %s", k.cfg.Timeout))
	defer cancel()
	set, err := r.set(ctx, k.cfg.Feeds)
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, err
	}
	take, err := k.cfg.Prepare(set)
	return set, take, err
}

// try takes the set that the files make now, or returns why it does not.
func (k *Keeper) try(ctx context.Context, why string) error {
	k.seen = newSnapshot(k.cfg.disk)
	r := k.resolver(k.seen)
	defer k.seen.forget()
	set, take, err := k.prepared(ctx, r)
	k.state = k.seen.state()
	if err != nil {
		return err
	}
	if set.Hash == k.hash && len(r.manifests) == 0 {
		k.cleared(set, why)
		return nil
	}
	versions, err := k.memory.versions()
	if err == nil {
		if err := newer(versions, r.manifests); err != nil {
			return err
		}
		err = k.memory.remember(versions, r.manifests, k.seen.kept())
	}
	if err != nil {
		k.state = [sha256.Size]byte{} // the fault is not in the files
		return fmt.Errorf("the mappings are good, but what is in force can not be noted: %w", err)
	}
	if set.Hash == k.hash {
		k.cleared(set, why)
		return nil
	}
	atKept.Hit()
	take()
	k.took(set, false)
	for feed, ms := range set.Feeds {
		for _, m := range ms {
			k.cfg.Logger.Info("mapping in force", "feed", feed, "mapping", m.String(), "warnings", len(m.Warnings))
		}
	}
	k.cfg.Logger.Info("mappings in force", "set", short(set.Hash), "why", why)
	return nil
}

// Run looks at the files until ctx is done. What changed is tried when it is
// the same in two looks, so that no half-written set is, and at once when Now
// asks for it.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(k.cfg.Every)
	defer tick.Stop()
	for {
		why := ""
		select {
		case <-ctx.Done():
			return nil
		case <-k.cfg.Now:
			why = "signal"
		case <-tick.C:
			if again := k.state == [sha256.Size]byte{}; k.look() {
				why = "change"
				if again {
					why = "again"
				}
			}
		}
		if why == "" {
			continue
		}
		if err := k.try(ctx, why); err != nil && ctx.Err() == nil {
			if k.refused(err, why == "again") {
				k.cfg.Logger.Error("mappings refused, those in force stay", "set", short(k.hash), "why", why, "err", first(err))
			}
		}
	}
}

// look says whether the files have changed since they were tried and are the
// same as at the look before.
func (k *Keeper) look() bool {
	now := k.seen.again().state()
	settled := now != k.state && now == k.changed
	k.changed = now
	return settled
}

// Status is how things stand. Safe for concurrent use.
func (k *Keeper) Status() Status {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.status
}

func (k *Keeper) took(set *Set, kept bool) {
	again := k.hash != ""
	k.hash = set.Hash
	k.mu.Lock()
	k.status = Status{Set: short(set.Hash), Loaded: time.Now().UTC(), Kept: kept}
	k.mu.Unlock()
	if again {
		k.count("taken")
	}
}

// cleared is for files that make the set that is in force.
func (k *Keeper) cleared(set *Set, why string) {
	k.count("unchanged")
	k.mu.Lock()
	was := k.status.Problem
	k.status.Problem, k.status.ProblemAt, k.status.Kept = "", time.Time{}, false
	k.mu.Unlock()
	if was != "" || why == "signal" {
		k.cfg.Logger.Info("the files make the mappings that are in force", "set", short(set.Hash), "why", why)
	}
}

// refused notes a problem and says whether it is to be logged: what is tried
// again because its fault is not in the files is not, while it stays the same.
func (k *Keeper) refused(err error, again bool) bool {
	text := first(err)
	k.mu.Lock()
	fresh := k.status.Problem != text
	if k.status.Problem == "" {
		k.status.ProblemAt = time.Now().UTC()
	}
	k.status.Problem = text
	k.mu.Unlock()
	if again && !fresh {
		return false
	}
	k.count("refused")
	return true
}

// first is the first fault of an error in one line.
func first(err error) string {
	text := err.Error()
	var issues mapping.Issues
	if errors.As(err, &issues) {
		var faults []mapping.Issue
		for _, i := range issues {
			if i.Severity == mapping.Error {
				faults = append(faults, i)
			}
		}
		if len(faults) > 0 {
			text = faults[0].String()
		}
		if len(faults) > 1 {
			text += fmt.Sprintf(" (and %d more)", len(faults)-1)
		}
	}
	text, _, _ = strings.Cut(text, "\n")
	return text
}

func short(hash string) string { return hash[:min(12, len(hash))] }

func (k *Keeper) metrics() error {
	var errs [2]error
	k.reload, errs[0] = k.cfg.Meter.Int64Counter("vagus.mapping.reloads", metric.WithDescription("Sets of mappings that were tried, by result: taken, unchanged, refused."))
	_, errs[1] = k.cfg.Meter.Int64ObservableGauge("vagus.mapping.set.info", metric.WithDescription("1 for the set of mappings in force; kept says that it is the copy of an earlier one."),
		metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
			s := k.Status()
			o.Observe(1, metric.WithAttributes(attribute.String("hash", s.Set), attribute.Bool("kept", s.Kept)))
			return nil
		}))
	for _, result := range []string{"taken", "unchanged", "refused"} {
		if errs[0] == nil {
			k.reload.Add(context.Background(), 0, metric.WithAttributes(attribute.String("result", result)))
		}
	}
	return errors.Join(errs[:]...)
}

func (k *Keeper) count(result string) {
	k.reload.Add(context.Background(), 1, metric.WithAttributes(attribute.String("result", result)))
	if k.cfg.Told != nil && result != "unchanged" {
		k.cfg.Told(result, k.Status().Set)
	}
}
