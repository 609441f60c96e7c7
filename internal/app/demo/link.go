package demo

import (
	"context"
	"net"
	"sync"
)

// A Link is a TCP path that can be cut: it listens on loopback and carries
// every connection to one address, until somebody cuts or freezes it.
type Link struct {
	to string
	l  net.Listener

	mu     sync.Mutex
	state  linkState
	thawed chan struct{} // closed while bytes may pass
	conns  map[net.Conn]struct{}
	wg     sync.WaitGroup
}

type linkState int

const (
	whole linkState = iota
	cut
)

// NewLink returns a link to this address. Close must be called.
func NewLink(to string) (*Link, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &Link{to: to, l: l, thawed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	close(p.thawed)
	p.wg.Go(p.accept)
	return p, nil
}

// Addr is where the link listens.
func (p *Link) Addr() string { return p.l.Addr().String() }

// Cut resets every connection and refuses new ones, as a pulled cable with an
// honest router does.
func (p *Link) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = cut
	for c := range p.conns {
		if t, ok := c.(*net.TCPConn); ok {
			_ = t.SetLinger(0)
		}
		_ = c.Close()
	}
}

// Freeze lets connections stand and passes nothing more in either direction:
// half-open, as behind a firewall that forgot them. New ones are accepted and
// hear nothing.
func (p *Link) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Restore makes the link whole: new connections pass. Those that stood in a
// freeze are reset; their ends may have given them up long ago.
func (p *Link) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state = whole
	select {
	case <-p.thawed:
	default:
		for c := range p.conns {
			_ = c.Close()
		}
		close(p.thawed)
	}
}

// Close ends the link and waits for what it carried.
func (p *Link) Close() {
	_ = p.l.Close()
	p.Cut()
	p.Restore()
	p.wg.Wait()
}

func (p *Link) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		refused := p.state == cut
		if !refused {
			p.conns[in] = struct{}{}
		}
		p.mu.Unlock()
		if refused {
			_ = in.(*net.TCPConn).SetLinger(0)
			_ = in.Close()
			continue
		}
		p.wg.Go(func() { p.carry(in) })
	}
}

func (p *Link) carry(in net.Conn) {
	defer p.forget(in)
	var d net.Dialer
	out, err := d.DialContext(context.Background(), "tcp", p.to)
	if err != nil {
		return
	}
	p.mu.Lock()
	p.conns[out] = struct{}{}
	p.mu.Unlock()
	defer p.forget(out)
	var both sync.WaitGroup
	both.Go(func() { p.pipe(out, in) })
	both.Go(func() { p.pipe(in, out) })
	both.Wait()
}

func (p *Link) pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		thawed := p.thawed
		p.mu.Unlock()
		<-thawed
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (p *Link) forget(c net.Conn) {
	_ = c.Close()
	p.mu.Lock()
	delete(p.conns, c)
	p.mu.Unlock()
}
