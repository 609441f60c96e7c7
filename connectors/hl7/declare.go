package hl7

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// declare returns the segments that a mapping declares: their names are three
// capital letters or digits that the standard does not use in this version,
// their fields stand in order and have data types of the version. A field
// that says nothing of labels has those of its segment.
func (d *dictionary) declare(segments []tree.Column) ([]*tree.Element, error) {
	var out []*tree.Element
	for _, c := range segments {
		switch {
		case !isSegmentStart([]byte(c.Name), 0) || len(c.Name) != 3:
			return nil, fmt.Errorf("a segment's name has three capital letters or digits and begins with a letter, Z as a rule: not %q", c.Name)
		case d.segments[c.Name] != nil:
			return nil, fmt.Errorf("%s is a segment of HL7 %s (%s): declare those that the standard does not have", c.Name, versions[d.version], d.segments[c.Name].Title)
		case slices.ContainsFunc(out, func(e *tree.Element) bool { return e.Name == c.Name }):
			return nil, fmt.Errorf("%s is declared twice", c.Name)
		case len(c.Parts) == 0:
			return nil, fmt.Errorf("%s declares no fields", c.Name)
		case len(c.Parts) > maxFieldsPerSeg:
			return nil, fmt.Errorf("%s declares over %d fields", c.Name, maxFieldsPerSeg)
		}
		e := &tree.Element{Name: c.Name, Title: c.Title, Type: tree.NewType(c.Name, tree.Composite), Repeats: c.Repeats}
		for i, p := range c.Parts {
			place := fmt.Sprintf("%s-%d", c.Name, i+1)
			typ := d.types[p.Type]
			switch {
			case typ == nil:
				return nil, fmt.Errorf("%s has the type %q, which is no data type of HL7 %s%s", place, p.Type, versions[d.version], d.nearType(p.Type))
			case len(p.Parts) > 0:
				return nil, fmt.Errorf("%s declares parts, and its type %s has its own", place, p.Type)
			case p.Layout != "" || p.Start != 0 || p.Width != 0:
				return nil, fmt.Errorf("%s has a notation, a start or a width: the standard says how it is written", place)
			}
			f := &tree.Element{Name: numberName(i + 1), Title: p.Title, Type: typ, Table: p.Table, Repeats: p.Repeats, Labels: p.Labels}
			if f.Labels == tree.None {
				f.Labels = c.Labels
			}
			f.Max = leafMax[p.Type]
			e.Type.Add(f)
		}
		out = append(out, e)
	}
	return out, nil
}

// words are what people and other formats call data types.
var words = map[string]string{"TEXT": "ST", "STRING": "ST", "CODE": "CWE", "DECIMAL": "NM", "NUMBER": "NM", "DATE": "DT", "DATETIME": "DTM", "TIME": "TM", "BOOL": "ID"}

// nearType proposes a data type for one that the version does not have: one
// that is written alike, or its counterpart in other versions.
func (d *dictionary) nearType(name string) string {
	name = strings.ToUpper(name)
	near := []string{name, words[name], map[string]string{"DTM": "TS", "TS": "DTM", "CWE": "CE", "CE": "CWE", "IS": "CWE"}[name]}
	all := make([]string, 0, len(d.types))
	for t := range d.types {
		all = append(all, t)
	}
	slices.Sort(all)
	for _, t := range all {
		if sameBut(t, name) == 1 {
			near = append(near, t)
		}
	}
	for _, t := range near {
		if d.types[t] != nil {
			return fmt.Sprintf(" (did you mean %q?)", t)
		}
	}
	return ""
}

// sameBut returns in how many bytes two words differ, the end of the longer
// one included.
func sameBut(a, b string) int {
	if len(a) < len(b) {
		a, b = b, a
	}
	n := len(a) - len(b)
	for i := range b {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}
