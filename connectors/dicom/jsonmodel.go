package dicom

import (
	"bytes"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// byTag says that the first name of an object is a tag: eight hexadecimal
// digits. No keyword is.
func byTag(body []byte) bool {
	_, rest, ok := bytes.Cut(body, []byte(`"`))
	name, _, closed := bytes.Cut(rest[:min(len(rest), 16)], []byte(`"`))
	return ok && closed && len(name) == 8 && len(bytes.Trim(name, "0123456789abcdefABCDEF")) == 0
}

// byKeyword returns the attributes of a data set or an item of the JSON model
// as a type has them, by keyword.
func byKeyword(item *tree.Node, typ *tree.Type, only tree.Selection) []*tree.Node {
	var out []*tree.Node
	for _, attribute := range item.Kids {
		keyword := standard().keywords[strings.ToUpper(attribute.Name)]
		e := typ.Element(keyword)
		if e == nil {
			continue
		}
		if only != nil && !only[typ.Name][keyword] && len(out) > 0 { // the first one always: an item must not look empty
			continue
		}
		if attribute.State == tree.Null {
			out = append(out, &tree.Node{Name: keyword, State: tree.Null, Pos: attribute.Pos})
			continue
		}
		for _, value := range attribute.Kids {
			value.Name = keyword
			if len(e.Type.Elements) > 0 && e.Type != standard().name && value.State == tree.Value {
				value.Kids = byKeyword(value, e.Type, only)
				if len(value.Kids) == 0 {
					continue
				}
			}
			out = append(out, value)
		}
	}
	return out
}

// splitNames takes the person names in a tree apart.
func splitNames(n *tree.Node, typ *tree.Type) {
	kept := n.Kids[:0]
	for _, k := range n.Kids {
		e := typ.Element(k.Name)
		switch {
		case e == nil || k.State != tree.Value:
		case e.Type == standard().name:
			if !splitName(k) {
				continue
			}
		case len(k.Kids) > 0:
			if splitNames(k, e.Type); len(k.Kids) == 0 {
				continue
			}
		}
		kept = append(kept, k)
	}
	n.Kids = kept
}

// splitName takes a person name apart, which is "Family^Given^Middle^Prefix^
// Suffix", up to three of these joined by =, or an object of the three. It says
// whether anything is left.
func splitName(n *tree.Node) bool {
	groups := n.Kids
	if len(groups) == 0 {
		if n.Text == "" { // left out by a selection, or an attribute without content
			return true
		}
		for i, text := range strings.SplitN(n.Text, "=", len(nameGroups)) {
			groups = append(groups, &tree.Node{Name: nameGroups[i], State: tree.Value, Text: text, Pos: n.Pos})
		}
		n.Text = ""
	}
	n.Kids = nil
	for _, g := range groups {
		if g.State == tree.Null {
			n.Kids = append(n.Kids, g)
			continue
		}
		for i, text := range strings.SplitN(g.Text, "^", len(nameComponents)) {
			if text = strings.Trim(text, " "); text != "" {
				g.Kids = append(g.Kids, &tree.Node{Name: nameComponents[i], State: tree.Value, Text: text, Pos: g.Pos})
			}
		}
		g.Text = ""
		if len(g.Kids) > 0 {
			n.Kids = append(n.Kids, g)
		}
	}
	return len(n.Kids) > 0
}
