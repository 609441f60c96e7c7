package mapping

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

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

	verdict  string
	reason   string
	golden   string
	ops      *value
	check    []entry
	notSent  []string
	warnings []string
	warned   bool // warnings were given, also as an empty list
}

// readTests reads a file of kind tests.
func readTests(doc *value, c *collector) *testFile {
	l := &loader{c: c}
	if !c.shape(doc, "tests") {
		return nil
	}
	t := &testFile{mapping: l.str(doc, "mapping"), at: doc.at}
	if f := doc.get("format"); f != nil && f.text != "1" {
		c.errorf(f.at, "format", "format: 1 is the format that this program reads")
	}
	if t.mapping == "" {
		c.errorf(doc.at, "tests", "mapping: FILE is missing")
	}
	cases := doc.get("cases")
	if cases == nil || cases.kind != yamlList || len(cases.list) == 0 {
		c.errorf(where(cases, doc.at), "tests", "cases is a list, and it is missing or empty")
	} else {
		for _, v := range cases.list {
			t.cases = append(t.cases, l.testCase(v))
		}
	}
	return t
}

func (l *loader) testCase(v *value) testCase {
	t := testCase{name: l.str(v, "name"), at: v.at, file: l.str(v, "file"), input: l.str(v, "input")}
	if t.name == "" {
		l.c.errorf(v.at, "tests", "a case has a name: the sentence that it proves")
	}
	if (t.file == "") == (t.input == "") {
		l.c.errorf(v.at, "tests", "a case has either file: or input:")
	}
	if x := v.get("row"); x != nil {
		l.c.unsupported(x.at, "row")
	}
	e := v.get("expect")
	if e == nil || e.kind != yamlMap || len(e.keys) == 0 {
		l.c.errorf(where(e, v.at), "tests", "a case expects something")
		return t
	}
	t.verdict = l.oneOf(e, "verdict", "", grammar.Words("expect", "verdict")...)
	t.reason, t.golden, t.ops = l.str(e, "reason"), l.str(e, "golden"), e.get("ops")
	if x := e.get("check"); x != nil {
		t.check = x.keys
		for _, k := range x.keys {
			if !strings.Contains(k.key, ".") {
				l.c.errorf(k.at, "tests", "check names operation.field, such as patient.name")
			}
		}
	}
	t.notSent, _ = l.texts(e.get("not_sent"))
	t.warnings, t.warned = l.texts(e.get("warnings"))
	if x := e.get("document"); x != nil {
		l.c.unsupported(x.at, "document")
	}
	return t
}

func (l *loader) texts(v *value) ([]string, bool) {
	if v == nil {
		return nil, false
	}
	if v.kind != yamlList || slices.ContainsFunc(v.list, func(i *value) bool { return i.kind != yamlString }) {
		l.c.errorf(v.at, "type", "this is a list of texts")
		return nil, false
	}
	out := []string{}
	for _, i := range v.list {
		out = append(out, i.text)
	}
	return out, true
}
