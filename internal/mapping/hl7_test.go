package mapping_test

import (
	"bytes"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

var formats = []tree.Format{hl7.Format{}}

// filesOf lists the files of mappings/ with this ending.
func filesOf(t *testing.T, fsys fs.FS, ending string) (out []string) {
	t.Helper()
	err := fs.WalkDir(fsys, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			out = append(out, path)
		}
		return err
	})
	if err != nil || len(out) == 0 {
		t.Fatalf("no *%s: %v", ending, err)
	}
	return out
}

func TestAllMappingsThatWeShipLintCleanAndPassTheirTestsOnHL7(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	var out bytes.Buffer
	lint := append(filesOf(t, fsys, ".map.yaml"), filesOf(t, fsys, ".test.yaml")...)
	if !mapping.LintCommand(mapping.Output{W: &out}, fsys, formats, lint) {
		t.Error("lint")
	}
	if strings.Contains(out.String(), "warning[") {
		t.Error("what we ship has no warnings")
	}
	if !mapping.TestCommand(t.Context(), mapping.Output{W: &out}, fsys, formats, filesOf(t, fsys, ".test.yaml"), nil) {
		t.Error("tests")
	}
	t.Log("\n" + out.String())
}
