package odoo

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"
)

// secret is in every text of these tests: it must never be in a reason.
const secret = "Kowalski-1944"

// A faultCase is a fault of Odoo as a real server gives it, in words of our own
// where the words do not decide, and what is done about it: see the
// table in README.md.
type faultCase struct {
	situation   string
	class, text string // as JSON-RPC and JSON-2 name it
	xml         int    // the code on XML-RPC; 0: does not go over it
	json2       int    // the status on JSON-2; 0: does not come by it
	act         action
	token       string
}

var faultCases = []faultCase{
	{"wrong password", "odoo.exceptions.AccessDenied", "Access Denied", 3, 0, unwell, "odoo.access_denied"},
	{"wrong key", "werkzeug.exceptions.Unauthorized", "Invalid apikey", 0, 401, unwell, "odoo.access_denied"},
	{"wrong database", "psycopg2.OperationalError", "connection to server at \"127.0.0.1\", port 5432 failed: FATAL:  database \"nope\" does not exist\n", 1, 0, unwell, "odoo.no_database"},
	{"PostgreSQL down", "psycopg2.OperationalError", "connection to server at \"127.0.0.1\", port 5432 failed: Connection refused\n\tIs the server running on that host and accepting TCP/IP connections?\n", 1, 500, unwell, "odoo.database_down"},
	{"PostgreSQL backend killed", "psycopg2.InterfaceError", "connection already closed", 1, 500, retry, "odoo.interrupted"},
	{"body stalled", "werkzeug.exceptions.ClientDisconnected", "400 Bad Request", 1, 500, retry, "odoo.interrupted"},
	{"hot row", "psycopg2.errors.SerializationFailure", "could not serialize access due to concurrent update\n", 1, 500, retry, "odoo.SerializationFailure"},
	{"deadlock", "psycopg2.errors.DeadlockDetected", "deadlock detected\nDETAIL:  Process 1 waits\n", 1, 500, retry, "odoo.SerializationFailure"},
	{"lock", "psycopg2.errors.LockNotAvailable", "could not obtain lock on row in relation \"res_partner\"\n", 1, 500, retry, "odoo.SerializationFailure"},
	{"missing model", "odoo.exceptions.UserError", "Object no.such.model doesn't exist", 2, 0, reject, "odoo.missing_model"},
	{"missing model on JSON-2", "werkzeug.exceptions.NotFound", "the model 'no.such.model' does not exist", 0, 404, reject, "odoo.missing_model"},
	{"missing method", "builtins.AttributeError", "The method 'x' does not exist on the model 'res.partner'", 1, 0, reject, "odoo.missing_method"},
	{"missing method on JSON-2", "werkzeug.exceptions.NotFound", "The method 'res.partner.x' does not exist", 0, 404, reject, "odoo.missing_method"},
	{"private method", "odoo.exceptions.AccessError", "Private methods (such as 'res.partner._x') cannot be called remotely.", 4, 403, reject, "odoo.AccessError"},
	{"no right", "odoo.exceptions.AccessError", "You are not allowed to create 'Contact' (res.partner) records.", 4, 403, reject, "odoo.AccessError"},
	{"a company of somebody else", "odoo.exceptions.AccessError", "Access to unauthorized or invalid companies.", 4, 403, reject, "odoo.no_company"},
	{"bad arguments", "builtins.TypeError", "BaseModel.search() got an unexpected keyword argument 'bogus'", 1, 0, reject, "odoo.bad_call"},
	{"bad arguments on JSON-2", "werkzeug.exceptions.UnprocessableEntity", "missing a required argument: 'vals'", 0, 422, reject, "odoo.bad_call"},
	{"malformed JSON", "werkzeug.exceptions.BadRequest", "could not parse the body as json: " + secret, 0, 400, reject, "odoo.bad_request"},
	{"unknown field", "builtins.ValueError", "Invalid field 'nofield' on model 'res.partner'", 1, 500, reject, "odoo.unknown_field"},
	{"unknown column", "builtins.ValueError", "Invalid field name 'nofield'", 1, 500, reject, "odoo.unknown_field"},
	{"bad date", "builtins.ValueError", "time data '" + secret + "' does not match format '%Y-%m-%d'", 1, 500, reject, "odoo.bad_value"},
	{"wrong type", "psycopg2.errors.InvalidTextRepresentation", "invalid input syntax for type integer: \"" + secret + "\"\nLINE 1: ...910', 2, 0, '" + secret + "', 'no...\n                      ^\n", 1, 500, reject, "odoo.bad_value"},
	{"big integer", "psycopg2.errors.NumericValueOutOfRange", "integer out of range\n", 1, 500, reject, "odoo.bad_value"},
	{"python constraint", "odoo.exceptions.ValidationError", "Barcode(s) already assigned:\n\n- Barcode \"" + secret + "\"", 0, 422, reject, "odoo.ValidationError"},
	{"python constraint on XML-RPC", "odoo.exceptions.UserError", "Barcode(s) already assigned:\n\n- Barcode \"" + secret + "\"", 2, 0, reject, "odoo.UserError"},
	{"NOT NULL", "odoo.exceptions.ValidationError", "The operation cannot be completed:\n- Create/update: a mandatory field is not set.\n- Delete: another model requires the record being deleted. If possible, archive it instead.\n\nModel: X (x)\nField: Name (name)\n", 2, 422, reject, "odoo.required"},
	{"NOT NULL on 19", "odoo.exceptions.ValidationError", "The operation cannot be completed: Missing required value for the field 'Name' (name).\nModel: 'X' (x)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n", 2, 422, reject, "odoo.required"},
	{"foreign key on 19", "odoo.exceptions.ValidationError", "The operation cannot be completed: Another model is using the record you are trying to delete.\n\nThe troublemaker is: 'Contact' (res.partner)\nThanks to the following constraint: 'Country' (country_id)\nHow about archiving the record instead?", 2, 422, stale, "odoo.missing_reference"},
	{"unknown field on 19", "builtins.ValueError", "Invalid field 'nofield' in 'res.partner'", 1, 500, reject, "odoo.unknown_field"},
	{"unknown column on 17", "builtins.KeyError", "name", 1, 0, reject, "odoo.unknown_field"},
	{"a posted document on 17", "odoo.exceptions.UserError", "You can't delete a posted journal item.", 2, 0, reject, "odoo.posted"},
	{"check constraint", "odoo.exceptions.ValidationError", "The operation cannot be completed: Contacts require a name", 2, 422, reject, "odoo.required"},
	{"the same external id at once", "odoo.exceptions.ValidationError", "The operation cannot be completed: duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key (module, name)=(a, b) already exists.\n", 2, 422, again, "odoo.conflict"},
	{"foreign key", "odoo.exceptions.ValidationError", "The operation cannot be completed: another model requires the record being deleted. If possible, archive it instead.\n\nModel: Contact (res.partner)\nConstraint: res_partner_country_id_fkey\n", 2, 422, stale, "odoo.missing_reference"},
	{"deleted record", "odoo.exceptions.MissingError", "Record does not exist or has been deleted.\n(Record: res.partner(27,), User: 2)", 2, 404, stale, "odoo.missing_record"},
	{"business state", "odoo.exceptions.UserError", "The entry INV/2026/00001 (id 1) must be in draft.", 2, 422, reject, "odoo.UserError"},
	{"malformed XML", "xml.parsers.expat.ExpatError", "unclosed token: line 1, column 0", 1, 0, reject, "odoo.bad_request"},
	{"a service that is none", "builtins.KeyError", "nosuch", 1, 0, retry, "odoo.unknown"},
	{"never seen", "odoo.addons.site.SurpriseError", secret, 1, 500, retry, "odoo.unknown"},
}

const traceback = "Traceback (most recent call last):\n  File \"/odoo/addons/base/controllers/rpc.py\", line 158, in xmlrpc_2\n    response = self._xmlrpc(service)\n" +
	"\nDuring handling of the above exception, another exception occurred:\n\nTraceback (most recent call last):\n  File \"/odoo/sql_db.py\", line 354, in execute\n    res = self._obj.execute(query, params)\n          ^^^^^^^^^^\n"

// An httpAnswer is what comes back for a call.
type httpAnswer struct {
	wire, contentType string
	status            int
	body              string
}

// answers are the case as each wire has it.
func (c faultCase) answers(t *testing.T) []httpAnswer {
	t.Helper()
	quoted := func(v any) string {
		b, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	cause := map[string]any{"name": c.class, "message": c.text, "arguments": []any{c.text}, "context": map[string]any{}, "debug": traceback + c.text}
	var all []httpAnswer
	if c.xml != 0 || c.json2 == 0 || !strings.HasPrefix(c.class, "werkzeug") {
		all = append(all, httpAnswer{"jsonrpc", "application/json", 200, quoted(map[string]any{"jsonrpc": "2.0", "id": 1,
			"error": map[string]any{"code": 200, "message": "Odoo Server Error", "data": cause}})})
	}
	if c.json2 != 0 {
		all = append(all, httpAnswer{"json2", "application/json", c.json2, quoted(cause)})
	}
	if c.xml != 0 {
		text := c.text
		if c.xml == 1 {
			text = traceback + strings.TrimPrefix(c.class, "builtins.") + ": " + c.text + "\n"
		}
		var escaped strings.Builder
		_ = xml.EscapeText(&escaped, []byte(text))
		all = append(all, httpAnswer{"xmlrpc", "text/xml", 200, fmt.Sprintf("<?xml version=\"1.0\"?>\n<methodResponse>\n<fault>\n<value><struct>\n<member>\n<name>faultCode</name>\n<value><int>%d</int></value>\n</member>\n"+
			"<member>\n<name>faultString</name>\n<value><string>%s</string></value>\n</member>\n</struct></value>\n</fault>\n\n</methodResponse>\n", c.xml, escaped.String())})
	}
	return all
}

// replay gives an answer to a call of a wire and returns what becomes of it.
func (a httpAnswer) replay(t *testing.T) (any, error) {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", a.contentType)
		w.Header().Set("Connection", "close")
		w.WriteHeader(a.status)
		_, _ = io.WriteString(w, a.body)
	}))
	defer srv.Close()
	p, err := newPoster(Config{URL: srv.URL, Timeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	return wires[a.wire](p).execute(t.Context(), who{}, "res.partner", "write", nil, nil)
}

func TestEveryFaultHasItsVerdict(t *testing.T) {
	t.Parallel()
	for _, c := range faultCases {
		for _, a := range c.answers(t) {
			res, err := a.replay(t)
			var f *fault
			if res != nil || !errors.As(err, &f) {
				t.Errorf("%s on %s: %v %v", c.situation, a.wire, res, err)
				continue
			}
			v := judge(f, "", []string{"id", "name"})
			if v.act != c.act || v.class != c.token {
				t.Errorf("%s on %s: got %d %s, want %d %s", c.situation, a.wire, v.act, v.class, c.act, c.token)
			}
			if o := fmt.Sprint(v.outcome("res.partner"), f); strings.Contains(o, secret) || strings.Contains(o, "nofield") {
				t.Errorf("text leaks: %s", o)
			}
		}
	}
}

// loadMessages are texts of load, and the class that they have.
var loadMessages = map[string]string{
	"could not serialize access due to concurrent update\n":                                                                            "odoo.SerializationFailure",
	"deadlock detected\nDETAIL:  Process 1\n":                                                                                          "odoo.SerializationFailure",
	"could not obtain lock on row in relation \"res_partner\"\n":                                                                       "odoo.SerializationFailure",
	"duplicate key value violates unique constraint \"ir_model_data_module_name_uniq_index\"\nDETAIL:  Key\n":                          "odoo.conflict",
	"Value 'zzz' not found in selection field 'Address Type'":                                                                          "odoo.bad_value",
	"'" + secret + "' does not seem to be a valid date for field 'Date'":                                                               "odoo.bad_value",
	"'x' does not seem to be a number for field 'Sales Price'":                                                                         "odoo.bad_value",
	"Unknown value 'x' for boolean field 'Active'":                                                                                     "odoo.bad_value",
	"integer out of range\n":                                                                                                           "odoo.bad_value",
	"No matching record found for external id 'broker.nope' in field 'Related Company'":                                                "odoo.missing_reference",
	"No matching record found for database id '999999' in field 'Country'":                                                             "odoo.missing_reference",
	"No matching record found for name 'Narnia' in field 'Country'":                                                                    "odoo.bad_value",
	"Unknown database identifier '9'":                                                                                                  "odoo.missing_record",
	"Record does not exist or has been deleted.\n(Record: res.partner(9,), User: 2)":                                                   "odoo.missing_record",
	"insert or update on table \"res_partner\" violates foreign key constraint \"x\"\nDETAIL:  Key (country_id)=(9)\n":                 "odoo.missing_reference",
	"'Contacts require a name'":                                                                                                        "odoo.required",
	"Missing required value for the field 'Name' (name)":                                                                               "odoo.required",
	"For external id a.b when trying to create/update a record of model x found record of different model y (1)":                       "odoo.other_model",
	"new row for relation \"ir_model_data\" violates check constraint \"ir_model_data_name_nospaces\"\nDETAIL:  " + secret + "\n":      "odoo.invalid_xid",
	"new row for relation \"x\" violates check constraint \"y\"\nDETAIL:  Failing row contains (" + secret + ").\n":                    "odoo.constraint",
	"You are not allowed to create 'Contact' (res.partner) records.\n\nContact your administrator to request access if necessary.":     "odoo.AccessError",
	"You do not have enough rights to access the fields \"credit_limit\" on Contact (res.partner).":                                    "odoo.AccessError",
	"Unknown error during import: <class 'ValueError'>: A string literal cannot contain NUL (0x00) characters.":                        "odoo.bad_value",
	"Unknown error during import: <class 'psycopg2.errors.SerializationFailure'>: could not serialize access due to concurrent update": "odoo.SerializationFailure",
	"Unknown error during import: <class 'TypeError'>: can only concatenate list (not \"NoneType\") to list":                           "odoo.bad_call",
	"Another model is using the record you are trying to delete.\n\nThe troublemaker is: 'Contact' (res.partner)\n":                    "odoo.missing_reference",
	"Unknown error during import: <class 'SurpriseError'>: " + secret:                                                                  "odoo.unknown",
	"Unknown database error: 'current transaction is aborted'":                                                                         "odoo.interrupted",
	"canceling statement due to statement timeout\n":                                                                                   "odoo.interrupted",
	"a PostgreSQL error that nobody has seen " + secret + "\n":                                                                         "odoo.unknown",
	"Barcode(s) already assigned:\n\n- Barcode \"" + secret + "\" already assigned to product(s): P1":                                  "odoo.UserError",
	"You cannot create recursive Partner hierarchies.":                                                                                 "odoo.UserError",
}

func TestEveryMessageOfLoadHasItsVerdict(t *testing.T) {
	for text, want := range loadMessages {
		v := judge(&fault{class: "row", text: text}, secret, []string{"id", "name"})
		if v.class != want {
			t.Errorf("%q: got %s, want %s", text, v.class, want)
		}
		if o := fmt.Sprint(v.outcome("res.partner")); strings.Contains(o, secret) {
			t.Errorf("text leaks: %s", o)
		}
	}
}

func TestAFieldIsNamedOnlyWhenWeSentIt(t *testing.T) {
	f := &fault{class: "row", text: "Value 'zzz' not found in selection field 'Address Type'"}
	if v := judge(f, "type", []string{"id", "type"}); v.field != "type" || v.outcome("res.partner").Reason != "res.partner.type: the value does not fit the field; correct the mapping" {
		t.Errorf("%+v", v)
	}
	if v := judge(f, secret, []string{"id", "type"}); v.field != "" {
		t.Errorf("%+v", v)
	}
	if v := judge(&fault{class: "ValueError", text: "Invalid field name 'x_mrn'"}, "", []string{"id", "x_mrn/.id"}); v.field != "x_mrn" {
		t.Errorf("%+v", v)
	}
	if v := judge(&fault{class: "KeyError", text: "'x_dx'"}, "", []string{"id", "order_line/x_dx"}); v.field != "x_dx" || v.class != "odoo.unknown_field" {
		t.Errorf("%+v", v)
	}
}

func TestReadmeNamesEveryClass(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range append([]rule{{verdict: unknown}}, rules...) {
		if r.verdict.class != "odoo.none" && !strings.Contains(string(readme), "`"+r.verdict.class+"`") {
			t.Errorf("README.md does not explain %s", r.verdict.class)
		}
	}
}
