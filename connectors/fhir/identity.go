package fhir

import (
	"encoding/json"
	"time"

	"github.com/vagus-health/vagus/broker"
)

// version is "4" of "_history/4", else the time of the last update, else "".
func (h *head) version() string {
	if h.Meta.Version != "" {
		return h.Meta.Version
	}
	return h.Meta.Updated
}

// senderID is "Patient/123/_history/4", as much of it as is known. request is the sender's
// X-Request-Id: of a resource without a version it tells an update that has
// the content of an older one from a resend of that.
func (h *head) senderID(request string) string {
	id := "Resource"
	if isResource(h.Type) {
		id = h.Type
	}
	if isID(h.ID) {
		id += "/" + h.ID
	}
	switch v := h.version(); {
	case v != "" && len(v) <= maxID:
		id += "/_history/" + v
	case isID(request):
		id += "#" + request
	}
	return id
}

const maxID = 64

// isID says whether s is an id (datatypes.html#id).
func isID(s string) bool {
	if s == "" || len(s) > maxID {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') && c != '-' && c != '.' {
			return false
		}
	}
	return true
}

// isResource says whether R4 defines a resource of this name.
func isResource(name string) bool {
	return name != "" && theDictionary().resource.Element(name) != nil
}

// resource makes a message of one resource.
func (s *Source) resource(body []byte, request string, at time.Time) *broker.Message {
	h := readHead(body)
	return s.origin.Message(formatName, kindOf(h.Type), h.senderID(request), at, body)
}

// kindOf is the type of a resource, "unknown" of what R4 does not have: it
// stands in statuses and metrics, where a sender's text must not.
func kindOf(typ string) string {
	if isResource(typ) {
		return typ
	}
	return "unknown"
}

// deletion makes a message of the news that a resource is gone: a Bundle whose
// only entry is the request; its identifier tells this deletion from another
// one of the resource. asked is the sender's X-Request-Id.
func (s *Source) deletion(typ, id, version, asked string, at time.Time) *broker.Message {
	type request struct {
		Method string `json:"method"`
		URL    string `json:"url"`
	}
	type entry struct {
		Request request `json:"request"`
	}
	h := head{Type: typ, ID: id}
	h.Meta.Version = version
	sender := h.senderID(asked) + "#deleted"
	type identifier struct {
		Value string `json:"value"`
	}
	body, _ := json.Marshal(struct { // strings
		Type       string     `json:"resourceType"`
		Identifier identifier `json:"identifier"`
		Kind       string     `json:"type"`
		Entry      []entry    `json:"entry"`
	}{bundleName, identifier{sender}, "transaction", []entry{{request{"DELETE", typ + "/" + id}}}})
	return s.origin.Message(formatName, bundleName, sender, at, body)
}
