package hl7

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/reception"
)

// Bounds of time that no site needs to choose.
const (
	handshakeTimeout = 10 * time.Second
	stopGrace        = 5 * time.Second // for a frame that is half read when the source stops
	frameMemory      = 256 << 20       // for frames over 64 KiB that are being received, or four of the largest
)

var _ broker.Source = (*Source)(nil)

// A Source receives HL7 v2 messages over MLLP. It acknowledges a message after
// accept has returned and never before.
type Source struct {
	*intake
	tls   *tls.Config
	noise reception.Counter
	addr  atomic.Pointer[net.Addr]
	open  atomic.Int64 // connections
	room  frameRoom
}

// New returns a source for one feed, or an error that names the setting at
// fault. It opens no socket: Run does.
func New(origin broker.Origin, conf Config) (*Source, error) {
	conf, err := conf.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	s := &Source{room: frameRoom{limit: max(frameMemory, 4*int64(conf.MaxFrame))}}
	if s.tls, err = conf.TLS.Load(); err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	conf.Logger = conf.Logger.With("protocol", "mllp")
	if s.intake, err = newIntake(origin, conf); err != nil {
		return nil, fmt.Errorf("hl7: %w", err)
	}
	if s.noise, err = s.meters.Counter("vagus.source.discarded_bytes", "bytes outside frames"); err != nil {
		return nil, fmt.Errorf("hl7: make metrics: %w", err)
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

// Bounds says how many connections are open and how much memory large frames take.
func (s *Source) Bounds() []broker.Bound {
	return []broker.Bound{
		{Name: reception.Connections, Used: s.open.Load(), Limit: int64(s.conf.MaxConnections)},
		{Name: "large frames being received", Used: s.room.used.Load(), Limit: s.room.limit},
	}
}

// Run listens and receives until ctx is done. Then it takes no new connection,
// finishes and answers the message that each connection has in hand, closes
// them and returns nil. It returns an error only when it can not listen.
func (s *Source) Run(ctx context.Context, accept broker.Accept) error {
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.conf.Listen)
	if err != nil {
		return fmt.Errorf("hl7: listen: %w", err)
	}
	bound := ln.Addr()
	s.addr.Store(&bound)
	defer s.addr.Store(nil)
	s.log.Info("listening", "address", bound.String(), "tls", s.tls != nil)
	conns := &connections{open: make(map[*conn]struct{})}
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		conns.stop()
	})
	defer stop()
	defer conns.wait.Wait()
	defer ln.Close()
	failed, full := false, false // logged when they change
	for {
		nc, err := ln.Accept()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = nc.Close()
			}
			return nil
		case err != nil: // out of file descriptors, for one: it passes
			if !failed {
				s.log.Error("take connection", "error", err)
			}
			failed = true
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			continue
		}
		failed = false
		c := &conn{Conn: nc}
		if !conns.add(c, s.conf.MaxConnections) {
			_ = nc.Close()
			s.meters.TurnedAway(ctx)
			if !full {
				s.log.Warn("connections are refused: max_connections are open", "max_connections", s.conf.MaxConnections)
			}
			full = true
			continue
		}
		full = false
		go func() {
			defer conns.remove(c)
			s.serve(ctx, c, accept)
		}()
	}
}

// serve answers the frames of one connection, one after the other, so that
// answers have the order of the questions.
func (s *Source) serve(ctx context.Context, c *conn, accept broker.Accept) {
	s.meters.Connected(ctx, 1)
	s.open.Add(1)
	defer func() {
		s.open.Add(-1)
		s.meters.Connected(ctx, -1)
	}()
	defer c.Close()
	if s.tls != nil {
		t := tls.Server(c.Conn, s.tls)
		c.Conn = t
		hctx, cancel := context.WithTimeout(ctx, handshakeTimeout)
		err := t.HandshakeContext(hctx)
		cancel()
		if err != nil {
			s.log.Warn("TLS handshake", "error", err)
			return
		}
	}
	frames := newFrameReader(c, s.conf.MaxFrame)
	frames.room = &s.room
	defer func() {
		frames.hold(0)
		s.noise.Add(ctx, frames.discarded)
	}()
	var out []byte
	for c.idle(s.conf.IdleTimeout) {
		frame, err := frames.next(func() { c.begin(s.conf.ReadTimeout) })
		began := time.Now()
		hangUp := false
		switch {
		case errors.Is(err, errTooLarge), errors.Is(err, errNoRoom):
			out = s.refuse(ctx, append(out[:0], startBlock), frame, err)
			hangUp = true
		case err != nil:
			s.logBroken(c, err)
			return
		case len(bytes.TrimSpace(frame)) == 0: // some senders keep a connection open so
			continue
		default:
			var res result
			out, res = s.receive(ctx, accept, append(out[:0], startBlock), bytes.Clone(frame)) // the message outlives the buffer
			hangUp = res.unheard                                                               // it can be told in no other way
		}
		if len(out) > 1 {
			out = append(out, endBlock, carriage)
			_ = c.SetWriteDeadline(time.Now().Add(s.conf.WriteTimeout))
			if _, err := c.Write(out); err != nil {
				s.log.Warn("write acknowledgement", "error", err)
				return
			}
			atAcknowledged.Hit()
			s.meters.Answered(ctx, began)
		}
		if hangUp {
			return
		}
		if cap(out) > 4*smallBuffer {
			out = nil
		}
	}
}

// logBroken logs a connection that ended otherwise than between two frames.
func (s *Source) logBroken(c *conn, err error) {
	var timeout net.Error
	switch {
	case errors.Is(err, io.EOF), c.isStopping():
	case errors.As(err, &timeout) && timeout.Timeout():
		s.log.Info("connection closed: nothing came in time")
	default:
		s.log.Warn("connection broke", "error", err)
	}
}

// A conn is one connection and where it stands: the source may stop it between
// frames at once, and inside one after a grace period.
type conn struct {
	net.Conn
	mu             sync.Mutex
	busy, stopping bool
}

// idle prepares to wait for a frame; false says that the source stops.
func (c *conn) idle(timeout time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if c.stopping {
		return false
	}
	_ = c.SetReadDeadline(time.Now().Add(timeout))
	return true
}

// begin notes that a frame has begun.
func (c *conn) begin(timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = true
	if c.stopping {
		timeout = min(timeout, stopGrace)
	}
	_ = c.SetReadDeadline(time.Now().Add(timeout))
}

func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	grace := time.Duration(0)
	if c.busy {
		grace = stopGrace
	}
	_ = c.SetReadDeadline(time.Now().Add(grace))
}

func (c *conn) isStopping() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stopping
}

// connections are those that are open.
type connections struct {
	wait    sync.WaitGroup
	mu      sync.Mutex
	open    map[*conn]struct{}
	stopped bool
}

// add takes c in; false says that limit connections are open, or that the
// source stops.
func (cs *connections) add(c *conn, limit int) bool {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	if len(cs.open) >= limit || cs.stopped {
		return false
	}
	cs.open[c] = struct{}{}
	cs.wait.Add(1)
	return true
}

func (cs *connections) remove(c *conn) {
	cs.mu.Lock()
	delete(cs.open, c)
	cs.mu.Unlock()
	cs.wait.Done()
}

func (cs *connections) stop() {
	cs.mu.Lock()
	defer cs.mu.Unlock()
	cs.stopped = true
	for c := range cs.open {
		c.stop()
	}
}
