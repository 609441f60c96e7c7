package workbench

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping"
)

// A LintReport is what is wrong with files, in their order.
type LintReport struct {
	Files    int             `json:"files"`
	Errors   int             `json:"errors"`
	Warnings int             `json:"warnings"`
	Issues   []mapping.Issue `json:"issues"`
}

// OK says whether there is no error; warnings do not fail.
func (r LintReport) OK() bool { return r.Errors == 0 }

// Lint checks files of any kind (mappings, fragments, tests), all cores at
// once. An issue that several files have in common (a table, a fragment) is
// reported once. Below dirs, files that none of those checked reads are
// reported, too.
func (b Bench) Lint(ctx context.Context, names, dirs []string) (LintReport, error) {
	rep := LintReport{Files: len(names), Issues: []mapping.Issue{}}
	var read sync.Map
	err := inOrder(ctx, len(names), func(i int) []mapping.Issue { return mapping.Lint(reads{b.FS, names[i], &read}, names[i], b.Formats) },
		func(_ int, issues []mapping.Issue) { rep.Issues = append(rep.Issues, b.shown(issues)...) })
	if err == nil {
		rep.Issues = append(rep.Issues, b.unused(names, dirs, &read)...)
	}
	rep.settle()
	return rep, err
}

// Against adds what is wrong when a directory of the bench takes the place of
// an older one.
func (b Bench) Against(rep *LintReport, dir string, old fs.FS) error {
	now, err := fs.Sub(b.FS, dir)
	if err != nil {
		return err
	}
	issues, err := mapping.Against(old, now)
	if err != nil {
		return err
	}
	inDir := mapping.Issues(issues).Named(func(name string) string { return path.Join(dir, name) })
	rep.Issues = append(rep.Issues, b.shown(inDir)...)
	rep.settle()
	return nil
}

// settle leaves out what is there twice, and counts.
func (r *LintReport) settle() {
	seen := map[string]bool{}
	all := r.Issues
	r.Issues, r.Errors, r.Warnings = all[:0], 0, 0
	for _, i := range all {
		if seen[i.String()] {
			continue
		}
		seen[i.String()] = true
		r.Issues = append(r.Issues, i)
		if i.Severity == mapping.Error {
			r.Errors++
		} else {
			r.Warnings++
		}
	}
}

// Print writes each issue with its line and a caret, and the sum.
func (r LintReport) Print(s Screen) {
	s.Issues(r.Issues)
	s.line(s.verdict(r.OK()), "  ", count(r.Files, "file"), ", ", count(r.Errors, "error"), ", ", count(r.Warnings, "warning"))
}

// Issues prints each issue with its line and a caret.
func (s Screen) Issues(issues []mapping.Issue) {
	for _, i := range issues {
		s.issue("", i)
	}
}

// verdict is "ok" or "FAIL".
func (s Screen) verdict(ok bool) string {
	if ok {
		return s.in(green, "ok")
	}
	return s.in(red, "FAIL")
}

// issue prints an issue with the line that it is about and a caret under the
// place. A line longer than the screen is shown around the caret.
func (s Screen) issue(indent string, i mapping.Issue) {
	shade := red
	if i.Severity == mapping.Warning {
		shade = yellow
	}
	place, text, _ := strings.Cut(i.String(), string(i.Severity)+"["+i.Code+"]: ")
	parts := []string{indent, s.in(bold, printable(place)), s.in(shade, string(i.Severity)), s.in(faint, "["+i.Code+"]"), ": "}
	if s.Width <= 0 || utf8.RuneCountInString(indent+i.String()) <= s.Width {
		s.line(append(parts, printable(text))...)
	} else {
		s.line(parts...)
		for _, l := range wrap(printable(text), max(minFolded, s.Width-len(indent)-2)) {
			s.line(indent, "  ", l)
		}
	}
	line := i.SourceLine()
	if line == "" || i.Col < 1 {
		return
	}
	number := fmt.Sprintf("%5d", i.Line)
	line, col := around(strings.ReplaceAll(line, "\t", " "), i.Col-1, s.Width-len(indent)-9)
	s.line(indent, s.in(faint, number+" | "), printable(line))
	s.line(indent, s.in(faint, strings.Repeat(" ", len(number))+" | "), strings.Repeat(" ", col), s.in(shade, "^"))
}

// around cuts a line to a width so that column col, from 0, is in it, and
// returns where it is then. A width of 0 or less cuts nothing.
func around(line string, col, width int) (string, int) {
	n := utf8.RuneCountInString(line)
	if col > n {
		col = n
	}
	if width <= 8 || n <= width {
		return line, col
	}
	runes := []rune(line)
	from := max(0, min(col-width/2, n-width))
	to := min(n, from+width)
	cut := append([]rune(nil), runes[from:to]...)
	if from > 0 {
		cut[0] = '…'
	}
	if to < n {
		cut[len(cut)-1] = '…'
	}
	return string(cut), col - from
}
