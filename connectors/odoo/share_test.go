package odoo

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestAPartOfTheWorkMakesAPartOfTheCalls(t *testing.T) {
	t.Parallel()
	_, at := start(t, simulated.Config{})
	u, err := url.Parse(at)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	now, most := 0, 0
	proxy := httputil.NewSingleHostReverseProxy(u)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		now++
		most = max(most, now)
		mu.Unlock()
		time.Sleep(3 * time.Millisecond) // so that calls at once meet
		proxy.ServeHTTP(w, r)
		mu.Lock()
		now--
		mu.Unlock()
	}))
	t.Cleanup(server.Close)
	target, err := New(Config{URL: server.URL, Database: "demo", User: "vagus", Key: broker.NewSecret("simulated"), Concurrency: 4, Rate: 8000})
	if err != nil {
		t.Fatal(err)
	}
	busy := func() {
		var all sync.WaitGroup
		for range 12 {
			all.Go(func() {
				if err := target.Check(context.Background()); err != nil {
					t.Error(err)
				}
			})
		}
		all.Wait()
	}
	for _, c := range []struct{ part, most int }{{64, 4}, {32, 2}, {63, 3}, {1, 1}, {0, 1}, {64, 4}} {
		target.Share(c.part, 64)
		mu.Lock()
		most = 0
		mu.Unlock()
		busy()
		mu.Lock()
		if most != c.most {
			t.Errorf("%d of 64 partitions made %d calls at once, want %d", c.part, most, c.most)
		}
		mu.Unlock()
		if r := float64(target.client.poster.rate.Limit()); r != 8000*float64(max(c.part, 1))/64 {
			t.Errorf("%d of 64 partitions make %v calls a second", c.part, r)
		}
	}

	// What is under way when the share shrinks goes on; its slots are kept then.
	var all sync.WaitGroup
	for range 3 {
		all.Go(busy)
	}
	for part := range 65 {
		target.Share(part, 64)
		time.Sleep(time.Millisecond)
	}
	target.Share(16, 64)
	all.Wait()
	mu.Lock()
	most = 0
	mu.Unlock()
	busy()
	if most != 1 {
		t.Errorf("a quarter made %d calls at once", most)
	}
}
