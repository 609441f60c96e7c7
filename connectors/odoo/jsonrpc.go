package odoo

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"
)

// jsonrpc speaks Odoo's JSON-RPC 2.0 (POST /jsonrpc), which names the class of
// every exception.
type jsonrpc struct{ http *poster }

func (j *jsonrpc) call(ctx context.Context, service, method string, args []any) (any, error) {
	body := append(make([]byte, 0, 4096), `{"jsonrpc":"2.0","method":"call","id":1,"params":{"service":`...)
	body = append(appendText(body, service), `,"method":`...)
	body = append(appendText(body, method), `,"args":`...)
	body, err := appendJSON(body, args)
	if err != nil {
		return nil, &fault{class: "net.encode"}
	}
	data, err := j.http.post(ctx, "/jsonrpc", "application/json", append(body, "}}"...))
	if err != nil {
		return nil, err
	}
	v, ok := readJSON(data)
	resp, _ := v.(map[string]any)
	if version, _ := resp["jsonrpc"].(string); !ok || version == "" {
		return nil, &fault{class: "net.garbage"}
	}
	if e := resp["error"]; e != nil {
		e, _ := e.(map[string]any)
		cause, _ := e["data"].(map[string]any)
		name, _ := cause["name"].(string)
		text, _ := cause["message"].(string)
		return nil, &fault{class: bareClass(name), text: text}
	}
	return resp["result"], nil // absent when the method returned None
}

// bareClass cuts the module off an exception's name: psycopg2.errors.DeadlockDetected, odoo.exceptions.UserError.
func bareClass(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }

// appendJSON appends v as JSON. A call of load is little but text, which this
// writes without reflection; what is none of its kinds is left to encoding/json.
func appendJSON(b []byte, v any) (_ []byte, err error) {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case bool:
		return strconv.AppendBool(b, v), nil
	case int64:
		return strconv.AppendInt(b, v, 10), nil
	case string:
		return appendText(b, v), nil
	case []string:
		return appendList(b, v, func(b []byte, s string) ([]byte, error) { return appendText(b, s), nil })
	case []any:
		return appendList(b, v, appendJSON)
	case [][]any:
		return appendList(b, v, func(b []byte, row []any) ([]byte, error) { return appendList(b, row, appendJSON) })
	case map[string]any:
		b = append(b, '{')
		for k, it := range v {
			if b[len(b)-1] != '{' {
				b = append(b, ',')
			}
			b = append(appendText(b, k), ':')
			if b, err = appendJSON(b, it); err != nil {
				return nil, err
			}
		}
		return append(b, '}'), nil
	}
	data, err := json.Marshal(v)
	return append(b, data...), err
}

func appendList[T any](b []byte, list []T, each func([]byte, T) ([]byte, error)) (_ []byte, err error) {
	b = append(b, '[')
	for i, it := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = each(b, it); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

// appendText appends a JSON string of what clean leaves of s.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0 // what is before it stands in b
	for i := 0; i < len(s); {
		c, size := rune(s[i]), 1
		if c >= utf8.RuneSelf {
			c, size = utf8.DecodeRuneInString(s[i:])
		}
		if c >= 0x20 && c != '"' && c != '\\' && (c != utf8.RuneError || size > 1) && !forbidden(c) {
			i += size
			continue
		}
		b = append(b, s[from:i]...)
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', byte(c))
		case forbidden(c):
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', '0'+byte(c>>4), "0123456789abcdef"[c&15])
		default:
			b = append(b, "\uFFFD"...)
		}
		i += size
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
