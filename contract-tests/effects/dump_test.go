package effects_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// An endpoint is a database and how the worker is to use it.
type endpoint struct {
	name                     string
	url, db, user, key, mode string
	protocol                 string
	version                  int
	uid                      any
	simulated                *simulated.Server // nil: a real one
}

// login asks once who the user is: Odoo takes its time for that.
func (e *endpoint) login() (err error) {
	e.uid, err = e.rpc("common", "authenticate", e.db, e.user, e.key, map[string]any{})
	return err
}

// simulate starts an Odoo of its own.
func simulate(t *testing.T, addon bool) endpoint {
	t.Helper()
	sim := simulated.New(simulated.Config{Addon: addon, History: true, Models: map[string]simulated.Model{
		"res.partner": {Fields: map[string]simulated.Field{"child_ids": {Type: "one2many", Label: "Contacts", Relation: "res.partner", Inverse: "parent_id"}}}}})
	url, err := sim.Start("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sim.Close() })
	e := endpoint{name: "external-id", url: url, db: "demo", user: "vagus", key: "simulated", mode: "off", protocol: "jsonrpc", version: 18, simulated: sim}
	if err := e.login(); err != nil {
		t.Fatal(err)
	}
	if addon {
		e.name, e.mode, e.protocol = "addon", "require", "xmlrpc"
	}
	return e
}

// realOnes are the ways to use the real server that the environment names.
func realOnes(t *testing.T) (all []endpoint) {
	e := endpoint{name: "real external-id", url: os.Getenv("VAGUS_ODOO_URL"), db: os.Getenv("VAGUS_ODOO_DB"), user: os.Getenv("VAGUS_ODOO_USER"), key: os.Getenv("VAGUS_ODOO_KEY"), mode: "off", protocol: "jsonrpc"}
	if e.url == "" {
		t.Log("VAGUS_ODOO_URL is not set: checked against the simulated Odoo only")
		return nil
	}
	if err := e.login(); err != nil {
		t.Fatal(err)
	}
	if about, err := e.rpc("common", "version"); err != nil {
		t.Fatal(err)
	} else if v, _ := about.(map[string]any)["server_version_info"].([]any); len(v) > 0 {
		n, _ := v[0].(float64)
		if e.version = int(n); e.version >= 19 {
			e.protocol = "json2"
		}
	}
	if p := os.Getenv("VAGUS_ODOO_PROTOCOL"); p != "" {
		e.protocol = p
	}
	all = append(all, e)
	if _, err := e.call("vagus.unit", "version", nil, nil); err != nil {
		t.Logf("this server has no addon that its user may use: not checked with it (%v)", err)
		return all
	}
	e.name, e.mode = "real addon", "require"
	return append(all, e)
}

// call calls a method by JSON-RPC.
func (e endpoint) call(model, method string, args []any, kw map[string]any) (any, error) {
	if args == nil {
		args = []any{}
	}
	if kw == nil {
		kw = map[string]any{}
	}
	return e.rpc("object", "execute_kw", e.db, e.uid, e.key, model, method, args, kw)
}

func (e endpoint) rpc(service, method string, args ...any) (any, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "params": map[string]any{"service": service, "method": method, "args": append([]any{}, args...)}})
	if err != nil {
		return nil, err
	}
	res, err := http.Post(e.url+"/jsonrpc", "application/json", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	var answer struct {
		Result any
		Error  *struct {
			Data struct{ Name, Message string }
		}
	}
	if err := json.NewDecoder(res.Body).Decode(&answer); err != nil {
		return nil, err
	}
	if answer.Error != nil {
		return nil, fmt.Errorf("%s: %s", answer.Error.Data.Name, answer.Error.Data.Message)
	}
	return answer.Result, nil
}

func (e endpoint) has(model string) bool {
	_, err := e.call(model, "search_count", []any{[]any{[]any{"id", "=", 0}}}, nil)
	return err == nil
}

// A table is what is read of a model: the records whose field holds the tests' prefix.
type table struct {
	model, by string
	fields    []string
	many      map[string]string // fields that name several records, and their model
}

var tables = []table{
	{"res.partner", "ref", []string{"ref", "name", "street", "city", "function", "active", "parent_id", "type", "category_id"}, map[string]string{"category_id": "res.partner.category"}},
	{"res.partner", "parent_id.ref", []string{"name", "function", "active", "parent_id", "type"}, nil},
	{"res.partner.category", "name", []string{"name", "active"}, nil},
	{"product.product", "default_code", []string{"default_code", "name"}, nil},
	{"stock.quant", "product_id.default_code", []string{"location_id", "quantity", "inventory_quantity", "inventory_quantity_set"}, nil},
	{"stock.move", "product_id.default_code", []string{"is_inventory", "quantity", "product_uom_qty"}, nil},
	{"sale.order", "client_order_ref", []string{"client_order_ref", "state", "partner_id"}, nil},
	{"sale.order.line", "order_id.client_order_ref", []string{"name", "product_uom_qty", "price_unit", "product_id"}, nil},
	{"account.move", "ref", []string{"ref", "state", "move_type"}, nil},
	{"account.move.line", "move_id.ref", []string{"name", "quantity", "price_unit"}, nil},
	{"hr.employee", "name", []string{"name", "active", "parent_id"}, nil},
}

// dump reads what is in the database under a prefix, without database ids and
// times: a line for each record, and how many external ids it has.
func (e endpoint) dump(prefix string) ([]string, error) {
	var lines []string
	for _, tb := range tables {
		if !e.has(tb.model) {
			continue
		}
		rows, err := e.rows(tb.model, []any{[]any{tb.by, "like", prefix}}, append([]string{"id"}, tb.fields...))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", tb.model, err)
		}
		ids := []any{}
		for _, row := range rows {
			ids = append(ids, row["id"])
		}
		data, err := e.rows("ir.model.data", []any{[]any{"model", "=", tb.model}, []any{"res_id", "in", ids}}, []string{"res_id"})
		if err != nil {
			return nil, err
		}
		named := map[any]int{}
		for _, d := range data {
			named[d["res_id"]]++
		}
		for _, row := range rows {
			line := tb.model
			for _, f := range tb.fields {
				value := row[f]
				switch v := value.(type) {
				case []any:
					if tb.many[f] == "" && len(v) == 2 {
						value = v[1] // a many2one's name
					} else if len(v) > 0 {
						value, err = e.names(tb.many[f], v)
						if err != nil {
							return nil, err
						}
					}
				}
				line += fmt.Sprintf(" %s=%v", f, value)
			}
			line = numbered.ReplaceAllString(fmt.Sprintf("%s external ids=%d", line, named[row["id"]]), "$1/·")
			lines = append(lines, strings.ReplaceAll(line, prefix, "·"))
		}
	}
	slices.Sort(lines)
	return lines, nil
}

func (e endpoint) rows(model string, domain []any, fields []string) ([]map[string]any, error) {
	res, err := e.call(model, "search_read", []any{domain, fields}, map[string]any{"context": map[string]any{"active_test": false, "lang": "en_US"}})
	if err != nil {
		return nil, err
	}
	list, _ := res.([]any)
	out := make([]map[string]any, 0, len(list))
	for _, it := range list {
		row, _ := it.(map[string]any)
		out = append(out, row)
	}
	return out, nil
}

func (e endpoint) names(model string, ids []any) ([]string, error) {
	rows, err := e.rows(model, []any{[]any{"id", "in", ids}}, []string{"name"})
	names := []string{}
	for _, r := range rows {
		names = append(names, fmt.Sprint(r["name"]))
	}
	slices.Sort(names)
	return names, err
}

// numbered are the numbers that Odoo counts up from document to document, INV/2026/00001.
var numbered = regexp.MustCompile(`\b([A-Z]+/\d{4})/\d{5}\b`)

// madeUp are the external ids that hold a digest of what the prefix is in.
var madeUp = regexp.MustCompile(`vagus_(unit|line)\.[0-9a-z]+`)

// history is every change that was committed, in an order of its own. Only the
// simulated Odoo keeps it.
func (e endpoint) history(prefix string) []string {
	if e.simulated == nil {
		return nil
	}
	var lines []string
	for _, f := range e.simulated.Effects() {
		if strings.HasSuffix(f.Model, ".wizard") { // a form that Odoo throws away by itself; what it does is a change of its own
			continue
		}
		// fmt prints maps with their keys in order.
		line := madeUp.ReplaceAllString(fmt.Sprintf("%s %s %v %v", f.Kind, f.Model, f.XIDs, f.Values), "vagus_$1.·")
		lines = append(lines, strings.ReplaceAll(line, prefix, "·"))
	}
	slices.SortFunc(lines, cmp.Compare)
	return lines
}
