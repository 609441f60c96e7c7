package mapping

import (
	"regexp"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
)

// CEL's checker speaks of overloads. What is frequent is said in the
// language's own words here, with the fix; the rest stays as CEL says it.

var (
	noOverload  = regexp.MustCompile(`^found no matching overload for '([^']+)' applied to '(?:(.+)\.)?\((.*)\)'$`)
	undeclared  = regexp.MustCompile(`^undeclared reference to '([^']+)'(?: \(did you mean '(\w+)'\?\))?`)
	wantedType  = regexp.MustCompile(`^expected type 'bool' but found '(.+)'$`)
	noFields    = regexp.MustCompile(`^type '(.+)' does not support field selection$`)
	noRange     = regexp.MustCompile(`^expression of type '(.+)' cannot be range of a comprehension`)
	noPattern   = regexp.MustCompile(`^error parsing regexp: (.*)$`)
	noToken     = regexp.MustCompile(`^Syntax error: token recognition error at: '(.*)'$`)
	noInput     = regexp.MustCompile(`^Syntax error: (?:extraneous|mismatched) input '(.*)' expecting `)
	wordsForOps = map[string]string{"and": "&&", "or": "||", "not": "!", "AND": "&&", "OR": "||", "NOT": "!", "mod": "%", "eq": "=="}
)

// celTypeNames are the names of types for people.
var celTypeNames = map[string]string{"string": "text", "int": "a whole number", "uint": "a whole number", "double": "a number with a point", "decimal": "an exact number",
	"bool": "true or false", "timestamp": "a point in time", "duration": "a span of time", "node": "an item of nodes()", "null": "null", "dyn": "anything"}

func celTypeName(t string) string {
	if name := celTypeNames[t]; name != "" {
		return name
	}
	if item, ok := strings.CutPrefix(t, "list("); ok {
		switch item = strings.TrimSuffix(item, ")"); item {
		case "string":
			return "a list of texts"
		case "node":
			return "a list of nodes"
		case "dyn":
			return "a list of different things"
		case "bool":
			return "a list of true and false"
		default:
			return "a list of numbers"
		}
	}
	return t
}

// celWords says what CEL found wrong with an expression that may use the names
// of a scope.
func (l *loader) celWords(message string, cs celScope) string {
	if m := noOverload.FindStringSubmatch(message); m != nil {
		var types []string
		for t := range strings.SplitSeq(m[3], ", ") {
			if t != "" {
				types = append(types, t)
			}
		}
		return overloadWords(m[1], m[2], types)
	}
	if m := undeclared.FindStringSubmatch(message); m != nil {
		return l.undeclaredWords(m[1], m[2], cs)
	}
	if m := wantedType.FindStringSubmatch(message); m != nil {
		return "&&, || and conditions take true or false, and this is " + celTypeName(m[1]) + ": compare it, as in it != ''"
	}
	if m := noFields.FindStringSubmatch(message); m != nil {
		return celTypeName(m[1]) + " has no parts: name them in the path, as in v('PID-5.1')"
	}
	if m := noRange.FindStringSubmatch(message); m != nil {
		return "this is " + celTypeName(m[1]) + ", not a list: values('p[*]') and nodes('p[*]') are lists"
	}
	if m := noPattern.FindStringSubmatch(message); m != nil {
		return "the pattern of matches() can not be read: " + m[1]
	}
	if m := noToken.FindStringSubmatch(message); m != nil {
		if strings.TrimSpace(m[1]) == "=" {
			return "= does not compare: write =="
		}
		return strings.TrimSpace(m[1]) + " can not stand here: is a quote missing?"
	}
	if m := noInput.FindStringSubmatch(message); m != nil {
		switch op := wordsForOps[m[1]]; {
		case m[1] == "<EOF>":
			return "the expression ends too early: is something missing behind an operator, or a bracket?"
		case op != "":
			return m[1] + " is no operator: write " + op
		}
		return m[1] + " can not stand here: is an operator, a comma or a bracket missing before it?"
	}
	return message
}

// undeclaredWords is about a name that means nothing here; near is CEL's guess
// what was meant.
func (l *loader) undeclaredWords(name, near string, cs celScope) string {
	switch name {
	case "now", "today", "currentTime":
		return "there is no clock, so that a replay gives the same: use a time of the message, as in ts('MSH-7')"
	case "True", "False", "TRUE", "FALSE":
		return name + " is written " + strings.ToLower(name)
	}
	var names []string
	for _, in := range cs.inputs {
		names = append(names, in.name)
	}
	for _, x := range l.m.lets {
		names = append(names, x.name)
	}
	for _, f := range Functions() {
		names = append(names, f.Name)
	}
	for sc := cs.scope; sc != nil; sc = sc.outer {
		if lookup(sc.typ, name) != nil || sc.name == name && name != "" {
			return "a place of the message is read with a function: v('" + name + "…'), or stands in from:"
		}
	}
	if name == "it" {
		return "there is no it: the rule has no from:, or names its inputs"
	}
	hint := didYouMean(name, names)
	if hint == "" && near != "" {
		hint = ` (did you mean "` + near + `"?)`
	}
	return "there is no " + name + " here" + hint
}

// overloadWords is about an operator or a function that does not take what it
// was given. of is the type that a member function was called on.
func overloadWords(name, of string, types []string) string {
	said := make([]string, len(types))
	for i, t := range types {
		said[i] = celTypeName(t)
	}
	list := strings.Join(said, " and ")
	has := func(names ...string) bool {
		return slices.ContainsFunc(types, func(t string) bool { return slices.Contains(names, t) })
	}
	op := strings.Trim(name, "_")
	switch name {
	case "_?_:_":
		if len(types) == 3 && types[0] != "bool" {
			return "before ? stands what is true or false, and this is " + said[0] + ": compare it, as in it != ''"
		}
		return "both sides of : are of one type, and here they are " + strings.Join(said[1:], " and ")
	case "!_", "_&&_", "_||_":
		return strings.Trim(name, "_") + " takes true or false, and this is " + list + ": compare it, as in it == ''"
	case "@in":
		return "in looks for a value in a list of the same type: write it in ['a', 'b'], or text.contains('a') for a part of a text"
	case "_[_]":
		return "[n] takes one of a list, and this is " + said[0] + ": of a text, first(n), last(n) and substring(from, to) are parts"
	case "-_":
		return "- takes a number, and this is " + list + ": dec(text) makes one"
	case "_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_", "_+_", "_-_", "_*_", "_/_", "_%_":
		return op + " does not go with " + list + mixedFix(name, has)
	}
	for _, f := range Functions() {
		if f.Name != name {
			continue
		}
		if f.Member != (of != "") {
			return name + " is written " + f.Call
		}
		if list == "" && strings.HasSuffix(f.Call, "()") {
			return f.Call + " is not for " + celTypeName(of)
		}
		if list == "" {
			list = "nothing"
		}
		if of != "" {
			list += ", of " + celTypeName(of)
		}
		return f.Call + " is how " + name + " is written: it does not take " + list
	}
	switch {
	case list == "" && of != "":
		return name + "() is not for " + celTypeName(of)
	case list == "":
		list = "nothing"
	}
	return name + "() does not take " + list
}

// mixedFix says how two types come together.
func mixedFix(op string, has func(...string) bool) string {
	switch {
	case has("null"):
		return ": what is absent is '' here, and isnull('PATH') asks for what was sent empty"
	case has("decimal") && has("int", "uint"):
		return ": write dec(…) around the whole number"
	case has("decimal") && has("double"):
		return ": write the number as dec('0.5'), which is exact"
	case has("list(string)") && has("string"):
		return ": join the list with .join(' ') or words(…)"
	case has("timestamp") && has("string"):
		return ": write the time as timestamp('2026-01-31T00:00:00Z')"
	case op == "_+_" && has("string"):
		return ": string(…) makes a text of a number, dec(…) a number of a text"
	case has("string") && has("int", "decimal", "double"):
		return ": write a code in quotes, or dec(…) around a text that is a number"
	case has("string") && has("bool"):
		return ": write a code in quotes, as in it == 'Y'"
	case has("string"):
		return ": dec(…) makes a number of a text"
	}
	return ""
}

// celType is a type for people.
func celType(t *cel.Type) string { return celTypeName(cel.FormatCELType(t)) }
