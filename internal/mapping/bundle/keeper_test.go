package bundle

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/fstest"
	"time"

	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/internal/tree"
)

var formats = []tree.Format{hl7.NewFormat()}

const theSnapshot = `{"odoo":"18.0","models":{"res.partner":{"name":{"type":"char"},"ref":{"type":"char"}}}}`

// theMapping writes the constant word into ref.
func theMapping(id string, version int, word string) string {
	return fmt.Sprintf(`kind: mapping
format: 1
id: %s
version: %d
title: A test
owner: vagus
source: { format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: [A08] } }
target: { odoo: "18.0", snapshot: ../snap.json }
idempotency: ["{MSH-10}"]
unit: resumable
egress: { allow: [identifier, national_id, admin] }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{PID-3[first].1}" }
    fields:
      ref: { value: "%s" }
`, id, version, word)
}

func theTests(word string) string {
	return fmt.Sprintf(`kind: tests
format: 1
mapping: adt.map.yaml
cases:
  - name: the word is written
    input: "MSH|^~\\&|A|NORTH|||20260314||ADT^A08^ADT_A01|M1|P|2.5.1\rPID|1||77\r"
    expect: { check: { p.ref: "%s" } }
`, word)
}

// A siteDir is a site's mapping files, its data directory and its keeper.
type siteDir struct {
	t    *testing.T
	dir  string // of the files
	cfg  Config
	log  *safeLog
	mets *sdkmetric.ManualReader
	now  chan os.Signal
	word atomic.Pointer[string] // of the set in force
	k    *Keeper
}

type safeLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *safeLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *safeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func newSite(t *testing.T, entries ...string) *siteDir {
	t.Helper()
	s := &siteDir{t: t, dir: t.TempDir(), log: &safeLog{}, now: make(chan os.Signal, 1)}
	for i, e := range entries {
		if !strings.HasPrefix(e, builtin) {
			entries[i] = filepath.Join(s.dir, e)
		}
	}
	s.write("snap.json", theSnapshot)
	s.cfg = Config{
		Feeds: map[string][]string{"adt": entries}, Formats: formats, Dir: t.TempDir(), Every: 5 * time.Millisecond, Now: s.now,
		Builtin: fstest.MapFS{"snap.json": {Data: []byte(theSnapshot)}, "a/own.map.yaml": {Data: []byte(theMapping("own", 1, "builtin"))}},
		Logger:  slog.New(slog.NewTextHandler(s.log, nil)),
		Prepare: func(set *Set) (func(), error) {
			m := set.Feeds["adt"][0]
			if m.Title == "refuse" {
				return nil, errors.New("this site does not run it")
			}
			o := m.Outline()
			word := strings.Join(o.Operations[0].Rules[0].How, " ")
			return func() { s.word.Store(&word) }, nil
		},
	}
	return s
}

func (s *siteDir) write(name, text string) {
	s.t.Helper()
	full := filepath.Join(s.dir, name)
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// pack writes a bundle of one mapping.
func (s *siteDir) pack(file, name string, version int, word string, key ed25519.PrivateKey) {
	s.t.Helper()
	files := Files{"snap.json": []byte(theSnapshot), "a/adt.map.yaml": []byte(theMapping("adt", version, word)), "a/adt.test.yaml": []byte(theTests(word))}
	data, err := Pack(files, Manifest{Name: name, Version: version, Created: time.Unix(1e9, 0)}, key)
	if err != nil {
		s.t.Fatal(err)
	}
	s.write(file, string(data))
}

// open starts a keeper; the one before it has ended.
func (s *siteDir) open() error {
	s.mets = sdkmetric.NewManualReader()
	meters := sdkmetric.NewMeterProvider(sdkmetric.WithReader(s.mets))
	s.cfg.Meter = meters.Meter("test")
	k, err := Open(s.t.Context(), s.cfg)
	s.k = k
	return err
}

func (s *siteDir) start() (stop func()) {
	s.t.Helper()
	if err := s.open(); err != nil {
		s.t.Fatal(err)
	}
	return s.run()
}

func (s *siteDir) run() (stop func()) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan error, 1)
	go func() { done <- s.k.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			s.t.Error(err)
		}
	}
}

func (s *siteDir) until(what string, ok func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("20 s passed without %s: %+v\n%s", what, s.k.Status(), s.log)
		}
	}
}

func (s *siteDir) inForce() string { return *s.word.Load() }

func (s *siteDir) counted(result string) int64 {
	var rm metricdata.ResourceMetrics
	if err := s.mets.Collect(s.t.Context(), &rm); err != nil {
		s.t.Fatal(err)
	}
	for _, m := range rm.ScopeMetrics[0].Metrics {
		if sum, ok := m.Data.(metricdata.Sum[int64]); ok {
			for _, p := range sum.DataPoints {
				if v, _ := p.Attributes.Value("result"); v.AsString() == result {
					return p.Value
				}
			}
		}
	}
	return 0
}

func TestAGoodChangeComesIntoForceAndABadOneDoesNot(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a/adt.map.yaml")
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	s.write("a/adt.test.yaml", theTests("one"))
	defer s.start()()
	first := s.k.Status()
	if !strings.Contains(s.inForce(), "one") || first.Set == "" || first.Loaded.IsZero() || first.Problem != "" {
		t.Fatalf("%s %+v", s.inForce(), first)
	}

	s.write("a/adt.map.yaml", strings.Replace(theMapping("adt", 2, "two"), "ref:", "reff:", 1))
	s.until("a refusal", func() bool { return s.k.Status().Problem != "" })
	st := s.k.Status()
	if want := s.dir + "/a/adt.map.yaml:18:7: error[odoo-field]"; !strings.HasPrefix(st.Problem, want) || st.Set != first.Set || st.ProblemAt.IsZero() || !strings.Contains(s.inForce(), "one") {
		t.Errorf("%+v, want %s", st, want)
	}
	if !strings.Contains(s.log.String(), "mappings refused, those in force stay") || !strings.Contains(s.log.String(), "adt.map.yaml:18:7") {
		t.Errorf("the log does not say so:\n%s", s.log)
	}

	s.write("a/adt.map.yaml", strings.Replace(theMapping("adt", 2, "two"), "    fields:", "    include: [ { fragment: f.yaml } ]\n    fields:", 1))
	s.write("a/f.yaml", "kind: fragment\nformat: 1\nid: f\nfields: { namme: PID-8 }\n")
	s.until("a fragment's refusal", func() bool {
		return strings.HasPrefix(s.k.Status().Problem, s.dir+"/a/f.yaml:4:11: ") && strings.Contains(s.k.Status().Problem, "(included at "+s.dir+"/a/adt.map.yaml:17:28)")
	})

	s.write("a/adt.map.yaml", theMapping("adt", 2, "two"))
	s.until("the test's refusal", func() bool { return strings.Contains(s.k.Status().Problem, "error[test]") })
	if p := s.k.Status().Problem; !strings.HasPrefix(p, s.dir+"/a/adt.test.yaml:5:1: error[test]: the test \"the word is written\" fails") || strings.Contains(p, "two") {
		t.Errorf("%s", p)
	}
	if !strings.Contains(s.inForce(), "one") {
		t.Error("a set whose tests fail is in force")
	}

	s.write("a/adt.test.yaml", theTests("two"))
	s.until("the good one", func() bool { return strings.Contains(s.inForce(), "two") })
	s.until("its status", func() bool { return s.k.Status().Problem == "" })
	if st := s.k.Status(); st.Set == first.Set || s.counted("taken") != 1 || s.counted("refused") < 2 {
		t.Errorf("%+v, taken %d, refused %d", st, s.counted("taken"), s.counted("refused"))
	}

	s.write("a/adt.map.yaml", strings.Replace(theMapping("adt", 3, "three"), "A test", "refuse", 1))
	s.write("a/adt.test.yaml", theTests("three"))
	s.until("what the site does not run", func() bool { return s.k.Status().Problem == "this site does not run it" })
	s.write("snap.json", "{")
	s.until("a broken snapshot", func() bool { return strings.Contains(s.k.Status().Problem, "error[snapshot]") })
	if err := os.Remove(filepath.Join(s.dir, "a/adt.map.yaml")); err != nil {
		t.Fatal(err)
	}
	s.until("a missing file", func() bool { return strings.Contains(s.k.Status().Problem, "no such file") })
	s.write("snap.json", theSnapshot)
	s.write("a/adt.map.yaml", theMapping("adt", 2, "two"))
	s.write("a/adt.test.yaml", theTests("two"))
	s.until("the way back", func() bool { return s.k.Status().Problem == "" })
	if s.counted("taken") != 1 || s.counted("unchanged") == 0 {
		t.Errorf("the way back is taken as a new set: %d", s.counted("taken"))
	}
}

func TestAStormOfEditsLeavesTheLastOne(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	s.write("a/adt.map.yaml", theMapping("adt", 1, "w0"))
	defer s.start()()
	for i := 1; i <= 200; i++ {
		text := theMapping("adt", i+1, fmt.Sprint("w", i))
		if i%3 == 0 {
			text = text[:len(text)/2]
		}
		if i == 200 {
			text = theMapping("adt", 900, "the end")
		}
		if i%2 == 0 { // as editors do
			s.write("a/.adt.swp", text)
			if err := os.Rename(filepath.Join(s.dir, "a/.adt.swp"), filepath.Join(s.dir, "a/adt.map.yaml")); err != nil {
				t.Fatal(err)
			}
			continue
		}
		s.write("a/adt.map.yaml", text)
	}
	s.until("the last edit", func() bool { return strings.Contains(s.inForce(), "the end") && s.k.Status().Problem == "" })
}

func TestWhatChangedIsTriedWhenTwoLooksAgree(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	looks := func(what string, want ...bool) {
		t.Helper()
		for i, w := range want {
			if got := s.k.look(); got != w {
				t.Errorf("%s: look %d says %t", what, i+1, got)
			}
		}
	}
	looks("nothing changed", false, false, false)
	s.write("a/.adt.map.yaml.swp", "an editor's own file")
	looks("an editor's own file", false, false)
	s.write("a/adt.map.yaml", "kind: map")
	looks("half of a file", false)
	s.write("a/adt.map.yaml", theMapping("adt", 2, "two"))
	looks("a change", false, true)
	good := s.k.memory
	s.k.memory.dir = filepath.Join(s.dir, "snap.json")
	if err := s.k.try(t.Context(), "change"); err == nil || !strings.Contains(s.inForce(), "one") {
		t.Errorf("what can not be noted is in force: %v", err)
	}
	looks("a fault that is not in the files", true, true)
	s.k.memory = good
	if err := s.k.try(t.Context(), "change"); err != nil || !strings.Contains(s.inForce(), "two") {
		t.Error(err)
	}
	looks("what was taken", false, false, false)
	s.write("a/adt.map.yaml", "kind: mapping")
	looks("a bad change", false, true)
	if err := s.k.try(t.Context(), "change"); err == nil {
		t.Error("it is taken")
	}
	looks("what was refused", false, false, false)
}

func TestASignalLooksAtOnceAndANewFileOfADirectoryIsSeen(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	s.cfg.Every = time.Hour
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	defer s.start()()
	s.write("a/z.map.yaml", theMapping("adt", 1, "twin"))
	s.now <- syscall.SIGHUP
	s.until("the twin's refusal", func() bool { return strings.Contains(s.k.Status().Problem, "are both called adt") })
	said := func() int { return strings.Count(s.log.String(), "mappings refused, those in force stay") }
	s.now <- syscall.SIGHUP
	s.until("the same refusal, which is said again", func() bool { return said() == 2 })
	if n := s.counted("refused"); n != 2 {
		t.Errorf("%d refusals are counted", n)
	}
	s.write("a/z.map.yaml", "kind: mapping\nformat: 1\nextends: adt.map.yaml\nid: over\nversion: 1\nset: { p.ref: { value: over } }\n")
	s.now <- syscall.SIGHUP
	s.until("the overlay, whose base does not run by itself", func() bool { return strings.Contains(s.inForce(), "over") })
}

func TestABundleIsTakenWhenItsKeyIsTrustedAndItIsNotOlder(t *testing.T) {
	t.Parallel()
	private, public := key(t)
	stranger, _ := key(t)
	s := newSite(t, "north.vmb")
	s.cfg.Trust = public
	s.pack("north.vmb", "north", 5, "five", private)
	stop := s.start()
	refused := func(what, want string) {
		t.Helper()
		s.now <- syscall.SIGHUP
		s.until(what, func() bool { return strings.Contains(s.k.Status().Problem, want) })
		if !strings.Contains(s.inForce(), "five") {
			t.Errorf("%s: %s is in force", what, s.inForce())
		}
	}
	s.pack("north.vmb", "north", 6, "six", nil)
	refused("an unsigned bundle", "not signed")
	s.pack("north.vmb", "north", 6, "six", stranger)
	refused("a stranger's bundle", "not signed by the key that is trusted")
	s.pack("north.vmb", "north", 4, "four", private)
	refused("an older bundle", "version 4 of bundle north is older than 5")
	s.pack("north.vmb", "north", 5, "other", private)
	refused("another bundle of the same version", "with other content")
	s.write("north.vmb", "half")
	refused("a half-written bundle", "no bundle")
	stop()

	// The next start finds what is broken, and runs on the copy of the last good one.
	defer s.start()()
	if st := s.k.Status(); !st.Kept || st.Problem == "" || !strings.Contains(s.inForce(), "five") || !strings.Contains(s.log.String(), "mappings refused at the start") {
		t.Errorf("%+v\n%s", st, s.log)
	}
	s.pack("north.vmb", "north", 6, "six", private)
	s.until("the new bundle", func() bool { return strings.Contains(s.inForce(), "six") && !s.k.Status().Kept })
	s.pack("north.vmb", "north", 5, "five", private)
	s.until("the refusal of the old one", func() bool { return strings.Contains(s.k.Status().Problem, "older than 6") })
}

func TestWhatIsInForceSurvivesABadEditAndAReboot(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a", builtin+"a/own.map.yaml")
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	s.write("a/adt.map.yaml", "kind: mapping\n")
	if err := s.open(); err != nil {
		t.Fatal(err)
	}
	if st := s.k.Status(); !st.Kept || !strings.Contains(st.Problem, "a/adt.map.yaml:1:1") || !strings.Contains(s.inForce(), "one") {
		t.Errorf("%+v", st)
	}
	stop := s.run()
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	s.until("the file being good again", func() bool { st := s.k.Status(); return st.Problem == "" && !st.Kept })
	stop()

	s.write("a/adt.map.yaml", "kind: mapping\n")
	copied := filepath.Join(s.cfg.Dir, "mappings", copyName)
	data, err := os.ReadFile(copied)
	if err != nil {
		t.Fatal(err)
	}
	for what, damage := range map[string][]byte{"damaged": data[:len(data)-40], "of other files": func() []byte {
		d, err := Pack(Files{"x": nil}, someManifest, nil)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}()} {
		if err := os.WriteFile(copied, damage, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := s.open(); err == nil || !strings.Contains(err.Error(), "the copy of the last good set can not be used either") || !strings.Contains(err.Error(), "a/adt.map.yaml:1:1") {
			t.Errorf("with a copy that is %s: %v", what, err)
		}
	}
	if err := os.Remove(copied); err != nil {
		t.Fatal(err)
	}
	if err := s.open(); err == nil || strings.Contains(err.Error(), "copy") {
		t.Errorf("without a copy: %v", err)
	}
}

func TestASiteDoesNotStartOnWhatItCanNotTrustOrRead(t *testing.T) {
	t.Parallel()
	private, public := key(t)
	for name, c := range map[string]struct {
		entries []string
		trust   bool
		prepare func(s *siteDir)
		want    string
	}{
		"a plain file where a key is trusted": {[]string{"a/adt.map.yaml"}, true, func(s *siteDir) { s.write("a/adt.map.yaml", theMapping("adt", 1, "x")) }, "signed bundles only"},
		"a directory without mappings":        {[]string{"a"}, false, func(s *siteDir) { s.write("a/README.md", "x") }, "list DIR/a: holds no file that ends in .map.yaml"},
		"nothing":                             {[]string{"none"}, false, func(*siteDir) {}, "stat DIR/none: no such file"},
		"a pipe": {[]string{"p.yaml"}, false, func(s *siteDir) {
			if err := syscall.Mkfifo(filepath.Join(s.dir, "p.yaml"), 0o600); err != nil {
				s.t.Fatal(err)
			}
		}, "DIR/p.yaml: is no plain file"},
		"a snapshot that is not there": {[]string{"a"}, false, func(s *siteDir) {
			s.write("a/adt.map.yaml", strings.Replace(theMapping("adt", 1, "x"), "snap.json", "parts/none.json", 1))
		}, "there is no file DIR/parts/none.json: "},
		"a part of a bundle that is not there": {[]string{"b.vmb#b"}, true, func(s *siteDir) { s.pack("b.vmb", "b", 1, "x", private) }, "DIR/b.vmb#b: file does not exist"},
		"a part of a file":                     {[]string{"a/adt.map.yaml#x"}, false, func(s *siteDir) { s.write("a/adt.map.yaml", theMapping("adt", 1, "x")) }, "this is none"},
		"one mapping twice":                    {[]string{"a", "a/adt.map.yaml"}, false, func(s *siteDir) { s.write("a/adt.map.yaml", theMapping("adt", 1, "x")) }, "are both called adt"},
		"a memory that is damaged": {[]string{"b.vmb"}, true, func(s *siteDir) {
			s.pack("b.vmb", "b", 1, "x", private)
			if err := errors.Join(os.MkdirAll(filepath.Join(s.cfg.Dir, "mappings"), 0o755), os.WriteFile(filepath.Join(s.cfg.Dir, "mappings", versionsName), []byte("["), 0o600)); err != nil {
				s.t.Fatal(err)
			}
		}, "read the versions of bundles"},
		"a data directory that can not be written": {[]string{"a"}, false, func(s *siteDir) {
			s.write("a/adt.map.yaml", theMapping("adt", 1, "x"))
			s.cfg.Dir = filepath.Join(s.dir, "snap.json")
		}, "can not be noted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, c.entries...)
			if c.trust {
				s.cfg.Trust = public
			}
			c.prepare(s)
			if err := s.open(); err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "DIR", s.dir)) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	s := newSite(t, "b.vmb#a/adt.map.yaml", builtin+"a")
	s.cfg.Trust = public
	s.pack("b.vmb", "b", 1, "x", private)
	if err := s.open(); err != nil {
		t.Errorf("a part of a bundle, and a directory that comes with Vagus: %v", err)
	}
}

func TestAGateThatTakesTooLongRefuses(t *testing.T) {
	t.Parallel()
	s := newSite(t, "a")
	s.write("a/adt.map.yaml", theMapping("adt", 1, "one"))
	s.cfg.Timeout = time.Nanosecond
	if err := s.open(); err == nil || !strings.Contains(err.Error(), "took longer than 1ns") {
		t.Error(err)
	}
}

func TestABundleIsBuiltOfWhatPassesTheGateOnly(t *testing.T) {
	t.Parallel()
	private, public := key(t)
	fsys := fstest.MapFS{"snap.json": {Data: []byte(theSnapshot)}, "a/adt.map.yaml": {Data: []byte(theMapping("adt", 1, "x"))}, "a/adt.test.yaml": {Data: []byte(theTests("x"))},
		".git/config": {Data: []byte("hidden")}, "a/.swp": {Data: []byte("hidden")}}
	data, err := Build(t.Context(), fsys, formats, someManifest, private)
	if err != nil {
		t.Fatal(err)
	}
	m, files, err := Unpack(data, public)
	if err != nil || len(m.Files) != 3 || len(files) != 3 {
		t.Errorf("%v %v", m, err)
	}
	fsys["a/adt.test.yaml"].Data = []byte(theTests("y"))
	if _, err := Build(t.Context(), fsys, formats, someManifest, private); err == nil || !strings.Contains(err.Error(), "error[test]") {
		t.Error(err)
	}
	delete(fsys, "snap.json")
	if _, err := Build(t.Context(), fsys, formats, someManifest, private); err == nil || !strings.Contains(err.Error(), "error[snapshot]") {
		t.Error(err)
	}
}
