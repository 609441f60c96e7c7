package mapping

import (
	"errors"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

const goodGolden = `{"idempotency":"M1","mapping":"test@3","verdict":"apply",
"ops":[{"do":"upsert","model":"res.partner","op":"p","xid":"t.p_7","vals":{"name":"Doe","color":3}}]}`

func testsOf(expect string) string {
	return "kind: tests\nmapping: m.yaml\ncases:\n  - name: one\n    input: |\n      " + strings.ReplaceAll(strings.TrimSpace(msh), "\n", "\n      ") +
		"\n      PID|1||7||Doe||||||||||||||||||||3\n    expect:\n      " + strings.ReplaceAll(expect, "\n", "\n      ") + "\n"
}

func runCase(t *testing.T, expect, golden string, update Update) (string, bool) {
	t.Helper()
	fsys := testFS("m.yaml", withFields("name: \"PID-5[first].1.1\"\ncolor: PID-25\nbirth: { from: PID-7, on_error: skip }"), "t.yaml", testsOf(expect))
	if golden != "" {
		fsys = testFS("m.yaml", string(fsys["m.yaml"].Data), "t.yaml", testsOf(expect), "g.json", golden)
	}
	rep := Test(t.Context(), fsys, "t.yaml", []tree.Format{fakeFormat{}}, update)
	out := rep.Issues.Error()
	for _, c := range rep.Cases {
		for _, d := range c.Diff {
			out += d.String() + "\n"
		}
		if c.Updated != "" {
			out += "wrote " + c.Updated + "\n"
		}
	}
	return out, rep.OK()
}

func TestACaseShowsOnlyWhatDiffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ expect, golden, want string }{
		{"golden: g.json", goodGolden, ""},
		{"golden: g.json", strings.Replace(goodGolden, "Doe", "Roe", 1), `ops[1].vals.name: - "Roe" + "Doe"`},
		{"golden: g.json", strings.Replace(goodGolden, `"color":3`, `"color":3.0`, 1), ""},
		{"golden: g.json", strings.Replace(goodGolden, `"color":3`, `"color":3,"ref":"x"`, 1), `ops[1].vals.ref: - "x" + (nothing)`},
		{"golden: g.json", strings.Replace(goodGolden, `,"color":3`, ``, 1), `ops[1].vals.color: - (nothing) + 3`},
		{"golden: h.json", goodGolden, `golden: (`},
		{"check: { p.name: Doe, p.color: 3, p.xid: t.p_7, p.do: upsert }", "", ""},
		{"check: { p.name: Roe }", "", `p.name: - "Roe" + "Doe"`},
		{"check: { p.ref: x }", "", `p.ref: - "x" + (nothing) (not sent)`},
		{"not_sent: [p.birth]", "", ""},
		{"not_sent: [p.name]", "", `p.name: - (nothing) + "Doe" (sent)`},
		{"warnings: []", "", ""},
		{"warnings: [late]", "", `warnings: - "late" + (nothing)`},
		{"verdict: reject", "", `verdict: - reject + apply`},
		{"reason: x", "", `reason: - "x" + ""`},
		{"ops: [ { op: p, model: res.partner, do: upsert, xid: t.p_7, vals: { name: Doe, color: 3 } } ]", "", ""},
		{"ops: []", "", `ops[1]: - (nothing) + {`},
		{"verdct: reject", "", `expect has no key "verdct" (did you mean "verdict"?)`},
		{"document: [a]", "", `document: - "a" + (nothing) (no document was written)`},
	} {
		out, ok := runCase(t, c.expect, c.golden, nil)
		if ok != (c.want == "") || !strings.Contains(out, c.want) {
			t.Errorf("%s\nwant %s\ngot %v\n%s", c.expect, c.want, ok, out)
		}
		if strings.Contains(c.want, "ops[1].") && strings.Count(out, "\n") != 1 {
			t.Errorf("more than the difference:\n%s", out)
		}
	}
}

func TestUpdateWritesTheGoldenAndNothingElse(t *testing.T) {
	t.Parallel()
	var name string
	var data []byte
	write := func(n string, d []byte) error { name, data = n, d; return nil }
	out, ok := runCase(t, "golden: g.json", "{}", write)
	if !ok || name != "g.json" || !strings.Contains(out, "wrote g.json") {
		t.Fatal(ok, name, out)
	}
	if out, ok = runCase(t, "golden: g.json", string(data), nil); !ok {
		t.Error(out)
	}
	if _, ok = runCase(t, "golden: g.json\ncheck: { p.name: Roe }", "{}", write); ok {
		t.Error("an update does not make a failed check pass")
	}
	if _, ok = runCase(t, "golden: g.json", "{}", func(string, []byte) error { return errors.New("disk") }); ok {
		t.Error("a golden that was not written passes")
	}
}
