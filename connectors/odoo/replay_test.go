package odoo

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

// What a real server answered is what the simulated one owes. Each captured
// request is made to a server that holds the records which the request names,
// and the answers are compared: status, class of the fault, and shape.
func TestTheSimulatedServerAnswersAsTheRealOneDid(t *testing.T) {
	t.Parallel()
	all, real := captures(t)
	differs := map[string]bool{}
	for _, c := range all {
		name := c.name
		reason := knownDifferences[name]
		if reason == "" {
			name = c.situation()
			reason = knownDifferences[name]
		}
		got, want := c.ask(t), essence(c.answer)
		same := alike(got, want)
		if !same && reason == "" {
			t.Errorf("%s:\n got %s\nwant %s", c.name, show(got), show(want))
		}
		if reason != "" {
			differs[name] = differs[name] || !same
		}
	}
	for name := range knownDifferences {
		if real && !differs[name] {
			t.Errorf("%s does not differ any more: take it out of knownDifferences", name)
		}
	}
}

// knownDifferences are captures, by name or by situation, that the simulated
// server answers otherwise, and why.
var knownDifferences = map[string]string{
	"http-version_info":                        notSpoken,
	"http-xmlrpc_v1_denied":                    notSpoken,
	"http-xmlrpc_v1_fault":                     notSpoken,
	"web-session-authenticate":                 notSpoken,
	"edge-payload_10MB":                        "the capture does not hold the body, which is 10 MB of one letter",
	"json-edge-text_10MB":                      "the capture does not hold the body, which is 10 MB of one letter",
	"xml-db-list":                              "the simulated server has list_db off, as it should be",
	"load-installed_module_prefix_import_file": "the simulated server has no modules, and no check of the import wizard's",
	"load-lowpriv_create":                      "the simulated server has rights of models, and none of fields",
}

const notSpoken = "no part of the interfaces that are spoken"

// ask makes the captured request to a simulated server.
func (c capture) ask(t *testing.T) any {
	t.Helper()
	database := "hospital"
	if c.version() == "19.0" {
		database = "hospital19"
	}
	users := []simulated.User{} // by their captured ids, from 3 on; the name is the captured password
	for login := range strings.FieldsSeq("three four five six bpw eight lowpw porpw integpw bad0 bad1") {
		u := simulated.User{Login: login, Key: login, NoModelData: login == "lowpw" || login == "integpw", ReadOnly: login == "lowpw" || login == "porpw"}
		if login == "lowpw" {
			u.NoAccess = []string{"account.move"}
		}
		users = append(users, u)
	}
	srv := simulated.New(simulated.Config{Version: c.version(), Database: database, User: "admin", Key: "admin", Users: users, Seeds: c.seeds(),
		Models: map[string]simulated.Model{"mail.activity": {Label: "Activity"}}})
	if err := srv.Err(); err != nil {
		t.Errorf("%s: %v", c.name, err)
		return nil
	}
	if f := circumstances[c.situation()]; f.Kind != 0 {
		srv.Fail(f)
	}
	key := "admin"
	switch c.situation() {
	case "fault-bad_key":
		key = "wrong"
	case "fault-deactivated_user":
		srv.Archive("lowpw", true)
	}
	r := httptest.NewRequest(c.method, c.path, strings.NewReader(strings.ReplaceAll(c.body, "<api-key>", key)))
	for k, v := range c.header {
		r.Header.Set(k, strings.ReplaceAll(v[0], "<api-key>", key))
	}
	w := httptest.NewRecorder()
	srv.ServeHTTP(w, r)
	return essence(httpAnswer{wire: c.answer.wire, contentType: w.Header().Get("Content-Type"), status: w.Code, body: w.Body.String()})
}

// circumstances are faults that came from outside of the request.
var circumstances = map[string]simulated.Fault{
	"backend_killed_mid_tx":      {Kind: simulated.FaultRaise, Class: "psycopg2.InterfaceError", Message: "connection already closed"},
	"conc-serialization_failure": {Kind: simulated.FaultRaise},
	"conc-serialization":         {Kind: simulated.FaultRaise},
	"conc-load_serialization":    {Kind: simulated.FaultRaise},
	"pg_down":                    {Kind: simulated.FaultRaise, Class: "psycopg2.OperationalError", Message: "Connection refused"},
	"pg_down-authenticate":       {Kind: simulated.FaultRaise, Class: "psycopg2.OperationalError", Message: "Connection refused"},
	"pool_full":                  {Kind: simulated.FaultStatus, Status: 500},
}

// seeds are the records that the request takes for granted: those whose ids it
// gives, and those of the external ids that it refers to.
func (c capture) seeds() []simulated.Seed {
	var out []simulated.Seed
	put := func(sd simulated.Seed) {
		if !slices.ContainsFunc(out, func(s simulated.Seed) bool { return s.Model == sd.Model && s.ID == sd.ID && s.XID == sd.XID }) {
			out = append(out, sd)
		}
	}
	for _, sd := range situations[c.situation()] {
		put(sd)
	}
	model, method, params := c.call()
	if strings.Contains(c.answer.body, "Record does not exist") || strings.Contains(c.name, "missing") {
		return out
	}
	some := func(id int64, xid, model string) simulated.Seed {
		values := map[string]any{"name": "n"}
		switch model {
		case "res.partner":
			values["city"] = "Boston"
		case "sale.order", "purchase.order", "account.move":
			values["partner_id"] = int64(1)
		}
		switch c.situation() {
		case "fault-usererror_confirm_twice":
			values["state"] = "sale"
		case "fault-usererror_post_twice", "fault-usererror_unlink_posted", "fault-usererror_write_posted":
			values["state"] = "posted"
		}
		return simulated.Seed{Model: model, ID: id, XID: xid, Values: values}
	}
	for _, id := range list(params["0"]) {
		n, err := strconv.ParseInt(fmt.Sprint(id), 10, 64)
		if err == nil && (n > 1 || model != "res.partner" && model != "res.company") && !slices.ContainsFunc(out, func(s simulated.Seed) bool { return s.Model == model && s.ID == n }) {
			put(some(n, "", model))
		}
	}
	switch c.situation() {
	case "fault-python_constraint_barcode", "fault-unique_login", "fault-unique": // it was made before
		values, ok := params["0"].(map[string]any)
		if !ok {
			values, _ = params["vals_list"].(map[string]any)
		}
		put(simulated.Seed{Model: model, Values: values})
	case "fault-unique_index_imd":
		values, _ := params["0"].(map[string]any)
		put(some(0, fmt.Sprintf("%v.%v", values["module"], values["name"]), "res.partner"))
	case "lowpriv-check_object_reference":
		put(some(0, fmt.Sprintf("%v.%v", params["0"], params["1"]), "res.partner"))
	case "load-other_model":
		put(some(0, fmt.Sprint(list(list(params["1"])[0])[0]), "res.partner"))
	case "load-replay_on_posted_plain":
		put(simulated.Seed{Model: "account.move", XID: fmt.Sprint(list(list(params["1"])[0])[0]), Values: map[string]any{"partner_id": int64(1), "state": "posted"}})
	}
	if method != "load" {
		return out
	}
	for i, column := range list(params["0"]) {
		relation := map[string]string{"parent_id/id": "res.partner", "partner_id/id": "res.partner", "invoice_line_ids/product_id/id": "product.product"}[fmt.Sprint(column)]
		for _, row := range list(params["1"]) {
			if xid := fmt.Sprint(list(row)[i]); relation != "" && xid != "" && !strings.Contains(c.body, `[["`+xid) {
				put(some(0, xid, relation))
			}
		}
	}
	return out
}

func list(v any) []any { l, _ := v.([]any); return l }

// situations are records of single captures.
var situations = map[string][]simulated.Seed{
	"edge-commands":                {tag(1)},
	"edge-commands_bare_ids":       {tag(1)},
	"edge-action_post":             {{Model: "account.move", ID: 3, Values: map[string]any{"partner_id": int64(1)}}, {Model: "account.move.line", Values: map[string]any{"move_id": int64(3)}}},
	"edge-commands_update":         {{Model: "res.partner", ID: 47, Values: map[string]any{"name": "kid", "parent_id": int64(1)}}, {Model: "res.partner", ID: 48, Values: map[string]any{"name": "kid", "parent_id": int64(1)}}},
	"fault-unlink_restrict":        {{Model: "sale.order", Values: map[string]any{"partner_id": int64(1), "company_id": int64(1)}}},
	"fault-usererror_write_posted": {{Model: "account.journal", ID: 2, Values: map[string]any{"name": "Bank", "code": "BNK1"}}},
	"load-m2o_dbid":                {{Model: "res.country", ID: 233, Values: map[string]any{"name": "Somewhere", "code": "XX"}}},
	"load-m2m_xids":                {{Model: "account.tax", ID: 1, Values: map[string]any{"name": "15%"}}},
	"load-dbid_column":             {{Model: "res.partner", ID: 1389, Values: map[string]any{"name": "n"}}},
}

func tag(id int64) simulated.Seed {
	return simulated.Seed{Model: "res.partner.category", ID: id, Values: map[string]any{"name": "Tag"}}
}

// call is what the request calls, with its parameters by place, "0", and by name.
func (c capture) call() (model, method string, params map[string]any) {
	params = map[string]any{}
	if c.answer.wire == "json2" {
		model, method, _ = strings.Cut(strings.TrimPrefix(c.path, "/json/2/"), "/")
		_ = json.Unmarshal([]byte(c.body), &params)
		params["0"], params["1"] = params["ids"], params["vals"]
		if method == "load" {
			params["0"], params["1"] = params["fields"], params["data"]
		}
		return model, method, params
	}
	args := c.params()
	if len(args) < 5 {
		return "", "", params
	}
	rest := args[5:]
	if len(rest) > 0 && !strings.Contains(c.name, "-execute") {
		rest = list(rest[0])
	}
	for i, v := range rest {
		params[strconv.Itoa(i)] = v
	}
	return fmt.Sprint(args[3]), fmt.Sprint(args[4]), params
}

// params are the parameters of a request, whichever wire it is of.
func (c capture) params() []any {
	if c.answer.wire == "xmlrpc" {
		var call struct {
			Values []xmlTree `xml:"params>param>value"`
		}
		_ = xml.Unmarshal([]byte(c.body), &call)
		out := []any{}
		for _, v := range call.Values {
			out = append(out, v.value())
		}
		return out
	}
	var call struct {
		Params struct{ Args []any }
	}
	_ = json.Unmarshal([]byte(c.body), &call)
	return call.Params.Args
}

// An xmlTree is an element of XML-RPC.
type xmlTree struct {
	XMLName xml.Name
	Text    string    `xml:",chardata"`
	Inner   []xmlTree `xml:",any"`
}

func (x xmlTree) value() any {
	if len(x.Inner) == 0 {
		return x.Text
	}
	in := x.Inner[0]
	switch in.XMLName.Local {
	case "array":
		out := []any{}
		for _, v := range in.Inner[0].Inner {
			out = append(out, v.value())
		}
		return out
	case "struct":
		out := map[string]any{}
		for _, m := range in.Inner {
			out[m.Inner[0].Text] = m.Inner[1].value()
		}
		return out
	}
	return in.Text
}

// essence is what of an answer is compared.
func essence(a httpAnswer) any {
	page := map[string]any{"status": a.status, "page": strings.HasPrefix(a.contentType, "text/html")}
	switch {
	case a.wire == "xmlrpc" && strings.Contains(a.body, "<methodResponse>"):
		var doc struct {
			Fault  []xmlTree `xml:"fault>value"`
			Result []xmlTree `xml:"params>param>value"`
		}
		if err := xml.Unmarshal([]byte(a.body), &doc); err != nil {
			return err.Error()
		}
		if len(doc.Fault) > 0 {
			fault, _ := doc.Fault[0].value().(map[string]any)
			code, text := fmt.Sprint(fault["faultCode"]), fmt.Sprint(fault["faultString"])
			if code == "1" {
				text, _, _ = strings.Cut(exceptionLine(text), ":")
			} else {
				text = ""
			}
			return map[string]any{"status": a.status, "code": code, "exception": text}
		}
		return map[string]any{"status": a.status, "result": doc.Result[0].shape()}
	case strings.HasPrefix(a.contentType, "application/json"):
		var v map[string]any
		var list any
		if json.Unmarshal([]byte(a.body), &list) != nil {
			return "not JSON: " + a.body
		}
		v, _ = list.(map[string]any)
		if e, ok := v["error"].(map[string]any); ok {
			data, _ := e["data"].(map[string]any)
			return map[string]any{"status": a.status, "error": data["name"], "keys": keys(e) + " " + keys(data)}
		}
		if a.wire == "json2" && a.status != 200 {
			return map[string]any{"status": a.status, "error": v["name"], "keys": keys(v)}
		}
		return map[string]any{"status": a.status, "result": shape(list)}
	}
	return page
}

func keys(m map[string]any) string { return strings.Join(slices.Sorted(maps.Keys(m)), " ") }

// shape is a value with its scalars replaced by their types. Objects whose keys
// are data (ids) have the shape of one.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for k, it := range v {
			if _, err := strconv.Atoi(k); err == nil {
				k = "#"
			}
			out[k] = shape(it)
		}
		return out
	case []any:
		out := []any{}
		for _, it := range v {
			s := shape(it)
			if !slices.ContainsFunc(out, func(o any) bool { return alike(o, s) }) {
				out = append(out, s)
			}
		}
		return out
	case float64:
		return "number"
	case nil:
		return "null"
	}
	return fmt.Sprintf("%T", v)
}

func (x xmlTree) shape() any {
	if len(x.Inner) == 0 {
		return "string"
	}
	switch in := x.Inner[0]; in.XMLName.Local {
	case "array":
		out := []any{}
		for _, v := range in.Inner[0].Inner {
			s := v.shape()
			if !slices.ContainsFunc(out, func(o any) bool { return alike(o, s) }) {
				out = append(out, s)
			}
		}
		return out
	case "struct":
		out := map[string]any{}
		for _, m := range in.Inner {
			k := m.Inner[0].Text
			if _, err := strconv.Atoi(k); err == nil {
				k = "#"
			}
			out[k] = m.Inner[1].shape()
		}
		return out
	case "int", "i4", "i8", "double":
		return "number"
	case "boolean":
		return "bool"
	}
	return "string"
}

// alike compares shapes. A list without elements may be one of any; an empty
// value is false where a text or a pair is otherwise.
func alike(a, b any) bool {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k := range a {
			if _, has := b[k]; !has || !alike(a[k], b[k]) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok {
			return false
		}
		within := func(a, b []any) bool {
			return !slices.ContainsFunc(a, func(x any) bool { return !slices.ContainsFunc(b, func(y any) bool { return alike(x, y) }) })
		}
		return len(a) == 0 || len(b) == 0 || within(a, b) || within(b, a)
	}
	return fmt.Sprint(a) == fmt.Sprint(b)
}

func show(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(b)
}
