package mapping

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strconv"
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
	l, issues := load(fsys, path, formats)
	if issues.failed() {
		return nil, issues
	}
	l.m.Warnings = issues
	return l.m, nil
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
	choose string      // a predicate that would decide its labels
	asks   tree.Labels // of its predicates, and of what decides whether a let has a value
}

func load(fsys fs.FS, name string, formats []tree.Format) (*loader, Issues) {
	l := &loader{fsys: fsys, dir: path.Dir(name), formats: formats, c: &collector{}, sum: sha256.New(),
		m: &Mapping{file: name, tables: map[string]*table{}}}
	f := &flattener{fsys: fsys, c: l.c, content: l.content}
	doc := f.flatten(name)
	if l.args, l.m.Bases = f.args, f.bases; doc != nil && l.mapping(doc) {
		l.m.Hash = hex.EncodeToString(l.sum.Sum(nil))
	}
	return l, l.c.issues.sorted()
}

// content adds a file to the mapping's hash.
func (l *loader) content(data []byte) {
	var n [8]byte
	binary.BigEndian.PutUint64(n[:], uint64(len(data)))
	l.sum.Write(n[:])
	l.sum.Write(data)
}

// mapping compiles the whole file. It goes on after a fault where it can, so
// that one run names all of them.
func (l *loader) mapping(doc *value) bool {
	if !l.c.shape(doc, "mapping") {
		return false
	}
	l.header(doc)
	if !l.ends(doc) {
		return false
	}
	l.m.allow = labelsOf(doc.get("egress").get("allow"))
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
	if l.m.record != nil {
		l.document(doc)
	} else {
		l.operations(doc.get("operations"))
	}
	l.unused()
	return true
}

// ends reads both ends of the mapping: what it reads and what it writes to.
func (l *loader) ends(doc *value) bool {
	source, target := doc.get("source"), doc.get("target")
	outbound := doc.textOf("direction") == "outbound"
	for _, k := range []string{"operations", "emit", "segments"} {
		if x := doc.get(k); x != nil && (k == "operations") == outbound {
			l.c.errorf(x.at, "direction", "%s is not for direction: %s", k, map[bool]string{true: "outbound", false: "inbound"}[outbound])
			return false
		}
	}
	if outbound { // the snapshot is the schema of the source
		return l.target(target) && l.recordSource(source) && l.source(source)
	}
	for _, k := range []string{"model", "trigger"} {
		if x := source.get(k); x != nil {
			l.c.errorf(x.at, "direction", "source.%s is for direction: outbound", k)
		}
	}
	return l.source(source) && l.target(target)
}

func (l *loader) header(doc *value) {
	m := l.m
	m.ID, m.Title, m.Owner = doc.textOf("id"), doc.textOf("title"), doc.textOf("owner")
	m.Version, _ = strconv.Atoi(doc.textOf("version")) // a whole number, by its shape
	m.Unit = cmp.Or(doc.textOf("unit"), "resumable")
	m.onError = broker.Verdict(cmp.Or(doc.textOf("on_error"), "dead_letter"))
	m.OnDeadLetter = cmp.Or(doc.textOf("on_dead_letter"), "hold")
}

func (l *loader) target(v *value) bool {
	odoo, file := v.textOf("odoo"), v.textOf("snapshot")
	snap, err := readSnapshot(l.fsys, path.Join(l.dir, file), l.content)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("there is no file %s: vagus mapping snapshot pull writes one of your Odoo", path.Join(l.dir, file))
		}
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
		all := []*value{v}
		if v.kind == yamlList {
			all = v.list
		}
		if len(all) > broker.MaxKeys {
			l.c.errorf(v.at, "ordering", "a unit has at most %d keys", broker.MaxKeys)
		}
		for _, v := range all {
			if t := l.template(v, l.root); t != nil {
				l.m.ordering = append(l.m.ordering, t)
			}
		}
	}
	for _, item := range doc.get("idempotency").list {
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

func (l *loader) letIndex(name string) int {
	return slices.IndexFunc(l.m.lets, func(x *let) bool { return x.name == name })
}

func (m *Mapping) tableNames() []string { return slices.Sorted(maps.Keys(m.tables)) }
