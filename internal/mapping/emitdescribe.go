package mapping

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// outlineBlocks describes the elements that blocks write, in their order.
func (m *Mapping) outlineBlocks(out []RuleOutline, blocks []*outBlock) []RuleOutline {
	for _, b := range blocks {
		for _, o := range b.elements {
			r := m.outlineRule(o.rule)
			r.Field, r.FieldTitle, r.FieldType = r.ID, o.elem.Title, o.leaf.Name
			if how := o.how(); how != "" && o.rule.constant == nil && o.rule.cel == nil && o.rule.table == nil && o.rule.text == nil {
				r.How = append(r.How, how)
			}
			if b.each != nil {
				r.Policies = append(r.Policies, "each "+b.each.text)
			}
			if b.when != nil {
				r.Policies = append(r.Policies, "segment when "+b.when.text)
			}
			if o.must && !o.rule.required {
				r.Policies = append(r.Policies, "mandatory")
			}
			out = append(out, r)
		}
		out = m.outlineBlocks(out, b.blocks)
	}
	return out
}

// how says how a value is written, where that changes it.
func (o *outElement) how() string {
	from := tree.Text
	for _, in := range o.rule.inputs {
		if in.path != nil {
			from = in.path.kind
		}
	}
	n, implied := o.decimals()
	switch kind := o.kind(); {
	case o.as != nil && o.as.layout != nil:
		return "as " + o.as.layout.format
	case implied && n > 0:
		return fmt.Sprintf("%d decimals implied", n)
	case kind != from && (kind == tree.Date || kind == tree.DateTime || kind == tree.Time):
		return strings.TrimPrefix(kindName(from), "a ") + " to " + strings.TrimPrefix(kindName(kind), "a ")
	case kind == tree.Bool:
		return "boolean to code"
	}
	return ""
}

// DocumentLines encodes the document that an outbound mapping made and cuts it
// into its segments, for people.
func (m *Mapping) DocumentLines(doc *tree.Message) ([]string, error) {
	body, err := m.document.encoder.Encode(doc)
	if err != nil {
		return nil, err
	}
	if m.document.nests() {
		return memberLines(body)
	}
	end := "\r\n"
	if m.document.format == "x12" {
		end = "~"
	}
	return strings.FieldsFunc(string(body), func(c rune) bool { return strings.ContainsRune(end, c) }), nil
}

// memberLines cuts an object of JSON into its members: `"active":true`.
func memberLines(body []byte) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader(body))
	var lines []string
	if _, err := dec.Token(); err != nil {
		return nil, err
	}
	for dec.More() {
		name, err := dec.Token()
		if err != nil {
			return nil, err
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return nil, err
		}
		lines = append(lines, fmt.Sprintf("%q:%s", name, value))
	}
	return lines, nil
}

func documentJSON(m *Mapping, doc *tree.Message) any {
	lines, err := m.DocumentLines(doc)
	if err != nil {
		return err.Error()
	}
	out := make([]any, len(lines))
	for i, l := range lines {
		out[i] = l
	}
	return out
}

// compareDocument compares a document with the segments of `expect.document`,
// one by one.
func compareDocument(m *Mapping, c *testCase, res Result, fail differs) {
	if res.Document == nil {
		fail("document", show(strings.Join(c.document, "~")), "", "no document was written")
		return
	}
	got, err := m.DocumentLines(res.Document)
	if err != nil {
		fail("document", "", "", err.Error())
		return
	}
	for i := range max(len(c.document), len(got)) {
		path := fmt.Sprintf("document[%d]", i+1)
		switch {
		case i >= len(got):
			fail(path, show(c.document[i]), "", "not written")
		case i >= len(c.document):
			fail(path, "", show(got[i]), "")
		case got[i] != c.document[i]:
			fail(path, show(c.document[i]), show(got[i]), "")
		}
	}
}
