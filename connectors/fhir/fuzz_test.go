package fhir_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// FuzzDecode: no body makes Decode, Split or Encode panic, and what can be
// written is read again as the same tree.
func FuzzDecode(f *testing.F) {
	f.Add(readFile(f, "testdata/bundle.json"))
	f.Add(readFile(f, "testdata/claim.json"))
	if root := os.Getenv("VAGUS_CORPORA"); root != "" {
		files, err := filepath.Glob(filepath.Join(root, "fhir", "r4-examples", "*-example.json"))
		if err != nil || len(files) == 0 {
			f.Fatalf("the corpus has %d examples: %v", len(files), err)
		}
		for _, file := range files {
			f.Add(readFile(f, file))
		}
	}
	f.Add([]byte(`{"resourceType":"Bundle","entry":[{"resource":null},{"fullUrl":"u","resource":{"resourceType":"Bundle"}},{"resource":{"fullUrl":"v","resourceType":"Patient"},"fullUrl":"w"}]}`))
	f.Add([]byte(`{"a":1}` + "\n" + `{"resourceType":"Parameters","parameter":[{"name":"x","resource":{"resourceType":"Bundle"}}]}`))
	only := tree.Selection{}
	only.Add("Resource", "Patient")
	only.Add("Patient", "fullUrl")
	f.Fuzz(func(t *testing.T, body []byte) {
		d := dialect(t)
		parts, err := d.(tree.Splitter).Split(body)
		if err != nil {
			return
		}
		for _, part := range parts {
			if _, err := d.Decode(part, only); err != nil {
				continue
			}
			m := decode(t, part, nil) // what is selected does not change what is sound
			encoded, err := d.(tree.Encoder).Encode(m)
			if err != nil {
				continue
			}
			again := decode(t, encoded, nil)
			if len(again.Root.Kids) != len(m.Root.Kids) {
				t.Fatalf("%d resources have become %d: %s", len(m.Root.Kids), len(again.Root.Kids), encoded)
			}
			for i, n := range m.Root.Kids {
				if n.Name == "Bundle" { // entries that were nothing but a place are there again
					continue
				}
				if got, want := outline(again.Root.Kids[i], ""), outline(n, ""); !slices.Equal(sorted(got), sorted(want)) {
					t.Fatalf("%s: %q have become %q", n.Name, want, got)
				}
			}
		}
	})
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
