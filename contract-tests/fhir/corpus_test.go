package fhir_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/internal/tree"
)

// corpus returns the connector's own messages and, where VAGUS_CORPORA is set,
// those of other people: the standard's examples and made-up patients.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	own := "../../connectors/fhir/testdata/"
	files := map[string][]byte{"bundle.json": readFile(t, own+"bundle.json"), "claim.json": readFile(t, own+"claim.json")}
	root := os.Getenv("VAGUS_CORPORA")
	if root == "" {
		return files
	}
	for _, dir := range []string{"r4-examples", "synthea"} {
		err := filepath.WalkDir(filepath.Join(root, "fhir", dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".json") {
				files[filepath.Base(path)] = readFile(t, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 400 {
		t.Fatalf("the corpus has %d files only", len(files))
	}
	return files
}

func TestEverythingValidDecodesAndNothingIsLost(t *testing.T) {
	t.Parallel()
	d := dialect(t)
	resources, compared := 0, 0
	for name, body := range corpus(t) {
		m, err := d.Decode(body, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		resources += len(m.Root.Kids)
		// Encoding it gives the same JSON, so all of it is in the tree.
		encoded, err := d.(tree.Encoder).Encode(m)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if bytes.Count(body, []byte(`"Bundle"`)) > 1 { // one in an entry is taken apart
			continue
		}
		compared++
		if path := differ("", parse(t, encoded), parse(t, body)); path != "" {
			t.Errorf("%s: decoded and encoded it differs at %s", name, path)
		}
	}
	t.Logf("%d resources, %d messages the same again", resources, compared)
}

func parse(t testing.TB, body []byte) any {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(string(body)))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatal(err)
	}
	return v
}

// differ returns the first place where two values differ, or "".
func differ(at string, a, b any) string {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return at
		}
		for _, k := range sortedKeys(a, b) {
			if d := differ(at+"."+k, a[k], b[k]); d != "" {
				return d
			}
		}
		return ""
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return at
		}
		for i := range a {
			if d := differ(fmt.Sprintf("%s[%d]", at, i+1), a[i], b[i]); d != "" {
				return d
			}
		}
		return ""
	}
	if !reflect.DeepEqual(a, b) {
		return at
	}
	return ""
}

func sortedKeys(a, b map[string]any) []string {
	var keys []string
	for _, m := range []map[string]any{a, b} {
		for k := range m {
			if !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	return keys
}

func dialect(t testing.TB) tree.Dialect {
	t.Helper()
	d, err := fhir.NewFormat().Dialect(tree.Declaration{Version: "4.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
