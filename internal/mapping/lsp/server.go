// Package lsp is the language server of mapping files: diagnostics while one
// types, completion, hover, definitions, and what each rule makes of a sample
// message. It speaks LSP 3.17 over a pair of streams.
//
// The protocol is a frame, a JSON object and some thirty small types; the Go
// packages for it stop before 3.17 (inlay hints, position encodings) and take
// frames of any length.
package lsp

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"

	"github.com/vagus-health/vagus/internal/tree"
)

// Config is what a server works on.
type Config struct {
	Root    string // directory above all files; "" is the root of the file system
	FS      fs.FS  // that directory
	Formats []tree.Format
	Version string // of the program
}

const maxWaiting = 64 // frames that are read ahead

// Serve answers a client until it sends exit, in ends or ctx is done. What it
// writes holds values of the sample messages that mappings name: out is a
// person's editor. The error is nil after shutdown and exit; the goroutine that
// reads in ends with in.
func Serve(ctx context.Context, in io.Reader, out io.Writer, cfg Config) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	s := &server{cfg: cfg, out: out, docs: map[string]*document{}, published: map[string]map[string][]diagnostic{}, linted: make(chan lintResult, 1)}
	frames := make(chan frame, maxWaiting)
	go read(ctx, in, frames)
	for {
		select { // a lint begins when no message waits, so that typing is not behind it
		case f := <-frames:
			if done, err := s.take(ctx, f); done {
				return err
			}
			continue
		default:
		}
		s.lint(ctx)
		select {
		case f := <-frames:
			if done, err := s.take(ctx, f); done {
				return err
			}
		case r := <-s.linted:
			s.publish(r)
		case <-ctx.Done():
			return ctx.Err()
		}
		if s.failed != nil {
			return s.failed
		}
	}
}

type frame struct {
	body []byte
	err  error
}

func read(ctx context.Context, in io.Reader, frames chan<- frame) {
	r := bufio.NewReader(in)
	for {
		body, err := readFrame(r)
		select {
		case frames <- frame{body, err}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// A server is one session. Only the loop of Serve touches it; a lint works on
// a copy of the texts.
type server struct {
	cfg         Config
	out         io.Writer
	failed      error // writing to the client
	initialized bool
	shutdown    bool
	utf8        bool // positions count bytes, and UTF-16 units otherwise
	docs        map[string]*document
	dirty       bool // a text has changed since the last lint began
	linting     bool
	linted      chan lintResult
	published   map[string]map[string][]diagnostic // of each open document, by the file that they are of
}

// take handles one frame; done ends the session.
func (s *server) take(ctx context.Context, f frame) (done bool, err error) {
	if errors.Is(f.err, io.EOF) && !errors.Is(f.err, errFrame) {
		if s.shutdown {
			return true, nil
		}
		return true, errors.New("the client went away without shutdown")
	}
	if f.err != nil {
		s.fail(nil, &rpcError{codeParse, f.err.Error()})
		return true, f.err
	}
	var r request
	if err := json.Unmarshal(f.body, &r); err != nil {
		s.fail(nil, &rpcError{codeParse, "this is no JSON-RPC message"})
		return false, nil
	}
	if r.Method == "exit" {
		if !s.shutdown {
			err = errors.New("the client said exit without shutdown")
		}
		return true, err
	}
	if r.Method == "" {
		if r.ID == nil {
			s.fail(nil, &rpcError{codeInvalidRequest, "a message has a method"})
		}
		return false, nil // an answer; the server asks nothing
	}
	result, rpcErr := s.call(ctx, r)
	switch {
	case r.ID == nil: // a notification has no answer, not even an error
	case rpcErr != nil:
		s.fail(r.ID, rpcErr)
	default:
		s.send(response{"2.0", r.ID, result})
	}
	return false, nil
}

func (s *server) call(ctx context.Context, r request) (any, *rpcError) {
	switch {
	case r.Method == "initialize":
		return with(r, func(p initializeParams) (any, *rpcError) { return s.initialize(p) })
	case !s.initialized:
		return nil, &rpcError{codeNotInitialized, "initialize comes first"}
	case s.shutdown:
		return nil, &rpcError{codeInvalidRequest, "after shutdown there is only exit"}
	}
	switch r.Method {
	case "shutdown":
		s.shutdown = true
		return nil, nil
	case "textDocument/didOpen":
		return with(r, s.didOpen)
	case "textDocument/didChange":
		return with(r, s.didChange)
	case "textDocument/didClose":
		return with(r, s.didClose)
	case "textDocument/didSave", "workspace/didChangeWatchedFiles":
		s.dirty = true // a table or a fragment may have changed with it
		return nil, nil
	case "textDocument/completion":
		return with(r, s.completion)
	case "textDocument/hover":
		return with(r, func(p positionParams) (any, *rpcError) { return s.hover(ctx, p) })
	case "textDocument/definition":
		return with(r, s.definition)
	case "textDocument/inlayHint":
		return with(r, func(p inlayHintParams) (any, *rpcError) { return s.inlayHints(ctx, p) })
	}
	return nil, &rpcError{codeMethodNotFound, "no method " + r.Method}
}

// with decodes the parameters of a request.
func with[P any](r request, f func(P) (any, *rpcError)) (any, *rpcError) {
	var p P
	if err := json.Unmarshal(r.Params, &p); err != nil {
		return nil, &rpcError{codeInvalidParams, "the parameters of " + r.Method + " have another shape"}
	}
	return f(p)
}

func (s *server) initialize(p initializeParams) (any, *rpcError) {
	if s.initialized {
		return nil, &rpcError{codeInvalidRequest, "initialize comes once"}
	}
	s.initialized = true
	encoding := "utf-16"
	for _, e := range p.Capabilities.General.PositionEncodings {
		if e == "utf-8" {
			s.utf8, encoding = true, e
		}
	}
	return initializeResult{
		Capabilities: serverCapabilities{
			PositionEncoding:   encoding,
			TextDocumentSync:   syncOptions{OpenClose: true, Change: 2, Save: true},
			CompletionProvider: completionOptions{TriggerCharacters: []string{".", "-", "[", "{", "'", "/", " "}},
			HoverProvider:      true, DefinitionProvider: true, InlayHintProvider: true,
		},
		ServerInfo: serverInfo{Name: "vagus mapping lsp", Version: s.cfg.Version},
	}, nil
}

func (s *server) send(v any) {
	if err := writeFrame(s.out, v); err != nil && s.failed == nil {
		s.failed = err
	}
}

func (s *server) fail(id json.RawMessage, e *rpcError) {
	s.send(failure{"2.0", id, e})
}
