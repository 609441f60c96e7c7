package mapping

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestATestNamesWhatTheMappingHas(t *testing.T) {
	t.Parallel()
	m := withFields(`name: "PID-5[first].1.1"`) + `  - id: kin
    model: res.partner
    do: upsert
    each: "NK1[*]"
    context: { lang: en_US }
    match: { xid: "t.k_{NK1-1}" }
    fields:
      name: "NK1-2[first].1.1"
      child_ids: { key: "{NK1-1}", fields: { name: "NK1-2[first].1.1" } }
`
	for _, c := range []struct{ expect, want string }{
		{"check: { p.name: Doe, kin#2.name: Roe, kin#1.child_ids.name: Ann, kin#1.context.lang: en_US, kin#1.xid: t.k_1 }", ""},
		{"check: { kin#2.name: Ann }", `kin#2.name: - "Ann" + "Roe"`},
		{"check: { q.name: Doe }", `t.yaml:11:16: error[test]: test has no operation "q"`},
		{"check: { p.nam: Doe }", `11:16: error[odoo-field]: res.partner has no field "nam" (did you mean "name"?)`},
		{"not_sent: [p]", `error[test]: p: what of p is meant? Write p.FIELD`},
		{"check: { p#1.name: Doe }", `error[test]: p runs once: write p.name`},
		{"check: { kin.name: Ann }", `error[test]: kin runs for each item of NK1[*]: write kin#1.name`},
		{"not_sent: [p.birth, p.comment, kin#2.ref, kin.child_ids.ref]", ""},
		{"not_sent: [p.birht]", `11:18: error[odoo-field]: res.partner has no field "birht" (did you mean "birth"?)`},
		{"not_sent: [patient.birth]", `11:18: error[test]: test has no operation "patient"`},
		{"not_sent: [kin.name]", `kin.name: - (nothing) + "Ann" (sent)`},
		{"not_sent: [kin#2.child_ids.name]", `kin#2.child_ids.name: - (nothing) + "Roe" (sent)`},
		{"not_sent: [kin.child_ids.rev]", `res.partner has no field "rev" (did you mean "ref"?)`},
		{"not_sent: [p.name.x]", `name is char, and no lines that x could be a field of`},
	} {
		tests := "kind: tests\nmapping: m.yaml\ncases:\n  - name: one\n    input: |\n      " + strings.TrimSpace(msh) +
			"\n      PID|1||7||Doe\n      NK1|1|Ann\n      NK1|2|Roe\n    expect: { " + c.expect + " }\n"
		tests = strings.Replace(tests, "expect: { "+c.expect+" }", "expect:\n      "+c.expect, 1)
		fsys, formats := testFS("m.yaml", m, "t.yaml", tests), []tree.Format{fakeFormat{}}
		rep := Test(t.Context(), fsys, "t.yaml", formats, nil)
		out := rep.Issues.Error()
		for _, r := range rep.Cases {
			for _, d := range r.Diff {
				out += d.String() + "\n"
			}
		}
		if rep.OK() != (c.want == "") || !strings.Contains(out, c.want) {
			t.Errorf("%s\nwant %s\ngot %v %s", c.expect, c.want, rep.OK(), out)
		}
		if lint := Issues(Lint(fsys, "t.yaml", formats)); lint.Error() != rep.Issues.Error() {
			t.Errorf("lint says %v, the test %v", lint, rep.Issues)
		}
	}
	fsys := testFS("t.yaml", strings.Replace(testsOf("verdict: apply"), "m.yaml", "other.yaml", 1))
	if out := Issues(Lint(fsys, "t.yaml", nil)).Error(); !strings.Contains(out, "t.yaml:2:10: error[file]") {
		t.Error(out)
	}
}

func TestANumberMayHaveAnExponent(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"1e5", "100000"}, {"1.25E-2", "0.0125"}, {"-2.50e+1", "-25"}, {"0e0", "0"}, {"1e39", "1" + strings.Repeat("0", 39)}, {"0e-9", "0"},
		{"1e40", "has more than 40 digits"}, {"1e-41", "has more than 40 digits"}, {"1e999999999999999999999", "has more than 40 digits"}, {"12e39", "has more than 40 digits"},
		{"1.5e-40", "has more than 40 digits"}, {"e5", "is not a decimal number"}, {"1e", "is not a decimal number"}, {"1e+-5", "is not a decimal number"}, {"1e5.0", "is not a decimal number"}, {"1e5e5", "is not a decimal number"}, {".e1", "is not a decimal number"},
	} {
		got := ""
		if r, err := parseDecimal(c.text); err != nil {
			got = err.Error()
		} else if got, err = decimalText(r); err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%s: got %s, want %s", c.text, got, c.want)
		}
	}
}
