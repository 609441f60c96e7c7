package ops

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"github.com/vagus-health/vagus/broker"
)

// DefaultAddr is where the server listens and where the client looks.
const DefaultAddr = "127.0.0.1:8480"

const (
	connectionsMax = 256 // more wait until others end

	minToken  = 16
	maxHeader = 16 << 10
	maxBody   = 1 << 20
	readTime  = 10 * time.Second
	writeTime = 2 * time.Minute // an answer over a large ledger, on a slow line
	idleTime  = 2 * time.Minute
)

// A Token lets its holder use the API. Name stands in the audit log.
type Token struct {
	Name   string
	Secret broker.Secret // 16 characters at least
}

// ServerConfig is what a [Server] serves. /metrics, /livez and /readyz need no
// token: they hold numbers and the names of checks. Everything under /v1 does.
type ServerConfig struct {
	Addr    string       // DefaultAddr if ""; port 0 takes a free one
	API     http.Handler // under /v1/; nil = none
	Tokens  []Token      // required with an API
	Metrics http.Handler // nil = none
	Checks  []Check      // of /readyz

	// A token must not cross a network in the clear: an API on an address other
	// than loopback needs TLS, or Plain, which says that a proxy before us or
	// the network itself encrypts.
	TLS   *tls.Config
	Plain bool

	Grace time.Duration // for requests in hand at the end; 10 s if 0
	Log   *slog.Logger  // nil = discard
}

// A Server is the HTTP side of an agent or a worker.
type Server struct {
	cfg    ServerConfig
	ln     net.Listener
	http   *http.Server
	open   atomic.Int64 // connections
	tokens []hashedToken
}

type hashedToken struct {
	name string
	sum  [sha256.Size]byte
}

// NewServer listens, so that a wrong or taken address is an error at start. It
// answers from Run on. Whoever does not call Run calls Close.
func NewServer(ctx context.Context, cfg ServerConfig) (*Server, error) {
	if cfg.Addr == "" {
		cfg.Addr = DefaultAddr
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Grace == 0 {
		cfg.Grace = 10 * time.Second
	}
	s := &Server{cfg: cfg}
	if cfg.API != nil {
		if len(cfg.Tokens) == 0 {
			return nil, errors.New("http: the API has no token: make one with `openssl rand -hex 32 > api.token && chmod 600 api.token` and name its file in the configuration")
		}
		for i, t := range cfg.Tokens {
			if t.Name == "" {
				return nil, fmt.Errorf("http: token %d has no name: give it the name of who holds it", i+1)
			}
			if len(t.Secret.Reveal()) < minToken {
				return nil, fmt.Errorf("http: token %q has less than %d characters: make one with `openssl rand -hex 32`", t.Name, minToken)
			}
			s.tokens = append(s.tokens, hashedToken{t.Name, sha256.Sum256([]byte(t.Secret.Reveal()))})
		}
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, fmt.Errorf("http: %w: is another vagus running here? Give this one another address", err)
	}
	// The listener's own address decides: a name such as "localhost" may resolve to anything.
	if ip := ln.Addr().(*net.TCPAddr).IP; cfg.API != nil && !ip.IsLoopback() && cfg.TLS == nil && !cfg.Plain {
		_ = ln.Close()
		return nil, fmt.Errorf("http: the API would send its token in the clear over %s: listen on 127.0.0.1, give a TLS certificate, or say `plain: true` if something before it encrypts", ln.Addr())
	}
	if cfg.TLS != nil {
		ln = tls.NewListener(ln, cfg.TLS)
	}
	s.ln = netutil.LimitListener(ln, connectionsMax)
	s.http = &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: readTime,
		ReadTimeout:       readTime,
		WriteTimeout:      writeTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    maxHeader,
		ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				s.open.Add(1)
			case http.StateClosed, http.StateHijacked:
				s.open.Add(-1)
			}
		},
		ErrorLog: slog.NewLogLogger(cfg.Log.Handler(), slog.LevelWarn), // a handler that panicked, too
	}
	return s, nil
}

// Bounds says how many clients are connected; more than the limit wait.
func (s *Server) Bounds() []broker.Bound {
	return []broker.Bound{{Name: "connections to the API", Used: s.open.Load(), Limit: connectionsMax}}
}

// Addr is the address that the server listens on.
func (s *Server) Addr() string { return s.ln.Addr().String() }

// Close stops listening. After Run it is not needed.
func (s *Server) Close() error { return s.ln.Close() }

// Run answers until ctx is done and then finishes the requests in hand within
// the grace period.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // when Serve fails by itself
	done := make(chan error, 1)
	go func() {
		<-ctx.Done()
		stop, end := context.WithTimeout(context.WithoutCancel(ctx), s.cfg.Grace)
		defer end()
		err := s.http.Shutdown(stop)
		if err != nil {
			_ = s.http.Close()
			err = fmt.Errorf("http: requests were cut off at the end of the grace period: %w", err)
		}
		done <- err
	}()
	if err := s.http.Serve(s.ln); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: %w", err)
	}
	return <-done
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]bool{"live": true})
	})
	mux.Handle("GET /readyz", &readiness{checks: s.cfg.Checks})
	if s.cfg.Metrics != nil {
		mux.Handle("GET /metrics", s.cfg.Metrics)
	}
	if s.cfg.API != nil {
		mux.Handle("/v1/", s.authorised(s.cfg.API))
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		writeError(w, &Error{Code: http.StatusNotFound, Message: "there is nothing at this address", Fix: "the API is under /v1, metrics at /metrics, health at /livez and /readyz"})
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("X-Content-Type-Options", "nosniff")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		mux.ServeHTTP(w, r)
	})
}

// authorised lets requests with a token through and tells the API whose it is.
func (s *Server) authorised(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scheme, secret, _ := strings.Cut(r.Header.Get("Authorization"), " ")
		secret = strings.TrimSpace(secret)
		e := &Error{Code: http.StatusUnauthorized, Message: "no token was sent", Fix: "give the token's file with --token-file or VAGUS_TOKEN_FILE"}
		if strings.EqualFold(scheme, "Bearer") && secret != "" {
			e = &Error{Code: http.StatusUnauthorized, Message: "the token is not one that this server knows", Fix: "compare the file given by --token-file with the one in the server's configuration"}
			sum := sha256.Sum256([]byte(secret))
			var name string
			for _, t := range s.tokens { // all of them, so that the time tells nothing
				if subtle.ConstantTimeCompare(sum[:], t.sum[:]) == 1 {
					name = t.name
				}
			}
			if name != "" {
				api.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tokenKey{}, name)))
				return
			}
		}
		w.Header().Set("WWW-Authenticate", `Bearer realm="vagus"`)
		writeError(w, e)
	})
}

// tokenKey holds, in a request's context, the name of the token that let it in.
type tokenKey struct{}

func writeJSON(w http.ResponseWriter, code int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(v) // the peer has gone, or it has not: nobody is left to tell
}

func writeError(w http.ResponseWriter, e *Error) { writeJSON(w, e.Code, e) }
