package link

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker/hub"
	"github.com/vagus-health/vagus/broker/stream"
)

func TestAClusterLosesItsLeaderAndTheLaneGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	bundleDir, err := hub.AddSite(dir, "north", hub.SiteConfig{URLs: []string{"tls://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	routes := make([]string, 3)
	for i := range routes {
		ln, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		routes[i] = ln.Addr().String()
		_ = ln.Close()
	}
	hubs := make([]*hub.Hub, 3)
	var urls []string
	for i := range hubs {
		name := fmt.Sprintf("hub-%d", i+1)
		hubs[i], err = hub.Open(t.Context(), hub.Config{Dir: dir, Store: filepath.Join(t.TempDir(), "store"), Name: name, Listen: "127.0.0.1:0", Replicas: 3, Production: true,
			MaxBytes: 64 << 20, Cluster: hub.Cluster{Listen: routes[i], Routes: routes}})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(hubs[i].Close)
		urls = append(urls, hubs[i].URL())
	}
	ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if err := hubs[0].Provision(ctx); err != nil {
		t.Fatal(err)
	}
	if err := hubs[1].Provision(ctx); err != nil {
		t.Fatalf("provisioning from a second server: %v", err)
	}
	bundle, err := LoadBundle(bundleDir)
	if err != nil {
		t.Fatal(err)
	}
	worker, err := LoadBundle(hubs[0].WorkerBundle(hub.DefaultTenant))
	if err != nil {
		t.Fatal(err)
	}
	nc, err := Connect(worker, Dial{URLs: urls})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	j := newMemory()
	l, _ := running(t, Config{Bundle: bundle, URLs: urls, Journal: j, Map: mapOne})
	const n = 2000
	filled := make(chan struct{})
	go func() {
		defer close(filled)
		for range n / 20 {
			j.fill(20, "body")
			time.Sleep(20 * time.Millisecond)
		}
	}()
	until(t, "units flow", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq > 200 })
	leader := ""
	until(t, "UNITS has a leader", func() bool {
		s, err := js.Stream(ctx, stream.Units)
		if err != nil || s.CachedInfo().Cluster == nil {
			return false
		}
		leader = s.CachedInfo().Cluster.Leader
		return leader != ""
	})
	for i, h := range hubs {
		if strings.HasSuffix(leader, fmt.Sprint(i+1)) {
			h.Close()
		}
	}
	<-filled
	until(t, "all are sent", func() bool { return l.State(t.Context()).Lanes[0].Sent.Seq == n })
	sameAsJournal(t, js, j, mapOne)
}
