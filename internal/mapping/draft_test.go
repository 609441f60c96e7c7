package mapping

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// yamlFiles calls f for every YAML file that is shipped, and for the examples
// beside the corpora.
func yamlFiles(t testing.TB, f func(name string, data []byte)) {
	dirs := []string{"../../mappings"}
	if c := os.Getenv("VAGUS_CORPORA"); c != "" {
		dirs = append(dirs, filepath.Join(c, "../mapping/examples"))
	}
	n := 0
	for _, dir := range dirs {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(name, ".yaml") {
				return err
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err == nil {
				n++
				f(name, data)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 8 {
		t.Fatalf("only %d files", n)
	}
}

// shown is what two trees are compared by: kinds, texts, keys and places.
func shown(v *value) any {
	at := []int{v.at.line, v.at.col}
	switch v.kind {
	case yamlMap:
		var out []any
		for _, e := range v.keys {
			out = append(out, e.key, e.at.line, e.at.col, shown(e.val))
		}
		return out
	case yamlList:
		var out []any
		for _, i := range v.list {
			out = append(out, shown(i))
		}
		return out
	case yamlNull:
		return nil
	}
	if strings.Contains(v.text, "\n") {
		at = nil // of a block's first line, or of its mark
	}
	return []any{v.kind.String(), strings.TrimRight(v.text, "\n"), at}
}

func TestADraftThatIsWellFormedReadsAsTheStrictReaderReadsIt(t *testing.T) {
	t.Parallel()
	yamlFiles(t, func(name string, data []byte) {
		c := &collector{}
		file := newSourceFile(name, data)
		want := parseYAML(name, data, c)
		got := readDraft(string(data)).root.value(file)
		if diff := cmp.Diff(shown(want), shown(got)); diff != "" {
			t.Errorf("%s (-strict +draft)\n%s", name, diff)
		}
	})
}
