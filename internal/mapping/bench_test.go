package mapping

import (
	"os"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func BenchmarkRunADT(b *testing.B) {
	m, err := Load(os.DirFS("../../mappings"), "examples/north/01-hl7-adt/adt-patient.map.yaml", []tree.Format{fakeFormat{}})
	if err != nil {
		b.Fatal(err)
	}
	body, err := os.ReadFile("../../mappings/examples/north/01-hl7-adt/in/a08.hl7")
	if err != nil {
		b.Fatal(err)
	}
	msg, err := fakeFormat{}.Decode(body)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if res := m.Run(b.Context(), msg); len(res.Ops) != 3 {
			b.Fatal(res.Reason)
		}
	}
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(os.DirFS("../../mappings"), "examples/north/01-hl7-adt/adt-patient.map.yaml", []tree.Format{fakeFormat{}}); err != nil {
			b.Fatal(err)
		}
	}
}
