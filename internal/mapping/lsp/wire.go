package lsp

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Limits on what a peer may send.
const (
	maxHeaderBytes = 4 << 10
	maxBodyBytes   = 8 << 20
)

// A request is a JSON-RPC 2.0 request, a notification when it has no id, or a
// response to the server, which it does not await.
type request struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id,omitempty"`
	Method  string          `json:"method,omitempty"`
	Params  json.RawMessage `json:"params,omitempty"`
}

type response struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Result  any             `json:"result"`
}

type failure struct {
	Version string          `json:"jsonrpc"`
	ID      json.RawMessage `json:"id"`
	Error   *rpcError       `json:"error"`
}

type notification struct {
	Version string `json:"jsonrpc"`
	Method  string `json:"method"`
	Params  any    `json:"params"`
}

// Codes of JSON-RPC and of LSP 3.17, section "Base Protocol".
const (
	codeParse          = -32700
	codeInvalidRequest = -32600
	codeMethodNotFound = -32601
	codeInvalidParams  = -32602
	codeNotInitialized = -32002
)

type rpcError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *rpcError) Error() string { return e.Message }

// errFrame is a frame that can not be read: what follows it can not be told
// from it, so the session ends.
var errFrame = errors.New("malformed frame")

// readFrame reads one body: headers, of which Content-Length counts, an empty
// line, and the body. io.EOF is the end between frames.
func readFrame(r *bufio.Reader) ([]byte, error) {
	length, seen := -1, 0
	for {
		line, err := r.ReadSlice('\n')
		if seen += len(line); err != nil {
			if err == io.EOF && seen == 0 {
				return nil, io.EOF
			}
			return nil, fmt.Errorf("%w: headers: %v", errFrame, err)
		}
		if seen > maxHeaderBytes {
			return nil, fmt.Errorf("%w: more than %d bytes of headers", errFrame, maxHeaderBytes)
		}
		text := strings.TrimRight(string(line), "\r\n")
		if text == "" {
			break
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok {
			return nil, fmt.Errorf("%w: a header without a colon", errFrame)
		}
		if strings.EqualFold(strings.TrimSpace(name), "Content-Length") {
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil || length < 0 || length > maxBodyBytes {
				return nil, fmt.Errorf("%w: Content-Length is a number up to %d", errFrame, maxBodyBytes)
			}
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("%w: no Content-Length", errFrame)
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("%w: body: %v", errFrame, err)
	}
	return body, nil
}

func writeFrame(w io.Writer, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "Content-Length: %d\r\n\r\n%s", len(body), body)
	return err
}
