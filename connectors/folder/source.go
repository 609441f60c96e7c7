package folder

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// maxPause bounds the time between two looks at a folder that can not be read.
const maxPause = time.Minute

var _ broker.Source = (*Source)(nil)

// A Source brings the files of a folder to a receiver, one after the other.
type Source struct {
	conf     Config
	files    Files
	receiver broker.Receiver
	log      *slog.Logger
	meters   *reception.Meters
	outcomes reception.Counter // of files
	seen     map[string]sight  // of the last look, by path
	waiting  atomic.Int64      // files at the last look
	problem  atomic.Pointer[string]
}

// maxFiles bounds the files of one look: each look lists them all.
const maxFiles = 200_000

// A sight is how a file looked, and since when.
type sight struct {
	size  int64
	time  time.Time
	since time.Time
}

// New returns a source that takes the files of one feed, or an error that names the
// setting at fault. conf.Dir is where files are in, for people; New opens nothing.
func New(feed string, conf Config, files Files, receiver broker.Receiver) (*Source, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("folder: %w", err)
	}
	s := &Source{conf: conf, files: files, receiver: receiver, log: conf.Logger.With("feed", feed, "protocol", "file")}
	if s.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, feed); err == nil {
		s.outcomes, err = s.meters.Counter("vagus.source.files", "files by what became of them: taken, duplicate, changed, quarantined")
	}
	if err != nil {
		return nil, fmt.Errorf("folder: make metrics: %w", err)
	}
	return s, nil
}

// Problem returns what keeps the source from taking files, or "". Safe for concurrent use.
func (s *Source) Problem() string {
	if p := s.problem.Load(); p != nil {
		return *p
	}
	return ""
}

// Bounds says how many files were in the folder at the last look, and what its receiver has in hand.
func (s *Source) Bounds() []broker.Bound {
	return append(broker.BoundsOf(s.receiver), broker.Bound{Name: "files in the folder", Used: s.waiting.Load(), Limit: maxFiles})
}

// Run takes files until ctx is done, finishes the one in hand and returns nil. A folder that is not
// there, or that can not be read, is looked at again later.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	s.log.Info("watching a folder", "every", s.conf.Every.String())
	pause := s.conf.Every
	for {
		err := s.look(ctx, accept)
		switch before := s.Problem(); {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			if before != "" {
				s.log.Info("files are taken again")
			}
			s.problem.Store(nil)
			pause = s.conf.Every
		default:
			text := err.Error()
			if text != before {
				s.log.Error("files wait", "error", err)
			}
			s.problem.Store(&text)
			pause = min(2*pause, max(maxPause, s.conf.Every))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// look takes all files that are complete, in order. An error says that the rest waits:
// what follows a file must not pass it.
func (s *Source) look(ctx context.Context, accept broker.Accept) error {
	for _, dir := range []string{s.conf.In, s.conf.Work, s.conf.Archive, s.conf.Quarantine, s.conf.Out} {
		if err := s.files.MakeDir(ctx, dir); err != nil {
			return fmt.Errorf("open folder %s: %w", dir, err)
		}
	}
	next := map[string]sight{}
	defer func() { s.seen = next }()
	inHand, err := s.files.List(ctx, s.conf.Work)
	if err != nil {
		return fmt.Errorf("list folder %s: %w", s.conf.Work, err)
	}
	s.sort(inHand)
	now := time.Now()
	for _, info := range inHand {
		at := path.Join(s.conf.Work, info.Name())
		if info.IsDir() || !addressable(info.Name()) {
			continue
		}
		if _, changed := s.seen[at]; changed && !s.settled(at, info, next, now) {
			continue
		}
		if err := s.take(ctx, accept, info, next); err != nil {
			return err
		}
	}
	return s.lookIn(ctx, accept, next)
}

func (s *Source) lookIn(ctx context.Context, accept broker.Accept, next map[string]sight) error {
	infos, err := s.files.List(ctx, s.conf.In)
	if err != nil {
		return fmt.Errorf("list folder %s: %w", s.conf.In, err)
	}
	s.waiting.Store(int64(len(infos)))
	if len(infos) > maxFiles {
		return fmt.Errorf("list folder %s: it holds %d files, and %d are looked through at most: move those that are not for this feed", s.conf.In, len(infos), maxFiles)
	}
	s.sort(infos)
	now := time.Now()
	markers := map[string]time.Time{}
	for _, info := range infos {
		if name, ok := strings.CutSuffix(info.Name(), s.conf.Marker); ok && s.conf.Marker != "" {
			markers[name] = info.ModTime()
		}
	}
	for _, info := range infos {
		name, at := info.Name(), path.Join(s.conf.In, info.Name())
		if info.IsDir() || !addressable(name) || s.conf.ignored(name) || !s.conf.wanted(name) {
			continue
		}
		if s.conf.Marker == "" {
			if !s.settled(at, info, next, now) {
				continue
			}
		} else if marked, ok := markers[name]; !ok || marked.Before(info.ModTime()) { // an older one was another file's
			continue
		}
		mine, err := s.claim(ctx, info)
		if err == nil && mine {
			err = s.take(ctx, accept, info, next)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// addressable says whether a name, which a server may have made up, names a file of its folder.
func addressable(name string) bool {
	return name != "" && name != "." && name != ".." && !strings.Contains(name, "/")
}

// sort puts files in the order in which they are taken.
func (s *Source) sort(infos []fs.FileInfo) {
	slices.SortFunc(infos, func(a, b fs.FileInfo) int {
		if s.conf.Order == ByTime {
			if c := a.ModTime().Compare(b.ModTime()); c != 0 {
				return c
			}
		}
		return cmp.Compare(a.Name(), b.Name())
	})
}

// settled says whether a file has looked the same for long enough, by our clock.
// Files that were first seen in one look settle in one look, or their order would be
// by chance: now is the look's.
func (s *Source) settled(at string, info fs.FileInfo, next map[string]sight, now time.Time) bool {
	old, ok := s.seen[at]
	if !ok || old.size != info.Size() || !old.time.Equal(info.ModTime()) {
		old = sight{info.Size(), info.ModTime(), now}
	}
	next[at] = old
	return now.Sub(old.since) >= s.conf.Settle
}

// claim moves a complete file to where nobody replaces it while it is read, and says
// whether it is there. What is no file, or has a name that could do harm, goes to the
// quarantine.
func (s *Source) claim(ctx context.Context, info fs.FileInfo) (mine bool, err error) {
	name, from := info.Name(), path.Join(s.conf.In, info.Name())
	short := shortHash([]byte(name))
	if err := checkName(name); err != nil {
		return false, s.quarantine(ctx, from, name, traits(info), &broker.RejectError{Code: "file.name", Err: err})
	}
	if !info.Mode().IsRegular() {
		return false, s.quarantine(ctx, from, name, traits(info), irregularFile(info.Mode()))
	}
	to := path.Join(s.conf.Work, name)
	if _, err := s.files.Stat(ctx, to); err == nil {
		return false, nil // one of this name is in hand and has not settled
	} else if !errors.Is(err, fs.ErrNotExist) {
		return false, fmt.Errorf("look into %s: %w", s.conf.Work, err)
	}
	if err := s.files.Rename(ctx, from, to); errors.Is(err, fs.ErrNotExist) {
		return false, nil // its sender took it back
	} else if err != nil {
		return false, fmt.Errorf("move file %s to %s: %w", short, s.conf.Work, err)
	}
	atClaimed.Hit()
	if s.conf.Marker != "" {
		if err := s.files.Remove(ctx, from+s.conf.Marker); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return true, fmt.Errorf("remove the marker of file %s: %w", short, err)
		}
	}
	return true, nil
}

func irregularFile(mode fs.FileMode) error {
	what := "it is no regular file"
	switch {
	case mode&fs.ModeSymlink != 0:
		what = "it is a symbolic link"
	case mode&fs.ModeDevice != 0:
		what = "it is a device"
	case mode&(fs.ModeNamedPipe|fs.ModeSocket) != 0:
		what = "it is a pipe or a socket"
	case mode&fs.ModeIrregular != 0:
		what = "it has further names (hard links), by which it could be changed"
	}
	return &broker.RejectError{Code: "file.irregular", Err: errors.New(what)}
}

// traits is a short hash of a file that is not read.
func traits(info fs.FileInfo) string {
	return shortHash(fmt.Appendf(nil, "%s\x00%d\x00%d", info.Name(), info.Size(), info.ModTime().UnixNano()))
}
