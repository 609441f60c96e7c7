package app_test

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/config"
	"github.com/vagus-health/vagus/internal/mapping/bundle"
	"github.com/vagus-health/vagus/internal/ops"
)

// versioned writes its version into a field, so that a unit tells which one
// made it, and rejects messages that name it.
func versioned(id string, version int) string {
	return fmt.Sprintf(`kind: mapping
format: 1
id: %s
version: %d
title: A test
owner: vagus
source: { format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: [A08] } }
target: { odoo: "18.0", snapshot: snap.json }
idempotency: ["{MSH-10}"]
unit: resumable
egress: { allow: [identifier, national_id, admin] }
guards: [ { when: "v('PID-8') == 'v%d'", do: reject, because: its own name } ]
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{PID-3[first].1}" }
    fields: { ref: { value: "v%d" } }
`, id, version, version, version)
}

const versionedSnapshot = `{"odoo":"18.0","models":{"res.partner":{"name":{"type":"char"},"ref":{"type":"char"}}}}`

func versionedFiles(version int) bundle.Files {
	return bundle.Files{"snap.json": []byte(versionedSnapshot), "a.map.yaml": []byte(versioned("a", version)), "b.map.yaml": []byte(versioned("b", version))}
}

func put(t *testing.T, dir string, files bundle.Files) {
	t.Helper()
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// running is a whole Vagus whose site runs these mappings.
func running(t *testing.T, trust string, entries ...string) (*app.All, *safeLog) {
	t.Helper()
	cfg, log := one(t, entries...), &safeLog{}
	cfg.Mappings = config.Mappings{Every: 10 * time.Millisecond, Trust: config.KeyFile{File: trust}}
	cfg.Feeds[0].Validate = config.BeforeAck
	all, _ := start(t, cfg, log)
	return all, log
}

// event waits for the newest event of a result in EVENTS, and returns its data.
func event(t *testing.T, all *app.All, log *safeLog, result string) (data string) {
	t.Helper()
	js, err := jetstream.New(all.Worker.Conn())
	if err != nil {
		t.Fatal(err)
	}
	events, err := js.Stream(t.Context(), stream.Events)
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "the event "+result, log, func() bool {
		m, err := events.GetLastMsgForSubject(t.Context(), stream.AgentEvent("north", "mappings."+result))
		if err != nil || m.Header.Get("ce-type") != "health.vagus.mappings."+result {
			return false
		}
		data = string(m.Data)
		return true
	})
	return data
}

func mappingsOf(t *testing.T, all *app.All) ops.MappingStatus {
	t.Helper()
	s, err := all.Agent.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Mappings
}

var aMessage = &broker.Message{ID: "m", Tenant: "main", Site: "north", Feed: "adt", Kind: "ADT^A08", Body: []byte(message("A08", "M1"))}

// wrote is what the units of one message say of the mappings that made them:
// the version in their names and the one in their values.
func wrote(t *testing.T, all *app.All) (names, values []string) {
	t.Helper()
	units, err := all.Agent.Units(t.Context(), aMessage)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range units {
		name, _, _ := strings.Cut(u.Mapping, "#")
		_, version, _ := strings.Cut(name, "@")
		names = append(names, "v"+version)
		for _, op := range u.Ops {
			values = append(values, fmt.Sprint(op.Vals["ref"]))
		}
	}
	return names, values
}

// pack writes a bundle of one version in one step; without a key it is not signed.
func pack(t *testing.T, file string, version int, key ed25519.PrivateKey) {
	t.Helper()
	data, err := bundle.Pack(versionedFiles(version), bundle.Manifest{Name: "north", Version: version, Created: time.Now()}, key)
	if err != nil {
		t.Fatal(err)
	}
	temp := file + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, file); err != nil {
		t.Fatal(err)
	}
}

// The set is a bundle, since files that are written one by one are for a moment
// a set of two versions, which a signal (one reaches every agent of this
// process) takes as it is.
func TestMappingsAreReplacedWhileMessagesFlow(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "north.vmb")
	pack(t, file, 1, nil)
	all, log := running(t, "", file)
	named := strings.Replace(message("A08", "M9"), "Doe^Jane|||", "Doe^Jane|||v6", 1)
	if code := send(t, all.Agent, named); code != "AA" {
		t.Errorf("a message that version 1 takes is answered %s", code)
	}
	done, seen := make(chan struct{}), sync.Map{}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				names, values := wrote(t, all)
				if len(names) != 2 || len(values) != 2 || names[0] != names[1] || values[0] != names[0] || values[1] != names[0] {
					t.Errorf("one message was mapped by %v, and written %v", names, values)
					return
				}
				seen.Store(names[0], true)
			}
		})
	}
	for v := 2; v <= 6; v++ {
		pack(t, file, v, nil)
		eventually(t, fmt.Sprint("version ", v), log, func() bool { _, ok := seen.Load(fmt.Sprint("v", v)); return ok })
	}
	close(done)
	wg.Wait()
	if st := mappingsOf(t, all); st.Problem != "" || st.Set == "" {
		t.Errorf("%+v", st)
	}
	if code := send(t, all.Agent, named); code != "AR" {
		t.Errorf("a message that version 6 rejects is answered %s", code)
	}
}

func TestABrokenMappingIsRefusedWhereEverybodyCanSeeIt(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, versionedFiles(1))
	all, log := running(t, "", filepath.Join(dir, "a.map.yaml"), filepath.Join(dir, "b.map.yaml"), builtin)
	set := mappingsOf(t, all).Set
	put(t, dir, bundle.Files{"b.map.yaml": []byte(strings.Replace(versioned("b", 2), "ref:", "reff:", 1)), "a.map.yaml": []byte(versioned("a", 2))})
	eventually(t, "the refusal", log, func() bool { return mappingsOf(t, all).Problem != "" })
	st := mappingsOf(t, all)
	at := filepath.Join(dir, "b.map.yaml") + ":18:"
	if st.Set != set || !strings.HasPrefix(st.Problem, at) {
		t.Errorf("%+v, want %s", st, at)
	}
	if names, _ := wrote(t, all); names[0] != "v1" || names[1] != "v1" {
		t.Errorf("in force are %v", names)
	}
	eventually(t, "the log", log, func() bool {
		return strings.Contains(log.String(), "mappings refused, those in force stay") && strings.Contains(log.String(), at)
	})
	client, err := ops.NewClient("http://"+all.OpsAddr(), broker.NewSecret(secret), "test")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "a verdict", log, func() bool {
		s, err := client.Status(t.Context())
		return err == nil && s.Sites[0].LinkUp && s.Sites[0].Verdict.Level == ops.Attention && strings.Contains(s.Sites[0].Verdict.Text, at)
	})
	for path, want := range map[string][]string{"/metrics": {`vagus_mapping_reloads_total{result="refused"} `, `vagus_mapping_set_info{hash="` + set + `",kept="false"} 1`}, "/readyz": {`"name":"mappings","ok":false,"advisory":true`}} {
		r, err := http.Get("http://" + all.OpsAddr() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(r.Body)
		_ = r.Body.Close()
		for _, w := range want {
			if r.StatusCode != http.StatusOK || !strings.Contains(string(body), w) {
				t.Errorf("%s answers %d and has no %s", path, r.StatusCode, w)
			}
		}
	}
	if e := event(t, all, log, "refused"); e != `{"set":"`+set+`"}` {
		t.Errorf("the event says %s, which is to be the set alone", e)
	}
	put(t, dir, versionedFiles(4))
	eventually(t, "a good set", log, func() bool {
		names, _ := wrote(t, all)
		return mappingsOf(t, all).Problem == "" && names[0] == "v4"
	})
	if e := event(t, all, log, "taken"); e != `{"set":"`+mappingsOf(t, all).Set+`"}` {
		t.Errorf("the event says %s", e)
	}
}

func TestASiteThatTrustsAKeyTakesItsBundlesOnly(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	private, public, err := bundle.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	key, err := bundle.PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file, trust := filepath.Join(dir, "north.vmb"), filepath.Join(dir, "site.pub")
	if err := os.WriteFile(trust, public, 0o600); err != nil {
		t.Fatal(err)
	}
	pack(t, file, 2, key)
	all, log := running(t, trust, file)
	hup := func(what, problem string) {
		t.Helper()
		if err := syscall.Kill(os.Getpid(), syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		eventually(t, what, log, func() bool { return strings.Contains(mappingsOf(t, all).Problem, problem) })
		if names, _ := wrote(t, all); names[0] != "v2" {
			t.Errorf("%s: in force are %v", what, names)
		}
	}
	pack(t, file, 3, nil)
	hup("an unsigned bundle", "not signed")
	pack(t, file, 1, key)
	hup("an older bundle", "is older than 2")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	hup("no bundle", "no bundle")
	pack(t, file, 3, key)
	eventually(t, "the next version", log, func() bool { names, _ := wrote(t, all); return names[0] == "v3" })

	for name, c := range map[string]struct{ trust, entry, want string }{
		"no key":            {filepath.Join(dir, "none.pub"), file, "mappings.trust"},
		"of another format": {"", filepath.Join(dir, "x.map.yaml"), "none of its mappings is for that"},
	} {
		put(t, dir, versionedFiles(1))
		put(t, dir, bundle.Files{"x.map.yaml": []byte(strings.NewReplacer(`format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: [A08] }`, `format: csv, columns: { c: { type: text, phi: [none] } }`,
			"{MSH-10}", "{c}", "{PID-3[first].1}", "{c}", "PID-8", "c").Replace(versioned("x", 1)))})
		cfg := one(t, c.entry)
		cfg.Mappings.Trust.File = c.trust
		if all, err := app.StartAll(t.Context(), cfg, app.Options{Log: io.Discard}); err == nil {
			_ = all.Stop()
			t.Errorf("%s: it starts", name)
		} else if !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUnitsAreAtomicOnlyWhereTheTargetAppliesThemWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		said, addon bool
		mode        string
		want        string
	}{
		"a feed that does not say so":                        {false, true, "auto", "feed adt: mapping a is unit: atomic, which needs the addon of Odoo, and it is not said that target odoo can"},
		"a database without the addon":                       {true, false, "auto", "feed adt: mapping a is unit: atomic, which needs the addon of Odoo, and target odoo has no addon"},
		"a database with the addon":                          {true, true, "auto", ""},
		"a database with the addon, which is not to be used": {true, true, "off", "and target odoo has no addon"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			put(t, dir, bundle.Files{"snap.json": []byte(versionedSnapshot), "a.map.yaml": []byte(strings.Replace(versioned("a", 1), "unit: resumable", "unit: atomic", 1))})
			cfg := oneAt(t, simulated.Config{Addon: c.addon}, dir)
			cfg.Feeds[0].Atomic, cfg.Targets["odoo"].Odoo.Addon = c.said, c.mode
			all, err := app.StartAll(t.Context(), cfg, app.Options{Log: io.Discard})
			if err == nil {
				err = errors.Join(err, all.Stop())
			}
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestANewSetWithAtomicUnitsIsRefusedWhileTheOldOneStaysInForce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	put(t, dir, versionedFiles(1))
	all, log := running(t, "", dir)
	put(t, dir, bundle.Files{"a.map.yaml": []byte(strings.Replace(versioned("a", 2), "unit: resumable", "unit: atomic", 1))})
	eventually(t, "the refusal", log, func() bool { return strings.Contains(mappingsOf(t, all).Problem, "mapping a is unit: atomic") })
	if names, _ := wrote(t, all); names[0] != "v1" {
		t.Errorf("%v is in force", names)
	}
}
