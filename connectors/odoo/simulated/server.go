// Package simulated is an Odoo 18 server for tests and demonstrations: the part
// of its external API that package odoo speaks, on both wires, with a database
// in memory and faults on demand. Its behaviour was compared with a real server
// call by call (the contract suite of package odoo runs against both).
//
// It is no Odoo: models are declared, computed fields and business logic are
// those few that the declared models need, and there is one company.
package simulated

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config says what the server holds. The zero Config works.
type Config struct {
	Version  string // default "18.0"; "19.0" and newer speak JSON-2 too
	Database string // default "demo"
	User     string // default "vagus"
	Key      string // default "simulated"
	// Users are further users.
	Users []User
	// Models adds models, and fields to the models of a stock Odoo.
	Models map[string]Model
	// Seeds are records from the start, in order.
	Seeds []Seed
	// Addon has the addon of deploy/odoo/addons/vagus installed, open for every user.
	Addon bool
	// Page has a page of what the server holds at /, and an interface at /sim/
	// that arms faults; see [Rule].
	Page bool
	// History keeps every effect, see [Server.Effects]. Its memory grows.
	History bool
}

// A User may log in.
type User struct {
	Login, Key  string
	NoModelData bool     // may not read ir.model.data, as most integration users
	ReadOnly    bool     // may not create or write
	NoAccess    []string // models that the user may not even read
	// Companies are the ids of those that the user may work in; nil: all that there are.
	Companies []int64

	uid      int64
	archived bool
}

// A Server answers as Odoo does. Safe for concurrent use.
type Server struct {
	cfg   Config
	store *store

	mu      sync.Mutex // guards all below, and store
	users   []User
	faults  []*Fault
	poisons map[string]Poison
	calls   map[string]*Count
	last    []calling // a ring
	lastAt  int

	latency atomic.Int64
	down    atomic.Bool

	lmu      sync.Mutex // guards the listener's state
	addr     string
	listener net.Listener
	http     *http.Server
	done     chan struct{}
	seedErr  error
}

// New returns a server with its database filled. It listens once Start is
// called; until then it can be used as an [http.Handler].
func New(c Config) *Server {
	if c.Database == "" {
		c.Database = "demo"
	}
	if c.Version == "" {
		c.Version = "18.0"
	}
	if c.User == "" {
		c.User = "vagus"
	}
	if c.Key == "" {
		c.Key = "simulated"
	}
	models := stockModels()
	maps.Copy(models, documents())
	maps.Copy(models, inventory())
	s := &Server{cfg: c}
	ofVersion(models, s.major())
	extend(models, masterdata())
	extend(models, c.Models)
	s.store, s.poisons, s.calls = newStore(models, c.History), map[string]Poison{}, map[string]*Count{}
	s.store.addon, s.store.major = c.Addon, s.major()
	s.users = append([]User{{Login: c.User, Key: c.Key}}, c.Users...)
	for i := range s.users {
		s.users[i].uid = int64(i) + 2
	}
	s.seed(c.Seeds)
	return s
}

func (s *Server) seed(seeds []Seed) {
	t := &tx{store: s.store}
	seedOne := func(sd Seed) int64 {
		tb := s.store.tables[sd.Model]
		if tb == nil {
			s.seedErr = errors.Join(s.seedErr, fmt.Errorf("simulated: seed of %s: no such model", sd.Model))
			return 0
		}
		next := tb.next
		if sd.ID != 0 {
			if tb.rows[sd.ID] != nil {
				s.seedErr = errors.Join(s.seedErr, fmt.Errorf("simulated: seed of %s: there is a record %d", sd.Model, sd.ID))
				return 0
			}
			tb.next = sd.ID
		}
		own := map[string]any{} // create fills in the defaults
		maps.Copy(own, sd.Values)
		id, e := t.create(sd.Model, own)
		slices.Sort(tb.ids)
		tb.next = max(next, tb.next)
		if e == nil && sd.XID != "" {
			e = t.name(sd.XID, sd.Model, id, true)
		}
		if e != nil {
			s.seedErr = errors.Join(s.seedErr, fmt.Errorf("simulated: seed of %s: %s", sd.Model, e.message))
		}
		return id
	}
	byCode := map[string]int64{}
	for _, c := range countries {
		byCode[c[0]] = seedOne(Seed{Model: "res.country", XID: "base." + strings.ToLower(c[0]), Values: map[string]any{"code": c[0], "name": c[1]}})
	}
	for _, st := range states {
		seedOne(Seed{Model: "res.country.state", XID: "base.state_" + strings.ToLower(st[2]+"_"+st[0]),
			Values: map[string]any{"code": st[0], "name": st[1], "country_id": byCode[st[2]]}})
	}
	seedOne(Seed{Model: "res.company", XID: "base.main_company", Values: map[string]any{"name": "My Company"}})
	seedOne(Seed{Model: "res.partner", XID: "base.main_partner", Values: map[string]any{"name": "My Company", "is_company": true}})
	seedOne(Seed{Model: "res.users", XID: "base.user_root", Values: map[string]any{"name": "OdooBot", "login": "__system__"}}) // so that the others have their ids
	for _, u := range s.users {
		seedOne(Seed{Model: "res.users", Values: map[string]any{"name": u.Login, "login": u.Login}})
	}
	for _, sd := range append(slices.Clone(installed), seeds...) {
		seedOne(sd)
	}
	t.effects = nil
	s.store.effects = nil
}

// Err says which seeds the models refuse. The others are there.
func (s *Server) Err() error { return s.seedErr }

// Start listens on a loopback address, "127.0.0.1:0" or one with a fixed port,
// and returns the URL. Close ends it. A seed that the models refuse is an error here.
func (s *Server) Start(addr string) (string, error) {
	s.lmu.Lock()
	defer s.lmu.Unlock()
	if s.seedErr != nil {
		return "", s.seedErr
	}
	if s.listener != nil {
		return "", errors.New("simulated: already started")
	}
	s.addr = addr
	if err := s.listen(); err != nil {
		return "", err
	}
	return "http://" + s.addr, nil
}

// listen opens the address and serves it. The caller holds lmu.
func (s *Server) listen() error {
	l, err := net.Listen("tcp", s.addr)
	if err != nil {
		return fmt.Errorf("simulated: %w", err)
	}
	s.addr = l.Addr().String() // the port stays when it comes back
	s.listener = l
	s.http = &http.Server{Handler: s, ReadTimeout: time.Minute}
	s.done = make(chan struct{})
	go func(h *http.Server, done chan struct{}) {
		defer close(done)
		_ = h.Serve(l)
	}(s.http, s.done)
	return nil
}

// Close stops listening, breaks open connections and waits for the calls in hand.
func (s *Server) Close() error {
	s.lmu.Lock()
	defer s.lmu.Unlock()
	return s.stop()
}

func (s *Server) stop() error {
	if s.listener == nil {
		return nil
	}
	err := s.http.Close()
	<-s.done
	s.listener = nil
	return err
}

// SetDown takes the server down, so that connections are refused and open ones
// break, or up again at the same address with everything it had.
func (s *Server) SetDown(down bool) error {
	s.lmu.Lock()
	defer s.lmu.Unlock()
	s.down.Store(down)
	if s.addr == "" { // used as a handler
		return nil
	}
	if down {
		return s.stop()
	}
	if s.listener != nil {
		return nil
	}
	return s.listen()
}

// SetLatency makes every answer take at least this long.
func (s *Server) SetLatency(d time.Duration) { s.latency.Store(int64(d)) }

const page500 = `<!doctype html>
<html lang=en>
<title>500 Internal Server Error</title>
<h1>Internal Server Error</h1>
<p>The server encountered an internal error and was unable to complete your request. Either the server is overloaded or there is an error in the application.</p>
`

const maxBody = 128 << 20

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "Werkzeug/2.2.2 Python/3.11.2")
	w.Header().Set("Connection", "close") // no keep-alive, ever
	if s.down.Load() {
		hangUp(w)
		return
	}
	if s.cfg.Page && (r.URL.Path == "/" || strings.HasPrefix(r.URL.Path, "/sim/")) {
		s.page(w, r)
		return
	}
	xml, isXML := strings.CutPrefix(r.URL.Path, "/xmlrpc/2/")
	switch {
	case isXML && r.Method != http.MethodPost:
		w.Header().Set("Allow", "OPTIONS, POST")
		html(w, http.StatusMethodNotAllowed, "405 Method Not Allowed", "Method Not Allowed", "The method is not allowed for the requested URL.")
		return
	case r.URL.Path == "/jsonrpc" && (r.Method != http.MethodPost || !isJSON(r)):
		html(w, http.StatusBadRequest, "400 Bad Request", "Bad Request", "Request inferred type is compatible with [&#39;http&#39;] but &#39;/jsonrpc&#39; is type=&#39;json&#39;.")
		return
	case r.URL.Path == "/web/health":
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		answer := `{"status": "pass"}`
		if r.URL.Query().Get("db_server_status") == "1" {
			answer = `{"status": "pass", "db_server_status": true}`
		}
		_, _ = io.WriteString(w, answer)
		return
	case r.URL.Path == "/json/version" && s.speaksJSON2():
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		_, _ = fmt.Fprintf(w, `{"version_info": [%d, 0, 0, "final", 0, ""], "version": "%s-20260101"}`, s.major(), s.cfg.Version)
		return
	case r.URL.Path == "/json/version": // taken for a page of the web client, which wants a login
		w.Header().Set("Location", "/web/login?redirect=%2Fjson%2Fversion%3F")
		html(w, http.StatusSeeOther, "Redirecting...", "Redirecting...", "You should be redirected automatically to the target URL.")
		return
	case strings.HasPrefix(r.URL.Path, "/json/2/") && s.speaksJSON2() && r.Method == http.MethodPost && !isJSON(r):
		html(w, http.StatusUnsupportedMediaType, "415 Unsupported Media Type", "Unsupported Media Type", "Request inferred type is compatible with [&#39;http&#39;] but &#39;/json/2/&lt;__model__&gt;/&lt;__method__&gt;&#39; is type=&#39;json2&#39;.")
		return
	case strings.HasPrefix(r.URL.Path, "/json/2/") && s.speaksJSON2():
	case !isXML && r.URL.Path != "/jsonrpc":
		html(w, http.StatusNotFound, "404 Not Found", "Not Found", "The requested URL was not found on the server. If you entered the URL manually please check your spelling and try again.")
		return
	}
	// A compressed body is not decompressed: it will not parse.
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		return
	}
	if !s.wait(r.Context(), time.Duration(s.latency.Load())) {
		return
	}
	if f := s.before(r.URL.Path, body); f != nil {
		s.misbehave(w, f)
		return
	}
	var status int
	var contentType string
	var answer []byte
	switch {
	case isXML:
		status, contentType, answer = s.serveXML(xml, body)
	case r.URL.Path != "/jsonrpc":
		status, contentType, answer = s.serveJSON2(r, body)
	default:
		status, contentType, answer = s.serveJSON(body)
	}
	if status == 0 || s.after(r.URL.Path, body) {
		hangUp(w)
		return
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(status)
	_, _ = w.Write(answer)
}

func isJSON(r *http.Request) bool {
	kind, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";")
	return kind == "application/json" || kind == "application/json-rpc"
}

func (s *Server) wait(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return true
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func html(w http.ResponseWriter, status int, title, head, text string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<!doctype html>\n<html lang=en>\n<title>%s</title>\n<h1>%s</h1>\n<p>%s</p>\n", title, head, text)
}

// hangUp closes the connection without an answer.
func hangUp(w http.ResponseWriter) {
	if h, ok := w.(http.Hijacker); ok {
		if conn, _, err := h.Hijack(); err == nil {
			_ = conn.Close()
			return
		}
	}
	panic(http.ErrAbortHandler) // net/http's own way to close without an answer
}
