package mapping

import (
	"bytes"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

var update = flag.Bool("update", false, "write mappings/schema anew")

const schemaDir = "../../mappings/schema/"

func TestThePublishedSchemasAreThoseOfTheGrammar(t *testing.T) {
	t.Parallel()
	entries, err := os.ReadDir(schemaDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if grammar.Schemas()[e.Name()] == nil {
			t.Errorf("the grammar has no schema %s", e.Name())
		}
	}
	for name, want := range grammar.Schemas() {
		if *update {
			if err := os.WriteFile(schemaDir+name, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if got, _ := os.ReadFile(schemaDir + name); !bytes.Equal(got, want) {
			t.Errorf("%s is not what the grammar says: run go test ./internal/mapping -run Schemas -update", name)
		}
	}
}

// schemas compiles the grammar's schemas by the kind of file.
func schemas(t *testing.T) map[string]*jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	out := map[string]*jsonschema.Schema{}
	for kind, name := range map[string]string{"mapping": "mapping-v1", "tests": "mapping-test-v1", "fragment": "mapping-fragment-v1", "table": "mapping-table-v1"} {
		name += ".schema.json"
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(grammar.Schemas()[name]))
		if err != nil {
			t.Fatal(err)
		}
		if err := c.AddResource(name, doc); err != nil {
			t.Fatal(err)
		}
		if out[kind], err = c.Compile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

// Every YAML file that is shipped is valid by its schema and by the shape
// check, which agree; with the corpora at hand, the examples beside them are
// checked too.
func TestAllFilesAreValidByTheirSchemas(t *testing.T) {
	t.Parallel()
	dirs := []string{"../../mappings"}
	if c := os.Getenv("VAGUS_CORPORA"); c != "" {
		dirs = append(dirs, filepath.Join(c, "../mapping/examples"))
	}
	schemas, n := schemas(t), 0
	for _, dir := range dirs {
		err := fs.WalkDir(os.DirFS(dir), ".", func(name string, _ fs.DirEntry, err error) error {
			if err != nil || filepath.Ext(name) != ".yaml" && filepath.Ext(name) != ".yml" {
				return err
			}
			data, err := os.ReadFile(filepath.Join(dir, name))
			if err != nil {
				return err
			}
			c := &collector{}
			doc := parseYAML(name, data, c)
			if len(c.issues) > 0 {
				t.Error(c.issues)
				return nil
			}
			kind := doc.textOf("kind")
			if schemas[kind] == nil {
				t.Errorf("%s: there is no schema for kind %q", name, kind)
				return nil
			}
			if !c.shape(doc, kind) {
				t.Errorf("shape: %v", c.issues)
			}
			if err := schemas[kind].Validate(plain(doc)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			n++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if n < 8 {
		t.Fatalf("only %d files", n)
	}
}

func TestTheSchemasAndTheLoaderRefuseTheSameShapes(t *testing.T) {
	t.Parallel()
	schemas := schemas(t)
	const tests = "kind: tests\nmapping: m.yaml\ncases: [ { name: n, input: x, expect: { verdict: skip } } ]\n"
	const table = "kind: table\nrows: { A: a, B: \"\", C: }\n"
	const fragment = "kind: fragment\nparams: { a: { type: XAD } }\nfields: { name: \"${a}.1\" }\n"
	const overlay = "kind: mapping\nformat: 1\nid: x\nversion: 2\nextends: ../base.map.yaml\nset: { source.zone: UTC, patient.phone: { value: x } }\nremove: [patient.fax]\n"
	outbound := strings.Replace(testHead, "source:", "direction: outbound\nsource:", 1) + `emit: { format: x12, set: "850" }
segments:
  - BEG: { "01": { value: "00" }, "03": name }
    when: valued('name')
  - { each: "order_line[*]", loop: PO1, segments: [ { PO1: { "01": { from: id, as: int } } } ] }
`
	field := func(rule string) string { return withFields("name: " + rule) }
	for _, c := range []struct {
		what, text string
		valid      bool
	}{
		{"a mapping", field("PID-8"), true},
		{"a rule with all sorts of keys", field(`{ from: [PID-8, PID-7], map: { table: sex, on_miss: keep }, cel: "it", as: { bool: { true: [Y], false: N } }, default: 1.5, phi: name, only_on: update }`), true},
		{"lines", field(`[ { each: { path: "NK1[*]", as: kin }, key: "{NK1-1}", mode: merge, fields: { name: NK1-2 } } ]`), true},
		{"a reference", field(`{ from: PID-8, ref: { model: res.country, xid: "x.{it}", on_none: defer, on_many: skip } }`), true},
		{"an empty egress", strings.Replace(field("PID-8"), "[name, identifier, contact, demographic, admin]", "[]", 1), true},
		{"outbound", outbound, true},
		{"an overlay", overlay, true},
		{"an overlay that forgets its version", strings.Replace(overlay, "version: 2\n", "", 1), false},
		{"a fragment", fragment, true},
		{"a table", table, true},
		{"tests", tests, true},
		{"a boolean for a rule", field("true"), false},
		{"a number for a path", field("{ from: 3 }"), false},
		{"an unknown key of a rule", field("{ form: PID-8 }"), false},
		{"a required key that is mistyped", strings.Replace(field("PID-8"), "idempotency:", "idempotence:", 1), false},
		{"an unknown word", field("{ from: PID-8, on_error: skp }"), false},
		{"an unknown label", field("{ from: PID-8, phi: [clinic] }"), false},
		{"an empty from", field("{ from: [] }"), false},
		{"an empty path", field(`{ from: "" }`), false},
		{"a null default", field("{ from: PID-8, default: null }"), false},
		{"two notations", field("{ from: PID-8, as: { date: MM, datetime: HH } }"), false},
		{"a reference both ways", field("{ from: PID-8, ref: { by: { a: it }, xid: x.y } }"), false},
		{"a short reason", field("{ from: PID-8, declassify: { drop: [name], because: short } }"), false},
		{"an unknown label is let out", strings.Replace(field("PID-8"), "[name,", "[nam,", 1), false},
		{"no egress", strings.Replace(field("PID-8"), "egress:", "description: x #", 1), false},
		{"operations and a document", field("PID-8") + "emit: { format: x12 }\nsegments: [ { BEG: { \"01\": x } } ]\n", false},
		{"a document without segments", testHead + "emit: { format: x12 }\n", false},
		{"neither operations nor a document", testHead, false},
		{"no operation", testHead + "operations: []\n", false},
		{"a name of a let", strings.Replace(field("PID-8"), "operations:", "let: { MRN: PID-8 }\noperations:", 1), false},
		{"op in a let", strings.Replace(field("PID-8"), "operations:", "let: { mrn: { op: p } }\noperations:", 1), false},
		{"format 2", strings.Replace(field("PID-8"), "format: 1", "format: 2", 1), false},
		{"version 0", strings.Replace(field("PID-8"), "version: 3", "version: 0", 1), false},
		{"a segment's name", strings.Replace(outbound, "BEG:", "B_g:", 1), false},
		{"an element's number", strings.Replace(outbound, `"03": name`, `Third: name`, 1), false},
		{"a private method", strings.Replace(field("PID-8"), "do: upsert", "do: call\n    method: _unlink", 1), false},
		{"a case with a file and an input", strings.Replace(tests, "input: x", "input: x, file: y", 1), false},
		{"a case without a message", strings.Replace(tests, "input: x", "row: 1", 1), false},
		{"a case that expects nothing", strings.Replace(tests, "{ verdict: skip }", "{}", 1), false},
		{"check names no field", strings.Replace(tests, "verdict: skip", "check: { patient: x }", 1), false},
		{"rows that are numbers", strings.Replace(table, "A: a", "A: 1", 1), false},
		{"a fragment without fields", "kind: fragment\n", false},
	} {
		issues := &collector{}
		doc := parseYAML("m.yaml", []byte(c.text), issues)
		if doc == nil {
			t.Errorf("%s: %v", c.what, issues.issues)
			continue
		}
		kind := doc.get("kind").text
		if shaped := issues.shape(doc, kind); shaped != c.valid {
			t.Errorf("%s: the loader says %v: %v", c.what, shaped, issues.issues)
		}
		if err := schemas[kind].Validate(plain(doc)); (err == nil) != c.valid {
			t.Errorf("%s: the schema says %v", c.what, err)
		}
		if !c.valid && len(issues.issues) != 1 {
			t.Errorf("%s: one fault is one error, not %d: %v", c.what, len(issues.issues), issues.issues)
		}
	}
}
