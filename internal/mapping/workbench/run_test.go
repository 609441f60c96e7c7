package workbench

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

const inA08 = "examples/north/01-hl7-adt/in/a08.hl7"

func TestExplainTellsWhereEachValueComesFrom(t *testing.T) {
	t.Parallel()
	b := shipped()
	for name, in := range map[string]string{"a08": inA08, "a01-min": "examples/north/01-hl7-adt/in/a01-min.hl7", "a01-nomrn": "examples/north/01-hl7-adt/in/a01-nomrn.hl7"} {
		runs, err := b.Run(t.Context(), adt+".map.yaml", read(t, b, in))
		if err != nil || len(runs) != 1 {
			t.Fatal(err)
		}
		golden(t, "explain-"+name+".txt", printed(func(s Screen) { _ = runs[0].Explain(s, nil) }))
	}
	runs, err := b.Run(t.Context(), adt+".map.yaml", read(t, b, inA08))
	if err != nil {
		t.Fatal(err)
	}
	only := printed(func(s Screen) { _ = runs[0].Explain(s, []string{"kin#2"}) })
	if !strings.Contains(only, "kin#2") || strings.Contains(only, "kin#1") || strings.Contains(only, "ordering") {
		t.Errorf("only kin#2:\n%s", only)
	}
	var unit bytes.Buffer
	if err := runs[0].Unit.Print(Screen{W: &unit}); err != nil {
		t.Fatal(err)
	}
	var got, want any
	if json.Unmarshal(unit.Bytes(), &got) != nil || json.Unmarshal(read(t, b, "examples/north/01-hl7-adt/golden/a08.json"), &want) != nil || compact(got) != compact(want) {
		t.Errorf("the unit is not the golden:\n%s", unit.String())
	}
	data, err := json.Marshal(runs)
	if err != nil || !strings.Contains(string(data), `"path":"PID-5[7=L].1.1"`) || !strings.Contains(string(data), `"text":"O'Hara"`) || strings.Contains(string(data), "[phi") {
		t.Errorf("%v %.300s", err, data)
	}
}

func TestAFileOfManyMessagesIsRunWhole(t *testing.T) {
	t.Parallel()
	b := shipped()
	runs, err := b.Run(t.Context(), "examples/north/07-hr/employees.map.yaml", read(t, b, "examples/north/07-hr/in-hr.csv"))
	if err != nil || len(runs) < 2 {
		t.Errorf("%d runs, %v", len(runs), err)
	}
}

// stored returns n messages: the first third says nothing of a death, and some
// have no record number.
func stored(t testing.TB, n int) []Stored {
	body, err := fs.ReadFile(shipped().FS, inA08)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]Stored, n)
	for i := range out {
		s := strings.NewReplacer("4471123", fmt.Sprint(4471123+i), "MSG00042", fmt.Sprintf("MSG%05d", i)).Replace(string(body))
		if i%3 == 0 {
			s = strings.Replace(s, `|""|N`, `||N`, 1)
		}
		if i%25 == 7 {
			s = strings.Replace(s, "^MR", "^XX", 1)
		}
		out[i] = Stored{Name: fmt.Sprintf("%04d.hl7", i), Body: broker.PHI(s)}
	}
	return out
}

var newADT = []string{"version: 4", "version: 5", "cel: words([giv, mid, fam])", `cel: "fam + ', ' + giv"`, "x_deceased_on:   { from: PID-29 }", "x_deceased_on:   { from: PID-29, on_null: keep }",
	"x_account_no:    PID-18.1", "function: PID-18.1", "when: \"v('NK1-2[first].1.1') != ''\"", "when: \"v('NK1-1') == '1'\"", "required: true, on_error: reject", "required: true, on_error: dead_letter"}

func TestDiffGroupsWhatWouldChange(t *testing.T) {
	t.Parallel()
	b := changed(t, adt+".map.yaml", newADT...)
	both := shipped().With(map[string][]byte{"examples/north/01-hl7-adt/new.map.yaml": read(t, b, adt+".map.yaml")})
	messages := append(stored(t, 100), Stored{Name: "broken.hl7", Body: broker.PHI("no message")}, Stored{Name: "locked.hl7", Unread: "permission denied"}, Stored{Name: "other.hl7", Body: broker.PHI("MSH|^~\\&|A|B|C|D|20260101||ORU^R01|1|P|2.5.1\r")})
	told := 0
	rep, err := both.Diff(t.Context(), adt+".map.yaml", "examples/north/01-hl7-adt/new.map.yaml", messages, func(done, all int) { told = done })
	if err != nil || told != 103 || rep.Unread != 2 || len(rep.NotRead) != 2 || rep.NotRead[1] != (Unread{"locked.hl7", "permission denied"}) || rep.NotMine != 1 {
		t.Fatalf("%v %d %+v", err, told, rep)
	}
	golden(t, "diff.txt", printed(rep.Print))
	if rep.Changes[0].What != "verdict reject → dead_letter" || rep.Changes[0].Count != 4 {
		t.Errorf("verdicts come first: %+v", rep.Changes[0])
	}
	kin := shipped().With(map[string][]byte{"examples/north/01-hl7-adt/new.map.yaml": read(t, changed(t, adt+".map.yaml", "type:      { value: contact }", "type:      { value: other }"), adt+".map.yaml")})
	if rep, err := kin.Diff(t.Context(), adt+".map.yaml", "examples/north/01-hl7-adt/new.map.yaml", messages, nil); err != nil || len(rep.Changes) != 1 || rep.Changes[0].What != "kin.type" || rep.Changes[0].Count != 96 {
		t.Errorf("two next of kin are one message: %v %+v", err, rep)
	}
	same, err := both.Diff(t.Context(), adt+".map.yaml", adt+".map.yaml", messages, nil)
	if err != nil || len(same.Changes) != 0 || same.Same != 100 {
		t.Errorf("%v %+v", err, same)
	}
}

func TestDocumentsAreComparedByElement(t *testing.T) {
	t.Parallel()
	const po = "examples/north/04-x12-procurement/po-850-out.map.yaml"
	b := shipped()
	body := read(t, b, "examples/north/04-x12-procurement/in-po.json")
	b = b.With(map[string][]byte{"examples/north/04-x12-procurement/new.map.yaml": []byte(strings.Replace(string(read(t, b, po)), "dec(it).fixed2()", "dec(it).fixed2() + '0'", 1))})
	rep, err := b.Diff(t.Context(), po, "examples/north/04-x12-procurement/new.map.yaml", []Stored{{Name: "po", Body: broker.PHI(body)}}, nil)
	if err != nil || len(rep.Changes) != 1 || rep.Changes[0].What != "PO1-04" || rep.Changes[0].Count != 1 || rep.Changes[0].New != "12.500" {
		t.Errorf("%v %+v", err, rep)
	}
	runs, err := b.Run(t.Context(), po, body)
	if err != nil || len(runs) != 1 || len(runs[0].Unit.Document) != 10 || runs[0].Unit.Document[0] != "BEG*00*SA*P00912**20260504" {
		t.Errorf("%v %+v", err, runs)
	}
}

func TestLinesAreComparedByTheirKeys(t *testing.T) {
	t.Parallel()
	line := func(key, qty string) any {
		return map[string]any{"key": key, "vals": map[string]any{"qty": qty, "name": "x"}}
	}
	was := map[string]any{"order_line": map[string]any{"$merge": []any{line("1", "5"), line("2", "6")}}, "on_create.lang": "en"}
	is := map[string]any{"order_line": map[string]any{"$merge": []any{line("2", "7"), line("1", "5"), line("3", "1")}}}
	var got []string
	compareValues("order", was, is, func(what, old, new string) { got = append(got, what+": "+old+" → "+new) })
	want := `order.on_create.lang: "en" →  / order.order_line.qty: "6" → "7" / order.order_line (line):  → {"name":"x","qty":"1"}`
	if s := strings.Join(got, " / "); s != want {
		t.Errorf("got  %s\nwant %s", s, want)
	}
}

func TestAReplayOfAThousandMessagesTakesSeconds(t *testing.T) {
	t.Parallel()
	messages := stored(t, 1000)
	start := time.Now()
	rep, err := shipped().Diff(t.Context(), adt+".map.yaml", adt+".map.yaml", messages, nil)
	if err != nil || rep.Same != 1000 {
		t.Fatalf("%v %+v", err, rep)
	}
	t.Log(time.Since(start))
}

func BenchmarkDiff1000(b *testing.B) {
	messages := stored(b, 1000)
	for b.Loop() {
		if _, err := shipped().Diff(b.Context(), adt+".map.yaml", adt+".map.yaml", messages, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func TestAPageSaysWhatLeavesAndWhy(t *testing.T) {
	t.Parallel()
	p, err := shipped().Page(adt + ".map.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var text, page, index bytes.Buffer
	if err := p.Markdown(&text); err != nil {
		t.Fatal(err)
	}
	golden(t, "page.md", text.String())
	if err := p.HTML(&page); err != nil {
		t.Fatal(err)
	}
	golden(t, "page.html", page.String())
	if err := IndexHTML(&index, []Page{p}); err != nil || !strings.Contains(index.String(), `href="hl7-adt-patient.html"`) {
		t.Error(err, index.String())
	}
	for _, want := range []string{"PID-5[7=L].1.1", "Family Name", "table sex", "privacy board ruling 2026-014", "national_id", "res.partner", "<svg"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	if strings.Contains(page.String(), "http://") || strings.Contains(page.String(), "https://") || strings.Contains(page.String(), "<script") {
		t.Error("the page wants another file")
	}
}

func TestAPageHoldsWhatAMappingSaysAsText(t *testing.T) {
	t.Parallel()
	b := shipped().With(map[string][]byte{"x.map.yaml": []byte(strings.Replace(tiny, "id: tiny\n", "id: tiny\ntitle: \"<script>a|b</script> *x*\"\n", 1))})
	p, err := b.Page("x.map.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var text, page bytes.Buffer
	if p.Markdown(&text) != nil || p.HTML(&page) != nil {
		t.Fatal("not written")
	}
	if !strings.HasPrefix(text.String(), "# &lt;script&gt;a\\|b&lt;/script&gt; \\*x\\*\n") || strings.Contains(page.String(), "<script>") {
		t.Errorf("%.200s", text.String())
	}
}

func TestSnapshotsAreReadAsTheyAreWritten(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	s := Snapshot{Odoo: "18.0", Models: map[string]map[string]Field{"a.b": {
		"name": {Type: "char", Title: "Name <b>", Help: "Who \"it\" is", Required: true, Default: true, Readonly: &no},
		"kind": {Type: "selection", Selection: []string{"x", "y"}, Compute: true, Readonly: &yes, Store: &no},
		"to":   {Type: "many2one", Relation: "c.d", Related: "x.y"}}, "c.d": {"id": {Type: "integer"}}}}
	var file bytes.Buffer
	if err := s.Write(&file); err != nil {
		t.Fatal(err)
	}
	golden(t, "snapshot.json", file.String())
	b := shipped().With(map[string][]byte{"s.json": file.Bytes(), "t/t.json": []byte(`{"odoo":"18.0","extends":"../s.json","models":{"a.b":{"x":{"type":"char"}}}}`)})
	got, err := b.Snapshot("s.json")
	if err != nil || compact(got.Models) != compact(s.Models) {
		t.Errorf("%v %s", err, compact(got))
	}
	if got, err := b.Snapshot("t/t.json"); err != nil || len(got.Models["a.b"]) != 4 || len(got.Models) != 2 {
		t.Errorf("%v %+v", err, got)
	}
	for _, bad := range []string{"{", `{"odoo":"18.0"}`, `{"models":{"a":{"b":1}}}`, `{"extends":"bad.json","models":{}}`} {
		if _, err := b.With(map[string][]byte{"bad.json": []byte(bad)}).Snapshot("bad.json"); err == nil {
			t.Errorf("%s is a snapshot", bad)
		}
	}
	if _, err := b.With(map[string][]byte{"m.map.yaml": []byte(strings.ReplaceAll(tiny, "snapshots/odoo18.json", "s.json"))}).load("m.map.yaml"); err == nil || strings.Contains(err.Error(), "snapshot]") {
		t.Errorf("the language does not read what is written: %v", err)
	}
}

func TestASnapshotDiffNamesWhatBreaksMappings(t *testing.T) {
	t.Parallel()
	yes := true
	was := Snapshot{Odoo: "18.0", Models: map[string]map[string]Field{"gone": {"a": {Type: "char"}}, "m": {
		"groups_id": {Type: "many2many", Relation: "g"}, "kind": {Type: "selection", Selection: []string{"a", "b"}}, "n": {Type: "integer"}, "c": {Type: "char"}, "w": {Type: "char"}, "same": {Type: "date"}, "d": {Type: "char"}}}}
	is := Snapshot{Odoo: "19.0", Models: map[string]map[string]Field{"new": {"a": {Type: "char"}}, "m": {
		"group_ids": {Type: "many2many", Relation: "g"}, "kind": {Type: "selection", Selection: []string{"b", "c"}}, "n": {Type: "float"}, "c": {Type: "char", Required: true},
		"w": {Type: "char", Readonly: &yes}, "same": {Type: "date"}, "d": {Type: "char", Required: true, Default: true}, "must": {Type: "char", Required: true}, "may": {Type: "char", Required: true, Default: true}}}}
	d := DiffSnapshots(was, is)
	golden(t, "snapshot-diff.txt", printed(d.Print))
	if !d.Breaks() || DiffSnapshots(is, is).Breaks() || len(DiffSnapshots(was, was).Changes) != 0 {
		t.Error("what breaks is not told from what does not")
	}
}

func TestANewMappingLintsCleanAndItsTestPasses(t *testing.T) {
	t.Parallel()
	b := shipped()
	for _, c := range []struct {
		in, model string
		rules     int
	}{
		{inA08, "res.partner", 9}, {inA08, "hr.employee", 9}, {inA08, "sale.order", 4}, {inA08, "account.move", 3},
		{"examples/north/09-fhir/in-bundle.json", "res.partner", 5}, {"examples/north/01-hl7-adt/in/a04-noname.hl7", "res.partner", 1},
	} {
		message := read(t, b, c.in)
		made, err := b.NewMapping(t.Context(), ScaffoldPlan{Dir: "made", ID: "new", Model: c.model, Snapshot: "snapshots/odoo18.json", Message: message, Key: []byte("0123456789abcdef")})
		if err != nil {
			t.Errorf("%s → %s: %v", c.in, c.model, err)
			continue
		}
		if made.Rules < c.rules || made.Candidates == 0 || len(made.Files) != 4 {
			t.Errorf("%s → %s: %d rules, %d candidates, %d files", c.in, c.model, made.Rules, made.Candidates, len(made.Files))
		}
		with := b.With(made.Files)
		lint, err := with.Lint(t.Context(), []string{"made/new.map.yaml", "made/new.test.yaml"}, nil)
		if err != nil || len(lint.Issues) != 0 {
			t.Errorf("%s → %s: %v %v", c.in, c.model, err, lint.Issues)
		}
		rep, err := with.Test(t.Context(), []string{"made/new.test.yaml"}, TestOptions{}, nil)
		if err != nil || !rep.OK() {
			t.Errorf("%s → %s: %v %+v", c.in, c.model, err, rep)
		}
		for name, data := range made.Files {
			for _, value := range []string{"O'Hara", "4471123", "19840229", "1984-02-29", "5551234", "Oakland", "Harbor", "900-11"} {
				if bytes.Contains(data, []byte(value)) {
					t.Errorf("%s → %s: %s holds %q of the message", c.in, c.model, name, value)
				}
			}
		}
		if c.in == inA08 && c.model == "res.partner" {
			golden(t, "new.map.yaml", string(made.Files["made/new.map.yaml"]))
		}
	}
	if _, err := b.NewMapping(t.Context(), ScaffoldPlan{Dir: "made", ID: "new", Model: "no.model", Snapshot: "snapshots/odoo18.json", Message: read(t, b, inA08), Key: make([]byte, 16)}); err == nil || !strings.Contains(err.Error(), "snapshot pull --model no.model") {
		t.Error(err)
	}
}

// What the shipped mappings and their tests take: all are linted, and run.
func BenchmarkLintAll(b *testing.B) {
	bench := shipped()
	names := named(b, bench, ".map.yaml", ".test.yaml")
	for b.Loop() {
		if rep, err := bench.Lint(b.Context(), names, nil); err != nil || !rep.OK() {
			b.Fatal(err)
		}
	}
}

func BenchmarkTestAll(b *testing.B) {
	bench := shipped()
	names := named(b, bench, ".test.yaml")
	for b.Loop() {
		if rep, err := bench.Test(b.Context(), names, TestOptions{}, nil); err != nil || !rep.OK() {
			b.Fatal(err)
		}
	}
}

// named lists the shipped files with these endings.
func named(tb testing.TB, b Bench, endings ...string) (out []string) {
	tb.Helper()
	err := fs.WalkDir(b.FS, ".", func(name string, d fs.DirEntry, err error) error {
		for _, e := range endings {
			if err == nil && !d.IsDir() && strings.HasSuffix(name, e) {
				out = append(out, name)
			}
		}
		return err
	})
	if err != nil || len(out) == 0 {
		tb.Fatalf("no %v: %v", endings, err)
	}
	return out
}

func TestAPageNamesWhatDecidesAndMayNotLeave(t *testing.T) {
	t.Parallel()
	b := changed(t, adt+".map.yaml", "when: \"v('NK1-2[first].1.1') != ''\"", "when: \"v('OBX[first]-5[first]') != ''\"")
	p, err := b.Page(adt + ".map.yaml")
	if err != nil || len(p.Decides) != 1 || p.Decides[0].What != "kin" || strings.Join(p.Decides[0].Labels, " ") != "clinical" {
		t.Fatalf("%v %+v", err, p.Decides)
	}
	var text, page bytes.Buffer
	if err := p.Markdown(&text); err != nil || !strings.Contains(text.String(), "| `kin` | clinical |") {
		t.Errorf("%v\n%s", err, text.String())
	}
	if err := p.HTML(&page); err != nil || !strings.Contains(page.String(), "What decides, and may not leave") {
		t.Error(err)
	}
}
