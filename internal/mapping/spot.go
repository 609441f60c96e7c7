package mapping

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// A Document is a file of the language as an editor has it, perhaps half
// typed. It is never modified and safe for concurrent use.
type Document struct {
	name  string
	text  string
	draft *draft
}

// ReadDocument reads the text of a file. It never fails: of a text that is
// none of the language, or too long, it is empty.
func ReadDocument(name, text string) *Document {
	return &Document{name: name, text: text, draft: readDraft(text)}
}

// object is the grammar's object of the whole file.
func (d *Document) object(root *node) *grammar.Object {
	o := grammar.Files[root.textOf("kind")]
	switch {
	case o != nil:
	case strings.HasSuffix(d.name, ".test.yaml"):
		o = grammar.Files["tests"]
	default:
		o = grammar.Files["mapping"]
	}
	return variant(o, root)
}

func variant(o *grammar.Object, n *node) *grammar.Object {
	if o.With != "" && n.child(o.With) != nil {
		return grammar.Get(o.Is)
	}
	return o
}

// A Spot is what stands, or may stand, at one place of a document. Lines and
// columns count from 0, in characters.
type Spot struct {
	Object *grammar.Object // the map that the place is in; nil in none
	Key    string          // where OnKey the key itself, else the one whose value the place is in
	OnKey  bool
	Means  grammar.Meaning // of the text
	Forms  []grammar.Form  // of the value that may stand here
	Text   string          // the key or the scalar, as far as it is typed
	Offset int             // characters of it before the place
	Taken  []string        // other keys of the map
	// Opens says that a key of a map of Forms may begin here: nothing but the
	// text stands on its line.
	Opens    bool
	Quote    rune // around the text: ' or ", 0 for none
	Line     int
	Col, End int // of the text without quotes
	chain    []link
}

// A link is one step of the way from a document's root to a spot.
type link struct {
	object *grammar.Object // of a map
	node   *node
	key    string // in the map
	index  int    // in the list
}

// mark stands for the place while the text is read with it.
const mark = '\uE000'

// At finds what stands at a place; ok is false in a comment, or where nothing
// of the language can stand.
func (d *Document) At(line, col int) (s Spot, ok bool) {
	from, to := d.draft.part(line)
	return d.spot(line, col, from, to)
}

// part returns the lines of the file's key that a line belongs to, from it to the
// next one: no value of a key at the margin goes on in a line that begins
// there. Where there is no such key it is all lines.
func (d *draft) part(line int) (from, to int) {
	keys := d.root.keys
	at, found := slices.BinarySearchFunc(keys, line, func(k nodeKey, line int) int { return k.at.line - line })
	if !found {
		at--
	}
	to = len(d.lines)
	if at < 0 || d.root.at != keys[0].at || keys[0].at.col != 0 { // in brackets, for one
		return 0, to
	}
	if at+1 < len(keys) {
		to = keys[at+1].at.line
	}
	return keys[at].at.line, to
}

// spot finds what stands at a place, reading the lines around it anew.
func (d *Document) spot(line, col, from, to int) (s Spot, ok bool) {
	if line < 0 || line >= len(d.draft.lines) || strings.ContainsRune(d.text, mark) {
		return Spot{}, false
	}
	lines := slices.Clone(d.draft.lines[:to])
	col = min(max(col, 0), len(lines[line]))
	lines[line] = slices.Concat(lines[line][:col], []rune{mark}, lines[line][col:])
	r := &draftReader{lines: lines, pos: draftPos{from, 0}}
	root := r.block(0, 0)
	if from > 0 || to < len(d.draft.lines) {
		if root.kind != yamlMap || root.flow { // a key to come is one by what stands around it
			return d.spot(line, col, 0, len(d.draft.lines))
		}
		root.keys = slices.Concat(d.draft.root.until(from), root.keys, d.draft.root.since(to))
	}
	f := finder{line: line}
	switch {
	case root.kind == yamlMap:
		ok = f.inMap(root, d.object(root), nil)
	case strings.ContainsRune(root.text, mark): // the first word of a file
		f.key(nodeKey{key: root.text, at: root.at, end: root.end}, root, d.object(&node{}), nil)
		ok = true
	}
	if !ok {
		return Spot{}, false
	}
	head, _, _ := strings.Cut(f.s.Text, string(mark))
	f.s.Text = strings.Replace(f.s.Text, string(mark), "", 1)
	f.s.Offset = len([]rune(head))
	f.s.End--
	before := strings.TrimLeft(string(lines[line][:min(f.s.Col, len(lines[line]))]), " -") // quotes without an end begin on another line
	f.s.Opens = before == "" && f.s.Quote == 0
	return f.s, true
}

// until and since are the keys before a line, and from it on.
func (n *node) until(line int) []nodeKey {
	return n.keys[:len(n.keys)-len(n.since(line))]
}

func (n *node) since(line int) []nodeKey {
	i, _ := slices.BinarySearchFunc(n.keys, line, func(k nodeKey, line int) int { return k.at.line - line })
	return n.keys[i:]
}

// A finder goes down to the mark.
type finder struct {
	s    Spot
	line int // of the mark
}

func (f *finder) inMap(n *node, o *grammar.Object, chain []link) bool {
	for i, k := range n.keys {
		if i+1 < len(n.keys) && n.keys[i+1].at.line < f.line {
			continue // it ends above
		}
		if strings.ContainsRune(k.key, mark) {
			f.key(k, n, o, chain)
			return true
		}
		var forms []grammar.Form
		if o != nil {
			forms = o.FormsOf(k.key)
			if o.Name == "changes" {
				forms = changeForms(k.key)
			}
		}
		if f.inValue(k.val, forms, k.key, append(slices.Clip(chain), link{object: o, node: n, key: k.key})) {
			return true
		}
	}
	return false
}

func (f *finder) key(k nodeKey, n *node, o *grammar.Object, chain []link) {
	f.s = Spot{Object: o, Key: strings.Replace(k.key, string(mark), "", 1), OnKey: true, Text: k.key, Line: k.at.line, Col: k.at.col, End: k.end.col,
		chain: append(slices.Clip(chain), link{object: o, node: n})}
	if o != nil && o.Free != nil {
		f.s.Means = o.Free.Means
	}
	for _, other := range n.keys {
		if other.key != k.key {
			f.s.Taken = append(f.s.Taken, other.key)
		}
	}
	if k.end.col-k.at.col > len([]rune(k.key)) { // in quotes
		f.s.Quote = '"'
		f.s.Col++
		f.s.End--
	}
}

func (f *finder) inValue(n *node, forms []grammar.Form, key string, chain []link) bool {
	switch n.kind {
	case yamlMap:
		var o *grammar.Object
		if m := grammar.Find(forms, yamlMap); m != nil && m.Object != "" {
			o = variant(grammar.Get(m.Object), n)
		}
		return f.inMap(n, o, chain)
	case yamlList:
		var items []grammar.Form
		if l := grammar.Find(forms, yamlList); l != nil {
			items = l.Items
		}
		for i, item := range n.list {
			at := append(slices.Clip(chain), link{node: n, index: i})
			if f.inValue(item, items, key, at) {
				return true
			}
		}
		return false
	}
	if !strings.ContainsRune(n.text, mark) {
		return false
	}
	f.s = Spot{Key: key, Forms: forms, Text: n.text, Quote: n.quote, Line: n.at.line, Col: n.inner, End: n.inner + len([]rune(n.text)), chain: chain}
	for i := len(chain) - 1; i >= 0 && f.s.Object == nil; i-- {
		f.s.Object = chain[i].object
	}
	if t := grammar.Find(forms, yamlString); t != nil {
		f.s.Means = t.Means
	}
	return true
}

// changeForms are those of what an overlay changes: of a rule when the id has
// the form of one.
func changeForms(id string) []grammar.Form {
	if head, rest, dotted := strings.Cut(id, "."); dotted && rest != "" && grammar.Files["mapping"].Key(head) == nil {
		return grammar.Get("fields").Free.Forms
	}
	return nil
}

// inner returns the innermost map of an object, or nil.
func (s *Spot) inner(object string) *link {
	for i := len(s.chain) - 1; i >= 0; i-- {
		if o := s.chain[i].object; o != nil && o.Name == object {
			return &s.chain[i]
		}
	}
	return nil
}

// Beside returns the text of another key of the map that the spot is in, such
// as the fragment of an include whose parameters are typed.
func (s *Spot) Beside(key string) string {
	for i := len(s.chain) - 1; i >= 0; i-- {
		if o := s.chain[i].object; o != nil {
			if t := s.chain[i].node.textOf(key); t != "" {
				return t
			}
		}
	}
	return ""
}

// ValueEnd returns where the value of the key ends that stands at a place, on
// the line on which it begins when it goes on over several.
func (d *Document) ValueEnd(line, col int) (endLine, endCol int, ok bool) {
	k := d.draft.root.keyAt(draftPos{line, col})
	if k == nil {
		return 0, 0, false
	}
	if k.val.end.line == line && k.end.before(k.val.end) {
		return line, k.val.end.col, true
	}
	return line, min(k.end.col+1, len(d.draft.lines[line])), true
}

func (n *node) keyAt(at draftPos) *nodeKey {
	for i := range n.keys {
		if n.keys[i].at == at {
			return &n.keys[i]
		}
		if k := n.keys[i].val.keyAt(at); k != nil {
			return k
		}
	}
	for _, i := range n.list {
		if k := i.keyAt(at); k != nil {
			return k
		}
	}
	return nil
}

// RulePlace returns where the key of the rule stands that the spot is in or on.
func (s *Spot) RulePlace() (line, col int, ok bool) {
	for i := len(s.chain) - 1; i >= 0; i-- {
		at := s.chain[i]
		if at.object == nil || !slices.Contains([]string{"fields", "lets", "elements"}, at.object.Name) {
			continue
		}
		name := at.key
		if s.OnKey && i == len(s.chain)-1 {
			name = s.Key
		}
		for _, k := range at.node.keys {
			if strings.Replace(k.key, string(mark), "", 1) == name {
				return k.at.line, k.at.col, true
			}
		}
	}
	return 0, 0, false
}
