package odoo

import (
	"errors"
	"fmt"
	"time"

	"github.com/vagus-health/vagus/internal/tree"
)

const formatName = "odoo"

var (
	_ tree.Format   = Format{}
	_ tree.Dialect  = dialect{}
	_ tree.Splitter = dialect{}
)

// A Format is Odoo's records with declared attributes, for mappings of what a
// [Source] receives. Safe for concurrent use.
//
// A message is one object, as Odoo's web_read returns it: a relation is an
// object of id, display_name or whatever else is read, or an array of them. It
// says besides what it is of: _model; _change, which is "write", or "delete" of a
// record that is there no more and has nothing but its id; and _version, which
// tells one version of the record from all others.
//
// A field that is empty in Odoo is null: false is, of every type but bool.
// Points in time are UTC; the tree has them as 2026-05-04T16:20:11Z.
type Format struct{}

// Name returns "odoo".
func (Format) Name() string { return formatName }

// envelope is what every message has.
func envelope() *tree.Type {
	code, number, moment := tree.NewType("code", tree.Code), tree.NewType("decimal", tree.Number), tree.NewType("datetime", tree.DateTime)
	return tree.NewType("", tree.Composite,
		&tree.Element{Name: "_model", Title: "Model", Type: code, Labels: tree.Admin},
		&tree.Element{Name: "_change", Title: "Change: write or delete", Type: code, Labels: tree.Admin},
		&tree.Element{Name: "_version", Title: "Version of the record", Type: code, Labels: tree.Admin},
		&tree.Element{Name: "id", Title: "ID", Type: number, Labels: tree.Admin},
		&tree.Element{Name: "write_date", Title: "Last Updated on", Type: moment, Labels: tree.Admin})
}

// Dialect returns the format with the attributes that a mapping declares, and
// those that every message has.
func (Format) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "" || d.Delimiter != "" || d.Charset != "" || len(d.Segments) > 0 {
		return nil, errors.New("an odoo record has attributes, and no version, delimiter, charset or segments")
	}
	standard := envelope()
	t, err := tree.Declared("", standard, d.Columns, false)
	if err != nil {
		return nil, fmt.Errorf("odoo: %w", err)
	}
	for _, e := range standard.Elements {
		if t.Element(e.Name) == nil {
			t.Add(e)
		}
	}
	return dialect{t}, nil
}

type dialect struct{ root *tree.Type }

// Schema returns the declared type, whatever the structure.
func (d dialect) Schema(string) (*tree.Type, error) { return d.root, nil }

// Structures returns "": one type has it all.
func (d dialect) Structures(map[string][]string) []string { return []string{""} }

// Decode reads one record.
func (d dialect) Decode(body []byte, only tree.Selection) (*tree.Message, error) {
	root, err := tree.ReadJSON(body, d.root, only, tree.JSONLimits{FalseIsNull: true})
	if err == nil {
		err = sayUTC(root, d.root, only)
	}
	if err != nil {
		return nil, fmt.Errorf("decode odoo: %w", err)
	}
	return &tree.Message{Format: formatName, Root: root}, nil
}

// sayUTC writes points in time so that they say that they are UTC, where the
// mapping declares no notation of its own. What is not selected is there without its text.
func sayUTC(n *tree.Node, typ *tree.Type, only tree.Selection) error {
	for _, k := range n.Kids {
		e := typ.Element(k.Name)
		if e == nil || only != nil && !only[typ.Name][k.Name] {
			continue
		}
		if e.Type.Kind == tree.DateTime && e.Layout == "" && k.State == tree.Value {
			t, err := time.Parse(timeLayout, k.Text)
			if err != nil {
				return fmt.Errorf("JSON line %d, offset %d: %s is not a time as Odoo writes it", k.Pos.Line, k.Pos.Offset, k.Name)
			}
			k.Text = t.Format(time.RFC3339)
		}
		if err := sayUTC(k, e.Type, only); err != nil {
			return err
		}
	}
	return nil
}

// maxFileBytes bounds a file of many records.
const maxFileBytes = 256 << 20

// Split returns the records of an array or of JSON lines.
func (d dialect) Split(body []byte) ([][]byte, error) {
	parts, err := tree.SplitJSON(body, tree.JSONLimits{Bytes: maxFileBytes})
	if err != nil {
		return nil, fmt.Errorf("split odoo: %w", err)
	}
	return parts, nil
}
