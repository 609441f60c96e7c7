package workbench

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"io"
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

func TestLintShowsTheLineAndTheFix(t *testing.T) {
	t.Parallel()
	b := changed(t, adt+".map.yaml", "birthdate_date: ", "birthdate_dat:  ", "{ from: PID-8, map: sex }", "{ from: PID-88, map: sex }", "x_account_no:    PID-18.1", "comment: OBX-5")
	b.Show = func(name string) string { return path.Base(name) }
	rep, err := b.Lint(t.Context(), []string{adt + ".map.yaml", adt + ".test.yaml"}, nil)
	if err != nil || rep.OK() || rep.Files != 2 {
		t.Fatal(err, rep)
	}
	golden(t, "lint.txt", printed(rep.Print))
	var narrow bytes.Buffer
	rep.Print(Screen{W: &narrow, Width: 50})
	for line := range strings.Lines(narrow.String()) {
		if strings.Contains(line, " | ") && len([]rune(line)) > 51 {
			t.Errorf("too long for the screen: %q", line)
		}
	}
	again, err := b.Lint(t.Context(), []string{adt + ".map.yaml", adt + ".map.yaml"}, nil)
	if err != nil || again.Errors != rep.Errors {
		t.Errorf("a file that is named twice has %d errors, once %d", again.Errors, rep.Errors)
	}
}

// TestSARIFHasWhatItsSchemaRequires checks what the published JSON Schema of
// SARIF 2.1.0 asks of the parts that are written.
func TestSARIFHasWhatItsSchemaRequires(t *testing.T) {
	t.Parallel()
	rep := LintReport{Files: 1, Issues: []mapping.Issue{
		{File: "a b/é.map.yaml", Line: 3, Col: 2, Severity: mapping.Error, Code: "path", Text: "no"},
		{File: "c.yaml", Severity: mapping.Warning, Code: "file", Text: "gone"}}}
	data, err := json.Marshal(rep.SARIF("1.2"))
	if err != nil {
		t.Fatal(err)
	}
	var log struct {
		Schema, Version string
		Runs            []struct {
			Tool struct {
				Driver struct {
					Name, Version string
					Rules         []struct {
						ID               string
						ShortDescription struct{ Text string }
					}
				}
			}
			ColumnKind string
			Results    []struct {
				RuleID    string
				RuleIndex int
				Level     string
				Message   struct{ Text string }
				Locations []struct {
					PhysicalLocation struct {
						ArtifactLocation struct{ URI string }
						Region           *struct{ StartLine, StartColumn int }
					}
				}
			}
		}
	}
	if err := json.Unmarshal(data, &log); err != nil {
		t.Fatal(err)
	}
	run := log.Runs[0]
	if log.Version != "2.1.0" || run.Tool.Driver.Name != "vagus" || run.ColumnKind != "unicodeCodePoints" || len(run.Results) != 2 {
		t.Errorf("%s", data)
	}
	for _, r := range run.Results {
		at := r.Locations[0].PhysicalLocation
		if run.Tool.Driver.Rules[r.RuleIndex].ID != r.RuleID || r.Message.Text == "" || r.Level != "error" && r.Level != "warning" ||
			!regexp.MustCompile(`^[A-Za-z0-9./%_-]+$`).MatchString(at.ArtifactLocation.URI) || at.Region != nil && (at.Region.StartLine < 1 || at.Region.StartColumn < 1) {
			t.Errorf("%+v", r)
		}
	}
	if got := run.Results[0].Locations[0].PhysicalLocation.ArtifactLocation.URI; got != "a%20b/%C3%A9.map.yaml" {
		t.Error(got)
	}
}

func TestGitHubAnnotationsEscapeWhatWouldEndThem(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	rep := LintReport{Issues: []mapping.Issue{{File: "a,b:c.yaml", Line: 3, Col: 4, Severity: mapping.Error, Code: "path", Text: "50% of\nit: x"}}, Errors: 1}
	rep.GitHub(&b)
	if want := "::error file=a%2Cb%3Ac.yaml,line=3,col=4,title=error[path]::50%25 of%0Ait: x\n"; b.String() != want {
		t.Error(b.String())
	}
}

func TestFilesThatNothingReadsAreNamed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.CopyFS(dir, shipped().FS); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"tables/none.csv", "fragments/none.yaml", "admissions/in/none.hl7", "admissions/golden/none.json", "admissions/notes.txt"} {
		if err := os.WriteFile(dir+"/"+name, []byte("kind: fragment\nformat: 1\nid: none\nfields: { city: PID-1 }\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b := shipped()
	b.FS = os.DirFS(dir)
	fragments := []string{"fragments/none.yaml"}
	var checked []string
	for _, pattern := range []string{"*/*.map.yaml", "*/*.test.yaml", "*/*/*.map.yaml", "*/*/*.test.yaml"} {
		names, err := fs.Glob(mappings.FS, pattern)
		if err != nil {
			t.Fatal(err)
		}
		checked = append(checked, names...)
	}
	shippedFragments, err := fs.Glob(mappings.FS, "fragments/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fragments = append(fragments, shippedFragments...)
	checked = append(checked, fragments...)
	rep, err := b.Lint(t.Context(), checked, []string{"admissions", "fragments", "tables"})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, i := range rep.Issues {
		got = append(got, i.File)
	}
	if want := "admissions/golden/none.json admissions/in/none.hl7 fragments/none.yaml tables/none.csv"; strings.Join(got, " ") != want {
		t.Errorf("got  %v\nwant %s", got, want)
	}
	if rep, _ := b.Lint(t.Context(), fragments, []string{"fragments"}); len(rep.Issues) != 0 {
		t.Errorf("without a mapping nothing is known to be unused: %v", rep.Issues)
	}
}

func TestAnUpgradeNamesTheMappingsThatItBreaks(t *testing.T) {
	t.Parallel()
	b := shipped()
	stock := string(read(t, b, "snapshots/odoo18.json"))
	next := strings.NewReplacer(`"odoo": "18.0"`, `"odoo": "19.0"`, `"street2": `, `"street_2": `).Replace(stock)
	b = b.With(map[string][]byte{"snapshots/odoo19.json": []byte(next)})
	names := []string{"admissions/adt-patient.map.yaml", adt + ".map.yaml", "examples/north/01-hl7-adt/adt-merge.map.yaml"}
	rep, err := b.Upgrade(t.Context(), names, "snapshots/odoo19.json", "snapshots/odoo18.json")
	if err != nil || rep.OK() || rep.Broken != 2 || rep.Mappings != 3 {
		t.Errorf("%v %+v", err, rep)
	}
	golden(t, "upgrade.txt", printed(rep.Print))
	wrong := changed(t, adt+".map.yaml", "gender: ", "gendre: ")
	if same, err := wrong.Upgrade(t.Context(), names, "snapshots/odoo18.json", "snapshots/odoo18.json"); err != nil || !same.OK() || len(same.Files) != 0 {
		t.Errorf("the same snapshot breaks something: %v %+v", err, same)
	}
	if whole, err := b.Upgrade(t.Context(), names[1:2], "snapshots/odoo19.json", ""); err != nil || whole.Broken != 1 || len(whole.Files[0].Issues) < 5 {
		t.Errorf("a site's own fields are gone when its snapshot is replaced: %v %+v", err, whole)
	}
	if _, err := b.Upgrade(t.Context(), names, adt+".map.yaml", ""); err == nil {
		t.Error("a mapping is no snapshot")
	}
}

func TestAnOlderStateWantsAHigherVersion(t *testing.T) {
	t.Parallel()
	b := changed(t, "admissions/adt-patient.map.yaml", "company_type: { value: person }", "company_type: { value: company }")
	rep := LintReport{}
	if err := b.Against(&rep, "admissions", os.DirFS("../../../mappings/admissions")); err == nil && len(rep.Issues) == 0 {
		t.Log("a directory alone does not hold the snapshot")
	}
	rep = LintReport{}
	if err := b.Against(&rep, ".", shipped().FS); err != nil || rep.Errors != 1 || !strings.Contains(rep.Issues[0].Text, "write version: ") || rep.Issues[0].File != "admissions/adt-patient.map.yaml" {
		t.Errorf("%v %+v", err, rep)
	}
}

func TestTestsShowWhatDiffersAndNoMore(t *testing.T) {
	t.Parallel()
	b := changed(t, adt+".map.yaml", "cel: words([giv, mid, fam])", "cel: words([fam, giv])", "x_account_no:    PID-18.1", "function: PID-18.1")
	b = b.With(map[string][]byte{adt + ".map.yaml": []byte(strings.Replace(string(read(t, b, adt+".map.yaml")), "gender:          { from: PID-8, map: sex }\n", "gender: { value: other }\n", 1))})
	rep, err := b.Test(t.Context(), []string{adt + ".test.yaml", "examples/north/01-hl7-adt/adt-merge.test.yaml"}, TestOptions{}, nil)
	if err != nil || rep.OK() || rep.Failed == 0 || rep.Passed == 0 {
		t.Fatal(err, rep.Failed, rep.Passed)
	}
	golden(t, "test.txt", printed(func(s Screen) {
		for _, f := range rep.Files {
			f.Print(s)
		}
		rep.Print(s, false, 0)
	}))
	var x bytes.Buffer
	if err := rep.JUnit(&x); err != nil {
		t.Fatal(err)
	}
	var suites struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Suites   []struct {
			Cases []struct {
				Name    string  `xml:"name,attr"`
				Failure *string `xml:"failure"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(x.Bytes(), &suites); err != nil || suites.Failures != rep.Failed || suites.Tests != rep.Passed+rep.Failed || len(suites.Suites) != 2 {
		t.Errorf("%v %+v", err, suites)
	}
	if f := suites.Suites[0].Cases[0].Failure; f == nil || !strings.Contains(*f, "ops[1].vals.name: - ") {
		t.Errorf("the failure does not say what differs: %v", f)
	}
	dec := xml.NewDecoder(&x)
	for {
		if _, err := dec.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestOnlyTheCasesThatAreNamedRun(t *testing.T) {
	t.Parallel()
	files := []string{adt + ".test.yaml"}
	rep, err := shipped().Test(t.Context(), files, TestOptions{Run: regexp.MustCompile("^no ")}, nil)
	if err != nil || !rep.OK() || rep.Passed != 2 || rep.Coverage != nil {
		t.Errorf("%v %+v", err, rep)
	}
	rep, err = shipped().Test(t.Context(), files, TestOptions{Run: regexp.MustCompile("nothing is called so")}, nil)
	if err != nil || rep.OK() {
		t.Errorf("no case is a pass: %v %+v", err, rep)
	}
}

func TestAFileThatDoesNotLoadIsAnErrorOfItsTests(t *testing.T) {
	t.Parallel()
	rep, err := changed(t, adt+".map.yaml", "PID-15.1", "PID-155.1").Test(t.Context(), []string{adt + ".test.yaml"}, TestOptions{}, nil)
	if err != nil || rep.OK() || len(rep.Files[0].Issues) == 0 || len(rep.Files[0].Cases) != 0 {
		t.Errorf("%v %+v", err, rep)
	}
	var x bytes.Buffer
	if err := rep.JUnit(&x); err != nil || !strings.Contains(x.String(), "PID-155") {
		t.Errorf("%v %s", err, x.String())
	}
}

const tiny = `kind: mapping
format: 1
id: tiny
version: 1
source: { format: hl7v2, version: "2.5.1" }
target: { odoo: "18.0", snapshot: snapshots/odoo18.json }
ordering: "{mrn}"
idempotency: ["{MSH-10}"]
egress: { allow: [name, identifier, national_id, contact, demographic, admin] }
let:
  mrn: { from: "PID-3[first].1", required: true, on_error: reject }
guards:
  - { when: "v('PID-1') == '9'", do: skip, because: the ninth is left alone }
operations:
  - id: p
    model: res.partner
    do: upsert
    match: { xid: "t.p_{mrn}" }
    fields:
      name: { from: "PID-5[first].1.1", required: true }
      city: { from: "PID-11[first].3", default: Oakland }
      zip:  { from: "PID-11[first].5", on_error: dead_letter }
`

func tinyBench(cases string) Bench {
	return shipped().With(map[string][]byte{"tiny.map.yaml": []byte(tiny), "tiny.test.yaml": []byte("kind: tests\nmapping: tiny.map.yaml\ncases:\n" + cases)})
}

func tinyCase(name, pid, expect string) string {
	return "  - name: " + name + "\n    input: |\n      MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5.1\n      " + pid + "\n    expect: " + expect + "\n"
}

func TestCoverageCountsTheOutcomesThatCasesReach(t *testing.T) {
	t.Parallel()
	one := tinyCase("one", "PID|1||7||Doe||||||^^Berkeley^^94702", "{ check: { p.name: Doe, p.city: Berkeley } }")
	two := tinyCase("two", "PID|1||8||Roe||||||^^^^\"\"", "{ check: { p.name: Roe } }")
	reach := func(cases string) Coverage {
		rep, err := tinyBench(cases).Test(t.Context(), []string{"tiny.test.yaml"}, TestOptions{}, nil)
		if err != nil || !rep.OK() {
			t.Fatalf("%v %+v", err, rep)
		}
		return rep.Coverage[0]
	}
	c, both := reach(one), reach(one+two)
	golden(t, "coverage.txt", printed(func(s Screen) { c.Print(s, true); both.Print(s, true) }))
	if both.Reached <= c.Reached || both.Possible != c.Possible {
		t.Errorf("a case more reaches %d of %d, before %d of %d", both.Reached, both.Possible, c.Reached, c.Possible)
	}
	if !(TestReport{Coverage: []Coverage{c}}).Covers(c.Percent) || (TestReport{Coverage: []Coverage{c}}).Covers(c.Percent+0.1) {
		t.Error("the threshold is off")
	}
}

func TestAMutationIsNoticedOrNamed(t *testing.T) {
	t.Parallel()
	one := tinyCase("one", "PID|1||7||Doe||||||^^Berkeley^^94702", "{ check: { p.name: Doe } }")
	rep, err := tinyBench(one).Mutate(t.Context(), "tiny.map.yaml", []string{"tiny.test.yaml"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "mutate.txt", printed(rep.Print))
	more := one + tinyCase("ninth", "PID|9||7||Doe", "{ verdict: skip }") +
		tinyCase("nobody", "PID|1||||Doe", "{ verdict: reject }") + tinyCase("nameless", "PID|1||7", "{ verdict: dead_letter }") +
		tinyCase("all", "PID|1||7||Doe||||||^^Berkeley^^94702", "{ ops: [ { op: p, model: res.partner, do: upsert, xid: t.p_7, vals: { name: Doe, city: Berkeley, zip: \"94702\" } } ] }") +
		tinyCase("little", "PID|1||7||Doe", "{ ops: [ { op: p, model: res.partner, do: upsert, xid: t.p_7, vals: { name: Doe }, on_create: { city: Oakland } } ] }")
	better, err := tinyBench(more).Mutate(t.Context(), "tiny.map.yaml", []string{"tiny.test.yaml"}, nil)
	if err != nil || better.Score != 100 || better.Removed != rep.Removed {
		t.Errorf("%v %+v", err, better)
	}
	if _, err := tinyBench(tinyCase("wrong", "PID|1||7||Doe", "{ check: { p.name: Roe } }")).Mutate(t.Context(), "tiny.map.yaml", []string{"tiny.test.yaml"}, nil); err == nil {
		t.Error("tests that fail as it is prove nothing")
	}
	if _, err := tinyBench(one).Mutate(t.Context(), "tiny.map.yaml", nil, nil); err == nil {
		t.Error("no tests prove nothing")
	}
}

func TestADocumentIsWrittenAsItWasRead(t *testing.T) {
	t.Parallel()
	b := shipped()
	for _, name := range []string{adt + ".map.yaml", "admissions/adt-patient.map.yaml", "fragments/hl7-xad-address.yaml"} {
		doc, err := readDocument(b.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		again := b.With(map[string][]byte{name: doc.yaml(nil)})
		if strings.HasSuffix(name, ".map.yaml") {
			was, err := b.load(name)
			if err != nil {
				t.Fatal(err)
			}
			is, err := again.load(name)
			if err != nil {
				t.Fatal(err)
			}
			if a, b := compact(essence(was.Outline(), "")), compact(essence(is.Outline(), "")); a != b {
				t.Errorf("%s says something else:\n%s\n%s", name, a, b)
			}
		}
	}
}
