package simulated

import (
	"bytes"
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"
)

// serveXML answers POST /xmlrpc/2/<service>; status 0 means to hang up.
func (s *Server) serveXML(service string, body []byte) (status int, contentType string, answer []byte) {
	var b bytes.Buffer
	b.WriteString("<?xml version=\"1.0\"?>\n<methodResponse>\n")
	method, args, err := parseXML(body)
	var res any
	var e *exception
	if err != nil {
		e = &exception{class: "xml.parsers.expat.ExpatError", message: err.Error()}
	} else {
		res, e = s.dispatch(request{service, method, args})
	}
	if e != nil && e.class == workerDied {
		return 0, "", nil
	}
	if e == nil && res == nil {
		// The work is committed, and then the answer cannot be written.
		e = typeError("cannot marshal None unless allow_none is enabled")
	}
	if e != nil {
		code, text := e.fault()
		b.WriteString("<fault>\n")
		writeXML(&b, map[string]any{"faultCode": int64(code), "faultString": text})
		b.WriteString("</fault>\n")
	} else {
		b.WriteString("<params>\n<param>\n")
		writeXML(&b, res)
		b.WriteString("</param>\n</params>\n")
	}
	b.WriteString("\n</methodResponse>\n")
	return http.StatusOK, "text/xml; charset=utf-8", b.Bytes()
}

func writeXML(b *bytes.Buffer, v any) {
	b.WriteString("<value>")
	switch v := v.(type) {
	case map[string]any:
		b.WriteString("<struct>\n")
		for k, x := range v {
			b.WriteString("<member>\n<name>")
			escapeXML(b, k)
			b.WriteString("</name>\n")
			writeXML(b, x)
			b.WriteString("</member>\n")
		}
		b.WriteString("</struct>")
	case []any:
		b.WriteString("<array><data>\n")
		for _, x := range v {
			writeXML(b, x)
		}
		b.WriteString("</data></array>")
	case string:
		b.WriteString("<string>")
		escapeXML(b, v)
		b.WriteString("</string>")
	case bool:
		b.WriteString("<boolean>")
		if v {
			b.WriteByte('1')
		} else {
			b.WriteByte('0')
		}
		b.WriteString("</boolean>")
	case int64:
		b.WriteString("<int>")
		b.WriteString(strconv.FormatInt(v, 10))
		b.WriteString("</int>")
	case float64:
		b.WriteString("<double>")
		b.WriteString(strconv.FormatFloat(v, 'g', -1, 64))
		b.WriteString("</double>")
	}
	b.WriteString("</value>\n")
}

// escapeXML drops the control characters, as Odoo's answers do.
func escapeXML(b *bytes.Buffer, s string) {
	for _, c := range s {
		switch {
		case c == '&':
			b.WriteString("&amp;")
		case c == '<':
			b.WriteString("&lt;")
		case c == '>':
			b.WriteString("&gt;")
		case c < 0x20 && c != '\t' && c != '\n' && c != '\r':
		default:
			b.WriteRune(c)
		}
	}
}

var errXML = errors.New("not well-formed (invalid token)")

// maxDepth bounds the nesting of a request.
const maxDepth = 64

// parseXML reads a methodCall. It is a scanner for exactly this vocabulary:
// encoding/xml would cost more than everything else the server does.
func parseXML(body []byte) (method string, args []any, err error) {
	if !utf8.Valid(body) {
		return "", nil, errXML
	}
	x := &xmlScanner{s: string(body)}
	if _, after, ok := strings.Cut(x.s, "<methodName>"); ok {
		x.s = after
	} else {
		return "", nil, errXML
	}
	method, x.s, _ = strings.Cut(x.s, "</methodName>")
	args = []any{}
	for {
		tag, ok := x.tag()
		if !ok {
			return method, args, errXML
		}
		switch tag {
		case "value":
			v, err := x.value(0)
			if err != nil {
				return method, nil, err
			}
			args = append(args, v)
		case "value/":
			args = append(args, "")
		case "/methodCall":
			return strings.TrimSpace(method), args, nil
		case "params", "/params", "params/", "param", "/param":
		default:
			return method, nil, errXML
		}
	}
}

type xmlScanner struct{ s string }

// tag skips to the next tag and returns its inside.
func (x *xmlScanner) tag() (string, bool) {
	i := strings.IndexByte(x.s, '<')
	if i < 0 {
		return "", false
	}
	j := strings.IndexByte(x.s[i:], '>')
	if j < 0 {
		return "", false
	}
	t := x.s[i+1 : i+j]
	x.s = x.s[i+j+1:]
	return t, true
}

// text reads up to the next tag.
func (x *xmlScanner) text() (string, error) {
	i := strings.IndexByte(x.s, '<')
	if i < 0 {
		return "", errXML
	}
	t := x.s[:i]
	x.s = x.s[i:]
	return unescapeXML(t)
}

// close expects an end tag.
func (x *xmlScanner) close(name string) error {
	if t, ok := x.tag(); !ok || t != "/"+name {
		return errXML
	}
	return nil
}

// value reads what follows <value>, with its end.
func (x *xmlScanner) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, errXML
	}
	lead, err := x.text()
	if err != nil {
		return nil, err
	}
	kind, ok := x.tag()
	if !ok {
		return nil, errXML
	}
	var v any
	switch kind {
	case "/value":
		return lead, nil
	case "nil/":
		return nil, x.close("value")
	case "string/":
		return "", x.close("value")
	case "array":
		v, err = x.array(depth)
	case "struct":
		v, err = x.object(depth)
	default:
		var t string
		if t, err = x.text(); err == nil {
			v, err = scalarXML(kind, t)
		}
		if err == nil {
			err = x.close(kind)
		}
	}
	if err != nil {
		return nil, err
	}
	return v, x.close("value")
}

func (x *xmlScanner) array(depth int) (any, error) {
	out := []any{}
	for {
		t, ok := x.tag()
		if !ok {
			return nil, errXML
		}
		switch t {
		case "value":
			v, err := x.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out = append(out, v)
		case "value/":
			out = append(out, "")
		case "/array":
			return out, nil
		case "data", "/data", "data/":
		default:
			return nil, errXML
		}
	}
}

func (x *xmlScanner) object(depth int) (any, error) {
	out := map[string]any{}
	name := ""
	for {
		t, ok := x.tag()
		if !ok {
			return nil, errXML
		}
		switch t {
		case "name":
			n, err := x.text()
			if err != nil {
				return nil, err
			}
			name = n
			if err := x.close("name"); err != nil {
				return nil, err
			}
		case "member", "/member":
		case "value":
			v, err := x.value(depth + 1)
			if err != nil {
				return nil, err
			}
			out[name] = v
		case "value/":
			out[name] = ""
		case "/struct":
			return out, nil
		default:
			return nil, errXML
		}
	}
}

func scalarXML(kind, t string) (any, error) {
	switch kind {
	case "string", "base64", "dateTime.iso8601":
		return t, nil
	case "int", "i4", "i8", "ex:i8":
		return strconv.ParseInt(strings.TrimSpace(t), 10, 64)
	case "boolean":
		return strings.TrimSpace(t) == "1", nil
	case "double":
		f, err := strconv.ParseFloat(strings.TrimSpace(t), 64)
		if err != nil || math.IsNaN(f) {
			return nil, errXML
		}
		return f, nil
	}
	return nil, errXML
}

func unescapeXML(s string) (string, error) {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < 0x20 && c != '\t' && c != '\n' && c != '\r' {
			return "", errXML
		}
	}
	if !strings.ContainsAny(s, "&\r") {
		return s, nil
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	for {
		i := strings.IndexByte(s, '&')
		if i < 0 {
			b.WriteString(s)
			return b.String(), nil
		}
		j := strings.IndexByte(s[i:], ';')
		if j < 0 {
			return "", errXML
		}
		b.WriteString(s[:i])
		switch name := s[i+1 : i+j]; name {
		case "amp":
			b.WriteByte('&')
		case "lt":
			b.WriteByte('<')
		case "gt":
			b.WriteByte('>')
		case "quot":
			b.WriteByte('"')
		case "apos":
			b.WriteByte('\'')
		default:
			if !strings.HasPrefix(name, "#") {
				return "", errXML
			}
			digits, base := name[1:], 10
			if strings.HasPrefix(digits, "x") {
				digits, base = digits[1:], 16
			}
			n, err := strconv.ParseUint(digits, base, 21)
			if err != nil || n < 0x20 && n != '\t' && n != '\n' && n != '\r' {
				return "", errXML
			}
			b.WriteRune(rune(n))
		}
		s = s[i+j+1:]
	}
}
