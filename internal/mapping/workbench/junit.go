package workbench

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// JUnit writes the report in the XML that build servers read: a suite for each
// file, a failure or error with what differs.
func (r TestReport) JUnit(w io.Writer) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		File    string   `xml:"file,attr"`
		Line    int      `xml:"line,attr,omitempty"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure,omitempty"`
		Error   *failure `xml:"error,omitempty"`
	}
	type suite struct {
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Errors   int        `xml:"errors,attr"`
		Time     string     `xml:"time,attr"`
		Cases    []testcase `xml:"testcase"`
	}
	type suites struct {
		XMLName  xml.Name `xml:"testsuites"`
		Tests    int      `xml:"tests,attr"`
		Failures int      `xml:"failures,attr"`
		Errors   int      `xml:"errors,attr"`
		Suites   []suite  `xml:"testsuite"`
	}
	all := suites{}
	for _, f := range r.Files {
		s := suite{Name: f.File, Time: fmt.Sprintf("%.3f", f.Seconds)}
		class := strings.TrimSuffix(f.File, ".test.yaml")
		each := fmt.Sprintf("%.3f", f.Seconds/float64(max(1, len(f.Cases))))
		if len(f.Issues) > 0 && !f.OK() {
			var text strings.Builder
			for _, i := range f.Issues {
				fmt.Fprintln(&text, i)
			}
			s.Errors++
			s.Cases = append(s.Cases, testcase{Name: "the files are in order", Class: class, File: f.File, Time: each,
				Error: &failure{"lint", text.String()}})
		}
		for _, c := range f.Cases {
			t := testcase{Name: c.Name, Class: class, File: f.File, Line: c.Line, Time: each}
			if !c.OK {
				var text strings.Builder
				for _, d := range c.Diff {
					fmt.Fprintln(&text, d)
				}
				s.Failures++
				t.Failure = &failure{count(len(c.Diff), "difference"), text.String()}
			}
			s.Cases = append(s.Cases, t)
		}
		s.Tests = len(s.Cases)
		all.Tests, all.Failures, all.Errors = all.Tests+s.Tests, all.Failures+s.Failures, all.Errors+s.Errors
		all.Suites = append(all.Suites, s)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
