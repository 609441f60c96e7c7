// Package scim reads the users and groups of SCIM 2.0 (RFC 7643) as the format
// "scim".
package scim

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "scim"

var (
	_ tree.Format   = Format{}
	_ tree.Dialect  = (*dialect)(nil)
	_ tree.Splitter = (*dialect)(nil)
)

// A Format is SCIM 2.0 for mappings. Safe for concurrent use.
//
// A message is one resource: a User, with the enterprise extension under its
// URN, or a Group. The tree has its attributes by the names of RFC 7643, in
// whatever case they were sent (section 2.1); multi-valued attributes are
// repetitions. null is null, "" and an empty array are absent. A simple value
// for a complex attribute stands for its value: some senders give a manager
// that way.
type Format struct{}

// Name returns "scim".
func (Format) Name() string { return formatName }

// Dialect returns the format, restricted to the attributes that a mapping
// declares when it declares any. Attributes that the standard does not have,
// custom schemas under their URN above all, are declared with their types.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" && d.Version != "2.0" {
		return nil, fmt.Errorf("scim has no version %q: use 2.0", d.Version)
	}
	if d.Delimiter != "" || d.Charset != "" || len(d.Segments) > 0 {
		return nil, errors.New("scim has attributes, and no delimiter, charset or segments")
	}
	if len(d.Columns) == 0 {
		return &dialect{root: standard().any, resources: standard().resources}, nil
	}
	root, err := tree.Declared("", standard().any, d.Columns, true)
	if err != nil {
		return nil, fmt.Errorf("scim: %w", err)
	}
	return &dialect{root: root}, nil
}

type dialect struct {
	root      *tree.Type            // of any resource
	resources map[string]*tree.Type // nil where attributes are declared
}

// Schema returns the type of a resource, "User" or "Group", and one that has
// the attributes of both for "".
func (d *dialect) Schema(structure string) (*tree.Type, error) {
	if t := d.resources[structure]; t != nil {
		return t, nil
	}
	return d.root, nil
}

// Structures returns the resources that meta.resourceType or schemas name.
func (d *dialect) Structures(when map[string][]string) []string {
	names := when["meta.resourceType"]
	if names == nil {
		for _, urn := range when["schemas"] {
			name := standard().byURN[urn]
			if name == "" {
				return []string{""}
			}
			names = append(names, name)
		}
	}
	if names == nil {
		return []string{""}
	}
	return names
}

var limits = tree.JSONLimits{EmptyIsAbsent: true, FoldNames: true, SimpleForObject: true}

// Decode reads one resource. A message of the protocol (RFC 7644), a change or
// a list, is an error.
func (d *dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := tree.ReadJSON(body, d.root, only, limits)
	if err != nil {
		return nil, fmt.Errorf("decode scim: %w", err)
	}
	if kind, _ := protocolMessage(body, limits); kind != "" { // it has been read once: no error
		return nil, fmt.Errorf("decode scim: a %s of the protocol, not a resource", kind)
	}
	return &tree.Message{Format: formatName, Root: root}, nil
}

// protocol are the messages of RFC 7644, by the end of their schema (section
// 8.2).
var protocol = []string{"ListResponse", "SearchRequest", "PatchOp", "BulkRequest", "BulkResponse", "Error"}

const protocolPrefix = "urn:ietf:params:scim:api:messages:2.0:"

// schemasType is an object of which only its schemas are read.
var schemasType = tree.NewType("", tree.Composite, &tree.Element{Name: "schemas", Type: tree.NewType("text", tree.Text), Repeats: true})

// protocolMessage says which message of the protocol this is, "message" for one
// that is not known and "" for a resource.
func protocolMessage(body []byte, o tree.JSONLimits) (string, error) {
	if !bytes.Contains(body, []byte(protocolPrefix)) {
		return "", nil
	}
	root, err := tree.ReadJSON(body, schemasType, nil, o)
	if err != nil {
		return "", err
	}
	for s := range root.All("schemas") {
		kind, ok := strings.CutPrefix(s.Text, protocolPrefix)
		switch {
		case ok && slices.Contains(protocol, kind):
			return kind, nil
		case ok: // its name is the sender's text
			return "message", nil
		}
	}
	return "", nil
}

const maxListBytes = 64 << 20

// Split returns the resources of a ListResponse, of an array or of JSON lines.
func (d *dialect) Split(body []byte) ([][]byte, error) {
	parts, err := split(body)
	if err != nil {
		return nil, fmt.Errorf("split scim: %w", err)
	}
	return parts, nil
}

func split(body []byte) ([][]byte, error) {
	o := limits
	o.Bytes, o.Values = maxListBytes, 4_000_000
	parts, err := tree.SplitJSON(body, o)
	if err != nil || len(parts) != 1 {
		return parts, err
	}
	if kind, err := protocolMessage(parts[0], o); err != nil || kind != "ListResponse" {
		return parts, err
	}
	var list struct{ Resources []json.RawMessage }
	if err := json.Unmarshal(parts[0], &list); err != nil {
		return nil, errors.New("what the ListResponse has as Resources is not an array")
	}
	resources := make([][]byte, len(list.Resources))
	for i, r := range list.Resources {
		resources[i] = r
	}
	return resources, nil
}
