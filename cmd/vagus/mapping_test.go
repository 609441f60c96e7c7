package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"github.com/vagus-health/vagus/connectors/odoo/simulated"
)

const north = "../../mappings/examples/north/01-hl7-adt/"

// vagusMapping runs `vagus mapping …` on a terminal of 100 characters without
// colours and returns what it prints and its exit code.
func vagusMapping(t *testing.T, args ...string) (out, err string, code int) {
	t.Helper()
	var c struct {
		Mapping mappingCmd `cmd:""`
	}
	p, e := kong.New(&c, kong.Name("vagus"), kong.Exit(func(int) { t.Error("kong wants to exit") }))
	if e != nil {
		t.Fatal(e)
	}
	cmd, e := p.Parse(append([]string{"mapping"}, args...))
	if e != nil {
		t.Fatalf("vagus mapping %s: %v", strings.Join(args, " "), e)
	}
	r := newRun(t.Context())
	r.console.width = 100
	code = r.console.fail(cmd.Run(r.console))
	return times.ReplaceAllString(r.out.String(), "N$1"), r.err.String(), code
}

var times = regexp.MustCompile(`[\d.]+( ms| s of work)`)

// copyOf returns a directory with what is shipped, to change.
func copyOf(t *testing.T, change string, oldNew ...string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../../mappings")); err != nil {
		t.Fatal(err)
	}
	if change != "" {
		path := filepath.Join(dir, change)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		text := string(data)
		for i := 0; i < len(oldNew); i += 2 {
			if !strings.Contains(text, oldNew[i]) {
				t.Fatalf("%s has no %q", change, oldNew[i])
			}
			text = strings.ReplaceAll(text, oldNew[i], oldNew[i+1])
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const patientMap = "examples/north/01-hl7-adt/adt-patient.map.yaml"

func TestMappingLintAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	if out, _, code := vagusMapping(t, "lint", north+"adt-patient.map.yaml", north+"adt-merge.map.yaml"); code != 0 || !strings.HasPrefix(out, "ok  2 files, 0 errors") {
		t.Errorf("%d\n%s", code, out)
	}
	dir := copyOf(t, patientMap, "gender: ", "gendre: ")
	file := filepath.Join(dir, patientMap)
	out, _, code := vagusMapping(t, "lint", file)
	if code != 1 || !strings.Contains(out, "adt-patient.map.yaml:58:7: error[odoo-field]:\n  "+`res.partner has no field "gendre" (did you mean "gender"?)`) || !strings.Contains(out, "\n         |       ^") && !strings.Contains(out, "|       ^\n") {
		t.Errorf("%d\n%s", code, out)
	}
	for _, format := range []string{"json", "sarif"} {
		out, _, code := vagusMapping(t, "lint", file, "--format", format)
		if !json.Valid([]byte(out)) || code != 1 {
			t.Errorf("%s: %d\n%s", format, code, out)
		}
	}
	if out, _, _ := vagusMapping(t, "lint", file, "-o", "github"); !strings.HasPrefix(out, "::error file=") {
		t.Error(out)
	}
	if out, _, code := vagusMapping(t, "lint", dir, "--against", "../../mappings"); code != 1 {
		t.Errorf("%d\n%s", code, out)
	}
	if _, err, code := vagusMapping(t, "lint", filepath.Join(dir, "tables")); code != 1 || !strings.Contains(err, "no mapping, fragment or test file") {
		t.Error(code, err)
	}
	if _, err, code := vagusMapping(t, "lint", "--root", dir, north); code != 1 || !strings.Contains(err, "--root") {
		t.Error(code, err)
	}
}

func TestMappingLintOfAnUpgradeAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	dir := copyOf(t, "snapshots/odoo18.json", `"street2": `, `"street_2": `)
	out, _, code := vagusMapping(t, "lint", north, "--snapshot", "../../mappings/snapshots/odoo18.json="+filepath.Join(dir, "snapshots", "odoo18.json"))
	if code != 1 || !strings.Contains(out, "1 of 2 mappings break") {
		t.Errorf("%d\n%s", code, out)
	}
	out, _, code = vagusMapping(t, "snapshot", "diff", "../../mappings/snapshots/odoo18.json", filepath.Join(dir, "snapshots", "odoo18.json"), "--exit-code")
	if code != 1 || !strings.Contains(out, "now street_2?") {
		t.Errorf("%d\n%s", code, out)
	}
	out, _, code = vagusMapping(t, "snapshot", "diff", "../../mappings/snapshots/odoo18.json", "../../mappings/snapshots/odoo18.json", "--exit-code", "-o", "json")
	if code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("%d\n%s", code, out)
	}
}

func TestMappingTestAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	out, _, code := vagusMapping(t, "test", north+"adt-merge.test.yaml", "--coverage")
	if code != 0 {
		t.Error(code)
	}
	golden(t, "mapping-test", out)
	dir := copyOf(t, patientMap, "cel: words([giv, mid, fam])", "cel: words([fam, giv])")
	file, junit := filepath.Join(dir, "examples", "north", "01-hl7-adt"), filepath.Join(dir, "junit.xml")
	if out, _, code = vagusMapping(t, "test", file, "--junit", junit); code != 1 || !strings.Contains(out, "FAIL  A08 updates everything") {
		t.Errorf("%d\n%s", code, out)
	}
	if data, err := os.ReadFile(junit); err != nil || !bytes.Contains(data, []byte("<failure")) {
		t.Error(err, string(data))
	}
	if _, _, code = vagusMapping(t, "test", file, "--run", "^no MRN"); code != 0 {
		t.Error("a case that passes does not pass alone")
	}
	if out, _, code = vagusMapping(t, "test", file, "--update", "--run", "^A08"); code != 1 || !strings.Contains(out, "patient.name") && !strings.Contains(out, "wrote") {
		t.Errorf("%d\n%s", code, out)
	}
	if _, err, code := vagusMapping(t, "test", north, "--min-coverage", "99"); code != 1 || !strings.Contains(err, "--min-coverage 99") {
		t.Error(code, err)
	}
	for want, args := range map[string][]string{"leave out --run": {"--min-coverage", "50", "--run", "x"}, "--coverage is of all": {"--coverage", "--run", "x"},
		"from 0 to 100, not 101": {"--min-coverage", "101"}, "from 0 to 100, not -1": {"--min-coverage=-1"}, "from 0 to 100, not NaN": {"--min-coverage", "NaN"}} {
		if _, err, code := vagusMapping(t, append([]string{"test", north}, args...)...); code != 1 || !strings.Contains(err, want) {
			t.Error(want, code, err)
		}
	}
	if err := os.Remove(filepath.Join(file, "golden", "a08.json")); err != nil {
		t.Fatal(err)
	}
	if out, _, code := vagusMapping(t, "test", file); code != 1 || !strings.Contains(out, "golden/a08.json is not there") || !strings.Contains(out, "--update") {
		t.Errorf("%d\n%s", code, out)
	}
	if out, _, _ := vagusMapping(t, "test", north, "-o", "json"); !json.Valid([]byte(out)) {
		t.Error(out)
	}
}

func TestMappingRunAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	args := []string{"run", north + "adt-patient.map.yaml", "--input", north + "in/a08.hl7"}
	out, _, code := vagusMapping(t, append(args, "--explain", "--only", "kin#2")...)
	if code != 0 {
		t.Error(code)
	}
	golden(t, "mapping-explain", out)
	for _, more := range [][]string{{"-o", "json"}, {"-o", "json", "--explain"}, nil} {
		if out, _, code := vagusMapping(t, append(args, more...)...); code != 0 || !json.Valid([]byte(out)) {
			t.Errorf("%v: %d\n%s", more, code, out)
		}
	}
	if _, err, code := vagusMapping(t, append(args, "--message", "2")...); code != 1 || !strings.Contains(err, "messages 1 to 1") {
		t.Error(code, err)
	}
	if _, err, code := vagusMapping(t, append(args, "--explain", "--only", "nope")...); code != 1 || !strings.Contains(err, `no operation "nope" of this message; there are: patient, `) || !strings.Contains(err, "kin#2") {
		t.Error(code, err)
	}
	if _, err, code := vagusMapping(t, append(args, "--only", "kin")...); code != 1 || !strings.Contains(err, "--explain") {
		t.Error(code, err)
	}
	faulty := filepath.Join(copyOf(t, patientMap, "gender: ", "gendre: "), patientMap)
	for _, more := range [][]string{{"run", "-i", north + "in/a08.hl7"}, {"diff", north + "adt-patient.map.yaml", "--replay", north + "in"}, {"docs"}, {"mutate"}} {
		if out, err, code := vagusMapping(t, append(more, faulty)...); code != 1 || out != "" || !strings.HasPrefix(err, faulty+":58:7: error[odoo-field]:\n") || !strings.Contains(err, "|       ^\n") {
			t.Errorf("%s: %d\n%s%s", more[0], code, out, err)
		}
	}
	if _, err, code := vagusMapping(t, "run", north, "-i", "x"); code != 1 || !strings.Contains(err, "is a directory: name a file") {
		t.Error(code, err)
	}
}

func TestMappingDiffAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	dir := copyOf(t, patientMap, "cel: words([giv, mid, fam])", "cel: words([fam, giv])")
	out, _, code := vagusMapping(t, "diff", north+"adt-patient.map.yaml", filepath.Join(dir, patientMap), "--replay", north+"in", "--exit-code")
	if code != 1 {
		t.Error(code)
	}
	golden(t, "mapping-diff", out)
	if out, _, code := vagusMapping(t, "diff", north+"adt-patient.map.yaml", north+"adt-patient.map.yaml", "--replay", north+"in", "--exit-code", "-o", "json"); code != 0 || !json.Valid([]byte(out)) {
		t.Errorf("%d\n%s", code, out)
	}
	messages := t.TempDir()
	if err := os.CopyFS(messages, os.DirFS(north+"in")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(messages, "empty.hl7"), []byte("\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(messages, "other.hl7"), []byte("PK"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _, code = vagusMapping(t, "diff", north+"adt-patient.map.yaml", north+"adt-patient.map.yaml", "--replay", messages)
	if code != 0 || !strings.Contains(out, "not read  empty.hl7: is empty\n") || !strings.Contains(out, "not read  other.hl7: ") || !strings.Contains(out, "2 can not be read") {
		t.Errorf("%d\n%s", code, out)
	}
	if _, err, code := vagusMapping(t, "diff", north+"adt-patient.map.yaml", north+"adt-patient.map.yaml"); code != 1 || !strings.Contains(err, "--replay DIR") {
		t.Error(code, err)
	}
}

func TestMappingMutateAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	dir := copyOf(t, "examples/north/01-hl7-adt/adt-merge.map.yaml", `x_mrn: "PID-3[5=MR].1"`, `x_mrn: { from: "PID-3[5=MR].1", required: true }`)
	file := filepath.Join(dir, "examples", "north", "01-hl7-adt", "adt-merge.map.yaml")
	out, err, code := vagusMapping(t, "mutate", file, "--min-score", "100")
	if code != 1 || !strings.Contains(err, "--min-score 100") || !strings.Contains(out, "adt-merge.map.yaml:33  required of") || !strings.Contains(out, "85.7%  6 of 7 removals noticed") {
		t.Errorf("%d %s\n%s", code, err, out)
	}
}

func TestNothingOfTheMappingsForPatientsIsWithoutATest(t *testing.T) {
	t.Parallel()
	if out, err, code := vagusMapping(t, "mutate", "../../mappings/admissions", north+"adt-merge.map.yaml", "--min-score", "100"); code != 0 {
		t.Error(code, err, out)
	}
}

func TestMappingDocsAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	out := filepath.Join(t.TempDir(), "pages")
	if _, err, code := vagusMapping(t, "docs", north, "--out", out); code != 0 || !strings.Contains(err, "wrote 2 pages and an index") {
		t.Error(code, err)
	}
	for _, name := range []string{"index.md", "index.html", "hl7-adt-patient.md", "hl7-adt-patient.html", "hl7-adt-merge.md", "hl7-adt-merge.html"} {
		if data, err := os.ReadFile(filepath.Join(out, name)); err != nil || len(data) < 200 {
			t.Errorf("%s: %v, %d bytes", name, err, len(data))
		}
	}
	if _, err, code := vagusMapping(t, "docs", north+"adt-merge.map.yaml", "--out", out); code != 0 || !strings.Contains(err, "wrote 1 page and an index") {
		t.Error(code, err)
	}
	if page, _, code := vagusMapping(t, "docs", north+"adt-merge.map.yaml"); code != 0 || !strings.HasPrefix(page, "# ") {
		t.Errorf("%d\n%s", code, page)
	}
}

func TestMappingNewAndScrubAsAUserRunsThem(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	out, err, code := vagusMapping(t, "new", "--from", north+"in/a08.hl7", "--model", "res.partner", "--out", dir)
	if code != 0 || strings.Count(out, "\n") != 5 || !strings.Contains(err, "rules proposed") {
		t.Fatalf("%d\n%s%s", code, out, err)
	}
	if out, _, code := vagusMapping(t, "lint", dir); code != 0 || !strings.HasPrefix(out, "ok  2 files, 0 errors, 0 warnings") {
		t.Errorf("%d\n%s", code, out)
	}
	if out, _, code := vagusMapping(t, "test", dir); code != 0 {
		t.Errorf("%d\n%s", code, out)
	}
	if _, err, code := vagusMapping(t, "new", "--from", north+"in/a08.hl7", "--model", "res.partner", "--out", dir); code != 1 || !strings.Contains(err, "is there already") {
		t.Error(code, err)
	}
	key := filepath.Join(dir, "key")
	if err := os.WriteFile(key, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	one, _, code := vagusMapping(t, "scrub", north+"in/a08.hl7", "--key-file", key)
	two, _, _ := vagusMapping(t, "scrub", north+"in/a08.hl7", "--key-file", key)
	random, _, _ := vagusMapping(t, "scrub", north+"in/a08.hl7")
	if code != 0 || one != two || one == random || strings.Contains(one, "O'Hara") || strings.Contains(random, "4471123") || !strings.HasPrefix(one, `MSH|^~\&|EPIC|`) {
		t.Errorf("%d\n%s", code, one)
	}
	if _, err, code := vagusMapping(t, "scrub", north+"in/a08.hl7", north+"in/a01-min.hl7", "--out", filepath.Join(dir, "out")); code != 0 || strings.Count(err, "values replaced") != 2 {
		t.Error(code, err)
	}
	for _, wrong := range [][]string{{north + "in/a08.hl7", "--keep", "nmae"}, {north + "in/a08.hl7", north + "in/a01-min.hl7"}, {north + "golden/a08.json"}} {
		if _, err, code := vagusMapping(t, append([]string{"scrub"}, wrong...)...); code != 1 || err == "" {
			t.Errorf("%v: %d %s", wrong, code, err)
		}
	}
}

func TestMappingSnapshotPullAsAUserRunsIt(t *testing.T) {
	t.Parallel()
	odoo := simulated.New(simulated.Config{})
	url, e := odoo.Start("127.0.0.1:0")
	if e != nil {
		t.Fatal(e)
	}
	t.Cleanup(func() { _ = odoo.Close() })
	dir := t.TempDir()
	key, file := filepath.Join(dir, "key"), filepath.Join(dir, "live.json")
	if err := os.WriteFile(key, []byte("simulated\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"snapshot", "pull", "--url", url, "--db", "demo", "--user", "vagus", "--key-file", key}
	_, err, code := vagusMapping(t, append(args, "--model", "res.partner,res.country", "--model", "res.partner.category", "--out", file)...)
	if code != 0 || !strings.Contains(err, "wrote 3 models") {
		t.Fatalf("%d %s", code, err)
	}
	var snapshot struct {
		Odoo   string
		Models map[string]map[string]struct {
			Type, Relation, String string
			Required, Default      bool
			Selection              []string
		}
	}
	if data, err := os.ReadFile(file); err != nil || json.Unmarshal(data, &snapshot) != nil {
		t.Fatal(err)
	}
	p := snapshot.Models["res.partner"]
	if snapshot.Odoo != "18.0" || p["country_id"].Relation != "res.country" || p["lang"].Type != "selection" || !p["lang"].Default || p["lang"].Selection[0] != "en_US" || p["name"].String != "Name" || p["name"].Default {
		t.Errorf("%+v", snapshot)
	}
	if out, err, code := vagusMapping(t, append(args, "--like", file)...); code != 0 || !strings.Contains(out, `"res.country": {`) {
		t.Error(code, err, out)
	}
	if _, err, code := vagusMapping(t, append(args, "--model", "no.model")...); code != 1 || !strings.Contains(err, "no.model") {
		t.Error(code, err)
	}
	if _, err, code := vagusMapping(t, args...); code != 1 || !strings.Contains(err, "--model") {
		t.Error(code, err)
	}
	if _, err, code := vagusMapping(t, "snapshot", "pull", "--url", url, "--db", "demo", "--user", "vagus", "--model", "res.partner"); code != 1 || !strings.Contains(err, "VAGUS_ODOO_KEY") {
		t.Error(code, err)
	}
}

func TestMappingHelpSaysWhatCoverageIs(t *testing.T) {
	t.Parallel()
	if h := fmt.Sprint(mappingTestCmd{}.Help()); !strings.Contains(h, "Coverage is the covered outcomes over all") {
		t.Error(h)
	}
}
