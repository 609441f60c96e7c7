package fhir

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// Bounds that no site needs to choose.
const (
	maxHeader  = 16 << 10
	stopGrace  = 5 * time.Second // for a request that is half read when the source stops
	largeBody  = 1 << 20
	largeSlots = 2 // requests over largeBody that are in memory at once: each takes ten times its size while it is checked
	retryFull  = "30"
	retryError = "5"
)

// An endpoint is the HTTP server that others send to (http.html).
type endpoint struct {
	s     *Source
	conf  *Endpoint
	tls   *tls.Config
	addr  atomic.Pointer[net.Addr]
	large chan struct{}
}

func newEndpoint(s *Source) (*endpoint, error) {
	e := &endpoint{s: s, conf: s.conf.Endpoint, large: make(chan struct{}, largeSlots)}
	var err error
	if e.tls, err = e.conf.TLS.Load(); err != nil {
		return nil, err
	}
	if e.tls != nil {
		e.tls.NextProtos = []string{"http/1.1"}
	}
	return e, nil
}

// listen receives until stop is called, which finishes and answers the
// requests in hand.
func (e *endpoint) listen(ctx context.Context, accept broker.Accept) (stop func(), err error) {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", e.conf.Listen)
	if err != nil {
		return nil, fmt.Errorf("fhir: endpoint: listen: %w", err)
	}
	bound := ln.Addr()
	if ip := bound.(*net.TCPAddr).IP; !ip.IsLoopback() && e.tls == nil && !e.conf.Plain { // a name may resolve to anything
		_ = ln.Close()
		return nil, fmt.Errorf("fhir: endpoint.listen: %s is not loopback: give tls", bound)
	}
	if e.tls != nil {
		ln = tls.NewListener(ln, e.tls)
	}
	conns := &connections{limit: e.conf.MaxConnections, fresh: map[net.Conn]struct{}{}, e: e}
	server := &http.Server{
		Handler:     e.handler(accept),
		ReadTimeout: e.conf.ReadTimeout, WriteTimeout: e.conf.WriteTimeout, IdleTimeout: e.conf.IdleTimeout,
		MaxHeaderBytes: maxHeader, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ConnState: conns.state,
	}
	e.addr.Store(&bound)
	e.s.log.Info("listening", "address", bound.String(), "tls", e.tls != nil)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ln)
	}()
	return func() {
		e.addr.Store(nil)
		_ = ln.Close()
		conns.closeFresh()
		grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace+e.conf.AcceptTimeout)
		defer cancel()
		_ = server.Shutdown(grace)
		_ = server.Close()
		<-ended
	}, nil
}

// connections bounds those that are open, and knows those that have sent
// nothing yet: a server that shuts down would wait for them.
type connections struct {
	e     *endpoint
	limit int
	mu    sync.Mutex
	open  int
	full  bool
	fresh map[net.Conn]struct{}
}

func (c *connections) state(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx := context.Background()
	switch state {
	case http.StateNew:
		c.e.s.meters.Connected(ctx, 1)
		c.fresh[conn] = struct{}{}
		if c.open++; c.open > c.limit {
			c.e.s.meters.TurnedAway(ctx)
			if !c.full {
				c.e.s.log.Warn("connections are refused: max_connections are open", "max_connections", c.limit)
			}
			c.full = true
			_ = conn.Close()
		} else {
			c.full = false
		}
	case http.StateActive:
		delete(c.fresh, conn)
	case http.StateClosed, http.StateHijacked:
		delete(c.fresh, conn)
		c.open--
		c.e.s.meters.Connected(ctx, -1)
	}
}

func (c *connections) closeFresh() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.fresh {
		_ = conn.Close()
	}
}

// handler routes: POST and PUT of resources, POST of Bundles, the statement of
// what is supported, the key set.
func (e *endpoint) handler(accept broker.Accept) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, ok := strings.CutPrefix(r.URL.Path, e.conf.Path)
		steps := strings.Split(strings.Trim(path, "/"), "/")
		if !ok || path != "" && path[0] != '/' || len(steps) > 2 {
			e.refuse(w, r, refuse(http.StatusNotFound, "unsupported", "not-found", "there is nothing at this address"))
			return
		}
		if r.Method == http.MethodGet && (path == "/metadata" || path == "/.well-known/jwks.json") {
			e.describe(w, path)
			return
		}
		if !e.allowed(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			e.refuse(w, r, refuse(http.StatusUnauthorized, "unauthorized", "login", "show the bearer token that was agreed"))
			return
		}
		switch {
		case path == "" || path == "/":
			e.base(w, r, accept)
		case !isResource(steps[0]):
			e.refuse(w, r, refuse(http.StatusNotFound, "unsupported", "not-supported", "R4 has no resource of this name"))
		case len(steps) == 1:
			e.typed(w, r, accept, steps[0])
		default:
			e.instance(w, r, accept, steps[0], steps[1])
		}
	})
}

// allowed compares the bearer token in constant time.
func (e *endpoint) allowed(r *http.Request) bool {
	if e.conf.Token.IsZero() {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got, want := sha256.Sum256([]byte(strings.TrimSpace(token))), sha256.Sum256([]byte(e.conf.Token.Reveal()))
	return strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// refuse answers what was not taken.
func (e *endpoint) refuse(w http.ResponseWriter, r *http.Request, reply reply) {
	e.s.count(r.Context(), reply.reason)
	e.s.log.WarnContext(r.Context(), "refused", "status", reply.status, "reason", reply.reason, "detail", reply.detail())
	e.send(w, reply)
}

func (e *endpoint) send(w http.ResponseWriter, reply reply) {
	switch reply.reason {
	case "full":
		w.Header().Set("Retry-After", retryFull)
	case "error":
		w.Header().Set("Retry-After", retryError)
	}
	write(w, reply.status, reply.outcome())
}

// body reads a request's resource. false says that it was answered. The
// caller calls done when it needs the body no more.
func (e *endpoint) body(w http.ResponseWriter, r *http.Request) (body []byte, done func(), ok bool) {
	done = func() {}
	if bad := checkHeaders(r); bad.status != 0 {
		e.refuse(w, r, bad)
		return nil, done, false
	}
	limited := http.MaxBytesReader(w, r.Body, int64(e.conf.MaxBody))
	body, err := io.ReadAll(io.LimitReader(limited, largeBody))
	if err == nil && len(body) == largeBody {
		wait := time.NewTimer(e.conf.ReadTimeout)
		defer wait.Stop()
		select {
		case e.large <- struct{}{}:
			done = func() { <-e.large }
		case <-wait.C:
			e.refuse(w, r, refuse(http.StatusServiceUnavailable, "error", "throttled", "too many large requests at once: send it again"))
			return nil, done, false
		}
		var rest []byte
		rest, err = io.ReadAll(limited)
		body = append(body, rest...)
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		e.refuse(w, r, refuse(http.StatusRequestEntityTooLarge, "too_large", "too-long", fmt.Sprintf("a request has at most %d bytes", e.conf.MaxBody)))
	case err != nil: // cut off: nobody is there to be answered
		e.refuse(w, r, refuse(http.StatusBadRequest, "syntax", "incomplete", "the request ended before its body"))
	default:
		return body, done, true
	}
	done()
	return nil, func() {}, false
}

// checkHeaders refuses other formats than ours, and conditions that nobody who
// keeps no resources can judge.
func checkHeaders(r *http.Request) (bad reply) {
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	version, charset := params["fhirversion"], strings.ToLower(params["charset"])
	switch {
	case err != nil || media != mediaType:
		return refuse(http.StatusUnsupportedMediaType, "unsupported", "not-supported", "send "+mediaType)
	case charset != "" && charset != "utf-8":
		return refuse(http.StatusUnsupportedMediaType, "unsupported", "not-supported", "send UTF-8")
	case version != "" && version != "4.0" && version != "4.0.1":
		return refuse(http.StatusUnsupportedMediaType, "unsupported", "not-supported", "send FHIR 4.0 (R4)")
	case r.Header.Get("Content-Encoding") != "":
		return refuse(http.StatusUnsupportedMediaType, "unsupported", "not-supported", "send the body as it is, not compressed")
	}
	for _, name := range []string{"If-Match", "If-None-Match", "If-None-Exist", "If-Modified-Since"} {
		if r.Header.Get(name) != "" {
			return refuse(http.StatusPreconditionFailed, "unsupported", "not-supported",
				name+" can not be judged here: this endpoint passes resources on and keeps none; send them without it, a repeat is recognised")
		}
	}
	return reply{}
}
