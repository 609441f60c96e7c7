package odoo

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

func TestTheLastMessageSaysWhatADeferredReferenceIsWithTheAddon(t *testing.T) {
	t.Parallel()
	withAddon(t, func(t *testing.T, b *bench) {
		later := func(name string) any { return map[string]any{"$xid": b.xid(name), "on_none": "defer"} }
		put := func(name string, parent any) {
			vals := broker.Values{"name": name}
			if name == "child" {
				vals["parent_id"] = parent
			}
			b.applied(t, b.unit(upsert(b.xid(name), vals)))
		}
		parent := func() string {
			p, _ := b.read(t, b.xid("child"), "parent_id")["parent_id"].([]any)
			if len(p) != 2 {
				return ""
			}
			return fmt.Sprint(p[1])
		}
		put("a", nil)
		for _, step := range []struct {
			name string
			says any
			want string
		}{
			{"child", later("a"), "a"},
			{"child", later("b"), "a"}, {"b", nil, "b"}, // one that was there gives way
			{"child", later("c"), "b"}, {"child", later("d"), "b"}, {"c", nil, "b"}, {"d", nil, "d"}, // the later of two that wait
			{"child", later("e"), "d"}, {"child", nil, ""}, {"e", nil, ""}, // one that was cleared meanwhile
		} {
			put(step.name, step.says)
			if got := parent(); got != step.want {
				t.Fatalf("after %s: the parent is %q, want %q", step.name, got, step.want)
			}
		}
	})
}

func TestAReferenceToAnotherModelIsRefusedByTheAddon(t *testing.T) {
	t.Parallel()
	withAddon(t, func(t *testing.T, b *bench) {
		for name, ref := range map[string]any{
			"by external id": map[string]any{"$xid": "base.us"},
			"by fields":      map[string]any{"$ref": "res.country", "by": map[string]any{"code": "US"}},
			"by operation":   map[string]any{"$op": "tag"},
		} {
			tag := broker.Operation{ID: "tag", Model: "res.partner.category", Do: "upsert", XID: b.xid("tag"), Vals: broker.Values{"name": b.prefix + "tag"}}
			out := applyTo(t, b.target, b.unit(tag, upsert(b.xid("p"), broker.Values{"name": "p", "parent_id": ref})))[0]
			if out.Result != broker.Rejected || out.Class != "odoo.other_model" || !strings.Contains(out.Reason, "parent_id") {
				t.Errorf("%s: %s %s %s", name, out.Result, out.Class, out.Reason)
			}
		}
	})
}

// TestNoTextOfOdooLeavesTheAddonsWay looks for the canary where the addon is asked and answers.
func TestNoTextOfOdooLeavesTheAddonsWay(t *testing.T) {
	eachWire(t, func(t *testing.T, _ *simulated.Server, c Config) {
		srv, own := server(t, simulated.Config{Addon: true, Version: map[bool]string{true: "19.0", false: "18.0"}[c.Protocol == "json2"]})
		own.Protocol = c.Protocol
		answers := leaky(t, c.Protocol)
		if c.Protocol != "xmlrpc" {
			answer := `[{"unit":"leak","result":"rejected","class":"` + canary + `","op":"` + canary + `","field":"` + canary + `","records":[{"op":"` + canary + `","model":"res.partner","id":1}],"overwrote":[{"op":"o","fields":["` + canary + `"]}]}]`
			if c.Protocol == "jsonrpc" {
				answer = `{"jsonrpc":"2.0","id":1,"result":` + answer + `}`
			}
			answers["an answer of the addon's kind"] = httpAnswer{c.Protocol, "application/json", 200, answer}
		}
		for _, method := range []string{"apply", "version"} {
			for situation, a := range answers {
				if method == "version" && c.Protocol != "json2" { // there it is also how the server is asked for its own
					continue
				}
				var log bytes.Buffer
				cfg := own
				cfg.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
				f := &faulty{next: srv, method: method, answer: a}
				before(t, &cfg, func(next http.Handler) http.Handler { f.next = next; return f })
				target := connect(t, cfg)
				out, err := target.Apply(t.Context(), []*broker.Unit{{ID: "leak", Ops: []broker.Operation{{ID: "o", Model: "res.partner", Do: "upsert", XID: "vagus_test.leak", Vals: broker.Values{"name": canary}}}}})
				if f.struck == 0 {
					t.Errorf("%s was not called for %q: %v %v", method, situation, out, err)
				}
				for where, text := range map[string]string{"outcomes": fmt.Sprintf("%+v", out), "the error": fmt.Sprint(err), "the log": log.String()} {
					if strings.Contains(text, canary) {
						t.Errorf("%s: %s answered with %q: %s has it: %s", c.Protocol, method, situation, where, text)
					}
				}
			}
		}
	})
}
