package mapping_test

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/mappings"
)

// partners is a mapping that makes a contact of each item of an each.
func partners(t *testing.T, source, each, match, name string) (*mapping.Mapping, error) {
	t.Helper()
	return lintPartners(t, source, each, match, name, "[name, identifier, admin, order, financial, demographic, contact, clinical, staff, national_id, sensitive]")
}

func lintPartners(t *testing.T, source, each, match, name, allow string) (*mapping.Mapping, error) {
	t.Helper()
	snapshot, err := fs.ReadFile(mappings.FS, "snapshots/odoo18.json")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`kind: mapping
format: 1
id: groups
version: 1
source: %s
target: { odoo: "18.0", snapshot: odoo18.json }
idempotency: ["once"]
egress: { allow: %s }
operations:
  - id: p
    model: res.partner
    do: upsert
    each: "%s"
    match: { xid: "t.p_%s" }
    fields: { name: "%s" }
`, source, allow, each, match, name)
	return mapping.Load(fstest.MapFS{"m.yaml": {Data: []byte(text)}, "odoo18.json": {Data: snapshot}}, "m.yaml", formats)
}

const twoPatients = "MSH|^~\\&|LIS|N|B|H|20260402||ORU^R01^ORU_R01|1|P|2.5.1\r" +
	"PID|1||11^^^N^MR||Alpha^A\rORC|RE|P1|F1\rOBR|1|P1|F1|A\rOBX|1|NM|x||1\rOBX|2|NM|x||2\r" +
	"PID|2||22^^^N^MR||Beta^B\rORC|RE|P2|F2\rOBR|1|P2|F2|B\rOBX|1|NM|x||3\r"

func TestAPathBelongsToTheGroupsThatItsEachGoesThrough(t *testing.T) {
	t.Parallel()
	oru := `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ORU, MSH-9.2: R01 } }`
	claims := `{ format: x12, version: 005010X222A1, when: { ST-01: "837" } }`
	for _, c := range []struct {
		what, source, each, match, name, body string
		want                                  []string
	}{
		{"the results of the second patient are hers", oru, "PATIENT_RESULT[*].ORDER_OBSERVATION[*].OBSERVATION[*]", "{PATIENT.PID-3[first].1}_{OBR-3.1}_{OBX-1}", "PATIENT.PID-5[first].1.1", twoPatients,
			[]string{"t.p_11_F1_1 Alpha", "t.p_11_F1_2 Alpha", "t.p_22_F2_1 Beta"}},
		{"a group is named by its name, too", oru, "PATIENT_RESULT[*].ORDER_OBSERVATION[*]", "{PATIENT_RESULT.PATIENT.PID-3[first].1}_{OBR-2.1}", "PATIENT.PID-5[first].1.1", twoPatients,
			[]string{"t.p_11_P1 Alpha", "t.p_22_P2 Beta"}},
		{"the fields of a repeated segment stand beside each other", oru, "PATIENT_RESULT[*].PATIENT.PID-3[*]", "{PID-1}_{/MSH-10}", "PID-5[first].1.1", twoPatients,
			[]string{"t.p_1_1 Alpha", "t.p_2_1 Beta"}},
		{"a claim is its subscriber's", claims, "2000A[*].2000B[*].2300[*]", "{CLM-01}", "2010BA.NM1-03",
			"ISA*00*          *00*          *ZZ*A              *ZZ*B              *260415*0830*^*00501*000000905*0*P*:~GS*HC*A*B*20260415*0830*1*X*005010X222A1~ST*837*0001*005010X222A1~BHT*0019*00*1*20260415*0830*CH~" +
				"HL*1**20*1~NM1*85*2*CLINIC*****XX*1~HL*2*1*22*0~SBR*P*18~NM1*IL*1*ALPHA*A****MI*11~CLM*C1*100***11:B:1~HL*3*1*22*0~SBR*P*18~NM1*IL*1*BETA*B****MI*22~CLM*C2*200***11:B:1~SE*12*0001~GE*1*1~IEA*1*000000905~",
			[]string{"t.p_C1 ALPHA", "t.p_C2 BETA"}},
	} {
		m, err := partners(t, c.source, c.each, c.match, c.name)
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		msg, err := m.Dialect.Decode([]byte(c.body), m.Reads())
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		res := m.Run(t.Context(), msg)
		var got []string
		for _, op := range res.Ops {
			got = append(got, fmt.Sprint(op.XID, " ", op.Vals["name"]))
		}
		if d := cmp.Diff(c.want, got); d != "" {
			t.Errorf("%s: %s %s\n%s", c.what, res.Verdict, res.Detail, d)
		}
	}
}

func TestASegmentOfAnotherGroupIsNotTakenForTheItemsOwn(t *testing.T) {
	t.Parallel()
	_, err := partners(t, `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ORU, MSH-9.2: R01 } }`,
		"PATIENT_RESULT[*].ORDER_OBSERVATION[*].OBSERVATION[*]", "{PATIENT.PID-3[first].1}_{OBX-1}", "PID-5[first].1.1")
	if err == nil || !strings.Contains(err.Error(), "PID stands in PATIENT of this each: write PATIENT.PID, or /PID for that of the whole message") {
		t.Errorf("%v", err)
	}
}
