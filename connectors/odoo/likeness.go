package odoo

import (
	"context"
	"encoding/json"
	"html"
	"math"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// Odoo keeps some values in another shape than they were sent in: a plain text in
// a field of formatted text stands in a paragraph, and a number is rounded to the
// digits of its field. liken gives what was read of a record the shape of vals
// where they mean the same, so that a repeat is no change. Formatted text with
// tags of its own is not compared: what Odoo's cleaning leaves of it is not known.
func (p *pass) liken(ctx context.Context, r record, vals broker.Values) error {
	have := p.seen[r.model][r.id]
	for name, v := range vals {
		switch v := v.(type) {
		case string:
			text, ok := have[name].(string)
			if !ok || !sameText(text, v) {
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
			if !ok || err != nil || n == x || math.Abs(n-x) > 0.5 {
				continue
			}
			facts, err := p.t.facts(ctx, p, r.model, []string{name})
			if err != nil {
				return err
			}
			if f := facts[name]; f.kind == "float" && f.digits >= 0 && sameRounded(n, x, f.digits) {
				have[name] = n
			}
		}
	}
	return nil
}

// sameText says whether a stored text is the paragraph that Odoo makes of a plain one.
func sameText(stored, plain string) bool {
	inner, opens := strings.CutPrefix(stored, "<p>")
	inner, closes := strings.CutSuffix(inner, "</p>")
	return opens && closes && !strings.Contains(plain, "<") && html.UnescapeString(inner) == html.UnescapeString(plain)
}

// sameRounded says whether x is n rounded to some digits, halves away from zero as Odoo does.
func sameRounded(n, x float64, digits int) bool {
	unit := math.Pow10(digits)
	return math.Abs(math.Copysign(math.Floor(math.Abs(n)*unit+0.5+1e-6), n)-x*unit) < 1e-6
}
