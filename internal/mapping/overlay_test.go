package mapping

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/vagus-health/vagus/internal/tree"
)

const overlayBase = testHead + `tables: { sex: sex.csv, any: { A: x, "*": other } }
let:
  mrn: { from: "PID-3[first].1" }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{mrn}" }
    include:
      - { fragment: ../parts/xad.yaml, with: { a: "PID-11[first]" } }
    fields:
      name:   "PID-5[first].1.1"
      gender: { from: PID-8, map: sex }
  - id: kin
    model: res.partner
    do: upsert
    each: NK1[*]
    match: { xid: "t.k_{mrn}_{NK1-1}" }
    fields:
      parent_id: { op: p }
      name: "NK1-2[first].1.1"
`

const xadFragment = `kind: fragment
format: 1
id: xad
params:
  a: { type: XAD, note: "an address" }
fields:
  comment: "${a}.3"
`

func overlayFS(overlay string, more ...string) []string {
	return append([]string{"base/m.map.yaml", strings.ReplaceAll(overlayBase, "snap.json", "../snap.json"), "parts/xad.yaml", xadFragment, "base/sex.csv", "code,odoo\nM,male\nF,female\n",
		"sites/west/o.map.yaml", "kind: mapping\nformat: 1\nextends: ../../base/m.map.yaml\nid: west\nversion: 7\n" + overlay}, more...)
}

const overlaid = msh + "PID|||77||Doe|||F|||1 Elm^^Springfield\nNK1|1|Roe\n"

func TestAnOverlayChangesWhatItNames(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, overlay, want string }{
		{"nothing", "", `{"comment":"Springfield","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"a rule", "set: { p.name: PID-8 }", `{"comment":"Springfield","gender":"female","name":"F"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"a rule that a fragment brings", "set: { p.comment: PID-8 }", `{"comment":"F","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"a rule less", "remove: [p.gender, p.comment]", `{"name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"an operation less", "remove: [kin]", `{"comment":"Springfield","gender":"female","name":"Doe"}`},
		{"a rule more", "add: { kin.ref: NK1-1 }", `{"comment":"Springfield","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"},"ref":"1"}`},
		{"an operation's condition", `add: { operations.kin.when: "v('NK1-1') == '9'" }`, `{"comment":"Springfield","gender":"female","name":"Doe"}`},
		{"a table of its own", "set: { tables.sex: { F: male, M: female } }", `{"comment":"Springfield","gender":"male","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"a table's file, beside the overlay", "set: { tables.sex: own.csv }", `{"comment":"Springfield","gender":"male","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"another argument for the fragment", "set: { operations.p.include: [ { fragment: ../../parts/xad.yaml, with: { a: \"NK1[first]-4[first]\" } } ] }", `{"gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"an operation more, with an include of its own", `add:
  operations.more:
    id: more
    model: res.partner
    do: upsert
    match: { xid: "t.m_{mrn}" }
    include: [ { fragment: ../../parts/xad.yaml, with: { a: "PID-11[first]" } } ]
    fields: { name: { value: x } }
`, `{"comment":"Springfield","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}; {"comment":"Springfield","name":"x"}`},
		{"an operation more, by its id", `add: { more: { id: more, model: res.partner, do: upsert, match: { xid: "t.m_{mrn}" }, fields: { name: { value: x } } } }`,
			`{"comment":"Springfield","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}; {"name":"x"}`},
		{"a guard", `add: { guards: [ { when: "v('PID-8') == 'F'", do: skip, because: not here } ] }`, `skip mapping.guard guards[1]: not here`},
		{"a let", `set: { let.mrn: PID-8, p.name: { text: "{mrn}" } }`, `{"comment":"Springfield","gender":"female","name":"F"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
		{"what may leave", "set: { egress.allow: [name, identifier, contact, demographic, admin, staff] }", `{"comment":"Springfield","gender":"female","name":"Doe"}; {"name":"Roe","parent_id":{"$op":"p"}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := Load(testFS(overlayFS(c.overlay, "sites/west/own.csv", "code,odoo\nF,male\n")...), "sites/west/o.map.yaml", []tree.Format{fakeFormat{}})
			if err != nil {
				t.Fatal(err)
			}
			if m.ID != "west" || m.Version != 7 {
				t.Errorf("it is %s@%d", m.ID, m.Version)
			}
			got := outcome(m.Run(t.Context(), decode(t, overlaid)))
			if c.name == "a guard" {
				got, c.want = got[:12], c.want[:12]
			}
			if got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAWrongOverlayIsAnErrorAtTheLineThatSaysIt(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ overlay, want string }{
		{"set: { p.nam: PID-8 }", `sites/west/o.map.yaml:6:8: error[extends]: there is no "p.nam" (did you mean "p.name"?): what is new is written under add:`},
		{"set: { q.name: PID-8 }", `o.map.yaml:6:8: error[extends]: there is no "q.name"`},
		{"set: { source.zon: x }", `(did you mean "source.zone"?)`},
		{"remove: [p.nme]", `o.map.yaml:6:10: error[extends]: there is no "p.nme" to remove (did you mean "p.name"?)`},
		{"add: { p.name: PID-8 }", `o.map.yaml:6:8: error[extends]: there is a "p.name": write it under set:`},
		{"add: { nothing.such: PID-8 }", `there is no "nothing.such"`},
		{"add: { operations.kin2: { id: kin3 } }", `operations.kin2 is an operation with id: kin2`},
		{"add: { kin2: { id: kin3 } }", `kin2 is an operation with id: kin2`},
		{"set: { version: 3 }", `version stands beside extends`},
		{"set: { p.name: PID-61 }", `sites/west/o.map.yaml:6:20: error[path]: PID has parts 1..39, no PID-61`},
		{"add: { p.nam: PID-8 }", `sites/west/o.map.yaml:6:8: error[odoo-field]: res.partner has no field "nam"`},
		{"set: { tables.sex: none.csv }", `sites/west/o.map.yaml:6:20: error[table]`},
		{"set: []", `set is a map, not a list`},
		{"remove: p.name", `remove is a list, not text`},
		{"operations: []", `o.map.yaml:6:1: error[unknown-key]: an overlay has no key "operations"`},
		{"remove: [p]", `base/m.map.yaml:28:24: error[op-order]: "p" is not an earlier operation`},
		{"set: { egress.allow: [] }", `error[egress]: p.comment carries contact data (from PID-11[first].3), which egress.allow does not let out (included at base/m.map.yaml:18:21)`},
	} {
		_, err := Load(testFS(overlayFS(c.overlay)...), "sites/west/o.map.yaml", []tree.Format{fakeFormat{}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\ngot  %v\nwant %s", c.overlay, err, c.want)
		}
	}
}

func TestOverlaysStandOnEachOther(t *testing.T) {
	t.Parallel()
	formats := []tree.Format{fakeFormat{}}
	upper := "kind: mapping\nformat: 1\nextends: ../west/o.map.yaml\nid: upper\nversion: 1\n"
	files := overlayFS("set: { p.name: PID-8 }\nremove: [kin]", "sites/up/u.map.yaml", upper+"set: { p.gender: { value: male }, p.name: PID-30 }")
	m, err := Load(testFS(files...), "sites/up/u.map.yaml", formats)
	if err != nil {
		t.Fatal(err)
	}
	if got := outcome(m.Run(t.Context(), decode(t, overlaid))); got != `{"comment":"Springfield","gender":"male"}` {
		t.Error(got)
	}
	if got := fmt.Sprint(m.Bases); got != "[sites/west/o.map.yaml base/m.map.yaml]" {
		t.Error(got)
	}
	for part, other := range map[string]string{"base/m.map.yaml": overlayBase + "# more\n", "sites/west/o.map.yaml": files[7] + "\n# more\n", "parts/xad.yaml": xadFragment + "# more\n"} {
		fsys := testFS(files...)
		fsys[part].Data = []byte(strings.ReplaceAll(other, " snap.json", " ../snap.json"))
		changed, err := Load(fsys, "sites/up/u.map.yaml", formats)
		if err != nil {
			t.Fatal(part, err)
		}
		if changed.Hash == m.Hash {
			t.Errorf("%s is not a part of the hash", part)
		}
	}
	for what, c := range map[string]struct{ overlay, want string }{
		"itself":              {"extends: o.map.yaml\nid: o\nversion: 1", "a mapping can not extend itself: sites/west/o.map.yaml → sites/west/o.map.yaml"},
		"nothing":             {"extends: none.yaml\nid: o\nversion: 1", "none.yaml"},
		"a fragment":          {"extends: ../../parts/xad.yaml\nid: o\nversion: 1", `parts/xad.yaml:1:7: error[kind]: a mapping has kind: mapping, not "fragment"`},
		"a list":              {"extends: []\nid: o\nversion: 1", "extends is text, not a list"},
		"of the same id":      {"extends: ../../base/m.map.yaml\nid: test\nversion: 1", "test is the id of what it extends"},
		"without a version":   {"extends: ../../base/m.map.yaml\nid: x", "an overlay needs version:"},
		"outside of the tree": {"extends: ../../../m.yaml\nid: x\nversion: 1", "outside of the mapping tree"},
	} {
		fsys := testFS(overlayFS("")...)
		fsys["sites/west/o.map.yaml"].Data = []byte("kind: mapping\nformat: 1\n" + c.overlay + "\n")
		if _, err := Load(fsys, "sites/west/o.map.yaml", formats); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", what, err, c.want)
		}
	}
	if _, err := Load(testFS("m.yaml", overlayBase+"set: {}\n"), "m.yaml", formats); err == nil || !strings.Contains(err.Error(), `a mapping has no key "set"`) {
		t.Error(err)
	}
}

func TestAFragmentTakesWhatItsParametersSay(t *testing.T) {
	t.Parallel()
	mapping := func(with string) string {
		return testHead + fmt.Sprintf(`tables: { sex: { M: male, F: female } }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{PID-3[first].1}" }
    include: [ { fragment: f.yaml, with: %s } ]
    fields: { name: { value: x } }
`, with)
	}
	const all = `kind: fragment
params:
  a: { type: XAD }
  t: { kind: table, default: sex }
  word: { kind: text, default: "-" }
include: [ { fragment: g.yaml, with: { b: "${a}.1" } } ]
fields:
  comment: { from: "${a}.3", cel: "it + '${word}'" }
  gender: { from: PID-8, map: "${t}" }
`
	const inner = `kind: fragment
params: { b: { type: SAD } }
fields: { ref: "${b}.1", comment: { value: the outer one wins } }
`
	for _, c := range []struct{ name, fragment, inner, with, want string }{
		{"all of them", all, inner, `{ a: "PID-11[first]" }`, `{"comment":"Springfield-","gender":"female","name":"x","ref":"1 Elm"}`},
		{"a text", all, inner, `{ a: "PID-11[first]", word: "!" }`, `"comment":"Springfield!"`},
		{"a text that would not stay one", all, inner, `{ a: "PID-11[first]", word: "' + v('PID-19') + '" }`, `m.yaml:15:70: error[include]: word of f.yaml is a text without quotes`},
		{"a path to another type", all, inner, `{ a: "PID-13[first]" }`, `m.yaml:15:47: error[include]: a of f.yaml takes a path to XAD, and PID-13[first] is XTN`},
		{"a path to another type, in a fragment of the fragment", strings.Replace(all, "${a}.1", "${a}.3", 1), inner, `{ a: "PID-11[first]" }`, `f.yaml:6:43: error[include]: b of g.yaml takes a path to SAD, and PID-11[first].3 is ST (included at m.yaml:15:28)`},
		{"a path that leads nowhere", all, inner, `{ a: PID-61 }`, `m.yaml:15:`},
		{"no such table", all, inner, `{ a: "PID-11[first]", t: sx }`, `error[table]: no table "sx" (did you mean "sex"?): t of f.yaml is one`},
		{"no argument", all, inner, `{}`, `error[include]: f.yaml needs with: {a: path}`},
		{"an argument too many", all, inner, `{ a: "PID-11[first]", wrd: x }`, `f.yaml has no parameter "wrd" (did you mean "word"?)`},
		{"a number", all, inner, `{ a: "PID-11[first]", word: 3 }`, `word is text, not a number: write it in quotes`},
		{"a fault inside", all, strings.Replace(inner, "${b}.1", "${b}.9", 1), `{ a: "PID-11[first]" }`, `g.yaml:3:16: error[path]: SAD has parts 1..3, no SAD-9 (included at f.yaml:6:24) (included at m.yaml:15:28)`},
		{"a name that is no parameter", strings.Replace(all, "${t}", "${tt}", 1), inner, `{ a: "PID-11[first]" }`, `f.yaml:9:31: error[include]: the fragment has no parameter "tt" (did you mean "t"?)`},
		{"a fragment that includes itself", strings.Replace(all, "g.yaml, with: { b: \"${a}.1\" }", "f.yaml, with: { a: \"${a}\" }", 1), inner, `{ a: "PID-11[first]" }`, `f.yaml:6:24: error[include]: a fragment can not include itself: f.yaml → f.yaml`},
		{"a type of a text", strings.Replace(all, "kind: text", "kind: text, type: XAD", 1), inner, `{ a: "PID-11[first]" }`, `type is the data type that a path leads to, and word is a text`},
		{"no such kind", strings.Replace(all, "kind: text", "kind: texts", 1), inner, `{ a: "PID-11[first]" }`, `(did you mean "text"?)`},
		{"no fields", "kind: fragment\n", inner, `{}`, `a fragment needs fields: {field: rule}`},
		{"another file", "kind: mapping\n", inner, `{}`, `f.yaml:1:7: error[kind]: a fragment has kind: fragment, not "mapping"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := Load(testFS("m.yaml", mapping(c.with), "f.yaml", c.fragment, "g.yaml", c.inner), "m.yaml", []tree.Format{fakeFormat{}})
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = outcome(m.Run(t.Context(), decode(t, overlaid)))
			}
			if !strings.Contains(got, c.want) {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestAFragmentIsLintedOnItsOwn(t *testing.T) {
	t.Parallel()
	fsys := testFS("f.yaml", "kind: fragment\nparams: { a: {}, b: { note: x } }\nfields:\n  name: \"${a}.1${c}\"\n")
	got := Issues(Lint(fsys, "f.yaml", nil)).Error()
	for _, want := range []string{`f.yaml:4:9: error[include]: the fragment has no parameter "c"`, `f.yaml:2:18: warning[unused]: the parameter b is not used`} {
		if !strings.Contains(got, want) {
			t.Errorf("%s\nwant %s", got, want)
		}
	}
}

func TestManySmallFilesDoNotMakeALargeMapping(t *testing.T) {
	t.Parallel()
	include := "include: [" + strings.Repeat("{ fragment: f.yaml },", 99) + "{ fragment: f.yaml }]\n"
	text := testHead + "operations:\n  - id: p\n    model: res.partner\n    do: upsert\n    match: { xid: \"t.p_{PID-8}\" }\n    " + include
	_, err := Load(testFS("m.yaml", text, "f.yaml", "kind: fragment\n"+strings.ReplaceAll(include, "f.yaml", "g.yaml")+"fields: { name: PID-8 }\n",
		"g.yaml", "kind: fragment\nfields: { ref: PID-8 }\n"), "m.yaml", []tree.Format{fakeFormat{}})
	if err == nil || !strings.Contains(err.Error(), "a mapping is made of at most 256 files") {
		t.Error(err)
	}
}

func TestAnyTextIsRenderedSoThatItIsReadTheSame(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		texts := rapid.SliceOfN(rapid.OneOf(rapid.String(), rapid.StringMatching(`[ -~]{0,12}`), rapid.StringMatching(`[ -~]{0,4}(\n[ -~]{0,4}){1,3}`), rapid.SampledFrom([]string{"", "no", "NO", "~", "1e3", "0x1", "- a", "a: b", "a #b", "#", "*", "&a", "?", "2026-01-01", "null", ".inf", "<<", "a\nb\n", "a\n\n  b # c\nc: d", "a\n\n", "# a\n- b", "---\n...\n"})), 1, 6).Draw(t, "texts")
		doc := &value{kind: yamlMap, at: place{file: &sourceFile{}}}
		for i, s := range texts {
			if !utf8.ValidString(s) {
				continue
			}
			doc.keys = append(doc.keys, entry{key: fmt.Sprint("k", i), at: doc.at, val: &value{kind: yamlList, at: doc.at, list: []*value{{kind: yamlString, text: s, at: doc.at}, {kind: yamlString, text: "x", at: doc.at}}}})
			if !doc.has(s) && s != "" {
				doc.keys = append(doc.keys, entry{key: s, at: doc.at, val: &value{kind: yamlString, text: s, at: doc.at}})
			}
		}
		for _, canonical := range []bool{false, true} {
			r := &renderer{canonical: canonical}
			r.entries(0, doc.keys)
			c := &collector{}
			if len(doc.keys) == 0 {
				return
			}
			got := parseYAML("x", []byte(Annotate(r.lines)), c)
			if got == nil || len(c.issues) > 0 {
				t.Fatalf("%v\n%q", c.issues, Annotate(r.lines))
			}
			if want := plain(doc); !reflect.DeepEqual(plain(got), want) {
				t.Fatalf("\ngot  %q\nwant %q\n%s", plain(got), want, Annotate(r.lines))
			}
		}
	})
}

func TestAMappingThatDoesSomethingElseHasAHigherVersion(t *testing.T) {
	t.Parallel()
	tree := func(edits ...string) fstest.MapFS {
		fsys := testFS(overlayFS("set: { p.name: PID-8 }\n", "base/golden.json", `{"ops":[{"op":"p"}]}`,
			"base/m.test.yaml", "kind: tests\nmapping: m.map.yaml\ncases: [ { name: x, file: y, expect: { golden: golden.json } } ]\n")...)
		for i := 0; i < len(edits); i += 3 {
			before := string(fsys[edits[i]].Data)
			after := strings.Replace(before, edits[i+1], edits[i+2], 1)
			if before == after {
				t.Fatalf("%s has no %s", edits[i], edits[i+1])
			}
			fsys[edits[i]].Data = []byte(after)
		}
		return fsys
	}
	const base, west = "base/m.map.yaml", "sites/west/o.map.yaml"
	both := []string{"base/m.map.yaml:4:10: error[version]: test does something else, and its version is still 3: write version: 4", "sites/west/o.map.yaml:5:10: error[version]: west does something else"}
	for _, c := range []struct {
		name  string
		edits []string
		want  []string
	}{
		{"nothing", nil, nil},
		{"a comment, a title, a note", []string{base, "let:", "# why\nlet:", base, "id: test", "id: test\ntitle: T", base, "PID-8, map: sex", "PID-8, note: x, map: sex", "base/sex.csv", "M,male", "M,male,why"}, nil},
		{"the order of fields", []string{base, "      gender: { from: PID-8, map: sex }\n", "", base, "      name:   \"PID-5", "      gender: { map: sex, from: PID-8 }\n      name:   \"PID-5"}, nil},
		{"another layout", []string{base, "{ from: PID-8, map: sex }", "\n        from: PID-8\n        map: sex"}, nil},
		{"a table's name", []string{base, "sex.csv", "../base/sex.csv"}, nil},
		{"a rule", []string{base, "PID-8, map", "PID-30, map"}, append([]string{"(base/m.map.yaml:21)"}, both...)},
		{"a rule that the overlay replaces", []string{base, "PID-5[first].1.1", "PID-5[first].2"}, both[:1]},
		{"a rule, with a higher version", []string{base, "PID-8, map", "PID-30, map", base, "version: 3", "version: 4"}, both[1:]},
		{"a rule less", []string{base, "      gender: { from: PID-8, map: sex }\n", ""}, both},
		{"a table", []string{"base/sex.csv", "female", "male"}, append([]string{"(table sex)"}, both...)},
		{"a fragment", []string{"parts/xad.yaml", "${a}.3", "${a}.4"}, append([]string{"(parts/xad.yaml:7)"}, both...)},
		{"a golden", []string{"base/golden.json", `"p"`, `"q"`}, []string{both[0], "(base/golden.json)"}},
		{"a version that falls", []string{base, "version: 3", "version: 2"}, []string{"version 2 of test is older than 3, which there was"}},
		{"what does not load", []string{base, "kind: mapping", "kind: [", west, "kind: mapping", "kind: ["}, nil},
	} {
		issues, err := Against(tree(), tree(c.edits...))
		got := Issues(issues).Error()
		if err != nil || len(c.want) == 0 && len(issues) > 0 {
			t.Errorf("%s: %s %v", c.name, got, err)
		}
		for _, w := range c.want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: %s\nwant %s", c.name, got, w)
			}
		}
		if len(c.want) == 1 && len(issues) > 1 {
			t.Errorf("%s: more than one: %s", c.name, got)
		}
	}
}

func FuzzOverlay(f *testing.F) {
	for _, overlay := range []string{"set: { p.name: PID-8 }", "add: { kin.ref: NK1-1 }\nremove: [p.gender]", "set: { operations: 3 }", "set: { operations.p.include: [ {} ] }",
		"add: { operations.x: { id: x, include: [3] } }", "set: { p: { id: p } }", "remove: [operations, guards, source.when]", "set: { tables.sex: own.csv, let: [] }", "set: { '': x, '.': x, p..: x }", "remove: [operations]\nadd: { p.name: x }"} {
		f.Add(overlay, xadFragment)
	}
	f.Add("", "kind: fragment\ninclude: [ { fragment: xad.yaml, with: { a: \"${a}\" } } ]\nparams: { a: {} }\nfields: { comment: \"${a}\" }\n")
	f.Fuzz(func(t *testing.T, overlay, fragment string) {
		files := overlayFS(overlay)
		files[3] = fragment
		fsys, formats := testFS(files...), []tree.Format{fakeFormat{}}
		const name = "sites/west/o.map.yaml"
		_, failed := Load(fsys, name, formats)
		lines, err := Render(fsys, name)
		if failed != nil {
			return
		}
		if err != nil {
			t.Fatalf("it loads and does not render: %v", err)
		}
		fsys["sites/west/r.map.yaml"] = &fstest.MapFile{Data: []byte(Annotate(lines))}
		if _, err := Load(fsys, "sites/west/r.map.yaml", formats); err != nil {
			t.Fatalf("what is rendered does not load: %v\n%s", err, Annotate(lines))
		}
	})
}

func TestACircleOfFragmentsIsOneError(t *testing.T) {
	t.Parallel()
	operation := "  - id: %s\n    model: res.partner\n    do: upsert\n    match: { xid: \"t.%s_{PID-8}\" }\n    include: [ { fragment: %s } ]\n"
	text := testHead + "operations:\n" + fmt.Sprintf(operation, "p", "p", "f.yaml") + fmt.Sprintf(operation, "q", "q", "g.yaml") + fmt.Sprintf(operation, "r", "r", "f.yaml")
	_, err := Load(testFS("m.yaml", text, "f.yaml", "kind: fragment\ninclude: [ { fragment: g.yaml }, { fragment: g.yaml } ]\nfields: { name: PID-8 }\n",
		"g.yaml", "kind: fragment\ninclude: [ { fragment: f.yaml } ]\nfields: { ref: PID-8 }\n"), "m.yaml", []tree.Format{fakeFormat{}})
	const want = `g.yaml:2:24: error[include]: a fragment can not include itself: f.yaml → g.yaml → f.yaml`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
