package fhir

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// Bounds that no site needs to choose.
const (
	stopGrace  = 5 * time.Second // for a request that is half read when the source stops
	largeBody  = 1 << 20
	largeSlots = 2 // requests over largeBody that are in memory at once: each takes ten times its size while it is checked
	retryFull  = "30"
	retryError = "5"
)

// An endpoint is the HTTP server that others send to (http.html).
type endpoint struct {
	*reception.Door
	s     *Source
	conf  *Endpoint
	large chan struct{}
}

func newEndpoint(s *Source) (*endpoint, error) {
	c := s.conf.Endpoint
	tls, err := c.TLS.Load()
	if err != nil {
		return nil, err
	}
	if tls != nil {
		tls.NextProtos = []string{"http/1.1"}
	}
	door := &reception.Door{Address: c.Listen, TLS: tls, Plain: c.Plain, MaxConnections: c.MaxConnections, Grace: stopGrace + c.AcceptTimeout, Meters: s.meters, Log: s.log}
	return &endpoint{Door: door, s: s, conf: c, large: make(chan struct{}, largeSlots)}, nil
}

// Bounds says how many senders are connected and how many large requests are in memory.
func (e *endpoint) Bounds() []broker.Bound {
	return append(e.Door.Bounds(), broker.Bound{Name: "large requests in hand", Used: int64(len(e.large)), Limit: largeSlots})
}

// serve receives until ctx is done, finishes and answers the requests in hand.
func (e *endpoint) serve(ctx context.Context, accept broker.Accept) error {
	return e.Serve(ctx, &http.Server{Handler: e.handler(accept), ReadTimeout: e.conf.ReadTimeout, WriteTimeout: e.conf.WriteTimeout, IdleTimeout: e.conf.IdleTimeout})
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
