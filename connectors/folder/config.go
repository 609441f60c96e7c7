package folder

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path"
	"slices"
	"strings"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
)

// Values of [Config.Order] and [Config.After].
const (
	ByName  = "name"
	ByTime  = "time"
	Archive = "archive"
	Delete  = "delete"
)

// Config configures a [Source]. The zero value of every field but Dir means its
// default. All folders are inside of Dir, so that a file is moved and never copied.
type Config struct {
	Dir string `yaml:"dir"`
	// In is where files come in, default Dir itself. Work holds what is in hand,
	// Archive what was taken, Quarantine what was refused, with the reason beside it,
	// Out the answers.
	In         string `yaml:"in"`
	Work       string `yaml:"work"`
	Archive    string `yaml:"archive"`
	Quarantine string `yaml:"quarantine"`
	Out        string `yaml:"out"`

	// Names are patterns of the files to take, as of [path.Match]; default all. An archive's own name
	// matches one of them, and so do those of the files in it.
	Names []string `yaml:"names"`
	// Ignore are patterns of files that are never looked at; default those that programs
	// give to what they are still writing. Names that begin with a dot always are ignored.
	Ignore []string `yaml:"ignore"`
	// Marker is what is put behind the name of a file to name the empty file that says that it is
	// complete: ".done" for "claims.837" and "claims.837.done". Default: none, then Settle decides.
	Marker string `yaml:"marker"`
	// Settle is how long a file's size and time must not have changed; default 10 s, 1 ms at
	// least. Senders that rename a file when it is complete allow a short one.
	Settle time.Duration `yaml:"settle"`
	Every  time.Duration `yaml:"every"` // between two looks; default 5 s
	Order  string        `yaml:"order"` // "name" (default) or "time" of the last change
	After  string        `yaml:"after"` // what happens to a file that was taken: "archive" (default) or "delete"

	MaxBytes      int64         `yaml:"max_bytes"`      // of a file, and of what an archive unpacks to; default 64 MiB
	AcceptTimeout time.Duration `yaml:"accept_timeout"` // of storing the messages of one file; default 2 min

	Logger *slog.Logger `yaml:"-"` // nil discards
	Tracer trace.Tracer `yaml:"-"` // nil is a no-op
	Meter  metric.Meter `yaml:"-"` // nil is a no-op
}

// unfinished are the endings of what a program is still writing.
var unfinished = []string{"*.tmp", "*.temp", "*.part", "*.partial", "*.filepart", "*.crdownload", "*.writing", "*.swp", "*~"}

// withDefaults returns the settings with the defaults filled in, or an error
// that names the setting to change.
func (c Config) withDefaults() (Config, error) {
	if c.Dir == "" {
		return c, errors.New("dir: missing: name the folder")
	}
	for _, d := range []struct {
		name  string
		value *string
		def   string
	}{{"in", &c.In, "."}, {"work", &c.Work, "work"}, {"archive", &c.Archive, "archive"}, {"quarantine", &c.Quarantine, "quarantine"}, {"out", &c.Out, "out"}} {
		if *d.value == "" {
			*d.value = d.def
		}
		*d.value = path.Clean(*d.value)
		if !fs.ValidPath(*d.value) {
			return c, fmt.Errorf("%s: a folder inside of dir is needed, such as %s", d.name, d.def)
		}
	}
	folders := []string{c.In, c.Work, c.Archive, c.Quarantine, c.Out}
	slices.Sort(folders)
	if len(slices.Compact(folders)) < 5 {
		return c, errors.New("in, work, archive, quarantine, out: each needs a folder of its own")
	}
	if c.Ignore == nil {
		c.Ignore = unfinished
	}
	for _, p := range slices.Concat(c.Names, c.Ignore) {
		if _, err := path.Match(p, ""); err != nil || strings.Contains(p, "/") {
			return c, fmt.Errorf("names, ignore: %q is no pattern of a file's name, such as *.csv", p)
		}
	}
	orTime(&c.Settle, 10*time.Second)
	orTime(&c.Every, 5*time.Second)
	orTime(&c.AcceptTimeout, 2*time.Minute)
	if c.MaxBytes == 0 {
		c.MaxBytes = 64 << 20
	}
	if c.Order == "" {
		c.Order = ByName
	}
	if c.After == "" {
		c.After = Archive
	}
	switch {
	case strings.ContainsAny(c.Marker, "/\\*?[") || c.Marker != "" && checkName("x"+c.Marker) != nil:
		return c, errors.New("marker: use what is put behind a file's name, such as .done")
	case min(c.Settle, c.Every, c.AcceptTimeout) < time.Millisecond:
		return c, errors.New("settle, every, accept_timeout: use 1ms or more")
	case c.Order != ByName && c.Order != ByTime:
		return c, fmt.Errorf("order: use %s or %s", ByName, ByTime)
	case c.After != Archive && c.After != Delete:
		return c, fmt.Errorf("after: use %s or %s", Archive, Delete)
	case c.MaxBytes < 1 || c.MaxBytes > 1<<30:
		return c, errors.New("max_bytes: use 1 byte to 1 GiB")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c, nil
}

func orTime(v *time.Duration, def time.Duration) {
	if *v == 0 {
		*v = def
	}
}
