package fhir_test

import "testing"

func BenchmarkDecodeBundle(b *testing.B) {
	d, body := dialect(b), readFile(b, "testdata/bundle.json")
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(body, nil); err != nil {
			b.Fatal(err)
		}
	}
}
