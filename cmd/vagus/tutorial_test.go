package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"
	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/mappings"
)

// TestTheTutorialIsTrue does what mappings/README.md tells its reader to do:
// it writes the files of the page, changes them as the page changes them, runs
// its commands and compares what they print. With -update the page gets what
// they print now.
func TestTheTutorialIsTrue(t *testing.T) {
	page, text := open(t, "../../mappings/README.md")
	dir := t.TempDir()
	if err := os.CopyFS(dir, mappings.FS); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	retell(t, page, text, 8, func(kind, name, body string) {
		switch {
		case kind == "diff" && name != "":
			patch(t, name, body)
		case name != "":
			write(t, name, body)
		}
	})
}

// TestTheSizesOfThePageAreTrue runs the commands of deploy/SIZING.md.
func TestTheSizesOfThePageAreTrue(t *testing.T) {
	page, text := open(t, "../../deploy/SIZING.md")
	retell(t, page, text, 4, func(kind, _, _ string) { t.Errorf("a block of %q: nothing is known to do with it", kind) })
}

func open(t *testing.T, page string) (path, text string) {
	t.Helper()
	path, err := filepath.Abs(page)
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(data)
}

// retell goes over a page's blocks, runs the commands of those of the console, gives the others away,
// and compares the page with what it ought to be. It has to find so many commands.
func retell(t *testing.T, page, text string, least int, other func(kind, name, body string)) {
	t.Helper()
	var out strings.Builder
	commands := 0
	rest := text
	for {
		before, block, found := strings.Cut(rest, "\n```")
		out.WriteString(before)
		if !found {
			break
		}
		head, block, _ := strings.Cut(block, "\n")
		body, after, closed := strings.Cut("\n"+block, "\n```\n")
		if !closed {
			t.Fatalf("the block %q has no end", head)
		}
		body = strings.TrimPrefix(body, "\n") + "\n"
		if kind, name, _ := strings.Cut(head, " "); kind == "console" {
			n := 0
			body, n = transcript(t, body)
			commands += n
		} else {
			other(kind, name, body)
		}
		fmt.Fprintf(&out, "\n```%s\n%s```\n", head, body)
		rest = after
	}
	if commands < least {
		t.Fatalf("the page runs %d commands: it is not read as it was meant", commands)
	}
	if *update {
		if err := os.WriteFile(page, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(strings.Split(text, "\n"), strings.Split(out.String(), "\n")); d != "" {
		t.Errorf("%s is not what happens (go test ./cmd/vagus -run 'Tutorial|SizesOfThePage' -update writes it anew):\n%s", filepath.Base(page), d)
	}
}

func write(t *testing.T, name, body string) {
	t.Helper()
	if !fs.ValidPath(name) {
		t.Fatalf("%s is no place for a file", name)
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(body), 0o644); err != nil {
		t.Fatal(err)
	}
}

// patch changes a file as a diff without line numbers says. What it takes out
// and what it keeps must stand in the file exactly once.
func patch(t *testing.T, name, diff string) {
	t.Helper()
	var old, changed strings.Builder
	for _, line := range strings.SplitAfter(diff, "\n") {
		if line == "" {
			continue
		}
		if line[0] != '+' {
			old.WriteString(line[1:])
		}
		if line[0] != '-' {
			changed.WriteString(line[1:])
		}
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), old.String()); n != 1 {
		t.Fatalf("%s has this %d times, and a change needs it once:\n%s", name, n, old.String())
	}
	write(t, name, strings.Replace(string(text), old.String(), changed.String(), 1))
}

// took is how long something took, which no page can know.
var took = regexp.MustCompile(`\b([0-9.]+) (ms|s)\b`)

// transcript runs the commands of a block and returns the block as it ought to
// be, and how many they were.
func transcript(t *testing.T, block string) (string, int) {
	t.Helper()
	var out strings.Builder
	n := 0
	for _, line := range strings.Split(block, "\n") {
		command, ok := strings.CutPrefix(line, "$ vagus ")
		if !ok {
			continue
		}
		n++
		r := newRun(t.Context())
		var c cli
		p, err := kong.New(&c, kong.Name("vagus"), kong.Vars{"version": "test", "default_tenant": "main"}, kong.Exit(func(int) { t.Error("kong wants to exit") }))
		if err != nil {
			t.Fatal(err)
		}
		k, err := p.Parse(strings.Fields(command))
		if err != nil {
			t.Fatalf("%s: %v", command, err)
		}
		var status exitError
		if err := k.Run(r.console); err != nil && !errors.As(err, &status) {
			t.Fatalf("%s: %v", command, err)
		}
		fmt.Fprintf(&out, "%s\n%s", line, took.ReplaceAllString(r.out.String()+r.err.String(), "… $2"))
	}
	return out.String(), n
}
