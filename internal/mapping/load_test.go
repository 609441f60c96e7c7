package mapping

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/vagus-health/vagus/internal/tree"
)

const testSnapshot = `{"odoo":"18.0","models":{
"res.partner":{"name":{"type":"char"},"ref":{"type":"char"},"comment":{"type":"html"},"active":{"type":"boolean","default":true},
 "color":{"type":"integer"},"credit_limit":{"type":"float"},"birth":{"type":"date"},"seen":{"type":"datetime"},"secret":{"type":"binary"},
 "gender":{"type":"selection","selection":["male","female"]},"country_id":{"type":"many2one","relation":"res.country"},
 "parent_id":{"type":"many2one","relation":"res.partner"},"origin":{"type":"reference"},"props":{"type":"properties"},"analytic_distribution":{"type":"json"},
 "tag_ids":{"type":"one2many","relation":"res.partner.category","inverse":"partner_id"},"category_id":{"type":"many2many","relation":"res.partner.category"},
 "child_ids":{"type":"one2many","relation":"res.partner","inverse":"parent_id"},"credit":{"type":"monetary","compute":true},"total":{"type":"float","readonly":true}},
"res.partner.category":{"name":{"type":"char","required":true},"color":{"type":"integer"}},
"account.analytic.account":{"code":{"type":"char"}},
"res.country":{"code":{"type":"char"},"name":{"type":"char"},"phone_code":{"type":"integer"}}}}`

const testHead = `kind: mapping
format: 1
id: test
version: 3
source: { format: hl7v2, version: "2.5.1", zone: America/New_York, when: { MSH-9.1: ADT } }
target: { odoo: "18.0", snapshot: snap.json }
idempotency: ["{MSH-10}"]
egress: { allow: [name, identifier, contact, demographic, admin] }
`

// withFields is a mapping with one operation and these lines of fields.
func withFields(fields string) string {
	return testHead + `tables: { sex: { M: male, F: female, U: "", B: " " }, any: { A: x, "*": other }, twice: { F: female, W: female } }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{PID-3[first].1}" }
    fields:
      ` + strings.ReplaceAll(strings.TrimSpace(fields), "\n", "\n      ") + "\n"
}

func testFS(files ...string) fstest.MapFS {
	fsys := fstest.MapFS{"snap.json": {Data: []byte(testSnapshot)}}
	for i := 0; i < len(files); i += 2 {
		fsys[files[i]] = &fstest.MapFile{Data: []byte(files[i+1])}
	}
	return fsys
}

func mustLoad(t testing.TB, text string, files ...string) *Mapping {
	t.Helper()
	m, err := Load(testFS(append(files, "m.yaml", text)...), "m.yaml", []tree.Format{fakeFormat{}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAWrongFieldIsAnErrorAtItsPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ fields, want string }{
		{`nam: PID-5[first].1.1`, `16:7: error[odoo-field]: res.partner has no field "nam" (did you mean "name"?)`},
		{`name: PID-61`, `16:17: error[path]: PID has parts 1..39, no PID-61`},
		{`name: "PID-3[0].1"`, `16:20: error[path]: [0]: repetitions count from 1`},
		{`name: PID-5.1.1`, `16:13: warning[repeats]: PID-5 repeats, and the first one is taken: write PID-5[first].1.1, or choose`},
		{`name: mrm`, `error[path]: ADT_A01 has no mrm`},
		{`name: PID-5[*].1`, `is a list: choose one`},
		{`active: true`, `16:15: error[type]: a boolean of itself is no rule: write { value: true }`},
		{`color: 3`, `a number of itself is no rule`},
		{`name: { form: PID-8 }`, `16:15: error[unknown-key]: a rule has no key "form" (did you mean "from"?)`},
		{`name: { from: PID-8, value: x }`, `from and value: a rule starts from one of them`},
		{`name: { required: true }`, `the rule has no from, value, text, op or cel`},
		{`birth: PID-30`, `error[odoo-type]: res.partner.birth is date: it gets PID-30, and PID-30 is a code, not a date; add as: {date: FORMAT}`},
		{`seen: NK1[first]-8`, `a date without a time, and no time is made up`},
		{`active: PID-7`, `a date and time, not a boolean`},
		{`color: PID-7`, `a date and time, not a number`},
		{`birth: { from: PID-8, as: { date: DD.MM.YY } }`, `error[as]`},
		{`active: { value: "yes" }`, `active is boolean, and this is text`},
		{`color: { value: 1.5 }`, `color is integer, and this is a number with a fraction`},
		{`gender: { value: man }`, `gender has no option "man" (did you mean "male"?); there are: male, female`},
		{`gender: { from: PID-8, map: sexx }`, `no table "sexx" (did you mean "sex"?)`},
		{`gender: { from: PID-8, map: any }`, `table any gives "other", which res.partner.gender (selection) does not take`},
		{`gender: { from: PID-8, map: { table: sex, on_mis: skip } }`, `map has no key "on_mis" (did you mean "on_miss"?)`},
		{`name: { from: PID-8, on_error: skp }`, `on_error is one of skip, reject, dead_letter (did you mean "skip"?)`},
		{`name: { from: PID-8, required: true, default: x }`, `required and default exclude each other`},
		{`name: { from: PID-19 }`, `error[egress]: p.name carries national_id data (from PID-19), which egress.allow does not let out`},
		{`name: { cel: "v('OBX[first]-5[first]')" }`, `p.name carries clinical data (from OBX[first]-5[first])`},
		{`name: { text: "x {PID-19}" }`, `carries national_id data`},
		{`comment: { from: PID-8, when: "v('OBX[first]-5[first]') == 'P'" }`, `16:7: warning[egress-when]: whether p.comment is written tells something of OBX[first]-5[first], which is clinical data and egress.allow does not let out`},
		{`comment: { from: "NK1[8=1].1", when: "nodes('OBX[*]').exists(o, o.v('5[first]') == 'P')" }`, `whether p.comment is written tells something of 5[first], which is clinical data`},
		{`comment: "PID-10[first].1"`, `error[egress]`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", when: "v('PID-19') == ''", fields: { ref: NK1-1 } }`, `whether a line of p.child_ids is written tells something of PID-19, which is national_id data`},
		{`category_id: { each: "PV1-18[*]", ref: name, mode: add, when: "v('PID-19') == it" }`, `whether p.category_id is written tells something of PID-19`},
		{`comment: { from: PID-8, phi: [clinical] }`, `carries clinical data`},
		{`name: { from: PID-19, declassify: { drop: [national_id], because: short } }`, `a reason that an auditor reads`},
		{`name: { from: PID-8, phi: [clinic] }`, `phi is one of none, admin, order, staff, financial, name, contact, demographic, identifier, national_id, clinical, sensitive, secret (did you mean "clinical"?)`},
		{`credit: PID-25`, `res.partner.credit can not be written: Odoo computes it`},
		{`total: PID-25`, `res.partner.total is read-only once there is a record: write it with only_on: create`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", mode: merge, fields: {} }`, `lines of child_ids have fields: {field: rule}`},
		{`child_ids: { each: "NK1[*]", fields: { ref: NK1-1 } }`, `error[no-identity]: lines of child_ids need key: — without it a replay would duplicate them`},
		{`child_ids: { each: "NK1[*]", key: one, fields: { ref: NK1-1 } }`, `"one" is one key for all lines of NK1[*]`},
		{`child_ids: { each: "NK1[*]", key: "{PID-19}", fields: { ref: NK1-1 } }`, `p.child_ids.key carries national_id data (from PID-19)`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", fields: { ref: PID-19 } }`, `p.child_ids.ref carries national_id data (from PID-19)`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", fields: { ref: NK1-1, parent_id: { op: p } } }`, `res.partner.parent_id leads back to the record that the lines are of: Odoo fills it`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", fields: { child_ids: { key: x, fields: { ref: NK1-1 } } } }`, `res.partner.child_ids are lines of a line`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", mode: add, fields: { ref: NK1-1 } }`, `child_ids is one2many: its mode is merge or replace: merge leaves other lines alone`},
		{`child_ids: { each: "NK1[*]", key: "{NK1-1}", from: NK1-2, fields: { ref: NK1-1 } }`, `from: is not for child_ids, which is one2many`},
		{`child_ids: [ { each: "NK1[*]", key: "{NK1-1}", fields: { ref: NK1-1 } }, { key: x, mode: replace, fields: { ref: PID-8 } } ]`, `the blocks of child_ids are one value: they have one mode`},
		{`tag_ids: { each: "NK1[*]", key: "{NK1-1}", fields: { color: PID-25 } }`, `res.partner.category.name is required by Odoo and no rule fills it`},
		{`name: { each: "NK1[*]", from: NK1-1 }`, `each: is for relations to many records; name is one value`},
		{`name: [PID-8, PID-7]`, `name is a map, not text`},
		{`secret: PID-8`, `res.partner.secret is binary: a mapping carries no files`},
		{`origin: PID-8`, `res.partner.origin is a reference, whose model is a value of its own`},
		{`props: PID-8`, `res.partner.props is properties, which a mapping does not write`},
		{`analytic_distribution: PID-8`, `res.partner.analytic_distribution is shared out among analytic accounts: say with ref: {model: account.analytic.account, by: {code: it}}`},
		{`analytic_distribution: { from: PID-8, ref: code }`, `is shared out among analytic accounts: ref: {model: account.analytic.account, by: {code: it}}`},
		{`category_id: { each: "PV1-18[*]", ref: name }`, `category_id needs mode: add or mode: replace: add leaves the field's other records in it`},
		{`category_id: { each: "PV1-18[*]", ref: name, mode: merge }`, `category_id is many2many: its mode is add or replace`},
		{`category_id: { each: "PV1-18[*]", ref: name, mode: add, default: x }`, `default: is not for category_id, which is many2many`},
		{`category_id: { each: "PV1-18[*]", mode: add, value: x }`, `a constant record is found with ref:`},
		{`category_id: { each: "PV1-18[*]", mode: add }`, `res.partner.category_id is many2many: say with ref: how the res.partner.category is found`},
		{`category_id: { each: "PID-19[*]", ref: name, mode: add }`, `p.category_id carries national_id data`},
		{`category_id: { from: PID-8, ref: { by: { name: it }, on_none: defer }, mode: add }`, `defer writes the field of a record when what it refers to arrives: that is for a many2one field`},
		{`category_id: { each: PV1-18, ref: name, mode: add }`, `each goes over a list: write [*] in PV1-18`},
		{`country_id: PID-8`, `res.partner.country_id is many2one: say with ref: how the res.country is found`},
		{`country_id: { from: PID-8, ref: cod }`, `res.country has no field "cod" (did you mean "code"?)`},
		{`country_id: { from: PID-8, ref: { by: { code: itt } } }`, `there is no itt here (did you mean "it"?)`},
		{`country_id: { from: PID-8, ref: { xid: "{it}x.y" } }`, `error[xid]: an external identifier is module.name without spaces, and its module is not filled in`},
		{`country_id: { ref: "xid: base us" }`, `16:32: error[xid]`},
		{`country_id: { ref: "xid: base.{PID-61}" }`, `error[path]: PID has parts 1..39, no PID-61`},
		{`country_id: { ref: "xid: base.{PID-19}" }`, `p.country_id carries national_id data (from PID-19)`},
		{`country_id: { from: PID-8, ref: { xid: "base.{it}", by: { code: it } } }`, `ref has one of by or xid, not by and xid`},
		{`country_id: { from: PID-8, ref: { xid: "base.{it}", on_many: skip } }`, `an external identifier names one record: on_many is for by:`},
		{`country_id: { from: PID-8, ref: { model: res.partner, by: { ref: it } } }`, `country_id takes a res.country, not a res.partner`},
		{`country_id: { from: PID-8, ref: { by: { code: it }, on_many: first } }`, `on_many is one of dead_letter, skip`},
		{`parent_id: { from: PID-8, ref: { by: { country_id: it } } }`, `country_id is a relation: search by a field of the res.country, such as country_id.name`},
		{`parent_id: { from: PID-8, ref: { by: { active: "it + 'x'" } } }`, `active is boolean: it gets text from the expression`},
		{`parent_id: { from: { a: PID-8, b: PID-7 }, ref: { by: { ref: a, name: b } }, default: x }`, `a default in front of ref: is the one value that the record is found by`},
		{`country_id: { from: PID-8, ref: { by: { code.x: it } } }`, `res.country.code is char: nothing can follow it`},
		{`parent_id: { op: q }`, `error[op-order]: "q" is not an earlier operation`},
		{`name: { from: PID-8, ref: name }`, `name is char: ref is for relations`},
		{`name: { from: { a: PID-8 } }`, `named inputs are for cel`},
		{`name: { from: PID-8, only_on: update, default: x }`, `a default fills new records, and this rule never sees one`},
		{`name: { from: PID-8, map: { table: any, on_miss: default } }`, `on_miss: default needs default:`},
		{`name: { from: PID-8, map: { table: twice, reverse: true } }`, `error[not-invertible]: table "twice" cannot be reversed: F and W both give female`},
		{`name: { from: PID-8, cel: "it + 1" }`, `16:37: error[cel]: + does not go with text and a whole number: string(…) makes a text of a number, dec(…) a number of a text`},
		{`name: { from: PID-8, cel: "itt" }`, `there is no itt here (did you mean "it"?)`},
		{`color: { cel: "ts('PID-7').getHours('Local')" }`, `16:43: error[cel]: the zone of getHours() is a literal name of the IANA database`},
		{`color: { cel: "ts('PID-7').getFullYear(v('PID-8'))" }`, `error[cel]: the zone of getFullYear() is a literal`},
		{`color: { cel: "ts('PID-7').getDate('Lo' + 'cal')" }`, `error[cel]: the zone of getDate() is a literal`},
		{`color: { cel: "ts('PID-7').getDate('+99:00')" }`, `error[cel]: the zone of getDate()`},
		{`color: PID-2`, `16:7: warning[odoo-type]: PID-2 is text and res.partner.color an integer: what does not convert ends as on_error says`},
		{`active: PID-2`, `warning[odoo-type]: PID-2 is text and res.partner.active a boolean`},
		{`gender: PID-2`, `warning[odoo-type]: PID-2 is text and res.partner.gender a selection`},
		{`name: { cel: "v('PID-61')" }`, `16:23: error[path]: PID has parts 1..39, no PID-61`},
		{`name: { cel: "v('PID' + '-8')" }`, `the path of v() is a literal text`},
		{`name: { cel: "v('NK1[*]-1')" }`, `v() takes one value: NK1[*]-1 is a list`},
		{`name: { cel: "values('NK1-1')[0]" }`, `values() takes a list: write [*] in NK1-1`},
		{`name: { cel: "table('sx', v('PID-8'))" }`, `no table "sx" (did you mean "sex"?)`},
		{`active: { cel: "v('PID-8')" }`, `res.partner.active is boolean: it gets text from the expression`},
		{`credit_limit: { cel: "1.5 + 1.0" }`, `it gets a number with a point from the expression`},
		{`credit_limit: { cel: "num('PID-25') + 1" }`, `+ does not go with an exact number and a whole number: write dec(…) around the whole number`},
		{`color: { cel: "size(values('NK1[*]-1').filter(a, values('NK1[*]-1').exists(b, values('NK1[*]-1').exists(c, a == b && b == c))))" }`,
			`error[cel-cost]: worst case costs`},
		{`name: { from: PID-8, cel: "it.replace('', it).replace('', it)" }`, `error[cel-cost]`},
		{`name: { from: PID-8, cel: "it.split('').join(it)" }`, `error[cel-cost]`},
		{`name: { cel: "string(size(lists.range(1000000000)))" }`, `error[cel-cost]`},
		{`name: { cel: "cel.bind(a, v('PID-8'), cel.bind(b, a+a+a+a+a+a+a+a+a+a, cel.bind(c, b+b+b+b+b+b+b+b+b+b, c+c+c+c+c+c+c+c+c+c)))" }`, `error[cel-cost]`},
		{`name: { cel: "{'a': 'b'}.map(k, k)[0]" }`, `maps are not part of the language: use a code table`},
		{`name: { cel: "'a'.v('PID-8')" }`, `v() is called on an item of nodes()`},
		{`color: { cel: "size(nodes('NK1[*]').filter(n, n.v('PID-8') == ''))" }`, `PID-8 is not a part of NK1`},
		{`name: { text: "{PID-8" }`, `the { is not closed`},
		{`name: &a PID-8`, `anchors and aliases are not part of the language`},
		{"name: PID-8\nname: PID-8", `error`},
	} {
		out := Issues(Lint(testFS("m.yaml", withFields(c.fields)), "m.yaml", []tree.Format{fakeFormat{}})).Error()
		if !strings.Contains(out, c.want) {
			t.Errorf("%s\nwant %s\ngot\n%s", c.fields, c.want, out)
		}
	}
}

func TestAWrongFileIsAnErrorThatNamesTheFix(t *testing.T) {
	t.Parallel()
	whole := withFields("name: PID-8")
	for _, c := range []struct{ old, new, want string }{
		{"kind: mapping", "kind: map", `a file begins with kind: mapping`},
		{"format: 1", "format: 2", `format: 1 is the format that this program reads`},
		{"id: test", "id: Test One", `id is lower-case letters`},
		{"version: 3", "version: x", `version is a number, not text`},
		{"hl7v2", "hl7", `no format "hl7" (did you mean "hl7v2"?); there are: hl7v2`},
		{`"2.5.1"`, `"2.9"`, `no version "2.9"; there are: 2.5.1`},
		{"America/New_York", "EST5", `is no time zone of the IANA database`},
		{"MSH-9.1: ADT", "MSH-9.1: 5", `MSH-9.1 is text or a list or a map, not a number: write it in quotes`},
		{"MSH-9.1: ADT", "MSH-99: ADT", `MSH has parts 1..21`},
		{"snap.json", "snop.json", `snop.json`},
		{"snap.json", "../../snap.json", `outside of the mapping tree`},
		{`odoo: "18.0"`, `odoo: "17.0"`, `the mapping is for Odoo 17.0 and the snapshot is of Odoo 18.0`},
		{"idempotency:", "idempotence:", `a mapping has no key "idempotence" (did you mean "idempotency"?)`},
		{"egress:", "egres:", `8:1: error[unknown-key]: a mapping has no key "egres" (did you mean "egress"?)`},
		{"model: res.partner", "model: res.partners", `the snapshot has no model "res.partners" (did you mean "res.partner"?)`},
		{"do: upsert", "do: upset", `do is one of`},
		{"do: upsert", "do: archive", `archive writes no fields: let an upsert or an update do it`},
		{"do: upsert", "do: call", `call needs on: the operation whose record is called`},
		{"do: upsert", "do: upsert\n    on_none: skip", `on_none is for operations on a record that must exist: upsert is not one`},
		{"do: upsert", "do: upsert\n    on: p", `on: is for merge and call`},
		{"do: upsert", "do: upsert\n    only_if: { nam: x }", `res.partner has no field "nam"`},
		{"do: upsert", "do: upsert\n    only_if: { gender: x }", `gender has no option "x"`},
		{"do: upsert", "do: create\n    only_if: { name: x }", `only_if: {field: value} is the state in which upsert, update, archive or call changes the record`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: { value: \"2026-01-02T10:00:00Z\" } }", `unchanged_since is a time in the message`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: { from: MSH-7, default: \"2026-01-02T10:00:00Z\" } }", `unchanged_since is a time in the message`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: 5 }", `a number of itself is no rule`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: MSH-99 }", `MSH has parts 1..21`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: { from: MSH-7, as: date } }", `unchanged_since is datetime, and as: date does not fit it`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: { from: PID-8, ref: code } }", `unchanged_since is datetime`},
		{"do: upsert", "do: upsert\n    only_if: { unchanged_since: { from: PID-19, as: { datetime: YYYYMMDDHHMI } } }", `p.only_if.unchanged_since carries national_id data`},
		{"do: upsert", "do: create\n    only_if: { unchanged_since: MSH-7 }", `only_if: {field: value} is the state`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: action_x, only_if: { unchanged_since: MSH-7 } }", `unchanged_since is for upsert, update and archive`},
		{"do: upsert", "do: upsert\n    context: { a: \"{PID-19}\" }", `p.context.a carries national_id data`},
		{"do: upsert", "do: upsert\n    context: { a: \"{PID-61}\" }", `PID has parts 1..39`},
		{"id: p\n", "id: let\n", `let is a word of the language: choose another id`},
		{"name: PID-8", "name: { from: PID-8, only_on: create }\n      ref: PID-8\n  - { id: c, model: res.partner, do: update, match: { by: [name] }, fields: { name: { from: PID-8, only_on: create } } }", `update never writes a field that is only_on: create`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: action_x }", `error[not-repeatable]: a replay calls action_x again: say only_if`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: _x, only_if: { name: x } }", `method is`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, only_if: { name: x } }", `method: names a public method of res.partner`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: x, match: { xid: t.x }, only_if: { name: x } }", `call has on:, the operation that finds the record, and no match`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: x, only_if: { name: x }, args: { a: PID-19 } }", `c.args.a carries national_id data`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: x, only_if: { name: x }, args: { a: { from: PID-8, ref: code } } }", `nothing tells the model of the record`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, model: res.country, method: x, only_if: { name: x } }", `p is a res.partner and c a res.country: one can not stand for the other`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: x, only_if: { name: x } }\n  - { id: d, do: call, on: c, method: x, only_if: { name: x } }", `c leaves no record to call`},
		{"name: PID-8", "name: PID-8\n  - { id: c, model: res.country, do: archive, match: { xid: \"t.c_{PID-8}\" } }", `res.country has no field active: its records can not be archived`},
		{"name: PID-8", "name: PID-8\n  - { id: c, model: res.partner, do: update, match: { xid: \"t.c_{PID-8}\" }, fields: { name: { from: PID-8, default: x } } }", `a default fills new records, and this rule never sees one`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: [ref]`, `match by: [ref]: no rule of p fills it`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: [name, name]`, `name stands twice`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: [nam]`, `res.partner has no field "nam"`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { ref: PID-8 }`, `ref: "PID-8" is a text: write "{PID-8}" for what stands there in the message`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { gender: men }`, `gender has no option "men"; there are: male, female`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { color: red }`, `color: "red" is not a decimal number`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { country_id: "{PID-8}" }`, `country_id is a relation: search by a field of the res.country`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { country_id.cod: "{PID-8}" }`, `res.country has no field "cod" (did you mean "code"?)`},
		{`xid: "t.p_{PID-3[first].1}"`, `by: { comment: "{PID-8}" }`, `comment is html: records are not found by it`},
		{`{PID-3[first].1}`, `x`, `warning[xid]: "t.p_x" names one record for all messages`},
		{"do: upsert", "do: merge", `merge needs on:`},
		{`match: { xid: "t.p_{PID-3[first].1}" }`, "", `error[no-identity]: operation p: upsert needs match: — without identity a replay would duplicate records`},
		{`t.p_{PID-3[first].1}`, `t p {PID-3[first].1}`, `an external identifier is module.name without spaces`},
		{`t.p_{PID-3[first].1}`, `{PID-8}.p`, `its module is not filled in`},
		{`t.p_{PID-3[first].1}`, `t.p_{PID-19}`, `p.match carries national_id data (from PID-19)`},
		{"res.partner\n    do: upsert\n    match: { xid: \"t.p_{PID-3[first].1}\" }\n    fields:\n      name: PID-8",
			"res.partner.category\n    do: upsert\n    match: { xid: \"t.p_{PID-3[first].1}\" }\n    fields:\n      color: PID-25", `res.partner.category.name is required by Odoo`},
		{"operations:", "emit: { format: x12 }\noperations:", `a mapping has one of operations or emit and segments`},
		{"do: upsert", "do: upsert\n    when: \"v('PID-19') == ''\"", `14:11: warning[egress-when]: whether p is written tells something of PID-19, which is national_id data`},
		{"name: PID-8", "name: a\nlet: { a: { from: PID-8, when: \"v('PID-19') == 'x'\" } }", `whether p.name is written tells something of a, which is national_id data`},
		{"operations:", "let: { MSH: PID-8 }\noperations:", `a name is lower-case letters`},
		{"operations:", "let: { a: { cel: \"1 ==\" } }\noperations:", `error[cel]: the expression ends too early`},
		{"operations:", "let: { a: { from: PID-8, default: true } }\noperations:", `the default of a is true or false and its value text`},
		{"operations:", "guards: [ { when: \"v('PID-8')\", do: reject, because: x } ]\noperations:", `when: is true or false, and this gives text`},
		{"operations:", "guards: [ { when: \"true\", do: reject } ]\noperations:", `a guard needs because: — the reason that people read`},
		{"tables: {", "tables: { c: c.csv, ", `c.csv`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: unlink, only_if: { name: x } }", `error[operations]: unlink is a method that every model has`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: name_create, only_if: { name: x } }", `action_…, button_… or a method of its own`},
		{"name: PID-8", "name: PID-8\n  - { id: c, do: call, on: p, method: web_save, only_if: { name: x } }", `web_save is a method`},
		{"do: upsert", "do: upsert\n    context: { uid: 1 }", `context: uid says who Odoo takes the caller for`},
		{"do: upsert", "do: upsert\n    context: { su: true }", `context: su says who`},
		{"operations:", "let: { a: PID-8, b: { from: PID-7, required: true } }\noperations:", `warning[unused]: nothing uses a`},
		{"name: PID-8", "name: { from: { a: PID-8, b: PID-7 }, cel: a }", `16:33: warning[unused]: no expression uses b`},
		{"tables: {", "tables: { unused: {A: B}, ", `warning[unused]: no rule uses table unused`},
	} {
		if !strings.Contains(whole, c.old) {
			t.Fatalf("%q is not in the file", c.old)
		}
		text := strings.Replace(whole, c.old, c.new, 1)
		var all []string
		for _, i := range Lint(testFS("m.yaml", text), "m.yaml", []tree.Format{fakeFormat{}}) {
			all = append(all, i.String())
		}
		if got := strings.Join(all, "\n"); !strings.Contains(got, c.want) {
			t.Errorf("%s → %s\nwant %s\ngot  %s", c.old, c.new, c.want, got)
		}
	}
}

func TestAFragmentTakesItsParametersAndTheFilesOwnFieldsWin(t *testing.T) {
	t.Parallel()
	fragment := "kind: fragment\nid: f\nparams: { a: { type: XAD } }\nfields: { ref: \"${a}.3\", name: \"${a}.1.1\" }\n"
	text := strings.Replace(withFields("name: PID-8"), "    fields:", "    include: [ { fragment: f.yaml, with: { a: \"PID-11[first]\" } } ]\n    fields:", 1)
	m := mustLoad(t, text, "f.yaml", fragment)
	if n := len(m.ops[0].rules); n != 2 {
		t.Fatalf("%d rules", n)
	}
	for _, c := range []struct{ old, new, want string }{
		{`PID-11[first]`, `PID-5[first]`, `f.yaml takes a path to XAD, and PID-5[first] is XPN`},
		{`a: "PID`, `b: "PID`, `f.yaml needs with: {a: path}`},
	} {
		_, err := Load(testFS("f.yaml", fragment, "m.yaml", strings.Replace(text, c.old, c.new, 1)), "m.yaml", []tree.Format{fakeFormat{}})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v; want %s", err, c.want)
		}
	}
}

func TestTheHashIsOfAllFilesAndOfNothingElse(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withFields("gender: { from: PID-8, map: sex2 }"), "tables: {", "tables: { sex2: s.csv, ", 1)
	csv := "code,odoo,note\nM,male,\n"
	one := mustLoad(t, text, "s.csv", csv)
	if again := mustLoad(t, text, "s.csv", csv); again.String() != one.String() || !strings.HasPrefix(one.String(), "test@3#") || len(one.String()) != len("test@3#")+12 {
		t.Errorf("%s and %s", one, again)
	}
	for what, other := range map[string]*Mapping{
		"table":    mustLoad(t, text, "s.csv", csv+"F,female,\n"),
		"file":     mustLoad(t, text+"# x\n", "s.csv", csv),
		"snapshot": mustLoad(t, text, "s.csv", csv, "snap.json", testSnapshot+" "),
	} {
		if other.Hash == one.Hash {
			t.Errorf("another %s, the same hash", what)
		}
	}
}

func TestASetRefusesTwoMappingsOfOneID(t *testing.T) {
	t.Parallel()
	fsys := testFS("a.yaml", withFields("name: PID-8"), "b.yaml", withFields("name: PID-8"))
	if _, err := LoadSet(fsys, []string{"a.yaml", "b.yaml"}, []tree.Format{fakeFormat{}}); err == nil || !strings.Contains(err.Error(), "b.yaml: id test is that of a.yaml too") {
		t.Error(err)
	}
}

func TestAnIssueHasTheLineThatItIsAbout(t *testing.T) {
	t.Parallel()
	issues := Lint(testFS("m.yaml", withFields("nam: PID-8")), "m.yaml", []tree.Format{fakeFormat{}})
	if i := issues[len(issues)-1]; i.SourceLine() != "      nam: PID-8" || i.Col != 7 || i.Line != 16 || i.Code != "odoo-field" || i.Severity != Error {
		t.Errorf("%+v", i)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(withFields("name: PID-8"))
	f.Add(withFields("gender: { from: PID-8, map: sex }\ncountry_id: { from: { a: PID-8 }, ref: { by: { code: \"a + 'x'\" } } }"))
	f.Add(testHead + "let: { a: PID-8 }\nguards: [ { when: \"a == ''\", do: skip, because: b } ]\noperations: []\n")
	f.Add("kind: fragment\nfields: { a: \"${b}\" }\n")
	f.Add("kind: tests\nmapping: m.yaml\ncases: [ { name: a, input: b, expect: { ops: [ { a: [ 1 ] } ] } } ]\n")
	f.Add(allKinds())
	if b, err := os.ReadFile("../../mappings/admissions/adt-patient.map.yaml"); err == nil {
		f.Add(string(b))
	}
	msg := decode(f, kinMessage)
	f.Fuzz(func(t *testing.T, text string) {
		fsys, formats := testFS("m.yaml", text), []tree.Format{fakeFormat{}}
		Lint(fsys, "m.yaml", formats)
		m, err := Load(fsys, "m.yaml", formats)
		if err != nil {
			return
		}
		m.Outline()
		if res, _ := m.RunTraced(t.Context(), msg); res.Class == ClassInternal {
			t.Error(string(res.Detail))
		}
	})
}

func TestATableIsTheSameInTheMappingInACSVAndInAFileOfItsOwn(t *testing.T) {
	t.Parallel()
	for how, table := range map[string]string{"rows": `{ F: female, "*": male, X: "" }`, "CSV": "sex.csv", "file": "sex.yaml"} {
		text := strings.Replace(withFields("gender: { from: PID-8, map: own }"), "tables: {", "tables: { own: "+table+",", 1)
		m := mustLoad(t, text, "sex.csv", "code,odoo,note\nF,female,\n*,male,\nX,,\n", "sex.yaml", "kind: table\ntitle: sex\nrows:\n  F: female\n  \"*\": male\n  X:\n")
		own := m.tables["own"]
		if own.rows["F"] != "female" || own.other != "male" || !own.catch || own.rows["X"] != "" || len(own.rows) != 2 {
			t.Errorf("%s: %+v", how, own)
		}
	}
	text := strings.Replace(withFields("gender: { from: PID-8, map: own }"), "tables: {", "tables: { own: sex.yaml,", 1)
	_, err := Load(testFS("m.yaml", text, "sex.yaml", "kind: table\nrows: { F: 1 }\n"), "m.yaml", []tree.Format{fakeFormat{}})
	if err == nil || !strings.Contains(err.Error(), "sex.yaml:2:12: error[type]: F is text or nothing, not a number: write it in quotes") {
		t.Error(err)
	}
}

func TestOneRunNamesAllFaultsOfARuleWhoseFieldIsWrong(t *testing.T) {
	t.Parallel()
	text := withFields("name: { from: PID-8, map: sex }\nnofield: { from: \"PID-5[first].99\" }\nnothing: { from: PID-8, map: cuntry }")
	var got []string
	for _, i := range Lint(testFS("m.yaml", text), "m.yaml", []tree.Format{fakeFormat{}}) {
		if i.Severity == Error {
			got = append(got, i.Code)
		}
	}
	slices.Sort(got)
	if want := []string{"odoo-field", "odoo-field", "path", "table"}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestAFaultOfATableStandsInTheTable(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withFields("name: { from: PID-8, map: bad }"), "tables: { ", "tables: { bad: bad.csv, ", 1)
	for csv, want := range map[string]string{
		"code,odoo\nA,x\nB\n":   "bad.csv:3:1: error[table]: a row has a code and what it becomes (table bad of m.yaml)",
		"kode,odoo\nA,x\n":      "bad.csv:1:1: error[table]: the first line names the columns: code, what it becomes, note (table bad of m.yaml)",
		"code,odoo\nA,x\"y\"\n": "bad.csv:2:1: error[table]: ",
	} {
		var got []string
		for _, i := range Lint(testFS("m.yaml", text, "bad.csv", csv), "m.yaml", []tree.Format{fakeFormat{}}) {
			if i.Severity == Error {
				got = append(got, i.String())
			}
		}
		if len(got) != 1 || !strings.HasPrefix(got[0], want) {
			t.Errorf("%q: %q, want %q alone", csv, got, want)
		}
	}
}
