package worker

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
	"github.com/vagus-health/vagus/broker/stream"
)

func replay(t *testing.T, l ledger.Ledger, f ledger.Filter) ledger.Replay {
	t.Helper()
	r, err := l.PlanReplay(t.Context(), ledger.ReplayRequest{Filter: f, By: "anna"})
	if err == nil {
		err = l.StartReplay(t.Context(), r.ID, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAReplayOfADeadLetterLetsItsKeyGoInOrder(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var fixed atomic.Bool
	tg.script = func(_ *broker.Unit, n int) broker.Outcome {
		if n == 2 && !fixed.Load() {
			return broker.Outcome{Result: broker.Rejected, Class: "odoo.ValidationError"}
		}
		return broker.Outcome{}
	}
	us := series("k", 3, 5)
	h.send(us...)
	start(t, h, l, tg, nil)
	until(t, "three are dead and the rest waits", func() bool {
		s, err := l.Summary(t.Context())
		return err == nil && len(s) == 1 && s[0].Counts[ledger.Dead] == 3 && s[0].Counts[ledger.Parked] == 9
	})
	fixed.Store(true)
	r := replay(t, l, ledger.Filter{Status: []ledger.Status{ledger.Dead}})
	until(t, "all applied", func() bool { return tg.applied(us...) == len(us) })
	until(t, "the replay is through", func() bool {
		got, err := l.Replay(t.Context(), r.ID)
		return err == nil && got.Done == got.Total && got.Total == 3
	})
	tg.orderKept(t)
	// What was applied is not applied again.
	r = replay(t, l, ledger.Filter{Status: []ledger.Status{ledger.Applied}})
	until(t, "that replay is through", func() bool { got, err := l.Replay(t.Context(), r.ID); return err == nil && got.Done == got.Total })
	tg.set(func() {
		for id, n := range tg.effects {
			if n != 1 {
				t.Errorf("unit %s took effect %d times", id, n)
			}
		}
	})
}

func TestAReplayOfWhatItsMappingRefusedAsksTheSite(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	refused, behind, fixed := unit("k", 1), unit("k", 2), unit("k", 1)
	refused.Verdict, refused.Ops, refused.Class = broker.DeadLetter, nil, "mapping.required"
	h.send(refused, behind)
	var asked atomic.Int64
	start(t, h, l, tg, func(c *Config) {
		c.Remap = func(_ context.Context, u ledger.Unit, request string) error {
			if asked.Add(1) == 1 {
				return errors.New("the site is not there")
			}
			m := message(fixed)
			m.Header.Set(nats.MsgIdHdr, u.ID+":"+request)
			m.Header.Set(stream.HeaderRemap, request)
			_, err := h.js.PublishMsg(context.Background(), m)
			return err
		}
	})
	until(t, "it is dead and the next waits", func() bool {
		return status(t, l, refused).Status == ledger.Dead && status(t, l, behind).Status == ledger.Parked
	})
	r := replay(t, l, ledger.Filter{IDs: []string{refused.ID}})
	until(t, "both applied", func() bool { return tg.applied(fixed, behind) == 2 })
	tg.orderKept(t)
	until(t, "the replay is through", func() bool { got, err := l.Replay(t.Context(), r.ID); return err == nil && got.Done == 1 })
	if n := asked.Load(); n != 2 {
		t.Errorf("the site was asked %d times", n)
	}
}

func TestAReplayGoesAtTheRateThatItWasStartedWith(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	var fixed atomic.Bool
	tg.script = func(_ *broker.Unit, n int) broker.Outcome {
		if !fixed.Load() {
			return broker.Outcome{Result: broker.Rejected, Class: "odoo.ValidationError"}
		}
		return broker.Outcome{}
	}
	slow, fast := series("slow", 30, 1), series("fast", 10, 1)
	h.send(append(slow, fast...)...)
	start(t, h, l, tg, nil)
	until(t, "all are dead", func() bool {
		s, err := l.Summary(t.Context())
		return err == nil && len(s) == 1 && s[0].Counts[ledger.Dead] == len(slow)+len(fast)
	})
	fixed.Store(true)
	plan := func(us []*broker.Unit, rate float64) string {
		var ids []string
		for _, u := range us {
			ids = append(ids, u.ID)
		}
		r, err := l.PlanReplay(t.Context(), ledger.ReplayRequest{Filter: ledger.Filter{IDs: ids}, By: "anna"})
		if err == nil {
			err = l.StartReplay(t.Context(), r.ID, rate)
		}
		if err != nil {
			t.Fatal(err)
		}
		return r.ID
	}
	done := func(id string) int {
		r, err := l.Replay(t.Context(), id)
		if err != nil {
			return 0
		}
		return r.Done
	}
	first := plan(slow, 0.01)
	until(t, "the first of the slow one", func() bool { return done(first) == 1 })
	second := plan(fast, 1000)
	until(t, "the fast one beside it", func() bool { return done(second) == len(fast) })
	if n := done(first); n != 1 {
		t.Errorf("one unit in 100 seconds, and %d are through", n)
	}
	if err := l.StartReplay(t.Context(), first, 1000); err != nil {
		t.Fatal(err)
	}
	until(t, "the slow one, once it is faster", func() bool { return done(first) == len(slow) })
	until(t, "all applied", func() bool { return tg.applied(append(slow, fast...)...) == len(slow)+len(fast) })
}

func TestOutcomesAreToldWithoutWhatIdentifiesAPatient(t *testing.T) {
	t.Parallel()
	h, tg, l := newHub(t), newTarget(), newLedger(t)
	sub, err := h.nc.SubscribeSync("event.>")
	if err != nil {
		t.Fatal(err)
	}
	spans := tracetest.NewInMemoryExporter()
	traces := sdktrace.NewTracerProvider(sdktrace.WithSyncer(spans))
	reader := sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(reader))
	var logs lockedBuffer
	tg.script = func(_ *broker.Unit, n int) broker.Outcome {
		if n == 2 {
			return broker.Outcome{Result: broker.Rejected, Class: "odoo.ValidationError", Reason: "refused"}
		}
		return broker.Outcome{}
	}
	panics := atomic.Bool{}
	panics.Store(true)
	tg.fail = func(context.Context, []*broker.Unit) error {
		if panics.CompareAndSwap(true, false) {
			panic("Miller")
		}
		return nil
	}
	one, two, twice := unit("k", 1), unit("k", 2), unit("j", 3)
	one.Trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	one.Idempotency, twice.Idempotency = "same", "same"
	h.send(one, two, twice)
	p := start(t, h, l, tg, func(c *Config) {
		c.Tracer, c.Meter, c.Logger = traces.Tracer("worker"), meters.Meter("worker"), logs.logger()
	})
	seen := map[string]int{}
	for seen["applied"] < 2 || seen["dead"] < 1 {
		m, err := sub.NextMsg(10 * time.Second)
		if err != nil {
			t.Fatal(err, seen)
		}
		var data struct {
			Target string
			Units  []struct{ Unit, Message, Class string }
		}
		if err := json.Unmarshal(m.Data, &data); err != nil || data.Target != "odoo" {
			t.Fatalf("event %s: %v", m.Data, err)
		}
		what := strings.TrimPrefix(m.Subject, "event.north.adt.")
		if m.Header.Get("ce-type") != "health.vagus.units."+what || m.Header.Get("ce-specversion") != "1.0" || m.Header.Get("ce-id") == "" || m.Header.Get("ce-source") != "/vagus/worker/w" {
			t.Errorf("headers %v", m.Header)
		}
		logs.add(string(m.Data))
		seen[what] += len(data.Units)
	}
	p.end()
	var metrics metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &metrics); err != nil {
		t.Fatal(err)
	}
	js, _ := json.Marshal(metrics)
	for _, want := range []string{"vagus.worker.units", "vagus.worker.breaker", "vagus.worker.latency", "collision"} {
		if !strings.Contains(string(js), want) {
			t.Errorf("no metric %s", want)
		}
	}
	if got := spans.GetSpans(); len(got) != 2 || got[0].Name != "worker.apply" || got[0].Parent.SpanID().String() != "b7ad6b7169203331" {
		t.Errorf("%d spans", len(got))
	}
	if row := status(t, l, twice); row.Warning != collision {
		t.Errorf("warning %q", row.Warning)
	}
	all := logs.String() + string(js)
	for _, want := range []string{"target panicked at", collision, "dead letter"} {
		if !strings.Contains(all, want) {
			t.Errorf("the log does not say %q", want)
		}
	}
	for _, secret := range []string{"Miller", "res.partner", one.Key} {
		if strings.Contains(all, secret) {
			t.Errorf("%s leaked", secret)
		}
	}
	if strings.Contains(string(js), one.ID) {
		t.Error("an id is in a metric")
	}
}
