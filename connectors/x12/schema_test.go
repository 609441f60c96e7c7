package x12

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestEveryGuideHasASchema(t *testing.T) {
	t.Parallel()
	want := []string{"004010/810", "004010/820", "004010/850", "004010/855", "004010/856", "004010/860", "004010/997",
		"004010X091A1/835", "004010X096A1/837", "004010X097A1/837", "004010X098A1/837", "005010/820", "005010/997",
		"005010X214/277", "005010X218/820", "005010X221A1/835", "005010X222A1/837", "005010X223A2/837", "005010X224A2/837", "005010X231A1/999"}
	var got []string
	for _, g := range guides() {
		got = append(got, g.version+"/"+g.set)
		typ := g.schema()
		if typ.Element("ST") == nil || typ.Element("SE") == nil || len(typ.Elements) < 5 {
			t.Errorf("%s %s has %d elements", g.version, g.set, len(typ.Elements))
		}
	}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("the guides are %v", got)
	}
}

// element follows a path through a schema.
func element(t *testing.T, typ *tree.Type, path string) *tree.Element {
	t.Helper()
	var e *tree.Element
	for name := range strings.SplitSeq(path, ".") {
		if e = typ.Element(name); e == nil {
			t.Fatalf("%s: no %s", path, name)
		}
		typ = e.Type
	}
	return e
}

func TestElementsHaveTheStandardsFactsAndLabels(t *testing.T) {
	t.Parallel()
	claim := "2000A.2000B.2300."
	for _, c := range []struct {
		version, set, path, title, typ string
		kind                           tree.Kind
		max                            int
		required, repeats              bool
		table, labels                  string
	}{
		{"004010", "850", "BEG.03", "Purchase Order Number", "AN", tree.Text, 22, true, false, "", "none"},
		{"004010", "850", "N1_LOOP.N1.02", "Name", "AN", tree.Text, 60, false, false, "", "none"},
		{"004010", "850", "REF.02", "Reference Identification", "AN", tree.Text, 30, false, false, "", "none"},
		{"005010", "820", "REF.02", "Reference Identification", "AN", tree.Text, 50, false, false, "", "none"},
		{"004010", "810", "TDS_LOOP.SAC.05", "Amount", "N2", tree.Number, 15, false, false, "", "financial"},
		{"004010", "810", "TDS_LOOP.SAC", "Service, Promotion, Allowance, or Charge Information", "SAC", tree.Composite, 0, false, true, "", "none"},
		{"004010", "856", "HL_S.HL_O.HL_P.HL_I.HL_I.LIN.03", "Product/Service ID", "AN", tree.Text, 48, true, false, "", "none"},
		{"004010", "855", "PO1_LOOP.ACK_LOOP.ACK.05", "Date", "DT", tree.Date, 8, false, false, "", "none"},
		{"005010X221A1", "835", "BPR.02", "Monetary Amount", "R", tree.Number, 18, true, false, "", "financial"},
		{"005010X221A1", "835", "2000.2100.CLP.02", "Claim Status Code", "ID", tree.Code, 2, true, false, "X12-1029", "financial"},
		{"005010X221A1", "835", "2000.2100.CLP.01", "Claim Submitter's Identifier", "AN", tree.Text, 38, true, false, "", "identifier"},
		{"005010X221A1", "835", "2000.2100.NM1.09", "Identification Code", "AN", tree.Text, 80, false, false, "", "identifier, national_id"},
		{"005010X221A1", "835", "1000A.N1.02", "Name", "AN", tree.Text, 60, false, false, "", "none"},
		{"005010X221A1", "835", "1000B.N1.02", "Name", "AN", tree.Text, 60, false, false, "", "staff"},
		{"005010X222A1", "837", "2000A.2000B.2010BA.NM1.03", "Name Last or Organization Name", "AN", tree.Text, 60, false, false, "", "name"},
		{"005010X222A1", "837", "2000A.2000B.2010BA.NM1.09", "Identification Code", "AN", tree.Text, 80, false, false, "", "identifier"},
		{"005010X222A1", "837", "2000A.2000B.2010BA.REF.02", "Reference Identification", "AN", tree.Text, 50, false, false, "", "identifier, national_id"},
		{"005010X222A1", "837", "2000A.2000B.2010BA.DMG.02", "Date Time Period", "AN", tree.Text, 35, false, false, "", "demographic"},
		{"005010X222A1", "837", "2000A.2000B.2010BB.NM1.03", "Name Last or Organization Name", "AN", tree.Text, 60, false, false, "", "none"},
		{"005010X222A1", "837", claim + "HI.01", "Health Care Code Information", "C022", tree.Composite, 0, true, false, "", "clinical"},
		{"005010X222A1", "837", claim + "HI.01.1", "Code List Qualifier Code", "ID", tree.Code, 3, true, false, "X12-1270", "none"},
		{"005010X222A1", "837", claim + "2310B.NM1.09", "Identification Code", "AN", tree.Text, 80, false, false, "", "staff"},
		{"005010X222A1", "837", "2000A.2000B.2000C.2300.CLM.02", "Monetary Amount", "R", tree.Number, 18, false, false, "", "financial"},
		{"005010X224A2", "837", claim + "2400.TOO.03", "Tooth Surface", "C005", tree.Composite, 0, false, false, "", "clinical"},
		{"005010X231A1", "999", "2000.2100.2110.IK4.04", "Copy of Bad Data Element", "AN", tree.Text, 99, false, false, "", "sensitive"},
		{"005010X231A1", "TA1", "TA1.04", "Interchange Acknowledgment Code", "ID", tree.Code, 1, true, false, "", "none"},
		{"005010X221A1", "", "ISA.04", "Security Information", "AN", tree.Text, 10, true, false, "", "secret"},
	} {
		root, err := dialectOf(t, c.version).Schema(c.set)
		if err != nil {
			t.Error(err)
			continue
		}
		e := element(t, root, c.path)
		if e.Title != c.title || e.Type.Name != c.typ || e.Type.Kind != c.kind || e.Max != c.max || e.Required != c.required || e.Repeats != c.repeats || e.Table != c.table || e.Labels.String() != c.labels {
			t.Errorf("%s %s is %q, a %s (%d) of %d, required %t, repeats %t, table %q, labels %s", c.version, c.path, e.Title, e.Type.Name, e.Type.Kind, e.Max, e.Required, e.Repeats, e.Table, e.Labels)
		}
	}
}

func TestThePlacesOfASegmentInALoopShareItsLabels(t *testing.T) {
	t.Parallel()
	all, err := readGuides("guide 005010 999 T\nloop A R 1 X\n N1 R 1 01=QC @patient A\n N1 S 1 01=82 @staff B\n N1 S 1 01=PR {2=financial} C\n")
	if err != nil {
		t.Fatal(err)
	}
	e := element(t, all[0].schema(), "A.N1.02")
	if got := e.Labels.String(); got != "staff, financial, name" {
		t.Errorf("N1-02 has the labels %s", got)
	}
	if n1 := element(t, all[0].schema(), "A.N1"); !n1.Repeats || !n1.Required || n1.Title != "Party Identification" {
		t.Errorf("N1 is %+v", n1)
	}
}

func TestVersionsAreNamedInFullOrByTheirRelease(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ version, set, fault string }{
		{"005010X221A1", "835", ""}, {"005010X221", "835", ""}, {"005010X222A2", "837", ""}, {"005010", "835", ""}, {"005010X214", "", ""}, {"004010", "TA1", ""},
		{"", "835", "a mapping says its version: one of 004010, 004010X091A1"},
		{"5010", "835", `no version "5010": use one of`},
		{"004010", "277", "has the sets 810, 820, 835, 837, 850, 855, 856, 860, 997, no 277"},
		{"004010", "", "say which, when: { ST-01"},
		{"005010", "837", "several guides of 837: use one of 005010X222A1, 005010X223A2, 005010X224A2"},
	} {
		d, err := NewFormat().Dialect(tree.Declaration{Version: c.version})
		if err == nil {
			_, err = d.Schema(c.set)
		}
		if c.fault == "" && err != nil || c.fault != "" && (err == nil || !strings.Contains(err.Error(), c.fault)) {
			t.Errorf("version %q, set %q: %v", c.version, c.set, err)
		}
	}
	d := dialectOf(t, "004010")
	for _, when := range []map[string][]string{{"ST.01": {"850", "855"}}, {"ST.1": {"850", "855"}, "GS.02": {"A"}}} {
		if got := d.Structures(when); !slices.Equal(got, []string{"850", "855"}) {
			t.Errorf("%v has the structures %v", when, got)
		}
	}
	if got := d.Structures(map[string][]string{"GS.02": {"A"}}); !slices.Equal(got, []string{""}) {
		t.Errorf("no ST-01 has the structures %v", got)
	}
}

func TestFaultsOfTheDataFilesAreFoundWithTheirLine(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"segment A x\nsegment A y":      "line 2: second segment",
		"AN O 2 X":                      "line 1: an element of nothing",
		"segment A x\nQQ O 2 X":         "line 2: unknown data type QQ",
		"segment A x\nAN O two X":       "line 2: \"two\" is not a length",
		"segment A x\nAN O 2 =person X": "line 2: unknown label person",
		"segment A x\nAN O":             "line 2: an element is",
	} {
		if _, err := readDictionary(text, release5010); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
	for text, want := range map[string]string{
		"guide 005010":                            "line 1: a guide is",
		"guide 1 2 T\n N1 R 1 X":                  "line 2: it is indented deeper",
		"guide 1 2 T\nN1 Q 1 X":                   "line 2: expected R or S",
		"guide 1 2 T\nN1 R none X":                "line 2: \"none\" is not how often",
		"guide 1 2 T\nN1 R 1 x=1 X":               "line 2: \"x=1\" is no qualifier",
		"guide 1 2 T\nN1 R 1 {x=1} X":             "line 2: \"{x=1}\" is no override",
		"guide 1 2 T\nlike 2300":                  "line 2: no loop 2300",
		"guide 1 2 T\nloop A R 1 X\nloop B R 1 X": "line 3: loop A is empty",
		"guide 1 2 T\nlevels R 1 X":               "line 2: levels are",
	} {
		if _, err := readGuides(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// misfits are public examples that do not fit on purpose, or name a guide that
// is not there.
var misfits = []string{"missing_required_loops_mult", "header-ref-only", "empty997", "HL-nested", "bad_", "277_x212", "invalid99"}

// TestRealMessagesStandWhereTheSchemaHasThem decodes the public examples that
// are to be had, besides those of this file's own.
func TestRealMessagesStandWhereTheSchemaHasThem(t *testing.T) {
	t.Parallel()
	bodies := map[string][]byte{"own": interchange("005010X222A1", subscriber+"LX*1~SV1*HC:1*9~SE*9*1~")}
	for name, body := range corpus(t) {
		if !slices.ContainsFunc(misfits, func(m string) bool { return strings.Contains(name, m) }) {
			bodies[name] = body
		}
	}
	read := 0
	for name, body := range bodies {
		parts, err := split(body)
		if err != nil {
			continue
		}
		for i, part := range parts[:min(len(parts), 5)] {
			for _, version := range []string{"004010", "005010X221A1", "005010X222A1", "005010X214", "005010X231A1", "005010"} {
				d := dialectOf(t, version)
				m, err := d.Decode(part, nil)
				if err != nil {
					t.Errorf("%s, set %d, %s: %v", name, i, version, err)
					continue
				}
				g, _ := d.guideOf(m.Type, textAt(m.Root, "ST.03"), textAt(m.Root, "GS.08"))
				if g == nil || textAt(m.Root, "ISA.12") != g.version[:5] {
					continue
				}
				read++
				unplaced(t, name, m.Root, g.schema())
			}
		}
	}
	if want := 20; len(bodies) > 1 && read < want || read == 0 {
		t.Errorf("only %d messages were compared", read)
	}
}

func textAt(n *tree.Node, path string) string {
	if n = at(n, path); n == nil {
		return ""
	}
	return n.Text
}

func unplaced(t *testing.T, name string, n *tree.Node, typ *tree.Type) {
	for _, k := range n.Kids {
		e := typ.Element(k.Name)
		if e == nil {
			t.Errorf("%s: segment %d, %s, is not in %s of the schema", name, k.Pos.Line, k.Name, typ.Name)
			continue
		}
		unplaced(t, name, k, e.Type)
	}
}

// corpus returns the public X12 examples, where VAGUS_CORPORA says they are.
func corpus(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	dir := os.Getenv("VAGUS_CORPORA")
	if dir == "" {
		return out
	}
	err := filepath.WalkDir(filepath.Join(dir, "x12"), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.HasSuffix(path, ".json") {
			return err
		}
		out[path], err = os.ReadFile(path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}
