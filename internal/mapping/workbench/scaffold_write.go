package workbench

import (
	"fmt"
	"path"
	"path/filepath"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// mapping writes the mapping file and notes at which line each rule stands.
func (s *scaffold) mapping() []byte {
	var b strings.Builder
	f := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	f("# Begun by vagus mapping new: read every line before it goes anywhere.")
	f("kind: mapping")
	f("format: 1")
	f("id: %s", s.plan.ID)
	f("version: 1")
	f("title: %s", quoted(s.kind+" → "+s.plan.Model))
	f("")
	f("source:")
	f("  format: %s", s.format)
	if s.version != "" {
		f("  version: %s", quoted(s.version))
	}
	word := "attributes"
	if s.format == "csv" {
		word = "columns"
	}
	declaration(s.declared, word, &b)
	if s.when != "" {
		f("  when: %s", s.when)
	}
	f("")
	f("target: { odoo: %s, snapshot: %s }", quoted(s.odoo), quoted(s.snapshotPath()))
	f("")
	f("ordering: \"{key}\"")
	f("idempotency: %s", s.idempotency)
	f("")
	f("egress:")
	f("  allow: [%s]   # what these rules need; who has decided that it may leave?", strings.Join(orNone(s.allow), ", "))
	f("")
	f("let:")
	f("  key: { from: %s, required: true, on_error: dead_letter }   # is this what tells one record from another?", quoted(s.key))
	f("")
	f("operations:")
	f("  - id: record")
	f("    model: %s", s.plan.Model)
	f("    do: upsert")
	f("    match: { xid: \"vagus.%s_{key}\" }", strings.ReplaceAll(s.plan.Model, ".", "_"))
	f("    fields:")
	for i := range s.rules {
		r := &s.rules[i]
		if r.why != "" {
			f("      # %s: %s   # %s", r.field, r.text, r.why)
			r.line = 0
			continue
		}
		note := ""
		if r.placeholder {
			note = "   # a placeholder: say where it comes from"
		}
		r.line = 1 + strings.Count(b.String(), "\n")
		f("      %s: %s%s", r.field, r.text, note)
	}
	f("")
	f("# What else the message has:")
	for _, e := range s.candidates() {
		f("#   %s", e.describe())
	}
	return []byte(b.String())
}

func (s *scaffold) snapshotPath() string {
	rel, err := filepath.Rel(filepath.FromSlash(s.plan.Dir), filepath.FromSlash(s.plan.Snapshot))
	if err != nil {
		return path.Base(s.plan.Snapshot)
	}
	return filepath.ToSlash(rel)
}

func orNone(l tree.Labels) []string {
	if names := l.Names(); len(names) > 0 {
		return names
	}
	return []string{"none"}
}

// describe is the path with what the standard says of it.
func (e element) describe() string {
	notes := []string{e.typ}
	if e.table != "" {
		notes = append(notes, "table "+e.table)
	}
	notes = append(notes, e.labels.Names()...)
	return fmt.Sprintf("%-24s %s (%s)", e.path, strings.Join(e.titles, " › "), strings.Join(notes, ", "))
}

// test writes the test file.
func (s *scaffold) test(mapFile, inFile, goldenFile, verdict string) []byte {
	expect := "golden: " + goldenFile
	if verdict != "" {
		expect = "verdict: " + verdict + "\n      " + expect
	}
	return fmt.Appendf(nil, `kind: tests
mapping: %s
cases:
  - name: "the message that the mapping was begun from; its input was scrubbed"
    file: %s
    expect:
      %s
`, mapFile, inFile, expect)
}

// A wellKnownFormat is what is known of a format's messages.
type wellKnownFormat struct {
	keys        []string // paths of what tells one record from another, best first
	idempotency string
	when        func(*tree.Message) string
	pairs       []wellKnownPair
}

// A wellKnownPair is an element of messages and the fields that take it, the
// best first.
type wellKnownPair struct {
	fields []string
	needs  []string // paths without selectors
	rule   string
}

var wellKnown = map[string]wellKnownFormat{
	"hl7v2": {
		keys:        []string{"PID-3[first].1", "STF-1.1", "MFE-4.1", "MSH-10"},
		idempotency: `["{MSH-4.1}", "{MSH-10}"]`,
		when: func(m *tree.Message) string {
			code, rest, _ := strings.Cut(m.Type, "^")
			event, _, _ := strings.Cut(rest, "^")
			if code == "" || event == "" {
				return ""
			}
			return fmt.Sprintf("{ MSH-9.1: %s, MSH-9.2: %s }", quoted(code), quoted(event))
		},
		pairs: []wellKnownPair{
			{[]string{"name"}, []string{"PID-5"}, `{ from: { giv: "PID-5[first].2", fam: "PID-5[first].1.1" }, cel: "words([giv, fam])", required: true }`},
			{[]string{"name"}, []string{"STF-3"}, `{ from: { giv: "STF-3[first].2", fam: "STF-3[first].1.1" }, cel: "words([giv, fam])", required: true }`},
			{[]string{"ref", "barcode", "identification_id", "client_order_ref"}, []string{"PID-3.1"}, `key`},
			{[]string{"birthdate_date", "birthday", "birthdate"}, []string{"PID-7"}, `{ from: PID-7, on_error: skip }`},
			{[]string{"street", "private_street"}, []string{"PID-11.1"}, `"PID-11[first].1.1"`},
			{[]string{"street2", "private_street2"}, []string{"PID-11.2"}, `"PID-11[first].2"`},
			{[]string{"city", "private_city"}, []string{"PID-11.3"}, `"PID-11[first].3"`},
			{[]string{"zip", "private_zip"}, []string{"PID-11.5"}, `"PID-11[first].5"`},
			{[]string{"phone", "private_phone"}, []string{"PID-13.7"}, `{ from: { area: "PID-13[first].6", num: "PID-13[first].7" }, cel: "words([area, num])" }`},
			{[]string{"phone", "private_phone"}, []string{"PID-13.1"}, `"PID-13[first].1"`},
			{[]string{"email", "private_email"}, []string{"PID-13.4"}, `"PID-13[2=NET].4"`},
		},
	},
	"fhir": {
		keys:        []string{"Patient[first].identifier[first].value", "Patient[first].id", "Practitioner[first].identifier[first].value", "Encounter[first].id", "Claim[first].id", "ChargeItem[first].id"},
		idempotency: `["{key}"]`,
		pairs: []wellKnownPair{
			{[]string{"name"}, []string{"Patient.name"}, `{ from: { giv: "Patient[first].name[first].given[first]", fam: "Patient[first].name[first].family" }, cel: "words([giv, fam])", required: true }`},
			{[]string{"name"}, []string{"Practitioner.name"}, `{ from: { giv: "Practitioner[first].name[first].given[first]", fam: "Practitioner[first].name[first].family" }, cel: "words([giv, fam])", required: true }`},
			{[]string{"ref", "barcode", "identification_id", "client_order_ref"}, nil, `key`},
			{[]string{"birthdate_date", "birthday", "birthdate"}, []string{"Patient.birthDate"}, `{ from: "Patient[first].birthDate", on_error: skip }`},
			{[]string{"street", "private_street"}, []string{"Patient.address.line"}, `"Patient[first].address[first].line[first]"`},
			{[]string{"city", "private_city"}, []string{"Patient.address.city"}, `"Patient[first].address[first].city"`},
			{[]string{"zip", "private_zip"}, []string{"Patient.address.postalCode"}, `"Patient[first].address[first].postalCode"`},
			{[]string{"phone", "private_phone"}, []string{"Patient.telecom.value"}, `"Patient[first].telecom[system=phone].value"`},
			{[]string{"email", "private_email"}, []string{"Patient.telecom.value"}, `"Patient[first].telecom[system=email].value"`},
			{[]string{"active"}, []string{"Patient.active"}, `"Patient[first].active"`},
		},
	},
	"scim": {
		keys:        []string{"id", "externalId", "userName"},
		idempotency: `["{key}"]`,
		pairs: []wellKnownPair{
			{[]string{"login"}, []string{"userName"}, `{ from: userName, required: true }`},
			{[]string{"name"}, []string{"displayName"}, `{ from: displayName, required: true }`},
			{[]string{"name"}, []string{"name.familyName"}, `{ from: { giv: name.givenName, fam: name.familyName }, cel: "words([giv, fam])", required: true }`},
			{[]string{"email", "work_email"}, []string{"emails.value"}, `"emails[first].value"`},
			{[]string{"phone", "work_phone"}, []string{"phoneNumbers.value"}, `"phoneNumbers[first].value"`},
			{[]string{"function", "job_title"}, []string{"title"}, `title`},
		},
	},
}
