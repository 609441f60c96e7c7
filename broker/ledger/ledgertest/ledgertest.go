// Package ledgertest is what every ledger promises: the suite that each
// implementation passes.
package ledgertest

import (
	"context"
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

// Run runs the suite. open returns a new, empty ledger and closes it when the
// test ends.
func Run(t *testing.T, open func(t *testing.T) ledger.Ledger) {
	// 25 runs of the model are enough for every day, on real disks; the flag
	// asks for more.
	if f := flag.Lookup("rapid.checks"); f != nil && f.Value.String() == f.DefValue {
		if err := f.Value.Set("25"); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name string
		test func(t *testing.T, l ledger.Ledger)
	}{
		{"Leases/one worker holds all partitions and keeps its tokens when it renews", oneWorkerHoldsAll},
		{"Leases/workers share fairly when they come and go", fairShare},
		{"Leases/a partition that ran out goes to another worker under a higher token", takeover},
		{"Leases/a lease that ran out but was not taken is still good", expiredIsStillGood},
		{"Leases/what is given back is free at once and fences its former owner", released},
		{"Leases/cursors move forward only, and go with the lease", cursors},
		{"Leases/workers that fight for leases never both write", contention},
		{"Units/a unit is claimed once, then in doubt, then known", claimOnce},
		{"Units/units that come twice at once are one", claimTwiceAtOnce},
		{"Units/the same idempotency value with other content is a collision", collision},
		{"Units/a unit outside of the leases is refused", outsideOfLeases},
		{"Units/what is settled comes back as it was given", roundTrip},
		{"Units/text that no database would take is made fit", unfitText},
		{"Units/what is no outcome is refused", notAnOutcome},
		{"Keys/a key is held from its first parked unit until its last one is through", heldKey},
		{"Keys/a dead unit that holds makes the key wait, and one that does not lets it go on", deadHolds},
		{"Keys/a unit that was to wait behind one that is gone meanwhile is due", waitsForNobody},
		{"Keys/an earlier unit that comes later goes first", earlierComesLater},
		{"Keys/units without a key wait for nobody", withoutKey},
		{"Keys/what waits for another unit is told apart, with since when", waitingSince},
		{"Keys/bodies are kept while units wait and no longer", bodies},
		{"Gates/a unit with several keys is due when it is first in all, and holds them until its outcome", gates},
		{"Gates/of two units with the same keys the earlier one is first in both", gatesCross},
		{"Gates/a key that another unit holds is waited for, and told", gateBehind},
		{"Gates/a gate of a unit that is through or not known", gateOfWhom},
		{"Gates/a dead unit holds all its keys or none", gatesOfTheDead},
		{"Gates/a dead unit that is tried again waits for its gates anew", gatesAsked},
		{"Gates/a unit that was overtaken in any of its keys is stale", gatesStale},
		{"Gates/a unit that was mapped again has the keys of the new mapping", gatesRemapped},
		{"Gates/a gate is put by who has the lease of its key", gatesGuarded},
		{"Remap/a unit that was mapped again replaces the dead one in its place", remapped},
		{"Remap/under a new key it lets go of the old one", remappedUnderAnotherKey},
		{"Operators/discard lets the key go on, and is for dead units only", discard},
		{"Operators/units are found by each filter and page by page", filters},
		{"Operators/a unit is found by the beginning of its id or its message's", byPrefix},
		{"Operators/a unit's history tells every step", history},
		{"Operators/the summary counts what there is", summary},
		{"Operators/prune forgets what is over and nothing else", prune},
		{"Replay/a plan says what would be done with each unit", plan},
		{"Replay/a plan does nothing until it is started, then each item once", requeue},
		{"Replay/what changed since the plan was made is decided again", decidedAgain},
		{"Replay/a unit that a later one overtook is refused unless that is allowed", stale},
		{"Replay/a dead unit that is tried again goes ahead of those behind it", requeueHeld},
		{"Model/any sequence of calls does what a simple model does", model},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.test(t, open(t))
		})
	}
}

const (
	target = "odoo"
	long   = time.Minute
)

// A desk is one worker's view of a ledger.
type desk struct {
	testing.TB
	ledger.Ledger
	ctx    context.Context
	name   string
	leases []ledger.Lease
}

// sit leases all partitions for a worker.
func sit(t testing.TB, l ledger.Ledger, name string) *desk {
	t.Helper()
	d := &desk{TB: t, Ledger: l, ctx: t.Context(), name: name}
	d.renew(long)
	if len(d.leases) != broker.Partitions {
		t.Fatalf("%s has %d leases, want all %d", name, len(d.leases), broker.Partitions)
	}
	return d
}

func (d *desk) renew(ttl time.Duration) int {
	d.Helper()
	held, share, err := d.Lease(d.ctx, target, d.name, ttl)
	if err != nil {
		d.Fatalf("lease: %v", err)
	}
	d.leases = held
	return share
}

// began is when the units of these tests were received.
var began = time.Date(2026, 3, 1, 4, 0, 0, 123456000, time.UTC)

// unit returns the n-th unit, with a key if key is not "".
func unit(n int, key string) ledger.Unit {
	u := ledger.Unit{
		MessageID: broker.NewMessageID("t", "north", "adt", fmt.Sprint(n), nil), Tenant: "t", Site: "north", Feed: "adt", Target: target,
		Kind: "ADT^A08", SenderID: fmt.Sprintf("C%05d", n), Mapping: "adt@4#1f2e", Seq: uint64(n), Trace: fmt.Sprintf("00-%032x-%016x-01", n, n),
		ReceivedAt: began.Add(time.Duration(n) * time.Second),
	}
	u.ID = broker.NewUnitID(u.MessageID, "adt")
	u.Key = broker.OrderingKey([]byte("secret"), key)
	u.Partition = broker.Partition(u.Key, u.ID)
	u.MappedAt, u.StoredAt = u.ReceivedAt.Add(time.Millisecond), u.ReceivedAt.Add(2*time.Millisecond)
	return u
}

func (d *desk) claim(us ...ledger.Unit) []ledger.Claim {
	d.Helper()
	answers, err := d.Claim(d.ctx, d.leases, us)
	if err != nil {
		d.Fatalf("claim: %v", err)
	}
	if len(answers) != len(us) {
		d.Fatalf("%d answers for %d units", len(answers), len(us))
	}
	return answers
}

func (d *desk) settle(us ...ledger.Unit) {
	d.Helper()
	var done []ledger.Settlement
	for _, u := range us {
		done = append(done, ledger.Settlement{Unit: u, Attempt: u.Attempts > 0, Took: 120 * time.Millisecond})
	}
	if err := d.Settle(d.ctx, d.name, d.leases, nil, done); err != nil {
		d.Fatalf("settle: %v", err)
	}
}

func applied(u ledger.Unit) ledger.Unit {
	u.Status, u.Attempts, u.Class, u.Reason, u.Hold, u.NextAttempt = ledger.Applied, u.Attempts+1, "", "", false, time.Time{}
	return u
}

func skipped(u ledger.Unit) ledger.Unit {
	u.Status, u.Class, u.Reason, u.Remappable = ledger.Skipped, "guard", "not wanted", true
	return u
}

// parked is a unit that is tried again at a time.
func parked(u ledger.Unit, next time.Time) ledger.Unit {
	u.Status, u.Attempts, u.Class, u.Reason, u.NextAttempt, u.Body = ledger.Parked, u.Attempts+1, "odoo.timeout", "no answer within 30 s", next, body(u)
	return u
}

// behind is a unit that waits for an earlier one.
func behind(u ledger.Unit) ledger.Unit {
	u.Status, u.Class, u.Reason, u.Body = ledger.Parked, "key.held", "an earlier unit of its key waits", body(u)
	return u
}

func dead(u ledger.Unit, hold bool) ledger.Unit {
	u.Status, u.Attempts, u.Class, u.Reason, u.Hold, u.NextAttempt, u.Body = ledger.Dead, u.Attempts+1, "odoo.ValidationError", "refused", hold, time.Time{}, body(u)
	return u
}

func unmapped(u ledger.Unit, hold bool) ledger.Unit {
	u = dead(u, hold)
	u.Attempts, u.Class, u.Reason, u.Remappable, u.Body = 0, "mapping.required", "PID-3 is absent", true, nil
	return u
}

func body(u ledger.Unit) broker.PHI { return broker.PHI(`{"id":"` + u.ID + `"}`) }

// due returns the units that are due now.
func (d *desk) due() []ledger.Unit {
	d.Helper()
	us, err := d.Due(d.ctx, d.leases, 1000)
	if err != nil {
		d.Fatalf("due: %v", err)
	}
	return us
}

// wantDue checks which units are due, and that each has its body.
func (d *desk) wantDue(want ...ledger.Unit) {
	d.Helper()
	us := d.due()
	if diff := cmp.Diff(ids(want), ids(us), cmpopts.EquateEmpty(), cmpopts.SortSlices(less)); diff != "" {
		d.Fatalf("units that are due (-want +got):\n%s", diff)
	}
	for _, u := range us {
		if string(u.Body) != string(body(u)) {
			d.Errorf("unit %s is due without its body", u.ID)
		}
	}
}

func (d *desk) wantHeld(want ...ledger.Unit) {
	d.Helper()
	got, err := d.HeldKeys(d.ctx, d.leases)
	if err != nil {
		d.Fatalf("held keys: %v", err)
	}
	var keys []string
	for _, u := range want {
		keys = append(keys, u.Key)
	}
	if diff := cmp.Diff(keys, got, cmpopts.EquateEmpty(), cmpopts.SortSlices(less)); diff != "" {
		d.Fatalf("keys that are held (-want +got):\n%s", diff)
	}
}

// get returns a unit as the ledger has it.
func (d *desk) get(u ledger.Unit) ledger.Unit {
	d.Helper()
	got, _, err := d.Unit(d.ctx, u.ID)
	if err != nil {
		d.Fatalf("unit: %v", err)
	}
	return got
}

func ids(us []ledger.Unit) []string {
	var s []string
	for _, u := range us {
		s = append(s, u.ID)
	}
	return s
}

func less(a, b string) bool { return a < b }

// soon waits until the condition holds.
func soon(t testing.TB, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}
