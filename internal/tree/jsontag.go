package tree

import "strings"

// tagged reads an object that says itself which element of the type it is, r.i
// at its brace. It leaves that element's node on the stack, without kids where
// it is not selected.
func (r *jsonReader) tagged(typ *Type, keep bool, depth int) (present bool, err error) {
	name, found := findTag(r.text[r.i:], typ.Tag)
	if !found {
		return false, r.fail(r.i, typ.Tag+" is missing")
	}
	el := typ.byName[name]
	if el == nil {
		return false, r.fail(r.i, typ.Tag+" is none that is known here")
	}
	r.way = append(r.way, el.Name)
	var n *Node
	if keep {
		n = r.node(el.Name, r.i, r.line)
	}
	mark := len(r.stack)
	if _, err = r.object(el.Type, keep && (r.only == nil || r.only[typ.Name][name]), depth); err != nil {
		return false, err
	}
	if keep {
		n.Kids = r.take(mark)
		r.stack = append(r.stack, n)
	}
	r.way = r.way[:len(r.way)-1]
	return true, nil
}

// findTag returns the string that an object's property has, without escapes.
// It takes any text; whether that is JSON shows when it is read.
func findTag(s, tag string) (value string, found bool) {
	depth, key := 0, false // key: the next string is a name of the object itself
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '{', '[':
			depth++
			key = depth == 1
		case '}', ']':
			if depth--; depth == 0 {
				return "", false
			}
		case ',':
			key = depth == 1
		case '"':
			text, n := rawString(s[i:])
			i += n - 1
			if !key {
				break
			}
			key = false
			if text != tag {
				break
			}
			rest := strings.TrimLeft(s[i+1:], " \t\r\n")
			if !strings.HasPrefix(rest, ":") {
				return "", false
			}
			rest = strings.TrimLeft(rest[1:], " \t\r\n")
			if !strings.HasPrefix(rest, `"`) {
				return "", false
			}
			value, _ = rawString(rest)
			return value, true
		}
	}
	return "", false
}

// rawString returns what stands between the quotes that s begins with, escapes
// as they are, and the length of it all.
func rawString(s string) (text string, n int) {
	for n = 1; n < len(s) && s[n] != '"'; n++ {
		if s[n] == '\\' {
			n++
		}
	}
	if n >= len(s) {
		return "", len(s)
	}
	return s[1:n], n + 1
}
