package mapping

import (
	"io/fs"

	"github.com/vagus-health/vagus/internal/tree"
)

// Lint checks one file of any kind (mapping, fragment, table, tests) and returns all
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
		if t := readTests(doc, c); t != nil {
			lintTests(fsys, doc, t, formats, c)
		}
	case kind != nil && kind.text == "table":
		c.shape(doc, "table")
	case kind != nil && kind.text == "fragment":
		(&flattener{c: c}).lintFragment(doc)
	case kind != nil && kind.text == "mapping":
		_, issues := load(fsys, name, formats)
		return issues
	default:
		c.errorf(doc.at, "kind", "a file begins with kind: mapping, kind: fragment, kind: table or kind: tests")
	}
	return c.issues.sorted()
}
