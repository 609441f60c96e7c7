package mapping

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A pathExpr is a path as it was written; bind gives it a meaning in a schema.
//
//	path     = [ "/" ] step { ("." | "-") step }
//	step     = name { "[" selector "]" }
//	name     = letters digits _ : @ $ #  |  `anything in backquotes`
//	selector = number from 1 | first | last | * | path ("=" | "!=") value { "|" value }
type pathExpr struct {
	text  string
	root  bool // begins with "/": from the message's root, even inside each
	steps []pathStep
}

type pathStep struct {
	name string
	at   int // byte offset in the text
	sels []selector
}

type selectorKind uint8

const (
	selectIndex selectorKind = iota // [2]; index is from 0
	selectLast                      // [last]
	selectAll                       // [*]
	selectWhere                     // [5=MR]
	selectFirst                     // [first]
)

type selector struct {
	kind   selectorKind
	at     int
	index  int
	path   *pathExpr // of selectWhere, relative to the repetition
	not    bool
	values []string
}

const (
	maxPathBytes = 512
	maxPathSteps = 32
	maxPathDepth = 4 // predicates inside predicates
)

// A pathError says where in a path's text the fault is.
type pathError struct {
	at   int
	text string
}

func (e *pathError) Error() string { return e.text }

// parsePath reads a path; its error is a *pathError.
func parsePath(text string) (*pathExpr, error) {
	if len(text) > maxPathBytes {
		return nil, &pathError{0, fmt.Sprintf("a path has at most %d bytes", maxPathBytes)}
	}
	if !utf8.ValidString(text) {
		return nil, &pathError{0, "a path is UTF-8 text"}
	}
	p := &pathParser{s: text}
	e, err := p.path(0, "")
	if err != nil {
		return nil, err
	}
	if p.i < len(text) {
		return nil, p.errorf("a path can not go on with %q here", text[p.i:])
	}
	e.text = text
	return e, nil
}

type pathParser struct {
	s string
	i int
}

func (p *pathParser) errorf(format string, args ...any) error {
	return &pathError{p.i, fmt.Sprintf(format, args...)}
}

// path reads steps up to one of the stop characters or the end.
func (p *pathParser) path(depth int, stop string) (*pathExpr, error) {
	if depth > maxPathDepth {
		return nil, p.errorf("predicates are nested too deep")
	}
	e := &pathExpr{}
	start := p.i
	if p.i < len(p.s) && p.s[p.i] == '/' {
		e.root = true
		p.i++
	}
	for {
		st, err := p.step(depth)
		if err != nil {
			return nil, err
		}
		if e.steps = append(e.steps, st); len(e.steps) > maxPathSteps {
			return nil, p.errorf("a path has at most %d steps", maxPathSteps)
		}
		if p.i == len(p.s) || strings.IndexByte(stop, p.s[p.i]) >= 0 {
			break
		}
		if c := p.s[p.i]; c != '.' && c != '-' {
			return nil, p.errorf("expected . or - or [ after %q, not %q", st.name, rest(p.s[p.i:]))
		}
		p.i++
	}
	e.text = p.s[start:p.i]
	return e, nil
}

func rest(s string) string {
	_, n := utf8.DecodeRuneInString(s)
	return s[:n]
}

func (p *pathParser) step(depth int) (pathStep, error) {
	st := pathStep{at: p.i}
	name, err := p.name()
	if err != nil {
		return st, err
	}
	st.name = name
	for p.i < len(p.s) && p.s[p.i] == '[' {
		sel, err := p.selector(depth)
		if err != nil {
			return st, err
		}
		if st.sels = append(st.sels, sel); len(st.sels) > 4 {
			return st, p.errorf("a step has at most 4 selectors")
		}
	}
	return st, nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("_:@$#", c) >= 0
}

func (p *pathParser) name() (string, error) {
	if p.i < len(p.s) && p.s[p.i] == '`' {
		end := strings.IndexByte(p.s[p.i+1:], '`')
		if end < 0 {
			return "", p.errorf("the backquote is not closed")
		}
		name := p.s[p.i+1 : p.i+1+end]
		if name == "" {
			return "", p.errorf("nothing stands between the backquotes")
		}
		p.i += end + 2
		return name, nil
	}
	start := p.i
	for p.i < len(p.s) && nameByte(p.s[p.i]) {
		p.i++
	}
	if p.i == start {
		if p.i == len(p.s) {
			return "", p.errorf("a name is missing at the end of the path")
		}
		return "", p.errorf("%q can not stand in a name: put the name in `backquotes`", rest(p.s[p.i:]))
	}
	return p.s[start:p.i], nil
}

func (p *pathParser) selector(depth int) (selector, error) {
	p.i++ // [
	sel := selector{at: p.i}
	word := p.s[p.i:]
	if end := strings.IndexByte(word, ']'); end >= 0 {
		word = word[:end]
	}
	switch {
	case word == "*":
		sel.kind = selectAll
	case word == "first":
		sel.kind = selectFirst
	case word == "last":
		sel.kind = selectLast
	case word != "" && strings.Trim(word, "0123456789") == "":
		n, err := strconv.Atoi(word)
		if err != nil || n > maxRepetitions {
			return sel, p.errorf("[%s]: repetitions go up to %d", word, maxRepetitions)
		}
		if n == 0 {
			return sel, p.errorf("[0]: repetitions count from 1: write [1] or [first]")
		}
		sel.kind, sel.index = selectIndex, n-1
	default:
		return p.where(sel, depth)
	}
	p.i += len(word)
	if p.i == len(p.s) {
		return sel, p.errorf("] is missing")
	}
	p.i++
	return sel, nil
}

func (p *pathParser) where(sel selector, depth int) (selector, error) {
	sel.kind = selectWhere
	inner, err := p.path(depth+1, "=!]")
	if err != nil {
		return sel, err
	}
	sel.path = inner
	switch {
	case strings.HasPrefix(p.s[p.i:], "!="):
		sel.not = true
		p.i += 2
	case strings.HasPrefix(p.s[p.i:], "="):
		p.i++
	default:
		return sel, p.errorf("a selector is a number, first, last, * or a comparison such as 5=MR")
	}
	for {
		v, err := p.selectorValue()
		if err != nil {
			return sel, err
		}
		sel.values = append(sel.values, v)
		if p.i == len(p.s) {
			return sel, p.errorf("] is missing")
		}
		p.i++
		if p.s[p.i-1] == ']' {
			return sel, nil
		}
	}
}

func (p *pathParser) selectorValue() (string, error) {
	if p.i < len(p.s) && p.s[p.i] == '`' {
		v, err := p.name()
		if err == nil && p.i < len(p.s) && p.s[p.i] != '|' && p.s[p.i] != ']' {
			err = p.errorf("expected | or ] after the value")
		}
		return v, err
	}
	end := strings.IndexAny(p.s[p.i:], "|]")
	if end < 0 {
		p.i = len(p.s)
		return "", p.errorf("] is missing")
	}
	v := p.s[p.i : p.i+end]
	if v == "" {
		return "", p.errorf("a value is missing: absence is the engine's job, or use valued() in cel")
	}
	p.i += end
	return v, nil
}
