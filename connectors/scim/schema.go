package scim

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// schemaText holds the facts of the standard; its head explains its form.
//
//go:embed schema.txt
var schemaText string

// Schemas are what the file says.
type schemas struct {
	any       *tree.Type            // all attributes of all resources
	resources map[string]*tree.Type // "User", "Group"
	byURN     map[string]string     // of resources
}

var standard = sync.OnceValue(func() *schemas {
	s, err := readSchemas(schemaText)
	if err != nil {
		panic("scim: schema.txt: " + err.Error())
	}
	return s
})

var kinds = map[string]tree.Kind{"text": tree.Text, "code": tree.Code, "bool": tree.Bool, "datetime": tree.DateTime}

// A schemaReader reads the file line by line.
type schemaReader struct {
	out    *schemas
	leaves map[tree.Kind]*tree.Type
	common []*tree.Element
	into   []*tree.Type // the types that the schema's attributes belong to
	urn    string       // of an extension: attributes stand in an object of this name
}

func readSchemas(text string) (*schemas, error) {
	r := schemaReader{
		out:    &schemas{any: tree.NewType("", tree.Composite), resources: map[string]*tree.Type{}, byURN: map[string]string{}},
		leaves: map[tree.Kind]*tree.Type{},
	}
	for word, kind := range kinds {
		r.leaves[kind] = tree.NewType(word, kind)
	}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if err := r.line(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", i+1, err)
		}
	}
	return r.out, nil
}

func (r *schemaReader) line(line string) error {
	words := strings.Fields(line)
	if words[0] == "schema" {
		return r.schema(words[1:])
	}
	if len(words) < 3 {
		return fmt.Errorf("a path, a type and a title are expected")
	}
	path, kind, title := words[0], words[1], words[2:]
	e := &tree.Element{Labels: tree.Staff}
	kind, e.Repeats = strings.CutSuffix(kind, "*")
	parent, name, nested := strings.Cut(path, ".")
	e.Name = parent
	if nested {
		e.Name, e.Labels = name, tree.None
	}
	if names, ok := strings.CutPrefix(title[0], "="); ok {
		label, ok := tree.ParseLabel(names)
		if !ok {
			return fmt.Errorf("no label %q", names)
		}
		e.Labels, title = label, title[1:]
	}
	e.Title = strings.Join(title, " ")
	if kind == "object" {
		e.Type = tree.NewType(r.prefix(path), tree.Composite)
	} else if k, ok := kinds[kind]; ok {
		e.Type = r.leaves[k]
	} else {
		return fmt.Errorf("no type %q", kind)
	}
	if nested {
		of := r.into[0].Element(parent)
		if of == nil || of.Type.Kind != tree.Composite {
			return fmt.Errorf("%s is no object", parent)
		}
		of.Type.Add(e)
		return nil
	}
	for _, t := range r.into {
		if t.Element(e.Name) == nil { // displayName is an attribute of two
			t.Add(e)
		}
	}
	if r.into == nil {
		return fmt.Errorf("an attribute before any schema")
	}
	return nil
}

func (r *schemaReader) prefix(path string) string {
	if r.urn != "" {
		return r.urn + "." + path
	}
	return path
}

// schema begins a schema: a resource, or an extension of one.
func (r *schemaReader) schema(words []string) error {
	r.urn = ""
	switch {
	case len(words) == 2 && words[1] == "-": // what all resources have
		r.into = []*tree.Type{r.out.any}
	case len(words) == 2:
		if r.common == nil {
			r.common = slices.Clone(r.out.any.Elements)
		}
		t := tree.NewType("", tree.Composite, r.common...)
		r.out.resources[words[0]], r.out.byURN[words[1]] = t, words[0]
		r.into = []*tree.Type{t, r.out.any}
	case len(words) == 4 && r.out.resources[words[3]] != nil:
		r.urn = words[1]
		t := tree.NewType(words[1], tree.Composite)
		e := &tree.Element{Name: words[1], Title: words[0], Type: t}
		r.out.resources[words[3]].Add(e)
		r.out.any.Add(e)
		r.into = []*tree.Type{t}
	default:
		return fmt.Errorf("a schema has a name, a URN and perhaps the resource that it extends")
	}
	return nil
}
