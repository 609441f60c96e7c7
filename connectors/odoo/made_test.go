package odoo

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// arrival is a unit that makes a contact and changes one that is known otherwise, and
// then waits for another.
func arrival(b *bench, x, city string) *broker.Unit {
	op := upsert(x, broker.Values{"name": "n"})
	op.OnUpdate = broker.Values{"city": city}
	return b.unit(op, broker.Operation{ID: "then", Model: "res.partner", Do: "update", XID: x + "_later", Vals: broker.Values{"city": "c"}})
}

func TestWhatIsForKnownRecordsDoesNotReachOneThatTheUnitMadeInAnEarlierAttempt(t *testing.T) {
	contract(t, func(t *testing.T, b *bench) {
		x := b.xid("made")
		first := arrival(b, x, "first")
		for range 2 {
			if o := applyTo(t, b.target, first)[0]; o.Result != broker.Deferred {
				t.Fatalf("%s %s", o.Result, o.Class)
			}
			want(t, b.read(t, x, "city"), map[string]any{"city": false})
		}
		if o := applyTo(t, b.target, arrival(b, x, "second"))[0]; o.Result != broker.Deferred {
			t.Fatalf("%s %s", o.Result, o.Class)
		}
		want(t, b.read(t, x, "city"), map[string]any{"city": "second"})
		applyTo(t, b.target, first)
		want(t, b.read(t, x, "city"), map[string]any{"city": "second"})
	})
}

func TestAUserWhoMayNotSayWhatItIsAboutToMakeMakesItAllTheSame(t *testing.T) {
	t.Parallel()
	sim, cfg := server(t, simulated.Config{})
	sim.Fail(simulated.Fault{Kind: simulated.FaultRaise, Model: "ir.model.data", Method: "create", Class: "odoo.exceptions.AccessError", Message: secret})
	var log bytes.Buffer
	cfg.Logger = slog.New(slog.NewTextHandler(&log, nil))
	target := connect(t, cfg)
	for _, x := range []string{"t.p", "t.q"} {
		op := upsert(x, broker.Values{"name": "n"})
		op.OnUpdate = broker.Values{"city": "known"}
		o := applyTo(t, target, &broker.Unit{ID: x, Ops: []broker.Operation{op}})[0]
		if r, ok := sim.ByXID(x); o.Result != broker.Applied || !ok || r.Values["city"] != nil {
			t.Errorf("%s %s, %v", o.Result, o.Class, r)
		}
	}
	if n := strings.Count(log.String(), "only_on: update"); n != 1 || strings.Contains(log.String(), secret) {
		t.Errorf("%d warnings: %s", n, &log)
	}
}

func TestAUnitWhoseEarlierAttemptIsStillUnderWayIsTriedAgain(t *testing.T) {
	t.Parallel()
	sim, cfg := server(t, simulated.Config{})
	sim.Fail(simulated.Fault{Kind: simulated.FaultRaise, Model: "ir.model.data", Method: "create", Times: 1, Class: "odoo.exceptions.ValidationError",
		Message: "The operation cannot be completed: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key (module, name)=(t, p) already exists.\n"})
	target := connect(t, cfg)
	op := upsert("t.p", broker.Values{"name": "n"})
	op.OnUpdate = broker.Values{"city": "known"}
	unit := &broker.Unit{ID: "u", Ops: []broker.Operation{op}}
	if o := applyTo(t, target, unit)[0]; o.Result != broker.Retry || o.Class != "odoo.conflict" {
		t.Errorf("%s %s", o.Result, o.Class)
	}
	if _, ok := sim.ByXID("t.p"); ok {
		t.Error("the record was made without a word")
	}
	if o := applyTo(t, target, unit)[0]; o.Result != broker.Applied {
		t.Errorf("%s %s", o.Result, o.Class)
	}
}
