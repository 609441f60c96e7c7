package mapping_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/mappings"
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

func ExampleLoad() {
	m, err := mapping.Load(mappings.FS, "admissions/adt-patient.map.yaml", []tree.Format{hl7.Format{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	msg, err := hl7.Format{}.Decode([]byte("MSH|^~\\&|REG|NORTH|||20260314||ADT^A08|1|P|2.5.1\rPID|1||42^^^NORTH^MR||Doe^Sam\r"))
	if err != nil {
		fmt.Println(err)
		return
	}
	res := m.Run(context.Background(), msg)
	fmt.Println(res.Verdict, res.Ops[0].Do, res.Ops[0].XID, res.Ops[0].Vals["name"])
	// Output: apply upsert vagus.patient_NORTH_42 Sam Doe
}
