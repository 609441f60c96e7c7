package main

// resources are the figures of FHIR.
func resources(runs map[string]run) (fs []figure) {
	for _, m := range []struct {
		name, run, unit, target string
		met                     func(float64) bool
	}{
		{"FHIR, a typed read to google/fhir's validating one", "contract-tests/fhir TypedReadToGoogles", "×google", "at least 5", func(v float64) bool { return v >= 5 }},
		{"FHIR bulk export of 100 MB", "connectors/fhir Export", "MB/s", "at least 20", func(v float64) bool { return v >= 20 }},
		{"FHIR bulk export of 100 MB, growth of what is resident", "connectors/fhir Export", "MB-grown", "under 100", func(v float64) bool { return v < 100 }},
	} {
		if v, ok := runs[m.run][m.unit]; ok {
			met := m.met(v)
			fs = append(fs, figure{Name: m.name, Value: v, Unit: m.unit, Target: m.target, Met: &met})
		}
	}
	return fs
}
