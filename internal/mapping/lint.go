package mapping

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"path"

	"github.com/vagus-health/vagus/internal/tree"
)

// Output says how a command prints: for a terminal with or without colours, or
// as JSON, one object a line.
type Output struct {
	W      io.Writer
	Colour bool
	JSON   bool
}

// Lint checks one file of any kind (mapping, fragment, tests) and returns all
// that is wrong with it, sorted by place.
func Lint(fsys fs.FS, name string, formats []tree.Format) []Issue {
	c := &collector{}
	data, err := readFile(fsys, name)
	if err != nil {
		c.errorf(place{file: &sourceFile{name: name}}, "file", "%v", err)
		return c.issues
	}
	doc := parseYAML(name, data, c)
	if doc == nil {
		return c.issues
	}
	switch kind := doc.get("kind"); {
	case kind != nil && kind.text == "tests":
		readTests(doc, c)
	case kind != nil && kind.text == "fragment":
		(&loader{c: c}).fragmentShape(doc)
	case kind != nil && kind.text == "mapping":
		_, issues := load(fsys, name, formats)
		return issues
	default:
		c.errorf(doc.at, "kind", "a file begins with kind: mapping, kind: fragment or kind: tests")
	}
	return c.issues.sorted()
}

// LintCommand lints files and prints what it finds. It returns whether none of
// them has an error; warnings do not fail.
func LintCommand(out Output, fsys fs.FS, formats []tree.Format, paths []string) (ok bool) {
	faults, warnings := 0, 0
	for _, name := range paths {
		for _, i := range Lint(fsys, path.Clean(name), formats) {
			if i.Severity == Error {
				faults++
			} else {
				warnings++
			}
			if out.JSON {
				writeJSON(out.W, i)
			} else {
				i.write(out.W, out.Colour)
			}
		}
	}
	if !out.JSON {
		verdict := paint(out.Colour, green, "ok")
		if faults > 0 {
			verdict = paint(out.Colour, red, "FAIL")
		}
		fmt.Fprintf(out.W, "%s  %d files, %d errors, %d warnings\n", verdict, len(paths), faults, warnings)
	}
	return faults == 0
}

func writeJSON(w io.Writer, v any) {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v)
}
