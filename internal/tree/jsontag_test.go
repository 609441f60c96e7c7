package tree_test

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

// animals is a type whose objects say in "kind" what they are; a dog has pups.
func animals() *tree.Type {
	text := tree.NewType("text", tree.Text)
	any := tree.NewType("animal", tree.Composite)
	any.Tag = "kind"
	any.Add(&tree.Element{Name: "Cat", Type: tree.NewType("Cat", tree.Composite, &tree.Element{Name: "name", Type: text})},
		&tree.Element{Name: "Dog", Type: tree.NewType("Dog", tree.Composite, &tree.Element{Name: "name", Type: text}, &tree.Element{Name: "pup", Type: any, Repeats: true})})
	return any
}

func TestAnObjectThatSaysWhatItIsHasThatKid(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, body, want string }{
		{"first", `{"kind":"Cat","name":"a"}`, "Cat(name=a)"},
		{"last", `{"name":"a","x":{"kind":"Dog"},"y":["kind"],"kind" : "Cat"}`, "Cat(name=a)"},
		{"in a string of its own", `{"name":"\"kind\":\"Dog\",}","kind":"Cat"}`, `Cat(name="kind":"Dog",})`},
		{"with nothing else", `{"kind":"Cat"}`, "Cat()"},
		{"in each other", `{"pup":[{"kind":"Dog","pup":{"kind":"Cat","name":"c"}},{"name":"b","kind":"Cat"}],"kind":"Dog"}`, "Dog(pup(Dog(pup(Cat(name=c)))) pup(Cat(name=b)))"},
		{"missing", `{"name":"a"}`, "error: kind is missing"},
		{"no string", `{"kind":null}`, "error: kind is missing"},
		{"unknown", `{"kind":"Cow"}`, "error: kind is none"},
		{"missing inside", `{"kind":"Dog","pup":{}}`, "error: offset 20: Dog.pup: kind is missing"},
		{"wrong inside", `{"kind":"Dog","pup":[{"kind":"Cat","name":{}}]}`, "error: Dog.pup.Cat.name: an object"},
		{"not ending", `{"kind":"Cat","name":"a`, "error: a string does not end"},
		{"behind its end", `{}{"kind":"Cat"}`, "error: kind is missing"},
		{"behind an escape", `{"name":"\"","kind":"Cat"}`, `Cat(name=")`},
		{"wrong behind another", `{"kind":"Dog","pup":[{"kind":"Cat"}],"name":{}}`, "error: Dog.name: an object"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n, err := tree.ReadJSON([]byte(c.body), animals(), nil, tree.JSONLimits{})
			if wrong, ok := strings.CutPrefix(c.want, "error: "); ok {
				if err == nil || !strings.Contains(err.Error(), wrong) {
					t.Errorf("the error is %v, want %s", err, wrong)
				}
				return
			}
			if err != nil || show(n.Kids) != c.want {
				t.Errorf("%v; want %s", err, c.want)
			}
		})
	}
}

func TestAKindThatIsNotSelectedHasNoContent(t *testing.T) {
	t.Parallel()
	only := tree.Selection{}
	only.Add("animal", "Cat")
	only.Add("Cat", "name")
	only.Add("animal", "Dog")
	only.Add("Dog", "pup")
	body := []byte(`{"kind":"Dog","name":"d","pup":[{"kind":"Cat","name":"c"},{"kind":"Dog","name":"e"}]}`)
	n, err := tree.ReadJSON(body, animals(), only, tree.JSONLimits{})
	if err != nil || show(n.Kids) != "Dog(name pup(Cat(name=c)) pup(Dog(name)))" {
		t.Errorf("%s, %v", show(n.Kids), err)
	}
	delete(only["animal"], "Cat")
	if n, err = tree.ReadJSON(body, animals(), only, tree.JSONLimits{}); err != nil || show(n.Kids) != "Dog(name pup(Cat()) pup(Dog(name)))" {
		t.Errorf("%s, %v", show(n.Kids), err)
	}
}

func show(nodes []*tree.Node) string {
	var parts []string
	for _, n := range nodes {
		switch {
		case n.Text != "":
			parts = append(parts, n.Name+"="+n.Text)
		case n.Name == "name":
			parts = append(parts, n.Name)
		default:
			parts = append(parts, n.Name+"("+show(n.Kids)+")")
		}
	}
	return strings.Join(parts, " ")
}
