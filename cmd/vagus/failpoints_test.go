package main

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker/failpoint"
)

func TestFailpointsAreListedWithWhatLiesOnBothSides(t *testing.T) {
	t.Parallel()
	for _, output := range []string{"table", "json"} {
		var out bytes.Buffer
		if err := (&failpointsCmd{Output: output}).Run(&console{ctx: t.Context(), out: &out, err: io.Discard}); err != nil {
			t.Fatal(err)
		}
		for _, p := range failpoint.All() {
			if !strings.Contains(out.String(), p.Name()) || !strings.Contains(out.String(), p.Done()) || !strings.Contains(out.String(), p.Open()) {
				t.Errorf("%s does not say %s: %s", output, p.Name(), out.String())
			}
		}
		if output == "json" {
			var all []struct{ Name, Done, Open string }
			if err := json.Unmarshal(out.Bytes(), &all); err != nil || len(all) < 30 {
				t.Errorf("%d points: %v", len(all), err)
			}
		}
	}
}

// With this set the test binary is vagus.
const asVagus = "VAGUS_TEST_AS_VAGUS"

func TestMain(m *testing.M) {
	if os.Getenv(asVagus) != "" {
		os.Exit(execute(os.Args[1:]))
	}
	os.Exit(m.Run())
}

func TestAnArmedProcessSaysSoAndAnUnknownPointIsRefused(t *testing.T) {
	t.Parallel()
	for arms, want := range map[string]struct {
		says string
		fine bool
	}{
		"":                    {"", true},
		"journal.synced=kill": {"vagus: WARNING: this process is armed to end itself: VAGUS_FAILPOINT=journal.synced=kill\n", true},
		"journal.sync=kill":   {"there is no point \"journal.sync\"; there are journal.appended, ", false},
	} {
		cmd := exec.Command(os.Args[0], "failpoints", "-o", "json")
		cmd.Env = append(os.Environ(), asVagus+"=1", failpoint.Env+"="+arms)
		var said strings.Builder
		cmd.Stderr = &said
		err := cmd.Run()
		if (err == nil) != want.fine || !strings.Contains(said.String(), want.says) || want.says == "" && said.Len() > 0 {
			t.Errorf("armed with %q it says %q: %v", arms, said.String(), err)
		}
	}
}
