package main

// near says whether an estimate is within a fifth of what was measured.
func near(ratio float64) bool { return ratio >= 0.8 && ratio <= 1.2 }

// resources are the figures of FHIR, and how well vagus size estimates.
func resources(runs map[string]run) (fs []figure) {
	for _, m := range []struct {
		name, run, unit, target string
		met                     func(float64) bool
	}{
		{"FHIR, a typed read to google/fhir's validating one", "contract-tests/fhir TypedReadToGoogles", "×google", "at least 5", func(v float64) bool { return v >= 5 }},
		{"FHIR bulk export of 100 MB", "connectors/fhir Export", "MB/s", "at least 20", func(v float64) bool { return v >= 20 }},
		{"FHIR bulk export of 100 MB, growth of what is resident", "connectors/fhir Export", "MB-grown", "under 100", func(v float64) bool { return v < 100 }},
		{"estimate of the site's disk to what it took", "contract-tests/endtoend Sizes", "journal-×", "0.8 to 1.2", near},
		{"estimate of the hub's disk", "contract-tests/endtoend Sizes", "hub-×", "0.8 to 1.2", near},
		{"estimate of the ledger's disk", "contract-tests/endtoend Sizes", "ledger-×", "0.8 to 1.2", near},
		{"estimate of the ledger's rows", "contract-tests/endtoend Sizes", "rows-×", "0.8 to 1.2", near},
		{"estimate of the agent's memory", "contract-tests/endtoend Sizes", "agent-memory-×", "0.8 to 1.2", near},
		{"estimate of the hub's memory", "contract-tests/endtoend Sizes", "hub-memory-×", "0.8 to 1.2", near},
		{"estimate of a worker's memory", "contract-tests/endtoend Sizes", "worker-memory-×", "0.8 to 1.2", near},
	} {
		if v, ok := runs[m.run][m.unit]; ok {
			met := m.met(v)
			fs = append(fs, figure{Name: m.name, Value: v, Unit: m.unit, Target: m.target, Met: &met})
		}
	}
	return fs
}
