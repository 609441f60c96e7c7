package bed

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"sync"

	"golang.org/x/net/dns/dnsmessage"
)

// Names is a name server of one's own, on a loopback address: it knows one name, and can be told to say
// something else of it, that there is no such name, or nothing. Safe for concurrent use.
type Names struct {
	Name string
	Addr netip.Addr // where it listens, port 53
	conn net.PacketConn

	mu    sync.Mutex
	is    netip.Addr // of Name; the zero Addr: there is no such name
	still bool
}

// Namespaces says why a process can not have a resolv.conf of its own here, or nil.
func Namespaces() error {
	if out, err := exec.Command("unshare", "-m", "true").CombinedOutput(); err != nil {
		return fmt.Errorf("unshare -m: %w: %s", err, out)
	}
	return nil
}

// NewNames starts a name server for one name, "hub.example.test". Close must be called.
func NewNames(name string) (*Names, error) {
	var err error
	for i := range 100 { // others have theirs
		n := &Names{Name: name, Addr: netip.AddrFrom4([4]byte{127, 53, byte(os.Getpid()), byte(i + 1)})}
		if n.conn, err = net.ListenPacket("udp", netip.AddrPortFrom(n.Addr, 53).String()); err == nil {
			go n.serve()
			return n, nil
		}
	}
	return nil, err
}

// Close stops the server.
func (n *Names) Close() { _ = n.conn.Close() }

// Is says that the name has this address from now on; the zero Addr, that there is no such name.
func (n *Names) Is(addr netip.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.is, n.still = addr, false
}

// Hush answers nothing until Is is called.
func (n *Names) Hush() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.still = true
}

// For has a process, which does not run, ask this server and no other. It needs root, and a directory for a file.
func (n *Names) For(p *Process, dir string) error {
	conf := dir + "/" + p.Name + ".resolv.conf"
	if err := os.WriteFile(conf, []byte("nameserver "+n.Addr.String()+"\noptions timeout:1 attempts:2\n"), 0o644); err != nil {
		return err
	}
	p.args = append([]string{"-m", "sh", "-c", `mount --bind "$0" /etc/resolv.conf && exec "$@"`, conf, p.path}, p.args...)
	p.path, p.env = "unshare", append(p.env, "GODEBUG=netdns=go")
	return nil
}

func (n *Names) serve() {
	buf := make([]byte, 1232)
	for {
		size, from, err := n.conn.ReadFrom(buf)
		if err != nil {
			return
		}
		if answer := n.answer(buf[:size]); answer != nil {
			_, _ = n.conn.WriteTo(answer, from)
		}
	}
}

// answer is what is said to a question, nil for nothing.
func (n *Names) answer(question []byte) []byte {
	n.mu.Lock()
	is, still := n.is, n.still
	n.mu.Unlock()
	var p dnsmessage.Parser
	head, err := p.Start(question)
	if err != nil || still {
		return nil
	}
	q, err := p.Question()
	if err != nil {
		return nil
	}
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: head.ID, Response: true, RecursionDesired: head.RecursionDesired, RecursionAvailable: true}, Questions: []dnsmessage.Question{q}}
	switch {
	case q.Name.String() != n.Name+"." || !is.IsValid():
		m.RCode = dnsmessage.RCodeNameError
	case q.Type == dnsmessage.TypeA:
		m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1}, Body: &dnsmessage.AResource{A: is.As4()}}}
	}
	text, err := m.Pack()
	if err != nil {
		return nil
	}
	return text
}
