package fhir_test

import (
	"testing"
	"time"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/internal/tree"
)

// BenchmarkTypedReadToGoogles reads a message by the types of R4 into a tree,
// and the same one by google/fhir, which validates it: "×google" is how much
// faster the first is, in one run and in turns, so that a busy machine is busy for both.
func BenchmarkTypedReadToGoogles(b *testing.B) {
	d, err := fhir.NewFormat().Dialect(tree.Declaration{Version: "4.0.1"})
	if err != nil {
		b.Fatal(err)
	}
	u, err := jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
	if err != nil {
		b.Fatal(err)
	}
	body := readFile(b, "../../connectors/fhir/testdata/claim.json")
	var ours, theirs time.Duration
	rounds := 0
	for b.Loop() {
		began := time.Now()
		for range 10 {
			if _, err := d.Decode(body, nil); err != nil {
				b.Fatal(err)
			}
		}
		between := time.Now()
		for range 10 {
			if _, err := u.Unmarshal(body); err != nil {
				b.Fatal(err)
			}
		}
		ours, theirs = ours+between.Sub(began), theirs+time.Since(between)
		rounds += 10
	}
	b.ReportMetric(float64(theirs)/float64(ours), "×google")
	b.ReportMetric(float64(len(body)*rounds)/ours.Seconds()/1e6, "MB/s")
}
