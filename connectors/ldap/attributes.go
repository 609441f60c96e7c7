package ldap

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"

	"github.com/vagus-health/vagus/internal/tree"
)

// attributesText holds what is known of attributes; its head explains its form.
//
//go:embed attributes.txt
var attributesText string

// A syntax says how the bytes of a value are written as text.
type syntax uint8

const (
	plain  syntax = iota
	guid          // 16 bytes, the first three parts with the low byte first
	sid           // [MS-DTYP] 2.4.2.2
	binary        // base64
)

var syntaxes = map[string]syntax{"guid": guid, "sid": sid, "binary": binary}

// Attributes are what the file says.
type attributes struct {
	root     *tree.Type
	syntaxes map[string]syntax // by names in lower case, of those that are not plain
}

var known = sync.OnceValue(func() *attributes {
	a, err := readAttributes(attributesText)
	if err != nil {
		panic("ldap: attributes.txt: " + err.Error())
	}
	return a
})

func readAttributes(text string) (*attributes, error) {
	a := &attributes{root: tree.NewType("", tree.Composite), syntaxes: map[string]syntax{}}
	leaves := map[tree.Kind]*tree.Type{}
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		words := strings.Fields(line)
		if len(words) < 3 {
			return nil, fmt.Errorf("line %d: a name, a type and a title are expected", i+1)
		}
		e := &tree.Element{Name: words[0], Labels: tree.Staff}
		word, title := words[1], words[2:]
		word, e.Repeats = strings.CutSuffix(word, "*")
		if name, ok := strings.CutPrefix(title[0], "="); ok {
			if e.Labels, ok = tree.ParseLabel(name); !ok {
				return nil, fmt.Errorf("line %d: no label %q", i+1, name)
			}
			title = title[1:]
		}
		e.Title = strings.Join(title, " ")
		kind, ok := tree.KindOf(word)
		if s := syntaxes[word]; s != plain {
			a.syntaxes[strings.ToLower(e.Name)] = s
			kind, ok = tree.Text, true
		}
		if !ok || kind == tree.Composite {
			return nil, fmt.Errorf("line %d: no type %q", i+1, word)
		}
		if leaves[kind] == nil {
			leaves[kind] = tree.NewType(word, kind)
		}
		e.Type = leaves[kind]
		if a.root.Element(e.Name) != nil {
			return nil, fmt.Errorf("line %d: %s is there twice", i+1, e.Name)
		}
		a.root.Add(e)
	}
	return a, nil
}
