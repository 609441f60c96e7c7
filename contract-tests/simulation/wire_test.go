package simulation

import (
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"time"
)

// A wire is one connection of a process to the hub: what the client of nats.go takes for a
// socket. Each operation of the protocol travels by itself, in order, and arrives at a moment of its own.
type wire struct {
	p   *process
	hub *bus
	id  string

	up, down pipe // to the hub, to the client

	mu       sync.Mutex
	cond     *sync.Cond
	arrived  []byte // at the client
	broken   error
	deadline time.Time
	buffer   []byte // written, not a whole operation yet
	open     bool   // the handshake is over
}

// A pipe carries operations one way. It is guarded by its wire's hub.
type pipe struct {
	w      *wire
	of     string
	queue  []parcel
	timer  *time.Timer
	frozen time.Time // nothing arrives before
	last   time.Time
}

type parcel struct {
	at     time.Time
	arrive func()
}

// send puts an operation on its way. hub.mu is held.
func (p *pipe) send(arrive func()) {
	now := time.Now()
	at := now.Add(p.w.p.w.between(p.of, 200*time.Microsecond, 3*time.Millisecond))
	if !at.After(p.last) {
		at = p.last.Add(time.Nanosecond)
	}
	p.last = at
	p.queue = append(p.queue, parcel{at, arrive})
	if len(p.queue) == 1 {
		p.plan()
	}
}

func (p *pipe) plan() {
	if len(p.queue) == 0 || p == &p.w.up && p.w.p.isPaused() { // what a paused process wrote, it writes when it goes on

		return
	}
	at := p.queue[0].at
	if at.Before(p.frozen) {
		at = p.frozen
	}
	d := max(time.Until(at), 1)
	if p.timer == nil {
		p.timer = time.AfterFunc(d, p.due)
	} else {
		p.timer.Reset(d)
	}
}

func (p *pipe) due() {
	p.w.hub.mu.Lock()
	defer p.w.hub.mu.Unlock()
	if len(p.queue) > 0 && !time.Now().Before(p.frozen) && !(p == &p.w.up && p.w.p.isPaused()) {
		first := p.queue[0]
		p.queue = p.queue[1:]
		first.arrive()
	}
	p.plan()
}

// freeze holds up what is on its way, and what comes, until a time. hub.mu is held.
func (p *pipe) freeze(until time.Time) {
	p.frozen = until
	p.plan()
}

// cut breaks the connection. What is on its way to the hub may still arrive.
func (l *wire) cut() {
	l.hub.mu.Lock()
	if !l.hub.world.happens(l.up.of+"cut", 500) {
		l.up.queue = nil
	}
	l.down.queue = nil
	l.hub.hangUp(l)
	l.hub.mu.Unlock()
	l.fail(errors.New("connection reset"))
}

func (l *wire) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.broken == nil {
		l.broken = err
	}
	l.cond.Broadcast()
}

// arrive hands bytes to the client.
func (l *wire) arrive(b []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.arrived = append(l.arrived, b...)
	l.cond.Broadcast()
}

var _ net.Conn = (*wire)(nil)

func (l *wire) Read(b []byte) (int, error) {
	for {
		l.mu.Lock()
		for len(l.arrived) == 0 && l.broken == nil && !l.late() {
			l.cond.Wait()
		}
		late := l.late()
		l.mu.Unlock()
		if l.p.goesOn() {
			continue
		}
		l.mu.Lock()
		if len(l.arrived) > 0 {
			n := copy(b, l.arrived)
			l.arrived = l.arrived[n:]
			l.mu.Unlock()
			return n, nil
		}
		broken := l.broken
		l.mu.Unlock()
		if broken != nil {
			return 0, broken
		}
		if late {
			return 0, os.ErrDeadlineExceeded
		}
	}
}

func (l *wire) late() bool { return !l.deadline.IsZero() && !time.Now().Before(l.deadline) }

func (l *wire) Write(b []byte) (int, error) {
	l.mu.Lock()
	if err := l.broken; err != nil {
		l.mu.Unlock()
		return 0, err
	}
	l.buffer = append(l.buffer, b...)
	var ops []clientOp
	for {
		op, rest, ok := readOp(l.buffer)
		if !ok {
			break
		}
		l.buffer = rest
		ops = append(ops, op)
	}
	l.mu.Unlock()
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	for _, op := range ops {
		if !l.open { // the client has its lock meanwhile, so that whoever asks it something would stop the clock
			if op.verb == "PING" {
				l.open = true
				l.arrive([]byte("PONG\r\n"))
			}
			continue
		}
		if strings.HasPrefix(op.subject, "event.") { // nobody hears it, and a worker tells several in any order
			continue
		}
		l.up.send(func() { l.hub.arrived(l, op) })
	}
	return len(b), nil
}

func (l *wire) Close() error {
	l.fail(io.EOF)
	l.hub.mu.Lock()
	defer l.hub.mu.Unlock()
	l.up.send(func() { l.hub.hangUp(l) })
	return nil
}

// SetDeadline sets that of reading; writing never waits.
func (l *wire) SetDeadline(t time.Time) error { return l.SetReadDeadline(t) }

func (l *wire) SetReadDeadline(t time.Time) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deadline = t
	if !t.IsZero() {
		time.AfterFunc(max(time.Until(t), 1), func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.cond.Broadcast()
		})
	}
	return nil
}

func (l *wire) SetWriteDeadline(time.Time) error { return nil }
func (l *wire) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (l *wire) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
