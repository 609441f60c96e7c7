package mapping

import (
	"cmp"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
)

// A fragment is fields that several mappings share: `include` puts them into
// an operation, with arguments in the place of ${name}. The operation's own
// fields win. A fragment has fields and no lets: two includes of one fragment
// would fight over a name, and named inputs do the same within a rule.

// Limits on what one mapping may bring together, so that no small file can ask
// for a large tree.
const (
	maxIncludeDepth = 4
	maxParts        = 256 // files that one mapping is made of
	maxFields       = 2000
)

// An argument is what an include gives a parameter. That it fits is known only
// where the operation's scope and the mapping's tables are.
type argument struct {
	at       place
	text     string
	fragment string
	param    parameter
}

type parameter struct {
	name string
	kind string // "path", "text" or "table"
	typ  string // of a path: the data type that it leads to; "" is any
}

// A flattener turns a mapping file with the files that it extends and the
// fragments that it includes into one tree. Every value keeps the place where
// it was written.
type flattener struct {
	fsys    fs.FS
	c       *collector
	content func([]byte) // hears of every file's content; may be nil
	parts   int
	fields  int
	within  []string              // the fragments that are being included, the outermost first
	circles []string              // of fragments, that are reported
	bases   []string              // what the mapping extends, the nearest first
	args    map[*value][]argument // of each operation's includes, to be checked in its scope
}

// open reads a file of the language that another one names, and checks its
// shape.
func (f *flattener) open(name, kind string, at place) *value {
	if f.parts++; f.parts > maxParts {
		if f.parts == maxParts+1 {
			f.c.errorf(at, "file", "a mapping is made of at most %d files", maxParts)
		}
		return nil
	}
	data, err := readFile(f.fsys, name)
	if err != nil {
		f.c.errorf(at, "file", "%v", err)
		return nil
	}
	if f.content != nil {
		f.content(data)
	}
	doc := parseYAML(name, data, f.c)
	if doc == nil || !f.c.shape(doc, kind) {
		return nil
	}
	return doc
}

// beside is the path of a file as the file that names it means it.
func (v *value) beside() string { return path.Join(path.Dir(v.at.file.name), v.text) }

// expand puts the fragments that an operation includes into its fields.
func (f *flattener) expand(op *value) {
	inc := op.get("include")
	if inc == nil {
		return
	}
	op.keys = slices.DeleteFunc(op.keys, func(e entry) bool { return e.key == "include" })
	own := op.get("fields")
	entries, args := f.include(inc)
	if f.args == nil {
		f.args = map[*value][]argument{}
	}
	f.args[op] = append(f.args[op], args...)
	if len(entries) == 0 {
		return
	}
	if own == nil {
		own = &value{kind: yamlMap, at: inc.at}
		op.keys = append(op.keys, entry{key: "fields", at: inc.at, val: own})
	}
	own.keys = fill(own.keys, entries)
}

// fill adds the entries whose keys are not taken.
func fill(own, more []entry) []entry {
	for _, e := range more {
		if !slices.ContainsFunc(own, func(o entry) bool { return o.key == e.key }) {
			own = append(own, e)
		}
	}
	return own
}

// include reads a list of fragments and returns their fields and the arguments
// that they were given.
func (f *flattener) include(v *value) (fields []entry, args []argument) {
	for _, item := range v.list {
		more, given := f.fragment(item)
		fields, args = fill(fields, more), append(args, given...)
	}
	return fields, args
}

func (f *flattener) fragment(item *value) ([]entry, []argument) {
	file := item.get("fragment")
	name := file.beside()
	if n := slices.Index(f.within, name); n >= 0 {
		f.circle(file.at, append(f.within[n:len(f.within):len(f.within)], name))
		return nil, nil
	}
	if len(f.within) >= maxIncludeDepth {
		f.c.errorf(file.at, "include", "fragments include each other at most %d deep: %s", maxIncludeDepth, strings.Join(append(f.within[:len(f.within):len(f.within)], name), " → "))
		return nil, nil
	}
	f.within = append(f.within, name)
	defer func() { f.within = f.within[:len(f.within)-1] }()
	doc := f.open(name, "fragment", file.at)
	if doc == nil {
		return nil, nil
	}
	via := file.at
	doc.bring(&via)
	fields, params := doc.get("fields"), f.params(doc.get("params"))
	args, ok := f.arguments(name, item, doc.get("params"), params)
	if !ok {
		return nil, nil
	}
	texts := make(map[string]string, len(args))
	for _, a := range args {
		texts[a.param.name] = a.text
	}
	f.substitute(fields, texts)
	out := fields.keys
	if inc := doc.get("include"); inc != nil {
		f.substitute(inc, texts)
		more, given := f.include(inc)
		out, args = fill(out, more), append(args, given...)
	}
	if f.fields += len(out); f.fields > maxFields {
		f.c.errorf(file.at, "include", "the fragments of a mapping have at most %d fields", maxFields)
		return nil, nil
	}
	return out, args
}

// circle reports fragments that include each other, once for all of a
// mapping's includes.
func (f *flattener) circle(at place, way []string) {
	known := strings.Join(slices.Sorted(slices.Values(way[1:])), "\n")
	if slices.Contains(f.circles, known) {
		return
	}
	f.circles = append(f.circles, known)
	at.via = nil
	f.c.errorf(at, "include", "a fragment can not include itself: %s", strings.Join(way, " → "))
}

// bring notes for all places of a fragment which include brought it.
func (v *value) bring(via *place) {
	v.at.via = via
	for i := range v.keys {
		v.keys[i].at.via = via
		v.keys[i].val.bring(via)
	}
	for _, x := range v.list {
		x.bring(via)
	}
}

// arguments gives every parameter its text: what with: says, or its default.
func (f *flattener) arguments(fragment string, item, declared *value, params []parameter) ([]argument, bool) {
	with := item.get("with")
	var out []argument
	var names []string
	ok := true
	for _, p := range params {
		names = append(names, p.name)
		given := with.get(p.name)
		if given == nil {
			given = declared.get(p.name).get("default")
		}
		switch {
		case given == nil:
			f.c.errorf(item.at, "include", "%s needs with: {%s: %s}", fragment, p.name, p.kind)
			ok = false
			continue
		case strings.Contains(given.text, "${"):
			f.c.errorf(given.at, "include", "%s of %s is a %s, written as text", p.name, fragment, p.kind)
			ok = false
		case p.kind == "text" && strings.ContainsAny(given.text, "'\"\\{}\n\r"):
			f.c.errorf(given.at, "include", "%s of %s is a text without quotes, braces, backslashes and line ends: it stays text wherever the fragment puts it", p.name, fragment)
			ok = false
		}
		out = append(out, argument{at: given.at, text: given.text, fragment: fragment, param: p})
	}
	for _, e := range with.entries() {
		if !slices.Contains(names, e.key) {
			f.c.errorf(e.at, "unknown-key", "%s has no parameter %q%s", fragment, e.key, didYouMean(e.key, names))
		}
	}
	return out, ok
}

// checkArguments checks that what an operation's includes give fits: a path
// leads to the data type that the fragment declares, a table is there.
func (l *loader) checkArguments(args []argument, sc *scope) {
	for _, a := range args {
		switch a.param.kind {
		case "table":
			if l.m.tables[a.text] == nil {
				l.c.errorf(a.at, "table", "no table %q%s: %s of %s is one", a.text, didYouMean(a.text, l.m.tableNames()), a.param.name, a.fragment)
			}
		case "path":
			if a.param.typ == "" && l.letIndex(a.text) >= 0 {
				continue
			}
			if b := l.bind(a.at, sc, a.text); b != nil && a.param.typ != "" && (b.typ == nil || b.typ.Name != a.param.typ) {
				l.c.errorf(a.at, "include", "%s of %s takes a path to %s, and %s is %s", a.param.name, a.fragment, a.param.typ, a.text, typeName(b.typ))
			}
		}
	}
}

func (f *flattener) params(v *value) []parameter {
	var out []parameter
	for _, e := range v.entries() {
		p := parameter{name: e.key, typ: e.val.textOf("type"), kind: cmp.Or(e.val.textOf("kind"), "path")}
		if p.typ != "" && p.kind != "path" {
			f.c.errorf(e.val.get("type").at, "include", "type is the data type that a path leads to, and %s is a %s", p.name, p.kind)
		}
		out = append(out, p)
	}
	return out
}

// lintFragment checks a fragment on its own: its shape, and that it names its
// parameters and uses all of them.
func (f *flattener) lintFragment(doc *value) {
	if !f.c.shape(doc, "fragment") {
		return
	}
	fields, params := doc.get("fields"), f.params(doc.get("params"))
	used := map[string]string{}
	names := make(map[string]string, len(params))
	for _, p := range params {
		names[p.name] = ""
	}
	note := func(name string) { used[name] = "" }
	f.placeholders(fields, names, note)
	if inc := doc.get("include"); inc != nil {
		f.placeholders(inc, names, note)
	}
	for _, e := range doc.get("params").entries() {
		if _, ok := used[e.key]; !ok {
			f.c.warnf(e.at, "unused", "the parameter %s is not used", e.key)
		}
	}
}

// entries are a map's entries; none when it is missing.
func (v *value) entries() []entry {
	if v == nil {
		return nil
	}
	return v.keys
}

// placeholders calls note for every ${name} of a tree and reports names that
// are no parameter.
func (f *flattener) placeholders(v *value, params map[string]string, note func(string)) {
	rest := v.text
	for {
		_, after, ok := strings.Cut(rest, "${")
		if !ok {
			break
		}
		name, tail, closed := strings.Cut(after, "}")
		if _, known := params[name]; !closed || !known {
			f.noParameter(v.at, name, params)
			break
		}
		note(name)
		rest = tail
	}
	for _, e := range v.keys {
		f.placeholders(e.val, params, note)
	}
	for _, x := range v.list {
		f.placeholders(x, params, note)
	}
}

func (f *flattener) noParameter(at place, name string, params map[string]string) {
	f.c.errorf(at, "include", "the fragment has no parameter %q%s", firstRunes(name, 40), didYouMean(name, slices.Sorted(maps.Keys(params))))
}

// substitute puts arguments in the place of ${name} in every text. Arguments
// hold no ${, so this ends.
func (f *flattener) substitute(v *value, args map[string]string) {
	for strings.Contains(v.text, "${") {
		before, rest, _ := strings.Cut(v.text, "${")
		name, after, closed := strings.Cut(rest, "}")
		arg, ok := args[name]
		if !closed || !ok {
			f.noParameter(v.at, name, args)
			return
		}
		if len(before)+len(arg)+len(after) > maxLineBytes {
			f.c.errorf(v.at, "include", "with its arguments this has more than %d bytes", maxLineBytes)
			return
		}
		v.text, v.at.sub = fmt.Sprint(before, arg, after), true
	}
	for _, e := range v.keys {
		f.substitute(e.val, args)
	}
	for _, i := range v.list {
		f.substitute(i, args)
	}
}
