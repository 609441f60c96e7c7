package odoo

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestADescriptionHasFieldsAndDefaults(t *testing.T) {
	t.Parallel()
	_, url := start(t, simulated.Config{Models: map[string]simulated.Model{"x.y": {Label: "X", Fields: map[string]simulated.Field{
		"kind": {Type: "selection", Label: "Kind", Selection: [][2]string{{"a", "A"}, {"b", "B"}}, Required: true, Default: "a"},
		"sum":  {Type: "float", Label: "Sum", Depends: []string{"kind"}},
		"to":   {Type: "many2one", Label: "To", Relation: "res.partner"}}}}})
	for _, protocol := range []string{"jsonrpc", "xmlrpc"} {
		target := newTarget(t, url, protocol)
		var told []int
		d, err := target.Describe(t.Context(), []string{"res.partner", "x.y"}, func(done int) { told = append(told, done) })
		if err != nil || d.Version != "18.0" || len(d.Models) != 2 || len(told) != 2 || len(d.NoDefaults) != 0 {
			t.Fatalf("%s: %v %v %+v", protocol, err, told, d.Version)
		}
		x := d.Models["x.y"]
		if k := x["kind"]; k.Type != "selection" || strings.Join(k.Selection, "") != "ab" || !k.Required || !k.Default || k.Label != "Kind" || k.Readonly || !k.Store {
			t.Errorf("%s: %+v", protocol, k)
		}
		if s := x["sum"]; !s.Compute || s.Default || x["to"].Relation != "res.partner" {
			t.Errorf("%s: %+v %+v", protocol, s, x["to"])
		}
		if _, err := target.Describe(t.Context(), []string{"no.model"}, nil); err == nil || !strings.Contains(err.Error(), "fields of no.model: ") {
			t.Errorf("%s: %v", protocol, err)
		}
	}
}
