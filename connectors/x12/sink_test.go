package x12

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

// A tray keeps what was left in it.
type tray struct {
	files map[string]string
	away  error
}

func (t *tray) Write(_ context.Context, name string, body []byte) error {
	if t.away == nil {
		t.files[name] = string(body)
	}
	return t.away
}

func (t *tray) MakeDir(context.Context, string) error { return t.away }

func orderUnit(id, set, doc string) *broker.Unit {
	return &broker.Unit{ID: id, Ops: []broker.Operation{{ID: "document", Model: set, Do: "emit", Format: "x12", Document: []byte(doc)}}}
}

func TestASinkLeavesEachDocumentOnceUnderItsOwnNumber(t *testing.T) {
	t.Parallel()
	dir, in := t.TempDir(), &tray{files: map[string]string{}}
	open := func() (*Sink, *Register) {
		r, err := OpenRegister(dir)
		if err != nil {
			t.Fatal(err)
		}
		s, err := NewSink(SinkConfig{Partner: Partner{Name: "meridian", ID: "ZZ:MERID", Own: "ZZ:NORTHHOSP"}, Version: "004010", Register: r}, in)
		if err != nil {
			t.Fatal(err)
		}
		return s, r
	}
	s, r := open()
	a, b := orderUnit("a", "850", "BEG*00*SA*P1**20260504~CTT*1~"), orderUnit("b", "860", "BCH*04*SA*P1***20260504~")
	out, err := s.Apply(t.Context(), []*broker.Unit{a, orderUnit("x", "111", "BEG*00~"), {ID: "r", Ops: []broker.Operation{{Do: "upsert"}}}, b})
	if err != nil || out[0].Result != broker.Applied || out[1].Result != broker.Rejected || out[2].Class != "x12.not_a_document" || out[3].Result != broker.Applied {
		t.Fatalf("%v %v", out, err)
	}
	first := maps.Clone(in.files)
	if len(first) != 2 || !strings.Contains(first["850-000000001.edi"], "*000000001*0*P*>~GS*PO*") || !strings.Contains(first["850-000000001.edi"], "BEG*00*SA*P1**20260504~") {
		t.Errorf("the partner has %v", slices.Sorted(maps.Keys(first)))
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	s, r = open() // after a crash the same units are the same interchanges
	defer r.Close()
	in.away = errors.New("the folder is away")
	if _, err := s.Apply(t.Context(), []*broker.Unit{b}); err == nil || s.Check(t.Context()) == nil {
		t.Error("a folder that is away is no error")
	}
	in.away = nil
	if out, err := s.Apply(t.Context(), []*broker.Unit{b, a}); err != nil || out[0].Result != broker.Applied || s.Check(t.Context()) != nil || !maps.Equal(in.files, first) {
		t.Errorf("again: %v %v %v", out, err, slices.Sorted(maps.Keys(in.files)))
	}
	for _, bad := range []SinkConfig{{Partner: Partner{ID: "ZZ:A", Own: "ZZ:B"}}, {Partner: Partner{ID: "*", Own: "ZZ:B"}, Version: "004010"}, {Partner: Partner{ID: "A", Own: "ZZ:B"}, Version: "004010"}} {
		if _, err := NewSink(bad, in); err == nil {
			t.Errorf("%+v is taken", bad.Partner)
		}
	}
}
