package lsp

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	shipped = "../../../mappings"
	north   = "examples/north/01-hl7-adt/adt-patient.map.yaml"
	merge   = "examples/north/01-hl7-adt/adt-merge.map.yaml"
	order   = "examples/north/04-x12-procurement/po-850-out.map.yaml"
	address = "examples/north/fragments/hl7-xad-address.yaml"
	suite   = "examples/north/01-hl7-adt/adt-patient.test.yaml"
)

func TestASessionBeginsWithInitializeAndEndsWithExit(t *testing.T) {
	t.Parallel()
	c := start(t, shipped)
	if _, err := c.ask("textDocument/hover", positionParams{}); err == nil || err.Code != codeNotInitialized {
		t.Errorf("before initialize: %v", err)
	}
	c.call("initialize", initializeParams{}, new(initializeResult))
	for method, want := range map[string]int{"initialize": codeInvalidRequest, "textDocument/rename": codeMethodNotFound, "textDocument/hover": codeInvalidParams} {
		var params any = initializeParams{}
		if method == "textDocument/hover" {
			params = []int{1}
		}
		if _, err := c.ask(method, params); err == nil || err.Code != want {
			t.Errorf("%s: %v, want %d", method, err, want)
		}
	}
	if body, err := c.ask("textDocument/hover", positionParams{textDocumentID{"file:///elsewhere"}, position{}}); err != nil || string(body) != "null" {
		t.Errorf("a document that is not open: %s %v", body, err)
	}
	if _, err := c.ask("shutdown", nil); err != nil {
		t.Error(err)
	}
	if _, err := c.ask("textDocument/hover", positionParams{}); err == nil || err.Code != codeInvalidRequest {
		t.Errorf("after shutdown: %v", err)
	}
	c.notify("exit", nil)
	if err := <-c.ended; err != nil {
		t.Error(err)
	}
}

func TestMalformedInputEndsTheSessionOrIsAnswered(t *testing.T) {
	t.Parallel()
	for what, c := range map[string]struct{ sent, want string }{
		"no length":            {"X: 1\r\n\r\n", "no Content-Length"},
		"a length too large":   {"Content-Length: 99999999\r\n\r\n", "up to 8388608"},
		"a negative length":    {"Content-Length: -1\r\n\r\n", "is a number"},
		"a header that is not": {"hello\r\n\r\n", "without a colon"},
		"endless headers":      {strings.Repeat("A: b\r\n", 1000), "bytes of headers"},
		"one endless line":     {strings.Repeat("A", 10_000), "buffer full"},
		"a body cut short":     {"Content-Length: 10\r\n\r\n{}", "body"},
		"an end in a header":   {"Content-", "headers"},
		"an end at once":       {"", "without shutdown"},
		"exit without shutdown": {frameOf(`{"jsonrpc":"2.0","method":"exit"}`),
			"exit without shutdown"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			cl := start(t, shipped)
			go func() {
				for range cl.frames {
				}
			}()
			_, _ = cl.in.Write([]byte(c.sent))
			cl.in.Close()
			if err := <-cl.ended; err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("ended with %v, want %s", err, c.want)
			}
		})
	}
	c := open(t, shipped)
	for _, sent := range []string{`{`, `[]`, `"x"`, `{"jsonrpc":"2.0"}`} {
		c.raw(frameOf(sent))
		if m := c.receive(); m["error"] == nil {
			t.Errorf("%s is answered by %v", sent, m)
		}
	}
	c.raw(frameOf(`{"jsonrpc":"2.0","id":7,"result":null}`)) // an answer to nothing
	c.notify("textDocument/didChange", didChangeParams{})    // of a document that is not open
	c.notify("$/unknown", nil)
	c.end()
}

func frameOf(body string) string { return fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body) }

func TestDiagnosticsFollowTheText(t *testing.T) {
	t.Parallel()
	for _, encoding := range []string{"utf-16", "utf-8"} {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			c := open(t, shipped, encoding)
			uri := c.uri(merge)
			var p didOpenParams
			p.TextDocument.URI, p.TextDocument.Version, p.TextDocument.Text = uri, 1, c.file(merge)
			c.notify("textDocument/didOpen", p)
			if d := c.diagnostics(uri, 1); len(d) != 0 {
				t.Errorf("the file as it is: %v", d)
			}
			// Two characters outside of the BMP and one inside stand before the fault on its line.
			lines := strings.Split(p.TextDocument.Text, "\n")
			n := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "ref:   ") })
			change := func(version int, from, to position, text string) {
				ch := didChangeParams{ContentChanges: []contentChange{{Range: &textRange{from, to}, Text: text}}}
				ch.TextDocument.URI, ch.TextDocument.Version = uri, version
				c.notify("textDocument/didChange", ch)
			}
			change(2, position{n, 0}, position{n, 1000}, `      comment: { value: "😀😀→", frm: x }`)
			d := c.diagnostics(uri, 2)
			col, emoji := 35, 5 // 😀😀→ is 5 units of UTF-16 and 11 bytes
			if encoding == "utf-8" {
				emoji = 11
			}
			col = strings.Index(`      comment: { value: "`, `"`) + 1 + emoji + len(`", `)
			if len(d) != 1 || d[0].Range != (textRange{position{n, col}, position{n, col + 3}}) || !strings.Contains(d[0].Message, `a rule has no key "frm"`) || d[0].Severity != 1 || d[0].Code != "unknown-key" {
				t.Errorf("%+v, want one at %d:%d", d, n, col)
			}
			change(3, position{n, col}, position{n, col + len("frm: x")}, "on_error: skip")
			if d := c.diagnostics(uri, 3); len(d) != 0 {
				t.Errorf("after the fix: %v", d)
			}
			whole := didChangeParams{ContentChanges: []contentChange{{Text: "kind: mapping\n"}}}
			whole.TextDocument.URI, whole.TextDocument.Version = uri, 4
			c.notify("textDocument/didChange", whole)
			if d := c.diagnostics(uri, 4); len(d) == 0 {
				t.Error("a file of one line has no faults")
			}
			c.notify("textDocument/didClose", didCloseParams{textDocumentID{uri}})
			if d := c.diagnostics(uri, -1); len(d) != 0 {
				t.Errorf("after it was closed: %v", d)
			}
			c.end()
		})
	}
}

func TestAFaultInAFragmentIsShownInTheFragmentAsItIsTyped(t *testing.T) {
	t.Parallel()
	c := open(t, shipped)
	const fragment = "examples/north/fragments/hl7-xad-address.yaml"
	c.edit(north, "title:", "‸title:")
	c.edit(fragment, `"${a}.3"`, `"‸${a}.33"`)
	for {
		d := c.diagnostics(c.uri(fragment), 1)
		if len(d) > 0 {
			if !strings.Contains(d[0].Message, "XAD") || d[0].Code != "path" {
				t.Errorf("%+v", d[0])
			}
			break
		}
		c.receive()
	}
	c.notify("textDocument/didClose", didCloseParams{textDocumentID{c.uri(fragment)}})
	for len(c.diagnostics(c.uri(fragment), -1)) > 0 { // the mapping sees the file on disk again
		c.receive()
	}
	c.end()
}

func (c *client) labels(at positionParams) []string {
	var list completionList
	c.call("textDocument/completion", at, &list)
	out := []string{}
	for _, i := range list.Items {
		out = append(out, i.Label)
	}
	return out
}

func TestCompletionKnowsWhatMayStandWhereTheCaretIs(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, file, old, new string
		want                 []string // among others
		not                  []string
	}{
		{"keys of the file", north, "owner:", "‸", []string{"on_dead_letter", "owner", "emit"}, []string{"title", "xid", "set"}},
		{"a word", north, "unit: atomic", "unit: ‸", []string{"atomic", "resumable"}, []string{"kind"}},
		{"a word begun", north, "unit: atomic", "unit: at‸", []string{"atomic"}, nil},
		{"keys of an operation", north, "    do: upsert\n    match", "    do: upsert\n    ‸\n    match", []string{"each", "when", "only_if"}, []string{"do", "match"}},
		{"a model", north, "model: res.partner", "model: res.‸", []string{"res.partner", "res.country"}, nil},
		{"fields of the model", north, "      ref:             mrn", "      ‸\n      ref: mrn", []string{"vat", "comment", "x_class_of_trade"}, []string{"ref", "res.partner"}},
		{"a field begun, without a line behind it", north, `      ref:             mrn`, "      re‸", []string{"ref"}, []string{"name"}},
		{"keys of a rule in braces", north, "{ from: mrn }", "{ from: mrn, ‸ }", []string{"map", "cel", "required"}, []string{"from", "name"}},
		{"keys of a rule in braces that are open", north, "{ from: mrn }", "{ from: mrn, ‸", []string{"map", "cel"}, []string{"from"}},
		{"keys of a rule as a block", north, "        required: true\n", "        ‸\n", []string{"required", "map"}, []string{"from", "cel"}},
		{"segments and lets", north, "{ from: mrn }", "{ from: ‸ }", []string{"PID Patient Identification", "NK1 Next of Kin / Associated Parties", "mrn"}, nil},
		{"fields of a segment", north, "PID-18.1", "PID-‸", []string{"5 Patient Name", "18 Patient Account Number"}, []string{"PID Patient Identification", "mrn"}},
		{"a field begun in a segment", north, "PID-18.1", "PID-1‸", []string{"18 Patient Account Number"}, nil},
		{"parts of a field", north, "PID-18.1", "PID-5[first].‸", []string{"1 Family Name", "2 Given Name"}, nil},
		{"a selector", north, "PID-18.1", "PID-3[‸", []string{"first", "last", "*", "5= Identifier Type Code"}, nil},
		{"segments in the scope of each", north, "NK1-3.1, map", "NK1-‸, map", []string{"3 Relationship"}, nil},
		{"a table", north, "map: sex", "map: ‸", []string{"sex", "marital", "country"}, nil},
		{"keys of map", north, "{ table: marital, on_miss: skip }", "{ table: marital, ‸ }", []string{"on_miss"}, []string{"table"}},
		{"an earlier operation", north, "op: patient", "op: ‸", []string{"patient"}, []string{"kin"}},
		{"inputs, lets and functions", north, "cel: words([giv, mid, fam])", "cel: w‸", []string{"fam", "giv", "mrn", "words", "v"}, []string{"digits", "it"}},
		{"methods", north, "cel: it.digits().last(4)", "cel: it.‸", []string{"digits", "last"}, []string{"words", "it"}},
		{"a path in an expression", north, `"v('NK1-2[first].1.1') != ''"`, `"v('NK1-‸') != ''"`, []string{"2 Name"}, []string{"words"}},
		{"a path of an item, which the expression alone knows", north, `"v('NK1-2[first].1.1') != ''"`, `"nodes('NK1[*]').exists(n, n.v('‸') == '')"`, []string{}, []string{"PID Patient Identification", "mrn"}},
		{"a path in a template", north, "patient_{mrn}_kin_{NK1-1}", "patient_{mrn}_kin_{NK1-‸}", []string{"1 Set ID - NK1"}, []string{"mrn"}},
		{"nothing in a template's own text", north, "patient_{mrn}_kin_{NK1-1}", "patient‸_{mrn}", []string{}, []string{"mrn"}},
		{"labels", north, "[name, contact, demographic", "[name, ‸ contact, demographic", []string{}, nil},
		{"a label", north, "allow: [name,", "allow: [‸,", []string{"clinical", "name"}, nil},
		{"options of a selection", north, "company_type:    { value: person }", "company_type: { value: ‸ }", []string{"person", "company"}, nil},
		{"fields to search by", north, "ref: name, mode", "ref: ‸, mode", []string{"name", "color"}, []string{"vat"}},
		{"fragments", north, "fragment: ../fragments/hl7-xad-address.yaml", "fragment: ../fragments/‸", []string{"hl7-xad-address.yaml"}, []string{"sex.csv"}},
		{"parameters", north, `with: { a: "PID-11[7=H]" }`, "with: { ‸ }", []string{"a"}, nil},
		{"tables", north, "sex:      ../tables/hl70001-sex.csv", "sex: ../‸", []string{"tables/", "fragments/"}, nil},
		{"conditions", north, "MSH-9.1: ADT, MSH-9.2", "MSH-‸: ADT, MSH-9.2", []string{"9 Message Type"}, nil},
		{"formats", north, "format: hl7v2", "format: ‸", []string{"hl7v2"}, []string{"1"}},
		{"keys of a case", suite, "    file: in/a08.hl7", "    ‸", []string{"file", "input", "row"}, []string{"name", "expect"}},
		{"fields to check", suite, "        patient.name: Siobhan", "        ‸\n        patient.name: Siobhan", []string{"patient.mobile", "kin.name"}, []string{"patient.name"}},
		{"segments that are written", order, "  - BEG: {", "  - ‸\n  - BEG: {", []string{"BEG Beginning Segment for Purchase Order", "N1 Party Identification", "when", "loop"}, []string{"PO1 Patient"}},
		{"segments of a loop", order, "      - PO1:", "      - ‸\n      - PO1:", []string{"PO1 Baseline Item Data"}, []string{"BEG Beginning Segment for Purchase Order"}},
		{"loops", order, "loop: PO1_LOOP", "loop: ‸", []string{"PO1_LOOP", "N1_LOOP"}, []string{"BEG"}},
		{"elements", order, `"05": { from: date_approve`, `‸, "05": { from: date_approve`, []string{"04 Release Number"}, []string{"01 Transaction Set Purpose Code", "date_approve"}},
		{"elements of a segment in a loop", order, `          "02": order_line.product_qty`, "          ‸", []string{"02 Quantity"}, nil},
		{"what an element is made of", order, `"02": origin`, `"02": ‸`, []string{"origin", "partner_id"}, nil},
		{"an item of each in an element", order, `"02": order_line.product_qty`, `"02": order_line.‸`, []string{"product_qty"}, nil},
		{"formats that are written", order, "emit: { format: x12", "emit: { format: ‸", []string{"x12"}, nil},
		{"fields in a fragment", address, "  zip:  ", "  ‸\n  zip: ", []string{"email", "phone"}, []string{"city"}},
		{"a parameter", address, `"${a}.5"`, `"‸"`, []string{"${a} PID-11[7=H]", "PID Patient Identification"}, nil},
		{"a parameter begun", address, `"${a}.5"`, `"${‸"`, []string{"${a} PID-11[7=H]"}, []string{"PID Patient Identification"}},
		{"parts of a parameter", address, `"${a}.5"`, `"${a}.‸"`, []string{"5 Zip or Postal Code"}, []string{"PID Patient Identification"}},
		{"tables in a fragment", address, "map: country", "map: ‸", []string{"country", "sex"}, nil},
		{"nothing in a comment", north, "# for time stamps", "# ‸for time stamps", []string{}, []string{"zone"}},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			cl := open(t, shipped)
			got := cl.labels(cl.edit(c.file, c.old, c.new))
			for _, w := range c.want {
				if !slices.Contains(got, w) {
					t.Errorf("no %q in %.40q", w, got)
				}
			}
			for _, n := range c.not {
				if slices.Contains(got, n) {
					t.Errorf("%q is offered", n)
				}
			}
		})
	}
}

func TestWhatIsChosenTakesThePlaceOfWhatWasTyped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, choose, want string }{
		{"unit: atomic", "unit: at‸om", "resumable", "unit: resumable"},
		{"unit: atomic", "uni‸", "unit", "unit: "},
		{"unit: atomic", "un‸it: atomic", "unit", "unit: atomic"},
		{`"PID-3[5=MR].4.1"`, `"PID-3[5=MR].4‸"`, "4 Assigning Authority", `"PID-3[5=MR].4"`},
		{"cel: words([giv, mid, fam])", "cel: wor‸", "words", "cel: words"},
		{`"{mrn}" `, `"😀{m‸}" `, "mrn", `"😀{mrn}" `},
		{"map: sex", "map: s‸ex", "marital", "map: marital"},
		{"    fields:\n      name:", "    fi‸elds:\n      name:", "fields", "    fields:\n      name:"},
		{"fragment: ../fragments/hl7-xad-address.yaml", "fragment: ../fragments/hl‸7.yaml", "hl7-xad-address.yaml", "fragment: ../fragments/hl7-xad-address.yaml"},
	} {
		cl := open(t, shipped)
		at := cl.edit(north, c.old, c.new)
		var list completionList
		cl.call("textDocument/completion", at, &list)
		i := slices.IndexFunc(list.Items, func(i completionItem) bool { return i.Label == c.choose })
		if i < 0 {
			t.Errorf("%s: no %s", c.new, c.choose)
			continue
		}
		edit := *list.Items[i].TextEdit
		s := &server{}
		d := &document{}
		d.set(strings.Replace(strings.Replace(cl.file(north), c.old, c.new, 1), "‸", "", 1))
		text := d.text[:s.offset(d, edit.Range.Start)] + edit.NewText + d.text[s.offset(d, edit.Range.End):]
		if want := strings.Replace(cl.file(north), c.old, c.want, 1); text != want {
			t.Errorf("%s: %+v gives line %q", c.new, edit, strings.Split(text, "\n")[at.Position.Line])
		}
		cl.end()
	}
}

func TestHoverTellsWhatANameStandsFor(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		what, file, old, new string
		want                 []string
	}{
		{"a key", north, "idempotency:", "idem‸potency:", []string{"**idempotency**", "Required"}},
		{"a word", north, "do: upsert", "do: up‸sert", []string{"**upsert**", "or create it"}},
		{"a path", north, "PID-18.1", "PID-18‸.1", []string{"**PID-18**", "Patient Account Number", "`CX`", "identifier"}},
		{"a path in full", north, "PID-18.1", "PID-18.1‸", []string{"**PID-18.1**", "Patient Account Number"}},
		{"a path with a table", north, "{ from: PID-8, map", "{ from: PID-‸8, map", []string{"Administrative Sex", "0001", "demographic"}},
		{"a path in an expression", north, `"v('PID-5[first].1.1')`, `"v('PID-5[first].1.‸1')`, []string{"Patient Name", "name"}},
		{"a path in a template", north, "kin_{NK1-1}", "kin_{NK1-1‸}", []string{"**NK1-1**", "Set ID - NK1"}},
		{"a segment", north, "PID-18.1", "PI‸D-18.1", []string{"**PID** — Patient Identification", "All of it may reveal", "name", "national_id", "sensitive"}},
		{"a list of segments", north, "each: NK1[*]", "each: N‸K1[*]", []string{"Next of Kin", "All of it may reveal", "contact"}},
		{"a segment that is written", order, "  - BEG:", "  - B‸EG:", []string{"**BEG** — Beginning Segment for Purchase Order"}},
		{"an element", order, `"03": name`, `"0‸3": name`, []string{"**BEG-03** — Purchase Order Number", "Mandatory, at most 22"}},
		{"a parameter of a fragment", address, `"${a}.5"`, `"${a}.‸5"`, []string{"**PID-11[7=H].5**", "Zip or Postal Code", "contact"}},
		{"a field of a fragment", address, "  city: ", "  ci‸ty: ", []string{"**res.partner.city**"}},
		{"a let", north, "{ from: mrn }", "{ from: m‸rn }", []string{"**mrn** — let", "identifier"}},
		{"a field", north, "      lang: ", "      la‸ng: ", []string{"**res.partner.lang**", "selection"}},
		{"a relation", north, "category_id: ", "category‸_id: ", []string{"many2many → res.partner.category"}},
		{"a function", north, "cel: words([giv", "cel: wo‸rds([giv", []string{"words([a, b])"}},
		{"a table", north, "map: sex", "map: s‸ex", []string{"code table", "hl70001-sex.csv"}},
		{"an operation", north, "op: patient", "op: pat‸ient", []string{"upsert res.partner"}},
		{"what a rule makes of the sample", north, "# yaml-language-server", "# sample: in/a08.hl7\n# yaml‸-language-server", nil},
	} {
		t.Run(c.what, func(t *testing.T) {
			t.Parallel()
			cl := open(t, shipped)
			var h *hover
			cl.call("textDocument/hover", cl.edit(c.file, c.old, c.new), &h)
			if (h == nil) != (c.want == nil) {
				t.Fatalf("%+v", h)
			}
			for _, w := range c.want {
				if !strings.Contains(h.Contents.Value, w) {
					t.Errorf("no %q in %s", w, h.Contents.Value)
				}
			}
		})
	}
}

func TestDefinitionLeadsToWhereANameStands(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ what, file, old, new, want, at string }{
		{"a table", north, "map: sex", "map: s‸ex", "examples/north/tables/hl70001-sex.csv", "code,odoo"},
		{"a table in an expression", north, `cel: "it != 'Y'"`, `cel: "table('se‸x', it) == ''"`, "examples/north/tables/hl70001-sex.csv", ""},
		{"a fragment", north, "fragment: ../fragments/hl7", "fragment: ../frag‸ments/hl7", "examples/north/fragments/hl7-xad-address.yaml", ""},
		{"an operation", north, "op: patient", "op: pat‸ient", north, "id: patient"},
		{"a let in a rule", north, "ref:             mrn", "ref: m‸rn", north, "mrn:  { from"},
		{"a let in a template", north, "patient_{mrn}_kin", "patient_{m‸rn}_kin", north, "mrn:  { from"},
		{"the mapping of tests", suite, "mapping: adt", "mapping: ‸adt", north, ""},
		{"the message of a case", suite, "file: in/a08.hl7", "file: in/a0‸8.hl7", "examples/north/01-hl7-adt/in/a08.hl7", "MSH"},
		{"the sample", north, "# yaml-language-server", "# sample: in/‸a08.hl7\n#", "examples/north/01-hl7-adt/in/a08.hl7", ""},
		{"a file that is not there", north, "fragment: ../fragments/hl7", "fragment: ../frag‸ments/hl8", "", ""},
		{"a key", north, "owner:", "own‸er:", "", ""},
	} {
		cl := open(t, shipped)
		var loc *location
		cl.call("textDocument/definition", cl.edit(c.file, c.old, c.new), &loc)
		if c.want == "" {
			if loc != nil {
				t.Errorf("%s: %+v", c.what, loc)
			}
		} else if loc == nil || loc.URI != cl.uri(c.want) {
			t.Errorf("%s: %+v, want %s", c.what, loc, c.want)
		} else if line := strings.Split(cl.file(c.want), "\n")[loc.Range.Start.Line]; !strings.Contains(line, c.at) {
			t.Errorf("%s: line %q", c.what, line)
		}
		cl.end()
	}
}

func TestTheSampleShowsWhatEachRuleMakesOfIt(t *testing.T) {
	t.Parallel()
	c := open(t, shipped)
	at := c.edit(north, "owner:", "# sample: in/a08.hl7\nowner‸:")
	lines := strings.Split(strings.Replace(c.file(north), "owner:", "# sample: in/a08.hl7\nowner:", 1), "\n")
	var hints []inlayHint
	whole := inlayHintParams{at.TextDocument, textRange{End: position{Line: len(lines)}}}
	c.call("textDocument/inlayHint", whole, &hints)
	for line, want := range map[string]string{
		"      name:": `→ "Siobhan Marie O'Hara"`, "birthdate_date:": `→ "1984-02-29"`, "x_deceased_on:": "→ cleared", "x_mrn:": `→ "4471123"`, "mrn:": `→ "4471123"`,
		"function:": `→ "Spouse" (and 1 more)`, "parent_id:": `→ {"$op":"patient"} (and 1 more)`, "mobile:": "→ ",
	} {
		n := slices.IndexFunc(lines, func(l string) bool {
			return strings.HasPrefix(l, line) || strings.HasPrefix(strings.TrimLeft(l, " "), strings.TrimLeft(line, " "))
		})
		i := slices.IndexFunc(hints, func(h inlayHint) bool { return h.Position.Line == n })
		if i < 0 || !strings.HasPrefix(hints[i].Label, want) {
			t.Errorf("%s line %d: %d of %+v, want %s", line, n, i, hints, want)
		}
	}
	n := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, "birthdate_date:") })
	var h *hover
	c.call("textDocument/hover", positionParams{at.TextDocument, position{n, 8}}, &h)
	if h == nil || !strings.Contains(h.Contents.Value, "Of a08.hl7:") || !strings.Contains(h.Contents.Value, `PID-7 = "19840229"`) {
		t.Errorf("hover: %+v", h)
	}
	if d := c.diagnostics(at.TextDocument.URI, 1); len(d) != 0 {
		t.Errorf("diagnostics: %v", d)
	}
	part := whole
	part.Range = textRange{position{n, 0}, position{n, 99}}
	if c.call("textDocument/inlayHint", part, &hints); len(hints) != 1 {
		t.Errorf("of one line: %+v", hints)
	}
	c.end()
}

func TestASampleThatDoesNotFitIsAWarningWithoutItsValues(t *testing.T) {
	t.Parallel()
	for sample, want := range map[string]string{"in/none.hl7": "can not be read", "adt-patient.map.yaml": "the sample: ", "../../../admissions/in/a01-full.hl7": "", "in/other.hl7": "not for this mapping"} {
		dir := t.TempDir()
		if err := os.CopyFS(dir, os.DirFS(shipped)); err != nil {
			t.Fatal(err)
		}
		other := "MSH|^~\\&|A|B|C|D|20260101||ADT^A40^ADT_A39|1|P|2.5.1\rPID|1||SECRET^^^B^MR||X^Y\rMRG|1\r"
		if err := os.WriteFile(filepath.Join(dir, filepath.Dir(north), "in/other.hl7"), []byte(other), 0o600); err != nil {
			t.Fatal(err)
		}
		c := open(t, dir)
		at := c.edit(north, "owner:", "# sample: "+sample+"\nowner‸:")
		d := c.diagnostics(at.TextDocument.URI, 1)
		if want == "" && len(d) == 0 {
			continue
		}
		if len(d) != 1 || d[0].Severity != 2 || !strings.Contains(d[0].Message, want) || d[0].Range.Start.Line != at.Position.Line-1 || strings.Contains(d[0].Message, "SECRET") {
			t.Errorf("%s: %+v", sample, d)
		}
		c.end()
	}
}

func TestASampleCanBeOneMessageOfAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"people.csv": "no,name\n1,Ann\n2,Bo\n",
		"snap.json":  `{"odoo":"18.0","models":{"res.partner":{"name":{"type":"char"}}}}`,
		"m.map.yaml": "# sample: people.csv 2\nkind: mapping\nformat: 1\nid: m\nversion: 1\nsource:\n  format: csv\n  columns: { no: { type: text, phi: none }, name: { type: text, phi: name, title: Full name } }\n" +
			"target: { odoo: \"18.0\", snapshot: snap.json }\nidempotency: [\"{no}\"]\negress: { allow: [name] }\n" +
			"operations:\n  - id: p\n    model: res.partner\n    do: upsert\n    match: { xid: \"t.p_{no}\" }\n    fields: { name: name }\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := open(t, dir)
	at := c.edit("m.map.yaml", "{ name: name }", "{ name: n‸ame }")
	var hints []inlayHint
	c.call("textDocument/inlayHint", inlayHintParams{at.TextDocument, textRange{End: position{Line: 99}}}, &hints)
	if len(hints) != 1 || hints[0].Label != `→ "Bo"` || hints[0].Position != (position{at.Position.Line, len("    fields: { name: name")}) {
		t.Errorf("%+v", hints)
	}
	var h *hover
	if c.call("textDocument/hover", at, &h); h == nil || !strings.Contains(h.Contents.Value, "Full name") || !strings.Contains(h.Contents.Value, `"Bo"`) {
		t.Errorf("%+v", h)
	}
	c.edit("m.map.yaml", "people.csv 2", "people.csv 3‸")
	for {
		if d := c.diagnostics(at.TextDocument.URI, 1); len(d) == 1 && strings.Contains(d[0].Message, "the file has messages 1 to 2") {
			break
		}
		c.receive()
	}
	c.end()
}
