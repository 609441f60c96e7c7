package odoo

import (
	"context"
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

// described is a server that knows fields, and nothing else.
type described map[string]map[string]any

func (d described) login(context.Context, who) (int64, error) { return 2, nil }
func (d described) version(context.Context) (string, error)   { return "18.0", nil }
func (d described) execute(_ context.Context, _ who, model, method string, _ []arg, _ map[string]any) (any, error) {
	switch {
	case method == "default_get":
		return map[string]any{}, nil
	case d[model] == nil:
		return nil, &fault{class: "AccessError"}
	}
	return map[string]any(d[model]), nil
}

func TestADescriptionTellsWhatOdooMakesByItself(t *testing.T) {
	t.Parallel()
	field := func(more ...any) map[string]any {
		f := map[string]any{"type": "char", "store": true}
		for i := 0; i < len(more); i += 2 {
			f[more[i].(string)] = more[i+1]
		}
		return f
	}
	to := func(model string) map[string]any {
		return field("type", "many2one", "relation", model, "required", true)
	}
	odoo := described{
		"template": {"name": field("required", true), "code": field()},
		"product":  {"tmpl_id": to("template"), "name": field("required", true, "related", "tmpl_id.name"), "code": field()},
		"order":    {"state": field(), "ref": field(), "line_ids": field("type", "one2many", "relation", "line", "relation_field", "order_id", "required", true)},
		"line":     {"order_id": to("order"), "state": field("related", "order_id.state"), "secret_id": to("secret"), "key": field("related", "secret_id.key")},
		"employee": {"resource_id": to("resource.resource")},
	}
	target := newTarget(t, "http://127.0.0.1:1", "jsonrpc")
	target.client.wire = odoo
	d, err := target.Describe(t.Context(), []string{"product", "order", "line", "employee"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if p := d.Models["product"]; p["name"].Inherits != "tmpl_id" || p["name"].Related != "" || p["code"].Inherits != "" {
		t.Errorf("a field of the template: %+v", p)
	}
	if l := d.Models["line"]; l["state"].Inherits != "" || l["state"].Related != "order_id.state" || !l["order_id"].Required || l["key"].Inherits != "" {
		t.Errorf("fields that are related: %+v", l)
	}
	if lines := d.Models["order"]["line_ids"]; lines.Inverse != "order_id" || lines.Required || d.Models["employee"]["resource_id"].Required {
		t.Errorf("lines %+v, resource %+v", lines, d.Models["employee"])
	}
}
