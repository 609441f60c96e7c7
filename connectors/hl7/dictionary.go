package hl7

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// dictionaryText holds the facts of the standard; its head explains its form.
//
//go:embed dictionary.txt
var dictionaryText string

// versions are the names that Schema takes and the minor version whose
// additions each one has.
var versions = []struct {
	name  string
	minor int
}{
	{"2.3", 5}, {"2.3.1", 5}, {"2.4", 5}, {"2.5", 5}, {"2.5.1", 5}, {"2.6", 6}, {"2.7", 7}, {"2.7.1", 7}, {"2.8", 8},
}

func versionNames() string {
	names := make([]string, len(versions))
	for i, v := range versions {
		names[i] = v.name
	}
	return strings.Join(names, ", ")
}

// A dictionary is what the file says for one version.
type dictionary struct {
	segments map[string]*tree.Element // name → element for the root of a message
	order    []string                 // names in the file's order
}

// dictionaries builds each version at most once.
var dictionaries = [...]func() *dictionary{
	5: sync.OnceValue(func() *dictionary { return mustRead(5) }),
	6: sync.OnceValue(func() *dictionary { return mustRead(6) }),
	7: sync.OnceValue(func() *dictionary { return mustRead(7) }),
	8: sync.OnceValue(func() *dictionary { return mustRead(8) }),
}

func dictionaryOf(version string) (*dictionary, error) {
	for _, v := range versions {
		if v.name == version {
			return dictionaries[v.minor](), nil
		}
	}
	return nil, fmt.Errorf("hl7v2 has no version %q: use one of %s", version, versionNames())
}

// mustRead reads the file that the program ships.
func mustRead(minor int) *dictionary {
	d, err := readDictionary(dictionaryText, minor)
	if err != nil {
		panic("hl7: dictionary.txt: " + err.Error())
	}
	return d
}

// leafKinds are the primitive data types (chapter 2A).
var leafKinds = map[string]tree.Kind{
	"ST": tree.Text, "TX": tree.Text, "FT": tree.Text, "GTS": tree.Text, "-": tree.Text,
	"ID": tree.Code, "IS": tree.Code,
	"NM": tree.Number, "SI": tree.Number,
	"DT": tree.Date, "DTM": tree.DateTime, "TM": tree.Time,
}

func readDictionary(text string, minor int) (*dictionary, error) {
	types := make(map[string]*tree.Type)
	for name, kind := range leafKinds {
		types[name] = tree.NewType(name, kind)
	}
	types["varies"] = variesType()
	typeOf := func(name string) *tree.Type {
		t := types[name]
		if t == nil { // defined further on
			t = tree.NewType(name, tree.Composite)
			types[name] = t
		}
		return t
	}
	d := &dictionary{segments: make(map[string]*tree.Element)}
	labels := make(map[string]tree.Labels) // of segments
	var cur *tree.Type                     // nil: lines belong to a later version
	var curLabels tree.Labels
	for i, line := range strings.Split(text, "\n") {
		fail := func(what string) error { return fmt.Errorf("line %d: %s", i+1, what) }
		word, rest, _ := strings.Cut(line, " ")
		name, rest2, _ := strings.Cut(rest, " ")
		switch word {
		case "", "#":
		case "type":
			cur, curLabels = typeOf(name), tree.None
		case "segment":
			label, title, _ := strings.Cut(rest2, " ")
			l, ok := tree.ParseLabel(label)
			if !ok || d.segments[name] != nil {
				return nil, fail("unknown label or second segment of this name")
			}
			cur, curLabels, labels[name] = tree.NewType(name, tree.Composite), l, l
			d.segments[name] = &tree.Element{Name: name, Title: title, Type: cur, Repeats: !strings.Contains(onlyOnce, name)}
			d.order = append(d.order, name)
		case "extend":
			cur, curLabels = nil, tree.None
			if minor < minorVersion(rest2) {
				break
			}
			cur = types[name]
			if e := d.segments[name]; e != nil {
				cur, curLabels = e.Type, labels[name]
			}
			if cur == nil {
				return nil, fail("extends nothing")
			}
		default:
			if cur == nil {
				break
			}
			e, err := readElement(line, curLabels, typeOf)
			if err != nil {
				return nil, fail(err.Error())
			}
			e.Name = numberName(len(cur.Elements) + 1)
			cur.Add(e)
		}
	}
	for name, t := range types {
		if t.Kind == tree.Composite && len(t.Elements) == 0 {
			return nil, fmt.Errorf("data type %s is used but not defined", name)
		}
	}
	return d, nil
}

// readElement reads "CX* 0061 =identifier Patient Identifier List".
func readElement(line string, labels tree.Labels, typeOf func(string) *tree.Type) (*tree.Element, error) {
	word, rest, _ := strings.Cut(line, " ")
	name, repeats := strings.CutSuffix(word, "*")
	e := &tree.Element{Type: typeOf(name), Repeats: repeats, Labels: labels}
	if len(rest) > 5 && rest[4] == ' ' && strings.Trim(rest[:4], "0123456789") == "" {
		e.Table, rest = "HL7"+rest[:4], rest[5:]
	}
	if given, ok := strings.CutPrefix(rest, "="); ok {
		var names string
		names, rest, _ = strings.Cut(given, " ")
		e.Labels = tree.None
		for _, n := range strings.Split(names, ",") {
			l, ok := tree.ParseLabel(n)
			if !ok {
				return nil, fmt.Errorf("unknown label %s", n)
			}
			e.Labels |= l
		}
	}
	e.Title = rest
	return e, nil
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
// group; all others repeat.
const onlyOnce = "MSH EVN PID PD1 PV1 PV2 MRG MSA QAK QPD QRD RCP SCH ARQ TXA ORC OBR DRG ACC UB1 UB2 ABS PDA MFI MFE STF PRA LOC RXO RXE RXD RF1 NPU DSC"
