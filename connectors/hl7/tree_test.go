package hl7

import (
	"fmt"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// dump writes a tree as one line a leaf: "PID/3[2]/1=99".
func dump(n *tree.Node) []string {
	var out []string
	var walk func(n *tree.Node, path string)
	walk = func(n *tree.Node, path string) {
		count := make(map[string]int)
		for _, k := range n.Kids {
			count[k.Name]++
			p := path + "/" + k.Name
			if count[k.Name] > 1 {
				p += fmt.Sprintf("[%d]", count[k.Name])
			}
			switch {
			case len(k.Kids) > 0:
				walk(k, p)
			case k.State == tree.Null:
				out = append(out, p+" null")
			default:
				out = append(out, p+"="+k.Text)
			}
		}
	}
	walk(n, "")
	return out
}

// in returns the dialect of a version without declarations.
func in(t testing.TB, version string) dialect {
	t.Helper()
	d, err := Format{}.Dialect(tree.Declaration{Version: version})
	if err != nil {
		t.Fatal(err)
	}
	return d.(dialect)
}

func decode(t testing.TB, body string) *tree.Message {
	t.Helper()
	m, err := in(t, "2.5.1").Decode([]byte(body), nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestDecodePlacesLeaves(t *testing.T) {
	t.Parallel()
	const msh = "MSH|^~\\&|A^1.2^ISO||||||ADT^A08^ADT_A01|7|P|2.5.1\r"
	const pid = `PID|||1^^^N&1.2&ISO^MR~2~~3^|""|O\T\H&van^Si||""^x|^^^|~|&y|M|^""`
	m := decode(t, msh+pid+"\rZPI|a^b|c\r")
	if m.Format != "hl7v2" || m.Type != "ADT^A08^ADT_A01" {
		t.Errorf("format %q, type %q", m.Format, m.Type)
	}
	got := dump(m.Root)[11:]
	want := []string{
		"/PID/3/1=1", "/PID/3/4/1=N", "/PID/3/4/2=1.2", "/PID/3/4/3=ISO", "/PID/3/5=MR", "/PID/3[2]=2", "/PID/3[3]/1=3",
		"/PID/4 null", "/PID/5/1/1=O&H", "/PID/5/1/2=van", "/PID/5/2=Si", "/PID/7/1 null", "/PID/7/2=x", "/PID/10/1/2=y", "/PID/11=M", "/PID/12/2 null",
		"/ZPI/1/1=a", "/ZPI/1/2=b", "/ZPI/2=c",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("tree\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	if head := strings.Join(dump(m.Root)[:3], " "); head != `/MSH/1=| /MSH/2=^~\& /MSH/3/1=A` {
		t.Errorf("MSH begins with %s", head)
	}
	sex := m.Root.First("PID").First("11")
	if want := (tree.Pos{Line: 2, Offset: len(msh) + strings.Index(pid, "|M") + 1}); sex.Pos != want {
		t.Errorf("PID-11 stands at %+v, want %+v", sex.Pos, want)
	}
}

func TestTrailingBlanksSayNothing(t *testing.T) {
	t.Parallel()
	m := decode(t, "MSH|^~\\&|A  |||||  |ADT ^A08 ^ADT_A01 |7|P|2.5.1\rPID|||1 ^ ^ & ~ | |  Doe  ^Jane |\"\" ||x \\H\\\r")
	got := m.Type + " " + strings.Join(dump(m.Root)[2:], " ")
	want := "ADT^A08^ADT_A01 /MSH/3=A /MSH/9/1=ADT /MSH/9/2=A08 /MSH/9/3=ADT_A01 /MSH/10=7 /MSH/11=P /MSH/12=2.5.1 /PID/3/1=1 /PID/5/1=  Doe /PID/5/2=Jane /PID/6 null /PID/8=x"
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestDecodeGroups(t *testing.T) {
	t.Parallel()
	msh := func(kind string) string { return "MSH|^~\\&|||||||" + kind + "|1|P|2.5.1\r" }
	for _, tt := range []struct{ name, message, want string }{
		{"an admission is flat, insurance is a view", msh("ADT^A01^ADT_A01") + "EVN|\rPID|\rPV1|\rIN1|1\rIN2|\rIN1|2\rACC|",
			"MSH EVN PID PV1 IN1 IN2 IN1 ACC INSURANCE(IN1 IN2) INSURANCE(IN1)"},
		{"a merge owns its patients", mustReadFile("testdata/adt_a40.hl7"),
			"MSH EVN PATIENT(PID MRG) PATIENT(PID PD1 MRG)"},
		{"a merge whose sender names its structure after its event", msh("ADT^A40^ADT_A40") + "PID|\rMRG|\rPV1|\rZZZ|", "MSH PATIENT(PID MRG PV1) ZZZ"},
		{"results of two patients", mustReadFile("testdata/oru_two_patients.hl7"),
			"MSH PID PV1 ORDER(PID PV1 ORC OBR OBX OBSERVATION(OBX NTE) NTE OBX OBSERVATION(OBX)) ORDER(PID PV1 OBR OBX OBSERVATION(OBX) SPM SPECIMEN(SPM)) PID ORDER(PID OBR) " +
				"PATIENT_RESULT(PATIENT(PID VISIT(PV1)) ORDER_OBSERVATION(ORC OBR OBSERVATION(OBX NTE) OBSERVATION(OBX)) ORDER_OBSERVATION(OBR OBSERVATION(OBX) SPECIMEN(SPM))) PATIENT_RESULT(PATIENT(PID) ORDER_OBSERVATION(OBR))"},
		{"an observation without a patient and without ORC", msh("ORU^R01") + "OBR|1\rOBX|1", "MSH ORDER(OBR OBX OBSERVATION(OBX)) PATIENT_RESULT(ORDER_OBSERVATION(OBR OBSERVATION(OBX)))"},
		{"orders, the visit after the first order", msh("ORM^O01") + "PID|\rORC|\rOBR|\rIPC|\rPV1|\rORC|\rOBR|",
			"MSH PID ORDER(PID PV1 ORC OBR IPC ORDER_DETAIL(OBR)) PV1 ORDER(PID PV1 ORC OBR ORDER_DETAIL(OBR)) PATIENT(PID PATIENT_VISIT(PV1))"},
		{"results of earlier orders are no orders", msh("OML^O21^OML_O21") + "PID|\rORC|\rOBR|\rPID|\rORC|\rOBR|\rOBX|",
			"MSH PID ORDER(PID ORC OBR OBSERVATION_REQUEST(OBR PRIOR_RESULT(PATIENT_PRIOR(PID) ORDER_PRIOR(ORC OBR OBSERVATION_PRIOR(OBX))))) PRIOR_RESULT(PID ORC OBR OBX) PATIENT(PID)"},
		{"charges", msh("DFT^P03") + "PID|\rFT1|\rPR1|\rROL|\rFT1|\rDG1|",
			"MSH PID FT1 PR1 PROCEDURE(PR1 ROL) ROL FT1 DG1 FINANCIAL(FT1 FINANCIAL_PROCEDURE(PR1 ROL)) FINANCIAL(FT1)"},
		{"specimens, orders led by OBR", msh("OUL^R22^OUL_R22") + "PID|\rSPM|\rSAC|\rOBR|\rORC|\rOBX|\rSPM|\rOBR|",
			"MSH PID SPM SAC ORDER(PID OBR ORC OBX OBSERVATION(OBX)) SPM ORDER(PID OBR) PATIENT(PID) SPECIMEN(SPM CONTAINER(SAC) ORDER) SPECIMEN(SPM ORDER)"},
		{"vaccinations without ORC", msh("VXU^V04") + "PID|\rRXA|\rRXR|\rOBX|\rRXA|", "MSH PID ORDER(PID RXA RXR OBX OBSERVATION(OBX)) ORDER(PID RXA)"},
		{"charges with their diagnoses between them", msh("DFT^P03^DFT_P03") + "PID|\rFT1|1\rDG1|\rFT1|2\rPR1|\rNTE|",
			"MSH PID FT1 DG1 FT1 PR1 PROCEDURE(PR1) NTE FINANCIAL(FT1) FINANCIAL(FT1 FINANCIAL_PROCEDURE(PR1) NTE)"},
		{"a second visit in a message of one is in no group of the standard", msh("ADT^A08^ADT_A01") + "PID|1\rPV1|\rIN1|\rPV1|2", "MSH PID PV1 IN1 PV1 INSURANCE(IN1)"},
		{"a Z segment belongs to its order and to the message", msh("ORM^O01") + "PID|\rZPI|\rORC|\rOBR|\rZDS|\rORC|",
			"MSH PID ZPI ORDER(PID ORC OBR ZDS ORDER_DETAIL(OBR)) ZDS ORDER(PID ORC) PATIENT(PID)"},
		{"staff", msh("MFN^M02") + "MFI|\rMFE|\rSTF|\rPRA|\rMFE|\rSTF|", "MSH MFI MFE STF PRA MFE STF MF_STAFF(MFE STF PRA) MF_STAFF(MFE STF)"},
		{"an appointment", mustReadFile("testdata/siu_s12.hl7"), "MSH SCH PID RGS AIS AIP ZAP PATIENT(PID) RESOURCES(RGS SERVICE(AIS) PERSONNEL_RESOURCE(AIP))"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var show func(n *tree.Node, top bool) string
			show = func(n *tree.Node, top bool) string {
				var names []string
				for _, k := range n.Kids {
					name := k.Name
					if len(k.Kids) > 0 && k.Kids[0].Name > "9" && (top || name != "ORDER") {
						name += "(" + show(k, name == "ORDER") + ")"
					}
					names = append(names, name)
				}
				return strings.Join(names, " ")
			}
			got := show(decode(t, tt.message).Root, true)
			if got != tt.want {
				t.Errorf("\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

// TestDecodedNamesAreInTheSchema: what decodes must be reachable by a path
// that lints.
func TestDecodedNamesAreInTheSchema(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"adt_a01", "adt_a40", "oru_two_patients", "siu_s12"} {
		m := decode(t, mustReadFile("testdata/"+name+".hl7"))
		for _, structure := range []string{m.Type, ""} {
			root, err := in(t, "2.5.1").Schema(structure)
			if err != nil {
				t.Fatal(err)
			}
			var walk func(n *tree.Node, of *tree.Type, path string)
			walk = func(n *tree.Node, of *tree.Type, path string) {
				for _, k := range n.Kids {
					if strings.HasPrefix(k.Name, "Z") || of.Name == "varies" {
						continue
					}
					e := of.Element(k.Name)
					if e == nil {
						t.Errorf("%s as %q: %s-%s is not in the schema", name, structure, path, k.Name)
						continue
					}
					walk(k, e.Type, path+"-"+k.Name)
				}
			}
			walk(m.Root, root, "")
		}
	}
}

// find returns the element of a path, nil if there is none; its first step may
// be a data type.
func find(t testing.TB, version, structure, path string) *tree.Element {
	t.Helper()
	d := in(t, version)
	of, err := d.Schema(structure)
	if err != nil {
		t.Fatal(err)
	}
	var e *tree.Element
	for i, step := range strings.Split(path, "-") {
		if typ := d.types[step]; i == 0 && typ != nil {
			of = typ
			continue
		}
		if e = of.Element(step); e == nil {
			return nil
		}
		of = e.Type
	}
	return e
}

func TestSchema(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		structure, path, typ string
		kind                 tree.Kind
		labels               string
		repeats              bool
	}{
		{"ADT_A01", "PID-3", "CX", tree.Composite, "identifier, national_id", true},
		{"ADT^A08", "PID-5-1-1", "ST", tree.Text, "none", false},
		{"ADT_A01", "PID", "PID", tree.Composite, "none", false},
		{"OML_O21", "PID", "PID", tree.Composite, "none", false},
		{"ORU_R01", "PID", "PID", tree.Composite, "none", true},
		{"BAR_P01", "PV1", "PV1", tree.Composite, "none", true},
		{"ADT_A01", "PID-5", "XPN", tree.Composite, "name", true},
		{"ADT_A01", "PID-7", "TS", tree.Composite, "demographic", false},
		{"ADT_A01", "PID-7-1", "DTM", tree.DateTime, "none", false},
		{"ADT_A01", "PID-8", "IS", tree.Code, "demographic", false},
		{"ADT_A01", "PID-10", "CE", tree.Composite, "sensitive", true},
		{"ADT_A01", "PID-11", "XAD", tree.Composite, "contact", true},
		{"ADT_A01", "PID-19", "ST", tree.Text, "national_id", false},
		{"ADT_A01", "PV1-18", "IS", tree.Code, "admin", false},
		{"ADT_A01", "PV1-19", "CX", tree.Composite, "identifier", false},
		{"ADT_A01", "IN1", "IN1", tree.Composite, "none", true},
		{"ADT_A01", "INSURANCE-IN1-36", "ST", tree.Text, "financial, identifier", false},
		{"ADT_A39", "PATIENT-MRG-1", "CX", tree.Composite, "identifier, national_id", true},
		{"ORM_O01", "ORDER-OBR-3", "EI", tree.Composite, "identifier", false},
		{"ORM_O01", "PID-3", "CX", tree.Composite, "identifier, national_id", true},
		{"ORU_R01", "ORDER-OBX-5", "varies", tree.Composite, "clinical", true},
		{"ORU_R01", "ORDER-PID-3", "CX", tree.Composite, "identifier, national_id", true},
		{"ORU_R01", "PATIENT_RESULT-ORDER_OBSERVATION", "ORDER_OBSERVATION", tree.Composite, "none", true},
		{"DFT_P03", "FT1", "FT1", tree.Composite, "none", true},
		{"DFT_P03", "FT1-12-1-1", "NM", tree.Number, "none", false},
		{"", "PATIENT-MRG-1", "CX", tree.Composite, "identifier, national_id", true},
		{"", "ORDER-IPC-1", "EI", tree.Composite, "identifier", false},
		{"", "PID-3", "CX", tree.Composite, "identifier, national_id", true},
	} {
		e := find(t, "2.5.1", tt.structure, tt.path)
		if e == nil {
			t.Errorf("%s %s is not there", tt.structure, tt.path)
			continue
		}
		if e.Type.Name != tt.typ || e.Type.Kind != tt.kind || e.Labels.String() != tt.labels || e.Repeats != tt.repeats {
			t.Errorf("%s %s: type %s, kind %d, labels %s, repeats %v", tt.structure, tt.path, e.Type.Name, e.Type.Kind, e.Labels, e.Repeats)
		}
	}
	for _, tt := range []struct {
		version, structure, path string
		there                    bool
	}{
		{"2.5.1", "ADT_A01", "PID-40", false}, {"2.7", "ADT_A01", "PID-40", true}, {"2.8", "ADT_A01", "ORC-32", false},
		{"2.8", "ORM_O01", "ORDER-ORC-32", true}, {"2.5", "ORM_O01", "ORDER-ORC-32", false},
		{"2.5.1", "ADT_A39", "PID-3", false}, {"2.5.1", "ORM_O01", "OBR", false}, {"2.5.1", "ADT_A01", "PID-61", false}, {"2.5.1", "ADT_A01", "ZPI", false},
	} {
		if got := find(t, tt.version, tt.structure, tt.path) != nil; got != tt.there {
			t.Errorf("%s %s %s there: %v", tt.version, tt.structure, tt.path, got)
		}
	}
	for _, v := range versions {
		if find(t, v, "ADT_A01", "PID-3") == nil {
			t.Errorf("%s has no PID-3", v)
		}
	}
	if _, err := (Format{}).Dialect(tree.Declaration{Version: "3.0"}); err == nil || !strings.Contains(err.Error(), "2.5.1") {
		t.Errorf("version 3.0: %v", err)
	}
}

func TestDecodeRefusesABatchAndABomb(t *testing.T) {
	t.Parallel()
	if _, err := in(t, "2.5.1").Decode([]byte(mustReadFile("testdata/batch.hl7")), nil); err == nil {
		t.Error("a batch was decoded")
	}
	bomb := "MSH|^~\\&|" + strings.Repeat("\rZZZ|"+strings.Repeat("a^", 5000), 250)
	if _, err := in(t, "2.5.1").Decode([]byte(bomb), nil); err == nil {
		t.Error("a tree of over a million nodes was built")
	}
}
