package mapping

import (
	"strings"
	"testing"
)

func TestAFaultNamesTheRuleItsLineThePathAndNoValue(t *testing.T) {
	t.Parallel()
	fragment := "kind: fragment\nid: f\nfields:\n  color: PID-8\n"
	text := strings.Replace(withFields("name: PID-7"), "    fields:", "    include: [ { fragment: f.yaml } ]\n    fields:", 1)
	m := mustLoad(t, text, "f.yaml", fragment)
	res := m.Run(t.Context(), decode(t, msh+"PID|1||7||||19840229|CANARY"))
	if want := "p.color: PID-8 is not a decimal number (line 4 of f.yaml)"; res.Reason != want || res.Class != ClassConvert {
		t.Errorf("%s %s, want %s", res.Class, res.Reason, want)
	}
	if !strings.Contains(string(res.Detail), "CANARY") || !strings.HasSuffix(string(res.Detail), "(line 4 of f.yaml)") {
		t.Errorf("the detail is %s", string(res.Detail))
	}
	m = mustLoad(t, withFields("name: { from: PID-8, required: true, on_error: reject }"))
	if got := m.Run(t.Context(), decode(t, msh+"PID|1||7")); got.Reason != "p.name: required, but PID-8 is absent (line 16)" {
		t.Error(got.Reason)
	}
}
