package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
	"github.com/vagus-health/vagus/contract-tests/faults/audit"
)

// An erp is a simulated Odoo that listens, in this process: it is not ours to kill, its
// front is.
type erp struct {
	*simulated.Server
	addr, key string
	srv       *http.Server
	half      atomic.Bool // answers by half
	before    map[audit.Ref]bool
}

func startOdoo(addon bool) (*erp, error) {
	key := rand.Text()
	e := &erp{key: key, before: map[audit.Ref]bool{},
		Server: simulated.New(simulated.Config{Database: "hospital", User: "vagus", Key: key, Addon: addon, History: true})}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	e.addr = l.Addr().String()
	e.srv = &http.Server{Handler: e}
	go func() { _ = e.srv.Serve(l) }()
	records, err := e.records(context.Background())
	for _, r := range records {
		e.before[r.Ref] = true
	}
	return e, err
}

func (e *erp) close() { _ = e.srv.Close(); _ = e.Server.Close() }

// ServeHTTP answers as Odoo does, or does what it is told and tells half of it.
func (e *erp) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	changes := bytes.Contains(body, []byte(`"load"`)) || bytes.Contains(body, []byte(`"apply"`))
	if !e.half.Load() || !changes {
		e.Server.ServeHTTP(w, r)
		return
	}
	whole := httptest.NewRecorder()
	e.Server.ServeHTTP(whole, r)
	for k, v := range whole.Header() {
		w.Header()[k] = v
	}
	w.Header().Set("Content-Length", strconv.Itoa(whole.Body.Len()))
	w.WriteHeader(whole.Code)
	_, _ = w.Write(whole.Body.Bytes()[:whole.Body.Len()/2])
	panic(http.ErrAbortHandler)
}

// watched are the models that the bed's messages make, and the fields that say what a record is.
var watched = map[string][]string{
	"res.partner":       {"ref", "street2", "parent_id"},
	"sale.order":        {"client_order_ref"},
	"account.move":      {"ref"},
	"account.move.line": {"move_id", "price_unit"},
}

// records reads what Odoo has by its public interface, JSON-RPC.
func (e *erp) records(ctx context.Context) (all []audit.Record, err error) {
	for model, fields := range watched {
		var rows []map[string]any
		if err := e.call(ctx, &rows, model, "search_read", []any{[]any{}}, map[string]any{"fields": fields, "context": map[string]any{"active_test": false}}); err != nil {
			return nil, fmt.Errorf("read %s: %w", model, err)
		}
		for _, row := range rows {
			id, _ := row["id"].(float64)
			delete(row, "id")
			ref := audit.Ref{Model: model, ID: int64(id)}
			all = append(all, audit.Record{Ref: ref, Values: row, Before: e.before[ref]})
		}
	}
	return all, nil
}

func (e *erp) call(ctx context.Context, into any, model, method string, args []any, named map[string]any) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	var uid int64
	if err := e.rpc(ctx, &uid, "common", "authenticate", "hospital", "vagus", e.key, map[string]any{}); err != nil {
		return err
	}
	return e.rpc(ctx, into, "object", "execute_kw", "hospital", uid, e.key, model, method, args, named)
}

func (e *erp) rpc(ctx context.Context, into any, service, method string, args ...any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "call", "id": 1, "params": map[string]any{"service": service, "method": method, "args": args}})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+e.addr+"/jsonrpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage
		Error  json.RawMessage
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return errors.New(string(answer.Error))
	}
	return json.Unmarshal(answer.Result, into)
}

// rows counts what was ever asked of Odoo that changes something.
func (e *erp) rows() (n int) {
	for name, c := range e.Calls() {
		for _, method := range []string{".load", ".apply", ".create", ".write"} {
			if len(name) > len(method) && name[len(name)-len(method):] == method {
				n += c.Rows
			}
		}
	}
	return n
}
