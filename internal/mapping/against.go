package mapping

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Against compares a tree of mapping files with an older one: a mapping that
// does something else under the version that it had is an error, at its
// version. What does something else is a rule, a table or a golden that
// differs; titles, notes and comments do not count. Files that can not be read
// are left to [Lint].
func Against(old, now fs.FS) ([]Issue, error) {
	before, err := editions(old)
	if err != nil {
		return nil, fmt.Errorf("the older tree: %w", err)
	}
	after, err := editions(now)
	if err != nil {
		return nil, err
	}
	c := &collector{}
	for _, e := range after {
		was := e.earlier(before)
		if was == nil {
			continue
		}
		what, differs := e.differs(was)
		switch {
		case e.version < was.version:
			c.errorf(e.at, "version", "version %d of %s is older than %d, which there was: a version only rises", e.version, e.id, was.version)
		case e.version == was.version && differs:
			c.errorf(e.at, "version", "%s does something else, and its version is still %d: write version: %d (%s)", e.id, e.version, e.version+1, what)
		}
	}
	return c.issues.sorted(), nil
}

// An edition is one mapping as it is in one tree.
type edition struct {
	file    string
	id      string
	version int
	at      place // of the version
	lines   []Line
	tables  map[string]map[string]string
	goldens map[string]any
}

// earlier finds the same mapping in the older tree: by its id, and by its file
// when several have that.
func (e *edition) earlier(before []*edition) *edition {
	var same []*edition
	for _, b := range before {
		if b.id == e.id {
			same = append(same, b)
		}
	}
	if len(same) == 1 {
		return same[0]
	}
	if i := slices.IndexFunc(same, func(b *edition) bool { return b.file == e.file }); i >= 0 {
		return same[i]
	}
	return nil
}

// differs says whether a mapping does something else than it did, and where
// that shows first.
func (e *edition) differs(was *edition) (what string, yes bool) {
	for i, l := range e.lines {
		if i >= len(was.lines) || l.Text != was.lines[i].Text {
			return fmt.Sprintf("%s:%d", l.File, l.Line), true
		}
	}
	if len(e.lines) < len(was.lines) {
		l := was.lines[len(e.lines)]
		return fmt.Sprintf("without %s:%d", l.File, l.Line), true
	}
	for _, name := range slices.Sorted(maps.Keys(e.tables)) {
		if !maps.Equal(e.tables[name], was.tables[name]) {
			return "table " + name, true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(e.goldens)) {
		if want, ok := was.goldens[name]; ok {
			diff("", want, e.goldens[name], func(_, _, _, _ string) { yes = true })
		}
		if yes {
			return name, true
		}
	}
	return "", false
}

// editions reads all mappings of a tree.
func editions(fsys fs.FS) ([]*edition, error) {
	byFile := map[string]*edition{}
	var tests []string
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case strings.HasSuffix(name, ".map.yaml"):
			if e := readEdition(fsys, name); e != nil {
				byFile[name] = e
			}
		case strings.HasSuffix(name, ".test.yaml"):
			tests = append(tests, name)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for _, name := range tests {
		readGoldens(fsys, name, byFile)
	}
	return slices.SortedFunc(maps.Values(byFile), func(a, b *edition) int { return cmp.Compare(a.file, b.file) }), nil
}

func readEdition(fsys fs.FS, name string) *edition {
	c := &collector{}
	doc := (&flattener{fsys: fsys, c: c}).flatten(name)
	if doc == nil || c.issues.failed() || doc.get("id") == nil || doc.get("version") == nil {
		return nil
	}
	e := &edition{file: name, id: doc.get("id").text, at: doc.get("version").at, tables: map[string]map[string]string{}, goldens: map[string]any{}}
	var err error
	if e.version, err = strconv.Atoi(doc.get("version").text); err != nil {
		return nil
	}
	for _, t := range doc.get("tables").entries() {
		if t.val.kind != yamlString {
			continue
		}
		data, err := readFile(fsys, path.Join(path.Dir(name), t.val.text))
		if err != nil {
			continue
		}
		if read, _, err := readTable(t.key, data); err == nil {
			rows := maps.Clone(read.rows)
			if read.catch {
				rows["*"] = read.other
			}
			e.tables[t.key] = rows
		}
		t.val.text = "" // its rows count, not its name
	}
	keys := slices.DeleteFunc(inOrder(doc.keys), func(k entry) bool { return slices.Contains(headerKeys, k.key) })
	for _, k := range keys {
		k.val.settle(k.key != "tables")
	}
	r := &renderer{canonical: true}
	r.entries(0, keys)
	e.lines = r.lines
	return e
}

// settle puts the keys of a tree into one order and takes notes out.
func (v *value) settle(notes bool) {
	if notes {
		v.keys = slices.DeleteFunc(v.keys, func(e entry) bool { return e.key == "note" })
	}
	slices.SortStableFunc(v.keys, func(a, b entry) int { return cmp.Compare(a.key, b.key) })
	for _, e := range v.keys {
		e.val.settle(notes)
	}
	for _, x := range v.list {
		x.settle(notes)
	}
}

// TestFiles returns the test files that stand beside a mapping and are of it.
func TestFiles(fsys fs.FS, mapping string) ([]string, error) {
	found, err := fs.ReadDir(fsys, path.Dir(mapping))
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range found {
		name := path.Join(path.Dir(mapping), d.Name())
		if d.IsDir() || !strings.HasSuffix(name, ".test.yaml") {
			continue
		}
		if of, _ := testedBy(fsys, name); of == mapping {
			out = append(out, name)
		}
	}
	return out, nil
}

// testedBy reads which mapping a test file is of.
func testedBy(fsys fs.FS, name string) (string, *value) {
	data, err := readFile(fsys, name)
	if err != nil {
		return "", nil
	}
	doc := parseYAML(name, data, &collector{})
	if doc == nil || doc.get("mapping") == nil {
		return "", nil
	}
	return doc.get("mapping").beside(), doc
}

// readGoldens gives the mapping of a test file its goldens.
func readGoldens(fsys fs.FS, name string, byFile map[string]*edition) {
	of, doc := testedBy(fsys, name)
	e := byFile[of]
	cases := doc.get("cases")
	if e == nil || cases == nil {
		return
	}
	for _, k := range cases.list {
		golden := k.get("expect").get("golden")
		if golden == nil {
			continue
		}
		if data, err := readFile(fsys, golden.beside()); err == nil {
			if v, err := decodeJSON(bytes.TrimSpace(data)); err == nil {
				e.goldens[golden.beside()] = v
			}
		}
	}
}
