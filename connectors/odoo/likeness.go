package odoo

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/vagus-health/vagus/broker"
)

// Odoo keeps some values in another shape than they were sent in: formatted text is
// cleaned, and a number is rounded to the digits of its field. liken gives what was read
// of a record the shape of vals where they mean the same, so that a repeat is no change.
func (p *pass) liken(ctx context.Context, r record, vals broker.Values) error {
	have := p.seen[r.model][r.id]
	for name, v := range vals {
		switch v := v.(type) {
		case string:
			text, ok := have[name].(string)
			if !ok || !sameFormatted(text, v) {
				continue
			}
			facts, err := p.t.facts(ctx, p, r.model, []string{name})
			if err != nil {
				return err
			}
			if facts[name].kind == "html" {
				have[name] = v
			}
		case json.Number:
			n, err := v.Float64()
			x, ok := have[name].(float64)
			if !ok || err != nil || n == x {
				continue
			}
			facts, err := p.t.facts(ctx, p, r.model, []string{name})
			if err != nil {
				return err
			}
			if f := facts[name]; f.digits >= 0 && sameRounded(n, x, f.digits) {
				have[name] = n
			}
		}
	}
	return nil
}

// sameFormatted says whether a stored text is what Odoo's cleaning makes of one that was
// sent: written in another way, put into a paragraph, or out of a division of its own.
// What the cleaning takes something else from differs.
func sameFormatted(stored, sent string) bool {
	if len(stored) > 2*maxCompared || !strings.Contains(stored, "<") && !strings.Contains(sent, "<") {
		return false
	}
	there, ours := fragment(stored), fragment(sent)
	as := written(ours)
	return as != "" && (as == written(there) || as == written(inside(there)) || written(inside(ours)) == written(there))
}

// fragment parses what a formatted field holds; nil: it cannot be.
func fragment(text string) []*html.Node {
	nodes, err := html.ParseFragment(strings.NewReader(text), &html.Node{Type: html.ElementNode, Data: "div", DataAtom: atom.Div})
	if err != nil {
		return nil
	}
	return nodes
}

// inside is the content of a lone element that only holds the text together.
func inside(nodes []*html.Node) []*html.Node {
	if len(nodes) != 1 || len(nodes[0].Attr) > 0 {
		return nodes
	}
	switch nodes[0].DataAtom {
	case atom.P, atom.Div, atom.Span:
		return slices.Collect(nodes[0].ChildNodes())
	}
	return nodes
}

// written is the one way to write nodes down.
func written(nodes []*html.Node) string {
	var b strings.Builder
	for _, n := range nodes {
		if html.Render(&b, n) != nil {
			return ""
		}
	}
	return b.String()
}

// sameRounded says whether x is n rounded to some digits, halves away from zero as Odoo does.
func sameRounded(n, x float64, digits int) bool {
	unit := math.Pow10(digits)
	return math.Abs(math.Copysign(math.Floor(math.Abs(n)*unit+0.5+1e-6), n)-x*unit) < 1e-6
}
