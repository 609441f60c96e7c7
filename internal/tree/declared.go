package tree

import (
	"errors"
	"fmt"
)

// Declared returns the type that columns declare, as formats do whose messages
// have named attributes. standard is what the format itself knows, or nil: a
// column of one of its names keeps what it does not say, its labels replace
// the standard's save for those that only a reason takes away, and an object is whole where it declares no parts (`text` says
// no more of an object). Columns that the standard does not have need a type.
// Types of objects are called by their path: "address.country".
//
// With fold a column finds the standard's element whatever its case in ASCII;
// the type has the column's spelling.
func Declared(name string, standard *Type, columns []Column, fold bool) (*Type, error) {
	t := NewType(name, Composite)
	if len(columns) == 0 {
		return nil, errors.New("no attributes are declared")
	}
	for _, c := range columns {
		path := c.Name
		if name != "" {
			path = name + "." + c.Name
		}
		if c.Name == "" {
			return nil, fmt.Errorf("an attribute of %q has no name", name)
		}
		if find(t, c.Name, fold) != nil {
			return nil, fmt.Errorf("%s is declared twice", path)
		}
		if c.Start != 0 || c.Width != 0 {
			return nil, fmt.Errorf("%s has a start or a width, which only columns of fixed width have", path)
		}
		e, err := declared(c, path, find(standard, c.Name, fold), fold)
		if err != nil {
			return nil, err
		}
		t.Add(e)
	}
	return t, nil
}

// lasting are labels that no declaration takes away: a mapping that lets such a
// value out says why, where it is mapped.
const lasting = Secret | Sensitive | NationalID

func find(t *Type, name string, fold bool) *Element {
	if t == nil {
		return nil
	}
	if e := t.byName[name]; e != nil || !fold {
		return e
	}
	for _, e := range t.Elements {
		if equalFold(e.Name, name) {
			return e
		}
	}
	return nil
}

// declared returns the element of one column; known is the standard's or nil.
func declared(c Column, path string, known *Element, fold bool) (*Element, error) {
	e := &Element{}
	if known != nil {
		*e = *known
	}
	e.Name = c.Name
	e.Repeats = e.Repeats || c.Repeats
	for _, s := range []struct {
		to   *string
		from string
	}{{&e.Title, c.Title}, {&e.Table, c.Table}, {&e.Layout, c.Layout}} {
		if s.from != "" {
			*s.to = s.from
		}
	}
	if c.Labels != None {
		e.Labels = c.Labels | e.Labels&lasting
	}
	object := e.Type != nil && len(e.Type.Elements) > 0
	kind, ok := KindOf(c.Type)
	switch {
	case c.Type == "" && e.Type == nil:
		return nil, fmt.Errorf("%s has no type", path)
	case !ok && c.Type != "":
		return nil, fmt.Errorf("%s has the type %q: text, code, decimal, date, datetime, time, bool or object", path, c.Type)
	case object && c.Type != "" && kind != Text && kind != Composite:
		return nil, fmt.Errorf("%s is an object in the standard, not %s", path, c.Type)
	case e.Type != nil && !object && kind == Composite:
		return nil, fmt.Errorf("%s is a simple value in the standard, not an object", path)
	case len(c.Parts) > 0:
		if kind != Composite && !object {
			return nil, fmt.Errorf("%s has parts, and only an object has", path)
		}
		within, err := Declared(path, e.Type, c.Parts, fold)
		if err != nil {
			return nil, err
		}
		e.Type = within
	case kind == Composite && !object:
		return nil, fmt.Errorf("%s is an object that declares no attributes", path)
	case c.Type != "" && !object:
		e.Type = leaves[kind]
	}
	if e.Layout != "" && e.Type.Kind != Date && e.Type.Kind != DateTime && e.Type.Kind != Time {
		return nil, fmt.Errorf("%s has a notation, which only dates and times have", path)
	}
	return e, nil
}

// leaves are the types of declared simple values.
var leaves = func() (t [Composite]*Type) {
	for word, kind := range columnKinds {
		if kind != Composite {
			t[kind] = NewType(word, kind)
		}
	}
	return t
}()
