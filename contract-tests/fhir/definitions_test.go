// Package fhir_test measures connectors/fhir by what others made of the same
// standard: the definitions and the validating reader of google/fhir, and the
// standard's own examples. It stands apart because those definitions are 12 MB
// of source, which would slow every build and fuzzer of the connector's tests.
package fhir_test

import (
	"slices"
	"strings"
	"testing"

	apb "github.com/google/fhir/go/proto/google/fhir/proto/annotations_go_proto"
	rpb "github.com/google/fhir/go/proto/google/fhir/proto/r4/core/resources/bundle_and_contained_resource_go_proto"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/vagus-health/vagus/internal/tree"
)

// The dictionary was made from the standard's StructureDefinitions. Google's
// protocol buffers were made from them, too, by others with other code, so the
// two can only agree in what the standard says.
func TestTheDictionaryIsThatOfTheStandard(t *testing.T) {
	t.Parallel()
	root, err := dialect(t).Schema("")
	if err != nil {
		t.Fatal(err)
	}
	c := comparison{t: t, seen: map[protoreflect.FullName]*tree.Type{}}
	resources := (&rpb.ContainedResource{}).ProtoReflect().Descriptor().Fields()
	for i := range resources.Len() {
		d := resources.Get(i).Message()
		el := root.Element(string(d.Name()))
		if el == nil {
			t.Errorf("there is no resource %s", d.Name())
			continue
		}
		c.composite(string(d.Name()), d, el.Type)
	}
	if len(root.Elements) != resources.Len()+1 { // and resourceType
		t.Errorf("there are %d resources; the standard has %d", len(root.Elements)-1, resources.Len())
	}
	t.Logf("%d resources, %d types, %d elements, %d references, %d required value sets agree", resources.Len(), len(c.seen), c.elements, c.references, c.tables)
	if c.elements < 5000 || c.references < 700 || c.tables < 300 {
		t.Error("too little was compared: the walk is broken")
	}
}

// notInProtos are elements of the standard that Google left out: a SimpleQuantity
// is a Quantity without comparator, and they know no extension with a Meta.
var notInProtos = []string{"Quantity.comparator", "Extension.valueMeta"}

type comparison struct {
	t                            *testing.T
	seen                         map[protoreflect.FullName]*tree.Type
	elements, references, tables int
}

// composite compares the elements of a resource, a data type or a part.
func (c *comparison) composite(path string, d protoreflect.MessageDescriptor, typ *tree.Type) {
	if other := c.seen[d.FullName()]; other != nil {
		if other.Name != typ.Name {
			c.t.Errorf("%s has type %s, and %s elsewhere", path, typ.Name, other.Name)
		}
		return
	}
	c.seen[d.FullName()] = typ
	want := map[string]bool{}
	for i := range d.Fields().Len() {
		f := d.Fields().Get(i)
		name := f.JSONName()
		at := path + "." + name
		repeats, required := f.IsList(), proto.GetExtension(f.Options(), apb.E_ValidationRequirement) == apb.Requirement_REQUIRED_BY_FHIR
		if isChoice(f) {
			of := f.Message().Fields()
			for k := range of.Len() {
				option := of.Get(k)
				own := name + strings.ToUpper(option.JSONName()[:1]) + option.JSONName()[1:]
				want[own] = true
				c.element(path+"."+own, option, typ.Element(own), false, false, proto.GetExtension(f.Options(), apb.E_ValidReferenceType).([]string))
			}
			continue
		}
		if at == "Bundle.entry.resource" { // beside the Bundle in a decoded message
			continue
		}
		if typ.Name == "Reference" && f.ContainingOneof() != nil { // Reference.reference, taken apart
			want["reference"] = true
			continue
		}
		want[name] = true
		c.element(at, f, typ.Element(name), repeats, required, nil)
	}
	for _, el := range typ.Elements {
		primitive, isExtension := strings.CutPrefix(el.Name, "_")
		if !want[el.Name] && !(isExtension && want[primitive] && el.Type.Name == "Element") && el.Name != "fullUrl" {
			if at := path + "." + el.Name; !slices.Contains(notInProtos, strings.Replace(at, "._", ".", 1)) {
				c.t.Errorf("there is %s, which the standard does not have", at)
			}
		}
	}
}

func isChoice(f protoreflect.FieldDescriptor) bool {
	return f.Message() != nil && proto.GetExtension(f.Message().Options(), apb.E_IsChoiceType).(bool)
}

// element compares one element and goes on with its type.
func (c *comparison) element(at string, f protoreflect.FieldDescriptor, el *tree.Element, repeats, required bool, targets []string) {
	if el == nil {
		c.t.Errorf("%s is missing", at)
		return
	}
	c.elements++
	if el.Repeats != repeats || el.Required != required {
		c.t.Errorf("%s: repeats %v, required %v; the standard says %v, %v", at, el.Repeats, el.Required, repeats, required)
	}
	d := f.Message()
	name := typeName(d)
	switch {
	case name == "Any" || name == "ContainedResource": // a resource
		if el.Type.Tag != "resourceType" {
			c.t.Errorf("%s has type %s; the standard has any resource there", at, el.Type.Name)
		}
		return
	case el.Type.Kind != tree.Composite:
		if name != el.Type.Name {
			c.t.Errorf("%s has type %s; the standard says %s", at, el.Type.Name, name)
		}
		if set := proto.GetExtension(d.Options(), apb.E_FhirValuesetUrl).(string); set != "" {
			c.tables++
			if tail := set[strings.LastIndexByte(set, '/')+1:]; tail != el.Table {
				c.t.Errorf("%s is bound to %q; the standard says %s", at, el.Table, tail)
			}
		}
		return
	case name == "": // defined in place
		if name = el.Type.Name; !strings.Contains(name, ".") {
			c.t.Errorf("%s has type %s; the standard defines it in place as %s", at, name, d.Name())
		}
	case name != el.Type.Name:
		c.t.Errorf("%s has type %s; the standard says %s", at, el.Type.Name, name)
		return
	}
	if name == "Reference" {
		c.reference(at, f, el, targets)
	}
	c.composite(name, d, el.Type)
}

// reference: where a reference may lead to a person, what it displays may be
// the person's name.
func (c *comparison) reference(at string, f protoreflect.FieldDescriptor, el *tree.Element, targets []string) {
	targets = append(targets, proto.GetExtension(f.Options(), apb.E_ValidReferenceType).([]string)...)
	c.references++
	toPerson := len(targets) == 0 || slices.ContainsFunc(targets, func(t string) bool {
		return slices.Contains([]string{"Patient", "RelatedPerson", "Person", "Group", "Resource"}, t)
	})
	if shown := el.Type.Element("display").Labels&tree.Name != 0; shown != toPerson {
		c.t.Errorf("%s refers to %v, and that its display is a name is %v", at, targets, shown)
	}
}

// typeName returns the standard's name of a type; "" for one that is defined
// in place.
func typeName(d protoreflect.MessageDescriptor) string {
	url := proto.GetExtension(d.Options(), apb.E_FhirStructureDefinitionUrl).(string)
	if base := proto.GetExtension(d.Options(), apb.E_FhirProfileBase).([]string); len(base) > 0 {
		url = base[len(base)-1]
	}
	if url == "" {
		if _, isPart := d.Parent().(protoreflect.MessageDescriptor); isPart {
			return ""
		}
		return string(d.Name())
	}
	return url[strings.LastIndexByte(url, '/')+1:]
}
