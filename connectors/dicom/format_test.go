package dicom_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/connectors/dicom"
	"github.com/vagus-health/vagus/internal/tree"
	"github.com/vagus-health/vagus/internal/tree/treetest"
)

func dialect(t testing.TB, columns ...tree.Column) tree.Dialect {
	t.Helper()
	out, err := dicom.Format{}.Dialect(tree.Declaration{Columns: columns})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// stepColumns is what the imaging feed's mapping declares.
var stepColumns = []tree.Column{
	{Name: "SOPInstanceUID", Type: "text", Labels: tree.Identifier}, {Name: "PatientID", Type: "text", Labels: tree.Identifier},
	{Name: "AdmissionID", Type: "text", Labels: tree.Identifier}, {Name: "PerformedProcedureStepStatus", Type: "text", Labels: tree.Admin},
	{Name: "PerformedProcedureStepEndDate", Type: "date", Layout: "YYYYMMDD", Labels: tree.Admin}, {Name: "PerformedStationAETitle", Type: "text", Labels: tree.Admin},
	{Name: "ProcedureCodeSequence", Type: "text", Labels: tree.Order}, {Name: "ScheduledStepAttributesSequence", Type: "text", Labels: tree.Order},
	{Name: "PerformedSeriesSequence", Type: "text", Labels: tree.Admin},
}

const (
	stepByKeyword = `{"SOPInstanceUID":"1.2.3.4","PatientID":"4471123","PatientName":"Welby^Marcus","AdmissionID":"ACC778812","PerformedProcedureStepStatus":"COMPLETED","PerformedProcedureStepEndDate":"20260411","PerformedStationAETitle":"CT1","ScheduledStepAttributesSequence":[{"AccessionNumber":"ACN26004411","StudyInstanceUID":"1.2.3"}],"ProcedureCodeSequence":[{"CodeValue":"71260","CodingSchemeDesignator":"C4","CodeMeaning":"CT thorax with contrast"}]}`
	stepByTag     = `{"00080018":{"vr":"UI","Value":["1.2.3.4"]},"00100020":{"vr":"LO","Value":["4471123"]},"00100010":{"vr":"PN","Value":[{"Alphabetic":"Welby^Marcus"}]},"00380010":{"vr":"LO","Value":["ACC778812"]},"00400252":{"vr":"CS","Value":["COMPLETED"]},"00400250":{"vr":"DA","Value":["20260411"]},"00400241":{"vr":"AE","Value":["CT1"]},
		"00400270":{"vr":"SQ","Value":[{"00080050":{"vr":"SH","Value":["ACN26004411"]},"0020000D":{"vr":"UI","Value":["1.2.3"]}}]},
		"00081032":{"vr":"SQ","Value":[{"00080100":{"vr":"SH","Value":["71260"]},"00080102":{"vr":"SH","Value":["C4"]},"00080104":{"vr":"LO","Value":["CT thorax with contrast"]}}]},"00091001":{"vr":"LO","Value":["private"]},"00100040":{"vr":"CS"}}`
	step = `SOPInstanceUID=1.2.3.4
PatientID=4471123
AdmissionID=ACC778812
PerformedProcedureStepStatus=COMPLETED
PerformedProcedureStepEndDate=20260411
PerformedStationAETitle=CT1
ScheduledStepAttributesSequence.AccessionNumber=ACN26004411
ScheduledStepAttributesSequence.StudyInstanceUID=1.2.3
ProcedureCodeSequence.CodeValue=71260
ProcedureCodeSequence.CodingSchemeDesignator=C4
ProcedureCodeSequence.CodeMeaning=CT thorax with contrast`
)

func TestAPerformedStepDecodesAlikeByKeywordAndByTag(t *testing.T) {
	t.Parallel()
	d := dialect(t, stepColumns...)
	for _, body := range []string{stepByKeyword, stepByTag, strings.ReplaceAll(stepByTag, "0020000D", "0020000d")} {
		m, err := d.Decode([]byte(body), nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := treetest.Dump(m.Root); got != step || m.Format != "dicom" {
			t.Errorf("%s:\n%s\nwant\n%s", m.Format, got, step)
		}
		if code := m.Root.First("ProcedureCodeSequence").First("CodeValue"); code.Pos.Line != 1+strings.Count(body[:code.Pos.Offset], "\n") || !strings.HasPrefix(body[code.Pos.Offset:], `"71260"`) {
			t.Errorf("the code stands at %+v", code.Pos)
		}
		only := tree.Selection{"": {"ProcedureCodeSequence": true}, "ProcedureCodeSequence": {"CodeMeaning": true}, "code": {"CodeMeaning": true}}
		if m, err = d.Decode([]byte(body), only); err != nil || m.Root.First("ProcedureCodeSequence").First("CodeMeaning").Text != "CT thorax with contrast" || m.Root.First("AdmissionID") != nil {
			t.Errorf("selected: %v\n%s", err, treetest.Dump(m.Root))
		}
	}
	m, err := d.Decode([]byte(`{"SOPInstanceUID":"1.2.3.4","PerformedProcedureStepStatus":"IN PROGRESS"}`), nil)
	if err != nil || treetest.Dump(m.Root) != "SOPInstanceUID=1.2.3.4\nPerformedProcedureStepStatus=IN PROGRESS" {
		t.Errorf("%v", err)
	}
}

func TestADataSetMayBeginWithAKeywordOfEightLetters(t *testing.T) {
	t.Parallel()
	for _, body := range []string{`{"Modality":"CT"}`, `{"00080060":{"vr":"CS","Value":["CT"]}}`, `{"x":1,"Modality":"CT"}`} {
		if m, err := dialect(t).Decode([]byte(body), nil); err != nil || treetest.Dump(m.Root) != "Modality=CT" {
			t.Errorf("%s: %v", body, err)
		}
	}
}

// An each over items counts them, also those of which nothing is read.
func TestItemsThatHaveContentAreThereWhateverIsSelected(t *testing.T) {
	t.Parallel()
	only := tree.Selection{"": {"ScheduledProcedureStepSequence": true}, "ScheduledProcedureStepSequence": {"Modality": true}}
	for _, body := range []string{
		`{"ScheduledProcedureStepSequence":[{"ScheduledPerformingPhysicianName":"A^B"},{},{"Modality":"CT","ScheduledStationName":"x"}]}`,
		`{"00400100":{"Value":[{"00400006":{"Value":["A^B"]}},{},{"00080060":{"Value":["CT"]},"00400010":{"Value":["x"]}}]}}`,
	} {
		for _, only := range []tree.Selection{nil, only} {
			m, err := dialect(t).Decode([]byte(body), only)
			if err != nil || len(m.Root.Kids) != 2 || len(m.Root.Kids[0].Kids) != 1 || m.Root.Kids[1].First("Modality").Text != "CT" {
				t.Errorf("%s: %v\n%s", body, err, treetest.Dump(m.Root))
			}
		}
	}
}

func TestPersonNamesAreTakenApart(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, value, want string }{
		{"five components", `"Adams^John Robert^Quincy^Rev.^B.A. M.Div."`, "~Alphabetic.FamilyName=Adams\n~Alphabetic.GivenName=John Robert\n~Alphabetic.MiddleName=Quincy\n~Alphabetic.NamePrefix=Rev.\n~Alphabetic.NameSuffix=B.A. M.Div."},
		{"three groups", `"Yamada^Tarou=山田^太郎=やまだ^たろう"`, "~Alphabetic.FamilyName=Yamada\n~Alphabetic.GivenName=Tarou\n~Ideographic.FamilyName=山田\n~Ideographic.GivenName=太郎\n~Phonetic.FamilyName=やまだ\n~Phonetic.GivenName=たろう"},
		{"an object", `{"Alphabetic":"Welby^Marcus","Phonetic":"x"}`, "~Alphabetic.FamilyName=Welby\n~Alphabetic.GivenName=Marcus\n~Phonetic.FamilyName=x"},
		{"components that are empty", `"^Marcus^^^ "`, "~Alphabetic.GivenName=Marcus"},
		{"a family name alone", `"Welby"`, "~Alphabetic.FamilyName=Welby"},
		{"no ideographic group", `"Welby==x"`, "~Alphabetic.FamilyName=Welby\n~Phonetic.FamilyName=x"},
		{"nothing but separators", `"^^=^"`, ""},
		{"nothing", `""`, ""},
		{"null", `null`, "PatientName null"},
		{"more separators than components", `"a^b^c^d^e^f=g=h=i"`, "~Alphabetic.FamilyName=a\n~Alphabetic.GivenName=b\n~Alphabetic.MiddleName=c\n~Alphabetic.NamePrefix=d\n~Alphabetic.NameSuffix=e^f\n~Ideographic.FamilyName=g\n~Phonetic.FamilyName=h=i"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			want := strings.ReplaceAll(tt.want, "~", "PatientName.")
			for _, body := range []string{`{"PatientName":` + tt.value + `}`, `{"00100010":{"vr":"PN","Value":[` + tt.value + `]}}`} {
				m, err := dialect(t).Decode([]byte(body), nil)
				if err != nil {
					t.Fatal(err)
				}
				if got := treetest.Dump(m.Root); got != want {
					t.Errorf("%s is\n%s\nwant\n%s", body, got, want)
				}
			}
		})
	}
	m, err := dialect(t).Decode([]byte(`{"OtherPatientNames":["A^B","C"],"RequestAttributesSequence":[{"RequestingPhysician":"x"}],"PerformedSeriesSequence":{"OperatorsName":["D^E","F"]}}`), nil)
	if err != nil || treetest.Dump(m.Root) != "OtherPatientNames.Alphabetic.FamilyName=A\nOtherPatientNames.Alphabetic.GivenName=B\nOtherPatientNames[2].Alphabetic.FamilyName=C\nPerformedSeriesSequence.OperatorsName.Alphabetic.FamilyName=D\nPerformedSeriesSequence.OperatorsName.Alphabetic.GivenName=E\nPerformedSeriesSequence.OperatorsName[2].Alphabetic.FamilyName=F" {
		t.Errorf("%v\n%s", err, treetest.Dump(m.Root))
	}
}

func TestTheDictionary(t *testing.T) {
	t.Parallel()
	root, err := dialect(t).Schema("")
	if err != nil {
		t.Fatal(err)
	}
	if len(root.Elements) < 4500 {
		t.Errorf("%d attributes", len(root.Elements))
	}
	for _, tt := range []struct {
		keyword, title string
		kind           tree.Kind
		labels         tree.Labels
		repeats        bool
	}{
		{"PatientName", "Patient's Name", tree.Composite, tree.Name, false},
		{"PatientID", "Patient ID", tree.Text, tree.Identifier, false},
		{"PatientBirthDate", "Patient's Birth Date", tree.Date, tree.Demographic, false},
		{"PatientAddress", "Patient's Address", tree.Text, tree.Contact, false},
		{"PregnancyStatus", "Pregnancy Status", tree.Number, tree.Sensitive, false},
		{"AccessionNumber", "Accession Number", tree.Text, tree.Identifier, false},
		{"StudyInstanceUID", "Study Instance UID", tree.Text, tree.Identifier, false},
		{"StudyDescription", "Study Description", tree.Text, tree.Clinical, false},
		{"ReferringPhysicianName", "Referring Physician's Name", tree.Composite, tree.Staff, false},
		{"OperatorsName", "Operators' Name", tree.Composite, tree.Staff, true},
		{"Modality", "Modality", tree.Code, tree.Admin, false},
		{"ImageType", "Image Type", tree.Code, tree.Admin, true},
		{"PerformedProcedureStepStartTime", "Performed Procedure Step Start Time", tree.Time, tree.Admin, false},
		{"AcquisitionDateTime", "Acquisition DateTime", tree.DateTime, tree.Admin, false},
		{"ProcedureCodeSequence", "Procedure Code Sequence", tree.Composite, tree.Order, true},
		{"AdmittingDiagnosesCodeSequence", "Admitting Diagnoses Code Sequence", tree.Composite, tree.Clinical, true},
		{"KVP", "KVP", tree.Number, tree.Clinical, false},
	} {
		e := root.Element(tt.keyword)
		if e == nil || e.Title != tt.title || e.Type.Kind != tt.kind || e.Labels != tt.labels || e.Repeats != tt.repeats {
			t.Errorf("%s is %+v", tt.keyword, e)
		}
	}
	if e := root.Element("ScheduledStepAttributesSequence"); e.Type.Element("PatientID") != nil || e.Type.Element("RequestedProcedureCodeSequence").Type.Element("CodeValue").Labels != tree.None {
		t.Error("an item of scheduled step attributes has what it can not have")
	}
	if e := root.Element("ConversionSourceAttributesSequence"); e.Type != root {
		t.Error("items that no file describes may hold every attribute")
	}
	if got := dialect(t).Structures(nil); len(got) != 1 || got[0] != "" {
		t.Errorf("%q", got)
	}
}

// Whatever a mapping may read in a code must be labelled by where it stands.
func TestOnlyPartsOfCodesRevealNothing(t *testing.T) {
	t.Parallel()
	root, _ := dialect(t).Schema("")
	code := root.Element("ProcedureCodeSequence").Type
	for _, e := range root.Elements {
		if e.Labels == tree.None && code.Element(e.Name) == nil && !strings.Contains(e.Name, "Context") && !strings.Contains(e.Name, "CodingScheme") && !strings.HasPrefix(e.Name, "ConceptNameCode") && e.Name != "ValueType" && e.Name != "UID" && e.Name != "MeasurementUnitsCodeSequence" {
			t.Errorf("%s has no label", e.Name)
		}
	}
}

func TestDeclarations(t *testing.T) {
	t.Parallel()
	d := dialect(t,
		tree.Column{Name: "StudyDescription", Labels: tree.Order},
		tree.Column{Name: "ConsoleUser", Type: "text", Labels: tree.Staff},
		tree.Column{Name: "ScheduledStepAttributesSequence", Parts: []tree.Column{{Name: "AccessionNumber"}}})
	root, _ := d.Schema("")
	if e := root.Element("StudyDescription"); e.Labels != tree.Order || root.Element("PatientID") != nil || len(root.Element("ScheduledStepAttributesSequence").Type.Elements) != 1 {
		t.Errorf("%+v", e)
	}
	m, err := d.Decode([]byte(`{"ConsoleUser":"x","PatientID":"7","ScheduledStepAttributesSequence":{"AccessionNumber":"A","StudyInstanceUID":"1"}}`), nil)
	if err != nil || treetest.Dump(m.Root) != "ConsoleUser=x\nScheduledStepAttributesSequence.AccessionNumber=A" {
		t.Errorf("%v\n%s", err, treetest.Dump(m.Root))
	}
	if m, err = d.Decode([]byte(`{"00081030":{"vr":"LO","Value":["CT"]},"00400270":{"Value":[{"0020000D":{"Value":["1"]}},{"00080050":{"Value":["A"]},"0020000D":{"Value":["1"]}}]}}`), nil); err != nil || treetest.Dump(m.Root) != "StudyDescription=CT\nScheduledStepAttributesSequence.AccessionNumber=A" {
		t.Errorf("%v\n%s", err, treetest.Dump(m.Root))
	}
	for want, decl := range map[string]tree.Declaration{
		"no version":                      {Version: "2026a"},
		"dicom: x has no type":            {Columns: []tree.Column{{Name: "x"}}},
		"PatientName is an object in the": {Columns: []tree.Column{{Name: "PatientName", Type: "code"}}},
	} {
		if _, err := (dicom.Format{}).Dialect(decl); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestErrorsNameTheAttribute(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		`{"PatientID":{"a":"Welby"}}`:               "decode dicom: JSON line 1, offset 13: PatientID: an object where",
		`{"00100020":{"Value":[{"a":"Welby"}]}}`:    "decode dicom: JSON line 1, offset 22: 00100020.Value: an object where",
		`[{"PatientID":"1"}]`:                       "decode dicom: JSON line 1, offset 0: a JSON object is expected",
		`{"PatientID":"1","x":["\ud800"]}`:          "no escape",
		`{"PatientID":"1","x":"Welby","x":"Welby"}`: "twice",
	} {
		if _, err := dialect(t).Decode([]byte(body), nil); err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "Welby") {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestAnswersOfASearchAreSplit(t *testing.T) {
	t.Parallel()
	d := dialect(t).(tree.Splitter)
	parts, err := d.Split([]byte(`[` + stepByTag + `,` + stepByKeyword + `]`))
	if err != nil || len(parts) != 2 || string(parts[1]) != stepByKeyword {
		t.Errorf("%d parts, %v", len(parts), err)
	}
	if _, err := d.Split([]byte(`[1]`)); err == nil || !strings.HasPrefix(err.Error(), "split dicom: ") {
		t.Errorf("%v", err)
	}
}

func samples(t testing.TB) map[string][]byte {
	t.Helper()
	out := map[string][]byte{"by tag": []byte(stepByTag), "by keyword": []byte(stepByKeyword)}
	root := os.Getenv("VAGUS_CORPORA")
	if root == "" {
		return out
	}
	files, err := filepath.Glob(filepath.Join(root, "dicom/pydicom/test_files/*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files in VAGUS_CORPORA, %v", len(files), err)
	}
	for _, name := range files {
		if out[name], err = os.ReadFile(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func TestForeignDataSetsDecode(t *testing.T) {
	t.Parallel()
	for name, body := range samples(t) {
		m, err := dialect(t).Decode(body, nil)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var v map[string]struct{ Value []json.RawMessage }
		if json.Unmarshal(body, &v) != nil {
			continue // by keyword
		}
		for tag, keyword := range map[string]string{"00100020": "PatientID", "00080060": "Modality", "00080018": "SOPInstanceUID", "0020000D": "StudyInstanceUID", "00281050": "WindowCenter"} {
			var want string
			if len(v[tag].Value) > 0 {
				want = strings.Trim(string(v[tag].Value[0]), `"`)
			}
			got := ""
			if n := m.Root.First(keyword); n != nil {
				got = n.Text
			}
			if got != want {
				t.Errorf("%s: %s differs", name, keyword)
			}
		}
		if name := m.Root.First("PatientName"); name != nil && name.First("Alphabetic").First("FamilyName") == nil {
			t.Errorf("the patient's name is %s", treetest.Dump(name))
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, body := range samples(f) {
		f.Add(body)
	}
	f.Add([]byte(`{"PatientName":{"Alphabetic":"^=^"},"OtherPatientNames":[null,"a=b"],"ProcedureCodeSequence":"x"}`))
	f.Add([]byte(`{"00100010":null,"00081032":{"Value":["x",null,{"00080100":null}]}}`))
	d := dialect(f)
	root, _ := d.Schema("")
	f.Fuzz(func(t *testing.T, body []byte) {
		m, err := d.Decode(body, nil)
		if err == nil {
			check(t, m.Root, root)
		}
		part, partErr := d.Decode(body, tree.Selection{"": {"PatientID": true, "ProcedureCodeSequence": true}, "ProcedureCodeSequence": {"CodeValue": true}})
		if (err == nil) != (partErr == nil) {
			t.Fatalf("what is selected decides about the error: %v, %v", err, partErr)
		}
		if err == nil {
			a, b := m.Root.First("PatientID"), part.Root.First("PatientID")
			if (a == nil) != (b == nil) || a != nil && (a.Text != b.Text || a.State != b.State || a.Pos != b.Pos) {
				t.Fatal("a selected attribute differs")
			}
		}
	})
}

// check says whether a tree is what its type says.
func check(t *testing.T, n *tree.Node, typ *tree.Type) {
	for _, k := range n.Kids {
		e := typ.Element(k.Name)
		if e == nil {
			t.Fatalf("%s has no %s", typ.Name, k.Name)
		}
		if len(k.Kids) > 0 && k.Text != "" || len(e.Type.Elements) == 0 && len(k.Kids) > 0 {
			t.Fatalf("%s is text and has parts", k.Name)
		}
		check(t, k, e.Type)
	}
}

func BenchmarkDecode(b *testing.B) {
	d := dialect(b, stepColumns...)
	for name, body := range map[string]string{"by keyword": stepByKeyword, "by tag": stepByTag} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := d.Decode([]byte(body), nil); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
