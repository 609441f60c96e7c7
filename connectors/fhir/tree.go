package fhir

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "fhir"

// limits bound one message; they are far above what a patient's whole record
// has: 250,000 values in 16 MiB.
var limits = tree.JSONLimits{EmptyIsAbsent: true}

var (
	_ tree.Format   = Format{}
	_ tree.Splitter = dialect{}
	_ tree.Encoder  = dialect{}
)

// A Format is FHIR R4 for mappings. Safe for concurrent use.
//
// A message's tree: the root's kids are resources by type ("Patient"), a
// resource's kids are its elements by their JSON names, choices by the name of
// the type that was chosen ("deceasedBoolean"), the extensions of a primitive
// element below its name with an underscore ("_birthDate"). Arrays are siblings
// of one name. null is Null, which FHIR has in arrays only, for a value that
// has extensions instead; "" is absent. Numbers and dates keep their text.
//
// The resources of a Bundle stand at the root, in order, behind it, each with
// the fullUrl of its entry as a kid; the Bundle keeps its other elements, those
// of entries too. A Bundle in an entry gives its resources and is gone
// itself. Where a resource stands in another one (contained, a parameter, a
// response's outcome) the element has one kid, named for the resource's type:
// contained.Medication.code. The root's own resourceType, behind all others,
// says what was sent: the Bundle, where it was one.
//
// What the standard does not define is left out, whatever it is called. Pos is
// the line and the offset in the body.
type Format struct{}

// NewFormat returns the format; Format{} is the same.
func NewFormat() Format { return Format{} }

// Name returns "fhir".
func (Format) Name() string { return formatName }

// Dialect returns FHIR R4: version "4.0.1" or "4.0".
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "4.0.1" && d.Version != "4.0" {
		return nil, fmt.Errorf("fhir has no version %q: use one of 4.0.1, 4.0 (R4)", d.Version)
	}
	if d.Delimiter != "" || len(d.Columns) > 0 || len(d.Segments) > 0 {
		return nil, errors.New("fhir takes no columns, attributes, segments or delimiter: the standard defines its elements; other content comes in extensions")
	}
	return dialect{theDictionary()}, nil
}

type dialect struct{ dictionary *dictionary }

// Schema returns the type of all messages, whatever the structure: any resource
// may be a message, and any may stand in a Bundle.
func (d dialect) Schema(string) (*tree.Type, error) { return d.dictionary.message, nil }

// Structures returns "".
func (dialect) Structures(map[string][]string) []string { return []string{""} }

// Decode reads one resource or one Bundle.
func (d dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := tree.ReadJSON(body, d.dictionary.resource, d.withEntries(only), limits)
	if err != nil {
		return nil, fmt.Errorf("decode fhir: %w", err)
	}
	first := root.Kids[0]
	if first.Name == bundleName {
		root.Kids = append(make([]*tree.Node, 0, 1+len(first.Kids)), first)
		unwrap(root, first, only)
	}
	if only == nil || only[resourceName][typeName] {
		root.Kids = append(root.Kids, &tree.Node{Name: typeName, State: tree.Value, Text: first.Name, Pos: typePos(body, first)})
	}
	return &tree.Message{Format: formatName, Type: first.Name, Root: root}, nil
}

// typePos is where a resource says its type: the first place that names it.
func typePos(body []byte, resource *tree.Node) tree.Pos {
	at := resource.Pos
	for rest := body[at.Offset:]; ; {
		i := bytes.Index(rest, []byte(strconv.Quote(typeName)))
		if i < 0 {
			return resource.Pos // written with escapes
		}
		value := bytes.TrimLeft(rest[i+len(typeName)+2:], ": \t\r\n")
		if bytes.HasPrefix(value, []byte(strconv.Quote(resource.Name))) {
			offset := len(body) - len(value)
			return tree.Pos{Line: at.Line + bytes.Count(body[at.Offset:offset], []byte("\n")), Offset: offset}
		}
		rest = value
	}
}

// withEntries selects what leads to the resources of a Bundle, too, and of
// entries that are read all elements: by them unwrap sees whether an entry has
// anything besides its resource.
func (d dialect) withEntries(only tree.Selection) tree.Selection {
	if only == nil {
		return nil
	}
	wider := maps.Clone(only)
	for typ, element := range map[string]string{resourceName: bundleName, bundleName: "entry", entryName: "resource"} {
		wider[typ] = maps.Clone(wider[typ])
		wider.Add(typ, element)
	}
	wider.Add(entryName, fullURLName)
	if only[bundleName]["entry"] {
		for _, el := range d.dictionary.resource.Element(bundleName).Type.Element("entry").Type.Elements {
			wider.Add(entryName, el.Name)
		}
	}
	return wider
}

// unwrap moves the resources of a Bundle's entries to the root.
func unwrap(root, bundle *tree.Node, only tree.Selection) {
	keep := bundle.Kids[:0]
	for _, entry := range bundle.Kids {
		if entry.Name != "entry" {
			keep = append(keep, entry)
			continue
		}
		place := entry.First("resource")
		if place != nil && len(place.Kids) > 0 {
			resource := place.Kids[0]
			if url := entry.First(fullURLName); url != nil && (only == nil || only[resource.Name][fullURLName]) {
				resource.Kids = append([]*tree.Node{url}, resource.Kids...)
			}
			if resource.Name == bundleName {
				unwrap(root, resource, only)
			} else {
				root.Kids = append(root.Kids, resource)
			}
		}
		entry.Kids = slices.DeleteFunc(entry.Kids, func(n *tree.Node) bool { return n == place })
		if len(entry.Kids) > 0 {
			keep = append(keep, entry)
		}
	}
	bundle.Kids = keep
}
