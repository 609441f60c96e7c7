package mapping

import (
	"os"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestTheExamplesPassOnAFormatOfTheTestsOwn(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	formats := []tree.Format{fakeFormat{}}
	for _, name := range []string{"adt-patient", "adt-merge"} {
		rep := Test(t.Context(), fsys, "examples/north/01-hl7-adt/"+name+".test.yaml", formats, nil)
		if !rep.OK() || len(rep.Cases) == 0 {
			t.Errorf("%+v", rep)
		}
	}
}
