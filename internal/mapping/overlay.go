package mapping

import (
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// An overlay is a mapping that says how it differs from another one: what a
// site changes. It is put onto the tree of values before anything is compiled,
// so every later fault has the place of the line that says it.
//
//	extends: ../base/adt-patient.map.yaml
//	id: adt-patient-west
//	version: 1
//	set: { source.zone: America/Denver, patient.phone: { from: "PID-14[first].1" } }
//	add: { patient.x_ward: PV1-3.1 }
//	remove: [patient.mobile, kin]
//
// What set and remove name is there, and what add names is not: a change of the
// base that moves it is an error here and not a silent change there.

const maxOverlays = 4 // that stand on each other

var (
	headerKeys  = []string{"id", "version", "title", "owner", "description"}
	segmentName = regexp.MustCompile(`^[A-Z][A-Z0-9]{1,2}$`)
)

// flatten reads a mapping and all that it is made of into one tree, or returns
// nil when there is none.
func (f *flattener) flatten(name string) *value {
	doc := f.open(name, "mapping", place{file: &sourceFile{name: name}})
	var overlays []*value
	for doc != nil && doc.has("extends") {
		overlays = append(overlays, doc)
		ext := doc.get("extends")
		if len(overlays) > maxOverlays {
			f.c.errorf(ext.at, "extends", "overlays stand on each other at most %d high", maxOverlays)
			return nil
		}
		way := append([]string{name}, f.bases...)
		if n := slices.Index(way, ext.beside()); n >= 0 {
			f.c.errorf(ext.at, "extends", "a mapping can not extend itself: %s", strings.Join(append(way[n:], ext.beside()), " → "))
			return nil
		}
		f.bases = append(f.bases, ext.beside())
		doc = f.open(ext.beside(), "mapping", ext.at)
	}
	if doc == nil {
		return nil
	}
	slices.Reverse(overlays)
	// Which fragments there are is settled first: an overlay can then name the fields that they bring.
	for _, o := range overlays {
		f.apply(doc, o, func(id string) bool { return strings.HasSuffix(id, ".include") })
	}
	if len(overlays) > 0 && !f.c.shape(doc, "mapping") {
		return nil
	}
	if ops := doc.get("operations"); ops != nil {
		for _, op := range ops.list {
			f.expand(op)
		}
	}
	for _, o := range overlays {
		f.apply(doc, o, func(id string) bool { return !strings.HasSuffix(id, ".include") })
		f.header(doc, o)
	}
	if len(overlays) > 0 && !f.c.shape(doc, "mapping") {
		return nil
	}
	relocate(doc, path.Dir(name))
	return doc
}

// header gives the mapping the overlay's name.
func (f *flattener) header(doc, o *value) {
	if id := o.get("id"); id.text == doc.textOf("id") {
		f.c.errorf(id.at, "extends", "%s is the id of what it extends: an overlay has its own", id.text)
	}
	for _, k := range headerKeys {
		if i := o.index(k); i >= 0 {
			o.get(k)
			doc.keys = slices.DeleteFunc(doc.keys, func(e entry) bool { return e.key == k })
			doc.keys = append(doc.keys, o.keys[i])
		}
	}
}

// apply makes an overlay's changes whose ids are wanted.
func (f *flattener) apply(doc, o *value, wanted func(id string) bool) {
	if v := o.get("remove"); v != nil {
		for _, x := range v.list {
			if wanted(x.text) {
				f.remove(doc, x)
			}
		}
	}
	for _, k := range []string{"set", "add"} {
		for _, e := range o.get(k).entries() {
			if wanted(e.key) {
				f.change(doc, e, k == "add")
			}
		}
	}
}

func (f *flattener) remove(doc, id *value) {
	s := find(doc, id.text)
	switch {
	case s.n < 0:
		f.c.errorf(id.at, "extends", "there is no %q to remove%s", id.text, didYouMean(id.text, ids(doc)))
	case s.in.kind == yamlMap:
		s.in.keys = slices.Delete(s.in.keys, s.n, s.n+1)
	default:
		s.in.list = slices.Delete(s.in.list, s.n, s.n+1)
	}
}

// change sets what an id names, or adds it.
func (f *flattener) change(doc *value, e entry, add bool) {
	if slices.Contains(headerKeys, e.key) || slices.Contains([]string{"kind", "format", "extends"}, e.key) {
		f.c.errorf(e.at, "extends", "%s stands beside extends", e.key)
		return
	}
	s := find(doc, e.key)
	if s.in == nil || s.n < 0 && !add {
		text := "there is no %q%s"
		if s.in != nil {
			text += ": what is new is written under add:"
		}
		f.c.errorf(e.at, "extends", text, e.key, didYouMean(e.key, ids(doc)))
		return
	}
	if ops := doc.get("operations"); add && s.in == doc && ops != nil && e.val.has("id") {
		s = ops.step(e.key) // an operation by its id, as set: and remove: name it
	}
	operation := s.in == doc.get("operations")
	if operation {
		if id := e.val.get("id"); id == nil || id.text != s.key {
			f.c.errorf(e.at, "extends", "%s is an operation with id: %s", e.key, s.key)
			return
		}
		before := len(f.c.issues)
		if f.c.shapeMap(e.val, grammar.Get("operation")); len(f.c.issues) > before {
			return
		}
		f.expand(e.val)
	}
	switch at := s.value(); {
	case add && at != nil && at.kind == yamlList && e.val.kind == yamlList:
		at.list = append(at.list, e.val.list...)
	case add && at != nil:
		f.c.errorf(e.at, "extends", "there is a %q: write it under set:", e.key)
	case add && s.in.kind == yamlMap:
		s.in.keys = append(s.in.keys, entry{key: s.key, at: e.at, val: e.val})
	case add && operation:
		s.in.list = append(s.in.list, e.val)
	case add:
		f.c.errorf(e.at, "extends", "items of this list have no names: set the whole list, or add a list to it")
	case s.in.kind == yamlMap:
		s.in.keys[s.n].at, s.in.keys[s.n].val = e.at, e.val
	default:
		s.in.list[s.n] = e.val
	}
}

// A spot is what an id names: an entry of a map, or an item of a list.
type spot struct {
	in  *value // nil: there is not even what it would be in
	key string
	n   int // -1: it is not there
}

func (s spot) value() *value {
	switch {
	case s.in == nil || s.n < 0:
		return nil
	case s.in.kind == yamlMap:
		return s.in.keys[s.n].val
	}
	return s.in.list[s.n]
}

// find resolves an id: that of a rule ("patient.phone", "order.lines.qty",
// "let.mrn", "PO1_LOOP.PO1-02"), of an operation ("kin"), or the way to
// anything else ("source.zone", "tables.sex", "operations.kin.when").
func find(doc *value, id string) spot {
	way := strings.Split(id, ".")
	ops := spot{in: doc.get("operations")}
	if ops.in != nil {
		ops = ops.in.step(way[0])
	}
	switch {
	case grammar.Files["mapping"].Key(way[0]) != nil || doc.has(way[0]):
	case ops.value() != nil:
		rules := []string{"operations", way[0]}
		for _, field := range way[1:] {
			rules = append(rules, "fields", field)
		}
		way = rules
	case doc.has("segments"):
		return doc.get("segments").block(strings.FieldsFunc(id, func(r rune) bool { return r == '.' || r == '-' }))
	}
	s := doc.step(way[0])
	for _, name := range way[1:] {
		s = s.value().step(name)
	}
	return s
}

// block finds what a way through blocks of segments leads to: a block, or an
// element of its segment, whose name may have several parts ("identifier.value").
func (v *value) block(way []string) spot {
	if len(way) == 0 {
		return spot{v, "", -1}
	}
	s := v.step(way[0])
	if len(way) == 1 || s.n < 0 {
		return s
	}
	item := s.value()
	if inner := item.get("segments"); inner != nil {
		if s := inner.block(way[1:]); s.n >= 0 {
			return s
		}
	}
	segment := item.segment()
	if segment == nil {
		return spot{item, way[1], -1}
	}
	name := strings.Join(way[1:], ".")
	for n, e := range segment.val.keys {
		if strings.ReplaceAll(e.key, "-", ".") == name {
			return spot{segment.val, e.key, n}
		}
	}
	return spot{segment.val, name, -1}
}

// segment is the entry of a block that is its segment, nil without one.
func (v *value) segment() *entry {
	block := grammar.Get("segment")
	for i, e := range v.entries() {
		if e.val.kind == yamlMap && block.Key(e.key) == nil && block.Free.Accepts(e.key) {
			return &v.keys[i]
		}
	}
	return nil
}

// step finds a name in a map or a list. An item of a list is called by its id,
// its loop or its segment; with #2 when that stands in the list more than once.
func (v *value) step(name string) spot {
	if v == nil || v.kind != yamlMap && v.kind != yamlList {
		return spot{n: -1}
	}
	if v.kind == yamlList {
		return spot{v, name, slices.Index(itemNames(v), name)}
	}
	n := v.index(name)
	switch {
	case n >= 0:
	case v.has("loop"):
		return v.get("segments").step(name)
	case len(v.keys) > 0 && segmentName.MatchString(v.keys[0].key):
		return v.keys[0].val.step(name)
	}
	return spot{v, name, n}
}

func itemNames(list *value) []string {
	names, count := make([]string, len(list.list)), map[string]int{}
	for i, item := range list.list {
		for _, k := range []string{"id", "loop"} {
			if x := item.get(k); x != nil && names[i] == "" {
				names[i] = x.text
			}
		}
		if e := item.segment(); e != nil && names[i] == "" {
			names[i] = e.key
		}
		count[names[i]]++
	}
	seen := map[string]int{}
	for i, n := range names {
		if seen[n]++; count[n] > 1 {
			names[i] = n + "#" + strconv.Itoa(seen[n])
		}
	}
	return names
}

// ids are the ids that an overlay of this tree may use, for a suggestion.
func ids(doc *value) []string {
	var out []string
	for _, e := range doc.keys {
		out = append(out, e.key)
		for _, x := range e.val.keys {
			out = append(out, e.key+"."+x.key)
		}
	}
	var fields func(prefix string, v *value)
	fields = func(prefix string, v *value) {
		for _, e := range v.get("fields").entries() {
			out = append(out, prefix+"."+e.key)
			fields(prefix+"."+e.key, e.val)
		}
	}
	if ops := doc.get("operations"); ops != nil {
		for i, name := range itemNames(ops) {
			out = append(out, name)
			for _, e := range ops.list[i].keys {
				out = append(out, "operations."+name+"."+e.key)
			}
			fields(name, ops.list[i])
		}
	}
	return out
}

// relocate makes files that are named in other folders relative to dir.
func relocate(doc *value, dir string) {
	fix := func(v *value) {
		if v == nil || v.kind != yamlString || path.Dir(v.at.file.name) == dir {
			return
		}
		if rel, err := filepath.Rel(dir, v.beside()); err == nil {
			v.text = filepath.ToSlash(rel)
		}
	}
	for _, e := range doc.get("tables").entries() {
		fix(e.val)
	}
	fix(doc.get("target").get("snapshot"))
}

// index is where a map has a key, or -1.
func (v *value) index(key string) int {
	return slices.IndexFunc(v.keys, func(e entry) bool { return e.key == key })
}

func (v *value) has(key string) bool { return v.index(key) >= 0 }
