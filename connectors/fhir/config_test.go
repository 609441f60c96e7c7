package fhir

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/broker"
)

func TestWhatOneFeedReadsIsCheckedInOneWay(t *testing.T) {
	t.Parallel()
	broken := &broker.Message{Body: []byte(`{"resourceType":"Patient","gender":"Canaryson"}`)}
	for _, c := range []struct {
		name             string
		endpoint, server string // validation; "-": there is none
		fails, refuses   bool   // the settings; a resource that breaks R4
	}{
		{"a server of its own", "-", "", false, true},
		{"a server that is trusted", "-", "json", false, false},
		{"a word that is none", "-", "r5", true, false},
		{"an endpoint alone, which tells its senders", "", "-", false, false},
		{"an endpoint that is trusted, and its server", "json", "", false, false},
		{"an endpoint and its server", "", "", false, true},
		{"an endpoint that is trusted and a server that is not", "json", "r4", true, false},
		{"a server that is trusted and an endpoint that is not", "", "json", true, false},
	} {
		conf := Config{Dir: t.TempDir()}
		if c.endpoint != "-" {
			conf.Endpoint = &Endpoint{Listen: "127.0.0.1:0", Validation: c.endpoint}
		}
		if c.server != "-" {
			conf.Server = &Server{URL: "https://ehr.example.org/fhir"}
			conf.Validation = c.server
			conf.Poll = &Poll{Resources: []PollResource{{Type: "Patient"}}}
		}
		src, err := New(broker.Origin{Tenant: "main", Site: "north", Feed: "ehr"}, conf)
		if (err != nil) != c.fails || err != nil && !strings.Contains(err.Error(), "validation: ") {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.fails {
			continue
		}
		err = conf.Check(broken)
		if (err != nil) != c.refuses || err != nil && (strings.Contains(err.Error(), "Canaryson") || !strings.Contains(err.Error(), "Patient.gender: ")) {
			t.Errorf("%s: %v", c.name, err)
		}
		// What we write of a deletion ourselves is valid.
		if err := conf.Check(src.deletion("Patient", "p1", "2", "", broken.ReceivedAt)); err != nil {
			t.Errorf("%s: a deletion: %v", c.name, err)
		}
	}
}
