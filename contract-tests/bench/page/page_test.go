package page

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// results are the reports of this project.
const results = "../results"

func TestThePageIsDrawnFromItsReport(t *testing.T) {
	t.Parallel()
	if all, _ := filepath.Glob(results + "/*.json"); len(all) == 0 {
		if drawn, _ := filepath.Glob(results + "/*.svg"); len(drawn) > 0 {
			t.Error("there are charts, and no report that they are drawn from")
		}
		return
	}
	file, err := Newest(results)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Read(file)
	if err != nil {
		t.Fatal(err)
	}
	if r.Name() != filepath.Base(file) {
		t.Errorf("%s is to be called %s", filepath.Base(file), r.Name())
	}
	for name, want := range Files(r, filepath.Base(file), notes(results)) {
		if got, err := os.ReadFile(filepath.Join(results, name)); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what %s gives (%v): go run ./contract-tests/bench -draw contract-tests/bench/results/%[2]s", name, filepath.Base(file), err)
		}
	}
}

func TestAPageTellsWhatWasNotMetAndWhatFailed(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	r := &Report{At: time.Date(2026, 3, 1, 4, 0, 0, 0, time.UTC), Machine: Machine{CPU: "Some(R) CPU @ 3 GHz", Cores: 2}, Parts: []Part{
		{Name: "one", Figures: []Figure{{Name: "fast", Value: 12345.6, Unit: "msg/s", Target: "at least 1", Met: &yes}, {Name: "slow", Value: 0.5, Unit: "ms", Target: "at most 0.1", Met: &no}}},
		{Name: "two", Error: "it broke", Charts: []Chart{
			{ID: "lines", Title: "a < b", X: "x", Y: "y", LogX: true, LogY: true, Series: []Series{{Name: "s", Points: [][2]float64{{1, 10}, {8, 2000}}}, {Name: "t & u", Points: [][2]float64{{1, 1}}}}},
			{ID: "bars", Labels: []string{"8", "64"}, Series: []Series{{Name: "s", Points: [][2]float64{{0, 5}, {1, 7}}}}},
			{ID: "none"},
		}},
	}}
	if got, want := r.Name(), "2026-03-01-2x-some-3-ghz.json"; got != want {
		t.Errorf("its file is %s, want %s", got, want)
	}
	dir := t.TempDir()
	if _, err := Write(dir, r); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"| 12,346 msg/s | 🟢 met |", "| 0.50 ms | 🔴 not met |", "🔴 failed", "![a < b](lines.svg)"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("the page has no %q:\n%s", want, text)
		}
	}
	for _, id := range []string{"lines", "bars", "none"} {
		svg, err := os.ReadFile(filepath.Join(dir, id+".svg"))
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("%s has places that are no numbers: %s", id, svg)
		}
		for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", id, err)
			}
		}
	}
}
