package simulated

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// major is the first number of the version.
func (s *Server) major() int64 {
	text, _, _ := strings.Cut(s.cfg.Version, ".")
	n, _ := strconv.ParseInt(text, 10, 64)
	return n
}

func (s *Server) speaksJSON2() bool { return s.major() >= 19 }

// serveJSON2 answers POST /json/2/<model>/<method>; status 0 means to hang up.
// The status follows the exception's class as Odoo 19's does.
func (s *Server) serveJSON2(r *http.Request, body []byte) (status int, contentType string, answer []byte) {
	const asJSON = "application/json; charset=utf-8"
	if r.Header.Get("X-Odoo-Database") != s.cfg.Database {
		return http.StatusNotFound, "text/html; charset=utf-8", []byte("<!DOCTYPE html>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>No database is selected and the requested URL was not found in the server-wide controllers.</p>\n")
	}
	res, e := s.json2(r, body)
	if e == nil {
		var b bytes.Buffer
		enc := json.NewEncoder(&b)
		enc.SetEscapeHTML(false)
		if err := enc.Encode(res); err != nil {
			return http.StatusInternalServerError, "text/html; charset=utf-8", []byte(page500)
		}
		return http.StatusOK, asJSON, b.Bytes()
	}
	if e.class == workerDied {
		return 0, "", nil
	}
	data, err := json.Marshal(map[string]any{"name": e.class, "message": e.message, "arguments": []any{e.message}, "context": map[string]any{}, "debug": "Traceback (most recent call last):\n"})
	if err != nil {
		return http.StatusInternalServerError, "text/html; charset=utf-8", []byte(page500)
	}
	return json2Status(e.class), asJSON, data
}

func json2Status(class string) int {
	switch class {
	case "odoo.exceptions.UserError", "odoo.exceptions.ValidationError", "werkzeug.exceptions.UnprocessableEntity":
		return http.StatusUnprocessableEntity
	case "odoo.exceptions.AccessError":
		return http.StatusForbidden
	case "odoo.exceptions.MissingError", "werkzeug.exceptions.NotFound":
		return http.StatusNotFound
	case "werkzeug.exceptions.Unauthorized":
		return http.StatusUnauthorized
	case "werkzeug.exceptions.BadRequest":
		return http.StatusBadRequest
	}
	return http.StatusInternalServerError
}

func (s *Server) json2(r *http.Request, body []byte) (any, *exception) {
	if r.Method != http.MethodPost {
		return nil, &exception{class: "werkzeug.exceptions.NotFound", message: "Did you mean POST /json/2/<model>/<method>?"}
	}
	key, bearer := strings.CutPrefix(r.Header.Get("Authorization"), "bearer ")
	if !bearer {
		return nil, &exception{class: "werkzeug.exceptions.Unauthorized", message: "User not authenticated, use an API Key with a Bearer <api-key> header."}
	}
	c := call{kw: map[string]any{}, named: true}
	c.model, c.method, _ = strings.Cut(strings.TrimPrefix(r.URL.Path, "/json/2/"), "/")
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var params any
	if err := dec.Decode(&params); err != nil {
		return nil, &exception{class: "werkzeug.exceptions.BadRequest", message: "could not parse the body as json: " + err.Error()}
	}
	if kw, ok := params.(map[string]any); ok {
		c.kw = kw
	}
	unknown := func() *exception {
		return &exception{class: "werkzeug.exceptions.Unauthorized", message: "Invalid apikey"}
	}
	if c.model == "res.users" && c.method == "context_get" {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.count(c.model, c.method, 0)
		for _, u := range s.users {
			if u.Key == key && !u.archived {
				return map[string]any{"lang": "en_US", "tz": false, "uid": u.uid}, nil
			}
		}
		return nil, unknown()
	}
	res, e := s.run(c, func(u User) bool { return u.Key == key && !u.archived }, key, unknown)
	if e == nil && c.method == "create" { // one dict or many: the answer is a list
		if id, one := asInt(res); one {
			res = []any{id}
		}
	}
	if e != nil {
		e = asJSON2(c, e)
	}
	return res, e
}

// asJSON2 is an exception as the dispatcher of JSON-2 raises it before a method runs.
func asJSON2(c call, e *exception) *exception {
	switch {
	case e.class == "odoo.exceptions.UserError" && strings.HasPrefix(e.message, "Object "):
		return &exception{class: "werkzeug.exceptions.NotFound", message: "the model '" + c.model + "' does not exist"}
	case e.class == "builtins.AttributeError" && strings.HasPrefix(e.message, "The method "):
		return &exception{class: "werkzeug.exceptions.NotFound", message: "The method '" + c.model + "." + c.method + "' does not exist"}
	case e.class == "builtins.TypeError":
		text := strings.TrimPrefix(e.message, "BaseModel."+c.method+"() ")
		if _, name, missing := strings.Cut(text, "positional argument: "); missing {
			text = "missing a required argument: " + name
		}
		return &exception{class: "werkzeug.exceptions.UnprocessableEntity", message: text}
	}
	return e
}
