package lsp

import (
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
)

var isFragment = regexp.MustCompile(`(?m)^kind:\s*["']?fragment\b`)

// How far mappings that include a fragment are looked for.
const (
	maxLooked = 2000 // files and directories
	maxUser   = 1 << 20
)

// names are what a document can name. A fragment means something where it is
// included only: it has the names of a mapping that does, one that is open before
// one that is found in the folders beside it.
func (s *server) names(d *document, doc *mapping.Document) *mapping.Names {
	if isFragment.MatchString(d.text) {
		tree := s.tree()
		for _, user := range s.users(d) {
			if n := doc.NamesIn(tree, user, s.cfg.Formats); n != nil {
				return n
			}
		}
	}
	return doc.Names(s.tree(), s.cfg.Formats)
}

// users are the mappings whose text names a fragment's file.
func (s *server) users(d *document) []string {
	var open, found []string
	for _, o := range s.docs {
		if strings.HasSuffix(o.name, ".map.yaml") && strings.Contains(o.text, path.Base(d.name)) {
			open = append(open, o.name)
		}
	}
	slices.Sort(open)
	looked := 0
	_ = fs.WalkDir(s.cfg.FS, path.Dir(path.Dir(d.name)), func(name string, e fs.DirEntry, err error) error {
		if looked++; looked > maxLooked {
			return fs.SkipAll
		}
		switch {
		case err != nil: // a folder that can not be read has no users to show
			return fs.SkipDir
		case e.IsDir() && name != "." && strings.HasPrefix(e.Name(), "."):
			return fs.SkipDir
		case !e.Type().IsRegular() || !strings.HasSuffix(name, ".map.yaml") || slices.Contains(open, name):
			return nil
		}
		if info, err := e.Info(); err != nil || info.Size() > maxUser {
			return nil
		}
		if text, err := fs.ReadFile(s.cfg.FS, name); err == nil && strings.Contains(string(text), path.Base(d.name)) {
			found = append(found, name)
		}
		return nil
	})
	return append(open, found...)
}
