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
	// Tag is the JSON property by which an object says which one of Elements it
	// is: it has that one kid. FHIR's resourceType; "" for all other types.
	Tag    string
	byName map[string]*Element
}

// An Element is one named place in a type.
type Element struct {
	Name    string // path step: "PID", "5", "1"
	Title   string // the standard's name: "Patient Name"
	Type    *Type
	Repeats bool
	Labels  Labels   // what its leaves may reveal, in addition to the labels of the elements inside its type
	Codings []Coding // what a part reveals by the code that stands beside it
	Table   string   // code table of the standard, "HL70001", or ""
	Layout  string   // notation of a date or time where a mapping declares it: "MM/DD/YYYY"
	// Required and Max bound what a message that we write must say: the element
	// is there, and a leaf has at most Max characters; 0 is no bound.
	Required bool
	Max      int
}

// A Coding says that what one part of an element reveals depends on a code
// beside it: a number in PID-3 is a social security number where PID-3.5 is SS.
// Where a path chooses by the code, the part has Labels or has not. Where it
// does not, the labels that the element and the part have are what it may be.
type Coding struct {
	Part   string              // "1", "value"
	By     map[string][]string // where the code stands ("5", "type.coding.code"), and values that mean Labels; one that ends in * is a prefix
	Labels Labels
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

// A Format is a family of messages: what `source.format` of a mapping names.
// Safe for concurrent use.
type Format interface {
	// Name is the `source.format` of mapping files: "hl7v2".
	Name() string
	// Dialect returns the format as one mapping declares it. Its errors say
	// what the declaration lacks or may not have; an unknown version is an
	// error that names those to be had.
	Dialect(Declaration) (Dialect, error)
}

// A Dialect is a format with all that a mapping says of its source. Two equal
// declarations of one format give dialects that decode alike. Safe for
// concurrent use.
type Dialect interface {
	// Schema returns the root type of messages and, where it depends on it, of
	// this message structure or type ("ADT_A01", "ADT^A08", "835"; "" means any).
	Schema(structure string) (*Type, error)
	// Structures returns the structures of the messages in which these paths
	// ("MSH.9.1", separated by dots) have one of these values; never none: ""
	// where the values do not tell.
	Structures(when map[string][]string) []string
	// Decode reads one message. Of what only does not select it may leave out
	// the content, so that whoever reads nothing else sees no difference. Its
	// errors name places, never values.
	Decode(body []byte, only Selection) (*Message, error)
}

// A Remarker is a Dialect that has something to say of its declaration, for
// lint: that another version stands in for the declared one. "" is nothing.
type Remarker interface {
	Remark() string
}

// A Splitter is a Dialect whose files hold many messages: CSV rows, claims of
// an interchange. Each part that Split returns is a message that Decode reads.
type Splitter interface {
	Split(body []byte) ([][]byte, error)
}

// An Encoder is a Dialect that writes messages: an X12 transaction set, an HL7
// message, without the envelope that a connector puts around it. What the tree
// holds and the format can not say is an error that names the place.
type Encoder interface {
	Encode(*Message) ([]byte, error)
}

// A Sender is an Encoder of documents that are completed when they are sent:
// with the number and the time that each sending has.
type Sender interface {
	// Supplied names the elements of a segment that need not be written therefore.
	Supplied(segment string) []string
}

// A Declaration is what a mapping says of its source beside the format's name.
type Declaration struct {
	Version   string   // of the standard: "2.5.1", "005010X221A1", "4.0.1"
	Delimiter string   // of columns
	Charset   string   // of files that do not say it themselves: "windows-1252"; "" is UTF-8
	Columns   []Column // `columns:` or `attributes:`, in the file's order
	Segments  []Column // `segments:` that the standard does not have: HL7 Z segments, their fields as Parts
}

// A Column is one declared place of a message.
type Column struct {
	Name    string
	Title   string
	Type    string   // text, code, decimal, date, datetime, time, bool, object; a data type of the standard in a segment: "CX"
	Layout  string   // notation of a date or time: "MM/DD/YYYY"; "" is the format's own
	Codings []Coding // what a part reveals by the code that stands beside it
	Table   string   // code table of the standard
	Labels  Labels
	Repeats bool
	Start   int      // of a column of fixed width: its first character, from 1
	Width   int      // of a column of fixed width, in characters
	Parts   []Column // of an object or a segment
}

// KindOf returns what a column's type means; ok is false for one that is none
// of the words of Column.
func KindOf(columnType string) (k Kind, ok bool) {
	k, ok = columnKinds[columnType]
	return k, ok
}

var columnKinds = map[string]Kind{"text": Text, "code": Code, "decimal": Number, "date": Date, "datetime": DateTime, "time": Time, "bool": Bool, "object": Composite}

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
