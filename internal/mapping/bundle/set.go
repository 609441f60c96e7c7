package bundle

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// builtin begins the name of a mapping that comes with Vagus.
const builtin = "builtin:"

// A Set is the mappings of all feeds of a site. It is never modified.
type Set struct {
	Hash  string                        // of the feeds with what their mappings do, hex
	Feeds map[string][]*mapping.Mapping // by feed, in the configuration's order
}

// A resolver makes a set out of what the configuration names.
type resolver struct {
	disk    fs.FS // from "/"
	builtin fs.FS
	formats []tree.Format
	trust   ed25519.PublicKey // nil takes everything

	manifests []*Manifest // of the archives that were read
	archives  map[string]Files
	loaded    map[string][]*mapping.Mapping // by entry: two feeds may name the same
}

func (r *resolver) set(ctx context.Context, feeds map[string][]string) (*Set, error) {
	r.archives, r.loaded = map[string]Files{}, map[string][]*mapping.Mapping{}
	s := &Set{Feeds: map[string][]*mapping.Mapping{}}
	sum := sha256.New()
	for _, feed := range slices.Sorted(maps.Keys(feeds)) {
		from := map[string]string{}
		for _, entry := range feeds[feed] {
			ms, err := r.entry(ctx, entry)
			if err != nil {
				return nil, fmt.Errorf("feed %s: mappings %s: %w", feed, entry, err)
			}
			for _, m := range ms {
				if other, twice := from[m.ID]; twice {
					return nil, fmt.Errorf("feed %s: a mapping of %s and one of %s are both called %s: a mapping's id is part of what its units are known by", feed, other, entry, m.ID)
				}
				from[m.ID] = entry
				fmt.Fprintf(sum, "%q %q %d %s\n", feed, m.ID, m.Version, m.Hash)
			}
			s.Feeds[feed] = append(s.Feeds[feed], ms...)
		}
	}
	s.Hash = hex.EncodeToString(sum.Sum(nil))
	return s, nil
}

// entry loads what one entry of a feed names: builtin:FILE, a file, a
// directory, an archive, or ARCHIVE#PATH, a file or directory of an archive.
func (r *resolver) entry(ctx context.Context, entry string) (_ []*mapping.Mapping, err error) {
	if ms, ok := r.loaded[entry]; ok {
		return ms, nil
	}
	shown := "/"
	defer func() { err = named(err, shown) }()
	fsys, name, begin, err := r.open(entry)
	if err != nil {
		return nil, err
	}
	shown = begin
	var names, tests []string
	info, err := fs.Stat(fsys, name)
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		names, tests, err = list(fsys, name)
	default:
		names = []string{name}
		tests, err = mapping.TestFiles(fsys, name)
	}
	if err != nil {
		return nil, err
	}
	if shown == builtin {
		tests = nil // they ran when this program was built
	}
	ms, err := Gate(ctx, fsys, names, tests, r.formats)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		ms = withoutBases(ms, names)
	}
	r.loaded[entry] = ms
	return ms, nil
}

// named has the files of an error as its reader would name them, who does not
// know where the tree begins.
func named(err error, shown string) error {
	show := func(name string) string { return shown + name }
	switch e := err.(type) {
	case mapping.Issues:
		return e.Named(show)
	case *fs.PathError:
		return &fs.PathError{Op: e.Op, Path: show(e.Path), Err: e.Err}
	}
	return err
}

// open finds the tree that an entry is in, its name there, and what names in
// that tree begin with for people.
func (r *resolver) open(entry string) (fsys fs.FS, name, shown string, err error) {
	if name, ok := strings.CutPrefix(entry, builtin); ok {
		return r.builtin, name, builtin, nil
	}
	file, inside, _ := strings.Cut(entry, "#")
	onDisk := strings.TrimPrefix(path.Clean(filepath.ToSlash(file)), "/")
	info, err := fs.Stat(r.disk, onDisk)
	if err != nil {
		return nil, "", "", err
	}
	if !info.IsDir() && !strings.HasSuffix(file, ".yaml") {
		files, err := r.archive(onDisk)
		return files, path.Clean(inside), file + "#", err
	}
	if r.trust != nil {
		return nil, "", "", errors.New("with mappings.trust a feed names signed bundles only, or builtin: mappings")
	}
	if inside != "" {
		return nil, "", "", errors.New("# names a part of a bundle, and this is none")
	}
	return r.disk, onDisk, "/", nil
}

func (r *resolver) archive(file string) (Files, error) {
	if files, ok := r.archives[file]; ok {
		return files, nil
	}
	data, err := fs.ReadFile(r.disk, file)
	if err != nil {
		return nil, err
	}
	m, files, err := Unpack(data, r.trust)
	if err != nil {
		return nil, err
	}
	r.archives[file] = files
	r.manifests = append(r.manifests, m)
	return files, nil
}
