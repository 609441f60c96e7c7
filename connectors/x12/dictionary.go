package x12

import (
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// dictionaryText holds the segments; its head explains its form.
//
//go:embed dictionary.txt
var dictionaryText string

// A release is a version of the standard, of which the guides are subsets.
type release uint8

const (
	release4010 release = iota
	release5010
)

// A dictionary is what the file says for one release.
type dictionary struct {
	segments map[string]*segmentDef
}

// A segmentDef is a segment of the standard.
type segmentDef struct {
	id, title string
	elements  []elementDef
	codings   []tree.Coding
	notes     []condition
}

// An elementDef is one element of a segment, or a component.
type elementDef struct {
	name     string // "01" of a segment, "1" of a composite
	title    string
	typ      *tree.Type // a leaf's, or the composite
	binary   bool       // type B
	required bool
	repeats  bool
	least    int // characters, 0: one
	max      int
	parts    *segmentDef // of a composite
	number   int         // of the data element, 0 of a composite
	table    string
	labels   tree.Labels // wherever it stands
	personal tree.Labels // where it is the patient's
}

// dictionaries builds each release at most once.
var dictionaries = [...]func() *dictionary{
	release4010: sync.OnceValue(func() *dictionary { return mustReadDictionary(release4010) }),
	release5010: sync.OnceValue(func() *dictionary { return mustReadDictionary(release5010) }),
}

// mustReadDictionary reads the file that the program ships.
func mustReadDictionary(r release) *dictionary {
	d, err := readDictionary(dictionaryText, r)
	if err != nil {
		panic("x12: dictionary.txt: " + err.Error())
	}
	return d
}

// leafKinds are the data types of X12.6 section 3.4.
var leafKinds = map[string]tree.Kind{"R": tree.Number, "ID": tree.Code, "AN": tree.Text, "DT": tree.Date, "TM": tree.Time, "B": tree.Text}

func kindOf(dataType string) (tree.Kind, bool) {
	if len(dataType) == 2 && dataType[0] == 'N' && dataType[1] >= '0' && dataType[1] <= '9' {
		return tree.Number, true
	}
	k, ok := leafKinds[dataType]
	return k, ok
}

// readDictionary reads the file for a release. An error names the line.
func readDictionary(text string, r release) (*dictionary, error) {
	d := &dictionary{segments: map[string]*segmentDef{}}
	leaves, composites := map[string]*tree.Type{}, map[string]*tree.Type{}
	parts := map[string]*segmentDef{} // of composites
	var composite *tree.Type
	var segment *segmentDef // or composite
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) error { return fmt.Errorf("line %d: %s", i+1, what) }
		word, rest, _ := strings.Cut(line, " ")
		name, title, _ := strings.Cut(rest, " ")
		switch word {
		case "", "#":
			continue
		case "type":
			composite, segment = tree.NewType(name, tree.Composite), &segmentDef{id: name}
			composites[name], parts[name] = composite, segment
			continue
		case "note":
			if segment == nil {
				return nil, fail("a note of nothing")
			}
			notes, err := readConditions(rest, r)
			if err != nil {
				return nil, fail(err.Error())
			}
			segment.notes = append(segment.notes, notes...)
			continue
		case "coded":
			f := strings.Fields(rest)
			if segment == nil || composite != nil || len(f) < 4 {
				return nil, fail("a coding is PART BY LABEL CODES, below its segment")
			}
			l, _, err := readLabels(f[2])
			if err != nil {
				return nil, fail(err.Error())
			}
			segment.codings = append(segment.codings, tree.Coding{Part: f[0], By: map[string][]string{f[1]: f[3:]}, Labels: l})
			continue
		case "segment":
			if d.segments[name] != nil {
				return nil, fail("second segment of this name")
			}
			composite, segment = nil, &segmentDef{id: name, title: title}
			d.segments[name] = segment
			continue
		}
		e, has, err := readElement(line, r)
		if err != nil {
			return nil, fail(err.Error())
		}
		dataType, _, _ := strings.Cut(strings.TrimSuffix(word, "*"), " ")
		if kind, ok := kindOf(dataType); ok {
			if leaves[dataType] == nil {
				leaves[dataType] = tree.NewType(dataType, kind)
			}
			e.typ, e.binary = leaves[dataType], dataType == "B"
		} else if e.typ, e.parts = composites[dataType], parts[dataType]; e.typ == nil {
			return nil, fail("unknown data type " + dataType)
		}
		switch {
		case !has:
		case composite != nil:
			e.name = strconv.Itoa(len(composite.Elements) + 1)
			segment.elements = append(segment.elements, e)
			composite.Add(&tree.Element{Name: e.name, Title: e.title, Type: e.typ, Repeats: e.repeats, Required: e.required, Max: e.max, Table: e.table})
		case segment != nil:
			e.name = elementName(len(segment.elements) + 1)
			segment.elements = append(segment.elements, e)
		default:
			return nil, fail("an element of nothing")
		}
	}
	return d, nil
}

// readElement reads "AN O 60/35 =~name Name"; has is false when the release
// does not have it.
func readElement(line string, r release) (e elementDef, has bool, err error) {
	f := strings.SplitN(line, " ", 4)
	if len(f) < 4 {
		return e, false, fmt.Errorf("an element is TYPE, M or O, MAX and Title")
	}
	e.repeats, e.required = strings.HasSuffix(f[0], "*"), f[1] == "M"
	size := f[2]
	if least, rest, both := strings.Cut(size, "-"); both && least != "" {
		if e.least, err = strconv.Atoi(least); err != nil {
			return e, false, fmt.Errorf("%q is not a length", least)
		}
		size = rest
	}
	size, older, differs := strings.Cut(size, "/")
	if differs && r == release4010 {
		size = older
	}
	has = size != "0"
	if size != "-" {
		if e.max, err = strconv.Atoi(size); err != nil {
			return e, false, fmt.Errorf("%q is not a length", size)
		}
	}
	rest := f[3]
	for {
		word, after, _ := strings.Cut(rest, " ")
		switch {
		case strings.HasPrefix(word, "#"):
			if e.number, err = strconv.Atoi(word[1:]); err != nil || e.number < 1 || e.number > 9999 {
				return e, false, fmt.Errorf("%q is no number of a data element", word)
			}
			if strings.TrimSuffix(f[0], "*") == "ID" {
				e.table = "X12-" + word[1:]
			}
		case strings.HasPrefix(word, "="):
			if e.labels, e.personal, err = readLabels(word[1:]); err != nil {
				return e, false, err
			}
		default:
			e.title = rest
			return e, has, nil
		}
		rest = after
	}
}

// readLabels reads "financial,~identifier".
func readLabels(list string) (always, personal tree.Labels, err error) {
	for name := range strings.SplitSeq(list, ",") {
		name, ofPatient := strings.CutPrefix(name, "~")
		l, ok := tree.ParseLabel(name)
		switch {
		case !ok:
			return 0, 0, fmt.Errorf("unknown label %s", name)
		case ofPatient:
			personal |= l
		default:
			always |= l
		}
	}
	return always, personal, nil
}

// elementName returns "01" for 1.
func elementName(n int) string {
	if n < len(elementNames) {
		return elementNames[n]
	}
	return strconv.Itoa(n)
}

var elementNames = func() (s [100]string) {
	for i := range s {
		s[i] = fmt.Sprintf("%02d", i)
	}
	return s
}()

// componentName returns "1" for 1.
func componentName(n int) string { return strconv.Itoa(n) } // one digit allocates nothing

// segmentID returns an identifier without allocating for those of the
// standard.
func segmentID(b []byte) string {
	if def := dictionaries[release5010]().segments[string(b)]; def != nil {
		return def.id
	}
	return string(b)
}
