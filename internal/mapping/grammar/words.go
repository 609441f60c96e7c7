package grammar

import (
	"slices"
	"strings"

	"github.com/vagus-health/vagus/internal/tree"
)

// The words in which the objects are declared.

func must(name, doc string, forms ...Form) Key {
	return Key{Name: name, Doc: doc, Forms: forms, Required: true}
}

func may(name, doc string, forms ...Form) Key { return Key{Name: name, Doc: doc, Forms: forms} }

// or says what it means that the key is left out.
func (k Key) or(word string) Key {
	k.Default = word
	return k
}

// like says how the key is written.
func (k Key) like(s string) Key {
	k.Like = s
	return k
}

// text is free where it is Plain; whatever else it means, it is not empty.
func text(m Meaning) Form {
	f := Form{Kind: Text, Means: m}
	if m != Plain {
		f.Least = 1
	}
	return f
}

func named(pattern string) Form { return Form{Kind: Text, Pattern: pattern} }

// words are given as "word: what it does".
func words(list ...string) Form {
	f := Form{Kind: Text, Means: Word}
	for _, w := range list {
		t, doc, _ := strings.Cut(w, ": ")
		f.Words = append(f.Words, Choice{t, doc})
	}
	return f
}

func number(least int) Form { return Form{Kind: Number, Least: least} }

func boolean() Form { return Form{Kind: Bool} }

func a(object string) Form { return Form{Kind: Map, Object: object} }

func list(items ...Form) Form { return Form{Kind: List, Items: items} }

func (f Form) atLeast(n int) Form {
	f.Least = n
	return f
}

// scalars take text, a boolean, a number or null.
var scalars = []Form{text(Plain), boolean(), number(-1), {Kind: Null}}

// without is an object under another name and without some of its keys.
func (o Object) without(name, what, doc string, keys ...string) Object {
	o.Name, o.What, o.Doc = name, what, doc
	o.Keys = slices.DeleteFunc(slices.Clone(o.Keys), func(k Key) bool { return slices.Contains(keys, k.Name) })
	return o
}

var labelDocs = map[string]string{
	"none":        "reveals nothing",
	"admin":       "the course of a stay: times, places, kinds",
	"order":       "what was ordered or done",
	"staff":       "those who work there",
	"financial":   "amounts and accounts",
	"name":        "names of persons",
	"contact":     "address, telephone, e-mail",
	"demographic": "birth date, sex, language",
	"identifier":  "numbers of records, visits and orders",
	"national_id": "social security number and the like",
	"clinical":    "results, diagnoses, notes",
	"sensitive":   "religion, race, and what the law protects most",
	"secret":      "passwords, salaries",
}

var label = func() Form {
	f := Form{Kind: Text, Means: Word}
	for _, n := range tree.LabelNames() {
		f.Words = append(f.Words, Choice{n, labelDocs[n]})
	}
	return f
}()

var formatOne = Form{Kind: Number, Words: []Choice{{"1", "the format that this program reads"}}}

var onMiss = words("error: the rule fails, and on_error says what follows", "skip: the field is left alone, with a warning",
	"keep: the code itself is the result", "default: what default: says fills a new record, with a warning")

var rowKeys = &Free{Doc: `What the code becomes; "" leaves the field alone; the code "*" takes all that no row names.`, Forms: []Form{text(Plain), {Kind: Null}}}
