package tree

// A Dictionary is a Dialect that knows more of its standard than a schema
// says, for lint, completion and hover.
type Dictionary interface {
	// Codes returns the values of a code table, as Element.Table names it, in the
	// standard's order; nil for a table that is not known. closed says that the
	// standard defines them and no others may be sent; otherwise they are what it
	// suggests.
	Codes(table string) (codes []TableValue, closed bool)
	// Versions says which versions of the standard have an element that a type of
	// the schema does not have: "since 2.7", "until 2.6"; "" where none has. typ is
	// the type's name.
	Versions(typ, element string) string
}

// A TableValue is a value of a code table.
type TableValue struct {
	Value string // "F"
	Title string // "Female", or ""
}
