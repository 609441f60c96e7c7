package fhir

import (
	"encoding/json"
	"errors"
	"net/http"

	"github.com/vagus-health/vagus/broker"
)

// An issue is one entry of an OperationOutcome (operationoutcome.html). None of
// its parts holds a value of the message.
type issue struct {
	code string // of issue-type
	path string // FHIRPath of the element, "" of none
	text string
}

// A reply is what a sender is told about one request or one entry of a Bundle.
type reply struct {
	status int
	reason string // of the metric; "" when it was taken
	issues []issue
}

// replyTo turns the error of Accept into a reply: the one place where an error
// becomes an HTTP status.
func replyTo(err error) reply {
	var reject *broker.RejectError
	switch {
	case err == nil:
		return reply{}
	case errors.As(err, &reject):
		code := "business-rule"
		if reject.Code == "too_large" {
			code = "too-long"
		}
		return reply{http.StatusUnprocessableEntity, "rejected", []issue{{code, "", reject.Error()}}}
	case errors.Is(err, broker.ErrFull):
		return reply{http.StatusServiceUnavailable, "full", []issue{{"no-store", "", "storage is full: send it again later"}}}
	}
	return reply{http.StatusServiceUnavailable, "error", []issue{{"transient", "", "it could not be stored: send it again"}}}
}

func refuse(status int, reason, code, text string) reply {
	return reply{status, reason, []issue{{code, "", text}}}
}

type jsonIssue struct {
	Severity    string   `json:"severity"`
	Code        string   `json:"code"`
	Diagnostics string   `json:"diagnostics,omitempty"`
	Expression  []string `json:"expression,omitempty"`
}

type jsonOutcome struct {
	Type  string      `json:"resourceType"`
	Issue []jsonIssue `json:"issue"`
}

// outcome is the OperationOutcome of a reply; what was taken has an
// informational one.
func (r reply) outcome() jsonOutcome {
	o := jsonOutcome{Type: "OperationOutcome"}
	for _, i := range r.issues {
		j := jsonIssue{Severity: "error", Code: i.code, Diagnostics: i.text}
		if r.status < http.StatusBadRequest {
			j.Severity = "information"
		}
		if i.path != "" {
			j.Expression = []string{i.path}
		}
		o.Issue = append(o.Issue, j)
	}
	if len(o.Issue) == 0 {
		o.Issue = []jsonIssue{{Severity: "information", Code: "informational", Diagnostics: "stored, and on its way"}}
	}
	return o
}

// write encodes an answer's body: JSON without HTML escapes.
func write(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", mediaType+"; charset=utf-8")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	_ = enc.Encode(body) // a sender that is gone sends again
}

const mediaType = "application/fhir+json"
