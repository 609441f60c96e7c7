package odoo

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
)

// jsonrpc speaks Odoo's JSON-RPC 2.0 (POST /jsonrpc), which names the class of
// every exception. Numbers come back as [json.Number].
type jsonrpc struct{ http *poster }

type jsonRequest struct {
	Version string     `json:"jsonrpc"`
	Method  string     `json:"method"`
	ID      int        `json:"id"`
	Params  jsonParams `json:"params"`
}

type jsonParams struct {
	Service string `json:"service"`
	Method  string `json:"method"`
	Args    []any  `json:"args"`
}

type jsonResponse struct {
	Version string `json:"jsonrpc"`
	Result  any    `json:"result"` // absent when the method returned None
	Error   *struct {
		Data struct {
			Name    string `json:"name"`
			Message string `json:"message"`
		} `json:"data"`
	} `json:"error"`
}

func (j *jsonrpc) call(ctx context.Context, service, method string, args []any) (any, error) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(jsonRequest{Version: "2.0", Method: "call", ID: 1, Params: jsonParams{service, method, args}}); err != nil {
		return nil, &fault{class: "net.encode"}
	}
	data, err := j.http.post(ctx, "/jsonrpc", "application/json", body.Bytes())
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var resp jsonResponse
	if err := dec.Decode(&resp); err != nil || resp.Version == "" {
		return nil, &fault{class: "net.garbage"}
	}
	if resp.Error != nil {
		return nil, &fault{class: bareClass(resp.Error.Data.Name), text: resp.Error.Data.Message}
	}
	return resp.Result, nil
}

// bareClass cuts the module off an exception's name: psycopg2.errors.DeadlockDetected, odoo.exceptions.UserError.
func bareClass(name string) string { return name[strings.LastIndexByte(name, '.')+1:] }
