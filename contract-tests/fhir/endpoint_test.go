package fhir_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/fhir"
)

// A store is what accepted messages go to.
type store struct {
	mu sync.Mutex
	ms []*broker.Message
}

func (s *store) accept(_ context.Context, ms ...*broker.Message) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ms = append(s.ms, ms...)
	return nil
}

func (s *store) last() *broker.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ms) == 0 {
		return nil
	}
	return s.ms[len(s.ms)-1]
}

// listening starts an endpoint and returns its base.
func listening(t *testing.T, conf fhir.Endpoint) (base string, taken *store) {
	t.Helper()
	conf.Listen = "127.0.0.1:0"
	src, err := fhir.New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, fhir.Config{Endpoint: &conf})
	if err != nil {
		t.Fatal(err)
	}
	taken = &store{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- src.Run(ctx, taken.accept) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	for deadline := time.Now().Add(10 * time.Second); !src.Ready(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the endpoint does not listen")
		}
	}
	return "http://" + src.Addr().String() + conf.Path, taken
}

func post(t *testing.T, url string, body []byte) (status int, answer []byte) {
	t.Helper()
	resp, err := http.Post(url, "application/fhir+json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err = io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, answer
}

// broken are examples of the standard that break it: their references lead to
// other resources than their definitions allow.
var broken = map[string]string{
	"MedicationRequest-medrx0301.json": "MedicationRequest.dispenseRequest.performer",
	"Observation-clinical-gender.json": "Observation.performer[0]",
	"bundle.json":                      "Bundle", // ours, which the decoder is to forgive
}

func TestEverythingValidIsTakenByteForByte(t *testing.T) {
	t.Parallel()
	base, taken := listening(t, fhir.Endpoint{})
	count := 0
	for name, body := range corpus(t) {
		var head struct {
			ResourceType string
			Type         any
			ID           string
		}
		if err := json.Unmarshal(body, &head); err != nil {
			t.Fatal(err)
		}
		urls := []string{base + "/" + head.ResourceType}
		if head.ResourceType == "Bundle" && (head.Type == "transaction" || head.Type == "batch") && !bytes.Contains(body, []byte(`"GET"`)) {
			urls = append(urls, base)
		}
		for _, url := range urls {
			status, answer := post(t, url, body)
			if path := broken[name]; path != "" {
				if status != http.StatusBadRequest || !bytes.Contains(answer, []byte(path)) {
					t.Errorf("%s: %d %s", name, status, answer)
				}
				continue
			}
			if status/100 != 2 {
				t.Errorf("%s: %d %s", name, status, answer)
				continue
			}
			if _, err := oracle(t).Unmarshal(answer); err != nil {
				t.Errorf("%s: the answer is not valid: %v", name, err)
			}
			m, want := taken.last(), body
			if head.ID == "" && url != base { // it is created, which gives it one
				want = bytes.Replace(body, []byte("{"), []byte(`{"id":"`+m.ID+`",`), 1)
			}
			if head.Type != "batch" && !bytes.Equal(m.Body, want) {
				t.Errorf("%s: other bytes were stored than were sent", name)
			}
			count++
		}
	}
	t.Logf("%d taken", count)
}

// invalid are resources that break R4 in one way each, and where.
var invalid = map[string]struct{ path, body string }{
	"a word where an element's value is true or false": {"Patient.active", `{"resourceType":"Patient","active":"true"}`},
	"a code that R4 does not have":                     {"Patient.gender", `{"resourceType":"Patient","gender":"SECRET"}`},
	"an element that R4 does not have":                 {"Patient.name[0]", `{"resourceType":"Patient","name":[{"SECRET":"x"}]}`},
	"an element that must be there is not":             {"ChargeItem", `{"resourceType":"ChargeItem","id":"SECRET"}`},
	"a date that is none":                              {"Patient.birthDate", `{"resourceType":"Patient","birthDate":"1984-SECRET"}`},
	"one object where an array belongs":                {"Patient.name", `{"resourceType":"Patient","name":{"family":"SECRET"}}`},
	"an array where one value belongs":                 {"Patient.birthDate", `{"resourceType":"Patient","birthDate":["1984","SECRET"]}`},
	"an empty array":                                   {"Patient.name", `{"resourceType":"Patient","id":"SECRET","name":[]}`},
	"an empty object":                                  {"Patient.name[0]", `{"resourceType":"Patient","id":"SECRET","name":[{}]}`},
	"an empty string":                                  {"Patient.name[1].family", `{"resourceType":"Patient","name":[{"family":"SECRET"},{"family":""}]}`},
	"null outside of an array":                         {"Patient.gender", `{"resourceType":"Patient","id":"SECRET","gender":null}`},
	"null that stands for nothing":                     {"Patient.name[0].given[1]", `{"resourceType":"Patient","name":[{"given":["SECRET",null]}]}`},
	"a reference to another type than is allowed":      {"Patient.managingOrganization", `{"resourceType":"Patient","managingOrganization":{"reference":"Patient/SECRET"}}`},
	"a reference to something that is not contained":   {"Patient.managingOrganization", `{"resourceType":"Patient","managingOrganization":{"reference":"#SECRET"}}`},
	"a simple value where an object belongs":           {"Bundle.entry.resource.name", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","name":["SECRET"]}}]}`},
	"a name twice":                                     {"Patient.id", `{"resourceType":"Patient","id":"SECRET","id":"b"}`},
	"JSON that is not sound":                           {"Patient.name.given", `{"resourceType":"Patient","name":[{"given":["SECRET",}]}`},
	"JSON that ends too early":                         {"Patient", `{"resourceType":"Patient","id":"SECRET"`},
	"a resource that R4 does not have":                 {"", `{"resourceType":"SECRET"}`},
	"a period that ends before it starts":              {"Patient.name[0].period", `{"resourceType":"Patient","name":[{"family":"SECRET","period":{"start":"2026-02","end":"2026-01-31"}}]}`},
	"a telephone number without a system":              {"Patient.telecom[0]", `{"resourceType":"Patient","telecom":[{"value":"SECRET"}]}`},
	"a contact of nobody":                              {"Patient.contact[0]", `{"resourceType":"Patient","id":"SECRET","contact":[{"gender":"male"}]}`},
	"a unit's code without a system":                   {"ChargeItem.quantity", `{"resourceType":"ChargeItem","status":"billable","code":{"text":"SECRET"},"subject":{"reference":"Patient/1"},"quantity":{"value":1,"code":"mg"}}`},
	"an extension that says nothing":                   {"Patient.extension[0]", `{"resourceType":"Patient","extension":[{"url":"http://SECRET"}]}`},
	"an organization without name and number":          {"Organization", `{"resourceType":"Organization","id":"SECRET"}`},
	"a narrative that is no XHTML":                     {"Patient.text.div", `{"resourceType":"Patient","text":{"status":"generated","div":"<div>SECRET<br></div>"}}`},
	"a transaction's entry that asks for nothing":      {"Bundle", `{"resourceType":"Bundle","type":"transaction","entry":[{"resource":{"resourceType":"Patient","id":"SECRET"}}]}`},
	"an error in an entry's resource":                  {"Bundle.entry[0].resource.birthDate", `{"resourceType":"Bundle","type":"collection","entry":[{"resource":{"resourceType":"Patient","birthDate":"SECRET"}}]}`},
}

func TestEverythingInvalidIsRefusedWithThePlaceAndNoValue(t *testing.T) {
	t.Parallel()
	base, taken := listening(t, fhir.Endpoint{})
	for name, k := range invalid {
		typ := "Patient"
		if _, rest, ok := strings.Cut(k.body, `"resourceType":"`); ok {
			typ, _, _ = strings.Cut(rest, `"`)
		}
		if typ == "SECRET" {
			typ = "Patient"
		}
		status, answer := post(t, base+"/"+typ, []byte(k.body))
		var outcome struct {
			ResourceType string
			Issue        []struct{ Expression []string }
		}
		if err := json.Unmarshal(answer, &outcome); err != nil {
			t.Fatal(err)
		}
		switch {
		case status != http.StatusBadRequest || outcome.ResourceType != "OperationOutcome" || len(outcome.Issue) == 0:
			t.Errorf("%s: %d %s", name, status, answer)
		case bytes.Contains(answer, []byte("SECRET")):
			t.Errorf("%s: the answer has a value of the message: %s", name, answer)
		case k.path != "" && (len(outcome.Issue[0].Expression) != 1 || outcome.Issue[0].Expression[0] != k.path):
			t.Errorf("%s: the place is %v, want %s", name, outcome.Issue, k.path)
		}
		if _, err := oracle(t).Unmarshal(answer); err != nil {
			t.Errorf("%s: the answer is not valid: %v", name, err)
		}
	}
	if m := taken.last(); m != nil {
		t.Errorf("%v was taken", m.Kind)
	}
}

// strict are values that the corpus calls valid, being those of a message in
// another form, and that JSON may not have: null outside of an array, and a narrative that is empty.
var strict = map[string]bool{"null": true, `xhtml ""`: true}

func TestPrimitiveValuesAreTakenOrRefusedAsTheStandardSays(t *testing.T) {
	t.Parallel()
	root := os.Getenv("VAGUS_CORPORA")
	values := map[string][]string{"date.valid": {`"1984-02"`}, "date.invalid": {`"text"`, "1.0"}, "boolean.invalid": {`"true"`}, "positive_int.invalid": {"0", "-1"}}
	if root != "" {
		files, err := filepath.Glob(filepath.Join(root, "fhir", "primitive-validation", "*.ndjson"))
		if err != nil || len(files) < 30 {
			t.Fatalf("%d files: %v", len(files), err)
		}
		for _, f := range files {
			values[strings.TrimSuffix(filepath.Base(f), ".ndjson")] = strings.Split(strings.TrimSpace(string(readFile(t, f))), "\n")
		}
	}
	base, _ := listening(t, fhir.Endpoint{})
	for name, list := range values {
		typ, kind, _ := strings.Cut(name, ".")
		words := strings.Split(typ, "_")
		for i, w := range words {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
		for _, value := range list {
			body := `{"resourceType":"Basic","contained":[{"resourceType":"Patient","id":"p1"}],"code":{"text":"x"},"extension":[{"url":"u","value` + strings.Join(words, "") + `":` + value + `}]}`
			if typ == "xhtml" {
				body = `{"resourceType":"Basic","code":{"text":"x"},"text":{"status":"generated","div":` + value + `}}`
			}
			status, answer := post(t, base+"/Basic", []byte(body))
			if want := kind == "valid" && !strict[value] && !strict[typ+" "+value]; (status == http.StatusCreated) != want {
				t.Errorf("%s %s: %d %s", name, value, status, answer)
			}
		}
	}
}
