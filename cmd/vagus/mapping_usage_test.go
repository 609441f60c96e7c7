package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestWhatCanNotBeUsedIsNamedWithWhatToDo(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	empty, noise, mine := filepath.Join(dir, "empty"), filepath.Join(dir, "noise.map.yaml"), north+"adt-patient.map.yaml"
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(noise, []byte("\x00\xff\x1b]0;x\x07\xfe"), 0o600); err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(dir, "none")
	for _, c := range []struct {
		want string
		args []string
	}{
		{"there is no file or directory " + none, []string{"lint", none}},
		{"there is no file or directory " + none, []string{"test", none}},
		{"there is no file or directory " + none, []string{"docs", none}},
		{"there is no file or directory " + none, []string{"mutate", none}},
		{"there is no file or directory " + none, []string{"render", none}},
		{"there is no file or directory " + none, []string{"run", none, "-i", noise}},
		{"there is no file or directory " + none, []string{"run", mine, "-i", none}},
		{"there is no file or directory " + none, []string{"diff", mine, none, "--replay", empty}},
		{"there is no file or directory " + none, []string{"diff", mine, mine, "--replay", none}},
		{"there is no file or directory " + none, []string{"scrub", none}},
		{"there is no file or directory " + none, []string{"new", "--from", none, "--model", "res.partner"}},
		{"there is no file or directory " + none, []string{"snapshot", "diff", none, none}},
		{empty + " is a directory: name a file", []string{"run", mine, "-i", empty}},
		{empty + " is a directory: name a file", []string{"run", empty, "-i", noise}},
		{empty + " is a directory: name a file", []string{"scrub", empty}},
		{empty + " is a directory: name a file", []string{"new", "--from", empty, "--model", "res.partner"}},
		{empty + " holds no message", []string{"diff", mine, mine, "--replay", empty}},
		{"no file that ends in .test.yaml in " + empty, []string{"test", empty}},
		{noise + ": this is no message of a format that shows", []string{"new", "--from", noise, "--model", "res.partner"}},
		{noise + ":1:", []string{"mutate", noise}},
		{noise + ":1:", []string{"docs", noise}},
		{noise + ":1:", []string{"render", noise}},
		{filepath.Join(empty, "x.map.yaml") + ":1:1: error", []string{"bundle", empty, "--release", "1", "--out", filepath.Join(dir, "b.vmb")}},
	} {
		if c.args[0] == "bundle" {
			if err := os.WriteFile(filepath.Join(empty, "x.map.yaml"), []byte("x"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		out, err, code := vagusMapping(t, c.args...)
		if code != 1 || !strings.Contains(err, c.want) {
			t.Errorf("%v: %d, want %q in\n%s", c.args, code, c.want, err)
		}
		if strings.ContainsAny(out+err, "\x00\x1b\x07") {
			t.Errorf("%v writes what steers a terminal: %q", c.args, out+err)
		}
	}
	out, _, code := vagusMapping(t, "diff", mine, mine, "--replay", north+"in/a08.hl7")
	if code != 0 || !strings.Contains(out, "1 message replayed, 1 gives the same unit") && !strings.Contains(out, "1 message replayed, 1 give") {
		t.Errorf("one file: %d\n%s", code, out)
	}
}
