package fhir

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/google/fhir/go/fhirversion"
	"github.com/google/fhir/go/jsonformat"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/internal/tree"
)

// maxIssues bounds what one answer names.
const maxIssues = 50

// theReader is google/fhir's, which checks types, cardinality, required codes,
// the forms of primitive values and what references lead to. Safe for
// concurrent use.
var theReader = sync.OnceValues(func() (*jsonformat.Unmarshaller, error) {
	return jsonformat.NewUnmarshaller("UTC", fhirversion.R4)
})

// validate returns what is wrong with one resource, by:
//
//   - our decoder: sound JSON, no name twice, a known resourceType, an object
//     where there are elements, the bounds of a message;
//   - a walk along the definitions: no element that R4 does not have, nothing
//     empty, null only where json.html allows it, arrays where they belong, and
//     the invariants of rules.go;
//   - google/fhir's reader.
//
// Nothing of it knows profiles, terminologies beyond required codes, or whether
// what is referred to is there.
func validate(body []byte, mode string) []issue {
	if _, err := (dialect{theDictionary()}).Decode(body, tree.Selection{}); err != nil {
		return []issue{decodeIssue(err)}
	}
	if mode == ValidationJSON {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(body, []byte("\ufeff"))))
	dec.UseNumber()
	var v map[string]any
	if err := dec.Decode(&v); err != nil { // what our decoder took
		return []issue{{"structure", "", "it is not JSON that another reader takes"}}
	}
	w := &walker{}
	name, _ := v["resourceType"].(string)
	w.resource(name, v, false)
	if len(w.issues) > 0 {
		return w.issues
	}
	return otherReader(body)
}

// decodeIssue is what our decoder has found. JSON that is not sound has a line and
// an offset, and lies in the innermost element that was open there.
func decodeIssue(err error) issue {
	var at *tree.JSONError
	if !errors.As(err, &at) {
		return issue{"structure", "", err.Error()}
	}
	return issue{"structure", withoutTypes(at.Path), fmt.Sprintf("line %d, offset %d: %s", at.Line, at.Offset, at.What)}
}

// Check says what is wrong with a message of a feed that reads a server, by the
// rules of the endpoint: nobody is there to be told when the resource comes, so
// it is stored as it is and what this returns is for whoever turns messages into
// units. The error is a [broker.RejectError] that names places and no value. A
// feed that asks nobody, or whose validation is "json", has nothing to check.
// Safe for concurrent use.
func (c *Config) Check(m *broker.Message) error {
	if c.Server == nil || c.validation() != ValidationR4 {
		return nil
	}
	if issues := validate(m.Body, ValidationR4); len(issues) > 0 {
		return &broker.RejectError{Code: "fhir.invalid", Err: errors.New(reply{issues: issues}.detail())}
	}
	return nil
}

// validation is that of the feed, or of its endpoint.
func (c *Config) validation() string {
	own := c.Validation
	if c.Endpoint != nil {
		own = cmp.Or(own, c.Endpoint.Validation)
	}
	return cmp.Or(own, ValidationR4)
}

// otherReader asks google/fhir.
func otherReader(body []byte) []issue {
	u, err := theReader()
	if err != nil {
		return []issue{{"exception", "", "the validator is not to be had"}}
	}
	if _, err = u.Unmarshal(body); err == nil {
		return nil
	}
	var issues []issue
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if len(issues) == maxIssues {
			break
		}
		issues = append(issues, readIssue(line))
	}
	return issues
}

// readIssue reads what google/fhir prints of an error, whose type it keeps to
// itself: `error at "Patient.name[0].given[1]": expected string`. It is made
// to hold no value; what looks otherwise is not passed on.
func readIssue(line string) issue {
	path, text, ok := strings.Cut(strings.TrimPrefix(line, `error at "`), `": `)
	if !ok {
		return issue{"value", "", "it is not valid R4"}
	}
	code := "value"
	switch {
	case strings.HasPrefix(text, "missing required field"):
		code = "required"
	case strings.HasPrefix(text, "expected array"), strings.HasPrefix(text, "unknown field"), strings.HasPrefix(text, "array length"):
		code = "structure"
	case text == "invalid JSON":
		code, text = "structure", "it has another shape than R4 says"
	case text == "code type mismatch":
		text = "it is not one of the codes that R4 requires here"
	}
	return issue{code, withoutTypes(path), text}
}

// withoutTypes turns Bundle.entry[0].resource.Patient.birthDate into FHIRPath,
// which does not name the type of a resource within another.
func withoutTypes(path string) string {
	steps := strings.Split(path, ".")
	kept := steps[:1]
	for _, s := range steps[1:] {
		if s != "" && (s[0] < 'A' || s[0] > 'Z') {
			kept = append(kept, s)
		}
	}
	return strings.Join(kept, ".")
}

// A walker follows a resource's elements along their definitions.
type walker struct {
	way    []string
	issues []issue
	roots  []container // the resource that references stand in, innermost last
}

// A container is a resource that may contain others.
type container struct{ ids map[string]bool }

func (w *walker) found(code, text string) {
	if len(w.issues) < maxIssues {
		w.issues = append(w.issues, issue{code, strings.Join(w.way, "."), text})
	}
}

// resource walks what stands in a resource's place.
func (w *walker) resource(name string, v map[string]any, contained bool) {
	el := theDictionary().resource.Element(name)
	if el == nil {
		w.found("structure", "R4 has no resource of this type")
		return
	}
	if len(w.way) == 0 {
		w.way = []string{name}
	}
	if !contained {
		c := container{ids: map[string]bool{}}
		list, _ := v["contained"].([]any)
		for _, k := range list {
			if m, _ := k.(map[string]any); m != nil {
				c.ids[text(m, "id")] = true
			}
		}
		w.roots = append(w.roots, c)
		defer func() { w.roots = w.roots[:len(w.roots)-1] }()
	} else {
		containedRules(w, v)
	}
	w.object(el.Type, v, true)
}

// object walks the members of an object.
func (w *walker) object(typ *tree.Type, v map[string]any, isResource bool) {
	if len(v) == 0 || isResource && len(v) == 1 && typ.Element("id") == nil {
		w.found("structure", "an object must not be empty")
		return
	}
	for name, member := range v {
		if len(w.issues) >= maxIssues {
			return
		}
		if name == "resourceType" && isResource {
			continue
		}
		el := typ.Element(name)
		if el == nil || name == fullURLName && isResource {
			w.found("structure", "it has an element that R4 does not define here")
			continue
		}
		w.way = append(w.way, strings.TrimPrefix(name, "_"))
		w.member(typ, el, name, v, member)
		w.way = w.way[:len(w.way)-1]
	}
	if check := rules[typ.Name]; check != nil {
		check(w, v)
	}
}

// member walks the value of an element, or the values.
func (w *walker) member(typ *tree.Type, el *tree.Element, name string, parent map[string]any, v any) {
	list, isList := v.([]any)
	switch {
	case v == nil:
		w.found("structure", "null is for arrays only, in the place of a value that has extensions instead")
	case isList && !el.Repeats:
		w.found("structure", "it is an array, and does not repeat")
	case !isList && el.Repeats:
		w.found("structure", "it repeats, and is no array")
	case isList && len(list) == 0:
		w.found("structure", "an array must not be empty: leave it out")
	case !isList:
		w.value(el, v)
	default:
		step := w.way[len(w.way)-1]
		for i, item := range list {
			w.way[len(w.way)-1] = step + "[" + strconv.Itoa(i) + "]"
			if item != nil {
				w.value(el, item)
			} else if !twinHas(parent, name, i) {
				w.found("structure", "null stands for nothing here: neither value nor extensions")
			}
		}
		w.way[len(w.way)-1] = step
	}
}

// twinHas says whether the array of the values, or of their extensions, has
// something where the other one has null (json.html#primitive).
func twinHas(parent map[string]any, name string, i int) bool {
	twin := "_" + name
	if own, ok := strings.CutPrefix(name, "_"); ok {
		twin = own
	}
	list, _ := parent[twin].([]any)
	return i < len(list) && list[i] != nil
}

func (w *walker) value(el *tree.Element, v any) {
	m, isObject := v.(map[string]any)
	switch {
	case el.Type.Tag != "" && isObject: // a resource in another one
		name, _ := m["resourceType"].(string)
		w.resource(name, m, el.Name == "contained")
	case len(el.Type.Elements) > 0 && isObject:
		w.object(el.Type, m, false)
	case v == "":
		w.found("value", "it is empty: leave it out")
	case el.Type.Name == "uri" || el.Type.Name == "url" || el.Type.Name == "canonical":
		if s, _ := v.(string); strings.ContainsAny(s, " \t\r\n") {
			w.found("value", "an address has no blanks")
		}
	case el.Type.Name == "xhtml":
		if s, _ := v.(string); !isXHTML(s) {
			w.found("invariant", "txt-1, txt-2: it is not one <div> of sound XHTML with content")
		}
	}
}
