package mapping

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// opsOf is what a message makes, as it travels, or why it makes nothing.
func opsOf(res Result) string {
	if res.Verdict != broker.Apply {
		return fmt.Sprintf("%s %s %s", res.Verdict, res.Class, res.Reason)
	}
	var parts []string
	for i := range res.Ops {
		b, _ := json.Marshal(&res.Ops[i])
		s := strings.Replace(string(b), `,"model":"res.partner"`, "", 1)
		parts = append(parts, strings.ReplaceAll(s, `"`, ""))
	}
	for _, w := range res.Warnings {
		parts = append(parts, "warning "+w.Text)
	}
	return strings.Join(parts, "; ")
}

const kinMessage = msh + "PID|1||7||Doe|||F||a~b~c\nNK1|1|Roe|X\nNK1|2|Poe\nNK1|3"

func TestLinesAndReferencesAreWhatTheirBlocksMake(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, field, msg, want string }{
		{"lines are known by their key", `child_ids: { each: "NK1[*]", key: "K{NK1-1}", fields: { name: "NK1-2[first].1.1", ref: NK1-3 } }`, kinMessage,
			`child_ids:{$merge:[{key:K1,vals:{name:Roe,ref:X}},{key:K2,vals:{name:Poe}},{key:K3,vals:{}}]}`},
		{"lines have their own condition", `child_ids: { each: "NK1[*]", key: "{NK1-1}", when: "valued('NK1-3')", fields: { name: "NK1-2[first].1.1" } }`, kinMessage,
			`child_ids:{$merge:[{key:1,vals:{name:Roe}}]}`},
		{"a default and only_on are of new and old lines", `child_ids: { each: "NK1[*]", key: "{NK1-1}", when: "v('NK1-1') == '2'", fields: { name: { from: NK1-3, default: x }, ref: { from: NK1-1, only_on: create }, active: { value: true, only_on: update } } }`, kinMessage,
			`child_ids:{$merge:[{key:2,on_create:{name:x,ref:2},on_update:{active:true},vals:{}}]}`},
		{"lines come from several places", `child_ids: [ { each: "NK1[*]", key: "{NK1-1}", when: "v('NK1-1') == '1'", fields: { ref: NK1-1 } }, { key: own, fields: { ref: PID-8 } } ]`, kinMessage,
			`child_ids:{$merge:[{key:1,vals:{ref:1}},{key:own,vals:{ref:F}}]}`},
		{"a line reads the message and its item", `child_ids: { each: "NK1[*]", key: "{NK1-1}{PID-8}", when: "v('NK1-1') == '1'", fields: { ref: { text: "{/PID-8} {NK1-1}" } } }`, kinMessage,
			`child_ids:{$merge:[{key:1F,vals:{ref:F 1}}]}`},
		{"a key may lack a part", `child_ids: { each: "NK1[*]", key: "{NK1-1}/{NK1-3}", mode: replace, fields: { ref: NK1-1 } }`, kinMessage,
			`child_ids:{$replace:[{key:1/X,vals:{ref:1}},{key:2/,vals:{ref:2}},{key:3/,vals:{ref:3}}]}`},
		{"a key may not lack all of them", `child_ids: { each: "NK1[*]", key: "{NK1-3}", fields: { ref: NK1-1 } }`, kinMessage,
			`dead_letter mapping.identity p.child_ids: item 2: the line has no key: NK1-3 is absent (line 16)`},
		{"a line without a key is left out where the block says so", `child_ids: { each: "NK1[*]", key: "{NK1-3}", on_error: skip, fields: { ref: NK1-1 } }`, kinMessage,
			`child_ids:{$merge:[{key:X,vals:{ref:1}}]}; warning p.child_ids: item 2: the line has no key: NK1-3 is absent; warning p.child_ids: item 3: the line has no key: NK1-3 is absent`},
		{"two lines never have one key", `child_ids: { each: "NK1[*]", key: "{PID-8}", fields: { ref: NK1-1 } }`, kinMessage,
			`dead_letter mapping.identity p.child_ids: item 2: two lines have one key (line 16)`},
		{"a rule of a line leaves itself out", `child_ids: { each: "NK1[*]", key: "{NK1-1}", when: "v('NK1-1') == '1'", fields: { color: { from: NK1-3, on_error: skip } } }`, kinMessage,
			`child_ids:{$merge:[{key:1,vals:{}}]}; warning color: NK1-3 is not a decimal number`},
		{"a rule of a line may stop the unit where its block skips", `child_ids: { each: "NK1[*]", key: "{NK1-1}", on_error: skip, fields: { color: { from: NK1-3, on_error: reject } } }`, kinMessage,
			`reject mapping.convert p.child_ids: item 1: color: NK1-3 is not a decimal number (line 16)`},
		{"lines that are required", `child_ids: { each: "NK1[*]", key: "{NK1-1}", required: true, fields: { ref: NK1-1 } }`, msh + "PID|1||7",
			`dead_letter mapping.required p.child_ids: required, but there is none (line 16)`},
		{"no lines to merge are not sent", `child_ids: { each: "NK1[*]", key: "{NK1-1}", fields: { ref: NK1-1 } }`, msh + "PID|1||7", ``},
		{"no lines in HL7 are left alone by replace too", `child_ids: { each: "NK1[*]", key: "{NK1-1}", mode: replace, fields: { ref: NK1-1 } }`, msh + "PID|1||7", ``},
		{"lines that no condition takes are replaced by none", `child_ids: { each: "NK1[*]", key: "{NK1-1}", mode: replace, when: "valued('NK1-8')", fields: { ref: NK1-1 } }`, kinMessage, `child_ids:{$replace:[]}`},
		{"a line refers to records", `child_ids: { each: "NK1[*]", key: "{NK1-1}", when: "v('NK1-1') == '1'", fields: { country_id: { from: NK1-3, ref: code }, category_id: { from: NK1-3, ref: name, mode: add } } }`, kinMessage,
			`child_ids:{$merge:[{key:1,vals:{category_id:{$add:[{$ref:res.partner.category,by:{name:X}}]},country_id:{$ref:res.country,by:{code:X}}}}]}`},

		{"one reference without a list", `category_id: { from: PID-8, ref: name, mode: replace }`, kinMessage, `category_id:{$replace:[{$ref:res.partner.category,by:{name:F}}]}`},
		{"no reference without a list is left alone", `category_id: { from: PID-8, ref: name, mode: replace }`, msh + "PID|1||7", ``},
		{"a null without a list empties it", `category_id: { from: PID-8, ref: name, mode: replace }`, msh + `PID|1||7|||||""`, `category_id:{$replace:[]}`},
		{"a null that is kept does not", `category_id: { from: PID-8, ref: name, mode: replace, on_null: keep }`, msh + `PID|1||7|||||""`, ``},
		{"items go through a table, and what it has not is left out", `category_id: { each: "PID-10[*]", when: "intable('abc', it)", map: abc, ref: { xid: "{it}", on_none: skip }, mode: replace }`, kinMessage,
			`category_id:{$replace:[{$xid:m.a,on_none:skip},{$xid:m.b,on_none:skip}]}`},
		{"a table's code is a whole external id or nothing", `category_id: { each: "PID-10[*]", map: { table: abc, on_miss: keep }, ref: { xid: "{it}" }, mode: add }`, kinMessage,
			`dead_letter mapping.convert p.category_id: item 3: the record's external identifier is not of the form module.name (line 16)`},
		{"references come from several places", `category_id: [ { ref: "xid: base.x", mode: replace }, { each: "PID-10[*]", cel: "it.upperAscii()", ref: name } ]`, kinMessage,
			`category_id:{$replace:[{$xid:base.x},{$ref:res.partner.category,by:{name:A}},{$ref:res.partner.category,by:{name:B}},{$ref:res.partner.category,by:{name:C}}]}`},
		{"an expression of an item knows it", `category_id: { each: "PID-10[*]", when: "it != 'b'", ref: name, mode: add }`, kinMessage,
			`category_id:{$add:[{$ref:res.partner.category,by:{name:a}},{$ref:res.partner.category,by:{name:c}}]}`},
		{"references to new records only", `category_id: { each: "PID-10[*]", when: "it == 'a'", ref: name, mode: add, only_on: create }`, kinMessage,
			`on_create category_id:{$add:[{$ref:res.partner.category,by:{name:a}}]}`},

		{"an external id of the message", `parent_id: { ref: "xid: t.p_{PID-3[first].1}_{PID-8}" }`, kinMessage, `parent_id:{$xid:t.p_7_F}`},
		{"an external id without its part is absent", `parent_id: { ref: "xid: t.p_{PID-7}" }`, kinMessage, ``},
		{"an external id of what the rule gives, escaped as match does", `parent_id: { from: PID-8, cel: "it + '_ ' + it", ref: { xid: "t.p_{it}", on_none: defer } }`, kinMessage, `parent_id:{$xid:t.p_F%5F%20F,on_none:defer}`},
		{"an external id of named inputs", `parent_id: { from: { a: PID-8, b: "PID-3[first].1" }, ref: { xid: "t.p_{b}_{a}", on_none: retry } }`, kinMessage, `parent_id:{$xid:t.p_7_F,on_none:retry}`},
		{"keys have the type of their fields", `parent_id: { from: "PID-3[first].1", ref: { by: { id: it, color: it, seen: "'202601140915+0100'", birth: "'20260114'", active: "it == '7'", ref: it } } }`, kinMessage,
			`parent_id:{$ref:res.partner,by:{active:true,birth:2026-01-14,color:7,id:7,ref:7,seen:2026-01-14 08:15:00}}`},
		{"a key that does not fit its field", `parent_id: { from: PID-8, ref: id }`, kinMessage, `dead_letter mapping.convert p.parent_id: the key id is not a decimal number (line 16)`},
		{"a default in front of a ref", `country_id: { from: PID-8, map: { table: abc, on_miss: default }, default: ZZ, ref: code }`, kinMessage,
			`on_create country_id:{$ref:res.country,by:{code:ZZ}}; warning p.country_id: PID-8: table abc has no such code`},
		{"a constant in front of a ref", `country_id: { cel: "'US'", ref: code }`, kinMessage, `country_id:{$ref:res.country,by:{code:US}}`},
		{"a share of an account", `analytic_distribution: { from: PID-8, ref: { model: account.analytic.account, by: { code: it } } }`, kinMessage,
			`analytic_distribution:{$distribution:[{account:{$ref:account.analytic.account,by:{code:F}},percent:100}]}`},
		{"a share that is cleared", `analytic_distribution: { from: PID-8, ref: { model: account.analytic.account, by: { code: it } } }`, msh + `PID|1||7|||||""`, `analytic_distribution:null`},

		{"only_on: update", `name: { from: PID-8, only_on: update }`, kinMessage, `on_update name:F`},
		{"only_on: update clears", `name: { from: PID-8, only_on: update }`, msh + `PID|1||7|||||""`, `on_update name:null`},
		{"markup is the author's and values are escaped", `comment: { text: "<b>{PID-8}</b> {MSH-4.1}" }`, msh + `PID|1||7|||||<i>`, `comment:\u003cb\u003e\u0026lt;i\u0026gt;\u003c/b\u003e NORTH`},
		{"what an expression gives is escaped", `comment: { from: PID-8, cel: "'<b>' + it" }`, msh + `PID|1||7|||||x`, `comment:\u0026lt;b\u0026gt;x`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			text := strings.Replace(withFields(c.field), "allow: [name", "allow: [sensitive, name", 1)
			m := mustLoad(t, strings.Replace(text, "tables: {", "tables: { abc: { a: m.a, b: m.b },", 1))
			got := opsOf(m.Run(t.Context(), decode(t, c.msg)))
			want := c.want
			if !strings.HasPrefix(want, "dead_letter") && !strings.HasPrefix(want, "reject") {
				vals, warned, _ := strings.Cut(want, "; ")
				part := "vals"
				for _, p := range []string{"on_create", "on_update"} {
					if rest, is := strings.CutPrefix(vals, p+" "); is {
						vals, part = rest, p
					}
				}
				if want = "{op:p,do:upsert,xid:t.p_7}"; vals != "" {
					want = "{op:p,do:upsert,xid:t.p_7," + part + ":{" + vals + "}}"
				}
				if warned != "" {
					want += "; " + warned
				}
			}
			if got != want {
				t.Errorf("\ngot  %s\nwant %s", got, want)
			}
		})
	}
}

func TestEveryOperationSaysWhatItDoes(t *testing.T) {
	t.Parallel()
	more := func(op string) string { return withFields("name: PID-8") + "  - " + op + "\n" }
	for _, c := range []struct{ name, text, want string }{
		{"create has no defaults apart", strings.Replace(withFields("name: { from: PID-30, default: x }\nref: { from: PID-8, only_on: create }"), "do: upsert", "do: create", 1),
			`{op:p,do:create,xid:t.p_7,vals:{name:x,ref:F}}`},
		{"create clears nothing", strings.Replace(withFields("name: PID-8\nref: { value: null }"), "do: upsert", "do: create", 1), `{op:p,do:create,xid:t.p_7,vals:{name:F}}`},
		{"update needs its record", strings.Replace(withFields("name: PID-8\nref: { from: PID-8, only_on: update }"), "do: upsert", "do: update\n    on_none: retry", 1), `{op:p,do:update,xid:t.p_7,vals:{name:F,ref:F},on_none:retry}`},
		{"an update may make new lines", strings.Replace(withFields("child_ids: { key: a, fields: { name: { from: PID-30, default: x }, ref: { from: PID-8, only_on: create } } }"), "do: upsert", "do: update", 1),
			`{op:p,do:update,xid:t.p_7,vals:{child_ids:{$merge:[{key:a,on_create:{name:x,ref:F},vals:{}}]}}}`},
		{"the lines of a new record are new", strings.Replace(withFields("child_ids: { key: a, fields: { name: { from: PID-30, default: x } } }"), "do: upsert", "do: create", 1),
			`{op:p,do:create,xid:t.p_7,vals:{child_ids:{$merge:[{key:a,vals:{name:x}}]}}}`},
		{"update takes a table's default", strings.Replace(withFields("name: { from: PID-8, map: { table: sex2, on_miss: default }, default: y }\nref: { from: PID-30, map: { table: sex2, on_miss: default }, default: y }"), "do: upsert", "do: update", 1),
			`{op:p,do:update,xid:t.p_7,vals:{name:y}}; warning p.name: PID-8: table sex2 has no such code`},
		{"archive", more(`{ id: a, model: res.partner, do: archive, match: { xid: "t.a_{PID-8}" }, on_none: skip, only_if: { color: 3 } }`), `{op:a,do:archive,xid:t.a_F,on_none:skip,only_if:{color:3}}`},
		{"call on a record", more(`{ id: c, do: call, on: p, method: action_x, only_if: { gender: male }, args: { why: PID-8, n: { value: 2 }, at: { from: PID-7, as: date }, sum: { from: PID-25, as: decimal }, who: { from: PID-8, ref: { model: res.country, by: { code: it } } }, no: PID-30 } }`),
			`{op:c,do:call,on:p,method:action_x,args:{at:1984-02-29,n:2,sum:1.5,who:{$ref:res.country,by:{code:F}},why:F},only_if:{gender:male}}`},
		{"call that may be repeated", more(`{ id: c, do: call, on: p, method: action_x, because: it only reads the record anew }`), `{op:c,do:call,on:p,method:action_x}`},
		{"a context of constants and of the message", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    context: { no_reset: true, n: 2, lang: en_US, who: \"{PID-8}\", none: \"{PID-30}\" }", 1),
			`{op:p,do:upsert,xid:t.p_7,vals:{name:F},context:{lang:en_US,n:2,no_reset:true,who:F}}`},
		{"only_if of an upsert", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    only_if: { active: true, name: null, birth: \"2026-01-02\" }", 1),
			`{op:p,do:upsert,xid:t.p_7,vals:{name:F},only_if:{active:true,birth:2026-01-02,name:null}}`},
		{"unchanged_since is a time in UTC", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    only_if: { active: true, unchanged_since: { from: MSH-7, as: datetime } }", 1),
			`{op:p,do:upsert,xid:t.p_7,vals:{name:F},only_if:{active:true},unchanged_since:2026-03-14 04:00:00}`},
		{"unchanged_since makes no hours up", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    only_if: { unchanged_since: MSH-7 }", 1),
			`dead_letter mapping.convert p.only_if.unchanged_since: MSH-7 is precise to the day only (line 14)`},
		{"unchanged_since that is not there", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    only_if: { unchanged_since: PID-29 }", 1),
			`dead_letter mapping.required p.only_if.unchanged_since: required, but PID-29 is absent (line 14)`},
		{"unchanged_since on a condition", strings.Replace(withFields("name: PID-8"), "do: upsert", "do: upsert\n    only_if: { unchanged_since: { from: MSH-7, as: datetime, when: \"v('PID-8') == 'M'\" } }", 1),
			`{op:p,do:upsert,xid:t.p_7,vals:{name:F}}`},
		{"match by templates", strings.Replace(withFields("name: PID-8"), `xid: "t.p_{PID-3[first].1}"`, `by: { ref: "R{PID-8}", country_id.code: US, id: "{PID-3[first].1}", active: "Y", birth: "{PID-7}" }`, 1),
			`{op:p,do:upsert,by:{active:true,birth:1984-02-29,country_id.code:US,id:7,ref:RF},vals:{name:F}}`},
		{"match by what the fields' rules give", strings.Replace(withFields("name: PID-8\ncountry_id: { from: PID-8, ref: code }"), `xid: "t.p_{PID-3[first].1}"`, `by: [name, country_id]`, 1),
			`{op:p,do:upsert,by:{country_id:{$ref:res.country,by:{code:F}},name:F},vals:{country_id:{$ref:res.country,by:{code:F}},name:F}}`},
		{"match by a field without a value", strings.Replace(withFields("name: PID-30"), `xid: "t.p_{PID-3[first].1}"`, `by: [name]`, 1), `dead_letter mapping.identity p: no identity: name has no value (line 11)`},
		{"match by a key that does not fit", strings.Replace(withFields("name: PID-8"), `xid: "t.p_{PID-3[first].1}"`, `by: { id: "{PID-8}" }`, 1), `dead_letter mapping.convert p: the key id is not a decimal number (line 11)`},
		{"a let has the type that as: says", strings.Replace(withFields("birth: born\nseen: at\ncredit_limit: sum\ncolor: n\nactive: yes2\nname: { cel: \"born + ' ' + string(n) + (sum > dec('1') ? '!' : '')\" }"), "operations:",
			"let: { born: { from: PID-7, as: date }, at: { from: MSH-7, as: datetime }, sum: { from: PID-25, as: decimal }, n: { from: \"PID-3[first].1\", as: int }, yes2: { from: PID-8, as: { bool: { true: [F] } } } }\noperations:", 1),
			`{op:p,do:upsert,xid:t.p_7,vals:{active:true,birth:1984-02-29,color:7,credit_limit:1.5,name:1984-02-29 7!,seen:2026-03-14 04:00:00}}`},
		{"a let that is not of its type", strings.Replace(withFields("birth: born"), "operations:", "let: { born: { from: PID-8, as: date } }\noperations:", 1), `dead_letter mapping.convert let born: PID-8 is not a date (line 10)`},
		{"a let with a condition", strings.Replace(withFields("name: x"), "operations:", "let: { x: { from: PID-8, when: \"it == 'M'\", default: y } }\noperations:", 1), `{op:p,do:upsert,xid:t.p_7}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m := mustLoad(t, strings.Replace(c.text, "tables: {", "tables: { sex2: { M: x },", 1))
			got := opsOf(m.Run(t.Context(), decode(t, msh+"PID|1||7||||19840229|F|||||||||||||||||1.5")))
			got = strings.TrimPrefix(got, `{op:p,do:upsert,xid:t.p_7,vals:{name:F}}; `)
			if got != c.want {
				t.Errorf("\ngot  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestACallMeansTheRecordsOfItsOperation(t *testing.T) {
	t.Parallel()
	text := withFields("name: PID-8") + `  - { id: kin, model: res.partner, do: create, each: "NK1[*]", when: "v('NK1-1') != '1'", match: { xid: "t.k_{NK1-1}" }, fields: { ref: NK1-1 } }
  - { id: all, do: call, on: kin, method: x, only_if: { name: y } }
  - { id: one, do: call, on: kin, each: "NK1[*]", method: x, only_if: { name: y } }
`
	m := mustLoad(t, text)
	var got []string
	for _, op := range m.Run(t.Context(), decode(t, kinMessage)).Ops {
		got = append(got, op.ID+" "+op.On)
	}
	if s := strings.Join(got, ", "); s != "p , kin#2 , kin#3 , all kin, one#2 kin#2, one#3 kin#3" {
		t.Error(s)
	}
	res := m.Run(t.Context(), decode(t, msh+"PID|1||7|||||F"))
	if got := opsOf(res); got != "{op:p,do:upsert,xid:t.p_7,vals:{name:F}}" {
		t.Error(got)
	}
}

func TestAReplacedListThatIsAbsentIsEmptyOutsideOfHL7(t *testing.T) {
	t.Parallel()
	for _, mode := range []string{"replace", "add"} {
		m := mustLoad(t, withFields(`category_id: { each: "PV1-18[*]", ref: name, mode: `+mode+` }`))
		m.Format = "ldap"
		msg := decode(t, msh+"PID|1||7")
		msg.Format = "ldap"
		want := "{op:p,do:upsert,xid:t.p_7,vals:{category_id:{$replace:[]}}}"
		if mode == "add" {
			want = "{op:p,do:upsert,xid:t.p_7}"
		}
		if got := opsOf(m.Run(t.Context(), msg)); got != want {
			t.Errorf("%s: %s", mode, got)
		}
	}
}

// everything is one mapping with a rule in each place that can carry a value
// out of the hospital.
const everything = `context: { who: "{PID-8}" }
    match: { by: { ref: "{PID-8}", color: "{PID-25}" } }
    fields:
      name: { text: "{PID-8}" }
      parent_id: { ref: "xid: t.p_{PID-8}" }
      country_id: { from: PID-8, ref: { by: { code: "it + v('PID-8')" } } }
      category_id: { each: "NK1[*]", from: PID-8, ref: name, mode: add }
      child_ids: { each: "NK1[*]", key: "{PID-8}", fields: { ref: PID-8, parent_id2: { ref: "xid: t.p_{PID-8}" } } }
  - { id: c, do: call, on: p, method: x, only_if: { name: y }, args: { a: PID-8 } }
`

func TestNothingLeavesByAnyWay(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withFields("name: PID-8"), "match: { xid: \"t.p_{PID-3[first].1}\" }\n    fields:\n      name: PID-8\n", everything, 1)
	snapshot := strings.Replace(testSnapshot, `"origin":`, `"parent_id2":{"type":"many2one","relation":"res.partner"},"origin":`, 1)
	load := func() *Mapping {
		t.Helper()
		m, err := Load(testFS("m.yaml", text, "snap.json", snapshot), "m.yaml", []tree.Format{fakeFormat{}})
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	msg := decode(t, msh+"PID|1||7|||||F|||||||||||||||||3\nNK1|1")
	if res := load().Run(t.Context(), msg); len(res.Ops) != 2 {
		t.Fatal(opsOf(res))
	}
	// As if the check at load had been wrong: PID-8 is demographic, and may not
	// leave. Each place alone must stop the unit, by what it read.
	whole, named := load(), mustLoad(t, strings.Replace(withFields("name: PID-8"), "{PID-3[first].1}", "{MSH-10}", 1))
	only := func(change func(*operation)) *Mapping {
		m := load()
		m.allow &^= tree.Demographic
		op := m.ops[0]
		op.labels, op.context, op.by, op.rules, op.xid = 0, nil, nil, nil, named.ops[0].xid
		m.ops[1].args = nil
		for f := range op.allowed {
			op.allowed[f] = permit{}
		}
		change(op)
		return m
	}
	if res := only(func(*operation) {}).Run(t.Context(), decode(t, msh+"PID|1||7||||||||||||||||||||||3")); res.Verdict != broker.Apply {
		t.Fatal(opsOf(res))
	}
	for i, change := range []func(*operation){
		func(op *operation) { op.context = whole.ops[0].context },
		func(op *operation) { op.by = whole.ops[0].by },
		func(op *operation) { op.rules = whole.ops[0].rules[0:1] },
		func(op *operation) { op.rules = whole.ops[0].rules[1:2] },
		func(op *operation) { op.rules = whole.ops[0].rules[2:3] },
		func(op *operation) { op.rules = whole.ops[0].rules[3:4] },
		func(op *operation) { op.rules = whole.ops[0].rules[4:5] },
		func(op *operation) { // the key of a line alone
			op.rules = load().ops[0].rules[4:5]
			op.rules[0].blocks[0].rules = nil
		},
	} {
		if res := only(change).Run(t.Context(), msg); res.Class != ClassEgress || res.Verdict != broker.DeadLetter || res.Ops != nil {
			t.Errorf("%d: %s", i, opsOf(res))
		}
	}
	m := only(func(*operation) {})
	m.ops[1].args = whole.ops[1].args
	m.ops[1].argument["a"] = 0
	if res := m.Run(t.Context(), msg); res.Class != ClassEgress {
		t.Errorf("args: %s", opsOf(res))
	}
	// And by what was made: nothing that the mapping does not name.
	for name, change := range map[string]func(*Mapping){
		"field":         func(m *Mapping) { delete(m.ops[0].allowed, "parent_id") },
		"label":         func(m *Mapping) { m.ops[0].allowed["parent_id"] = permit{labels: tree.Clinical} },
		"field of line": func(m *Mapping) { delete(m.ops[0].allowed["child_ids"].lines, "ref") },
		"label of line": func(m *Mapping) { m.ops[0].allowed["child_ids"].lines["ref"] = permit{labels: tree.Clinical} },
		"argument":      func(m *Mapping) { delete(m.ops[1].argument, "a") },
		"identity":      func(m *Mapping) { m.ops[0].labels |= tree.Clinical },
	} {
		m := load()
		change(m)
		if res := m.Run(t.Context(), msg); res.Class != ClassEgress || res.Ops != nil {
			t.Errorf("%s: %s", name, opsOf(res))
		}
	}
}
