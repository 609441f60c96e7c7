package demo

import (
	"context"
	"net"
	"slices"
	"sync"
	"time"
)

// A Link is a TCP path that can be cut: it listens on loopback and carries
// every connection to one address, until somebody cuts or freezes it.
type Link struct {
	to string
	l  net.Listener

	mu     sync.Mutex
	state  linkState
	thawed chan struct{} // closed while bytes may pass
	rate   int           // bytes a second of each connection in each direction; 0: as they come
	delay  time.Duration // on top
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

// Slow lets each connection pass so many bytes a second in each direction, each byte
// that much later.
func (p *Link) Slow(bytesPerSecond int, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.rate, p.delay = bytesPerSecond, delay
}

// Restore makes the link whole and fast: new connections pass. Those that stood in a
// freeze are reset; their ends may have given them up long ago.
func (p *Link) Restore() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.state, p.rate, p.delay = whole, 0, 0
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

// A parcel is bytes on their way, and when they are to arrive at the earliest.
type parcel struct {
	bytes []byte
	due   time.Time
}

// onTheWay bounds the parcels of a direction.
const onTheWay = 64

func (p *Link) pipe(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	way := make(chan parcel, onTheWay)
	var arrive sync.WaitGroup
	defer arrive.Wait()
	defer close(way)
	arrive.Go(func() {
		broken := false
		for it := range way {
			time.Sleep(time.Until(it.due))
			if _, err := to.Write(it.bytes); err != nil && !broken {
				broken = true
				_ = from.Close() // the reader ends
			}
		}
	})
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		p.mu.Lock()
		thawed, rate, delay := p.thawed, p.rate, p.delay
		p.mu.Unlock()
		<-thawed
		for sent := buf[:n]; len(sent) > 0; {
			some := len(sent)
			if rate > 0 { // what is not carried yet is not read: the sender feels it
				some = min(some, max(1, rate/20))
				time.Sleep(time.Duration(some) * time.Second / time.Duration(rate))
			}
			way <- parcel{slices.Clone(sent[:some]), time.Now().Add(delay)}
			sent = sent[some:]
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
