package workbench

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

// Results never leave the hospital: a rule that reads what a result says, or a remark on it, is refused by
// every shipped HL7 mapping whose messages have results, whichever way the rule gets at it, unless somebody writes into
// egress.allow that what is clinical leaves.
func TestARuleThatReadsAResultIsRefused(t *testing.T) {
	t.Parallel()
	for _, shipped := range []struct{ name, field, group string }{
		{"lab/oru-charge.map.yaml", "      client_order_ref: account\n", "ORDER[first]."},
		{"imaging/oru-charge.map.yaml", "      client_order_ref: account\n", "ORDER[first]."},
		{"documents/mdm-notice.map.yaml", "          summary:          { text: \"Document {TXA-12.1} is there\" }\n", "/"},
	} {
		name, _, _ := strings.Cut(strings.TrimSpace(shipped.field), ":")
		indent := shipped.field[:strings.Index(shipped.field, name)]
		for what, rule := range map[string]string{
			"the value":                 "{ from: \"" + shipped.group + "OBX[first]-5[first]\" }",
			"a part of the value":       "{ from: \"" + shipped.group + "OBX[first]-5[first].1\" }",
			"units":                     "{ from: \"" + shipped.group + "OBX[first]-6.1\" }",
			"whether it is abnormal":    "{ from: \"" + shipped.group + "OBX[first]-8[first]\" }",
			"what was examined":         "{ from: \"" + shipped.group + "OBX[first]-3.1\" }",
			"an expression":             "{ cel: \"v('" + shipped.group + "OBX[first]-5[first]')\" }",
			"a sum of values":           "{ cel: \"values('" + shipped.group + "OBX[*].5').join(' ')\" }",
			"the value among others":    "{ from: [MSH-10, \"" + shipped.group + "OBX[first]-5[first]\"] }",
			"a text with the value":     "{ text: \"Result {" + shipped.group + "OBX[first]-5[first]}\" }",
			"a default beside the rule": "{ from: \"" + shipped.group + "OBX[first]-5[first]\", default: none }",
		} {
			b := changed(t, shipped.name, shipped.field, indent+name+": "+rule+"\n")
			rep, err := b.Lint(t.Context(), []string{shipped.name}, nil)
			if err != nil {
				t.Fatal(err)
			}
			refused := false
			for _, i := range rep.Issues {
				refused = refused || i.Code == "egress" && i.Severity == mapping.Error && strings.Contains(i.String(), "clinical") && strings.Contains(i.String(), "OBX")
			}
			if !refused {
				t.Errorf("%s: %s (%s) may leave: %v", shipped.name, what, rule, rep.Issues)
			}
		}
	}
	// Nobody ships one that allows it for HL7 v2.
	err := fs.WalkDir(mappings.FS, ".", func(name string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(name, ".map.yaml") || strings.HasPrefix(name, "examples/") {
			return err
		}
		text, err := fs.ReadFile(mappings.FS, name)
		if s := string(text); strings.Contains(s, "format: hl7v2") && strings.Contains(s, "clinical") && strings.Contains(s[strings.Index(s, "egress:"):][:60], "clinical") {
			t.Errorf("%s lets out what is clinical", name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
