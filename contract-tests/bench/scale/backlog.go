package scale

import (
	"context"
	"fmt"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

func backlog(ctx context.Context, m *measurement) error {
	n := m.of(1_800_000, 50_000) // an hour at 500 a second
	if err := room(m.dir, float64(n)*6000, 3e9); err != nil {
		return err
	}
	r, err := newRig(m)
	if err != nil {
		return err
	}
	s, err := r.newSite("north")
	if err != nil {
		return err
	}
	if _, err := r.startSite(ctx, s); err != nil {
		return err
	}
	wards := newWards(0, 64, 2000)
	fill := func(count int, from, to float64, doing string) (*load, error) {
		return flood(ctx, []string{s.mllp}, wards, count, func(done int) {
			m.step(from+(to-from)*float64(done)/float64(count), fmt.Sprintf("%s: %d of %d messages", doing, done, count))
		})
	}
	first := min(n, m.of(1_000_000, 25_000))
	l, err := fill(first, 0, 0.3, "the link is away")
	if err != nil {
		return err
	}
	m.add("taken while the link is away, 64 senders", l.rate(), "msg/s")
	full := resident(s.Pid())
	if err := s.Stop(); err != nil {
		return err
	}
	ready, err := r.startSite(ctx, s)
	if err != nil {
		return err
	}
	m.judge(fmt.Sprintf("agent starts again with %s messages in its journal", page.Number(float64(first))), ready.Seconds(), "s", "under 5", ready < 5*time.Second)
	m.add(fmt.Sprintf("agent resident with %s messages, before", page.Number(float64(first))), full, "MB")
	m.add(fmt.Sprintf("agent resident with %s messages, after its start", page.Number(float64(first))), resident(s.Pid()), "MB")
	if n > first {
		if _, err := fill(n-first, 0.3, 0.5, "the link is away"); err != nil {
			return err
		}
	}
	onSite, err := onDisk(s.dir)
	if err != nil {
		return err
	}
	m.add("on disk of a message at the site", onSite/float64(n), "bytes")
	if _, err := r.startHub(ctx); err != nil {
		return err
	}
	return catchUp(ctx, r, s, n)
}

// catchUp watches the site send all that it has to the hub.
func catchUp(ctx context.Context, r *rig, s *site, n int) error {
	m := r.m
	memory := page.Chart{ID: "catch-up-memory", Title: "Memory while a site catches up", X: "seconds since the link is back", Y: "MB resident", Series: []page.Series{{Name: "agent"}, {Name: "hub"}}}
	progress := page.Chart{ID: "catch-up", Title: "Units at the hub while a site catches up", X: "seconds since the link is back", Y: "thousand units", Series: []page.Series{{Name: "at the hub"}}}
	var began, last time.Time
	back, started, have := time.Now(), 0, 0
	before := r.used(s)
	var most [2]float64 // of the agent's memory, in the first half and in the second
	for have < n {
		got, err := r.units(ctx)
		if err == nil && got > have {
			last = time.Now()
			if have = got; began.IsZero() {
				began, started = last, got
			}
		}
		if time.Since(back) > 2*time.Minute && time.Since(last) > 2*time.Minute {
			return fmt.Errorf("the site stands still at %d of %d units (%w)\n%s", have, n, err, s.LastWords())
		}
		t := time.Since(back).Seconds()
		half := 2 * have / (n + 1)
		most[half] = max(most[half], resident(s.Pid()))
		memory.Series[0].Points = append(memory.Series[0].Points, [2]float64{t, resident(s.Pid())})
		memory.Series[1].Points = append(memory.Series[1].Points, [2]float64{t, resident(r.hub.Pid())})
		progress.Series[0].Points = append(progress.Series[0].Points, [2]float64{t, float64(have) / 1000})
		m.step(0.5+0.5*float64(have)/float64(n), fmt.Sprintf("catching up: %d of %d units at the hub", have, n))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
	}
	rate, after := float64(n-started)/last.Sub(began).Seconds(), r.used(s)
	m.judge("catch-up, to the hub", rate, "msg/s", "at least 15,000", rate >= 15_000)
	m.add("from the hub being there to the first units", began.Sub(back).Seconds(), "s")
	m.add("catch-up, agent's processor time", (after["agent"]-before["agent"])*1e6/float64(n), "µs/msg")
	m.add("catch-up, hub's processor time", (after["hub"]-before["hub"])*1e6/float64(n), "µs/msg")
	growth := most[1] / most[0]
	m.judge("agent's memory while it catches up, second half to first", growth, "×", "flat: at most 1.1", growth <= 1.1)
	m.add("agent resident while it catches up, at most", max(most[0], most[1]), "MB")
	m.add(fmt.Sprintf("hub resident with %s units", page.Number(float64(n))), resident(r.hub.Pid()), "MB")
	memory.Series[0].Points, memory.Series[1].Points, progress.Series[0].Points = thin(memory.Series[0].Points), thin(memory.Series[1].Points), thin(progress.Series[0].Points)
	m.draw(progress)
	m.draw(memory)
	return nil
}

// thin keeps 120 points or somewhat more, rounded: enough for a drawing.
func thin(points [][2]float64) (kept [][2]float64) {
	every := max(1, len(points)/120)
	for i, p := range points {
		if i%every == 0 || i == len(points)-1 {
			kept = append(kept, [2]float64{float64(int(p[0]*10)) / 10, float64(int(p[1]*10)) / 10})
		}
	}
	return kept
}
