package mapping

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func exampleADT(t testing.TB) (*Mapping, *tree.Message) {
	t.Helper()
	m, err := Load(os.DirFS("../../mappings"), "examples/north/01-hl7-adt/adt-patient.map.yaml", []tree.Format{fakeFormat{}})
	if err != nil {
		t.Fatal(err)
	}
	body, err := os.ReadFile("../../mappings/examples/north/01-hl7-adt/in/a08.hl7")
	if err != nil {
		t.Fatal(err)
	}
	return m, decode(t, string(body))
}

func TestATracedRunGivesTheSameResultAndAnEventForEveryRule(t *testing.T) {
	t.Parallel()
	m, msg := exampleADT(t)
	plain := m.Run(t.Context(), msg)
	traced, events := m.RunTraced(t.Context(), msg)
	if !reflect.DeepEqual(plain, traced) {
		t.Fatal("tracing changes the result")
	}
	o := m.Outline()
	known := []string{"ordering", "idempotency"}
	for _, r := range slices.Concat(o.Lets, o.Guards) {
		known = append(known, r.ID)
	}
	for _, op := range o.Operations {
		known = append(known, op.ID)
		for _, r := range op.Rules {
			known = append(known, r.ID)
		}
	}
	sent := map[string]any{}
	for _, op := range plain.Ops {
		for f, v := range op.Vals {
			sent[op.ID+"."+f] = v
		}
	}
	for _, e := range events {
		if !slices.Contains(known, e.Rule) || e.Place.Line == 0 {
			t.Errorf("%s at %v is not in the outline", e.Rule, e.Place)
		}
		if _, field, ok := strings.Cut(e.Rule, "."); ok && e.Op != "" && e.Outcome == OutcomeValue {
			if !reflect.DeepEqual(sent[e.Op+"."+field], e.Value) {
				t.Errorf("%s %s: %v was sent and %v told", e.Op, e.Rule, sent[e.Op+"."+field], e.Value)
			}
			delete(sent, e.Op+"."+field)
		}
		delete(sent, e.Op+"."+strings.TrimPrefix(e.Rule, "patient."))
	}
	for what, v := range sent {
		t.Errorf("%s = %v has no event", what, v)
	}
}

func TestAnEventSaysWhatWasReadAndWhatBecameOfIt(t *testing.T) {
	t.Parallel()
	m, msg := exampleADT(t)
	_, events := m.RunTraced(t.Context(), msg)
	show := map[string]string{}
	for _, e := range events {
		var b strings.Builder
		fmt.Fprintf(&b, "%s %s", e.Op, e.Outcome)
		for _, i := range e.Inputs {
			fmt.Fprintf(&b, " | %s%s@%d %s", i.Name, i.Path, i.Pos.Line, string(i.Text))
		}
		for _, s := range e.Steps {
			fmt.Fprintf(&b, " > %s = %s", s.What, string(s.Value))
		}
		v, _ := json.Marshal(e.Value)
		fmt.Fprintf(&b, " = %s [%s]", v, e.Labels)
		show[e.Rule] = b.String()
	}
	for rule, want := range map[string]string{
		"let.mrn":                " value | PID-3[5=MR].1@0 4471123 = \"4471123\" [identifier]",
		"guards[1]":              " when_false | PID-5[first].1.1@0 O'Hara = null [name]",
		"patient":                `patient value | mrn@0 4471123 = "hl7_north.patient_4471123" [identifier]`,
		"patient.gender":         `patient value | PID-8@0 F > table sex = female = "female" [demographic]`,
		"patient.birthdate_date": `patient value | PID-7@0 19840229 > date and time to date = 1984-02-29 = "1984-02-29" [demographic]`,
		"patient.x_deceased_on":  `patient null | PID-29@0  = null [demographic]`,
		"kin.parent_id":          `kin#2 value = {"$op":"patient"} [none]`,
	} {
		if show[rule] != want {
			t.Errorf("%s\ngot  %s\nwant %s", rule, show[rule], want)
		}
	}
}

func TestAnOutlineSaysWhatAMappingReadsAndWrites(t *testing.T) {
	t.Parallel()
	m, _ := exampleADT(t)
	o := m.Outline()
	rules := map[string]RuleOutline{}
	for _, op := range o.Operations {
		for _, r := range op.Rules {
			rules[r.ID] = r
		}
	}
	state := rules["patient.state_id"]
	if !strings.HasSuffix(state.From, "fragments/hl7-xad-address.yaml") || state.Place.File != state.From || len(state.Sources) != 2 || state.Sources[1].Path != "PID-11[7=H].6" {
		t.Errorf("a rule of a fragment: %+v", state)
	}
	last4 := rules["patient.x_ssn_last4"]
	if last4.Dropped != tree.NationalID || !strings.HasPrefix(last4.Because, "last four digits") || last4.Labels != tree.Demographic {
		t.Errorf("a rule that declassifies: %+v", last4)
	}
	lang := rules["patient.lang"]
	if got := fmt.Sprint(lang.Outcomes, lang.How, lang.Policies); got != `[value null default] [table language] [default en_US on create on_miss default]` {
		t.Error(got)
	}
	if got := fmt.Sprint(rules["patient.country_id"].How, rules["patient.birthdate_date"].How, rules["patient.company_type"].How, rules["patient.birthdate_date"].Policies); got != `[table country res.country by code] [date and time to date] [constant person] [on_error skip]` {
		t.Error(got)
	}
	if kin := o.Operations[1]; kin.Each != "NK1[*]" || kin.When == "" || kin.Match != "hl7_north.patient_{mrn}_kin_{NK1-1}" || kin.Labels&tree.Identifier == 0 {
		t.Errorf("an operation: %+v", kin)
	}
	if len(o.Tables) != 5 || o.Tables[0].Name != "country" || !strings.HasSuffix(o.Tables[0].File, ".csv") || o.Tables[0].Rows != 5 || !o.Tables[0].Used {
		t.Errorf("tables: %+v", o.Tables)
	}
}
