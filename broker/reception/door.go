package reception

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// Connections is the bound of those that a source's senders have open.
const Connections = "connections of senders"

const maxHeader = 16 << 10 // bytes of a request's head

// A Door is where senders come in by HTTP: Listen, then Serve, once.
type Door struct {
	Address        string        // "host:port"
	TLS            *tls.Config   // nil: plain, on loopback only
	Plain          bool          // plain anywhere: something before us encrypts
	MaxConnections int           // more are closed at once
	Grace          time.Duration // for the requests in hand when it closes
	Meters         *Meters
	Log            *slog.Logger

	listener net.Listener
	addr     atomic.Pointer[net.Addr]
	mu       sync.Mutex
	open     int
	full     bool                  // logged when it changes
	fresh    map[net.Conn]struct{} // that have sent nothing yet: a server that shuts down would wait for them
}

// Addr returns the address that it listens on, or nil while it does not. Safe
// for concurrent use.
func (d *Door) Addr() net.Addr {
	if a := d.addr.Load(); a != nil {
		return *a
	}
	return nil
}

// Listen opens the socket. It refuses to take patients' data in the clear from
// beyond this machine.
func (d *Door) Listen(ctx context.Context) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", d.Address)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	bound := ln.Addr()
	if ip := bound.(*net.TCPAddr).IP; !ip.IsLoopback() && d.TLS == nil && !d.Plain { // a name may resolve to anything
		_ = ln.Close()
		return fmt.Errorf("listen: %s is not loopback: give tls.cert_file and tls.key_file, or plain: true where something before us encrypts", bound)
	}
	if d.TLS != nil {
		ln = tls.NewListener(ln, d.TLS)
	}
	d.listener, d.fresh = ln, map[net.Conn]struct{}{}
	d.addr.Store(&bound)
	d.Log.Info("listening", "address", bound.String(), "tls", d.TLS != nil)
	return nil
}

// Serve has a server, of which it needs the handler and the timeouts, answer until
// ctx is done. Then it takes no new connection, finishes and answers the requests in
// hand, and returns nil. An error says that it can not receive any more.
func (d *Door) Serve(ctx context.Context, server *http.Server) error {
	server.MaxHeaderBytes, server.ConnState = maxHeader, d.state
	server.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // a handshake that failed, with what the peer sent
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(d.listener) }()
	select {
	case err := <-ended:
		d.addr.Store(nil)
		_ = server.Close()
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	d.addr.Store(nil)
	_ = d.listener.Close()
	d.closeFresh()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), d.Grace)
	defer cancel()
	_ = server.Shutdown(grace)
	_ = server.Close()
	<-ended
	return nil
}

// Bounds says how many connections are open.
func (d *Door) Bounds() []broker.Bound {
	d.mu.Lock()
	defer d.mu.Unlock()
	return []broker.Bound{{Name: Connections, Used: int64(d.open), Limit: int64(d.MaxConnections)}}
}

func (d *Door) state(conn net.Conn, state http.ConnState) {
	d.mu.Lock()
	defer d.mu.Unlock()
	ctx := context.Background()
	switch state {
	case http.StateNew:
		d.Meters.Connected(ctx, 1)
		d.fresh[conn] = struct{}{}
		d.open++
		over := d.open > d.MaxConnections
		if over {
			d.Meters.TurnedAway(ctx)
			_ = conn.Close()
		}
		if over && !d.full {
			d.Log.Warn("connections are refused: max_connections are open", "max_connections", d.MaxConnections)
		}
		d.full = over
	case http.StateActive:
		delete(d.fresh, conn)
	case http.StateClosed, http.StateHijacked:
		delete(d.fresh, conn)
		d.open--
		d.Meters.Connected(ctx, -1)
	}
}

func (d *Door) closeFresh() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.fresh {
		_ = conn.Close()
	}
}
