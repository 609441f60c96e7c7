package tree_test

import (
	"slices"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func TestEveryLabelIsReadByItsName(t *testing.T) {
	t.Parallel()
	var all tree.Labels
	for i, name := range tree.LabelNames() {
		l, ok := tree.ParseLabel(name)
		if !ok || (l == tree.None) != (name == "none") || l&all != 0 {
			t.Errorf("label %d, %s: %v, %v", i, name, l, ok)
		}
		if name != "none" && l.String() != name {
			t.Errorf("%s prints as %s", name, l)
		}
		all |= l
	}
	if _, ok := tree.ParseLabel("secrets"); ok {
		t.Error("an unknown label is taken")
	}
	if got := (tree.Name | tree.Clinical).Names(); !slices.Equal(got, []string{"name", "clinical"}) {
		t.Errorf("names are %v", got)
	}
	if tree.None.String() != "none" {
		t.Errorf("no label prints as %s", tree.None)
	}
}

func TestRepetitionsAreFoundInDocumentOrder(t *testing.T) {
	t.Parallel()
	root := &tree.Node{Kids: []*tree.Node{{Name: "PID"}, {Name: "NK1", Text: "a"}, {Name: "PV1"}, {Name: "NK1", Text: "b"}}}
	var got []string
	for n := range root.All("NK1") {
		got = append(got, n.Text)
	}
	if !slices.Equal(got, []string{"a", "b"}) || root.First("NK1").Text != "a" || root.First("OBX") != nil {
		t.Errorf("NK1 are %v", got)
	}
	for n := range root.All("NK1") {
		if n.Text == "b" {
			t.Error("the loop goes on after its end")
		}
		break
	}
	var none *tree.Node
	if none.First("PID") != nil {
		t.Error("nothing has a kid")
	}
	for range none.All("PID") {
		t.Error("nothing has kids")
	}
}

func TestATypeKnowsItsElementsAndMayContainItself(t *testing.T) {
	t.Parallel()
	text := tree.NewType("ST", tree.Text)
	group := tree.NewType("ORDER", tree.Composite, &tree.Element{Name: "ORC", Type: text})
	group.Add(&tree.Element{Name: "ORDER", Type: group, Repeats: true})
	if group.Element("ORC").Type != text || group.Element("ORDER").Type != group || group.Element("OBX") != nil || len(group.Elements) != 2 {
		t.Errorf("the type is %+v", group)
	}
	defer func() {
		if recover() == nil {
			t.Error("two elements of one name are taken")
		}
	}()
	group.Add(&tree.Element{Name: "ORC", Type: text})
}
