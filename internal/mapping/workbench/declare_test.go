package workbench

import (
	"bytes"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

func TestAMappingIsBegunFromWhatOnlyAMappingCanDeclare(t *testing.T) {
	t.Parallel()
	snapshot, err := fs.ReadFile(mappings.FS, "snapshots/odoo18.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, format, message, model string
		wants                        []string
	}{
		{"a table with semicolons; of its rows the first", "", "emp_no;last-name;no\n100;Welby;x\n101;Ratched;y\n", "hr.employee",
			[]string{"format: csv", `delimiter: ";"`, "emp_no: { type: text, phi: sensitive }", `"last-name": {`, `"no": {`}},
		{"a table with commas, a mark and cells in quotes", "csv", "\ufeff\"a\",b\r\n\"1,5\",Welby\r\n", "hr.employee", []string{"a: {"}},
		{"an object with objects and arrays", "", `{"id":"p1","name":{"family":"Welby","given":["M","J"]},"of":[{"n":2}],"none":[],"on":true,"x":null}`, "res.partner",
			[]string{"format: json", "given: { type: text, phi: sensitive, repeats: true }", `"n": { type: decimal,`, `"on": { type: bool`, "parts:"}},
		{"a list of objects", "", `[{"id":"p1"},{"id":"p2"}]`, "res.partner", []string{"id: {"}},
		{"a record of Odoo", "", `{"_change":"write","_model":"product.product","_version":"x","id":70,"name":"Gloves","barcode":false,"write_date":"2026-05-04 16:20:11"}`, "product.product",
			[]string{"format: odoo", "name: { type: text"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			b := shipped().With(map[string][]byte{"s/odoo18.json": snapshot})
			made, err := b.NewMapping(t.Context(), ScaffoldPlan{Dir: "made", ID: "x", Model: c.model, Snapshot: "s/odoo18.json", Source: Source{Format: c.format}, Message: []byte(c.message), Key: make([]byte, 32)})
			if err != nil {
				t.Fatal(err)
			}
			file := string(made.Files["made/x.map.yaml"])
			for _, want := range append(c.wants, "allow: ["+allowed(file)+"]") {
				if !strings.Contains(file, want) {
					t.Errorf("no %s in\n%s", want, file)
				}
			}
			if strings.Contains(allowed(file), "name") {
				t.Errorf("a field called name is no label: %s", allowed(file))
			}
			if issues := mapping.Lint(b.With(made.Files).FS, "made/x.map.yaml", b.Formats); len(issues) > 0 {
				t.Errorf("%v\n%s", issues, file)
			}
			for _, name := range slices.Sorted(maps.Keys(made.Files)) {
				if path.Ext(name) != ".yaml" && bytes.Contains(made.Files[name], []byte("Welby")) {
					t.Errorf("%s holds a name of the message", name)
				}
			}
		})
	}
}

func allowed(file string) string {
	_, rest, _ := strings.Cut(file, "allow: [")
	labels, _, _ := strings.Cut(rest, "]")
	return labels
}

func TestWhatDeclaresNothingBeginsNoMapping(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ format, message string }{
		{"json", "[]"}, {"json", "7"}, {"json", "{}"}, {"json", `{"a":`}, {"odoo", `{"id":1}`}, {"csv", ""}, {"csv", "\"a"},
		{"csv", strings.Repeat("a,", maxDeclared+1) + "\n"}, {"json", strings.Repeat(`{"a":`, 40) + "1" + strings.Repeat("}", 40)}, {"fixed", "x"},
	} {
		if d, err := guessed(c.format, []byte(c.message)); err == nil {
			t.Errorf("%s %.20q: %+v", c.format, c.message, d)
		}
	}
}
