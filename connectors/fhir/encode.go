package fhir

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/tree"
)

// Encode writes a resource, or a Bundle with the resources beside it in its
// entries, as JSON. Element types decide what is a number or a boolean, and
// what repeats is an array even of one.
//
// A resource goes into the next entry that has its fullUrl, or none as it has
// none, and is no request to read or delete; else into an entry of its own,
// before that of the next resource that has found one: documents and messages
// say by their first resource what they are (FHIR R4, Bundle). Elements that
// the standard requires must be there; which of a choice is there, and
// invariants, are not checked. Errors name the element: Patient.contact[2].gender.
func (d dialect) Encode(m *tree.Message) ([]byte, error) {
	root, err := wrap(m.Root)
	if err == nil {
		e := &encoder{}
		if err = e.object(d.dictionary.resource, root); err == nil {
			return e.out.Bytes(), nil
		}
	}
	return nil, fmt.Errorf("encode fhir: %w", err)
}

// wrap returns a node whose only kid is the resource to be written, the others
// in its entries. What it is says itself.
func wrap(root *tree.Node) (*tree.Node, error) {
	root = &tree.Node{Kids: slices.DeleteFunc(slices.Clone(root.Kids), func(n *tree.Node) bool { return n.Name == typeName })}
	bundle := root.First(bundleName)
	switch {
	case bundle == nil && len(root.Kids) == 1:
		return root, nil
	case bundle == nil:
		return nil, fmt.Errorf("%d resources and no Bundle: a message is one resource", len(root.Kids))
	}
	own := *bundle
	own.Kids = nil
	var entries []*tree.Node
	for _, k := range bundle.Kids {
		if k.Name == "entry" {
			copied := *k
			copied.Kids = slices.Clone(k.Kids)
			k = &copied
			entries = append(entries, k)
		}
		own.Kids = append(own.Kids, k)
	}
	places := make(map[string][]*tree.Node, len(entries)) // entries by fullUrl, "" for those that have none
	for _, entry := range entries {
		if mayHoldResource(entry) {
			places[address(entry)] = append(places[address(entry)], entry)
		}
	}
	before := make(map[*tree.Node][]*tree.Node) // new entries by the one that they go before
	var fresh []*tree.Node
	for _, resource := range root.Kids {
		if resource == bundle {
			continue
		}
		inner := *resource
		inner.Kids = slices.DeleteFunc(slices.Clone(resource.Kids), func(n *tree.Node) bool { return n.Name == fullURLName })
		place := &tree.Node{Name: "resource", State: tree.Value, Kids: []*tree.Node{&inner}}
		if list := places[address(resource)]; len(list) > 0 {
			entry := list[0]
			places[address(resource)] = list[1:]
			entry.Kids = append(entry.Kids, place)
			before[entry], fresh = fresh, nil
			continue
		}
		entry := &tree.Node{Name: "entry", State: tree.Value}
		if url := resource.First(fullURLName); url != nil {
			entry.Kids = append(entry.Kids, url)
		}
		entry.Kids = append(entry.Kids, place)
		fresh = append(fresh, entry)
	}
	kids := make([]*tree.Node, 0, len(own.Kids)+len(root.Kids))
	for _, k := range own.Kids {
		kids = append(append(kids, before[k]...), k)
	}
	own.Kids = append(kids, fresh...)
	return &tree.Node{Kids: []*tree.Node{&own}}, nil
}

// address returns the fullUrl of an entry or a resource, "" without one.
func address(n *tree.Node) string {
	if url := n.First(fullURLName); url != nil {
		return url.Text
	}
	return ""
}

// mayHoldResource is false for a request that has no body.
func mayHoldResource(entry *tree.Node) bool {
	method := entry.First("request").First("method")
	return method == nil || !slices.Contains([]string{"GET", "HEAD", "DELETE"}, method.Text)
}

// maxDepth bounds the objects in each other that are written.
const maxDepth = 64

// An encoder writes one message.
type encoder struct {
	out bytes.Buffer
	way []string // elements that are open, for errors
}

func (e *encoder) fail(what string) error {
	return errors.New(strings.Join(e.way, ".") + ": " + what)
}

// object writes the kids of a node of a composite type.
func (e *encoder) object(typ *tree.Type, n *tree.Node) error {
	e.out.WriteByte('{')
	comma := false
	if typ.Tag != "" {
		if len(n.Kids) != 1 || typ.Element(n.Kids[0].Name) == nil {
			return e.fail("one resource is expected here, named for its type")
		}
		n = n.Kids[0]
		e.way = append(e.way, n.Name)
		defer func() { e.way = e.way[:len(e.way)-1] }()
		e.out.WriteString(strconv.Quote(typ.Tag) + ":" + strconv.Quote(n.Name))
		typ, comma = typ.Element(n.Name).Type, true
	} else if len(n.Kids) == 0 {
		return e.fail("it has no elements: leave it out")
	}
	if len(e.way) > maxDepth {
		return e.fail(fmt.Sprintf("elements stand over %d deep in each other", maxDepth))
	}
	byName := make(map[string][]*tree.Node, len(n.Kids))
	var names []string
	for _, k := range n.Kids {
		if byName[k.Name] == nil {
			names = append(names, k.Name)
		}
		byName[k.Name] = append(byName[k.Name], k)
	}
	for _, name := range names {
		el := typ.Element(name)
		if el == nil || name == fullURLName && typ.Name != entryName {
			return e.fail(fmt.Sprintf("FHIR has no element %.64q here", name))
		}
		if comma {
			e.out.WriteByte(',')
		}
		comma = true
		e.out.WriteString(strconv.Quote(name))
		e.out.WriteByte(':')
		if err := e.values(el, byName[name]); err != nil {
			return err
		}
	}
	for _, el := range typ.Elements {
		if el.Required && byName[el.Name] == nil && byName["_"+el.Name] == nil {
			return e.fail(el.Name + " is missing")
		}
	}
	e.out.WriteByte('}')
	return nil
}

// values writes what an element has: one value, or an array.
func (e *encoder) values(el *tree.Element, nodes []*tree.Node) error {
	e.way = append(e.way, el.Name)
	defer func() { e.way = e.way[:len(e.way)-1] }()
	if !el.Repeats {
		if len(nodes) > 1 {
			return e.fail("it is there more than once")
		}
		return e.value(el, nodes[0])
	}
	e.out.WriteByte('[')
	for i, n := range nodes {
		if i > 0 {
			e.out.WriteByte(',')
		}
		e.way[len(e.way)-1] = el.Name + "[" + strconv.Itoa(i+1) + "]"
		if err := e.value(el, n); err != nil {
			return err
		}
	}
	e.out.WriteByte(']')
	return nil
}

func (e *encoder) value(el *tree.Element, n *tree.Node) error {
	leaf := el.Type.Kind != tree.Composite
	switch {
	case n.State == tree.Null && el.Repeats && (leaf || el.Name[0] == '_'):
		e.out.WriteString("null")
		return nil
	case n.State != tree.Value:
		return e.fail("FHIR can not say that a value is to be deleted: leave it out")
	case !leaf:
		if n.Text != "" {
			return e.fail(el.Type.Name + " has elements and no value of its own")
		}
		return e.object(el.Type, n)
	case len(n.Kids) > 0:
		return e.fail(el.Type.Name + " is a simple value and has no elements")
	case n.Text == "":
		return e.fail("it is empty: leave it out")
	case el.Type.Kind == tree.Number:
		if strings.Trim(n.Text, "-+.eE0123456789") != "" || !json.Valid([]byte(n.Text)) {
			return e.fail("it is not a number")
		}
		if el.Type.Name != "decimal" && strings.ContainsAny(n.Text, ".eE") {
			return e.fail("it is not a whole number")
		}
		e.out.WriteString(n.Text)
		return nil
	case el.Type.Kind == tree.Bool:
		if n.Text != "true" && n.Text != "false" {
			return e.fail("it is neither true nor false")
		}
		e.out.WriteString(n.Text)
		return nil
	case !utf8.ValidString(n.Text):
		return e.fail("it is not UTF-8")
	}
	enc := json.NewEncoder(&e.out)
	enc.SetEscapeHTML(false) // narratives are read by people
	if err := enc.Encode(n.Text); err != nil {
		return e.fail("it can not be written as a string")
	}
	e.out.Truncate(e.out.Len() - 1) // the line's end
	return nil
}
