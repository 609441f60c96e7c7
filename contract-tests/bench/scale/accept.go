package scale

import (
	"context"
	"fmt"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// patients is how many each sender has.
const patients = 500

func accept(ctx context.Context, m *measurement) error {
	r, err := newRig(m)
	if err != nil {
		return err
	}
	s, err := r.newSite("north")
	if err != nil {
		return err
	}
	ready, err := r.startSite(ctx, s)
	if err != nil {
		return err
	}
	m.judge("agent ready, from nothing", ready.Seconds()*1000, "ms", "under 1 s", ready.Seconds() < 1)
	latency := page.Chart{ID: "accept-latency", Title: "Acknowledgement of a message on disk", X: "connections", Y: "ms", LogX: true, LogY: true,
		Series: []page.Series{{Name: "median"}, {Name: "99th of 100"}, {Name: "slowest"}}}
	rate := page.Chart{ID: "accept-rate", Title: "Messages accepted", X: "connections", Y: "messages a second", LogX: true, Series: []page.Series{{Name: "accepted"}}}
	addrs := []string{s.mllp}
	if _, err := flood(ctx, addrs, newWards(5000, 64, patients), m.of(2000, 200), func(int) {}); err != nil { // warm
		return err
	}
	connections := []int{1, 8, 64, 512}
	for i, n := range connections {
		total := m.of([]int{5_000, 20_000, 40_000, 40_000}[i], 600)
		before := processorTime(s.Pid())
		l, err := flood(ctx, addrs, newWards(1000*i, n, patients), total, func(done int) {
			m.step((float64(i)+float64(done)/float64(total))/float64(len(connections)), fmt.Sprintf("%d connections", n))
		})
		if err != nil {
			return err
		}
		name := func(what string) string { return fmt.Sprintf("%d connections, %s", n, what) }
		used := processorTime(s.Pid()) - before
		m.add(name("rate"), l.rate(), "msg/s")
		m.add(name("median"), l.at(0.5), "ms")
		m.add(name("99th of 100"), l.at(0.99), "ms")
		m.add(name("slowest"), l.at(1), "ms")
		m.add(name("agent's processor time"), used*1e6/float64(total), "µs/msg")
		m.add(name("agent resident"), resident(s.Pid()), "MB")
		for k, q := range []float64{0.5, 0.99, 1} {
			latency.Series[k].Points = append(latency.Series[k].Points, [2]float64{float64(n), l.at(q)})
		}
		rate.Series[0].Points = append(rate.Series[0].Points, [2]float64{float64(n), l.rate()})
	}
	m.draw(latency)
	m.draw(rate)
	return nil
}
