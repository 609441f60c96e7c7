package fhir

import (
	"encoding/json"
	"testing"
)

var heads = []string{
	`{"resourceType":"Patient","id":"p1","meta":{"versionId":"3","lastUpdated":"2026-03-14T09:15:22Z"},"name":[{"family":"Doe"}]}`,
	`{"name":[{"family":"\\"}],"contained":[{"resourceType":"Organization","id":"o"}],"meta" : { "versionId" : "3" } , "id" : "p1" , "resourceType" : "Patient" }`,
	`{"resourceType":"Patient","text":{"div":"a \"}{ id\": \\\" "},"id":"p\"1"}`,
	`{"resourceType":"Patient","id":7,"meta":[]}`,
	`{"resourceType":"Patient","id":"p1"`,
	`{"id":"p1","extension":[{"id":"e"},["x"]],"active":true}`,
	`{}`, `[]`, ``, `"`, `{"id`, `{"id":`, `{"a":"\"`, `{"resourceType":{"id":"x"},"id":"p1"}`,
}

func TestTheHeadOfAResource(t *testing.T) {
	t.Parallel()
	for _, body := range heads {
		if !json.Valid([]byte(body)) {
			readHead([]byte(body))
			continue
		}
		sameHead(t, body)
	}
	h := readHead([]byte(heads[1]))
	if h.Type != "Patient" || h.ID != "p1" || h.version() != "3" {
		t.Errorf("%+v", h)
	}
}

// sameHead compares it with what encoding/json reads.
func sameHead(t *testing.T, body string) {
	t.Helper()
	var v map[string]json.RawMessage
	if json.Unmarshal([]byte(body), &v) != nil {
		return
	}
	var want head
	_ = json.Unmarshal(v[typeName], &want.Type)
	_ = json.Unmarshal(v["id"], &want.ID)
	_ = json.Unmarshal(v["meta"], &want.Meta)
	if h := readHead([]byte(body)); h != want {
		t.Errorf("%s: %+v, want %+v", body, h, want)
	}
}

// FuzzHead looks for JSON without a name twice in an object of which another head is read.
func FuzzHead(f *testing.F) {
	for _, body := range heads {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		h := readHead(body)
		if _, err := (dialect{theDictionary()}).Decode(body, nil); err != nil { // a name twice, among others
			return
		}
		if len(h.ID) > len(body) {
			t.Error("it has more than the body")
		}
		sameHead(t, string(body))
	})
}

// FuzzValidate looks for input that makes the validators fail.
func FuzzValidate(f *testing.F) {
	for _, body := range append(heads, three, jane) {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, i := range validate(body, ValidationR4) {
			if i.code == "" || i.text == "" {
				t.Errorf("an issue says nothing: %+v", i)
			}
		}
		var b bundle
		_ = json.Unmarshal(body, &b)
	})
}
