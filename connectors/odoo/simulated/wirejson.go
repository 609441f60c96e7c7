package simulated

import (
	"bytes"
	"encoding/json"
	"net/http"
)

// serveJSON answers POST /jsonrpc; status 0 means to hang up.
func (s *Server) serveJSON(body []byte) (status int, contentType string, answer []byte) {
	var in struct {
		ID     any `json:"id"`
		Params struct {
			Service string `json:"service"`
			Method  string `json:"method"`
			Args    []any  `json:"args"`
		} `json:"params"`
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(&in); err != nil {
		text := "Invalid JSON data"
		if json.Valid(body) {
			text = "Invalid JSON-RPC data"
		}
		return http.StatusBadRequest, "text/html; charset=utf-8", []byte(text)
	}
	res, e := s.dispatch(request{in.Params.Service, in.Params.Method, in.Params.Args})
	if e != nil && e.class == workerDied {
		return 0, "", nil
	}
	out := map[string]any{"jsonrpc": "2.0", "id": in.ID}
	switch {
	case e != nil:
		out["error"] = map[string]any{"code": 200, "message": "Odoo Server Error", "data": map[string]any{
			"name": e.class, "debug": "Traceback (most recent call last):\n", "message": e.message, "arguments": []any{e.message}, "context": map[string]any{}}}
	case res != nil: // a method that returned None has no result at all
		out["result"] = res
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return http.StatusInternalServerError, "text/html; charset=utf-8", []byte(page500)
	}
	return http.StatusOK, "application/json; charset=utf-8", b.Bytes()
}
