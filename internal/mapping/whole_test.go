package mapping_test

import (
	"strings"
	"testing"
)

const (
	patients = `{ format: fhir, version: "4.0.1" }`
	someone  = `{"resourceType":"Patient","id":"p1","name":[{"use":"old","family":"Roe"},{"use":"official","family":"Doe"}],"maritalStatus":{"coding":[{"code":"M"}]},"contact":[{"relationship":[{"text":"x"}]}]}`
)

func TestAPathToSeveralValuesIsAnErrorThatNamesThem(t *testing.T) {
	t.Parallel()
	oru := `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ORU, MSH-9.2: R01 } }`
	claims := `{ format: x12, version: 005010X222A1, when: { ST-01: "837" } }`
	for _, c := range []struct{ what, source, each, match, name, want string }{
		{"a FHIR element", patients, "Patient[*]", "{id}", "name[first]", `name[first] is HumanName, which has several values: say which one: name[first].use, name[first].text, name[first].family, name[first].given[first], name[first].prefix[first], name[first].suffix[first]`},
		{"one of several values below", patients, "Patient[*]", "{id}", "maritalStatus", `say which one: maritalStatus.text, maritalStatus.coding[first].system, maritalStatus.coding[first].version`},
		{"a resource", patients, "Patient[*]", "{id}", "Patient", `Patient is Patient, which has several values`},
		{"a template", patients, "Patient[*]", "{identifier[first]}", "id", `identifier[first] is Identifier, which has several values`},
		{"a predicate", patients, "Patient[*]", "{id}", "name[period=x].family", `period is Period, which has several values: say which one: period.start, period.end`},
		{"a composite of X12", claims, "2000A[*].2000B[*].2300[*]", "{CLM-05}", "CLM-01", `CLM-05 is C023, which has several values: say which one: CLM-05.1, CLM-05.2`},
		{"a segment of HL7", oru, "PATIENT_RESULT[*]", "{PATIENT.PID}", "PATIENT.PID-5[first].1", `PATIENT.PID is PID, which has several values: say which one: PATIENT.PID.1`},
		{"a field of HL7 stands for its first part", oru, "PATIENT_RESULT[*]", "{PATIENT.PID-3[first]}", "PATIENT.PID-5[first]", ""},
	} {
		_, err := partners(t, c.source, c.each, c.match, c.name)
		switch {
		case c.want == "" && err != nil, c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s:\n got %v\nwant %s", c.what, err, c.want)
		}
	}
	for _, expression := range []string{"v('name[first]')", "values('name[*]')[0]"} {
		_, err := partners(t, patients, "Patient[*]", "{id}", `id", comment: { cel: "`+expression+`" }, ref: "id`)
		if err == nil || !strings.Contains(err.Error(), "which has several values") {
			t.Errorf("%s: %v", expression, err)
		}
	}
}

func TestAWholeIsThereWhenItIsSaid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, want string }{
		{"name[first]", "yes"},
		{"name[use=official]", "yes"},
		{"name[use=maiden]", "no"},
		{"maritalStatus", "yes"},
		{"managingOrganization", "no"},
		{"contact[first].relationship[first]", "yes"},
	} {
		m, err := partners(t, patients, "Patient[*]", "{id}", `id" , ref: { cel: "valued('`+c.path+`') ? 'yes' : 'no'" }, comment: "id`)
		if err != nil {
			t.Fatal(err)
		}
		msg, err := m.Dialect.Decode([]byte(someone), m.Reads())
		if err != nil {
			t.Fatal(err)
		}
		res := m.Run(t.Context(), msg)
		if len(res.Ops) != 1 || res.Ops[0].Vals["ref"] != c.want {
			t.Errorf("%s: %+v %s", c.path, res.Ops, res.Reason)
		}
	}
}
