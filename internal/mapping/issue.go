package mapping

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/vagus-health/vagus/broker"
)

// A Severity is how bad an issue is. A mapping with an Error does not load.
type Severity string

const (
	Error   Severity = "error"
	Warning Severity = "warning"
)

// An Issue is one thing that is wrong: with a file when it comes from Load and
// Lint, with a message when it comes from Run (File and Line then name the
// rule). Text names places and code, never a value of a message. Detail says
// it with the values, for a person at a local tool; it prints as its length.
type Issue struct {
	File     string     `json:"file,omitempty"`
	Line     int        `json:"line,omitempty"` // from 1
	Col      int        `json:"col,omitempty"`  // from 1, in characters
	Severity Severity   `json:"severity"`
	Code     string     `json:"code"` // short stable token: "odoo-field", "path", "cel-cost"
	Text     string     `json:"text"`
	Detail   broker.PHI `json:"-"`
	source   string     // the line of the file, for the caret
}

// String returns "file:line:col: error[code]: text".
func (i Issue) String() string {
	var b strings.Builder
	if i.File != "" {
		b.WriteString(i.File)
		if i.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", i.Line, i.Col)
		}
		b.WriteString(": ")
	}
	fmt.Fprintf(&b, "%s[%s]: %s", i.Severity, i.Code, i.Text)
	return b.String()
}

// Issues is the error that Load returns.
type Issues []Issue

// Error lists the issues, one a line.
func (is Issues) Error() string {
	lines := make([]string, len(is))
	for n, i := range is {
		lines[n] = i.String()
	}
	return strings.Join(lines, "\n")
}

// failed says whether one of the issues is an error.
func (is Issues) failed() bool {
	return slices.ContainsFunc(is, func(i Issue) bool { return i.Severity == Error })
}

// sorted returns the issues by file and place, each once.
func (is Issues) sorted() Issues {
	out := slices.Clone(is)
	slices.SortStableFunc(out, func(a, b Issue) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	return slices.CompactFunc(out, func(a, b Issue) bool { return a.String() == b.String() })
}

// SourceLine returns the line of the file that the issue is about, or "" when
// it is about none.
func (i Issue) SourceLine() string { return i.source }

func firstRunes(s string, n int) string {
	for at := range s {
		if n <= 0 {
			return s[:at]
		}
		n--
	}
	return s
}

// didYouMean returns ` (did you mean "x"?)` for the name nearest to what was
// written, or "" when none is near.
func didYouMean(got string, names []string) string {
	if best := nearest(got, names); best != "" {
		return fmt.Sprintf(" (did you mean %q?)", best)
	}
	return ""
}

// nearest is the name nearest to what was written, or "".
func nearest(got string, names []string) string {
	best, least := "", len(got)/3+2
	for _, n := range names {
		if n == got || len(got) == 1 && !strings.Contains(n, got) {
			continue // no help: it is what was written, or shares nothing with it
		}
		if d := distance(strings.ToLower(got), strings.ToLower(n), least); d < least || (d == least && best == "" && d <= len(got)/3+1) {
			best, least = n, d
		}
	}
	return best
}

// distance is Levenshtein's, or limit when it is at least that.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit || len(a) > 64 || len(b) > 64 {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := diagonal
			if a[i-1] != b[j-1] {
				change++
			}
			diagonal = row[j]
			row[j] = min(change, row[j]+1, row[j-1]+1)
		}
	}
	return min(row[len(b)], limit)
}
