package mapping

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestAFaultInsideOfATextStandsAtItsOwnLineAndColumn(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, field, at, line string }{
		{"a folded block", "name:\n  cel: >-\n    'a' +\n    'b' + nosuch", "19:17", "          'b' + nosuch"},
		{"a block of lines", "name:\n  cel: |\n    'a' +\n      'b' +\n\n    nosuch", "21:11", "          nosuch"},
		{"a block of lines, in its first one", "name:\n  cel: |-\n    nosuch +\n    'b'", "18:11", ""},
		{"a path in a block", "name:\n  cel: >\n    'a' +\n    v('PID-61')", "19:13", ""},
		{"a list in a block", "name:\n  cel: >\n    'a' +\n    v('PID-5[*].1')", "19:13", ""},
		{"text over two lines", "name: { cel: \"'a' +\n  nosuch\" }", "17:9", ""},
		{"plain text over two lines", "name:\n  cel: it +\n    nosuch\n  from: PID-8", "18:11", ""},
		{"single quotes", "name: { cel: '''a'' + nosuch' }", "16:29", ""},
		{"double quotes", `name: { cel: "\"a\" + nosuch" }`, "16:29", ""},
		{"characters of several bytes", "name: { cel: \"'äöü' + nosuch\" }", "16:29", ""},
		{"the same characters again", "name:\n  cel: >-\n    'a' +\n    'a' +\n    'a' + it.nosuch()\n  from: PID-8", "20:26", ""},
		{"a template", "name: { text: \"a {PID-8} {PID-61}\" }", "16:37", ""},
		{"a template in a block", "name:\n  text: >-\n    a {PID-8}\n    b {PID-61}", "19:18", ""},
		{"the template of a reference", "country_id: { from: PID-8, ref: \"xid: base.x_{PID-61}\" }", "16:57", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := Load(testFS("m.yaml", withFields(c.field)), "m.yaml", []tree.Format{fakeFormat{}})
			issues, _ := err.(Issues)
			for _, i := range issues {
				if i.Severity != Error || !strings.HasPrefix(i.String(), "m.yaml:"+c.at+": ") {
					continue
				}
				if c.line != "" && i.SourceLine() != c.line {
					t.Errorf("the caret stands under %q", i.SourceLine())
				}
				return
			}
			t.Errorf("no error at %s:\n%v", c.at, err)
		})
	}
}

func TestAnUnquotedPathInBracketsIsToldToBeQuoted(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ line, want string }{
		{`{ from: PID-5[first] }`, `1:12: error[yaml]: between { } or [ ] a path with brackets is not plain text: quote it: "PID-5[first]"`},
		{`{ from: PID-3[5=MR|PI].4.1, required: true }`, `quote it: "PID-3[5=MR|PI].4.1"`},
		{`{ from: "PID-3[5=MR]", cel: it, with: PV1-7[first].2 }`, `quote it: "PV1-7[first].2"`},
		{`[ PID-5[first], PID-3 ]`, `quote it: "PID-5[first]"`},
		{`{ each: NK1[*], key: x }`, `quote it: "NK1[*]"`},
		{`{ from: 2000[*].2100[*].CLP-01 }`, `quote it: "2000[*].2100[*].CLP-01"`},
		{`{ PID-3[5=MR].1: x }`, `quote it: "PID-3[5=MR].1"`},
		{`{ from: "PID-5[first]", required ]`, `error[yaml]`},
	} {
		var issues collector
		parseYAML("m.yaml", []byte("a: "+c.line+"\n"), &issues)
		got := issues.issues.Error()
		if !strings.Contains(got, c.want) || strings.Contains(got, "quote it") != strings.Contains(c.want, "quote it") {
			t.Errorf("%s\n got %s\nwant %s", c.line, got, c.want)
		}
	}
}
