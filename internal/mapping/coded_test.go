package mapping_test

import (
	"strings"
	"testing"
)

func TestWhatANumberRevealsDependsOnItsCode(t *testing.T) {
	t.Parallel()
	adt := `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: A01 } }`
	claims := `{ format: x12, version: 005010X222A1, when: { ST-01: "837" } }`
	remit := `{ format: x12, version: 005010X221A1, when: { ST-01: "835" } }`
	order := `{ format: x12, version: "004010", when: { ST-01: "850" } }`
	for _, c := range []struct{ what, source, path, labels string }{
		{"a social security number", adt, "PID-3[5=SS].1", "identifier, national_id"},
		{"a record number", adt, "PID-3[5=MR].1", "identifier"},
		{"a record number, of some numbers", adt, "PID-3[5=MR|PI].1", "identifier"},
		{"one of both kinds", adt, "PID-3[5=MR|SS].1", "identifier, national_id"},
		{"a number of a nation", adt, "PID-3[5=NNFRA].1", "identifier, national_id"},
		{"any of the list", adt, "PID-3[first].1", "identifier, national_id"},
		{"of an authority, of any kind", adt, "PID-3[4.1=NORTH].1", "identifier, national_id"},
		{"all but one kind", adt, "PID-3[5!=SS].1", "identifier, national_id"},
		{"of a kind and an authority", adt, "PID-3[4.1=NORTH][5=MR].1", "identifier"},
		{"the field, which stands for its number", adt, "PID-3[5=SS]", "identifier, national_id"},
		{"its authority", adt, "PID-3[first].4.1", "identifier"},
		{"its kind", adt, "PID-3[first].5", "identifier"},
		{"a prior number", adt, "MRG-1[first].1", "identifier, national_id"},
		{"an account", adt, "PID-18.1", "identifier"},
		{"an account that is said to be more", adt, "PID-18[5=SS].1", "identifier, national_id"},
		{"a doctor's social security number", adt, "PV1-7[13=SS].1", "staff, national_id"},
		{"a doctor's number", adt, "PV1-7[first].1", "staff"},
		{"another field", adt, "PID-19", "national_id"},
		{"X12: a subscriber's other number", claims, "2000A[first].2000B[first].2010BA.REF[01=SY]-02", "identifier, national_id"},
		{"X12: a claim's number", remit, "2000[first].2100[first].REF[01=1L]-02", "identifier"},
		{"X12: a claim's social security number", remit, "2000[first].2100[first].REF[01=SY]-02", "identifier, national_id"},
		{"X12: any of a claim's numbers", remit, "2000[first].2100[first].REF[first]-02", "identifier, national_id"},
		{"X12: a patient's member number", remit, "2000[first].2100[first].NM1[01=QC][08=MI]-09", "identifier"},
		{"X12: a patient's number", remit, "2000[first].2100[first].NM1[01=QC]-09", "identifier, national_id"},
		{"X12: a subscriber's number that is said to be more", claims, "2000A[first].2000B[first].2010BA.NM1[08=34]-09", "identifier, national_id"},
		{"X12: a number of an order", order, "REF[first]-02", "none"},
		{"X12: a number of an order that is said to be more", order, "REF[1=SY]-02", "national_id"},
		{"FHIR: by system", patients, "Patient[first].identifier[system=`http://hl7.org/fhir/sid/us-ssn`].value", "identifier, national_id"},
		{"FHIR: by another system", patients, "Patient[first].identifier[system=`http://north.example/mrn`].value", "identifier"},
		{"FHIR: by type", patients, "Patient[first].identifier[type.coding.code=SS].value", "identifier, national_id"},
		{"FHIR: by another type", patients, "Patient[first].identifier[type.coding[first].code=MR].value", "identifier"},
		{"FHIR: by a system and a type that disagree", patients, "Patient[first].identifier[system=`http://hl7.org/fhir/sid/us-ssn`][type.coding.code=MR].value", "identifier, national_id"},
		{"FHIR: a passport", patients, "Patient[first].identifier[system=`http://hl7.org/fhir/sid/passport-USA`].value", "identifier, national_id"},
		{"FHIR: any", patients, "Patient[first].identifier[use=official].value", "identifier, national_id"},
		{"FHIR: its system", patients, "Patient[first].identifier[first].system", "identifier"},
		{"FHIR: an encounter's", patients, "Encounter[first].identifier[first].value", "identifier"},
	} {
		m, err := partners(t, c.source, map[bool]string{true: "Patient[*]", false: "ST[*]"}[c.source == patients], "x", "/"+c.path)
		if c.source == adt {
			m, err = partners(t, c.source, "NK1[*]", "x", "/"+c.path)
		}
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got := m.Outline().Operations[0].Rules[0].Labels.String(); got != c.labels {
			t.Errorf("%s, %s: %s, want %s", c.what, c.path, got, c.labels)
		}
	}
}

func TestAnItemOfAListHasTheLabelsOfItsKind(t *testing.T) {
	t.Parallel()
	adt := `{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: A01 } }`
	for _, c := range []struct{ source, each, path, labels string }{
		{adt, "PID-3[*]", "1", "identifier, national_id"},
		{adt, "PID-3[*]", "4.1", "identifier"},
		{adt, "PID-3[5=MR][*]", "1", "identifier"},
		{adt, "PID-3[5=SS][*]", "1", "identifier, national_id"},
		{patients, "Patient[*].identifier[*]", "value", "identifier, national_id"},
		{patients, "Patient[*].identifier[*]", "system", "identifier"},
		{patients, "Patient[*].identifier[type.coding.code=MR][*]", "value", "identifier"},
	} {
		m, err := partners(t, c.source, c.each, "x", c.path)
		if err != nil {
			t.Errorf("%s: %v", c.each, err)
			continue
		}
		if got := m.Outline().Operations[0].Rules[0].Labels.String(); got != c.labels {
			t.Errorf("%s of %s: %s, want %s", c.path, c.each, got, c.labels)
		}
	}
}

func TestANumberOfAnUnknownKindIsToldToBeChosen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ source, each, path, want string }{
		{`{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: A01 } }`, "NK1[*]", "PID-3[first].1",
			`p.name carries national_id data (from PID-3[first].1), which egress.allow does not let out; choose with [5=…], so that it is known which number it is`},
		{patients, "Patient[*]", "identifier[first].value", `choose with [system=…] or [type.coding.code=…]`},
		{`{ format: hl7v2, version: "2.5.1", when: { MSH-9.1: ADT, MSH-9.2: A01 } }`, "NK1[*]", "PID-3[5=SS].1", "which egress.allow does not let out\n"},
	} {
		_, err := lintPartners(t, c.source, c.each, "x", c.path, "[name, identifier]")
		if err == nil || !strings.Contains(err.Error()+"\n", c.want) {
			t.Errorf("%s: %v", c.path, err)
		}
	}
}
