package main

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// hubName is what a site knows the hub by where there is a name server.
const hubName = "hub.bed.test"

// Of the hub's name: where it is, where it is not, and where it moves to.
var (
	home    = netip.MustParseAddr("127.0.0.1")
	nowhere = netip.MustParseAddr("127.0.0.77")
	abroad  = netip.MustParseAddr("127.0.0.2")
)

// nameless is the hub's name in trouble while the site has to connect anew: the site goes on accepting, and
// connects when the name is right again.
func nameless(name string, begin func(*bed.Names)) fault {
	return fault{"name " + name, 9 * time.Second, true,
		func(r *run) error {
			begin(r.sys.names)
			r.sys.links[0].Cut()
			r.sys.links[0].Restore()
			return nil
		},
		func(r *run) error {
			err := r.sys.ready() // a site that does not find its hub can accept
			r.sys.names.Is(home)
			return err
		}}
}

// naming is what happens to the hub's name, and a hub that moves to another address.
func naming(r *run) error {
	for _, f := range []fault{
		nameless("unknown", func(n *bed.Names) { n.Is(netip.Addr{}) }),
		nameless("server silent", (*bed.Names).Hush),
		nameless("of somebody else's address", func(n *bed.Names) { n.Is(nowhere) }),
		{"hub moved to another address", time.Second, true, moveHub, func(*run) error { return nil }},
	} {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}

// moveHub has the hub at another address for good: the name says so, nobody is at the old one.
func moveHub(r *run) error {
	_, port, err := net.SplitHostPort(r.sys.links[0].Addr())
	if err != nil {
		return err
	}
	there := net.JoinHostPort(abroad.String(), port)
	p, err := bed.Relay("hub-abroad", r.dir, there, r.sys.hubAddr)
	if err != nil {
		return err
	}
	r.sys.cleanup = append(r.sys.cleanup, p.Kill)
	if err := p.Start(); err != nil {
		return err
	}
	if err := bed.Wait(r.ctx, "the hub's new address", recovery, func() bool { return bed.Answers(there) }); err != nil {
		return errors.Join(err, fmt.Errorf("%s", p.LastWords()))
	}
	r.sys.names.Is(abroad)
	r.sys.links[0].Cut()
	return nil
}
