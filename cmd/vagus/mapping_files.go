package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/workbench"
)

// mappingRoot is the flag of every command on mapping files: above what they
// may not reach.
type mappingRoot struct {
	Root string `type:"existingdir" placeholder:"DIR" help:"Directory that mappings may refer to files below of; default: any."`
}

// bench returns the workbench over all files below the root.
func (m mappingRoot) bench() (bench, error) {
	cwd, err := os.Getwd()
	if err != nil {
		return bench{}, err
	}
	root := filepath.VolumeName(cwd) + string(filepath.Separator)
	if m.Root != "" {
		if root, err = filepath.Abs(m.Root); err != nil {
			return bench{}, err
		}
	}
	b := bench{root: root}
	b.FS, b.Formats = os.DirFS(root), app.Formats()
	b.Show = func(name string) string {
		return filepath.ToSlash(relative(filepath.Join(root, filepath.FromSlash(name))))
	}
	return b, nil
}

// relative names a file as one would type it here: from this directory on when
// it is not far.
func relative(full string) string {
	cwd, err := os.Getwd()
	if err != nil {
		return full
	}
	if rel, err := filepath.Rel(cwd, full); err == nil && !strings.HasPrefix(rel, filepath.Join("..", "..", "..", "..")) {
		return rel
	}
	return full
}

// notOpened says in a person's words why a file that they named can not be used.
func notOpened(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("there is no file or directory %s", relative(path))
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%s can not be read: permission denied", relative(path))
	}
	return err
}

// A bench is the workbench on this machine's files.
type bench struct {
	workbench.Bench
	root string
}

// name returns a file's name in the bench's tree.
func (b bench) name(path string) (string, error) {
	full, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(b.root, full)
	if err != nil || rel == ".." || strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return "", fmt.Errorf("%s is not below %s: name a directory above it with --root", path, b.root)
	}
	return filepath.ToSlash(rel), nil
}

// existing returns the name of a file that is there.
func (b bench) existing(path string) (string, error) {
	name, err := b.name(path)
	if err != nil {
		return "", err
	}
	if info, err := os.Stat(path); err != nil {
		return "", notOpened(path, err)
	} else if info.IsDir() {
		return "", fmt.Errorf("%s is a directory: name a file", relative(path))
	}
	return name, nil
}

// find returns the named files and, below named directories, those that are
// wanted, each once.
func (b bench) find(paths []string, what string, wanted func(path string) bool) ([]string, error) {
	var names []string
	add := func(path string) error {
		name, err := b.name(path)
		if err == nil && !slices.Contains(names, name) {
			names = append(names, name)
		}
		return err
	}
	for _, p := range paths {
		info, err := os.Stat(p)
		if err != nil {
			return nil, notOpened(p, err)
		}
		if !info.IsDir() {
			if err := add(p); err != nil {
				return nil, err
			}
			continue
		}
		err = filepath.WalkDir(p, func(path string, d fs.DirEntry, err error) error {
			switch {
			case err != nil:
				return notOpened(path, err)
			case d.IsDir() && path != p && strings.HasPrefix(d.Name(), "."):
				return filepath.SkipDir
			case !d.IsDir() && wanted(path):
				return add(path)
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	if len(names) == 0 {
		shown := make([]string, len(paths))
		for i, p := range paths {
			shown[i] = relative(p)
		}
		return nil, fmt.Errorf("no %s in %s", what, strings.Join(shown, ", "))
	}
	return names, nil
}

// dirs returns the names of those paths that are directories.
func (b bench) dirs(paths []string) ([]string, error) {
	var out []string
	for _, p := range paths {
		if info, err := os.Stat(p); err == nil && info.IsDir() {
			name, err := b.name(p)
			if err != nil {
				return nil, err
			}
			out = append(out, name)
		}
	}
	return out, nil
}

// endsIn wants files by their names.
func endsIn(ending string) func(string) bool {
	return func(path string) bool { return strings.HasSuffix(path, ending) }
}

var kindLine = regexp.MustCompile(`(?m)^kind:\s*["']?(mapping|fragment|tests)\b`)

// ofTheLanguage wants YAML files that say which kind of file of the language
// they are.
func ofTheLanguage(path string) bool {
	if ext := filepath.Ext(path); ext != ".yaml" && ext != ".yml" {
		return false
	}
	f, err := os.Open(path)
	if err != nil {
		return true // lint says why
	}
	defer f.Close()
	head, err := bufio.NewReaderSize(io.LimitReader(f, 8<<10), 8<<10).Peek(8 << 10)
	return kindLine.Match(head) || err != nil && !errors.Is(err, io.EOF)
}

// write returns what writes a file of the tree, with the directories above it.
func (b bench) write(name string, data []byte) error {
	full := filepath.Join(b.root, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		return err
	}
	return os.WriteFile(full, data, 0o644)
}

// faulty tells what is wrong with a mapping that was to be used as lint does,
// to programs where they read the result, and hands on any other error.
func (c *console) faulty(err error, output string) error {
	var issues mapping.Issues
	if !errors.As(err, &issues) {
		return err
	}
	if output == "json" {
		if err := c.printJSON(map[string]mapping.Issues{"issues": issues}); err != nil {
			return err
		}
		return exitError(1)
	}
	workbench.Screen{W: c.err, Width: c.width, Colour: c.color}.Issues(issues)
	return exitError(1)
}

// screen is the console as the workbench prints on it.
func (c *console) screen() workbench.Screen {
	return workbench.Screen{W: c.out, Width: c.width, Colour: c.color}
}
