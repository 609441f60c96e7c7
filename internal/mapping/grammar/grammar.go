// Package grammar declares each object of the mapping language once: its keys,
// what may stand there, and a sentence on each. The loader's check of shapes,
// the JSON Schemas, and completion and hover in editors are made from it, so
// that they can not differ.
package grammar

import (
	"maps"
	"regexp"
	"slices"
)

// A Kind is a kind of YAML value.
type Kind uint8

const (
	Null Kind = iota
	Text
	Bool
	Number
	Map
	List
)

// String names the kind in a sentence: "text", "a map".
func (k Kind) String() string {
	return [...]string{"nothing", "text", "a boolean", "a number", "a map", "a list"}[k]
}

// A Meaning is what a text, or a key that the author chooses, stands for.
type Meaning uint8

const (
	Plain        Meaning = iota
	Word                 // one of Form.Words
	Path                 // of one value in the message, or the name of a let
	ListPath             // a path with [*]
	Condition            // a path from the message's root
	Template             // text with {path} or {let}
	Expression           // CEL
	Search               // CEL that a record is found by
	FormatName           // of the formats that the program has
	TableFile            // files are relative to the one that names them
	FragmentFile         //
	SnapshotFile         //
	MappingFile          //
	DataFile             // a message or a golden unit
	Model                // of Odoo
	Field                // of the operation's model
	SearchField          // of the model that is searched, dotted through relations
	Reference            // a SearchField, or "xid: template"
	TableName            // of the mapping
	Operation            // id of an earlier one
	RuleID               // patient.phone
	TestedField          // patient.name, kin#1.name
	Segment              // of the document that is written
	Element              // of a segment
	Parameter            // of the fragment that is included
	Layout               // of a date: MM/DD/YYYY
	TimeZone             // of the IANA database
)

// A Choice is one of the words that a place takes.
type Choice struct{ Text, Doc string }

// A Form is one way to write a value. The forms of one place differ in their
// kind, so that what was written tells which of them is meant.
type Form struct {
	Kind    Kind
	Means   Meaning  // of a text
	Words   []Choice // of a Word; of a number the only one that there may be
	Pattern string   // of a text, in the syntax that RE2 and ECMA-262 share
	Least   int      // of a text its characters, of a list its items, of a number its value; -1 is any number
	Object  string   // of a map: the name of its object; "" is any map
	Items   []Form   // of a list; nil is anything
}

// A Key is one key of an object.
type Key struct {
	Name     string
	Doc      string // a sentence
	Forms    []Form // nil is anything
	Required bool
	Default  string // the word that a missing key means, or ""
	Like     string // how it is written, for messages, or ""
}

// Free are the keys of an object that the author chooses.
type Free struct {
	Means   Meaning
	Doc     string
	Pattern string // of the keys
	Forms   []Form
}

// An Object is a map of the language.
type Object struct {
	Name string // of the definition in the schemas: "operation"
	What string // in a sentence: "an operation"
	Doc  string
	Keys []Key
	Free *Free
	// Either lists sets of keys of which exactly one is there.
	Either [][]string
	// With this key the map is the object Is instead.
	With, Is string
	Least    int // entries
}

var objects = func() map[string]*Object {
	out := map[string]*Object{}
	for _, list := range [][]Object{fileObjects, sourceObjects, ruleObjects, operationObjects, outboundObjects, testObjects} {
		for i := range list {
			out[list[i].Name] = &list[i]
		}
	}
	return out
}()

// Files are the objects of whole files, by the word of their kind key.
var Files = map[string]*Object{"mapping": objects["mapping"], "fragment": objects["fragment"], "tests": objects["tests"], "table": objects["table_file"]}

// Get returns the object of this name. The name is one of the grammar's own:
// another one panics.
func Get(name string) *Object {
	o := objects[name]
	if o == nil {
		panic("grammar: no object " + name)
	}
	return o
}

// Names returns the names of all objects, sorted.
func Names() []string { return slices.Sorted(maps.Keys(objects)) }

// Key returns the key of this name, or nil.
func (o *Object) Key(name string) *Key {
	if i := slices.IndexFunc(o.Keys, func(k Key) bool { return k.Name == name }); i >= 0 {
		return &o.Keys[i]
	}
	return nil
}

// FormsOf returns the forms of the value of a key; nil is anything, or that the
// object has no such key.
func (o *Object) FormsOf(key string) []Form {
	if k := o.Key(key); k != nil {
		return k.Forms
	}
	if o.Free.Accepts(key) {
		return o.Free.Forms
	}
	return nil
}

// KeyNames returns the names of the keys in their order.
func (o *Object) KeyNames() []string {
	out := make([]string, len(o.Keys))
	for i, k := range o.Keys {
		out[i] = k.Name
	}
	return out
}

// Accepts says whether the author may choose this key.
func (f *Free) Accepts(name string) bool { return f != nil && fits(f.Pattern, name) }

// Find returns the form of a value of this kind, or nil.
func Find(forms []Form, k Kind) *Form {
	if i := slices.IndexFunc(forms, func(f Form) bool { return f.Kind == k }); i >= 0 {
		return &forms[i]
	}
	return nil
}

// Accepts says whether a text has the form's pattern and, when it is a word,
// whether it is one of them.
func (f *Form) Accepts(s string) bool {
	if f.Means == Word && !slices.Contains(f.WordTexts(), s) {
		return false
	}
	return fits(f.Pattern, s)
}

// WordTexts returns the words without what they mean.
func (f *Form) WordTexts() []string {
	out := make([]string, len(f.Words))
	for i, w := range f.Words {
		out[i] = w.Text
	}
	return out
}

// Words returns the words that a key of an object takes, in their order.
func Words(object, key string) []string {
	f := Find(Get(object).Key(key).Forms, Text)
	return f.WordTexts()
}

const (
	idExpr          = `^[a-z0-9][a-z0-9-]{0,63}$`
	nameExpr        = `^[a-z][a-z0-9_]{0,39}$`
	methodExpr      = `^[a-z][a-z0-9_]*$`
	tableFileExpr   = `\.(csv|yaml)$`
	segmentExpr     = `^([A-Z][A-Z0-9]{1,2}|[A-Za-z][a-z][A-Za-z]*)$`
	zSegmentExpr    = `^Z[A-Z0-9]{2}$`
	elementExpr     = `^([0-9]{1,2}([.-][0-9]{1,2}){0,2}|[a-z][A-Za-z0-9]*([.][a-z][A-Za-z0-9]*){0,4}(\[[1-9]\])?)$`
	testedFieldExpr = `\.`
)

var patterns = map[string]struct {
	expr *regexp.Regexp
	want string
}{
	idExpr:          {regexp.MustCompile(idExpr), "lower-case letters, digits and -, at most 64"},
	nameExpr:        {regexp.MustCompile(nameExpr), "lower-case letters, digits and _, from a letter, at most 40"},
	methodExpr:      {regexp.MustCompile(methodExpr), "lower-case letters, digits and _, from a letter: a private method can not be called"},
	tableFileExpr:   {regexp.MustCompile(tableFileExpr), "a FILE.csv, a FILE.yaml or {code: result}"},
	segmentExpr:     {regexp.MustCompile(segmentExpr), "a segment, of two or three capital letters and digits, or an element that has elements"},
	zSegmentExpr:    {regexp.MustCompile(zSegmentExpr), "Z and two capital letters or digits"},
	elementExpr:     {regexp.MustCompile(elementExpr), `the number of an element, such as "03", or its name, such as identifier.value`},
	testedFieldExpr: {regexp.MustCompile(testedFieldExpr), "operation.field, such as patient.name"},
}

// Describe says what a pattern of the grammar wants: "lower-case letters, …".
func Describe(pattern string) string { return patterns[pattern].want }

func fits(pattern, s string) bool { return pattern == "" || patterns[pattern].expr.MatchString(s) }
