package odoo

import (
	"encoding/json"
	"strconv"
	"unicode/utf8"
)

// maxDepth is how deep an answer may be nested; those of the calls that we make
// have five levels.
const maxDepth = 100

// A jsonReader reads an answer into a tree of map[string]any, []any, string,
// bool, nil, int64 and float64. Answers are many small objects with the same
// few keys and little else, which it reads at a fraction of the cost of
// encoding/json; strings with escapes it leaves to that.
type jsonReader struct {
	data []byte
	at   int
	keys map[string]string
}

// readJSON reads one JSON value and nothing after it.
func readJSON(data []byte) (any, bool) {
	r := &jsonReader{data: data, keys: map[string]string{}}
	v, ok := r.value(0)
	return v, ok && r.next() == 0 && r.at == len(data)
}

// next skips white space and returns the byte that follows, 0 at the end.
func (r *jsonReader) next() byte {
	for ; r.at < len(r.data); r.at++ {
		if c := r.data[r.at]; c != ' ' && c != '\n' && c != '\t' && c != '\r' {
			return c
		}
	}
	return 0
}

func (r *jsonReader) value(depth int) (any, bool) {
	if depth > maxDepth {
		return nil, false
	}
	switch r.next() {
	case '{':
		m := map[string]any{}
		return m, r.members('}', func() bool {
			text, ok := r.raw()
			if !ok {
				return false
			}
			key, known := r.keys[string(text)]
			if !known {
				if key, ok = unquote(text); !ok {
					return false
				}
				r.keys[string(text)] = key
			}
			if r.next() != ':' {
				return false
			}
			r.at++
			m[key], ok = r.value(depth + 1)
			return ok
		})
	case '[':
		l := []any{}
		ok := r.members(']', func() bool {
			v, ok := r.value(depth + 1)
			l = append(l, v)
			return ok
		})
		return l, ok
	case '"':
		text, ok := r.raw()
		if !ok {
			return nil, false
		}
		s, ok := unquote(text)
		return s, ok
	case 't':
		return true, r.word("true")
	case 'f':
		return false, r.word("false")
	case 'n':
		return nil, r.word("null")
	}
	return r.number()
}

// members reads what stands between brackets, with commas in between.
func (r *jsonReader) members(end byte, one func() bool) bool {
	r.at++
	if r.next() == end {
		r.at++
		return true
	}
	for one() {
		switch r.next() {
		case ',':
			r.at++
		case end:
			r.at++
			return true
		default:
			return false
		}
	}
	return false
}

func (r *jsonReader) word(w string) bool {
	if len(r.data)-r.at < len(w) || string(r.data[r.at:r.at+len(w)]) != w {
		return false
	}
	r.at += len(w)
	return true
}

// raw returns the string that begins here as it is written, with its quotes.
func (r *jsonReader) raw() ([]byte, bool) {
	if r.next() != '"' {
		return nil, false
	}
	for i := r.at + 1; i < len(r.data); i++ {
		switch r.data[i] {
		case '\\':
			i++
		case '"':
			text := r.data[r.at : i+1]
			r.at = i + 1
			return text, true
		}
	}
	return nil, false
}

// unquote is the text of a string as it is written.
func unquote(raw []byte) (string, bool) {
	inner := raw[1 : len(raw)-1]
	for _, c := range inner {
		if c == '\\' || c < 0x20 || c >= utf8.RuneSelf {
			var s string
			err := json.Unmarshal(raw, &s)
			return s, err == nil
		}
	}
	return string(inner), true
}

// number reads an int64 where the number is one, or a float64.
func (r *jsonReader) number() (any, bool) {
	start := r.at
	whole := true
	for ; r.at < len(r.data); r.at++ {
		c := r.data[r.at]
		if c == '.' || c == 'e' || c == 'E' || c == '+' {
			whole = false
		} else if c != '-' && (c < '0' || c > '9') {
			break
		}
	}
	text := string(r.data[start:r.at])
	if whole {
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n, true
		}
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}
