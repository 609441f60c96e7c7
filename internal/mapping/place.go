package mapping

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// A place is where in a file something was written.
type place struct {
	file   *sourceFile
	line   int
	col    int
	via    *place   // of a fragment: the include that brought it
	sub    bool     // arguments stand in the text: offsets into it are not the file's
	text   *wording // that begins here, or that this is a place in; nil of no text
	offset int      // in that text
}

// A wording is a text and how its file writes it.
type wording struct {
	text  string
	line  int // of its first character, or of its indicator or quote
	col   int
	style byte // '"', '\'', '|' for a block of lines, 0 for a plain one
}

// A sourceFile is a file's text by lines, for carets.
type sourceFile struct {
	name  string
	lines []string
}

func newSourceFile(name string, data []byte) *sourceFile {
	return &sourceFile{name: name, lines: strings.Split(strings.ReplaceAll(string(data), "\r\n", "\n"), "\n")}
}

func (p place) issue(s Severity, code, format string, args ...any) Issue {
	i := Issue{Line: p.line, Col: p.col, Severity: s, Code: code, Text: fmt.Sprintf(format, args...)}
	for v := p.via; v != nil; v = v.via {
		i.Text += fmt.Sprintf(" (included at %s:%d:%d)", v.file.name, v.line, v.col)
	}
	if p.file != nil {
		i.File = p.file.name
		if p.line >= 1 && p.line <= len(p.file.lines) {
			i.source = p.file.lines[p.line-1]
		}
	}
	return i
}

// plus is the place that many bytes further on in the text. Quotes, folded
// lines and indentation make the file's text longer than the value's, but in
// both the same characters that are not blank follow each other.
func (p place) plus(offset int) place {
	s := p.text
	if offset += p.offset; s == nil || p.sub || p.file == nil || offset > len(s.text) {
		return p
	}
	at := readFrom(p.file.lines, s.line, s.col)
	switch s.style {
	case '|':
		at = readFrom(p.file.lines, s.line+1, 1)
	case '"', '\'':
		at.next()
	}
	inside := at
	for i, r := range s.text {
		if blank(r) {
			if inside = at; i >= offset {
				break
			}
			continue
		}
		c, _ := at.peek()
		for ; blank(c); c, _ = at.peek() {
			at.next()
		}
		if i >= offset {
			inside = at
			break
		}
		if s.style == '"' && c == '\\' || s.style == '\'' && c == '\'' { // before what it escapes
			at.next()
			c, _ = at.peek()
		}
		if c != r {
			return p // \n, or a character by its number
		}
		at.next()
		inside = at
	}
	if inside.line > len(p.file.lines) {
		return p
	}
	p.line, p.col, p.offset = inside.line, inside.col, offset
	return p
}

// runes is the place that many characters further on, in a line of the text;
// both count from 0.
func (p place) runes(line, col int) place {
	if p.text == nil {
		return p
	}
	rest := p.text.text[p.offset:]
	offset := 0
	for ; line > 0; line-- {
		n := strings.IndexByte(rest[offset:], '\n')
		if n < 0 {
			return p
		}
		offset += n + 1
	}
	return p.plus(offset + len(firstRunes(rest[offset:], col)))
}

func blank(r rune) bool { return r == ' ' || r == '\n' || r == '\t' }

// A fileReader goes through a file by characters.
type fileReader struct {
	lines     []string
	line, col int // from 1
	head      int // bytes of the line before the character
}

func readFrom(lines []string, line, col int) fileReader {
	f := fileReader{lines: lines, line: line, col: col}
	if line >= 1 && line <= len(lines) {
		f.head = len(firstRunes(lines[line-1], col-1))
	}
	return f
}

// peek returns the character that the reader is at, and its size: a line ends
// with \n, the file with -1.
func (f *fileReader) peek() (r rune, size int) {
	if f.line < 1 || f.line > len(f.lines) {
		return -1, 0
	}
	if line := f.lines[f.line-1]; f.head < len(line) {
		return utf8.DecodeRuneInString(line[f.head:])
	}
	return '\n', 0
}

func (f *fileReader) next() {
	switch r, size := f.peek(); r {
	case -1:
	case '\n':
		f.line, f.col, f.head = f.line+1, 1, 0
	default:
		f.col, f.head = f.col+1, f.head+size
	}
}
