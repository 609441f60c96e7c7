package tree_test

import (
	"strings"
	"testing"

	"github.com/vagus-health/vagus/internal/tree"
)

func standardType() *tree.Type {
	return tree.NewType("", tree.Composite,
		&tree.Element{Name: "userName", Title: "User Name", Type: textType, Labels: tree.Staff},
		&tree.Element{Name: "active", Type: tree.NewType("bool", tree.Bool), Labels: tree.Admin},
		&tree.Element{Name: "name", Type: nameType, Labels: tree.Name, Repeats: true})
}

func TestDeclaredAttributesRestrictAndRelabelTheStandard(t *testing.T) {
	t.Parallel()
	typ, err := tree.Declared("", standardType(), []tree.Column{
		{Name: "active"},
		{Name: "USERNAME", Labels: tree.Identifier},
		{Name: "name", Type: "text", Labels: tree.Staff},
		{Name: "born", Type: "date", Layout: "MM/DD/YYYY", Labels: tree.Demographic, Table: "T", Title: "Born"},
		{Name: "address", Type: "object", Repeats: true, Labels: tree.Contact, Parts: []tree.Column{{Name: "country", Type: "object", Parts: []tree.Column{{Name: "code", Type: "code"}}}}},
	}, true)
	if err != nil {
		t.Fatal(err)
	}
	want := func(e *tree.Element, title string, kind tree.Kind, labels tree.Labels, repeats bool) {
		t.Helper()
		if e == nil || e.Title != title || e.Type.Kind != kind || e.Labels != labels || e.Repeats != repeats {
			t.Errorf("%+v", e)
		}
	}
	want(typ.Element("active"), "", tree.Bool, tree.Admin, false)
	want(typ.Element("USERNAME"), "User Name", tree.Text, tree.Identifier, false)
	want(typ.Element("name"), "", tree.Composite, tree.Staff, true)
	want(typ.Element("name").Type.Element("given"), "", tree.Text, tree.None, true)
	want(typ.Element("born"), "Born", tree.Date, tree.Demographic, false)
	want(typ.Element("address"), "", tree.Composite, tree.Contact, true)
	if b := typ.Element("born"); b.Layout != "MM/DD/YYYY" || b.Table != "T" {
		t.Errorf("%+v", b)
	}
	country := typ.Element("address").Type.Element("country").Type
	if typ.Element("userName") != nil || country.Name != "address.country" || country.Element("code").Type.Kind != tree.Code {
		t.Errorf("%+v", country)
	}
}

func TestADeclarationDoesNotTakeAwayWhatNeedsAReason(t *testing.T) {
	t.Parallel()
	for _, l := range []tree.Labels{tree.Secret, tree.Sensitive, tree.NationalID} {
		standard := tree.NewType("", tree.Composite, &tree.Element{Name: "a", Type: textType, Labels: l | tree.Clinical})
		for _, says := range []tree.Labels{tree.Staff, tree.None} {
			typ, err := tree.Declared("", standard, []tree.Column{{Name: "a", Labels: says}}, false)
			if err != nil {
				t.Fatal(err)
			}
			want := l | tree.Staff
			if says == tree.None {
				want = l | tree.Clinical
			}
			if got := typ.Element("a").Labels; got != want {
				t.Errorf("%v declared as %v is %v", l|tree.Clinical, says, got)
			}
		}
	}
}

func TestAnObjectOfTheStandardMayBeRestricted(t *testing.T) {
	t.Parallel()
	typ, err := tree.Declared("", standardType(), []tree.Column{{Name: "name", Parts: []tree.Column{{Name: "family", Labels: tree.Name}}}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if name := typ.Element("name"); name.Type == nameType || len(name.Type.Elements) != 1 || name.Type.Element("family").Labels != tree.Name || !name.Repeats {
		t.Errorf("%+v", name)
	}
	if nameType.Element("family").Labels != tree.None {
		t.Error("the standard itself was changed")
	}
}

func TestDeclarationsThatSayNoTypeAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, want string
		columns    []tree.Column
	}{
		{"none", "no attributes", nil},
		{"no name", "has no name", []tree.Column{{Type: "text"}}},
		{"one twice", "active is declared twice", []tree.Column{{Name: "active"}, {Name: "active"}}},
		{"one twice in another case", "Active is declared twice", []tree.Column{{Name: "active"}, {Name: "Active"}}},
		{"no type and not in the standard", "x has no type", []tree.Column{{Name: "x"}}},
		{"an unknown type", `x has the type "int"`, []tree.Column{{Name: "x", Type: "int"}}},
		{"an object without attributes", "x is an object that declares no attributes", []tree.Column{{Name: "x", Type: "object"}}},
		{"a part without type", "x.y has no type", []tree.Column{{Name: "x", Type: "object", Parts: []tree.Column{{Name: "y"}}}}},
		{"parts of a text", "x has parts", []tree.Column{{Name: "x", Type: "text", Parts: []tree.Column{{Name: "y", Type: "text"}}}}},
		{"a date for an object of the standard", "name is an object in the standard, not date", []tree.Column{{Name: "name", Type: "date"}}},
		{"an object for a value of the standard", "active is a simple value in the standard", []tree.Column{{Name: "active", Type: "object", Parts: []tree.Column{{Name: "y", Type: "text"}}}}},
		{"parts of a value of the standard", "active has parts", []tree.Column{{Name: "active", Parts: []tree.Column{{Name: "y", Type: "text"}}}}},
		{"a notation of a text", "x has a notation", []tree.Column{{Name: "x", Type: "text", Layout: "MM/DD/YYYY"}}},
		{"a width", "only columns of fixed width", []tree.Column{{Name: "x", Type: "text", Start: 1, Width: 2}}},
	} {
		if _, err := tree.Declared("", standardType(), tt.columns, true); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: the error is %v, want %s", tt.name, err, tt.want)
		}
	}
}
