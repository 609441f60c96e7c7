package mapping_test

import (
	"io/fs"
	"os"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/internal/mapping"
)

// TestAPathOfAnotherVersionSaysWhichOnesHaveIt edits a mapping that we ship.
func TestAPathOfAnotherVersionSaysWhichOnesHaveIt(t *testing.T) {
	t.Parallel()
	const file = "admissions/adt-patient.map.yaml"
	for _, tt := range []struct{ name, version, path, want string }{
		{"a field of 2.7", "2.3", "PID-40", "PID has no 40 in the version that source.version names: it is there since 2.7"},
		{"a segment of 2.7", "2.5.1", "PRT-5", "has no PRT in the version that source.version names: it is there since 2.7"},
		{"a later version than there is a dictionary of", "2.9", "PID-40.99", "HL7 2.9 is read as 2.8: what only 2.9 has is not known here"},
		{"a field of no version", "2.5.1", "PID-99", "PID has parts 1..39, no PID-99"},
	} {
		files := fstest.MapFS{}
		shipped := os.DirFS("../../mappings")
		err := fs.WalkDir(shipped, ".", func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			body, err := fs.ReadFile(shipped, path)
			if path == file {
				text := strings.Replace(string(body), `version: "2.5.1"`, `version: "`+tt.version+`"`, 1)
				body = []byte(strings.Replace(text, "MSH-4.1]", tt.path+"]", 1))
			}
			files[path] = &fstest.MapFile{Data: body}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, i := range mapping.Lint(files, file, formats) {
			found = append(found, i.Text)
		}
		if !strings.Contains(strings.Join(found, "\n"), tt.want) {
			t.Errorf("%s: %q", tt.name, found)
		}
	}
}
