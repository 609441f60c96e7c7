package webhook

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

const stopGrace = 5 * time.Second // for a request that is half read when the source stops

var _ broker.Source = (*Source)(nil)

// A Source receives the bodies of HTTP requests and brings them to a receiver: a transport that
// carries any format. It answers after they are accepted and never before.
type Source struct {
	conf     Config
	door     *reception.Door
	guard    guard
	receiver broker.Receiver
	log      *slog.Logger
	meters   *reception.Meters
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
	tls, err := conf.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("http: %w", err)
	}
	if tls != nil {
		tls.NextProtos = []string{"h2", "http/1.1"}
	}
	if s.meters, err = reception.NewMeters(conf.Meter, conf.Tracer, feed); err != nil {
		return nil, fmt.Errorf("http: make metrics: %w", err)
	}
	s.door = &reception.Door{Address: conf.Listen, TLS: tls, Plain: conf.Plain, MaxConnections: conf.MaxConnections,
		Grace: stopGrace + conf.AcceptTimeout + conf.WriteTimeout, Meters: s.meters, Log: s.log}
	return s, nil
}

// Addr returns the address that Run listens on, or nil while it does not.
func (s *Source) Addr() net.Addr { return s.door.Addr() }

// Bounds says how many senders are connected and how many requests are in hand.
func (s *Source) Bounds() []broker.Bound {
	return append(append(s.door.Bounds(), broker.BoundsOf(s.receiver)...), broker.Bound{Name: "requests in hand", Used: s.inHand.Load(), Limit: int64(s.conf.MaxRequests)})
}

// Run listens and receives until ctx is done. Then it takes no new connection, finishes and
// answers the requests in hand and returns nil. It returns an error only when it can not
// listen.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	err := s.door.Listen(ctx)
	if err == nil {
		err = s.door.Serve(ctx, &http.Server{
			Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { s.serve(ctx, w, r, accept) }),
			ReadHeaderTimeout: s.conf.ReadTimeout, IdleTimeout: s.conf.IdleTimeout,
			WriteTimeout: s.conf.ReadTimeout + s.conf.AcceptTimeout + s.conf.WriteTimeout,
		})
	}
	if err != nil {
		return fmt.Errorf("http: %w", err)
	}
	return nil
}
