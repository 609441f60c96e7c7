package lsp

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"testing"

	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/internal/tree"
)

// FuzzTake sends anything as frames to a server that has a mapping open.
func FuzzTake(f *testing.F) {
	text, err := os.ReadFile(shipped + "/" + north)
	if err != nil {
		f.Fatal(err)
	}
	const at = `"textDocument":{"uri":"file:///m.map.yaml"},"position":{"line":40,"character":30}}}`
	for _, body := range []string{
		`{"id":1,"method":"textDocument/completion","params":{` + at, `{"id":1,"method":"textDocument/hover","params":{` + at,
		`{"id":1,"method":"textDocument/definition","params":{` + at, `{"id":1,"method":"shutdown"}`, `{"method":"exit"}`, `[`, ``,
		`{"method":"textDocument/didChange","params":{"textDocument":{"uri":"file:///m.map.yaml","version":2},"contentChanges":[{"range":{"start":{"line":1,"character":2},"end":{"line":3,"character":-4}},"text":"x"}]}}`,
		`{"method":"textDocument/didOpen","params":{"textDocument":{"uri":"file:///%41%00/../x.map.yaml","text":"a: {"}}}`,
		`{"id":1,"method":"textDocument/inlayHint","params":{"textDocument":{"uri":"file:///m.map.yaml"},"range":{"start":{"line":-1},"end":{"line":99}}}}`,
	} {
		f.Add(frameOf(body))
	}
	f.Add("Content-Length: 3\r\nX: y\r\n\r\n{}{}")
	f.Fuzz(func(t *testing.T, stream string) {
		s := &server{cfg: Config{Root: "/", FS: os.DirFS(shipped), Formats: []tree.Format{hl7.NewFormat()}}, out: io.Discard, initialized: true,
			docs: map[string]*document{}, published: map[string]map[string][]diagnostic{}}
		d := &document{name: "examples/north/01-hl7-adt/adt-patient.map.yaml", version: 1}
		d.set(string(text))
		s.docs["file:///m.map.yaml"] = d
		r := bufio.NewReader(bytes.NewReader([]byte(stream)))
		for range 8 {
			body, err := readFrame(r)
			if done, _ := s.take(t.Context(), frame{body, err}); done || err != nil {
				break
			}
			for _, d := range s.docs {
				if len(d.text) > maxText {
					t.Fatal("a document grew beyond its limit")
				}
			}
		}
	})
}
