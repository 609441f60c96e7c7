package bed

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
)

// A Line is a network of the kernel's own between two addresses: a pair of virtual Ethernet devices, of which one is in
// a network namespace. It loses what does not fit into its queue, as a line does, and can be pulled. See [Lines].
//
//	who connects ──near═══far── relay (in the namespace) ──back───front── relay ── to
type Line struct {
	Host   string // where who connects finds the other end
	port   string
	space  string
	near   string // devices; near, in front of who connects, and far are the line
	far    string
	relays []*Process
}

// Lines says why there can be no line here, or nil.
func Lines() error {
	if os.Geteuid() != 0 {
		return errors.New("not root")
	}
	for _, program := range []string{"ip", "tc"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("no %s (Debian: iproute2)", program)
		}
	}
	probe := fmt.Sprintf("vgp%d", os.Getpid())
	if err := command("ip", "link", "add", probe, "type", "veth", "peer", "name", probe+"p"); err != nil {
		return err
	}
	return errors.Join(command("tc", "qdisc", "add", "dev", probe, "root", "tbf", "rate", "1mbit", "burst", "1600", "latency", "1s"), command("ip", "link", "del", probe))
}

// NewLine makes a line that leads to an address of this machine. dir is for the files of its processes. Close must be called.
func NewLine(dir, to string) (*Line, error) {
	// Two nets of four addresses, which hardly anybody else has.
	pid := os.Getpid()
	net1, net2 := fmt.Sprintf("10.%d.%d", 200+pid>>8%50, pid&255), fmt.Sprintf("10.%d.%d", 150+pid>>8%50, pid&255)
	l := &Line{Host: net1 + ".2", space: fmt.Sprintf("vagus-%d", pid), near: fmt.Sprintf("vgn%d", pid), far: fmt.Sprintf("vgf%d", pid)}
	front, back := fmt.Sprintf("vgx%d", pid), fmt.Sprintf("vgy%d", pid)
	in := func(args ...string) []string { return append([]string{"-n", l.space}, args...) }
	for _, args := range [][]string{
		{"netns", "add", l.space},
		{"link", "add", l.near, "type", "veth", "peer", "name", l.far, "netns", l.space},
		{"link", "add", front, "type", "veth", "peer", "name", back, "netns", l.space},
		{"addr", "add", net1 + ".1/30", "dev", l.near}, in("addr", "add", net1+".2/30", "dev", l.far),
		{"addr", "add", net2 + ".1/30", "dev", front}, in("addr", "add", net2+".2/30", "dev", back),
		{"link", "set", l.near, "up"}, {"link", "set", front, "up"},
		in("link", "set", l.far, "up"), in("link", "set", back, "up"), in("link", "set", "lo", "up"),
	} {
		if err := command("ip", args...); err != nil {
			l.Close()
			return nil, err
		}
	}
	free, err := FreeAddr()
	if err == nil {
		_, l.port, err = net.SplitHostPort(free)
	}
	if err != nil {
		l.Close()
		return nil, err
	}
	for i, way := range [][2]string{{net.JoinHostPort(net2+".1", l.port), to}, {l.Addr(), net.JoinHostPort(net2+".1", l.port)}} {
		p, err := Relay(fmt.Sprintf("line-%d", i+1), dir, way[0], way[1])
		if err == nil {
			if i == 1 {
				p.path, p.args = "ip", []string{"netns", "exec", l.space, p.path}
			}
			l.relays = append(l.relays, p)
			err = p.Start()
		}
		if err != nil {
			l.Close()
			return nil, err
		}
	}
	return l, nil
}

// Addr is where the line leads from.
func (l *Line) Addr() string { return net.JoinHostPort(l.Host, l.port) }

// Slow gives the line a rate, such as "64kbit", in each direction, and a queue in which a packet waits as long as "400ms"
// at most; what does not fit is lost.
func (l *Line) Slow(rate, queue string) error {
	shape := []string{"root", "tbf", "rate", rate, "burst", "1600", "latency", queue}
	return errors.Join(command("tc", append([]string{"qdisc", "replace", "dev", l.near}, shape...)...),
		command("tc", append([]string{"-n", l.space, "qdisc", "replace", "dev", l.far}, shape...)...))
}

// Pull takes the line away: who has a connection hears nothing.
func (l *Line) Pull() error { return command("ip", "-n", l.space, "link", "set", l.far, "down") }

// Restore gives back what Slow and Pull took.
func (l *Line) Restore() error {
	err := command("ip", "-n", l.space, "link", "set", l.far, "up")
	_ = command("tc", "qdisc", "del", "dev", l.near, "root") // there may be none
	_ = command("tc", "-n", l.space, "qdisc", "del", "dev", l.far, "root")
	return err
}

// Close ends the line and removes its devices.
func (l *Line) Close() {
	for _, p := range l.relays {
		p.Kill()
	}
	_ = command("ip", "netns", "del", l.space) // and with it the devices' other halves
	_ = os.Remove(filepath.Join("/run/netns", l.space))
	for _, prefix := range []string{"vgn", "vgx"} {
		_ = command("ip", "link", "del", fmt.Sprintf("%s%d", prefix, os.Getpid()))
	}
}
