package odoo

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"
)

const (
	hintPath     = "/hint"
	hintHeader   = "X-Vagus-Secret"
	maxHint      = 1 << 20 // an automation rule may add fields, which are not read
	maxHintConns = 64
)

// listen receives webhooks until stop is called.
func (s *Source) listen(ctx context.Context) (stop func(), err error) {
	h := s.cfg.Hints
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", h.Listen)
	if err != nil {
		return nil, fmt.Errorf("odoo: hints: listen: %w", err)
	}
	bound := ln.Addr()
	if ip := bound.(*net.TCPAddr).IP; !ip.IsLoopback() && h.CertFile == "" && !h.Plain { // a name may resolve to anything
		_ = ln.Close()
		return nil, fmt.Errorf("odoo: hints.listen: %s is not loopback; give cert_file and key_file", bound)
	}
	if h.CertFile != "" {
		cert, err := tls.LoadX509KeyPair(h.CertFile, h.KeyFile)
		if err != nil {
			_ = ln.Close()
			return nil, fmt.Errorf("odoo: hints: read cert_file and key_file: %w", err)
		}
		ln = tls.NewListener(ln, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{cert}})
	}
	server := &http.Server{Handler: http.HandlerFunc(s.hinted), ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second, IdleTimeout: 5 * time.Second,
		MaxHeaderBytes: 8 << 10, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	var open atomic.Int32
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			if open.Add(1) > maxHintConns {
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			open.Add(-1)
		}
	}
	s.addr.Store(&bound)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = server.Serve(ln)
	}()
	return func() {
		s.addr.Store(nil)
		_ = server.Close()
		<-ended
	}, nil
}

// hinted takes a webhook of an automation rule: of its body only the name of
// the model counts, and only when it is one of ours.
func (s *Source) hinted(w http.ResponseWriter, r *http.Request) {
	secret, isHint := strings.CutPrefix(r.URL.Path, hintPath)
	secret = strings.TrimPrefix(secret, "/")
	if given := r.Header.Get(hintHeader); given != "" {
		secret = given
	}
	switch {
	case !isHint:
		w.WriteHeader(http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	got, want := sha256.Sum256([]byte(secret)), sha256.Sum256([]byte(s.cfg.Hints.Secret.Reveal()))
	if subtle.ConstantTimeCompare(got[:], want[:]) != 1 {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var hint struct {
		Model string `json:"_model"`
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxHint))
	if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil || json.Unmarshal(body, &hint) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	for _, watch := range s.watches {
		if watch.model == hint.Model {
			select {
			case watch.hint <- struct{}{}:
			default: // it is to look anyway
			}
			w.WriteHeader(http.StatusNoContent)
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}
