package fhir_test

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestLabelsOfPaths(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, want string }{
		{"Patient.id", "identifier"},
		{"Patient.fullUrl", "identifier"},
		{"Patient.identifier.value", "identifier, national_id"},
		{"Patient.name.family", "name"},
		{"Patient.telecom.value", "contact"},
		{"Patient.address.city", "contact"},
		{"Patient.birthDate", "demographic"},
		{"Patient.deceasedDateTime", "demographic"},
		{"Patient._birthDate.extension.valueDateTime", "demographic, clinical, sensitive"},
		{"Patient.active", "admin"},
		{"Patient.contact.name.text", "name"},
		{"Patient.contact.relationship.text", "demographic"},
		{"Patient.generalPractitioner.display", "staff"},
		{"Patient.link.other.reference", "identifier"},
		{"Patient.link.other.display", "name, identifier"},
		{"Patient.text.div", "financial, name, contact, demographic, identifier, clinical, sensitive"},
		{"Patient.extension.valueCode", "clinical, sensitive"},
		{"Patient.extension.valueHumanName.family", "name, clinical, sensitive"},
		{"Patient.contained.Organization.name", "admin"},
		{"Patient.meta.lastUpdated", "admin"},
		{"Patient.meta.security.code", "admin, sensitive"},
		{"RelatedPerson.name.family", "name"},
		{"Person.birthDate", "demographic"},
		{"Practitioner.name.family", "staff"},
		{"Practitioner.telecom.value", "staff, contact"},
		{"Practitioner.birthDate", "staff, demographic"},
		{"Organization.identifier.value", "admin"},
		{"Organization.name", "admin"},
		{"Organization.contact.name.family", "staff"},
		{"Observation.code.coding.code", "clinical"},
		{"Observation.valueQuantity.value", "clinical"},
		{"Observation.component.valueString", "clinical"},
		{"Observation.note.text", "clinical"},
		{"Observation.status", "order"},
		{"Observation.effectiveDateTime", "order"},
		{"Observation.subject.reference", "identifier"},
		{"Observation.subject.display", "name, identifier"},
		{"Observation.encounter.reference", "identifier"},
		{"Condition.code.coding.code", "clinical"},
		{"DiagnosticReport.conclusion", "clinical"},
		{"DiagnosticReport.presentedForm.data", "financial, name, contact, demographic, identifier, clinical, sensitive"},
		{"MedicationRequest.medicationCodeableConcept.text", "clinical"},
		{"ServiceRequest.code.coding.code", "order"},
		{"ServiceRequest.reasonCode.text", "clinical"},
		{"Encounter.identifier.value", "identifier"},
		{"Encounter.status", "admin"},
		{"Encounter.period.end", "admin"},
		{"Encounter.reasonCode.text", "clinical"},
		{"Encounter.diagnosis.condition.display", "clinical"},
		{"Appointment.start", "admin"},
		{"Appointment.comment", "clinical"},
		{"Claim.created", "financial"},
		{"Claim.total.value", "financial"},
		{"Claim.diagnosis.diagnosisCodeableConcept.coding.code", "clinical"},
		{"Claim.item.productOrService.coding.code", "order, financial"},
		{"Claim.item.detail.subDetail.net.value", "financial"},
		{"ChargeItem.id", "identifier"},
		{"ChargeItem.code.coding.code", "order, financial"},
		{"ChargeItem.priceOverride.value", "financial"},
		{"ChargeItem.reason.text", "clinical"},
		{"Invoice.totalGross.value", "financial"},
		{"Invoice.note.text", "clinical"},
		{"Coverage.subscriberId", "financial, identifier"},
		{"Coverage.beneficiary.reference", "identifier"},
		{"Coverage.relationship.text", "demographic"},
		{"ExplanationOfBenefit.diagnosis.diagnosisCodeableConcept.text", "clinical"},
		{"Consent.status", "clinical, sensitive"},
		{"Questionnaire.item.item.item.text", "admin"},
		{"QuestionnaireResponse.item.answer.valueString", "clinical, sensitive"},
		{"Parameters.parameter.valueAddress.city", "contact, clinical, sensitive"},
		{"Parameters.parameter.valueString", "clinical, sensitive"},
		{"Parameters.parameter.resource.Patient.birthDate", "demographic"},
		{"Subscription.channel.header", "secret"},
		{"Bundle.id", "identifier"},
		{"Bundle.type", "admin"},
		{"Bundle.timestamp", "admin"},
		{"Bundle.entry.fullUrl", "identifier"},
		{"Bundle.entry.request.url", "financial, name, contact, demographic, identifier, clinical, sensitive"},
	} {
		if got := labelsOf(t, c.path).String(); got != c.want {
			t.Errorf("%s reveals %s, want %s", c.path, got, c.want)
		}
	}
}

// labelsOf returns the labels of all elements on a way.
func labelsOf(t *testing.T, path string) (labels tree.Labels) {
	typ := schema(t)
	for name := range strings.SplitSeq(path, ".") {
		el := typ.Element(name)
		if el == nil {
			t.Errorf("%s: %s has no %s", path, typ.Name, name)
			return labels
		}
		labels |= el.Labels
		typ = el.Type
	}
	return labels
}

// Whatever an element is, some label says so, and what may hold anything says
// so wherever it stands.
func TestNothingIsWithoutALabel(t *testing.T) {
	t.Parallel()
	root := schema(t)
	elements := 0
	var walk func(at string, typ *tree.Type, public bool)
	walk = func(at string, typ *tree.Type, public bool) {
		for _, el := range typ.Elements {
			path := at + "." + el.Name
			elements++
			switch name := el.Type.Name; {
			case el.Type.Tag != "": // what is in it has labels
			case strings.Contains(name, ".") && !strings.HasPrefix(name, typ.Name+"."): // seen elsewhere
			case strings.Contains(name, "."):
				walk(path, el.Type, public)
			case el.Labels == tree.None:
				t.Errorf("%s has no label", path)
			case name == "Extension" && el.Labels != tree.Clinical|tree.Sensitive,
				name == "Narrative" && el.Labels&(tree.Name|tree.Clinical|tree.Sensitive) == 0,
				name == "Annotation" && el.Labels&tree.Clinical == 0,
				name == "HumanName" && el.Labels&(tree.Name|tree.Staff) == 0,
				name == "Identifier" && !public && el.Labels&(tree.Identifier|tree.Staff) == 0:
				t.Errorf("%s is a %s and reveals %s only", path, name, el.Labels)
			}
		}
	}
	for _, resource := range root.Elements {
		public := resource.Type.Element("status") == nil || labelsOf(t, resource.Name+".status") == tree.Admin
		walk(resource.Name, resource.Type, public)
	}
	if elements < 7000 {
		t.Errorf("only %d elements were seen", elements)
	}
}

func TestRecursiveTypesAreShared(t *testing.T) {
	t.Parallel()
	root := schema(t)
	at := func(path string) *tree.Type {
		typ := root
		for name := range strings.SplitSeq(path, ".") {
			typ = typ.Element(name).Type
		}
		return typ
	}
	for _, c := range [][2]string{
		{"Questionnaire.item", "Questionnaire.item.item.item"},
		{"Patient.extension", "Observation.extension.extension"},
		{"Patient.managingOrganization", "Patient.managingOrganization.identifier.assigner"},
		{"Patient", "Bundle.entry.response.outcome.Patient"},
		{"Patient.name", "Practitioner.name"},
	} {
		if at(c[0]) != at(c[1]) {
			t.Errorf("%s and %s have types of their own", c[0], c[1])
		}
	}
	if root.Element("Bundle").Type.Element("entry").Type.Element("resource") != nil {
		t.Error("paths may lead to Bundle.entry.resource, where a decoded message has nothing")
	}
	if root.Element("Bundle").Repeats || !root.Element("Patient").Repeats {
		t.Error("there is one Bundle, and there may be many patients")
	}
}

func TestElementsSayWhatTheStandardSays(t *testing.T) {
	t.Parallel()
	root := schema(t)
	gender := root.Element("Patient").Type.Element("gender")
	if gender.Title != "male | female | other | unknown" || gender.Table != "administrative-gender" || gender.Type.Kind != tree.Code {
		t.Errorf("gender is %+v", gender)
	}
	for typ, name := range map[*tree.Type]string{ // simple values that may have no extensions
		root.Element("Patient").Type.Element("text").Type:      "_div",
		root.Element("Patient").Type.Element("extension").Type: "_url",
		root.Element("Patient").Type.Element("name").Type:      "_id",
	} {
		if typ.Element(name) != nil {
			t.Errorf("%s has %s", typ.Name, name)
		}
	}
	for name, kind := range map[string]tree.Kind{"birthDate": tree.Date, "deceasedDateTime": tree.DateTime, "deceasedBoolean": tree.Bool, "multipleBirthInteger": tree.Number, "id": tree.Text, "name": tree.Composite} {
		if got := root.Element("Patient").Type.Element(name).Type.Kind; got != kind {
			t.Errorf("%s is of kind %d, want %d", name, got, kind)
		}
	}
}
