package fhir

import (
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// describe answers what anybody may ask: what the endpoint takes
// (capabilitystatement.html), and the public key by which a server knows us.
func (e *endpoint) describe(w http.ResponseWriter, path string) {
	if path == "/metadata" {
		write(w, http.StatusOK, e.capabilities())
		return
	}
	keys := jose.JSONWebKeySet{Keys: []jose.JSONWebKey{}}
	if e.s.client != nil {
		if t, ok := e.s.client.auth.(*tokens); ok {
			keys = t.keySet()
		}
	}
	write(w, http.StatusOK, keys)
}

func (e *endpoint) capabilities() any {
	type coded struct {
		Code string `json:"code"`
	}
	type resource struct {
		Type              string  `json:"type"`
		Interaction       []coded `json:"interaction"`
		Versioning        string  `json:"versioning"`
		UpdateCreate      bool    `json:"updateCreate"`
		ConditionalCreate bool    `json:"conditionalCreate"`
		ConditionalUpdate bool    `json:"conditionalUpdate"`
	}
	var resources []resource
	for _, el := range theDictionary().resource.Elements {
		resources = append(resources, resource{el.Name, []coded{{"create"}, {"update"}, {"delete"}}, "no-version", true, false, false})
	}
	type rest struct {
		Mode          string     `json:"mode"`
		Documentation string     `json:"documentation"`
		Resource      []resource `json:"resource"`
		Interaction   []coded    `json:"interaction"`
	}
	return struct {
		ResourceType string            `json:"resourceType"`
		Status       string            `json:"status"`
		Date         string            `json:"date"`
		Kind         string            `json:"kind"`
		Software     map[string]string `json:"software"`
		Impl         map[string]string `json:"implementation"`
		FHIRVersion  string            `json:"fhirVersion"`
		Format       []string          `json:"format"`
		Rest         []rest            `json:"rest"`
	}{
		"CapabilityStatement", "active", "2026-11-01", "instance",
		map[string]string{"name": "Vagus"}, map[string]string{"description": "Takes resources and passes them on"},
		"4.0.1", []string{mediaType},
		[]rest{{"server", "What is sent is stored and passed on; it can not be read here. A 2xx answer says that it is on stable storage.", resources, []coded{{"transaction"}, {"batch"}}}},
	}
}
