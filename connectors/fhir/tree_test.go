package fhir_test

import (
	"iter"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/internal/tree"
)

func TestABundleDecodesToItsResources(t *testing.T) {
	t.Parallel()
	m := decode(t, readFile(t, "testdata/bundle.json"), nil)
	want := strings.Split(strings.TrimSpace(string(readFile(t, "testdata/bundle.tree"))), "\n")
	if diff := cmp.Diff(want, outline(m.Root, "")); diff != "" {
		t.Error(diff)
	}
	if m.Format != "fhir" || m.Type != "Bundle" {
		t.Errorf("it is a %s of %s", m.Type, m.Format)
	}
}

func TestASingleResourceStandsAtTheRoot(t *testing.T) {
	t.Parallel()
	m := decode(t, []byte(`{"id":"x","resourceType":"Observation","valueQuantity":{"value":1.10},"effectiveDateTime":"2026-05"}`), nil)
	want := []string{"Observation", " id = x", " valueQuantity", "  value = 1.10", " effectiveDateTime = 2026-05", "resourceType = Observation"}
	if diff := cmp.Diff(want, outline(m.Root, "")); diff != "" || m.Type != "Observation" {
		t.Errorf("a message of %s: %s", m.Type, diff)
	}
}

func TestWhatIsNotSelectedIsLeftOut(t *testing.T) {
	t.Parallel()
	only := tree.Selection{}
	only.Add("Resource", "Patient")
	only.Add("Patient", "birthDate")
	only.Add("Patient", "fullUrl")
	only.Add("Resource", "ChargeItem")
	only.Add("ChargeItem", "id")
	m := decode(t, readFile(t, "testdata/bundle.json"), only)
	patient, charge := m.Root.First("Patient"), m.Root.First("ChargeItem")
	if got := outline(patient, ""); !slices.Equal(got, []string{"fullUrl = urn:uuid:1", "id", "birthDate = 1984-02"}) {
		t.Errorf("of the patient there is %q", got)
	}
	if got := outline(charge, ""); !slices.Equal(got, []string{"id = c1"}) {
		t.Errorf("of the charge there is %q", got)
	}
	if n := m.Root.First("MedicationRequest"); n == nil || len(n.Kids) > 0 {
		t.Errorf("a resource that nobody reads is %v", n)
	}
	if len(only) != 3 || len(only["Resource"]) != 2 {
		t.Errorf("the selection was changed: %v", only)
	}
}

func TestTheOrderOfNamesChangesNothing(t *testing.T) {
	t.Parallel()
	only := tree.Selection{}
	for _, way := range []string{"Resource Patient", "Resource ChargeItem", "Patient fullUrl", "ChargeItem fullUrl", "ChargeItem status", "Resource Bundle", "Bundle entry", "Bundle.entry request", "Bundle.entry.request method"} {
		typ, element, _ := strings.Cut(way, " ")
		only.Add(typ, element)
	}
	charge := []string{`"resourceType":"ChargeItem"`, `"code":{"text":0}`, `"status":"billable"`, `"subject":{"reference":"u:1"}`}
	for _, entry := range [][]string{
		{`"resource":%`},
		{`"resource":%`, `"fullUrl":"u:2"`},
		{`"resource":%`, `"search":{"mode":"match"}`},
		{`"resource":%`, `"fullUrl":"u:2"`, `"request":{"url":"x","method":"PUT"}`},
		{`"resource":%`, `"search":{}`, `"link":[]`},
	} {
		var whole, selected []string // as the first order has them
		for orderedEntry := range orders(entry) {
			for orderedCharge := range orders(charge) {
				body := `{"entry":[{"resource":{"resourceType":"Patient"}},{` +
					strings.Replace(strings.Join(orderedEntry, ","), "%", "{"+strings.Join(orderedCharge, ",")+"}", 1) +
					`}],"type":"collection","resourceType":"Bundle"}`
				all, some := decode(t, []byte(body), nil), decode(t, []byte(body), only)
				if whole == nil {
					whole, selected = sorted(outline(all.Root, "")), read(all.Root)
				}
				if got := sorted(outline(all.Root, "")); !slices.Equal(got, whole) {
					t.Errorf("%s\nis %q\nnot %q", body, got, whole)
				}
				if got := read(some.Root); !slices.Equal(got, selected) {
					t.Errorf("%s\nof it is read %q\nnot %q", body, got, selected)
				}
			}
		}
	}
}

// read returns what a mapping reads that selects entries, their methods, and
// the fullUrl and status of resources.
func read(root *tree.Node) (values []string) {
	for e := range root.First("Bundle").All("entry") {
		values = append(values, "entry")
		if method := e.First("request").First("method"); method != nil {
			values = append(values, method.Text)
		}
	}
	for _, resource := range root.Kids[1:] {
		if resource.Name == "resourceType" {
			continue
		}
		values = append(values, resource.Name)
		for _, name := range []string{"fullUrl", "status"} {
			if n := resource.First(name); n != nil {
				values = append(values, n.Text)
			}
		}
	}
	return values
}

// orders yields all orders of a list.
func orders(list []string) iter.Seq[[]string] {
	return func(yield func([]string) bool) {
		if len(list) == 0 {
			yield(nil)
			return
		}
		for i, first := range list {
			for rest := range orders(slices.Delete(slices.Clone(list), i, i+1)) {
				if !yield(append([]string{first}, rest...)) {
					return
				}
			}
		}
	}
}

func TestAnEntryThatWasAPlaceOnlyIsGone(t *testing.T) {
	t.Parallel()
	m := decode(t, []byte(`{"resourceType":"Bundle","type":"batch","entry":[{"resource":{"resourceType":"Patient","id":"1"}},{"resource":null},{"search":{"mode":"match"}}]}`), nil)
	want := []string{"Bundle", " type = batch", " entry", "  search", "   mode = match", "Patient", " id = 1", "resourceType = Bundle"}
	if diff := cmp.Diff(want, outline(m.Root, "")); diff != "" {
		t.Error(diff)
	}
}

func TestPositionsAreThoseOfTheBody(t *testing.T) {
	t.Parallel()
	body := readFile(t, "testdata/bundle.json")
	birth := decode(t, body, nil).Root.First("Patient").First("birthDate")
	if !strings.HasPrefix(string(body[birth.Pos.Offset:]), `"1984-02"`) || strings.Count(string(body[:birth.Pos.Offset]), "\n")+1 != birth.Pos.Line {
		t.Errorf("birthDate stands at %+v", birth.Pos)
	}
}

func TestDecodeRefusesWhatIsNoResource(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"nothing", ``, "JSON object is expected"},
		{"no type", `{"id":"secret"}`, "resourceType is missing"},
		{"a type inside only", `{"name":[{"resourceType":"Patient"}],"x":"\"resourceType\":\"Patient\""}`, "resourceType is missing"},
		{"a type of no string", `{"resourceType":1}`, "resourceType is missing"},
		{"an unknown type", `{"resourceType":"secret"}`, "none that is known"},
		{"an unknown type in an entry", "{\"resourceType\":\"Bundle\",\n\"entry\":[{\"resource\":{\"resourceType\":\"secret\"}}]}", "line 2, offset 47: Bundle.entry.resource: resourceType is none"},
		{"a second type", `{"resourceType":"Patient","resourceType":"Patient"}`, "twice"},
		{"a value for an object", `{"resourceType":"Patient","name":["secret"]}`, "Patient.name: a simple value where an object"},
		{"an object for a value", `{"resourceType":"Patient","birthDate":{"secret":1}}`, "Patient.birthDate: an object"},
		{"several of what is one", `{"resourceType":"Patient","gender":["secret","secret"]}`, "Patient.gender: an array of 2"},
		{"too deep", `{"resourceType":"Patient","extension":[` + strings.Repeat(`{"extension":[`, 40), "nested over 64 deep"},
		{"its end is missing", `{"resourceType":"Patient","id":"secret"`, "expected"},
		{"a type that does not end", `{"resourceType":"Pat`, "resourceType"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			m, err := dialect(t).Decode([]byte(c.body), nil)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%v, %v; want an error that says %q", m, err, c.want)
			}
		})
	}
}

func TestEmptyValuesAreAbsentAndNullIsNull(t *testing.T) {
	t.Parallel()
	m := decode(t, []byte(`{"resourceType":"Patient","gender":"","name":[],"birthDate":null,"contact":[{}],"unknown":{"x":1}}`), nil)
	if got := outline(m.Root, ""); !slices.Equal(got, []string{"Patient", " birthDate null", "resourceType = Patient"}) {
		t.Errorf("it is %q", got)
	}
}

func TestADeclarationSaysTheVersionAndNoMore(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"4.0.1", "4.0"} {
		if _, err := fhir.NewFormat().Dialect(tree.Declaration{Version: version}); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	for _, version := range []string{"", "4", "4.3.0", "5.0.0", "R4", "3.0.2"} {
		if _, err := fhir.NewFormat().Dialect(tree.Declaration{Version: version}); err == nil || !strings.Contains(err.Error(), "4.0.1, 4.0") {
			t.Errorf("version %q: %v", version, err)
		}
	}
	if _, err := fhir.NewFormat().Dialect(tree.Declaration{Version: "4.0", Columns: []tree.Column{{Name: "a"}}}); err == nil {
		t.Error("columns are taken")
	}
}

func TestTheStructureIsTheSameForAll(t *testing.T) {
	t.Parallel()
	d := dialect(t)
	if got := d.Structures(map[string][]string{"Bundle.type": {"message"}}); !slices.Equal(got, []string{""}) {
		t.Errorf("structures are %q", got)
	}
}

func TestSplitTakesLinesApartAndNothingElse(t *testing.T) {
	t.Parallel()
	a, b := `{"resourceType":"Patient","id":"}{\"["}`, `{"resourceType":"Patient","id":"b"}`
	bundle := string(readFile(t, "testdata/bundle.json"))
	for _, c := range []struct {
		name, body string
		want       []string
	}{
		{"one line", a, []string{a}},
		{"one line and its end", a + "\r\n", []string{a + "\r\n"}},
		{"lines", a + "\n" + b, []string{a, b}},
		{"lines with CR LF and empty ones", "\n" + a + "\r\n\r\n  \n" + b + "\r\n", []string{a, b}},
		{"a bad line between good ones", a + "\n{\"resourceType\n" + b, []string{a, `{"resourceType`, b}},
		{"a Bundle on many lines", bundle, []string{bundle}},
		{"an array that goes on", `{"a":[` + "\n" + b + "\n]}", []string{`{"a":[` + "\n" + b + "\n]}"}},
		{"nothing", "", []string{""}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			parts, err := dialect(t).(tree.Splitter).Split([]byte(c.body))
			var got []string
			for _, p := range parts {
				got = append(got, string(p))
			}
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("%q, %v; want %q", got, err, c.want)
			}
		})
	}
	if _, err := dialect(t).(tree.Splitter).Split([]byte(strings.Repeat("{}\n", 100_001))); err == nil {
		t.Error("any number of lines is taken")
	}
}

// outline prints a tree, a node a line: the tree's depth in spaces, name, value.
func outline(n *tree.Node, indent string) (lines []string) {
	for _, k := range n.Kids {
		line := indent + k.Name
		switch {
		case k.State == tree.Null:
			line += " null"
		case k.Text != "":
			line += " = " + k.Text
		}
		lines = append(append(lines, line), outline(k, indent+" ")...)
	}
	return lines
}

func decode(t testing.TB, body []byte, only tree.Selection) *tree.Message {
	t.Helper()
	m, err := dialect(t).Decode(body, only)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func dialect(t testing.TB) tree.Dialect {
	t.Helper()
	d, err := fhir.NewFormat().Dialect(tree.Declaration{Version: "4.0.1"})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func schema(t testing.TB) *tree.Type {
	t.Helper()
	root, err := dialect(t).Schema("")
	if err != nil {
		t.Fatal(err)
	}
	return root
}
