package tree

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// JSONLimits bound what ReadJSON takes and say how it reads. A bound of 0 is
// the default.
type JSONLimits struct {
	Bytes  int // of the body; 16 MiB
	Depth  int // of objects and arrays in each other; 64
	Values int // in the whole body, also those that are left out; 250,000
	String int // bytes of one string; 8 MiB

	// EmptyIsAbsent leaves "" out, where a format has no other way to say
	// nothing. Without it "" is a Value.
	EmptyIsAbsent bool
	// FoldNames finds names whatever their case (ASCII), as SCIM and LDAP do.
	// Nodes have the type's spelling.
	FoldNames bool
	// AnyRepeats takes arrays of several for elements that do not repeat.
	AnyRepeats bool
	// SimpleForObject takes a simple value where an object belongs: its node is
	// a leaf, which stands for the object's first element (SCIM's manager, a
	// DICOM person name).
	SimpleForObject bool
	// FalseIsAbsent leaves out null, and false where it is not the value of a
	// Bool: Odoo reads an empty field of any other type as false.
	FalseIsAbsent bool
	// FalseIsNull makes null of such a false: whoever reads all fields of a
	// record knows that the others are empty.
	FalseIsNull bool
}

func (o JSONLimits) withDefaults() JSONLimits {
	for _, d := range []struct {
		bound *int
		value int
	}{{&o.Bytes, 16 << 20}, {&o.Depth, 64}, {&o.Values, 250_000}, {&o.String, 8 << 20}} {
		if *d.bound <= 0 {
			*d.bound = d.value
		}
	}
	return o
}

// ReadJSON reads one JSON object (RFC 8259), guided by its type. Arrays become
// siblings of one name, null is Null, a number keeps its text. Names that the
// type does not have are left out, and so is an object of which nothing is
// left. only is that of Dialect.Decode. Pos is the value's line, from 1, and
// its offset in body.
//
// The whole body must be sound, also what is left out: one object, UTF-8, no
// name twice in an object, no half of a surrogate pair. A value must have the
// shape of its type: an object where the type has elements, none where it is a
// leaf; several in an array only where the element repeats. Errors name the
// line, the offset and the elements on the way, never a value: those of a place
// in the body are a [*JSONError].
func ReadJSON(body []byte, typ *Type, only Selection, o JSONLimits) (*Node, error) {
	r, err := newJSONReader(body, only, o)
	if err != nil {
		return nil, err
	}
	if r.peek() != '{' {
		return nil, r.fail(r.i, "a JSON object is expected")
	}
	root := r.node("", r.i, r.line)
	if _, err := r.object(typ, true, 1); err != nil {
		return nil, err
	}
	root.Kids = r.take(0)
	r.space()
	if r.i < len(r.text) {
		return nil, r.fail(r.i, "something follows the object")
	}
	return root, nil
}

func newJSONReader(body []byte, only Selection, o JSONLimits) (*jsonReader, error) {
	o = o.withDefaults()
	if len(body) > o.Bytes {
		return nil, fmt.Errorf("JSON of %d bytes; at most %d are taken", len(body), o.Bytes)
	}
	r := &jsonReader{text: string(body), line: 1, left: o.Values, limits: o, only: only}
	if strings.HasPrefix(r.text, byteOrderMark) {
		r.i = len(byteOrderMark)
	}
	if at := invalidUTF8(r.text); at >= 0 {
		r.line += strings.Count(r.text[:at], "\n")
		return nil, r.fail(at, "is not UTF-8")
	}
	r.space()
	return r, nil
}

const byteOrderMark = "\ufeff" // some senders put one before their JSON

// invalidUTF8 returns the offset of the first byte that is no UTF-8, or -1.
func invalidUTF8(s string) int {
	if utf8.ValidString(s) {
		return -1
	}
	for i, c := range s {
		if c == utf8.RuneError {
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return i
			}
		}
	}
	return -1
}

// A jsonReader reads one body. Nodes and the slices of kids come from slabs.
type jsonReader struct {
	text   string
	i      int // what is read next
	line   int // of i
	left   int // values that may still come
	limits JSONLimits
	only   Selection
	way    []string // elements that are open, for errors
	names  []string // of the objects that are open, for doubles
	slab   []Node
	kids   []*Node
	stack  []*Node // kids of the objects that are open
}

func (r *jsonReader) fail(at int, what string) error {
	return &JSONError{r.line, at, strings.Join(r.way, "."), what}
}

// A JSONError is a fault of a body that is JSON, or should be, and its place.
type JSONError struct {
	Line, Offset int
	Path         string // the elements that were open there, with dots; "" at the root
	What         string // without values
}

func (e *JSONError) Error() string {
	what := e.What
	if e.Path != "" {
		what = e.Path + ": " + what
	}
	return fmt.Sprintf("JSON line %d, offset %d: %s", e.Line, e.Offset, what)
}

func (r *jsonReader) node(name string, at, line int) *Node {
	if len(r.slab) == cap(r.slab) {
		r.slab = make([]Node, 0, min(max(2*cap(r.slab), 16), 1024))
	}
	r.slab = append(r.slab, Node{Name: name, State: Value, Pos: Pos{Line: line, Offset: at}})
	return &r.slab[len(r.slab)-1]
}

// take moves the kids above mark from the stack into a slice of their own.
func (r *jsonReader) take(mark int) []*Node {
	n := len(r.stack) - mark
	if cap(r.kids)-len(r.kids) < n {
		r.kids = make([]*Node, 0, min(max(2*cap(r.kids), n, 16), max(n, 1024)))
	}
	at := len(r.kids)
	r.kids = append(r.kids, r.stack[mark:]...)
	r.stack = r.stack[:mark]
	return r.kids[at : at+n : at+n]
}

// object reads an object, r.i at its brace. It leaves its kids on the stack
// and says whether anything is there that the type has. With keep it leaves at
// least one kid then, so that the object does not look like an empty one; a nil
// type has nothing.
func (r *jsonReader) object(typ *Type, keep bool, depth int) (present bool, err error) {
	if depth > r.limits.Depth {
		return false, r.fail(r.i, fmt.Sprintf("objects and arrays are nested over %d deep", r.limits.Depth))
	}
	if typ != nil && typ.Tag != "" {
		return r.tagged(typ, keep, depth)
	}
	var selected map[string]bool
	if typ != nil {
		selected = r.only[typ.Name]
	}
	names := jsonNames{r: r, mark: len(r.names)}
	defer names.close()
	r.i++
	r.space()
	if r.peek() == '}' {
		r.i++
		return false, nil
	}
	for {
		if r.peek() != '"' {
			return false, r.fail(r.i, "a name in quotes is expected")
		}
		at := r.i
		name, err := r.string()
		if err != nil {
			return false, err
		}
		el := find(typ, name, r.limits.FoldNames)
		if el != nil {
			r.way = append(r.way, el.Name)
		}
		if names.has(name) {
			return false, r.fail(at, "this name is in the object twice")
		}
		r.space()
		if r.peek() != ':' {
			return false, r.fail(r.i, "a colon is expected")
		}
		r.i++
		r.space()
		if el == nil {
			err = r.skip(depth)
		} else {
			start, line := r.i, r.line
			kept := keep && (r.only == nil || selected[el.Name])
			var found bool
			found, err = r.values(el, kept, depth)
			if found && keep && !kept && !present {
				r.stack = append(r.stack, r.node(el.Name, start, line))
			}
			present = present || found
		}
		if err != nil {
			return false, err
		}
		if el != nil {
			r.way = r.way[:len(r.way)-1]
		}
		more, err := r.next('}')
		if !more {
			return present, err
		}
	}
}

// values reads the value of a known name: one, or those of an array.
func (r *jsonReader) values(el *Element, keep bool, depth int) (present bool, err error) {
	if r.peek() != '[' {
		return r.value(el, keep, depth)
	}
	at, line := r.i, r.line
	if depth++; depth > r.limits.Depth {
		return false, r.fail(r.i, fmt.Sprintf("objects and arrays are nested over %d deep", r.limits.Depth))
	}
	r.i++
	r.space()
	if r.peek() == ']' {
		r.i++
		return false, nil
	}
	for n := 1; ; n++ {
		found, err := r.value(el, keep, depth)
		if err != nil {
			return false, err
		}
		present = present || found
		more, err := r.next(']')
		if err != nil {
			return false, err
		}
		if !more {
			if n > 1 && !el.Repeats && !r.limits.AnyRepeats {
				r.line = line
				return false, r.fail(at, fmt.Sprintf("an array of %d where one value is expected", n))
			}
			return present, nil
		}
	}
}

// value reads one value of an element and, with keep, pushes its node unless
// it is absent.
func (r *jsonReader) value(el *Element, keep bool, depth int) (present bool, err error) {
	if r.left--; r.left < 0 {
		return false, r.fail(r.i, fmt.Sprintf("over %d values", r.limits.Values))
	}
	at, line, leaf := r.i, r.line, len(el.Type.Elements) == 0
	state, text := Value, ""
	switch c := r.peek(); {
	case c == '{':
		if leaf {
			return false, r.fail(at, "an object where a simple value is expected")
		}
		var n *Node
		if keep {
			n = r.node(el.Name, at, line)
		}
		mark := len(r.stack)
		present, err = r.object(el.Type, keep, depth+1)
		if present && keep && err == nil {
			n.Kids = r.take(mark)
			r.stack = append(r.stack, n)
		}
		return present, err
	case c == '[':
		return false, r.fail(at, "an array in an array")
	case c == 'f' && r.limits.FalseIsAbsent && el.Type.Kind != Bool:
		return false, r.word("false")
	case c == 'f' && r.limits.FalseIsNull && el.Type.Kind != Bool:
		state, err = Null, r.word("false")
	case c == 'n':
		state = Null
		if err = r.word("null"); r.limits.FalseIsAbsent {
			return false, err
		}
	case !leaf && !r.limits.SimpleForObject:
		return false, r.fail(at, "a simple value where an object is expected")
	default:
		if text, err = r.scalar(); text == "" && r.limits.EmptyIsAbsent {
			return false, err
		}
	}
	if err == nil && keep {
		n := r.node(el.Name, at, line)
		n.State, n.Text = state, text
		r.stack = append(r.stack, n)
	}
	return err == nil, err
}
