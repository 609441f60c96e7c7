package mapping

import (
	"os"
	"slices"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestNeedsNameWhatOdooMustOffer(t *testing.T) {
	t.Parallel()
	fsys := os.DirFS("../../mappings")
	needs := func(name string) []Need {
		m, err := Load(fsys, name, []tree.Format{fakeFormat{}})
		if err != nil {
			t.Fatal(err)
		}
		return m.Needs()
	}
	patient, merge := needs("examples/north/01-hl7-adt/adt-patient.map.yaml"), needs("examples/north/01-hl7-adt/adt-merge.map.yaml")
	for _, c := range []struct {
		name string
		in   []Need
		want func(Need) bool
	}{
		{"an upsert reads, writes and makes", patient, func(n Need) bool {
			return n.Model == "res.partner" && n.Field == "" && n.Read && n.Write && n.Create
		}},
		{"a field has its type", patient, func(n Need) bool { return n.Field == "name" && n.Write && n.Type == "char" }},
		{"a relation has its model", patient, func(n Need) bool { return n.Field == "country_id" && n.Relation == "res.country" }},
		{"a reference reads what it is found by", patient, func(n Need) bool { return n.Model == "res.country" && n.Field == "code" && n.Read && !n.Write }},
		{"a selection has the values of its table", patient, func(n Need) bool {
			return n.Field == "lang" && slices.Contains(n.Values, "es_ES") && !slices.Contains(n.Values, "")
		}},
		{"each has the mapping's id", patient, func(n Need) bool { return n.Mapping == "hl7-adt-patient" }},
		{"a merge makes a wizard", merge, func(n Need) bool { return n.Model == mergeWizard && n.Create }},
	} {
		if !slices.ContainsFunc(c.in, c.want) {
			t.Errorf("%s: not in %+v", c.name, c.in)
		}
	}
}
