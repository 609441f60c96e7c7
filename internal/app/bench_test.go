package app_test

import (
	"context"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/app/demo"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

// BenchmarkMap turns admissions, as the benchmarks of the whole way send them,
// into encoded units: what an agent does between its journal and the link.
func BenchmarkMap(b *testing.B) {
	m, err := mapping.Load(mappings.FS, "admissions/adt-patient.map.yaml", app.Formats())
	if err != nil {
		b.Fatal(err)
	}
	units, err := app.UnitsOf(config.Feed{Name: "adt", Target: "odoo", HL7: &hl7.Config{}}, m)
	if err != nil {
		b.Fatal(err)
	}
	origin := broker.Origin{Tenant: "main", Site: "north", Feed: "adt"}
	admissions := demo.NewAdmissions(1, 500)
	ms := make([]*broker.Message, 256)
	for i := range ms {
		a := admissions.Next()
		ms[i] = origin.Message("hl7v2", "ADT^A08", a.ControlID, time.Now().UTC(), a.Body)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		us, err := units(context.Background(), ms[i%len(ms)])
		if err != nil || len(us) != 1 || us[0].Verdict != broker.Apply {
			b.Fatal(err, us)
		}
		if _, err := us[0].Encode(); err != nil {
			b.Fatal(err)
		}
	}
}
