package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/mapping"
)

type mappingCmd struct {
	Lint mappingLintCmd `cmd:"" help:"Check mapping files, fragments and test files against both ends."`
	Test mappingTestCmd `cmd:"" help:"Run the test files of mappings."`
}

// mappingFiles are the arguments of every command on mapping files.
type mappingFiles struct {
	Files  []string `arg:"" type:"path" help:"Files, or directories to look through."`
	Root   string   `type:"existingdir" default:"." help:"Directory above all that the files refer to (tables, snapshots)."`
	Output string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// open returns the tree below Root and, in it, the files that were named and
// those below named directories whose name ends so.
func (m mappingFiles) open(endings ...string) (string, []string, error) {
	root, err := filepath.Abs(m.Root)
	if err != nil {
		return "", nil, err
	}
	var names []string
	add := func(path string) error {
		rel, err := filepath.Rel(root, path)
		if err != nil || strings.HasPrefix(rel, "..") {
			return fmt.Errorf("%s is not below %s: name a directory above it with --root", path, root)
		}
		names = append(names, filepath.ToSlash(rel))
		return nil
	}
	for _, f := range m.Files {
		info, err := os.Stat(f)
		if err != nil {
			return "", nil, err
		}
		if !info.IsDir() {
			if err := add(f); err != nil {
				return "", nil, err
			}
			continue
		}
		err = filepath.WalkDir(f, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			for _, e := range endings {
				if strings.HasSuffix(path, e) {
					return add(path)
				}
			}
			return nil
		})
		if err != nil {
			return "", nil, err
		}
	}
	if len(names) == 0 {
		return "", nil, fmt.Errorf("no file that ends in %s", strings.Join(endings, " or "))
	}
	return root, names, nil
}

func (m mappingFiles) output(c *console) mapping.Output {
	return mapping.Output{W: c.out, Colour: c.color, JSON: m.Output == "json"}
}

type mappingLintCmd struct{ mappingFiles }

func (cmd mappingLintCmd) Run(c *console) error {
	root, names, err := cmd.open(".map.yaml", ".test.yaml")
	if err != nil {
		return err
	}
	if !mapping.LintCommand(cmd.output(c), os.DirFS(root), app.Formats(), names) {
		return exitError(1)
	}
	return nil
}

type mappingTestCmd struct {
	mappingFiles
	Update bool `help:"Write the golden files anew from what came out. Read the diff before you commit it."`
}

func (cmd mappingTestCmd) Run(c *console) error {
	root, names, err := cmd.open(".test.yaml")
	if err != nil {
		return err
	}
	var update mapping.Update
	if cmd.Update {
		update = func(path string, data []byte) error {
			full := filepath.Join(root, filepath.FromSlash(path))
			return errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, data, 0o644))
		}
	}
	if !mapping.TestCommand(c.ctx, cmd.output(c), os.DirFS(root), app.Formats(), names, update) {
		return exitError(1)
	}
	return nil
}
