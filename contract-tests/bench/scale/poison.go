package scale

import (
	"context"
	"fmt"
	"path/filepath"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// late is how long after its receipt a message is late if it is not applied.
const late = 2 * time.Second

func poison(ctx context.Context, m *measurement) error {
	chart := page.Chart{ID: "poison", Title: "Other patients' messages, received to applied", X: "", Y: "ms", Labels: []string{"median", "95th of 100", "99th of 100"}}
	for i, poisoned := range []bool{true, false} {
		name := "without"
		if poisoned {
			name = "one poison patient"
		}
		sub := &measurement{dir: filepath.Join(m.dir, fmt.Sprint(i)), short: m.short, step: func(share float64, doing string) { m.step((float64(i)+share)/2, name+": "+doing) }}
		var q []float64
		err := sub.measure(ctx, part{run: func(ctx context.Context, sub *measurement) error {
			var err error
			q, err = beside(ctx, sub, m, poisoned, name)
			return err
		}})
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		chart.Series = append(chart.Series, page.Series{Name: name})
		for k, v := range q[:3] {
			chart.Series[i].Points = append(chart.Series[i].Points, [2]float64{float64(k), v})
		}
	}
	// Two bars for each, side by side: a stacked one would add them.
	var flat page.Series
	var labels []string
	for k, label := range chart.Labels {
		for i, s := range chart.Series {
			labels = append(labels, label+[]string{", with", ", without"}[i])
			flat.Points = append(flat.Points, [2]float64{float64(2*k + i), s.Points[k][1]})
		}
	}
	chart.Labels, chart.Series = labels, []page.Series{flat}
	m.draw(chart)
	return nil
}

// beside sends to one patient and to others, and returns how long the others' messages took.
func beside(ctx context.Context, sub, m *measurement, poisoned bool, name string) ([]float64, error) {
	wards := newWards(0, 8, 200)
	sick := wards[0].admissions.Of(0)
	var mrn []string
	if poisoned {
		mrn = []string{sick.MRN}
	}
	r, s, err := whole(ctx, sub, mrn...)
	if err != nil {
		return nil, err
	}
	warm := newWards(9020, 8, 50)
	if _, err := flood(ctx, []string{s.mllp}, warm, 400, func(int) {}); err != nil {
		return nil, err
	}
	if err := r.waitApplied(ctx, 400, 2*time.Minute, func(int) {}); err != nil {
		return nil, err
	}
	const rate = 200
	began, d := time.Now(), time.Duration(m.of(30, 5))*time.Second
	others := make(chan error, 1)
	go func() { // the patient's own messages, ten a second
		own := newWards(0, 1, 200)
		own[0].n, own[0].first = 7777, true
		_, err := pace(ctx, []string{s.mllp}, own, 10, d, func(int) {})
		others <- err
	}()
	for _, w := range wards { // the others never are the one patient
		w.not = sick.MRN
	}
	l, err := pace(ctx, []string{s.mllp}, wards, rate, d, func(done int) { sub.step(0.2+0.6*float64(done)/(rate*d.Seconds()), "sending") })
	if err != nil {
		return nil, err
	}
	if err := <-others; err != nil {
		return nil, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(late + time.Second): // what is not there now is late
	}
	var q []float64
	var slow, applied, n int
	// The one patient's key is the key of the messages of ward 7777.
	if err := r.one(ctx, `WITH others AS (SELECT status, settled_at - received_at AS took FROM units
			WHERE received_at >= $1 AND key NOT IN (SELECT key FROM units WHERE sender_id LIKE 'W7777N%'))
		SELECT percentile_cont(ARRAY[0.5, 0.95, 0.99, 1]) WITHIN GROUP (ORDER BY took / 1000.0) FILTER (WHERE status = 'applied'),
			count(*) FILTER (WHERE status <> 'applied' OR took > $2), count(*) FILTER (WHERE status = 'applied'), count(*) FROM others`,
		[]any{began.UnixMicro(), late.Microseconds()}, &q, &slow, &applied, &n); err != nil {
		return nil, err
	}
	missing := max(0, len(l.acks)-n) // acknowledged, and no worker has come to them yet
	if poisoned {
		m.judge("other patients' messages that are late", float64(slow+missing), fmt.Sprintf("of %d", len(l.acks)), "none", slow+missing == 0)
		var held, own int
		if err := r.one(ctx, `SELECT count(*) FILTER (WHERE status <> 'applied'), count(*) FROM units WHERE sender_id LIKE 'W7777N%'`, nil, &held, &own); err != nil {
			return nil, err
		}
		m.add("the poison patient's own messages that wait", float64(held), fmt.Sprintf("of %d", own))
	} else {
		m.add("late without a poison patient", float64(slow+missing), fmt.Sprintf("of %d", len(l.acks)))
	}
	for i, what := range []string{"median", "95th of 100", "99th of 100", "slowest"} {
		m.add(name+", others received to applied, "+what, q[i], "ms")
	}
	return q, nil
}
