package mapping_test

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/connectors/tabular"
	"github.com/vagus-health/vagus/connectors/webhook"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/tree"
)

const (
	jsonSnapshot = `{"odoo":"18.0","models":{"res.partner":{"name":{"type":"char"},"ref":{"type":"char"},"birth":{"type":"date"},
"seen":{"type":"datetime"},"active":{"type":"boolean"},"credit_limit":{"type":"float"},"color":{"type":"integer"}}}}`
	jsonMapping = `kind: mapping
format: 1
id: json
version: 1
source:
  format: json
  zone: America/New_York
  attributes:
    no: { type: code, phi: identifier }
    born: { type: date, format: DD.MM.YYYY, phi: demographic, title: Date of birth }
    seen: { type: datetime, format: DD.MM.YYYY HH:MI, phi: admin }
    plain: { type: date, phi: admin }
    ok: { type: bool, phi: admin }
    sum: { type: decimal, phi: financial }
    home: { type: object, phi: contact, parts: { town: { type: text }, tel: { type: text, repeats: true, phi: [contact, sensitive] } } }
target: { odoo: "18.0", snapshot: snap.json }
idempotency: ["{no}"]
egress: { allow: [identifier, demographic, admin, financial, contact] }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{no}" }
    fields:
      name: { from: home.town }
`
)

func loadJSON(old, new string) (*mapping.Mapping, error) {
	return mapping.Load(fstest.MapFS{"snap.json": {Data: []byte(jsonSnapshot)}, "m.yaml": {Data: []byte(strings.Replace(jsonMapping, old, new, 1))}},
		"m.yaml", []tree.Format{webhook.Format{}})
}

func TestADeclaredColumnDrivesItsConversion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, body, want string }{
		{"birth: born", `"born":"29.02.1984"`, `{"birth":"1984-02-29"}`},
		{"birth: born", `"born":"1984-02-29"`, `p.birth: born does not fit DD.MM.YYYY (line 25)`},
		{"seen: seen", `"seen":"29.02.1984 07:30"`, `{"seen":"1984-02-29 12:30:00"}`},
		{`seen: { cel: "ts('seen')" }`, `"seen":"29.02.1984 07:30"`, `{"seen":"1984-02-29 12:30:00"}`},
		{"seen: { from: born, as: datetime }", `"born":"29.02.1984"`, `{"seen":"1984-02-29 05:00:00"}`},
		{"seen: { from: plain, as: datetime }", `"plain":"1984-02"`, `p.seen: plain is precise to the month only (line 25)`},
		{"birth: seen", `"seen":"29.02.1984 23:30"`, `{"birth":"1984-02-29"}`},
		{"birth: plain", `"plain":"1984-02-29"`, `{"birth":"1984-02-29"}`},
		{"active: ok", `"ok":false`, `{"active":false}`},
		{"credit_limit: sum", `"sum":12.340`, `{"credit_limit":12.34}`},
		{"name: home.town", `"home":{"town":"X"}`, `{"name":"X"}`},
		{"name: home.town", `"home":null`, `{"name":null}`},
		{"name: home.town", `"home":{"town":""}`, `null`},
	} {
		m, err := loadJSON("name: { from: home.town }", c.field)
		if err != nil {
			t.Errorf("%s: %v", c.field, err)
			continue
		}
		msg, err := m.Dialect.Decode([]byte(`{"no":"7",`+c.body+`}`), m.Reads())
		if err != nil {
			t.Fatal(err)
		}
		res := m.Run(t.Context(), msg)
		got := res.Reason
		if len(res.Ops) == 1 {
			v, _ := json.Marshal(res.Ops[0].Vals)
			got = string(v)
		}
		if got != c.want {
			t.Errorf("%s of %s gives %s, want %s", c.field, c.body, got, c.want)
		}
	}
}

func TestColumnsAreDividedByWhatTheMappingSays(t *testing.T) {
	t.Parallel()
	for _, delimiter := range []string{",", ";", "|", `\t`} {
		head, _, _ := strings.Cut(jsonMapping, "source:")
		_, tail, _ := strings.Cut(jsonMapping, "target:")
		text := head + "source:\n  format: csv\n  delimiter: \"" + delimiter + "\"\n  columns: { no: { type: code, phi: identifier }, town: { type: text, phi: contact } }\ntarget:" +
			strings.Replace(tail, "home.town", "town", 1)
		if _, err := mapping.Load(fstest.MapFS{"snap.json": {Data: []byte(jsonSnapshot)}, "m.yaml": {Data: []byte(text)}}, "m.yaml", []tree.Format{tabular.CSV{}}); err != nil {
			t.Errorf("%s: %v", delimiter, err)
		}
	}
}

func TestAWrongDeclarationNamesTheFix(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ old, new, want string }{
		{"type: code, phi: identifier", "type: code", `9:5: error[source]: no does not say what it may reveal: phi: is one of none, admin`},
		{"type: code", "type: cod", `type is one of text, code, decimal, date, datetime, time, bool, object (did you mean "code"?)`},
		{"DD.MM.YYYY,", "DD.MM.YY,", `10:33: error[source]: a date format is made of YYYY MM DD HH MI SS and separators, not "YY"`},
		{"DD.MM.YYYY HH:MI", "DD.MM.YYYY", `a datetime format HH and MI too`},
		{"type: bool, phi: admin", "type: bool, phi: admin, format: YYYY", `format: is the notation of a date or datetime, and ok is bool`},
		{"type: object, phi: contact, parts", "type: text, phi: contact, parts", `an object has parts:, and nothing else has: home is text`},
		{"phi: financial", "phi: financal", `phi is one of none, admin, order, staff, financial, name, contact, demographic, identifier, national_id, clinical, sensitive, secret (did you mean "financial"?)`},
		{"  attributes:", "  columns: { a: { type: text, phi: none } }\n  attributes:", `a table has columns and an entry attributes: declare one of them`},
		{"  attributes:", "  delimiter: \";;\"\n  attributes:", `delimiter is one character, in quotes`},
		{"  attributes:", "  delimiter: \"\"\n  attributes:", `delimiter is one character, in quotes`},
		{"  attributes:", "  charset: windows-1252\n  attributes:", `charset is of a table: it needs columns`},
		{"  attributes:", "  segments: { ZPI: [ { type: ST } ] }\n  attributes:", `a field needs phi: — what it may reveal`},
		{"  attributes:", "  segments: { ZPI: [ { type: ST, phi: none } ] }\n  attributes:", `json has attributes, and no version, delimiter or segments`},
		{"from: home.town", "from: home.twon", `(did you mean "town"?)`},
		{"from: home.town", `from: "home.tel[first]"`, `carries sensitive data (from home.tel[first])`},
		{"from: home.town", "from: plain, as: datetime", `as: datetime does not fit it`},
		{"name: { from: home.town }", "seen: plain", `as: datetime takes the start of the day in source.zone`},
	} {
		if _, err := loadJSON(c.old, c.new); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\nwant %s\ngot  %v", c.new, c.want, err)
		}
	}
}
