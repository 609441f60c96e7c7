package lsp

import (
	"bytes"
	"io"
	"io/fs"
	"net/url"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
)

// Limits on what a client may hold open.
const (
	maxDocuments = 256
	maxText      = 4 << 20 // bytes; a mapping has fewer
)

// A document is a file that is open in the editor.
type document struct {
	name    string // in the tree; "" when it is not below the root
	version int
	text    string
	lines   []string
}

func (d *document) set(text string) {
	d.text, d.lines = text, strings.Split(text, "\n")
}

func (d *document) read() *mapping.Document { return mapping.ReadDocument(d.name, d.text) }

func (s *server) didOpen(p didOpenParams) (any, *rpcError) {
	t := p.TextDocument
	if len(s.docs) >= maxDocuments || len(t.Text) > maxText {
		return nil, &rpcError{codeInvalidParams, "too much is open"}
	}
	d := &document{name: s.nameOf(t.URI), version: t.Version}
	d.set(t.Text)
	s.docs[t.URI], s.dirty = d, true
	return nil, nil
}

func (s *server) didChange(p didChangeParams) (any, *rpcError) {
	d := s.docs[p.TextDocument.URI]
	if d == nil {
		return nil, &rpcError{codeInvalidParams, "the document is not open"}
	}
	for _, c := range p.ContentChanges {
		text := c.Text
		if c.Range != nil {
			from, to := s.offset(d, c.Range.Start), s.offset(d, c.Range.End)
			if from > to {
				return nil, &rpcError{codeInvalidParams, "a range ends before it begins"}
			}
			text = d.text[:from] + c.Text + d.text[to:]
		}
		if len(text) > maxText {
			text = "" // the strict reader refuses far smaller files
		}
		d.set(text)
	}
	d.version, s.dirty = p.TextDocument.Version, true
	return nil, nil
}

func (s *server) didClose(p didCloseParams) (any, *rpcError) {
	delete(s.docs, p.TextDocument.URI)
	s.dirty = true
	s.withdraw(p.TextDocument.URI)
	return nil, nil
}

// nameOf is a document's name in the tree; "" when it has none.
func (s *server) nameOf(uri string) string {
	u, err := url.Parse(uri)
	if err != nil || u.Scheme != "file" {
		return ""
	}
	full := filepath.FromSlash(u.Path)
	if len(u.Path) > 2 && u.Path[0] == '/' && u.Path[2] == ':' { // /C:/…
		full = filepath.FromSlash(u.Path[1:])
	}
	rel, err := filepath.Rel(s.root(), full)
	if err != nil || !fs.ValidPath(filepath.ToSlash(rel)) {
		return ""
	}
	return filepath.ToSlash(rel)
}

func (s *server) root() string {
	if s.cfg.Root == "" {
		return string(filepath.Separator)
	}
	return s.cfg.Root
}

// uriOf is the URI of a file: that by which the client opened it, if it did.
func (s *server) uriOf(name string) string {
	for uri, d := range s.docs {
		if d.name == name {
			return uri
		}
	}
	full := filepath.ToSlash(filepath.Join(s.root(), filepath.FromSlash(name)))
	if !strings.HasPrefix(full, "/") {
		full = "/" + full
	}
	return (&url.URL{Scheme: "file", Path: full}).String()
}

// offset is a position's byte in a document; one beyond the end of its line or
// of the text is that end.
func (s *server) offset(d *document, p position) int {
	if p.Line >= len(d.lines) {
		return len(d.text)
	}
	at := 0
	for _, l := range d.lines[:max(p.Line, 0)] {
		at += len(l) + 1
	}
	line := strings.TrimSuffix(d.lines[max(p.Line, 0)], "\r")
	return at + s.bytesIn(line, p.Character)
}

// bytesIn is how many bytes of a line so many units of the encoding are.
func (s *server) bytesIn(line string, units int) int {
	if units <= 0 {
		return 0
	}
	for i, r := range line {
		if units <= 0 {
			return i
		}
		units -= s.units(r)
	}
	return len(line)
}

func (s *server) units(r rune) int {
	if s.utf8 {
		return utf8.RuneLen(r)
	}
	return max(utf16.RuneLen(r), 1)
}

// column turns a position into a column of characters.
func (s *server) column(d *document, p position) int {
	if p.Line < 0 || p.Line >= len(d.lines) {
		return 0
	}
	return utf8.RuneCountInString(d.lines[p.Line][:s.bytesIn(d.lines[p.Line], p.Character)])
}

// position is the place of a column of characters; lines are those of the file.
func (s *server) position(lines []string, line, col int) position {
	p := position{Line: max(line, 0)}
	if p.Line >= len(lines) {
		return p
	}
	for _, r := range lines[p.Line] {
		if col <= 0 {
			break
		}
		p.Character += s.units(r)
		col--
	}
	return p
}

func (s *server) span(d *document, line, from, to int) textRange {
	return textRange{s.position(d.lines, line, from), s.position(d.lines, line, to)}
}

// tree is the files as the editor has them: those that are open with their
// texts, the others as they are on disk.
func (s *server) tree() openFS {
	o := openFS{FS: s.cfg.FS, open: map[string]string{}}
	for _, d := range s.docs {
		if d.name != "" {
			o.open[d.name] = d.text
		}
	}
	return o
}

type openFS struct {
	fs.FS
	open map[string]string
}

var (
	_ fs.StatFS     = openFS{}
	_ fs.ReadFileFS = openFS{}
)

func (o openFS) Open(name string) (fs.File, error) {
	if text, ok := o.open[name]; ok {
		return openFile{strings.NewReader(text), openInfo{name, int64(len(text))}}, nil
	}
	return o.FS.Open(name)
}

func (o openFS) Stat(name string) (fs.FileInfo, error) {
	if text, ok := o.open[name]; ok {
		return openInfo{name, int64(len(text))}, nil
	}
	return fs.Stat(o.FS, name)
}

func (o openFS) ReadFile(name string) ([]byte, error) {
	if text, ok := o.open[name]; ok {
		return bytes.Clone([]byte(text)), nil
	}
	return fs.ReadFile(o.FS, name)
}

type openFile struct {
	io.Reader
	info openInfo
}

func (f openFile) Stat() (fs.FileInfo, error) { return f.info, nil }
func (openFile) Close() error                 { return nil }

type openInfo struct {
	name string
	size int64
}

func (i openInfo) Name() string     { return filepath.Base(i.name) }
func (i openInfo) Size() int64      { return i.size }
func (openInfo) Mode() fs.FileMode  { return 0o444 }
func (openInfo) ModTime() time.Time { return time.Time{} }
func (openInfo) IsDir() bool        { return false }
func (openInfo) Sys() any           { return nil }
