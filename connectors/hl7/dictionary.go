package hl7

import (
	"cmp"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// dictionaryText holds types and segments; its head explains its form.
//
//go:embed dictionary.txt
var dictionaryText string

// versions are those of the standard that a mapping may name, in order.
var versions = [...]string{"2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.7", "2.7.1", "2.8"}

// nearest are the versions that are read as another one. Later ones add fields
// and segments and move none: what 2.8 has stands where it stood. 2.1 and 2.2
// have no dictionary of their own, and 2.3 is the first that is read today.
var nearest = map[string]string{"2.1": "2.3", "2.2": "2.3", "2.8.1": "2.8", "2.8.2": "2.8", "2.9": "2.8", "2.9.1": "2.8"}

// A version is an index of versions.
type version int8

const (
	v25 version = 3
	v26 version = 5
	v27 version = 6
)

func versionNamed(name string) (version, bool) {
	i := slices.Index(versions[:], name)
	return version(i), i >= 0
}

// A dictionary is what the data files say for one version. Safe for concurrent
// use.
type dictionary struct {
	version    version
	types      map[string]*tree.Type    // data types of the version
	segments   map[string]*tree.Element // for the root of a message
	order      []string                 // names of the segments in the file's order
	structures func() *structures
	schemas    *schemas // of dialects that declare nothing
}

// dictionaries builds each version at most once.
var dictionaries = func() (ds [len(versions)]func() *dictionary) {
	for i := range ds {
		ds[i] = sync.OnceValue(func() *dictionary {
			d, err := readDictionary(dictionaryText, version(i))
			if err != nil {
				panic("hl7: dictionary.txt: " + err.Error())
			}
			return d
		})
	}
	return ds
}()

func dictionaryOf(name string) (*dictionary, error) {
	v, ok := versionNamed(cmp.Or(nearest[name], name))
	if !ok {
		return nil, fmt.Errorf("hl7v2 has no version %q: use one of %s", name, strings.Join(versions[:], ", "))
	}
	return dictionaries[v](), nil
}

// leafKinds are the primitive data types (chapter 2A).
var leafKinds = map[string]tree.Kind{
	"ST": tree.Text, "TX": tree.Text, "FT": tree.Text, "GTS": tree.Text, "TN": tree.Text, "SNM": tree.Text,
	"ID": tree.Code, "IS": tree.Code,
	"NM": tree.Number, "SI": tree.Number,
	"DT": tree.Date, "DTM": tree.DateTime, "TM": tree.Time,
}

// leafMax are the bounds of primitive types that hold wherever they are used.
var leafMax = map[string]int{"DT": 8, "TM": 16, "DTM": 24, "SI": 4, "NM": 16}

// A reader reads the file for one version.
type reader struct {
	*dictionary
	all    map[string]*tree.Type    // data types, with those that only fields have that the standard withdrew
	labels map[string]tree.Labels   // by what a line says of them
	tables map[string]string        // "0001" → "HL70001"
	coded  map[string][]tree.Coding // by data type
	slab   []tree.Element
}

func readDictionary(text string, v version) (*dictionary, error) {
	d := &dictionary{
		version:  v,
		types:    make(map[string]*tree.Type, 128),
		segments: make(map[string]*tree.Element, 256),
	}
	d.structures = sync.OnceValue(func() *structures { return mustIndex(v) })
	d.schemas = &schemas{dictionary: d}
	r := &reader{dictionary: d, all: make(map[string]*tree.Type, 128), labels: make(map[string]tree.Labels), tables: make(map[string]string), coded: make(map[string][]tree.Coding)}
	for name, kind := range leafKinds {
		d.types[name] = tree.NewType(name, kind)
	}
	d.types["varies"] = variesType()
	maps.Copy(r.all, d.types)
	var (
		cur     *tree.Type
		segment *tree.Element // nil in a data type
		n       int           // line of the block
	)
	for i := 1; text != ""; i++ {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		fail := func(err error) error { return fmt.Errorf("line %d: %w", i, err) }
		switch word, rest, _ := strings.Cut(line, " "); {
		case line == "" || word == "#":
		case word == "type":
			name, span, _ := strings.Cut(rest, " ")
			in, err := inSpan(span, v)
			if err != nil {
				return nil, fail(err)
			}
			cur, segment, n = r.typeOf(name), nil, 0
			if in {
				d.types[name] = cur
			}
		case word == "coded":
			if err := r.coding(rest); err != nil {
				return nil, fail(err)
			}
		case word == "segment":
			e, err := r.segment(rest)
			if err != nil {
				return nil, fail(err)
			}
			cur, segment, n = e.Type, e, 0
		case cur == nil:
			return nil, fail(errors.New("neither a type nor a segment"))
		default:
			n++
			if err := r.element(line, n, cur, segment); err != nil {
				return nil, fail(err)
			}
		}
	}
	return d, r.finish()
}

// inSpan reads "since 2.4 until 2.6", of which each half may be missing.
func inSpan(span string, v version) (bool, error) {
	words := strings.Fields(span)
	for ; len(words) > 1; words = words[2:] {
		at, ok := versionNamed(words[1])
		switch {
		case ok && words[0] == "since":
			if v < at {
				return false, nil
			}
		case ok && words[0] == "until":
			if v > at {
				return false, nil
			}
		default:
			return false, errors.New("neither since nor until a version")
		}
	}
	return true, nil
}

func (r *reader) typeOf(name string) *tree.Type {
	t := r.all[name]
	if t == nil { // defined further on
		t = tree.NewType(name, tree.Composite)
		r.all[name] = t
	}
	return t
}

// segment reads "PID demographic Patient Identification". Its labels are those
// of its fields that say nothing else.
func (r *reader) segment(line string) (*tree.Element, error) {
	name, rest, _ := strings.Cut(line, " ")
	label, title, _ := strings.Cut(rest, " ")
	l, err := r.labelsOf(label)
	if err != nil {
		return nil, err
	}
	if r.segments[name] != nil {
		return nil, errors.New("second segment " + name)
	}
	e := &tree.Element{Name: name, Title: title, Type: tree.NewType(name, tree.Composite), Labels: l, Repeats: !strings.Contains(onlyOnce, name)}
	r.segments[name] = e
	r.order = append(r.order, name)
	return e, nil
}

// coding reads "CX 1 5 national_id SS NI".
func (r *reader) coding(line string) error {
	f := strings.Fields(line)
	if len(f) < 5 {
		return errors.New("a coding is TYPE PART BY LABEL CODES")
	}
	l, err := r.labelsOf(f[3])
	r.coded[f[0]] = append(r.coded[f[0]], tree.Coding{Part: f[1], By: map[string][]string{f[2]: f[4:]}, Labels: l})
	return err
}

func (r *reader) labelsOf(names string) (tree.Labels, error) {
	l, known := r.labels[names]
	if known {
		return l, nil
	}
	for name := range strings.SplitSeq(names, ",") {
		one, ok := tree.ParseLabel(name)
		if !ok {
			return 0, errors.New("unknown label " + name)
		}
		l |= one
	}
	r.labels[names] = l
	return l, nil
}

// A statement is what a line says for one version.
type statement struct {
	spec, table, labels, title string
}

// fieldOf reads "2.4 CE* 0429 =admin Title ; 2.6 CWE* ; 2.8 -" for one version;
// ok is false where the version does not have it.
func fieldOf(line string, v version) (f statement, ok bool, err error) {
	line, changes, _ := strings.Cut(line, " ; ")
	word, rest, _ := strings.Cut(line, " ")
	ok = true
	if word != "" && word[0] == '2' {
		at, known := versionNamed(word)
		if !known {
			return f, false, errors.New("no version " + word)
		}
		ok = v >= at
		word, rest, _ = strings.Cut(rest, " ")
	}
	f.spec = word
	if len(rest) > 5 && rest[4] == ' ' && strings.Trim(rest[:4], "0123456789") == "" {
		f.table, rest = rest[:4], rest[5:]
	}
	if given, has := strings.CutPrefix(rest, "="); has {
		f.labels, rest, _ = strings.Cut(given, " ")
	}
	f.title = rest
	for changes != "" {
		var change string
		change, changes, _ = strings.Cut(changes, " ; ")
		since, spec, _ := strings.Cut(change, " ")
		at, known := versionNamed(since)
		if !known {
			return f, false, errors.New("no version " + since)
		}
		if v >= at {
			spec, table, given := strings.Cut(spec, " ")
			if f.spec, ok = spec, spec != "-"; given {
				f.table = table
			}
		}
	}
	return f, ok, nil
}

// element adds field or component n to its type; segment is nil of a component.
func (r *reader) element(line string, n int, to *tree.Type, segment *tree.Element) error {
	f, ok, err := fieldOf(line, r.version)
	if err != nil || !ok {
		return err
	}
	if len(r.slab) == 0 {
		r.slab = make([]tree.Element, 256)
	}
	e := &r.slab[0]
	r.slab = r.slab[1:]
	e.Name, e.Title = numberName(n), f.title
	spec, bound, bounded := strings.Cut(f.spec, ":")
	if bounded {
		if e.Max, err = strconv.Atoi(bound); err != nil {
			return errors.New("a bound is a number, not " + bound)
		}
	}
	spec, e.Required = strings.CutSuffix(spec, "!")
	name, repeats := strings.CutSuffix(spec, "*")
	e.Repeats = repeats
	if r.version >= v26 {
		switch name {
		case "TS":
			name = "DTM"
		case "CE":
			name = "CWE"
		}
	}
	e.Type = r.typeOf(name)
	e.Max = r.bound(name, e.Max, segment == nil)
	e.Required = e.Required && (segment != nil || r.version >= v25)
	if f.table != "" {
		if r.tables[f.table] == "" {
			r.tables[f.table] = "HL7" + f.table
		}
		e.Table = r.tables[f.table]
	}
	if segment != nil {
		e.Labels, e.Codings = segment.Labels, r.coded[name]
	}
	if f.labels != "" {
		if e.Labels, err = r.labelsOf(f.labels); err != nil {
			return err
		}
	}
	to.Add(e)
	return nil
}

// bound returns the maximum length that the version has for a place of this
// type; given is what the line says.
func (r *reader) bound(typ string, given int, component bool) int {
	switch {
	case leafKinds[typ] == tree.Text && leafMax[typ] == 0 && r.version >= v27,
		component && (r.version < v25 || r.version > v26):
		given = 0
	}
	if given == 0 {
		return leafMax[typ]
	}
	return given
}

// finish takes the labels off the segments, whose fields have them, and
// checks that all types are there.
func (r *reader) finish() error {
	for _, e := range r.segments {
		e.Labels = tree.None
	}
	for name, t := range r.all {
		if t.Kind == tree.Composite && len(t.Elements) == 0 {
			return fmt.Errorf("data type %s is used but not defined in %s", name, versions[r.version])
		}
	}
	for name, e := range r.segments {
		if len(e.Type.Elements) == 0 { // of other versions
			delete(r.segments, name)
		}
	}
	r.order = slices.DeleteFunc(r.order, func(name string) bool { return r.segments[name] == nil })
	return nil
}

// variesType is the type of OBX-5 and its like: any data type, so any
// component and sub-component, all of them text.
func variesType() *tree.Type {
	part := tree.NewType("varies part", tree.Composite)
	whole := tree.NewType("varies", tree.Composite)
	for n := 1; n <= 25; n++ {
		part.Add(&tree.Element{Name: numberName(n), Title: "Sub-Component", Type: tree.NewType("ST", tree.Text)})
		whole.Add(&tree.Element{Name: numberName(n), Title: "Component", Type: part})
	}
	return whole
}

// onlyOnce are the segments that the standard allows once in a message or
// group; of messages whose structure is not known all others repeat.
const onlyOnce = "MSH EVN PID PD1 PV1 PV2 MRG MSA QAK QPD QRD RCP SCH ARQ TXA ORC OBR DRG ACC UB1 UB2 ABS PDA MFI MFE STF PRA LOC RXO RXE RXD RF1 NPU DSC"
