package mapping

import (
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// spotIn reads a document with ‸ for the place.
func spotIn(t *testing.T, text string, files ...string) (*Names, *Spot) {
	t.Helper()
	before, after, ok := strings.Cut(text, "‸")
	d := ReadDocument("m.map.yaml", before+after)
	s, found := d.At(strings.Count(before, "\n"), len([]rune(before[strings.LastIndexByte(before, '\n')+1:])))
	if !ok || !found {
		t.Fatalf("no place in %q", text)
	}
	return d.Names(testFS(files...), []tree.Format{fakeFormat{}}), &s
}

func TestTheModelIsThatOfWhereTheFieldStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{withFields("name: ‸"), "res.partner"},
		{withFields("category_id: { each: \"NK1[*]\", fields: { ‸ } }"), "res.partner.category"},
		{withFields("category_id: { each: \"PV1-18[*]\", ref: ‸ }"), "res.partner.category"},
		{withFields("country_id: { from: PID-8, ref: { by: { ‸ } } }"), "res.country"},
		{withFields("country_id: { from: PID-8, ref: { model: res.partner, by: { ‸ } } }"), "res.partner"},
		{strings.Replace(withFields("name: x"), `xid: "t.p_{PID-3[first].1}"`, "by: { ‸ }", 1), "res.partner"},
		{"kind: mapping\nextends: base.map.yaml\nset: { p.name: { from: ‸ } }", "res.partner"},
		{"kind: mapping\nextends: base.map.yaml\nadd: { p.country_id.code: { ‸ } }", "res.country"},
		{"kind: fragment\nfields: { ‸ }", ""},
		{testHead + "operations:\n  - id: p\n    model: nonsense\n    fields:\n      ‸", "nonsense"},
	} {
		n, s := spotIn(t, c.text, "base.map.yaml", withFields("name: PID-8"))
		if got := n.Model(s); got != c.want {
			t.Errorf("%s: %q, want %q", c.text[max(0, len(c.text)-60):], got, c.want)
		}
	}
}

func TestPathsAreCompletedInTheScopeWhereTheyStand(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, text, before string
		want, not          []string
	}{
		{"the message", withFields("name: ‸"), "", []string{"PID", "NK1", "MSH"}, []string{"1"}},
		{"a segment", withFields("name: ‸"), "PID-", []string{"3", "39"}, []string{"40", "PID"}},
		{"behind a selector", withFields("name: ‸"), "PID-5[7=L].", []string{"1", "7"}, []string{"8"}},
		{"in a selector", withFields("name: ‸"), "PID-5[", []string{"first", "7="}, []string{"8=", "7"}},
		{"deep in a selector", withFields("name: ‸"), "PID-3[4.", []string{"1="}, []string{"first"}},
		{"a value of a selector", withFields("name: ‸"), "PID-3[5=M", nil, []string{"first", "1="}},
		{"what is none", withFields("name: ‸"), "PID-99.", nil, []string{"1"}},
		{"what is broken", withFields("name: ‸"), "PID-[", nil, []string{"first", "1="}},
		{"from the root", withFields("name: ‸"), "/", []string{"PID"}, nil},
		{"an overlay", "kind: mapping\nextends: base.map.yaml\nset: { p.name: { from: ‸ } }", "PID-", []string{"3"}, nil},
		{"an item, under another name", strings.Replace(withFields("name: ‸"), "do: upsert", "do: upsert\n    each: { path: \"NK1[*]\", as: kin }", 1), "", []string{"kin", "2", "PID"}, nil},
		{"a fragment knows no message", "kind: fragment\nfields: { name: ‸ }", "", nil, []string{"PID"}},
		{"a source that is half typed", strings.Replace(withFields("name: ‸"), "format: hl7v2", "format: hl", 1), "", nil, []string{"PID"}},
	} {
		n, s := spotIn(t, c.text, "base.map.yaml", withFields("name: PID-8"))
		steps, _ := n.Steps(s, c.before)
		var got []string
		for _, st := range steps {
			got = append(got, st.Name)
		}
		for _, w := range c.want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: no %s in %v", c.what, w, got)
			}
		}
		for _, w := range c.not {
			if slices.Contains(got, w) {
				t.Errorf("%s: %s in %v", c.what, w, got)
			}
		}
	}
}

func TestAFragmentHasTheItemOfTheOperationThatIncludesIt(t *testing.T) {
	t.Parallel()
	user := strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    each: { path: \"NK1[*]\", as: kin }\n    include: [ { fragment: f.yaml } ]", 1)
	d := ReadDocument("f.yaml", "kind: fragment\nfields:\n  name: x\n")
	spot, ok := d.At(2, 8)
	n := d.NamesIn(testFS("m.map.yaml", user), "m.map.yaml", []tree.Format{fakeFormat{}})
	if !ok || n == nil {
		t.Fatal(ok, n)
	}
	steps, _ := n.Steps(&spot, "")
	if !slices.ContainsFunc(steps, func(s StepOutline) bool { return s.Name == "kin" }) {
		t.Errorf("no kin in %+v", steps)
	}
}

func TestARuleThatIsBrokenDoesNotHideTheRest(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withFields("name: { from: ‸"), "operations:", "let: { mrn: \"PID-3[first].1\", bad: { from: 3 }, worse: PID-99 }\noperations:", 1)
	n, s := spotIn(t, text)
	if lets := n.Lets(); !slices.Equal(lets, []string{"mrn", "bad", "worse"}) {
		t.Error(lets)
	}
	if src, ok := n.Path(s, "mrn"); !ok || src.Let != "mrn" || src.Labels == 0 {
		t.Errorf("%+v %v", src, ok)
	}
	if src, ok := n.Path(s, "bad"); !ok || src.Place.Line != 10 {
		t.Errorf("%+v %v", src, ok)
	}
	if len(n.Tables()) < 2 || len(n.Models()) < 3 || !slices.Contains(n.FormatNames(), "hl7v2") {
		t.Error(n.Tables(), n.Models(), n.FormatNames())
	}
	ids := n.RuleIDs()
	if !slices.Contains(ids, "p.name") {
		t.Error(ids)
	}
}

func TestFunctionsAreThoseOfTheLanguage(t *testing.T) {
	t.Parallel()
	env, err := newEnv(nil)
	if err != nil {
		t.Fatal(err)
	}
	macros := map[string]bool{}
	for _, m := range env.Macros() {
		macros[m.Function()] = true
	}
	path := 0
	for _, f := range Functions() {
		if !env.HasFunction(f.Name) && !macros[f.Name] {
			t.Errorf("there is no %s", f.Name)
		}
		if !strings.Contains(f.Call, f.Name+"(") || f.Doc == "" || f.Gives == "" {
			t.Errorf("%+v", f)
		}
		if _, ok := pathFunctions[f.Name]; ok != f.Path {
			t.Errorf("%s takes a path: %v", f.Name, ok)
		} else if ok {
			path++
		}
	}
	if path != len(pathFunctions) {
		t.Errorf("%d of %d functions of paths are told of", path, len(pathFunctions))
	}
}
