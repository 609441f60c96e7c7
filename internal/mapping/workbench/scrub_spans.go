package workbench

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// A span is a text of a message: body[from:to] as it is written, and what it
// says.
type span struct {
	at       int // where a tree has it
	from, to int // what is replaced
	text     string
	raw      bool // text is as written, with escapes
	fixed    bool // stays unless something is known of it: a name, a number of a list
	envelope bool // stays whatever is known of it
	write    func(text string) string
}

func asIs(text string) string { return text }

// spansOf finds every text of a message, known to the schema or not: what is
// not found could not be replaced.
func spansOf(format string, body []byte) ([]span, error) {
	if !utf8.Valid(body) {
		return nil, errors.New("the message is not UTF-8: convert it first")
	}
	switch first := bytes.TrimLeft(body, " \t\r\n\v\ufeff"); {
	case format == "hl7v2":
		return hl7Spans(body)
	case format == "x12":
		return x12Spans(body)
	case format == "csv":
		return csvSpans(body)
	case len(first) > 0 && first[0] == '{':
		return jsonSpans(body)
	}
	return nil, fmt.Errorf("messages of format %s can not be scrubbed: there are hl7v2, x12, csv and what is JSON", format)
}

// delimited cuts a line at any of the separators into spans.
func delimited(body []byte, from, to int, separators string, escape byte) []span {
	var out []span
	start := from
	for i := from; i <= to; i++ {
		if i < to && strings.IndexByte(separators, body[i]) < 0 {
			continue
		}
		if i > start {
			s := span{at: start, from: start, to: i, text: string(body[start:i]), write: asIs}
			if escape != 0 && bytes.IndexByte(body[start:i], escape) >= 0 {
				s.raw = true
				mask, e := s.text, escape
				s.write = func(text string) string { return keepEscapes(mask, text, e) }
			}
			out = append(out, s)
		}
		start = i + 1
	}
	return out
}

// keepEscapes puts escape sequences (\T\, \.br\) back where they were: a
// replacement has as many characters as what it replaces. One that holds
// characters (\XE9\) does not stay.
func keepEscapes(was, is string, escape byte) string {
	before, after := []rune(was), []rune(is)
	for i := 0; i < len(before) && len(after) == len(before); i++ {
		if before[i] != rune(escape) {
			continue
		}
		end := i + 1
		for end < len(before) && before[end] != rune(escape) {
			end++
		}
		if end == len(before) {
			break
		}
		if name := before[i+1]; name == 'X' || name == 'C' || name == 'M' {
			for n := i; n <= end; n++ {
				after[n] = 'x'
			}
		} else {
			copy(after[i:end+1], before[i:end+1])
		}
		i = end
	}
	return string(after)
}

// hl7Spans cuts an HL7 v2 message: the delimiters stand in its header.
func hl7Spans(body []byte) ([]span, error) {
	head := bytes.Index(body, []byte("MSH"))
	if head < 0 || len(body) < head+8 {
		return nil, errors.New("the message does not begin with MSH")
	}
	field := body[head+3]
	end := bytes.IndexByte(body[head+4:], field)
	if end < 0 || end > 6 {
		return nil, errors.New("MSH-2 is not closed")
	}
	encoding := string(body[head+4 : head+4+end])
	separators, escape := string(field), byte(0)
	for i, c := range []byte(encoding) {
		if i == 2 {
			escape = c
		} else {
			separators += string(c)
		}
	}
	out := []span{{at: head + 3, from: head + 3, to: head + 4, text: string(field), fixed: true, write: asIs},
		{at: head + 4, from: head + 4, to: head + 4 + end, text: encoding, fixed: true, write: asIs}}
	from := head + 4 + end + 1
	for start := head; start < len(body); {
		stop := start + bytes.IndexAny(body[start:], "\r\n")
		if stop < start {
			stop = len(body)
		}
		if start != head {
			from = start
			if i := bytes.IndexByte(body[start:stop], field); i >= 0 { // the segment's name
				from = start + i + 1
			} else {
				from = stop
			}
		}
		out = append(out, delimited(body, from, stop, separators, escape)...)
		start = stop + 1
	}
	return out, nil
}

// x12Spans cuts an interchange: ISA has a fixed length and its last characters
// are the delimiters. The envelope stays as it is.
func x12Spans(body []byte) ([]span, error) {
	head := bytes.Index(body, []byte("ISA"))
	if head < 0 || len(body) < head+106 {
		return nil, errors.New("the message does not begin with an ISA segment of 106 characters")
	}
	element, repetition, component, end := body[head+3], body[head+82], body[head+104], body[head+105]
	separators := string(element) + string(component)
	if repetition != 'U' && repetition != ' ' {
		separators += string(repetition)
	}
	var out []span
	for start := head; start < len(body); {
		for start < len(body) && strings.IndexByte("\r\n \t", body[start]) >= 0 {
			start++
		}
		stop := start + bytes.IndexByte(body[start:], end)
		if stop < start {
			stop = len(body)
		}
		name, from := string(body[start:stop]), stop
		if i := bytes.IndexByte(body[start:stop], element); i >= 0 {
			name, from = string(body[start:start+i]), start+i+1
		}
		parts := delimited(body, from, stop, separators, 0)
		if name == "ISA" {
			parts = delimited(body, from, stop, string(element), 0)
		}
		for i := range parts {
			parts[i].envelope = strings.Contains(" ISA GS ST SE GE IEA ", " "+name+" ")
			parts[i].fixed = name == "HL" || name == "LX"
		}
		out = append(out, parts...)
		start = stop + 1
	}
	return out, nil
}

// csvSpans cuts rows of RFC 4180; the header stays. Which delimiter there is
// shows where cells begin.
func csvSpans(body []byte) ([]span, error) {
	header, _, _ := strings.Cut(string(body), "\n")
	delimiter := ","
	for _, d := range []string{";", "\t", "|"} {
		if strings.Count(header, d) > strings.Count(header, delimiter) {
			delimiter = d
		}
	}
	var out []span
	for i := len(header) + 1; i < len(body); {
		s := span{at: i, from: i}
		if body[i] == '"' {
			for s.to = i + 1; s.to < len(body); s.to++ {
				if body[s.to] != '"' {
					continue
				}
				if s.to+1 < len(body) && body[s.to+1] == '"' {
					s.to++
					continue
				}
				s.to++
				break
			}
			s.text = strings.ReplaceAll(strings.ReplaceAll(string(body[i+1:max(i+1, s.to-1)]), `""`, `"`), "\r\n", "\n")
			s.write = func(text string) string { return `"` + strings.ReplaceAll(text, `"`, `""`) + `"` }
		} else {
			n := strings.IndexAny(string(body[i:]), delimiter+"\r\n")
			if n < 0 {
				n = len(body) - i
			}
			s.to, s.text, s.write = i+n, string(body[i:i+n]), asIs
		}
		if s.text != "" {
			out = append(out, s)
		}
		i = s.to
		for i < len(body) && (body[i] == '\r' || body[i] == '\n') || i < len(body) && body[i] == delimiter[0] {
			i++
		}
	}
	return out, nil
}

// jsonSpans finds every string, number and boolean of a JSON text; names stay.
func jsonSpans(body []byte) ([]span, error) {
	var out []span
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	type level struct {
		object, value bool // value: the next string is one
		name          string
	}
	var stack []level
	for {
		token, err := dec.Token()
		if err != nil {
			break // the dialect has read it: this is the end
		}
		top := len(stack) - 1
		name := top >= 0 && stack[top].object && !stack[top].value
		end := int(dec.InputOffset())
		switch t := token.(type) {
		case json.Delim:
			if t == '{' || t == '[' {
				stack = append(stack, level{object: t == '{'})
				continue
			}
			stack = stack[:top]
			if top--; top < 0 {
				continue
			}
		case string:
			if name {
				stack[top].value, stack[top].name = true, t
				continue
			}
			from := end - 1
			for from--; from >= 0 && !(body[from] == '"' && slashes(body, from)%2 == 0); from-- {
			}
			out = append(out, span{at: from, from: from, to: end, text: t, fixed: top >= 0 && stack[top].name == "resourceType", write: compactText})
		case json.Number:
			out = append(out, span{at: end - len(t), from: end - len(t), to: end, text: t.String(), write: asIs})
		case bool:
			text := fmt.Sprint(t)
			out = append(out, span{at: end - len(text), from: end - len(text), to: end, text: text, fixed: true, write: asIs})
		}
		if top >= 0 && stack[top].object {
			stack[top].value = false
		}
	}
	return out, nil
}

func compactText(s string) string { return compact(s) }

// slashes counts the backslashes before a place.
func slashes(b []byte, at int) (n int) {
	for at--; at >= 0 && b[at] == '\\'; at-- {
		n++
	}
	return n
}
