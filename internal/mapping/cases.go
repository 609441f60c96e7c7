package mapping

import "strconv"

// A testFile is a file of kind tests.
type testFile struct {
	mapping string
	at      place
	cases   []testCase
}

// A testCase is one message and what is to become of it.
type testCase struct {
	name  string
	at    place
	file  string
	input string
	row   int // of a file that holds many messages, from 1; 0 is the file itself

	verdict  string
	reason   string
	golden   string
	ops      *value
	check    []entry
	notSent  []*value
	document []string // the segments of an outbound mapping; nil: not compared
	warnings []string
	warned   bool // warnings were given, also as an empty list
}

// readTests reads a file of kind tests.
func readTests(doc *value, c *collector) *testFile {
	if !c.shape(doc, "tests") {
		return nil
	}
	t := &testFile{mapping: doc.textOf("mapping"), at: doc.at}
	for _, v := range doc.get("cases").list {
		t.cases = append(t.cases, readCase(v, c))
	}
	return t
}

func readCase(v *value, c *collector) testCase {
	e := v.get("expect")
	t := testCase{name: v.textOf("name"), at: v.at, file: v.textOf("file"), input: v.textOf("input"),
		verdict: e.textOf("verdict"), reason: e.textOf("reason"), golden: e.textOf("golden"), ops: e.get("ops"), check: e.get("check").entries()}
	if x := e.get("not_sent"); x != nil {
		t.notSent = x.list
	}
	t.warnings, t.warned = texts(e.get("warnings"))
	if x := v.get("row"); x != nil {
		t.row, _ = strconv.Atoi(x.text)
	}
	t.document, _ = texts(e.get("document"))
	return t
}

// texts returns the items of a list; ok is whether there is one.
func texts(v *value) (out []string, ok bool) {
	if v == nil {
		return nil, false
	}
	out = []string{}
	for _, i := range v.list {
		out = append(out, i.text)
	}
	return out, true
}
