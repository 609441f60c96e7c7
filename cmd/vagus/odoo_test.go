package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/mappings"
)

// odoos starts a simulated Odoo and returns its address.
func odoos(t *testing.T, c simulated.Config) (*simulated.Server, string) {
	t.Helper()
	s := simulated.New(c)
	url, err := s.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s, url
}

// vagusOdoo runs `vagus odoo …` and returns its exit code.
func (r *run) vagusOdoo(t *testing.T, args ...string) int {
	t.Helper()
	var c odooCmd
	p, err := kong.New(&c, kong.Name("vagus odoo"), kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if err != nil {
		t.Fatal(err)
	}
	cmd, err := p.Parse(args)
	if err != nil {
		t.Fatalf("vagus odoo %s: %v", strings.Join(args, " "), err)
	}
	return r.console.fail(cmd.Run(r.console))
}

var varies = regexp.MustCompile(`\d+ ms|\d+/s|127\.0\.0\.1:\d+`)

// steady takes out of a check's output what differs from run to run.
func steady(s string) string {
	return varies.ReplaceAllStringFunc(s, func(m string) string {
		switch {
		case strings.HasSuffix(m, "ms"):
			return "N ms"
		case strings.HasSuffix(m, "/s"):
			return "N/s"
		}
		return "127.0.0.1:PORT"
	})
}

func TestEveryCommandTellsOdooItsVersion(t *testing.T) {
	t.Parallel()
	agents := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case agents <- r.UserAgent():
		default:
		}
	}))
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "up.yaml")
	for path, text := range map[string]string{key: "k", file: "site: north\nfeeds:\n  - { name: adt, target: odoo, mappings: [\"builtin:admissions/adt-patient.map.yaml\"], hl7: { listen: \"127.0.0.1:0\" } }\n" +
		"targets:\n  odoo: { odoo: { url: " + srv.URL + ", database: demo, user: vagus, key: { file: key } } }\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	check := func(args ...string) func() {
		return func() { newRun(t.Context()).vagusOdoo(t, append([]string{"check"}, args...)...) }
	}
	for name, run := range map[string]func(){
		"check by address": check("--url", srv.URL, "--database", "demo", "--user", "vagus", "--key-file", key),
		"check by a file":  check("-c", file),
		"snapshot pull": func() {
			vagusMapping(t, "snapshot", "pull", "--url", srv.URL, "--db", "demo", "--user", "vagus", "--key-file", key, "--model", "res.partner")
		},
	} {
		run()
		select {
		case got := <-agents:
			if got != "vagus/"+version {
				t.Errorf("%s: User-Agent %q", name, got)
			}
		default:
			t.Errorf("%s: Odoo was not asked", name)
		}
	}
}

func TestOdooCheckTellsAllAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right, wrong := file("key", "simulated\n"), file("wrong", "nothing\n")
	for _, c := range []struct {
		name string
		sim  simulated.Config
		key  string
		args string
		code int
	}{
		{"odoo-check-well", simulated.Config{History: true}, right, "--database demo --user vagus --mappings ../../mappings/admissions/adt-patient.map.yaml", 1},
		{"odoo-check-little", simulated.Config{History: true, Users: []simulated.User{{Login: "few", Key: "simulated", NoModelData: true, ReadOnly: true}}}, right,
			"--database demo --user few --mappings ../../mappings/examples/north/01-hl7-adt", 2},
		{"odoo-check-addon", simulated.Config{History: true, Addon: true}, right, "--database demo --user vagus --mappings ../../mappings/admissions/adt-patient.map.yaml", 2},
		{"odoo-check-19", simulated.Config{History: true, Version: "19.0"}, right, "--database demo --user vagus --mappings ../../mappings/alternatives/odoo19", 1},
		{"odoo-check-key", simulated.Config{}, wrong, "--database demo --user vagus --mappings ../../mappings/admissions/adt-patient.map.yaml", 2},
		{"odoo-check-database", simulated.Config{History: true}, right, "--database other --user vagus --mappings ../../mappings/admissions/adt-patient.map.yaml", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			sim, url := odoos(t, c.sim)
			r := newRun(t.Context())
			r.console.width = 80
			args := append([]string{"check", "--url", url, "--key-file", c.key}, strings.Fields(c.args)...)
			if code := r.vagusOdoo(t, args...); code != c.code {
				t.Errorf("exit %d, want %d", code, c.code)
			}
			if len(sim.Effects()) > 0 {
				t.Errorf("it wrote: %v", sim.Effects())
			}
			golden(t, c.name, "$ vagus odoo check "+c.args+"\n"+steady(r.out.String())+"-- stderr\n"+r.err.String())
			for line := range strings.Lines(r.out.String()) {
				if n := len([]rune(strings.TrimRight(line, "\n"))); n > 80 {
					t.Errorf("%d characters: %s", n, line)
				}
			}
		})
	}
}

func TestTheShippedMappingsOfAnotherVersionAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, version string
		want          bool
	}{
		{"admissions/adt-patient.map.yaml", "18", true},
		{"admissions/adt-patient.map.yaml", "", true}, // the server is not there to be asked
		{"admissions/adt-patient.map.yaml", "19", false},
		{"alternatives/odoo19/admissions/adt-patient.map.yaml", "19", true},
		{"alternatives/odoo19/admissions/adt-patient.map.yaml", "18", false},
		{"billing/claim-837p.map.yaml", "19", true},
	} {
		if got := isFor(mappings.FS, c.name, c.version); got != c.want {
			t.Errorf("%s for %q: %v", c.name, c.version, got)
		}
	}
}
