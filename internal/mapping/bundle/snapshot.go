package bundle

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
)

// A snapshot is a tree in which every file is read once, however often it is
// asked for: a set is made of one state of its files even while somebody
// edits them. It remembers what was asked for, so that a later change of
// just these files can be seen, and so that they can be kept. For one goroutine.
type snapshot struct {
	fs    fs.FS
	files map[string]content
	dirs  map[string]listing
	total int64
}

type content struct {
	data []byte
	err  error
}

type listing struct {
	entries []fs.DirEntry
	err     error
}

func newSnapshot(fsys fs.FS) *snapshot {
	return &snapshot{fs: fsys, files: map[string]content{}, dirs: map[string]listing{}}
}

var (
	_ fs.ReadFileFS = (*snapshot)(nil)
	_ fs.ReadDirFS  = (*snapshot)(nil)
	_ fs.StatFS     = (*snapshot)(nil)
)

// Open implements [fs.FS], for files.
func (s *snapshot) Open(name string) (fs.File, error) {
	data, err := s.read(name)
	if err != nil {
		return nil, err
	}
	return &openFile{node{name: name, size: int64(len(data))}, *bytes.NewReader(data)}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (s *snapshot) ReadFile(name string) ([]byte, error) {
	data, err := s.read(name)
	return bytes.Clone(data), err
}

// Stat implements [fs.StatFS].
func (s *snapshot) Stat(name string) (fs.FileInfo, error) {
	data, err := s.read(name)
	var dir *dirError
	if errors.As(err, &dir) {
		return node{name: name, dir: true}, nil
	}
	return node{name: name, size: int64(len(data))}, err
}

// ReadDir implements [fs.ReadDirFS]: of files it lists those that can belong to
// a mapping, so that an editor's own files are not a change.
func (s *snapshot) ReadDir(name string) ([]fs.DirEntry, error) {
	l, ok := s.dirs[name]
	if !ok && len(s.dirs) >= maxDirs {
		return nil, fmt.Errorf("a site's mappings stand in at most %d directories", maxDirs)
	}
	if !ok {
		var all []fs.DirEntry
		all, l.err = fs.ReadDir(s.fs, name)
		for _, e := range all {
			if !strings.HasPrefix(e.Name(), ".") && (e.IsDir() || strings.HasSuffix(e.Name(), ".yaml")) {
				l.entries = append(l.entries, e)
			}
		}
		s.dirs[name] = l
	}
	return l.entries, l.err
}

const maxDirs = 1024

type dirError struct{ error }

func (s *snapshot) read(name string) ([]byte, error) {
	c, ok := s.files[name]
	if !ok {
		c.data, c.err = s.readNow(name)
		s.files[name] = c
	}
	return c.data, c.err
}

func (s *snapshot) readNow(name string) ([]byte, error) {
	if len(s.files) >= maxFiles {
		return nil, fmt.Errorf("a site's mappings are at most %d files", maxFiles)
	}
	info, err := fs.Stat(s.fs, name) // before it is opened: to open a pipe would stall
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return nil, &dirError{&fs.PathError{Op: "read", Path: name, Err: errors.New("is a directory")}}
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "read", Path: name, Err: errors.New("is no plain file")}
	}
	f, err := s.fs.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	limit := min(maxArchive, maxTotal-s.total)
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("a file has at most %d bytes here, and all mappings of a site %d", maxArchive, maxTotal)}
	}
	if err != nil {
		return nil, err
	}
	s.total += int64(len(data))
	return data, nil
}

// again is the same files and directories as they are now.
func (s *snapshot) again() *snapshot {
	now := newSnapshot(s.fs)
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		_, _ = now.read(name) // an error is a part of the state
	}
	for name := range s.dirs {
		_, _ = now.ReadDir(name)
	}
	return now
}

// state tells states of the files apart.
func (s *snapshot) state() [sha256.Size]byte {
	h := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(s.files)) {
		c := s.files[name]
		fmt.Fprintf(h, "%q %x %q\n", name, sha256.Sum256(c.data), fmt.Sprint(c.err))
	}
	for _, name := range slices.Sorted(maps.Keys(s.dirs)) {
		fmt.Fprintf(h, "%q %q\n", name, fmt.Sprint(s.dirs[name].err))
		for _, e := range s.dirs[name].entries {
			fmt.Fprintf(h, " %q %t\n", e.Name(), e.IsDir())
		}
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// kept are the files that were there.
func (s *snapshot) kept() Files {
	out := Files{}
	for name, c := range s.files {
		if c.err == nil {
			out[name] = c.data
		}
	}
	return out
}

// forget lets go of the files' contents; what was asked for stays known.
func (s *snapshot) forget() {
	for name := range s.files {
		s.files[name] = content{}
	}
}
