package dicom

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// The facts of the standard; the heads of the files explain their forms.
var (
	//go:embed attributes.txt
	attributesText string
	//go:embed items.txt
	itemsText string
)

// A dictionary is what the files say.
type dictionary struct {
	root     *tree.Type                // every attribute, by keyword: a data set, and an item of any sequence
	name     *tree.Type                // PN
	keywords map[string]string         // by tag, in upper case
	wire     *tree.Type                // the JSON model of root
	wires    map[*tree.Type]*tree.Type // the JSON model of the types of items, and of root
	tags     map[string]string         // by keyword
}

var standard = sync.OnceValue(func() *dictionary {
	d, err := readDictionary(attributesText, itemsText)
	if err != nil {
		panic("dicom: " + err.Error())
	}
	return d
})

// kinds are what the value representations mean (PS3.5, section 6.2). SQ and
// PN have types of their own.
var kinds = map[string]tree.Kind{
	"AE": tree.Text, "AS": tree.Text, "AT": tree.Text, "LO": tree.Text, "LT": tree.Text, "SH": tree.Text, "ST": tree.Text,
	"UC": tree.Text, "UI": tree.Text, "UR": tree.Text, "UT": tree.Text, "CS": tree.Code,
	"DA": tree.Date, "DT": tree.DateTime, "TM": tree.Time,
	"DS": tree.Number, "FD": tree.Number, "FL": tree.Number, "IS": tree.Number, "SL": tree.Number, "SS": tree.Number,
	"SV": tree.Number, "UL": tree.Number, "US": tree.Number, "UV": tree.Number,
}

func readDictionary(attributes, items string) (*dictionary, error) {
	d := &dictionary{root: tree.NewType("", tree.Composite), name: nameType(), keywords: map[string]string{}, tags: map[string]string{}}
	leaves := map[string]*tree.Type{"PN": d.name}
	for vr, kind := range kinds {
		leaves[vr] = tree.NewType(vr, kind)
	}
	sequences := map[string]*tree.Element{}
	for i, line := range strings.Split(attributes, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.SplitN(line, " ", 5)
		if len(words) < 5 || len(words[0]) != 8 {
			return nil, fmt.Errorf("attributes.txt:%d: a tag, a VR, a keyword, a label and a name are expected", i+1)
		}
		tag, vr, keyword := words[0], words[1], words[2]
		label, ok := tree.ParseLabel(words[3])
		if !ok {
			return nil, fmt.Errorf("attributes.txt:%d: no label %q", i+1, words[3])
		}
		vr, several := strings.CutSuffix(vr, "*")
		e := &tree.Element{Name: keyword, Title: words[4], Type: leaves[vr], Repeats: several || vr == "SQ", Labels: label}
		switch {
		case vr == "SQ":
			sequences[keyword] = e
		case e.Type == nil:
			return nil, fmt.Errorf("attributes.txt:%d: no VR %q", i+1, vr)
		}
		if d.keywords[tag] != "" || d.tags[keyword] != "" {
			return nil, fmt.Errorf("attributes.txt:%d: %s is there twice", i+1, keyword)
		}
		d.keywords[tag], d.tags[keyword] = keyword, tag
		d.root.Add(e)
	}
	code, err := d.readItems(items, sequences)
	if err != nil {
		return nil, err
	}
	for keyword, e := range sequences {
		switch {
		case e.Type != nil:
		case strings.HasSuffix(keyword, "CodeSequence"):
			e.Type = code
		default:
			e.Type = d.root
		}
	}
	d.wires = map[*tree.Type]*tree.Type{}
	d.wire = d.wireType(d.root)
	return d, nil
}

// readItems gives sequences the types of their items and returns the type of a
// code, the macro of that name.
func (d *dictionary) readItems(items string, sequences map[string]*tree.Element) (*tree.Type, error) {
	macros := map[string][]string{}
	for i, line := range strings.Split(items, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("items.txt:%d: a name and keywords are expected", i+1)
		}
		var keywords []string
		for _, w := range words[2:] {
			if macro, ok := strings.CutPrefix(w, "+"); ok {
				if macros[macro] == nil {
					return nil, fmt.Errorf("items.txt:%d: no macro %s", i+1, macro)
				}
				keywords = append(keywords, macros[macro]...)
			} else {
				keywords = append(keywords, w)
			}
		}
		if words[0] == "macro" {
			macros[words[1]] = keywords
			continue
		}
		of := sequences[words[1]]
		if of == nil || of.Type != nil {
			return nil, fmt.Errorf("items.txt:%d: %s is no sequence, or there twice", i+1, words[1])
		}
		t, err := d.itemType(words[1], keywords)
		if err != nil {
			return nil, fmt.Errorf("items.txt:%d: %w", i+1, err)
		}
		of.Type = t
	}
	return d.itemType("code", macros["code"])
}

func (d *dictionary) itemType(name string, keywords []string) (*tree.Type, error) {
	t := tree.NewType(name, tree.Composite)
	for _, k := range keywords {
		e := d.root.Element(k)
		if e == nil || t.Element(k) != nil {
			return nil, fmt.Errorf("%s: no attribute %s, or there twice", name, k)
		}
		t.Add(e)
	}
	return t, nil
}

// nameType returns the type of a person name: groups for its writings, with
// five components each (PS3.5, section 6.2.1), by the names of PS3.19, A.1.
func nameType() *tree.Type {
	text := tree.NewType("text", tree.Text)
	group := tree.NewType("PersonNameGroup", tree.Composite)
	for i, component := range nameComponents {
		group.Add(&tree.Element{Name: component, Title: nameTitles[i], Type: text})
	}
	return tree.NewType("PersonName", tree.Composite,
		&tree.Element{Name: nameGroups[0], Title: "Alphabetic Name", Type: group},
		&tree.Element{Name: nameGroups[1], Title: "Ideographic Name", Type: group},
		&tree.Element{Name: nameGroups[2], Title: "Phonetic Name", Type: group})
}

var (
	nameGroups     = [...]string{"Alphabetic", "Ideographic", "Phonetic"}
	nameComponents = [...]string{"FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix"}
	nameTitles     = [...]string{"Family Name", "Given Name", "Middle Name", "Name Prefix", "Name Suffix"}
)

// wireType returns the JSON model of a type: an object of vr and Value under
// each tag (PS3.18, F.2). Tags are in upper case there; lower case is taken too.
func (d *dictionary) wireType(t *tree.Type) *tree.Type {
	if w := d.wires[t]; w != nil {
		return w
	}
	w := tree.NewType(t.Name, tree.Composite)
	d.wires[t] = w
	for _, e := range t.Elements {
		value := e.Type
		if len(value.Elements) > 0 && value != d.name {
			value = d.wireType(value)
		}
		attribute := tree.NewType("attribute", tree.Composite, &tree.Element{Name: "Value", Type: value, Repeats: true})
		tag := d.tags[e.Name]
		w.Add(&tree.Element{Name: tag, Type: attribute})
		if lower := strings.ToLower(tag); lower != tag {
			w.Add(&tree.Element{Name: lower, Type: attribute})
		}
	}
	return w
}
