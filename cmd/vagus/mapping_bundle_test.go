package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

// author runs a command of those who write mappings and returns what it wrote
// and its exit code.
func author(t *testing.T, args ...string) (string, int) {
	t.Helper()
	var c struct {
		Mapping mappingCmd `cmd:""`
	}
	p, err := kong.New(&c, kong.Name("vagus"), kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := p.Parse(append([]string{"mapping"}, args...))
	if err != nil {
		t.Fatalf("vagus %s: %v", strings.Join(args, " "), err)
	}
	r := newRun(t.Context())
	code := r.console.fail(cmd.Run(r.console))
	return r.out.String() + r.err.String(), code
}

func TestMappingsArePackedSignedAndVerified(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	maps := in("maps")
	if err := os.CopyFS(maps, mappings.FS); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(filepath.Join(maps, "examples")); err != nil {
		t.Fatal(err)
	}
	expect := func(code int, want string, args ...string) string {
		t.Helper()
		got, is := author(t, args...)
		if is != code || !strings.Contains(got, want) {
			t.Errorf("vagus mapping %s: exit code %d, %s\nwant %d, %s", strings.Join(args, " "), is, got, code, want)
		}
		return got
	}
	expect(0, "mappings.trust", "keygen", in("site"))
	expect(1, "exists", "keygen", in("site"))
	if info, err := os.Stat(in("site.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the private key: %v, %v", info, err)
	}
	bundle := []string{"bundle", maps, "--out", in("north.vmb"), "--key", in("site.key"), "--release", "3", "--created", "2026-03-14T02:00:00Z"}
	expect(0, "bundle maps, version 3, signed", bundle...)
	first, err := os.ReadFile(in("north.vmb"))
	if err != nil {
		t.Fatal(err)
	}
	expect(0, "version 3", bundle...)
	if again, err := os.ReadFile(in("north.vmb")); err != nil || !bytes.Equal(first, again) {
		t.Error("packed twice it is not the same", err)
	}
	expect(0, "admissions/adt-patient.map.yaml", "verify", in("north.vmb"), "--trust", in("site.pub"))
	expect(0, "who made it was not checked", "verify", in("north.vmb"))
	var m struct {
		Version int
		Files   []any
	}
	if out := expect(0, "", "verify", in("north.vmb"), "-o", "json"); json.Unmarshal([]byte(out), &m) != nil || m.Version != 3 || len(m.Files) < 5 {
		t.Errorf("%s", out)
	}
	expect(0, "not signed", "bundle", maps, "--out", in("unsigned.vmb"), "--release", "1")
	expect(1, "is not signed", "verify", in("unsigned.vmb"), "--trust", in("site.pub"))
	expect(1, "this is a private key", "verify", in("north.vmb"), "--trust", in("site.key"))
	public, err := os.ReadFile(in("site.pub"))
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{string(public), strings.Split(string(public), "\n")[1]} {
		if out := expect(1, "write the key to a file and name that", "verify", in("north.vmb"), "--trust="+key); strings.Contains(out, key) {
			t.Error(out)
		}
	}
	expect(1, "no such file", "verify", in("north.vmb"), "--trust", in("none.pub"))
	expect(1, "environment variable NONE is empty", "bundle", maps, "--out", in("x.vmb"), "--release", "1", "--key", "env:NONE")
	expect(1, "version is a number from 1", "bundle", maps, "--out", in("x.vmb"), "--release", "0")
	if err := os.WriteFile(filepath.Join(maps, "admissions", "golden", "a01-full.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	expect(1, filepath.Join(maps, "admissions", "adt-patient.test.yaml")+":", "bundle", maps, "--out", in("x.vmb"), "--release", "1")
	if _, err := os.Stat(in("x.vmb")); err == nil {
		t.Error("a bundle was written that no site would take")
	}
}

func TestAMappingIsRenderedWithItsOrigins(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, mappings.FS); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "admissions", "adt-patient.map.yaml")
	out, code := author(t, "render", file)
	if code != 0 || !strings.Contains(out, "# "+file+":2\n") || !strings.Contains(out, filepath.Join("fragments", "hl7-xad-address.yaml")+":") {
		t.Errorf("%d %s", code, out)
	}
	var lines []mapping.Line
	if out, code := author(t, "render", file, "-o", "json"); code != 0 || json.Unmarshal([]byte(out), &lines) != nil || len(lines) < 20 || lines[0].File != file {
		t.Errorf("%d %s", code, out)
	}
	if err := os.WriteFile(file, []byte("kind: mapping\nextends: none.yaml\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, code := author(t, "render", file); code != 1 || !strings.Contains(out, file+":1:1") {
		t.Errorf("%d %s", code, out)
	}
}
