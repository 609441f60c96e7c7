package mapping

import (
	"os"
	"syscall"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// BenchmarkRunADT maps the A08 of the examples: 36 rules, 8 expressions, 3
// operations, without decoding. cpu-ns/op is what it cost this process, which
// a busy machine does not distort.
func BenchmarkRunADT(b *testing.B) {
	m, err := Load(os.DirFS("../../mappings"), "examples/north/01-hl7-adt/adt-patient.map.yaml", []tree.Format{fakeFormat{}})
	if err != nil {
		b.Fatal(err)
	}
	body, err := os.ReadFile("../../mappings/examples/north/01-hl7-adt/in/a08.hl7")
	if err != nil {
		b.Fatal(err)
	}
	msg := decode(b, string(body))
	b.ReportAllocs()
	start, n := cpu(), 0
	for b.Loop() {
		n++
		if res := m.Run(b.Context(), msg); len(res.Ops) != 3 {
			b.Fatal(res.Reason)
		}
	}
	b.ReportMetric(float64(cpu()-start)/float64(n), "cpu-ns/op")
}

func cpu() int64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return u.Utime.Nano() + u.Stime.Nano()
}

func BenchmarkLoad(b *testing.B) {
	for b.Loop() {
		if _, err := Load(os.DirFS("../../mappings"), "examples/north/01-hl7-adt/adt-patient.map.yaml", []tree.Format{fakeFormat{}}); err != nil {
			b.Fatal(err)
		}
	}
}
