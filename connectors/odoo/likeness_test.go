package odoo

import (
	"encoding/json"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

func TestWhatOdooKeepsInAnotherShapeIsNotWrittenAgain(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		var writes atomic.Int32
		watched := *b
		watched.url = flaky(t, b.url, func(path string, body []byte) bool {
			if isMutating(path, body) {
				writes.Add(1)
			}
			return false
		})
		again := watched.as(t, b.user, b.key)
		xid := b.xid("shapes")
		for name, c := range map[string]struct {
			model string
			vals  broker.Values
		}{
			"a text, a flag, a date, numbers": {"res.partner", broker.Values{"name": "n", "is_company": true, "color": json.Number("3"), "ref": "00012", "zip": ""}},
			"plain text in a formatted field": {"res.partner", broker.Values{"name": "n", "comment": "a &lt; b, it&#39;s &#34;so&#34;\nnext"}},
			"formatted text":                  {"res.partner", broker.Values{"name": "n", "comment": "Seen <b>today</b><br/>&amp; <a href=\"https://x.example/?a=1&b=2\">there</a>"}},
			"a list in a division":            {"res.partner", broker.Values{"name": "n", "comment": "<div><ul><li>one</li><li>two</li></ul></div>"}},
			"relations":                       {"res.partner", broker.Values{"name": "n", "country_id": refTo("res.country", map[string]any{"code": "US"}), "category_id": map[string]any{"$replace": []any{}}}},
			"a price with too many digits":    {"product.product", broker.Values{"name": "n", "list_price": json.Number("12.345")}},
			"one that is rounded away":        {"product.product", broker.Values{"name": "n", "list_price": json.Number("-2.675")}},
			"a document with lines": {"account.move", broker.Values{"move_type": "out_invoice", "invoice_date": "2026-03-14", "narration": "As agreed",
				"invoice_line_ids": map[string]any{"$replace": []any{map[string]any{"key": "1", "vals": map[string]any{"name": "Line", "quantity": json.Number("2"), "price_unit": json.Number("10.50")}}}}}},
		} {
			if b.simulated == nil && !b.has(c.model) {
				t.Logf("the database has no %s: %q is not checked on it", c.model, name)
				continue
			}
			own := xid + strings.Map(func(c rune) rune {
				if c < 'a' || c > 'z' {
					return '_'
				}
				return c
			}, name)
			unit := func() *broker.Unit {
				return b.unit(broker.Operation{ID: "it", Model: c.model, Do: "upsert", XID: own, Vals: c.vals})
			}
			b.applied(t, unit())
			writes.Store(0)
			if o := applyTo(t, again, unit())[0]; o.Result != broker.Applied {
				t.Fatalf("%s: %s: %s", name, o.Class, o.Reason)
			}
			if n := writes.Load(); n != 0 {
				t.Errorf("%s: written again, by %d calls", name, n)
			}
		}
		// A difference that is one is written.
		b.applied(t, b.unit(upsert(xid+"_text", broker.Values{"name": "n", "comment": "one"})), b.unit(upsert(xid+"_text", broker.Values{"name": "n", "comment": "two"})))
		want(t, b.read(t, xid+"_text", "comment"), map[string]any{"comment": "<p>two</p>"})
		// Neither is a number rounded that its field keeps whole.
		b.applied(t, b.unit(upsert(xid+"_whole", broker.Values{"name": "n", "partner_latitude": json.Number("10")})), b.unit(upsert(xid+"_whole", broker.Values{"name": "n", "partner_latitude": json.Number("10.3")})))
		want(t, b.read(t, xid+"_whole", "partner_latitude"), map[string]any{"partner_latitude": 10.3})
		b.applied(t, b.unit(upsert(xid+"_tags", broker.Values{"name": "<p>n</p>"})))
		b.applied(t, b.unit(upsert(xid+"_tags", broker.Values{"name": "n"}))) // a field without format has no paragraphs
		want(t, b.read(t, xid+"_tags", "name"), map[string]any{"name": "n"})
	})
}

func TestRoundingToTheDigitsOfAField(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		n, x   float64
		digits int
		same   bool
	}{{12.345, 12.35, 2, true}, {2.675, 2.68, 2, true}, {2.675, 2.67, 2, false}, {-2.675, -2.68, 2, true}, {1.005, 1.01, 2, true}, {0.125, 0.13, 2, true}, {12.344, 12.35, 2, false}, {12.4, 12, 0, true}, {12.5, 13, 0, true}, {1.23456, 1.2346, 4, true}} {
		if got := sameRounded(c.n, c.x, c.digits); got != c.same {
			t.Errorf("%v to %d digits and %v: %v", c.n, c.digits, c.x, got)
		}
	}
}

// The texts of the first list were sent to a real server, and are stored as it has them.
func TestFormattedTextIsTheSameWhateverOdooMakesOfIt(t *testing.T) {
	t.Parallel()
	for _, c := range [][2]string{
		{"a &lt; b", "<p>a &lt; b</p>"}, {"it&#39;s", "<p>it's</p>"}, {"a\nb", "<p>a\nb</p>"}, {"a<br/>b", "<p>a<br>b</p>"}, {"<b>x</b>", "<b>x</b>"},
		{"<div>x</div>", "x"}, {"<div><p>a</p></div>", "<p>a</p>"}, {"<P>UP</P>", "<p>UP</p>"}, {"<p>x", "<p>x</p>"}, {"<p>a & b</p>", "<p>a &amp; b</p>"},
		{"lead <b>x</b> tail", "<p>lead <b>x</b> tail</p>"}, {"<p>x</p> tail", "<p>x</p> tail"}, {"<p>&nbsp;x&#160;y</p>", "<p>&nbsp;x&nbsp;y</p>"},
		{"<i>a</i><b>b</b>", "<span><i>a</i><b>b</b></span>"}, {`<a href="https://x.org/?a=1&b=2">l</a>`, `<a href="https://x.org/?a=1&amp;b=2">l</a>`},
		{`<p style="color:red">"q" 's'</p>`, `<p style="color:red">"q" 's'</p>`}, {"<ul><li>one<li>two</ul>", "<ul><li>one</li><li>two</li></ul>"},
	} {
		if !sameFormatted(c[1], c[0]) {
			t.Errorf("%s is stored as %s", c[0], c[1])
		}
	}
	for _, c := range [][2]string{
		{"a", "a"}, {"b", "<p>a</p>"}, {"a", "<p><b>a</b></p>"}, {"<span>x</span>", "<p>x</p>"}, {"<p>a</p><p>b</p>", "<p>a</p>"}, {"<p>a</p><p>b</p>", "<p>ab</p>"},
		{"<i>x</i>", "<b>x</b>"}, {`<a href="1">l</a>`, `<a href="2">l</a>`}, {`<p class="c">x</p>`, "x"}, {"x", `<p class="c">x</p>`}, {"<p>a b</p>", "<p>a  b</p>"},
		{"<script>1</script><p>x</p>", "<p>x</p>"}, {"", "<p></p>"}, {"x", "<p>x</p>" + strings.Repeat(" ", 2*maxCompared)},
	} {
		if sameFormatted(c[1], c[0]) {
			t.Errorf("%s is taken for %s", c[0], c[1])
		}
	}
}
