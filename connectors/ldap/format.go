// Package ldap reads entries of a directory as the format "ldap": JSON objects
// of attributes, and LDIF content records (RFC 2849).
package ldap

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "ldap"

var (
	_ tree.Format   = Format{}
	_ tree.Dialect  = (*dialect)(nil)
	_ tree.Splitter = (*dialect)(nil)
)

// A Format is LDAP entries for mappings. Safe for concurrent use.
//
// A message is one entry: an object {"attribute": "value" or ["value", …]} or
// a record of LDIF. The tree has the attributes by their declared spelling,
// whatever their case in the message (RFC 4512, section 2.5), and the entry's
// name as dn. Several values are repetitions; "" is absent; null, of JSON, is
// null.
type Format struct{}

// Name returns "ldap".
func (Format) Name() string { return formatName }

// Dialect returns the format, restricted to the attributes that a mapping
// declares when it declares any. Attributes that attributes.txt does not have
// are declared with their types.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" || d.Delimiter != "" || d.Charset != "" || len(d.Segments) > 0 {
		return nil, errors.New("ldap has attributes, and no version, delimiter, charset or segments")
	}
	out := &dialect{root: known().root, byName: map[string]*tree.Element{}}
	if len(d.Columns) > 0 {
		var err error
		if out.root, err = tree.Declared("", known().root, d.Columns, true); err != nil {
			return nil, fmt.Errorf("ldap: %w", err)
		}
	}
	for _, e := range out.root.Elements {
		if len(e.Type.Elements) > 0 {
			return nil, fmt.Errorf("ldap: %s is an object, and an attribute has simple values", e.Name)
		}
		out.byName[strings.ToLower(e.Name)] = e
	}
	return out, nil
}

type dialect struct {
	root   *tree.Type
	byName map[string]*tree.Element // by names in lower case
}

// Schema returns the attributes, whatever the structure.
func (d *dialect) Schema(string) (*tree.Type, error) { return d.root, nil }

// Structures returns "": one type has it all.
func (d *dialect) Structures(map[string][]string) []string { return []string{""} }

const (
	maxEntryBytes = 16 << 20
	maxFileBytes  = 256 << 20
	maxValues     = 250_000
)

var limits = tree.JSONLimits{Bytes: maxEntryBytes, Values: maxValues, EmptyIsAbsent: true, FoldNames: true, AnyRepeats: true}

// Decode reads one entry.
func (d *dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	read := d.ldif
	if isJSON(body) {
		read = d.json
	}
	root, err := read(body, only)
	if err != nil {
		return nil, fmt.Errorf("decode ldap: %w", err)
	}
	return &tree.Message{Format: formatName, Root: root}, nil
}

// json reads an entry as an object. A name with an option is another name; it
// is an error where LDIF would take it for the attribute itself.
func (d *dialect) json(body []byte, only tree.Selection) (*tree.Node, error) {
	root, err := tree.ReadJSON(body, d.root, only, limits)
	if err != nil || !bytes.Contains(body, []byte(";")) {
		return root, err
	}
	var names map[string]json.RawMessage
	if err := json.Unmarshal(bytes.TrimPrefix(body, []byte(byteOrderMark)), &names); err != nil {
		return nil, errors.New("the object can not be read")
	}
	for name := range names {
		e, err := d.element(name)
		if err != nil {
			return nil, err
		}
		if e != nil && !strings.EqualFold(e.Name, name) {
			return nil, fmt.Errorf("%s has an option in its name: in JSON it stands without", e.Name)
		}
	}
	return root, nil
}

// isJSON tells the two notations apart: no record of LDIF begins with a brace
// or a bracket.
func isJSON(body []byte) bool {
	body = bytes.TrimLeft(bytes.TrimPrefix(body, []byte(byteOrderMark)), " \t\r\n")
	return len(body) > 0 && (body[0] == '{' || body[0] == '[')
}

const byteOrderMark = "\ufeff"

// Split returns the records of an LDIF file, or the objects of an array or of
// JSON lines.
func (d *dialect) Split(body []byte) ([][]byte, error) {
	if len(body) > maxFileBytes {
		return nil, fmt.Errorf("split ldap: %d bytes; a file has at most %d", len(body), maxFileBytes)
	}
	if !isJSON(body) {
		return splitLDIF(body), nil
	}
	o := limits
	o.Bytes = maxFileBytes
	parts, err := tree.SplitJSON(body, o)
	if err != nil {
		return nil, fmt.Errorf("split ldap: %w", err)
	}
	return parts, nil
}
