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
	if loneSurrogate(body) {
		return http.StatusInternalServerError, "text/html; charset=utf-8", []byte(page500)
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

// loneSurrogate says whether a text holds half of a pair of \u escapes, which
// Python reads and cannot write.
func loneSurrogate(body []byte) bool {
	for at := 0; ; {
		i := bytes.Index(body[at:], []byte(`\ud`))
		if i < 0 {
			return false
		}
		at += i
		if at+6 > len(body) {
			return false
		}
		high := bytes.IndexByte([]byte("89abAB"), body[at+3]) >= 0
		next := body[at+6:]
		if !high || len(next) < 4 || !bytes.HasPrefix(next, []byte(`\ud`)) || bytes.IndexByte([]byte("cdefCDEF"), next[3]) < 0 {
			return bytes.IndexByte([]byte("89abcdefABCDEF"), body[at+3]) >= 0
		}
		at += 12
	}
}
