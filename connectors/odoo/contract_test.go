package odoo

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// An endpoint is a server that the contract is checked against: the simulated
// one always, and a real one when the environment names it.
type endpoint struct {
	name               string
	url, db, user, key string
	lowUser, lowKey    string // may not read ir.model.data
	readUser, readKey  string // may not create contacts
	version            int
	simulated          *simulated.Server
	protocols          []string
}

// accounting is what a database with a chart of accounts has.
var accounting = []simulated.Seed{{Model: "account.journal", Values: map[string]any{"name": "Bank", "code": "BNK1", "type": "bank"}},
	{Model: "account.analytic.account", Values: map[string]any{"name": "Vagus", "code": "VAGUS-CC"}}, {Model: "res.company", Values: map[string]any{"name": "Second"}}}

func endpoints(t *testing.T, addon bool) []endpoint {
	serve := func(version string) (*simulated.Server, string) {
		sim := simulated.New(simulated.Config{Version: version, Addon: addon, History: true, Seeds: accounting, Users: []simulated.User{
			{Login: "low", Key: "low", NoModelData: true}, {Login: "read", Key: "read", NoModelData: true, ReadOnly: true}}})
		url, err := sim.Start("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = sim.Close() })
		return sim, url
	}
	sim, url := serve("18.0")
	older, olderURL := serve("17.0")
	newer, newerURL := serve("19.0")
	all := []endpoint{
		{"simulated", url, "demo", "vagus", "simulated", "low", "low", "read", "read", 18, sim, []string{"jsonrpc", "xmlrpc"}},
		{"simulated 17", olderURL, "demo", "vagus", "simulated", "low", "low", "read", "read", 17, older, []string{"jsonrpc"}},
		{"simulated 19", newerURL, "demo", "vagus", "simulated", "low", "low", "read", "read", 19, newer, []string{"json2", "jsonrpc", "xmlrpc"}},
	}
	if u := os.Getenv("VAGUS_ODOO_URL"); u != "" {
		version, protocols := spoken(t, u)
		all = append(all, endpoint{"real", u, os.Getenv("VAGUS_ODOO_DB"), os.Getenv("VAGUS_ODOO_USER"), os.Getenv("VAGUS_ODOO_KEY"),
			os.Getenv("VAGUS_ODOO_LOW_USER"), os.Getenv("VAGUS_ODOO_LOW_KEY"), os.Getenv("VAGUS_ODOO_READ_USER"), os.Getenv("VAGUS_ODOO_READ_KEY"), version, nil, protocols})
	} else {
		t.Log("VAGUS_ODOO_URL is not set: checked against the simulated server only")
	}
	return all
}

// spoken are the version of a real server, and its protocols.
func spoken(t *testing.T, url string) (int, []string) {
	t.Helper()
	target, err := New(Config{URL: url, Database: "d", User: "u", Key: broker.NewSecret("k"), PlainHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	best, version, err := target.client.best(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return major(version), slices.Compact([]string{best, "jsonrpc", "xmlrpc"})
}

// A bench is one endpoint over one protocol, with external ids of its own.
type bench struct {
	endpoint
	protocol, prefix string
	addon            string
	target           *Target
	n                int
}

func (b *bench) config(user, key string) Config {
	return Config{URL: b.url, Database: b.db, User: user, Key: broker.NewSecret(key), Protocol: b.protocol, PlainHTTP: true, Addon: b.addon}
}

func (b *bench) as(t *testing.T, user, key string) *Target {
	t.Helper()
	target, err := New(b.config(user, key))
	if err != nil {
		t.Fatal(err)
	}
	return target
}

// xid makes an external id that no other run used.
func (b *bench) xid(name string) string { return "vagus_test." + b.prefix + name }

// contract runs a check on every endpoint over each protocol.
func contract(t *testing.T, check func(t *testing.T, b *bench)) {
	t.Helper()
	for _, e := range endpoints(t, false) {
		for _, protocol := range e.protocols {
			t.Run(e.name+" "+protocol, func(t *testing.T) {
				b := &bench{endpoint: e, protocol: protocol, addon: "off", prefix: strings.ToLower(protocol[:1]) + strconv.FormatInt(time.Now().UnixNano(), 36) + "_"}
				b.target = b.as(t, e.user, e.key)
				check(t, b)
			})
		}
	}
}

func (b *bench) unit(ops ...broker.Operation) *broker.Unit {
	b.n++
	return &broker.Unit{ID: fmt.Sprintf("u%s%d", b.prefix, b.n), Target: "erp", Verdict: broker.Apply, Ops: ops}
}

func upsert(xid string, vals broker.Values) broker.Operation {
	return broker.Operation{ID: "patient", Model: "res.partner", Do: "upsert", XID: xid, Vals: vals}
}

func applyTo(t *testing.T, target *Target, units ...*broker.Unit) []broker.Outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 90*time.Second)
	defer cancel()
	out, err := target.Apply(ctx, units)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// applied applies units and fails unless all went in; it returns their outcomes.
func (b *bench) applied(t *testing.T, units ...*broker.Unit) []broker.Outcome {
	t.Helper()
	out := applyTo(t, b.target, units...)
	for i, o := range out {
		if o.Result != broker.Applied {
			t.Fatalf("unit %d: %s %s: %s", i, o.Result, o.Class, o.Reason)
		}
	}
	return out
}

// call calls a method as the client does.
func (b *bench) call(t *testing.T, model, method string, args []any, kw map[string]any) any {
	t.Helper()
	res, err := b.target.client.execute(context.Background(), model, method, named(method, args), kw)
	if err != nil {
		t.Fatalf("%s.%s: %v", model, method, err)
	}
	return res
}

// named gives parameters the names that they have in Odoo.
func named(method string, values []any) []arg {
	names := map[string][]string{"load": {"fields", "data"}, "create": {"vals_list"}, "write": {"ids", "vals"}, "unlink": {"ids"}, "read": {"ids", "fields"},
		"search": {"domain"}, "search_read": {"domain", "fields"}, "search_count": {"domain"}, "name_search": {"name"}, "fields_get": {"allfields", "attributes"},
		"default_get": {"fields_list"}, "check_object_reference": {"module", "xml_id"}, "check_access_rights": {"operation"}, "has_access": {"ids", "operation"},
		"action_archive": {"ids"}, "action_unarchive": {"ids"}}[method]
	out := make([]arg, len(values))
	for i, v := range values {
		out[i] = arg{fmt.Sprint("arg", i), v}
		if i < len(names) {
			out[i].name = names[i]
		}
	}
	return out
}

// read returns fields of the record of an external id, or nil.
func (b *bench) read(t *testing.T, xid string, fields ...string) map[string]any {
	t.Helper()
	module, name := splitXID(xid)
	rows := b.call(t, "ir.model.data", "search_read", []any{[]any{[]any{"module", "=", module}, []any{"name", "=", name}}, []any{"model", "res_id"}}, nil).([]any)
	if len(rows) == 0 {
		return nil
	}
	row := rows[0].(map[string]any)
	names := make([]any, len(fields))
	for i, f := range fields {
		names[i] = f
	}
	recs := b.call(t, row["model"].(string), "read", []any{[]any{row["res_id"]}, names}, nil).([]any)
	if len(recs) == 0 {
		return nil
	}
	return normal(recs[0]).(map[string]any)
}

// normal makes values of both wires comparable.
func normal(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k := range v {
			v[k] = normal(v[k])
		}
	case []any:
		for i := range v {
			v[i] = normal(v[i])
		}
	default:
		if n, ok := asInt(v); ok {
			return n
		}
	}
	return v
}

func want(t *testing.T, got map[string]any, fields map[string]any) {
	t.Helper()
	if got == nil {
		t.Fatal("the record does not exist")
	}
	for f, w := range fields {
		if d := cmp.Diff(w, got[f]); d != "" {
			t.Errorf("%s: %s", f, d)
		}
	}
}

func refTo(model string, by map[string]any, rest ...string) map[string]any {
	m := map[string]any{"$ref": model, "by": by}
	for i := 0; i+1 < len(rest); i += 2 {
		m[rest[i]] = rest[i+1]
	}
	return m
}
