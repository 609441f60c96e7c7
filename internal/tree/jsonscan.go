package tree

import (
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

func (r *jsonReader) peek() byte {
	if r.i < len(r.text) {
		return r.text[r.i]
	}
	return 0
}

func (r *jsonReader) space() {
	for ; r.i < len(r.text); r.i++ {
		switch r.text[r.i] {
		case '\n':
			r.line++
		case ' ', '\t', '\r':
		default:
			return
		}
	}
}

// next reads a comma (more is true) or the end of an object or array.
func (r *jsonReader) next(end byte) (more bool, err error) {
	r.space()
	switch c := r.peek(); {
	case c == end && r.i < len(r.text):
		r.i++
		return false, nil
	case c == ',':
		r.i++
		r.space()
		return true, nil
	}
	return false, r.fail(r.i, "a comma or "+string(end)+" is expected")
}

// skip reads a value that nobody knows.
func (r *jsonReader) skip(depth int) error {
	if r.left--; r.left < 0 {
		return r.fail(r.i, fmt.Sprintf("over %d values", r.limits.Values))
	}
	switch r.peek() {
	case '{':
		_, err := r.object(nil, false, depth+1)
		return err
	case 'n':
		return r.word("null")
	case '[':
	default:
		_, err := r.scalar()
		return err
	}
	if depth++; depth > r.limits.Depth {
		return r.fail(r.i, fmt.Sprintf("objects and arrays are nested over %d deep", r.limits.Depth))
	}
	r.i++
	r.space()
	if r.peek() == ']' {
		r.i++
		return nil
	}
	for {
		if err := r.skip(depth); err != nil {
			return err
		}
		if more, err := r.next(']'); !more {
			return err
		}
	}
}

// scalar reads a string, a number or a boolean.
func (r *jsonReader) scalar() (string, error) {
	switch c := r.peek(); {
	case c == '"':
		return r.string()
	case c == 't':
		return "true", r.word("true")
	case c == 'f':
		return "false", r.word("false")
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	return "", r.fail(r.i, "a value is expected")
}

func (r *jsonReader) word(word string) error {
	if !strings.HasPrefix(r.text[r.i:], word) {
		return r.fail(r.i, "a value is expected")
	}
	r.i += len(word)
	return nil
}

func (r *jsonReader) number() (string, error) {
	start := r.i
	if r.peek() == '-' {
		r.i++
	}
	ok := true
	if r.peek() == '0' {
		r.i++
	} else {
		ok = r.digits()
	}
	if ok && r.peek() == '.' {
		r.i++
		ok = r.digits()
	}
	if c := r.peek(); ok && (c == 'e' || c == 'E') {
		r.i++
		if c := r.peek(); c == '+' || c == '-' {
			r.i++
		}
		ok = r.digits()
	}
	if !ok {
		return "", r.fail(r.i, "a digit is expected")
	}
	return r.text[start:r.i], nil
}

func (r *jsonReader) digits() bool {
	start := r.i
	for r.i < len(r.text) && r.text[r.i] >= '0' && r.text[r.i] <= '9' {
		r.i++
	}
	return r.i > start
}

// string reads a string; one without escapes is a part of the text.
func (r *jsonReader) string() (string, error) {
	start := r.i + 1
	for i := start; i < len(r.text); i++ {
		switch c := r.text[i]; {
		case c == '"':
			r.i = i + 1
			if i-start > r.limits.String {
				return "", r.fail(start, fmt.Sprintf("a string of over %d bytes", r.limits.String))
			}
			return r.text[start:i], nil
		case c == '\\':
			return r.escaped(start, i)
		case c < ' ':
			return "", r.fail(i, "a control character in a string: write it as an escape")
		}
	}
	return "", r.fail(start-1, "a string does not end")
}

// escaped goes on with a string that has its first escape at i.
func (r *jsonReader) escaped(start, i int) (string, error) {
	out := append(make([]byte, 0, i-start+64), r.text[start:i]...)
	for i < len(r.text) {
		switch c := r.text[i]; {
		case c == '"':
			r.i = i + 1
			return string(out), nil
		case c < ' ':
			return "", r.fail(i, "a control character in a string: write it as an escape")
		case c != '\\':
			out = append(out, c)
			i++
		default:
			char, n := escape(r.text[i:])
			if n == 0 {
				return "", r.fail(i, `no escape of JSON: \u needs four hexadecimal digits, and both halves of a pair`)
			}
			out = utf8.AppendRune(out, char)
			i += n
		}
		if len(out) > r.limits.String {
			return "", r.fail(start, fmt.Sprintf("a string of over %d bytes", r.limits.String))
		}
	}
	return "", r.fail(start-1, "a string does not end")
}

// escape reads the escape that s begins with and returns its length, 0 for one
// that is wrong.
func escape(s string) (rune, int) {
	if len(s) < 2 {
		return 0, 0
	}
	if i := strings.IndexByte(`"\/bfnrt`, s[1]); i >= 0 {
		return rune("\"\\/\b\f\n\r\t"[i]), 2
	}
	high, ok := unicodeEscape(s)
	if !ok {
		return 0, 0
	}
	if !utf16.IsSurrogate(high) {
		return high, 6
	}
	low, ok := unicodeEscape(s[6:])
	if char := utf16.DecodeRune(high, low); ok && char != utf8.RuneError {
		return char, 12
	}
	return 0, 0
}

func unicodeEscape(s string) (c rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, h := range []byte(s[2:6]) {
		switch {
		case h >= '0' && h <= '9':
			c = c<<4 | rune(h-'0')
		case h|0x20 >= 'a' && h|0x20 <= 'f':
			c = c<<4 | rune(h|0x20-'a'+10)
		default:
			return 0, false
		}
	}
	return c, true
}
