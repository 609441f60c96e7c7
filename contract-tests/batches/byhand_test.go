package batches

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// byHand speaks JSON-RPC to Odoo without anything of ours: the yardstick.
type byHand struct {
	d   *database
	uid int64
}

func (d *database) byHand(b *testing.B) *byHand {
	h := &byHand{d: d}
	res, err := h.rpc("common", "authenticate", d.name, d.user, d.key, map[string]any{})
	if err == nil {
		err = json.Unmarshal(res, &h.uid)
	}
	if err != nil {
		b.Fatal(err)
	}
	return h
}

func (h *byHand) rpc(service, method string, args ...any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "method": "call", "id": 1, "params": map[string]any{"service": service, "method": method, "args": args}})
	if err != nil {
		return nil, err
	}
	resp, err := http.Post(h.d.url+"/jsonrpc", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var answer struct {
		Result json.RawMessage
		Error  *struct{ Data struct{ Name string } }
	}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, errors.New(answer.Error.Data.Name)
	}
	return answer.Result, nil
}

func (h *byHand) call(model, method string, args []any, kw map[string]any) (json.RawMessage, error) {
	return h.rpc("object", "execute_kw", h.d.name, h.uid, h.d.key, model, method, args, kw)
}

// has says whether the database has a model, and what it needs for a record.
func (h *byHand) has(model string) bool {
	_, err := h.call(model, "search_count", []any{[]any{[]any{"id", "=", 0}}}, nil)
	return err == nil
}

// prepare makes what the units refer to.
func (h *byHand) prepare(b *testing.B, d *database, t broker.Target) (e existing) {
	find := func(model string, domain ...any) int64 {
		res, err := h.call(model, "search", []any{[]any{domain}}, map[string]any{"limit": 1})
		var ids []int64
		if err != nil || json.Unmarshal(res, &ids) != nil || len(ids) == 0 {
			b.Fatalf("no %s: %v", model, err)
		}
		return ids[0]
	}
	reach := func(model, xid string, vals broker.Values) int64 {
		apply(b, t, []*broker.Unit{{ID: d.run + model, Target: "odoo", Verdict: broker.Apply, Ops: []broker.Operation{{ID: "it", Model: model, Do: "upsert", XID: xid, Vals: vals}}}})
		return find(model, "ref", "=", "vagus bench")
	}
	e.country = find("res.country", "code", "=", "US")
	e.partner = reach("res.partner", partnerXID, broker.Values{"name": "Bench", "ref": "vagus bench"})
	if h.has("product.product") {
		apply(b, t, []*broker.Unit{{ID: d.run + "product", Target: "odoo", Verdict: broker.Apply,
			Ops: []broker.Operation{{ID: "it", Model: "product.product", Do: "upsert", XID: productXID, Vals: broker.Values{"name": "Bench", "default_code": "vagus bench"}}}}})
		e.product = find("product.product", "default_code", "=", "vagus bench")
	}
	return e
}

// batches makes units of a model by insert-only calls of load, two at once, and
// says how long that took.
func (h *byHand) batches(b *testing.B, m model, e existing, from, count int) time.Duration {
	context := map[string]any{"mode": "update", "noupdate": true, "tracking_disable": true, "mail_create_nosubscribe": true, "tz": "UTC", "lang": "en_US"}
	columns := append([]string{"id"}, m.columns...)
	work := make(chan [][]any)
	var wg sync.WaitGroup
	start := time.Now()
	for range 2 {
		wg.Go(func() {
			for rows := range work {
				res, err := h.call(m.model, "load", []any{columns, rows}, map[string]any{"context": context})
				var answer struct{ IDs any }
				if err != nil || json.Unmarshal(res, &answer) != nil || answer.IDs == false {
					b.Errorf("by hand: %s %v", m.model, err)
				}
			}
		})
	}
	var rows [][]any
	for n := range count {
		for i, cells := range m.rows(e, from+n+1) {
			xid := ""
			if i == 0 {
				xid = fmt.Sprint("vagus_bench_raw.", m.name, "_", h.d.run, "_", strconv.Itoa(from+n+1))
			}
			rows = append(rows, append([]any{xid}, cells...))
		}
		if (n+1)%m.records == 0 || n == count-1 {
			work <- rows
			rows = nil
		}
	}
	close(work)
	wg.Wait()
	return time.Since(start)
}
