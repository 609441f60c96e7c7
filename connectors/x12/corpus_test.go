package x12

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// anyone takes what everybody sends.
func anyone(tolerate ...string) Config {
	return Config{Split: SplitClaim, Partners: []Partner{{Name: "anyone", ID: Anyone, Tolerate: tolerate}}}
}

// TestEverythingIsAcceptedOrAnswered: testdata, and the corpora when they are given. What is refused without an
// answer has no ISA to answer to, or is an acknowledgment.
func TestEverythingIsAcceptedOrAnswered(t *testing.T) {
	t.Parallel()
	files := corpus(t)
	own, err := filepath.Glob("testdata/*.edi")
	if err != nil || len(own) == 0 {
		t.Fatalf("testdata: %v", err)
	}
	for _, path := range own {
		if files[path], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	for path, body := range files {
		if strings.HasSuffix(path, "expected.txt") {
			continue
		}
		t.Run(filepath.Base(path), func(t *testing.T) {
			t.Parallel()
			for _, c := range []Config{anyone(), anyone("counts", "control_numbers", "headers", "segments", "elements", "balance", "line_breaks")} {
				var s store
				receipt, err := open(t, c).Receive(t.Context(), broker.Delivery{Body: body, At: time.Now().UTC()}, s.accept)
				var reject *broker.RejectError
				if err != nil && !errors.As(err, &reject) {
					t.Fatal(err)
				}
				if receipt.Accepted+receipt.Refused == 0 || receipt.Accepted != len(s.messages) {
					t.Errorf("%d accepted, %d refused, %d messages", receipt.Accepted, receipt.Refused, len(s.messages))
				}
				if receipt.Refused > 0 && receipt.Answer == nil && reject.Code != "x12.syntax" {
					t.Errorf("%v, and no answer", err)
				}
				wellFormed(t, receipt.Answer)
			}
		})
	}
}

// TestWhatIsWrongIsToldWithItsPlaceAndCode: by files whose names, or the project that they are
// from, say what is wrong with them.
func TestWhatIsWrongIsToldWithItsPlaceAndCode(t *testing.T) {
	t.Parallel()
	files := corpus(t)
	for suffix, want := range map[string][]string{
		"pyx12/tests/834_ls_le_ls.txt":                              nil, // what it expects is in a file beside it
		"imsweb/837_5010/x12_loop_errors1_exceeds_max_1_parent.txt": {"IK3*NM1*13**4", "IK5*R*4*5"},
		"imsweb/837_5010/x12_loop_errors3_missing_loops.txt":        {"IK3*NM1*6**I7"},
		"imsweb/837_5010/x12_bad_segment_identifier.txt":            {"IK3*???*4**1", "IK3*ND4*9**1", "IK3*NM3*18**1", "IK3*PER*3**3"},
		"imsweb/837_5010/x12_missing_elements.txt":                  {"IK3*NM1*5**8 IK4*2*1065*1"},
		"imsweb/277_5010/x12_277_x212.txt":                          {"TA1*000000001*200107*2319*E*001", "IK5*A"},
		"imsweb/837_5010/x12_bad_first_line.txt":                    {"TA1*000000905*030101*1253*E*011"},
		"imsweb/837_5010/x12_multiple_gs.txt":                       {"TA1*000000905*030101*1253*E*021", "AK9*R*1*1*0*19"},
		"moov/example_5010_835/sample1.txt":                         {"IK3*CLP*16*2100*8 IK4*4*782*I12", "AK2*835*0002 IK5*A", "AK9*P*2*2*1"},
		"moov/example_5010_837p/sample.txt":                         {"IK3*N4*31**8 CTX*CLM01:1029353-03 IK4*3*116*I12*", "IK5*R*I5 AK9*R*1*1*0"},
		"moov/example_5010_837d/sample.txt":                         {"IK3*N4*9**8 IK4*3*116*I12*", "IK5*R*I5 AK9*R*1*1*0"},
		"staedi/x12/sample275_with_HL7_invalid_BIN01.edi":           {"IK3*BIN*15**8 IK4*1*784*6", "IK5*R*5"},
		"staedi/x12/sample275_with_HL7_valid_BIN01.edi":             {"IK5*A"},
		"node-x12/856.edi":                                          {"AK2*856*0008 AK5*A AK9*A*1*1*1"},
	} {
		i := slices.IndexFunc(sortedKeys(files), func(p string) bool { return strings.HasSuffix(p, suffix) })
		if i < 0 {
			if len(files) > 0 {
				t.Errorf("no file %s", suffix)
			}
			continue
		}
		path := sortedKeys(files)[i]
		receipt, err := open(t, anyone("counts", "control_numbers", "headers")).Receive(t.Context(), broker.Delivery{Body: files[path]}, new(store).accept)
		got := told(receipt.Answer)
		if want == nil {
			expected, readErr := os.ReadFile(strings.TrimSuffix(path, ".txt") + "_5010.999.txt")
			if readErr != nil {
				t.Fatal(readErr)
			}
			want = []string{told([]byte(strings.ReplaceAll(string(expected), "\n", "")))}
			if got != want[0] {
				t.Errorf("%s: %s, and it expects %s", suffix, got, want[0])
			}
		}
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%s: no %s in %s, %v", suffix, w, got, err)
			}
		}
	}
}

func sortedKeys(m map[string][]byte) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
