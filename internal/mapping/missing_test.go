package mapping_test

import (
	"strings"
	"testing"
)

func TestANameThatIsNotHereIsSaidToStandWhereItDoes(t *testing.T) {
	t.Parallel()
	oru := `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ORU, MSH-9.2: R01 } }`
	claims := `{ format: x12, version: 005010X222A1, when: { ST-01: "837" } }`
	remit := `{ format: x12, version: 005010X221A1, when: { ST-01: "835" } }`
	for _, c := range []struct{ source, each, path, want string }{
		{patients, "Patient[*]", "deceased", `deceased is written with its type: there is deceasedBoolean, deceasedDateTime`},
		{patients, "Patient[*]", "name[first].familly", `HumanName has no familly (did you mean "family"?)`},
		{patients, "Patient[*]", "familly", `Patient has no familly (did you mean "name[first].family"?)`},
		{patients, "Patient[*]", "family", `family stands in name: write name[first].family, or use each: name[*]`},
		{patients, "Patient[*]", "/name[first].family", `a path begins with a resource, as in Patient.name`},
		{patients, "Patient[*]", "/Patint.id", `there is no resource Patint (did you mean "Patient"?)`},
		{remit, "2000[*]", "/CLP-01", `CLP stands in 2000.2100: write 2000[first].2100[first].CLP, or use each: 2000[*].2100[*]`},
		{remit, "2000[*]", "CLPP-01", `2000 has no CLPP (did you mean "2100[first].CLP"?)`},
		{remit, "2000[*]", "2101[first].CLP-01", `2000 has no 2101 (did you mean "2100"?)`},
		{remit, "2000[*]", "/2000[first].2101[first].CLP-01", `2000 has no 2101 (did you mean "2100"?)`},
		{remit, "2000[*]", "2100[first].CLP-99", `CLP has parts 1..14, no CLP-99`},
		{claims, "2000A[*]", "2300[first].CLM-01", `2300 stands in 2000B and in 2000B.2000C: write 2000B[first].2300 or 2000B[first].2000C[first].2300, or use each: 2000B[*]`},
		{oru, "PATIENT_RESULT[*]", "OBSERVATON.OBX-5", `PATIENT_RESULT has no OBSERVATON (did you mean "ORDER_OBSERVATION[first].OBSERVATION"?)`},
	} {
		if _, err := partners(t, c.source, c.each, "x", c.path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s in %s\n got %v\nwant %s", c.path, c.each, err, c.want)
		}
	}
}
