package scale

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

func sites(ctx context.Context, m *measurement) error {
	counts := []int{1, 10, 100}
	if m.short {
		counts = []int{1, 5}
	}
	most := counts[len(counts)-1]
	if err := room(m.dir, 5e9, float64(most)*110e6); err != nil {
		return err
	}
	rate := page.Chart{ID: "sites-rate", Title: "Messages to one hub, by sites", X: "sites", Y: "messages a second", LogX: true, Series: []page.Series{{Name: "to the hub"}}}
	cost := page.Chart{ID: "sites-cost", Title: "What a message costs, by sites", X: "sites", Y: "µs of processor time", LogX: true, Series: []page.Series{{Name: "hub"}, {Name: "agents"}}}
	one := 0.0 // the hub's memory with one site
	for i, count := range counts {
		at := func(share float64, doing string) {
			m.step((float64(i)+share)/float64(len(counts)), fmt.Sprintf("%d sites: %s", count, doing))
		}
		f, err := atSites(ctx, m, count, most, at)
		if err != nil {
			return fmt.Errorf("%d sites: %w", count, err)
		}
		name := func(what string) string { return fmt.Sprintf("%d sites, %s", count, what) }
		m.add(name("accepted"), f.accepted, "msg/s")
		m.add(name("to the hub"), f.rate, "msg/s")
		m.add(name("acknowledgement, 99th of 100"), f.ack, "ms")
		m.add(name("hub's processor time"), f.hubCost, "µs/msg")
		m.add(name("agents' processor time"), f.agentCost, "µs/msg")
		m.add(name("hub resident before any site"), f.empty, "MB")
		m.add(name("hub resident with all connected"), f.connected, "MB")
		if i == 0 {
			one = f.connected
		} else {
			m.add(name("hub's memory for each site after the first"), (f.connected-one)*1024/float64(count-1), "KB")
		}
		m.add(name("hub resident after the load"), f.loaded, "MB")
		m.add(name("hub at rest, processor time for each site"), f.idle*1e3/float64(count), "ms/s")
		m.add(name("agent resident, on average"), f.agent, "MB")
		x := float64(count)
		rate.Series[0].Points = append(rate.Series[0].Points, [2]float64{x, f.rate})
		cost.Series[0].Points = append(cost.Series[0].Points, [2]float64{x, f.hubCost})
		cost.Series[1].Points = append(cost.Series[1].Points, [2]float64{x, f.agentCost})
	}
	m.draw(rate)
	m.draw(cost)
	return nil
}

// What was found at a number of sites; times of processors are of one message, memory is in MB.
type atHub struct{ accepted, rate, ack, hubCost, agentCost, empty, connected, loaded, idle, agent float64 }

// atSites measures with so many sites, in a directory of its own.
func atSites(ctx context.Context, all *measurement, count, senders int, step func(float64, string)) (f atHub, err error) {
	m := &measurement{dir: filepath.Join(all.dir, fmt.Sprint(count)), short: all.short}
	m.step = func(float64, string) {}
	defer func() { all.Figures = append(all.Figures, m.Figures...) }()
	return f, m.measure(ctx, part{run: func(ctx context.Context, m *measurement) error {
		r, err := newRig(m)
		if err != nil {
			return err
		}
		if _, err := r.startHub(ctx); err != nil {
			return err
		}
		f.empty = resident(r.hub.Pid())
		agents, err := r.startSites(ctx, count, step)
		if err != nil {
			return err
		}
		var addrs []string
		for _, s := range agents {
			addrs = append(addrs, s.mllp)
		}
		warm := 2 * max(senders, count)
		if _, err := flood(ctx, addrs, newWards(5000, max(senders, count), 20), warm, func(int) {}); err != nil { // a message of each site tells that it is connected
			return err
		}
		if err := r.arrived(ctx, warm, step); err != nil {
			return err
		}
		f.connected = resident(r.hub.Pid())
		rest := r.used(agents...)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(3 * time.Second): // at rest
		}
		before := r.used(agents...)
		f.idle = (before["hub"] - rest["hub"]) / 3
		n := m.of(30_000, 1000)
		began := time.Now()
		l, err := flood(ctx, addrs, newWards(0, senders, 200), n, func(done int) { step(0.5+0.4*float64(done)/float64(n), "sending") })
		if err != nil {
			return err
		}
		if err := r.arrived(ctx, warm+n, step); err != nil {
			return err
		}
		f.rate, f.accepted, f.ack = float64(n)/time.Since(began).Seconds(), l.rate(), l.at(0.99)
		after := r.used(agents...)
		f.hubCost, f.agentCost = (after["hub"]-before["hub"])*1e6/float64(n), (after["agent"]-before["agent"])*1e6/float64(n)
		f.loaded = resident(r.hub.Pid())
		for _, s := range agents {
			f.agent += resident(s.Pid()) / float64(count)
		}
		return nil
	}})
}

// startSites starts so many, a few at a time.
func (r *rig) startSites(ctx context.Context, count int, step func(float64, string)) ([]*site, error) {
	all := make([]*site, count)
	for i := range all {
		var err error
		if all[i], err = r.newSite(fmt.Sprintf("site-%d", i+1)); err != nil {
			return nil, err
		}
	}
	const atOnce = 4
	var mu sync.Mutex
	var failed error
	started := 0
	var starters sync.WaitGroup
	next := make(chan *site, count)
	for _, s := range all {
		next <- s
	}
	close(next)
	for range atOnce {
		starters.Go(func() {
			for s := range next {
				_, err := r.startSite(ctx, s)
				mu.Lock()
				if started++; err != nil && failed == nil {
					failed = err
				}
				step(0.4*float64(started)/float64(count), "starting")
				stop := failed != nil
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	starters.Wait()
	return all, failed
}

// arrived waits until the hub has so many units.
func (r *rig) arrived(ctx context.Context, n int, step func(float64, string)) error {
	for last, have := time.Now(), -1; ; {
		got, err := r.units(ctx)
		if err == nil && got >= n {
			return nil
		}
		if got > have {
			last, have = time.Now(), got
		}
		if time.Since(last) > time.Minute {
			return fmt.Errorf("the hub has %d of %d units and gets no more (%v)", have, n, err)
		}
		step(0.9, fmt.Sprintf("%d of %d units at the hub", got, n))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
