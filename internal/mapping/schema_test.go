package mapping

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func readSchema(t *testing.T, name string) map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../mappings/schema/" + name)
	if err != nil {
		t.Fatal(err)
	}
	v, err := decodeJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	return v.(map[string]any)
}

func at(v any, keys ...any) any {
	for _, k := range keys {
		switch k := k.(type) {
		case string:
			v = v.(map[string]any)[k]
		case int:
			v = v.([]any)[k]
		}
	}
	return v
}

func TestTheSchemasNameTheKeysThatTheLoaderReads(t *testing.T) {
	t.Parallel()
	mapping, tests := readSchema(t, "mapping-v1.schema.json"), readSchema(t, "mapping-test-v1.schema.json")
	for _, c := range []struct {
		what   string
		schema any
		want   []string
	}{
		{"mapping", at(mapping, "properties"), topKeys},
		{"operation", at(mapping, "properties", "operations", "items", "properties"), operationKeys},
		{"rule", at(mapping, "$defs", "rule", "oneOf", 1, "properties"), ruleKeys},
		{"case", at(tests, "properties", "cases", "items", "properties"), caseKeys},
		{"expect", at(tests, "properties", "cases", "items", "properties", "expect", "properties"), expectKeys},
	} {
		got := slices.Sorted(maps.Keys(c.schema.(map[string]any)))
		if want := slices.Sorted(slices.Values(c.want)); !slices.Equal(got, want) {
			t.Errorf("%s\nschema %v\nloader %v", c.what, got, want)
		}
	}
	var labels []string
	for _, l := range at(mapping, "properties", "egress", "properties", "allow", "items", "enum").([]any) {
		labels = append(labels, l.(string))
	}
	if want := slices.Sorted(slices.Values(tree.LabelNames())); !slices.Equal(slices.Sorted(slices.Values(labels)), want) {
		t.Errorf("labels %v, want %v", labels, want)
	}
}

func TestAllFilesThatWeShipAreValidByTheirSchemas(t *testing.T) {
	t.Parallel()
	schemas := map[string]map[string]any{".map.yaml": readSchema(t, "mapping-v1.schema.json"), ".test.yaml": readSchema(t, "mapping-test-v1.schema.json")}
	n := 0
	fsys := os.DirFS("../../mappings")
	err := fs.WalkDir(fsys, ".", func(name string, d fs.DirEntry, err error) error {
		for ending, schema := range schemas {
			if !strings.HasSuffix(name, ending) {
				continue
			}
			n++
			data, err := fs.ReadFile(fsys, name)
			if err != nil {
				return err
			}
			doc := parseYAML(name, data, &collector{})
			if err := validate(schema, schema, plain(doc), ""); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if doc.keys = append(doc.keys, entry{key: "surprise", val: &value{}}); validate(schema, schema, plain(doc), "") == nil {
				t.Errorf("%s: an unknown key is valid", name)
			}
		}
		return err
	})
	if err != nil || n < 6 {
		t.Fatal(n, err)
	}
}

// validate knows the part of JSON Schema that our schemas use; a keyword that
// it does not know is an error.
func validate(root, schema map[string]any, v any, at string) error {
	for k, arg := range schema {
		var err error
		switch k {
		case "$schema", "$id", "$defs", "title", "description":
		case "$ref":
			def := strings.TrimPrefix(arg.(string), "#/$defs/")
			err = validate(root, root["$defs"].(map[string]any)[def].(map[string]any), v, at)
		case "type":
			err = validType(arg, v)
		case "const":
			if !same(arg, v) {
				err = fmt.Errorf("is not %v", arg)
			}
		case "enum":
			if !slices.ContainsFunc(arg.([]any), func(a any) bool { return same(a, v) }) {
				err = fmt.Errorf("%v is not in %v", v, arg)
			}
		case "pattern":
			if s, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(s) {
				err = fmt.Errorf("%q does not match %s", s, arg)
			}
		case "required":
			if m, ok := v.(map[string]any); ok {
				for _, key := range arg.([]any) {
					if _, has := m[key.(string)]; !has {
						err = fmt.Errorf("%s is missing", key)
					}
				}
			}
		case "properties", "additionalProperties":
			err = validProperties(root, schema, v, at)
		case "items":
			items, _ := v.([]any)
			for i, x := range items {
				if e := validate(root, arg.(map[string]any), x, fmt.Sprintf("%s[%d]", at, i)); e != nil {
					return e
				}
			}
		case "oneOf":
			fits := 0
			for _, s := range arg.([]any) {
				if e := validate(root, s.(map[string]any), v, at); e == nil {
					fits++
				} else {
					err = e
				}
			}
			if fits == 1 {
				err = nil
			} else if fits > 1 {
				err = fmt.Errorf("fits %d of oneOf", fits)
			}
		case "minLength", "maxLength", "minItems", "minProperties", "maxProperties", "minimum":
			if n, ok := sizeOf(v); ok {
				limit, _ := arg.(json.Number).Int64()
				if strings.HasPrefix(k, "min") && n < limit || strings.HasPrefix(k, "max") && n > limit {
					err = fmt.Errorf("has %d, %s %d", n, k, limit)
				}
			}
		default:
			err = fmt.Errorf("the schema's keyword %s is unknown to this test", k)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return nil
}

func validProperties(root, schema map[string]any, v any, at string) error {
	m, ok := v.(map[string]any)
	if !ok {
		return nil
	}
	known, _ := schema["properties"].(map[string]any)
	for key, x := range m {
		sub, named := known[key]
		if !named {
			if sub = schema["additionalProperties"]; sub == false {
				return fmt.Errorf("no property %s", key)
			}
		}
		if s, ok := sub.(map[string]any); ok {
			if err := validate(root, s, x, at+"."+key); err != nil {
				return err
			}
		}
	}
	return nil
}

func validType(arg, v any) error {
	names, many := arg.([]any)
	if !many {
		names = []any{arg}
	}
	got := "object"
	switch x := v.(type) {
	case nil:
		got = "null"
	case string:
		got = "string"
	case bool:
		got = "boolean"
	case json.Number:
		if got = "number"; !strings.Contains(x.String(), ".") {
			got = "integer"
		}
	case []any:
		got = "array"
	}
	if !slices.Contains(names, any(got)) {
		return fmt.Errorf("is %s, not %v", got, arg)
	}
	return nil
}

func sizeOf(v any) (int64, bool) {
	switch x := v.(type) {
	case string:
		return int64(len(x)), true
	case []any:
		return int64(len(x)), true
	case map[string]any:
		return int64(len(x)), true
	case json.Number:
		n, err := x.Int64()
		return n, err == nil
	}
	return 0, false
}
