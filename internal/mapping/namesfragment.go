package mapping

import (
	"crypto/sha256"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// An inclusion is a fragment in a mapping: what its fields are of, and what its
// parameters stand for.
type inclusion struct {
	model string
	each  *value
	args  map[string]string
	notes map[string]string // on each parameter
}

// NamesIn looks up what a fragment refers to where a mapping includes it: the
// first operation that does. It is nil when the mapping does not, or can not be
// read.
func (d *Document) NamesIn(fsys fs.FS, user string, formats []tree.Format) *Names {
	own := d.draft.root.value(newSourceFile(d.name, []byte(d.text)))
	f := &flattener{fsys: fsys, c: &collector{}}
	doc := f.open(user, "mapping", place{file: &sourceFile{name: user}})
	if own.kind != yamlMap || doc == nil {
		return nil
	}
	for _, op := range doc.get("operations").items() {
		for _, item := range op.get("include").items() {
			if item.get("fragment").beside() != d.name {
				continue
			}
			in := &inclusion{model: op.textOf("model"), each: op.get("each"), args: map[string]string{}, notes: map[string]string{}}
			for _, p := range own.get("params").entries() {
				in.args[p.key], in.notes[p.key] = p.val.textOf("default"), p.val.textOf("note")
				if given := item.get("with").get(p.key); given != nil {
					in.args[p.key] = given.text
				}
			}
			n := &Names{doc: doc, own: own, in: in, l: &loader{fsys: fsys, dir: path.Dir(user), formats: formats, c: &collector{}, sum: sha256.New(),
				m: &Mapping{file: user, tables: map[string]*table{}}}}
			n.compile()
			return n
		}
	}
	return nil
}

// filled puts what the mapping gives in the place of ${name}. open is the begin
// of a name that is being typed at the end, with its ${.
func (in *inclusion) filled(text string) (out, open string) {
	if in == nil {
		return text, ""
	}
	for name, arg := range in.args {
		if arg != "" {
			text = strings.ReplaceAll(text, "${"+name+"}", arg)
		}
	}
	if i := strings.LastIndex(text, "$"); i >= 0 && !strings.Contains(text[i:], "}") {
		return text[:i], text[i:]
	}
	return text, ""
}

// steps are the parameters, as a path names them.
func (in *inclusion) steps() []StepOutline {
	if in == nil {
		return nil
	}
	var out []StepOutline
	for _, name := range slices.Sorted(maps.Keys(in.args)) {
		doc := "The parameter " + name + "."
		if in.notes[name] != "" {
			doc = in.notes[name]
		}
		out = append(out, StepOutline{Name: "${" + name + "}", Title: in.args[name], Doc: doc})
	}
	return out
}
