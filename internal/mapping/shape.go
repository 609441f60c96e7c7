package mapping

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/vagus-health/vagus/internal/mapping/grammar"
)

// shape checks a whole file of a kind ("mapping") against the grammar. It reports
// unknown keys, wrong kinds, unknown words and what is missing, each once, and
// returns whether there was none: after it the loader meets only values of the
// kinds that the grammar allows, and required keys.
func (c *collector) shape(v *value, kind string) bool {
	before, o := len(c.issues), grammar.Files[kind]
	if k := v.get("kind"); k != nil && k.text != kind {
		c.errorf(k.at, "kind", "%s has kind: %s, not %q", o.What, kind, k.text)
	} else {
		c.shapeMap(v, o)
	}
	return len(c.issues) == before
}

func (c *collector) shapeMap(v *value, o *grammar.Object) {
	if v.kind != yamlMap {
		c.errorf(v.at, "type", "%s is a map, not %s", o.What, v.kind)
		return
	}
	if o.With != "" && v.has(o.With) {
		o = grammar.Get(o.Is)
	}
	var meant string // keys that a mistyped one stands for: they are not missing
	for _, e := range v.keys {
		switch k := o.Key(e.key); {
		case k != nil:
			c.shapeValue(e.val, e.key, k.Like, k.Forms)
		case o.Free.Accepts(e.key):
			c.shapeValue(e.val, e.key, "", o.Free.Forms)
		case len(o.Keys) == 0:
			c.errorf(e.at, "name", "in %s a name is %s, and not %q", o.What, grammar.Describe(o.Free.Pattern), e.key)
		default:
			hint := didYouMean(e.key, o.KeyNames())
			meant += hint
			c.errorf(e.at, "unknown-key", "%s has no key %q%s", o.What, e.key, hint)
		}
	}
	if len(v.keys) < o.Least {
		c.errorf(v.at, "missing", "%s is empty: %s", o.What, lowerFirst(o.Doc))
	}
	c.shapeMissing(v, o, meant)
}

// shapeMissing reports required keys that are not there, and sets of keys that
// exclude each other.
func (c *collector) shapeMissing(v *value, o *grammar.Object, meant string) {
	has := func(name string) bool { return v.get(name) != nil || strings.Contains(meant, strconv.Quote(name)) }
	for _, k := range o.Keys {
		if k.Required && !has(k.Name) {
			c.errorf(v.at, "missing", "%s needs %s — %s", o.What, cmp.Or(k.Like, k.Name+":"), lowerFirst(k.Doc))
		}
	}
	var there, whole []string
	for _, set := range o.Either {
		some := slices.ContainsFunc(set, has)
		if some {
			there = append(there, strings.Join(set, " and "))
		}
		if some && !slices.ContainsFunc(set, func(k string) bool { return !has(k) }) {
			whole = append(whole, set[0])
		}
	}
	all := make([]string, len(o.Either))
	for i, set := range o.Either {
		all[i] = strings.Join(set, " and ")
	}
	switch {
	case len(there) > 1:
		c.errorf(v.at, "exclusive", "%s has one of %s, not %s", o.What, strings.Join(all, " or "), strings.Join(there, " and "))
	case len(o.Either) > 0 && len(there) == 0, len(there) == 1 && len(whole) == 0:
		c.errorf(v.at, "missing", "%s needs %s", o.What, strings.Join(all, " or "))
	}
}

func (c *collector) shapeValue(v *value, name, like string, forms []grammar.Form) {
	if forms == nil {
		return
	}
	f := grammar.Find(forms, v.kind)
	if f == nil {
		c.wrongKind(v, name, like, forms)
		return
	}
	switch v.kind {
	case yamlString:
		c.shapeText(v, name, like, f)
	case yamlNumber:
		n, err := strconv.Atoi(v.text)
		switch {
		case len(f.Words) > 0 && v.text != f.Words[0].Text:
			c.errorf(v.at, name, "%s: %s is %s", name, f.Words[0].Text, f.Words[0].Doc)
		case f.Least >= 0 && (err != nil || n < f.Least):
			c.errorf(v.at, name, "%s is a whole number from %d", name, f.Least)
		}
	case yamlMap:
		if f.Object != "" {
			c.shapeMap(v, grammar.Get(f.Object))
		}
	case yamlList:
		if len(v.list) < f.Least {
			c.errorf(v.at, "missing", "%s is an empty list", name)
		}
		for _, item := range v.list {
			c.shapeValue(item, name, "", f.Items)
		}
	}
}

func (c *collector) shapeText(v *value, name, like string, f *grammar.Form) {
	switch {
	case f.Means == grammar.Word && !f.Accepts(v.text):
		c.errorf(v.at, "word", "%s is one of %s%s", name, strings.Join(f.WordTexts(), ", "), didYouMean(v.text, f.WordTexts()))
	case !f.Accepts(v.text):
		c.errorf(v.at, "name", "%s is %s", name, grammar.Describe(f.Pattern))
	case len(strings.TrimSpace(v.text)) < f.Least && like != "":
		c.errorf(v.at, "missing", "write %s", like)
	case len(strings.TrimSpace(v.text)) < f.Least:
		c.errorf(v.at, "missing", "%s is empty", name)
	}
}

func (c *collector) wrongKind(v *value, name, like string, forms []grammar.Form) {
	var kinds []string
	for _, f := range forms {
		kinds = append(kinds, f.Kind.String())
	}
	want := strings.Join(kinds, " or ")
	scalar := v.kind == yamlBool || v.kind == yamlNumber
	asText := grammar.Find(forms, yamlString)
	switch m := grammar.Find(forms, yamlMap); {
	case m != nil && scalar && grammar.Get(m.Object).Key("value") != nil:
		c.errorf(v.at, "type", "%s of itself is no rule: write { value: %s }", v.kind, v.text)
	case like != "":
		c.errorf(v.at, "type", "%s is %s, not %s: write %s", name, want, v.kind, like)
	case asText != nil && asText.Means == grammar.Word:
		c.errorf(v.at, "type", "%s is one of %s, not %s", name, strings.Join(asText.WordTexts(), ", "), v.kind)
	case asText != nil && scalar:
		c.errorf(v.at, "type", "%s is %s, not %s: write it in quotes", name, want, v.kind)
	case grammar.Find(forms, yamlNumber) != nil && len(forms) == 1:
		c.errorf(v.at, name, "%s is a number, not %s", name, v.kind)
	default:
		c.errorf(v.at, "type", "%s is %s, not %s", name, want, v.kind)
	}
}

func lowerFirst(s string) string {
	if len(s) > 1 && s[1] >= 'a' && s[1] <= 'z' {
		s = strings.ToLower(s[:1]) + s[1:]
	}
	return strings.TrimSuffix(s, ".")
}
