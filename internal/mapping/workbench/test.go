package workbench

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"time"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
)

// TestOptions say which cases run, and what is written.
type TestOptions struct {
	Update mapping.Update // writes the goldens that differ; nil writes none
	Run    *regexp.Regexp // cases whose name it matches; nil runs all
}

// A TestReport is what became of test files, in their order.
type TestReport struct {
	Files  []FileTest `json:"files"`
	Passed int        `json:"passed"`
	Failed int        `json:"failed"`
	// Coverage of each mapping that was tested, in the order of the files; none
	// when only some cases ran.
	Coverage []Coverage `json:"coverage,omitempty"`
}

// Covers says whether the tests of every mapping reach this percentage of the
// possible outcomes.
func (r TestReport) Covers(percent float64) bool {
	return !slices.ContainsFunc(r.Coverage, func(c Coverage) bool { return c.Percent < percent })
}

// A FileTest is what became of one file.
type FileTest struct {
	mapping.Report
	Seconds float64 `json:"seconds"` // on one core, with loading
}

// OK says whether all cases passed; no case at all is not a pass.
func (r TestReport) OK() bool {
	for _, f := range r.Files {
		if !f.OK() {
			return false
		}
	}
	return r.Passed > 0
}

// Test runs test files, on all cores at once. each, when not nil, is handed
// the result of one file after the other in the order of names.
func (b Bench) Test(ctx context.Context, names []string, o TestOptions, each func(FileTest)) (TestReport, error) {
	rep := TestReport{Files: []FileTest{}}
	var tested []string
	outlines := map[string]mapping.Outline{}
	cases := map[string][]mapping.CaseReport{}
	err := inOrder(ctx, len(names), func(i int) FileTest { return b.testFile(ctx, names[i], o) }, func(_ int, f FileTest) {
		for _, c := range f.Cases {
			if c.OK {
				rep.Passed++
			} else {
				rep.Failed++
			}
		}
		if len(f.Cases) > 0 {
			if _, again := outlines[f.Mapping]; !again {
				tested = append(tested, f.Mapping)
			}
			outlines[f.Mapping] = f.Outline
			cases[f.Mapping] = append(cases[f.Mapping], f.Cases...)
		}
		f.Mapping = b.show(f.Mapping)
		rep.Files = append(rep.Files, f)
		if each != nil {
			each(f)
		}
	})
	if o.Run == nil {
		for _, file := range tested {
			rep.Coverage = append(rep.Coverage, b.coverage(file, outlines[file], cases[file]))
		}
	}
	return rep, err
}

func (b Bench) testFile(ctx context.Context, name string, o TestOptions) FileTest {
	start := time.Now()
	wanted := func(string) bool { return true }
	if o.Run != nil {
		wanted = o.Run.MatchString
	}
	f := FileTest{Report: mapping.TestCases(ctx, b.FS, name, b.Formats, o.Update, wanted)}
	f.File, f.Issues = b.show(f.File), b.shown(f.Issues)
	for i := range f.Cases {
		f.Cases[i].Updated = b.show(f.Cases[i].Updated)
	}
	f.Seconds = time.Since(start).Seconds()
	return f
}

// Print writes the cases of a file: one line for each that passed, what
// differs for each that did not.
func (f FileTest) Print(s Screen) {
	if len(f.Issues) == 0 && len(f.Cases) == 0 { // --run wants none of its cases
		return
	}
	s.line(s.in(bold, f.File), s.in(faint, fmt.Sprintf("  %d ms", int(f.Seconds*1000))))
	for _, i := range f.Issues {
		s.issue("  ", i)
	}
	for _, c := range f.Cases {
		switch {
		case !c.OK:
			s.named(s.in(red, "FAIL"), c.Name, fmt.Sprintf("%s:%d", f.File, c.Line))
			for _, d := range c.Diff {
				s.difference("        ", d)
			}
		case c.Updated != "":
			s.named(s.in(yellow, "new "), c.Name, "wrote "+c.Updated)
		default:
			s.named(s.in(green, "ok  "), c.Name, "")
		}
	}
}

// named prints what became of a case, its name and a note, on as many lines as
// the width needs.
func (s Screen) named(what, name, note string) {
	const indent = "        "
	lines := wrap(printable(name), max(minFolded, s.Width-len(indent)))
	if s.Width <= 0 {
		lines = []string{printable(name)}
	}
	last := len(lines) - 1
	if note != "" && (s.Width <= 0 || len(indent)+utf8.RuneCountInString(lines[last]+note)+2 <= s.Width) {
		lines[last] += s.in(faint, "  "+note)
		note = ""
	}
	s.line("  ", what, "  ", lines[0])
	for _, l := range lines[1:] {
		s.line(indent, l)
	}
	if note != "" {
		s.line(indent, s.in(faint, note))
	}
}

// Print writes the coverage and the sum; unreached asks for what no case
// reaches, of the mappings below a percentage.
func (r TestReport) Print(s Screen, unreached bool, below float64) {
	if len(r.Coverage) > 0 {
		s.line("")
		s.line(s.in(faint, "coverage of rule outcomes"))
	}
	for _, c := range r.Coverage {
		c.Print(s, unreached || c.Percent < below)
	}
	if len(r.Coverage) > 0 {
		s.line("")
	}
	seconds := 0.0
	for _, f := range r.Files {
		seconds += f.Seconds
	}
	s.line(s.verdict(r.OK()), "  ", count(len(r.Files), "file"), ", ", count(r.Passed, "case"), " passed, ", fmt.Sprint(r.Failed), " failed", s.in(faint, fmt.Sprintf(", %.1f s of work", seconds)))
	if r.Passed+r.Failed == 0 {
		s.line("no case ran: a test that runs nothing proves nothing")
	}
}

// difference prints one difference: what was wanted and what came, long values
// shortened around the first character that differs.
func (s Screen) difference(indent string, d mapping.Difference) {
	note := ""
	if d.Note != "" {
		note = s.in(faint, "  ("+printable(d.Note)+")")
	}
	s.line(indent, printable(d.Path), note)
	if d.Want == "" && d.Got == "" {
		return
	}
	want, got := apart(d.Want, d.Got, s.Width-utf8.RuneCountInString(indent)-4)
	s.line(indent, "  ", s.in(red, "- "+printable(want)))
	s.line(indent, "  ", s.in(green, "+ "+printable(got)))
}

const (
	longValue = 100 // characters of a value that are shown without a terminal
	lead      = 24  // characters that are shown before the first difference
)

// apart shortens two values so that where they begin to differ is seen; an
// empty one becomes "(nothing)".
func apart(want, got string, width int) (string, string) {
	if width < minFolded {
		width = longValue
	}
	w, g := []rune(want), []rune(got)
	if len(w) > width || len(g) > width {
		same := 0
		for same < min(len(w), len(g)) && w[same] == g[same] {
			same++
		}
		if from := same - lead; from > 1 && len(w) > 0 && len(g) > 0 {
			w, g = append([]rune{'…'}, w[from:]...), append([]rune{'…'}, g[from:]...)
		}
	}
	short := func(r []rune) string {
		switch {
		case len(r) == 0:
			return "(nothing)"
		case len(r) > width:
			return string(r[:width-1]) + "…"
		}
		return string(r)
	}
	return short(w), short(g)
}
