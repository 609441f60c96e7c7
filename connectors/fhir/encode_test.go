package fhir_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/vagus-health/vagus/internal/tree"
)

func node(name string, kids ...*tree.Node) *tree.Node {
	return &tree.Node{Name: name, State: tree.Value, Kids: kids}
}

func leaf(name, text string) *tree.Node {
	return &tree.Node{Name: name, State: tree.Value, Text: text}
}

func TestTypesDecideHowValuesAreWritten(t *testing.T) {
	t.Parallel()
	null := &tree.Node{Name: "given", State: tree.Null}
	for _, c := range []struct {
		name string
		root *tree.Node
		want string
	}{
		{"numbers as they are", node("", node("Observation", leaf("status", "final"), node("code", leaf("text", "<&>")), node("valueQuantity", leaf("value", "1.10")))),
			`{"resourceType":"Observation","status":"final","code":{"text":"<&>"},"valueQuantity":{"value":1.10}}`},
		{"booleans, and text that looks like one", node("", node("Patient", leaf("deceasedBoolean", "true"), leaf("birthDate", "1984"), node("name", leaf("family", "true")))),
			`{"resourceType":"Patient","deceasedBoolean":true,"birthDate":"1984","name":[{"family":"true"}]}`},
		{"repetitions together", node("", node("Patient", node("name", leaf("given", "A"), null, leaf("given", "B")), leaf("gender", "female"), node("name", leaf("family", "C")))),
			`{"resourceType":"Patient","name":[{"given":["A",null,"B"]},{"family":"C"}],"gender":"female"}`},
		{"a resource in another", node("", node("Patient", node("contained", node("Organization", leaf("id", "o"))))),
			`{"resourceType":"Patient","contained":[{"resourceType":"Organization","id":"o"}]}`},
		{"a resource and nothing else", node("", node("Patient")), `{"resourceType":"Patient"}`},
		{"a required value that has extensions only", node("", node("Slot", node("_status", node("extension", leaf("url", "u"))), node("schedule", leaf("reference", "Schedule/1")), leaf("start", "x"), leaf("end", "y"))),
			`{"resourceType":"Slot","_status":{"extension":[{"url":"u"}]},"schedule":{"reference":"Schedule/1"},"start":"x","end":"y"}`},
		{"a Bundle alone", node("", node("Bundle", leaf("type", "collection"))), `{"resourceType":"Bundle","type":"collection"}`},
		{"resources to their entries", node("",
			node("Bundle", leaf("type", "transaction"),
				node("entry", leaf("fullUrl", "u:2"), node("request", leaf("method", "PUT"), leaf("url", "Patient/2"))),
				node("entry", node("request", leaf("method", "DELETE"), leaf("url", "Patient/9"))),
				node("entry", node("request", leaf("method", "POST"), leaf("url", "Patient")))),
			node("Patient", leaf("id", "p1")), node("Patient", leaf("fullUrl", "u:2"), leaf("id", "p2")), node("Patient", leaf("fullUrl", "u:3")), node("Patient")),
			`{"resourceType":"Bundle","type":"transaction","entry":[` +
				`{"fullUrl":"u:2","request":{"method":"PUT","url":"Patient/2"},"resource":{"resourceType":"Patient","id":"p2"}},` +
				`{"request":{"method":"DELETE","url":"Patient/9"}},` +
				`{"request":{"method":"POST","url":"Patient"},"resource":{"resourceType":"Patient","id":"p1"}},` +
				`{"fullUrl":"u:3","resource":{"resourceType":"Patient"}},` +
				`{"resource":{"resourceType":"Patient"}}]}`},
		{"resources in their order, also where only the later have entries", node("",
			node("Bundle", leaf("type", "collection"), node("entry", leaf("fullUrl", "u:2")), node("entry", leaf("fullUrl", "u:4"))),
			node("Patient", leaf("id", "1")), node("Patient", leaf("fullUrl", "u:2")), node("Patient", leaf("id", "3")), node("Patient", leaf("fullUrl", "u:4")), node("Patient", leaf("id", "5"))),
			`{"resourceType":"Bundle","type":"collection","entry":[` +
				`{"resource":{"resourceType":"Patient","id":"1"}},` +
				`{"fullUrl":"u:2","resource":{"resourceType":"Patient"}},` +
				`{"resource":{"resourceType":"Patient","id":"3"}},` +
				`{"fullUrl":"u:4","resource":{"resourceType":"Patient"}},` +
				`{"resource":{"resourceType":"Patient","id":"5"}}]}`},
		{"a version of what was deleted later not to the deletion", node("",
			node("Bundle", leaf("type", "history"),
				node("entry", leaf("fullUrl", "u:1"), node("request", leaf("method", "DELETE"), leaf("url", "Patient/1"))),
				node("entry", leaf("fullUrl", "u:1"), node("request", leaf("method", "PUT"), leaf("url", "Patient/1")))),
			node("Patient", leaf("fullUrl", "u:1"))),
			`{"resourceType":"Bundle","type":"history","entry":[` +
				`{"fullUrl":"u:1","request":{"method":"DELETE","url":"Patient/1"}},` +
				`{"fullUrl":"u:1","request":{"method":"PUT","url":"Patient/1"},"resource":{"resourceType":"Patient"}}]}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := dialect(t).(tree.Encoder).Encode(&tree.Message{Root: c.root})
			if err != nil || string(got) != c.want {
				t.Errorf("%s, %v\nwant %s", got, err, c.want)
			}
		})
	}
}

func TestEncodeLeavesTheTreeAlone(t *testing.T) {
	t.Parallel()
	kids := append(make([]*tree.Node, 0, 4), leaf("fullUrl", "u:1"))
	root := node("", node("Bundle", leaf("type", "collection"), node("entry", kids...)), node("Patient", leaf("fullUrl", "u:1"), leaf("id", "p")))
	before := outline(root, "")
	for range 2 {
		if _, err := dialect(t).(tree.Encoder).Encode(&tree.Message{Root: root}); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(before, outline(root, "")); diff != "" || kids[:2][1] != nil {
		t.Errorf("the tree was changed: %s", diff)
	}
}

func TestWhatFHIRCanNotSayIsAnError(t *testing.T) {
	t.Parallel()
	deep := leaf("url", "u")
	for range 70 {
		deep = node("extension", leaf("url", "u"), deep)
	}
	for _, c := range []struct {
		name string
		root *tree.Node
		want string
	}{
		{"nothing", node(""), "0 resources"},
		{"two resources", node("", node("Patient"), node("Patient")), "2 resources and no Bundle"},
		{"no resource", node("", leaf("secret", "secret")), "one resource is expected"},
		{"an unknown element", node("", node("Patient", leaf("sex", "secret"))), `Patient: FHIR has no element "sex"`},
		{"an address without a Bundle", node("", node("Patient", leaf("fullUrl", "secret"))), `Patient: FHIR has no element "fullUrl"`},
		{"two of what is one", node("", node("Patient", leaf("gender", "secret"), leaf("gender", "secret"))), "Patient.gender: it is there more than once"},
		{"text for a number", node("", node("Patient", leaf("multipleBirthInteger", "secret"))), "Patient.multipleBirthInteger: it is not a number"},
		{"JSON for a number", node("", node("Observation", node("valueQuantity", leaf("value", `"secret"`)))), "Observation.valueQuantity.value: it is not a number"},
		{"a number with a plus", node("", node("Observation", node("valueQuantity", leaf("value", "+1")))), "it is not a number"},
		{"a fraction for a whole number", node("", node("Patient", leaf("multipleBirthInteger", "1.5"))), "it is not a whole number"},
		{"text for a boolean", node("", node("Patient", leaf("deceasedBoolean", "secret"))), "Patient.deceasedBoolean: it is neither true nor false"},
		{"elements of a value", node("", node("Patient", node("gender", leaf("secret", "secret")))), "Patient.gender: code is a simple value"},
		{"a value of an object", node("", node("Patient", leaf("name", "secret"))), "Patient.name[1]: HumanName has elements"},
		{"an empty value", node("", node("Patient", leaf("gender", ""))), "Patient.gender: it is empty"},
		{"an empty object", node("", node("Patient", node("name", leaf("family", "secret")), node("name"))), "Patient.name[2]: it has no elements"},
		{"a null", node("", node("Patient", &tree.Node{Name: "gender", State: tree.Null})), "Patient.gender: FHIR can not say"},
		{"a null for an object", node("", node("Patient", &tree.Node{Name: "name", State: tree.Null})), "Patient.name[1]: FHIR can not say"},
		{"bytes that are no text", node("", node("Patient", leaf("gender", "\xff"))), "Patient.gender: it is not UTF-8"},
		{"what is required", node("", node("Patient", node("link", leaf("type", "seealso")))), "Patient.link[1]: other is missing"},
		{"what is required of a resource", node("", node("Observation", leaf("status", "final"))), "Observation: code is missing"},
		{"something behind a resource in another", node("", node("Patient", node("contained", node("Organization", leaf("id", "o"))), leaf("gender", ""))), "encode fhir: Patient.gender: it is empty"},
		{"two resources in one place", node("", node("Patient", node("contained", node("Patient"), node("Patient")))), "Patient.contained[1]: one resource is expected"},
		{"too deep", node("", node("Patient", deep)), "elements stand over 64 deep"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got, err := dialect(t).(tree.Encoder).Encode(&tree.Message{Root: c.root})
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
				t.Errorf("%s, %v; want an error that says %q", got, err, c.want)
			}
		})
	}
}
