package odoo

import (
	"encoding/json"
	"regexp"
	"testing"

	"pgregory.net/rapid"
)

func TestNamesAreWhatTheirGrammarSays(t *testing.T) {
	t.Parallel()
	dotted, field, op := regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*$`), regexp.MustCompile(`^[a-z_][a-zA-Z0-9_]*$`), regexp.MustCompile(`^[A-Za-z0-9_.#-]{1,80}$`)
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.OneOf(rapid.StringMatching(`[a-cX-Z0-2_.#\-@\[{/\x60 é\n]{0,6}`), rapid.StringMatching(`[a-z]{78,82}`), rapid.StringN(0, 4, 8)).Draw(t, "s")
		if got, want := dottedName(s), dotted.MatchString(s); got != want {
			t.Errorf("dottedName(%q) = %v", s, got)
		}
		if got, want := fieldName(s), field.MatchString(s); got != want {
			t.Errorf("fieldName(%q) = %v", s, got)
		}
		if got, want := safe(s) == s, op.MatchString(s); got != want && s != "unnamed" {
			t.Errorf("safe(%q) = %q", s, safe(s))
		}
	})
}

func TestLookupsAreSharedWhenTheyAskTheSame(t *testing.T) {
	t.Parallel()
	p := &pass{lookups: map[string]*lookup{}}
	s := &state{results: []result{{"patient", record{"res.partner", 7}}, {op: "skipped"}}}
	look := func(model string, archived bool, by map[string]any) *lookup {
		return p.lookupFor(s, model, by, archived)
	}

	same := [][2]map[string]any{
		{{"code": "US"}, {"code": "U\x00S"}},
		{{"code": "CA", "country_id.code": "US"}, {"country_id.code": "US", "code": "CA"}},
		{{"n": json.Number("12")}, {"n": 12}},
		{{"n": nil}, {"n": false}},
		{{"id": map[string]any{"$op": "patient"}}, {"id": int64(7)}},
	}
	for _, c := range same {
		if a, b := look("m", false, c[0]), look("m", false, c[1]); a == nil || a != b {
			t.Errorf("%v and %v ask the same, but do not share a look-up", c[0], c[1])
		}
	}
	different := []*lookup{
		look("m", false, map[string]any{"code": "1"}),
		look("m", false, map[string]any{"code": 1}),
		look("m", false, map[string]any{"code": true}),
		look("m", false, map[string]any{"code": "true"}),
		look("m", false, map[string]any{"code": 1.5}),
		look("m", true, map[string]any{"code": "1"}),
		look("m.m", false, map[string]any{"code": "1"}),
		look("m", false, map[string]any{"code": "1", "a": "1"}),
		look("m", false, map[string]any{"a": `1 code"1:1`}),
		look("m", false, map[string]any{"a": `1`, "code": "1:1"}),
	}
	seen := map[string]bool{}
	for i, l := range different {
		if l == nil || seen[l.key] {
			t.Errorf("look-up %d is nil or another's", i)
			continue
		}
		seen[l.key] = true
	}
	for _, by := range []map[string]any{{"a b": "x"}, {"a": []any{"x"}}, {"a": map[string]any{"$op": "none"}}, {"a": map[string]any{"$op": "skipped"}}} {
		if look("m", false, by) != nil {
			t.Errorf("%v is taken for a look-up", by)
		}
	}
}

func TestAKnownLookupCostsNoMemory(t *testing.T) {
	p := &pass{lookups: map[string]*lookup{}}
	m := map[string]any{"$ref": "res.country.state", "on_none": "skip", "by": map[string]any{"code": "CA", "country_id.code": "US"}}
	if n := testing.AllocsPerRun(100, func() { p.refOf(&state{}, m) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}
