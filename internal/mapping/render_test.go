package mapping_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/internal/mapping"
)

// copied is mappings/ in memory, to be changed.
func copied(t *testing.T) fstest.MapFS {
	t.Helper()
	out := fstest.MapFS{}
	err := fs.WalkDir(os.DirFS("../../mappings"), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile("../../mappings/" + name)
		out[name] = &fstest.MapFile{Data: data}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const westOverlay = `kind: mapping
format: 1
extends: adt-patient.map.yaml
id: adt-west
version: 2
title: "West: O'Neill's"
add:
  source.zone: America/Denver
set:
  patient.name: { from: { fam: "PID-5[7=L].1.1" }, cel: "fam + '\t\"\\\\'" }
remove: [patient.street2]
`

func TestWhatIsRenderedDoesTheSame(t *testing.T) {
	t.Parallel()
	var messages [][]byte
	roots := []string{"../../mappings"}
	if corpora := os.Getenv("VAGUS_CORPORA"); corpora != "" {
		roots = append(roots, filepath.Join(corpora, "hl7v2"))
	}
	for _, root := range roots {
		err := filepath.WalkDir(root, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !strings.HasSuffix(name, ".hl7") {
				return err
			}
			data, err := os.ReadFile(name)
			messages = append(messages, data)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	fsys := copied(t)
	const west = "admissions/west.map.yaml"
	fsys[west] = &fstest.MapFile{Data: []byte(westOverlay)}
	mapped := 0
	for _, name := range filesOf(t, fsys, ".map.yaml") {
		load := loadShipped
		if name == west {
			load = func(file string) (*mapping.Mapping, error) { return mapping.Load(fsys, file, formats) }
		}
		m, err := load(name)
		if err != nil {
			if name == west {
				t.Fatal(err)
			}
			continue // of a format that is not among these
		}
		lines, err := mapping.Render(fsys, name)
		if err != nil {
			t.Fatal(err)
		}
		beside := path.Join(path.Dir(name), "rendered.yaml")
		text := mapping.Annotate(lines)
		for _, l := range lines {
			if l.File == "" {
				continue
			}
			data, err := fs.ReadFile(fsys, l.File)
			if err != nil {
				t.Fatal(err)
			}
			key, _, _ := strings.Cut(strings.TrimLeft(l.Text, " -{"), ":")
			if source := strings.Split(string(data), "\n")[l.Line-1]; !strings.Contains(source, strings.Trim(key, `"'`)) {
				t.Errorf("%s:%d is %q, and not where this was written: %s", l.File, l.Line, source, l.Text)
			}
		}
		fsys[beside] = &fstest.MapFile{Data: []byte(text)}
		rendered, err := mapping.Load(fsys, beside, formats)
		delete(fsys, beside)
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, text)
		}
		for i, body := range messages {
			msg, err := m.Dialect.Decode(body, m.Reads())
			if err != nil || !m.Matches(msg) {
				continue
			}
			mapped++
			want, errWant := json.Marshal(m.Run(t.Context(), msg).Ops)
			got, errGot := json.Marshal(rendered.Run(t.Context(), msg).Ops)
			if errWant != nil || errGot != nil || !bytes.Equal(want, got) {
				t.Errorf("%s: message %d gives\n%s\nand rendered\n%s", name, i, want, got)
			}
		}
	}
	t.Logf("%d messages, mapped %d times", len(messages), mapped)
	if mapped < 5 {
		t.Errorf("only %d messages were mapped", mapped)
	}
}
