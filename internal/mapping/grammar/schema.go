package grammar

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// Schemas returns the JSON Schemas (draft 2020-12) of all files of the
// language, by file name.
func Schemas() map[string][]byte {
	return map[string][]byte{
		"mapping-v1.schema.json":          schema("mapping", "mapping-v1", "Vagus mapping, format 1"),
		"mapping-test-v1.schema.json":     schema("tests", "mapping-test-v1", "Vagus mapping tests, format 1"),
		"mapping-fragment-v1.schema.json": schema("fragment", "mapping-fragment-v1", "Vagus mapping fragment, format 1"),
		"mapping-table-v1.schema.json":    schema("table", "mapping-table-v1", "Vagus code table, format 1"),
	}
}

// A node is one object of a JSON Schema; its keys print in alphabetical order.
type node map[string]any

func schema(kind, id, title string) []byte {
	w := schemaWriter{defs: node{}}
	root := w.object(Files[kind])
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/vagus-health/vagus/mappings/schema/" + id + ".schema.json"
	root["title"] = title
	if len(w.defs) > 0 {
		root["$defs"] = w.defs
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(root); err != nil {
		panic(fmt.Sprint("grammar: ", err)) // maps, lists, texts and numbers only
	}
	return out.Bytes()
}

// A schemaWriter collects the definitions that one schema refers to.
type schemaWriter struct{ defs node }

func (w schemaWriter) object(o *Object) node {
	n := node{"type": "object", "description": o.Doc, "additionalProperties": false}
	props, required := node{}, []string{}
	for _, k := range o.Keys {
		p := w.forms(k.Forms)
		p["description"] = k.Doc + wordList(k.Forms)
		if d := defaultOf(k); d != nil {
			p["default"] = d
		}
		props[k.Name] = p
		if k.Required {
			required = append(required, k.Name)
		}
	}
	if len(props) > 0 {
		n["properties"] = props
	}
	if o.Free != nil {
		p := w.forms(o.Free.Forms)
		p["description"] = o.Free.Doc
		switch {
		case o.Free.Pattern == "":
			n["additionalProperties"] = p
		case slices.ContainsFunc(o.KeyNames(), o.Free.Accepts): // a pattern would hold for the keys, too
			n["additionalProperties"] = p
			n["propertyNames"] = node{"anyOf": []node{{"enum": o.KeyNames()}, {"pattern": o.Free.Pattern}}}
		default:
			n["patternProperties"] = node{o.Free.Pattern: p}
		}
	}
	if o.Least > 0 {
		n["minProperties"] = o.Least
	}
	if len(required) > 0 {
		n["required"] = required
	}
	if len(o.Either) > 0 {
		var sets []node
		for _, set := range o.Either {
			sets = append(sets, node{"required": set})
		}
		n["oneOf"] = sets
	}
	if o.With == "" {
		return n
	}
	w.defs[o.Name] = n
	return node{"if": node{"required": []string{o.With}}, "then": w.form(a(o.Is)), "else": node{"$ref": "#/$defs/" + o.Name}, "type": "object"}
}

// forms is the schema of a place: one form, or any of several.
func (w schemaWriter) forms(forms []Form) node {
	if len(forms) == 1 {
		return w.form(forms[0])
	}
	n := node{}
	var any []node
	for _, f := range forms {
		any = append(any, w.form(f))
	}
	if any != nil {
		n["anyOf"] = any
	}
	return n
}

func (w schemaWriter) form(f Form) node {
	n := node{}
	switch f.Kind {
	case Null:
		n["type"] = "null"
	case Bool:
		n["type"] = "boolean"
	case Text:
		n["type"] = "string"
		if f.Means == Word {
			n["enum"] = f.WordTexts()
		}
		if f.Pattern != "" {
			n["pattern"] = f.Pattern
		}
		if f.Least > 0 {
			n["minLength"] = f.Least
		}
	case Number:
		switch {
		case len(f.Words) > 0:
			n["const"] = json.Number(f.Words[0].Text)
		case f.Least < 0:
			n["type"] = "number"
		default:
			n["type"], n["minimum"] = "integer", f.Least
		}
	case List:
		n["type"] = "array"
		if f.Items != nil {
			n["items"] = w.forms(f.Items)
		}
		if f.Least > 0 {
			n["minItems"] = f.Least
		}
	case Map:
		if f.Object == "" {
			n["type"] = "object"
			break
		}
		if w.defs[f.Object] == nil {
			w.defs[f.Object] = node{} // it may contain itself
			w.defs[f.Object] = w.object(Get(f.Object))
		}
		n["$ref"] = "#/$defs/" + f.Object
	}
	return n
}

// wordList tells what the words of a place do.
func wordList(forms []Form) string {
	f := Find(forms, Text)
	if f == nil || len(f.Words) < 2 {
		return ""
	}
	var b strings.Builder
	b.WriteString("\n")
	for _, c := range f.Words {
		fmt.Fprintf(&b, "\n- %s: %s", c.Text, c.Doc)
	}
	return b.String()
}

// defaultOf is what a missing key means, as JSON.
func defaultOf(k Key) any {
	switch {
	case k.Default == "":
		return nil
	case Find(k.Forms, Bool) != nil:
		return k.Default == "true"
	}
	return k.Default
}
