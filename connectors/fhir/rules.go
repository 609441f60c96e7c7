package fhir

import (
	"encoding/xml"
	"io"
	"slices"
	"strings"
	"time"
)

// rules are invariants of R4 that are the same for everybody who uses a type,
// by type: those that no reader checks for us and that a message can be told
// by itself to break. Their keys are the standard's.
var rules = map[string]func(*walker, map[string]any){
	"Extension":    extensionRules,
	"Period":       periodRules,
	"ContactPoint": contactPointRules,
	"Quantity":     quantityRules, "Age": quantityRules, "Count": quantityRules, "Distance": quantityRules, "Duration": quantityRules,
	"Attachment":      attachmentRules,
	"Reference":       referenceRules,
	"Timing.repeat":   timingRules,
	"Patient.contact": patientContactRules,
	"Organization":    organizationRules,
	"Observation":     observationRules,
	"Bundle":          bundleRules,
}

func has(v map[string]any, names ...string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return v[n] != nil || v["_"+n] != nil })
}

func text(v map[string]any, name string) string {
	s, _ := v[name].(string)
	return s
}

func objects(v map[string]any, name string) func(yield func(int, map[string]any) bool) {
	return func(yield func(int, map[string]any) bool) {
		list, _ := v[name].([]any)
		for i, k := range list {
			if m, ok := k.(map[string]any); ok && !yield(i, m) {
				return
			}
		}
	}
}

func extensionRules(w *walker, v map[string]any) {
	value := false
	for name := range v {
		value = value || strings.HasPrefix(name, "value") || strings.HasPrefix(name, "_value")
	}
	if value == has(v, "extension") {
		w.found("invariant", "ext-1: an extension has a value or extensions, and not both")
	}
}

func periodRules(w *walker, v map[string]any) {
	start, zoned1, ok1 := earliest(text(v, "start"))
	end, zoned2, ok2 := earliest(text(v, "end"))
	if !ok1 || !ok2 || zoned1 != zoned2 {
		return
	}
	if !start.Before(end.Add(precision(text(v, "end")))) {
		w.found("invariant", "per-1: the period ends before it starts")
	}
}

// earliest is the first instant that a dateTime may mean; zoned says that it
// has a time and so a zone.
func earliest(s string) (t time.Time, zoned, ok bool) {
	for _, layout := range []string{"2006", "2006-01", "2006-01-02", time.RFC3339Nano} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, layout == time.RFC3339Nano, true
		}
	}
	return time.Time{}, false, false
}

// precision is how long a dateTime of this form lasts.
func precision(s string) time.Duration {
	const day = 24 * time.Hour
	switch len(s) {
	case 4:
		return 366 * day
	case 7:
		return 31 * day
	case 10:
		return day
	}
	return time.Second
}

func contactPointRules(w *walker, v map[string]any) {
	if has(v, "value") && !has(v, "system") {
		w.found("invariant", "cpt-2: a value needs a system")
	}
}

func quantityRules(w *walker, v map[string]any) {
	if has(v, "code") && !has(v, "system") {
		w.found("invariant", "qty-3: a code of a unit needs a system")
	}
}

func attachmentRules(w *walker, v map[string]any) {
	if has(v, "data") && !has(v, "contentType") {
		w.found("invariant", "att-1: data needs a contentType")
	}
}

func referenceRules(w *walker, v map[string]any) {
	id, local := strings.CutPrefix(text(v, "reference"), "#")
	if local && id != "" && len(w.roots) > 0 && !w.roots[len(w.roots)-1].ids[id] {
		w.found("invariant", "ref-1: nothing that is contained has this id")
	}
}

func timingRules(w *walker, v map[string]any) {
	for _, r := range []struct{ key, what, needs string }{
		{"tim-1", "duration", "durationUnit"}, {"tim-2", "period", "periodUnit"}, {"tim-6", "periodMax", "period"},
		{"tim-7", "durationMax", "duration"}, {"tim-8", "countMax", "count"},
	} {
		if has(v, r.what) && !has(v, r.needs) {
			w.found("invariant", r.key+": "+r.what+" needs "+r.needs)
		}
	}
	if has(v, "timeOfDay") && has(v, "when") {
		w.found("invariant", "tim-10: timeOfDay and when are not both given")
	}
}

func patientContactRules(w *walker, v map[string]any) {
	if !has(v, "name", "telecom", "address", "organization") {
		w.found("invariant", "pat-1: a contact has a name, a telecom, an address or an organization")
	}
}

func organizationRules(w *walker, v map[string]any) {
	if !has(v, "identifier", "name") {
		w.found("invariant", "org-1: an organization has a name or an identifier")
	}
	for _, r := range []struct{ key, name string }{{"org-2", "address"}, {"org-3", "telecom"}} {
		for _, m := range objects(v, r.name) {
			if text(m, "use") == "home" {
				w.found("invariant", r.key+": an organization has no home")
			}
		}
	}
}

func observationRules(w *walker, v map[string]any) {
	if !has(v, "dataAbsentReason") {
		return
	}
	for name := range v {
		if strings.HasPrefix(name, "value") {
			w.found("invariant", "obs-6: dataAbsentReason is for an observation without a value")
		}
	}
}

func containedRules(w *walker, v map[string]any) {
	meta, _ := v["meta"].(map[string]any)
	switch {
	case has(v, "contained"):
		w.found("invariant", "dom-2: what is contained contains nothing")
	case has(meta, "versionId", "lastUpdated"):
		w.found("invariant", "dom-4: what is contained has no version of its own")
	case has(meta, "security"):
		w.found("invariant", "dom-5: what is contained has no security label of its own")
	}
}

func bundleRules(w *walker, v map[string]any) {
	typ := text(v, "type")
	is := func(types ...string) bool { return slices.Contains(types, typ) }
	if has(v, "total") && !is("searchset", "history") {
		w.found("invariant", "bdl-1: total is for searchset and history")
	}
	id, _ := v["identifier"].(map[string]any)
	if is("document") && (!has(id, "system") || !has(id, "value")) {
		w.found("invariant", "bdl-9: a document has an identifier with system and value")
	}
	if is("document") && !has(v, "timestamp") {
		w.found("invariant", "bdl-10: a document has a timestamp")
	}
	urls := map[string]bool{}
	for i, e := range objects(v, "entry") {
		resource, _ := e["resource"].(map[string]any)
		first := map[string]string{"document": "Composition", "message": "MessageHeader"}[typ]
		if i == 0 && first != "" && text(resource, "resourceType") != first {
			w.found("invariant", "bdl-11, bdl-12: a document begins with a Composition, a message with a MessageHeader")
		}
		if has(e, "search") && !is("searchset") {
			w.found("invariant", "bdl-2: entry.search is for searchset")
		}
		if has(e, "request") != is("batch", "transaction", "history") {
			w.found("invariant", "bdl-3: entry.request is there in batch, transaction and history, and only there")
		}
		if has(e, "response") != is("batch-response", "transaction-response", "history") {
			w.found("invariant", "bdl-4: entry.response is there in batch-response, transaction-response and history, and only there")
		}
		if resource == nil && !has(e, "request", "response") {
			w.found("invariant", "bdl-5: an entry has a resource, a request or a response")
		}
		url := text(e, fullURLName)
		if strings.Contains(url, "/_history/") {
			w.found("invariant", "bdl-8: a fullUrl names no version")
		}
		meta, _ := resource["meta"].(map[string]any)
		if url += " " + text(meta, "versionId"); text(e, fullURLName) != "" && !is("history") {
			if urls[url] {
				w.found("invariant", "bdl-7: two entries have one fullUrl")
			}
			urls[url] = true
		}
	}
}

// isXHTML says whether s is one div of sound XML with some text or an image in
// it. Which elements are allowed (txt-1) is for whoever shows it.
func isXHTML(s string) bool {
	d := xml.NewDecoder(strings.NewReader(s))
	d.Entity = xml.HTMLEntity
	depth, roots, content := 0, 0, false
	for {
		token, err := d.Token()
		if err == io.EOF {
			return roots == 1 && content
		}
		if err != nil {
			return false
		}
		switch t := token.(type) {
		case xml.StartElement:
			if depth == 0 {
				if roots++; t.Name.Local != "div" {
					return false
				}
			}
			content = content || t.Name.Local == "img"
			depth++
		case xml.EndElement:
			depth--
		case xml.CharData:
			blank := strings.TrimSpace(string(t)) == ""
			if depth == 0 && !blank {
				return false
			}
			content = content || !blank
		case xml.Directive:
			return false
		}
	}
}
