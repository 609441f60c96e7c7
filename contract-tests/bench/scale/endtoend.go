package scale

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// used is the processor time of each process, in seconds.
func (r *rig) used(sites ...*site) map[string]float64 {
	u := map[string]float64{"senders": ownTime()}
	for _, s := range sites {
		u["agent"] += processorTime(s.Pid())
	}
	if r.hub != nil {
		u["hub"] = processorTime(r.hub.Pid())
	}
	if r.worker != nil {
		u["worker"], u["Odoo (simulated)"], u["PostgreSQL"] = processorTime(r.worker.Pid()), processorTime(r.odoo.Pid()), serverTime(r.pg)
	}
	return u
}

// ours are the processes that a message's cost is told of; Odoo is simulated, and the senders are the hospital's.
var ours = []string{"agent", "hub", "worker", "PostgreSQL"}

// whole starts a site, hub, ledger and worker.
func whole(ctx context.Context, m *measurement, poison ...string) (*rig, *site, error) {
	r, err := newRig(m)
	if err != nil {
		return nil, nil, err
	}
	if err := r.startLedger(ctx); err != nil {
		return nil, nil, err
	}
	hub, err := r.startHub(ctx)
	if err != nil {
		return nil, nil, err
	}
	s, err := r.newSite("north")
	if err != nil {
		return nil, nil, err
	}
	agent, err := r.startSite(ctx, s)
	if err != nil {
		return nil, nil, err
	}
	worker, err := r.startWorker(ctx, poison...)
	if m.Name == "end-to-end" {
		m.judge("ready from empty: agent", agent.Seconds()*1000, "ms", "under 1 s", agent < time.Second)
		m.judge("ready from empty: hub", hub.Seconds()*1000, "ms", "under 1 s", hub < time.Second)
		m.judge("ready from empty: worker", worker.Seconds()*1000, "ms", "under 1 s", worker < time.Second)
	}
	return r, s, err
}

func endToEnd(ctx context.Context, m *measurement) error {
	r, s, err := whole(ctx, m)
	if err != nil {
		return err
	}
	addrs, sum := []string{s.mllp}, 0
	settle := func(n int, share float64) error { // n more
		sum += n
		return r.waitApplied(ctx, sum, 10*time.Minute, func(have int) { m.step(share, fmt.Sprintf("applied %d of %d", have, sum)) })
	}
	warm := newWards(9000, 8, patients)
	if _, err := flood(ctx, addrs, warm, m.of(2000, 400), func(int) {}); err != nil {
		return err
	}
	if err := settle(m.of(2000, 400), 0.05); err != nil {
		return err
	}
	bytesBefore, err := r.stored(ctx, s)
	if err != nil {
		return err
	}
	cost := page.Chart{ID: "cpu-by-part", Title: "Processor time of a message, end to end", X: "senders", Y: "µs", Labels: []string{}}
	n := m.of(30_000, 2000)
	for i, senders := range []int{8, 64} {
		before, began := r.used(s), time.Now()
		l, err := flood(ctx, addrs, newWards(1000*i, senders, patients), n, func(done int) {
			m.step(0.1+0.4*float64(i)+0.2*float64(done)/float64(n), fmt.Sprintf("%d senders", senders))
		})
		if err != nil {
			return err
		}
		if err := settle(n, 0.3+0.4*float64(i)); err != nil {
			return err
		}
		took, after := time.Since(began).Seconds(), r.used(s)
		name := func(what string) string { return fmt.Sprintf("%d senders, %s", senders, what) }
		without, with := 0.0, 0.0
		cost.Labels = append(cost.Labels, fmt.Sprint(senders))
		for k, part := range slices.Concat(ours, []string{"Odoo (simulated)", "senders"}) {
			d := after[part] - before[part]
			m.add(name(part), d*1e6/float64(n), "µs/msg")
			if len(cost.Series) == k {
				cost.Series = append(cost.Series, page.Series{Name: part})
			}
			cost.Series[k].Points = append(cost.Series[k].Points, [2]float64{float64(i), d * 1e6 / float64(n)})
			with += d
			if k < len(ours) {
				without += d
			}
		}
		rate, each := float64(n)/took, float64(n)/without
		m.add(name("accepted"), l.rate(), "msg/s")
		if senders == 8 {
			m.judge(name("received to applied"), rate, "msg/s", "at least 3,000", rate >= 3000)
			m.judge(name("of a processor second: agent, hub, worker, PostgreSQL"), each, "msg", "at least 3,000", each >= 3000)
			m.judge(name("acknowledgement, 99th of 100"), l.at(0.99), "ms", "at most 15", l.at(0.99) <= 15)
		} else {
			m.add(name("received to applied"), rate, "msg/s")
			m.add(name("of a processor second: agent, hub, worker, PostgreSQL"), each, "msg")
			m.add(name("acknowledgement, 99th of 100"), l.at(0.99), "ms")
		}
		m.add(name("of a processor second: Odoo and senders too"), float64(n)/with, "msg")
		m.add(name("acknowledgement, median"), l.at(0.5), "ms")
		m.add(name("acknowledgement, slowest"), l.at(1), "ms")
		if err := r.toApplied(ctx, began, name("under full load, received to applied")); err != nil {
			return err
		}
	}
	m.draw(cost)
	agent := resident(s.Pid())
	m.judge("resident after the load: agent", agent, "MB", "at most 120", agent <= 120)
	m.add("resident after the load: hub", resident(r.hub.Pid()), "MB")
	m.add("resident after the load: worker", resident(r.worker.Pid()), "MB")
	if err := r.disk(ctx, s, bytesBefore, 2*n); err != nil {
		return err
	}
	const rate = 300
	began, d := time.Now(), time.Duration(m.of(20, 4))*time.Second
	l, err := pace(ctx, addrs, newWards(3000, 8, patients), rate, d, func(done int) { m.step(0.95, "paced") })
	if err != nil {
		return err
	}
	if err := settle(len(l.acks), 0.98); err != nil {
		return err
	}
	m.add(fmt.Sprintf("%d msg/s paced, acknowledgement, median", rate), l.at(0.5), "ms")
	m.add(fmt.Sprintf("%d msg/s paced, acknowledgement, 99th of 100", rate), l.at(0.99), "ms")
	return r.toApplied(ctx, began, fmt.Sprintf("%d msg/s paced, received to applied", rate))
}

// toApplied records how long it took from receipt to effect, of what was received from then on.
func (r *rig) toApplied(ctx context.Context, since time.Time, name string) error {
	var p []float64
	if err := r.one(ctx, `SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY (settled_at - received_at) / 1000.0)
		FROM units WHERE received_at >= $1 AND status = 'applied'`, []any{since.UnixMicro()}, &p); err != nil {
		return err
	}
	for i, q := range []string{"median", "95th of 100", "99th of 100"} {
		r.m.add(name+", "+q, p[i], "ms")
	}
	return nil
}

// stored is what is on disk, in bytes: at the site, at the hub, in the ledger.
func (r *rig) stored(ctx context.Context, s *site) (b [3]float64, err error) {
	conn, err := pgx.Connect(ctx, r.pg.DSN)
	if err != nil {
		return b, err
	}
	defer conn.Close(ctx)
	if err := conn.QueryRow(ctx, "SELECT sum(pg_total_relation_size(c.oid)) FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace = 'public'::regnamespace").Scan(&b[2]); err != nil {
		return b, err
	}
	if b[0], err = onDisk(s.dir); err != nil {
		return b, err
	}
	b[1], err = onDisk(r.dir + "/hub")
	return b, err
}

// disk records what n messages left on disks.
func (r *rig) disk(ctx context.Context, s *site, before [3]float64, n int) error {
	after, err := r.stored(ctx, s)
	if err != nil {
		return err
	}
	each := func(i int) float64 { return (after[i] - before[i]) / float64(n) }
	r.m.judge("on disk of a 1.2 KB message, at the site", each(0), "bytes", "at most 2,048", each(0) <= 2048)
	r.m.add("on disk of its unit, at the hub", each(1), "bytes")
	r.m.add("on disk of its row, in the ledger", each(2), "bytes")
	return nil
}
