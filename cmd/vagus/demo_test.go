package main

import (
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTheDemoShowsEveryWayInAndOutIn100Columns(t *testing.T) {
	t.Parallel()
	r := newRun(t.Context())
	if err := (demoCmd{Messages: 6, Patients: 2, Output: "table", Log: filepath.Join(t.TempDir(), "log")}).Run(r.console); err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for line := range strings.SplitSeq(r.out.String()+r.err.String(), "\n") {
		if n := utf8.RuneCountInString(line); n > 100 {
			t.Errorf("%d columns: %s", n, line)
		}
		for _, source := range []string{"HL7 MLLP", "FHIR HTTP", "X12 SFTP", "CSV folder", "webhook ", "MLLP out"} {
			for _, status := range []string{" applied ", " skipped ", " refused "} {
				if strings.HasPrefix(line, source) && strings.Contains(line, status) {
					seen[source+status]++
				}
			}
		}
	}
	for row, want := range map[string]int{"HL7 MLLP applied ": 6 + 7, "HL7 MLLP skipped ": 1, "FHIR HTTP applied ": 3, "X12 SFTP applied ": 1, "X12 SFTP refused ": 1,
		"CSV folder applied ": 2, "CSV folder refused ": 1, "webhook  applied ": 1, "webhook  refused ": 1, "MLLP out applied ": 4} {
		if seen[row] != want {
			t.Errorf("%d rows of %q, want %d", seen[row], row, want)
		}
	}
	if t.Failed() {
		t.Logf("%s%s", r.err.String(), r.out.String())
	}
}
