package workbench

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/mapping"
)

// reads wraps a tree and remembers which of its files were read, but for the
// one that is checked itself.
type reads struct {
	fs.FS
	own  string
	seen *sync.Map
}

func (r reads) Open(name string) (fs.File, error) { return r.note(name).Open(name) }

func (r reads) ReadFile(name string) ([]byte, error) { return fs.ReadFile(r.note(name), name) }

func (r reads) Stat(name string) (fs.FileInfo, error) { return fs.Stat(r.FS, name) }

func (r reads) note(name string) fs.FS {
	if name != r.own {
		r.seen.Store(name, true)
	}
	return r.FS
}

// unused warns of tables, fragments, inputs and goldens beside the files that
// were checked that none of them reads. Only files below the directories given
// are looked at, and nothing where no mapping was checked; inputs and goldens
// only where there are tests.
func (b Bench) unused(checked, dirs []string, read *sync.Map) []mapping.Issue {
	mappings, tested := 0, map[string]bool{}
	for _, name := range checked {
		doc, err := readDocument(b.FS, name)
		if err != nil {
			continue
		}
		switch doc.get("kind").text() {
		case "mapping":
			mappings++
		case "tests":
			tested[path.Dir(name)] = true
			if cases := doc.get("cases"); cases != nil {
				for _, c := range cases.list {
					for _, ref := range []*node{c.get("file"), c.get("expect").get("golden"), c.get("expect").get("document")} {
						read.Store(path.Join(path.Dir(name), ref.text()), true)
					}
				}
			}
		}
	}
	if mappings == 0 {
		return nil
	}
	var out []mapping.Issue
	for _, dir := range dirs {
		_ = fs.WalkDir(b.FS, dir, func(name string, d fs.DirEntry, err error) error {
			if _, used := read.Load(name); err != nil || d.IsDir() || used || strings.HasPrefix(path.Base(name), ".") {
				return nil
			}
			what := ""
			switch kind := path.Base(path.Dir(name)); {
			case kind == "tables" && path.Ext(name) == ".csv":
				what = "table"
			case kind == "fragments" && slices.Contains([]string{".yaml", ".yml"}, path.Ext(name)):
				what = "fragment"
			case kind == "golden" && path.Ext(name) == ".json":
				what = "golden"
			case kind == "in":
				what = "input"
			default:
				return nil
			}
			reader := "mapping"
			if what == "golden" || what == "input" {
				reader = "test"
				if !tested[path.Dir(path.Dir(name))] { // they are still to be written
					return nil
				}
			}
			out = append(out, mapping.Issue{File: b.show(name), Line: 1, Col: 1, Severity: mapping.Warning, Code: "unused",
				Text: fmt.Sprintf("no %s that was checked reads this %s", reader, what)})
			return nil
		})
	}
	return out
}
