package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/vagus-health/vagus/internal/mapping/workbench"
	"github.com/vagus-health/vagus/mappings"
)

func TestCommandsThatWriteFilesTellProgramsWhich(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	if err := os.CopyFS(in("maps"), mappings.FS); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(in("maps"), "examples")); err != nil {
		t.Fatal(err)
	}
	message := filepath.Join(in("maps"), "admissions", "in", "a01-full.hl7")
	for _, c := range []struct {
		wants []string
		args  []string
	}{
		{[]string{`"files": [`, `"rules": `, `"candidates": `, `x.map.yaml"`}, []string{"new", "--from", message, "--model", "res.partner", "--id", "x", "--out", in("new")}},
		{[]string{`"files": [`, `index.html"`}, []string{"docs", filepath.Join(in("maps"), "admissions"), "--out", in("pages")}},
		{[]string{`"file": `, `"replaced": `, `"kept": `}, []string{"scrub", message, "--out", in("clean")}},
		{[]string{`"private": `, `k.key"`, `k.pub"`}, []string{"keygen", in("k")}},
		{[]string{`"name": "maps"`, `"version": 2`, `"signed": true`}, []string{"bundle", in("maps"), "--out", in("b.vmb"), "--release", "2", "--key", in("k.key")}},
	} {
		out, code := author(t, append(c.args, "-o", "json")...)
		if code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%s: %d, not one JSON value:\n%s", c.args[0], code, out)
		}
		for _, want := range c.wants {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %s in\n%s", c.args[0], want, out)
			}
		}
	}
	for _, args := range [][]string{{"docs", in("maps")}, {"scrub", message}} {
		if out, code := author(t, append(args, "-o", "json")...); code != 1 || !strings.Contains(out, "--out DIR") {
			t.Errorf("%s: %d %s", args[0], code, out)
		}
	}
}

func TestWhatIsWrongWithAMappingIsToldToProgramsToo(t *testing.T) {
	t.Parallel()
	dir := copyOf(t, patientMap, "gender: ", "gendre: ")
	faulty := filepath.Join(dir, patientMap)
	for _, args := range [][]string{
		{"run", faulty, "-i", north + "in/a08.hl7"}, {"diff", faulty, faulty, "--replay", north + "in"}, {"mutate", faulty},
		{"docs", faulty, "--out", filepath.Join(dir, "pages")}, {"bundle", dir, "--release", "1", "--out", filepath.Join(dir, "x.vmb")},
	} {
		out, stderr, code := vagusMapping(t, append(args, "-o", "json")...)
		var said struct {
			Issues []struct {
				File, Code string
				Line       int
			}
		}
		if err := json.Unmarshal([]byte(out), &said); err != nil || code != 1 || stderr != "" || len(said.Issues) == 0 {
			t.Errorf("%s: %d %v\n%s%s", args[0], code, err, out, stderr)
			continue
		}
		if i := said.Issues[0]; i.File != faulty || i.Line != 58 || i.Code != "odoo-field" {
			t.Errorf("%s: %+v", args[0], i)
		}
	}
}

func TestResultsOfTestsStayWithinTheWidth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, mappings.FS); err != nil {
		t.Fatal(err)
	}
	b, err := mappingRoot{Root: dir}.bench()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, n := range []string{"adt-merge", "adt-patient"} {
		names = append(names, "examples/north/01-hl7-adt/"+n+".test.yaml")
	}
	b.Show = nil
	for _, width := range []int{80, 100} {
		var out strings.Builder
		screen := workbench.Screen{W: &out, Width: width}
		rep, err := b.Test(t.Context(), names, workbench.TestOptions{}, func(f workbench.FileTest) {
			for i := range f.Cases {
				f.Cases[i].Name = strings.Repeat("a long name ", 9)
				f.Cases[i].Updated = "a/directory/of/goldens/case.json"
			}
			f.Print(screen)
		})
		if err != nil {
			t.Fatal(err)
		}
		rep.Print(screen, true, 0)
		for line := range strings.Lines(out.String()) {
			if n := utf8.RuneCountInString(strings.TrimRight(line, "\n")); n > width {
				t.Errorf("%d characters of %d: %s", n, width, line)
			}
		}
	}
}
