package mapping_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/internal/mapping"
)

func TestCodesAreThoseThatTheStandardDefines(t *testing.T) {
	t.Parallel()
	const lacks = "no row for these codes of HL70136, and a message with one ends as on_error says: N; add them, * for all others, or on_miss:"
	for _, c := range []struct{ what, when, table, rule, more, want string }{
		{"all of them", "", "Y: a, N: b", "ref: { from: PID-30, map: t }", "", ""},
		{"one that is not there", "", "Y: a, N: b, Q: c", "ref: { from: PID-30, map: t }", "", `5:11: warning[code]: table t has rows for what HL70136 does not have: "Q"`},
		{"what it was meant to be", "", `L: a, LL: b, "*": c`, `ref: { from: "PID-5[first].7", map: t }`, "", `rows for what HL70200 does not have: "LL" (did you mean "L"?)`},
		{"one of a site's own", "", "Y: a, N: b, ZQ: c", "ref: { from: PID-30, map: t }", "", ""},
		{"one that has no row", "", "Y: a", "ref: { from: PID-30, map: t }", "", lacks},
		{"no row, by way of a let", "", "Y: a", "ref: { from: dead, map: t }", "", lacks},
		{"no row, of a list", "", "L: a", `category_id: { each: "PID-5[*].7", map: t, ref: name, mode: add }`, "", "no row for these codes of HL70200, and a message with one ends as on_error says: A, B, C, D, M, P, S, T, U, I, N, R and 9 more;"},
		{"no row, which is left out", "", "Y: a", "ref: { from: PID-30, map: { table: t, on_miss: skip } }", "", ""},
		{"no row, whose field is left out", "", "Y: a", "ref: { from: PID-30, map: t, on_error: skip }", "", ""},
		{"no row, and one for all others", "", `Y: a, "*": b`, "ref: { from: PID-30, map: t }", "", ""},
		{"no row, where the rule chooses", "", "Y: a", `ref: { from: PID-30, map: t, when: "it == 'Y'" }`, "", ""},
		{"rows that something else leads to", "", "Y: a, N: b, Q: c", "ref: { from: PID-30, map: t }", "vat: { from: PID-15.1, map: t }", ""},
		{"rows that an expression leads to", "", "Y: a, N: b, Q: c", "ref: { from: PID-30, map: t }", `vat: { from: PID-15.1, cel: "table('t', it)" }`, ""},
		{"of a table that sites define", "", "Fem: a", "ref: { from: PID-8, map: t }", "", ""},
		{"a message", "MSH-9.2: [A01, A0S]", "Y: a, N: b", "ref: { from: PID-30, map: t }", "", `4:81: warning[code]: HL70003 has no code "A0S" (did you mean "A01"?)`},
		{"a message of a site's own", "MSH-9.2: [A01, Z01], MSH-11.1: P", "Y: a, N: b", "ref: { from: PID-30, map: t }", "", ""},
	} {
		when := c.when
		if when == "" {
			when = "MSH-9.2: A01"
		}
		text := `kind: mapping
format: 1
title: codes
source: { format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, ` + when + ` } }
tables: { t: { ` + c.table + ` } }
let: { dead: { from: PID-30 } }
id: codes
version: 1
target: { odoo: "18.0", snapshot: s.json }
idempotency: ["{MSH-10}", "{dead}"]
egress: { allow: [name, identifier, demographic, admin] }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{MSH-10}" }
    fields:
      name: "PID-5[first].1.1"
      ` + c.rule + "\n"
		if c.more != "" {
			text += "      " + c.more + "\n"
		}
		fsys := fstest.MapFS{"m.yaml": {Data: []byte(text)}, "s.json": {Data: []byte(`{"odoo":"18.0","models":{"res.partner":{"name":{"type":"char"},"ref":{"type":"char"},"vat":{"type":"char"},
			"category_id":{"type":"many2many","relation":"res.partner.category"}},"res.partner.category":{"name":{"type":"char"}}}}`)}}
		m, err := mapping.Load(fsys, "m.yaml", formats)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		var got []string
		for _, w := range m.Warnings {
			if w.Code == "code" {
				got = append(got, w.String())
			}
		}
		if all := strings.Join(got, "\n"); c.want == "" && all != "" || !strings.Contains(all, c.want) || len(got) > 1 {
			t.Errorf("%s\n got %s\nwant %s", c.what, all, c.want)
		}
	}
}
