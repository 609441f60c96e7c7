package main

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestADiffReplaysMessagesOfOneProcessThatRunsAll(t *testing.T) {
	t.Parallel()
	_, url := odoos(t, simulated.Config{Users: []simulated.User{{Login: "mona", Key: "mona"}}})
	file, _, _ := startWhole(t, url)
	const shipped = "../../mappings/admissions/adt-patient.map.yaml"
	out, stderr, code := vagusMapping(t, "diff", shipped, shipped, "-c", file, "--feed", "adt", "--last", "3")
	if code != 0 || !strings.Contains(out, "3 messages replayed, 3 give the same unit") {
		t.Errorf("%d\n%s%s", code, out, stderr)
	}
	if _, stderr, code := vagusMapping(t, "diff", shipped, shipped, "-c", file, "--feed", "lab"); code != 1 || !strings.Contains(stderr, "it has adt") {
		t.Errorf("%d\n%s", code, stderr)
	}
}
