package mapping

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// fakeFormat is HL7 v2 as far as these tests need it: fields split at | ^ & ~,
// no escapes, and one group, so that the language is tested without a codec.
type fakeFormat struct{}

func (fakeFormat) Name() string { return "hl7v2" }

var fakeTypes = func() map[string]*tree.Type {
	leaf := func(name string, k tree.Kind) *tree.Type { return tree.NewType(name, k) }
	st, id, num := leaf("ST", tree.Text), leaf("ID", tree.Code), leaf("NM", tree.Number)
	dtm, dt := leaf("DTM", tree.DateTime), leaf("DT", tree.Date)
	types := map[string]*tree.Type{}
	composite := func(name string, parts ...*tree.Type) *tree.Type {
		t := tree.NewType(name, tree.Composite)
		for i, p := range parts {
			t.Add(&tree.Element{Name: strconv.Itoa(i + 1), Type: p})
		}
		types[name] = t
		return t
	}
	times := func(n int, t *tree.Type) []*tree.Type {
		out := make([]*tree.Type, n)
		for i := range out {
			out[i] = t
		}
		return out
	}
	ts := composite("TS", dtm, id)
	hd := composite("HD", st, st, id)
	fn, sad := composite("FN", times(5, st)...), composite("SAD", st, st, st)
	cx := composite("CX", st, st, id, hd, id)
	xpn := composite("XPN", fn, st, st, st, st, id, id)
	xad := composite("XAD", sad, st, st, st, st, id, id)
	xtn := composite("XTN", st, id, id, st, num, num, num, num, st)
	ce := composite("CE", st, st, id)
	msg := composite("MSG", id, id, id)
	segment := func(name string, n int, special map[int]*tree.Element) {
		t := tree.NewType(name, tree.Composite)
		for i := 1; i <= n; i++ {
			e := special[i]
			if e == nil {
				e = &tree.Element{Type: st, Labels: tree.Admin}
			}
			e.Name = strconv.Itoa(i)
			t.Add(e)
		}
		types[name] = t
	}
	el := func(t *tree.Type, l tree.Labels) *tree.Element { return &tree.Element{Type: t, Labels: l} }
	rep := func(t *tree.Type, l tree.Labels) *tree.Element {
		return &tree.Element{Type: t, Labels: l, Repeats: true}
	}
	segment("MSH", 21, map[int]*tree.Element{4: el(hd, tree.Admin), 7: el(ts, tree.Admin), 9: el(msg, tree.Admin)})
	segment("EVN", 7, map[int]*tree.Element{2: el(ts, tree.Admin)})
	segment("PID", 39, map[int]*tree.Element{3: rep(cx, tree.Identifier), 5: rep(xpn, tree.Name), 7: el(ts, tree.Demographic),
		8: el(id, tree.Demographic), 10: rep(ce, tree.Sensitive), 11: rep(xad, tree.Contact), 13: rep(xtn, tree.Contact), 15: el(ce, tree.Demographic),
		16: el(ce, tree.Demographic), 18: el(cx, tree.Identifier), 19: el(st, tree.NationalID), 25: el(num, tree.Demographic),
		29: el(ts, tree.Demographic), 30: el(id, tree.Demographic)})
	segment("NK1", 39, map[int]*tree.Element{2: rep(xpn, tree.Name), 3: el(ce, tree.Demographic), 4: rep(xad, tree.Contact), 5: rep(xtn, tree.Contact), 8: el(dt, tree.Admin)})
	segment("PV1", 52, map[int]*tree.Element{18: rep(id, tree.Admin)})
	segment("MRG", 7, map[int]*tree.Element{1: rep(cx, tree.Identifier)})
	segment("OBX", 17, map[int]*tree.Element{3: el(ce, tree.Clinical), 5: rep(st, tree.Clinical)})
	seg := func(n string, repeats bool) *tree.Element {
		return &tree.Element{Name: n, Type: types[n], Repeats: repeats}
	}
	types["ADT_A01"] = tree.NewType("ADT_A01", tree.Composite, seg("MSH", false), seg("EVN", false), seg("PID", false), seg("NK1", true), seg("PV1", false), seg("OBX", true))
	patient := tree.NewType("PATIENT", tree.Composite, seg("PID", false), seg("MRG", false))
	types["ADT_A39"] = tree.NewType("ADT_A39", tree.Composite, seg("MSH", false), seg("EVN", false), &tree.Element{Name: "PATIENT", Type: patient, Repeats: true})
	return types
}()

func (f fakeFormat) Dialect(d tree.Declaration) (tree.Dialect, error) {
	if d.Version != "2.5.1" {
		return nil, fmt.Errorf("no version %q; there are: 2.5.1", d.Version)
	}
	return f, nil
}

func (fakeFormat) Structures(when map[string][]string) (out []string) {
	for _, event := range when["MSH.9.2"] {
		out = append(out, "ADT^"+event)
	}
	if out == nil {
		return []string{""}
	}
	return out
}

func (fakeFormat) Schema(structure string) (*tree.Type, error) {
	if structure == "ADT^A40" {
		return fakeTypes["ADT_A39"], nil
	}
	return fakeTypes["ADT_A01"], nil
}

func (fakeFormat) Decode(body []byte, _ tree.Selection) (*tree.Message, error) {
	root := &tree.Node{State: tree.Value}
	at := root
	for n, line := range strings.FieldsFunc(string(body), func(r rune) bool { return r == '\n' || r == '\r' }) {
		fields := strings.Split(line, "|")
		seg := &tree.Node{Name: fields[0], State: tree.Value, Pos: tree.Pos{Line: n + 1}}
		for i, f := range fields[1:] {
			if fields[0] == "MSH" {
				i++
			}
			if f == "" {
				continue
			}
			for _, repetition := range strings.Split(f, "~") {
				seg.Kids = append(seg.Kids, fakeNode(strconv.Itoa(i+1), repetition, "^&"))
			}
		}
		if strings.Contains(string(body), "^A40") && fields[0] == "PID" {
			at = &tree.Node{Name: "PATIENT", State: tree.Value}
			root.Kids = append(root.Kids, at)
		}
		at.Kids = append(at.Kids, seg)
	}
	msh := root.First("MSH")
	if msh == nil {
		return nil, fmt.Errorf("no MSH")
	}
	return &tree.Message{Format: "hl7v2", Root: root}, nil
}

func fakeNode(name, text, separators string) *tree.Node {
	n := &tree.Node{Name: name, State: tree.Value, Text: text}
	switch {
	case text == "":
		n.State = tree.Absent
	case text == `""`:
		n.State, n.Text = tree.Null, ""
	case separators != "" && strings.Contains(text, separators[:1]):
		n.Text = ""
		for i, part := range strings.Split(text, separators[:1]) {
			if part != "" {
				n.Kids = append(n.Kids, fakeNode(strconv.Itoa(i+1), part, separators[1:]))
			}
		}
	case separators != "":
		return fakeNode(name, text, separators[1:])
	}
	return n
}
