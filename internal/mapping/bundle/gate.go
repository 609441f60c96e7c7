package bundle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

// Gate loads mappings and runs test files: what a set must pass before it
// comes into force, and the same checks as `vagus mapping lint` and `test`. It
// returns the mappings in the order of names. The error has the place of the
// fault and no value of a test message; unless ctx is done it is a
// [mapping.Issues].
func Gate(ctx context.Context, fsys fs.FS, names, tests []string, formats []tree.Format) ([]*mapping.Mapping, error) {
	var out []*mapping.Mapping
	for _, name := range names {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m, err := mapping.Load(fsys, name, formats)
		if err != nil {
			return nil, err
		}
		out = append(out, m)
	}
	for _, name := range tests {
		rep := mapping.Test(ctx, fsys, name, formats, nil)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		if rep.OK() {
			continue
		}
		if len(rep.Issues) > 0 {
			return nil, rep.Issues
		}
		i := slices.IndexFunc(rep.Cases, func(c mapping.CaseReport) bool { return !c.OK })
		c := rep.Cases[i]
		return nil, mapping.Issues{{File: rep.File, Line: c.Line, Col: 1, Severity: mapping.Error, Code: "test", Text: fmt.Sprintf("the test %q fails: see vagus mapping test", c.Name)}}
	}
	return out, nil
}

// list finds the mappings below a directory that run, and all test files. A
// mapping that another one of them extends is its base and does not run by
// itself.
func list(fsys fs.FS, dir string) (names, tests []string, err error) {
	err = fs.WalkDir(fsys, dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case name != dir && strings.HasPrefix(d.Name(), "."):
			if d.IsDir() {
				return fs.SkipDir
			}
		case strings.Count(name, "/") > strings.Count(dir, "/")+16:
			return &fs.PathError{Op: "list", Path: name, Err: errors.New("directories are nested too deep")}
		case d.IsDir():
		case strings.HasSuffix(name, ".map.yaml"):
			names = append(names, name)
		case strings.HasSuffix(name, ".test.yaml"):
			tests = append(tests, name)
		}
		return nil
	})
	if err == nil && len(names) == 0 {
		err = &fs.PathError{Op: "list", Path: path.Clean(dir), Err: errors.New("holds no file that ends in .map.yaml")}
	}
	return names, tests, err
}

// withoutBases leaves out mappings that others of them extend.
func withoutBases(ms []*mapping.Mapping, names []string) []*mapping.Mapping {
	bases := map[string]bool{}
	for _, m := range ms {
		for _, b := range m.Bases {
			bases[b] = true
		}
	}
	var out []*mapping.Mapping
	for i, m := range ms {
		if !bases[names[i]] {
			out = append(out, m)
		}
	}
	return out
}
