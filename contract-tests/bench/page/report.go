// Package page holds what a run of bench -scale found, and draws the page of results from it:
// README.md and the charts of contract-tests/bench/results.
package page

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// A Report is one run on one machine.
type Report struct {
	At      time.Time `json:"at"`
	Commit  string    `json:"commit"`
	Short   bool      `json:"short,omitempty"` // in smaller sizes than the targets say
	Machine Machine   `json:"machine"`
	Took    float64   `json:"took_s"`
	Parts   []Part    `json:"parts"`
}

// A Machine is what the figures were measured on. It has no name.
type Machine struct {
	System     string  `json:"system"`
	Kernel     string  `json:"kernel"`
	CPU        string  `json:"cpu"`
	Cores      int     `json:"cores"`
	MemoryGB   float64 `json:"memory_gb"`
	Fsyncs     float64 `json:"fsyncs_per_s"` // of 4 KB that one writer appends, one after the other
	Disk       string  `json:"disk"`         // file system
	Go         string  `json:"go"`
	PostgreSQL string  `json:"postgresql"`
	Load       float64 `json:"load_before"` // of others, in cores, while the machine was described
}

// A Part is what one of the measurements found.
type Part struct {
	Name    string   `json:"name"`
	What    string   `json:"what"` // a sentence: what was done, in which size
	Took    float64  `json:"took_s"`
	Error   string   `json:"error,omitempty"` // it ended with this: figures may lack
	Figures []Figure `json:"figures"`
	Charts  []Chart  `json:"charts,omitempty"`
}

// A Figure is one number. With a target it says whether that was met.
type Figure struct {
	Name   string  `json:"name"`
	Value  float64 `json:"value"`
	Unit   string  `json:"unit"`
	Target string  `json:"target,omitempty"`
	Met    *bool   `json:"met,omitempty"`
}

// A Chart is a drawing: lines over a numeric axis, or stacked bars, one for each label.
type Chart struct {
	ID     string   `json:"id"` // its file's name without .svg
	Title  string   `json:"title"`
	X      string   `json:"x"`                // what is at the horizontal axis, with its unit
	Y      string   `json:"y"`                // what is at the vertical one
	LogX   bool     `json:"log_x,omitempty"`  // each doubling is as wide
	LogY   bool     `json:"log_y,omitempty"`  // each tenfold is as high
	Labels []string `json:"labels,omitempty"` // of bars; none: lines
	Series []Series `json:"series"`
}

// A Series is a line, or one colour of the bars.
type Series struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"` // x and y; x of a bar is the index of its label
}

// Name is the file's name of a report: its day and its machine.
func (r *Report) Name() string {
	words := strings.FieldsFunc(strings.ToLower(r.Machine.CPU), func(c rune) bool { return (c < 'a' || c > 'z') && (c < '0' || c > '9') })
	words = slices.DeleteFunc(words, func(w string) bool { return w == "r" || w == "tm" || w == "cpu" || w == "processor" || w == "core" })
	return fmt.Sprintf("%s-%dx-%s.json", r.At.Format(time.DateOnly), r.Machine.Cores, strings.Join(words[:min(4, len(words))], "-"))
}

// Read reads a report.
func Read(file string) (*Report, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	r := &Report{}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(r); err != nil {
		return nil, fmt.Errorf("%s is not a report of bench -scale: %w", file, err)
	}
	return r, nil
}

// Write writes a report into a directory of results and draws the page from it.
func Write(dir string, r *Report) (file string, err error) {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	file = filepath.Join(dir, r.Name())
	if err := os.WriteFile(file, append(data, '\n'), 0o644); err != nil {
		return "", err
	}
	return file, Draw(file)
}

// Draw draws the page beside a report, from that report alone, and removes the charts that
// it has not.
func Draw(file string) error {
	r, err := Read(file)
	if err != nil {
		return err
	}
	dir := filepath.Dir(file)
	files := Files(r, filepath.Base(file), notes(dir))
	old, err := filepath.Glob(filepath.Join(dir, "*.svg"))
	if err != nil {
		return err
	}
	for _, f := range old {
		if _, kept := files[filepath.Base(f)]; !kept {
			err = errors.Join(err, os.Remove(f))
		}
	}
	for name, text := range files {
		err = errors.Join(err, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return err
}

// Newest is the report that the page of a directory is of.
func Newest(dir string) (string, error) {
	all, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(all) == 0 {
		return "", errors.Join(err, fmt.Errorf("there is no report in %s", dir))
	}
	slices.Sort(all)
	return all[len(all)-1], nil
}

// notes are the notes of a directory: what was changed because of which profile.
func notes(dir string) (names []string) {
	all, _ := filepath.Glob(filepath.Join(dir, "notes-*.md"))
	for _, n := range all {
		names = append(names, filepath.Base(n))
	}
	return names
}
