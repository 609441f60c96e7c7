package bundle

import (
	"bytes"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"
)

// Files is a tree of files in memory, by their paths. It is an [fs.FS]; the
// bytes that it hands out are not to be changed.
type Files map[string][]byte

var (
	_ fs.ReadFileFS = Files{}
	_ fs.ReadDirFS  = Files{}
)

// Open implements [fs.FS].
func (f Files) Open(name string) (fs.File, error) {
	if data, ok := f[name]; ok {
		return &openFile{node{name, int64(len(data)), false}, *bytes.NewReader(data)}, nil
	}
	entries, err := f.ReadDir(name)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openDir{node{name, 0, true}, entries}, nil
}

// ReadFile implements [fs.ReadFileFS].
func (f Files) ReadFile(name string) ([]byte, error) {
	if data, ok := f[name]; ok {
		return bytes.Clone(data), nil
	}
	return nil, &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements [fs.ReadDirFS].
func (f Files) ReadDir(name string) ([]fs.DirEntry, error) {
	if !fs.ValidPath(name) {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	below := map[string]fs.DirEntry{}
	for file, data := range f {
		rest, ok := strings.CutPrefix(file, name+"/")
		if name == "." {
			rest, ok = file, true
		}
		if !ok {
			continue
		}
		first, _, dir := strings.Cut(rest, "/")
		n := node{name: path.Join(name, first), dir: dir}
		if !dir {
			n.size = int64(len(data))
		}
		below[first] = fs.FileInfoToDirEntry(n)
	}
	if len(below) == 0 && name != "." {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrNotExist}
	}
	out := make([]fs.DirEntry, 0, len(below))
	for _, n := range slices.Sorted(maps.Keys(below)) {
		out = append(out, below[n])
	}
	return out, nil
}

// A node is what is known of a file or a directory.
type node struct {
	name string
	size int64
	dir  bool
}

func (n node) Name() string       { return path.Base(n.name) }
func (n node) Size() int64        { return n.size }
func (n node) ModTime() time.Time { return time.Time{} }
func (n node) IsDir() bool        { return n.dir }
func (n node) Sys() any           { return nil }

func (n node) Mode() fs.FileMode {
	if n.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

type openFile struct {
	node
	bytes.Reader
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f.node, nil }
func (f *openFile) Size() int64                { return f.size }
func (f *openFile) Close() error               { return nil }

type openDir struct {
	node
	left []fs.DirEntry
}

func (d *openDir) Stat() (fs.FileInfo, error) { return d.node, nil }
func (d *openDir) Close() error               { return nil }

func (d *openDir) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements [fs.ReadDirFile].
func (d *openDir) ReadDir(n int) ([]fs.DirEntry, error) {
	if n <= 0 {
		n = len(d.left)
	} else if len(d.left) == 0 {
		return nil, io.EOF
	}
	n = min(n, len(d.left))
	out := d.left[:n]
	d.left = d.left[n:]
	return out, nil
}
