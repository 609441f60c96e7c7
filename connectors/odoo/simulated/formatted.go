package simulated

import (
	"strings"

	markup "golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// cleaned is what Odoo keeps of formatted text, nearly: no scripts, a text that begins
// without a tag in a paragraph, one in a division without it.
func cleaned(text string) string {
	nodes, err := markup.ParseFragment(strings.NewReader(text), &markup.Node{Type: markup.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil || len(nodes) == 0 {
		return text
	}
	var b strings.Builder
	if len(nodes) == 1 && nodes[0].DataAtom == atom.Div && len(nodes[0].Attr) == 0 {
		for n := range nodes[0].ChildNodes() {
			_ = markup.Render(&b, n)
		}
		return b.String()
	}
	for _, n := range nodes {
		if n.DataAtom != atom.Script && n.DataAtom != atom.Style {
			_ = markup.Render(&b, n)
		}
	}
	if nodes[0].Type == markup.TextNode {
		return "<p>" + strings.NewReplacer("&#39;", "'", "&#34;", `"`).Replace(b.String()) + "</p>"
	}
	return b.String()
}
