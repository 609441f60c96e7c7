package simulated

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// shownRecords is how many records of a model the page shows, newest first.
const shownRecords = 100

// A modelCount is a line of the page.
type modelCount struct {
	Name    string `json:"name"`
	Label   string `json:"-"`
	Records int    `json:"records"`
	Shown   bool   `json:"-"`
}

// A callCount is how often a method was called.
type callCount struct {
	Name    string `json:"name"`
	Calls   int    `json:"calls"`
	Rows    int    `json:"rows"`
	MaxRows int    `json:"max_rows"`
}

// A pageState is what the page shows, and what GET /sim/state tells.
type pageState struct {
	Host     string       `json:"-"`
	Version  string       `json:"version"`
	Database string       `json:"database"`
	User     string       `json:"user"`
	Addon    bool         `json:"addon"`
	Latency  string       `json:"latency"`
	Faults   []string     `json:"faults"` // as Rule reads them
	Models   []modelCount `json:"models"`
	Calls    []callCount  `json:"calls"`
	Last     []calling    `json:"-"`
	Model    string       `json:"-"`
	Columns  []string     `json:"-"`
	Rows     [][]string   `json:"-"`
	More     int          `json:"-"`
	Kinds    []string     `json:"kinds"`
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	switch {
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		st := s.state(r.URL.Query().Get("model"))
		st.Host = r.Host
		var b bytes.Buffer
		if err := pageTemplate.Execute(&b, st); err != nil {
			http.Error(w, "the page cannot be written: "+err.Error(), http.StatusInternalServerError)
			return
		}
		h.Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(b.Bytes())
	case r.URL.Path == "/sim/state" && r.Method == http.MethodGet:
		s.tell(w, http.StatusOK, s.state(""))
	case r.URL.Path == "/sim/faults" && r.Method == http.MethodDelete:
		s.Heal()
		s.tell(w, http.StatusOK, s.state(""))
	case (r.URL.Path == "/sim/faults" || r.URL.Path == "/sim/latency") && r.Method == http.MethodPost:
		s.arm(w, r)
	default:
		s.tell(w, http.StatusNotFound, map[string]string{"error": "there are GET /, GET /sim/state, POST and DELETE /sim/faults, and POST /sim/latency"})
	}
}

// arm takes {"rules": ["res.partner.load:serialization:3"]} at /sim/faults and
// {"latency": "200ms"} at /sim/latency.
func (s *Server) arm(w http.ResponseWriter, r *http.Request) {
	refuse := func(text string) { s.tell(w, http.StatusBadRequest, map[string]string{"error": text}) }
	if !isJSON(r) { // which a form of another site cannot send
		refuse("Content-Type must be application/json")
		return
	}
	var in struct {
		Rules   []string `json:"rules"`
		Latency string   `json:"latency"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 64<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		refuse("the body is not what is taken here: " + err.Error())
		return
	}
	if r.URL.Path == "/sim/latency" {
		d, err := time.ParseDuration(in.Latency)
		if err != nil || d < 0 || d > time.Hour {
			refuse("latency is a duration from 0s to 1h, such as 200ms")
			return
		}
		s.SetLatency(d)
	}
	faults := make([]Fault, 0, len(in.Rules))
	for _, text := range in.Rules {
		f, err := Rule(text)
		if err != nil {
			refuse(err.Error())
			return
		}
		faults = append(faults, f)
	}
	for _, f := range faults {
		s.Fail(f)
	}
	s.tell(w, http.StatusOK, s.state(""))
}

func (s *Server) tell(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return
	}
	_, _ = io.WriteString(w, string(b)+"\n")
}

func (s *Server) state(model string) pageState {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := pageState{Version: s.cfg.Version, Database: s.cfg.Database, User: s.cfg.User, Addon: s.cfg.Addon, Latency: time.Duration(s.latency.Load()).String(),
		Faults: []string{}, Models: []modelCount{}, Calls: []callCount{}, Model: model, Kinds: slices.Sorted(maps.Keys(kinds))}
	for _, f := range s.faults {
		st.Faults = append(st.Faults, f.rule())
	}
	for _, name := range slices.Sorted(maps.Keys(s.store.models)) {
		if n := len(s.store.tables[name].ids); n > 0 {
			st.Models = append(st.Models, modelCount{name, s.store.models[name].Label, n, name == model})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(s.calls)) {
		c := s.calls[name]
		st.Calls = append(st.Calls, callCount{name, c.Calls, c.Rows, c.MaxRows})
	}
	for i := range s.last {
		st.Last = append(st.Last, s.last[(s.lastAt-1-i+2*lastCalls)%lastCalls])
	}
	if tb := s.store.tables[model]; tb != nil {
		st.Columns, st.Rows, st.More = s.rows(model, tb)
	}
	return st
}

// rows are the newest records of a model, with the fields that any of them fills.
func (s *Server) rows(model string, tb *table) (columns []string, rows [][]string, more int) {
	t := &tx{store: s.store}
	ids := slices.Clone(tb.ids)
	slices.Reverse(ids)
	if len(ids) > shownRecords {
		ids, more = ids[:shownRecords], len(ids)-shownRecords
	}
	filled := map[string]bool{}
	for _, id := range ids {
		for name := range tb.rows[id].values {
			filled[name] = true
		}
	}
	delete(filled, "name")
	fields := slices.Sorted(maps.Keys(filled))
	columns = append([]string{"id", "name", "external ids"}, fields...)
	for _, id := range ids {
		r := tb.rows[id]
		row := []string{strconv.FormatInt(id, 10), t.display(model, id), strings.Join(r.xids, ", ")}
		for _, name := range fields {
			row = append(row, short(t.wire(model, id, r, name)))
		}
		rows = append(rows, row)
	}
	return columns, rows, more
}

// short is a value in a cell of the page.
func short(v any) string {
	if v == false {
		return ""
	}
	if pair, ok := v.([]any); ok && len(pair) == 2 {
		if name, named := pair[1].(string); named {
			return name
		}
	}
	text := fmt.Sprint(v)
	if runes := []rune(text); len(runes) > 80 {
		text = string(runes[:79]) + "…"
	}
	return text
}
