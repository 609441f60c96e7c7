// Package dicom reads DICOM attributes as JSON, by tag (PS3.18, annex F) or by
// keyword, as the format "dicom".
package dicom

import (
	"errors"
	"fmt"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "dicom"

var (
	_ tree.Format   = Format{}
	_ tree.Dialect  = (*dialect)(nil)
	_ tree.Splitter = (*dialect)(nil)
)

// A Format is DICOM attributes for mappings: performed procedure steps,
// worklist items, studies and instances. Safe for concurrent use.
//
// A message is one data set, in the DICOM JSON model {"00100020": {"vr": "LO",
// "Value": ["4711"]}} or by keyword {"PatientID": "4711"}. The tree has its
// attributes by keyword (PS3.6, chapter 6); a sequence's items and an
// attribute's several values are repetitions. A person name has its groups and
// their components: PatientName.Alphabetic.FamilyName. An attribute without a
// value is absent; null is null. Private attributes and bulk data are not read.
type Format struct{}

// Name returns "dicom".
func (Format) Name() string { return formatName }

// Dialect returns the format, restricted to the attributes that a mapping
// declares when it declares any. An attribute that the standard does not have
// is declared with its type and is read by keyword only.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" || d.Delimiter != "" || d.Charset != "" || len(d.Segments) > 0 {
		return nil, errors.New("dicom has attributes, and no version, delimiter, charset or segments")
	}
	if len(d.Columns) == 0 {
		return &dialect{root: standard().root}, nil
	}
	root, err := tree.Declared("", standard().root, d.Columns, false)
	if err != nil {
		return nil, fmt.Errorf("dicom: %w", err)
	}
	return &dialect{root: root}, nil
}

type dialect struct{ root *tree.Type }

// Schema returns the attributes, whatever the structure.
func (d *dialect) Schema(string) (*tree.Type, error) { return d.root, nil }

// Structures returns "": a data set says by its attributes what it is.
func (d *dialect) Structures(map[string][]string) []string { return []string{""} }

// Devices give one attribute several values whatever its VM says, and names
// both as objects and as text.
var limits = tree.JSONLimits{EmptyIsAbsent: true, AnyRepeats: true, SimpleForObject: true}

// Decode reads one data set.
func (d *dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := d.decode(body, only)
	if err != nil {
		return nil, fmt.Errorf("decode dicom: %w", err)
	}
	return &tree.Message{Format: formatName, Root: root}, nil
}

func (d *dialect) decode(body []byte, only tree.Selection) (*tree.Node, error) {
	if !byTag(body) {
		root, err := tree.ReadJSON(body, d.root, only, limits)
		if err != nil {
			return nil, err
		}
		splitNames(root, d.root)
		return root, nil
	}
	wire, err := tree.ReadJSON(body, standard().wire, nil, limits)
	if err != nil {
		return nil, err
	}
	root := &tree.Node{State: tree.Value, Pos: wire.Pos, Kids: byKeyword(wire, d.root, only)}
	splitNames(root, d.root)
	return root, nil
}

const maxFileBytes = 256 << 20

// Split returns the data sets of an array, as a search for studies answers, or
// of JSON lines.
func (d *dialect) Split(body []byte) ([][]byte, error) {
	o := limits
	o.Bytes = maxFileBytes
	parts, err := tree.SplitJSON(body, o)
	if err != nil {
		return nil, fmt.Errorf("split dicom: %w", err)
	}
	return parts, nil
}
