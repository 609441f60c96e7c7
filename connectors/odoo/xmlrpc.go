package odoo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"

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
	if !bytes.Contains(data, []byte("<methodResponse>")) {
		return nil, &fault{class: "net.garbage"}
	}
	resp := xmlrpc.Response(data)
	// The library looks for a fault with a regular expression over the whole
	// answer; a plain search first spares the large answers that.
	if bytes.Contains(data, []byte("<fault>")) {
		if fe, ok := resp.Err().(xmlrpc.FaultError); ok {
			return nil, xmlFault(fe)
		}
		return nil, &fault{class: "net.garbage"}
	}
	var result any
	if err := resp.Unmarshal(&result); err != nil {
		return nil, &fault{class: "net.garbage"}
	}
	return result, nil
}

// xmlValue turns a value into what the library can encode: nil has no form in
// Odoo's XML-RPC and false clears a field just as well; an exact number is sent
// as an integer when it is a 32-bit one, which is what Odoo's columns hold.
func xmlValue(v any) any {
	switch v := v.(type) {
	case nil:
		return false
	case json.Number:
		return number(v)
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = xmlValue(v[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(v))
		for k := range v {
			out[k] = xmlValue(v[k])
		}
		return out
	}
	return v
}

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
