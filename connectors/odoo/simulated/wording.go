package simulated

import (
	"regexp"
	"strings"
)

// What a version calls otherwise than 18, whose words stand everywhere else.

var re = regexp.MustCompile

// since19 rewords exceptions of 18.
var since19 = []struct {
	was    *regexp.Regexp
	is     string
	inLoad string // the text among the messages of load, when that differs
}{
	{was: re(`^Invalid field '(\w+)' on model '([\w.]+)'$`), is: "Invalid field '$1' in '$2'"},
	{was: re(`^Invalid field (\S+) in leaf `), is: "Invalid field $1 in condition "},
	{was: re(`^Invalid leaf `), is: "Invalid operator in condition "},
	{was: re(`^The method '(\w+)' does not exist on the model '([\w.]+)'$`), is: "The method '$2.$1' does not exist"},
	{was: re(`^(The operation cannot be completed: )(Contacts require a name)$`), is: "${1}${2}", inLoad: "$2"},
	{was: re(`(?s)^(The operation cannot be completed:)\n- Create/update.*Model: (.+) \(([\w.]+)\)\nField: (.+) \((\w+)\)\n$`),
		is:     "${1} Missing required value for the field '$4' ($5).\nModel: '$2' ($3)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n",
		inLoad: "Missing required value for the field '$4' ($5).\nModel: '$2' ($3)\n- create/update: a mandatory field is not set\n- delete: another model requires the record being deleted, you can archive it instead\n"},
	{was: re(`(?s)^(The operation cannot be completed: )another model requires.*Model: (.+) \(([\w.]+)\)\nConstraint: (\w+)\n$`),
		is: "${1}Another model is using the record you are trying to delete.\n\nThe troublemaker is: '$2' ($3)\nThanks to the following constraint: $4\nHow about archiving the record instead?"},
}

var (
	noColumn   = re(`^Invalid field name '(\w+)'$`)
	constraint = re(`constraint: (\w+)_fkey`)
)

// worded is an exception in the words of the server's version.
func (s *Server) worded(e *exception) *exception {
	switch major := s.major(); {
	case e == nil:
	case major < 18:
		if m := noColumn.FindStringSubmatch(e.message); m != nil {
			return &exception{class: "builtins.KeyError", message: m[1]}
		}
	case major >= 19:
		for _, w := range since19 {
			if !w.was.MatchString(e.message) {
				continue
			}
			out := &exception{class: e.class, message: w.was.ReplaceAllString(e.message, w.is), field: e.field}
			if w.inLoad != "" {
				out.row = w.was.ReplaceAllString(e.message, w.inLoad)
			}
			out.message = constraint.ReplaceAllStringFunc(out.message, s.fieldOfConstraint)
			return out
		}
	}
	return e
}

// fieldOfConstraint names the field of a foreign key.
func (s *Server) fieldOfConstraint(text string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(text, "constraint: "), "_fkey")
	for model, m := range s.store.models {
		if field, ok := strings.CutPrefix(name, strings.ReplaceAll(model, ".", "_")+"_"); ok && m.Fields[field].Label != "" {
			return "constraint: '" + m.Fields[field].Label + "' (" + field + ")"
		}
	}
	return text
}

// ofVersion changes the stock models of 18 into those of a version, as far as
// mappings see a difference.
func ofVersion(models map[string]*Model, major int64) {
	partner, tag := models["res.partner"], models["res.partner.category"]
	switch {
	case major < 18:
		f := tag.Fields["name"]
		f.Label = "Tag Name"
		tag.Fields["name"] = f
		payment := models["account.payment"].Fields
		payment["ref"] = payment["memo"]
		delete(payment, "memo")
	case major >= 19:
		delete(partner.Fields, "mobile")
		f := partner.Fields["type"]
		f.Selection = [][2]string{{"contact", "Contact"}, {"invoice", "Invoice"}, {"delivery", "Delivery"}, {"other", "Other"}}
		partner.Fields["type"] = f
	}
}
