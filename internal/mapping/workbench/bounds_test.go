package workbench

import (
	"context"
	"errors"
	"io/fs"
	"runtime"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

// What no parser of YAML is to see, because it takes memory without measure.
var tooMuch = map[string]string{
	"brackets": "a: " + strings.Repeat("[", 50_000), "brackets on many lines": "a:\n" + strings.Repeat(" [\n", 50_000),
	"a long line": "kind: mapping\na: " + strings.Repeat("- ", 50_000), "a large file": strings.Repeat("# x\n", 1<<20),
}

// It counts the memory of the whole process, so no other test runs beside it.
func TestNoToolHandsAParserWhatTheLanguageRefuses(t *testing.T) {
	for what, text := range tooMuch {
		files := fstest.MapFS{"m.map.yaml": {Data: []byte(text)}, "m.test.yaml": {Data: []byte(text)}, "s.json": {Data: []byte(`{"odoo":"18.0","models":{}}`)}}
		b := Bench{FS: files}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		rep, err := b.Lint(t.Context(), []string{"m.map.yaml", "m.test.yaml"}, []string{"."})
		if err != nil || rep.Errors < 2 {
			t.Errorf("%s: %v %+v", what, err, rep)
		}
		for tool, err := range map[string]error{
			"read":    func() error { _, err := readDocument(b.FS, "m.map.yaml"); return err }(),
			"page":    func() error { _, err := b.Page("m.map.yaml"); return err }(),
			"upgrade": func() error { _, err := b.Upgrade(t.Context(), []string{"m.map.yaml"}, "s.json", ""); return err }(),
			"mutate":  func() error { _, err := b.Mutate(t.Context(), "m.map.yaml", []string{"m.test.yaml"}, nil); return err }(),
		} {
			if err == nil {
				t.Errorf("%s: %s takes it", what, tool)
			}
		}
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 512<<20 {
			t.Errorf("%s: %d MiB", what, used>>20)
		}
	}
}

// A stuck is a tree whose files are never read to their end.
type stuck struct {
	fs.FS
	reading chan struct{}
}

func (s stuck) Open(name string) (fs.File, error) {
	select {
	case s.reading <- struct{}{}:
	default:
	}
	select {}
}

func TestALintEndsWhenItIsToldTo(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	b := Bench{FS: stuck{reading: make(chan struct{}, 1)}}
	done := make(chan error, 1)
	go func() {
		_, err := b.Lint(ctx, []string{"a.map.yaml", "b.map.yaml", "c.map.yaml"}, []string{"."})
		done <- err
	}()
	<-b.FS.(stuck).reading
	cancel()
	select {
	case err := <-done:
		if !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("it goes on")
	}
}
