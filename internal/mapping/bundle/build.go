package bundle

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"io/fs"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// Build packs a tree of mapping files that passes the gate: no site would take
// another one. Hidden files stay out.
func Build(ctx context.Context, fsys fs.FS, formats []tree.Format, m Manifest, key ed25519.PrivateKey) ([]byte, error) {
	names, tests, err := list(fsys, ".")
	if err != nil {
		return nil, err
	}
	if _, err := Gate(ctx, fsys, names, tests, formats); err != nil {
		return nil, err
	}
	files, total := Files{}, int64(0)
	err = fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		hidden := name != "." && strings.HasPrefix(d.Name(), ".")
		switch {
		case err != nil:
			return err
		case d.IsDir() && hidden:
			return fs.SkipDir
		case d.IsDir() || hidden:
			return nil
		}
		info, err := fs.Stat(fsys, name)
		if err != nil {
			return err
		}
		if total += info.Size(); !info.Mode().IsRegular() || total > maxTotal || len(files) >= maxFiles {
			return &fs.PathError{Op: "read", Path: name, Err: fmt.Errorf("a bundle holds plain files, at most %d with %d bytes together", maxFiles, maxTotal)}
		}
		files[name], err = fs.ReadFile(fsys, name)
		return err
	})
	if err != nil {
		return nil, err
	}
	data, err := Pack(files, m, key)
	if err == nil && len(data) > maxArchive {
		err = fmt.Errorf("the bundle would have %d bytes; a site takes one of %d", len(data), maxArchive)
	}
	return data, err
}
