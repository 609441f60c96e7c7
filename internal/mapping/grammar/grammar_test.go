package grammar

import (
	"regexp"
	"strings"
	"testing"
)

func TestTheGrammarIsWhole(t *testing.T) {
	t.Parallel()
	reached := map[string]bool{}
	var object func(o *Object)
	var forms func(where string, list []Form)
	forms = func(where string, list []Form) {
		kinds := map[Kind]bool{}
		for _, f := range list {
			if kinds[f.Kind] {
				t.Errorf("%s: two forms are %s, and nothing tells them apart", where, f.Kind)
			}
			kinds[f.Kind] = true
			if f.Pattern != "" && Describe(f.Pattern) == "" {
				t.Errorf("%s: nobody says what %s wants", where, f.Pattern)
			}
			if f.Means == Word != (f.Kind == Text && len(f.Words) > 0) {
				t.Errorf("%s: a word has words, and nothing else has", where)
			}
			for _, w := range f.Words {
				if w.Doc == "" {
					t.Errorf("%s: %s says nothing", where, w.Text)
				}
			}
			if f.Object != "" {
				object(Get(f.Object))
			}
			forms(where+"[]", f.Items)
		}
	}
	object = func(o *Object) {
		if reached[o.Name] {
			return
		}
		reached[o.Name] = true
		seen := map[string]bool{}
		for _, k := range o.Keys {
			where := o.Name + "." + k.Name
			if seen[k.Name] {
				t.Errorf("%s stands twice", where)
			}
			seen[k.Name] = true
			if len(k.Doc) < 10 || !strings.HasSuffix(k.Doc, ".") {
				t.Errorf("%s: %q is no sentence", where, k.Doc)
			}
			if f := Find(k.Forms, Text); k.Default != "" && !(f != nil && f.Accepts(k.Default) || Find(k.Forms, Bool) != nil) {
				t.Errorf("%s: the default %q is none of its words", where, k.Default)
			}
			forms(where, k.Forms)
		}
		for _, set := range o.Either {
			for _, k := range set {
				if o.Key(k) == nil {
					t.Errorf("%s has no key %s, which it has either", o.Name, k)
				}
			}
		}
		if o.Free != nil {
			if o.Free.Pattern != "" && Describe(o.Free.Pattern) == "" {
				t.Errorf("%s: nobody says what its keys are", o.Name)
			}
			forms(o.Name+".*", o.Free.Forms)
		}
		if o.With != "" {
			object(Get(o.Is))
		}
		if o.What == "" || !strings.HasSuffix(o.Doc, ".") {
			t.Errorf("%s: %q %q", o.Name, o.What, o.Doc)
		}
	}
	for kind, o := range Files {
		if o.Key("kind") == nil || !Find(o.Key("kind").Forms, Text).Accepts(kind) {
			t.Errorf("a file of kind %s does not take kind: %s", kind, kind)
		}
		object(o)
	}
	for _, name := range Names() {
		if !reached[name] {
			t.Errorf("%s stands nowhere", name)
		}
	}
	for expr := range patterns {
		if _, err := regexp.Compile(expr); err != nil || strings.Contains(expr, `(?`) {
			t.Errorf("%s is not what RE2 and ECMA-262 share: %v", expr, err)
		}
	}
}
