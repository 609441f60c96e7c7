package tree

import (
	"fmt"
	"strings"
)

// A Kind is what a leaf's text means; conversion is driven by it and by the
// target's type.
type Kind uint8

const (
	Text   Kind = iota
	Code        // a value of a table
	Number      // decimal
	Date        // YYYYMMDD in HL7, YYYY-MM-DD in FHIR: the format's own notation
	DateTime
	Time
	Bool
	Composite // not a leaf
)

// A Type is a data type: XPN, DT, a segment, a group, a FHIR element type. A
// type may contain itself; types are shared between elements.
type Type struct {
	Name     string // "XPN", "PID", "ORDER"
	Kind     Kind
	Elements []*Element // in the standard's order, nil for a leaf
	byName   map[string]*Element
}

// An Element is one named place in a type.
type Element struct {
	Name    string // path step: "PID", "5", "1"
	Title   string // the standard's name: "Patient Name"
	Type    *Type
	Repeats bool
	Labels  Labels // what its leaves may reveal, in addition to the labels of the elements inside its type
	Table   string // code table of the standard, "HL70001", or ""
}

// NewType returns a type with these elements. Two elements of one name panic:
// a schema is built from data that the program ships.
func NewType(name string, kind Kind, elements ...*Element) *Type {
	t := &Type{Name: name, Kind: kind}
	t.Add(elements...)
	return t
}

// Add appends elements, for types that refer to each other. Not safe once the
// schema is in use.
func (t *Type) Add(elements ...*Element) {
	if t.byName == nil {
		t.byName = make(map[string]*Element, len(elements))
	}
	for _, e := range elements {
		if t.byName[e.Name] != nil {
			panic(fmt.Sprintf("tree: type %s has two elements %s", t.Name, e.Name))
		}
		t.byName[e.Name] = e
		t.Elements = append(t.Elements, e)
	}
}

// Element returns the element of this name, or nil.
func (t *Type) Element(name string) *Element { return t.byName[name] }

// A Format is all that a mapping needs to know of a message format.
type Format interface {
	// Name is the `source.format` of mapping files: "hl7v2".
	Name() string
	// Schema returns the root type of messages of this version of the standard
	// ("2.5.1") and, where the format's groups depend on it, of this message
	// structure or type ("ADT_A01", "ADT^A08"; "" means any). An unknown version is an
	// error that names those to be had.
	Schema(version, structure string) (*Type, error)
	// Decode reads one message. Of what only does not select it may leave out
	// the content, so that whoever reads nothing else sees no difference. Its
	// errors name places, never values.
	Decode(body []byte, only Selection) (*Message, error)
}

// Labels say what a value may reveal about a person. They flow from source
// fields through expressions to target fields.
type Labels uint16

const (
	Admin Labels = 1 << iota
	Order
	Staff
	Financial
	Name
	Contact
	Demographic
	Identifier
	NationalID
	Clinical
	Sensitive
	Secret
)

// None is the label set of what reveals nothing.
const None Labels = 0

var labelNames = [...]string{"admin", "order", "staff", "financial", "name", "contact", "demographic", "identifier", "national_id", "clinical", "sensitive", "secret"}

// LabelNames returns all names that ParseLabel takes, "none" first.
func LabelNames() []string { return append([]string{"none"}, labelNames[:]...) }

// ParseLabel returns the label of this name; ok is false for an unknown name.
func ParseLabel(name string) (l Labels, ok bool) {
	if name == "none" {
		return None, true
	}
	for i, n := range labelNames {
		if n == name {
			return 1 << i, true
		}
	}
	return None, false
}

// Names returns the names of the labels in the set; none for the empty set.
func (l Labels) Names() []string {
	var out []string
	for i, n := range labelNames {
		if l&(1<<i) != 0 {
			out = append(out, n)
		}
	}
	return out
}

// String returns the names joined by ", ", or "none".
func (l Labels) String() string {
	if l == None {
		return "none"
	}
	return strings.Join(l.Names(), ", ")
}
