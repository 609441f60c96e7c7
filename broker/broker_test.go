package broker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
)

const canary = "Canary^Siobhan"

func TestWhatIdentifiesAPatientPrintsAsItsSizeOnly(t *testing.T) {
	t.Parallel()
	things := map[string]any{
		"phi":       broker.PHI(canary),
		"values":    broker.Values{"name": canary},
		"message":   &broker.Message{ID: "m", Feed: "adt", Body: broker.PHI(canary)},
		"unit":      &broker.Unit{ID: "u", Ops: []broker.Operation{{Vals: broker.Values{"name": canary}}}},
		"operation": broker.Operation{ID: "patient", Vals: broker.Values{"name": canary}},
		"secret":    broker.NewSecret(canary),
	}
	for name, thing := range things {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			slog.New(slog.NewTextHandler(&log, nil)).Info("seen", "thing", thing)
			for _, out := range []string{
				fmt.Sprintf("%v", thing), fmt.Sprintf("%+v", thing), fmt.Sprintf("%#v", thing), fmt.Sprintf("%s", thing), fmt.Sprintf("%q", thing), fmt.Sprintf("%x", thing), log.String(),
			} {
				if strings.Contains(out, "Canary") || strings.Contains(out, fmt.Sprintf("%x", canary)) {
					t.Errorf("it prints %s", out)
				}
			}
		})
	}
	for _, thing := range []any{broker.PHI(canary), &broker.Message{Body: broker.PHI(canary)}, broker.NewSecret(canary)} {
		if out, err := json.Marshal(thing); err != nil || strings.Contains(string(out), "Canary") {
			t.Errorf("as JSON it is %s, %v", out, err)
		}
	}
}

func TestAMessageKeepsItsIdentityAndNoTwoShareOne(t *testing.T) {
	t.Parallel()
	id := broker.NewMessageID("t", "s", "f", "1", []byte("body"))
	if len(id) != 32 || id != broker.NewMessageID("t", "s", "f", "1", []byte("body")) {
		t.Fatalf("id %q is not stable or not 32 long", id)
	}
	// The parts are length-prefixed: moving a character from one to the next is another message.
	for _, other := range []string{
		broker.NewMessageID("t", "s", "f", "1b", []byte("ody")), broker.NewMessageID("ts", "", "f", "1", []byte("body")),
		broker.NewMessageID("t", "s", "f", "", []byte("1body")), broker.NewMessageID("t", "s", "f", "1", []byte("body2")),
	} {
		if other == id {
			t.Errorf("two different messages share %s", id)
		}
	}
	if got := broker.ShortID(id); len(got) != 13 || !strings.HasPrefix(id, got) {
		t.Errorf("short id %q of %q", got, id)
	}
}

func TestAnOrderingKeyHidesItsValueAndSpreads(t *testing.T) {
	t.Parallel()
	a, b := broker.OrderingKey([]byte("secret"), "4471123"), broker.OrderingKey([]byte("other"), "4471123")
	if a == b || len(a) != 26 || strings.Contains(a, "4471123") {
		t.Errorf("keys %q and %q", a, b)
	}
	if broker.OrderingKey([]byte("secret"), "") != "" {
		t.Error("no value has a key")
	}
	seen := map[int]int{}
	for i := range 6400 {
		p := broker.Partition(broker.OrderingKey([]byte("secret"), fmt.Sprint(i)), "")
		if p < 0 || p >= broker.Partitions {
			t.Fatalf("partition %d", p)
		}
		seen[p]++
	}
	for p := range broker.Partitions {
		if seen[p] < 40 || seen[p] > 180 {
			t.Errorf("partition %d has %d of 6400 keys", p, seen[p])
		}
	}
}

func TestAUnitComesBackAsItWasSent(t *testing.T) {
	t.Parallel()
	u := &broker.Unit{ID: "u1", MessageID: "m1", Target: "odoo", Verdict: broker.Apply, Ops: []broker.Operation{{
		ID: "patient", Model: "res.partner", Do: "upsert", XID: "north.patient_1",
		Vals: broker.Values{"name": "O'Hara <b>", "amount": json.Number("0.10"), "vat": nil, "active": true,
			"country_id": map[string]any{"$ref": "res.country", "by": map[string]any{"code": "US"}}},
	}}}
	wire, err := u.Encode()
	if err != nil {
		t.Fatal(err)
	}
	back, err := broker.DecodeUnit(wire)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(u, back); diff != "" {
		t.Error(diff)
	}
	again, _ := back.Encode()
	if !bytes.Equal(wire, again) {
		t.Errorf("the wire form changed:\n%s\n%s", wire, again)
	}
	_, err = broker.DecodeUnit([]byte(`{"id":"u1","target":"odoo","ops":[{"vals":"Canary"}]}`))
	if err == nil || strings.Contains(err.Error(), "Canary") {
		t.Errorf("a malformed unit gives %v", err)
	}
}
