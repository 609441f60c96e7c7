package workbench

import (
	"fmt"
	"io/fs"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// A Bench is where all tools find files and formats.
type Bench struct {
	FS      fs.FS // holds the mappings and all that they refer to
	Formats []tree.Format
	// Show names a file of FS as the person who asked would; nil leaves it as it is.
	Show func(name string) string
}

// show names a file for people.
func (b Bench) show(name string) string {
	if b.Show == nil || name == "" {
		return name
	}
	return b.Show(name)
}

// shown names the files of issues for people, also within their texts.
func (b Bench) shown(issues []mapping.Issue) []mapping.Issue {
	return mapping.Issues(issues).Named(b.show)
}

// load loads a mapping; the error names files as people do.
func (b Bench) load(name string) (*mapping.Mapping, error) {
	m, err := mapping.Load(b.FS, name, b.Formats)
	if err == nil {
		return m, nil
	}
	issues, ok := err.(mapping.Issues)
	if !ok {
		return nil, fmt.Errorf("%s: %w", b.show(name), err)
	}
	return nil, mapping.Issues(b.shown(issues))
}

// Dialect returns a format in a version, to read messages without a mapping.
func (b Bench) Dialect(format, version string) (tree.Dialect, error) {
	return b.dialect(format, tree.Declaration{Version: version})
}

func (b Bench) dialect(format string, declared tree.Declaration) (tree.Dialect, error) {
	var names []string
	for _, f := range b.Formats {
		if f.Name() == format {
			d, err := f.Dialect(declared)
			if err != nil {
				return nil, fmt.Errorf("format %s: %w", format, err)
			}
			return d, nil
		}
		names = append(names, f.Name())
	}
	return nil, fmt.Errorf("no format %q; there are: %s", format, strings.Join(names, ", "))
}

// With puts files in the place of others, or beside them.
func (b Bench) With(files map[string][]byte) Bench {
	b.FS = overlay{b.FS, files}
	return b
}

// An overlay is a tree with some files replaced.
type overlay struct {
	fs.FS
	files map[string][]byte
}

func (o overlay) Open(name string) (fs.File, error) {
	if data, ok := o.files[name]; ok {
		return &overlaid{fileInfo{name, int64(len(data))}, *strings.NewReader(string(data))}, nil
	}
	return o.FS.Open(name)
}

func (o overlay) ReadFile(name string) ([]byte, error) {
	if data, ok := o.files[name]; ok {
		return append([]byte(nil), data...), nil
	}
	return fs.ReadFile(o.FS, name)
}

func (o overlay) Stat(name string) (fs.FileInfo, error) {
	if data, ok := o.files[name]; ok {
		return fileInfo{name, int64(len(data))}, nil
	}
	return fs.Stat(o.FS, name)
}

type overlaid struct {
	info fileInfo
	strings.Reader
}

func (f *overlaid) Stat() (fs.FileInfo, error) { return f.info, nil }
func (f *overlaid) Close() error               { return nil }
