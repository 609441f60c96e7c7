package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/x12"
	"github.com/vagus-health/vagus/internal/tree"
)

// A client is a scripted editor at the other end of two pipes.
type client struct {
	t      testing.TB
	in     io.WriteCloser
	frames chan map[string]json.RawMessage
	ended  chan error
	next   int
	root   string
	diags  map[string][]publishParams // that have come, by URI
}

// start runs a server over the shipped mappings, or over dir.
func start(t testing.TB, dir string) *client {
	t.Helper()
	root, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	toServer, in := io.Pipe()
	out, fromServer := io.Pipe()
	c := &client{t: t, in: in, frames: make(chan map[string]json.RawMessage, 256), ended: make(chan error, 1), root: root, diags: map[string][]publishParams{}}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	go func() {
		err := Serve(ctx, toServer, fromServer, Config{Root: root, FS: os.DirFS(root), Formats: []tree.Format{hl7.NewFormat(), tabular.CSV{}, x12.Format{}}, Version: "test"})
		toServer.Close()
		fromServer.Close()
		c.ended <- err
	}()
	go func() {
		defer close(c.frames)
		r := bufio.NewReader(out)
		for {
			body, err := readFrame(r)
			if err != nil {
				return
			}
			var m map[string]json.RawMessage
			if err := json.Unmarshal(body, &m); err != nil {
				t.Errorf("the server wrote %s", body)
				return
			}
			c.frames <- m
		}
	}()
	t.Cleanup(func() { in.Close(); cancel() })
	return c
}

// open starts a server and says initialize.
func open(t testing.TB, dir string, encodings ...string) *client {
	c := start(t, dir)
	list, _ := json.Marshal(encodings)
	var res initializeResult
	c.call("initialize", json.RawMessage(fmt.Sprintf(`{"processId":null,"rootUri":null,"capabilities":{"general":{"positionEncodings":%s}}}`, list)), &res)
	want := "utf-16"
	for _, e := range encodings {
		if e == "utf-8" {
			want = e
		}
	}
	if res.Capabilities.PositionEncoding != want {
		t.Errorf("encoding %q of %v", res.Capabilities.PositionEncoding, encodings)
	}
	c.notify("initialized", struct{}{})
	return c
}

func (c *client) raw(s string) {
	if _, err := io.WriteString(c.in, s); err != nil {
		c.t.Errorf("write: %v", err)
	}
}

func (c *client) notify(method string, params any) {
	c.t.Helper()
	body, err := json.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	if err := writeFrame(c.in, request{Version: "2.0", Method: method, Params: body}); err != nil {
		c.t.Errorf("%s: %v", method, err)
	}
}

// ask sends a request and returns the result or the error.
func (c *client) ask(method string, params any) (json.RawMessage, *rpcError) {
	c.t.Helper()
	c.next++
	body, err := json.Marshal(params)
	if err != nil {
		c.t.Fatal(err)
	}
	id := fmt.Sprint(c.next)
	if err := writeFrame(c.in, request{Version: "2.0", ID: json.RawMessage(id), Method: method, Params: body}); err != nil {
		c.t.Fatal(err)
	}
	for {
		m := c.receive()
		if string(m["id"]) == id {
			if m["error"] != nil {
				var e rpcError
				if err := json.Unmarshal(m["error"], &e); err != nil {
					c.t.Fatal(err)
				}
				return nil, &e
			}
			return m["result"], nil
		}
	}
}

func (c *client) call(method string, params, result any) {
	c.t.Helper()
	body, rpcErr := c.ask(method, params)
	if rpcErr != nil {
		c.t.Fatalf("%s: %v", method, rpcErr)
	}
	if err := json.Unmarshal(body, result); err != nil {
		c.t.Fatalf("%s: %v in %s", method, err, body)
	}
}

// receive returns the next message; diagnostics are kept.
func (c *client) receive() map[string]json.RawMessage {
	c.t.Helper()
	select {
	case m, ok := <-c.frames:
		if !ok {
			c.t.Fatal("the server has gone")
		}
		if string(m["method"]) == `"textDocument/publishDiagnostics"` {
			var p publishParams
			if err := json.Unmarshal(m["params"], &p); err != nil {
				c.t.Fatal(err)
			}
			c.diags[p.URI] = append(c.diags[p.URI], p)
		}
		return m
	case <-time.After(30 * time.Second):
		c.t.Fatal("the server says nothing")
	}
	return nil
}

// diagnostics waits until those of a version of a document have come.
func (c *client) diagnostics(uri string, version int) []diagnostic {
	c.t.Helper()
	for {
		if all := c.diags[uri]; len(all) > 0 {
			if p := all[len(all)-1]; p.Version == nil && version < 0 || p.Version != nil && *p.Version == version {
				return p.Diagnostics
			}
		}
		c.receive()
	}
}

func (c *client) uri(name string) string {
	return "file://" + filepath.ToSlash(filepath.Join(c.root, name))
}

func (c *client) file(name string) string {
	data, err := os.ReadFile(filepath.Join(c.root, name))
	if err != nil {
		c.t.Fatal(err)
	}
	return string(data)
}

// edit opens a file with old replaced by new, in which ‸ is the caret, and
// returns the caret's place.
func (c *client) edit(name, old, new string) positionParams {
	c.t.Helper()
	text := c.file(name)
	if !strings.Contains(text, old) {
		c.t.Fatalf("%s has no %q", name, old)
	}
	text = strings.Replace(text, old, new, 1)
	before, after, ok := strings.Cut(text, "‸")
	if !ok {
		c.t.Fatalf("no caret in %q", new)
	}
	var p didOpenParams
	p.TextDocument.URI, p.TextDocument.Version, p.TextDocument.Text = c.uri(name), 1, before+after
	c.notify("textDocument/didOpen", p)
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return positionParams{textDocumentID{c.uri(name)}, position{strings.Count(before, "\n"), len(utf16.Encode([]rune(line)))}}
}

// end says shutdown and exit and checks that the server ends well.
func (c *client) end() {
	c.t.Helper()
	if _, err := c.ask("shutdown", nil); err != nil {
		c.t.Error(err)
	}
	c.notify("exit", nil)
	if err := <-c.ended; err != nil {
		c.t.Errorf("the server ended with %v", err)
	}
}
