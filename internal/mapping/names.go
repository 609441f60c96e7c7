package mapping

import (
	"crypto/sha256"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
	"github.com/vagus-health/vagus/internal/tree"
)

// Names are what the rules of a document can name, as far as the document can
// be understood: parts that do not fit are left out, not complained of. Not
// safe for concurrent use.
type Names struct {
	l   *loader
	doc *value // the document, or the mapping that it extends, or that includes it
	own *value
	in  *inclusion // of a fragment
}

// Names looks up what the document refers to.
func (d *Document) Names(fsys fs.FS, formats []tree.Format) *Names {
	file := newSourceFile(d.name, []byte(d.text))
	own := d.draft.root.value(file)
	if own.kind != yamlMap {
		own = &value{kind: yamlMap}
	}
	n := &Names{doc: own, own: own, l: &loader{fsys: fsys, dir: path.Dir(d.name), formats: formats, c: &collector{}, sum: sha256.New(),
		m: &Mapping{file: d.name, tables: map[string]*table{}}}}
	for _, key := range []string{"extends", "mapping"} { // of an overlay, of a test file
		other := own.get(key)
		if other == nil || other.kind != yamlString || other.text == "" {
			continue
		}
		name := other.beside()
		f := &flattener{fsys: fsys, c: &collector{}}
		if doc := f.flatten(name); doc != nil {
			n.doc, n.l.dir = doc, path.Dir(name)
		}
	}
	n.compile()
	return n
}

// fits says whether a part of the document has the shape that the loader wants.
func (n *Names) fits(v *value, object string) bool {
	c := &collector{}
	if v != nil {
		c.shapeMap(v, grammar.Get(object))
	}
	return v != nil && len(c.issues) == 0
}

func (n *Names) compile() {
	if t := n.doc.get("target"); n.fits(t, "target") {
		n.l.target(t)
	}
	outbound := n.doc.textOf("direction") == "outbound" // the snapshot is the schema of its source
	if src := n.doc.get("source"); n.fits(src, "source") && (!outbound || n.l.snap != nil && n.l.recordSource(src)) {
		n.l.source(src)
	}
	for _, e := range n.doc.get("tables").entries() {
		c := &collector{}
		if c.shapeValue(e.val, e.key, "", grammar.Get("tables").Free.Forms); len(c.issues) == 0 {
			n.l.tables(&value{kind: yamlMap, keys: []entry{e}})
		}
	}
	if n.l.root == nil {
		return
	}
	env, err := newEnv(n.l.m.tables)
	if err != nil {
		return
	}
	n.l.env = env
	for _, e := range n.doc.get("let").entries() {
		one := &value{kind: yamlMap, keys: []entry{e}}
		if n.fits(one, "lets") {
			n.l.lets(one)
		}
	}
}

// scope is the scope of a spot: the message, and the items of each around it.
func (n *Names) scope(s *Spot) *scope {
	sc := n.l.root
	if n.in != nil && n.in.each != nil && sc != nil {
		if _, inner := n.l.each(n.in.each, sc); inner != nil {
			sc = inner
		}
	}
	for _, at := range s.chain {
		if sc == nil || at.object == nil || at.object.Key("each") == nil || at.key == "each" {
			continue
		}
		v := at.node.child("each").value(nil)
		if v == nil || v.kind != yamlString && !n.fits(v, "each") {
			continue
		}
		if _, inner := n.l.each(v, sc); inner != nil {
			sc = inner
		}
	}
	return sc
}

// A StepOutline is one step that a path can go on with.
type StepOutline struct {
	Name    string // as it is written: 5, family, `ms-DS-x`
	Title   string // of the standard
	Type    string
	Table   string
	Repeats bool
	Labels  tree.Labels // of the element itself
	Doc     string      // of what is no element: a let, a selector
}

// Steps returns what a path can go on with behind before, and how many bytes
// of before, at its end, are the begin of that step.
func (n *Names) Steps(s *Spot, before string) (steps []StepOutline, typed int) {
	sc := n.scope(s)
	if sc == nil {
		return nil, 0
	}
	before, open := n.in.filled(before)
	if open != "" {
		return n.in.steps(), len(open)
	}
	head, last, inside := splitPath(before)
	switch {
	case inside:
		typ, ok := n.typeAt(sc, head)
		if !ok || strings.ContainsAny(last, "=") {
			return nil, 0
		}
		return selectors(typ, last)
	case head == "" || head == "/":
		return append(n.in.steps(), n.firstSteps(sc, head == "/")...), len(last)
	}
	typ, _ := n.typeAt(sc, strings.TrimRight(head, ".-"))
	return elements(typ), len(last)
}

// splitPath cuts a path that is being typed into what is whole and the step
// that is not; inside says that this is a selector of the last whole step.
func splitPath(s string) (head, last string, inside bool) {
	var open []int
	cut, quoted := 0, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '`':
			quoted = !quoted
		case quoted:
		case c == '[':
			open = append(open, i)
		case c == ']' && len(open) > 0:
			open = open[:len(open)-1]
		case len(open) == 0 && (c == '.' || c == '-' || i == 0 && c == '/'):
			cut = i + 1
		}
	}
	if len(open) > 0 {
		return s[:open[0]], s[open[0]+1:], true
	}
	return s[:cut], s[cut:], false
}

// typeAt is the type that a whole path leads to.
func (n *Names) typeAt(sc *scope, text string) (*tree.Type, bool) {
	e, err := parsePath(text)
	if err != nil {
		return nil, false
	}
	p, err := sc.bindOne(e)
	if err != nil {
		return nil, false
	}
	return p.typ, p.typ != nil
}

func (n *Names) firstSteps(sc *scope, root bool) []StepOutline {
	var out []StepOutline
	if !root {
		for _, name := range n.Lets() {
			out = append(out, StepOutline{Name: name, Doc: "let " + name, Labels: n.letLabels(name)})
		}
	}
	for ; sc != nil; sc = sc.outer {
		if root && sc.outer != nil {
			continue
		}
		if sc.outer != nil {
			out = append(out, StepOutline{Name: sc.name, Type: typeName(sc.typ), Doc: "The item of each."})
		}
		out = append(out, elements(sc.typ)...)
	}
	return out
}

func (n *Names) letLabels(name string) tree.Labels {
	if i := n.l.letIndex(name); i >= 0 {
		return n.l.m.lets[i].labels
	}
	return tree.None
}

func elements(t *tree.Type) []StepOutline {
	if t == nil {
		return nil
	}
	out := make([]StepOutline, 0, len(t.Elements))
	for _, e := range t.Elements {
		out = append(out, StepOutline{Name: quoteStep(e.Name), Title: e.Title, Type: typeName(e.Type), Table: e.Table, Repeats: e.Repeats, Labels: e.Labels})
	}
	return out
}

func quoteStep(name string) string {
	for i := range len(name) {
		if !nameByte(name[i]) {
			return "`" + name + "`"
		}
	}
	return name
}

// selectors are what can stand in brackets: which one, or a comparison.
func selectors(t *tree.Type, last string) ([]StepOutline, int) {
	head, name, _ := splitPath(last)
	if head != "" {
		sc := &scope{typ: t, ground: &ground{}}
		n := Names{}
		inner, ok := n.typeAt(sc, strings.TrimRight(head, ".-"))
		if !ok {
			return nil, 0
		}
		return compared(inner), len(name)
	}
	out := []StepOutline{{Name: "first", Doc: "The first one."}, {Name: "last", Doc: "The last one."}, {Name: "*", Doc: "All: a list."}}
	return append(out, compared(t)...), len(name)
}

func compared(t *tree.Type) []StepOutline {
	out := elements(t)
	for i := range out {
		out[i].Name += "="
		out[i].Doc = "Those in which it has this value."
	}
	return out
}

// Path describes a path, or a let, as far as it means something where the spot
// is.
func (n *Names) Path(s *Spot, text string) (SourceOutline, bool) {
	if i := n.l.letIndex(text); i >= 0 {
		x := n.l.m.lets[i]
		return SourceOutline{Let: text, Place: x.rule.at.public(), Labels: x.labels}, true
	}
	if e := n.let(text); e != nil {
		return SourceOutline{Let: text, Place: e.at.public()}, true
	}
	sc := n.scope(s)
	text, _ = n.in.filled(text)
	e, err := parsePath(text)
	if err != nil || sc == nil {
		return SourceOutline{}, false
	}
	p, err := sc.bind(e)
	if err != nil {
		return SourceOutline{}, false
	}
	return pathSource(p, place{}), true
}

// Within returns the labels of all that a path leads to: of a segment those of
// all its fields, where [Names.Path] tells those of what a rule reads.
func (n *Names) Within(s *Spot, text string) tree.Labels {
	sc := n.scope(s)
	text, _ = n.in.filled(text)
	e, err := parsePath(text)
	if err != nil || sc == nil {
		return tree.None
	}
	p, err := sc.bind(e)
	if err != nil {
		return tree.None
	}
	if n.l.m.record != nil { // the records that a record leads to are no part of it
		return p.labels
	}
	labels := tree.None
	for _, e := range p.elems {
		labels |= e.Labels
	}
	return labels | labelsIn(p.typ, map[*tree.Type]bool{})
}

// labelsIn are the labels of all elements of a type. Types may hold themselves.
func labelsIn(t *tree.Type, seen map[*tree.Type]bool) tree.Labels {
	if t == nil || seen[t] {
		return tree.None
	}
	seen[t] = true
	labels := tree.None
	for _, e := range t.Elements {
		labels |= e.Labels | labelsIn(e.Type, seen)
	}
	return labels
}

func (n *Names) let(name string) *entry {
	for _, e := range n.doc.get("let").entries() {
		if e.key == name {
			return &e
		}
	}
	return nil
}

// Lets returns the names of the lets.
func (n *Names) Lets() []string {
	var out []string
	for _, e := range n.doc.get("let").entries() {
		out = append(out, e.key)
	}
	return out
}

// Tables returns the tables that can be read, by name.
func (n *Names) Tables() []TableOutline { return n.l.m.Outline().Tables }

// Operations returns the operations of the document with their places; those
// before the one that the spot is in when it is in one.
func (n *Names) Operations(s *Spot) []OperationOutline {
	var out []OperationOutline
	at := s.inner("operation")
	for _, o := range n.doc.get("operations").items() {
		if at != nil && n.doc == n.own && o.at.line > at.node.at.line {
			break
		}
		if id := o.textOf("id"); id != "" && (at == nil || id != at.node.textOf("id")) {
			out = append(out, OperationOutline{ID: id, Model: o.textOf("model"), Do: o.textOf("do"), Place: o.at.public()})
		}
	}
	return out
}

func (v *value) items() []*value {
	if v == nil {
		return nil
	}
	return v.list
}

// RuleIDs are the ids that an overlay of the mapping can name.
func (n *Names) RuleIDs() []string { return ids(n.doc) }

// Parameters returns the parameters of the fragment that a file holds.
func (n *Names) Parameters(file string) []StepOutline {
	f := &flattener{fsys: n.l.fsys, c: &collector{}}
	doc := f.open(path.Join(n.l.dir, file), "fragment", place{})
	var out []StepOutline
	for _, e := range doc.get("params").entries() {
		out = append(out, StepOutline{Name: e.key, Type: e.val.textOf("type"), Doc: e.val.textOf("note")})
	}
	return out
}

// Inputs are the names that an expression at the spot knows its inputs by.
func (n *Names) Inputs(s *Spot) []string {
	for i := len(s.chain) - 1; i >= 0; i-- {
		o := s.chain[i].object
		if o == nil || o.Key("from") == nil {
			continue
		}
		from := s.chain[i].node.child("from")
		var out []string
		if from != nil && from.kind == yamlMap {
			for _, k := range from.keys {
				out = append(out, k.key)
			}
			return out
		}
		return []string{"it"}
	}
	return nil
}

// FormatNames returns what source.format can be.
func (n *Names) FormatNames() []string {
	var out []string
	for _, f := range n.l.formats {
		out = append(out, f.Name())
	}
	slices.Sort(out)
	return out
}
