// Package webhook receives what programs send to each other over HTTP.
//
//   - [Source] is a transport: it brings the body of a request to a
//     [broker.Receiver] of any format, and answers after it was accepted.
//   - [Receiver] makes messages of JSON objects.
//   - [Format] is the format "json", whose attributes a mapping declares.
package webhook

import (
	"errors"
	"fmt"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "json"

var (
	_ tree.Format   = Format{}
	_ tree.Dialect  = dialect{}
	_ tree.Splitter = dialect{}
)

// A Format is JSON with declared attributes, for mappings. Safe for concurrent
// use.
//
// A message is one object (RFC 8259). What is not declared is left out; "" and
// an empty array are absent, null is null; an array becomes repetitions; a
// number keeps its digits. A file holds one object, an array of them, or one
// on each line.
type Format struct{}

// Name returns "json".
func (Format) Name() string { return formatName }

// Dialect returns the format with the attributes that a mapping declares.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" || d.Delimiter != "" || len(d.Segments) > 0 {
		return nil, errors.New("json has attributes, and no version, delimiter or segments")
	}
	if d.Charset != "" {
		return nil, errors.New("json is UTF-8: leave charset out")
	}
	t, err := tree.Declared("", nil, d.Columns, false)
	if err != nil {
		return nil, fmt.Errorf("json: %w", err)
	}
	return dialect{t}, nil
}

type dialect struct{ root *tree.Type }

// Schema returns the declared type, whatever the structure.
func (d dialect) Schema(string) (*tree.Type, error) { return d.root, nil }

// Structures returns "": one type has it all.
func (d dialect) Structures(map[string][]string) []string { return []string{""} }

// Decode reads one object.
func (d dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := tree.ReadJSON(body, d.root, only, tree.JSONLimits{EmptyIsAbsent: true})
	if err != nil {
		return nil, fmt.Errorf("decode json: %w", err)
	}
	return &tree.Message{Format: formatName, Root: root}, nil
}

// maxFileBytes bounds a file of many objects.
const maxFileBytes = 256 << 20

// Split returns the objects of an array or of JSON lines.
func (d dialect) Split(body []byte) ([][]byte, error) {
	parts, err := tree.SplitJSON(body, tree.JSONLimits{Bytes: maxFileBytes})
	if err != nil {
		return nil, fmt.Errorf("split json: %w", err)
	}
	return parts, nil
}
