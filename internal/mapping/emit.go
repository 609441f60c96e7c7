package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// A document is what an outbound mapping writes: `emit` and `segments`.
type document struct {
	format  string
	set     string
	encoder tree.Encoder
	// standard is nil for a format that knows one version of itself only.
	standard tree.Dictionary
	// sender is nil for a format whose documents go out as they are.
	sender tree.Sender
	blocks []*outBlock
}

// An outBlock writes a segment or a loop: once, or once for each item.
type outBlock struct {
	id       string // "BEG", "N1[2]", "PO1_LOOP.PO1": unique in the mapping
	name     string // of the segment or the loop; "" of blocks that are repeated without a loop
	at       place
	each     *boundPath
	when     *program
	elements []*outElement // of a segment
	blocks   []*outBlock   // of a loop, or within a segment
	needs    string        // the first segment of a loop that can not be without it

	// The standard has some segments in loops of their own, which a mapping need
	// not name: N1 in N1_LOOP. begins: the segment begins such a loop, in: it
	// stands in the one that is open.
	begins, in string
}

// An outElement writes an element, or a component.
type outElement struct {
	rule  *rule
	names []string // of its node and the nodes inside it: "01", "2"
	order []int    // where these stand in their types; which one of a list at last
	elem  *tree.Element
	leaf  *tree.Type // what is written
	must  bool       // the standard wants it
	as    *asRule
	basic bool // dates without - and :, as HL7 v2 and X12 have them
	zone  bool // times name their offset
}

// document compiles `emit` and `segments`.
func (l *loader) document(doc *value) {
	emit := doc.get("emit")
	if emit == nil || doc.get("segments") == nil {
		l.c.errorf(doc.at, "missing", "an outbound mapping needs emit: and segments:, what it writes")
		return
	}
	d := &document{format: emit.textOf("format"), set: emit.textOf("set")}
	root := l.documentType(d, emit)
	if root == nil {
		return
	}
	w := &outWriter{l: l, d: d, ids: map[string]int{}}
	d.blocks = w.blocks(doc.get("segments"), root, "", l.root)
	l.m.document = d
}

// documentType returns the schema of what is written.
func (l *loader) documentType(d *document, emit *value) *tree.Type {
	var names []string
	for _, f := range l.formats {
		if f.Name() == recordFormatName {
			continue
		}
		if names = append(names, f.Name()); f.Name() != d.format {
			continue
		}
		dialect, err := f.Dialect(tree.Declaration{Version: emit.textOf("version")})
		if err != nil {
			l.c.errorf(where(emit.get("version"), emit.at), "emit", "%v", err)
			return nil
		}
		encoder, ok := dialect.(tree.Encoder)
		if !ok {
			l.c.errorf(emit.get("format").at, "emit", "format %s can be read, and not written", d.format)
			return nil
		}
		typ, err := dialect.Schema(d.set)
		if err != nil {
			l.c.errorf(where(emit.get("set"), emit.at), "emit", "%v", err)
			return nil
		}
		if d.nests() && d.set != "Bundle" { // one resource, not several beside each other
			resource := typ.Element(d.set)
			if resource == nil || len(resource.Type.Elements) == 0 {
				l.c.errorf(where(emit.get("set"), emit.at), "emit", "set: says which resource is written, such as Organization%s", didYouMean(d.set, elementNames(typ)))
				return nil
			}
			typ = tree.NewType(d.set, tree.Composite, resource)
		}
		d.encoder = encoder
		d.standard, _ = dialect.(tree.Dictionary)
		d.sender, _ = dialect.(tree.Sender)
		return typ
	}
	l.c.errorf(where(emit.get("format"), emit.at), "format", "no format %q%s; there are: %s", d.format, didYouMean(d.format, names), strings.Join(names, ", "))
	return nil
}

// An outWriter compiles the blocks of one document.
type outWriter struct {
	l   *loader
	d   *document
	ids map[string]int
}

// blocks compiles all segments and loops that are written into typ.
func (w *outWriter) blocks(v *value, typ *tree.Type, owner string, sc *scope) []*outBlock {
	out := w.list(v, typ, owner, sc)
	for _, e := range typ.Elements {
		if !e.Required || len(e.Type.Elements) == 0 || w.l.c.issues.failed() {
			continue
		}
		first := e.Type.Elements[0].Name // the segment that a loop stands for; in HL7 it stands beside its group
		wrote := func(b *outBlock) bool {
			return b.name == e.Name || b.name == first || b.begins == e.Name || b.name == ""
		}
		if !slices.ContainsFunc(out, wrote) {
			w.l.c.errorf(v.at, "emit-required", "%s needs %s (%s), and nothing writes it", typeName(typ), e.Name, e.Title)
		}
	}
	return out
}

// block compiles one item of a list. It returns the loop without a name that
// is open after it.
func (w *outWriter) block(v *value, typ *tree.Type, open *tree.Element, owner string, sc *scope) (*outBlock, *tree.Element) {
	l := w.l
	b := &outBlock{at: v.at}
	if e := v.get("each"); e != nil {
		var inner *scope
		if b.each, inner = l.each(e, sc); b.each == nil {
			return nil, open
		}
		sc = inner
	}
	if x := v.get("when"); x != nil {
		b.when = l.condition(x, sc, nil)
		l.checkAsks(x.at, "the segment", 0, l.asked(b.when))
	}
	var segment *entry
	for i := range v.keys {
		switch v.keys[i].key {
		case "each", "when", "loop", "segments":
			continue
		}
		if segment != nil {
			l.c.errorf(v.keys[i].at, "emit", "a block has one segment: begin another with - before %s", v.keys[i].key)
			return nil, open
		}
		segment = &v.keys[i]
	}
	inner, loop := v.get("segments"), v.get("loop")
	switch {
	case segment != nil && (loop != nil || inner != nil && !w.d.nests()):
		l.c.errorf(segment.at, "emit", "%s stands beside segments: or loop: — put it into the list", segment.key)
		return nil, open
	case segment != nil:
		in, ok := w.place(b, segment, typ, open)
		if !ok {
			return nil, open
		}
		w.segment(b, segment, inner, owner, in, typ, sc)
		if b.begins == "" && b.in == "" {
			in = nil
		}
		return b, in
	case inner == nil:
		l.c.errorf(v.at, "emit", "a block has a segment and its elements, or segments:")
		return nil, open
	}
	if loop != nil {
		e := typ.Element(loop.text)
		if e == nil || len(e.Type.Elements) == 0 {
			l.c.errorf(loop.at, "emit-segment", "%s has no loop %s%s", typeName(typ), loop.text, didYouMean(loop.text, elementNames(typ)))
			return nil, open
		}
		b.name, typ = e.Name, e.Type
		if first := typ.Elements[0]; first.Required {
			b.needs = first.Name
		}
	}
	b.id = w.id(owner, cmp.Or(b.name, "segments"))
	if b.name == "" { // repeated as they are; what typ requires may stand outside of them
		b.blocks = w.list(inner, typ, owner, sc)
		return b, nil
	}
	b.blocks = w.blocks(inner, typ, b.id, sc)
	return b, nil
}

// list compiles a list of segments and loops that stand in typ.
func (w *outWriter) list(v *value, typ *tree.Type, owner string, sc *scope) []*outBlock {
	var out []*outBlock
	var open *tree.Element // the loop without a name that the segments before stand in
	for _, item := range v.list {
		b, in := w.block(item, typ, open, owner, sc)
		if open = in; b != nil {
			out = append(out, b)
		}
	}
	return out
}

// place finds where a segment stands: in the loop without a name that is open,
// in typ itself, or at the beginning of a loop of typ. It returns the loop.
func (w *outWriter) place(b *outBlock, e *entry, typ *tree.Type, open *tree.Element) (*tree.Element, bool) {
	b.name = e.key
	if open != nil && open.Type.Element(e.key) != nil && open.Type.Elements[0].Name != e.key {
		b.in = open.Name
		return open, true
	}
	if el := typ.Element(e.key); el != nil && el.Type.Kind == tree.Composite {
		return nil, true
	}
	var loops []string
	var found *tree.Element
	for _, el := range typ.Elements {
		if len(el.Type.Elements) > 0 && el.Type.Elements[0].Name == e.key {
			loops, found = append(loops, el.Name), el
		}
	}
	switch len(loops) {
	case 0:
		w.l.c.errorf(e.at, "emit-segment", "%s has no segment %s%s", typeName(typ), e.key, didYouMean(e.key, segmentNames(typ)))
		return nil, false
	case 1:
		b.begins = found.Name
		return found, true
	}
	w.l.c.errorf(e.at, "emit-segment", "%s begins several loops of %s: say which, with loop: %s", e.key, typeName(typ), strings.Join(loops, " or "))
	return nil, false
}

// segmentNames are the elements of a type and the first ones of its loops.
func segmentNames(typ *tree.Type) []string {
	names := elementNames(typ)
	for _, e := range typ.Elements {
		if len(e.Type.Elements) > 0 && len(e.Type.Elements[0].Type.Elements) > 0 {
			names = append(names, e.Type.Elements[0].Name)
		}
	}
	return names
}

// id names a block: "BEG", the second one "BEG[2]".
func (w *outWriter) id(owner, name string) string {
	if owner != "" {
		name = owner + "." + name
	}
	if w.ids[name]++; w.ids[name] > 1 {
		return name + "[" + strconv.Itoa(w.ids[name]) + "]"
	}
	return name
}

// nests says whether what is written has elements within elements to any depth,
// as FHIR has: then a segment is an element that has elements, and more of them,
// which repeat or need not be there, are blocks within it.
func (d *document) nests() bool { return d.format == "fhir" }

// segment compiles the elements of a segment, and the blocks within it.
func (w *outWriter) segment(b *outBlock, e *entry, inner *value, owner string, in *tree.Element, typ *tree.Type, sc *scope) {
	b.id, b.at = w.id(owner, b.name), e.at
	if in != nil && (b.begins != "" || b.in != "") {
		typ = in.Type
	}
	seg := typ.Element(b.name).Type
	before := len(w.l.c.issues)
	for _, el := range e.val.keys {
		if o := w.element(b, seg, el, sc); o != nil {
			b.elements = append(b.elements, o)
		}
	}
	slices.SortFunc(b.elements, func(o, p *outElement) int { // a tree is in the standard's order
		return slices.Compare(o.order, p.order)
	})
	if inner != nil {
		b.blocks = w.list(inner, seg, b.id, sc)
	}
	if w.l.c.issues[before:].failed() {
		return
	}
	var supplied []string
	if w.d.sender != nil {
		supplied = w.d.sender.Supplied(b.name)
	}
	for _, el := range seg.Elements {
		writes := slices.ContainsFunc(b.elements, func(o *outElement) bool { return o.names[0] == el.Name }) ||
			slices.ContainsFunc(b.blocks, func(in *outBlock) bool { return in.name == el.Name })
		if el.Required && !writes && !slices.Contains(supplied, el.Name) {
			w.l.c.errorf(e.at, "emit-required", "%s-%s (%s) is mandatory, and no rule writes it", b.name, el.Name, el.Title)
		}
	}
}

// element compiles the rule of an element, "03", or of a component, "03.2".
func (w *outWriter) element(b *outBlock, seg *tree.Type, e entry, sc *scope) *outElement {
	l := w.l
	o := &outElement{basic: slices.Contains([]string{"x12", "hl7v2"}, w.d.format), zone: w.d.format != "x12"}
	typ, nth := seg, 0
	key, number, listed := strings.Cut(strings.TrimSuffix(e.key, "]"), "[")
	if listed {
		nth, _ = strconv.Atoi(number) // the grammar has seen to it
	}
	for i, name := range strings.FieldsFunc(key, func(r rune) bool { return r == '.' || r == '-' }) {
		el := lookup(typ, name)
		if el == nil {
			l.c.errorf(e.at, "emit-element", "%s", noElement(&scope{typ: typ, ground: &ground{standard: w.d.standard}}, typ, name))
			return nil
		}
		o.order = append(o.order, slices.Index(typ.Elements, el))
		o.names, o.elem, typ = append(o.names, el.Name), el, el.Type
		o.must = i == 0 && el.Required
	}
	o.order = append(o.order, nth)
	switch {
	case listed && !o.elem.Repeats:
		l.c.errorf(e.at, "emit-element", "%s does not repeat: write it without [%d]", o.elem.Name, nth)
		return nil
	case w.d.nests() && len(typ.Elements) > 0:
		names := slices.DeleteFunc(elementNames(typ), func(n string) bool { return n[0] == '_' || n == "id" || n == "extension" })
		l.c.errorf(e.at, "emit-element", "%s has elements: write %s. and one of %s", key, key, strings.Join(names, ", "))
		return nil
	}
	field := strings.Join(o.names, ".")
	if listed {
		field += "[" + number + "]"
	}
	if slices.ContainsFunc(b.elements, func(other *outElement) bool { return other.overlaps(o) }) {
		l.c.errorf(e.at, "emit-element", "%s-%s is written twice", b.name, field)
		return nil
	}
	for o.leaf = typ; len(o.leaf.Elements) > 0; o.leaf = o.leaf.Elements[0].Type {
	}
	r := &rule{owner: b.id, field: field, at: e.at, conv: converter{zone: l.m.zone}, element: o}
	o.rule = r
	l.reads = nil
	before := len(l.c.issues)
	v := l.ruleMap(r.id(), e.val)
	if v == nil {
		return nil
	}
	rc := ruleContext{owner: b.id, scope: sc}
	l.rulePolicies(r, v, rc)
	if !l.ruleSource(r, v, sc, rc) {
		return nil
	}
	l.ruleTable(r, v.get("map"))
	o.as = l.outAs(v.get("as"))
	l.ruleCEL(r, v, sc)
	if x := v.get("when"); x != nil {
		r.when = l.condition(x, sc, l.variables(r))
	}
	l.ruleFallback(r, v.get("default"), rc)
	if l.c.issues[before:].failed() {
		return nil
	}
	if r.named {
		l.unusedInputs(r, v.get("from"))
	}
	r.labels = r.labels&^r.drop | r.gain
	w.checkElement(o)
	l.checkEgress(e.at, r.id(), r.labels)
	r.asks = l.checkAsks(e.at, r.id(), r.drop, append(l.asked(r.when), l.reads...))
	return o
}

// overlaps: an element and a component of it are the same place.
func (o *outElement) overlaps(p *outElement) bool {
	n := min(len(o.names), len(p.names))
	return slices.Equal(o.names[:n], p.names[:n]) && (len(o.names) != len(p.names) || o.order[n] == p.order[n])
}

// outAs reads `as:`, which says here how the value is written.
func (l *loader) outAs(v *value) *asRule {
	if v == nil {
		return nil
	}
	a := &asRule{kind: v.text}
	for _, e := range v.entries() {
		if a.kind = e.key; a.kind == "bool" {
			a.yes, a.no = codes(e.val.get("true")), codes(e.val.get("false"))
			continue
		}
		lay, err := newLayout(e.val.text, a.kind == "datetime")
		if err != nil {
			l.c.errorf(e.val.at, "as", "%v", err)
			return nil
		}
		a.layout = &lay
	}
	return a
}

// checkElement compares what the rule gives with what the element takes.
func (w *outWriter) checkElement(o *outElement) {
	l, r := w.l, o.rule
	bad := func(err error) {
		if err != nil {
			l.c.errorf(r.at, "emit-type", "%s is %s: it gets %v", r.id(), o.describe(), err)
		}
	}
	constant := func(c *constant, what string) {
		switch {
		case c == nil:
		case c.null && !l.writesNull(w.d.format):
			l.c.errorf(r.at, "emit-type", "%s can not say that a value is to be deleted", w.d.format)
		case !c.null:
			if _, err := o.text(c.datum(), nil); err != nil {
				bad(fmt.Errorf("%s that %w", what, err))
			}
		}
	}
	constant(r.constant, "a constant")
	constant(r.fallback, "a default")
	switch {
	case r.constant != nil:
	case r.cel != nil:
		bad(o.acceptsCEL(r.cel.out))
	case r.table != nil:
		for _, result := range slices.Sorted(r.table.results) {
			if _, err := o.text(datum{state: tree.Value, text: result}, nil); err != nil {
				bad(fmt.Errorf("%q of table %s, which %w", result, r.table.name, err))
			}
		}
	case r.text != nil:
		bad(o.accepts(tree.Text))
	default:
		for _, in := range r.inputs {
			err := o.accepts(l.inputKind(in))
			if in.path == nil {
				err = o.acceptsCEL(l.m.lets[in.let].typ)
			}
			if err != nil {
				bad(fmt.Errorf("%s, and %s is %w", in.text, in.text, err))
			}
		}
	}
}

// writesNull: HL7's "" deletes. X12 has nothing like it.
func (l *loader) writesNull(format string) bool { return !slices.Contains(formatsWithoutNull, format) }

// describe is an element for people: "a number (R, at most 18 characters)".
func (o *outElement) describe() string {
	s := kindName(o.leaf.Kind) + " (" + o.leaf.Name
	if o.elem.Max > 0 {
		s += ", at most " + strconv.Itoa(o.elem.Max) + " characters"
	}
	return s + ")"
}
