package workbench

import (
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Screen is where results are printed for people. Nothing is said by colour
// alone.
type Screen struct {
	W      io.Writer
	Width  int // in characters; 0 is no limit
	Colour bool
}

// An ink is an ANSI colour.
type ink string

const (
	plain  ink = ""
	bold   ink = "1"
	faint  ink = "2"
	red    ink = "31"
	green  ink = "32"
	yellow ink = "33"
	cyan   ink = "36"
)

// in returns text in a colour where the screen has colours.
func (s Screen) in(i ink, text string) string {
	if !s.Colour || i == plain || text == "" {
		return text
	}
	return "\x1b[" + string(i) + "m" + text + "\x1b[0m"
}

// line prints one line; what would move the cursor is replaced.
func (s Screen) line(parts ...string) {
	fmt.Fprintln(s.W, strings.TrimRight(strings.Join(parts, ""), " "))
}

// printable replaces what a terminal would obey: a message's values are shown.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, s)
}

// A cell is a text of a table.
type cell struct {
	text string
	ink  ink
}

// table prints rows in aligned columns, each line after indent. The columns
// marked in fold share what room is left and are wrapped.
func (s Screen) table(indent string, rows [][]cell, fold ...int) {
	if len(rows) == 0 {
		return
	}
	widths := make([]int, len(rows[0]))
	for _, r := range rows {
		for i, c := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(c.text))
		}
	}
	if s.Width > 0 && len(fold) > 0 {
		s.fit(widths, utf8.RuneCountInString(indent), fold)
	}
	for _, r := range rows {
		lines, most := make([][]string, len(r)), 1
		for i, c := range r {
			lines[i] = wrap(printable(c.text), widths[i])
			most = max(most, len(lines[i]))
		}
		for n := range most {
			var b strings.Builder
			b.WriteString(indent)
			for i, c := range r {
				part := ""
				if n < len(lines[i]) {
					part = lines[i][n]
				}
				pad := ""
				if i < len(r)-1 {
					pad = strings.Repeat(" ", max(0, widths[i]-utf8.RuneCountInString(part))+2)
				}
				b.WriteString(s.in(c.ink, part) + pad)
			}
			s.line(b.String())
		}
	}
}

const minFolded = 16 // characters that a folded column keeps

// fit narrows the widest of the columns that may fold until all fit.
func (s Screen) fit(widths []int, indent int, fold []int) {
	for {
		total := indent + 2*(len(widths)-1)
		for _, w := range widths {
			total += w
		}
		widest := fold[0]
		for _, i := range fold {
			if widths[i] > widths[widest] {
				widest = i
			}
		}
		if total <= s.Width || widths[widest] <= minFolded {
			return
		}
		widths[widest] = max(minFolded, widths[widest]-(total-s.Width), widths[widest]-8)
	}
}

// wrap breaks a text between words into lines of at most width characters; a
// longer word is cut.
func wrap(text string, width int) []string {
	if width <= 0 || utf8.RuneCountInString(text) <= width {
		return []string{text}
	}
	var lines []string
	cur := []rune{}
	for _, w := range strings.Fields(text) {
		word := []rune(w)
		if len(cur) > 0 && len(cur)+1+len(word) > width {
			lines, cur = append(lines, string(cur)), cur[:0:0]
		}
		if len(cur) > 0 {
			cur = append(cur, ' ')
		}
		for len(cur) == 0 && len(word) > width {
			lines, word = append(lines, string(word[:width])), word[width:]
		}
		cur = append(cur, word...)
	}
	return append(lines, string(cur))
}

// A Progress hears how far something long is. It may be nil.
type Progress func(done, all int)

func (p Progress) tell(done, all int) {
	if p != nil {
		p(done, all)
	}
}

// count writes "1 file", "2 files".
func count(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
