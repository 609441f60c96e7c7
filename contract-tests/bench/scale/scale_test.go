package scale

import (
	"io"
	"os"
	"testing"

	"github.com/vagus-health/vagus/contract-tests/bed"
	"github.com/vagus-health/vagus/contract-tests/bench/page"
)

// TestMain: the test binary is every process that a measurement starts.
func TestMain(m *testing.M) {
	Role()
	bed.Role()
	os.Exit(m.Run())
}

// What is measured here is the machine's; that each figure is there and can be what it
// says is ours.
func TestSmallSizesAreMeasured(t *testing.T) {
	t.Parallel()
	r, err := Run(t.Context(), Options{Short: true, Parts: []string{"accept", "poison"}, Dir: t.TempDir(), Progress: &Progress{W: io.Discard}})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{
		"accept": {"agent ready, from nothing", "1 connections, rate", "512 connections, 99th of 100", "512 connections, agent's processor time", "64 connections, agent resident"},
		"poison": {"other patients' messages that are late"},
	}
	if len(r.Parts) != len(want) {
		t.Fatalf("%d parts", len(r.Parts))
	}
	for _, p := range r.Parts {
		if p.Error != "" || p.Took <= 0 {
			t.Errorf("%s: %s", p.Name, p.Error)
		}
		have := map[string]page.Figure{}
		for _, f := range p.Figures {
			have[f.Name] = f
			if f.Met != nil {
				t.Errorf("%s, %s: judged at a small size", p.Name, f.Name)
			}
		}
		for _, name := range want[p.Name] {
			if f, ok := have[name]; !ok || f.Value < 0 || f.Value == 0 && p.Name == "accept" {
				t.Errorf("%s: %s is %v, %t", p.Name, name, f.Value, ok)
			}
		}
		if len(p.Charts) == 0 {
			t.Errorf("%s: nothing to draw", p.Name)
		}
	}
	if r.Machine.Cores == 0 || r.Commit == "" {
		t.Errorf("where it was measured is not known: %+v, commit %q", r.Machine, r.Commit)
	}
}

func TestAPartThatThereIsNotIsRefused(t *testing.T) {
	t.Parallel()
	if _, err := Run(t.Context(), Options{Parts: []string{"speed"}}); err == nil {
		t.Error("it is taken")
	}
}
