// Package batches measures how fast units reach Odoo: one at a time, in batches,
// and through the whole worker, each beside Odoo's own rate for calls of load
// that are made by hand, in turns within one run. The server is the simulated
// one, or the real one that VAGUS_ODOO_URL, _DB, _USER and _KEY name; what the
// latter lacks a module for is left out.
//
// BenchmarkBatches prints, for each model: one-units/s and one-calls/unit of
// Apply with single units; raw-units/s of the calls by hand, batch-units/s and
// calls/unit of Apply with a hundred units, worker-units/s from stream to
// ledger; ×raw and worker-×raw, their ratios to the calls by hand; and addon-…,
// when the database has the addon.
package batches

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// database is what the benchmark writes to.
type database struct {
	url, name, user, key string
	run                  string // names the records of this run
	units                int    // made so far
}

func open(b *testing.B) *database {
	d := &database{url: os.Getenv("VAGUS_ODOO_URL"), name: os.Getenv("VAGUS_ODOO_DB"), user: os.Getenv("VAGUS_ODOO_USER"), key: os.Getenv("VAGUS_ODOO_KEY"),
		run: strconv.FormatInt(time.Now().UnixNano(), 36)}
	if d.url != "" {
		return d
	}
	sim := simulated.New(simulated.Config{Addon: true, Seeds: []simulated.Seed{{Model: "account.journal", Values: map[string]any{"name": "Sales", "code": "INV", "type": "sale"}}}})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = sim.Close() })
	d.url, d.name, d.user, d.key = url, "demo", "vagus", "simulated"
	return d
}

// target opens the database as a target; calls counts what it asks of Odoo.
func (d *database) target(b *testing.B, addon string) (t *odoo.Target, calls func() float64) {
	reader := metric.NewManualReader()
	t, err := odoo.New(odoo.Config{URL: d.url, Database: d.name, User: d.user, Key: broker.NewSecret(d.key), Addon: addon, PlainHTTP: true,
		Meter: metric.NewMeterProvider(metric.WithReader(reader)).Meter("bench")})
	if err != nil {
		b.Fatal(err)
	}
	return t, func() (n float64) {
		var got metricdata.ResourceMetrics
		if err := reader.Collect(context.Background(), &got); err != nil {
			b.Fatal(err)
		}
		for _, s := range got.ScopeMetrics {
			for _, m := range s.Metrics {
				if h, ok := m.Data.(metricdata.Histogram[float64]); ok && m.Name == "vagus_odoo_call_duration_seconds" {
					for _, p := range h.DataPoints {
						n += float64(p.Count)
					}
				}
			}
		}
		return n
	}
}

func apply(b *testing.B, t broker.Target, units []*broker.Unit) {
	out, err := t.Apply(context.Background(), units)
	if err != nil {
		b.Fatal(err)
	}
	for _, o := range out {
		if o.Result != broker.Applied {
			b.Fatalf("%s %s: %s", o.Result, o.Class, o.Reason)
		}
	}
}

// inBatches applies units a hundred at a time, two calls of Apply at once, as a
// worker does.
func inBatches(b *testing.B, t broker.Target, units []*broker.Unit) {
	var wg sync.WaitGroup
	defer wg.Wait()
	turns := make(chan struct{}, 2)
	for len(units) > 0 {
		n := min(100, len(units))
		now := units[:n]
		units = units[n:]
		turns <- struct{}{}
		wg.Go(func() {
			defer func() { <-turns }()
			out, err := t.Apply(context.Background(), now)
			for _, o := range out {
				if o.Result != broker.Applied {
					b.Errorf("%s %s: %s", o.Result, o.Class, o.Reason)
				}
			}
			if err != nil {
				b.Error(err)
			}
		})
	}
}

// rate is units in a time, summed over the rounds.
type rate struct {
	units int
	took  time.Duration
	calls float64
}

func (r *rate) add(n int, took time.Duration) { r.units, r.took = r.units+n, r.took+took }

func (r *rate) perSecond() float64 { return float64(r.units) / r.took.Seconds() }

const singles = 10 // units one at a time, in a round

func BenchmarkBatches(b *testing.B) {
	d := open(b)
	short := os.Getenv("VAGUS_BENCH_SHORT") != ""
	for _, m := range models {
		b.Run(m.name, func(b *testing.B) {
			hand := d.byHand(b)
			if !hand.has(m.model) {
				b.Logf("the database has no %s", m.model)
				b.ReportMetric(0, "ns/op")
				return
			}
			stock, stockCalls := d.target(b, "off")
			full, fullCalls := d.target(b, "auto")
			apply(b, full, nil) // asks for the addon
			addon := full.Promise() == "addon"
			e := hand.prepare(b, d, stock)
			units := m.units
			if short {
				units = m.units / 16
			}
			var one, raw, batch, worker, addonBatch, addonWorker rate
			next := func(count int) []*broker.Unit {
				us := make([]*broker.Unit, count)
				for i := range us {
					d.units++
					us[i] = d.unit(m, e, d.units)
				}
				return us
			}
			whole := units
			units /= 4
			byHand := func() {
				raw.add(units, hand.batches(b, m, e, d.units, units))
				d.units += units
			}
			for i := range b.N + 1 {
				if i == 1 { // the first round, a short one, fills caches on both sides
					units = whole
					one, raw, batch, worker, addonBatch, addonWorker = rate{}, rate{}, rate{}, rate{}, rate{}, rate{}
					b.ResetTimer()
				}
				measure := func(r *rate, calls func() float64, us []*broker.Unit, do func([]*broker.Unit)) {
					before, start := calls(), time.Now()
					do(us)
					r.add(len(us), time.Since(start))
					r.calls += calls() - before
				}
				measure(&one, stockCalls, next(singles), func(us []*broker.Unit) {
					for _, u := range us {
						apply(b, stock, []*broker.Unit{u})
					}
				})
				byHand()
				measure(&batch, stockCalls, next(units), func(us []*broker.Unit) { inBatches(b, stock, us) })
				worker.add(units, throughWorker(b, stock, inFile(b), next(units)))
				byHand()
				if addon {
					measure(&addonBatch, fullCalls, next(units), func(us []*broker.Unit) { inBatches(b, full, us) })
					addonWorker.add(units, throughWorker(b, full, inFile(b), next(units)))
				}
			}
			b.StopTimer()
			b.ReportMetric(one.perSecond(), "one-units/s")
			b.ReportMetric(one.calls/float64(one.units), "one-calls/unit")
			b.ReportMetric(raw.perSecond(), "raw-units/s")
			b.ReportMetric(batch.perSecond(), "batch-units/s")
			b.ReportMetric(batch.calls/float64(batch.units), "calls/unit")
			b.ReportMetric(worker.perSecond(), "worker-units/s")
			b.ReportMetric(batch.perSecond()/raw.perSecond(), "×raw")
			b.ReportMetric(worker.perSecond()/raw.perSecond(), "worker-×raw")
			if addon {
				b.ReportMetric(addonBatch.perSecond(), "addon-units/s")
				b.ReportMetric(addonBatch.calls/float64(addonBatch.units), "addon-calls/unit")
				b.ReportMetric(addonBatch.perSecond()/raw.perSecond(), "addon-×raw")
				b.ReportMetric(addonWorker.perSecond()/raw.perSecond(), "addon-worker-×raw")
			}
		})
	}
}

// unit is the n-th unit of a model.
func (d *database) unit(m model, e existing, n int) *broker.Unit {
	key := fmt.Sprint(d.run, "_", n)
	msg := broker.NewMessageID("t", "north", "bench", m.name+key, nil)
	now := time.Now().UTC()
	return &broker.Unit{ID: broker.NewUnitID(msg, "m"), MessageID: msg, Tenant: "t", Site: "north", Feed: "bench", Target: "odoo", Kind: m.name, SenderID: key,
		Mapping: "m@1", Key: broker.OrderingKey([]byte("s"), m.name+key), Verdict: broker.Apply, ReceivedAt: now, MappedAt: now,
		Ops: []broker.Operation{{ID: "it", Model: m.model, Do: "upsert", XID: "vagus_bench." + m.name + "_" + key, Vals: m.vals(e, n)}}}
}
