package scale

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/contract-tests/bench/page"
	"github.com/vagus-health/vagus/internal/ops"
)

func replayBeside(ctx context.Context, m *measurement) error {
	r, s, err := whole(ctx, m)
	if err != nil {
		return err
	}
	addrs, n := []string{s.mllp}, m.of(50_000, 1000)
	if err := r.fault(ctx, http.MethodPost, `{"rules": ["res.partner.*:user-error"]}`); err != nil {
		return err
	}
	refused := newWards(100, 32, 2*n/32)
	for _, w := range refused {
		w.patients = 2 * n / 32 // each message is of another
	}
	if _, err := flood(ctx, addrs, refused, n, func(done int) { m.step(0.15*float64(done)/float64(n), "sending what Odoo refuses") }); err != nil {
		return err
	}
	dead := 0
	if err := r.wait(ctx, r.worker, "the dead letters", 20*time.Minute, func() bool {
		if err := r.one(ctx, "SELECT coalesce(sum(n), 0) FROM tally WHERE status IN ('dead', 'parked')", nil, &dead); err != nil {
			return false
		}
		m.step(0.15+0.35*float64(dead)/float64(n), fmt.Sprintf("%d of %d dead letters", dead, n))
		return dead >= n
	}); err != nil {
		return err
	}
	if err := r.fault(ctx, http.MethodDelete, ""); err != nil {
		return err
	}
	api, err := r.api()
	if err != nil {
		return err
	}
	const rate = 100
	live := newWards(3032, 8, 200) // patients that none of the refused messages is of
	before, beforeAck, err := r.live(ctx, addrs, live, rate, time.Duration(m.of(20, 5))*time.Second, func() { m.step(0.55, "live alone") })
	if err != nil {
		return err
	}
	began := time.Now()
	plan, err := api.Plan(ctx, ops.PlanRequest{Query: ops.Query{Status: []ledger.Status{ledger.Dead}, Until: began}})
	if err != nil {
		return err
	}
	m.add(fmt.Sprintf("plan of %s units", page.Number(float64(plan.Total))), time.Since(began).Seconds(), "s")
	if _, err := api.Start(ctx, plan.ID, 0); err != nil {
		return err
	}
	began = time.Now()
	type end struct {
		took time.Duration
		last ledger.Replay
		err  error
	}
	over, d := make(chan end, 1), time.Duration(m.of(30, 5))*time.Second
	go func() {
		now, err := api.Replay(ctx, plan.ID)
		for err == nil && now.Done < now.Total && time.Since(began) < 5*time.Minute {
			time.Sleep(100 * time.Millisecond)
			now, err = api.Replay(ctx, plan.ID)
		}
		over <- end{time.Since(began), now, err}
	}()
	beside, besideAck, err := r.live(ctx, addrs, live, rate, d, func() { m.step(0.7, "live beside the replay") })
	if err != nil {
		return err
	}
	m.step(0.9, "the rest of the replay")
	e := <-over
	if e.err != nil {
		return e.err
	}
	m.add("replayed", float64(e.last.Done)/e.took.Seconds(), "units/s")
	m.add("replay under way while live messages were sent", min(1, e.took.Seconds()/d.Seconds())*100, "% of the time")
	if e.last.Done < e.last.Total {
		m.add("not replayed after five minutes", float64(e.last.Total-e.last.Done), "units")
	}
	chart := page.Chart{ID: "live-with-replay", Title: "Live messages, received to applied, with a replay beside them", X: "", Y: "ms", Labels: []string{"alone, median", "with replay, median", "alone, 95th", "with replay, 95th"},
		Series: []page.Series{{Name: "live", Points: [][2]float64{{0, before[0]}, {1, beside[0]}, {2, before[1]}, {3, beside[1]}}}}}
	m.draw(chart)
	m.add("live alone, received to applied, median", before[0], "ms")
	m.add("live alone, received to applied, 95th of 100", before[1], "ms")
	m.add("live beside the replay, received to applied, median", beside[0], "ms")
	m.add("live beside the replay, received to applied, 95th of 100", beside[1], "ms")
	ratio := beside[1] / before[1]
	m.judge("live 95th of 100 beside the replay, to alone", ratio, "×", "at most 1.2", ratio <= 1.2)
	m.add("live alone, acknowledgement, 99th of 100", beforeAck, "ms")
	m.add("live beside the replay, acknowledgement, 99th of 100", besideAck, "ms")
	return nil
}

// live sends paced messages and returns the median and the 95th of 100 of how long they took to be applied, what is not
// applied within a minute as that long, and of acknowledgements the 99th, in ms.
func (r *rig) live(ctx context.Context, addrs []string, wards []*ward, rate float64, d time.Duration, tell func()) (q []float64, ack float64, err error) {
	var since int64
	if err := r.one(ctx, "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)", nil, &since); err != nil {
		return nil, 0, err
	}
	l, err := pace(ctx, addrs, wards, rate, d, func(int) { tell() })
	if err != nil {
		return nil, 0, err
	}
	count := 0
	_ = r.wait(ctx, r.worker, "the live messages", time.Minute, func() bool { // what does not come counts as slow
		tell()
		return r.one(ctx, "SELECT count(*) FROM units WHERE received_at >= $1 AND status = 'applied'", []any{since}, &count) == nil && count >= len(l.acks)
	})
	var took []float64
	if err := r.one(ctx, "SELECT coalesce(array_agg((settled_at - received_at) / 1000.0), '{}') FROM units WHERE received_at >= $1 AND status = 'applied'", []any{since}, &took); err != nil {
		return nil, 0, err
	}
	for len(took) < len(l.acks) {
		took = append(took, 60_000)
	}
	slices.Sort(took)
	return []float64{took[len(took)/2], took[len(took)*95/100]}, l.at(0.99), nil
}

// fault arms the simulated Odoo's faults, or takes them away.
func (r *rig) fault(ctx context.Context, method, body string) error {
	req, err := http.NewRequestWithContext(ctx, method, r.odooURL+"/sim/faults", bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the simulated Odoo answers %s to %s of a fault", resp.Status, method)
	}
	return nil
}
