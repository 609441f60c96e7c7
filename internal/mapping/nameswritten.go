package mapping

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// written is the part of the document that is written into which the block of
// segments that the spot is in is put; nil where emit does not say what it is.
func (n *Names) written(s *Spot) *tree.Type {
	emit := n.doc.get("emit")
	if !n.fits(emit, "emit") {
		return nil
	}
	typ := n.l.documentType(&document{format: emit.textOf("format"), set: emit.textOf("set")}, emit)
	for _, at := range s.chain {
		if typ == nil || at.object == nil || at.object.Name != "segment" || at.key != "segments" || at.node.textOf("loop") == "" {
			continue
		}
		e := typ.Element(at.node.textOf("loop"))
		if e == nil {
			return nil
		}
		typ = e.Type
	}
	return typ
}

// Segments returns the segments that can be written where the spot is: those of
// the document or the loop, then those of the loops that need not be named.
func (n *Names) Segments(s *Spot) []StepOutline {
	typ := n.written(s)
	if typ == nil {
		return nil
	}
	var out []StepOutline
	add := func(e *tree.Element, doc string) {
		if isSegment(e.Type) && !slices.ContainsFunc(out, func(o StepOutline) bool { return o.Name == e.Name }) {
			out = append(out, StepOutline{Name: e.Name, Title: e.Title, Repeats: e.Repeats, Doc: doc})
		}
	}
	for _, e := range typ.Elements {
		add(e, "")
	}
	for _, loop := range typ.Elements {
		if isSegment(loop.Type) {
			continue
		}
		for _, e := range loop.Type.Elements {
			add(e, "Of the loop "+loop.Name+".")
		}
	}
	return out
}

// Loops returns the loops that can be written where the spot is.
func (n *Names) Loops(s *Spot) []StepOutline {
	typ := n.written(s)
	if typ == nil {
		return nil
	}
	var out []StepOutline
	for _, e := range typ.Elements {
		if len(e.Type.Elements) > 0 && !isSegment(e.Type) {
			out = append(out, StepOutline{Name: e.Name, Title: e.Title, Repeats: e.Repeats, Doc: "Begins with " + e.Type.Elements[0].Name + "."})
		}
	}
	return out
}

// Elements returns the segment whose elements the spot is among and what may be
// written there; behind "03." the components of element 03.
func (n *Names) Elements(s *Spot) (segment string, elements []StepOutline) {
	at, typ := s.inner("segment"), n.written(s)
	if at == nil || typ == nil {
		return "", nil
	}
	seg := typ.Element(at.key)
	for i := 0; seg == nil && i < len(typ.Elements); i++ {
		if loop := typ.Elements[i]; !isSegment(loop.Type) {
			seg = loop.Type.Element(at.key)
		}
	}
	if seg == nil || !isSegment(seg.Type) {
		return "", nil
	}
	of, before := seg.Type, ""
	if i := strings.LastIndexAny(s.Text, ".-"); i >= 0 {
		if before = s.Text[:i+1]; of != nil {
			for _, name := range strings.FieldsFunc(before, func(r rune) bool { return r == '.' || r == '-' }) {
				e := lookup(of, name)
				if e == nil {
					return "", nil
				}
				of = e.Type
			}
		}
	}
	for _, e := range of.Elements {
		o := StepOutline{Name: before + e.Name, Title: e.Title, Type: typeName(e.Type), Table: e.Table}
		switch {
		case e.Required && e.Max > 0:
			o.Doc = fmt.Sprintf("Mandatory, at most %d characters.", e.Max)
		case e.Required:
			o.Doc = "Mandatory."
		case e.Max > 0:
			o.Doc = fmt.Sprintf("At most %d characters.", e.Max)
		}
		elements = append(elements, o)
	}
	return at.key, elements
}
