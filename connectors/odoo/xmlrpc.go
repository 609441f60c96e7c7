package odoo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/kolo/xmlrpc"
)

// xmlRPC speaks Odoo's XML-RPC (POST /xmlrpc/2/<service>). It lumps most
// exceptions into four codes, so the class is read off the text; numbers come
// back as int64 and float64.
type xmlRPC struct{ http *poster }

func (x *xmlRPC) call(ctx context.Context, service, method string, args []any) (any, error) {
	wire := make([]any, len(args))
	for i, a := range args {
		wire[i] = xmlValue(a)
	}
	body, err := xmlrpc.EncodeMethodCall(method, wire...)
	if err != nil {
		return nil, &fault{class: "net.encode"}
	}
	data, err := x.http.post(ctx, "/xmlrpc/2/"+service, "text/xml", body)
	if err != nil {
		return nil, err
	}
	return readXML(data)
}

// readXML reads an answer: a result, or a fault.
func readXML(data []byte) (any, error) {
	if !bytes.Contains(data, []byte("<methodResponse>")) || !shallow(data) {
		return nil, &fault{class: "net.garbage"}
	}
	resp := xmlrpc.Response(data)
	// The library looks for a fault with a regular expression over the whole
	// answer; a plain search first spares the large answers that.
	if bytes.Contains(data, []byte("<fault>")) {
		fe, ok := resp.Err().(xmlrpc.FaultError)
		if !ok {
			return nil, &fault{class: "net.garbage"}
		}
		f := xmlFault(fe)
		if f.class == "TypeError" && strings.HasPrefix(f.text, "cannot marshal None") {
			return nil, nil // the method ran, its work is committed, and it returned None
		}
		return nil, f
	}
	var result any
	if err := resp.Unmarshal(&result); err != nil {
		return nil, &fault{class: "net.garbage"}
	}
	return fromXML(result), nil
}

// fromXML makes of the library's values what the other wires return: it reads
// an empty string as nil, and Odoo's dates are text.
func fromXML(v any) any {
	switch v := v.(type) {
	case nil:
		return ""
	case time.Time:
		return v.Format(time.DateTime)
	case []any:
		for i := range v {
			v[i] = fromXML(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = fromXML(v[k])
		}
	}
	return v
}

// shallow says whether an answer is nested no deeper than maxDepth: the library
// follows it by recursion. Odoo writes no comments and no CDATA, in which tags
// could hide.
func shallow(data []byte) bool {
	depth := 0
	for {
		i := bytes.IndexByte(data, '<')
		if i < 0 || i+1 == len(data) {
			return true
		}
		data = data[i+1:]
		end := bytes.IndexByte(data, '>')
		switch {
		case end < 1 || data[0] == '!':
			return false
		case data[0] == '/':
			depth--
		case data[0] != '?' && data[end-1] != '/':
			depth++
		}
		if depth > 5*maxDepth { // a value in a struct is five tags down
			return false
		}
		data = data[end+1:]
	}
}

// xmlValue turns a value into what the library can encode: nil has no form in
// Odoo's XML-RPC and false clears a field just as well. The library escapes
// values, and no names.
func xmlValue(v any) any {
	switch v := v.(type) {
	case nil:
		return false
	case string:
		return clean(v)
	case json.Number:
		return number(v)
	case []any:
		return xmlList(v)
	case []string:
		return xmlList(v)
	case [][]any:
		return xmlList(v)
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[xmlName.Replace(clean(k))] = xmlValue(v[k])
		}
		return out
	}
	return v
}

func xmlList[T any](list []T) []any {
	out := make([]any, len(list))
	for i := range list {
		out[i] = xmlValue(list[i])
	}
	return out
}

var xmlName = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;")

// xmlFault names the exception of a fault. Codes: 1 any exception, with a
// traceback; 2 UserError and its kin, text only; 3 AccessDenied; 4 AccessError.
func xmlFault(fe xmlrpc.FaultError) *fault {
	switch fe.Code {
	case 2:
		return &fault{class: "UserError", text: fe.String}
	case 3:
		return &fault{class: "AccessDenied", text: fe.String}
	case 4:
		return &fault{class: "AccessError", text: fe.String}
	}
	line := exceptionLine(fe.String)
	name, text, _ := strings.Cut(line, ":")
	return &fault{class: bareClass(strings.TrimSpace(name)), text: strings.TrimSpace(text)}
}

// exceptionLine finds "psycopg2.OperationalError: ..." in a traceback: the
// first line at the margin after the last frame, for a message may have more
// lines (PostgreSQL's LINE 1, DETAIL); without frames, the last line of all.
func exceptionLine(traceback string) string {
	lines := strings.Split(strings.TrimRight(traceback, "\n "), "\n")
	last := -1
	for i, l := range lines {
		if strings.HasPrefix(l, `  File "`) {
			last = i
		}
	}
	if last >= 0 {
		for _, l := range lines[last+1:] {
			if l != "" && l[0] != ' ' {
				return l
			}
		}
	}
	for i := len(lines) - 1; i >= 0; i-- {
		if strings.TrimSpace(lines[i]) != "" {
			return lines[i]
		}
	}
	return ""
}
