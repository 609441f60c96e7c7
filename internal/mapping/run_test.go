package mapping

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

const msh = "MSH|^~\\&|A|NORTH|||20260314||ADT^A08|M1|P|2.5.1\n"

func decode(t testing.TB, text string) *tree.Message {
	t.Helper()
	msg, err := fakeFormat{}.Decode([]byte(text), nil)
	if err != nil {
		t.Fatal(err)
	}
	return msg
}

// ruleLine is where in the file a rule stands that failed.
var ruleLine = regexp.MustCompile(` \(line \d+\)`)

// outcome is a result in one line: the operations' values, or the verdict with
// its class and safe reason.
func outcome(res Result) string {
	if res.Verdict != broker.Apply {
		return fmt.Sprintf("%s %s %s", res.Verdict, res.Class, ruleLine.ReplaceAllString(res.Reason, ""))
	}
	var parts []string
	for _, op := range res.Ops {
		vals, _ := json.Marshal(map[string]any(op.Vals))
		s := string(vals)
		if op.OnCreate != nil {
			more, _ := json.Marshal(map[string]any(op.OnCreate))
			s += " on_create " + string(more)
		}
		parts = append(parts, s)
	}
	for _, w := range res.Warnings {
		parts = append(parts, "warning "+w.Text)
	}
	return strings.Join(parts, "; ")
}

func TestARuleMakesOfAValueWhatTheLanguageSays(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, fields, pid, want string }{
		{"a value is written", `name: "PID-5[first].1.1"`, "||||Doe", `{"name":"Doe"}`},
		{"what is absent is not sent", `name: "PID-5[first].1.1"`, "|", `null`},
		{"what is null is cleared", `name: "PID-5[first].1.1"`, `||||""`, `{"name":null}`},
		{"what is null is kept if the rule says so", `name: { from: "PID-5[first].1.1", on_null: keep }`, `||||""`, `null`},
		{"a default fills new records only", `name: { from: PID-8, default: x }`, "|", `null on_create {"name":"x"}`},
		{"a default is not for null", `name: { from: PID-8, default: x }`, `|||||||""`, `{"name":null}`},
		{"a default is not for null that is kept", `name: { from: PID-8, default: x, on_null: keep }`, `|||||||""`, `null`},
		{"a default is not for a value", `name: { from: PID-8, default: x }`, `|||||||F`, `{"name":"F"}`},
		{"required stops the unit", `name: { from: PID-8, required: true }`, "|", `dead_letter mapping.required p.name: required, but PID-8 is absent`},
		{"required does not take null", `name: { from: PID-8, required: true, on_error: reject }`, `|||||||""`, `reject mapping.required p.name: required, but PID-8 is null`},
		{"the first that has a value wins", `name: { from: [PID-8, PID-15.1, PID-30] }`, `|||||||""|||||||en`, `{"name":"en"}`},
		{"null of one is null when no other has a value", `name: { from: [PID-8, PID-15.1] }`, `||||||||||||||""`, `{"name":null}`},
		{"only_on: create", `name: { from: PID-8, only_on: create }`, `|||||||F`, `null on_create {"name":"F"}`},
		{"a rule with when", `name: { from: PID-8, when: "it == 'M'" }`, `|||||||F`, `null`},
		{"what a when reads does not leave", `name: { from: PID-8, when: "v('PID-19') == 'S'" }`, `|||||||F|||||||||||S`, `{"name":"F"}`},
		{"a rule without when's consent has no default either", `name: { from: PID-8, when: "it == 'M'", default: x }`, `|||||||F`, `null`},
		{"a table", `gender: { from: PID-8, map: sex }`, `|||||||F`, `{"gender":"female"}`},
		{"an empty row of a table leaves the field alone", `gender: { from: PID-8, map: sex }`, `|||||||U`, `null`},
		{"a code that the table has not", `gender: { from: PID-8, map: sex }`, `|||||||X`, `dead_letter mapping.table p.gender: PID-8: table sex has no such code`},
		{"the same, skipped", `gender: { from: PID-8, map: { table: sex, on_miss: skip }, default: male }`, `|||||||X`, `null; warning p.gender: PID-8: table sex has no such code`},
		{"the same, with the default", `gender: { from: PID-8, map: { table: sex, on_miss: default }, default: male }`, `|||||||X`, `null on_create {"gender":"male"}; warning p.gender: PID-8: table sex has no such code`},
		{"the same, kept", `name: { from: PID-8, map: { table: sex, on_miss: keep } }`, `|||||||X`, `{"name":"X"}`},
		{"the catch-all", `name: { from: PID-8, map: any }`, `|||||||X`, `{"name":"other"}`},
		{"an option that a selection has not", `gender: PID-8`, `|||||||X`, `dead_letter mapping.convert p.gender: PID-8 is not one of the field's options`},
		{"html is escaped", `comment: PID-8`, `|||||||<b>`, `{"comment":"\u0026lt;b\u0026gt;"}`},
		{"an expression runs on a value only", `name: { from: PID-8, cel: "it + '!'" }`, `|`, `null`},
		{"an expression with a value", `name: { from: PID-8, cel: "it + '!'" }`, `|||||||F`, `{"name":"F!"}`},
		{"an expression with one of its inputs", `name: { from: { a: PID-8, b: PID-15.1 }, cel: "words([a, b])" }`, `|||||||F`, `{"name":"F"}`},
		{"words of blanks are none", `name: { from: { a: PID-8, b: PID-15.1 }, cel: "words([' ', a, '  '])", required: true }`, `||||||||||||||x`,
			`dead_letter mapping.required p.name: required, but nothing comes of PID-8 and PID-15.1`},
		{"words have one blank between them", `name: { from: { a: PID-8, b: PID-15.1 }, cel: "words([a, b])" }`, `|||||||Jane |||||||Doe `, `{"name":"Jane Doe"}`},
		{"a field of blanks is absent", `name: { from: PID-8, default: x }`, `|||||||   `, `null on_create {"name":"x"}`},
		{"the first that is not blank wins", `name: { from: [PID-8, PID-15.1] }`, `|||||||  |||||||en`, `{"name":"en"}`},
		{"an expression that gives blanks is absent", `name: { from: PID-8, cel: "' ' + it.first(0) + ' '", required: true }`, `|||||||F`, `dead_letter mapping.required p.name: required, but nothing comes of PID-8`},
		{"a text with a part of blanks is absent", `name: { text: "DFT {PID-8}" }`, `||||||| `, `null`},
		{"a row of a table with blanks leaves the field alone", `gender: { from: PID-8, map: sex }`, `|||||||B`, `null`},
		{"a key of blanks is none", `country_id: { from: { a: PID-8, b: PID-15.1 }, ref: { by: { code: a, name: "b + ' '" } } }`, `|||||||US`, `null`},
		{"an expression whose inputs are null", `name: { from: { a: PID-8, b: PID-15.1 }, cel: "words([a, b])" }`, `|||||||""`, `{"name":null}`},
		{"an expression that gives nothing is absent", `name: { from: PID-8, cel: "it == 'F' ? '' : it", default: x }`, `|||||||F`, `null on_create {"name":"x"}`},
		{"an expression that fails says nothing of its value", `color: { from: PID-8, cel: "int(it)" }`, `|||||||Doe`, `dead_letter mapping.cel p.color: the expression failed`},
		{"a text with an absent part is absent", `name: { text: "DFT {PID-8}" }`, `|`, `null`},
		{"a text", `name: { text: "{{DFT}} {PID-8} {MSH-4.1}" }`, `|||||||F`, `{"name":"{DFT} F NORTH"}`},
		{"a constant null clears", `name: { value: null }`, `|`, `{"name":null}`},
		{"a reference", `country_id: { from: PID-8, ref: code }`, `|||||||US`, `{"country_id":{"$ref":"res.country","by":{"code":"US"}}}`},
		{"a reference with policies", `country_id: { from: PID-8, ref: { by: { code: it, name: "'x'" }, on_none: skip, on_many: dead_letter } }`, `|||||||US`,
			`{"country_id":{"$ref":"res.country","by":{"code":"US","name":"x"},"on_many":"dead_letter","on_none":"skip"}}`},
		{"a reference by what an expression gives", `country_id: { from: PID-8, cel: "it.upperAscii()", ref: code }`, `|||||||us`, `{"country_id":{"$ref":"res.country","by":{"code":"US"}}}`},
		{"a reference by a whole number", `country_id: { from: PID-8, ref: { by: { phone_code: "int(it)" } } }`, `|||||||49`, `{"country_id":{"$ref":"res.country","by":{"phone_code":49}}}`},
		{"a reference that lacks a key is absent", `country_id: { from: { a: PID-8, b: PID-15.1 }, ref: { by: { code: a, name: b } } }`, `|||||||US`, `null`},
		{"a reference that is null is cleared", `country_id: { from: PID-8, ref: code }`, `|||||||""`, `{"country_id":null}`},
		{"many2many adds", `category_id: { each: "PID-10[*]", from: PID-8, ref: name, mode: add }`, `|||||||F||a~b`, `{"category_id":{"$add":[{"$ref":"res.partner.category","by":{"name":"F"}},{"$ref":"res.partner.category","by":{"name":"F"}}]}}`},
		{"many2many by its items", `category_id: { each: "PID-11[*]", ref: name, mode: replace }`, `||||||||||a~b`, `{"category_id":{"$replace":[{"$ref":"res.partner.category","by":{"name":"a"}},{"$ref":"res.partner.category","by":{"name":"b"}}]}}`},
		{"an item that fails is named by its list", `category_id: { each: "PID-11[*].1", map: sex, ref: name, mode: add }`, `||||||||||M~X`,
			`dead_letter mapping.table p.category_id: item 2: PID-11[*].1: table sex has no such code`},
		{"many2many that is null is emptied by replace", `category_id: { each: "PID-11[*]", ref: name, mode: replace }`, `||||||||||""`, `{"category_id":{"$replace":[]}}`},
		{"many2many that is absent is left alone", `category_id: { each: "PID-11[*]", ref: name, mode: replace }`, `|`, `null`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			fields := strings.ReplaceAll(c.fields, "allow: [", "")
			text := strings.Replace(withFields(fields), "allow: [name", "allow: [sensitive, name", 1)
			text = strings.Replace(text, `t.p_{PID-3[first].1}`, `t.p_{MSH-10}`, 1)
			m := mustLoad(t, text)
			if got := outcome(m.Run(t.Context(), decode(t, msh+"PID|"+c.pid))); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestConversionIsDrivenByBothTypesAndInventsNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ field, rule, text, want string }{
		{"birth", "PID-7", "19840229", `"1984-02-29"`},
		{"birth", "PID-7", "198402291530-0500", `"1984-02-29"`},
		{"birth", "PID-7", "1984", "PID-7 is precise to the year only"},
		{"birth", "PID-7", "198402", "PID-7 is precise to the month only"},
		{"birth", "PID-7", "19840230", "PID-7 is not a date"},
		{"birth", "PID-7", "1984-02-29", `"1984-02-29"`},
		{"birth", "PID-7", "29.2.1984", "PID-7 is not a date"},
		{"birth", "{ from: PID-8, as: { date: MM/DD/YYYY } }", "02/29/1984", `"1984-02-29"`},
		{"birth", "{ from: PID-8, as: { date: MM/DD/YYYY } }", "29/02/1984", "PID-8 does not fit MM/DD/YYYY"},
		{"seen", "PID-7", "20260314091522-0500", `"2026-03-14 14:15:22"`},
		{"seen", "PID-7", "20260314091522.75", `"2026-03-14 13:15:22"`}, // New York, daylight saving
		{"seen", "PID-7", "20260114091522", `"2026-01-14 14:15:22"`},
		{"seen", "PID-7", "202601140915+0100", `"2026-01-14 08:15:00"`},
		{"seen", "PID-7", "2026-01-14T09:15:22Z", `"2026-01-14 09:15:22"`},
		{"seen", "PID-7", "20260114", "PID-7 is precise to the day only"},
		{"seen", "{ cel: \"ts('PID-7')\" }", "20260114091522", `"2026-01-14 14:15:22"`},
		{"birth", "{ cel: \"ts('PID-7')\" }", "20260114233000-0500", `"2026-01-14"`},
		{"birth", "{ cel: \"ts('PID-7')\" }", "", "PID-7 is absent: ask valued() first"},
		{"active", "PID-8", "Y", "true"},
		{"active", "PID-8", "n", "false"},
		{"active", "PID-8", "X", "PID-8 is not a boolean (Y or N)"},
		{"active", "{ from: PID-8, as: { bool: { true: [A], false: [B] } } }", "B", "false"},
		{"active", "{ from: PID-8, as: { bool: { true: [A], false: [B] } } }", "C", "PID-8 is neither of the codes for true and false"},
		{"credit_limit", "PID-25", "0012.50", "12.5"},
		{"credit_limit", "PID-25", "-.5", "-0.5"},
		{"credit_limit", "PID-25", "1,5", "PID-25 is not a decimal number"},
		{"credit_limit", "PID-25", "1e9", "1000000000"},
		{"credit_limit", "PID-25", "0.1234567890123456789", "0.1234567890123456789"},
		{"credit_limit", "{ from: PID-25, as: n2 }", "1250", "12.5"},
		{"credit_limit", "{ cel: \"dec('0.1') + dec('0.2')\" }", "", "0.3"},
		{"credit_limit", "{ cel: \"num('PID-25') * dec(3) - dec('1')\" }", "1.10", "2.3"},
		{"credit_limit", "{ cel: \"-num('PID-25')\" }", "1.10", "-1.1"},
		{"credit_limit", "{ cel: \"dec(1) / dec(3)\" }", "", "has no exact decimal form"},
		{"credit_limit", "{ cel: \"dec((dec(2) / dec(3)).fixed2())\" }", "", "0.67"},
		{"credit_limit", "{ cel: \"dec(1) / dec(0)\" }", "", "division by zero"},
		{"color", "PID-25", "7", "7"},
		{"color", "PID-25", "7.5", "PID-25 is not a whole number"},
		{"color", "{ cel: \"int(dec('2') > dec('1.9') ? 1 : 0)\" }", "", "1"},
		{"name", "{ from: PID-8, cel: it.digits().last(4) }", "900-11-2233", `"2233"`},
		{"name", "{ from: PID-8, cel: it.first(2) }", "éàü", `"éà"`},
		{"name", "{ from: PID-8, cel: \"it.idOf('Patient')\" }", "Patient/p1", `"p1"`},
		{"name", "{ from: PID-8, cel: \"it.idOf('Patient')\" }", "https://ehr.example.org/fhir/Patient/p1/_history/3", `"p1"`},
		{"name", "{ from: PID-8, cel: \"it.idOf('Patient') + it.idOf('Inpatient')\" }", "Inpatient/p1", `"p1"`},
		{"name", "{ from: PID-8, cel: \"'none' + it.idOf('Patient')\" }", "Group/p1", `"none"`},
		{"name", "{ from: PID-8, cel: \"'none' + it.idOf('Patient')\" }", "#p1", `"none"`},
		{"name", "{ from: PID-8, cel: \"'none' + it.idOf('Patient')\" }", "p1", `"none"`},
		{"name", "{ from: PID-8, cel: \"'none' + it.idOf('Patient')\" }", "Patient/?identifier=p1", `"none"`},
		{"name", "{ from: PID-8, cel: it.title() }", "o'hARA van-der bERG", `"O'hara Van-Der Berg"`},
		{"name", "{ cel: \"dec('12.345').fixed2() + ' ' + dec('12.3').cents()\" }", "", `"12.35 1230"`},
		{"name", "{ cel: \"string(num('PID-25') / dec(4))\" }", "1.10", `"0.275"`},
		{"name", "{ cel: \"table('any', 'A') + (intable('sex', 'X') ? '1' : '0')\" }", "", `"x0"`},
		{"name", "{ cel: \"table('sex', 'X')\" }", "", "table sex has no such code"},
		{"name", "{ cel: \"values('NK1[*]-2[*].1.1').join('+')\" }", "", `"Roe+Poe"`},
		{"name", "{ cel: \"nodes('NK1[*]').map(n, n.v('NK1-1') + n.v('/MSH-4.1'))[0]\" }", "", "load"},
		{"name", "{ cel: \"nodes('NK1[*]').filter(n, n.valued('NK1-3')).map(n, n.v('NK1-2[first].1')).join(',')\" }", "", `"Poe"`},
		{"credit_limit", "{ cel: \"sum('NK1[*]-1') + total(nodes('NK1[*]').map(n, n.num('NK1-1') * dec(10)))\" }", "", "33"},
		{"active", "{ cel: \"valued('PID-8') && !isnull('PID-8') && isnull('PID-16')\" }", "x", "true"},
	} {
		text := strings.Replace(withFields(c.field+": "+c.rule), `t.p_{PID-3[first].1}`, `t.p_{MSH-10}`, 1)
		m, err := Load(testFS("m.yaml", text), "m.yaml", []tree.Format{fakeFormat{}})
		if err != nil {
			if c.want != "load" {
				t.Errorf("%s %s: %v", c.field, c.rule, err)
			}
			continue
		}
		pid := strings.Repeat("|", 6) + c.text + "|" + c.text + strings.Repeat("|", 8) + `""` + strings.Repeat("|", 9) + c.text
		res := m.Run(t.Context(), decode(t, msh+"PID|"+pid+"\nNK1|1|Roe\nNK1|2|Poe|X\n"))
		got := res.Reason
		if res.Verdict == broker.Apply {
			v, _ := json.Marshal(res.Ops[0].Vals[c.field])
			got = string(v)
		}
		if !strings.HasSuffix(got, c.want) && !strings.Contains(got, c.want) {
			t.Errorf("%s: %s of %q gives %s, want %s", c.field, c.rule, c.text, got, c.want)
		}
	}
}

func TestOneUnitSaysWhatStoppedIt(t *testing.T) {
	t.Parallel()
	base := strings.Replace(withFields("name: \"PID-5[first].1.1\""), "idempotency:", "ordering: \"{PID-3[first].1}\"\nidempotency:", 1)
	guard := strings.Replace(base, "operations:", "guards: [ { when: \"v('PID-8') == 'X'\", do: skip, because: not for us } ]\noperations:", 1)
	each := strings.Replace(base, "    match: { xid: \"t.p_{PID-3[first].1}\" }", "    each: NK1[*]\n    match: { xid: \"t.k_{NK1-1}\" }", 1)
	for _, c := range []struct{ name, text, msg, want string }{
		{"a message of another type", base, "MSH|^~\\&|A|NORTH|||||ORU^R01", "skip mapping.not_mine the message is not one that test takes"},
		{"no identity", base, msh + "PID|1", "dead_letter mapping.identity p: no identity: PID-3[first].1 is absent"},
		{"identity is null", base, msh + `PID|1||""`, "dead_letter mapping.identity p: no identity: PID-3[first].1 is null"},
		{"a guard", guard, msh + `PID|1||7|||||X`, "skip mapping.guard not for us"},
		{"no ordering", each, msh + "PID|1\nNK1|1", "dead_letter mapping.identity ordering: PID-3[first].1 is absent"},
		{"no ordering and nothing to order", each, msh + "PID|1", "skip mapping.nothing no operation of test applies to the message"},
		{"too many for a list of an expression", strings.Replace(each, "NK1-1}\" }", "NK1-1}\" }\n    when: \"size(values('/NK1[*]-1')) > 0\"", 1), msh + "PID|1||7\n" + strings.Repeat("NK1|1\n", 201),
			"dead_letter mapping.cel p#1.when: /NK1[*]-1 repeats more than 200 times, which is too long for a list of an expression"},
		{"too many repetitions", each, msh + "PID|1||7\n" + strings.Repeat("NK1|1\n", 1001), "dead_letter mapping.limit p: NK1[*] repeats more than 1000 times"},
		{"a value that is too long", base, msh + "PID|1||7||" + strings.Repeat("x", 70_000), "dead_letter mapping.limit p.name: a value has at most 65536 bytes, and a unit 1048576"},
	} {
		m := mustLoad(t, c.text)
		if got := outcome(m.Run(t.Context(), decode(t, c.msg))); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	skips := mustLoad(t, withFields(`name: { from: "PID-5[first].1.1", on_error: skip }`))
	if got, want := outcome(skips.Run(t.Context(), decode(t, msh+"PID|1||7||"+strings.Repeat("x", 70_000)))), "dead_letter mapping.limit p.name: a value has at most 65536 bytes, and a unit 1048576"; got != want {
		t.Errorf("no rule skips a limit: %s", got)
	}
	m := mustLoad(t, guard)
	if res := m.Run(t.Context(), decode(t, msh+`PID|1||7|||||X`)); res.Ordering != "7" || res.Idempotency != "M1" {
		t.Errorf("a unit that stopped has its keys too: %q %q", res.Ordering, res.Idempotency)
	}
}

func TestAMappingTakesWhatHasAPlace(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		when, message string
		want          bool
	}{
		{`"NK1[*]": { present: true }`, "PID|1||7", false},
		{`"NK1[*]": { present: true }`, "PID|1||7\nNK1|", true},
		{`"NK1[*]": { present: false }`, "PID|1||7", true},
		{`"NK1[*]": { present: false }`, "PID|1||7\nNK1|1", false},
		{`PID: { present: true }`, "PID|1||7", true},
		{`PV1: { present: true }`, "PID|1||7", false},
		{`"NK1[*].1": { present: true }`, "PID|1||7\nNK1||X\nNK1|2", true},
		{`"NK1[*].1": { present: true }`, "PID|1||7\nNK1||X\nNK1|\"\"", false},
		{`"NK1[*].1": { present: false }`, "PID|1||7\nNK1||X\nNK1|\"\"", true},
		{`"NK1[first].1": { present: true }`, "PID|1||7\nNK1||X\nNK1|2", false},
		{`"PID-5[first].1": { present: true }, PID-8: X`, "PID|1||7||A|||X", true},
		{`"PID-5[first].1": { present: true }, PID-8: X`, "PID|1||7||A|||Y", false},
	} {
		text := strings.Replace(withFields("name: \"PID-5[first].1.1\""), "MSH-9.1: ADT", "MSH-9.1: ADT, "+c.when, 1)
		if got := mustLoad(t, text).Matches(decode(t, msh+c.message)); got != c.want {
			t.Errorf("%s takes %q: %v", c.when, c.message, got)
		}
	}
	for when, want := range map[string]string{
		`"NK1[*].1": "1"`:                     "NK1[*].1 is a list; a condition compares one value",
		`NK1: { present: true }`:              "NK1 repeats, and the first one is taken",
		`XX1: { present: true }`:              "has no XX1",
		`PID: { present: "yes" }`:             "present",
		`PID: { present: true, missing: no }`: "missing",
		`PID: {}`:                             "present",
	} {
		text := strings.Replace(withFields("name: \"PID-5[first].1.1\""), "MSH-9.1: ADT", "MSH-9.1: ADT, "+when, 1)
		_, issues := load(testFS("m.yaml", text), "m.yaml", []tree.Format{fakeFormat{}})
		if got := fmt.Sprint(issues); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %q", when, got, want)
		}
	}
}

func TestAUnitHasTheKeysThatItsMessageHas(t *testing.T) {
	t.Parallel()
	with := func(keys string) string {
		return strings.Replace(withFields("name: \"PID-5[first].1.1\""), "idempotency:", "ordering: ["+keys+"]\nidempotency:", 1)
	}
	several := with(`"{PID-3[first].1}", "{PID-4[first].1}", "{PID-3[first].1}"`)
	for _, c := range []struct{ name, message, first, others, want string }{
		{"two", "PID|1||7|8|Xy", "7", "[8]", `{"name":"Xy"}`},
		{"the same twice is one", "PID|1||7|7|X", "7", "[]", `{"name":"X"}`},
		{"one is missing", "PID|1||7||X", "7", "[]", "dead_letter mapping.identity ordering: PID-4[first].1 is absent"},
		{"the first is missing", "PID|1|||8|X", "8", "[]", "dead_letter mapping.identity"},
	} {
		res := mustLoad(t, several).Run(t.Context(), decode(t, msh+c.message))
		if got := outcome(res); res.Ordering != c.first || fmt.Sprint(res.OtherOrdering) != c.others || !strings.HasPrefix(got, c.want) {
			t.Errorf("%s: %q, %v, %s", c.name, res.Ordering, res.OtherOrdering, got)
		}
	}
	_, err := Load(testFS("m.yaml", with(strings.Repeat(`"{PID-3[first].1}", `, 17))), "m.yaml", []tree.Format{fakeFormat{}})
	if err == nil || !strings.Contains(err.Error(), "a unit has at most 16 keys") {
		t.Errorf("17 keys: %v", err)
	}
}

func TestAnOperationNamesOnlyOneThatRan(t *testing.T) {
	t.Parallel()
	text := strings.Replace(withFields("name: PID-8"), "    match:", "    when: \"valued('PID-8')\"\n    match:", 1) +
		"  - { id: q, model: res.partner, do: upsert, match: { xid: t.q }, fields: { parent_id: { op: p } } }\n"
	m := mustLoad(t, text)
	if got, want := outcome(m.Run(t.Context(), decode(t, msh+"PID|1||7|||||F"))), `{"name":"F"}; {"parent_id":{"$op":"p"}}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got, want := outcome(m.Run(t.Context(), decode(t, msh+"PID|1||7"))), "dead_letter mapping.op q.parent_id: operation p did not run"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestAnOperationOfAListNamesThatOfTheSameItem(t *testing.T) {
	t.Parallel()
	op := "  - { id: %s, model: res.partner, do: upsert, each: \"NK1[*]\", match: { xid: \"t.%s_{NK1-1}\" }, %s }\n"
	m := mustLoad(t, withFields("name: PID-8")+fmt.Sprintf(op, "a", "a", `when: "v('NK1-1') != '1'", fields: { name: NK1-1 }`)+
		fmt.Sprintf(op, "b", "b", `fields: { parent_id: { op: a, on_error: skip } }`))
	got := outcome(m.Run(t.Context(), decode(t, msh+"PID|1||7\nNK1|1\nNK1|2\n")))
	want := `null; {"name":"2"}; null; {"parent_id":{"$op":"a#2"}}; warning b#1.parent_id: operation a#1 did not run`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestAStoppedContextStopsALoop(t *testing.T) {
	t.Parallel()
	m := mustLoad(t, strings.Replace(withFields(`name: PID-8`), "operations:",
		"guards: [ { when: \"values('NK1[*]-1').exists(a, a == 'x')\", do: skip, because: x } ]\noperations:", 1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if res := m.Run(ctx, decode(t, msh+"PID|1||7\n"+strings.Repeat("NK1|1\n", 200))); res.Class != ClassLimit {
		t.Error(outcome(res))
	}
	// Skipped, it would let the unit go without the field.
	kids := make([]*tree.Node, 200)
	for i := range kids {
		kids[i] = &tree.Node{Name: "NK1", State: tree.Value, Kids: []*tree.Node{{Name: "1", State: tree.Value, Text: "1"}}}
	}
	r := &run{m: m, ctx: ctx, frames: []*tree.Node{{State: tree.Value, Kids: kids}}}
	if _, f := r.eval(m.guards[0].when, nil, datum{}); f == nil || (&rule{onError: "skip"}).skips(f) {
		t.Errorf("%+v is skipped", f)
	}
}

func TestNothingSafeToPrintHoldsAValue(t *testing.T) {
	t.Parallel()
	const canary = "ZQCANARY"
	m := mustLoad(t, withFields(`gender: { from: PID-8, map: sex, on_error: skip }
birth: { from: PID-7, on_error: skip }
color: { from: PID-8, cel: "int(it)", on_error: skip }
active: { from: PID-8, on_error: skip }
credit_limit: { from: PID-25, on_error: skip }
seen: { from: PID-8, as: { datetime: YYYY-MM-DD HH:MI }, on_error: skip }
name: { from: PID-8, cel: "table('sex', it)", on_error: skip }
ref: { from: PID-8, cel: "[it][7]", on_error: skip }`))
	m.ordering = []*template{m.ops[0].xid}
	msg := decode(t, msh+"PID|1||"+canary+"||||"+canary+"|"+canary+strings.Repeat("|", 17)+canary)
	res := m.Run(t.Context(), msg)
	if len(res.Warnings) != 8 {
		t.Fatalf("%d warnings", len(res.Warnings))
	}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("mapped", "result", res, "warnings", res.Warnings)
	if s := fmt.Sprintf("%v %+v %#v %s %s", res.Warnings, res, res, res.Reason, log.String()); !strings.Contains(res.Ordering, canary) || strings.Contains(s, canary) {
		t.Error(s)
	}
	if !strings.Contains(string(res.Warnings[0].Detail), canary) {
		t.Error("the detail has no value")
	}
}

func TestEgressIsCheckedAgainWhenItRuns(t *testing.T) {
	t.Parallel()
	m := mustLoad(t, withFields(`name: "PID-5[first].1.1"`))
	msg := decode(t, msh+"PID|1||7||Doe")
	if res := m.Run(t.Context(), msg); res.Verdict != broker.Apply {
		t.Fatal(res.Reason)
	}
	// As if the check at load had been wrong.
	m.allow &^= tree.Name
	if res := m.Run(t.Context(), msg); res.Class != ClassEgress || res.Verdict != broker.DeadLetter || res.Ops != nil {
		t.Errorf("%s %s", res.Verdict, res.Class)
	}
	// And the labels of the field too: what was read tells.
	for _, rule := range []string{`name: "PID-5[first].1.1"`, `name: { cel: "v('PID-5[first].1.1')" }`, `name: { cel: "values('PID-5[*].1').join('')" }`, `name: { text: "{who}" }`} {
		m := mustLoad(t, strings.Replace(withFields(rule), "operations:", "let: { who: \"PID-5[first].1.1\" }\noperations:", 1))
		m.allow &^= tree.Name
		m.ops[0].allowed["name"] = permit{}
		if res := m.Run(t.Context(), msg); res.Class != ClassEgress || res.Ops != nil {
			t.Errorf("%s: %s", rule, outcome(res))
		}
	}
	m.allow |= tree.Name
	delete(m.ops[0].allowed, "name")
	if res := m.Run(t.Context(), msg); res.Class != ClassEgress || res.Ops != nil {
		t.Errorf("%s %s", res.Verdict, res.Class)
	}
}

// allKinds is a mapping with each kind of rule and of operation.
func allKinds() string {
	text := withFields(`name: { from: { a: "PID-5[first].1.1", b: PID-8 }, cel: "words([a, b])", default: x }
gender: { from: PID-8, map: { table: sex, on_miss: skip } }
birth: { from: born, on_error: skip }
seen: { from: PID-7, on_error: skip, only_on: update }
active: { from: PID-30, on_error: skip }
credit_limit: { cel: "num('PID-25')", on_error: skip }
comment: { text: "<p>{PID-8}</p>" }
country_id: { from: "PID-11[first].6", ref: code }
parent_id: { ref: { xid: "t.p_{PID-15.1}", on_none: defer }, on_error: skip }
analytic_distribution: { from: PID-16.1, ref: { model: account.analytic.account, by: { code: it } }, only_on: create }
category_id: [ { each: "PV1-18[*]", ref: name, mode: replace }, { each: "PID-11[*]", cel: "it.first(2)", ref: { xid: "{it}" }, on_error: skip } ]
child_ids: [ { each: "NK1[*]", key: "{NK1-1}/{NK1-3}", on_error: skip, fields: { ref: NK1-3, color: { from: NK1-1, on_error: skip, default: 3 }, birth: { from: NK1-8, on_error: reject } } }, { key: own, when: "total(nodes('NK1[*]').map(n, n.num('NK1-1'))) > dec('3')", fields: { ref: PID-8 } } ]`)
	text = strings.Replace(text, "operations:", `let: { born: { from: PID-7, as: date, on_error: skip }, n: { from: PID-25, as: decimal, on_error: skip } }
operations:`, 1)
	text = strings.Replace(text, "do: upsert", "do: upsert\n    context: { who: \"{PID-8}\" }\n    only_if: { gender: male }", 1) + `  - { id: kin, model: res.partner, do: create, each: "NK1[*]", when: "v('NK1-1') != '1'", match: { by: [ref] }, fields: { ref: NK1-1, name: NK1-3, parent_id: { op: p } } }
  - { id: moved, model: res.partner, do: update, match: { by: { color: "{PID-25}" } }, on_none: retry, when: "n > dec('1')" }
  - { id: gone, model: res.partner, do: archive, match: { xid: "t.g_{PID-15.1}" }, when: "valued('PID-15.1')" }
  - { id: post, do: call, on: kin, method: x, because: it does the same each time, args: { n: n, why: { from: PID-8, map: any } } }
`
	return text
}

func TestTheSameMessageGivesTheSameBytesFromManyAtOnce(t *testing.T) {
	m, applied := mustLoad(t, allKinds()), 0
	rapid.Check(t, func(rt *rapid.T) {
		text := msh + "PID"
		for range 31 {
			text += "|" + rapid.SampledFrom([]string{"", `""`, "F", "19840229", "a^b&c~d^^US", "Y", "1.5", "é"}).Draw(rt, "field")
		}
		text += "\nPV1" + strings.Repeat("|", 18) + rapid.SampledFrom([]string{"", "A", "A~B", `""`}).Draw(rt, "types")
		for range rapid.IntRange(0, 4).Draw(rt, "kin") {
			text += "\nNK1"
			for range 8 {
				text += "|" + rapid.SampledFrom([]string{"", `""`, "1", "2", "x", "20260102", "a^b&c~d"}).Draw(rt, "field")
			}
		}
		msg := decode(t, text)
		var results [4]string
		var wg sync.WaitGroup
		for i := range results {
			wg.Go(func() { results[i] = string(encodeJSON(unitJSON(m, m.Run(context.Background(), msg)))) })
		}
		wg.Wait()
		if strings.Contains(results[0], `"verdict": "apply"`) {
			applied++
		}
		for _, r := range results {
			if r != results[0] || strings.Contains(r, ClassInternal) {
				rt.Fatalf("%s\n%s", results[0], r)
			}
		}
	})
	if applied == 0 {
		t.Error("no message made a unit")
	}
}

func FuzzRun(f *testing.F) {
	m := mustLoad(f, allKinds())
	f.Add(msh + "PID|1||7||Doe^Jan||1984|F||||||||||||||||||||||Y\nPV1||||||||||||||||||A~B")
	f.Add(msh + "PID|1||7||Doe^Jan|||F|||a^^^^^US~m.x|||||en|X|||||||||2.5||\nPV1||||||||||||||||||A~B\nNK1|2|Roe|x||||20260101\nNK1|3||y")
	f.Add(msh + `PID|""|""|""|""|""|""|""|""|""|""|""`)
	f.Fuzz(func(t *testing.T, text string) {
		msg, err := fakeFormat{}.Decode([]byte(text), nil)
		if err != nil {
			return
		}
		if res := m.Run(context.Background(), msg); res.Class == ClassInternal {
			t.Fatal(string(res.Detail))
		}
	})
}
