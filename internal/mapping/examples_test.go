package mapping

import (
	"bytes"
	"os"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestTheExamplesPassOnAFormatOfTheTestsOwn(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	fsys := os.DirFS("../../mappings")
	formats := []tree.Format{fakeFormat{}}
	ok := LintCommand(Output{W: &out}, fsys, formats, []string{"examples/north/01-hl7-adt/adt-patient.map.yaml", "examples/north/01-hl7-adt/adt-merge.map.yaml"})
	ok = TestCommand(t.Context(), Output{W: &out}, fsys, formats, []string{"examples/north/01-hl7-adt/adt-patient.test.yaml", "examples/north/01-hl7-adt/adt-merge.test.yaml"}, nil) && ok
	t.Log("\n" + out.String())
	if !ok {
		t.Fail()
	}
}
