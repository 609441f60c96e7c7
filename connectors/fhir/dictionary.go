package fhir

import (
	_ "embed"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// dictionaryText holds the facts of the standard; its head explains its form.
//
//go:embed dictionary.txt
var dictionaryText string

// A dictionary is what the file says.
type dictionary struct {
	// message is the type of a decoded message's root: resources by name.
	message *tree.Type
	// resource is the type of what JSON has in a resource's place: an object
	// that says itself which one it is. Both are called Resource, so that what
	// selects one selects the other.
	resource *tree.Type
}

// theDictionary is read when it is first asked for: most processes never do.
var theDictionary = sync.OnceValue(func() *dictionary {
	d, err := readDictionary(dictionaryText)
	if err != nil {
		panic("fhir: dictionary.txt: " + err.Error())
	}
	return d
})

// leafKinds are the primitive types (datatypes.html).
var leafKinds = map[string]tree.Kind{
	"base64Binary": tree.Text, "canonical": tree.Text, "id": tree.Text, "markdown": tree.Text, "oid": tree.Text,
	"string": tree.Text, "uri": tree.Text, "url": tree.Text, "uuid": tree.Text, "xhtml": tree.Text,
	"code":    tree.Code,
	"decimal": tree.Number, "integer": tree.Number, "positiveInt": tree.Number, "unsignedInt": tree.Number,
	"date": tree.Date, "dateTime": tree.DateTime, "instant": tree.DateTime, "time": tree.Time,
	"boolean": tree.Bool,
}

const (
	resourceName = "Resource"
	bundleName   = "Bundle"
	entryName    = "Bundle.entry"
	fullURLName  = "fullUrl"
	typeName     = "resourceType"
)

// A dictionaryReader reads the file. A type is there from its first mention
// on, and gets its elements when it is defined.
type dictionaryReader struct {
	types     map[string]*tree.Type
	labels    map[string]tree.Labels // of the resources that are defined
	resources []string               // in the file's order
	resource  *tree.Type             // any resource
	codings   map[string]tree.Coding // by data type
	current   string                 // the type that lines belong to
	fullURL   *tree.Element          // of every resource: what a Bundle's entry knows of it
}

func readDictionary(text string) (*dictionary, error) {
	r := &dictionaryReader{types: make(map[string]*tree.Type, 1024), labels: map[string]tree.Labels{}, codings: map[string]tree.Coding{}}
	for name, kind := range leafKinds {
		r.types[name] = tree.NewType(name, kind)
	}
	r.resource = tree.NewType(resourceName, tree.Composite)
	r.resource.Tag = typeName
	r.fullURL = &tree.Element{Name: fullURLName, Title: "Address of the resource, by its Bundle", Type: r.types["uri"], Labels: tree.Identifier}
	n := 0
	for line := range strings.SplitSeq(text, "\n") {
		n++
		var err error
		switch {
		case line == "" || line[0] == '#':
		case strings.HasPrefix(line, "coded "):
			err = r.coding(line)
		case line[0] == '[':
			err = r.define(line)
		default:
			err = r.element(line)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
	}
	for name, t := range r.types {
		if t.Kind == tree.Composite && len(t.Elements) == 0 {
			return nil, fmt.Errorf("type %s is used but not defined", name)
		}
	}
	return r.finish()
}

// typeOf returns the type of this name, an empty one where it is new.
func (r *dictionaryReader) typeOf(name string) *tree.Type {
	if name == "resource" {
		return r.resource
	}
	t := r.types[name]
	if t == nil {
		standard, _, _ := strings.Cut(name, "~")
		t = tree.NewType(standard, tree.Composite)
		r.types[name] = t
	}
	return t
}

// define reads "[Patient] < DomainResource =demographic".
func (r *dictionaryReader) define(line string) error {
	name, rest, ok := strings.Cut(line[1:], "]")
	t := r.typeOf(name)
	if !ok || len(t.Elements) > 0 {
		return errors.New("no name, or a second type of this name")
	}
	r.current = name
	for word := range strings.FieldsSeq(rest) {
		switch {
		case word == "<":
		case word[0] == '=':
			labels, err := readLabels(word[1:])
			if err != nil {
				return err
			}
			r.labels[name] = labels
			r.resources = append(r.resources, name)
		default:
			base := r.types[word]
			if base == nil || len(base.Elements) == 0 {
				return fmt.Errorf("its base %s is not defined before", word)
			}
			t.Add(base.Elements...)
		}
	}
	return nil
}

// coding reads "coded Identifier value =national_id system http://a|http://b type.coding.code SS".
func (r *dictionaryReader) coding(line string) error {
	f := strings.Fields(line)
	if len(f) < 6 || len(f)%2 != 0 {
		return errors.New("a coding is TYPE PART =labels and pairs of BY and CODES")
	}
	labels, err := readLabels(strings.TrimPrefix(f[3], "="))
	c := tree.Coding{Part: f[2], By: map[string][]string{}, Labels: labels}
	for i := 4; i < len(f); i += 2 {
		c.By[f[i]] = strings.Split(f[i+1], "|")
	}
	r.codings[f[1]] = c
	return err
}

// element reads "gender code! @administrative-gender =demographic male | female".
func (r *dictionaryReader) element(line string) error {
	name, rest, _ := strings.Cut(line, " ")
	word, rest, _ := strings.Cut(rest, " ")
	types := strings.TrimRight(word, "!*+")
	sign := word[len(types):]
	resource, _, _ := strings.Cut(r.current, ".")
	e := tree.Element{Repeats: sign == "*" || sign == "+", Required: sign == "!" || sign == "+", Labels: r.labels[resource]}
	if strings.Contains(types, ".") {
		e.Labels = tree.None
	}
	if table, ok := strings.CutPrefix(rest, "@"); ok {
		e.Table, rest, _ = strings.Cut(table, " ")
	}
	if given, ok := strings.CutPrefix(rest, "="); ok && !strings.HasPrefix(given, " ") { // a title may begin with = itself
		var err error
		given, rest, _ = strings.Cut(given, " ")
		if e.Labels, err = readLabels(given); err != nil {
			return err
		}
	}
	e.Title = rest
	if stem, isChoice := strings.CutSuffix(name, "[x]"); isChoice {
		return r.choice(stem, types, e)
	}
	e.Name, e.Type = name, r.typeOf(types)
	r.add(e)
	return nil
}

// choice adds an element for each of several types: "boolean|HumanName=name".
func (r *dictionaryReader) choice(stem, types string, e tree.Element) error {
	own := e.Labels
	e.Required = false // that one of them is there, no element can say
	if types == "any" {
		for _, of := range r.types["Extension"].Elements {
			if suffix, ok := strings.CutPrefix(of.Name, "value"); ok {
				e.Name, e.Type, e.Labels = stem+suffix, of.Type, own|of.Labels
				r.add(e)
			}
		}
		return nil
	}
	for of := range strings.SplitSeq(types, "|") {
		of, added, _ := strings.Cut(of, "=")
		labels, err := readLabels(added)
		if err != nil {
			return err
		}
		e.Type, e.Labels = r.typeOf(of), own|labels
		e.Name = stem + strings.ToUpper(of[:1]) + e.Type.Name[1:]
		r.add(e)
	}
	return nil
}

// add adds an element to the current type and, where it is a primitive that
// may have extensions, the element that holds these (json.html, primitive elements).
func (r *dictionaryReader) add(e tree.Element) {
	t := r.types[r.current]
	if c, ok := r.codings[e.Type.Name]; ok {
		e.Codings = []tree.Coding{c}
	}
	t.Add(&e)
	switch {
	case e.Type.Kind == tree.Composite, e.Type.Name == "xhtml",
		r.current == "Element" && e.Name == "id", r.current == "Extension" && e.Name == "url":
		return
	}
	t.Add(&tree.Element{Name: "_" + e.Name, Title: "Extensions of the value", Type: r.typeOf("Element"), Repeats: e.Repeats, Labels: e.Labels})
}

func readLabels(names string) (labels tree.Labels, err error) {
	if names == "" {
		return tree.None, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		l, ok := tree.ParseLabel(name)
		if !ok {
			return 0, fmt.Errorf("unknown label %s", name)
		}
		labels |= l
	}
	return labels, nil
}

// finish makes the two types that hold all resources. In a decoded message the
// resources of a Bundle stand beside it, so Bundle.entry.resource is in the
// one that is read only.
func (r *dictionaryReader) finish() (*dictionary, error) {
	bundle, entry := r.types[bundleName], r.types[entryName]
	if bundle == nil || entry == nil || entry.Element("resource") == nil {
		return nil, errors.New("no definition of Bundle.entry.resource")
	}
	d := &dictionary{resource: r.resource, message: tree.NewType(resourceName, tree.Composite)}
	emptied := tree.NewType(entryName, tree.Composite)
	for _, e := range entry.Elements {
		if e.Name != "resource" {
			emptied.Add(e)
		}
	}
	root := tree.NewType(bundleName, tree.Composite)
	for _, e := range bundle.Elements {
		if e.Name == "entry" {
			own := *e
			own.Type = emptied
			e = &own
		}
		root.Add(e)
	}
	for _, name := range r.resources {
		t := r.types[name]
		t.Add(r.fullURL)
		d.resource.Add(&tree.Element{Name: name, Title: name, Type: t})
		if name == bundleName {
			d.message.Add(&tree.Element{Name: name, Title: name, Type: root})
		} else {
			d.message.Add(&tree.Element{Name: name, Title: name, Type: t, Repeats: true})
		}
	}
	d.message.Add(&tree.Element{Name: typeName, Title: "Type of the resource that was sent", Type: r.types["code"]})
	return d, nil
}
