package fhir

import (
	"bytes"
	"encoding/json"
)

// A head is what identifies a resource and its version.
type head struct {
	Type string
	ID   string
	Meta struct {
		Version string `json:"versionId"`
		Updated string `json:"lastUpdated"`
	}
}

// readHead reads what identifies a resource and looks at nothing else: a line
// of an export is not to be read twice. Of what is no sound JSON, or has
// another type than it should, it returns what it can read. The first of two
// members of one name counts.
func readHead(body []byte) (h head) {
	left := 3
	members(body, func(name string, value []byte) (more bool) {
		switch {
		case name == typeName && h.Type == "":
			_ = json.Unmarshal(value, &h.Type)
		case name == "id" && h.ID == "":
			_ = json.Unmarshal(value, &h.ID)
		case name == "meta":
			_ = json.Unmarshal(value, &h.Meta)
		default:
			return true
		}
		left--
		return left > 0
	})
	return h
}

// members calls yield for the members of the object that text begins with,
// until it returns false. Names with escapes are passed over: none that is
// looked for needs one.
func members(text []byte, yield func(name string, value []byte) (more bool)) {
	depth, key, from := 0, false, -1 // key: a string is a name; from: where the value of name begins
	name := ""
	end := func(i int) (more bool) {
		if depth != 1 || from < 0 {
			return true
		}
		value := bytes.TrimSpace(text[from:i])
		from = -1
		return yield(name, value)
	}
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{', '[':
			depth++
			key = depth == 1
		case '}', ']':
			if depth == 1 {
				end(i)
				return
			}
			depth--
		case ',':
			if !end(i) {
				return
			}
			key = depth == 1
		case ':':
			if depth == 1 && from < 0 {
				from = i + 1
			}
		case '"':
			n := stringEnd(text[i:])
			if n < 0 {
				return
			}
			if key {
				name, key = string(text[i+1:i+n]), false
			}
			i += n
		}
	}
}

// stringEnd returns where the quote is that ends the string which text begins
// with, -1 without one.
func stringEnd(text []byte) int {
	for i := 1; ; i++ {
		n := bytes.IndexByte(text[i:], '"')
		if n < 0 {
			return -1
		}
		i += n
		escapes := 0
		for text[i-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return i
		}
	}
}
