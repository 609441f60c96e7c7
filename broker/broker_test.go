package broker_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

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
		"operation": broker.Operation{ID: "patient", Vals: broker.Values{"name": canary}, Document: broker.Document(canary)},
		"document":  broker.Document(canary),
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
	m := broker.Origin{Tenant: "t", Site: "s", Feed: "f"}.Message("hl7v2", "ADT^A08", "1", time.Unix(7, 0), []byte("body"))
	if m.ID != id || m.Tenant != "t" || m.Site != "s" || m.Feed != "f" || m.SenderID != "1" || m.Format != "hl7v2" || m.Kind != "ADT^A08" ||
		!m.ReceivedAt.Equal(time.Unix(7, 0)) || string(m.Body) != "body" || m.Group != (broker.Group{}) || m.Trace != "" {
		t.Errorf("a message of an origin: %+v", m)
	}
}

func TestAUnitThatEmitsHasOneOperation(t *testing.T) {
	t.Parallel()
	emit := broker.Operation{ID: "document", Model: "MFN_M05", Do: "emit", Format: "hl7v2", Document: []byte("MSH|")}
	empty := emit
	empty.Document = nil
	for _, tt := range []struct {
		name string
		ops  []broker.Operation
		is   bool
	}{{"a document", []broker.Operation{emit}, true}, {"two documents", []broker.Operation{emit, emit}, false}, {"an empty one", []broker.Operation{empty}, false},
		{"a record", []broker.Operation{{ID: "p", Do: "upsert", Document: emit.Document}}, false}, {"nothing", nil, false}} {
		u := &broker.Unit{Ops: tt.ops}
		doc, format, ok := u.Emission()
		if ok != tt.is || ok && (string(doc) != "MSH|" || format != "hl7v2") {
			t.Errorf("%s: %q %q %v", tt.name, doc, format, ok)
		}
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

// wire is what Encode promises: the bytes of encoding/json.
func wire(t interface{ Fatal(...any) }, u *broker.Unit) []byte {
	type plain broker.Unit
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode((*plain)(u)); err != nil {
		t.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// decoded reads data as encoding/json does.
func decoded(data []byte) (*broker.Unit, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	var u broker.Unit
	err := dec.Decode(&u)
	return &u, err
}

func anyText() *rapid.Generator[string] {
	return rapid.OneOf(rapid.String(), rapid.StringN(0, 5, 8),
		rapid.SampledFrom([]string{"", "O'Hara <b>&\"\\/", "\x00\b\f\n\r\t\x1f\x7f", "a\u2028b\u2029", "Zoë \xff\xc3", "\xed\xa0\x80", "日本"}))
}

func anyValue(depth int) *rapid.Generator[any] {
	of := []*rapid.Generator[any]{
		rapid.Map(anyText(), func(s string) any { return s }), rapid.Map(rapid.Bool(), func(b bool) any { return b }), rapid.Just[any](nil),
		rapid.SampledFrom([]any{json.Number("0.10"), json.Number("-1E+5"), json.Number("12345678901234567890"), json.Number("")}),
		rapid.SampledFrom([]any{7, 1.5, []string{"a", "<"}, map[string]any(nil), []any(nil), []any{}, map[string]any{}, broker.Values{"b": "1", "a": nil}}),
	}
	if depth > 0 {
		of = append(of, rapid.Map(rapid.SliceOfN(anyValue(depth-1), 0, 3), func(l []any) any { return l }),
			rapid.Map(rapid.MapOfN(anyText(), anyValue(depth-1), 0, 4), func(m map[string]any) any { return m }))
	}
	return rapid.OneOf(of...)
}

func anyValues() *rapid.Generator[broker.Values] {
	return rapid.Map(rapid.MapOfN(anyText(), anyValue(2), 0, 40), func(m map[string]any) broker.Values { return m })
}

func anyUnit() *rapid.Generator[*broker.Unit] {
	return rapid.Custom(func(t *rapid.T) *broker.Unit {
		text := func() string { return anyText().Draw(t, "text") }
		at := func() time.Time {
			zone := time.FixedZone("", 60*rapid.IntRange(-720, 720).Draw(t, "offset"))
			return time.Unix(rapid.Int64Range(-60_000_000_000, 250_000_000_000).Draw(t, "s"), rapid.Int64Range(0, 999_999_999).Draw(t, "ns")).In(zone)
		}
		u := &broker.Unit{ID: text(), MessageID: text(), Tenant: text(), Site: text(), Feed: text(), Target: text(), Kind: text(), SenderID: text(), Mapping: text(),
			Key: text(), OtherKeys: rapid.SampledFrom([][]string{nil, {"b"}, {"b", "c\"<"}}).Draw(t, "other keys"), Idempotency: text(), Verdict: broker.Verdict(text()), Class: text(), Reason: text(), OnDeadLetter: text(), Atomic: rapid.Bool().Draw(t, "atomic"), ReceivedAt: at(), MappedAt: at(), Trace: text()}
		for range rapid.IntRange(0, 3).Draw(t, "ops") {
			u.Ops = append(u.Ops, broker.Operation{ID: text(), Model: text(), Do: text(), XID: text(), On: text(), OnNone: text(),
				By: anyValues().Draw(t, "by"), Vals: anyValues().Draw(t, "vals"), OnCreate: anyValues().Draw(t, "on_create"), OnUpdate: anyValues().Draw(t, "on_update"),
				Method: text(), Args: anyValues().Draw(t, "args"), OnlyIf: anyValues().Draw(t, "only_if"), UnchangedSince: text(), Context: anyValues().Draw(t, "context"),
				Format: text(), Document: broker.Document(anyText().Draw(t, "document"))})
		}
		return u
	})
}

func TestTheWireFormIsThatOfEncodingJSON(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := anyUnit().Draw(t, "unit")
		want := wire(t, u)
		got, err := u.Encode()
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("%v\n%s\n%s", err, got, want)
		}
		u.ID, u.Target = "u1", "odoo"
		want = wire(t, u)
		back, err := broker.DecodeUnit(want)
		if err != nil {
			t.Fatal(err)
		}
		plain, _ := decoded(want)
		if diff := cmp.Diff(plain, back); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestWhatHasNoWireFormIsAnError(t *testing.T) {
	t.Parallel()
	loop := map[string]any{}
	loop["again"] = loop
	for name, u := range map[string]*broker.Unit{
		"a number that is none": {Ops: []broker.Operation{{Vals: broker.Values{"a": json.Number("1 or 2")}}}},
		"a channel":             {Ops: []broker.Operation{{Vals: broker.Values{"a": make(chan int)}}}},
		"a year of five digits": {ReceivedAt: time.Date(12026, 1, 1, 0, 0, 0, 0, time.UTC)},
		"a map inside itself":   {Ops: []broker.Operation{{Vals: loop}}},
	} {
		if out, err := u.Encode(); err == nil {
			t.Errorf("%s is encoded in %d bytes", name, len(out))
		}
	}
}

// FuzzDecodeUnit: whatever comes, a unit is read as encoding/json reads it.
func FuzzDecodeUnit(f *testing.F) {
	for _, s := range []string{
		`{"id":"u","target":"t","ops":[{"op":"a","vals":{"a":[1,-0.5e+7,null,true,{"$op":"x"}],"b":"\u00e9\n\ud800"}}],"received_at":"2026-01-02T03:04:05.678+02:00"}`,
		`{"ID":"u","target":"t"}`, ` {"id":"u","target":"t"} x`, `{"id":null,"target":"t","new":[1]}`, `{"id":"u","target":"t","ops":[],"ops":[{}]}`,
		`{"id":"u","target":"t","ops":[{"by":{"a":"1"},"by":{"b":"2"}}]}`, `{"id":"u","target":"t","ops":[{"by":{"a":01}}]}`, `{"id":"u","target":"t","ops":[{"by":{"a":1,"a":{}}},]}`,
		`{"id":"u","target":"t","ops":[{"do":"emit","format":"hl7v2","document":"TVNIfA=="}]}`, `{"id":"u","target":"t","ops":[{"document":"TVN\r\nIfA"}]}`, `{"id":"u","target":"t","ops":[{"document":null},{"document":""}]}`,
		`{"id":"u","target":"t","key":"a","other_keys":["b","c"]}`, `{"id":"u","target":"t","other_keys":[],"other_keys":["b"]}`, `{"id":"u","target":"t","other_keys":null}`,
		`{"id":"u","target":"t","trace":"` + "\xff\x01" + `"}`, `{"id":"u","target":"t","mapped_at":"yesterday"}`, `{}`, `null`, ``,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := broker.DecodeUnit(data)
		want, wantErr := decoded(data)
		if missing := wantErr == nil && (want.ID == "" || want.Target == ""); (err == nil) != (wantErr == nil && !missing) {
			t.Fatalf("%v, and encoding/json says %v", err, wantErr)
		}
		if err == nil {
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatal(diff)
			}
		}
	})
}

func benchmarkUnit() *broker.Unit {
	u := &broker.Unit{ID: "abcdefghijklmnopqrstuvwxyz234567", MessageID: "abcdefghijklmnopqrstuvwxyz234567", Tenant: "main", Site: "north", Feed: "adt", Target: "odoo",
		Kind: "ADT^A08", SenderID: "S00ABCDEF123", Mapping: "hl7-adt-patient@4#0123456789ab", Key: "abcdefghijklmnopqrstuvwxyz", Verdict: broker.Apply,
		ReceivedAt: time.Date(2026, 3, 14, 15, 9, 26, 535897932, time.UTC), MappedAt: time.Date(2026, 3, 14, 15, 9, 27, 0, time.UTC), Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
	for _, id := range []string{"patient", "kin#1"} {
		vals := broker.Values{"active": true, "credit_limit": json.Number("100.50"), "function": nil,
			"country_id": map[string]any{"$ref": "res.country", "by": map[string]any{"code": "US"}, "on_none": "skip"},
			"state_id":   map[string]any{"$ref": "res.country.state", "by": map[string]any{"code": "IL", "country_id.code": "US"}, "on_none": "skip"}}
		for _, f := range []string{"name", "street", "street2", "city", "zip", "phone", "mobile", "email", "lang", "ref", "comment", "x_birth_date"} {
			vals[f] = "a value of " + f
		}
		u.Ops = append(u.Ops, broker.Operation{ID: id, Model: "res.partner", Do: "upsert", XID: "north.patient_1234567", Vals: vals,
			OnCreate: broker.Values{"company_type": "person"}})
	}
	return u
}

func BenchmarkEncode(b *testing.B) {
	u := benchmarkUnit()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := u.Encode(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeUnit(b *testing.B) {
	data, _ := benchmarkUnit().Encode()
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := broker.DecodeUnit(data); err != nil {
			b.Fatal(err)
		}
	}
}
