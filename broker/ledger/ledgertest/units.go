package ledgertest

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/ledger"
)

func want(t testing.TB, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func claimOnce(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u, v := unit(1, "k"), unit(2, "")
	want(t, "first claim", d.claim(u, v), []ledger.Claim{{}, {}})
	want(t, "second claim", d.claim(v, u), []ledger.Claim{{InDoubt: true}, {InDoubt: true}})
	d.settle(applied(u))
	want(t, "third claim", d.claim(u, v, unit(3, "")), []ledger.Claim{{Status: ledger.Applied}, {InDoubt: true}, {}})
	for _, s := range []ledger.Unit{skipped(v), parked(v, time.Now()), dead(v, true)} {
		d.settle(s)
		want(t, "claim after "+string(s.Status), d.claim(v), []ledger.Claim{{Status: s.Status}})
	}
	if err := l.Discard(d.ctx, v.ID, "mona", "a test"); err != nil {
		t.Fatal(err)
	}
	want(t, "claim after discard", d.claim(v), []ledger.Claim{{Status: ledger.Discarded}})
	w := unit(4, "")
	d.settle(applied(w)) // never claimed
	want(t, "claim of what was settled without", d.claim(w), []ledger.Claim{{Status: ledger.Applied}})
	want(t, "claim of nothing", d.claim(), []ledger.Claim{})
	if got := d.get(u); got.ClaimedAt.IsZero() || got.SettledAt.IsZero() || got.Attempts != 1 {
		t.Errorf("the applied unit is %+v", got)
	}
}

func claimTwiceAtOnce(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	want(t, "claims", d.claim(u, u), []ledger.Claim{{}, {InDoubt: true}})
	again := applied(u)
	again.Warning = "the second"
	d.settle(applied(u), again)
	want(t, "claims", d.claim(u, u), []ledger.Claim{{Status: ledger.Applied}, {Status: ledger.Applied}})
	if got := d.get(u); got.Warning != "the second" {
		t.Errorf("what counts is not what was settled last")
	}
	sums, err := l.Summary(d.ctx)
	if err != nil || len(sums) != 1 || sums[0].Counts[ledger.Applied] != 1 || len(sums[0].Counts) != 1 {
		t.Errorf("summary %+v, %v", sums, err)
	}
}

func collision(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	idem := func(n int, value string) ledger.Unit {
		u := unit(n, "")
		u.Idem = broker.OrderingKey([]byte("secret"), value)
		return u
	}
	first, other, free, none := idem(1, "v"), idem(2, "v"), idem(3, "w"), unit(4, "")
	sibling := idem(5, "v")
	sibling.MessageID = first.MessageID // another mapping of the same message
	elsewhere := idem(6, "v")
	elsewhere.Feed = "lab"
	want(t, "claims", d.claim(first, other, free, none, sibling, elsewhere), []ledger.Claim{{}, {Collision: true}, {}, {}, {Collision: true}, {}})
	d.settle(applied(first), applied(other))
	want(t, "claims of what is settled", d.claim(other, first), []ledger.Claim{{Status: ledger.Applied, Collision: true}, {Status: ledger.Applied}})
	want(t, "a third", d.claim(idem(9, "v")), []ledger.Claim{{Collision: true}})
}

func outsideOfLeases(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	var others []ledger.Lease
	for _, le := range d.leases {
		if le.Partition != u.Partition {
			others = append(others, le)
		}
	}
	if _, err := l.Claim(d.ctx, others, []ledger.Unit{u}); err == nil || errors.Is(err, ledger.ErrFenced) {
		t.Errorf("claim: %v", err)
	}
	if err := l.Settle(d.ctx, "a", others, nil, []ledger.Settlement{{Unit: applied(u)}}); err == nil || errors.Is(err, ledger.ErrFenced) {
		t.Errorf("settle: %v", err)
	}
}

func roundTrip(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	u.Idem = "abc"
	d.claim(u)
	u.Status, u.Attempts, u.Warning, u.Remappable = ledger.Applied, 3, `it's "odd" <é>`, true
	u.Records = []broker.Record{{Op: "patient", Model: "res.partner", ID: 1 << 60, Made: true}, {Op: "kin#2", Model: "res.partner", ID: 2}}
	u.ClaimedAt, u.SettledAt = began.Add(time.Hour), began.Add(2*time.Hour)
	d.settle(u)
	claimed := d.get(u).ClaimedAt
	u.ClaimedAt = claimed // the first one stays
	want(t, "the unit", d.get(u), u)
	v := dead(unit(2, "v"), true)
	v.SettledAt, v.ClaimedAt, v.Seq = began, began, 1<<62
	d.settle(v)
	v.Body = nil // not for everybody
	want(t, "the dead unit", d.get(v), v)
	w := parked(unit(3, ""), time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond))
	w.SettledAt, w.ClaimedAt = began, began
	d.settle(w)
	w.Body = nil
	want(t, "the parked unit", d.get(w), w)
}

func unfitText(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	u := unit(1, "k")
	u.SenderID, u.Kind = "a\x00b\xff", strings.Repeat("é", 5000)
	d.claim(u)
	u = dead(u, true)
	u.Reason, u.Class, u.Warning = strings.Repeat("x", 1<<20), "\x00", "\xc3"
	u.Body = broker.PHI("\x00\x01\xff")
	d.settle(u)
	got := d.get(u)
	if got.SenderID != "a\uFFFDb\uFFFD" || len(got.Kind) > 256 || got.Kind == "" || len(got.Reason) != 1000 || got.Class != "\uFFFD" || got.Warning != "\uFFFD" {
		t.Errorf("it became %q %q… %d", got.SenderID, got.Kind[:10], len(got.Reason))
	}
	us, err := l.Units(d.ctx, ledger.Filter{SenderID: u.SenderID, Kind: u.Kind})
	if err != nil || len(us) != 1 {
		t.Errorf("by the sender's id as it came %d units are found, %v", len(us), err)
	}
	d.settle(parked(applied(u), time.Now()))
	if us := d.due(); len(us) != 1 || us[0].ID != u.ID {
		t.Errorf("due: %v", ids(us))
	}
}

func notAnOutcome(t *testing.T, l ledger.Ledger) {
	d := sit(t, l, "a")
	for _, s := range []ledger.Status{"", ledger.Claimed, ledger.Discarded, "other"} {
		u := unit(1, "k")
		u.Status = s
		if err := l.Settle(d.ctx, "a", d.leases, nil, []ledger.Settlement{{Unit: u}}); err == nil {
			t.Errorf("%q was settled", s)
		}
	}
}
