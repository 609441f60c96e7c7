package mapping

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	_ "time/tzdata" // source.zone means the same on every machine

	"cel.dev/cel-go/cel"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// Load reads a mapping and all that it refers to (fragments, tables, the
// snapshot) from fsys and checks it against the formats and the snapshot.
// Paths in the file are relative to it and stay within fsys. The error is an
// [Issues] that names every fault with its place.
func Load(fsys fs.FS, path string, formats []tree.Format) (*Mapping, error) {
	m, issues := load(fsys, path, formats)
	if issues.failed() {
		return nil, issues
	}
	m.Warnings = issues
	return m, nil
}

// LoadSet loads the mappings of a feed, in their order. Two of them may want
// the same message, but not have the same id: it is a part of a unit's identity.
func LoadSet(fsys fs.FS, paths []string, formats []tree.Format) ([]*Mapping, error) {
	var out []*Mapping
	var errs []error
	for _, p := range paths {
		m, err := Load(fsys, p, formats)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, other := range out {
			if other.ID == m.ID {
				errs = append(errs, fmt.Errorf("%s: id %s is that of %s too", p, m.ID, other.file))
			}
		}
		out = append(out, m)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// A loader compiles one mapping file.
type loader struct {
	fsys    fs.FS
	dir     string
	formats []tree.Format
	c       *collector
	m       *Mapping
	sum     hash.Hash
	env     *cel.Env
	root    *scope
	snap    *snapshot
	args    map[*value][]argument // of the operations' includes
	reads   []read                // what the rule in hand reads, to name the source of a label
}

type read struct {
	text   string
	labels tree.Labels
}

func load(fsys fs.FS, name string, formats []tree.Format) (*Mapping, Issues) {
	l := &loader{fsys: fsys, dir: path.Dir(name), formats: formats, c: &collector{}, sum: sha256.New(),
		m: &Mapping{file: name, tables: map[string]*table{}}}
	f := &flattener{fsys: fsys, c: l.c, content: l.content}
	doc := f.flatten(name)
	if l.args = f.args; doc != nil && l.mapping(doc) {
		l.m.Hash = hex.EncodeToString(l.sum.Sum(nil))
	}
	return l.m, l.c.issues.sorted()
}

// content adds a file to the mapping's hash.
func (l *loader) content(data []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(data)))
	l.sum.Write(n[:])
	l.sum.Write(data)
}

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,63}$`)
	namePattern = regexp.MustCompile(`^[a-z][a-z0-9_]{0,39}$`)
	laterKeys   = []string{"direction", "emit", "segments"}
)

// mapping compiles the whole file. It goes on after a fault where it can, so
// that one run names all of them.
func (l *loader) mapping(doc *value) bool {
	if !l.c.shape(doc, "mapping") {
		return false
	}
	for _, k := range laterKeys {
		if v := doc.get(k); v != nil && !(k == "direction" && v.text == "inbound") {
			l.c.unsupported(v.at, "%s", k)
		}
	}
	l.header(doc)
	if !l.source(doc.get("source"), doc.at) || !l.target(doc.get("target"), doc.at) {
		return false
	}
	l.egress(doc.get("egress"), doc.at)
	l.tables(doc.get("tables"))
	env, err := newEnv(l.m.tables)
	if err != nil {
		l.c.errorf(doc.at, "cel", "%v", err)
		return false
	}
	l.env = env
	l.lets(doc.get("let"))
	l.guards(doc.get("guards"))
	l.keys(doc)
	l.operations(doc.get("operations"), doc.at)
	l.unusedTables()
	return true
}

func (l *loader) header(doc *value) {
	m := l.m
	if f := doc.get("format"); f == nil || f.text != "1" {
		l.c.errorf(where(f, doc.at), "format", "format: 1 is the format that this program reads")
	}
	if m.ID = l.str(doc, "id"); !idPattern.MatchString(m.ID) {
		l.c.errorf(where(doc.get("id"), doc.at), "id", "id is lower-case letters, digits and -, at most 64")
	}
	if v := doc.get("version"); v == nil || v.kind != yamlNumber {
		l.c.errorf(where(v, doc.at), "version", "version is a number from 1: the version of the behaviour")
	} else if n, err := strconv.Atoi(v.text); err != nil || n < 1 {
		l.c.errorf(v.at, "version", "version is a number from 1")
	} else {
		m.Version = n
	}
	m.Title, m.Owner = l.str(doc, "title"), l.str(doc, "owner")
	l.str(doc, "description")
	m.Unit = l.oneOf(doc, "unit", "resumable", "atomic", "resumable")
	m.onError = broker.Verdict(l.oneOf(doc, "on_error", "dead_letter", "dead_letter", "reject"))
	m.OnDeadLetter = l.oneOf(doc, "on_dead_letter", "hold", "hold", "continue")
}

func (l *loader) target(v *value, at place) bool {
	if v == nil || v.kind != yamlMap {
		l.c.errorf(where(v, at), "target", "target: {odoo: \"18.0\", snapshot: FILE} is missing")
		return false
	}
	odoo, file := l.str(v, "odoo"), l.str(v, "snapshot")
	if file == "" {
		l.c.errorf(v.at, "target", "snapshot: FILE is missing")
		return false
	}
	snap, err := readSnapshot(l.fsys, path.Join(l.dir, file), l.content)
	if err != nil {
		l.c.errorf(v.get("snapshot").at, "snapshot", "%v", err)
		return false
	}
	if snap.Odoo != odoo {
		l.c.errorf(where(v.get("odoo"), v.at), "target", "the mapping is for Odoo %s and the snapshot is of Odoo %s", odoo, snap.Odoo)
	}
	l.snap = snap
	return true
}

// keys compiles the templates that order units and tell them apart.
func (l *loader) keys(doc *value) {
	if v := doc.get("ordering"); v != nil {
		l.m.ordering = l.template(v, l.root)
	}
	v := doc.get("idempotency")
	if v == nil || v.kind != yamlList || len(v.list) == 0 {
		l.c.errorf(where(v, doc.at), "idempotency", "idempotency is a list of templates, such as [\"{MSH-4.1}\", \"{MSH-10}\"]")
		return
	}
	for _, item := range v.list {
		if t := l.template(item, l.root); t != nil {
			l.m.idem = append(l.m.idem, t)
		}
	}
}

// where is the place of a value, or of its parent when it is missing.
func where(v *value, parent place) place {
	if v != nil {
		return v.at
	}
	return parent
}

// str reads a text; "" when it is missing.
func (l *loader) str(v *value, key string) string {
	x := v.get(key)
	if x == nil {
		return ""
	}
	if x.kind != yamlString {
		l.c.errorf(x.at, "type", "%s is text, not %s: write it in quotes", key, x.kind)
	}
	return x.text
}

// oneOf reads a word out of a few.
func (l *loader) oneOf(v *value, key, missing string, words ...string) string {
	x := v.get(key)
	if x == nil {
		return missing
	}
	if x.kind != yamlString || !slices.Contains(words, x.text) {
		l.c.errorf(x.at, key, "%s is one of %s%s", key, strings.Join(words, ", "), didYouMean(x.text, words))
		return missing
	}
	return x.text
}

func (l *loader) letIndex(name string) int {
	return slices.IndexFunc(l.m.lets, func(x *let) bool { return x.name == name })
}

func (m *Mapping) tableNames() []string { return slices.Sorted(maps.Keys(m.tables)) }
