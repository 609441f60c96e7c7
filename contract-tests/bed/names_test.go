package bed

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"
)

func TestANameServerSaysWhatItIsToldOrNothing(t *testing.T) {
	t.Parallel()
	n := &Names{Name: "hub.bed.test"}
	var err error
	if n.conn, err = net.ListenPacket("udp", "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	go n.serve()
	r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", n.conn.LocalAddr().String())
	}}
	for _, c := range []struct {
		name  string
		tell  func()
		asked string
		want  string
		none  bool // there is no such name
	}{
		{"an address", func() { n.Is(netip.MustParseAddr("127.0.0.1")) }, "hub.bed.test", "127.0.0.1", false},
		{"another one", func() { n.Is(netip.MustParseAddr("127.0.0.2")) }, "hub.bed.test", "127.0.0.2", false},
		{"another name", func() {}, "other.bed.test", "", true},
		{"no such name", func() { n.Is(netip.Addr{}) }, "hub.bed.test", "", true},
		{"nothing", n.Hush, "hub.bed.test", "", false},
		{"an address again", func() { n.Is(netip.MustParseAddr("127.0.0.1")) }, "hub.bed.test", "127.0.0.1", false},
	} {
		c.tell()
		limit := 20 * time.Second
		if c.name == "nothing" {
			limit = 300 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		addrs, err := r.LookupHost(ctx, c.asked+".")
		cancel()
		var d *net.DNSError
		if c.want != "" && (err != nil || len(addrs) != 1 || addrs[0] != c.want) || c.want == "" && (!errors.As(err, &d) || d.IsNotFound != c.none) {
			t.Errorf("%s: %v %v", c.name, addrs, err)
		}
	}
}
