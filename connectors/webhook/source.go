package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

const (
	stopGrace  = 5 * time.Second // for a request that is half read when the source stops
	maxHeaders = 16 << 10
)

var _ broker.Source = (*Source)(nil)

// A Source receives the bodies of HTTP requests and brings them to a receiver: a transport that
// carries any format. It answers after they are accepted and never before.
type Source struct {
	conf     Config
	tls      *tls.Config
	guard    guard
	receiver broker.Receiver
	log      *slog.Logger
	meters   *reception.Meters
	addr     atomic.Pointer[net.Addr]
	inHand   atomic.Int64
}

// New returns a source that receives for one feed, or an error that names the setting at
// fault. It opens no socket: Run does.
func New(feed string, conf Config, receiver broker.Receiver) (*Source, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	s := &Source{conf: conf, receiver: receiver, log: conf.Logger.With("feed", feed, "protocol", "http")}
	if s.guard, err = newGuard(conf); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if s.tls, err = conf.TLS.Load(); err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if s.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, feed); err != nil {
		return nil, fmt.Errorf("http: make metrics: %w", err)
	}
	return s, nil
}

// Addr returns the address that Run listens on, or nil while it does not.
func (s *Source) Addr() net.Addr {
	if a := s.addr.Load(); a != nil {
		return *a
	}
	return nil
}

// Run listens and receives until ctx is done. Then it takes no new connection, finishes and
// answers the requests in hand and returns nil. It returns an error only when it can not
// listen.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.conf.Listen)
	if err != nil {
		return fmt.Errorf("http: listen: %w", err)
	}
	bound := ln.Addr()
	if ip := bound.(*net.TCPAddr).IP; !ip.IsLoopback() && s.tls == nil && !s.conf.Plain { // a name may resolve to anything
		_ = ln.Close()
		return fmt.Errorf("http: listen: %s is not loopback: give tls.cert_file and tls.key_file, or plain: true where something before us encrypts", bound)
	}
	if s.tls != nil {
		s.tls.NextProtos = []string{"h2", "http/1.1"}
		ln = tls.NewListener(ln, s.tls)
	}
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(ctx, w, r, accept) }),
		ReadHeaderTimeout: s.conf.ReadTimeout, IdleTimeout: s.conf.IdleTimeout, MaxHeaderBytes: maxHeaders,
		WriteTimeout: s.conf.ReadTimeout + s.conf.AcceptTimeout + s.conf.WriteTimeout,
		ErrorLog:     slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // a handshake that failed, with what the peer sent
	}
	var open atomic.Int64
	server.ConnState = func(c net.Conn, state http.ConnState) {
		switch state {
		case http.StateNew:
			s.meters.Connected(ctx, 1)
			if open.Add(1) > int64(s.conf.MaxConnections) {
				s.meters.TurnedAway(ctx)
				_ = c.Close()
			}
		case http.StateClosed, http.StateHijacked:
			s.meters.Connected(ctx, -1)
			open.Add(-1)
		}
	}
	s.addr.Store(&bound)
	defer s.addr.Store(nil)
	s.log.Info("listening", "address", bound.String(), "tls", s.tls != nil)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(ln) }()
	select {
	case err = <-ended:
		return fmt.Errorf("http: serve: %w", err)
	case <-ctx.Done():
	}
	s.addr.Store(nil)
	wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopGrace+s.conf.AcceptTimeout+s.conf.WriteTimeout)
	defer cancel()
	if err := server.Shutdown(wait); err != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("http: serve: %w", err)
	}
	return nil
}
