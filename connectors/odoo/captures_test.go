package odoo

import (
	"cmp"
	"errors"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A capture is a request to a real server, and its answer.
type capture struct {
	name         string // the wire and the situation
	method, path string
	header       http.Header
	body         string
	answer       httpAnswer
}

// situation is the name without its wire.
func (c capture) situation() string {
	for _, p := range []string{"v19-xml-", "v19-json-", "json2-", "json-", "xml-"} {
		if s, ok := strings.CutPrefix(c.name, p); ok {
			return s
		}
	}
	return c.name
}

// version is that of the server which answered.
func (c capture) version() string {
	if strings.HasPrefix(c.name, "json2-") || strings.HasPrefix(c.name, "v19-") {
		return "19.0"
	}
	return "18.0"
}

// captures reads what VAGUS_ODOO_CAPTURES names, or else the few that were
// written by hand, and says which.
func captures(t *testing.T) (all []capture, real bool) {
	t.Helper()
	dir := os.Getenv("VAGUS_ODOO_CAPTURES")
	if real = dir != ""; !real {
		if os.Getenv("CI") == "true" {
			t.Fatal("VAGUS_ODOO_CAPTURES is not set: it must name the directory of captured exchanges")
		}
		t.Log("VAGUS_ODOO_CAPTURES is not set: checked against testdata/exchanges only")
		dir = filepath.Join("testdata", "exchanges")
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) < 10 || real && len(files) < 300 {
		t.Fatalf("%d exchanges in %s, %v", len(files), dir, err)
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		c, err := readCapture(strings.TrimSuffix(filepath.Base(f), ".txt"), string(data))
		if err != nil {
			t.Errorf("%s: %v", f, err)
			continue
		}
		all = append(all, c)
	}
	return all, real
}

// readCapture reads lines that begin with ">>> " (request line and headers), a
// body, and the same with "<<< " for the answer.
func readCapture(name, text string) (capture, error) {
	c := capture{name: name, header: http.Header{}}
	for strings.HasPrefix(text, "# ") {
		_, text, _ = strings.Cut(text, "\n")
	}
	first, rest, ok := strings.Cut(text, "\n<<< HTTP/1.")
	if !ok {
		return c, errors.New("it has no answer")
	}
	head, body, _ := strings.Cut(first, "\n\n")
	for i, line := range strings.Split(strings.TrimSpace(head), "\n") {
		line = strings.TrimPrefix(line, ">>> ")
		if i == 0 {
			c.method, line, _ = strings.Cut(line, " ")
			c.path, _, _ = strings.Cut(line, " ")
			continue
		}
		k, v, _ := strings.Cut(line, ": ")
		c.header.Set(k, v)
	}
	c.body = strings.TrimSuffix(body, "\n")
	head, body, _ = strings.Cut(rest, "\n\n")
	status, _, _ := strings.Cut(head[2:], " ")
	c.answer.status, _ = strconv.Atoi(status)
	for line := range strings.SplitSeq(head, "\n") {
		if v, ok := strings.CutPrefix(line, "<<< Content-Type: "); ok {
			c.answer.contentType = strings.TrimSpace(v)
		}
	}
	c.answer.body = strings.TrimSuffix(body, "\n")
	c.answer.wire = "jsonrpc"
	switch {
	case strings.HasPrefix(c.path, "/xmlrpc/"):
		c.answer.wire = "xmlrpc"
		c.answer.body = strings.ReplaceAll(c.answer.body, "<traceback>", "Traceback (most recent call last):\n  File \"/odoo/rpc.py\", line 1, in call\n    call()")
	case strings.HasPrefix(c.path, "/json/"):
		c.answer.wire = "json2"
	}
	if c.answer.status == 0 || c.path == "" {
		return c, errors.New("it is not a capture")
	}
	return c, nil
}

// verdictOf is what becomes of an answer: "ok", or action and class, and for a
// load that failed that of each message.
func verdictOf(res any, err error) string {
	say := func(v verdict) string {
		return map[action]string{again: "again", retry: "retried", stale: "parked", reject: "rejected", suspect: "apply again to find out", unwell: "target unwell"}[v.act] + " " + v.class
	}
	var f *fault
	if errors.As(err, &f) {
		return say(judge(f, "", nil))
	}
	if err != nil {
		return err.Error()
	}
	m, ok := res.(map[string]any)
	list, isLoad := m["messages"].([]any)
	if !ok || !isLoad || m["ids"] != false {
		return "ok"
	}
	said := map[string]bool{}
	for _, it := range list {
		e, _ := it.(map[string]any)
		text, _ := e["message"].(string)
		if e["type"] == "error" {
			said[say(judge(&fault{class: "row", text: text}, "", nil))] = true
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(said)), ", ")
}

// capturedVerdicts are those of the captures that are not "ok", with the whole
// names or the situations that have them.
var capturedVerdicts = map[string]string{
	"again odoo.SerializationFailure":              "conc-load_serialization",
	"again odoo.conflict":                          "fault-unique_index_imd",
	"apply again to find out odoo.garbage":         "http-head_health http-health_db http-xmlrpc_v1_denied http-xmlrpc_v1_fault",
	"apply again to find out odoo.refused_request": "fault-wrong_ct http-empty_json http-garbage_json http-get_jsonrpc http-gzip_request http-json_array http-json_batch http-json_no_ct http-json_text_ct",
	"apply again to find out odoo.server_error":    "edge-lone-surrogate pool_full",
	"ok": "json-edge-control-0b",
	"parked odoo.missing_record": "fault-fk_violation fault-missing_method fault-missing_record fault-missing_unlink fault-missing_write fault-missing_write_relational fault-wrong_uid " +
		"json-edge-commands_update missing",
	"parked odoo.missing_reference": "fault-fk fault-fk_violation_country fault-unlink_restrict load-m2o_dbid_missing load-m2o_xid_missing",
	"rejected odoo.AccessError": "fault-access_error_create fault-access_error_imd fault-access_error_load fault-access_error_portal fault-access_error_read fault-private " +
		"fault-private_method load-lowpriv_create",
	"rejected odoo.UserError": "fault-python_constraint_barcode fault-unique_login fault-usererror fault-usererror_confirm_twice fault-usererror_post_empty fault-usererror_post_twice " +
		"fault-usererror_write_posted fault-validation_recursion load-installed_module_prefix_import_file lowpriv-export",
	"rejected odoo.UserError, rejected odoo.bad_value": "load-two_kinds",
	"rejected odoo.ValidationError":                    "fault-unique json-fault-python_constraint_barcode json-fault-unique_login json-fault-validation_recursion",
	"rejected odoo.bad_call": "fault-extra_arg fault-extra_kw fault-missing_arg fault-missing_argument fault-model_with_ids fault-positional http-json_missing_params " +
		"load-native_types",
	"rejected odoo.bad_request": "edge-control-0b fault-garbage http-empty_xml http-garbage_xml xml-edge-nul",
	"rejected odoo.bad_value": "edge-ex-i8 edge-i8 edge-m2o_by_name edge-m2o_pair edge-nul fault-bad_date fault-bad_operator fault-iso_datetime_T_write fault-wrong_selection " +
		"fault-wrong_type_int fault-wrong_type_m2o load-bad_date load-m2o_name_missing load-one_bad_row load-user_error load_bad",
	"rejected odoo.invalid_xid":    "load-space_in_name",
	"rejected odoo.missing_method": "json2-fault-missing_method",
	"rejected odoo.missing_model":  "fault-missing_model",
	"rejected odoo.other_model":    "load-other_model",
	"rejected odoo.posted":         "fault-usererror_unlink_posted load-replay_on_posted_plain",
	"rejected odoo.required":       "fault-check fault-check_constraint fault-not_null fault-not_null_partner_id fault-validation load-constraint_row load-not_null load-twelve_bad",
	"rejected odoo.unknown_field": "fault-missing_field fault-missing_field_create fault-missing_field_search fault-missing_field_write load-unknown_field load-unknown_field_path " +
		"read_missing_fields_false",
	"retried odoo.SerializationFailure": "conc-serialization conc-serialization_failure",
	"retried odoo.interrupted":          "backend_killed_mid_tx",
	"retried odoo.unknown":              "fault-get http-bad_path_xml http-json_bad_service http-method_not_found_common",
	"target unwell odoo.access_denied": "cooldown-bad-0 cooldown-bad-1 cooldown-bad-2 cooldown-bad-3 cooldown-bad-4 cooldown-bad-5 fault-bad_key fault-deactivated_user fault-empty_password " +
		"fault-no_key fault-wrong_password",
	"target unwell odoo.database_down": "pg_down pg_down-authenticate",
	"target unwell odoo.no_database":   "fault-authenticate_wrong_db fault-bad_db fault-no_db_header fault-wrong_db",
	"target unwell odoo.wrong_url":     "http-bad_path http-get_xmlrpc",
}

func TestCapturedAnswersHaveTheirVerdict(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for verdict, names := range capturedVerdicts {
		for name := range strings.FieldsSeq(names) {
			want[name] = verdict
		}
	}
	all, real := captures(t)
	seen := map[string]bool{}
	for _, c := range all {
		name := c.name
		if want[name] == "" {
			name = c.situation()
		}
		seen[name] = true
		if got := verdictOf(c.answer.replay(t)); got != cmp.Or(want[name], "ok") {
			t.Errorf("%s: got %q, want %q", c.name, got, cmp.Or(want[name], "ok"))
		}
	}
	for name := range want {
		if real && !seen[name] {
			t.Errorf("%s is not among the captures", name)
		}
	}
}
